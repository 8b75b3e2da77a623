//! The patterns, awaited.

use futures_util::{SinkExt, StreamExt};
use ironhouse::Error;
use ironhouse::security::{CertificateStore, RevocationScope};
use ironhouse::socket::{AsyncSocket, EventKind, Message, SocketType};
use tokio::task::JoinSet;

use super::{awaited, joined, number, on_each, pair, roomy};
use crate::common::rounds;
use crate::revoke::Server;

const TRANSPORTS: [&str; 3] = ["tcp", "ipc", "inproc"];
const MESSAGES: u32 = 10_000;

fn texts(frames: &[Message]) -> Vec<&str> {
    frames.iter().map(|f| f.as_str().unwrap()).collect()
}

#[test]
fn a_request_is_answered_over_every_transport() {
    on_each(|context| async move {
        for transport in TRANSPORTS {
            let (mut rep, mut req) = pair(&context, transport, (SocketType::Rep, SocketType::Req));
            for _ in 0..100 {
                req.send_multipart(["ques", "tion"]).await.unwrap();
                assert_eq!(
                    texts(&rep.recv_multipart().await.unwrap()),
                    ["ques", "tion"]
                );
                rep.send("answer").await.unwrap();
                let answer = req.recv().await.unwrap();
                assert!(answer == "answer" && !answer.more());
            }
            // What the pattern does not allow is an error, and no wait.
            let error = req.recv().await.unwrap_err();
            assert!(matches!(error, Error::Zmq { .. }), "{error}");
            let error = rep.send("unasked").await.unwrap_err();
            assert!(matches!(error, Error::Zmq { .. }), "{error}");
        }
    });
}

#[test]
fn a_frame_says_whether_others_follow() {
    on_each(|context| async move {
        let (mut a, mut b) = pair(&context, "tcp", (SocketType::Pair, SocketType::Pair));
        a.send_multipart(Vec::<Message>::new()).await.unwrap(); // nothing
        a.send_multipart(["1", "2", "3"]).await.unwrap();
        for (text, more) in [("1", true), ("2", true), ("3", false)] {
            let frame = b.recv().await.unwrap();
            assert_eq!((frame.as_str(), frame.more()), (Some(text), more));
        }
    });
}

#[test]
fn ten_thousand_messages_go_each_way_at_once_and_arrive_in_order() {
    on_each(|context| async move {
        for transport in TRANSPORTS {
            let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
            for binds in [SocketType::Push, SocketType::Pull] {
                let connects = match binds {
                    SocketType::Push => SocketType::Pull,
                    _ => SocketType::Push,
                };
                // The usual limits of 1000 messages: a sender has to wait.
                let (bound, connected) = pair(&context, transport, (binds, connects));
                let (mut push, mut pull) = match binds {
                    SocketType::Push => (bound, connected),
                    _ => (connected, bound),
                };
                senders.spawn(async move {
                    for n in 0..MESSAGES {
                        push.send(&n.to_ne_bytes()).await.unwrap();
                    }
                    push
                });
                receivers.spawn(async move {
                    for n in 0..MESSAGES {
                        assert_eq!(number(&pull.recv().await.unwrap()), n);
                    }
                });
            }
            while let Some(task) = receivers.join_next().await {
                task.unwrap();
            }
            // Not closed before: over ipc, libzmq drops what a closed peer sent while its receiver had no room.
            senders.join_all().await;
        }
    });
}

#[test]
fn a_subscriber_gets_what_it_subscribed_to() {
    on_each(|context| async move {
        for transport in TRANSPORTS {
            let (mut publisher, mut sub) =
                pair(&context, transport, (SocketType::XPub, SocketType::Sub));
            sub.with_socket(|sub| sub.subscribe("weather")).unwrap();
            assert_eq!(publisher.recv().await.unwrap(), b"\x01weather");
            publisher.send_multipart(["sports", "0:0"]).await.unwrap();
            publisher.send_multipart(["weather", "rain"]).await.unwrap();
            assert_eq!(
                texts(&sub.recv_multipart().await.unwrap()),
                ["weather", "rain"]
            );
        }
    });
}

