//! Typed options: one table for sockets, one for contexts.
//!
//! What a mechanism needs (keys, domains, roles) is in the table too, but not public: it is given as a mechanism, before the
//! socket exists, because libzmq accepts it after `bind` as well and then ignores it.

mod value;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use zeroize::Zeroizing;
use zmq_sys_wrap::zmq;

pub(super) use value::LONGEST;
pub use value::OptionValue;

use super::{Capability, Context};
use crate::error::{Error, Result};

/// An option of a socket whose value is a `T`. `A` says whether it can be read, written or both.
pub struct SocketOption<T, A = ReadWrite> {
    pub(crate) about: About,
    types: PhantomData<fn(T, A) -> T>,
}

/// An option of a context whose value is a `T`. `A` says whether it can be read, written or both, and until when.
pub struct ContextOption<T, A = ReadWrite> {
    pub(crate) about: About,
    types: PhantomData<fn(T, A) -> T>,
}

/// What is known of an option besides its types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) id: i32,
    pub(crate) name: &'static str,
    /// Which values it takes, for who gave another; empty where nothing need be said.
    takes: &'static str,
    /// What a libzmq needs to know it.
    needs: &'static [Capability],
}

impl About {
    /// What to make of libzmq's refusal: it answers the same to a bad value and to an option that it does not know.
    pub(super) fn explain(&self, error: Error, context: &Context) -> Error {
        let error = error.on(self.name);
        let lacks = self.needs.iter().find(|needs| !context.has(**needs));
        match (&error, lacks) {
            (Error::Zmq { errno, .. }, Some(lacks)) if errno.0 == libc::EINVAL => {
                Error::Unsupported(*lacks)
            }
            _ => error.cured_by(self.takes),
        }
    }
}

/// The option can be read and written.
#[derive(Debug)]
pub enum ReadWrite {}
/// The option can only be read.
#[derive(Debug)]
pub enum ReadOnly {}
/// The option can only be written.
#[derive(Debug)]
pub enum WriteOnly {}

/// The context's option is given before its first socket, and can be read at any time.
#[derive(Debug)]
pub enum AtStart {}
/// The context's option is given before its first socket, and cannot be read.
#[derive(Debug)]
pub enum AtStartWriteOnly {}

/// Marks options that can be read.
pub trait Readable: sealed::Access {}
impl Readable for ReadWrite {}
impl Readable for ReadOnly {}
impl Readable for AtStart {}

/// Marks options that can be written at any time.
pub trait Writable: Initial {}
impl Writable for ReadWrite {}
impl Writable for WriteOnly {}

/// Marks options that can be given to a builder.
pub trait Initial: sealed::Access {}
impl Initial for ReadWrite {}
impl Initial for WriteOnly {}
impl Initial for AtStart {}
impl Initial for AtStartWriteOnly {}

pub(crate) mod sealed {
    use super::{Result, Zeroizing};

    pub trait Access {}
    impl Access for super::ReadWrite {}
    impl Access for super::ReadOnly {}
    impl Access for super::WriteOnly {}
    impl Access for super::AtStart {}
    impl Access for super::AtStartWriteOnly {}

    /// Conversion to and from the bytes that libzmq takes. They may be a secret, hence wiped.
    pub trait Value: Sized {
        /// The most bytes a value read from libzmq can take.
        const CAPACITY: usize;
        fn encode(self, option: &'static str) -> Result<Zeroizing<Vec<u8>>>;
        fn decode(bytes: &[u8]) -> Option<Self>;
    }
}

macro_rules! option_type {
    ($option:ident) => {
        impl<T, A> $option<T, A> {
            const fn new(id: u32, name: &'static str) -> Self {
                Self {
                    about: About {
                        id: id as i32,
                        name,
                        takes: "",
                        needs: &[],
                    },
                    types: PhantomData,
                }
            }

            #[allow(dead_code)] // not in both tables
            const fn takes(mut self, takes: &'static str) -> Self {
                self.about.takes = takes;
                self
            }

            #[allow(dead_code)] // not in both tables
            const fn needs(mut self, needs: &'static [Capability]) -> Self {
                self.about.needs = needs;
                self
            }
        }

        impl<T, A> Clone for $option<T, A> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T, A> Copy for $option<T, A> {}

        impl<T, A> fmt::Debug for $option<T, A> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.about.name)
            }
        }
    };
}
option_type!(SocketOption);
option_type!(ContextOption);

