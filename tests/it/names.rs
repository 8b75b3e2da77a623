//! `docs/libzmq.md`: it names all that the installed `zmq.h` declares, and nothing that this crate does not have.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ironhouse::security::*;
use ironhouse::socket::*;
use ironhouse::{Errno, Error, build_info};

const TABLE: &str = include_str!("../../docs/libzmq.md");

/// About the compiler and the platform, not about messaging.
const PLATFORM: [&str; 8] = [
    "ZMQ_BUILD_DRAFT_API",
    "ZMQ_DEFINED_STDINT",
    "ZMQ_EXPORT",
    "ZMQ_HAVE_AIX",
    "ZMQ_HAVE_OPENVMS",
    "ZMQ_HAVE_SOLARIS",
    "ZMQ_NO_EXPORT",
    "ZMQ_STATIC",
];

/// What the table names of ours, each with a use of it that the compiler has seen.
macro_rules! ours {
    ($($name:literal => $use:expr;)*) => {
        [$({ let _ = $use; $name }),*]
    };
}
/// The same of constants and variants below one path.
macro_rules! below {
    ($($path:ident: $($name:ident)*;)*) => {
        [$($({ let _ = $path::$name; concat!(stringify!($path), "::", stringify!($name)) }),*),*]
    };
}
/// The same of options, each with libzmq's name of it.
macro_rules! options {
    ($($name:ident)*) => {
        [$((concat!("options::", stringify!($name)), format!("{:?}", options::$name))),*]
    };
}
macro_rules! events {
    ($($name:ident)*) => {
        [$({
            let _ = |kind: EventKind| matches!(kind, EventKind::$name { .. });
            concat!("EventKind::", stringify!($name))
        }),*]
    };
}

