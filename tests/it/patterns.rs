//! The patterns over every transport, and frames of every kind and size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ironhouse::Error;
use ironhouse::socket::{Context, EventKind, Message, Monitor, Socket, SocketType, options};

use crate::common::{SOON, bound, connected, endpoint, within};

const TRANSPORTS: [&str; 3] = ["tcp", "ipc", "inproc"];

fn texts(frames: &[Message]) -> Vec<&str> {
    frames.iter().map(|f| f.as_str().unwrap()).collect()
}

/// Publishes `frames` until `sub` has got them: its subscription takes some time to arrive.
fn publish(publisher: &Socket, sub: &Socket, frames: &[&str]) -> Vec<Message> {
    sub.set(options::RCV_TIMEO, Some(Duration::from_millis(20)))
        .unwrap();
    loop {
        publisher.send_multipart(frames.iter().copied()).unwrap();
        match sub.recv_multipart() {
            Err(Error::Again) => continue,
            message => {
                sub.set(options::RCV_TIMEO, None).unwrap();
                return message.unwrap();
            }
        }
    }
}

#[test]
fn every_type_of_socket_opens_and_closes() {
    within(SOON, || {
        let context = Context::new().unwrap();
        use SocketType::*;
        for kind in [
            Pair, Pub, Sub, Req, Rep, Dealer, Router, Pull, Push, XPub, XSub, Stream,
        ] {
            let socket = context.socket(kind).open().unwrap();
            assert_eq!(socket.kind(), kind);
            assert_eq!(socket.get(options::TYPE).unwrap(), kind as i32);
        }
    });
}

#[test]
fn a_request_is_answered_over_every_transport() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let (rep, req) = connected(&context, transport, (SocketType::Rep, SocketType::Req));
            req.send_multipart(["ques", "tion"]).unwrap();
            assert_eq!(texts(&rep.recv_multipart().unwrap()), ["ques", "tion"]);
            rep.send("answer").unwrap();
            let answer = req.recv().unwrap();
            assert_eq!(answer, "answer");
            assert!(!answer.more());
        }
    });
}

#[test]
fn a_subscriber_gets_what_it_subscribed_to_over_every_transport() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let (publisher, sub) =
                connected(&context, transport, (SocketType::Pub, SocketType::Sub));
            sub.subscribe("weather").unwrap();
            assert_eq!(
                texts(&publish(&publisher, &sub, &["weather", "rain"])),
                ["weather", "rain"]
            );
            publisher.send_multipart(["sports", "0:0"]).unwrap();
            publisher.send_multipart(["weather", "end"]).unwrap();
            loop {
                let message = sub.recv_multipart().unwrap();
                assert_eq!(message[0], "weather");
                if message[1] == "end" {
                    break;
                }
            }
        }
    });
}

#[test]
fn an_xpub_sees_subscriptions_come_and_go() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (xpub, sub) = connected(&context, "tcp", (SocketType::XPub, SocketType::Sub));
        sub.subscribe(b"\x00a").unwrap();
        assert_eq!(xpub.recv().unwrap(), b"\x01\x00a");
        sub.unsubscribe(b"\x00a").unwrap();
        assert_eq!(xpub.recv().unwrap(), b"\x00\x00a");
    });
}

#[test]
fn pushed_messages_arrive_in_order_over_every_transport() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let (pull, push) = connected(&context, transport, (SocketType::Pull, SocketType::Push));
            for i in 0..100u32 {
                push.send(i.to_be_bytes()).unwrap();
            }
            for i in 0..100u32 {
                assert_eq!(pull.recv().unwrap(), i.to_be_bytes());
            }
        }
    });
}

#[test]
fn a_router_answers_the_dealer_that_asked_over_every_transport() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let router = context.socket(SocketType::Router).open().unwrap();
            let at = router.bind(&endpoint(transport)).unwrap();
            let dealer = |id: &str| {
                let dealer = context
                    .socket(SocketType::Dealer)
                    .set(options::ROUTING_ID, id.into())
                    .open()
                    .unwrap();
                dealer.connect(&at).unwrap();
                dealer.send_multipart(["", id]).unwrap();
                dealer
            };
            let dealers = [dealer("one"), dealer("two")];
            for _ in &dealers {
                let message = router.recv_multipart().unwrap();
                assert_eq!(message.len(), 3);
                assert!(message[1].is_empty());
                assert_eq!(message[0], message[2]);
                router.send_multipart(message).unwrap();
            }
            for (dealer, id) in dealers.iter().zip(["one", "two"]) {
                assert_eq!(texts(&dealer.recv_multipart().unwrap()), ["", id]);
            }
        }
    });
}

