//! Monitors: what they see, that they never stall their socket, and checked connections, which are made of them.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::Error;
use ironhouse::socket::{
    Context, EventKind, HandshakeProblem, Message, Monitor, MonitorEvent, SocketType, options,
};

use crate::common::{SOON, bound, connected, endpoint, within};

/// Events up to the first that `last` takes.
fn until(monitor: &Monitor, last: impl Fn(EventKind) -> bool) -> Vec<MonitorEvent> {
    let mut events = Vec::new();
    loop {
        let event = monitor.next(None).unwrap().unwrap();
        let kind = event.kind;
        events.push(event);
        if last(kind) {
            return events;
        }
    }
}

#[test]
fn all_monitors_of_a_socket_see_the_same_events() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let server = context.socket(SocketType::Rep).open().unwrap();
        let monitors: Vec<_> = (0..3).map(|_| Monitor::attach(&server).unwrap()).collect();
        drop(Monitor::attach(&server).unwrap());
        let at = server.bind(&endpoint("tcp")).unwrap();
        let client = context.socket(SocketType::Req).open().unwrap();
        client.connect(&at).unwrap();
        let seen: Vec<_> = monitors
            .iter()
            .map(|m| until(m, |kind| kind == EventKind::HandshakeSucceeded))
            .collect();
        assert!(matches!(seen[0][0].kind, EventKind::Listening { fd } if fd >= 0));
        assert!(matches!(seen[0][1].kind, EventKind::Accepted { fd } if fd >= 0));
        assert_eq!(seen[0].len(), 3);
        assert!(seen[0].iter().all(|event| event.endpoint == at));
        assert!(seen.iter().all(|events| *events == seen[0]));
        let late = Monitor::attach(&server).unwrap();
        drop(client);
        for monitor in monitors.iter().chain([&late]) {
            let events = until(monitor, |kind| {
                matches!(kind, EventKind::Disconnected { .. })
            });
            assert_eq!(events.len(), 1);
            assert!(monitor.next(Some(Duration::ZERO)).unwrap().is_none());
        }
    });
}

#[test]
fn a_monitor_that_is_never_read_does_not_stall_its_socket_and_keeps_the_oldest_events() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let (rep, req) = connected(&context, "tcp", (SocketType::Rep, SocketType::Req));
        let unread = Monitor::attach(&rep).unwrap();
        let read = Monitor::attach(&rep).unwrap();
        // Each round is two events; the queue holds 4096, and what libzmq itself holds comes to 1000.
        for _ in 0..3000 {
            let at = rep.bind("tcp://127.0.0.1:*").unwrap();
            rep.unbind(&at).unwrap();
            while read.next(Some(Duration::ZERO)).unwrap().is_some() {}
        }
        req.send("still").unwrap();
        assert_eq!(rep.recv().unwrap(), "still");
        rep.send("alive").unwrap();
        assert_eq!(req.recv().unwrap(), "alive");
        drop(rep);
        let mut kept = 0;
        let end = loop {
            match unread.next(None) {
                Ok(event) => {
                    if kept == 0 {
                        let first = event.unwrap().kind;
                        // The connection of `req` may have come before the monitor or after it.
                        assert!(
                            !matches!(first, EventKind::Closed { .. }),
                            "the oldest are kept: {first:?}"
                        );
                    }
                    kept += 1;
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Error::Terminated));
        assert_eq!(kept, 4096);
        assert!(unread.missed() > 0);
    });
}

#[test]
fn a_monitored_bind_to_a_taken_port_says_so() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (_server, taken) = bound(&context, SocketType::Pull);
        let second = context.socket(SocketType::Pull).open().unwrap();
        let monitor = Monitor::attach(&second).unwrap();
        let error = second.bind(&taken).unwrap_err().to_string();
        assert!(
            error.contains(&taken) && error.contains("in use"),
            "{error}"
        );
        until(&monitor, |kind| matches!(kind, EventKind::BindFailed(_)));
    });
}

#[test]
fn a_monitor_ends_with_its_socket_once_all_events_are_read() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (server, at) = bound(&context, SocketType::Pull);
        let monitor = Monitor::attach(&server).unwrap();
        server.unbind(&at).unwrap();
        drop((server, context));
        let mut last = None;
        let end = loop {
            match monitor.next(Some(SOON)) {
                Ok(event) => last = Some(event.expect("the end comes at once")),
                Err(error) => break error,
            }
        };
        assert!(matches!(end, Error::Terminated));
        assert!(last.is_none_or(|event| event.endpoint == at));
        assert!(matches!(
            monitor.next(Some(Duration::ZERO)),
            Err(Error::Terminated)
        ));
        assert_eq!(monitor.missed(), 0);
    });
}

