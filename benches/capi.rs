//! What deciding by a callback costs through the C interface, beside a callback in Rust: CURVE handshakes over TCP, and bare requests (ZAP) over
//! inproc, which show the callback by itself.
//!
//! `cargo bench --bench capi -- [--rounds N] [--seconds S]`. It builds the C library, as it is shipped, and a callback in C. Both take turns; a ratio
//! is that of the medians of all rounds, and above 1 where C costs more.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

mod common;
#[path = "common/handshakes.rs"]
mod handshakes;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use common::{option, quantile};
use handshakes::{Load, Server};
use ironhouse::security::{
    Authenticator, CurvePolicy, CurveServer, Policy, SecretCertificate, Verdict,
};
use ironhouse::socket::options;
use ironhouse::{Context, Socket, SocketType};

/// Most that a handshake may cost through the C interface, of what it costs without.
const LIMIT: f64 = 1.1;
/// Handshakes, and requests, at a time.
const IN_FLIGHT: usize = 32;
const CONTENDERS: [&str; 2] = ["rust", "c"];
/// What is measured, and whether the promise is about it.
const ROWS: [(&str, bool); 4] = [
    ("us a handshake, one at a time", true),
    ("us a handshake, 32 at a time", true),
    ("us of the server's CPU a handshake", true),
    ("us a ZAP request, 32 at a time", false),
];

fn main() -> ExitCode {
    let arguments = common::arguments();
    match &arguments[..] {
        [role, contender] if role == "--server" => serve(contender),
        [role, contender, seconds] if role == "--zap" => {
            println!("{}", requests(contender, seconds.parse().unwrap()));
            return ExitCode::SUCCESS;
        }
        _ => build(),
    }
    let rounds = option(&arguments, "--rounds", 101.0) as usize;
    let seconds = option(&arguments, "--seconds", 0.1);
    let keys: Vec<_> = (0..100)
        .map(|_| SecretCertificate::generate().unwrap())
        .collect();
    let servers = CONTENDERS.map(|of| Server::start(&["--server", of].map(String::from)));
    // By row and contender: a figure a round.
    let mut figures = [(); ROWS.len()].map(|()| [(); 2].map(|()| Vec::new()));
    for round in 0..rounds {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let measured = measure(&servers[which], CONTENDERS[which], &keys, seconds);
            for (row, figure) in figures.iter_mut().zip(measured) {
                row[which].push(figure);
            }
        }
    }
    println!("{:>36} {:>10} {:>10} {:>8}", "", "Rust", "C", "C / Rust");
    let mut kept = true;
    for ((name, promised), row) in ROWS.iter().zip(&mut figures) {
        let [rust, c] = row.each_mut().map(|samples| quantile(samples, 0.5));
        kept &= !promised || c / rust <= LIMIT;
        println!("{name:>36} {rust:>10.1} {c:>10.1} {:>8.3}", c / rust);
    }
    let [rust, c] = figures[3].each_mut().map(|us| 1e6 / quantile(us, 0.5));
    println!("ZAP requests a second: {rust:.0} in Rust, {c:.0} in C");
    println!(
        "medians of {rounds} rounds of {seconds} s; of handshakes at most {LIMIT} is promised"
    );
    ExitCode::from(u8::from(!kept))
}

/// A round of one contender, in the order of `ROWS`.
fn measure(server: &Server, contender: &str, keys: &[SecretCertificate], seconds: f64) -> [f64; 4] {
    let time = Duration::from_secs_f64(seconds);
    let alone = 1e6 / Load::new(server, keys, keys).rate(1, time);
    let cpu = server.cpu_time();
    let mut load = Load::new(server, keys, keys);
    let together = 1e6 / load.rate(IN_FLIGHT, time);
    let cpu = (server.cpu_time() - cpu) * 1e6 / load.others.len() as f64;
    let said = output(Command::new(std::env::current_exe().unwrap()).args([
        "--zap",
        contender,
        &seconds.to_string(),
    ]));
    [
        alone,
        together,
        cpu,
        1e6 / said.trim().parse::<f64>().unwrap(),
    ]
}

