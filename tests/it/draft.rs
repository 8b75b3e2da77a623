//! libzmq's draft API: it works where the library has it, and is `Unsupported` where not. `ci/check.sh vendored` runs the first, with the
//! embedded library; the system's is usually a stable one.

use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use ironhouse::Error;
use ironhouse::build_info::{Origin, origin};
use ironhouse::security::{CertificateStore, RevocationScope};
use ironhouse::socket::{
    Capability, Client, Context, Dish, EventKind, Interest, Message, Monitor, Peer, Poller, Radio,
    Server, SocketType, Typed, options, proxy,
};

use crate::common::{SOON, endpoint, within};
use crate::revoke;

const KINDS: [SocketType; 9] = [
    SocketType::Server,
    SocketType::Client,
    SocketType::Radio,
    SocketType::Dish,
    SocketType::Gather,
    SocketType::Scatter,
    SocketType::Dgram,
    SocketType::Peer,
    SocketType::Channel,
];

#[track_caller]
fn lacks<T>(result: ironhouse::Result<T>) {
    let error = result.map(drop).unwrap_err();
    let draft = matches!(error, Error::Unsupported(Capability::Draft));
    assert!(draft && error.to_string().contains("draft API"), "{error}");
}

/// A context, where the library has the draft API.
fn drafted() -> Option<Context> {
    let context = Context::new().unwrap();
    let has = context.has(Capability::Draft);
    // Ours is built with it, so that the tests below do run somewhere.
    assert!(has || origin() == Origin::System);
    has.then_some(context)
}

#[test]
fn a_stable_library_says_of_each_thing_that_it_lacks_it() {
    within(SOON, || {
        let context = Context::new().unwrap();
        if context.has(Capability::Draft) {
            return;
        }
        for kind in KINDS {
            lacks(context.socket(kind).open());
        }
        lacks(context.typed::<Dish>().open());
        lacks(Context::builder().thread_name("x").build());
        let router = context.socket(SocketType::Router).open().unwrap();
        lacks(router.join("group"));
        lacks(router.leave("group"));
        lacks(router.connect_peer("tcp://127.0.0.1:1"));
        lacks(router.peer_is_writable(b"x"));
        let monitor = Monitor::attach(&router).unwrap();
        lacks(router.report_pipes_stats());
        drop(monitor);
        lacks(Message::from("x").with_routing_id(1));
        lacks(Message::from("x").with_group("x"));
        assert_eq!(Message::from("x").routing_id(), None);
        assert_eq!(Message::from("x").group(), None);
        lacks(router.set(options::ROUTER_NOTIFY, 3));
        lacks(router.set(options::HELLO_MSG, b"x".to_vec()));
        lacks(router.set(options::PRIORITY, 1));
        lacks(router.get(options::TOPICS_COUNT));
        lacks(router.set(options::IN_BATCH_SIZE, 1));
        lacks(router.set(options::NORM_MODE, 1));
        lacks(router.set(options::WSS_HOSTNAME, "x".to_owned()));
    });
}

#[test]
fn a_server_answers_by_routing_id() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        for transport in ["tcp", "inproc"] {
            let server = context.typed::<Server>().open().unwrap();
            let at = server.bind(&endpoint(transport)).unwrap();
            let client = context.typed::<Client>().open().unwrap();
            client.connect(&at).unwrap();
            client.send("question").unwrap();
            let mut poller = Poller::new();
            let token = poller.add(server.as_ref(), Interest::READABLE);
            assert!(poller.wait(Some(SOON)).unwrap().readable(token));
            drop(poller);
            let question = server.recv().unwrap();
            assert_eq!(question, "question");
            let id = question.routing_id().unwrap();
            let answer = Message::from(vec![7; 5000]).with_routing_id(id).unwrap();
            server.send(answer).unwrap();
            assert_eq!(client.recv().unwrap(), [7; 5000]);
            let text = client.send_multipart(["a", "b"]).unwrap_err().to_string();
            assert!(text.contains("one frame only"), "{text}");
            let nobody = Message::from("x")
                .with_routing_id(id.wrapping_add(77))
                .unwrap();
            let text = server.send(nobody).unwrap_err().to_string();
            assert!(text.contains("routing id"), "{text}");
            assert!(Message::from("x").with_routing_id(0).is_err());
        }
    });
}

