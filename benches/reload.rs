//! How long until a change in a certificate directory or a key file is in force, what it costs, and whether decisions wait for it.
//!
//! `cargo bench --bench reload -- [--json] [N…]`. Each N runs in a process of its own, so that memory can be told apart. Where
//! `$BENCH_CERTS/N` is a directory of N certificates, it is used, with one file more for the time of the run; else one is made, which for a
//! million takes 4 GB of disk for some minutes.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{memory, quantile, spread};
use ironhouse::security::{Authenticator, CertificateStore, CurvePolicy, Policy, PublicKey};
use ironhouse::{Context, Socket, SocketType};

/// Changes measured, and how long one may take.
const ROUNDS: usize = 300;
const DEADLINE: Duration = Duration::from_secs(60);
/// How long decisions are measured at a time, how often, and the pause between two changes meanwhile.
const WINDOW: Duration = Duration::from_millis(500);
const WINDOWS: usize = 6;
const PAUSE: Duration = Duration::from_millis(1);

const CHANGES: [&str; 4] = ["add", "replace", "remove", "sync"];
const DECISIONS: [&str; 4] = [
    "known_quiet",
    "known_changing",
    "unknown_quiet",
    "unknown_changing",
];

fn main() {
    let mut arguments = common::arguments();
    if let [one, layout, size] = &arguments[..] {
        if one == "--one" {
            return run(layout == "keyfile", size.parse().unwrap());
        }
    }
    let all = arguments.len();
    arguments.retain(|argument| argument != "--json");
    let json = arguments.len() < all;
    if arguments.is_empty() {
        arguments = [10, 1000, 10_000].map(|size| size.to_string()).into();
    }
    let mut lines = Vec::new();
    for size in &arguments {
        for layout in ["directory", "keyfile"] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--one", layout, size])
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&child.stderr);
            assert!(child.status.success(), "{errors}");
            lines.push(String::from_utf8(child.stdout).unwrap());
        }
    }
    if json {
        lines.iter().for_each(|line| print!("{line}"));
        return;
    }
    table(
        &lines,
        "microseconds until in force, median/p99/max:",
        &CHANGES,
    );
    lines.retain(|line| line.contains("known_quiet"));
    let title = "microseconds for a ZAP decision on a known or unknown key, while nothing or a file changes:";
    table(&lines, title, &DECISIONS);
}

fn table(lines: &[String], title: &str, columns: &[&str]) {
    println!("{title}");
    let head = format!(
        "{:>9} {:>8} {:>8} {:>7} {:>9}",
        "", "N", "load s", "B/cert", "lookup ns"
    );
    print!("{head}");
    columns.iter().for_each(|name| print!(" {name:>22}"));
    println!();
    for line in lines {
        let value = |name: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
            let end = rest.find([',', '}']).unwrap();
            rest[..end].trim_matches('"').to_owned()
        };
        print!(
            "{:>9} {:>8} {:>8.6} {:>7} {:>9}",
            value("layout"),
            value("n"),
            value("load_s"),
            value("bytes_per_certificate"),
            value("lookup_ns"),
        );
        for name in columns {
            let three = ["", "_p99", "_max"].map(|what| value(&format!("{name}{what}_us")));
            print!(" {:>22}", three.join("/"));
        }
        println!();
    }
}

fn key(n: u32) -> PublicKey {
    let mut bytes = [0; 32];
    // Spread as real keys are; the constant is odd, so no two numbers give one key.
    for (word, chunk) in bytes.chunks_mut(4).enumerate() {
        let mixed = (n ^ (word as u32) << 27).wrapping_mul(0x9e37_79b1);
        chunk.copy_from_slice(&mixed.to_le_bytes());
    }
    PublicKey::from_bytes(bytes)
}

fn put(path: &Path, key: PublicKey) {
    let text = format!("metadata\ncurve\n    public-key = \"{key}\"\n");
    fs::write(path, text).unwrap();
}

