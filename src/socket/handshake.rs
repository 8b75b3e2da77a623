//! Connect, and wait for the verdict: secured, or a typed reason why not.

mod watch;

use std::time::{Duration, Instant};

use super::monitor::ProtocolError;
use super::probe::{Answer, Finding};
use super::{Socket, options};
use crate::error::{Errno, Error, Result};
pub use watch::{HandshakeEvent, HandshakeOutcome, HandshakeWatch};

/// Why a connection was not made or not secured, as far as the wire tells.
///
/// libzmq itself tells little: a wrong server key and a server without an authenticator look the same to it, and two servers that face each
/// other look like nothing at all. So a failure is looked into by a short connection beside libzmq's, over tcp and ipc; what the peer says
/// in it is not proven, but for its server key. On another transport, through a proxy, or where time is up, what libzmq tells must do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeProblem {
    /// The endpoint's host name does not lead to an address.
    #[error(
        "the host's name does not resolve ({reason}): check its spelling, and what this machine asks for names"
    )]
    Unresolved {
        /// What the system says.
        reason: String,
    },
    /// Nobody accepted a connection in time.
    #[error(
        "nobody accepted a connection within {:?}{}: is the server running, is this its endpoint, and does a firewall let us through?",
        rounded(waited),
        Because(reason)
    )]
    Unreachable {
        /// How long we tried.
        waited: Duration,
        /// What the system says to an attempt, where it says anything.
        reason: Option<Errno>,
    },
    /// Somebody accepted the connection and then said nothing that ends the handshake.
    #[error(
        "connected, but nothing that ends the handshake came within {:?}: is this the endpoint of a ZeroMQ server, and does that still run?",
        rounded(waited)
    )]
    Silent {
        /// How long we tried.
        waited: Duration,
    },
    /// The peer closed the connection during the handshake, and a second one showed no reason.
    #[error(
        "the peer closed the connection during the handshake ({0}) without a reason: does it take connections from here, and is it a ZeroMQ server?"
    )]
    Closed(Errno),
    /// Something else than ZeroMQ is at the endpoint.
    #[error(
        "what is there speaks no ZMTP, it says \"{began}\": is this the endpoint of a ZeroMQ server?"
    )]
    NotZmtp {
        /// Its first bytes, as in a Rust string literal.
        began: String,
    },
    /// The peer speaks a version of ZMTP that has no handshake, and so no security: libzmq before 4.0. With neither a mechanism here nor
    /// there, messages may flow all the same.
    #[error(
        "the peer speaks ZMTP {version}, which knows no security: it needs libzmq 4.0 or later, or another library of that protocol"
    )]
    OldProtocol {
        /// The major version: 1 or 2.
        version: u8,
    },
    /// The two peers have different mechanisms. libzmq does not connect again.
    #[error(
        "this end has the security mechanism {ours}, the other end {}: both need the same", theirs.as_deref().unwrap_or("another one")
    )]
    MechanismMismatch {
        /// That of our socket.
        ours: &'static str,
        /// That of the peer, as its greeting says; `None` where it could not be asked.
        theirs: Option<String>,
    },
    /// Both peers are servers of their mechanism: each waits for the other.
    #[error(
        "both ends are {mechanism} servers, and wait for each other: one must be the client, whoever binds"
    )]
    BothServers {
        /// The mechanism.
        mechanism: &'static str,
    },
    /// Both peers are clients of their mechanism.
    #[error("both ends are {mechanism} clients: one must be the server, whoever binds")]
    BothClients {
        /// The mechanism.
        mechanism: &'static str,
    },
    /// The server did not prove to hold the key that this client was given for it (CURVE): asked twice, it hung up both times.
    #[error(
        "the server does not prove to hold the key that we expect of it, {expected}: get its present public key from who runs it, over a channel that you trust; if the key is right, somebody else is at this endpoint"
    )]
    WrongServerKey {
        /// The public keys that would do, in Z85, and where they are pinned.
        expected: String,
    },
    /// The server said nothing of our credential. By CURVE, it has proven its own key; by the others, it has our mechanism.
    #[error(
        "the server {} instead of a word on our credential: its authenticator has a temporary failure (status 300), or there is none; its log should tell (GSSAPI: or a ticket is missing here, or a key there)",
        if *closed { "closed the connection" } else { "keeps silent" }
    )]
    NoVerdict {
        /// Whether it closed the connection; else it keeps it open, and silent.
        closed: bool,
    },
    /// The server's authenticator refused us. libzmq does not connect again after 400 and 500.
    #[error(
        "the server refused us (status {status}): our key, password or address is not admitted"
    )]
    Refused {
        /// The ZAP status: 300, 400 or 500.
        status: u16,
    },
    /// The peers do not understand each other.
    #[error("the handshake failed: {0}")]
    Protocol(ProtocolError),
}

