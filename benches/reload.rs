//! How long until a change in a certificate directory or a key file is in force, and what they cost.
//!
//! `cargo bench --bench reload -- [--json] [N…]`. Each N runs in a process of its own, so that memory can be told apart. A million
//! files take 4 GB of disk for some minutes. `--contender PATH KEYS N SECONDS` is for a harness that compares stores.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ironhouse::security::{CertificateStore, PublicKey};

/// Changes measured, and how long one may take.
const ROUNDS: usize = 300;
const DEADLINE: Duration = Duration::from_secs(60);

fn main() {
    let mut json = false;
    let mut sizes = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says that this is a benchmark.
            "--bench" => {}
            "--json" => json = true,
            "--one" => {
                let layout = arguments.next().unwrap();
                let size = arguments.next().unwrap().parse().unwrap();
                return one(layout == "keyfile", size);
            }
            "--contender" => return contender(&arguments.collect::<Vec<_>>()),
            size => sizes.push(size.parse::<u32>().unwrap()),
        }
    }
    if sizes.is_empty() {
        sizes = vec![10, 1000, 10_000];
    }
    if !json {
        println!(
            "{:>9} {:>9} {:>10} {:>8} {:>10} {:>20} {:>20} {:>20}",
            "",
            "N",
            "load s",
            "B/cert",
            "lookup ns",
            "add µs (p99)",
            "remove µs (p99)",
            "sync µs (p99)"
        );
    }
    let runs = sizes
        .iter()
        .flat_map(|size| [("directory", size), ("keyfile", size)]);
    for (layout, size) in runs {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--one", layout, &size.to_string()])
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "{}",
            String::from_utf8_lossy(&child.stderr)
        );
        let line = String::from_utf8(child.stdout).unwrap();
        if json {
            print!("{line}");
            continue;
        }
        let number = |name: &str| -> f64 {
            let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
            let end = rest.find([',', '}']).unwrap();
            rest[..end].parse().unwrap()
        };
        let pair = |name: &str| {
            let p99 = number(&format!("{name}_p99_us"));
            format!("{:.1} ({p99:.1})", number(&format!("{name}_us")))
        };
        println!(
            "{layout:>9} {size:>9} {:>10.4} {:>8.0} {:>10.1} {:>20} {:>20} {:>20}",
            number("load_s"),
            number("bytes_per_certificate"),
            number("lookup_ns"),
            pair("add"),
            pair("remove"),
            pair("sync"),
        );
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

fn put(dir: &Path, n: u32) {
    let text = format!("metadata\ncurve\n    public-key = \"{}\"\n", key(n));
    fs::write(dir.join(format!("client-{n}.txt")), text).unwrap();
}

/// The key file of all in one, replaced whole.
fn replace(dir: &Path, text: &str) {
    fs::write(dir.join("new"), text).unwrap();
    fs::rename(dir.join("new"), dir.join("keys")).unwrap();
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// One line of JSON for a harness that compares stores, given a directory or a key file, a file of its keys (`public secret`
/// a line), and how many to look up.
fn contender(arguments: &[String]) {
    let (path, keys) = (Path::new(&arguments[0]), &arguments[1]);
    let wanted: usize = arguments[2].parse().unwrap();
    let text = fs::read_to_string(keys).unwrap();
    let keys: Vec<PublicKey> = text
        .lines()
        .take(wanted)
        .map(|line| line[..40].parse().unwrap())
        .collect();
    drop(text);
    let before = resident();
    let start = Instant::now();
    let store = if path.is_dir() {
        CertificateStore::directory(path).unwrap()
    } else {
        CertificateStore::keyfile(path).unwrap()
    };
    let load = start.elapsed();
    let memory = resident().saturating_sub(before) / 1024;
    let mut hits = 0;
    let mut samples: Vec<f64> = (0..20_000)
        .map(|n: usize| {
            let key = &keys[n.wrapping_mul(7919) % keys.len()];
            let start = Instant::now();
            hits += usize::from(store.lookup(key).is_some());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    println!(
        "{{\"load_s\":{:.6},\"first_lookup_s\":{:.9},\"found\":{},\"lookup_us\":{:.3},\"lookups\":{},\"hits\":{hits},\
         \"rss_kb\":{memory},\"peak_kb\":{memory}}}",
        load.as_secs_f64(),
        samples[0] * 1e-6,
        usize::from(hits > 0),
        quantile(&mut samples, 0.5),
        samples.len(),
    );
}

fn one(keyfile: bool, size: u32) {
    let temp = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for n in 0..size {
        if keyfile {
            lines.push_str(&format!("{}\n", key(n)));
        } else {
            put(temp.path(), n);
        }
    }
    if keyfile {
        replace(temp.path(), &lines);
    }
    // Files of the last moments are read once more: let them settle, as files at rest have.
    std::thread::sleep(Duration::from_millis(100));

    let before = resident();
    let start = Instant::now();
    let store = if keyfile {
        CertificateStore::keyfile(temp.path().join("keys")).unwrap()
    } else {
        CertificateStore::directory(temp.path()).unwrap()
    };
    let load = start.elapsed();
    assert_eq!(store.len(), size as usize);
    let memory = resident().saturating_sub(before) / u64::from(size.max(1));

    let mut lookup = vec![0.0; 101];
    for sample in &mut lookup {
        let keys: Vec<_> = (0..1000u32)
            .map(|n| key(n.wrapping_mul(7919) % size))
            .collect();
        let start = Instant::now();
        let found = keys
            .iter()
            .filter(|key| store.lookup(key).is_some())
            .count();
        *sample = start.elapsed().as_secs_f64() * 1e9 / 1000.0;
        assert_eq!(found, 1000);
    }

    let (mut add, mut remove, mut sync) = (Vec::new(), Vec::new(), Vec::new());
    let extra = key(u32::MAX);
    let path = temp.path().join(format!("client-{}.txt", u32::MAX));
    // A key file is read whole after each change.
    let rounds = if keyfile {
        (3_000_000 / size.max(1) as usize).clamp(5, ROUNDS)
    } else {
        ROUNDS
    };
    for _ in 0..rounds {
        if keyfile {
            let mut file = fs::File::options()
                .append(true)
                .open(temp.path().join("keys"))
                .unwrap();
            file.write_all(format!("{extra}\n").as_bytes()).unwrap();
        } else {
            put(temp.path(), u32::MAX);
        }
        add.push(until(|| store.lookup(&extra).is_some()));
        if keyfile {
            replace(temp.path(), &lines);
        } else {
            fs::remove_file(&path).unwrap();
        }
        remove.push(until(|| store.lookup(&extra).is_none()));
        let start = Instant::now();
        store.sync(DEADLINE).unwrap();
        sync.push(start.elapsed().as_secs_f64() * 1e6);
    }
    println!(
        "{{\"layout\":\"{}\",\"n\":{size},\"load_s\":{:.6},\"bytes_per_certificate\":{memory},\"lookup_ns\":{:.1},{},{},{}}}",
        if keyfile { "keyfile" } else { "directory" },
        load.as_secs_f64(),
        quantile(&mut lookup, 0.5),
        both("add", &mut add),
        both("remove", &mut remove),
        both("sync", &mut sync),
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

fn both(name: &str, samples: &mut [f64]) -> String {
    let (median, p99) = (quantile(samples, 0.5), quantile(samples, 0.99));
    format!("\"{name}_us\":{median:.1},\"{name}_p99_us\":{p99:.1}")
}

fn quantile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q) as usize]
}
