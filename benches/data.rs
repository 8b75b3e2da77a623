//! The data path beside libzmq's own loop in C, and beside rust-zmq and arzmq: throughput (PUSH to PULL) and latency (REQ and REP)
//! over tcp, ipc and inproc, with NULL and with CURVE, for messages of 16 bytes to 1 MiB.
//!
//! `cargo bench --bench data -- [--rivals] [--only TEXT] [--sizes 16,256] [--seconds S] [--rounds N] [--share] [--json FILE]
//! [--write FOLDER]`. The rows whose name holds each word of TEXT are measured, such as `'latency tcp'`. `--rivals` builds and
//! measures rust-zmq and arzmq too, each with the libzmq that it embeds (needs libclang, and a newer Rust than ours). `--share` has ours send
//! shares of one `Arc` instead of copies: what that saves. `--write docs` makes `docs/data.md` and `docs/data.svg`.
//!
//! Behind `taskset -c 1` all of them share a core: where waking another takes as long as what is measured, as in a virtual machine, ratios are
//! steady only there.
//!
//! Each sample is a process of its own that moves so many messages, as the loop in C does in `--seconds`. The contenders of a row take turns; a
//! ratio is the median of the ratios round by round, and above 1 where ours is faster. CPU is the time of all threads of both sides.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
#[path = "common/contenders.rs"]
mod contenders;
#[path = "common/datapath.rs"]
mod datapath;
#[path = "common/ratios.rs"]
mod ratios;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::arguments;
use contenders::{Contender, run};
use datapath::Job;
use ironhouse::security::{
    Authenticator, CurveClient, CurvePolicy, CurveServer, Policy, SecretCertificate,
};
use ironhouse::socket::{Message, options};
use ironhouse::{Context, SocketType};
use ratios::Bench;

/// The least that is promised beside the loop in C.
const LEAST: f64 = 0.98;

const BENCH: Bench = Bench {
    name: "data",
    command: "cargo bench --bench data",
    first: "C",
    title: "The data path, beside C",
    explained: "Ratios are medians round by round, and above 1 where ours is faster, or uses less CPU time",
    paths: &[
        ["tcp", "NULL"],
        ["tcp", "CURVE"],
        ["ipc", "NULL"],
        ["ipc", "CURVE"],
        ["inproc", "NULL"],
    ],
    sizes: &[16, 256, 4096, 65_536, 1_048_576],
    of_ours: true,
    heading: "How much faster ours is than:",
    lowest: 0.5,
    lines: [LEAST; 2],
    promise: "at least 0.98 of C, and 1 of the others",
    of_others: "rust-zmq has no rows with CURVE: the libzmq that it embeds is built without.",
    keeps: |_, (name, ratio)| *ratio >= if *name == "C" { LEAST } else { 1.0 },
};

fn main() {
    let arguments = arguments();
    match arguments.first().map(String::as_str) {
        Some("--sample") => sample(&arguments[1..], false),
        Some("--sample-shared") => sample(&arguments[1..], true),
        _ => {}
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let ours = if has("--share") {
        "--sample-shared"
    } else {
        "--sample"
    };
    let mut contenders = vec![in_c(), Contender::myself("ours", ours)];
    if has("--rivals") {
        contenders.extend(["rust-zmq", "arzmq"].map(Contender::rival));
    }
    contenders::compare(&BENCH, &contenders, &arguments);
}

/// libzmq's own loop.
fn in_c() -> Contender {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("data-c");
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libzmq"]));
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-pthread", "-o"])
        .arg(&program)
        .arg(here.join("benches/c/data.c"))
        .args(flags.split_whitespace()));
    Contender::new("C", program)
}

/// Ours.
fn sample(arguments: &[String], share: bool) -> ! {
    let job = Job::parse(arguments).expect("KIND TRANSPORT MECHANISM SIZE COUNT");
    let context = Context::new().unwrap();
    let other = match job.is_inproc() {
        true => context.clone(),
        false => Context::new().unwrap(),
    };
    let kinds = match job.latency {
        true => [SocketType::Rep, SocketType::Req],
        false => [SocketType::Pull, SocketType::Push],
    };
    let [mut server, mut client] = [(&context, kinds[0]), (&other, kinds[1])].map(|(of, kind)| {
        of.socket(kind)
            .set(options::SND_HWM, job.limit())
            .set(options::RCV_HWM, job.limit())
    });
    // Outlives the sockets.
    let authenticator = Authenticator::start(&context).unwrap();
    if job.is_curve() {
        let policy = Policy::new().curve(CurvePolicy::any_key());
        let domain = authenticator.domain("data", policy).unwrap();
        let [key, own] = [(); 2].map(|()| SecretCertificate::generate().unwrap());
        server = server.secure(CurveServer::new(&key, &domain));
        client = client.secure(CurveClient::new(&own, *key.public_key()));
    }
    let (server, client) = (server.open().unwrap(), client.open().unwrap());
    client
        .connect(&server.bind(&job.endpoint()).unwrap())
        .unwrap();
    let version = ironhouse::build_info::HEADER_VERSION.unwrap_or("?");
    let shared: Option<Arc<[u8]>> = share.then(|| vec![7; job.size].into());
    let send = move |client: &ironhouse::Socket, content: &[u8]| match &shared {
        Some(shared) => client.send(Arc::clone(shared)).unwrap(),
        None => client.send_slice(content).unwrap(),
    };
    let mut message = Message::new();
    if job.latency {
        let ask = |content: &[u8]| {
            send(&client, content);
            client.recv_into(&mut message).unwrap();
            message.len()
        };
        job.latency(version, ask, move || {
            server.send(server.recv().unwrap()).unwrap()
        })
    }
    job.throughput(
        version,
        move |content| send(&client, content),
        || {
            server.recv_into(&mut message).unwrap();
            message.len()
        },
    )
}