/// A time as people read it: in whole milliseconds, and at least one.
fn rounded(time: &Duration) -> Duration {
    let millis = time.as_millis().max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Displays `: reason`, or nothing.
struct Because<'a>(&'a Option<Errno>);

impl std::fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |errno| write!(f, " ({errno})"))
    }
}

impl HandshakeProblem {
    /// Whether waiting longer may help.
    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Silent { .. } | Self::NoVerdict { closed: false }
        )
    }

    /// The same, found after this time.
    fn after(mut self, time: Duration) -> Self {
        if let Self::Unreachable { waited, .. } | Self::Silent { waited } = &mut self {
            *waited = time;
        }
        self
    }

    /// Whether both are the same, whenever they were found.
    fn is(&self, other: &Self) -> bool {
        self.clone().after(Duration::ZERO) == other.clone().after(Duration::ZERO)
    }
}

/// What our end of a connection is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) mechanism: &'static str,
    /// Whether it is the mechanism's server.
    pub(crate) as_server: bool,
}

/// The problem behind what libzmq told, in the light of what a probe found; `None` where that says there is none.
pub(crate) fn explain(
    told: HandshakeProblem,
    found: Finding,
    role: Role,
    expected: impl FnOnce() -> String,
) -> Option<HandshakeProblem> {
    use HandshakeProblem as Problem;
    let Role {
        mechanism,
        as_server,
    } = role;
    let unreachable = matches!(told, Problem::Unreachable { .. });
    Some(match (found, told) {
        (Finding::Foreign(began), _) => Problem::NotZmtp { began },
        (Finding::Old(version), _) => Problem::OldProtocol { version },
        (Finding::Greeted(theirs, _), _) if theirs.mechanism != mechanism => {
            Problem::MechanismMismatch {
                ours: mechanism,
                theirs: Some(theirs.mechanism),
            }
        }
        (Finding::Greeted(_, Answer::Client), _) if !as_server => {
            Problem::BothClients { mechanism }
        }
        (Finding::Greeted(_, Answer::Server), _) if as_server => Problem::BothServers { mechanism },
        (Finding::Greeted(_, Answer::Unmet), _) => Problem::WrongServerKey {
            expected: expected(),
        },
        // Somebody is there now.
        (Finding::Greeted(..) | Finding::Mute | Finding::Closed, _) if unreachable => return None,
        (Finding::Greeted(_, Answer::Met | Answer::NotAsked), Problem::Closed(_)) => {
            Problem::NoVerdict { closed: true }
        }
        (Finding::Greeted(_, Answer::Met | Answer::NotAsked), Problem::Silent { .. }) => {
            Problem::NoVerdict { closed: false }
        }
        (Finding::Unresolved(reason), _) if unreachable => Problem::Unresolved { reason },
        (Finding::Unreachable(reason), Problem::Unreachable { waited, .. }) => {
            Problem::Unreachable { waited, reason }
        }
        (_, told) => told,
    })
}

/// Connects `socket`, which is new, and returns when that connection is secured.
pub(super) fn connect(socket: &Socket, endpoint: &str, timeout: Duration) -> Result<()> {
    let verdict = watch(socket, endpoint, timeout);
    rest(socket);
    verdict
}

