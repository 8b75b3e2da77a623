//! `Lockout`: when failed attempts lock out, and how that is shown. What is counted and why, [`lockouts`](super::lockouts) says.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::address::AddressRule;
use super::keys::PublicKey;
use super::limits::wrong;
use super::slots::{MOST, Thresholds};
use crate::error::Result;

pub(super) const CAPACITIES: RangeInclusive<usize> = 1024..=1 << 26;
pub(super) const HALF_LIVES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// When failed attempts lock out, and for how long.
///
/// An attempt fails by a wrong password, a key without a certificate that admits it now, a principal that is not on the list, or a callback's
/// refusal. Failures are counted for the peer's address, and for its user name at that address, its key, or its principal. Counts halve in each half-life. From the threshold on, further attempts are
/// refused unseen ([`Reason::LockedOut`](super::Reason::LockedOut)) until half of the threshold is left, which takes one half-life: with status 300, after which libzmq's
/// client comes back by itself, unless [`Policy::refusal_by`](super::Policy::refusal_by) says otherwise.
///
/// Nobody is locked out by what others do, except by those who share his address and guess *his* password, or, where addresses are
/// counted, any. Whose key a store knows, and who was admitted before, is not concerned by the lock-out of his address. Who is connected
/// stays so.
///
/// Counts are kept in memory, in a table of fixed size, and are gone when the authenticator ends. Peers whose address the system does not tell
/// are counted by key or principal only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lock-out is part of Limits"]
pub struct Lockout {
    address: Option<u32>,
    credential: Option<u32>,
    pub(super) half_life: Duration,
    pub(super) capacity: usize,
}

impl Lockout {
    /// Where an address is one machine: 20 failures from it, or 10 of one user or key, in about 10 minutes.
    pub const fn standard() -> Self {
        Self {
            address: Some(20),
            credential: Some(10),
            half_life: Duration::from_secs(600),
            capacity: 1 << 20,
        }
    }

    /// Where many machines come from one address: 10 failures of one user at it, or of one key, in about 10 minutes; and 1000 from one address,
    /// so that work without end cannot be had there either. One bad client does not shut out the others.
    pub const fn behind_nat() -> Self {
        Self {
            address: Some(1000),
            ..Self::standard()
        }
    }

    /// Failures from one address that lock it out, 1 to 100,000; `None`: no address is.
    pub fn by_address(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.address = failures.into();
        self
    }

    /// Failures of one user at one address, of one key, or of one principal, that lock it out, 1 to 100,000; `None`: none is.
    pub fn by_credential(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.credential = failures.into();
        self
    }

    /// How long until a count has halved, and how long a lock-out lasts: 1 s to 30 days.
    pub fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = half_life;
        self
    }

    /// How many addresses, users and keys are remembered at least, 1024 to 67,108,864; 1,048,576 unless set. Each takes 24 bytes once it is used;
    /// where more are seen, who failed least, and longest ago, is forgotten.
    pub fn capacity(mut self, subjects: usize) -> Self {
        self.capacity = subjects;
        self
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds {
            address: self.address,
            credential: self.credential,
        }
    }

    /// # Errors
    /// [`Error::InvalidOption`](crate::Error::InvalidOption).
    pub(super) fn check(&self) -> Result<()> {
        for (name, failures) in [
            ("lock-out by address", self.address),
            ("lock-out by credential", self.credential),
        ] {
            if failures.is_some_and(|n| !(1..=MOST).contains(&n)) {
                let n = failures.unwrap_or_default();
                return Err(wrong(
                    name,
                    format!("{n} failures: give 1 to {MOST}, or None for no lock-out"),
                ));
            }
        }
        if !HALF_LIVES.contains(&self.half_life) {
            return Err(wrong(
                "half-life of lock-outs",
                format!("{:?}: give 1 s to 30 days", self.half_life),
            ));
        }
        if !CAPACITIES.contains(&self.capacity) {
            return Err(wrong(
                "capacity of lock-outs",
                format!(
                    "{} subjects: give {} to {}",
                    self.capacity,
                    CAPACITIES.start(),
                    CAPACITIES.end()
                ),
            ));
        }
        Ok(())
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Self::standard()
    }
}

/// Somebody who is locked out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockedOut {
    /// Who.
    pub subject: LockoutSubject,
    /// For how much longer, unless more attempts fail that are under way.
    pub remaining: Duration,
}

/// What a lock-out holds for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockoutSubject {
    /// Whoever comes from there and was not admitted before.
    Address(AddressRule),
    /// A user name at an address (PLAIN).
    User {
        /// The ZAP domain.
        domain: Arc<str>,
        /// Where the attempts came from.
        address: AddressRule,
        /// The name that they gave.
        name: String,
    },
    /// The holder of a key (CURVE), wherever he comes from.
    Key {
        /// The ZAP domain.
        domain: Arc<str>,
        /// The key.
        key: PublicKey,
    },
    /// A Kerberos principal (GSSAPI), wherever it comes from.
    Principal {
        /// The ZAP domain.
        domain: Arc<str>,
        /// Its name.
        principal: String,
    },
}

impl fmt::Display for LockoutSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User {
                domain,
                address,
                name,
            } => write!(f, "user {name:?} from {address} in {domain:?}"),
            Self::Key { domain, key } => write!(f, "key {key} in {domain:?}"),
            Self::Principal { domain, principal } => {
                write!(f, "principal {principal:?} in {domain:?}")
            }
        }
    }
}

impl fmt::Display for LockedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.remaining.as_secs_f32().ceil();
        write!(f, "{} for {seconds} s", self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        for (lockout, text) in [
            (
                Lockout::standard().by_address(0),
                "lock-out by address: 0 failures: give 1 to 100000, or None for no lock-out",
            ),
            (
                Lockout::standard().by_credential(100_001),
                "lock-out by credential: 100001 failures: give 1 to 100000, or None for no lock-out",
            ),
            (
                Lockout::standard().half_life(Duration::from_millis(10)),
                "half-life of lock-outs: 10ms: give 1 s to 30 days",
            ),
            (
                Lockout::standard().capacity(0),
                "capacity of lock-outs: 0 subjects: give 1024 to 67108864",
            ),
        ] {
            assert_eq!(lockout.check().unwrap_err().to_string(), text);
        }
    }
}
