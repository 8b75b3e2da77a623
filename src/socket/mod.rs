//! Sockets: contexts, messages, options, pollers, monitors, handshakes. Knows nothing of keys.
//!
//! # What is where
//! ```text
//!  Context ── socket(type), typed::<K>() ──► SocketBuilder ── set(option), secure(mechanism) ── open() ──┐
//!     │                                                                                                  ▼
//!  shutdown(): every call                     Message ── send ──►  ┌──────────┐  ◄── connect ──  peers
//!  that waits returns                         Message ◄── recv ──  │  Socket  │  ─── bind ────►  peers
//!  Error::Terminated                                               └────┬─────┘
//!                      ┌───────────────────┬───────────────────────────┼───────────────────────┐
//!                   Poller              Monitor                 HandshakeWatch          AsyncSocket (tokio),
//!              waits for several    what its connections      secured, or a reason        PollableSocket
//!                   of them              go through                 why not             (any other runtime)
//! ```
//!
//! # The patterns
//! Each type talks to those in its drawing, over `tcp`, `ipc` or `inproc`; who binds and who connects is free. What a drawing shows holds
//! for each of any number of peers.
//!
//! ```text
//!  REQ ──── question ───► REP         one at a time: send, recv, send …      a client and a service
//!      ◄──── answer ─────
//!
//!  DEALER ── messages ──► ROUTER      any number at once; the ROUTER puts    clients and a server, each
//!         ◄── messages ──             the peer's routing id before each      side without waiting
//!
//!  PUB ───── topic… ────► SUB         to all who subscribed to a beginning   news: who comes late has
//!  XPUB ◄─ subscription ─ XSUB        of it; the X types pass both ways on   missed some, none waits
//!
//!  PUSH ───── task ─────► PULL        to one of them each, in turn           work, and its results
//!
//!  PAIR ◄── messages ───► PAIR        one peer only                          two threads
//!
//!  REQ ──► ROUTER ═ proxy ═ DEALER ──► REP       many clients, many workers: proxy() hands on between
//!  PUB ──► XSUB ═══ proxy ═══ XPUB ──► SUB       two sockets; a SteerableProxy can be paused
//!
//!  STREAM ◄── bytes ──► a TCP program that speaks no ZeroMQ
//! ```
//!
//! [`proxy`] and [`SteerableProxy`] work with any two sockets. Which type waits, drops or refuses where a peer is slow or gone is in `zmq_socket(3)`. How each is secured: [`security`](crate::security).
//! The names of libzmq and ours, side by side, are in `docs/libzmq.md`.

mod borrowed;
mod builder;
mod context;
#[cfg(feature = "draft")]
mod draft;
mod feed;
mod frames;
mod greeting;
mod handshake;
mod message;
mod monitor;
mod multipart;
pub mod options;
mod pollable;
mod poller;
pub(crate) mod probe;
mod proxy;
#[cfg(feature = "draft")]
mod shared;
mod steerable;
mod timers;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
mod typed;
mod watch;

use std::ffi::{CStr, c_void};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

#[cfg(feature = "tokio")]
pub use self::tokio::AsyncSocket;
pub(crate) use borrowed::{
    check_borrowed, enforce_borrowed, handshakes_borrowed, handshakes_fed, watch_borrowed,
};
#[doc(hidden)]
pub use borrowed::{library_of, secure_borrowed};
pub use builder::{Mechanism, SocketBuilder};
pub(crate) use builder::{Secured, sealed};
#[cfg(feature = "linked")]
pub use context::ContextBuilder;
pub use context::{Capability, Context};
#[doc(hidden)]
pub use feed::MonitorFeed;
pub(crate) use frames::FrameList;
pub use greeting::Greeting;
pub(crate) use handshake::Role;
pub use handshake::{HandshakeEvent, HandshakeOutcome, HandshakeProblem, HandshakeWatch};
pub use message::Message;
pub use monitor::{EventKind, Monitor, MonitorEvent, ProtocolError};
pub use multipart::{Frames, Tuple};
pub use options::{ContextOption, SocketOption};
pub use pollable::PollableSocket;
pub use poller::{Events, Interest, Poller, Token};
pub use proxy::proxy;
#[cfg(feature = "draft")]
pub use shared::{Shared, ThreadSafe};
pub use steerable::{ProxyControl, ProxyStatistics, SteerableProxy, Traffic};
pub use timers::{TimerId, Timers};
#[cfg(feature = "draft")]
pub use typed::{Channel, Client, Dgram, Dish, Gather, Peer, Radio, Scatter, Server};
pub use typed::{
    Dealer, Kind, Pair, Pub, Pull, Push, Ready, Receives, Rep, Req, Router, Sends, Stream, Sub,
    Typed, TypedBuilder, Unsubscribed, XPub, XSub,
};
pub(crate) use watch::Watch;

