//! Beginning and end: runtimes, contexts, drops.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use ironhouse::Error;
use ironhouse::socket::{AsyncSocket, Context, SocketType};

use super::{awaited, joined, narrow, on_each, pair, runtimes};
use crate::common::{SOON, bound, within};

#[test]
fn a_thread_without_a_runtime_is_an_error() {
    let context = Context::new().unwrap();
    let socket = context.socket(SocketType::Pull).open().unwrap();
    let error = AsyncSocket::new(socket).unwrap_err();
    assert!(error.to_string().contains("tokio runtime"), "{error}");
}

#[test]
fn a_context_that_is_shut_down_ends_every_wait_with_its_error() {
    on_each(|context| async move {
        let (mut pull, mut push) = awaited(joined(
            narrow(&context, SocketType::Pull),
            narrow(&context, SocketType::Push),
            "inproc",
        ));
        let full = tokio::spawn(async move {
            loop {
                if let Err(error) = push.send("more").await {
                    return error;
                }
            }
        });
        pull.recv().await.unwrap();
        let mut idle = AsyncSocket::new(context.socket(SocketType::Sub).open().unwrap()).unwrap();
        let empty = tokio::spawn(async move { (idle.recv().await.unwrap_err(), idle) });
        let sub = AsyncSocket::new(context.socket(SocketType::Sub).open().unwrap()).unwrap();
        let stream = tokio::spawn(sub.collect::<Vec<_>>());
        tokio::task::yield_now().await;
        context.shutdown().unwrap();
        assert!(matches!(full.await.unwrap(), Error::Terminated));
        let (error, mut idle) = empty.await.unwrap();
        assert!(matches!(error, Error::Terminated));
        assert!(matches!(idle.recv().await, Err(Error::Terminated)));
        assert!(matches!(
            idle.send("x").await,
            Err(Error::Terminated | Error::Zmq { .. })
        ));
        // A stream tells it once, and then is over.
        let told = stream.await.unwrap();
        assert!(matches!(told[..], [Err(Error::Terminated)]), "{told:?}");
        let error = context.socket(SocketType::Sub).open().unwrap_err();
        assert!(matches!(error, Error::Terminated));
    });
}

#[test]
fn a_socket_that_is_dropped_while_it_waits_is_closed() {
    on_each(|context| async move {
        let (socket, endpoint) = bound(&context, SocketType::Pull);
        let mut socket = AsyncSocket::new(socket).unwrap();
        {
            let mut recv = std::pin::pin!(socket.recv());
            assert!(recv.as_mut().now_or_never().is_none());
        }
        let waiting = tokio::spawn(async move { socket.recv().await });
        tokio::task::yield_now().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        // Closed: the context ends at once, and the port is free.
        tokio::task::spawn_blocking(move || drop(context))
            .await
            .unwrap();
        let context = Context::new().unwrap();
        let again = context.socket(SocketType::Pull).open().unwrap();
        let start = std::time::Instant::now();
        while let Err(error) = again.bind(&endpoint) {
            assert!(start.elapsed() < SOON / 2, "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_runtime_that_is_gone_is_an_error_and_the_socket_can_go_on_in_another() {
    within(SOON, || {
        let context = Context::new().unwrap();
        for runtime in runtimes() {
            let (mut pull, push) = {
                let _inside = runtime.enter();
                pair(&context, "inproc", (SocketType::Pull, SocketType::Push))
            };
            drop(runtime);
            let [other, _] = runtimes();
            other.block_on(async {
                let error = pull.recv().await.unwrap_err();
                assert!(matches!(error, Error::Os { .. }), "{error}");
                let mut pull = AsyncSocket::new(pull.into_inner()).unwrap();
                let push = push.into_inner();
                assert!(pull.recv().now_or_never().is_none());
                push.send("message").unwrap();
                assert_eq!(pull.recv().await.unwrap(), "message");
                // And as one that blocks.
                push.send("message").unwrap();
                assert_eq!(pull.into_inner().recv().unwrap(), "message");
            });
        }
    });
}

#[test]
fn a_task_moves_between_threads_with_its_socket() {
    on_each(|context| async move {
        let (mut rep, mut req) = pair(&context, "tcp", (SocketType::Rep, SocketType::Req));
        for _ in 0..50 {
            // A new task for each call: on the runtime of two threads, anywhere.
            req = tokio::spawn(async move {
                req.send("?").await.unwrap();
                req
            })
            .await
            .unwrap();
            rep = tokio::spawn(async move {
                assert_eq!(rep.recv().await.unwrap(), "?");
                rep.send("!").await.unwrap();
                rep
            })
            .await
            .unwrap();
            // And on another runtime, while its own goes on.
            req = tokio::task::spawn_blocking(move || {
                let [runtime, _] = runtimes();
                runtime.block_on(async move {
                    assert_eq!(req.recv().await.unwrap(), "!");
                    req
                })
            })
            .await
            .unwrap();
        }
    });
}
