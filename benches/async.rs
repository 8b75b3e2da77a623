//! What awaiting costs: `AsyncSocket` beside the blocking calls of the same library, and beside tmq and the crate zeromq: throughput (PUSH to
//! PULL) and latency (REQ and REP) over tcp, ipc and inproc.
//!
//! `cargo bench --features tokio --bench async -- [--rivals] [--only TEXT] [--sizes 16,256] [--seconds S] [--rounds N] [--json FILE]
//! [--write FOLDER]`: as `benches/data.rs`. `--rivals` builds and measures tmq, with the libzmq that it embeds, and zeromq, which is ZMTP in
//! Rust, without inproc (they need a newer Rust than ours).
//!
//! The sides are two threads with blocking calls, the measure of the others, or two tasks, each on a thread and a runtime of its own
//! (`separate`), on one runtime of two threads (`workers`), or both on one thread (`single`). A ratio is how fast a contender is beside the
//! blocking calls, the median of the ratios round by round, and above 1 where it is faster.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "common/asyncpath.rs"]
mod asyncpath;
mod common;
#[path = "common/contenders.rs"]
mod contenders;
#[path = "common/datapath.rs"]
mod datapath;
#[path = "common/ratios.rs"]
mod ratios;

use asyncpath::{End, Library};
use common::arguments;
use contenders::Contender;
use datapath::Job;
use ironhouse::socket::{AsyncSocket, options};
use ironhouse::{Context, Socket, SocketType};
use ratios::Bench;

/// Promised beside blocking calls.
const LEAST: [f64; 2] = [0.8, 1.0 / 1.5];

const BENCH: Bench = Bench {
    name: "async",
    command: "cargo bench --features tokio --bench async",
    first: "blocking",
    title: "Awaited sockets, beside blocking calls",
    explained: "The sides are two threads with blocking calls, or two tasks: each on a thread and a runtime of its own (`separate`), on one runtime of two \
                threads (`workers`), or both on one thread (`single`). Ratios are medians round by round: how fast each is beside the blocking calls, \
                above 1 where faster. CPU is the time of the blocking calls over that of ours",
    paths: &[
        ["tcp", "separate"],
        ["tcp", "workers"],
        ["tcp", "single"],
        ["ipc", "separate"],
        ["ipc", "workers"],
        ["ipc", "single"],
        ["inproc", "separate"],
        ["inproc", "workers"],
        ["inproc", "single"],
    ],
    sizes: &[256],
    of_ours: false,
    heading: "Beside blocking calls:",
    lowest: 0.0,
    lines: LEAST,
    promise: "at least 0.8 of the messages of blocking calls or at most 1.5 of their round trip, and ahead of the others",
    of_others: "zeromq has no libzmq but ZMTP in Rust, and does its input and output in the task itself. libzmq does it in a thread of its own: each message \
                changes threads at both ends. So over tcp and ipc its round trips are shorter than those of any call of libzmq's, blocking ones included, \
                and nothing over libzmq can match them; throughput is where that thread pays. It has neither inproc nor CURVE, nor any other security.",
    keeps: |row, (name, ratio)| {
        let ours = row.ratios[0].1;
        match *name {
            "ours" => ours >= LEAST[usize::from(row.job[0] == "latency")],
            _ => ours > *ratio,
        }
    },
};

fn main() {
    let arguments = arguments();
    let job = || Job::parse(&arguments[1..]).expect("KIND TRANSPORT RUNTIMES SIZE COUNT");
    let version = ironhouse::build_info::HEADER_VERSION.unwrap_or("?");
    match arguments.first().map(String::as_str) {
        Some("--blocking") => blocking(&job(), version),
        Some("--awaited") => asyncpath::run(Contexts::new(&job()), &job(), version),
        _ => {}
    }
    let mut contenders = vec![
        Contender::myself("blocking", "--blocking"),
        Contender::myself("ours", "--awaited"),
    ];
    if arguments.iter().any(|argument| argument == "--rivals") {
        contenders.extend(["tmq", "zeromq"].map(Contender::rival));
    }
    contenders::compare(&BENCH, &contenders, &arguments);
}

/// Server's and client's.
#[derive(Clone)]
struct Contexts([Context; 2]);

impl Contexts {
    fn new(job: &Job) -> Self {
        let context = Context::new().unwrap();
        let other = match job.is_inproc() {
            true => context.clone(),
            false => Context::new().unwrap(),
        };
        Self([context, other])
    }

    fn open(&self, job: &Job, side: usize) -> Socket {
        let kinds = match job.latency {
            true => [SocketType::Rep, SocketType::Req],
            false => [SocketType::Pull, SocketType::Push],
        };
        self.0[side]
            .socket(kinds[side])
            .set(options::SND_HWM, job.limit())
            .set(options::RCV_HWM, job.limit())
            .open()
            .unwrap()
    }
}

fn blocking(job: &Job, version: &str) -> ! {
    let contexts = Contexts::new(job);
    let [server, client] = [0, 1].map(|side| contexts.open(job, side));
    client
        .connect(&server.bind(&job.endpoint()).unwrap())
        .unwrap();
    if job.latency {
        let ask = |content: &[u8]| {
            client.send(content).unwrap();
            client.recv().unwrap().len()
        };
        job.latency(version, ask, move || {
            server.send(server.recv().unwrap()).unwrap()
        })
    }
    let send = move |content: &[u8]| client.send(content).unwrap();
    job.throughput(version, send, || server.recv().unwrap().len())
}

impl Library for Contexts {
    type End = AsyncSocket;

    async fn server(self, job: &Job) -> (AsyncSocket, String) {
        let socket = self.open(job, 0);
        let endpoint = socket.bind(&job.endpoint()).unwrap();
        (AsyncSocket::new(socket).unwrap(), endpoint)
    }

    async fn client(self, job: &Job, endpoint: &str) -> AsyncSocket {
        let socket = self.open(job, 1);
        socket.connect(endpoint).unwrap();
        AsyncSocket::new(socket).unwrap()
    }
}

impl End for AsyncSocket {
    async fn send(&mut self, content: &[u8]) {
        AsyncSocket::send(self, content).await.unwrap();
    }

    async fn receive(&mut self) -> usize {
        self.recv().await.unwrap().len()
    }

    async fn echo(&mut self) {
        let message = self.recv().await.unwrap();
        AsyncSocket::send(self, message).await.unwrap();
    }
}
