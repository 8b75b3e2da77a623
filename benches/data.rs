//! The data path beside libzmq's own loop in C, and beside rust-zmq and arzmq: throughput (PUSH to PULL) and latency (REQ and REP)
//! over tcp, ipc and inproc, with NULL and with CURVE, for messages of 16 bytes to 1 MiB.
//!
//! `cargo bench --bench data -- [--rivals] [--only TEXT] [--sizes 16,256] [--seconds S] [--rounds N] [--share] [--json FILE]
//! [--write FOLDER]`. The rows whose name holds each word of TEXT are measured, such as `'latency tcp'`. `--rivals` builds and
//! measures rust-zmq and arzmq too, each with the libzmq that it embeds (needs libclang, and a newer Rust than ours). `--share` has ours send
//! shares of one `Arc` instead of copies: what that saves. `--write docs` makes `docs/data.md` and `docs/data.svg`.
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
#[path = "common/datapath.rs"]
mod datapath;
#[path = "common/ratios.rs"]
mod ratios;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{arguments, option, quantile};
use datapath::Job;
use ironhouse::security::{
    Authenticator, CurveClient, CurvePolicy, CurveServer, Policy, SecretCertificate,
};
use ironhouse::socket::{Message, options};
use ironhouse::{Context, SocketType};
use ratios::Row;

const SIZES: [usize; 5] = [16, 256, 4096, 65_536, 1_048_576];
const PATHS: [[&str; 2]; 5] = [
    ["tcp", "NULL"],
    ["tcp", "CURVE"],
    ["ipc", "NULL"],
    ["ipc", "CURVE"],
    ["inproc", "NULL"],
];
const RIVALS: [&str; 2] = ["rust-zmq", "arzmq"];

fn main() {
    let arguments = arguments();
    match arguments.first().map(String::as_str) {
        Some("--sample") => sample(&arguments[1..], false),
        Some("--sample-shared") => sample(&arguments[1..], true),
        _ => {}
    }
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map(|at| arguments[at + 1].as_str())
    };
    let seconds = option(
        &arguments,
        "--seconds",
        if has("--rivals") { 0.15 } else { 0.3 },
    );
    let rounds = option(&arguments, "--rounds", 5.0) as usize;
    let sizes = text("--sizes").map_or(SIZES.to_vec(), |sizes| {
        sizes.split(',').map(|size| size.parse().unwrap()).collect()
    });
    let contenders = contenders(has("--share"), has("--rivals"));

    let mut rows = Vec::new();
    for kind in ["throughput", "latency"] {
        for [transport, mechanism] in PATHS {
            for &size in &sizes {
                let name = format!("{kind} {transport} {mechanism} {size}");
                let wanted = text("--only").unwrap_or_default();
                if wanted
                    .split_whitespace()
                    .all(|word| name.split(' ').any(|own| own == word))
                {
                    let job = [kind, transport, mechanism].map(String::from);
                    rows.push(measure(&contenders, job, size, seconds, rounds));
                    println!("{}", rows[rows.len() - 1].line(rows.len() == 1));
                }
            }
        }
    }
    let about = about(&contenders, seconds, rounds);
    println!("{about}\n{}", ratios::verdict(&rows));
    if let Some(file) = text("--json") {
        let json = serde_json::json!({"about": about, "rows": rows.iter().map(Row::json).collect::<Vec<_>>()});
        std::fs::write(file, format!("{json:#}\n")).unwrap();
    }
    if let Some(folder) = text("--write") {
        ratios::write(&rows, &arguments.join(" "), &about, Path::new(folder));
    }
}

/// Who takes part, C first and ours second.
struct Contender {
    name: &'static str,
    command: Vec<String>,
}

fn contenders(share: bool, rivals: bool) -> Vec<Contender> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libzmq"]));
    let c = target.join("data-c");
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-pthread", "-o"])
        .arg(&c)
        .arg(here.join("benches/c/data.c"))
        .args(flags.split_whitespace()));
    let ours = path(std::env::current_exe().unwrap());
    let sample = if share { "--sample-shared" } else { "--sample" };
    let mut contenders = vec![
        Contender {
            name: "C",
            command: vec![path(c)],
        },
        Contender {
            name: "ours",
            command: vec![ours, sample.into()],
        },
    ];
    for name in RIVALS.into_iter().filter(|_| rivals) {
        let manifest = here.join("benches/rivals").join(name).join("Cargo.toml");
        let built = target.join("rivals");
        run(Command::new("cargo")
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&built));
        contenders.push(Contender {
            name,
            command: vec![path(built.join("release").join(name))],
        });
    }
    contenders
}

/// What a program that must succeed says.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program that benches need");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

impl Contender {
    /// Seconds and CPU seconds for so many messages, and the version of its libzmq; not numbers where it lacks the mechanism.
    fn sample(&self, job: &[String; 3], size: usize, count: u64) -> ([f64; 2], String) {
        let told = run(Command::new("timeout")
            .arg("60")
            .args(&self.command)
            .args(job)
            .args([size.to_string(), count.to_string()]));
        if told.trim() == "unsupported" {
            return ([f64::NAN; 2], told);
        }
        let words: Vec<_> = told.split_whitespace().collect();
        let [seconds, cpu, version] = words[..] else {
            panic!("{} says {told:?}", self.name);
        };
        (
            [seconds, cpu].map(|number| number.parse().unwrap()),
            version.to_owned(),
        )
    }
}

/// One line of the table.
fn measure(
    contenders: &[Contender],
    job: [String; 3],
    size: usize,
    seconds: f64,
    rounds: usize,
) -> Row {
    // As many messages as the loop in C moves in that time.
    let mut count = 20;
    for _ in 0..4 {
        let ([took, _], _) = contenders[0].sample(&job, size, count);
        let factor = seconds / took.max(1e-6);
        if (0.7..1.4).contains(&factor) {
            break;
        }
        count = ((count as f64 * factor.min(100.0)) as u64).max(5);
    }
    let mut samples = vec![Vec::new(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let which = (turn + round) % contenders.len();
            samples[which].push(contenders[which].sample(&job, size, count).0);
        }
    }
    let ratio = |over: usize, under: usize, clock: usize| {
        let pairs = samples[over].iter().zip(&samples[under]);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| a[clock] / b[clock]).collect();
        quantile(&mut ratios, 0.5)
    };
    let figure = |samples: &Vec<[f64; 2]>| {
        let mut seconds: Vec<f64> = samples.iter().map(|sample| sample[0]).collect();
        let each = quantile(&mut seconds, 0.5) / count as f64;
        if job[0] == "latency" {
            each * 1e6
        } else {
            1.0 / each
        }
    };
    Row {
        figures: samples.iter().map(figure).collect(),
        cpu: ratio(0, 1, 1),
        ratios: contenders
            .iter()
            .enumerate()
            .filter(|(which, _)| *which != 1)
            .map(|(which, contender)| (contender.name, ratio(which, 1, 0)))
            .collect(),
        job,
        size,
        count,
    }
}

/// What was measured, and how.
fn about(contenders: &[Contender], seconds: f64, rounds: usize) -> String {
    let job = ["latency", "inproc", "NULL"].map(String::from);
    let versions: Vec<_> = contenders
        .iter()
        .map(|contender| format!("{} on {}", contender.name, contender.sample(&job, 16, 1).1))
        .collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{rounds} rounds of {seconds} s a sample, {cores} cores; libzmq: {}.",
        versions.join(", ")
    )
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
    if job.curve {
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