use zmq_sys_wrap::zmq;

use crate::error::{Error, Result};
use crate::ffi::{c_string, socket::RawSocket};
use builder::KeepAlive;
use monitor::Hub;
use options::{About, OptionValue, Readable, Writable};
use probe::{Expected, Proof};
use watch::Watched;

/// The type of a socket: its pattern.
///
/// Source: `zmq_socket(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
#[non_exhaustive]
#[repr(u32)]
pub enum SocketType {
    Pair = zmq::ZMQ_PAIR,
    Pub = zmq::ZMQ_PUB,
    Sub = zmq::ZMQ_SUB,
    Req = zmq::ZMQ_REQ,
    Rep = zmq::ZMQ_REP,
    Dealer = zmq::ZMQ_DEALER,
    Router = zmq::ZMQ_ROUTER,
    Pull = zmq::ZMQ_PULL,
    Push = zmq::ZMQ_PUSH,
    XPub = zmq::ZMQ_XPUB,
    XSub = zmq::ZMQ_XSUB,
    Stream = zmq::ZMQ_STREAM,
    #[cfg(feature = "draft")]
    Server = zmq::ZMQ_SERVER,
    #[cfg(feature = "draft")]
    Client = zmq::ZMQ_CLIENT,
    #[cfg(feature = "draft")]
    Radio = zmq::ZMQ_RADIO,
    #[cfg(feature = "draft")]
    Dish = zmq::ZMQ_DISH,
    #[cfg(feature = "draft")]
    Gather = zmq::ZMQ_GATHER,
    #[cfg(feature = "draft")]
    Scatter = zmq::ZMQ_SCATTER,
    #[cfg(feature = "draft")]
    Dgram = zmq::ZMQ_DGRAM,
    #[cfg(feature = "draft")]
    Peer = zmq::ZMQ_PEER,
    #[cfg(feature = "draft")]
    Channel = zmq::ZMQ_CHANNEL,
}

/// An open socket.
///
/// ```
/// use ironhouse::{Context, SocketType};
/// # fn main() -> ironhouse::Result<()> {
/// let context = Context::new()?;
/// let server = context.socket(SocketType::Rep).open()?;
/// let endpoint = server.bind("tcp://127.0.0.1:*")?; // a port that is free, as the result says
/// let client = context.socket(SocketType::Req).open()?;
/// client.connect(&endpoint)?;
///
/// client.send("Hello")?;
/// assert_eq!(server.recv()?, "Hello");
/// server.send_multipart(["Wor", "ld"])?;
/// assert_eq!(client.recv_multipart()?, ["Wor", "ld"]);
/// # Ok(())
/// # }
/// ```
///
/// It can be given to another thread, but not be used by two at a time (`zmq_socket(3)`). Its security was settled before it
/// was opened and cannot change. Dropping it closes it: what was sent goes on leaving for at most its
/// [`LINGER`](options::LINGER), what was received and not read is lost, and a message sent in part is not sent at all.
///
/// All calls but those of [`try_send`](Self::try_send) and [`try_recv`](Self::try_recv) wait as long as the options
/// [`RCV_TIMEO`](options::RCV_TIMEO) and [`SND_TIMEO`](options::SND_TIMEO) say. Every call may answer [`Error::Terminated`] once the
/// context is shut down, and [`Error::Interrupted`] where a signal handler ran meanwhile: nothing was sent or received then.
#[doc(alias = "zsock_t")]
pub struct Socket {
    // The order of these fields is the order in which they are dropped: the socket closes first, then its mechanism may end
    // what kept it safe (the authenticator), then the context may be terminated.
    raw: RawSocket,
    monitor: Hub,
    watched: Option<Watched>,
    keep_alive: Option<KeepAlive>,
    expected: Option<Arc<Expected>>,
    context: Context,
    kind: SocketType,
}

