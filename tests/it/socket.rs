//! Waiting and not waiting, signals, errors, pollers, proxies.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ironhouse::Error;
use ironhouse::socket::{Context, Interest, Poller, SocketType, options, proxy};

use crate::common::{SOON, bound, connected, endpoint, folder, within};
use crate::os::Target;

#[test]
fn waiting_ends_with_again_where_there_is_nothing() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let pull = context
            .socket(SocketType::Pull)
            .set(options::RCV_TIMEO, Some(Duration::from_millis(10)))
            .open()
            .unwrap();
        assert!(matches!(pull.recv(), Err(Error::Again)));
        assert!(matches!(pull.recv_multipart(), Err(Error::Again)));
        pull.set(options::RCV_TIMEO, None).unwrap();
        assert!(matches!(pull.try_recv(), Err(Error::Again)));
        assert!(matches!(pull.try_recv_multipart(), Err(Error::Again)));
        let push = context
            .socket(SocketType::Push)
            .set(options::SND_TIMEO, Some(Duration::from_millis(10)))
            .open()
            .unwrap();
        assert!(matches!(push.send("x"), Err(Error::Again)));
        assert!(matches!(push.send_multipart(["x", "y"]), Err(Error::Again)));
        push.set(options::SND_TIMEO, None).unwrap();
        assert!(matches!(push.try_send("x"), Err(Error::Again)));
        assert!(matches!(
            push.try_send_multipart(["x", "y"]),
            Err(Error::Again)
        ));
    });
}

#[test]
fn a_slice_is_sent_as_the_message_or_as_its_last_frame() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (pull, push) = connected(&context, "inproc", (SocketType::Pull, SocketType::Push));
        for content in [&b""[..], b"few", &[7; 10_000]] {
            push.send_slice(content).unwrap();
            assert_eq!(pull.recv().unwrap(), content);
        }
        push.send_more("first").unwrap();
        push.send_slice(b"last").unwrap();
        assert_eq!(pull.recv_multipart().unwrap(), ["first", "last"]);
        let refused = pull.send_slice(b"back").unwrap_err();
        assert!(refused.to_string().starts_with("zmq_send: "), "{refused}");
    });
}

#[test]
fn a_request_out_of_turn_is_refused_by_name() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (_rep, req) = connected(&context, "inproc", (SocketType::Rep, SocketType::Req));
        let error = req.recv().unwrap_err().to_string();
        assert!(
            error.starts_with("zmq_msg_recv: ") && error.contains("EFSM"),
            "{error}"
        );
        let pull = context.socket(SocketType::Pull).open().unwrap();
        let error = pull.send("x").unwrap_err().to_string();
        assert!(error.starts_with("zmq_msg_send: "), "{error}");
        assert!(pull.subscribe("x").is_err());
    });
}

#[test]
fn bind_and_connect_errors_name_the_endpoint() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (_first, taken) = bound(&context, SocketType::Rep);
        let second = context.socket(SocketType::Rep).open().unwrap();
        let check = |result: ironhouse::Result<()>, words: [&str; 2]| {
            let text = result.unwrap_err().to_string();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        };
        check(second.bind(&taken).map(drop), [&taken, "in use"]);
        for wrong in ["tcp//x", "nothing://x", "tcp://127.0.0.1:nan", "tcp://", ""] {
            check(second.bind(wrong).map(drop), ["zmq_bind", wrong]);
        }
        for wrong in ["tcp//x", "nothing://x", "tcp://127.0.0.1:nan", ""] {
            check(second.connect(wrong), ["zmq_connect", wrong]);
        }
        for result in [
            second.bind("tcp://127.0.0.1\0:*").map(drop),
            second.connect("tcp://127.0.0.1\0:1"),
            second.unbind("a\0"),
            second.disconnect("a\0"),
        ] {
            check(result, ["endpoint", "NUL"]);
        }
        // libzmq would take port 34463.
        check(
            second.bind("tcp://127.0.0.1:99999").map(drop),
            ["99999", "65535"],
        );
        check(second.connect("tcp://[::1]:99999"), ["99999", "65535"]);
        let unknown = "tcp://127.0.0.1:9";
        check(second.unbind(unknown), ["zmq_unbind", unknown]);
        check(second.disconnect(unknown), ["zmq_disconnect", unknown]);
    });
}

