//! Connect, and wait for the verdict: secured, or a typed reason why not.

use std::time::{Duration, Instant};

use super::monitor::{EventKind, Monitor, ProtocolError};
use super::{Socket, options};
use crate::error::{Errno, Error, Result};

/// Why a connection was not made or not secured, as far as the wire tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeProblem {
    /// Nobody accepted a connection in time.
    #[error(
        "nobody accepted a connection within {waited:?}: is the server running, and is this its endpoint?"
    )]
    Unreachable {
        /// How long we tried.
        waited: Duration,
    },
    /// The server accepted the connection and then said nothing that ends the handshake.
    #[error(
        "connected, but the server did not finish the handshake within {waited:?}: it may have asked us to try again later (status 300), both ends may be servers, or (GSSAPI) a ticket or key is missing"
    )]
    Silent {
        /// How long we tried.
        waited: Duration,
    },
    /// The server closed the connection during the handshake.
    #[error(
        "the server closed the connection during the handshake ({0}): a wrong server key, a key pair of ours that does not match, another security mechanism, a server without an authenticator, or (GSSAPI) a missing ticket or key"
    )]
    Closed(Errno),
    /// The two peers have different mechanisms.
    #[error("the server has another security mechanism than this client")]
    MechanismMismatch,
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

/// Connects `socket`, which is new, and returns when that connection is secured.
pub(super) fn connect(socket: &Socket, endpoint: &str, timeout: Duration) -> Result<()> {
    let monitor = Monitor::attach(socket)?;
    let verdict = watch(socket, &monitor, endpoint, timeout);
    // Where nobody else watches the socket, it need not keep a thread for it.
    if socket.watched.is_none() {
        socket.monitor.stop(&socket.raw);
    }
    verdict
}

fn watch(socket: &Socket, monitor: &Monitor, endpoint: &str, timeout: Duration) -> Result<()> {
    socket.connect(endpoint)?;
    if endpoint.starts_with("inproc://") {
        return Ok(()); // no handshake, no events: both ends are in this process
    }
    let start = Instant::now();
    let mut connected = false;
    let problem = loop {
        let Some(left) = timeout.checked_sub(start.elapsed()) else {
            break if connected {
                HandshakeProblem::Silent { waited: timeout }
            } else {
                HandshakeProblem::Unreachable { waited: timeout }
            };
        };
        match monitor.next(Some(left))?.map(|event| event.kind) {
            Some(EventKind::HandshakeSucceeded) => return Ok(()),
            Some(EventKind::Connected { .. }) => connected = true,
            Some(EventKind::HandshakeFailedAuth(status)) => {
                break HandshakeProblem::Refused { status };
            }
            // The time-out of our own end: libzmq passes on what happens to be in errno.
            Some(EventKind::HandshakeFailedNoDetail(Errno(0 | libc::EAGAIN))) => {
                break HandshakeProblem::Silent {
                    waited: start.elapsed(),
                };
            }
            Some(EventKind::HandshakeFailedNoDetail(errno)) => {
                break HandshakeProblem::Closed(errno);
            }
            Some(EventKind::HandshakeFailedProtocol(ProtocolError::MECHANISM_MISMATCH)) => {
                break HandshakeProblem::MechanismMismatch;
            }
            Some(EventKind::HandshakeFailedProtocol(error)) => {
                break HandshakeProblem::Protocol(error);
            }
            _ => {}
        }
    };
    // A shutdown ends handshakes too, and is the better reason.
    socket.get(options::EVENTS)?;
    Err(Error::Handshake {
        endpoint: endpoint.to_owned(),
        problem,
    })
}
