//! A storm on a server's port: handshakes with unknown keys, connections that say nothing, and garbage. Do those who are admitted work on,
//! and does the server hold no more afterwards than before?
//!
//! `cargo bench --bench storm -- [--strangers N] [--silent N] [--garbage N]`: so many handshakes (20000), and so many connections at a time
//! (500 each, or fewer where the process may have few descriptors). Ends with 1 if a promise is broken.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;
#[path = "../tests/it/intruder.rs"]
mod intruder;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, memory, option, spread};
use intruder::{intrude, wait_for_end};
use ironhouse::security::{
    AuditEvent, Authenticator, CertificateStore, CurveClient, CurvePolicy, CurveServer,
    PeerIdentity, Policy, PublicKey, SecretCertificate, StatusCode,
};
use ironhouse::socket::{EventKind, HandshakeProblem, Monitor, options};
use ironhouse::{Context, Error, Socket, SocketType};

/// Admitted peers that exchange messages all the time; one more comes and goes.
const FRIENDS: usize = 4;
/// Handshakes of strangers in flight.
const IN_FLIGHT: usize = 8;
/// How long a connection may say nothing.
const HANDSHAKE_IVL: Duration = Duration::from_secs(3);
/// How long the times before and after the storm are.
const CALM: Duration = Duration::from_secs(3);
/// A storm ends then, however many have come.
const LONGEST: Duration = Duration::from_secs(300);
/// By how much more memory the server may hold after the storm than after a tenth of it, in KiB: a hundred bytes a stranger.
const GROWTH: i64 = 2048;

/// What time it is. What is measured while it warms up or settles is not shown.
const WARMING: usize = 0;
const BEFORE: usize = 1;
const DURING: usize = 2;
const SETTLING: usize = 3;
const AFTER: usize = 4;
const OVER: usize = 5;

fn main() -> ExitCode {
    let arguments = common::arguments();
    if arguments.first().is_some_and(|first| first == "--server") {
        serve(&arguments[1..]);
    }
    let most = descriptors_allowed().saturating_sub(200) as f64 / 4.0;
    let strangers = option(&arguments, "--strangers", 20_000.0) as usize;
    let silent = option(&arguments, "--silent", most.min(500.0)) as usize;
    let noisy = option(&arguments, "--garbage", most.min(500.0)) as usize;
    let friends: Vec<_> = (0..=FRIENDS)
        .map(|_| SecretCertificate::generate().unwrap())
        .collect();
    let mut server = Server::start(&friends);
    let door = server.door.clone();
    // One who says nothing is there before everybody else: the authenticator cannot tell at once who of them was admitted.
    let _early = intrude(door.address(), 1, 0);
    let phase = AtomicUsize::new(WARMING);
    let set = |now| phase.store(now, Ordering::Relaxed);

    let (warm, held, storm, mut works) = thread::scope(|scope| {
        // Whatever panics below ends the workers all the same.
        let _over = End(&phase);
        let workers: Vec<_> = friends
            .iter()
            .enumerate()
            .map(|(at, friend)| {
                let (door, phase) = (&door, &phase);
                scope.spawn(move || match at {
                    0 => come_and_go(door, friend, phase),
                    _ => stay(door, friend, phase),
                })
            })
            .collect();
        // What the libraries and the allocator keep for good is there after a small one.
        rage(&door, strangers / 10, silent, noisy);
        let warm = server.settled(None);
        set(BEFORE);
        thread::sleep(CALM);
        set(DURING);
        let storm = rage(&door, strangers, silent, noisy);
        set(SETTLING);
        let held = server.settled(Some(warm));
        set(AFTER);
        thread::sleep(CALM);
        set(OVER);
        let works: Vec<_> = workers.into_iter().map(|w| w.join().unwrap()).collect();
        (warm, held, storm, works)
    });

    println!(
        "{:>7} {:>10} {:>8} {:>8} {:>8} {:>12} {:>8} {:>8} {:>8}",
        "", "exchanges", "p50 ms", "p99 ms", "max ms", "admissions", "p50 ms", "p99 ms", "max ms"
    );
    for (name, at) in [("before", BEFORE), ("during", DURING), ("after", AFTER)] {
        let mut exchanges: Vec<f64> = works[1..].iter().flat_map(|w| w.took[at].clone()).collect();
        let admissions = &mut works[0].took[at];
        let [p50, p99, max] = spread(&mut exchanges);
        let [a50, a99, a_max] = spread(admissions);
        println!(
            "{name:>7} {:>10} {p50:>8.2} {p99:>8.2} {max:>8.2} {:>12} {a50:>8.2} {a99:>8.2} {a_max:>8.2}",
            exchanges.len(),
            admissions.len(),
        );
    }
    println!(
        "storm: {} handshakes with unknown keys in {:.1} s, {} of them told 400; {} times {silent} silent connections and {noisy} of garbage",
        storm.came,
        storm.took.as_secs_f64(),
        storm.refused,
        storm.waves
    );
    println!(
        "server: {} KiB before, {} KiB after, {} KiB at most; {} and {} descriptors; {} and {} threads; {} and {} of {FRIENDS} peers known; {} refusals, {} reports missed",
        warm.resident,
        held.resident,
        held.peak,
        warm.descriptors,
        held.descriptors,
        warm.threads,
        held.threads,
        warm.peers,
        held.peers,
        held.refused,
        held.missed
    );
    let lost: usize = works.iter().map(|work| work.lost).sum();
    let ended: usize = works.iter().map(|work| work.ended).sum();
    let promises = [
        ("no message or admission was lost", lost == 0),
        ("no admitted peer's connection ended", ended == 0),
        ("no stranger got in", storm.entered + held.intruders == 0),
        ("the server knows its peers", held.peers == FRIENDS),
        (
            "memory returned, but for 2 MiB",
            held.resident <= warm.resident + GROWTH,
        ),
        (
            "descriptors and threads returned",
            held.descriptors <= warm.descriptors && held.threads <= warm.threads,
        ),
    ];
    for (promise, kept) in promises {
        println!("{} {promise}", if kept { "yes:" } else { "NO: " });
    }
    ExitCode::from(u8::from(!promises.iter().all(|(_, kept)| *kept)))
}