/// After the verdict: where nobody else watches the socket, it need not keep a thread for it.
pub(super) fn rest(socket: &Socket) {
    if socket.watched.is_none() {
        socket.monitor.stop(&socket.raw);
    }
}

fn watch(socket: &Socket, endpoint: &str, timeout: Duration) -> Result<()> {
    let Some(mut check) = Check::start(socket, endpoint, timeout)? else {
        return Ok(());
    };
    loop {
        let event = check.watch.next(Some(check.left()))?;
        if let Some(verdict) = check.judge(event) {
            return verdict.or_else(|problem| check.fail(socket, problem));
        }
    }
}

/// A new connection whose verdict is waited for.
pub(super) struct Check {
    pub(super) watch: HandshakeWatch,
    endpoint: String,
    start: Instant,
    timeout: Duration,
    /// What it suffers from that may pass.
    passing: Option<HandshakeProblem>,
}

impl Check {
    /// Connects; `None` where there is nothing to wait for.
    pub(super) fn start(
        socket: &Socket,
        endpoint: &str,
        timeout: Duration,
    ) -> Result<Option<Self>> {
        if endpoint.starts_with("inproc://") {
            socket.connect(endpoint)?; // no handshake, no events: both ends are in this process
            return Ok(None);
        }
        let start = Instant::now();
        // Half of the time is for the peer, half to ask why it did not take the first.
        let mut watch = HandshakeWatch::attach(socket)?.patience(timeout / 2);
        socket.connect(endpoint)?;
        watch.expect(endpoint);
        Ok(Some(Self {
            watch,
            endpoint: endpoint.to_owned(),
            start,
            timeout,
            passing: None,
        }))
    }

