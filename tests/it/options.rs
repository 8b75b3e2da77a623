//! Every option that can be read and written comes back as it was set; wrong values are refused by name.

use std::time::Duration;

use ironhouse::Error;
use ironhouse::socket::{Capability, Context, Socket, SocketOption, SocketType, options};

use crate::common::{SOON, within};

/// Sets each option to each value and reads it back.
macro_rules! round_trip {
    ($socket:expr, $($option:ident: $($value:expr),+;)*) => {$($({
        let value = $value;
        $socket.set(options::$option, value.clone()).unwrap();
        assert_eq!($socket.get(options::$option).unwrap(), value, "{:?}", options::$option);
    })+)*};
}

const MS: fn(u64) -> Duration = Duration::from_millis;

fn dealer(context: &Context) -> Socket {
    context.socket(SocketType::Dealer).open().unwrap()
}

#[test]
fn what_is_set_is_read_back() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = dealer(&context);
        round_trip!(socket,
            AFFINITY: 1u64, u64::MAX, 0;
            BACKLOG: 1, 1000;
            BIND_TO_DEVICE: "lo".to_owned();
            CONNECT_TIMEOUT: MS(0), MS(1234);
            HANDSHAKE_IVL: MS(1), MS(0);
            HEARTBEAT_IVL: MS(0), MS(500);
            HEARTBEAT_TIMEOUT: Some(MS(700));
            HEARTBEAT_TTL: MS(100), MS(6_553_500);
            IMMEDIATE: true, false;
            IPV6: true, false;
            LINGER: None, Some(MS(0)), Some(MS(250)), Some(MS(i32::MAX as u64));
            MAX_MSG_SIZE: 1i64, i64::MAX, -1;
            MULTICAST_HOPS: 3;
            MULTICAST_MAX_TPDU: 1400;
            RATE: 200;
            RCV_BUF: 4096, -1;
            RCV_HWM: 0, 7;
            RCV_TIMEO: None, Some(MS(0)), Some(MS(20));
            RECONNECT_IVL: None, Some(MS(50));
            RECONNECT_IVL_MAX: MS(0), MS(5000);
            RECOVERY_IVL: MS(9000);
            ROUTING_ID: b"\x01\xffid".to_vec(), vec![b'x'; 255];
            SND_BUF: 4096, -1;
            SND_HWM: 0, 7;
            SND_TIMEO: None, Some(MS(0)), Some(MS(20));
            SOCKS_PROXY: "127.0.0.1:1080".to_owned();
            TCP_KEEPALIVE: 1, 0, -1;
            TCP_KEEPALIVE_CNT: 5, -1;
            TCP_KEEPALIVE_IDLE: 60, -1;
            TCP_KEEPALIVE_INTVL: 10, -1;
            TCP_MAXRT: MS(0), MS(3000);
            TOS: 0, 16;
            USE_FD: 77, -1;
        );
        let pubs = context.socket(SocketType::Pub).open().unwrap();
        round_trip!(pubs, INVERT_MATCHING: true, false;);
    });
}

#[test]
fn options_that_are_only_written_are_accepted_by_their_sockets() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let open = |kind| context.socket(kind).open().unwrap();
        let (router, xpub) = (open(SocketType::Router), open(SocketType::XPub));
        let (req, stream) = (open(SocketType::Req), open(SocketType::Stream));
        router.set(options::ROUTER_MANDATORY, true).unwrap();
        router.set(options::ROUTER_HANDOVER, true).unwrap();
        router.set(options::PROBE_ROUTER, true).unwrap();
        router
            .set(options::CONNECT_ROUTING_ID, b"peer".to_vec())
            .unwrap();
        req.set(options::REQ_CORRELATE, true).unwrap();
        req.set(options::REQ_RELAXED, true).unwrap();
        stream.set(options::STREAM_NOTIFY, false).unwrap();
        xpub.set(options::XPUB_VERBOSE, true).unwrap();
        xpub.set(options::XPUB_VERBOSER, true).unwrap();
        xpub.set(options::XPUB_NODROP, true).unwrap();
        xpub.set(options::XPUB_MANUAL, true).unwrap();
        xpub.set(options::XPUB_WELCOME_MSG, b"hello".to_vec())
            .unwrap();
        open(SocketType::Push).set(options::CONFLATE, true).unwrap();
    });
}

#[test]
fn what_can_only_be_read_is_read() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = dealer(&context);
        assert_eq!(socket.get(options::MECHANISM).unwrap(), 0);
        assert_eq!(socket.get(options::EVENTS).unwrap(), 0);
        assert!(socket.get(options::FD).unwrap() >= 0);
        assert!(!socket.get(options::RCV_MORE).unwrap());
        assert!(!socket.get(options::THREAD_SAFE).unwrap());
        assert_eq!(
            socket.get(options::TYPE).unwrap(),
            SocketType::Dealer as i32
        );
        assert_eq!(socket.get(options::LAST_ENDPOINT).unwrap(), "");
    });
}

