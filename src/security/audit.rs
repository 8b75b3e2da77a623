//! Audit events: what the authenticator decided, whence, for whom and why; never a secret.

mod report;

use std::fmt;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::address::PeerAddress;
use super::candidates::ConnectedPeer;
use super::connections::ExcessConnection;
use super::counters::verdict;
use super::faults::FailedHandshake;
use super::fingerprint::Fingerprint;
use super::lockout::LockedOut;
use super::peers::PeerIdentity;
use super::validity::Date;
use super::zap::{StatusCode, ZapMechanism, ZapProblem};
use crate::fanout::Tap;
pub(crate) use report::{Audit, Decided};

/// Something the authenticator did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AuditEvent {
    /// It answered a request.
    Decision(Decision),
    /// It got a message that is no ZAP request, and admitted nobody.
    Malformed(ZapProblem),
    /// It closed a connection because a peer is no longer admitted: this one, or where it lists several candidates, one of them.
    Closed(ConnectedPeer),
    /// The system's clock was set, or the machine slept: it shows something else than the time that went by. Noticed only while
    /// certificates with dates are judged.
    ///
    /// A clock that is set back gives nobody an ended certificate back: ends go on being judged by the latest time that it has shown, and
    /// starts by what it shows. If that latest time was the wrong one, [`Authenticator::trust_clock`](super::Authenticator::trust_clock) forgets it.
    ClockJumped {
        /// What it should show.
        expected: SystemTime,
        /// What it shows.
        found: SystemTime,
    },
    /// Somebody is locked out from now on, because too many attempts failed.
    LockedOut(LockedOut),
    /// It closed a connection because there was one too many.
    TooManyConnections(ExcessConnection),
    /// A handshake with a socket of one of its domains failed before it was asked, or in spite of its answer. For readers by
    /// [`handshakes`](super::Authenticator::handshakes) only.
    HandshakeFailed(FailedHandshake),
    /// A changed [`Config`](super::Config) is in force.
    ConfigChanged {
        /// The file.
        path: PathBuf,
        /// The keys whose change counts only after a restart.
        needs_restart: Vec<&'static str>,
    },
    /// A changed [`Config`](super::Config) cannot be used: the one before stays in force.
    ConfigRefused {
        /// The file.
        path: PathBuf,
        /// The first line to blame, from 1, if there is one.
        line: Option<u32>,
        /// What is wrong there, and how to mend it; [`ConfiguredAuthenticator::problems`](super::ConfiguredAuthenticator::problems) has the others.
        reason: String,
    },
    /// Its thread ended though it is still needed: every later handshake fails when the server's
    /// [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL) ends.
    HandlerDied,
}

impl AuditEvent {
    /// What happened, in a word for machines: `decision`, `malformed`, `closed`, `clock_jumped`, `locked_out`,
    /// `too_many_connections`, `handshake_failed`, `config_changed`, `config_refused`, `handler_died`.
    pub const fn name(&self) -> &'static str {
        match self {
            AuditEvent::Decision(_) => "decision",
            AuditEvent::Malformed(_) => "malformed",
            AuditEvent::Closed(_) => "closed",
            AuditEvent::ClockJumped { .. } => "clock_jumped",
            AuditEvent::LockedOut(_) => "locked_out",
            AuditEvent::TooManyConnections(_) => "too_many_connections",
            AuditEvent::HandshakeFailed(_) => "handshake_failed",
            AuditEvent::ConfigChanged { .. } => "config_changed",
            AuditEvent::ConfigRefused { .. } => "config_refused",
            AuditEvent::HandlerDied => "handler_died",
        }
    }
}

/// The answer to one request: who, whence, domain, mechanism, verdict, reason.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// When it was made.
    pub time: SystemTime,
    /// The ZAP domain of the socket that asked.
    pub domain: Arc<str>,
    /// Where the peer is.
    pub address: PeerAddress,
    /// By what means it wants to be admitted.
    pub mechanism: ZapMechanism,
    /// Who it says it is.
    pub identity: PeerIdentity,
    /// The status answered.
    pub status: StatusCode,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// The fingerprint of the peer's public key (CURVE).
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.identity {
            PeerIdentity::Key(key) => Some(key.fingerprint()),
            _ => None,
        }
    }

    /// What the status means, in a word for machines: `admitted`, `deferred` (300) or `refused` (400, 500).
    pub const fn verdict(&self) -> &'static str {
        verdict(self.status)
    }
}