/// All of them that every build has.
fn stable() -> Vec<&'static str> {
    type M = Message;
    let mut names = ours! {
        "build_info::HEADER_VERSION" => build_info::HEADER_VERSION;
        "Error" => |_: Error| ();
        "Errno" => Errno(0);
        "Error::Terminated" => Error::Terminated;
        "Error::Interrupted" => Error::Interrupted;
        "Error::Unsupported" => Error::Unsupported;
        "Capability" => Capability::Ipc;
        "Context" => Context::new;
        "Context::new" => Context::new;
        "Context::builder" => Context::builder;
        "Context::version" => Context::version;
        "Context::has" => Context::has;
        "Context::shutdown" => Context::shutdown;
        "Context::set" => |c: &Context| c.set(options::BLOCKY, true);
        "Context::get" => |c: &Context| c.get(options::BLOCKY);
        "Context::socket" => Context::socket;
        "Context::typed" => |c: &Context| c.typed::<Pair>();
        "ContextBuilder::set" => |b: ContextBuilder| b.set(options::BLOCKY, true);
        "Message" => Message::new;
        "Message::new" => Message::new;
        "Message::from" => |_: M| (M::from(vec![]), M::from(String::new()), M::from("x"));
        "Message::from_static" => Message::from_static;
        "Message::clone" => <Message as Clone>::clone;
        "Message::deref" => <Message as std::ops::Deref>::deref;
        "Message::len" => Message::len;
        "Message::more" => Message::more;
        "Message::is_shared" => Message::is_shared;
        "Message::source_fd" => Message::source_fd;
        "Message::property" => Message::property;
        "Message::user_id" => Message::user_id;
        "Message::peer_address" => Message::peer_address;
        "Vec<u8>" => |_: Vec<u8>| ();
        "String" => |s: String| M::from(s);
        "Box<[u8]>" => |b: Box<[u8]>| M::from(b);
        "Arc<[u8]>" => |a: std::sync::Arc<[u8]>| M::from(a);
        "Bytes" => |b: bytes::Bytes| M::from(b);
        "Socket" => |_: Socket| ();
        "SocketBuilder::open" => SocketBuilder::open;
        "SocketBuilder::set" => |b: SocketBuilder| b.set(options::IPV6, true);
        "SocketBuilder::connect_checked" => |b: SocketBuilder| b.connect_checked("", Duration::ZERO);
        "Socket::set" => |s: &Socket| s.set(options::IPV6, true);
        "Socket::get" => |s: &Socket| s.get(options::IPV6);
        "Socket::bind" => Socket::bind;
        "Socket::connect" => Socket::connect;
        "Socket::unbind" => Socket::unbind;
        "Socket::disconnect" => Socket::disconnect;
        "Socket::send" => |s: &Socket| s.send("");
        "Socket::send_more" => |s: &Socket| s.send_more("");
        "Socket::try_send" => |s: &Socket| s.try_send("");
        "Socket::send_multipart" => |s: &Socket| s.send_multipart([""]);
        "Socket::send_tuple" => |s: &Socket| s.send_tuple(("",));
        "Socket::recv" => Socket::recv;
        "Socket::recv_into" => Socket::recv_into;
        "Socket::try_recv" => Socket::try_recv;
        "Socket::recv_multipart" => Socket::recv_multipart;
        "Socket::recv_array" => Socket::recv_array::<3>;
        "Socket::frames" => Socket::frames;
        "Socket::subscribe" => |s: &Socket| s.subscribe("");
        "Socket::unsubscribe" => |s: &Socket| s.unsubscribe("");
        "Monitor::attach" => Monitor::attach;
        "Monitor::next" => Monitor::next;
        "Poller" => Poller::new;
        "Poller::wait" => Poller::wait;
        "Interest::READABLE" => Interest::READABLE;
        "Interest::WRITABLE" => Interest::WRITABLE;
        "proxy" => proxy;
        "SteerableProxy" => SteerableProxy::new;
        "ProxyControl" => |_: ProxyControl| ();
        "Timers::new" => Timers::new;
        "Timers::add" => Timers::add;
        "Timers::cancel" => Timers::cancel;
        "Timers::set_interval" => Timers::set_interval;
        "Timers::reset" => Timers::reset;
        "Timers::timeout" => Timers::timeout;
        "Timers::due" => Timers::due;
        "NullServer" => NullServer::new;
        "PlainServer" => PlainServer::new;
        "PlainClient" => |_: PlainClient| ();
        "CurveServer" => CurveServer::new;
        "CurveClient" => |_: CurveClient| ();
        "GssapiServer" => |_: GssapiServer| ();
        "GssapiClient" => |_: GssapiClient| ();
        "Authenticator::domain" => Authenticator::domain;
        "Policy::allow" => Policy::allow;
        "uid:" => "uid:0".parse::<AddressRule>();
        "gid:" => "gid:0".parse::<AddressRule>();
        "SecretCertificate::generate" => SecretCertificate::generate;
        "Keypair::generate" => Keypair::generate;
        "Keypair::from_secret" => Keypair::from_secret;
        "PublicKey::to_string" => |k: &PublicKey| k.to_string();
        "PublicKey::from_str" => |text: &str| text.parse::<PublicKey>();
        "SecretKey::expose_z85" => SecretKey::expose_z85;
        "SecretKey::from_z85" => SecretKey::from_z85;
        "std::sync::atomic::AtomicI32" => std::sync::atomic::AtomicI32::new;
        "std::time::Instant" => std::time::Instant::now;
        "std::thread::sleep" => std::thread::sleep;
        "std::thread::spawn" => std::thread::spawn::<fn(), ()>;
    }
    .to_vec();
    names.extend(below! {
        SocketType: Pair Pub Sub Req Rep Dealer Router Pull Push XPub XSub Stream;
    });
    names.extend(below! {
        ProtocolError: ZMTP_UNSPECIFIED UNEXPECTED_COMMAND INVALID_SEQUENCE KEY_EXCHANGE MALFORMED_COMMAND
            MALFORMED_MESSAGE MALFORMED_HELLO MALFORMED_INITIATE MALFORMED_ERROR MALFORMED_READY
            MALFORMED_WELCOME INVALID_METADATA CRYPTOGRAPHIC MECHANISM_MISMATCH ZAP_UNSPECIFIED
            ZAP_MALFORMED_REPLY ZAP_BAD_REQUEST_ID ZAP_BAD_VERSION ZAP_INVALID_STATUS_CODE ZAP_INVALID_METADATA
            WS_UNSPECIFIED;
    });
    names.extend(stable_options().into_iter().map(|(name, _)| name));
    names.extend(events! {
        Connected ConnectDelayed ConnectRetried Listening BindFailed Accepted AcceptFailed Closed
            CloseFailed Disconnected HandshakeFailedNoDetail HandshakeSucceeded HandshakeFailedProtocol
            HandshakeFailedAuth PipesStats
    });
    // Not items: words of other sources.
    names.extend([
        "options::…",
        "ironhouse::socket",
        "ironhouse::security",
        "draft",
        "zmq.h",
    ]);
    names.extend(["\"Routing-Id\"", "\"Socket-Type\""]);
    names
}

