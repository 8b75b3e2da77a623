//! Programs in C and C++ that use the library, built as their authors would and run; and run under valgrind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod common;

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{library, output};

/// How long a program may take.
const SECONDS: &str = "60";
/// The same, where valgrind runs it.
const SECONDS_UNDER_VALGRIND: &str = "300";

/// The compilers at hand for a source.
fn compilers(source: &str) -> Vec<&'static str> {
    match source.ends_with(".cpp") {
        true => common::compilers("g++", "clang++"),
        false => common::compilers("gcc", "clang"),
    }
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
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", SECONDS_UNDER_VALGRIND])
        .args(common::valgrind())
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
    /// A program on CZMQ's context and sockets.
    czmq: "c/czmq.c" with ["ironhouse_c", "czmq", "zmq", "pthread"];
    /// Connections to a host's socket, listed and closed.
    watch: "c/watch.c" with ["ironhouse_c", "zmq", "pthread"];
    /// What becomes of a client's connections.
    handshake: "c/handshake.c" with ["ironhouse_c", "zmq", "pthread"];
    /// The five patterns.
    grasslands: "../examples/c/grasslands.c" with ["ironhouse_c", "zmq"];
    strawhouse: "../examples/c/strawhouse.c" with ["ironhouse_c", "zmq"];
    woodhouse: "../examples/c/woodhouse.c" with ["ironhouse_c", "zmq"];
    stonehouse: "../examples/c/stonehouse.c" with ["ironhouse_c", "zmq"];
    ironhouse: "../examples/c/ironhouse.c" with ["ironhouse_c", "zmq"];
    /// Decisions by callbacks.
    callbacks: "c/callbacks.c" with ["ironhouse_c", "zmq", "pthread"];
}

/// Nothing unwinds through the library: who throws there has not said what it decided.
#[test]
fn bare_callback_that_throws_ends_the_process() {
    let program = build("g++", "cpp/thrower.cpp", &["ironhouse_c", "zmq", "pthread"]);
    let ended = Command::new("timeout")
        .args(["--kill-after=5", SECONDS])
        .arg(program)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "throws\n");
    // Of a program that a signal ended, timeout says so as a shell does.
    let aborted = 128 + libc::SIGABRT;
    let by_signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert!(
        ended.status.code() == Some(aborted) || by_signal == Some(libc::SIGABRT),
        "{ended:?}"
    );
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

/// A program that has another libzmq in it, of another version: the one library serves it as well.
#[test]
#[ignore = "builds libzmq and libsodium, which takes a minute"]
fn host_with_a_libzmq_of_its_own_linked_statically() {
    let messages = common::build(
        &["--package", "zmq-sys-wrap", "--features", "vendored"],
        &[("LIBZMQ_NO_PKG_CONFIG", "1")],
    );
    let built = messages
        .iter()
        .find(|message| {
            let linked = message["linked_libs"].as_array();
            linked.is_some_and(|all| all.iter().any(|it| it == "static=zmq"))
        })
        .expect("a build script that links libzmq");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let folders = built["linked_paths"].as_array().unwrap().iter().map(text);
    let variables = built["env"].as_array().unwrap();
    let include = variables
        .iter()
        .find(|pair| pair[0] == "ZMQ_SYS_WRAP_INCLUDE")
        .map(|pair| text(&pair[1]))
        .unwrap();
    let mut options: Vec<String> = std::env::split_paths(&include)
        .map(|folder| format!("-I{}", folder.display()))
        .collect();
    options.extend(folders.map(|it| format!("-L{}", it.trim_start_matches("native="))));
    options.extend(
        [
            "ironhouse_c",
            ":libzmq.a",
            ":libsodium.a",
            "stdc++",
            "pthread",
            "m",
            "dl",
        ]
        .map(|library| format!("-l{library}")),
    );
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let program = build("gcc", "c/host.c", &options);
    let needed = output(Command::new("readelf").arg("-d").arg(&program));
    assert!(!needed.contains("libzmq"), "{needed}");
    let mut command = Command::new("timeout");
    let _folder = prepare(command.args(["--kill-after=5", SECONDS]).arg(program));
    let said = output(&mut command);
    let installed = Command::new("pkg-config")
        .args(["--modversion", "libzmq"])
        .output()
        .unwrap();
    let installed = String::from_utf8(installed.stdout).unwrap();
    assert!(said.starts_with("libzmq 4."), "{said}");
    assert_ne!(
        said,
        format!("libzmq {installed}"),
        "another than the system's"
    );
}
