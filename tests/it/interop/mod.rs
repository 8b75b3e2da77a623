//! Real peers: programs that speak through CZMQ, pyzmq or bare libzmq, built and run here.
//!
//! They talk to us by lines. A client prints how its handshake ended, as its own monitor told it; if it succeeded, the client sends
//! `Hello` and prints the reply. A server prints its endpoint, then a line for each message, and replies `World`.

mod czmq;
mod libzmq;
mod pyzmq;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use ironhouse::build_info::{Origin, origin};
use ironhouse::security::{
    AuditEvents, Authenticator, Certificate, CurveServer, Decision, Domain, PlainServer, Policy,
    Reason, SecretCertificate, StatusCode,
};
use ironhouse::socket::{HandshakeProblem, Mechanism, options};
use ironhouse::{Context, Error, Message, Socket, SocketType};

use crate::common::{SOON, endpoint, unique};

/// A running program of a peer's; killed when dropped.
struct Peer {
    child: Child,
    lines: Receiver<String>,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Self { child, lines }
    }

    /// The next line that it prints.
    #[track_caller]
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(SOON);
        line.expect("the peer prints another line")
    }

    /// All that it prints until it ends well.
    #[track_caller]
    fn output(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let end = loop {
            match self.lines.recv_timeout(SOON) {
                Ok(line) => lines.push(line),
                Err(end) => break end,
            }
        };
        assert_eq!(
            end,
            RecvTimeoutError::Disconnected,
            "{lines:?}, then nothing"
        );
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the peer ended with {status}: {lines:?}");
        lines
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program with arguments, which are text or paths.
macro_rules! run {
    ($program:expr $(, $argument:expr)* $(,)?) => {{
        let mut command: std::process::Command = $program;
        $(command.arg(AsRef::<std::ffi::OsStr>::as_ref(&$argument));)*
        $crate::interop::Peer::start(&mut command)
    }};
}
use run;

/// Builds one of our C programs against `library`.
fn build(name: &str, library: &str) -> PathBuf {
    let flags = Command::new("pkg-config")
        .args(["--cflags", "--libs", library])
        .output()
        .expect("pkg-config: install pkg-config");
    assert!(
        flags.status.success(),
        "pkg-config knows no {library}: install {library}-dev"
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (program, fresh) = (folder.join(name), folder.join(unique(name)));
    let status = Command::new("cc")
        .args([
            "-std=c11",
            "-D_GNU_SOURCE",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
        ])
        .args([&fresh, &source.join(name).with_extension("c")])
        .args(String::from_utf8(flags.stdout).unwrap().split_whitespace())
        .status()
        .expect("cc: install a C compiler");
    assert!(status.success(), "cc {name}.c: {status}");
    // Another run of the tests may be running the same program.
    fs::rename(&fresh, &program).unwrap();
    program
}

/// A server of ours, on a context of its own.
struct Server {
    socket: Socket,
    endpoint: String,
    events: AuditEvents,
}

impl Server {
    fn open<M: Mechanism>(
        transport: &str,
        policy: Policy,
        mechanism: impl FnOnce(&Domain) -> M,
    ) -> Self {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let domain = authenticator.domain("interop", policy).unwrap();
        let socket = context
            .socket(SocketType::Rep)
            .set(options::RCV_TIMEO, Some(SOON))
            .secure(mechanism(&domain))
            .open()
            .unwrap();
        let endpoint = socket.bind(&endpoint(transport)).unwrap();
        let events = authenticator.events();
        Self {
            socket,
            endpoint,
            events,
        }
    }

    fn curve(transport: &str, policy: Policy, certificate: &SecretCertificate) -> Self {
        Self::open(transport, policy, |domain| {
            CurveServer::new(certificate, domain)
        })
    }

    fn plain(policy: Policy) -> Self {
        Self::open("tcp", policy, PlainServer::new)
    }

    /// The client gets in, and its message is the next that arrives.
    #[track_caller]
    fn admits(&self, client: Peer) -> Message {
        let decision = self.decision();
        assert_eq!(decision.reason, Reason::Admitted);
        assert_eq!(decision.status, StatusCode::Success);
        let hello = self.socket.recv().unwrap();
        assert_eq!(hello, "Hello");
        assert_eq!(hello.user_id(), decision.identity.name().as_deref());
        self.socket.send("World").unwrap();
        assert_eq!(client.output(), ["HANDSHAKE_SUCCEEDED 0", "World"]);
        hello
    }

    /// The client is refused for this reason, and told so.
    #[track_caller]
    fn refuses(&self, client: Peer, reason: Reason) -> Decision {
        let decision = self.decision();
        assert_eq!(decision.reason, reason);
        assert_eq!(decision.status, StatusCode::AuthenticationFailure);
        assert_eq!(client.output(), ["HANDSHAKE_FAILED_AUTH 400"]);
        decision
    }

    #[track_caller]
    fn decision(&self) -> Decision {
        let decision = self.events.next_decision(SOON);
        decision.expect("the authenticator decides")
    }
}

/// Connects a client of ours to a peer's server, and asks `Hello`.
fn greet(endpoint: &str, mechanism: impl Mechanism) -> ironhouse::Result<Message> {
    let client = Context::new()?
        .socket(SocketType::Req)
        .set(options::RCV_TIMEO, Some(SOON))
        .secure(mechanism)
        .connect_checked(endpoint, SOON)?;
    client.send("Hello")?;
    client.recv()
}

/// The peer's server refuses our client, and our client knows.
#[track_caller]
fn is_refused(endpoint: &str, mechanism: impl Mechanism) {
    let error = greet(endpoint, mechanism).unwrap_err();
    let Error::Handshake { problem, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*problem, HandshakeProblem::Refused { status: 400 });
}

/// The metadata, in an order that does not depend on the writer.
fn metadata(certificate: &Certificate) -> Vec<(String, String)> {
    let pairs = certificate.metadata();
    let mut pairs: Vec<_> = pairs.map(|(n, v)| (n.into(), v.into())).collect();
    pairs.sort();
    pairs
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a password file that every reader understands alike: nothing is trimmed, and a password may hold `=` and `#`.
fn password_file(folder: &Path) -> PathBuf {
    let path = folder.join("passwords");
    fs::write(&path, "# users\nadmin=secret\nodd= a=b#c \n").unwrap();
    set_mode(&path, 0o600);
    path
}

/// Name, password, and whether [`password_file`] has them.
const LOGINS: [(&str, &str, bool); 5] = [
    ("admin", "guess", false),
    ("nobody", "secret", false),
    ("odd", "a=b#c", false),
    ("odd", " a=b#c ", true),
    ("admin", "secret", true),
];

/// A second libzmq in a process would have sockets that the first one's functions do not know.
#[test]
#[cfg(target_os = "linux")]
fn a_program_links_one_libzmq() {
    // Linked as the examples are.
    let program = std::env::current_exe().unwrap();
    let ldd = Command::new("ldd").arg(program).output().unwrap();
    let libraries = String::from_utf8(ldd.stdout).unwrap();
    assert!(ldd.status.success(), "ldd: {}", ldd.status);
    let names = libraries
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let found: Vec<_> = names.filter(|name| name.contains("zmq")).collect();
    match origin() {
        Origin::System => assert_eq!(found, ["libzmq.so.5"]),
        // It is part of the program.
        Origin::Embedded => assert!(found.is_empty(), "{found:?}"),
    }
}
