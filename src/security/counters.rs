//! Totals of what the authenticator decided and did: always counted, at the price of an atomic addition each.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::audit::Reason;
use super::zap::StatusCode;

/// Names every reason for machines: in metrics, in tracing and in lines of JSON. A name is never changed.
macro_rules! reasons {
    ($($reason:ident => $name:literal,)+) => {
        impl Reason {
            /// All reasons there are.
            pub const ALL: &[Reason] = &[$(Reason::$reason),+];

            /// Its name for machines, such as `unknown_key`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name),+
                }
            }
        }
    };
}

reasons! {
    Admitted => "admitted",
    AddressDenied => "address_denied",
    AddressNotAllowed => "address_not_allowed",
    MechanismNotAllowed => "mechanism_not_allowed",
    UnknownKey => "unknown_key",
    Expired => "expired",
    NotYetValid => "not_yet_valid",
    Disabled => "disabled",
    UnknownPrincipal => "unknown_principal",
    WrongPassword => "wrong_password",
    UnknownDomain => "unknown_domain",
    Revoked => "revoked",
    LockedOut => "locked_out",
    CallbackRefused => "callback_refused",
    CallbackDeferred => "callback_deferred",
    CallbackFailed => "callback_failed",
    CallbackSilent => "callback_silent",
    CallbackPanicked => "callback_panicked",
    CallbackMetadata => "callback_metadata",
    Late => "late",
    Overloaded => "overloaded",
    StoreNotCurrent => "store_not_current",
}

/// All status codes there are.
pub(super) const STATUSES: [StatusCode; 4] = [
    StatusCode::Success,
    StatusCode::TemporaryError,
    StatusCode::AuthenticationFailure,
    StatusCode::InternalError,
];

/// What a status means to the peer, in a word.
pub(super) const fn verdict(status: StatusCode) -> &'static str {
    match status {
        StatusCode::Success => "admitted",
        StatusCode::TemporaryError => "deferred",
        StatusCode::AuthenticationFailure | StatusCode::InternalError => "refused",
    }
}

/// The totals as they are counted.
pub(super) struct Counts {
    /// By status and reason, which are dense from 0 on.
    decisions: [[AtomicU64; Reason::ALL.len()]; STATUSES.len()],
    pub(super) malformed: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) locked_out: AtomicU64,
    pub(super) excess: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) pending: AtomicU64,
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self {
            decisions: [const { [const { AtomicU64::new(0) }; Reason::ALL.len()] }; STATUSES.len()],
            malformed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            locked_out: AtomicU64::new(0),
            excess: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            pending: AtomicU64::new(0),
        }
    }

    fn decisions(&self, status: StatusCode, reason: Reason) -> Option<&AtomicU64> {
        self.decisions.get(status as usize)?.get(reason as usize)
    }

    pub(super) fn decided(&self, status: StatusCode, reason: Reason, decisions: u64) {
        if let Some(count) = self.decisions(status, reason) {
            count.fetch_add(decisions, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut decisions = Vec::new();
        for status in STATUSES {
            for &reason in Reason::ALL {
                let made = self.decisions(status, reason).map_or(0, count);
                if made > 0 {
                    decisions.push((status, reason, made));
                }
            }
        }
        Counters {
            decisions,
            malformed: count(&self.malformed),
            closed: count(&self.closed),
            locked_out: count(&self.locked_out),
            too_many_connections: count(&self.excess),
            failed_handshakes: count(&self.failed),
            dropped: count(&self.dropped),
            pending: count(&self.pending),
        }
    }
}

/// What an authenticator has decided and done since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    decisions: Vec<(StatusCode, Reason, u64)>,
    /// Messages that are no ZAP requests.
    pub malformed: u64,
    /// Connections closed because a peer was no longer admitted.
    pub closed: u64,
    /// Lock-outs that began.
    pub locked_out: u64,
    /// Connections closed because there was one too many.
    pub too_many_connections: u64,
    /// Handshakes with secured sockets of this library that failed without a decision: see
    /// [`Authenticator::handshakes`](super::Authenticator::handshakes).
    pub failed_handshakes: u64,
    /// Audit events that a reader did not get because it did not read; one that two readers miss counts twice.
    pub dropped: u64,
    /// Requests whose decision is being waited for now.
    pub pending: u64,
}

impl Counters {
    /// How many decisions were made with each status and reason, where there were any.
    pub fn decisions(&self) -> impl Iterator<Item = (StatusCode, Reason, u64)> + '_ {
        self.decisions.iter().copied()
    }

    /// How many peers were admitted.
    pub fn admitted(&self) -> u64 {
        self.with_status(StatusCode::Success)
    }

    /// How many were told to try again (status 300).
    pub fn deferred(&self) -> u64 {
        self.with_status(StatusCode::TemporaryError)
    }

    /// How many were refused (status 400 or 500).
    pub fn refused(&self) -> u64 {
        self.with_status(StatusCode::AuthenticationFailure)
            + self.with_status(StatusCode::InternalError)
    }

    /// How many decisions were answered with this status.
    pub fn with_status(&self, status: StatusCode) -> u64 {
        self.sum(|(found, _)| found == status)
    }

    /// How many decisions were made for this reason.
    pub fn with_reason(&self, reason: Reason) -> u64 {
        self.sum(|(_, found)| found == reason)
    }

    fn sum(&self, counts: impl Fn((StatusCode, Reason)) -> bool) -> u64 {
        self.decisions()
            .filter(|(status, reason, _)| counts((*status, *reason)))
            .map(|(_, _, made)| made)
            .sum()
    }
}

/// Such as `12 admitted, 3 refused, 0 deferred, 1 pending`.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} admitted, {} refused, {} deferred, {} pending",
            self.admitted(),
            self.refused(),
            self.deferred(),
            self.pending
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_pair_of_status_and_reason_has_a_count_of_its_own() {
        let counts = Counts::new();
        let mut expected = Vec::new();
        for status in STATUSES {
            for &reason in Reason::ALL {
                let made = expected.len() as u64 + 1;
                counts.decided(status, reason, made - 1);
                counts.decided(status, reason, 1);
                expected.push((status, reason, made));
            }
        }
        let counters = counts.read();
        assert_eq!(counters.decisions().collect::<Vec<_>>(), expected);
        let total: u64 = expected.iter().map(|(_, _, made)| made).sum();
        assert_eq!(
            counters.admitted() + counters.refused() + counters.deferred(),
            total
        );
        let late = expected
            .iter()
            .filter(|(_, reason, _)| *reason == Reason::Late);
        assert_eq!(
            counters.with_reason(Reason::Late),
            late.map(|(_, _, made)| made).sum::<u64>()
        );
    }

    #[test]
    fn names_for_machines_are_words_and_no_two_are_the_same() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        let is_word = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(is_word), "{names:?}");
    }
}
