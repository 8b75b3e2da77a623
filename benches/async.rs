//! What awaiting costs: `AsyncSocket` beside the blocking calls of the same sockets, in rounds that take turns.
//!
//! `cargo bench --features tokio --bench async -- [--size BYTES] [--rounds N] [--messages N]
//! [--only TEXT]`: the rows whose name holds it. Two rows for each transport: messages a second from a
//! PUSH to a PULL, and the time of a round trip between two PAIR sockets. Each side is
//! - a thread with blocking calls, the measure of the others;
//! - a thread with a runtime of its own (`current_thread`);
//! - a task on one runtime of two threads (`multi_thread`);
//! - a task on one runtime of one thread, both sides together.
//!
//! Ratios are medians of the ratios round by round.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use common::{arguments, option, quantile};
use ironhouse::socket::{AsyncSocket, Context, Socket, SocketType};
use tokio::runtime::{Builder, Runtime};

const SIDES: [&str; 4] = ["blocking", "runtime each", "two workers", "one thread"];
const TRANSPORTS: [&str; 3] = ["tcp", "ipc", "inproc"];

#[derive(Clone, Copy)]
struct Load {
    size: usize,
    messages: u32,
    trips: u32,
}

fn main() {
    let arguments = arguments();
    let messages = option(&arguments, "--messages", 200_000.0) as u32;
    let load = Load {
        size: option(&arguments, "--size", 256.0) as usize,
        messages,
        trips: messages / 10,
    };
    let rounds = option(&arguments, "--rounds", 9.0) as usize;
    println!(
        "{} bytes, {rounds} rounds; beside blocking calls, in brackets",
        load.size
    );
    println!(
        "{:<22}{:>14}{:>22}{:>22}{:>22}",
        "", SIDES[0], SIDES[1], SIDES[2], SIDES[3]
    );
    let only = arguments.iter().position(|a| a == "--only");
    let only = only.map_or("", |at| arguments[at + 1].as_str());
    let row = |name: &str, rounds, measure: &dyn Fn(usize) -> f64| {
        if name.contains(only) {
            row(name, rounds, measure);
        }
    };
    for transport in TRANSPORTS {
        row(&format!("{transport}, messages/s"), rounds, &|side| {
            throughput(side, transport, load)
        });
        row(&format!("{transport}, round trip us"), rounds, &|side| {
            latency(side, transport, load)
        });
    }
}

/// One line of the table.
fn row(name: &str, rounds: usize, measure: impl Fn(usize) -> f64) {
    let mut results = [(); SIDES.len()].map(|()| Vec::new());
    for _ in 0..rounds {
        for (side, results) in results.iter_mut().enumerate() {
            results.push(measure(side));
        }
    }
    let blocking = results[0].clone();
    print!("{name:<22}");
    for (side, results) in results.iter_mut().enumerate() {
        let mut ratios: Vec<_> = results.iter().zip(&blocking).map(|(a, b)| a / b).collect();
        let ratio = quantile(&mut ratios, 0.5);
        let figure = quantile(results, 0.5);
        let digits = if figure < 1000.0 { 1 } else { 0 };
        let text = match side {
            0 => format!("{figure:>14.digits$}"),
            _ => format!("{figure:>14.digits$} ({ratio:.2})"),
        };
        print!("{}{text}", if side == 0 { "" } else { " " });
    }
    println!();
}

fn pair(transport: &str, kinds: [SocketType; 2]) -> [Socket; 2] {
    let context = Context::new().unwrap();
    let [server, client] = kinds.map(|kind| context.socket(kind).open().unwrap());
    let endpoint = match transport {
        "tcp" => "tcp://127.0.0.1:*".into(),
        other => format!("{other}://@ironhouse-bench-{}", std::process::id()),
    };
    client.connect(&server.bind(&endpoint).unwrap()).unwrap();
    [server, client]
}