#[test]
fn bind_answers_the_endpoint_as_resolved_and_unbind_takes_it() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let socket = context.socket(SocketType::Rep).open().unwrap();
        let tcp = socket.bind("tcp://127.0.0.1:*").unwrap();
        assert_eq!(socket.get(options::LAST_ENDPOINT).unwrap(), tcp);
        assert_ne!(tcp, "tcp://127.0.0.1:*");
        let path = format!("ipc://{}/s", folder().path().display());
        let missing_folder = socket.bind(&path).unwrap_err().to_string();
        assert!(missing_folder.contains(&path), "{missing_folder}");
        let folder = folder();
        let path = format!("ipc://{}/s", folder.path().display());
        assert_eq!(socket.bind(&path).unwrap(), path);
        // Longer than what an option's value may have.
        let inproc = format!("{}{}", endpoint("inproc"), "x".repeat(3000));
        assert_eq!(socket.bind(&inproc).unwrap(), inproc);
        for at in [&tcp, &path, &inproc] {
            socket.unbind(at).unwrap();
            assert!(socket.unbind(at).is_err());
        }
    });
}

#[test]
fn a_signal_ends_a_wait_and_nothing_was_received() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (push, pull) = connected(&context, "inproc", (SocketType::Push, SocketType::Pull));
        let (send, target) = mpsc::channel();
        let waiting = thread::spawn(move || {
            send.send(Target::current()).unwrap();
            let mut poller = Poller::new();
            poller.add(&pull, Interest::READABLE);
            let results = [
                pull.recv().map(drop),
                pull.recv_multipart().map(drop),
                poller.wait(None).map(drop),
            ];
            drop(poller);
            (results, pull)
        });
        let target = target.recv().unwrap();
        // A signal that comes before the wait begins is lost, so there are many.
        while !waiting.is_finished() {
            target.interrupt();
            thread::sleep(Duration::from_millis(2));
        }
        let (results, pull) = waiting.join().unwrap();
        for result in results {
            assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        }
        push.send("after").unwrap();
        assert_eq!(pull.recv().unwrap(), "after");
    });
}

#[test]
fn messages_of_several_frames_stay_whole_under_signals() {
    const MESSAGES: u32 = 3000;
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let at = endpoint("tcp");
        let pull = context
            .socket(SocketType::Pull)
            .set(options::RCV_HWM, 2)
            .open()
            .unwrap();
        let at = pull.bind(&at).unwrap();
        let push = context
            .socket(SocketType::Push)
            .set(options::SND_HWM, 2)
            .open()
            .unwrap();
        push.connect(&at).unwrap();

        fn again<T>(mut call: impl FnMut() -> ironhouse::Result<T>) -> T {
            loop {
                match call() {
                    Err(Error::Interrupted) => continue,
                    result => return result.unwrap(),
                }
            }
        }
        let done = Arc::new(AtomicBool::new(false));
        let (tell, targets) = mpsc::channel();
        let sender = thread::spawn({
            let (tell, done) = (tell.clone(), done.clone());
            move || {
                tell.send(Target::current()).unwrap();
                for i in 0..MESSAGES {
                    again(|| {
                        push.send_multipart([i.to_be_bytes().to_vec(), vec![1; 5000], vec![]])
                    });
                }
                while !done.load(Ordering::SeqCst) {
                    thread::park_timeout(Duration::from_millis(50)); // signals may still come
                }
            }
        });
        let receiver = thread::spawn({
            let done = done.clone();
            move || {
                tell.send(Target::current()).unwrap();
                for i in 0..MESSAGES {
                    let frames = again(|| pull.recv_multipart());
                    assert_eq!(frames.len(), 3);
                    assert_eq!(frames[0], i.to_be_bytes());
                    assert_eq!(frames[1].len(), 5000);
                }
                while !done.load(Ordering::SeqCst) {
                    thread::park_timeout(Duration::from_millis(50));
                }
            }
        });
        let targets: Vec<Target> = targets.iter().take(2).collect();
        // Until both have done their work or one has failed; a joined thread must not be signalled, and none is joined yet.
        for _ in 0..1000 {
            for target in &targets {
                target.interrupt();
            }
            thread::sleep(Duration::from_micros(500));
        }
        done.store(true, Ordering::SeqCst);
        sender.join().unwrap();
        receiver.join().unwrap();
    });
}

