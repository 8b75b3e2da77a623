//! A short connection of our own to an endpoint, beside libzmq's: what is there, and what it says in its greeting.
//!
//! libzmq tells little of why a connection fails. A probe says the first words of ZMTP itself and hears what it throws away. It is bounded in
//! bytes and in time, names no mechanism before the peer has named its own, and hangs up before it could be asked for a credential: so an
//! authenticator never hears of it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use zmq_sys_wrap::zmq;

use super::greeting::{self, COMMAND_LIMIT, Framed, GREETING_BYTES, Greeting, OPENING, Opened};
use super::handshake::{HandshakeProblem, Role, explain};
use super::{Socket, options};
use crate::error::{Errno, Error, Result};
use crate::ffi::os;

/// Probes at a time. One ends in time, but may leave its thread waiting for the system to resolve a name.
const MAX_RUNNING: usize = 32;

/// Why a name does not resolve where the system does not say.
pub(crate) const NO_ANSWER: &str = "the system gave no answer in time";

/// Most bytes that are read of a peer.
const MAX_BYTES: usize = GREETING_BYTES + 9 + COMMAND_LIMIT;

/// What a client's mechanism expects of its server, and can ask for.
pub(crate) trait Proof: Send + Sync {
    /// Something that only the right server can answer.
    fn challenge(&self) -> Result<Box<dyn Challenge>>;

    /// Who was expected, for people.
    fn expected(&self) -> String;
}

/// A command, and what must come back.
pub(crate) trait Challenge {
    /// The first command to the server, from the length of its name on.
    fn command(&self) -> &[u8];

    /// Whether the right server sent this command.
    fn is_met_by(&self, answer: &[u8]) -> bool;
}

/// Where a probe goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp {
        host: String,
        port: u16,
        /// Whether libzmq would use an IPv6 address.
        ipv6: bool,
    },
    Ipc(String),
}

/// What a probe is to find out.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) target: Target,
    pub(crate) role: Role,
    pub(crate) proof: Option<Arc<dyn Proof>>,
    /// How long to wait for what the peer says by itself: a server says nothing. Zero to ask at once.
    pub(crate) listen: Duration,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The host's name leads to no address; why.
    Unresolved(String),
    /// No connection; why, where it is not just that nothing happened.
    Unreachable(Option<Errno>),
    /// A connection, and no greeting.
    Mute,
    /// A connection, which the peer closed before it had sent a greeting.
    Closed,
    /// Something else than ZMTP; how it begins.
    Foreign(String),
    /// ZMTP of this major version, which knows no security.
    Old(u8),
    /// A greeting, and what came then.
    Greeted(Greeting, Answer),
}

/// What a peer did after its greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was not asked.
    NotAsked,
    /// What the proof wants.
    Met,
    /// It closed the connection, or sent what the wrong server would.
    Unmet,
    /// What a client says.
    Client,
    /// What a server does to what is no client's word.
    Server,
    /// Nothing in time, or something else.
    Unclear,
}

impl Target {
    /// The place that libzmq would connect to; `None` where a probe cannot follow.
    pub(crate) fn of(endpoint: &str, ipv6: bool) -> Option<Self> {
        match endpoint.split_once("://")? {
            ("tcp", address) => {
                let (host, port) = tcp_address(address)?;
                Some(Self::Tcp {
                    host: host.to_owned(),
                    port,
                    ipv6,
                })
            }
            ("ipc", name) if !name.is_empty() => Some(Self::Ipc(name.to_owned())),
            _ => None,
        }
    }
}

/// Host and port of a tcp endpoint behind `tcp://`: without the address of our own that may stand before a semicolon, and without brackets.
pub(crate) fn tcp_address(address: &str) -> Option<(&str, u16)> {
    let address = address.split_once(';').map_or(address, |(_, there)| there);
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    (!host.is_empty() && digits).then_some((host, port.parse().ok()?))
}

/// Asks on behalf of a socket.
pub(crate) struct Asker {
    role: Role,
    proof: Option<Arc<dyn Proof>>,
    ipv6: bool,
    /// Whether libzmq connects through a proxy, where no probe can follow.
    proxied: bool,
}

