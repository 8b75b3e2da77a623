//! Whether slow callbacks delay others: CURVE handshakes over TCP at half the rate that a handler which always says yes reaches, with one
//! callback in ten asleep for 50 ms, and with none.
//!
//! `cargo bench --bench callbacks -- [--rate HANDSHAKES_A_SECOND] [--rounds N] [--seconds S]`. The rate of which half is taken is the
//! given one; else that of the harness's `rep200`, where `$BENCH_BUILD` and `$BENCH_CERTS` name its programs and keys; else our own with
//! any key.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "common/handshakes.rs"]
mod handshakes;

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use common::{option, quantile, spread};
use handshakes::{Load, Server};
use ironhouse::security::{
    Authenticator, CurvePolicy, CurveServer, Policy, PublicKey, Reply, SecretCertificate, Verdict,
};
use ironhouse::socket::options;
use ironhouse::{Context, SocketType};

/// What a slow callback takes.
const SLOW: Duration = Duration::from_millis(50);
/// How many are slow, where any are.
const SHARE: f64 = 0.1;
/// Most by which that may lengthen the others' 99th percentile.
const LIMIT: f64 = 2.0;
/// Keys of either kind.
const KEYS: usize = 100;
/// Kept in flight to find the rate.
const IN_FLIGHT: usize = 32;
fn main() -> ExitCode {
    let arguments = common::arguments();
    if let [server, kind, threads, slow @ ..] = &arguments[..] {
        if server == "--server" {
            serve(kind, threads.parse().unwrap(), slow);
        }
    }
    let rounds = option(&arguments, "--rounds", 5.0) as usize;
    let seconds = Duration::from_secs_f64(option(&arguments, "--seconds", 3.0));
    let keys: Vec<_> = (0..2 * KEYS)
        .map(|_| SecretCertificate::generate().unwrap())
        .collect();
    let (slow, fast) = keys.split_at(KEYS);

    let given = option(&arguments, "--rate", 0.0);
    let (handler, full) = match std::env::var("BENCH_BUILD") {
        _ if given > 0.0 => ("given", given),
        Ok(build) => ("rep200", rep200(&build, seconds)),
        Err(_) => {
            let server = start("any", 1, &[]);
            let rate = Load::new(&server, slow, fast).rate(IN_FLIGHT, seconds);
            ("ours, any key", rate)
        }
    };
    let rate = full / 2.0;
    // Little's law: so many are asleep at a time, on average; as they come at random, now and then some more.
    let asleep = rate * SHARE * SLOW.as_secs_f64();
    let threads = (asleep + 4.0 * asleep.sqrt()).ceil() as usize + 1;
    println!(
        "{handler}: {full:.0} handshakes/s; load: {rate:.0}/s; slow: {:.0} % take {SLOW:?}: {asleep:.1} asleep at a time, {threads} threads",
        SHARE * 100.0
    );

    let servers = [("callback", threads), ("deferred", 1)]
        .map(|(kind, threads)| (kind, start(kind, threads, slow)));
    // By server and share: [p50, p99, max, slow p50] a round.
    let mut results = [(); 2].map(|()| [(); 2].map(|()| Vec::new()));
    let mut lost = 0;
    for round in 0..rounds {
        for (at, (_, server)) in servers.iter().enumerate() {
            for turn in 0..2 {
                let which = (turn + round) % 2;
                let mut load = Load::new(server, slow, fast);
                load.share = [0.0, SHARE][which];
                load.run(rate, seconds);
                lost += load.open.len();
                let [p50, p99, max] = spread(&mut load.others);
                let slow = match which {
                    0 => f64::NAN,
                    _ => quantile(&mut load.slow_ones, 0.5),
                };
                results[at][which].push([p50, p99, max, slow]);
            }
        }
    }

    println!(
        "{:>9} {:>6} {:>8} {:>8} {:>8} {:>12} {:>10}",
        "", "slow", "p50 ms", "p99 ms", "max ms", "slow p50 ms", "p99 ratio"
    );
    let mut kept = lost == 0;
    for ((name, _), of) in servers.iter().zip(&results) {
        let mut ratios: Vec<f64> = of[1].iter().zip(&of[0]).map(|(s, n)| s[1] / n[1]).collect();
        let ratio = quantile(&mut ratios, 0.5);
        kept &= ratio <= LIMIT;
        for (which, runs) in of.iter().enumerate() {
            let median = |at| {
                quantile(
                    &mut runs
                        .iter()
                        .map(|run: &[f64; 4]| run[at])
                        .collect::<Vec<_>>(),
                    0.5,
                )
            };
            println!(
                "{name:>9} {:>5.0}% {:>8.2} {:>8.2} {:>8.2} {:>12.2} {:>10}",
                [0.0, SHARE][which] * 100.0,
                median(0),
                median(1),
                median(2),
                median(3),
                ["".into(), format!("{ratio:.2}")][which],
            );
        }
    }
    println!("medians of {rounds} rounds; lost handshakes: {lost}; at most {LIMIT} is promised");
    ExitCode::from(u8::from(!kept))
}

