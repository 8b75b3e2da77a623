//! No wake-up is lost, and none is made for nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll};

use futures_util::{SinkExt, Stream, StreamExt};
use ironhouse::Message;
use ironhouse::socket::{AsyncSocket, Context, SocketType, options};
use tokio::sync::mpsc;

use super::{awaited, joined, narrow, number, on_each, on_one_thread, pair, roomy};
use crate::common::rounds;

const QUESTIONS: u32 = 300;

/// Counts how often a future is polled.
async fn counted<F: Future>(polls: Arc<AtomicU32>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        future.as_mut().poll(cx)
    })
    .await
}

/// Requests and answers, a thousand times.
async fn chatter(context: &Context) {
    let (mut rep, mut req) = pair(context, "tcp", (SocketType::Rep, SocketType::Req));
    for _ in 0..1000 {
        req.send("?").await.unwrap();
        rep.recv().await.unwrap();
        rep.send("!").await.unwrap();
        req.recv().await.unwrap();
    }
}

#[test]
fn a_task_that_waits_on_an_idle_socket_is_not_woken() {
    on_each(|context| async move {
        let (mut rep, mut req) = pair(&context, "tcp", (SocketType::Rep, SocketType::Req));
        // Once, so that the connection stands.
        req.send("?").await.unwrap();
        rep.recv().await.unwrap();
        rep.send("!").await.unwrap();
        req.recv().await.unwrap();
        // One waits to receive, one to send: there is nobody to send to.
        let mut push = AsyncSocket::new(context.socket(SocketType::Push).open().unwrap()).unwrap();
        let polls = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let recv = tokio::spawn(counted(polls[0].clone(), async move { rep.recv().await }));
        let send = tokio::spawn(counted(polls[1].clone(), async move {
            push.send("to nobody").await
        }));
        chatter(&context).await;
        for polls in &polls {
            let polls = polls.load(Ordering::Relaxed);
            assert!((1..=3).contains(&polls), "{polls} polls");
        }
        assert!(!recv.is_finished() && !send.is_finished());
        // And yet they would be.
        req.send("at last").await.unwrap();
        assert_eq!(recv.await.unwrap().unwrap(), "at last");
        send.abort();
        assert!(send.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_that_waits_on_more_sockets_than_its_budget_is_not_woken_for_that() {
    on_each(|context| async move {
        let mut sockets: Vec<_> = (0..300)
            .map(|_| AsyncSocket::new(context.socket(SocketType::Pull).open().unwrap()).unwrap())
            .collect();
        let endpoint = sockets[299]
            .with_socket(|last| last.bind("inproc://last"))
            .unwrap();
        let polls = Arc::new(AtomicU32::new(0));
        let any = counted(
            polls.clone(),
            poll_fn(move |cx| {
                // All of them each time.
                let mut found = Poll::Pending;
                for socket in &mut sockets {
                    if let Poll::Ready(message) = Pin::new(socket).poll_next(cx) {
                        found = Poll::Ready(message.unwrap().unwrap());
                    }
                }
                found
            }),
        );
        let any = tokio::spawn(any);
        chatter(&context).await;
        let polled = polls.load(Ordering::Relaxed);
        assert!((1..=3).contains(&polled), "{polled} polls");
        let push = context.socket(SocketType::Push).open().unwrap();
        push.connect(&endpoint).unwrap();
        push.send("at last").unwrap();
        assert_eq!(any.await.unwrap()[0], "at last");
    });
}

#[test]
fn a_busy_socket_lets_other_tasks_run() {
    // On one thread, where nobody else could run them.
    on_one_thread(|context| async move {
        let (mut pull, mut push) = awaited(joined(
            roomy(&context, SocketType::Pull),
            roomy(&context, SocketType::Push),
            "inproc",
        ));
        let runs = Arc::new(AtomicU32::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let other = tokio::spawn({
            let (runs, stop) = (runs.clone(), stop.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    runs.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let busy = tokio::spawn(async move {
            let ran = || runs.load(Ordering::Relaxed);
            // There is always room, and then always a message.
            for n in 0..10_000u32 {
                push.send(&n.to_ne_bytes()).await.unwrap();
            }
            let sent = ran();
            for n in 0..10_000 {
                assert_eq!(number(&pull.recv().await.unwrap()), n);
            }
            let received = ran();
            for _ in 0..10_000 {
                push.feed(vec![Message::new()]).await.unwrap();
            }
            let fed = ran();
            assert!(sent > 10 && received - sent > 10 && fed - received > 10);
        });
        busy.await.unwrap();
        stop.store(true, Ordering::Relaxed);
        other.await.unwrap();
    });
}

#[test]
fn one_task_that_sends_and_receives_in_turn_misses_nothing() {
    on_each(|context| async move {
        for transport in ["tcp", "ipc", "inproc"] {
            for window in [1, 2, 7] {
                let (mut answers, mut asks) = awaited(joined(
                    narrow(&context, SocketType::Dealer),
                    narrow(&context, SocketType::Dealer),
                    transport,
                ));
                let echo = tokio::spawn(async move {
                    for _ in 0..QUESTIONS {
                        let question = answers.recv().await.unwrap();
                        answers.send(question).await.unwrap();
                    }
                    answers
                });
                let (mut sent, mut received) = (0u32, 0u32);
                while received < QUESTIONS {
                    // Whatever comes first: a send that waits is cancelled by an answer.
                    if sent < QUESTIONS && sent - received < window {
                        let question = sent.to_ne_bytes();
                        let free = asks.send(&question);
                        if tokio::time::timeout(std::time::Duration::from_micros(50), free)
                            .await
                            .is_ok()
                        {
                            sent += 1;
                            continue;
                        }
                    }
                    assert_eq!(number(&asks.recv().await.unwrap()), received);
                    received += 1;
                }
                echo.await.unwrap();
            }
        }
    });
}

#[test]
fn halves_in_two_tasks_do_not_lose_each_others_wake_ups() {
    on_each(|context| async move {
        let messages = rounds(3000);
        for transport in ["tcp", "inproc"] {
            let (answers, asks) = awaited(joined(
                narrow(&context, SocketType::Dealer),
                narrow(&context, SocketType::Dealer),
                transport,
            ));
            let (mut out, mut back) = asks.split();
            let (echo_out, echo_back) = answers.split();
            let echo = tokio::spawn(echo_back.take(messages as usize).forward(echo_out));
            let sender = tokio::spawn(async move {
                for n in 0..messages {
                    out.send(vec![(&n.to_ne_bytes()).into()]).await.unwrap();
                    if n % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                out
            });
            for n in 0..messages {
                let message = back.next().await.unwrap().unwrap();
                assert_eq!(number(&message[0]), n);
            }
            let _ = sender.await.unwrap();
            echo.await.unwrap().unwrap();
        }
    });
}

#[test]
fn who_waits_is_woken_though_another_use_of_the_socket_took_note_of_the_message() {
    // One thread: the runtime itself cannot tell of the message before the other use has.
    on_one_thread(|context| async move {
        for round in 0..3 {
            let (mut other, socket) =
                pair(&context, "inproc", (SocketType::Dealer, SocketType::Dealer));
            let socket = Arc::new(std::sync::Mutex::new(socket));
            let (waits, mut waiting) = mpsc::channel(1);
            let receiver = tokio::spawn({
                let socket = socket.clone();
                poll_fn(move |cx: &mut TaskContext<'_>| {
                    let polled = Pin::new(&mut *socket.lock().unwrap()).poll_next(cx);
                    let _ = waits.try_send(());
                    polled
                })
            });
            waiting.recv().await.unwrap();
            // Without an await in between: the message comes, and a send, a look at the options or a failed send sees it first.
            other.with_socket(|other| other.send("message")).unwrap();
            let seen = |socket: &AsyncSocket| {
                socket.with_socket(|socket| {
                    let events = socket.get(options::EVENTS).unwrap();
                    assert_eq!(events & 1, 1);
                });
            };
            match round {
                0 => seen(&socket.lock().unwrap()),
                _ => {
                    let mut socket = socket.lock().unwrap();
                    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
                    // The sink looks, because of the alarm of libzmq's own clock or not: either way the receiver must hear of it.
                    for _ in 0..10 {
                        let sink = Pin::new(&mut *socket);
                        assert!(futures_util::Sink::poll_ready(sink, &mut cx).is_ready());
                        let sink = Pin::new(&mut *socket);
                        let message = vec![Message::from("x")];
                        futures_util::Sink::start_send(sink, message).unwrap();
                    }
                }
            }
            let message = receiver.await.unwrap().unwrap().unwrap();
            assert_eq!(message[0], "message");
            drop(other.recv());
        }
    });
}
