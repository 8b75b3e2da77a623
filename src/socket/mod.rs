//! Sockets: contexts, messages, options, pollers, monitors.

/// What a libzmq may have been built with; asked by `zmq_has(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capability {
    /// The CURVE mechanism.
    Curve,
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Why a connection could not be secured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeProblem {
    /// Nothing happened in time.
    #[error("no verdict")]
    Timeout,
}
