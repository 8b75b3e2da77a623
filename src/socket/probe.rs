//! A short connection of our own to an endpoint, beside libzmq's: what is there, and what it says in its greeting.
//!
//! libzmq tells little of why a connection fails. A probe says the first words of ZMTP itself and hears what it throws away. It is bounded in
//! bytes and in time, names no mechanism before the peer has named its own, and hangs up before it could be asked for a credential: so an
//! authenticator never hears of it.

mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zmq_sys_wrap::zmq;

use super::greeting::{self, GREETING_BYTES, Greeting, OPENING, Opened};
use super::handshake::{HandshakeProblem, Role, explain};
use super::options::About;
use super::{Socket, options};
use crate::error::{Errno, Error, Result};
use crate::ffi::{os, socket::RawSocket};
use wire::{Heard, Line};
pub(crate) use wire::{Target, tcp_address};

/// Probes at a time. One ends in time, but may leave its thread waiting for the system: to resolve a name, or to have an ipc server accept.
const MAX_RUNNING: usize = 32;

/// No probe takes longer, whatever its limit: so the clock cannot overflow.
const LONGEST: Duration = Duration::from_secs(3600);

/// How late an answer may be before it is not waited for, and how long a name may take to resolve at the least: on a busy machine the
/// thread itself may be late.
const GRACE: Duration = Duration::from_secs(1);

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

/// What a socket expects of its servers: another than before, once its program has said so, at what it connects to from then on.
pub(crate) struct Expected(Mutex<Expectations>);

struct Expectations {
    now: Arc<dyn Proof>,
    /// What it was when they were connected.
    endpoints: HashMap<String, Arc<dyn Proof>>,
}

impl Expected {
    pub(super) fn new(now: Arc<dyn Proof>) -> Self {
        Self(Mutex::new(Expectations {
            now,
            endpoints: HashMap::new(),
        }))
    }

    pub(super) fn set(&self, now: Arc<dyn Proof>) {
        self.lock().now = now;
    }

    pub(super) fn connected(&self, endpoint: &str) {
        let mut expected = self.lock();
        let now = expected.now.clone();
        expected.endpoints.insert(endpoint.to_owned(), now);
    }

    pub(super) fn disconnected(&self, endpoint: &str) {
        self.lock().endpoints.remove(endpoint);
    }

