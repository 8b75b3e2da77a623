//! What is cancelled has neither received nor sent anything.

use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use ironhouse::Message;
use ironhouse::socket::SocketType;
use tokio::time::timeout;

use super::{awaited, joined, narrow, number, on_each, pair};
use crate::common::rounds;

const MESSAGES: u32 = 2000;

#[test]
fn a_cancelled_receive_loses_nothing() {
    on_each(|context| async move {
        for transport in ["tcp", "inproc"] {
            let (mut pull, mut push) =
                pair(&context, transport, (SocketType::Pull, SocketType::Push));
            let sender = tokio::spawn(async move {
                for n in 0..MESSAGES {
                    push.send_multipart([&n.to_ne_bytes(), &[7; 4]])
                        .await
                        .unwrap();
                    if n % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                push
            });
            let mut next = 0;
            while next < MESSAGES {
                // A receive that is polled once, one that is cancelled by something else, and one that times out.
                if let Some(message) = pull.recv_multipart().now_or_never() {
                    assert_eq!(number(&message.unwrap()[0]), next);
                    next += 1;
                }
                tokio::select! {
                    message = pull.recv_multipart(), if next < MESSAGES => {
                        assert_eq!(number(&message.unwrap()[0]), next);
                        next += 1;
                    }
                    () = tokio::task::yield_now() => {}
                }
                if next < MESSAGES {
                    let soon = Duration::from_micros((next % 5).into());
                    // Frame by frame: the second one is here once the first is.
                    if let Ok(frame) = timeout(soon, pull.recv()).await {
                        let frame = frame.unwrap();
                        assert!(number(&frame) == next && frame.more());
                        assert_eq!(pull.recv().await.unwrap(), [7; 4]);
                        next += 1;
                    }
                }
            }
            sender.await.unwrap();
            assert!(pull.recv().now_or_never().is_none());
        }
    });
}

#[test]
fn a_cancelled_send_has_sent_nothing_and_a_ready_one_everything() {
    on_each(|context| async move {
        let messages = rounds(MESSAGES);
        for transport in ["tcp", "inproc"] {
            let (mut pull, mut push) = awaited(joined(
                narrow(&context, SocketType::Pull),
                narrow(&context, SocketType::Push),
                transport,
            ));
            let sender = tokio::spawn(async move {
                let big = vec![1u8; 100_000];
                let mut n = 0u32;
                while n < messages {
                    let frames = [&n.to_ne_bytes()[..], b"between", &big];
                    let done = match n % 3 {
                        0 => push.send_multipart(frames).now_or_never(),
                        1 => {
                            let soon = Duration::from_micros((n % 50).into());
                            timeout(soon, push.send_multipart(frames)).await.ok()
                        }
                        _ => tokio::select! {
                            sent = push.send_multipart(frames) => Some(sent),
                            () = tokio::task::yield_now() => None,
                        },
                    };
                    match done {
                        Some(sent) => {
                            sent.unwrap();
                            n += 1;
                        }
                        None => tokio::task::yield_now().await,
                    }
                }
                push
            });
            for n in 0..messages {
                let message = pull.recv_multipart().await.unwrap();
                assert_eq!(message.len(), 3);
                assert_eq!((number(&message[0]), message[2].len()), (n, 100_000));
            }
            sender.await.unwrap();
            assert!(pull.recv().now_or_never().is_none());
        }
    });
}

#[test]
fn what_a_sink_has_taken_goes_out_before_what_is_sent_later() {
    on_each(|context| async move {
        // Nobody to send to.
        let push = narrow(&context, SocketType::Push).open().unwrap();
        let pull = narrow(&context, SocketType::Pull).open().unwrap();
        let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
        let (mut push, mut pull) = awaited((push, pull));
        push.feed(vec![Message::from("taken"), "whole".into()])
            .await
            .unwrap();
        {
            assert!(push.flush().now_or_never().is_none());
        }
        assert!(push.send("cancelled").now_or_never().is_none());
        assert!(push.feed(vec!["cancelled".into()]).now_or_never().is_none());
        push.with_socket(|push| push.connect(&endpoint)).unwrap();
        let sender = tokio::spawn(async move {
            push.send("later").await.unwrap();
            push.send_all(&mut futures_util::stream::iter([Ok(vec!["last".into()])]))
                .await
                .unwrap();
            push.close().await.unwrap();
            push
        });
        let mut received = Vec::new();
        for _ in 0..3 {
            received.push(pull.next().await.unwrap().unwrap());
        }
        assert_eq!(received[0].len(), 2);
        assert_eq!(received[0][0], "taken");
        assert_eq!(
            (&received[1][0], &received[2][0]),
            (&"later".into(), &"last".into())
        );
        sender.await.unwrap();
        assert!(pull.recv().now_or_never().is_none());
    });
}
