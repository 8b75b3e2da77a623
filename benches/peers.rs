//! Ours among the contenders of a peer benchmark harness: the same load, made by the harness's own C library, on our authenticator.
//!
//! ```text
//! peers zapd [--full] STORE BENCHDIR  decisions a second, asked over inproc: "run MECH KEYFILE NKEYS DEPTH SECS" on stdin
//! peers authd STORE SERVERKEYFILE     CURVE handshakes over TCP
//! peers store STORE KEYFILE N SECS    loading, and looking up
//! ```
//!
//! With `--full` (feature `metrics`) all of it is on: signatures, dates, limits, an audit file, a metrics recorder. STORE is a directory of certificates, a key file, or `*` for any key. `$BENCH_BUILD` names the folder that holds `libbench.so`.
#![allow(
    unsafe_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod common;

use std::any::Any;
use std::ffi::{CString, c_char, c_double, c_int, c_void};
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use common::memory;
use ironhouse::Context;
use ironhouse::security::{
    Authenticator, CertificateStore, CurvePolicy, PasswordFile, Policy, PublicKey,
};

fn main() {
    let args = common::arguments();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["zapd", store, base] => zapd(store, Path::new(base), false),
        ["zapd", "--full", store, base] => zapd(store, Path::new(base), true),
        ["authd", store, keyfile] => authd(store, keyfile),
        ["store", store, keyfile, keys, seconds] => {
            look_up(
                store,
                keyfile,
                keys.parse().unwrap(),
                seconds.parse().unwrap(),
            );
        }
        [] => println!("run by benches/peers.sh"),
        _ => std::process::exit(2),
    }
}

fn keys(store: &str) -> CurvePolicy {
    match store {
        "*" => CurvePolicy::any_key(),
        path => CurvePolicy::store(open(path)),
    }
}

fn open(path: &str) -> CertificateStore {
    if Path::new(path).is_dir() {
        CertificateStore::directory(path).unwrap()
    } else {
        CertificateStore::keyfile(path).unwrap()
    }
}

/// An authenticator, what it admits over CURVE, and what else must live.
fn start(context: &Context, store: &str, full: bool) -> (Authenticator, CurvePolicy, Box<dyn Any>) {
    #[cfg(feature = "metrics")]
    if full {
        let (authenticator, store, audit) = common::full::start(context, Path::new(store));
        return (authenticator, CurvePolicy::store(store), Box::new(audit));
    }
    assert!(!full, "built without the feature `metrics`");
    let authenticator = Authenticator::start(context).unwrap();
    (authenticator, keys(store), Box::new(()))
}

fn zapd(store: &str, base: &Path, full: bool) {
    let context = Context::new().unwrap();
    let (authenticator, keys, _audit) = start(&context, store, full);
    let passwords = PasswordFile::in_memory();
    passwords.insert("admin", "secret").unwrap();
    assert!(base.is_dir());
    authenticator
        .set_fallback(Policy::new().null().plain(passwords).curve(keys))
        .unwrap();
    let bench = Bench::load();
    println!("READY");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["run", mechanism, keyfile, keys, depth, seconds] = words[..] else {
            break;
        };
        let [n, took, ok, p50, p99, bad] = bench.zap_run(
            &context,
            mechanism,
            keyfile,
            keys.parse().unwrap(),
            depth.parse().unwrap(),
            seconds.parse().unwrap(),
        );
        println!(
            "{{\"n\":{n:.0},\"seconds\":{took:.6},\"ok\":{ok:.0},\"per_s\":{:.2},\"p50_us\":{p50:.2},\"p99_us\":{p99:.2},\"bad\":{bad:.0}}}",
            n / took
        );
    }
    // The harness's sockets are still open in the context.
    std::process::exit(0);
}

