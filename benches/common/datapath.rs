//! One sample of the data path, with any library's sockets: the steps of `benches/c/data.c`.
//!
//! The programs in `benches/rivals` include this file too.
#![allow(dead_code)]

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// What to measure: `KIND TRANSPORT MECHANISM SIZE COUNT` on the command line.
#[derive(Clone)]
pub struct Job {
    /// Round trips of a REQ and a REP; else messages from a PUSH to a PULL.
    pub latency: bool,
    transport: String,
    /// NULL or CURVE; where sockets are awaited, how the runtimes stand.
    pub mechanism: String,
    pub size: usize,
    pub count: u64,
}

impl Job {
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let [kind, transport, mechanism, size, count] = arguments else {
            return None;
        };
        Some(Self {
            latency: kind == "latency",
            transport: transport.clone(),
            mechanism: mechanism.clone(),
            size: size.parse().ok()?,
            count: count.parse().ok()?,
        })
    }

    pub fn is_curve(&self) -> bool {
        self.mechanism == "CURVE"
    }

    /// Round trips, or messages, before the clock runs.
    pub fn warm(&self) -> u64 {
        if self.latency { self.count / 10 + 1 } else { 1 }
    }

    /// High-water mark: at most 32 MiB wait in a queue.
    pub fn limit(&self) -> i32 {
        ((32 << 20) / self.size.max(1)).clamp(1, 1000) as i32
    }

    /// Both sides share one context.
    pub fn is_inproc(&self) -> bool {
        self.transport == "inproc"
    }

    pub fn is_tcp(&self) -> bool {
        self.transport == "tcp"
    }

    pub fn endpoint(&self) -> String {
        match &self.transport[..] {
            "tcp" => "tcp://127.0.0.1:*".into(),
            other => format!("{other}://@ironhouse-data-{}", std::process::id()),
        }
    }

    /// Runs a PUSH that sends a content, and a PULL that receives one and answers its size.
    pub fn throughput(
        &self,
        version: &str,
        mut send: impl FnMut(&[u8]) + Send,
        mut receive: impl FnMut() -> usize,
    ) -> ! {
        let (started, content) = (Barrier::new(2), vec![7; self.size]);
        let clocks = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                send(&content);
                started.wait();
                for _ in 0..self.count {
                    send(&content);
                }
            });
            assert_eq!(receive(), self.size);
            let clocks = Clocks::start();
            started.wait();
            for _ in 0..self.count {
                assert_eq!(receive(), self.size);
            }
            let clocks = clocks.stop();
            sender.join().unwrap();
            clocks
        });
        report(clocks, version)
    }

    /// Runs a REQ that sends a content and answers the size of the reply, and a REP that echoes one message.
    pub fn latency(
        &self,
        version: &str,
        mut ask: impl FnMut(&[u8]) -> usize,
        mut echo: impl FnMut() + Send,
    ) -> ! {
        let (warm, content) = (self.warm(), vec![7; self.size]);
        let clocks = thread::scope(|scope| {
            let echoes = scope.spawn(|| (0..warm + self.count).for_each(|_| echo()));
            for _ in 0..warm {
                assert_eq!(ask(&content), self.size);
            }
            let clocks = Clocks::start();
            for _ in 0..self.count {
                assert_eq!(ask(&content), self.size);
            }
            let clocks = clocks.stop();
            echoes.join().unwrap();
            clocks
        });
        report(clocks, version)
    }
}

/// Ends a sample.
pub fn report([seconds, cpu]: [f64; 2], version: &str) -> ! {
    println!("{seconds:.9} {cpu:.9} {version}");
    // The system takes the sockets and contexts.
    std::process::exit(0)
}

/// Since when a sample runs, and the CPU time before.
pub struct Clocks(Instant, f64);

impl Clocks {
    pub fn start() -> Self {
        Self(Instant::now(), cpu_time())
    }

    /// Seconds, and CPU seconds of all threads.
    pub fn stop(self) -> [f64; 2] {
        [self.0.elapsed().as_secs_f64(), cpu_time() - self.1]
    }
}

#[allow(unsafe_code)]
fn cpu_time() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec through a valid pointer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
