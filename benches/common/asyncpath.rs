//! One sample of awaited sockets, of any library: the steps of `datapath.rs`, with the third word of the job for how the runtimes stand.
//!
//! The programs in `benches/rivals` include this file too.

use std::future::{Future, pending};
use std::panic;
use std::process::exit;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot::{Receiver, Sender, channel};

use crate::datapath::{Clocks, Job, report};

/// A socket.
pub trait End: Send + 'static {
    fn send(&mut self, content: &[u8]) -> impl Future<Output = ()> + Send;

    /// The size of a message.
    fn receive(&mut self) -> impl Future<Output = usize> + Send;

    /// Sends back what it receives.
    fn echo(&mut self) -> impl Future<Output = ()> + Send;
}

/// Who opens sockets, in the runtime that is to drive them.
pub trait Library: Clone + Send + 'static {
    type End: End;

    /// A PULL or, for latency, a REP; and where it is bound.
    fn server(self, job: &Job) -> impl Future<Output = (Self::End, String)> + Send;

    /// A PUSH or, for latency, a REQ.
    fn client(self, job: &Job, endpoint: &str) -> impl Future<Output = Self::End> + Send;
}

/// Runs both sides, each a task:
/// - `separate`: on a thread and a runtime of its own;
/// - `workers`: on one runtime of two threads;
/// - `single`: on one runtime of one thread, both together.
pub fn run(library: impl Library, job: &Job, version: &'static str) -> ! {
    // Nobody waits for a side that has failed.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        hook(info);
        exit(1);
    }));
    let (bound, endpoint) = channel();
    let (begun, start) = channel();
    let server = serve(library.clone(), job.clone(), version, bound, begun);
    let client = call(library, job.clone(), version, endpoint, start);
    let runtime = match &job.mechanism[..] {
        "separate" => {
            thread::spawn(move || build(Builder::new_current_thread()).block_on(client));
            build(Builder::new_current_thread()).block_on(server)
        }
        "workers" => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(2);
            build(builder)
        }
        "single" => build(Builder::new_current_thread()),
        other => panic!("no runtimes stand {other}"),
    };
    runtime.spawn(client);
    runtime.block_on(runtime.spawn(server)).unwrap()
}

fn build(mut builder: Builder) -> Runtime {
    builder.enable_all().build().unwrap()
}

/// Counts what arrives, or echoes until the other side has reported.
async fn serve<L: Library>(
    library: L,
    job: Job,
    version: &'static str,
    bound: Sender<String>,
    begun: Sender<()>,
) -> ! {
    let (mut end, endpoint) = library.server(&job).await;
    bound.send(endpoint).unwrap();
    if job.latency {
        loop {
            end.echo().await;
        }
    }
    assert_eq!(end.receive().await, job.size);
    let clocks = Clocks::start();
    begun.send(()).unwrap();
    for _ in 0..job.count {
        assert_eq!(end.receive().await, job.size);
    }
    report(clocks.stop(), version)
}

/// Sends until the other side has all, or asks and counts the answers.
async fn call<L: Library>(
    library: L,
    job: Job,
    version: &'static str,
    endpoint: Receiver<String>,
    start: Receiver<()>,
) {
    let mut end = library.client(&job, &endpoint.await.unwrap()).await;
    let content = vec![7; job.size];
    for _ in 0..job.warm() {
        end.send(&content).await;
        if job.latency {
            assert_eq!(end.receive().await, job.size);
        }
    }
    if !job.latency {
        start.await.unwrap();
        for _ in 0..job.count {
            end.send(&content).await;
        }
        // Some libraries send by tasks of this runtime, as long as they have the socket.
        pending::<()>().await;
    }
    let clocks = Clocks::start();
    for _ in 0..job.count {
        end.send(&content).await;
        assert_eq!(end.receive().await, job.size);
    }
    report(clocks.stop(), version)
}