#[test]
fn a_shutdown_ends_monitors_and_permits_no_new_one() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (server, _) = bound(&context, SocketType::Pull);
        let monitor = Monitor::attach(&server).unwrap();
        let waiting = thread::spawn(move || {
            while monitor.next(None).is_ok() {}
            monitor.next(None).unwrap_err()
        });
        context.shutdown().unwrap();
        assert!(matches!(waiting.join().unwrap(), Error::Terminated));
        assert!(matches!(Monitor::attach(&server), Err(Error::Terminated)));
    });
}

#[test]
fn a_refused_connection_is_reported_and_tried_again() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (server, nobody) = bound(&context, SocketType::Pull);
        drop((server, Context::new().unwrap()));
        let client = context
            .socket(SocketType::Push)
            .set(options::RECONNECT_IVL, Some(Duration::from_millis(7)))
            .open()
            .unwrap();
        let monitor = Monitor::attach(&client).unwrap();
        client.connect(&nobody).unwrap();
        let retried = until(&monitor, |kind| {
            matches!(kind, EventKind::ConnectRetried { .. })
        });
        assert_eq!(retried[0].kind, EventKind::ConnectDelayed);
        let Some(EventKind::ConnectRetried { interval }) = retried.last().map(|e| e.kind) else {
            panic!("{retried:?}");
        };
        assert!(interval >= Duration::from_millis(7), "{interval:?}");
    });
}

#[test]
fn monitored_sockets_come_and_go_under_traffic_and_shutdowns_without_a_hang() {
    within(4 * SOON, || {
        // Dropped elsewhere, while their events still come.
        let (away, things) = mpsc::channel::<(ironhouse::socket::Socket, Option<Monitor>)>();
        let dropper = thread::spawn(move || things.into_iter().for_each(drop));
        for round in 0..150u32 {
            let context = Context::new().unwrap();
            // Whoever pushes lingers briefly only, so what the server waits for may never come.
            let server = context
                .socket(SocketType::Pull)
                .set(options::RCV_TIMEO, Some(Duration::from_millis(100)))
                .open()
                .unwrap();
            // Not tcp: so many ended connections would use up the system's ports for a while.
            let at = server.bind(&endpoint("ipc")).unwrap();
            let monitor = Monitor::attach(&server).unwrap();
            let pushing = thread::spawn({
                let (context, at) = (context.clone(), at.clone());
                move || {
                    for i in 0..5 {
                        let short = Some(Duration::from_millis(50));
                        let push = context.socket(SocketType::Push).set(options::LINGER, short);
                        let Ok(push) = push.open() else {
                            return; // shut down
                        };
                        let monitor = Monitor::attach(&push).ok().filter(|_| i % 2 == 0);
                        if push.connect(&at).is_err() {
                            return;
                        }
                        let sent = (0..20).map(|n| push.send(vec![n; 300])).any(|r| r.is_err());
                        drop((push, monitor));
                        if sent {
                            return;
                        }
                    }
                }
            });
            for _ in 0..round % 50 {
                if server.recv().is_err() {
                    break;
                }
            }
            match round % 4 {
                // The shutdown races with connections, handshakes and closes.
                0 => context.shutdown().unwrap(),
                // The server goes first; whoever pushes keeps trying to reach it.
                1 => drop(server),
                2 => away.send((server, Some(monitor))).unwrap(),
                _ => {
                    drop(monitor);
                    let shutting = thread::spawn({
                        let context = context.clone();
                        move || context.shutdown()
                    });
                    away.send((server, None)).unwrap();
                    shutting.join().unwrap().unwrap();
                }
            }
            // Without somebody who pulls, a sender may wait for ever: only the shutdown ends that.
            context.shutdown().unwrap();
            pushing.join().unwrap();
        }
        drop(away);
        dropper.join().unwrap();
    });
}