fn authd(store: &str, keyfile: &str) {
    let start = Instant::now();
    let context = Context::new().unwrap();
    let authenticator = Authenticator::start(&context).unwrap();
    authenticator
        .set_fallback(Policy::new().curve(keys(store)))
        .unwrap();
    let ready = start.elapsed();
    let text = std::fs::read_to_string(keyfile).unwrap();
    let secret = text.split_whitespace().nth(1).unwrap();
    println!(
        "READY {} {:.6}",
        Bench::load().echo_start(&context, secret),
        ready.as_secs_f64()
    );
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().trim() {
            "quit" => break,
            // A directory store is always current.
            _ => println!("OK 0.000000"),
        }
    }
    std::process::exit(0);
}

fn look_up(store: &str, keyfile: &str, count: usize, seconds: f64) {
    let text = std::fs::read_to_string(keyfile).unwrap();
    let keys: Vec<PublicKey> = text
        .lines()
        .take(count)
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    let before = memory("VmRSS:");
    let start = Instant::now();
    let store = open(store);
    let load = start.elapsed();
    let start = Instant::now();
    let found = store.lookup(&keys[0]).is_some();
    let first = start.elapsed();
    let start = Instant::now();
    let (mut lookups, mut hits) = (0usize, 0usize);
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        for _ in 0..64 {
            hits += usize::from(
                store
                    .lookup(&keys[lookups.wrapping_mul(7919) % keys.len()])
                    .is_some(),
            );
            lookups += 1;
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / lookups as f64;
    println!(
        "{{\"load_s\":{:.6},\"first_lookup_s\":{:.9},\"found\":{found},\"lookup_us\":{each:.4},\"lookups\":{lookups},\"hits\":{hits},\"rss_kb\":{},\"peak_kb\":{}}}",
        load.as_secs_f64(),
        first.as_secs_f64(),
        memory("VmRSS:") - before,
        memory("VmHWM:") - before,
    );
}

/// The harness's library.
struct Bench {
    echo_start: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    zap_run: unsafe extern "C" fn(
        *mut c_void,
        *const c_char,
        *const c_char,
        c_int,
        c_int,
        c_double,
        *mut c_double,
    ) -> c_int,
}

impl Bench {
    fn load() -> Self {
        let path = std::env::var("BENCH_BUILD")
            .expect("BENCH_BUILD names the harness's build folder")
            + "/libbench.so";
        let path = CString::new(path).unwrap();
        // SAFETY: a path that ends in NUL; the library has no initialisers.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        let symbol = |name: &std::ffi::CStr| {
            // SAFETY: the library is never closed, and the name ends in NUL.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            assert!(!symbol.is_null(), "{name:?} is missing");
            symbol
        };
        Self {
            // SAFETY: the function has this type, by bench.h.
            echo_start: unsafe {
                std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
                >(symbol(c"bench_echo_start"))
            },
            // SAFETY: as above.
            zap_run: unsafe {
                std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(
                        *mut c_void,
                        *const c_char,
                        *const c_char,
                        c_int,
                        c_int,
                        c_double,
                        *mut c_double,
                    ) -> c_int,
                >(symbol(c"bench_zap_run"))
            },
        }
    }

    fn echo_start(&self, context: &Context, secret: &str) -> c_int {
        let secret = CString::new(secret).unwrap();
        // SAFETY: a live context, and a text that ends in NUL.
        unsafe { (self.echo_start)(context.as_raw(), secret.as_ptr()) }
    }

    fn zap_run(
        &self,
        context: &Context,
        mechanism: &str,
        keyfile: &str,
        keys: c_int,
        depth: c_int,
        seconds: f64,
    ) -> [f64; 6] {
        let mut out = [0.0; 6];
        let (mechanism, keyfile) = (
            CString::new(mechanism).unwrap(),
            CString::new(keyfile).unwrap(),
        );
        // SAFETY: a live context, texts that end in NUL, and room for six numbers.
        unsafe {
            (self.zap_run)(
                context.as_raw(),
                mechanism.as_ptr(),
                keyfile.as_ptr(),
                keys,
                depth,
                seconds,
                out.as_mut_ptr(),
            )
        };
        out
    }
}