    /// What is expected at an endpoint, as libzmq names it: that may be by its host's address where it was connected by name.
    fn at(&self, endpoint: &str) -> Arc<dyn Proof> {
        let expected = self.lock();
        let then = expected.endpoints.get(endpoint);
        then.unwrap_or(&expected.now).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Expectations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a probe is to find out.
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

/// An answer to come.
#[derive(Debug)]
pub(crate) struct Asked {
    finding: Receiver<Finding>,
    /// Whether the system is resolving the host's name, which takes as long as it likes.
    resolving: Arc<AtomicBool>,
    since: Instant,
    until: Instant,
}

impl Asked {
    /// The answer, if it is there within `timeout`.
    pub(crate) fn poll(&self, timeout: Duration) -> Option<Finding> {
        match self.finding.recv_timeout(timeout) {
            Ok(finding) => return Some(finding),
            Err(RecvTimeoutError::Disconnected) => return Some(Finding::Unreachable(None)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let late = Instant::now().checked_duration_since(self.until)?;
        if self.resolving.load(Ordering::Relaxed) && self.since.elapsed() > GRACE {
            let reason = "the system gave no answer in time".into();
            return Some(Finding::Unresolved(reason));
        }
        (late > GRACE).then_some(Finding::Unreachable(None))
    }

    fn wait(self) -> Finding {
        loop {
            if let Some(finding) = self.poll(Duration::from_millis(50)) {
                return finding;
            }
        }
    }
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

/// Asks on behalf of a socket.
pub(crate) struct Asker {
    role: Role,
    expected: Option<Arc<Expected>>,
    ipv6: bool,
    /// Whether libzmq connects through a proxy, where no probe can follow.
    proxied: bool,
}

impl Asker {
    /// With the socket's part in a handshake.
    pub(crate) fn of(socket: &Socket) -> Result<(Self, Role)> {
        Self::of_raw(&socket.raw, socket.expected.clone())
    }

    pub(super) fn of_raw(raw: &RawSocket, expected: Option<Arc<Expected>>) -> Result<(Self, Role)> {
        let number = |about: About| {
            let mut value = [0; size_of::<i32>()];
            raw.get(about.id, &mut value)
                .map_err(|error| error.on(about.name))?;
            Ok::<_, Error>(i32::from_ne_bytes(value))
        };
        let is_on = |about| number(about).map(|value| value != 0);
        let (mechanism, as_server) = match number(options::MECHANISM.about)? as u32 {
            zmq::ZMQ_PLAIN => ("PLAIN", is_on(options::PLAIN_SERVER.about)?),
            zmq::ZMQ_CURVE => ("CURVE", is_on(options::CURVE_SERVER.about)?),
            zmq::ZMQ_GSSAPI => ("GSSAPI", is_on(options::GSSAPI_SERVER.about)?),
            _ => ("NULL", false),
        };
        let role = Role {
            mechanism,
            as_server,
        };
        let mut proxy = [0; options::LONGEST];
        let length = raw.get(options::SOCKS_PROXY.about.id, &mut proxy)?;
        let proxy = proxy.get(..length).unwrap_or_default();
        let asker = Self {
            role,
            expected,
            ipv6: is_on(options::IPV6.about)?,
            proxied: proxy.iter().any(|byte| *byte != 0),
        };
        Ok((asker, role))
    }

    /// Asks what is at `endpoint`, as [`Question::ask`]; `None` where that cannot be.
    pub(crate) fn ask(&self, endpoint: &str, listen: Duration, limit: Duration) -> Option<Asked> {
        let question = Question {
            target: Target::of(endpoint, self.ipv6).filter(|_| !self.proxied)?,
            role: self.role,
            proof: self.expected.as_ref().map(|expected| expected.at(endpoint)),
            // By NULL, both ends would go on to ask for the other's credential.
            listen: match self.role.mechanism {
                "NULL" => Duration::ZERO,
                _ => listen,
            },
        };
        question.ask(limit)
    }

    /// Who is expected at `endpoint`, for people.
    pub(crate) fn expected(&self, endpoint: &str) -> String {
        let proof = self.expected.as_ref().map(|expected| expected.at(endpoint));
        proof.map_or_else(String::new, |proof| proof.expected())
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

    /// Asks in a thread of its own; `None` where there are too many such threads.
    pub(crate) fn ask(self, limit: Duration) -> Option<Asked> {
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
        let resolving = Arc::new(AtomicBool::new(false));
        let since = Instant::now();
        let asked = Asked {
            finding,
            resolving: resolving.clone(),
            since,
            until: since + limit.min(LONGEST),
        };
        let deadline = asked.until;
        // A thread of ours has signals blocked: writing to a closed ipc connection raises one.
        os::spawn("ironhouse-probe", move || {
            let _turn = turn;
            let _ = tell.send(self.find(deadline, &resolving));
        })
        .ok()?;
        Some(asked)
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask_now(self, limit: Duration) -> Finding {
        match self.ask(limit) {
            Some(asked) => asked.wait(),
            None => Finding::Unreachable(Some(Errno(libc::EAGAIN))),
        }
    }

    fn find(&self, deadline: Instant, resolving: &AtomicBool) -> Finding {
        let found = self.try_to_find(deadline, resolving);
        // A server may also have hung up for a reason of its own, and a wrong key is a hard word.
        match found {
            Finding::Greeted(_, Answer::Unmet) => match self.try_to_find(deadline, resolving) {
                again @ Finding::Greeted(..) => again,
                _ => found,
            },
            found => found,
        }
    }

    fn try_to_find(&self, deadline: Instant, resolving: &AtomicBool) -> Finding {
        let mut line = match self.target.connect(deadline, resolving) {
            Ok(line) => line,
            Err(finding) => return finding,
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
            line.deadline = deadline.min(Instant::now() + self.listen.min(LONGEST));
            match line.hear_command() {
                Heard::More if greeting::command_name(line.command()) == Some(b"HELLO") => {
                    return Answer::Client;
                }
                // It has not seen anything of ours yet that it could dislike.
                Heard::More | Heard::End => return Answer::Unclear,
                Heard::Nothing => line.deadline = deadline,
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a probe that was asked so long ago and has not answered.
    fn late(resolving: bool, since: Duration, late: Duration) -> Option<Finding> {
        let (tell, finding) = sync_channel(1);
        let now = Instant::now();
        let asked = Asked {
            finding,
            resolving: Arc::new(AtomicBool::new(resolving)),
            since: now.checked_sub(since).unwrap(),
            until: now.checked_sub(late).unwrap(),
        };
        let found = asked.poll(Duration::ZERO);
        drop(tell);
        found
    }

    #[test]
    fn a_peer_may_be_listened_to_for_any_time() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let peer = std::thread::spawn(move || {
            let greeting = [&OPENING[..], &Greeting::rest("CURVE", false)].concat();
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(&greeting).unwrap();
        });
        let role = Role {
            mechanism: "CURVE",
            as_server: true,
        };
        let question = Question {
            listen: Duration::MAX,
            ..Question::new(&endpoint, role, None).unwrap()
        };
        let found = question.ask_now(Duration::MAX);
        assert!(
            matches!(&found, Finding::Greeted(_, Answer::Unclear)),
            "{found:?}"
        );
        peer.join().unwrap();
    }

    #[test]
    fn a_name_is_blamed_only_where_it_was_waited_for() {
        let (short, long) = (Duration::from_millis(1), 2 * GRACE);
        assert_eq!(late(true, short, short), None);
        assert_eq!(late(false, long, short), None);
        assert!(matches!(
            late(true, long, short),
            Some(Finding::Unresolved(_))
        ));
        assert_eq!(late(false, long, long), Some(Finding::Unreachable(None)));
    }
}