#[test]
fn a_shared_socket_is_used_by_several_threads_at_once() {
    const QUESTIONS: u32 = 500;
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let server = context.typed::<Server>().open().unwrap();
        let at = server.bind(&endpoint("tcp")).unwrap();
        let server = server.share().unwrap();
        assert!(matches!(server.try_recv(), Err(Error::Again)));
        let answer = || {
            while let Ok(question) = server.recv() {
                let id = question.routing_id().unwrap();
                let answer = Message::from(question.to_vec()).with_routing_id(id);
                server.send(answer.unwrap()).unwrap();
            }
        };
        let client = context.typed::<Client>().open().unwrap().share().unwrap();
        client.with_socket(|client| client.connect(&at)).unwrap();
        thread::scope(|scope| {
            let answering = [(); 3].map(|()| scope.spawn(answer));
            let asking: Vec<_> = (0..4u32)
                .map(|thread| {
                    let client = &client;
                    scope.spawn(move || {
                        (0..QUESTIONS)
                            .map(|n| {
                                client.send((thread * QUESTIONS + n).to_ne_bytes()).unwrap();
                                let answer = client.recv().unwrap();
                                u32::from_ne_bytes(answer[..].try_into().unwrap())
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            // Each question is answered once, to whichever of the client's threads.
            let answers = asking.into_iter().flat_map(|one| one.join().unwrap());
            let mut answers: Vec<_> = answers.collect();
            answers.sort_unstable();
            assert_eq!(answers, Vec::from_iter(0..4 * QUESTIONS));
            // Every thread that waits is told of the end.
            context.shutdown().unwrap();
            answering.into_iter().for_each(|one| one.join().unwrap());
        });
        let server = server.into_inner();
        assert!(matches!(server.recv(), Err(Error::Terminated)));
    });
}

#[test]
fn a_shared_socket_gives_no_thread_a_message_of_a_revoked_peer() {
    within(SOON, || {
        if drafted().is_none() {
            return;
        }
        let server = revoke::Server::with(RevocationScope::Exact, CertificateStore::in_memory());
        let (socket, at) = server.open(SocketType::Server, "tcp");
        let socket = Typed::<Server>::try_from(socket).unwrap().share().unwrap();
        let clients = [(); 2].map(|()| server.client(SocketType::Client));
        for client in &clients {
            client.socket.connect(&at).unwrap();
            client.wait(EventKind::HandshakeSucceeded);
        }
        let recv = || loop {
            match socket.recv() {
                Err(Error::Again) => {}
                message => break message.unwrap(),
            }
        };
        let keys = [0, 1].map(|n| clients[n].key.to_string());
        for n in 0..2 {
            clients[n].socket.send("hello").unwrap();
            assert_eq!(recv().user_id(), Some(keys[n].as_str()));
        }
        // What has come when he is revoked, and was not received yet, is not received any more, by whichever thread.
        let [good, bad] = clients;
        for _ in 0..50 {
            bad.socket.send("bad").unwrap();
        }
        server.authenticator.revoke(&bad.key);
        for _ in 0..50 {
            good.socket.send("good").unwrap();
        }
        thread::scope(|scope| {
            for half in [(); 2].map(|()| scope.spawn(|| [(); 25].map(|()| recv()))) {
                for message in half.join().unwrap() {
                    assert_eq!(message, "good");
                    assert_eq!(message.user_id(), Some(keys[0].as_str()));
                }
            }
        });
    });
}

#[test]
fn a_dish_receives_the_groups_it_joined() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let radio = context.typed::<Radio>().open().unwrap();
        let at = radio.bind(&endpoint("inproc")).unwrap();
        let dish = context.typed::<Dish>().open().unwrap();
        dish.as_ref().join("weather").unwrap();
        let text = dish.as_ref().join("weather").unwrap_err().to_string();
        assert!(
            text.starts_with("zmq_join(weather): ") && text.contains("already"),
            "{text}"
        );
        assert!(dish.as_ref().join(&"x".repeat(256)).is_err());
        assert!(
            dish.as_ref()
                .join("a\0b")
                .unwrap_err()
                .to_string()
                .contains("NUL")
        );
        dish.connect(&at).unwrap();
        for (group, text) in [("sports", "1:0"), ("weather", "rain")] {
            radio
                .send(Message::from(text).with_group(group).unwrap())
                .unwrap();
        }
        let received = dish.recv().unwrap();
        assert_eq!(
            (received.as_str(), received.group()),
            (Some("rain"), Some("weather"))
        );
        dish.as_ref().leave("weather").unwrap();
        assert!(dish.as_ref().leave("weather").is_err());
    });
}

#[test]
fn messages_pass_over_udp_and_where_the_library_has_it_over_websockets() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let radio = context.typed::<Radio>().open().unwrap();
        let dish = context.typed::<Dish>().open().unwrap();
        dish.as_ref().join("weather").unwrap();
        // A port that was free a moment ago.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr();
        let at = format!("udp://127.0.0.1:{}", port.unwrap().port());
        dish.bind(&at).unwrap();
        dish.set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
            .unwrap();
        radio.connect(&at).unwrap();
        // What comes before the dish is ready is lost, as UDP may lose any.
        let rain = loop {
            let rain = Message::from("rain").with_group("weather").unwrap();
            radio.send(rain).unwrap();
            match dish.recv() {
                Err(Error::Again) => {}
                rain => break rain.unwrap(),
            }
        };
        assert_eq!(
            (rain.as_str(), rain.group()),
            (Some("rain"), Some("weather"))
        );

        let server = context.typed::<Server>().open().unwrap();
        let bound = server.bind("ws://127.0.0.1:*");
        if !context.has(Capability::Ws) {
            let text = bound.unwrap_err().to_string();
            assert!(text.contains("no such transport"), "{text}");
            return;
        }
        let client = context.typed::<Client>().open().unwrap();
        client.connect(&bound.unwrap()).unwrap();
        client.send("question").unwrap();
        assert_eq!(server.recv().unwrap(), "question");
    });
}

