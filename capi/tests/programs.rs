//! Programs in C and C++ that use the library, built as their authors would and run; and run under valgrind.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod common;

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{library, output};

/// How long a program may take.
const SECONDS: &str = "60";
/// The same, where valgrind runs it.
const SECONDS_UNDER_VALGRIND: &str = "300";

/// The compilers at hand for a source: GNU's, and LLVM's where it is installed.
fn compilers(source: &str) -> Vec<&'static str> {
    let (gnu, llvm) = match source.ends_with(".cpp") {
        true => ("g++", "clang++"),
        false => ("gcc", "clang"),
    };
    let found = Command::new(llvm).arg("--version").output();
    let found = found.is_ok_and(|found| found.status.success());
    let mut compilers = vec![gnu];
    compilers.extend(found.then_some(llvm));
    compilers
}

/// Builds a source in `tests/`; a library is its name, or an option of the compiler.
fn build(compiler: &str, source: &str, libraries: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = library().shared.parent().unwrap();
    // Each test builds its own: others run theirs meanwhile.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("program").replace("::", "-");
    let standard = match source.ends_with(".cpp") {
        true => "-std=c++17",
        false => "-std=c11",
    };
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{compiler}{EXE_SUFFIX}"));
    let option = |library: &&str| match library.starts_with('-') {
        true => (*library).to_owned(),
        false => format!("-l{library}"),
    };
    output(
        Command::new(compiler)
            .args([standard, "-D_GNU_SOURCE", "-g"])
            .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .arg("-I")
            .arg(root.join("include"))
            .arg(root.join("tests").join(source))
            .arg("-o")
            .arg(&program)
            .arg("-L")
            .arg(folder)
            .arg(format!("-Wl,-rpath,{}", library().installed.display()))
            .args(libraries.iter().map(option)),
    );
    program
}

/// A folder for the program's files, and its environment.
fn prepare(command: &mut Command) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    command
        .current_dir(folder.path())
        .env("LIBIRONHOUSE_C", &library().shared);
    folder
}

fn run(source: &str, libraries: &[&str]) {
    for compiler in compilers(source) {
        let program = build(compiler, source, libraries);
        let mut command = Command::new("timeout");
        let _folder = prepare(command.args(["--kill-after=5", SECONDS]).arg(program));
        print!("{}", output(&mut command));
    }
}

fn run_under_valgrind(source: &str, libraries: &[&str]) {
    let program = build(compilers(source)[0], source, libraries);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", SECONDS_UNDER_VALGRIND])
        .args(["valgrind", "--quiet", "--error-exitcode=9"])
        .args(["--fair-sched=yes", "--leak-check=full"])
        .args(["--show-leak-kinds=definite,indirect"])
        .args(["--errors-for-leak-kinds=definite,indirect"])
        .arg(format!(
            "--suppressions={}",
            root.join("../ci/valgrind.supp").display()
        ))
        .arg(program);
    let _folder = prepare(&mut command);
    print!("{}", output(&mut command));
}

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident: $source:literal with $libraries:expr;)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                run($source, &$libraries);
            }
        )*

        mod valgrind {
            $(
                #[test]
                #[ignore = "needs valgrind"]
                fn $name() {
                    super::run_under_valgrind($source, &$libraries);
                }
            )*
        }
    };
}

programs! {
    /// Keys, certificates, and wrong use of either.
    keys: "c/keys.c" with ["ironhouse_c", "zmq"];
    /// A host's own contexts and sockets, both orders of shutdown.
    host: "c/host.c" with ["ironhouse_c", "zmq", "pthread"];
    /// Policies of every kind, and files.
    policies: "c/policies.c" with ["ironhouse_c", "zmq", "pthread"];
    /// A program that links neither library.
    loaded: "c/loaded.c" with ["dl"];
    /// Two copies of libzmq in one process.
    foreign: "c/foreign.c" with ["ironhouse_c", "zmq", "dl"];
    /// The same where a function's address is in the program, whoever has it.
    foreign_to_a_fixed_program: "c/foreign.c" with ["-no-pie", "-fno-pie", "ironhouse_c", "zmq", "dl"];
    /// A program in C++, on cppzmq.
    cpp: "cpp/host.cpp" with ["ironhouse_c", "zmq", "pthread"];
    /// Decisions by callbacks.
    callbacks: "c/callbacks.c" with ["ironhouse_c", "zmq", "pthread"];
}

/// An interpreter with a libzmq of its own.
#[test]
#[ignore = "needs python3-zmq"]
fn python_program_on_a_context_of_pyzmq() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/authenticator.py");
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", SECONDS, "/usr/bin/python3"])
        .arg(script);
    let _folder = prepare(&mut command);
    print!("{}", output(&mut command));
}