fn serve(contender: &str) -> ! {
    let context = Context::new().unwrap();
    let builder = context
        .socket(SocketType::Router)
        .set(options::BACKLOG, 1024);
    let (socket, key) = if contender == "c" {
        let socket = builder.open().unwrap();
        let key = start_in_c(&context, Some(&socket));
        (socket, key.parse().unwrap())
    } else {
        let (authenticator, policy) = start(&context);
        let domain = authenticator.domain("bench", policy).unwrap();
        let keys = SecretCertificate::generate().unwrap();
        let secured = builder.secure(CurveServer::new(&keys, &domain));
        (secured.open().unwrap(), *keys.public_key())
    };
    handshakes::serve(socket, &key)
}

fn start(context: &Context) -> (Authenticator, Policy) {
    let callback = CurvePolicy::callback(|_| Verdict::admit());
    (
        Authenticator::start(context).unwrap(),
        Policy::new().curve(callback),
    )
}

/// Requests a second: asked by a plain DEALER, so many waiting for their replies at a time.
fn requests(contender: &str, seconds: f64) -> f64 {
    let context = Context::new().unwrap();
    let _guard = if contender == "c" {
        start_in_c(&context, None);
        None
    } else {
        let (authenticator, policy) = start(&context);
        Some(authenticator.domain("bench", policy).unwrap())
    };
    let client = context.socket(SocketType::Dealer).open().unwrap();
    client.connect("inproc://zeromq.zap.01").unwrap();
    let key = *SecretCertificate::generate().unwrap().public_key();
    let ask = || {
        let frames: [&[u8]; 8] = [
            b"",
            b"1.0",
            b"1",
            b"bench",
            b"127.0.0.1",
            b"",
            b"CURVE",
            key.as_bytes(),
        ];
        client.send_multipart(frames.map(<[u8]>::to_vec)).unwrap();
    };
    let answered = || {
        let reply = client.recv_multipart().unwrap();
        assert_eq!(reply[3].as_str().unwrap(), "200");
    };
    (0..IN_FLIGHT).for_each(|_| ask());
    for _ in 0..1000 {
        answered();
        ask();
    }
    let (start, mut count) = (Instant::now(), 0u32);
    while start.elapsed().as_secs_f64() < seconds {
        answered();
        ask();
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    (0..IN_FLIGHT).for_each(|_| answered());
    rate
}

/// Where cargo builds what is shipped, and we the callback.
fn libraries() -> [PathBuf; 2] {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let shipped = own.parent().unwrap().join("release/libironhouse_c.so");
    [shipped, own.join("libcapi-bench.so")]
}

fn build() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [shipped, own] = libraries();
    output(
        Command::new("cargo")
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--package",
                "ironhouse-capi",
            ])
            .arg("--target-dir")
            .arg(shipped.parent().and_then(Path::parent).unwrap())
            .current_dir(here),
    );
    let flags = output(Command::new("pkg-config").args(["--cflags", "libzmq"]));
    output(
        Command::new("cc")
            .args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC"])
            .arg("-I")
            .arg(here.join("capi/include"))
            .args(flags.split_whitespace())
            .arg(here.join("benches/c/capi.c"))
            .arg("-o")
            .arg(own),
    );
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same through the C interface, which takes libzmq's functions from this process.
fn start_in_c(context: &Context, socket: Option<&Socket>) -> String {
    let load = |path: &Path, mode: c_int| {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path that ends in NUL; neither library has initialisers.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | mode) };
        assert!(!library.is_null(), "{path:?} cannot be loaded");
        library
    };
    let [shipped, own] = libraries();
    // Its names are those that the callback's library lacks.
    load(&shipped, libc::RTLD_GLOBAL);
    // SAFETY: the library is never closed, and the name ends in NUL.
    let symbol = unsafe { libc::dlsym(load(&own, 0), c"bench_start".as_ptr()) };
    assert!(!symbol.is_null());
    type Start = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_char);
    // SAFETY: the function has this type, by capi.c.
    let start = unsafe { std::mem::transmute::<*mut c_void, Start>(symbol) };
    let socket = socket.map_or(std::ptr::null_mut(), |socket| socket.as_raw());
    let mut key = [0; 41];
    // SAFETY: a live context, a live socket or none, and room for a key.
    unsafe { start(context.as_raw(), socket, key.as_mut_ptr()) };
    // SAFETY: the function has written a text that ends in NUL.
    let key = unsafe { CStr::from_ptr(key.as_ptr()) };
    key.to_str().unwrap().to_owned()
}
