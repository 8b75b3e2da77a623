//! `HandshakeWatch`: what becomes of each connection that a socket makes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{HandshakeProblem, Role, explain};
use crate::error::{Errno, Result};
use crate::socket::Socket;
use crate::socket::monitor::{EventKind, Monitor, MonitorEvent, ProtocolError};
use crate::socket::probe::{Asked, Asker};

/// How long a connection may take before it is looked into, unless set.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often an answer is looked for, while one is due.
const TICK: Duration = Duration::from_millis(10);

/// How long a client may take to say hello by itself, when nothing hints at its being one.
const HELLO: Duration = Duration::from_millis(50);

/// Endpoints whose troubles are remembered.
const MAX_LINKS: usize = 4096;

/// Says of each connection that a socket makes whether it is secured, and if not, why not. Ends "nothing happens".
///
/// For the end that connects. What becomes of connections that a server accepts, its authenticator tells, which knows more:
/// [`Authenticator::handshakes`](crate::security::Authenticator::handshakes), each decision and each handshake that failed without one.
///
/// A trouble is told once, until it changes or passes; libzmq tries again meanwhile. To tell what libzmq does not know, the watch makes
/// short connections of its own to an endpoint in trouble, see [`HandshakeProblem`]; the peer sees them come and go.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::socket::{HandshakeOutcome, HandshakeWatch};
/// use ironhouse::{Context, SocketType};
///
/// let context = Context::new()?;
/// let server = context.socket(SocketType::Rep).open()?;
/// let endpoint = server.bind("tcp://127.0.0.1:*")?;
///
/// let client = context.socket(SocketType::Req).open()?;
/// let mut watch = HandshakeWatch::attach(&client)?; // before connect, to miss nothing
/// client.connect(&endpoint)?;
/// let event = watch.next(None)?.expect("no time-out");
/// assert_eq!((event.endpoint, event.outcome), (endpoint, HandshakeOutcome::Secured));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HandshakeWatch {
    monitor: Monitor,
    asker: Asker,
    role: Role,
    patience: Duration,
    /// The one connection there is, as the program named it.
    only: Option<String>,
    links: HashMap<String, Link>,
    asking: Option<Asking>,
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeEvent {
    /// The endpoint connected to, as libzmq names it: it may have put a host's address in the place of its name.
    pub endpoint: String,
    /// What became of it.
    pub outcome: HandshakeOutcome,
}

/// Whether a connection is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// The handshake succeeded: messages can flow, by the socket's mechanism.
    Secured,
    /// They cannot.
    Failed(HandshakeProblem),
}

/// An endpoint whose connection is not secured.
#[derive(Debug)]
struct Link {
    /// When its present state began: connecting, or connected.
    since: Instant,
    connected: bool,
    /// Whether libzmq told the end of the present connection already.
    failed: bool,
    /// What libzmq told, which is to be looked into.
    doubt: Option<HandshakeProblem>,
    /// When that was done last, and for what.
    asked: Option<(Instant, HandshakeProblem)>,
    told: Option<HandshakeProblem>,
}

#[derive(Debug)]
struct Asking {
    endpoint: String,
    doubt: HandshakeProblem,
    asked: Asked,
}

impl HandshakeWatch {
    /// Watches the connections that `socket` makes from now on.
    ///
    /// # Errors
    /// As [`Monitor::attach`].
    pub fn attach(socket: &Socket) -> Result<Self> {
        let asker = Asker::of(socket)?;
        Ok(Self::new(Monitor::attach(socket)?, asker))
    }

    pub(in crate::socket) fn new(monitor: Monitor, (asker, role): (Asker, Role)) -> Self {
        Self {
            monitor,
            asker,
            role,
            patience: PATIENCE,
            only: None,
            links: HashMap::new(),
            asking: None,
        }
    }

