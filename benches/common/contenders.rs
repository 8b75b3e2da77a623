//! Programs that take turns at the same jobs, each sample a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{option, quantile};
use crate::ratios::{self, Bench, Row};

/// A program that is told `KIND TRANSPORT MECHANISM SIZE COUNT`.
pub struct Contender {
    pub name: &'static str,
    command: Vec<String>,
}

impl Contender {
    pub fn new(name: &'static str, program: PathBuf) -> Self {
        Self {
            name,
            command: vec![program.to_str().unwrap().to_owned()],
        }
    }

    /// The program that runs, told by `sample` to be a contender.
    pub fn myself(name: &'static str, sample: &str) -> Self {
        let mut this = Self::new(name, std::env::current_exe().unwrap());
        this.command.push(sample.to_owned());
        this
    }

    /// Builds a program of `benches/rivals`.
    pub fn rival(name: &'static str) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rivals");
        run(Command::new("cargo")
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(here.join("benches/rivals").join(name).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&built));
        Self::new(name, built.join("release").join(name))
    }

    /// Seconds and CPU seconds for so many messages, and the version of its libzmq; not numbers where it lacks the transport or mechanism.
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

/// What a program that must succeed says.
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program that benches need");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Measures the rows that `arguments` ask for, prints and writes them. The first contender says how many messages a sample moves; the second is ours.
pub fn compare(bench: &Bench, contenders: &[Contender], arguments: &[String]) {
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map(|at| arguments[at + 1].as_str())
    };
    let seconds = if contenders.len() > 2 { 0.15 } else { 0.3 };
    let seconds = option(arguments, "--seconds", seconds);
    let rounds = option(arguments, "--rounds", 5.0) as usize;
    let sizes = text("--sizes").map_or(bench.sizes.to_vec(), |sizes| {
        sizes.split(',').map(|size| size.parse().unwrap()).collect()
    });
    let wanted = text("--only").unwrap_or_default();

    let mut rows: Vec<Row> = Vec::new();
    for kind in ["throughput", "latency"] {
        for [transport, mechanism] in bench.paths {
            for &size in &sizes {
                let name = format!("{kind} {transport} {mechanism} {size}");
                if wanted
                    .split_whitespace()
                    .all(|word| name.split(' ').any(|own| own == word))
                {
                    let job = [kind, transport, mechanism].map(String::from);
                    let row = measure(bench.of_ours, contenders, job, size, seconds, rounds);
                    println!("{}", row.line(bench, rows.is_empty()));
                    rows.push(row);
                }
            }
        }
    }
    let about = about(bench, contenders, seconds, rounds);
    println!("{about}\n{}", bench.verdict(&rows));
    if let Some(file) = text("--json") {
        let json = serde_json::json!({"about": about, "rows": rows.iter().map(Row::json).collect::<Vec<_>>()});
        std::fs::write(file, format!("{json:#}\n")).unwrap();
    }
    if let Some(folder) = text("--write") {
        ratios::write(
            bench,
            &rows,
            &arguments.join(" "),
            &about,
            Path::new(folder),
        );
    }
}

/// One line of the table.
fn measure(
    of_ours: bool,
    contenders: &[Contender],
    job: [String; 3],
    size: usize,
    seconds: f64,
    rounds: usize,
) -> Row {
    // As many messages as the first moves in that time.
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
    let all = contenders.iter().enumerate();
    let others = all.filter(|(at, _)| *at != usize::from(of_ours));
    let ratios = others.map(|(at, contender)| {
        let ratio = if of_ours {
            ratio(at, 1, 0)
        } else {
            ratio(0, at, 0)
        };
        (contender.name, ratio)
    });
    Row {
        ratios: ratios.collect(),
        figures: samples.iter().map(figure).collect(),
        cpu: ratio(0, 1, 1),
        job,
        size,
        count,
    }
}

/// What was measured, and how.
fn about(bench: &Bench, contenders: &[Contender], seconds: f64, rounds: usize) -> String {
    let [transport, mechanism] = bench.paths[0];
    let job = ["latency", transport, mechanism].map(String::from);
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