fn stable_options() -> Vec<(&'static str, String)> {
    options! {
        AFFINITY BACKLOG BIND_TO_DEVICE CONFLATE CONNECT_ROUTING_ID CONNECT_TIMEOUT EVENTS FD HANDSHAKE_IVL
            HEARTBEAT_TIMEOUT HEARTBEAT_IVL HEARTBEAT_TTL IMMEDIATE INVERT_MATCHING IPV6 LAST_ENDPOINT LINGER
            MAX_MSG_SIZE MECHANISM MULTICAST_HOPS MULTICAST_MAX_TPDU PROBE_ROUTER RATE RCV_BUF RCV_HWM RCV_MORE
            RCV_TIMEO RECONNECT_IVL RECONNECT_IVL_MAX RECOVERY_IVL REQ_CORRELATE REQ_RELAXED ROUTER_HANDOVER
            ROUTER_MANDATORY ROUTING_ID SND_BUF SND_HWM SND_TIMEO SOCKS_PROXY STREAM_NOTIFY SUBSCRIBE
            TCP_KEEPALIVE TCP_KEEPALIVE_CNT TCP_KEEPALIVE_IDLE TCP_KEEPALIVE_INTVL TCP_MAXRT THREAD_SAFE TOS
            TYPE UNSUBSCRIBE USE_FD VMCI_BUFFER_SIZE VMCI_BUFFER_MIN_SIZE VMCI_BUFFER_MAX_SIZE
            VMCI_CONNECT_TIMEOUT XPUB_VERBOSE XPUB_VERBOSER XPUB_MANUAL XPUB_NODROP XPUB_WELCOME_MSG BLOCKY
            IO_THREADS IPV6_BY_DEFAULT CTX_MAX_MSG_SIZE MAX_SOCKETS MSG_T_SIZE SOCKET_LIMIT
            THREAD_AFFINITY_CPU_ADD THREAD_AFFINITY_CPU_REMOVE THREAD_NAME_PREFIX THREAD_PRIORITY
            THREAD_SCHED_POLICY ZERO_COPY_RECV
    }
    .to_vec()
}

#[cfg(feature = "draft")]
fn draft_options() -> Vec<(&'static str, String)> {
    options! {
        BUSY_POLL DISCONNECT_MSG HELLO_MSG HICCUP_MSG IN_BATCH_SIZE LOOPBACK_FASTPATH METADATA
            MULTICAST_LOOP NORM_MODE NORM_UNICAST_NACK NORM_BUFFER_SIZE NORM_SEGMENT_SIZE NORM_BLOCK_SIZE
            NORM_NUM_PARITY NORM_NUM_AUTOPARITY NORM_PUSH ONLY_FIRST_SUBSCRIBE OUT_BATCH_SIZE PRIORITY
            RECONNECT_STOP ROUTER_NOTIFY SOCKS_USERNAME SOCKS_PASSWORD TOPICS_COUNT WSS_CERT_PEM WSS_KEY_PEM
            WSS_TRUST_PEM WSS_HOSTNAME WSS_TRUST_SYSTEM XPUB_MANUAL_LAST_VALUE XSUB_VERBOSE_UNSUBSCRIBE
    }
    .to_vec()
}