#[test]
fn the_other_types_pass_messages() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let open = |kind| context.socket(kind).open().unwrap();
        for (binds, connects) in [
            (SocketType::Gather, SocketType::Scatter),
            (SocketType::Channel, SocketType::Channel),
        ] {
            let (receiver, sender) = (open(binds), open(connects));
            sender
                .connect(&receiver.bind(&endpoint("inproc")).unwrap())
                .unwrap();
            sender.send("x").unwrap();
            assert_eq!(receiver.recv().unwrap(), "x");
        }
        let (one, other) = (
            context.typed::<Peer>().open().unwrap(),
            open(SocketType::Peer),
        );
        let at = other.bind(&endpoint("inproc")).unwrap();
        let id = one.as_ref().connect_peer(&at).unwrap();
        one.send(Message::from("hello").with_routing_id(id).unwrap())
            .unwrap();
        let hello = other.recv().unwrap();
        let back = hello.routing_id().unwrap();
        other
            .send(Message::from("back").with_routing_id(back).unwrap())
            .unwrap();
        assert_eq!(one.recv().unwrap(), "back");
        drop(open(SocketType::Dgram));
    });
}

#[test]
fn a_monitor_names_the_peer_and_counts_what_waits() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let pull = context.socket(SocketType::Pull).open().unwrap();
        assert!(pull.report_pipes_stats().is_err(), "without a monitor");
        let monitor = Monitor::attach(&pull).unwrap();
        let at = pull.bind(&endpoint("tcp")).unwrap();
        let push = context.socket(SocketType::Push).open().unwrap();
        push.connect(&at).unwrap();
        push.send("x").unwrap();
        pull.recv().unwrap();
        loop {
            let event = monitor.next(None).unwrap().unwrap();
            if event.kind == EventKind::HandshakeSucceeded {
                assert_eq!(event.endpoint, at);
                assert!(event.peer.unwrap().starts_with("tcp://127.0.0.1:"));
                break;
            }
        }
        push.send("y").unwrap();
        let mut poller = Poller::new();
        poller.add(&pull, Interest::READABLE);
        assert!(!poller.wait(Some(SOON)).unwrap().is_empty());
        loop {
            pull.report_pipes_stats().unwrap();
            pull.get(options::EVENTS).unwrap(); // the answer passes through the socket
            let event = monitor.next(Some(Duration::from_millis(5))).unwrap();
            let kind = event.map(|event| event.kind);
            if matches!(kind, Some(EventKind::PipesStats { inbound: 1.., .. })) {
                break;
            }
        }
        drop(pull);
        while monitor.next(None).is_ok() {}
    });
}