impl Asker {
    /// With the socket's part in a handshake.
    pub(crate) fn of(socket: &Socket) -> Result<(Self, Role)> {
        let (mechanism, as_server) = match socket.get(options::MECHANISM)? as u32 {
            zmq::ZMQ_PLAIN => ("PLAIN", socket.get(options::PLAIN_SERVER)?),
            zmq::ZMQ_CURVE => ("CURVE", socket.get(options::CURVE_SERVER)?),
            zmq::ZMQ_GSSAPI => ("GSSAPI", false),
            _ => ("NULL", false),
        };
        let role = Role {
            mechanism,
            as_server,
        };
        let asker = Self {
            role,
            proof: socket.proof.clone(),
            ipv6: socket.get(options::IPV6)?,
            proxied: !socket.get(options::SOCKS_PROXY)?.is_empty(),
        };
        Ok((asker, role))
    }

    /// Asks what is at `endpoint`, as [`Question::ask`]; `None` where that cannot be.
    pub(crate) fn ask(
        &self,
        endpoint: &str,
        listen: Duration,
        limit: Duration,
    ) -> Option<Receiver<Finding>> {
        let question = Question {
            target: Target::of(endpoint, self.ipv6).filter(|_| !self.proxied)?,
            role: self.role,
            proof: self.proof.clone(),
            // By NULL, both ends would go on to ask for the other's credential.
            listen: match self.role.mechanism {
                "NULL" => Duration::ZERO,
                _ => listen,
            },
        };
        question.ask(limit)
    }