#[test]
fn linger_is_a_second_and_the_handshake_has_half_a_minute_unless_set() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = dealer(&context);
        assert_eq!(socket.get(options::LINGER).unwrap(), Some(MS(1000)));
        assert_eq!(socket.get(options::HANDSHAKE_IVL).unwrap(), MS(30_000));
        let socket = context
            .socket(SocketType::Dealer)
            .set(options::LINGER, None)
            .open()
            .unwrap();
        assert_eq!(socket.get(options::LINGER).unwrap(), None);
    });
}

#[test]
fn a_bad_value_is_refused_by_the_name_of_its_option() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = dealer(&context);
        fn named<T>(result: ironhouse::Result<T>, name: &str) {
            let text = result.map(drop).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
        named(socket.set(options::RCV_HWM, -1), "ZMQ_RCVHWM");
        named(socket.set(options::BACKLOG, -5), "ZMQ_BACKLOG");
        named(socket.set(options::TCP_KEEPALIVE, 2), "ZMQ_TCP_KEEPALIVE");
        named(socket.set(options::ROUTING_ID, vec![]), "ZMQ_ROUTING_ID");
        named(
            socket.set(options::ROUTING_ID, vec![b'x'; 256]),
            "ZMQ_ROUTING_ID",
        );
        named(
            socket.set(options::SUBSCRIBE, b"x".to_vec()),
            "ZMQ_SUBSCRIBE",
        );
        named(
            socket.set(options::SOCKS_PROXY, "a\0b".into()),
            "ZMQ_SOCKS_PROXY",
        );
        let long = Duration::MAX;
        for option in [options::LINGER, options::RCV_TIMEO, options::SND_TIMEO] {
            let error = socket.set(option, Some(long)).unwrap_err();
            assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
            named::<()>(Err(error), &format!("{option:?}"));
        }
        // The builder reports the same, from open().
        let open = |option: SocketOption<i32>, value| {
            context.socket(SocketType::Dealer).set(option, value).open()
        };
        named(open(options::SND_HWM, -1), "ZMQ_SNDHWM");
    });
}

#[test]
fn options_of_a_context_are_read_back_and_checked() {
    within(SOON, || {
        let context = Context::builder()
            .set(options::IO_THREADS, 2)
            .set(options::MAX_SOCKETS, 3)
            .set(options::CTX_MAX_MSG_SIZE, 1000)
            .set(options::IPV6_BY_DEFAULT, true)
            .set(options::BLOCKY, false)
            .set(options::ZERO_COPY_RECV, false)
            .set(options::THREAD_NAME_PREFIX, 12)
            .set(options::THREAD_SCHED_POLICY, 0)
            .set(options::THREAD_PRIORITY, 0)
            .set(options::THREAD_AFFINITY_CPU_ADD, 1)
            .set(options::THREAD_AFFINITY_CPU_REMOVE, 1)
            .build()
            .unwrap();
        assert_eq!(context.get(options::THREAD_SCHED_POLICY).unwrap(), 0);
        assert_eq!(context.get(options::IO_THREADS).unwrap(), 2);
        assert_eq!(context.get(options::MAX_SOCKETS).unwrap(), 3);
        assert_eq!(context.get(options::CTX_MAX_MSG_SIZE).unwrap(), 1000);
        assert!(context.get(options::IPV6_BY_DEFAULT).unwrap());
        assert!(!context.get(options::BLOCKY).unwrap());
        assert!(!context.get(options::ZERO_COPY_RECV).unwrap());
        assert_eq!(context.get(options::THREAD_NAME_PREFIX).unwrap(), 12);
        assert_eq!(context.get(options::MSG_T_SIZE).unwrap(), 64);
        assert!(context.get(options::SOCKET_LIMIT).unwrap() >= 1023);
        let sockets: Vec<_> = (0..3).map(|_| dealer(&context)).collect();
        assert!(sockets[0].get(options::IPV6).unwrap());
        let one_more = context.socket(SocketType::Dealer).open().unwrap_err();
        assert!(
            one_more.to_string().starts_with("zmq_socket: "),
            "{one_more}"
        );

        // These can change later, for sockets made from then on.
        context.set(options::IPV6_BY_DEFAULT, false).unwrap();
        context.set(options::BLOCKY, true).unwrap();
        context.set(options::CTX_MAX_MSG_SIZE, 2000).unwrap();
        assert!(!context.get(options::IPV6_BY_DEFAULT).unwrap());
        assert!(context.get(options::BLOCKY).unwrap());
        assert_eq!(context.get(options::CTX_MAX_MSG_SIZE).unwrap(), 2000);

        let error = Context::builder()
            .set(options::IO_THREADS, -1)
            .build()
            .unwrap_err()
            .to_string();
        assert!(error.contains("ZMQ_IO_THREADS"), "{error}");
    });
}

#[test]
fn a_context_knows_its_library() {
    within(SOON, || {
        let context = Context::new().unwrap();
        assert!(context.version() >= (4, 3, 0));
        assert!(context.has(Capability::Ipc));
        assert!(!context.has(Capability::Vmci));
    });
}
