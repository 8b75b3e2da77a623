//! A proxy that is steered from other threads.

use std::thread;

use ironhouse::socket::{Context, Socket, SocketType, SteerableProxy, Traffic, options};

use crate::common::{SOON, bound, endpoint, within};

/// A proxy that runs, and a socket on each side of it.
struct Running {
    req: Socket,
    rep: Socket,
    proxy: thread::JoinHandle<ironhouse::Result<()>>,
    control: ironhouse::socket::ProxyControl,
}

fn start(context: &Context, capture: Option<Socket>) -> Running {
    let (frontend, front) = bound(context, SocketType::Router);
    let (backend, back) = bound(context, SocketType::Dealer);
    let proxy = SteerableProxy::new().unwrap();
    let control = proxy.control();
    let proxy = thread::spawn(move || proxy.run(&frontend, &backend, capture.as_ref()));
    let req = context.socket(SocketType::Req).open().unwrap();
    req.connect(&front).unwrap();
    let rep = context.socket(SocketType::Rep).open().unwrap();
    rep.connect(&back).unwrap();
    Running {
        req,
        rep,
        proxy,
        control,
    }
}

fn ask(running: &Running) {
    running.req.send_multipart(["to", "you"]).unwrap();
    assert_eq!(running.rep.recv_multipart().unwrap(), ["to", "you"]);
    running.rep.send("back").unwrap();
    assert_eq!(running.req.recv().unwrap(), "back");
}

#[test]
fn it_passes_both_ways_counts_and_ends_when_told() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let at = endpoint("inproc");
        let captured = context.socket(SocketType::Pull).open().unwrap();
        captured.bind(&at).unwrap();
        let capture = context.socket(SocketType::Push).open().unwrap();
        capture.connect(&at).unwrap();
        let running = start(&context, Some(capture));
        for _ in 0..100 {
            ask(&running);
            assert_eq!(captured.recv_multipart().unwrap()[2..], ["to", "you"]);
            assert_eq!(captured.recv_multipart().unwrap()[2..], ["back"]);
        }
        // Counted after it was sent, so the last one may be on its way: not after the end.
        running.control.terminate();
        running.proxy.join().unwrap().unwrap();
        let all = running.control.statistics();
        // Routing id (5 bytes), empty frame, content.
        let traffic = |bytes| Traffic {
            messages: 100,
            bytes,
        };
        assert_eq!(all.frontend_received, traffic(1000));
        assert_eq!(all.backend_sent, traffic(1000));
        assert_eq!(all.backend_received, traffic(900));
        assert_eq!(all.frontend_sent, traffic(900));
        running.control.resume(); // ended is ended
    });
}

#[test]
fn a_paused_one_leaves_messages_where_they_are_until_it_is_resumed() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let one = |kind: SocketType| {
            let socket = context.socket(kind).set(options::SND_HWM, 1);
            socket.set(options::RCV_HWM, 1).open().unwrap()
        };
        let (frontend, backend) = (one(SocketType::Pull), one(SocketType::Push));
        let front = frontend.bind(&endpoint("inproc")).unwrap();
        let back = backend.bind(&endpoint("inproc")).unwrap();
        let (push, pull) = (one(SocketType::Push), one(SocketType::Pull));
        push.connect(&front).unwrap();
        pull.connect(&back).unwrap();
        let proxy = SteerableProxy::new().unwrap();
        let control = proxy.control();
        control.pause();
        let running = thread::spawn(move || proxy.run(&frontend, &backend, None));
        // The two queues of this connection hold one message each, and nobody takes them out.
        let mut sent = 0u32;
        for _ in 0..1000 {
            sent += u32::from(push.try_send(sent.to_be_bytes().to_vec()).is_ok());
            thread::yield_now();
        }
        assert_eq!(sent, 2);
        assert_eq!(control.statistics().frontend_received.messages, 0);
        control.resume();
        for i in 0..sent {
            assert_eq!(pull.recv().unwrap(), i.to_be_bytes());
        }
        context.shutdown().unwrap();
        running.join().unwrap().unwrap();
    });
}

#[test]
fn a_side_without_room_stops_its_direction_only_and_nothing_is_lost() {
    const MESSAGES: u32 = 5000;
    within(2 * SOON, || {
        let context = Context::new().unwrap();
        let one = |kind: SocketType| {
            let socket = context.socket(kind);
            socket
                .set(options::SND_HWM, 1)
                .set(options::RCV_HWM, 1)
                .open()
                .unwrap()
        };
        let (frontend, backend) = (one(SocketType::Pull), one(SocketType::Push));
        let front = frontend.bind(&endpoint("inproc")).unwrap();
        let back = backend.bind(&endpoint("inproc")).unwrap();
        let proxy = SteerableProxy::new().unwrap();
        let control = proxy.control();
        let running = thread::spawn(move || proxy.run(&frontend, &backend, None));
        let push = one(SocketType::Push);
        push.connect(&front).unwrap();
        let sender = thread::spawn(move || {
            for i in 0..MESSAGES {
                push.send_tuple((i.to_be_bytes().to_vec(), "x")).unwrap();
            }
            push
        });
        let pull = one(SocketType::Pull);
        pull.connect(&back).unwrap();
        for i in 0..MESSAGES {
            let [number, x] = pull.recv_array().unwrap();
            assert_eq!(number, i.to_be_bytes());
            assert_eq!(x, "x");
        }
        drop(sender.join().unwrap());
        control.terminate();
        running.join().unwrap().unwrap();
    });
}

#[test]
fn told_to_end_before_it_runs_it_does_not_start() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (frontend, _) = bound(&context, SocketType::Router);
        let (backend, _) = bound(&context, SocketType::Dealer);
        let proxy = SteerableProxy::new().unwrap();
        proxy.control().terminate();
        proxy.run(&frontend, &backend, None).unwrap();
    });
}