/// Runs both sides, made of awaited sockets; what the first one says.
fn both<T: Send + 'static, A, B>(
    side: usize,
    sockets: [Socket; 2],
    first: impl FnOnce(AsyncSocket) -> A + Send + 'static,
    second: impl FnOnce(AsyncSocket) -> B + Send + 'static,
) -> T
where
    A: Future<Output = T> + Send + 'static,
    B: Future<Output = AsyncSocket> + Send + 'static,
{
    let [a, b] = sockets;
    if side == 1 {
        let b = thread::spawn(move || {
            let runtime = alone();
            let socket = {
                let _inside = runtime.enter();
                AsyncSocket::new(b).unwrap()
            };
            runtime.block_on(second(socket)).into_inner()
        });
        let runtime = alone();
        let result = runtime.block_on(async move { first(AsyncSocket::new(a).unwrap()).await });
        b.join().unwrap();
        return result;
    }
    let runtime = match side {
        2 => Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap(),
        _ => alone(),
    };
    let _inside = runtime.enter();
    let [a, b] = [a, b].map(|socket| AsyncSocket::new(socket).unwrap());
    let (b, a) = (runtime.spawn(second(b)), runtime.spawn(first(a)));
    let result = runtime.block_on(a).unwrap();
    runtime.block_on(b).unwrap();
    result
}

fn alone() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Messages a second, from the first received to the last.
fn throughput(side: usize, transport: &str, load: Load) -> f64 {
    let sockets = pair(transport, [SocketType::Pull, SocketType::Push]);
    let time = if side == 0 {
        let [pull, push] = sockets;
        let sender = thread::spawn(move || {
            let content = vec![7; load.size];
            (0..=load.messages).for_each(|_| push.send(content.as_slice()).unwrap());
            push
        });
        pull.recv().unwrap();
        let start = Instant::now();
        (0..load.messages).for_each(|_| assert_eq!(pull.recv().unwrap().len(), load.size));
        let time = start.elapsed();
        sender.join().unwrap();
        time
    } else {
        both(
            side,
            sockets,
            move |mut pull| async move {
                pull.recv().await.unwrap();
                let start = Instant::now();
                for _ in 0..load.messages {
                    assert_eq!(pull.recv().await.unwrap().len(), load.size);
                }
                start.elapsed()
            },
            move |mut push| async move {
                let content = vec![7; load.size];
                for _ in 0..=load.messages {
                    push.send(content.as_slice()).await.unwrap();
                }
                push
            },
        )
    };
    f64::from(load.messages) / time.as_secs_f64()
}

/// Microseconds a round trip.
fn latency(side: usize, transport: &str, load: Load) -> f64 {
    let sockets = pair(transport, [SocketType::Pair, SocketType::Pair]);
    let warm = load.trips / 10;
    let time: Duration = if side == 0 {
        let [asks, answers] = sockets;
        let echo = thread::spawn(move || {
            (0..load.trips + warm).for_each(|_| answers.send(answers.recv().unwrap()).unwrap());
            answers
        });
        let content = vec![7; load.size];
        let ask = || {
            asks.send(content.as_slice()).unwrap();
            assert_eq!(asks.recv().unwrap().len(), load.size);
        };
        (0..warm).for_each(|_| ask());
        let start = Instant::now();
        (0..load.trips).for_each(|_| ask());
        let time = start.elapsed();
        echo.join().unwrap();
        time
    } else {
        both(
            side,
            sockets,
            move |mut asks| async move {
                let content = vec![7; load.size];
                let mut start = Instant::now();
                for n in 0..load.trips + warm {
                    if n == warm {
                        start = Instant::now();
                    }
                    asks.send(content.as_slice()).await.unwrap();
                    assert_eq!(asks.recv().await.unwrap().len(), load.size);
                }
                start.elapsed()
            },
            move |mut answers| async move {
                for _ in 0..load.trips + warm {
                    let question = answers.recv().await.unwrap();
                    answers.send(question).await.unwrap();
                }
                answers
            },
        )
    };
    time.as_secs_f64() * 1e6 / f64::from(load.trips)
}
