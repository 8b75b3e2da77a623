//! The one error type of the library.

use std::fmt;
use std::path::PathBuf;

use crate::security::{
    FileProblem, KeyProblem, SecretProblem, SecretSource, SignatureProblem, ZapProblem,
};
use crate::socket::{Capability, HandshakeProblem};

/// What every fallible function of this library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed: what was tried, on what, and why it did not work. Never holds a secret key or a
/// password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call would have to wait: no message, no room, or a time-out ended (`EAGAIN`).
    #[error("the operation would block, or its time-out ended")]
    Again,
    /// The context was shut down (`ETERM`): close what uses it.
    #[error("the context was shut down: close what uses it, and make a new one to go on")]
    Terminated,
    /// A signal arrived during the call (`EINTR`): call again, or see to the signal first.
    #[error("a signal interrupted the call")]
    Interrupted,
    /// libzmq refused a call.
    #[error("{call}{}: {errno}{}", Operand(.on), Cure(.cure))]
    Zmq {
        /// The C function.
        call: &'static str,
        /// What it was called on, such as an endpoint or an option's name; empty where there is nothing to name.
        on: Box<str>,
        /// Its error number.
        errno: Errno,
        /// How to mend it; empty where there is nothing to say.
        cure: &'static str,
    },
    /// This process was forked off the one that made the socket or context: it has only the memory of it, not the threads.
    #[error(
        "{call}: this process was forked off the one that made the socket or context: make new ones after fork"
    )]
    Forked {
        /// The C function that would have been called.
        call: &'static str,
    },
    /// A message has another number of frames than asked for. It was received, and is lost.
    #[error(
        "a message of {received} frames came where {expected} were asked for, and was dropped: receive with recv_multipart() what may have any number"
    )]
    FrameCount {
        /// How many were asked for.
        expected: usize,
        /// How many came.
        received: usize,
    },
    /// A call of the operating system failed.
    #[error("{call}: {source}")]
    Os {
        /// The function.
        call: &'static str,
        /// Its error.
        source: std::io::Error,
    },
    /// The libzmq at hand was built without this.
    #[error("this libzmq has no {0}: install one that was built with it")]
    Unsupported(Capability),
    /// A connection could not be made or secured.
    #[error("{endpoint}: {problem}")]
    Handshake {
        /// The endpoint connected to.
        endpoint: String,
        /// What happened.
        problem: HandshakeProblem,
    },
    /// The context has a ZAP handler already.
    #[error(
        "this context has a ZAP handler already: share its Authenticator instead of starting a second one"
    )]
    HandlerExists,
    /// A ZAP domain must be 1 to 255 visible ASCII characters.
    #[error(
        "{0:?} cannot be a ZAP domain: it takes 1 to 255 ASCII characters, without control characters"
    )]
    InvalidDomain(String),
    /// An option or argument out of its range.
    #[error("{name}: {reason}")]
    InvalidOption {
        /// The option, as libzmq names it.
        name: &'static str,
        /// What is wrong with the value, and what it may be.
        reason: String,
    },
    /// A socket of a host's that was bound or connected before it was to be secured: libzmq would take the options, and not apply them.
    #[error(
        "the socket was bound or connected already ({endpoint}), where libzmq would leave it unprotected: secure it before"
    )]
    SocketInUse {
        /// Its last endpoint.
        endpoint: String,
    },
    /// A socket of a host's that another copy of libzmq made than the one that it handed over.
    #[error(
        "the socket belongs to the libzmq in {}, and the functions that were handed over to that in {}: a process must use a socket through the copy that made it",
        .socket.display(), .api.display()
    )]
    ForeignSocket {
        /// The file of the libzmq that made the socket.
        socket: PathBuf,
        /// The file of the libzmq whose functions were handed over.
        api: PathBuf,
    },
    /// A policy that could refuse a peer over GSSAPI, where libzmq would let it in all the same.
    #[error(
        "the policy of {policy}: {rule}, so it could refuse a peer over GSSAPI, whom libzmq {} lets in all the same (its issue 4912): install a libzmq newer than 4.3.5, or have this policy take every principal from everywhere and the program look at each message's User-Id",
        Version(*.libzmq)
    )]
    GssapiRefusal {
        /// Whose policy: that of a domain, by its name, or the fallback.
        policy: String,
        /// What in it could refuse a peer.
        rule: &'static str,
        /// The version of the libzmq at hand.
        libzmq: (i32, i32, i32),
    },
    /// Not a rule on addresses.
    #[error(
        "{0:?} is not an IP address or block (such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32), nor uid:NUMBER or gid:NUMBER for peers over ipc"
    )]
    Address(String),
    /// Text that is not Z85 (RFC 32).
    #[error(
        "not Z85: the character at position {position} is outside its alphabet, or its group of five exceeds 32 bits"
    )]
    Z85 {
        /// Index of the offending character, from 0.
        position: usize,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// A certificate that no trusted administrator signed as it is, or a text that is no verify key.
    #[error(transparent)]
    Signature(#[from] SignatureProblem),
    /// A file whose content cannot be used.
    #[error("{}{}: {problem}", .path.display(), Line(*.line))]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where one is to blame.
        line: Option<u32>,
        /// What is wrong with it, and how to mend it.
        problem: FileProblem,
    },
    /// A file that cannot be read, written or watched.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// No server key is known for an endpoint, so nobody there can be trusted.
    #[error(
        "{endpoint}: no server key is pinned for it{}: get the server's public key from who runs it, over a channel that you trust, and {} `{endpoint} KEY`",
        In(.path), if .path.is_some() { "add the line" } else { "pin it as" }
    )]
    NotPinned {
        /// The endpoint.
        endpoint: String,
        /// The file that was asked, if it was one.
        path: Option<PathBuf>,
    },
    /// A secret that cannot be had from where it should be.
    #[error("{from}: {problem}")]
    Secret {
        /// Where it should be.
        from: SecretSource,
        /// Why it cannot be had, and how to mend it.
        problem: SecretProblem,
    },
    /// A ZAP message that breaks RFC 27.
    #[error(transparent)]
    Zap(#[from] ZapProblem),
}

