//! What a signed store costs: its first load beside the bare Ed25519 verifications of the same certificates on the same cores, and what a
//! change costs afterwards.
//!
//! `cargo bench --bench signing -- [--json] [N…]`; 100 000 certificates unless given. Each N runs in a process of its own.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::security::{
    Certificate, CertificateStore, PublicKey, RevocationList, SigningKey, Trust, VerifyKey,
};

const DEADLINE: Duration = Duration::from_secs(600);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

fn main() {
    let mut json = false;
    let mut sizes = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says that this is a benchmark.
            "--bench" => {}
            "--json" => json = true,
            "--one" => return one(arguments.next().unwrap().parse().unwrap(), json),
            size => sizes.push(size.parse::<u32>().unwrap()),
        }
    }
    if sizes.is_empty() {
        sizes = vec![100_000];
    }
    for size in sizes {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(json.then_some("--json"));
        let status = child.args(["--one", &size.to_string()]).status().unwrap();
        assert!(status.success());
    }
}

fn one(size: u32, json: bool) {
    let temp = tempfile::tempdir().unwrap();
    let (directory, keyfile) = (temp.path().join("certs"), temp.path().join("keys"));
    let list = temp.path().join("list");
    let administrator = SigningKey::generate().unwrap();
    let trusted = *administrator.verify_key();
    fs::create_dir(&directory).unwrap();
    let certificates: Vec<Certificate> = (0..size).map(|n| signed(n, &administrator, 1)).collect();
    let mut lines = String::new();
    for (n, certificate) in certificates.iter().enumerate() {
        put(&directory, n as u32, certificate);
        write!(lines, "{}", certificate.public_key()).unwrap();
        for (name, value) in certificate.metadata() {
            write!(lines, " {name}=\"{value}\"").unwrap();
        }
        lines.push('\n');
    }
    fs::write(&keyfile, &lines).unwrap();
    RevocationList::new()
        .issue(&list, &administrator, MONTH)
        .unwrap();
    // Files of the last moments are read once more: let them settle, as files at rest have.
    thread::sleep(Duration::from_millis(100));

    // In turns, so that what else the machine does falls on all alike; the best of each counts.
    let trust = || Trust::default().revocations(trusted, &list);
    let prepared: Vec<_> = certificates.iter().map(prepare).collect();
    let mut best = [(f64::MAX, f64::MAX); 5];
    for _ in 0..3 {
        let runs: [&dyn Fn(); 5] = [
            &|| bare(&prepared, trusted),
            &|| {
                let store = CertificateStore::signed_directory(&directory, trust()).unwrap();
                assert_eq!(store.len(), size as usize);
            },
            &|| {
                let store = CertificateStore::signed_keyfile(&keyfile, trust()).unwrap();
                assert_eq!(store.len(), size as usize);
            },
            &|| drop(CertificateStore::directory(&directory).unwrap()),
            &|| drop(CertificateStore::keyfile(&keyfile).unwrap()),
        ];
        for (best, run) in best.iter_mut().zip(runs) {
            let (start, before) = (Instant::now(), cpu());
            run();
            best.0 = best.0.min(start.elapsed().as_secs_f64());
            best.1 = best.1.min(cpu() - before);
        }
    }
    let wall = best.map(|(wall, _)| wall);
    let [
        bare_s,
        signed_directory,
        signed_keyfile,
        directory_s,
        keyfile_s,
    ] = wall;
    let [bare_cpu, directory_cpu, keyfile_cpu, ..] = best.map(|(_, cpu)| cpu);

    let store = CertificateStore::signed_directory(&directory, trust()).unwrap();
    let time = |change: &dyn Fn()| {
        let start = Instant::now();
        change();
        store.sync(DEADLINE).unwrap();
        start.elapsed().as_secs_f64()
    };
    let replaced = time(&|| put(&directory, 0, &signed(0, &administrator, 2)));
    let revoked = RevocationList::load(&list, &trusted).unwrap();
    let revoked = revoked.revoke(key(1), "left").unwrap();
    let revoked = time(&|| drop(revoked.clone().issue(&list, &administrator, MONTH).unwrap()));
    assert_eq!(store.len(), size as usize - 1);
    let removed = time(&|| store.set_trust(Trust::default()).unwrap());
    assert!(store.is_empty());
    let trusted_again = time(&|| store.set_trust(trust()).unwrap());
    assert_eq!(store.len(), size as usize - 1);

    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    if json {
        println!(
            "{{\"n\":{size},\"cores\":{cores},\"bare_s\":{bare_s:.4},\"directory_s\":{signed_directory:.4},\"keyfile_s\":{signed_keyfile:.4},\
             \"unsigned_directory_s\":{directory_s:.4},\"unsigned_keyfile_s\":{keyfile_s:.4},\
             \"directory_ratio\":{:.3},\"keyfile_ratio\":{:.3},\"directory_cpu_ratio\":{:.3},\"keyfile_cpu_ratio\":{:.3},\
             \"replace_s\":{replaced:.6},\"revoke_s\":{revoked:.4},\"distrust_s\":{removed:.4},\"trust_s\":{trusted_again:.4}}}",
            signed_directory / bare_s,
            signed_keyfile / bare_s,
            directory_cpu / bare_cpu,
            keyfile_cpu / bare_cpu,
        );
        return;
    }
    println!("{size} certificates, {cores} cores; seconds, and beside the bare verifications");
    for (what, seconds) in [
        ("bare Ed25519 verifications", bare_s),
        ("load of a signed directory", signed_directory),
        ("load of a signed key file", signed_keyfile),
        ("load of the directory, unsigned", directory_s),
        ("load of the key file, unsigned", keyfile_s),
        ("one certificate replaced", replaced),
        ("one certificate revoked", revoked),
        ("their administrator believed no more", removed),
        ("and again", trusted_again),
    ] {
        println!("{what:>38} {seconds:>10.4} {:>8.3}", seconds / bare_s);
    }
    // Less fickle where other programs run.
    println!(
        "in time of processors: bare {bare_cpu:.2}; directory {:.3}, key file {:.3} times that",
        directory_cpu / bare_cpu,
        keyfile_cpu / bare_cpu
    );
}

