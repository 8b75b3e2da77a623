//! CURVE handshakes over TCP: a server in a process of its own, and clients that connect, send one message and go.
#![allow(dead_code)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::{CurveClient, PublicKey, SecretCertificate};
use ironhouse::{Context, Socket, SocketType};

/// A handshake that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server in a process of its own: libsodium guards each connection's keys by calls that lock the whole memory of a process, and clients
/// in the same one would be measured too.
pub struct Server {
    key: PublicKey,
    endpoint: String,
    /// Whose first message was there when.
    arrivals: Receiver<(usize, Instant)>,
    child: Child,
}

impl Server {
    /// This program, told by its arguments to be a server, which calls `serve` then.
    pub fn start(arguments: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        let (endpoint, key) = ready.split_once(' ').unwrap();
        let (report, arrivals) = channel();
        thread::spawn(move || {
            for line in lines {
                let number = line.unwrap().parse().unwrap();
                if report.send((number, Instant::now())).is_err() {
                    return;
                }
            }
        });
        Self {
            key: key.parse().unwrap(),
            endpoint: endpoint.to_owned(),
            arrivals,
            child,
        }
    }

    /// Seconds that its threads have been on a processor.
    pub fn cpu_time(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let times = threads.map(|thread| {
            let told = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
            told.split(' ').next().unwrap().parse::<f64>().unwrap()
        });
        times.sum::<f64>() * 1e-9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The server's process: a number a line, as soon as a message brings it, until the end of its input.
pub fn serve(socket: Socket, key: &PublicKey) -> ! {
    let endpoint = socket.bind("tcp://127.0.0.1:*").unwrap();
    println!("{endpoint} {key}");
    thread::spawn(move || {
        loop {
            let message = socket.recv_multipart().unwrap();
            println!("{}", message[1].as_str().unwrap());
        }
    });
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(0);
}

/// Clients that connect, send one message and go.
pub struct Load<'a> {
    server: &'a Server,
    context: Context,
    slow: &'a [SecretCertificate],
    fast: &'a [SecretCertificate],
    /// Of those that are slow.
    pub share: f64,
    /// When each was to begin, by its number.
    pub open: HashMap<usize, (Instant, bool, Socket)>,
    /// Milliseconds from then until its message was there.
    pub others: Vec<f64>,
    pub slow_ones: Vec<f64>,
}

impl<'a> Load<'a> {
    pub fn new(
        server: &'a Server,
        slow: &'a [SecretCertificate],
        fast: &'a [SecretCertificate],
    ) -> Self {
        Self {
            server,
            context: Context::new().unwrap(),
            slow,
            fast,
            share: 0.0,
            open: HashMap::new(),
            others: Vec::new(),
            slow_ones: Vec::new(),
        }
    }

    fn begin(&mut self, due: Instant) {
        // Never the same twice: a message may come after its run has ended.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = (number as u32).wrapping_mul(0x9e37_79b1) as f64 / 2f64.powi(32);
        let is_slow = spread < self.share;
        let keys = if is_slow { self.slow } else { self.fast };
        let socket = self
            .context
            .socket(SocketType::Dealer)
            .secure(CurveClient::new(
                &keys[number % keys.len()],
                self.server.key,
            ))
            .open()
            .unwrap();
        socket.connect(&self.server.endpoint).unwrap();
        socket.send(number.to_string().as_str()).unwrap();
        self.open.insert(number, (due, is_slow, socket));
    }

    /// Takes one arrival; false if there was none in time.
    fn end_one(&mut self, timeout: Duration) -> bool {
        let Ok((number, arrived)) = self.server.arrivals.recv_timeout(timeout) else {
            return false;
        };
        if let Some((due, is_slow, _)) = self.open.remove(&number) {
            let took = arrived.saturating_duration_since(due).as_secs_f64() * 1e3;
            if is_slow {
                self.slow_ones.push(took);
            } else {
                self.others.push(took);
            }
        }
        true
    }

    /// So many a second, whether or not those before have ended.
    pub fn run(&mut self, rate: f64, time: Duration) {
        let (start, step) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
        for turn in 0.. {
            let due = start + step * turn;
            if due > start + time {
                break;
            }
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                self.end_one(left);
            }
            self.begin(due);
        }
        while !self.open.is_empty() && self.end_one(PATIENCE) {}
    }

    /// How many a second end, where always so many are in flight.
    pub fn rate(&mut self, in_flight: usize, time: Duration) -> f64 {
        let start = Instant::now();
        while start.elapsed() < time {
            while self.open.len() < in_flight {
                self.begin(Instant::now());
            }
            assert!(self.end_one(PATIENCE));
        }
        self.others.len() as f64 / start.elapsed().as_secs_f64()
    }
}
