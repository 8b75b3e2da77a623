//! What all tests share: deadlines, endpoints, folders.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use ironhouse::socket::{Context, Mechanism, Socket, SocketBuilder, SocketType};
use proptest::test_runner::Config;

/// Upper bound of what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Runs `body` in a thread of its own, and fails the test if it has not ended after `deadline`.
#[track_caller]
pub fn within<T: Send + 'static>(
    deadline: Duration,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let test = thread::current().name().unwrap_or("test").to_owned();
    let (done, ended) = channel();
    let body = thread::Builder::new()
        .name(test.clone())
        .spawn(move || {
            let result = body();
            let _ = done.send(());
            result
        })
        .unwrap();
    match ended.recv_timeout(deadline) {
        Err(RecvTimeoutError::Timeout) => panic!("{test}: not done after {deadline:?}"),
        // Disconnected: it panicked, and `join` hands the panic on.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            body.join().unwrap_or_else(|panic| resume_unwind(panic))
        }
    }
}

/// Runs `body`, which is that of `test` (its full name), in a process of its own. What `prepare` makes in this process for the other,
/// such as its environment, lives until that has ended.
pub fn alone<T>(test: &str, prepare: impl FnOnce(&mut Command) -> T, body: impl FnOnce()) {
    const ALONE: &str = "IRONHOUSE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored", "--nocapture"]);
    let _prepared = prepare(&mut command);
    let output = within(3 * SOON, move || command.env(ALONE, "1").output().unwrap());
    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}{errors}");
    assert!(shown.contains("1 passed"), "{shown}{errors}");
}

/// A name that nothing else in this process has, nor another run of the tests at the same time.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{number}", std::process::id())
}

/// How often to try what depends on chance: `usually`, or less where `PROPTEST_CASES` asks for fewer cases than its usual 256, as under
/// valgrind, which runs one thread at a time.
pub fn rounds(usually: u32) -> u32 {
    (usually * Config::default().cases.min(256) / 256).max(1)
}

/// Fails the test if `what` has not come true after half of `SOON`.
#[track_caller]
pub fn wait(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < SOON / 2);
        thread::sleep(Duration::from_millis(1));
    }
}

/// A folder that goes with the returned value.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Writes a private file beside `path`, and renames it over.
pub fn replace_private(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    write_private(&beside, content);
    fs::rename(beside, path).unwrap();
}

/// An endpoint to bind to over `transport`: `tcp` with a port of the system's choice, `ipc` or `inproc` by a name of its own.
pub fn endpoint(transport: &str) -> String {
    match transport {
        "tcp" => "tcp://127.0.0.1:*".into(),
        // An abstract name: it leaves no file behind.
        "ipc" => format!("ipc://@{}", unique("ironhouse")),
        "inproc" => format!("inproc://{}", unique("test")),
        other => panic!("no endpoint for {other}"),
    }
}

/// A socket bound to a port of the system's choice, and its endpoint.
pub fn bound(context: &Context, kind: SocketType) -> (Socket, String) {
    serve(context.socket(kind))
}

/// The socket that `builder` opens, bound as by `bound`, and its endpoint.
pub fn serve(builder: SocketBuilder) -> (Socket, String) {
    let socket = builder.open().unwrap();
    let endpoint = socket.bind(&endpoint("tcp")).unwrap();
    (socket, endpoint)
}

/// As `bound`, under `mechanism`.
pub fn secured(context: &Context, kind: SocketType, mechanism: impl Mechanism) -> (Socket, String) {
    serve(context.socket(kind).secure(mechanism))
}

/// Two sockets of `context`, the first bound and the second connected to it.
pub fn connected(
    context: &Context,
    transport: &str,
    (binds, connects): (SocketType, SocketType),
) -> (Socket, Socket) {
    let server = context.socket(binds).open().unwrap();
    let endpoint = server.bind(&endpoint(transport)).unwrap();
    let client = context.socket(connects).open().unwrap();
    client.connect(&endpoint).unwrap();
    (server, client)
}