#[test]
fn frames_without_content_keep_their_place() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let (a, b) = connected(&context, transport, (SocketType::Pair, SocketType::Pair));
            a.send_multipart(["", "x", "", ""]).unwrap();
            assert_eq!(texts(&b.recv_multipart().unwrap()), ["", "x", "", ""]);
            a.send(Message::new()).unwrap();
            let empty = b.recv().unwrap();
            assert!(empty.is_empty() && !empty.more());
            // No frames are no message: what comes next is the next message.
            a.send_multipart::<Message>([]).unwrap();
            a.send("next").unwrap();
            assert_eq!(b.recv().unwrap(), "next");
        }
    });
}

/// Bytes that count how often they were dropped.
struct Owner(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn large_frames_arrive_whole_and_their_memory_is_released_once() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let (a, b) = connected(&context, transport, (SocketType::Pair, SocketType::Pair));
            // Around the size from which frames are not copied any more, and far beyond.
            for size in [0, 1, 29, 33, 34, 255, 256, 257, 8192, 1_000_000] {
                let content: Vec<u8> = (0..size).map(|i| i as u8).collect();
                let drops = Arc::new(AtomicUsize::new(0));
                let shared = Bytes::from_owner(Owner(content.clone(), drops.clone()));
                a.send_multipart([
                    Message::from(content.clone()),
                    Message::from(shared.clone()),
                    Message::from(shared.slice(size / 2..)),
                ])
                .unwrap();
                let frames = b.recv_multipart().unwrap();
                assert_eq!(frames[0], content);
                assert_eq!(frames[1], content);
                assert_eq!(frames[2], content[size / 2..]);
                assert_eq!(
                    drops.load(Ordering::SeqCst),
                    0,
                    "we still have a share of it"
                );
                drop((shared, frames));
                let start = Instant::now();
                while drops.load(Ordering::SeqCst) == 0 {
                    assert!(
                        start.elapsed() < SOON,
                        "{transport}, {size} bytes: not released"
                    );
                    thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(drops.load(Ordering::SeqCst), 1);
            }
        }
    });
}

#[test]
fn a_frame_that_could_not_be_sent_is_released() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let push = context.socket(SocketType::Push).open().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let frame = Bytes::from_owner(Owner(vec![7; 1000], drops.clone()));
        assert!(matches!(push.try_send(frame), Err(Error::Again)));
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_slice_of_a_vector_that_nobody_shares_is_sent_from_its_own_place() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (a, b) = connected(&context, "inproc", (SocketType::Pair, SocketType::Pair));
        let mut bytes = Bytes::from((0..=255u8).cycle().take(4000).collect::<Vec<_>>());
        let tail = bytes.split_off(1000);
        drop(bytes);
        let (address, content) = (tail.as_ptr(), tail.to_vec());
        a.send(tail).unwrap();
        let received = b.recv().unwrap();
        assert_eq!(received, content);
        assert_eq!(received.as_ptr(), address, "inproc copies nothing");
    });
}

#[test]
fn a_clone_of_a_received_frame_keeps_its_properties_and_outlives_the_context() {
    let message = within(SOON, || {
        let context = Context::new().unwrap();
        let (pull, push) = connected(&context, "tcp", (SocketType::Pull, SocketType::Push));
        push.send(vec![1; 1000]).unwrap();
        let message = pull.recv().unwrap();
        let clone = message.clone();
        assert_eq!(message.peer_address(), Some("127.0.0.1"));
        clone
    });
    assert_eq!(message.peer_address(), Some("127.0.0.1"));
    assert_eq!(message.property("Socket-Type"), Some("PUSH"));
    assert_eq!(message.property("no such thing"), None);
    assert_eq!(message.property("NUL\0inside"), None);
    assert_eq!(message.user_id(), None);
    assert_eq!(message, vec![1; 1000]);
    assert_eq!(Message::from("made here").property("Peer-Address"), None);
}