/// Handshakes a second of the harness's least handler, with its own load.
fn rep200(build: &str, seconds: Duration) -> f64 {
    let certs = std::env::var("BENCH_CERTS").unwrap();
    let server = format!("{certs}/server.txt");
    let mut daemon = Command::new(format!("{build}/authd"))
        .args(["rep200", &server])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap());
    lines.read_line(&mut ready).unwrap();
    let port = ready.split_whitespace().nth(1).unwrap();
    let key = std::fs::read_to_string(server).unwrap();
    let output = Command::new(format!("{build}/connload"))
        .args(["ok", port, key.split_whitespace().next().unwrap()])
        .arg(format!("{certs}/keys.txt"))
        .args(["1000", "7", "0", &IN_FLIGHT.to_string(), "1000000"])
        .arg(seconds.as_secs_f64().to_string())
        .output()
        .unwrap();
    // The end of its input ends it.
    drop(daemon.stdin.take());
    daemon.wait().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (_, rate) = output.split_once("\"per_s\":").unwrap();
    rate.split(',').next().unwrap().parse().unwrap()
}

/// Slow ones keep a thread.
fn sleeping(slow: HashSet<PublicKey>) -> CurvePolicy {
    CurvePolicy::callback(move |peer| {
        if slow.contains(&peer.key) {
            thread::sleep(SLOW);
        }
        Verdict::admit()
    })
}

/// Slow ones are answered by a thread of ours, one for all.
fn deferring(slow: HashSet<PublicKey>) -> CurvePolicy {
    let (later, waiting) = channel::<(Instant, Reply)>();
    thread::spawn(move || {
        for (due, reply) in waiting {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            reply.answer(Verdict::admit());
        }
    });
    CurvePolicy::deferred(move |peer, reply| {
        if slow.contains(&peer.key) {
            later.send((Instant::now() + SLOW, reply)).unwrap();
        } else {
            reply.answer(Verdict::admit());
        }
    })
}

fn start(kind: &str, threads: usize, slow: &[SecretCertificate]) -> Server {
    let mut arguments = ["--server", kind, &threads.to_string()]
        .map(String::from)
        .to_vec();
    arguments.extend(slow.iter().map(|key| key.public_key().to_string()));
    Server::start(&arguments)
}

/// The server's process.
fn serve(kind: &str, threads: usize, slow: &[String]) -> ! {
    let slow = slow.iter().map(|key| key.parse().unwrap()).collect();
    let context = Context::new().unwrap();
    let authenticator = Authenticator::builder(&context)
        .callback_threads(threads)
        .start()
        .unwrap();
    let policy = match kind {
        "callback" => sleeping(slow),
        "deferred" => deferring(slow),
        _ => CurvePolicy::any_key(),
    };
    let domain = authenticator
        .domain("bench", Policy::new().curve(policy))
        .unwrap();
    let certificate = SecretCertificate::generate().unwrap();
    let socket = context
        .socket(SocketType::Router)
        .set(options::BACKLOG, 1024)
        .secure(CurveServer::new(&certificate, &domain))
        .open()
        .unwrap();
    handshakes::serve(socket, certificate.public_key())
}