    /// Who was expected, for people.
    pub(crate) fn expected(&self) -> String {
        let expected = self.proof.as_ref().map(|proof| proof.expected());
        expected.unwrap_or_default()
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Greeting {
    /// Asks who is at `endpoint` (tcp or ipc), by a short connection without a socket: the greeting says which mechanism is there.
    ///
    /// # Errors
    /// [`Error::Handshake`](crate::Error::Handshake): nobody is there, no such name, or something else than ZeroMQ 4.0 or later;
    /// [`Error::InvalidOption`](crate::Error::InvalidOption): not an endpoint of these transports.
    pub fn ask(endpoint: &str, timeout: Duration) -> Result<Self> {
        // Like none, so that no word follows the greeting.
        let role = Role {
            mechanism: "",
            as_server: false,
        };
        match Question::new(endpoint, role, None)?.ask_now(timeout) {
            Finding::Greeted(greeting, _) => Ok(greeting),
            found => Err(Error::Handshake {
                endpoint: endpoint.to_owned(),
                problem: found.problem(role, timeout, String::new),
            }),
        }
    }
}

impl Finding {
    /// What it says without a word of libzmq's.
    pub(crate) fn problem(
        self,
        role: Role,
        waited: Duration,
        expected: impl FnOnce() -> String,
    ) -> HandshakeProblem {
        let reason = None;
        let told = match self {
            Self::Unresolved(_) | Self::Unreachable(_) => {
                HandshakeProblem::Unreachable { waited, reason }
            }
            Self::Closed => HandshakeProblem::Closed(Errno(libc::EPIPE)),
            _ => HandshakeProblem::Silent { waited },
        };
        explain(told.clone(), self, role, expected).unwrap_or(told)
    }
}

impl Question {
    /// What is at `endpoint`, whether or not libzmq would use IPv6.
    pub(crate) fn new(endpoint: &str, role: Role, proof: Option<Arc<dyn Proof>>) -> Result<Self> {
        let target = Target::of(endpoint, true).ok_or_else(|| Error::InvalidOption {
            name: "endpoint",
            reason: format!("{endpoint:?} cannot be asked: write tcp://HOST:PORT or ipc://PATH"),
        })?;
        Ok(Self {
            target,
            role,
            proof,
            listen: Duration::ZERO,
        })
    }

    /// Asks in a thread of its own, which answers after `limit` at the latest, save where the system takes longer to resolve a name;
    /// `None` where there are too many such threads.
    pub(crate) fn ask(self, limit: Duration) -> Option<Receiver<Finding>> {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        struct Turn;
        impl Drop for Turn {
            fn drop(&mut self) {
                RUNNING.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let running = RUNNING.fetch_add(1, Ordering::Relaxed);
        let turn = Turn;
        if running >= MAX_RUNNING {
            return None;
        }
        let (tell, finding) = sync_channel(1);
        let deadline = Instant::now() + limit;
        // A thread of ours has signals blocked: writing to a closed ipc connection raises one.
        os::spawn("ironhouse-probe", move || {
            let _turn = turn;
            let _ = tell.send(self.find(deadline));
        })
        .ok()?;
        Some(finding)
    }

    /// As [`ask`](Self::ask), and waits for the answer.
    pub(crate) fn ask_now(self, limit: Duration) -> Finding {
        let finding = match self.ask(limit) {
            Some(finding) => finding.recv_timeout(limit + Duration::from_millis(10)),
            None => return Finding::Unreachable(Some(Errno(libc::EAGAIN))),
        };
        // Nothing else takes longer than it may.
        finding.unwrap_or_else(|_| Finding::Unresolved(NO_ANSWER.into()))
    }

    fn find(&self, deadline: Instant) -> Finding {
        let wire = match self.target.connect(deadline) {
            Ok(wire) => wire,
            Err(finding) => return finding,
        };
        let mut line = Line {
            wire,
            deadline,
            received: Vec::new(),
        };
        if line.send(&OPENING).is_err() {
            return Finding::Closed;
        }
        let greeting = loop {
            match Greeting::read(&line.received) {
                Opened::Whole(greeting) => break greeting,
                Opened::Foreign => return Finding::Foreign(greeting::shown(&line.received)),
                Opened::Old(version) => return Finding::Old(version),
                Opened::Incomplete => match line.hear() {
                    Heard::More => {}
                    Heard::Nothing if line.received.is_empty() => return Finding::Mute,
                    Heard::End if line.received.is_empty() => return Finding::Closed,
                    _ => return Finding::Foreign(greeting::shown(&line.received)),
                },
            }
        };
        line.received.drain(..GREETING_BYTES);
        let answer = if greeting.mechanism == self.role.mechanism {
            self.answer(&mut line)
        } else {
            Answer::NotAsked
        };
        Finding::Greeted(greeting, answer)
    }

    /// What the peer does, by itself and when it is asked.
    fn answer(&self, line: &mut Line) -> Answer {
        let challenge = match self.proof.as_ref().map(|proof| proof.challenge()) {
            Some(Ok(challenge)) => Some(challenge),
            Some(Err(_)) => return Answer::NotAsked,
            None => None,
        };
        let as_server = self.role.as_server;
        if challenge.is_none() && !as_server && self.listen.is_zero() {
            return Answer::NotAsked;
        }
        // Even where it is closed by now, what the peer said before can be read.
        let _ = line.send(&Greeting::rest(self.role.mechanism, as_server));
        if !self.listen.is_zero() {
            let deadline = line.deadline;
            line.deadline = deadline.min(Instant::now() + self.listen);
            if let Heard::More = line.hear_command() {
                return match greeting::command_name(line.command()) {
                    Some(b"HELLO") => Answer::Client,
                    _ => Answer::Unclear,
                };
            }
            line.deadline = deadline;
        }
        let word = match &challenge {
            Some(challenge) => challenge.command(),
            // A client says a whole HELLO: a server hangs up on this, and takes no credential from it.
            None if as_server => b"\x05HELLO",
            None => return Answer::NotAsked,
        };
        let _ = line.send(&greeting::command(word));
        match (line.hear_command(), challenge) {
            (Heard::Nothing, _) => Answer::Unclear,
            (Heard::End, Some(_)) => Answer::Unmet,
            (Heard::End, None) => Answer::Server,
            (Heard::More, challenge) => match (greeting::command_name(line.command()), challenge) {
                (Some(b"HELLO"), _) => Answer::Client,
                (Some(b"ERROR"), _) | (_, None) => Answer::Unclear,
                (_, Some(challenge)) if challenge.is_met_by(line.command()) => Answer::Met,
                _ => Answer::Unmet,
            },
        }
    }
}

impl Target {
    fn connect(&self, deadline: Instant) -> Result<Wire, Finding> {
        let failed = |error: io::Error| {
            let silent = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
            let errno = error.raw_os_error().filter(|_| !silent).map(Errno);
            Finding::Unreachable(errno)
        };
        match self {
            Self::Tcp { host, port, ipv6 } => {
                let address = resolve(host, *port, *ipv6).map_err(Finding::Unresolved)?;
                let left = left(deadline).ok_or(Finding::Unreachable(None))?;
                TcpStream::connect_timeout(&address, left)
                    .map(Wire::Tcp)
                    .map_err(failed)
            }
            Self::Ipc(name) => connect_ipc(name).map(Wire::Ipc).map_err(failed),
        }
    }
}

/// The first address of a host, which is the one that libzmq takes; or why there is none.
fn resolve(host: &str, port: u16, ipv6: bool) -> Result<SocketAddr, String> {
    let mut addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| {
            let text = error.to_string();
            let reason = text.rsplit_once(": ").map_or(&*text, |(_, reason)| reason);
            reason.to_owned()
        })?
        .peekable();
    if addresses.peek().is_none() {
        return Err("it has no address".into());
    }
    addresses
        .find(|address| ipv6 || address.is_ipv4())
        .ok_or_else(|| "it has IPv6 addresses only, and ZMQ_IPV6 is off".into())
}

fn connect_ipc(name: &str) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        return UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?);
    }
    UnixStream::connect(name)
}

