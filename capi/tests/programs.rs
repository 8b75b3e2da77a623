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

/// Who makes the compiler.
#[derive(Clone, Copy)]
enum Compiler {
    Gnu,
    Llvm,
}

impl Compiler {
    /// The program for a source.
    fn of(self, source: &str) -> &'static str {
        match (self, source.ends_with(".cpp")) {
            (Compiler::Gnu, false) => "gcc",
            (Compiler::Gnu, true) => "g++",
            (Compiler::Llvm, false) => "clang",
            (Compiler::Llvm, true) => "clang++",
        }
    }
}

/// Where a source's headers are, and how it is compiled: those of the time of CZMQ 2 as their authors did.
fn options(source: &str) -> (&'static str, &'static [&'static str]) {
    if source.starts_with("c/czmq2/") {
        ("include/compat", &["-std=gnu11"])
    } else if source.ends_with(".cpp") {
        ("include", &["-std=c++17", "-D_GNU_SOURCE"])
    } else {
        ("include", &["-std=c11", "-D_GNU_SOURCE"])
    }
}

/// Builds a source in `tests/`; a library is its name, or an option or another source for the compiler.
fn build(compiler: Compiler, source: &str, libraries: &[&str]) -> PathBuf {
    let compiler = compiler.of(source);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = library().shared.parent().unwrap();
    // Each test builds its own: others run theirs meanwhile.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("program").replace("::", "-");
    let (include, standard) = options(source);
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{compiler}{EXE_SUFFIX}"));
    let option = |library: &&str| match library.starts_with(['-', '/']) {
        true => (*library).to_owned(),
        false => format!("-l{library}"),
    };
    output(
        Command::new(compiler)
            .args(standard)
            .args(["-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
            .arg("-I")
            .arg(root.join(include))
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

/// What the program says.
fn run(compiler: Compiler, source: &str, libraries: &[&str]) -> String {
    let program = build(compiler, source, libraries);
    let mut command = Command::new("timeout");
    let _folder = prepare(command.args(["--kill-after=5", SECONDS]).arg(program));
    let said = output(&mut command);
    print!("{said}");
    said
}

fn run_under_valgrind(source: &str, libraries: &[&str]) {
    let program = build(Compiler::Gnu, source, libraries);
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
                run(Compiler::Gnu, $source, &$libraries);
            }
        )*

        mod clang {
            $(
                #[test]
                #[ignore = "needs clang"]
                fn $name() {
                    super::run(super::Compiler::Llvm, $source, &$libraries);
                }
            )*
        }

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
    /// The same where functions have their addresses in the program.
    host_at_a_fixed_address: "c/host.c" with ["-no-pie", "-fno-pie", "ironhouse_c", "zmq", "pthread"];
    /// Handles that several threads use at once.
    threads: "c/threads.c" with ["ironhouse_c", "zmq", "pthread"];
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
    /// What else the C interface has, in C++, without cppzmq.
    values: "cpp/values.cpp" with ["ironhouse_c", "zmq", "pthread"];
    /// A program on CZMQ's context and sockets.
    czmq: "c/czmq.c" with ["ironhouse_c", "czmq", "zmq", "pthread"];
    /// Connections to a host's socket, listed and closed.
    watch: "c/watch.c" with ["ironhouse_c", "zmq", "pthread"];
    /// Both by the reports of the host's own monitor.
    feed: "c/feed.c" with ["ironhouse_c", "zmq", "pthread"];
    /// A server whose options other code has set.
    enforce: "c/enforce.c" with ["ironhouse_c", "zmq"];
    /// Limits, and who is locked out.
    limits: "c/limits.c" with ["ironhouse_c", "zmq", "pthread"];
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
    /// Programs on the calls of CZMQ 2: the five patterns of its tutorial.
    czmq2_grasslands: "c/czmq2/grasslands.c" with ["ironhouse_c", "zmq"];
    czmq2_strawhouse: "c/czmq2/strawhouse.c" with ["ironhouse_c", "zmq"];
    czmq2_woodhouse: "c/czmq2/woodhouse.c" with ["ironhouse_c", "zmq"];
    czmq2_stonehouse: "c/czmq2/stonehouse.c" with ["ironhouse_c", "zmq"];
    czmq2_ironhouse: "c/czmq2/ironhouse.c" with ["ironhouse_c", "zmq"];
    /// A thread for either side, and keys from files.
    czmq2_ironhouse2: "c/czmq2/ironhouse2.c" with ["ironhouse_c", "zmq"];
    /// Every rule of the authenticator.
    czmq2_zauth: "c/czmq2/zauth.c" with ["ironhouse_c", "zmq"];
    /// Certificates and their files.
    czmq2_zcert: "c/czmq2/zcert.c" with ["ironhouse_c", "zmq"];
    czmq2_zcertstore: "c/czmq2/zcertstore.c" with ["ironhouse_c", "zmq"];
    /// Security that comes too late.
    czmq2_late: "c/czmq2/late.c" with ["ironhouse_c", "zmq"];
    /// Several files, which share what the header has.
    czmq2_files: "c/czmq2/files.c" with [concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/czmq2/other.c"), "ironhouse_c", "zmq"];
    /// Contexts that end with sockets open.
    czmq2_shutdown: "c/czmq2/shutdown.c" with ["ironhouse_c", "zmq"];
}

/// What verbose programs of CZMQ 2's time say, and what they keep to themselves.
#[test]
fn czmq2_programs_say_whom_they_admit_and_no_password() {
    const LIBRARIES: &[&str] = &["ironhouse_c", "zmq"];
    const PASSED: &str = "I: PASSED (whitelist) address=127.0.0.1\n";
    for (source, line) in [
        ("strawhouse", "I: ALLOWED (NULL)\n"),
        ("woodhouse", "I: ALLOWED (PLAIN) username=admin\n"),
        ("stonehouse", "I: ALLOWED (CURVE) client_key="),
        ("ironhouse", "I: ALLOWED (CURVE) client_key="),
    ] {
        let said = run(Compiler::Gnu, &format!("c/czmq2/{source}.c"), LIBRARIES);
        assert!(said.contains(PASSED) && said.contains(line), "{said}");
        assert!(!said.contains("secret-of-admin"), "{said}");
    }
    let said = run(Compiler::Gnu, "c/czmq2/zauth.c", LIBRARIES);
    for line in [
        "I: DENIED (blacklist) address=127.0.0.1\n",
        "I: DENIED (PLAIN) username=admin reason=wrong_password\n",
        "reason=unknown_key\n",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    for password in ["Password", "Bogus-password", "Another-password"] {
        assert!(!said.contains(password), "{said}");
    }
}

/// Nothing unwinds through the library: who throws there has not said what it decided.
#[test]
fn bare_callback_that_throws_ends_the_process() {
    ends_by_what_it_throws(Compiler::Gnu);
}

#[test]
#[ignore = "needs clang"]
fn bare_callback_of_clang_that_throws_ends_the_process() {
    ends_by_what_it_throws(Compiler::Llvm);
}

fn ends_by_what_it_throws(compiler: Compiler) {
    let libraries = ["ironhouse_c", "zmq", "pthread"];
    let program = build(compiler, "cpp/thrower.cpp", &libraries);
    for kind in ["decide", "ask", "event", "handshake", "free", "metadata"] {
        let ended = Command::new("timeout")
            .args(["--kill-after=5", SECONDS])
            .arg(&program)
            .arg(kind)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "throws\n", "{kind}");
        // Of a program that a signal ended, timeout says so as a shell does.
        let aborted = 128 + libc::SIGABRT;
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
        assert!(
            ended.status.code() == Some(aborted) || by_signal == Some(libc::SIGABRT),
            "{kind}: {ended:?}"
        );
    }
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
    let program = build(Compiler::Gnu, "c/host.c", &options);
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