#[test]
fn a_router_answers_each_of_many_dealers() {
    on_each(|context| async move {
        let router = context.socket(SocketType::Router).open().unwrap();
        let endpoint = router.bind("tcp://127.0.0.1:*").unwrap();
        let mut router = AsyncSocket::new(router).unwrap();
        let mut tasks = JoinSet::new();
        for dealer in 0..20 {
            let socket = context.socket(SocketType::Dealer).open().unwrap();
            socket.connect(&endpoint).unwrap();
            let mut socket = AsyncSocket::new(socket).unwrap();
            tasks.spawn(async move {
                for n in 0..50 {
                    let text = format!("{dealer} {n}");
                    socket.send_multipart(["", &text]).await.unwrap();
                    assert_eq!(texts(&socket.recv_multipart().await.unwrap()), ["", &text]);
                }
            });
        }
        let echo = tokio::spawn(async move {
            for _ in 0..20 * 50 {
                let request = router.recv_multipart().await.unwrap();
                assert_eq!(request.len(), 3);
                router.send_multipart(request).await.unwrap();
            }
        });
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        echo.await.unwrap();
    });
}

#[test]
fn a_secured_socket_stays_secured_and_receives_nothing_of_a_revoked_peer() {
    on_each(|_| async move {
        let server = Server::with(RevocationScope::Exact, CertificateStore::in_memory());
        let (socket, endpoint) = server.open(SocketType::Pull, "tcp");
        let clients = [(); 2].map(|()| server.client(SocketType::Push));
        for client in &clients {
            client.socket.connect(&endpoint).unwrap();
            client.wait(EventKind::HandshakeSucceeded);
        }
        let mut socket = AsyncSocket::new(socket).unwrap();
        let keys = [0, 1].map(|n| clients[n].key.to_string());
        for n in 0..2 {
            clients[n].socket.send("hello").unwrap();
            let hello = socket.recv().await.unwrap();
            assert_eq!(hello.user_id(), Some(keys[n].as_str()));
        }
        // What has come when he is revoked, and was not received yet, is not received any more.
        let [good, bad] = clients;
        for _ in 0..10 {
            bad.socket.send("bad").unwrap();
        }
        server.authenticator.revoke(&bad.key);
        for _ in 0..10 {
            good.socket.send("good").unwrap();
        }
        for _ in 0..10 {
            let message = socket.recv().await.unwrap();
            assert_eq!(message, "good");
            assert_eq!(message.user_id(), Some(keys[0].as_str()));
        }
    });
}

#[test]
fn a_stream_yields_messages_and_a_sink_takes_them() {
    on_each(|context| async move {
        let (mut a, b) = awaited(joined(
            roomy(&context, SocketType::Pair),
            roomy(&context, SocketType::Pair),
            "tcp",
        ));
        // A stream forwarded to a sink: an echo.
        let (out, back) = b.split();
        let echo = tokio::spawn(back.take(MESSAGES as usize).forward(out));
        for n in 0..MESSAGES {
            let message = vec![Message::from("n"), (&n.to_ne_bytes()).into()];
            a.feed(message).await.unwrap();
        }
        a.flush().await.unwrap();
        for n in 0..MESSAGES {
            let message = a.next().await.unwrap().unwrap();
            assert_eq!((message.len(), number(&message[1])), (2, n));
        }
        echo.await.unwrap().unwrap();
    });
}

#[test]
fn many_sockets_talk_at_once() {
    on_each(|context| async move {
        let mut tasks = JoinSet::new();
        let exchanges = rounds(100);
        for n in 0..100 {
            let transport = TRANSPORTS[n % TRANSPORTS.len()];
            let (mut asks, mut answers) = pair(
                &context,
                transport,
                (SocketType::Dealer, SocketType::Dealer),
            );
            tasks.spawn(async move {
                for n in 0..exchanges {
                    asks.send(&n.to_ne_bytes()).await.unwrap();
                    assert_eq!(number(&asks.recv().await.unwrap()), n);
                }
            });
            tasks.spawn(async move {
                for _ in 0..exchanges {
                    let question = answers.recv().await.unwrap();
                    answers.send(question).await.unwrap();
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
}