#[test]
fn one_socket_is_monitored_on_and_on() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        for _ in 0..100 {
            let at = endpoint("ipc");
            let (server, client) = (
                context.socket(SocketType::Rep).open().unwrap(),
                context.socket(SocketType::Req).open().unwrap(),
            );
            let monitors = [
                Monitor::attach(&server).unwrap(),
                Monitor::attach(&client).unwrap(),
            ];
            client.connect(&server.bind(&at).unwrap()).unwrap();
            client.send("x").unwrap();
            assert_eq!(server.recv().unwrap(), "x");
            drop(server);
            // In any order: here the monitors before or after their socket.
            let [of_server, of_client] = monitors;
            drop(of_client);
            drop(client);
            while of_server.next(None).is_ok() {}
        }
    });
}

#[test]
fn a_checked_connection_stands_and_can_be_monitored_later() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in ["tcp", "ipc", "inproc"] {
            let server = context.socket(SocketType::Rep).open().unwrap();
            let at = server.bind(&endpoint(transport)).unwrap();
            let client = context
                .socket(SocketType::Req)
                .connect_checked(&at, SOON)
                .unwrap();
            client.send("hello").unwrap();
            assert_eq!(server.recv().unwrap(), "hello");
            let monitor = Monitor::attach(&client).unwrap();
            drop(server);
            if transport != "inproc" {
                until(&monitor, |kind| {
                    matches!(kind, EventKind::Disconnected { .. })
                });
            }
        }
    });
}

/// What a checked connection to `at` fails with, and the text of that.
fn refused(at: &str, timeout: Duration) -> (HandshakeProblem, String) {
    let context = Context::new().unwrap();
    let error = context
        .socket(SocketType::Req)
        .connect_checked(at, timeout)
        .unwrap_err();
    let text = error.to_string();
    match error {
        Error::Handshake { endpoint, problem } => {
            assert_eq!(endpoint, at);
            assert!(text.starts_with(at), "{text}");
            (problem, text)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_checked_connection_to_nobody_is_unreachable() {
    within(SOON, || {
        // A port that is taken, so that nobody else can have it, but not listened at: std binds and listens in one, a connection's
        // own end does not.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let at = format!("tcp://{}", client.local_addr().unwrap());
        let waited = Duration::from_millis(200);
        let start = Instant::now();
        let (problem, text) = refused(&at, waited);
        assert!(
            matches!(problem, HandshakeProblem::Unreachable { waited: w, .. } if w == waited),
            "{text}"
        );
        assert!(start.elapsed() >= waited);
        assert!(text.contains("200ms"), "{text}");
        let zero = refused(&at, Duration::ZERO).0;
        assert_eq!(
            zero,
            HandshakeProblem::Unreachable {
                waited: Duration::ZERO,
                reason: None
            }
        );
    });
}

#[test]
fn a_checked_connection_to_a_server_of_another_protocol_says_so() {
    within(SOON, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        // The system accepts, nobody answers.
        let waited = Duration::from_secs(4);
        let (problem, _) = refused(&at, waited);
        assert_eq!(problem, HandshakeProblem::Silent { waited });
        // Somebody reads the greeting and hangs up, each time.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().read(&mut [0; 10]);
            }
        });
        let (problem, text) = refused(&at, SOON / 2);
        assert!(matches!(problem, HandshakeProblem::Closed(_)), "{text}");
    });
}

#[test]
fn a_checked_connection_to_a_bad_endpoint_is_refused_at_once() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let error = context
            .socket(SocketType::Req)
            .connect_checked("nothing://x", SOON)
            .unwrap_err()
            .to_string();
        assert!(error.contains("zmq_connect(nothing://x)"), "{error}");
    });
}

#[test]
fn a_shutdown_ends_a_checked_connection_in_waiting() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("tcp://{}", listener.local_addr().unwrap());
        let waiting = thread::spawn({
            let socket = context.socket(SocketType::Req);
            move || socket.connect_checked(&at, 10 * SOON).map(drop)
        });
        let _kept = listener.accept().unwrap();
        context.shutdown().unwrap();
        let ended = waiting.join().unwrap();
        assert!(matches!(ended, Err(Error::Terminated)), "{ended:?}");
    });
}

#[test]
fn an_event_of_a_dead_peer_does_not_keep_a_socket_from_closing() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (pull, push) = connected(&context, "tcp", (SocketType::Pull, SocketType::Push));
        let monitor = Monitor::attach(&push).unwrap();
        drop(pull);
        let start = Instant::now();
        let _ = push.try_send(Message::from("never read"));
        drop(push);
        while monitor.next(None).is_ok() {}
        drop(context);
        assert!(start.elapsed() < Duration::from_secs(15));
    });
}
