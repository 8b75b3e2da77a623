//! What is wrong is refused by an error that names the call, what it was made on, and how to mend it.

use ironhouse::Error;
use ironhouse::security::{Authenticator, NullServer, Policy};
use ironhouse::socket::{
    Capability, Context, Interest, Monitor, Poller, SocketType, options, proxy,
};

use crate::common::{SOON, bound, connected, endpoint, within};
use crate::os::fork;

/// The error's text has all `words`.
#[track_caller]
fn says<T>(result: ironhouse::Result<T>, words: &[&str]) {
    let text = result.map(drop).unwrap_err().to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn an_endpoint_that_cannot_be_meant_is_answered_with_what_one_looks_like() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = context.socket(SocketType::Dealer).open().unwrap();
        let form = "transport://address";
        for wrong in ["tcp//x", "tcp://127.0.0.1:nan", "", "tcp://127.0.0.1"] {
            says(socket.bind(wrong), &["zmq_bind", wrong, form]);
        }
        says(socket.connect("tcp//x"), &["zmq_connect", "tcp//x", form]);
        let unknown = "nothing://x";
        says(socket.bind(unknown), &["zmq_bind", unknown, "transport"]);
        says(socket.connect(unknown), &["zmq_connect", unknown]);
        let nul = "tcp://127.0.0.1\0:1";
        says(socket.bind(nul), &["endpoint", "byte 15", "NUL"]);
        says(socket.connect(nul), &["endpoint", "byte 15", "NUL"]);
    });
}

#[test]
fn an_address_that_is_not_there_is_told_from_one_in_use() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (_first, taken) = bound(&context, SocketType::Rep);
        let socket = context.socket(SocketType::Rep).open().unwrap();
        says(
            socket.bind(&taken),
            &["zmq_bind", &taken, "in use", "another port"],
        );
        let here = "one of its own";
        for elsewhere in ["tcp://192.0.2.1:*", "tcp://no-such-host.invalid:*"] {
            says(socket.bind(elsewhere), &["zmq_bind", elsewhere, here]);
        }
        let inproc = endpoint("inproc");
        socket.bind(&inproc).unwrap();
        says(socket.bind(&inproc), &["zmq_bind", &inproc, "in use"]);
        let nobody = "tcp://127.0.0.1:9";
        says(
            socket.unbind(nobody),
            &["zmq_unbind", nobody, "as bind() returned it"],
        );
        says(
            socket.disconnect(nobody),
            &["zmq_disconnect", nobody, "as connect() got it"],
        );
    });
}

#[test]
fn an_option_out_of_its_range_is_answered_with_the_range() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = context.socket(SocketType::Dealer).open().unwrap();
        let option = "zmq_setsockopt(ZMQ_";
        let set = |result, words: &[&str]| says::<()>(result, &[&[option], words].concat());
        set(socket.set(options::RCV_HWM, -1), &["RCVHWM", "0 or more"]);
        set(socket.set(options::BACKLOG, -5), &["BACKLOG", "0 or more"]);
        set(socket.set(options::TCP_KEEPALIVE, 2), &["-1, 0 or 1"]);
        set(socket.set(options::RATE, 0), &["RATE", "1 or more"]);
        set(socket.set(options::SND_BUF, -2), &["-1 or more"]);
        set(
            socket.set(options::ROUTING_ID, vec![7; 256]),
            &["ROUTING_ID", "1 to 255 bytes"],
        );
        set(socket.subscribe("x"), &["SUBSCRIBE", "a SUB"]);
        set(socket.set(options::XPUB_VERBOSE, true), &["an XPUB"]);
        says(
            context
                .socket(SocketType::Pair)
                .set(options::SND_HWM, -1)
                .open(),
            &["ZMQ_SNDHWM", "0 or more"],
        );
        says(
            Context::builder().set(options::MAX_SOCKETS, 0).build(),
            &["zmq_ctx_set(ZMQ_MAX_SOCKETS)", "SOCKET_LIMIT"],
        );
        says(
            context.set(options::CTX_MAX_MSG_SIZE, -1),
            &["zmq_ctx_set(ZMQ_MAX_MSGSZ)", "0 or more"],
        );
        let proxy = "a\0b".to_owned();
        says(
            socket.set(options::SOCKS_PROXY, proxy),
            &["ZMQ_SOCKS_PROXY", "byte 1", "NUL"],
        );
    });
}