/// Why a peer was admitted, refused, or told to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Its credential is good.
    Admitted,
    /// Its address is on the deny list.
    AddressDenied,
    /// Its address is not on the allow list, which is not empty.
    AddressNotAllowed,
    /// The policy does not take this mechanism.
    MechanismNotAllowed,
    /// No certificate in the store has its key.
    UnknownKey,
    /// Its certificate has ended: `not-after` has passed.
    Expired,
    /// Its certificate has not begun: `not-before` is to come.
    NotYetValid,
    /// Its certificate is `disabled`.
    Disabled,
    /// The policy does not list its principal.
    UnknownPrincipal,
    /// No such user, or not that user's password.
    WrongPassword,
    /// The domain has no policy, and the fallback refuses.
    UnknownDomain,
    /// Its key was [revoked](super::Authenticator::revoke).
    Revoked,
    /// Too many attempts from its address, or with its name or key, have failed lately: see [`Lockout`](super::Lockout). Nothing was asked.
    LockedOut,
    /// The application's callback refused it.
    CallbackRefused,
    /// The application's callback asked it to try again.
    CallbackDeferred,
    /// The application's callback answered that something broke.
    CallbackFailed,
    /// The application's callback dropped its [`Reply`](super::Reply) without an answer; the peer may try again.
    CallbackSilent,
    /// The application's callback panicked; the peer may try again.
    CallbackPanicked,
    /// The application's callback answered metadata that cannot be sent; the peer may try again.
    CallbackMetadata,
    /// No decision was made before the authenticator's deadline; the peer may try again.
    Late,
    /// Too many decisions are waiting; the peer may try again.
    Overloaded,
    /// The certificate store ended before it could say whether it is current, or too many wait for it to; the peer may try again.
    StoreNotCurrent,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Admitted => "admitted",
            Reason::AddressDenied => "its address is on the deny list",
            Reason::AddressNotAllowed => "its address is not on the allow list",
            Reason::MechanismNotAllowed => "the policy does not take this mechanism",
            Reason::UnknownKey => "no certificate with this key",
            Reason::Expired => "its certificate has ended",
            Reason::NotYetValid => "its certificate has not begun",
            Reason::Disabled => "its certificate is disabled",
            Reason::UnknownPrincipal => "its principal is not on the list",
            Reason::WrongPassword => "unknown user or wrong password",
            Reason::UnknownDomain => "no policy for this domain",
            Reason::Revoked => "its key was revoked",
            Reason::LockedOut => "locked out: too many attempts failed lately",
            Reason::CallbackRefused => "refused by the application",
            Reason::CallbackDeferred => "deferred by the application",
            Reason::CallbackFailed => "the application failed to decide",
            Reason::CallbackSilent => "the application's callback gave no answer",
            Reason::CallbackPanicked => "the application's callback panicked",
            Reason::CallbackMetadata => {
                "the application's callback answered metadata that cannot be sent"
            }
            Reason::Late => "no decision was made in time",
            Reason::Overloaded => "too many decisions are waiting",
            Reason::StoreNotCurrent => "the certificate store ended, or too many wait for it",
        })
    }
}

impl fmt::Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuditEvent::Decision(decision) => decision.fmt(f),
            AuditEvent::Malformed(problem) => write!(f, "ignored {problem}"),
            AuditEvent::Closed(peer) => {
                let address = peer.address.to_string();
                write!(f, "CLOSED {} in {:?}", address.escape_debug(), peer.domain)?;
                let mut word = " as";
                peer.candidates.iter().try_for_each(|identity| {
                    write!(f, "{} {identity}", std::mem::replace(&mut word, " or"))
                })?;
                f.write_str(": no longer admitted")
            }
            AuditEvent::ClockJumped { expected, found } => {
                write!(
                    f,
                    "the system's clock shows {} where it should show {}: ",
                    Date(*found),
                    Date(*expected)
                )?;
                f.write_str(if found < expected {
                    "certificates that had ended stay so, and those that began since have not; set it right, or have the program trust it"
                } else {
                    "certificates that ended meanwhile admit nobody"
                })
            }
            AuditEvent::LockedOut(locked_out) => write!(f, "LOCKED OUT {locked_out}"),
            AuditEvent::TooManyConnections(closed) => closed.fmt(f),
            AuditEvent::HandshakeFailed(failed) => failed.fmt(f),
            AuditEvent::ConfigChanged {
                path,
                needs_restart,
            } => {
                write!(f, "{} has changed and is in force", path.display())?;
                if !needs_restart.is_empty() {
                    write!(
                        f,
                        ", but for what needs a restart: {}",
                        needs_restart.join(", ")
                    )?;
                }
                Ok(())
            }
            AuditEvent::ConfigRefused { path, line, reason } => {
                write!(f, "{}", path.display())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
                write!(f, ": {reason}; what was read before stays in force")
            }
            AuditEvent::HandlerDied => {
                f.write_str("the authenticator's thread died: every handshake fails now")
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict().to_uppercase();
        // The names came from the peer: a control character must not reach a terminal or start a line of a log.
        write!(
            f,
            "{verdict} {} from {} in {:?}",
            self.mechanism,
            self.address.to_string().escape_debug(),
            self.domain
        )?;
        if let Some(identity) = self.identity.name() {
            write!(f, " as {identity:?}")?;
        }
        if let Some(fingerprint) = self.fingerprint() {
            write!(f, " ({fingerprint})")?;
        }
        if self.reason != Reason::Admitted {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

/// Reads the authenticator's events. Each reader gets every event from its making on.
///
/// One that is not read keeps the 4096 oldest and counts the others as [`dropped`](Self::dropped): decisions never wait.
#[derive(Debug)]
pub struct AuditEvents(Tap<Timed>);

/// An event and when it happened.
pub(crate) type Timed = (SystemTime, AuditEvent);

impl AuditEvents {
    /// The next event, waiting at most `timeout` (`None`: as long as it takes). `None` when none came in time, or when the
    /// authenticator is gone and all was read.
    pub fn next(&self, timeout: Option<Duration>) -> Option<AuditEvent> {
        let (_, event) = self.0.next(timeout).ok().flatten()?;
        Some(event)
    }

    /// The next event, awaited on any runtime; `None` when the authenticator is gone and all was read. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<AuditEvent> {
        let (_, event) = poll_fn(|cx| self.0.poll_next(cx)).await.ok()?;
        Some(event)
    }

    /// The next decision, waiting at most `timeout`; other events are passed over.
    pub fn next_decision(&self, timeout: Duration) -> Option<Decision> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            if let AuditEvent::Decision(decision) = self.next(Some(left))? {
                return Some(decision);
            }
        }
    }

    /// How many events this reader did not get because it was not read.
    pub fn dropped(&self) -> u64 {
        self.0.missed()
    }
}