impl Error {
    /// Names what the failed call was made on: an endpoint, an option.
    pub(crate) fn on(mut self, operand: &str) -> Self {
        if let Error::Zmq { on, .. } = &mut self {
            *on = operand.into();
        }
        self
    }

    /// The library has no draft API.
    #[cfg(feature = "draft")]
    pub(crate) fn no_draft() -> Self {
        Error::Unsupported(Capability::Draft)
    }

    /// Says how to mend the failed call, where nothing does so yet.
    pub(crate) fn cured_by(mut self, how: &'static str) -> Self {
        if let Error::Zmq { cure, .. } = &mut self {
            if cure.is_empty() {
                *cure = how;
            }
        }
        self
    }
}

/// An error number of libzmq or the operating system, as `zmq_errno(3)` gives it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// Where libzmq's own numbers begin (`zmq.h`).
const HAUSNUMERO: i32 = zmq_sys_wrap::zmq::ZMQ_HAUSNUMERO as i32;

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.wrapping_sub(HAUSNUMERO) {
            51 => {
                f.write_str("operation cannot be accomplished in the socket's current state (EFSM)")
            }
            52 => {
                f.write_str("the protocol is not compatible with the socket type (ENOCOMPATPROTO)")
            }
            53 => f.write_str("the context was terminated (ETERM)"),
            54 => f.write_str("no I/O thread available (EMTHREAD)"),
            _ => std::io::Error::from_raw_os_error(self.0).fmt(f),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

/// Displays `(operand)`, or nothing.
struct Operand<'a>(&'a str);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "({})", self.0)
        }
    }
}

/// Displays `: cure`, or nothing.
struct Cure<'a>(&'a str);

impl fmt::Display for Cure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

/// Displays ` in path`, or nothing.
struct In<'a>(&'a Option<PathBuf>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.as_deref();
        path.map_or(Ok(()), |path| write!(f, " in {}", path.display()))
    }
}

/// Displays `:line`, or nothing.
struct Line(Option<u32>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Displays `4.3.4`.
struct Version((i32, i32, i32));

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}
