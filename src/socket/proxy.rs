//! `proxy`: passes messages between two sockets.

use super::{Capability, Socket, SteerableProxy};
use crate::error::{Error, Result};
use crate::ffi;

/// Passes messages between `frontend` and `backend`, both ways, and a copy of each to `capture`; ends with
/// [`Context::shutdown`](super::Context::shutdown).
///
/// Security stays with each socket: what either side's mechanism admitted is passed on, in clear text in between.
///
/// # Errors
/// [`Error::Interrupted`] where a signal handler ran: call again. [`Error::InvalidOption`] for sockets of different libraries.
///
/// Source: `zmq_proxy(3)`.
#[doc(alias = "zmq_proxy")]
pub fn proxy(frontend: &Socket, backend: &Socket, capture: Option<&Socket>) -> Result<()> {
    same_library(frontend, backend, capture)?;
    // With its draft API libzmq (4.3.5 at least) aborts the process in here where the context is shut down before.
    if frontend.context.has(Capability::Draft) {
        return SteerableProxy::new()?.run(frontend, backend, capture);
    }
    match ffi::poll::proxy(
        &frontend.raw,
        &backend.raw,
        capture.map(|socket| &socket.raw),
    ) {
        Error::Terminated => Ok(()),
        error => Err(error),
    }
}

/// # Errors
/// [`Error::InvalidOption`] for sockets of different libraries.
pub(super) fn same_library(
    frontend: &Socket,
    backend: &Socket,
    capture: Option<&Socket>,
) -> Result<()> {
    let same = |socket: &Socket| std::ptr::eq(socket.raw.api(), frontend.raw.api());
    if same(backend) && capture.is_none_or(same) {
        return Ok(());
    }
    Err(Error::InvalidOption {
        name: "proxy",
        reason: "its sockets are of different libraries".into(),
    })
}