#[test]
fn draft_options_are_taken_and_read_back() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let context = {
            drop(context);
            Context::builder().thread_name("draft").build().unwrap()
        };
        let router = context.socket(SocketType::Router).open().unwrap();
        router.set(options::ROUTER_NOTIFY, 3).unwrap();
        assert_eq!(router.get(options::ROUTER_NOTIFY).unwrap(), 3);
        router.set(options::HELLO_MSG, b"hello".to_vec()).unwrap();
        router
            .set(options::DISCONNECT_MSG, b"bye".to_vec())
            .unwrap();
        router
            .set(options::METADATA, "X-room:7".to_owned())
            .unwrap();
        router.set(options::RECONNECT_STOP, 1).unwrap();
        router.set(options::IN_BATCH_SIZE, 4096).unwrap();
        assert_eq!(router.get(options::IN_BATCH_SIZE).unwrap(), 4096);
        router.set(options::OUT_BATCH_SIZE, 4096).unwrap();
        router.set(options::MULTICAST_LOOP, false).unwrap();
        router
            .set(options::SOCKS_USERNAME, "ada".to_owned())
            .unwrap();
        let refused = router
            .set(options::METADATA, "no colon".to_owned())
            .unwrap_err();
        assert!(refused.to_string().contains("X-name:value"), "{refused}");
        let wss = router
            .set(options::WSS_HOSTNAME, "x".to_owned())
            .unwrap_err();
        assert!(matches!(wss, Error::Unsupported(Capability::Wss)), "{wss}");

        let dealer = context.socket(SocketType::Dealer).open().unwrap();
        dealer
            .connect(&router.bind(&endpoint("tcp")).unwrap())
            .unwrap();
        assert_eq!(dealer.recv().unwrap(), "hello");
        dealer.send("x").unwrap();
        let message = loop {
            let message = router.recv_multipart().unwrap();
            if message[1] == "x" {
                break message;
            }
        };
        assert_eq!(message[1].property("Socket-Type"), Some("DEALER"));
        assert!(router.peer_is_writable(&message[0]).unwrap());
        assert!(router.peer_is_writable(b"nobody").is_err());
        if context.has(Capability::Since(4, 3, 5)) {
            let sub = context.socket(SocketType::Sub).open().unwrap();
            sub.subscribe("a").unwrap();
            assert_eq!(sub.get(options::TOPICS_COUNT).unwrap(), 1);
        }
    });
}

#[test]
fn a_shutdown_ends_waits_and_proxies_that_begin_later() {
    within(SOON, || {
        let Some(context) = drafted() else { return };
        let open = |kind| context.socket(kind).open().unwrap();
        let (server, router, dealer) = (
            open(SocketType::Server),
            open(SocketType::Router),
            open(SocketType::Dealer),
        );
        let mut poller = Poller::new();
        poller.add(&server, Interest::READABLE);
        poller.add(&router, Interest::READABLE);
        context.shutdown().unwrap();
        for _ in 0..2 {
            assert!(matches!(poller.wait(None), Err(Error::Terminated)));
            proxy(&router, &dealer, None).unwrap();
        }
    });
}