const DONTWAIT: i32 = zmq::ZMQ_DONTWAIT as i32;
const SNDMORE: i32 = zmq::ZMQ_SNDMORE as i32;

impl Socket {
    /// Accepts connections at `endpoint`, such as `tcp://127.0.0.1:5555`, `tcp://*:*` or `ipc:///run/my.sock`; the endpoint as the
    /// system resolved it.
    ///
    /// # Errors
    /// [`Error::Zmq`] with the endpoint; [`Error::InvalidOption`] for a port above 65535, and where the socket has a mechanism that the
    /// transport does not carry.
    ///
    /// Source: `zmq_bind(3)`.
    #[doc(alias = "zmq_bind")]
    pub fn bind(&self, endpoint: &str) -> Result<String> {
        self.check_endpoint(endpoint)?;
        let text = c_string("endpoint", endpoint)?;
        self.monitor
            .explain_bind(|| self.raw.bind(&text))
            .map_err(|e| e.on(endpoint))?;
        if endpoint.starts_with("inproc://") {
            return Ok(endpoint.to_owned()); // may be longer than any option's value
        }
        self.get(options::LAST_ENDPOINT)
    }

    /// Connects to `endpoint`, now or as soon as somebody accepts there.
    ///
    /// Returns before the connection is made, and says nothing of its security: for that see
    /// [`connect_checked`](SocketBuilder::connect_checked).
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// Source: `zmq_connect(3)`.
    #[doc(alias = "zmq_connect")]
    pub fn connect(&self, endpoint: &str) -> Result<()> {
        self.connect_by(endpoint, |text| self.raw.connect(text))
    }

    /// Stops accepting connections at `endpoint`, as [`bind`](Self::bind) returned it. Existing ones remain.
    ///
    /// # Errors
    /// [`Error::Zmq`] (`ENOENT`) where it was not bound there.
    #[doc(alias = "zmq_unbind")]
    pub fn unbind(&self, endpoint: &str) -> Result<()> {
        self.raw
            .unbind(&c_string("endpoint", endpoint)?)
            .map_err(|e| e.on(endpoint))
    }

    /// Ends the connection to `endpoint`.
    ///
    /// # Errors
    /// [`Error::Zmq`] (`ENOENT`) where it was not connected there.
    #[doc(alias = "zmq_disconnect")]
    pub fn disconnect(&self, endpoint: &str) -> Result<()> {
        self.raw
            .disconnect(&c_string("endpoint", endpoint)?)
            .map_err(|e| e.on(endpoint))?;
        if let Some(expected) = &self.expected {
            expected.disconnected(endpoint);
        }
        Ok(())
    }

    /// Receives messages that start with `prefix` (SUB); an empty one means all.
    ///
    /// # Errors
    /// [`Error::Zmq`] on a socket of another type.
    pub fn subscribe(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        self.set(options::SUBSCRIBE, prefix.as_ref().to_vec())
    }

    /// Takes back one [`subscribe`](Self::subscribe) of the same prefix.
    ///
    /// # Errors
    /// [`Error::Zmq`] on a socket of another type.
    pub fn unsubscribe(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        self.set(options::UNSUBSCRIBE, prefix.as_ref().to_vec())
    }

    /// Sets an option; most take effect for later binds and connects only.
    ///
    /// # Errors
    /// [`Error::Zmq`] with the option's name; [`Error::InvalidOption`] for a value out of its range.
    ///
    /// Source: `zmq_setsockopt(3)`.
    #[doc(alias = "zmq_setsockopt")]
    pub fn set<T: OptionValue, A: Writable>(
        &self,
        option: SocketOption<T, A>,
        value: T,
    ) -> Result<()> {
        let value = value.encode(option.about.name)?;
        self.set_raw(option.about, &value)
    }