#[test]
fn a_frame_received_in_one_context_is_sent_in_another() {
    within(SOON, || {
        let first = Context::new().unwrap();
        let second = Context::new().unwrap();
        let (a, b) = connected(&first, "tcp", (SocketType::Pair, SocketType::Pair));
        let (c, d) = connected(&second, "inproc", (SocketType::Pair, SocketType::Pair));
        for size in [3, 1000] {
            a.send_multipart([vec![5; size], vec![6; size]]).unwrap();
            let frames = b.recv_multipart().unwrap();
            let kept = frames.clone();
            // The mark that more frames follow is the sender's business, not left over from what was received.
            c.send(frames.into_iter().next().unwrap()).unwrap();
            let got = d.recv().unwrap();
            assert_eq!(got, vec![5; size]);
            assert!(!got.more());
            c.send_multipart(kept.clone()).unwrap();
            assert_eq!(d.recv_multipart().unwrap(), kept);
        }
        drop((a, b, first));
        c.send("still here").unwrap();
        assert_eq!(d.recv().unwrap(), "still here");
    });
}

#[test]
fn a_message_sent_in_part_is_never_delivered() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for transport in TRANSPORTS {
            let pull = context.socket(SocketType::Pull).open().unwrap();
            let at = pull.bind(&endpoint(transport)).unwrap();
            let monitor = Monitor::attach(&pull).unwrap();
            let half = context.socket(SocketType::Push).open().unwrap();
            half.connect(&at).unwrap();
            half.send("whole").unwrap();
            half.send_more("half").unwrap();
            half.send_more(vec![1; 1000]).unwrap();
            drop(half);
            assert_eq!(pull.recv().unwrap(), "whole");
            // Once the connection has ended, all it ever delivers is in the queue. Over inproc there are no connections to end.
            while transport != "inproc"
                && !matches!(
                    monitor.next(None).unwrap().unwrap().kind,
                    EventKind::Disconnected { .. }
                )
            {}
            let push = context.socket(SocketType::Push).open().unwrap();
            push.connect(&at).unwrap();
            push.send("end").unwrap();
            assert_eq!(texts(&pull.recv_multipart().unwrap()), ["end"]);
            assert!(matches!(pull.try_recv(), Err(Error::Again)));
        }
    });
}

#[test]
fn an_iterator_that_panics_leaves_no_half_message_behind() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let (a, b) = connected(&context, "inproc", (SocketType::Pair, SocketType::Pair));
        let broken = (0..3).map(|i| {
            if i == 2 {
                panic!("third frame")
            } else {
                "part"
            }
        });
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| a.send_multipart(broken)));
        assert!(result.is_err());
        a.send("whole").unwrap();
        let message = b.recv_multipart().unwrap();
        assert_eq!(texts(&message), ["whole"]);
    });
}

#[test]
fn a_multipart_message_that_finds_no_room_is_refused_as_a_whole() {
    within(SOON, || {
        let context = Context::new().unwrap();
        let at = endpoint("inproc");
        let pull = context
            .socket(SocketType::Pull)
            .set(options::RCV_HWM, 2)
            .open()
            .unwrap();
        pull.bind(&at).unwrap();
        let push = context
            .socket(SocketType::Push)
            .set(options::SND_HWM, 2)
            .open()
            .unwrap();
        push.connect(&at).unwrap();
        let mut sent = 0;
        loop {
            match push.try_send_multipart(["a", "b", "c"]) {
                Ok(()) => sent += 1,
                Err(Error::Again) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(sent >= 2, "{sent}");
        for _ in 0..sent {
            assert_eq!(texts(&pull.recv_multipart().unwrap()), ["a", "b", "c"]);
        }
        assert!(matches!(pull.try_recv_multipart(), Err(Error::Again)));
    });
}

#[test]
fn a_stream_talks_to_a_plain_tcp_client() {
    use std::io::{Read, Write};
    within(SOON, || {
        let context = Context::new().unwrap();
        let (stream, at) = bound(&context, SocketType::Stream);
        let mut client = std::net::TcpStream::connect(at.strip_prefix("tcp://").unwrap()).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        let hello = stream.recv_multipart().unwrap();
        assert_eq!(hello.len(), 2);
        assert!(hello[1].is_empty());
        client.write_all(b"ping").unwrap();
        let ping = stream.recv_multipart().unwrap();
        assert_eq!(ping[1], "ping");
        stream
            .send_multipart([ping[0].clone(), "pong".into()])
            .unwrap();
        let mut pong = [0; 4];
        client.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"pong");
    });
}