/// Certificates on disk, to which one is added and taken from.
struct Place {
    /// The directory or the key file.
    path: PathBuf,
    /// The certificate that comes and goes, and what replaces it (or the whole key file).
    spare: PathBuf,
    next: PathBuf,
    /// The key file's lines, without the spare one.
    lines: Option<String>,
    _temp: tempfile::TempDir,
}

impl Place {
    fn make(keyfile: bool, size: u32) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let made = std::env::var_os("BENCH_CERTS")
            .map(|certs| Path::new(&certs).join(size.to_string()))
            .filter(|path| path.is_dir() && !keyfile);
        let mut place = Self {
            path: made.clone().unwrap_or_else(|| temp.path().to_owned()),
            spare: PathBuf::new(),
            next: PathBuf::new(),
            lines: keyfile.then(String::new),
            _temp: temp,
        };
        place.spare = place.path.join("reload-bench.key");
        place.next = place.path.join(".reload-bench");
        if made.is_none() {
            for n in 0..size {
                match &mut place.lines {
                    Some(lines) => lines.push_str(&format!("{}\n", key(n))),
                    None => put(&place.path.join(format!("client-{n}.txt")), key(n)),
                }
            }
        }
        if keyfile {
            place.path.push("keys");
            place.rewrite(None);
        }
        // Files of the last moments are read once more: let them settle, as files at rest have.
        thread::sleep(Duration::from_millis(100));
        place
    }

    fn store(&self) -> CertificateStore {
        match self.lines {
            Some(_) => CertificateStore::keyfile(&self.path).unwrap(),
            None => CertificateStore::directory(&self.path).unwrap(),
        }
    }

    /// The key file anew, with at most one key more.
    fn rewrite(&self, more: Option<PublicKey>) {
        let mut text = self.lines.clone().unwrap_or_default();
        more.iter()
            .for_each(|key| text.push_str(&format!("{key}\n")));
        fs::write(&self.next, text).unwrap();
        fs::rename(&self.next, &self.path).unwrap();
    }

    fn add(&self, key: PublicKey) {
        if self.lines.is_none() {
            return put(&self.spare, key);
        }
        let file = fs::File::options().append(true).open(&self.path);
        file.unwrap()
            .write_all(format!("{key}\n").as_bytes())
            .unwrap();
    }

    fn replace(&self, key: PublicKey) {
        if self.lines.is_some() {
            return self.rewrite(Some(key));
        }
        put(&self.next, key);
        fs::rename(&self.next, &self.spare).unwrap();
    }

    fn remove(&self) {
        if self.lines.is_some() {
            return self.rewrite(None);
        }
        fs::remove_file(&self.spare).unwrap();
    }
}

impl Drop for Place {
    /// A directory of somebody else's is left as it was.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.spare);
        let _ = fs::remove_file(&self.next);
    }
}