/// Time left; `None` where there is none.
fn left(deadline: Instant) -> Option<Duration> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
}

enum Wire {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

/// A connection, and what came over it.
struct Line {
    wire: Wire,
    deadline: Instant,
    received: Vec<u8>,
}

enum Heard {
    More,
    /// Nothing in time, or as much as one peer may say.
    Nothing,
    End,
}

impl Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let left = Some(left(self.deadline).ok_or(ErrorKind::TimedOut)?);
        match &mut self.wire {
            Wire::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write_all(bytes)
            }
            Wire::Ipc(stream) => {
                stream.set_write_timeout(left)?;
                stream.write_all(bytes)
            }
        }
    }

    /// Hears until there is a command.
    fn hear_command(&mut self) -> Heard {
        loop {
            match greeting::read_command(&self.received) {
                Framed::Command(_) => return Heard::More,
                Framed::Foreign => return Heard::Nothing,
                Framed::Incomplete => match self.hear() {
                    Heard::More => {}
                    ended => return ended,
                },
            }
        }
    }

    /// The command that was heard; empty before.
    fn command(&self) -> &[u8] {
        match greeting::read_command(&self.received) {
            Framed::Command(command) => command,
            _ => &[],
        }
    }

    fn hear(&mut self) -> Heard {
        let mut buffer = [0; 512];
        let room = MAX_BYTES.saturating_sub(self.received.len());
        let Some(buffer) = buffer.get_mut(..room.min(512)).filter(|b| !b.is_empty()) else {
            return Heard::Nothing;
        };
        match self.read(buffer) {
            Ok(0) => Heard::End,
            Ok(count) => {
                self.received.extend(buffer.iter().take(count));
                Heard::More
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Nothing,
                ErrorKind::Interrupted => Heard::More,
                // Reset: who closes a connection that has unread bytes ends it so.
                _ => Heard::End,
            },
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = Some(left(self.deadline).ok_or(ErrorKind::TimedOut)?);
        match &mut self.wire {
            Wire::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Wire::Ipc(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_goes_where_libzmq_would() {
        let tcp = |host: &str, port| {
            Some(Target::Tcp {
                host: host.into(),
                port,
                ipv6: false,
            })
        };
        for (endpoint, target) in [
            ("tcp://db.example.org:5555", tcp("db.example.org", 5555)),
            ("tcp://[::1]:5555", tcp("::1", 5555)),
            ("tcp://eth0:0;10.0.0.1:7", tcp("10.0.0.1", 7)),
            ("ipc:///run/db", Some(Target::Ipc("/run/db".into()))),
            ("ipc://@db", Some(Target::Ipc("@db".into()))),
            ("ipc://", None),
            ("tcp://x", None),
            ("tcp://:1", None),
            ("tcp://x:65536", None),
            ("tcp://x:+1", None),
            ("tcp://*:*", None),
            ("inproc://x", None),
            ("ws://x:80", None),
            ("x", None),
        ] {
            assert_eq!(Target::of(endpoint, false), target, "{endpoint}");
        }
    }

    #[test]
    fn an_ipv6_address_is_no_address_where_libzmq_would_not_use_it() {
        assert!(resolve("::1", 1, true).is_ok());
        let reason = resolve("::1", 1, false).unwrap_err();
        assert!(reason.contains("ZMQ_IPV6"), "{reason}");
        assert!(resolve(&"x".repeat(70), 1, true).is_err());
    }
}
