//! How long loading the library takes: a program that uses libzmq is started with it and without it, in turns.
#![allow(clippy::panic, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use common::output;

/// How often each program is started, beside the first times.
const STARTS: usize = 500;
/// What loading may cost.
const MOST: Duration = Duration::from_millis(10);

/// With `USED`, the library is asked something, so that the linker does not leave it out.
const SOURCE: &str = "\
#include <ironhouse.h>
int main(void)
{
  int major, minor, patch;
  zmq_version(&major, &minor, &patch);
#ifdef USED
  if (!*ironhouse_version()) return 1;
#endif
  return major != 4;
}
";

fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    output(
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--locked", "--package", "xtask"])
            .args(["--", "install", "--prefix"])
            .arg(&prefix),
    );
    let source = folder.path().join("program.c");
    std::fs::write(&source, SOURCE).unwrap();
    let build = |name: &str, options: &[&str]| {
        let program = folder.path().join(name);
        output(
            Command::new("cc")
                .arg("-O2")
                .arg("-I")
                .arg(prefix.join("include"))
                .arg(&source)
                .arg("-L")
                .arg(prefix.join("lib"))
                .arg(format!("-Wl,-rpath,{}", prefix.join("lib").display()))
                .args(options)
                .args(["-lzmq", "-o"])
                .arg(&program),
        );
        program
    };
    let programs = [
        build("without", &[]),
        build("with", &["-DUSED", "-lironhouse_c"]),
    ];
    let [without, with] = medians(&programs);
    let added = with.saturating_sub(without);
    println!(
        "a program that uses libzmq starts and ends in {without:.2?}, with ironhouse loaded too in {with:.2?}: {added:.2?} more \
         (medians of {STARTS}; at most {MOST:?})"
    );
    match added <= MOST {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// How long each program runs, as its median.
fn medians(programs: &[PathBuf; 2]) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    const FIRST: usize = 50;
    for start in 0..FIRST + STARTS {
        // The first runs read the files.
        let warm = start >= FIRST;
        for (program, times) in programs.iter().zip(&mut times) {
            let time = run(program);
            if warm {
                times.push(time);
            }
        }
    }
    times.map(|mut times| {
        times.sort();
        *times.get(times.len() / 2).unwrap()
    })
}

fn run(program: &Path) -> Duration {
    let start = Instant::now();
    let status = Command::new(program).status().unwrap();
    assert!(status.success(), "{}: {status}", program.display());
    start.elapsed()
}