fn run(keyfile: bool, size: u32) {
    let place = Place::make(keyfile, size);
    let before = memory("VmRSS:");
    let start = Instant::now();
    let store = Arc::new(place.store());
    let load = start.elapsed();
    assert_eq!(store.len(), size as usize);
    let bytes = (memory("VmRSS:") - before) * 1024 / i64::from(size.max(1));

    let known: Vec<PublicKey> = store.keys().into_iter().take(1000).collect();
    let mut lookup = vec![0.0; 101];
    for sample in &mut lookup {
        let start = Instant::now();
        let found = (0..1000).filter(|n| store.lookup(&known[n % known.len()]).is_some());
        let found = found.count();
        *sample = start.elapsed().as_secs_f64() * 1e9 / 1000.0;
        assert_eq!(found, 1000);
    }

    let [first, second] = [u32::MAX, u32::MAX - 1].map(key);
    let holds = |key: &PublicKey| store.lookup(key).is_some();
    // A key file is read whole after each change.
    let rounds = if keyfile {
        (3_000_000 / size.max(1) as usize).clamp(5, ROUNDS)
    } else {
        ROUNDS
    };
    let mut took = CHANGES.map(|name| (name, Vec::new()));
    for _ in 0..rounds {
        place.add(first);
        took[0].1.push(until(|| holds(&first)));
        place.replace(second);
        took[1].1.push(until(|| holds(&second) && !holds(&first)));
        place.remove();
        took[2].1.push(until(|| !holds(&second)));
        let start = Instant::now();
        store.sync(DEADLINE).unwrap();
        took[3].1.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let mut fields: Vec<String> = took.iter_mut().map(|(n, took)| triple(n, took)).collect();
    if !keyfile {
        let took = decisions(&store, &known, || {
            place.add(first);
            thread::sleep(PAUSE);
            place.replace(second);
            thread::sleep(PAUSE);
            place.remove();
            thread::sleep(PAUSE);
        });
        let named = DECISIONS.iter().zip(took);
        fields.extend(named.map(|(name, mut took)| triple(name, &mut took)));
    }
    println!(
        "{{\"layout\":\"{}\",\"n\":{size},\"load_s\":{:.6},\"bytes_per_certificate\":{bytes},\"lookup_ns\":{:.1},{}}}",
        if keyfile { "keyfile" } else { "directory" },
        load.as_secs_f64(),
        quantile(&mut lookup, 0.5),
        fields.join(","),
    );
}

/// Microseconds until `done`, counted from now: the call that made the change has just returned.
fn until(done: impl Fn() -> bool) -> f64 {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE);
        std::hint::spin_loop();
    }
    start.elapsed().as_secs_f64() * 1e6
}

/// Microseconds of single decisions, asked as libzmq asks, one at a time: of known keys while nothing changes and while `change` is called
/// all the time, and of an unknown key.
fn decisions(
    store: &Arc<CertificateStore>,
    known: &[PublicKey],
    change: impl Fn(),
) -> [Vec<f64>; 4] {
    let context = Context::new().unwrap();
    let authenticator = Authenticator::start(&context).unwrap();
    authenticator
        .set_fallback(Policy::new().curve(CurvePolicy::store(store.clone())))
        .unwrap();
    let mut asker = context.socket(SocketType::Dealer).open().unwrap();
    asker.connect("inproc://zeromq.zap.01").unwrap();
    let unknown = [key(u32::MAX - 2)];
    let mut took = [(); 4].map(|()| Vec::new());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for window in 0..WINDOWS * took.len() {
            let which = window % took.len();
            let (keys, status) = [(known, "200"), (&unknown[..], "400")][which / 2];
            over.store(false, Ordering::Relaxed);
            let changing = which % 2 == 1;
            let asking = scope.spawn({
                let (asker, over, took) = (asker, &over, std::mem::take(&mut took[which]));
                move || ask(asker, keys, status, over, took)
            });
            let start = Instant::now();
            while start.elapsed() < WINDOW {
                if changing {
                    change();
                } else {
                    thread::sleep(PAUSE);
                }
            }
            over.store(true, Ordering::Relaxed);
            (asker, took[which]) = asking.join().unwrap();
        }
    });
    took
}

fn ask(
    asker: Socket,
    keys: &[PublicKey],
    status: &str,
    over: &AtomicBool,
    mut took: Vec<f64>,
) -> (Socket, Vec<f64>) {
    let head = ["", "1.0", "1", "bench", "127.0.0.1", "", "CURVE"].map(str::as_bytes);
    for key in keys.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let frames = head.iter().copied().chain([&key.as_bytes()[..]]);
        let start = Instant::now();
        asker.send_multipart(frames).unwrap();
        let reply = asker.recv_multipart().unwrap();
        took.push(start.elapsed().as_secs_f64() * 1e6);
        assert_eq!(reply[3], status);
    }
    (asker, took)
}

fn triple(name: &str, samples: &mut [f64]) -> String {
    let [median, p99, max] = spread(samples);
    format!("\"{name}_us\":{median:.1},\"{name}_p99_us\":{p99:.1},\"{name}_max_us\":{max:.1}")
}
