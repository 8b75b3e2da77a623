//! What an authenticator has done.

use crate::arguments::{Versioned, arguments};
use crate::authenticator::ironhouse_authenticator_t;
use crate::boundary::boundary;
use crate::result::ironhouse_result_t;

/// What an authenticator has done since its start.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct ironhouse_counters_t {
    /// Size of this structure in bytes, as the program knows it: set it before the call.
    pub size: usize,
    /// Peers admitted.
    pub admitted: u64,
    /// Peers told to try again.
    pub deferred: u64,
    /// Peers refused.
    pub refused: u64,
    /// Messages that were no ZAP requests.
    pub malformed: u64,
    /// Decisions that are being waited for now.
    pub pending: u64,
    /// Audit events that a callback missed because it was too slow.
    pub dropped: u64,
    /// Connections closed because their peer was no longer admitted.
    pub closed: u64,
    /// Lock-outs that began.
    pub locked_out: u64,
    /// Connections closed because there was one too many.
    pub too_many_connections: u64,
    /// Handshakes with sockets that are watched that failed without a decision.
    pub failed_handshakes: u64,
}

// SAFETY: it starts with its size, and has numbers alone.
unsafe impl Versioned for ironhouse_counters_t {}

/// Reads the counters: what the authenticator has done since its start.
///
/// Set `counters->size` before.
///
/// Errors: IRONHOUSE_NULL_POINTER, IRONHOUSE_BAD_HANDLE, IRONHOUSE_FORKED, IRONHOUSE_INVALID_ARGUMENT. Threads: any, until the context is terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ironhouse_authenticator_counters(
    authenticator: *const ironhouse_authenticator_t,
    counters: *mut ironhouse_counters_t,
) -> ironhouse_result_t {
    boundary(|| {
        arguments!(handle authenticator as house, structure counters);
        let counts = house.authenticator().counters();
        counters.write(&ironhouse_counters_t {
            size: counters.said,
            admitted: counts.admitted(),
            deferred: counts.deferred(),
            refused: counts.refused(),
            malformed: counts.malformed,
            pending: counts.pending,
            dropped: counts.dropped,
            closed: counts.closed,
            locked_out: counts.locked_out,
            too_many_connections: counts.too_many_connections,
            failed_handshakes: counts.failed_handshakes,
        });
        Ok(())
    })
}