    /// How long a connection may take, and then its handshake, before either is looked into; 5 s unless set. Also how often a trouble
    /// that stays the same to libzmq is looked into again.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The next outcome, waiting at most `timeout` (`None`: as long as it takes); `None` when there was none in time.
    ///
    /// # Errors
    /// [`Error::Terminated`](crate::Error::Terminated) once the socket is closed or the context shut down.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<Option<HandshakeEvent>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if let Some(event) = self.due() {
                return Ok(Some(event));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wait = [left, self.patience_left()];
            match self.monitor.next(wait.into_iter().flatten().min())? {
                Some(event) => {
                    if let Some(event) = self.take(event) {
                        return Ok(Some(event));
                    }
                }
                None if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                    return Ok(None);
                }
                None => {}
            }
        }
    }

    /// An outcome that needs no further event of libzmq's.
    pub(in crate::socket) fn due(&mut self) -> Option<HandshakeEvent> {
        if let Some(event) = self.answered() {
            return Some(event);
        }
        self.suspect_the_quiet();
        self.ask()
    }

    /// When to look for one again, if libzmq tells nothing.
    pub(in crate::socket) fn patience_left(&self) -> Option<Duration> {
        let now = Instant::now();
        let wait = [
            self.asking.is_some().then_some(TICK),
            self.quiet_until()
                .map(|until| until.saturating_duration_since(now)),
        ];
        wait.into_iter().flatten().min()
    }

    /// What libzmq tells.
    #[cfg(feature = "tokio")]
    pub(in crate::socket) fn monitor(&mut self) -> &mut Monitor {
        &mut self.monitor
    }

    /// Counts `endpoint` as connecting, whatever libzmq tells, and as the only one.
    pub(super) fn expect(&mut self, endpoint: &str) {
        self.only = Some(endpoint.to_owned());
        self.links.insert(endpoint.to_owned(), Link::new());
    }

    /// What `endpoint` suffers from at this moment, as far as it was not told.
    pub(super) fn present(&self, endpoint: &str) -> Option<HandshakeProblem> {
        let asked = self.asking.as_ref().filter(|a| a.endpoint == endpoint);
        let link = self.links.get(endpoint)?;
        let doubt = asked.map(|asked| &asked.doubt).or(link.doubt.as_ref());
        let told = |connected| {
            let of_a_connection =
                |told: &HandshakeProblem| !matches!(told, HandshakeProblem::Unreachable { .. });
            link.told.as_ref().map(of_a_connection) == Some(connected)
        };
        match doubt {
            _ if told(link.connected) => None,
            Some(doubt) => Some(doubt.clone()),
            None => Some(link.quiet()),
        }
    }

    /// Learns from an event of libzmq's.
    pub(in crate::socket) fn take(&mut self, event: MonitorEvent) -> Option<HandshakeEvent> {
        let endpoint = self.only.clone().unwrap_or(event.endpoint);
        if let EventKind::ConnectDelayed
        | EventKind::ConnectRetried { .. }
        | EventKind::Connected { .. } = event.kind
        {
            if self.links.len() >= MAX_LINKS {
                // Troubles may be told a second time.
                self.links.clear();
            }
            self.links.entry(endpoint.clone()).or_insert_with(Link::new);
        }
        // Others are of connections that were accepted.
        let link = self.links.get_mut(&endpoint)?;
        let problem = match event.kind {
            EventKind::Connected { .. } => {
                link.enter(true);
                return None;
            }
            EventKind::ConnectRetried { .. } if !link.connected => HandshakeProblem::Unreachable {
                waited: link.since.elapsed(),
                reason: None,
            },
            EventKind::HandshakeSucceeded => {
                self.links.remove(&endpoint);
                let outcome = HandshakeOutcome::Secured;
                return Some(HandshakeEvent { endpoint, outcome });
            }
            EventKind::HandshakeFailedAuth(status) => {
                link.failed = true;
                let problem = HandshakeProblem::Refused { status };
                return self.tell(endpoint, problem);
            }
            EventKind::HandshakeFailedNoDetail(Errno(libc::EAGAIN)) => HandshakeProblem::Silent {
                waited: link.since.elapsed(),
            },
            EventKind::HandshakeFailedNoDetail(errno) => HandshakeProblem::Closed(errno),
            EventKind::HandshakeFailedProtocol(ProtocolError::MECHANISM_MISMATCH) => {
                HandshakeProblem::MechanismMismatch {
                    ours: self.role.mechanism,
                    theirs: None,
                }
            }
            EventKind::HandshakeFailedProtocol(error) => HandshakeProblem::Protocol(error),
            EventKind::Disconnected { .. } if link.connected => {
                let told = link.failed;
                link.enter(false);
                if told {
                    return None;
                }
                // So it takes leave of a peer of version 1 where that is not secure enough.
                HandshakeProblem::Closed(Errno(libc::EPIPE))
            }
            _ => return None,
        };
        link.failed = true;
        link.suspect(problem, self.patience);
        None
    }

    /// Suspects what has been quiet for long.
    fn suspect_the_quiet(&mut self) {
        let patience = self.patience;
        for link in self.links.values_mut() {
            if link.is_quiet() && link.since.elapsed() >= patience {
                link.suspect(link.quiet(), patience);
            }
        }
    }

    /// When the next of them will have been quiet for long.
    fn quiet_until(&self) -> Option<Instant> {
        self.links
            .values()
            .filter(|link| link.is_quiet())
            .filter_map(|link| link.since.checked_add(self.patience))
            .min()
    }

    /// Looks into the next doubt. Where that cannot be, libzmq's word must do.
    fn ask(&mut self) -> Option<HandshakeEvent> {
        if self.asking.is_some() {
            return None;
        }
        let (endpoint, doubt) = self.links.iter_mut().find_map(|(endpoint, link)| {
            let doubt = link.doubt.take()?;
            link.asked = Some((Instant::now(), doubt.clone()));
            Some((endpoint.clone(), doubt))
        })?;
        let listen = match doubt {
            HandshakeProblem::Protocol(_) => self.patience,
            _ => HELLO,
        };
        match self.asker.ask(&endpoint, listen, self.patience) {
            Some(asked) => {
                self.asking = Some(Asking {
                    endpoint,
                    doubt,
                    asked,
                });
                None
            }
            None => self.tell(endpoint, doubt),
        }
    }

    /// Tells what was found out, once it is.
    fn answered(&mut self) -> Option<HandshakeEvent> {
        let asking = self.asking.as_ref()?;
        let finding = asking.asked.poll(Duration::ZERO)?;
        let Asking {
            endpoint, doubt, ..
        } = self.asking.take()?;
        let problem = explain(doubt, finding, self.role, || self.asker.expected(&endpoint))?;
        self.tell(endpoint, problem)
    }

    /// Tells a problem, if it is news.
    fn tell(&mut self, endpoint: String, problem: HandshakeProblem) -> Option<HandshakeEvent> {
        // Secured meanwhile, if it is not there.
        let link = self.links.get_mut(&endpoint)?;
        if link.told.as_ref().is_some_and(|told| told.is(&problem)) {
            return None;
        }
        link.told = Some(problem.clone());
        let outcome = HandshakeOutcome::Failed(problem);
        Some(HandshakeEvent { endpoint, outcome })
    }
}

impl Link {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            connected: false,
            failed: false,
            doubt: None,
            asked: None,
            told: None,
        }
    }

    fn enter(&mut self, connected: bool) {
        self.since = Instant::now();
        self.connected = connected;
        self.failed = false;
    }

    /// Whether nothing was told or found out of its present state.
    fn is_quiet(&self) -> bool {
        let asked_since = |(asked, _): &(Instant, _)| *asked >= self.since;
        !self.failed && self.doubt.is_none() && !self.asked.as_ref().is_some_and(asked_since)
    }

    /// What to say of its silence.
    fn quiet(&self) -> HandshakeProblem {
        let waited = self.since.elapsed();
        if self.connected {
            HandshakeProblem::Silent { waited }
        } else {
            HandshakeProblem::Unreachable {
                waited,
                reason: None,
            }
        }
    }

    /// Has a problem looked into, unless that was done just now.
    fn suspect(&mut self, problem: HandshakeProblem, patience: Duration) {
        let known = self
            .asked
            .as_ref()
            .is_some_and(|(asked, of)| of.is(&problem) && asked.elapsed() < patience);
        if !known && self.doubt.is_none() {
            self.doubt = Some(problem);
        }
    }
}
