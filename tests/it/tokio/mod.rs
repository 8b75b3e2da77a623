//! Awaited sockets, on a runtime of one thread and on one of several.

mod cancel;
mod life;
mod patterns;
mod ready;
mod watch;

use std::future::Future;

use ironhouse::socket::{AsyncSocket, Context, Socket, SocketBuilder, SocketType, options};
use tokio::runtime::{Builder, Runtime};

use crate::common::{SOON, endpoint, within};

/// A runtime of one thread, and one of two.
fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), {
        let mut several = Builder::new_multi_thread();
        several.worker_threads(2);
        several
    }]
    .map(|mut builder| builder.enable_all().build().unwrap())
}

/// Runs `body` as a task on each kind of runtime: so its future is one that may move between threads.
#[track_caller]
fn on_each<F: Future<Output = ()> + Send + 'static>(body: impl Fn(Context) -> F) {
    for runtime in runtimes() {
        let body = body(Context::new().unwrap());
        within(SOON, move || {
            let task = runtime.spawn(body);
            runtime.block_on(task).unwrap();
        });
    }
}

/// Runs `body` on a runtime of one thread.
#[track_caller]
fn on_one_thread<F: Future<Output = ()>>(body: impl FnOnce(Context) -> F + Send + 'static) {
    let [runtime, _] = runtimes();
    within(SOON, move || {
        runtime.block_on(body(Context::new().unwrap()))
    });
}

/// With room for as many messages as the test sends.
fn roomy(context: &Context, kind: SocketType) -> SocketBuilder {
    context
        .socket(kind)
        .set(options::SND_HWM, 0)
        .set(options::RCV_HWM, 0)
}

/// With room for one message at either end.
fn narrow(context: &Context, kind: SocketType) -> SocketBuilder {
    context
        .socket(kind)
        .set(options::SND_HWM, 1)
        .set(options::RCV_HWM, 1)
}

/// Two sockets, the first bound and the second connected to it.
fn joined(binds: SocketBuilder, connects: SocketBuilder, transport: &str) -> (Socket, Socket) {
    let server = binds.open().unwrap();
    let endpoint = server.bind(&endpoint(transport)).unwrap();
    let client = connects.open().unwrap();
    client.connect(&endpoint).unwrap();
    (server, client)
}

fn awaited((server, client): (Socket, Socket)) -> (AsyncSocket, AsyncSocket) {
    let [server, client] = [server, client].map(|socket| AsyncSocket::new(socket).unwrap());
    (server, client)
}

fn pair(
    context: &Context,
    transport: &str,
    (binds, connects): (SocketType, SocketType),
) -> (AsyncSocket, AsyncSocket) {
    awaited(joined(
        context.socket(binds),
        context.socket(connects),
        transport,
    ))
}

fn number(frame: &[u8]) -> u32 {
    u32::from_ne_bytes(frame.try_into().unwrap())
}