#[cfg(feature = "draft")]
fn draft() -> Vec<&'static str> {
    let mut names = ours! {
        "ContextBuilder::thread_name" => |b: ContextBuilder| b.thread_name("");
        "Message::routing_id" => Message::routing_id;
        "Message::with_routing_id" => Message::with_routing_id;
        "Message::group" => Message::group;
        "Message::with_group" => Message::with_group;
        "Socket::join" => Socket::join;
        "Socket::leave" => Socket::leave;
        "Socket::connect_peer" => Socket::connect_peer;
        "Socket::peer_is_writable" => Socket::peer_is_writable;
        "Typed::share" => Typed::<Server>::share;
        "Socket::report_pipes_stats" => Socket::report_pipes_stats;
    }
    .to_vec();
    names.extend(below! {
        SocketType: Server Client Radio Dish Gather Scatter Dgram Peer Channel;
    });
    names.extend(draft_options().into_iter().map(|(name, _)| name));
    names
}

/// The table's rows: names of C's, and of ours with whether they are draft.
fn rows() -> Vec<(Vec<&'static str>, Vec<&'static str>, bool)> {
    let quoted = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
    TABLE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let (c, ours) = line.trim_matches('|').split_once(" | ").unwrap();
            (quoted(c), quoted(ours), ours.contains("(draft)"))
        })
        .collect()
}

#[test]
fn everything_that_the_header_declares_has_its_row() {
    let told = option_env!("IRONHOUSE_LIBZMQ_INCLUDE").map(std::env::split_paths);
    let mut folders: Vec<PathBuf> = told.into_iter().flatten().collect();
    folders.extend(["/usr/include", "/usr/local/include"].map(PathBuf::from));
    let header = folders
        .iter()
        .map(|folder| folder.join("zmq.h"))
        .find(|file| file.exists());
    let header = std::fs::read_to_string(header.expect("no zmq.h: libzmq3-dev has it")).unwrap();
    let declared = words(&without_comments(&header));
    assert!(declared.len() > 250, "{}", declared.len());
    let rows = rows();
    let named: Vec<&str> = rows.iter().flat_map(|(c, ..)| c.iter().copied()).collect();
    let unique: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(unique.len(), named.len(), "a name has two rows");
    let missing: Vec<_> = declared
        .iter()
        .filter(|name| !unique.contains(name.as_str()) && !PLATFORM.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/libzmq.md: {missing:?}");
    // The other way round, but for what is of a later version than this header.
    let version = Context::new().unwrap().version();
    let invented: Vec<_> = unique
        .iter()
        .filter(|name| version >= (4, 3, 5) && !declared.contains(**name))
        .collect();
    assert!(invented.is_empty(), "not in zmq.h: {invented:?}");
}

#[test]
fn everything_that_the_table_names_of_ours_is_there() {
    let stable: BTreeSet<&str> = stable().into_iter().collect();
    #[cfg(feature = "draft")]
    let draft: BTreeSet<&str> = draft().into_iter().collect();
    let mut used = BTreeSet::new();
    for (c, ours, is_draft) in rows() {
        for name in ours {
            used.insert(name);
            #[cfg(feature = "draft")]
            assert!(
                stable.contains(name) || is_draft && draft.contains(name),
                "{c:?}: {name}"
            );
            #[cfg(not(feature = "draft"))]
            assert!(stable.contains(name) || is_draft, "{c:?}: {name}");
        }
    }
    // Every option of ours stands in it.
    for option in stable
        .iter()
        .filter(|name| name.starts_with("options::") && !name.ends_with('…'))
    {
        assert!(used.contains(option), "{option}");
    }
}

#[test]
fn an_option_stands_beside_its_own_name() {
    let options = stable_options().into_iter();
    #[cfg(feature = "draft")]
    let options = options.chain(draft_options());
    for (option, c_name) in options {
        let own = |(c, ours, _): &(Vec<&str>, Vec<&str>, bool)| {
            ours.contains(&option) && c.contains(&&*c_name)
        };
        assert!(rows().iter().any(own), "{option} is {c_name}");
    }
}

fn without_comments(header: &str) -> String {
    let mut code = String::new();
    for (i, part) in header.split("/*").enumerate() {
        code += if i == 0 {
            part
        } else {
            part.split_once("*/").unwrap().1
        };
    }
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The words that start with `zmq_` or `ZMQ_`.
fn words(code: &str) -> BTreeSet<String> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("zmq_") || word.starts_with("ZMQ_"))
        .map(str::to_owned)
        .collect()
}