    /// The time that is left.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.start.elapsed())
    }

    /// The verdict after an event, or after there was none in time; `None` to go on waiting.
    pub(super) fn judge(
        &mut self,
        event: Option<HandshakeEvent>,
    ) -> Option<Result<(), HandshakeProblem>> {
        Some(match event.map(|event| event.outcome) {
            Some(HandshakeOutcome::Secured) => Ok(()),
            Some(HandshakeOutcome::Failed(problem)) if problem.may_pass() => {
                self.passing = Some(problem);
                return None;
            }
            Some(HandshakeOutcome::Failed(problem)) => Err(problem),
            None => {
                let present = self.watch.present(&self.endpoint).or(self.passing.take());
                let waited = self.timeout;
                Err(present.unwrap_or(HandshakeProblem::Silent { waited }))
            }
        })
    }

    /// The problem as an error.
    pub(super) fn fail(self, socket: &Socket, problem: HandshakeProblem) -> Result<()> {
        // A shutdown ends handshakes too, and is the better reason.
        socket.get(options::EVENTS)?;
        Err(Error::Handshake {
            problem: problem.after(self.timeout),
            endpoint: self.endpoint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Greeting;

    const CLIENT: Role = Role {
        mechanism: "CURVE",
        as_server: false,
    };
    const SERVER: Role = Role {
        as_server: true,
        ..CLIENT
    };

    fn greeted(mechanism: &str, answer: Answer) -> Finding {
        let greeting = Greeting {
            version: (3, 1),
            mechanism: mechanism.into(),
            as_server: false,
        };
        Finding::Greeted(greeting, answer)
    }

    #[test]
    fn what_libzmq_tells_is_explained_by_what_was_found() {
        use HandshakeProblem as Problem;
        let waited = Duration::from_secs(1);
        let closed = || Problem::Closed(Errno(libc::EPIPE));
        let silent = || Problem::Silent { waited };
        let unreachable = |reason| Problem::Unreachable { waited, reason };
        let refused = Some(Errno(libc::ECONNREFUSED));
        let mechanism = "CURVE";
        for (told, found, role, wanted) in [
            (
                closed(),
                greeted("CURVE", Answer::Met),
                CLIENT,
                Some(Problem::NoVerdict { closed: true }),
            ),
            (
                silent(),
                greeted("CURVE", Answer::Met),
                CLIENT,
                Some(Problem::NoVerdict { closed: false }),
            ),
            (
                silent(),
                greeted("CURVE", Answer::NotAsked),
                CLIENT,
                Some(Problem::NoVerdict { closed: false }),
            ),
            (
                closed(),
                greeted("CURVE", Answer::Unmet),
                CLIENT,
                Some(Problem::WrongServerKey {
                    expected: "KEY".into(),
                }),
            ),
            (
                closed(),
                greeted("CURVE", Answer::Unclear),
                CLIENT,
                Some(closed()),
            ),
            (
                closed(),
                greeted("CURVE", Answer::Client),
                CLIENT,
                Some(Problem::BothClients { mechanism }),
            ),
            (
                silent(),
                greeted("CURVE", Answer::Server),
                SERVER,
                Some(Problem::BothServers { mechanism }),
            ),
            (
                silent(),
                greeted("CURVE", Answer::Client),
                SERVER,
                Some(silent()),
            ),
            (
                closed(),
                greeted("NULL", Answer::NotAsked),
                CLIENT,
                Some(Problem::MechanismMismatch {
                    ours: "CURVE",
                    theirs: Some("NULL".into()),
                }),
            ),
            (
                silent(),
                Finding::Foreign("SSH".into()),
                CLIENT,
                Some(Problem::NotZmtp {
                    began: "SSH".into(),
                }),
            ),
            (
                silent(),
                Finding::Old(2),
                CLIENT,
                Some(Problem::OldProtocol { version: 2 }),
            ),
            (silent(), Finding::Mute, CLIENT, Some(silent())),
            (closed(), Finding::Closed, CLIENT, Some(closed())),
            // A name that does not resolve now did when there was a connection, and the system's reasons come and go.
            (
                closed(),
                Finding::Unresolved("x".into()),
                CLIENT,
                Some(closed()),
            ),
            (
                closed(),
                Finding::Unreachable(refused),
                CLIENT,
                Some(closed()),
            ),
            (
                unreachable(None),
                Finding::Unresolved("x".into()),
                CLIENT,
                Some(Problem::Unresolved { reason: "x".into() }),
            ),
            (
                unreachable(None),
                Finding::Unreachable(refused),
                CLIENT,
                Some(unreachable(refused)),
            ),
            // It is there now.
            (
                unreachable(None),
                greeted("CURVE", Answer::Met),
                CLIENT,
                None,
            ),
            (unreachable(None), Finding::Mute, CLIENT, None),
            (
                unreachable(None),
                greeted("CURVE", Answer::Unmet),
                CLIENT,
                Some(Problem::WrongServerKey {
                    expected: "KEY".into(),
                }),
            ),
            (
                Problem::Protocol(ProtocolError(0x1000_0001)),
                greeted("CURVE", Answer::Met),
                CLIENT,
                Some(Problem::Protocol(ProtocolError(0x1000_0001))),
            ),
        ] {
            let case = format!("{told:?} {found:?} {role:?}");
            assert_eq!(
                explain(told, found, role, || "KEY".into()),
                wanted,
                "{case}"
            );
        }
    }

    #[test]
    fn times_are_told_in_whole_milliseconds() {
        let text = |waited| {
            let problem = HandshakeProblem::Silent { waited };
            problem.to_string()
        };
        assert!(text(Duration::from_nanos(1)).contains("within 1ms:"));
        assert!(text(Duration::from_micros(1_234_567)).contains("within 1.234s:"));
    }

    #[test]
    fn problems_are_the_same_whenever_they_were_found() {
        let silent = |seconds| HandshakeProblem::Silent {
            waited: Duration::from_secs(seconds),
        };
        assert!(silent(1).is(&silent(2)));
        assert!(!silent(1).is(&HandshakeProblem::NoVerdict { closed: false }));
        let refused = |status| HandshakeProblem::Refused { status };
        assert!(refused(400).is(&refused(400)) && !refused(400).is(&refused(500)));
    }
}