/// What is verified, and the signature of it.
fn prepare(certificate: &Certificate) -> (Vec<u8>, [u8; 64]) {
    let signature = z85::decode(certificate.meta("signature").unwrap()).unwrap();
    (certificate.canonical_form(), signature.try_into().unwrap())
}

/// Verifies all, on all cores, and does nothing else.
fn bare(prepared: &[(Vec<u8>, [u8; 64])], trusted: VerifyKey) {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    thread::scope(|scope| {
        for part in prepared.chunks(prepared.len().div_ceil(cores).max(1)) {
            scope.spawn(move || {
                for (message, signature) in part {
                    assert!(trusted.verifies(signature, message));
                }
            });
        }
    });
}

/// Seconds of processor time spent so far; Linux.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn key(n: u32) -> PublicKey {
    let mut bytes = [0x5a; 32];
    for (to, from) in bytes
        .iter_mut()
        .zip(n.wrapping_mul(0x9e37_79b1).to_le_bytes())
    {
        *to = from;
    }
    PublicKey::from_bytes(bytes)
}

fn signed(n: u32, administrator: &SigningKey, serial: u64) -> Certificate {
    let named = Certificate::new(key(n)).with_meta("name", &format!("pump {n}"));
    named
        .unwrap()
        .sign_with_serial(administrator, serial)
        .unwrap()
}

/// Without the disk's confirmation, which a hundred thousand files would wait for.
fn put(directory: &Path, n: u32, certificate: &Certificate) {
    let mut text = String::from("metadata\n");
    for (name, value) in certificate.metadata() {
        writeln!(text, "    {name} = \"{value}\"").unwrap();
    }
    let key = certificate.public_key();
    write!(text, "curve\n    public-key = \"{key}\"\n").unwrap();
    fs::write(directory.join(format!("client-{n}.txt")), text).unwrap();
}
