//! Every order of ending: nothing hangs, nothing is used after it is gone.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::Error;
use ironhouse::socket::{Context, Interest, Monitor, Poller, Socket, SocketType, options};

use crate::common::{SOON, bound, connected, endpoint, within};
use crate::os::{HostContext, Target, fork};

/// How many threads of this process have a name that starts so.
fn threads_named(prefix: &str) -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with(prefix))
        .count()
}

/// A context whose I/O threads can be told from all others, and how their names start.
fn marked(number: i32) -> (Context, String) {
    let context = Context::builder()
        .set(options::THREAD_NAME_PREFIX, number)
        .build()
        .unwrap();
    (context, format!("{number}/"))
}

/// A thread gets its name some time after it was started.
fn wait_until_there(prefix: &str) {
    while threads_named(prefix) < 2 {
        thread::sleep(Duration::from_millis(1));
    }
}

/// An ended thread may be listed for a moment longer.
fn wait_until_gone(prefix: &str) {
    while threads_named(prefix) != 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_shutdown_releases_every_wait_and_fails_every_later_call() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let pull = context.socket(SocketType::Pull).open().unwrap();
        let push = context.socket(SocketType::Push).open().unwrap();
        let polled = context.socket(SocketType::Pull).open().unwrap();
        let (ready, started) = mpsc::channel();
        let waits = [
            thread::spawn({
                let ready = ready.clone();
                move || {
                    ready.send(()).unwrap();
                    (pull.recv().map(drop), pull)
                }
            }),
            thread::spawn({
                let ready = ready.clone();
                move || {
                    ready.send(()).unwrap();
                    (push.send_multipart(["a", "b"]), push)
                }
            }),
            thread::spawn(move || {
                ready.send(()).unwrap();
                let mut poller = Poller::new();
                poller.add(&polled, Interest::READABLE);
                let result = poller.wait(None).map(drop);
                drop(poller);
                (result, polled)
            }),
        ];
        started.iter().take(3).for_each(drop);
        context.shutdown().unwrap();
        for wait in waits {
            let (result, socket) = wait.join().unwrap();
            assert!(matches!(result, Err(Error::Terminated)), "{result:?}");
            let later = [
                socket.recv().map(drop),
                socket.try_recv().map(drop),
                socket.recv_multipart().map(drop),
                socket.send("x"),
                socket.try_send("x"),
                socket.send_multipart(["x", "y"]),
                socket.bind("tcp://127.0.0.1:*").map(drop),
                socket.connect("inproc://x"),
                socket.set(options::LINGER, None),
                socket.get(options::LINGER).map(drop),
                Monitor::attach(&socket).map(drop),
            ];
            for result in later {
                assert!(matches!(result, Err(Error::Terminated)), "{result:?}");
            }
        }
        let opened = context.socket(SocketType::Pull).open();
        assert!(matches!(opened, Err(Error::Terminated)));
        context.shutdown().unwrap();
    });
}

/// All orders of `0..n`.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else {
        return vec![vec![]];
    };
    orders(last)
        .into_iter()
        .flat_map(|order| {
            (0..=last).map(move |at| {
                let mut order = order.clone();
                order.insert(at, last);
                order
            })
        })
        .collect()
}

#[test]
fn handles_end_in_any_order_and_on_any_thread() {
    within(4 * SOON, || {
        for transport in ["tcp", "inproc"] {
            for (i, order) in orders(5).into_iter().enumerate() {
                let context = Context::new().unwrap();
                let (a, b) = connected(&context, transport, (SocketType::Pair, SocketType::Pair));
                let monitor = Monitor::attach(&a).unwrap();
                a.send("read").unwrap();
                b.send("not read").unwrap();
                let message = b.recv().unwrap();
                let mut things: Vec<Option<Box<dyn std::any::Any + Send>>> = vec![
                    Some(Box::new(context)),
                    Some(Box::new(a)),
                    Some(Box::new(b)),
                    Some(Box::new(monitor)),
                    Some(Box::new(message)),
                ];
                for (step, &n) in order.iter().enumerate() {
                    let thing = things[n].take();
                    if (i + step) % 3 == 0 {
                        thread::spawn(move || drop(thing)).join().unwrap();
                    } else {
                        drop(thing);
                    }
                }
            }
        }
    });
}

#[test]
fn messages_to_a_dead_peer_hold_the_end_up_for_their_linger_only() {
    within(SOON, || {
        for monitored in [false, true] {
            let context = Context::new().unwrap();
            let (pull, at) = bound(&context, SocketType::Pull);
            let push = context.socket(SocketType::Push).open().unwrap();
            push.connect(&at).unwrap();
            push.send("first").unwrap();
            pull.recv().unwrap();
            pull.unbind(&at).unwrap();
            drop(pull);
            let monitor = monitored.then(|| Monitor::attach(&push).unwrap());
            // A connection not made yet keeps messages.
            let nobody = context.socket(SocketType::Push).open().unwrap();
            nobody.connect(&at).unwrap();
            nobody.send(vec![0; 100_000]).unwrap();
            let start = Instant::now();
            drop((push, nobody, context, monitor));
            assert!(
                start.elapsed() < Duration::from_secs(15),
                "libzmq's own default is for ever"
            );
        }
    });
}