    /// Reads an option.
    ///
    /// # Errors
    /// [`Error::Zmq`] with the option's name.
    ///
    /// Source: `zmq_getsockopt(3)`.
    #[doc(alias = "zmq_getsockopt")]
    pub fn get<T: OptionValue, A: Readable>(&self, option: SocketOption<T, A>) -> Result<T> {
        // No list: some loops ask for EVENTS before each message.
        let mut buffer = [0; options::LONGEST];
        let (value, _) = buffer.split_at_mut(T::CAPACITY);
        let len = self
            .raw
            .get(option.about.id, value)
            .map_err(|e| option.about.explain(e, &self.context))?;
        let value = value.get(..len).unwrap_or_default();
        T::decode(value).ok_or_else(|| context::unexpected(option.about.name, value))
    }

    /// The socket's type.
    pub fn kind(&self) -> SocketType {
        self.kind
    }

    /// The context the socket lives in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The socket as libzmq's functions take it. It is closed when this value is dropped.
    pub fn as_raw(&self) -> *mut c_void {
        self.raw.as_ptr()
    }

    /// Has what the socket connects to from now on be asked for this, where a handshake fails.
    pub(crate) fn expect(&self, proof: Arc<dyn Proof>) {
        if let Some(expected) = &self.expected {
            expected.set(proof);
        }
    }

    /// The descriptor that becomes readable when messages may have come or gone, and stays so until they are looked for.
    ///
    /// Edge-triggered: before waiting on it, receive until [`Error::Again`], and do so after every send as well.
    pub(crate) fn event_fd(&self) -> Result<BorrowedFd<'_>> {
        self.raw.event_fd()
    }

    fn set_raw(&self, option: About, value: &[u8]) -> Result<()> {
        if option.id == options::HANDSHAKE_IVL.about.id
            && self.keep_alive.is_some()
            && value.iter().all(|&b| b == 0)
        {
            return Err(Error::InvalidOption {
                name: option.name,
                reason:
                    "0 would let unauthenticated peers stay for ever; set what a handshake may take"
                        .into(),
            });
        }
        self.raw
            .set(option.id, value)
            .map_err(|e| option.explain(e, &self.context))
    }

    /// Has `connect` connect to `endpoint`, and keeps in mind what is expected of the server there.
    fn connect_by<T>(&self, endpoint: &str, connect: impl FnOnce(&CStr) -> Result<T>) -> Result<T> {
        self.check_endpoint(endpoint)?;
        let text = c_string("endpoint", endpoint)?;
        // First: libzmq reports of a connection as soon as it is made.
        if let Some(expected) = &self.expected {
            expected.connected(endpoint);
        }
        let connected = connect(&text).map_err(|e| e.on(endpoint));
        if let (Err(_), Some(expected)) = (&connected, &self.expected) {
            expected.disconnected(endpoint);
        }
        connected
    }

    /// Refuses what libzmq would accept silently: a port that does not exist, of which it takes the lower 16 bits; and, on a socket
    /// with a mechanism, a transport that does without it.
    fn check_endpoint(&self, endpoint: &str) -> Result<()> {
        let (transport, address) = endpoint.split_once("://").unwrap_or_default();
        let refuse = |reason| {
            Err(Error::InvalidOption {
                name: "endpoint",
                reason,
            })
        };
        let port = address.rsplit(':').next().unwrap_or_default();
        if transport == "tcp" && port.parse::<u64>().is_ok_and(|port| port > u16::MAX.into()) {
            return refuse(format!(
                "{endpoint:?}: there is no port {port}; the last is 65535"
            ));
        }
        match transport {
            "tcp" | "ipc" | "tipc" | "vmci" | "ws" | "wss" => Ok(()),
            _ if self.keep_alive.is_none() => Ok(()),
            _ => refuse(format!(
                "{endpoint:?}: this socket has a security mechanism, which {transport:?} does not carry; use tcp or ipc, or a socket without a mechanism"
            )),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.monitor.stop(&self.raw);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("kind", &self.kind)
            .field("secured", &self.keep_alive.is_some())
            .finish_non_exhaustive()
    }
}
