//! Handshakes with our servers that ended without a decision, or in spite of one: who it was, as far as libzmq tells, and why.
//!
//! libzmq's report of a failure names neither the peer nor the connection; but that the connection has ended comes right behind it, with the
//! descriptor, which was reported with an address before.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::address::PeerAddress;
use super::arrivals::unknown;
use super::peers::{SocketWatch, State, Who};
use crate::error::Errno;
use crate::socket::{EventKind, MonitorEvent, ProtocolError};

/// A handshake with one of our secured sockets that failed by something else than the authenticator's refusal, of which
/// [`Decision`](super::Decision) tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FailedHandshake {
    /// When that was reported.
    pub time: SystemTime,
    /// The domain of the socket.
    pub domain: Arc<str>,
    /// The endpoint of the socket.
    pub endpoint: String,
    /// Where the peer is; unknown where the connection was gone before it could be looked up, as from the same machine, or where several
    /// ended at the same moment in different I/O threads.
    pub address: PeerAddress,
    /// Why.
    pub fault: HandshakeFault,
}

/// Why a handshake failed, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFault {
    /// The peer has another security mechanism.
    OtherMechanism,
    /// What the peer encrypted cannot be opened (CURVE): it was given another server key than ours, or its own public key does not belong to
    /// its secret one. libzmq tells neither which of the two, nor the key: that is encrypted itself.
    Keys,
    /// The peer closed the connection: it went away, found first that the mechanisms differ, or was no ZeroMQ peer at all.
    Left,
    /// The handshake was not over within the socket's [`HANDSHAKE_IVL`](crate::socket::options::HANDSHAKE_IVL): the peer kept silent, or
    /// was told to try again. (libzmq keeps no reason of its own for this, and may give that of another connection, such as `Left`.)
    TimedOut,
    /// No authenticator answered.
    NoAuthenticator,
    /// The peer broke the protocol.
    Protocol(ProtocolError),
}

impl HandshakeFault {
    /// Its name for machines, such as `timed_out`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherMechanism => "other_mechanism",
            Self::Keys => "keys",
            Self::Left => "left",
            Self::TimedOut => "timed_out",
            Self::NoAuthenticator => "no_authenticator",
            Self::Protocol(_) => "protocol",
        }
    }

    fn of(kind: EventKind) -> Option<Self> {
        Some(match kind {
            EventKind::HandshakeFailedProtocol(ProtocolError::MECHANISM_MISMATCH) => {
                Self::OtherMechanism
            }
            EventKind::HandshakeFailedProtocol(ProtocolError::CRYPTOGRAPHIC) => Self::Keys,
            EventKind::HandshakeFailedProtocol(error) => Self::Protocol(error),
            EventKind::HandshakeFailedNoDetail(Errno(libc::EFAULT)) => Self::NoAuthenticator,
            EventKind::HandshakeFailedNoDetail(Errno(libc::EAGAIN | libc::ETIMEDOUT)) => {
                Self::TimedOut
            }
            EventKind::HandshakeFailedNoDetail(_) => Self::Left,
            _ => return None,
        })
    }
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherMechanism => "it has another security mechanism",
            Self::Keys => "it expects another server key than ours, or its own pair is broken",
            Self::Left => "it closed the connection",
            Self::TimedOut => "it was not done in time, or was told to try again",
            Self::NoAuthenticator => "no authenticator answered",
            Self::Protocol(error) => return error.fmt(f),
        })
    }
}

impl fmt::Display for FailedHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = if self.address == unknown() {
            "somewhere".to_owned()
        } else {
            self.address.to_string()
        };
        write!(
            f,
            "FAILED from {} in {:?}: {}",
            address.escape_debug(),
            self.domain,
            self.fault
        )
    }
}

impl SocketWatch {
    /// Takes note of how a handshake failed, until it is known whose it was.
    pub(super) fn failed(&self, event: &MonitorEvent) {
        let Some(fault) = HandshakeFault::of(event.kind) else {
            return;
        };
        let mut state = self.peers.state();
        let Some(socket) = state.sockets.get_mut(&self.id) else {
            return;
        };
        let new = FailedHandshake {
            time: SystemTime::now(),
            domain: socket.domain.clone(),
            endpoint: event.endpoint.clone(),
            address: unknown(),
            fault,
        };
        let earlier = socket.fault.replace(new);
        drop(state);
        self.tell(earlier);
    }

    /// Forgets a connection, and tells how its handshake failed, if it did.
    pub(super) fn left(&self, fd: i32) {
        let ended = self.peers.state().ended(self.id, fd);
        self.tell(ended);
    }

    fn tell(&self, failed: Option<FailedHandshake>) {
        if let Some(failed) = failed {
            self.peers.audit.failed(failed);
        }
    }
}

impl State {
    fn ended(&mut self, socket: u64, fd: i32) -> Option<FailedHandshake> {
        let socket = self.sockets.get_mut(&socket)?;
        let entry = socket.remove(fd);
        let mut failed = match &entry {
            // In another I/O thread, somebody else left.
            Some(entry) if matches!(entry.who, Who::Admitted(_)) => return None,
            _ => socket.fault.take()?,
        };
        if let Some(entry) = entry {
            failed.address = entry.address;
        }
        Some(failed)
    }
}