macro_rules! options {
    ($option:ident from $page:literal: $(
        $(#[$doc:meta])*
        $vis:vis $name:ident = $id:ident: $type:ty $(, $access:ty)? $(=> $takes:literal)? $(where $($needs:expr),+)?;
    )*) => {
        $(
            $(#[$doc])*
            $(#[doc = concat!("\n\nIt takes ", $takes, ".")])?
            #[doc = concat!("\n\nSource: ", $page, ", `", stringify!($id), "`.")]
            $vis const $name: $option<$type $(, $access)?> = $option::new(zmq::$id, stringify!($id))
                $(.takes(concat!("it takes ", $takes)))? $(.needs(&[$($needs),+]))?;
        )*
    };
}

options! { SocketOption from "zmq_setsockopt(3)":
    /// Which I/O threads serve new connections, as a bit mask; 0 for all.
    pub AFFINITY = ZMQ_AFFINITY: u64;
    /// Most connections that wait to be accepted; 100 by default.
    pub BACKLOG = ZMQ_BACKLOG: i32 => "0 or more";
    /// The network interface to bind to (Linux: SO_BINDTODEVICE).
    pub BIND_TO_DEVICE = ZMQ_BINDTODEVICE: String => "the name of an interface of this machine, of at most 15 bytes, on Linux";
    /// Keep only the newest message of each connection, in one slot; single-frame messages only.
    pub CONFLATE = ZMQ_CONFLATE: bool, WriteOnly;
    /// The routing id that the next connection of a ROUTER or STREAM gets, 1 to 255 bytes.
    pub CONNECT_ROUTING_ID = ZMQ_CONNECT_ROUTING_ID: Vec<u8>, WriteOnly => "1 to 255 bytes, on a ROUTER or STREAM";
    /// How long a connection attempt may take; 0 (the default) leaves it to the operating system.
    pub CONNECT_TIMEOUT = ZMQ_CONNECT_TIMEOUT: Duration => "up to 2147483647 ms";
    /// What `poll` would say of the socket now: 1 readable, 2 writable, 3 both.
    pub EVENTS = ZMQ_EVENTS: i32, ReadOnly;
    /// The descriptor that becomes readable when the socket's events may have changed (edge-triggered).
    pub FD = ZMQ_FD: i32, ReadOnly => "a stable type to be read from: thread-safe ones have no descriptor";
    /// How long a connection may take to agree on its security; 30 s by default, 0 for ever.
    ///
    /// On a secured server it is also how long a peer that was told to try again stays connected and silent, so 0 is
    /// refused there.
    pub HANDSHAKE_IVL = ZMQ_HANDSHAKE_IVL: Duration => "up to 2147483647 ms";
    /// How long a connection may stay silent after a heartbeat before it is closed.
    pub HEARTBEAT_TIMEOUT = ZMQ_HEARTBEAT_TIMEOUT: Option<Duration> => "up to 2147483647 ms";
    /// How often to send a heartbeat; 0 (the default): never.
    pub HEARTBEAT_IVL = ZMQ_HEARTBEAT_IVL: Duration => "up to 2147483647 ms";
    /// After how much silence the *peer* should close the connection, at most 6553.5 s.
    pub HEARTBEAT_TTL = ZMQ_HEARTBEAT_TTL: Duration => "up to 6553.5 s";
    /// Queue messages only for completed connections, instead of one that may never be.
    pub IMMEDIATE = ZMQ_IMMEDIATE: bool;
    /// Invert the matching of subscriptions (PUB, XPUB, SUB).
    pub INVERT_MATCHING = ZMQ_INVERT_MATCHING: bool => "a PUB, XPUB or SUB to be set on";
    /// Use IPv6 where a name or address allows it; off by default.
    pub IPV6 = ZMQ_IPV6: bool;
    /// The endpoint last bound or connected, as the system resolved it.
    pub LAST_ENDPOINT = ZMQ_LAST_ENDPOINT: String, ReadOnly;
    /// How long messages not yet sent outlive their closed socket; `None` for ever. 1 s unless set (libzmq's own default is for ever).
    pub LINGER = ZMQ_LINGER: Option<Duration> => "up to 2147483647 ms, or `None`";
    /// Largest message accepted, in bytes; -1 (the default) for any. A peer that sends more is disconnected.
    pub MAX_MSG_SIZE = ZMQ_MAXMSGSIZE: i64;
    /// The security mechanism: 0 NULL, 1 PLAIN, 2 CURVE, 3 GSSAPI.
    pub MECHANISM = ZMQ_MECHANISM: i32, ReadOnly;
    /// Network hops a multicast packet may take.
    pub MULTICAST_HOPS = ZMQ_MULTICAST_HOPS: i32 => "1 or more";
    /// Largest multicast packet, in bytes.
    pub MULTICAST_MAX_TPDU = ZMQ_MULTICAST_MAXTPDU: i32 => "1 or more";
    /// Send an empty message on each new connection, so that a peer may answer first (ROUTER, DEALER, REQ).
    pub PROBE_ROUTER = ZMQ_PROBE_ROUTER: bool, WriteOnly => "a ROUTER, DEALER or REQ to be set on";
    /// Multicast data rate, in kilobits a second.
    pub RATE = ZMQ_RATE: i32 => "1 or more";
    /// Operating system's receive buffer, in bytes; -1 leaves it alone.
    pub RCV_BUF = ZMQ_RCVBUF: i32 => "-1 or more";
    /// Most messages queued for `recv`, for each connection; 0 for no limit.
    pub RCV_HWM = ZMQ_RCVHWM: i32 => "0 or more";
    /// Whether more frames of the message last received follow.
    pub RCV_MORE = ZMQ_RCVMORE: bool, ReadOnly;
    /// How long `recv` waits before it answers [`Again`](crate::Error::Again); `None` (the default) for ever.
    pub RCV_TIMEO = ZMQ_RCVTIMEO: Option<Duration> => "up to 2147483647 ms, or `None`";
    /// Shortest wait before a lost connection is tried again; `None`: never.
    pub RECONNECT_IVL = ZMQ_RECONNECT_IVL: Option<Duration> => "up to 2147483647 ms, or `None`";
    /// Longest such wait, which doubles with each failure; 0 (the default): it does not.
    pub RECONNECT_IVL_MAX = ZMQ_RECONNECT_IVL_MAX: Duration => "up to 2147483647 ms";
    /// How long a multicast receiver may be away and still catch up.
    pub RECOVERY_IVL = ZMQ_RECOVERY_IVL: Duration => "up to 2147483647 ms";
    /// Number the requests of a REQ, and drop replies to others.
    pub REQ_CORRELATE = ZMQ_REQ_CORRELATE: bool, WriteOnly => "a REQ to be set on";
    /// Let a REQ send again before it was answered.
    pub REQ_RELAXED = ZMQ_REQ_RELAXED: bool, WriteOnly => "a REQ to be set on";
    /// A new connection takes over the routing id of an older one, instead of being refused.
    pub ROUTER_HANDOVER = ZMQ_ROUTER_HANDOVER: bool, WriteOnly => "a ROUTER to be set on";
    /// `send` to a peer that is not there fails, instead of dropping the message.
    pub ROUTER_MANDATORY = ZMQ_ROUTER_MANDATORY: bool, WriteOnly => "a ROUTER to be set on";
    /// The id under which a ROUTER knows this socket, 1 to 255 bytes, not starting with a zero byte.
    pub ROUTING_ID = ZMQ_ROUTING_ID: Vec<u8> => "1 to 255 bytes";
    /// Operating system's send buffer, in bytes; -1 leaves it alone.
    pub SND_BUF = ZMQ_SNDBUF: i32 => "-1 or more";
    /// Most messages queued by `send`, for each connection; 0 for no limit.
    pub SND_HWM = ZMQ_SNDHWM: i32 => "0 or more";
    /// How long `send` waits before it answers [`Again`](crate::Error::Again); `None` (the default) for ever.
    pub SND_TIMEO = ZMQ_SNDTIMEO: Option<Duration> => "up to 2147483647 ms, or `None`";
    /// SOCKS5 proxy for TCP connections, as `address:port`.
    pub SOCKS_PROXY = ZMQ_SOCKS_PROXY: String => "`address:port`";
    /// Tell a STREAM's user of connections made and lost, by an empty message each.
    pub STREAM_NOTIFY = ZMQ_STREAM_NOTIFY: bool, WriteOnly => "a STREAM to be set on";
    /// Receive messages that start with this (SUB).
    pub SUBSCRIBE = ZMQ_SUBSCRIBE: Vec<u8>, WriteOnly => "a SUB to be set on";
    /// TCP keep-alive: 1 on, 0 off, -1 as the operating system has it.
    pub TCP_KEEPALIVE = ZMQ_TCP_KEEPALIVE: i32 => "-1, 0 or 1";
    /// Unanswered keep-alives before the connection counts as dead; -1 as the operating system has it.
    pub TCP_KEEPALIVE_CNT = ZMQ_TCP_KEEPALIVE_CNT: i32 => "-1 or more";
    /// Idle seconds before the first keep-alive; -1 as the operating system has it.
    pub TCP_KEEPALIVE_IDLE = ZMQ_TCP_KEEPALIVE_IDLE: i32 => "-1 or more";
    /// Seconds between keep-alives; -1 as the operating system has it.
    pub TCP_KEEPALIVE_INTVL = ZMQ_TCP_KEEPALIVE_INTVL: i32 => "-1 or more";
    /// How long sent data may stay unacknowledged before TCP gives the connection up; 0 as the operating system has it.
    pub TCP_MAXRT = ZMQ_TCP_MAXRT: Duration => "up to 2147483647 ms";
    /// Whether several threads may use the socket at a time: none of the stable types may, those of the draft API by `Typed::share`.
    pub THREAD_SAFE = ZMQ_THREAD_SAFE: bool, ReadOnly;
    /// The IP type-of-service byte.
    pub TOS = ZMQ_TOS: i32 => "0 to 255";
    /// The socket's type, as a number of `zmq.h`.
    pub TYPE = ZMQ_TYPE: i32, ReadOnly;
    /// Take back one earlier SUBSCRIBE of the same bytes.
    pub UNSUBSCRIBE = ZMQ_UNSUBSCRIBE: Vec<u8>, WriteOnly => "a SUB to be set on";
    /// Take an inherited, listening descriptor instead of opening one (systemd); -1 for none.
    pub USE_FD = ZMQ_USE_FD: i32 => "-1 or a descriptor";
    /// Buffer of a VMCI connection, in bytes.
    pub VMCI_BUFFER_SIZE = ZMQ_VMCI_BUFFER_SIZE: u64 where Capability::Vmci;
    /// Smallest buffer of a VMCI connection, in bytes.
    pub VMCI_BUFFER_MIN_SIZE = ZMQ_VMCI_BUFFER_MIN_SIZE: u64 where Capability::Vmci;
    /// Largest buffer of a VMCI connection, in bytes.
    pub VMCI_BUFFER_MAX_SIZE = ZMQ_VMCI_BUFFER_MAX_SIZE: u64 where Capability::Vmci;
    /// How long an attempt to connect over VMCI may take; `None` leaves it to the operating system.
    pub VMCI_CONNECT_TIMEOUT = ZMQ_VMCI_CONNECT_TIMEOUT: Option<Duration> where Capability::Vmci;
    /// Hand repeated subscriptions up as well, not only new ones (XPUB).
    pub XPUB_VERBOSE = ZMQ_XPUB_VERBOSE: bool, WriteOnly => "an XPUB to be set on";
    /// Hand repeated subscriptions and unsubscriptions up (XPUB).
    pub XPUB_VERBOSER = ZMQ_XPUB_VERBOSER: bool, WriteOnly => "an XPUB to be set on";
    /// Subscriptions are made by `send` only (XPUB).
    pub XPUB_MANUAL = ZMQ_XPUB_MANUAL: bool, WriteOnly => "an XPUB to be set on";
    /// `send` fails where a subscriber's queue is full, instead of dropping the message (XPUB, PUB).
    pub XPUB_NODROP = ZMQ_XPUB_NODROP: bool, WriteOnly => "an XPUB or PUB to be set on";
    /// First message to every new subscriber (XPUB).
    pub XPUB_WELCOME_MSG = ZMQ_XPUB_WELCOME_MSG: Vec<u8>, WriteOnly => "an XPUB to be set on";

    pub(crate) CURVE_PUBLIC_KEY = ZMQ_CURVE_PUBLICKEY: Vec<u8>, WriteOnly;
    pub(crate) CURVE_SECRET_KEY = ZMQ_CURVE_SECRETKEY: Vec<u8>, WriteOnly;
    pub(crate) CURVE_SERVER = ZMQ_CURVE_SERVER: bool;
    pub(crate) CURVE_SERVER_KEY = ZMQ_CURVE_SERVERKEY: Vec<u8>, WriteOnly;
    pub(crate) GSSAPI_PLAINTEXT = ZMQ_GSSAPI_PLAINTEXT: bool;
    pub(crate) GSSAPI_PRINCIPAL = ZMQ_GSSAPI_PRINCIPAL: String;
    pub(crate) GSSAPI_PRINCIPAL_NAMETYPE = ZMQ_GSSAPI_PRINCIPAL_NAMETYPE: i32;
    pub(crate) GSSAPI_SERVER = ZMQ_GSSAPI_SERVER: bool;
    pub(crate) GSSAPI_SERVICE_PRINCIPAL = ZMQ_GSSAPI_SERVICE_PRINCIPAL: String;
    pub(crate) GSSAPI_SERVICE_PRINCIPAL_NAMETYPE = ZMQ_GSSAPI_SERVICE_PRINCIPAL_NAMETYPE: i32;
    pub(crate) PLAIN_PASSWORD = ZMQ_PLAIN_PASSWORD: Vec<u8>, WriteOnly;
    pub(crate) PLAIN_SERVER = ZMQ_PLAIN_SERVER: bool;
    pub(crate) PLAIN_USERNAME = ZMQ_PLAIN_USERNAME: Vec<u8>, WriteOnly;
    pub(crate) ZAP_DOMAIN = ZMQ_ZAP_DOMAIN: String;
    pub(crate) ZAP_ENFORCE_DOMAIN = ZMQ_ZAP_ENFORCE_DOMAIN: bool;
}

#[cfg(feature = "draft")]
const DRAFT: Capability = Capability::Draft;
#[cfg(feature = "draft")]
const SINCE_4_3_5: Capability = Capability::Since(4, 3, 5);

#[cfg(feature = "draft")]
options! { SocketOption from "zmq_setsockopt(3)":
    /// Microseconds that a receive may poll the device for (Linux: SO_BUSY_POLL).
    pub BUSY_POLL = ZMQ_BUSY_POLL: i32 => "0 or more" where DRAFT, SINCE_4_3_5;
    /// A message that the socket receives when a peer goes away (SERVER, ROUTER and others).
    pub DISCONNECT_MSG = ZMQ_DISCONNECT_MSG: Vec<u8>, WriteOnly where DRAFT;
    /// A message that is sent to each new peer.
    pub HELLO_MSG = ZMQ_HELLO_MSG: Vec<u8>, WriteOnly where DRAFT;
    /// A message that the socket receives when its connection is lost, until it is made again.
    pub HICCUP_MSG = ZMQ_HICCUP_MSG: Vec<u8>, WriteOnly where DRAFT, SINCE_4_3_5;
    /// Bytes read from a connection at once.
    pub IN_BATCH_SIZE = ZMQ_IN_BATCH_SIZE: i32 => "1 or more" where DRAFT;
    /// Take the fast path of Windows for TCP on one machine.
    pub LOOPBACK_FASTPATH = ZMQ_LOOPBACK_FASTPATH: bool, WriteOnly where DRAFT;
    /// A property that the peer gets with each message, as `X-name:value`.
    pub METADATA = ZMQ_METADATA: String, WriteOnly => "`X-name:value`" where DRAFT;
    /// Whether multicast comes back to its own machine.
    pub MULTICAST_LOOP = ZMQ_MULTICAST_LOOP: bool, WriteOnly where DRAFT;
    /// NORM: how congestion is met, by a number of `zmq.h` (`ZMQ_NORM_FIXED` 0, `CC` 1, `CCL` 2, `CCE` 3, `CCE_ECNONLY` 4).
    pub NORM_MODE = ZMQ_NORM_MODE: i32 => "0 to 4" where DRAFT, SINCE_4_3_5;
    /// NORM: ask for repairs by unicast.
    pub NORM_UNICAST_NACK = ZMQ_NORM_UNICAST_NACK: bool where DRAFT, SINCE_4_3_5;
    /// NORM: buffer, in KiB.
    pub NORM_BUFFER_SIZE = ZMQ_NORM_BUFFER_SIZE: i32 => "1 or more" where DRAFT, SINCE_4_3_5;
    /// NORM: payload of a packet, in bytes.
    pub NORM_SEGMENT_SIZE = ZMQ_NORM_SEGMENT_SIZE: i32 => "1 or more" where DRAFT, SINCE_4_3_5;
    /// NORM: segments in a block.
    pub NORM_BLOCK_SIZE = ZMQ_NORM_BLOCK_SIZE: i32 => "1 to 255" where DRAFT, SINCE_4_3_5;
    /// NORM: parity segments that can be made for a block.
    pub NORM_NUM_PARITY = ZMQ_NORM_NUM_PARITY: i32 => "0 to 254" where DRAFT, SINCE_4_3_5;
    /// NORM: parity segments sent without being asked for.
    pub NORM_NUM_AUTOPARITY = ZMQ_NORM_NUM_AUTOPARITY: i32 => "0 to 254" where DRAFT, SINCE_4_3_5;
    /// NORM: drop old data instead of waiting for repairs.
    pub NORM_PUSH = ZMQ_NORM_PUSH: bool where DRAFT, SINCE_4_3_5;
    /// Look at the first frame of a message only for subscriptions (XPUB, XSUB).
    pub ONLY_FIRST_SUBSCRIBE = ZMQ_ONLY_FIRST_SUBSCRIBE: bool, WriteOnly => "an XPUB or XSUB to be set on" where DRAFT;
    /// Bytes written to a connection at once.
    pub OUT_BATCH_SIZE = ZMQ_OUT_BATCH_SIZE: i32 => "1 or more" where DRAFT;
    /// Priority of the packets in the operating system (Linux: SO_PRIORITY).
    pub PRIORITY = ZMQ_PRIORITY: i32 => "0 or more" where DRAFT;
    /// When to give a lost connection up: the sum of 1 (refused), 2 (handshake failed) and, from 4.3.5 on, 4 (disconnected).
    pub RECONNECT_STOP = ZMQ_RECONNECT_STOP: i32, WriteOnly => "a sum of 1, 2 and 4" where DRAFT;
    /// Tell of peers by an empty message each: the sum of 1 (they came) and 2 (they went) (ROUTER).
    pub ROUTER_NOTIFY = ZMQ_ROUTER_NOTIFY: i32 => "0 to 3, on a ROUTER" where DRAFT;
    /// User name at the SOCKS5 proxy, 1 to 255 bytes.
    pub SOCKS_USERNAME = ZMQ_SOCKS_USERNAME: String where DRAFT;
    /// Password at the SOCKS5 proxy, 1 to 255 bytes; it goes there in clear text.
    pub SOCKS_PASSWORD = ZMQ_SOCKS_PASSWORD: Vec<u8>, WriteOnly where DRAFT;
    /// How many topics are subscribed to (PUB, XPUB, SUB, XSUB).
    pub TOPICS_COUNT = ZMQ_TOPICS_COUNT: i32, ReadOnly => "a PUB, XPUB, SUB or XSUB to be read from" where DRAFT, SINCE_4_3_5;
    /// The certificate of this end of a `wss` connection, as PEM.
    pub WSS_CERT_PEM = ZMQ_WSS_CERT_PEM: String, WriteOnly where DRAFT, Capability::Wss;
    /// The secret key of this end of a `wss` connection, as PEM.
    pub WSS_KEY_PEM = ZMQ_WSS_KEY_PEM: Vec<u8>, WriteOnly where DRAFT, Capability::Wss;
    /// The certificates that a `wss` client trusts, as PEM.
    pub WSS_TRUST_PEM = ZMQ_WSS_TRUST_PEM: String, WriteOnly where DRAFT, Capability::Wss;
    /// The host that a `wss` server must prove to be.
    pub WSS_HOSTNAME = ZMQ_WSS_HOSTNAME: String, WriteOnly where DRAFT, Capability::Wss;
    /// Whether a `wss` client trusts the system's certificates.
    pub WSS_TRUST_SYSTEM = ZMQ_WSS_TRUST_SYSTEM: bool, WriteOnly where DRAFT, Capability::Wss;
    /// As `XPUB_MANUAL`, and the next message goes to the last subscriber only (XPUB).
    pub XPUB_MANUAL_LAST_VALUE = ZMQ_XPUB_MANUAL_LAST_VALUE: bool, WriteOnly => "an XPUB to be set on" where DRAFT;
    /// Pass repeated unsubscriptions on as well (XSUB).
    pub XSUB_VERBOSE_UNSUBSCRIBE = ZMQ_XSUB_VERBOSE_UNSUBSCRIBE: bool, WriteOnly => "an XSUB to be set on" where DRAFT, SINCE_4_3_5;
}

options! { ContextOption from "zmq_ctx_set(3)":
    /// Whether terminating the context waits for all messages to be sent, when no socket says otherwise by `LINGER`.
    pub BLOCKY = ZMQ_BLOCKY: bool;
    /// Threads that do the input and output; 1 by default. Without any, only inproc works.
    pub IO_THREADS = ZMQ_IO_THREADS: i32, AtStart => "0 or more";
    /// Whether new sockets use IPv6.
    pub IPV6_BY_DEFAULT = ZMQ_IPV6: bool;
    /// Largest message any socket sends, in bytes.
    pub CTX_MAX_MSG_SIZE = ZMQ_MAX_MSGSZ: i32 => "0 or more";
    /// Most sockets at a time; 1023 by default.
    pub MAX_SOCKETS = ZMQ_MAX_SOCKETS: i32, AtStart => "1 to what `SOCKET_LIMIT` says";
    /// Size of libzmq's message structure, in bytes.
    pub MSG_T_SIZE = ZMQ_MSG_T_SIZE: i32, ReadOnly;
    /// Largest value that `MAX_SOCKETS` may have.
    pub SOCKET_LIMIT = ZMQ_SOCKET_LIMIT: i32, ReadOnly;
    /// Adds a processor to those the I/O threads may run on.
    pub THREAD_AFFINITY_CPU_ADD = ZMQ_THREAD_AFFINITY_CPU_ADD: i32, AtStartWriteOnly => "the number of a processor, from 0";
    /// Takes a processor from those the I/O threads may run on.
    pub THREAD_AFFINITY_CPU_REMOVE = ZMQ_THREAD_AFFINITY_CPU_REMOVE: i32, AtStartWriteOnly => "the number of a processor that was added";
    /// A number that starts the names of the I/O threads.
    pub THREAD_NAME_PREFIX = ZMQ_THREAD_NAME_PREFIX: i32, AtStart => "0 or more";
    /// Scheduling priority of the I/O threads.
    pub THREAD_PRIORITY = ZMQ_THREAD_PRIORITY: i32, AtStartWriteOnly => "0 or more";
    /// Scheduling policy of the I/O threads.
    pub THREAD_SCHED_POLICY = ZMQ_THREAD_SCHED_POLICY: i32, AtStart => "a number of sched.h, from 0";
    /// Whether received data may stay in the buffer they came in; on by default.
    ///
    /// From 4.3.3 on CURVE frames are decrypted in place, so that their data may start at an odd address. A program that casts
    /// received bytes to wider types needs this off, before the first socket.
    pub ZERO_COPY_RECV = ZMQ_ZERO_COPY_RECV: bool, AtStart;
}

#[cfg(test)]
mod tests;