#[test]
fn a_poller_finds_sockets_and_descriptors_ready() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (push, pull) = connected(&context, "tcp", (SocketType::Push, SocketType::Pull));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut poller = Poller::new();
        let socket = poller.add(&pull, Interest::READABLE);
        let descriptor = poller.add_fd(&theirs, Interest::READABLE);
        assert!(poller.wait(Some(Duration::ZERO)).unwrap().is_empty());
        assert!(
            poller
                .wait(Some(Duration::from_millis(5)))
                .unwrap()
                .is_empty()
        );
        ours.write_all(b"x").unwrap();
        let events = poller.wait(None).unwrap();
        assert!(events.readable(descriptor) && !events.readable(socket));
        assert_eq!(events.iter().collect::<Vec<_>>(), [descriptor]);
        push.send("x").unwrap();
        while !poller.wait(None).unwrap().readable(socket) {}
        pull.recv().unwrap();
        drop(ours);
        assert!(poller.wait(None).unwrap().readable(descriptor));

        let mut writers = Poller::new();
        let writer = writers.add(&push, Interest::READABLE | Interest::WRITABLE);
        let events = writers.wait(Some(SOON)).unwrap();
        assert!(events.writable(writer) && !events.readable(writer));
    });
}

#[test]
fn a_poller_without_a_socket_is_refused_instead_of_waiting() {
    within(SOON, || {
        let refused = |mut poller: Poller<'_>| {
            let text = poller.wait(None).unwrap_err().to_string();
            assert!(text.starts_with("poller: "), "{text}");
        };
        refused(Poller::new());
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut poller = Poller::default();
        poller.add_fd(&ours, Interest::WRITABLE);
        refused(poller);
    });
}

#[test]
fn a_proxy_passes_both_ways_with_a_copy_for_the_capture_until_the_shutdown() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (frontend, front) = bound(&context, SocketType::Router);
        let (backend, back) = bound(&context, SocketType::Dealer);
        let capture_at = endpoint("inproc");
        let captured = context.socket(SocketType::Pull).open().unwrap();
        captured.bind(&capture_at).unwrap();
        let capture = context.socket(SocketType::Push).open().unwrap();
        capture.connect(&capture_at).unwrap();
        let passing = thread::spawn(move || proxy(&frontend, &backend, Some(&capture)));
        let req = context.socket(SocketType::Req).open().unwrap();
        req.connect(&front).unwrap();
        let rep = context.socket(SocketType::Rep).open().unwrap();
        rep.connect(&back).unwrap();
        req.send_multipart(["to", "you"]).unwrap();
        assert_eq!(rep.recv_multipart().unwrap(), ["to", "you"]);
        rep.send("back").unwrap();
        assert_eq!(req.recv().unwrap(), "back");
        let frames = |n: usize| captured.recv_multipart().unwrap()[n..].to_vec();
        assert_eq!(frames(2), ["to", "you"]);
        assert_eq!(frames(2), ["back"]);
        context.shutdown().unwrap();
        passing.join().unwrap().unwrap();
    });
}