#[test]
fn what_was_sent_leaves_after_a_quick_end() {
    within(SOON, || {
        let receiving = Context::new().unwrap();
        let (pull, at) = bound(&receiving, SocketType::Pull);
        let sending = Context::new().unwrap();
        let push = sending.socket(SocketType::Push).open().unwrap();
        push.set(options::LINGER, Some(SOON)).unwrap();
        push.connect(&at).unwrap();
        for i in 0..500u32 {
            push.send(i.to_be_bytes()).unwrap();
        }
        drop((push, sending));
        for i in 0..500u32 {
            assert_eq!(pull.recv().unwrap(), i.to_be_bytes());
        }
    });
}

#[test]
fn the_last_handle_ends_the_threads_of_its_context() {
    within(SOON, || {
        let (context, prefix) = marked(71_001);
        assert_eq!(threads_named(&prefix), 0);
        let (server, _) = bound(&context, SocketType::Rep);
        let clone = context.clone();
        wait_until_there(&prefix);
        drop(context);
        let other = clone.socket(SocketType::Rep).open().unwrap();
        drop((server, clone));
        assert!(threads_named(&prefix) >= 2, "a socket keeps its context");
        drop(other);
        wait_until_gone(&prefix);
    });
}

#[test]
fn a_signal_does_not_cut_the_end_of_a_context_short() {
    within(SOON, || {
        let (context, prefix) = marked(71_002);
        let (send, target) = mpsc::channel();
        let ending = thread::spawn(move || {
            send.send(Target::current()).unwrap();
            let push = context
                .socket(SocketType::Push)
                .set(options::LINGER, Some(Duration::from_millis(300)))
                .open()
                .unwrap();
            push.connect(&endpoint("ipc")).unwrap();
            push.send("to nobody").unwrap();
            drop((push, context));
        });
        let target = target.recv().unwrap();
        while !ending.is_finished() {
            target.interrupt();
            thread::sleep(Duration::from_millis(2));
        }
        ending.join().unwrap();
        wait_until_gone(&prefix);
    });
}

#[test]
fn a_borrowed_context_is_left_to_its_host() {
    within(SOON, || {
        let host = HostContext::new();
        let context = host.borrow();
        let (a, b) = connected(&context, "tcp", (SocketType::Pair, SocketType::Pair));
        let monitor = Monitor::attach(&b).unwrap();
        a.send("x").unwrap();
        assert_eq!(b.recv().unwrap(), "x");
        drop((context, a, b));
        // Not terminated: the host can still make sockets.
        let again = host.borrow().socket(SocketType::Pair).open();
        drop(again.unwrap());
        assert_eq!(host.term(), 0);
        while monitor.next(None).is_ok() {}
    });
}

#[test]
fn a_host_may_terminate_first_while_our_sockets_wait_in_other_threads() {
    within(SOON, || {
        let host = HostContext::new();
        let context = host.borrow();
        let open = |kind| -> Socket { context.socket(kind).open().unwrap() };
        let (idle, waiting) = (open(SocketType::Pair), open(SocketType::Pull));
        idle.bind("tcp://127.0.0.1:*").unwrap();
        let monitors = [
            Monitor::attach(&idle).unwrap(),
            Monitor::attach(&waiting).unwrap(),
        ];
        let (ready, started) = mpsc::channel();
        let receiving = thread::spawn(move || {
            ready.send(()).unwrap();
            let result = waiting.recv().map(drop);
            let after = waiting.try_recv().map(drop);
            (result, after)
        });
        started.recv().unwrap();
        let terminating = thread::spawn(move || host.term());
        let (result, after) = receiving.join().unwrap();
        assert!(matches!(result, Err(Error::Terminated)), "{result:?}");
        assert!(matches!(after, Err(Error::Terminated)), "{after:?}");
        assert!(matches!(
            context.socket(SocketType::Pair).open(),
            Err(Error::Terminated)
        ));
        assert!(!terminating.is_finished(), "a socket is still open");
        drop(idle);
        assert_eq!(terminating.join().unwrap(), 0);
        for monitor in monitors {
            while monitor.next(None).is_ok() {}
        }
        drop(context);
    });
}

#[test]
fn a_forked_child_drops_its_copies_and_the_parent_does_not_notice() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let (rep, req) = connected(&context, "tcp", (SocketType::Rep, SocketType::Req));
        let monitor = Monitor::attach(&rep).unwrap();
        let plain = context.socket(SocketType::Push).open().unwrap();
        plain.connect(&endpoint("ipc")).unwrap();
        plain.send("queued").unwrap();
        req.send("before").unwrap();
        let received = rep.recv().unwrap();
        rep.send(received.clone()).unwrap();
        assert_eq!(req.recv().unwrap(), "before");

        let mut things = Some((context, rep, req, monitor, plain, received));
        for _ in 0..5 {
            // The child drops copies in its own memory; what the parent has stays as it is.
            assert!(fork(SOON, || drop(things.take())));
        }
        let (context, rep, req, monitor, plain, received) = things.take().unwrap();
        assert_eq!(received, "before");
        req.send("after").unwrap();
        assert_eq!(rep.recv().unwrap(), "after");
        drop(req);
        loop {
            use ironhouse::socket::EventKind::Disconnected;
            let event = monitor.next(None).unwrap().unwrap();
            if matches!(event.kind, Disconnected { .. }) {
                break;
            }
        }
        drop((context, rep, plain));
        while monitor.next(None).is_ok() {}
    });
}

#[test]
fn a_forked_child_drops_the_copies_that_were_shut_down() {
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let (server, _) = bound(&context, SocketType::Rep);
        let monitor = Monitor::attach(&server).unwrap();
        context.shutdown().unwrap();
        let mut things = Some((context, server, monitor));
        assert!(fork(SOON, || drop(things.take())));
        drop(things);
    });
}