#[test]
fn an_option_that_this_libzmq_lacks_is_unsupported() {
    within(SOON, || {
        let context = Context::new().unwrap();
        assert!(!context.has(Capability::Vmci));
        let socket = context.socket(SocketType::Dealer).open().unwrap();
        let lacks = |result: ironhouse::Result<()>| {
            let error = result.unwrap_err();
            assert!(
                matches!(error, Error::Unsupported(Capability::Vmci)),
                "{error}"
            );
            assert!(error.to_string().contains("vmci"), "{error}");
        };
        lacks(socket.set(options::VMCI_BUFFER_SIZE, 65536));
        lacks(socket.get(options::VMCI_BUFFER_MIN_SIZE).map(drop));
        lacks(socket.get(options::VMCI_BUFFER_MAX_SIZE).map(drop));
        lacks(socket.set(options::VMCI_CONNECT_TIMEOUT, None));
    });
}

#[test]
fn whose_turn_it_is_and_what_a_type_cannot_do_is_said() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (rep, req) = connected(&context, "inproc", (SocketType::Rep, SocketType::Req));
        says(req.recv(), &["zmq_msg_recv", "sends a request first"]);
        says(rep.send("x"), &["zmq_msg_send", "the next request"]);
        let open = |kind| context.socket(kind).open().unwrap();
        says(open(SocketType::Pull).send("x"), &["type do not send"]);
        says(open(SocketType::Push).recv(), &["type do not receive"]);
        let router = open(SocketType::Router);
        router.set(options::ROUTER_MANDATORY, true).unwrap();
        says(
            router.send_multipart(["nobody", "x"]),
            &["no peer with this routing id"],
        );
    });
}

#[test]
fn a_context_that_was_shut_down_says_so_to_every_call() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = context.socket(SocketType::Dealer).open().unwrap();
        let other = context.socket(SocketType::Dealer).open().unwrap();
        let mut poller = Poller::new();
        poller.add(&socket, Interest::READABLE);
        context.shutdown().unwrap();
        let ended = |result: ironhouse::Result<()>| {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Terminated), "{error}");
        };
        ended(poller.wait(None).map(drop));
        ended(socket.bind("tcp://127.0.0.1:*").map(drop));
        ended(socket.connect("tcp://127.0.0.1:1"));
        ended(socket.send("x"));
        ended(socket.recv().map(drop));
        ended(socket.set(options::SND_HWM, 1));
        ended(Monitor::attach(&socket).map(drop));
        ended(context.socket(SocketType::Pair).open().map(drop));
        proxy(&socket, &other, None).unwrap(); // ends, as it does with a shutdown
    });
}

#[test]
fn a_forked_child_is_told_to_make_its_own() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let (rep, req) = connected(&context, "tcp", (SocketType::Rep, SocketType::Req));
        let monitor = Monitor::attach(&rep).unwrap();
        assert!(fork(SOON, || {
            let forked = |result: ironhouse::Result<()>| {
                let error = result.unwrap_err();
                assert!(matches!(error, Error::Forked { .. }), "{error}");
                assert!(error.to_string().contains("after fork"), "{error}");
            };
            forked(req.send("x"));
            forked(req.try_send_multipart(["x", "y"]));
            forked(rep.recv().map(drop));
            forked(rep.bind("tcp://127.0.0.1:*").map(drop));
            forked(req.connect("tcp://127.0.0.1:1"));
            forked(req.set(options::SND_HWM, 1));
            forked(req.get(options::SND_HWM).map(drop));
            forked(context.socket(SocketType::Pair).open().map(drop));
            forked(context.get(options::IO_THREADS).map(drop));
            forked(context.shutdown());
            forked(proxy(&rep, &req, None));
            let mut poller = Poller::new();
            poller.add(&req, Interest::READABLE);
            forked(poller.wait(None).map(drop));
            // Its own works.
            let context = Context::new().unwrap();
            let (push, pull) = connected(&context, "tcp", (SocketType::Push, SocketType::Pull));
            push.send("own").unwrap();
            assert_eq!(pull.recv().unwrap(), "own");
        }));
        req.send("parent").unwrap();
        assert_eq!(rep.recv().unwrap(), "parent");
        drop(monitor);
    });
}

#[test]
fn a_stream_takes_no_mechanism_because_it_would_guard_nothing() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("raw", Policy::new().null()).unwrap();
        let stream = context.socket(SocketType::Stream);
        says(
            stream.secure(NullServer::new(&domain)).open(),
            &["STREAM", "another type"],
        );
    });
}