/// Says that it is over when it goes.
struct End<'a>(&'a AtomicUsize);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(OVER, Ordering::Relaxed);
    }
}

fn descriptors_allowed() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.unwrap().split_whitespace().nth(3).unwrap();
    soft.parse().unwrap_or(usize::MAX)
}

/// What a client has to know.
#[derive(Clone)]
struct Door {
    endpoint: String,
    server: PublicKey,
}

impl Door {
    fn address(&self) -> SocketAddr {
        self.endpoint.trim_start_matches("tcp://").parse().unwrap()
    }

    fn enter(&self, context: &Context, client: &SecretCertificate) -> ironhouse::Result<Socket> {
        context
            .socket(SocketType::Dealer)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(CurveClient::new(client, self.server))
            .connect_checked(&self.endpoint, SOON)
    }
}

/// What an admitted peer saw.
#[derive(Default)]
struct Work {
    /// Milliseconds, by phase.
    took: [Vec<f64>; 5],
    lost: usize,
    /// Connections that ended.
    ended: usize,
}

impl Work {
    /// Does something over and over until it is over; it says whether it went well.
    fn repeat(&mut self, phase: &AtomicUsize, mut done: impl FnMut(usize) -> bool) {
        for number in 0.. {
            let now = phase.load(Ordering::Relaxed);
            if now == OVER {
                return;
            }
            let start = Instant::now();
            if done(number) {
                self.took[now].push(start.elapsed().as_secs_f64() * 1e3);
            } else {
                self.lost += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether what is sent comes back.
fn exchange(socket: &Socket, number: usize) -> bool {
    let text = number.to_string();
    socket.send(&*text).is_ok() && socket.recv().is_ok_and(|reply| reply == text)
}

fn stay(door: &Door, key: &SecretCertificate, phase: &AtomicUsize) -> Work {
    let mut work = Work::default();
    let socket = door.enter(&Context::new().unwrap(), key).unwrap();
    let monitor = Monitor::attach(&socket).unwrap();
    work.repeat(phase, |number| exchange(&socket, number));
    while let Some(event) = monitor.next(Some(Duration::ZERO)).unwrap() {
        work.ended += usize::from(matches!(event.kind, EventKind::Disconnected { .. }));
    }
    work
}

fn come_and_go(door: &Door, key: &SecretCertificate, phase: &AtomicUsize) -> Work {
    let mut work = Work::default();
    let context = Context::new().unwrap();
    work.repeat(phase, |number| {
        door.enter(&context, key)
            .is_ok_and(|socket| exchange(&socket, number))
    });
    work
}

struct Storm {
    took: Duration,
    /// Strangers who came.
    came: usize,
    /// Strangers who were told so.
    refused: usize,
    /// Strangers who got in.
    entered: usize,
    /// How many times all the silent and the noisy ones came.
    waves: usize,
}

/// A storm of so many strangers, with others beside them as long as it lasts.
fn rage(door: &Door, strangers: usize, silent: usize, noisy: usize) -> Storm {
    let start = Instant::now();
    let [begun, refused, entered] = [0; 3].map(AtomicUsize::new);
    let over = AtomicBool::new(false);
    let come = || {
        let context = Context::new().unwrap();
        while start.elapsed() < LONGEST && begun.fetch_add(1, Ordering::Relaxed) < strangers {
            let stranger = SecretCertificate::generate().unwrap();
            match door.enter(&context, &stranger) {
                Ok(_) => entered.fetch_add(1, Ordering::Relaxed),
                Err(Error::Handshake { problem, .. }) => {
                    let told = problem == HandshakeProblem::Refused { status: 400 };
                    refused.fetch_add(usize::from(told), Ordering::Relaxed)
                }
                Err(error) => panic!("{error}"),
            };
        }
    };
    let waves = thread::scope(|scope| {
        let intruders = scope.spawn(|| {
            let mut waves = 0;
            while !over.load(Ordering::Relaxed) {
                intrude(door.address(), silent, noisy)
                    .into_iter()
                    .for_each(wait_for_end);
                waves += 1;
            }
            waves
        });
        let strangers: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(come)).collect();
        strangers.into_iter().for_each(|one| one.join().unwrap());
        over.store(true, Ordering::Relaxed);
        intruders.join().unwrap()
    });
    Storm {
        took: start.elapsed(),
        came: begun.into_inner().min(strangers),
        refused: refused.into_inner(),
        entered: entered.into_inner(),
        waves,
    }
}

/// What the server's process has.
#[derive(Clone, Copy)]
struct Held {
    resident: i64,
    peak: i64,
    descriptors: usize,
    threads: usize,
    /// How many of those who stay the authenticator lists by their key, alone or among others.
    peers: usize,
    refused: usize,
    /// Who was admitted and is no friend.
    intruders: usize,
    missed: usize,
}

/// The server, in a process of its own.
struct Server {
    door: Door,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(friends: &[SecretCertificate]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--server")
            .args(friends.iter().map(|key| key.public_key().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        let (endpoint, key) = ready.split_once(' ').unwrap();
        let door = Door {
            endpoint: endpoint.to_owned(),
            server: key.parse().unwrap(),
        };
        Self { door, child, lines }
    }

    fn held(&mut self) -> Held {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let line = self.lines.next().unwrap().unwrap();
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || -> i64 { numbers.next().unwrap() };
        Held {
            resident: next(),
            peak: next(),
            descriptors: next() as usize,
            threads: next() as usize,
            peers: next() as usize,
            refused: next() as usize,
            intruders: next() as usize,
            missed: next() as usize,
        }
    }

    /// What it has once the connections of the storm have ended: as few as it had, or until none has ended for some time.
    fn settled(&mut self, before: Option<Held>) -> Held {
        let start = Instant::now();
        let mut last = (self.held(), start);
        loop {
            let now = self.held();
            // Those who come and go may be there or not.
            if now.descriptors < last.0.descriptors {
                last = (now, Instant::now());
            }
            let returned = before.is_some_and(|before| {
                now.descriptors <= before.descriptors && now.threads <= before.threads
            });
            if returned || last.1.elapsed() > HANDSHAKE_IVL || start.elapsed() > SOON {
                return match before {
                    Some(_) => now,
                    None => last.0,
                };
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The server's process: says what it has whenever it is asked, until the end of its input.
fn serve(friends: &[String]) -> ! {
    let stayers: Vec<PeerIdentity> = friends
        .iter()
        .skip(1)
        .map(|key| PeerIdentity::Key(key.parse().unwrap()))
        .collect();
    let friends: HashSet<String> = friends.iter().cloned().collect();
    let context = Context::new().unwrap();
    let authenticator = Authenticator::start(&context).unwrap();
    let store = CertificateStore::in_memory();
    for friend in &friends {
        let key = friend.parse().unwrap();
        store
            .insert(ironhouse::security::Certificate::new(key))
            .unwrap();
    }
    let domain = authenticator
        .domain("storm", Policy::new().curve(CurvePolicy::store(store)))
        .unwrap();
    let certificate = SecretCertificate::generate().unwrap();
    let socket = context
        .socket(SocketType::Router)
        .set(options::BACKLOG, 1024)
        .set(options::HANDSHAKE_IVL, HANDSHAKE_IVL)
        .secure(CurveServer::new(&certificate, &domain))
        .open()
        .unwrap();
    let endpoint = socket.bind("tcp://127.0.0.1:*").unwrap();
    let counts = Arc::new([0; 3].map(AtomicUsize::new));
    thread::spawn({
        let (events, counts) = (authenticator.events(), counts.clone());
        move || {
            while let Some(event) = events.next(None) {
                if let AuditEvent::Decision(decision) = event {
                    let friend = decision
                        .identity
                        .name()
                        .is_some_and(|key| friends.contains(&*key));
                    let admitted = decision.status == StatusCode::Success;
                    counts[0].fetch_add(usize::from(!admitted), Ordering::Relaxed);
                    counts[1].fetch_add(usize::from(admitted && !friend), Ordering::Relaxed);
                }
                counts[2].store(events.dropped() as usize, Ordering::Relaxed);
            }
        }
    });
    thread::spawn(move || {
        loop {
            socket
                .send_multipart(socket.recv_multipart().unwrap())
                .unwrap();
        }
    });
    println!("{endpoint} {}", certificate.public_key());
    for _ in std::io::stdin().lines() {
        let count = |what: &str| {
            std::fs::read_dir(format!("/proc/self/{what}"))
                .unwrap()
                .count()
        };
        let [refused, intruders, missed] =
            [0, 1, 2].map(|at: usize| counts[at].load(Ordering::Relaxed));
        let peers = authenticator.peers();
        let known: Vec<_> = peers.iter().flat_map(|peer| &peer.candidates[..]).collect();
        println!(
            "{} {} {} {} {} {refused} {intruders} {missed}",
            memory("VmRSS:"),
            memory("VmHWM:"),
            count("fd"),
            count("task"),
            stayers.iter().filter(|key| known.contains(key)).count(),
        );
    }
    std::process::exit(0);
}
