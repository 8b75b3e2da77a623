//! What a signed store has seen, and whom it believes now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use super::{Rules, Trust};
use crate::security::certificate::Certificate;
use crate::security::keys::PublicKey;
use crate::security::memory::Memory;
use crate::security::signing::{Signed, VerifyKey};

/// Serials of an administrator's certificates whose keys have left a store, so that no older ones bring them back. It holds what he
/// signed, and of that the last half million to a million keys.
#[derive(Default)]
struct Floors {
    recent: HashMap<PublicKey, u64>,
    before: HashMap<PublicKey, u64>,
}

impl Floors {
    const HALF: usize = 1 << 19;

    fn raise(&mut self, key: PublicKey, serial: u64) {
        if self.recent.len() >= Self::HALF {
            self.before = std::mem::take(&mut self.recent);
        }
        let floor = self.recent.entry(key).or_default();
        *floor = serial.max(*floor);
    }

    fn of(&self, key: &PublicKey) -> u64 {
        let floor = |map: &HashMap<_, _>| map.get(key).copied().unwrap_or(0);
        floor(&self.recent).max(floor(&self.before))
    }
}

/// What a signed store and its watcher share.
#[derive(Default)]
pub(crate) struct Guard {
    wanted: Mutex<Arc<Trust>>,
    rules: RwLock<Arc<Rules>>,
    memory: Mutex<Memory>,
    floors: Mutex<HashMap<VerifyKey, Floors>>,
    /// Signatures verified.
    #[cfg(test)]
    pub(super) verified: std::sync::atomic::AtomicUsize,
    /// By how many seconds the clock is ahead.
    #[cfg(test)]
    pub(super) ahead: std::sync::atomic::AtomicU64,
}

impl Guard {
    /// Believes what `trust` says, once its lists were read; at once where there are none.
    pub(crate) fn new(trust: Trust) -> Self {
        let guard = Self::default();
        guard.want(trust);
        guard
    }

    pub(crate) fn want(&self, trust: Trust) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = Arc::new(trust);
    }

    /// What the operator wants.
    pub(crate) fn wanted(&self) -> Arc<Trust> {
        Arc::clone(&self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        #[cfg(test)]
        let now = {
            let ahead = self.ahead.load(std::sync::atomic::Ordering::Relaxed);
            now + std::time::Duration::from_secs(ahead)
        };
        now
    }

    /// What counts now.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Admits nobody until there are other rules.
    pub(crate) fn close(&self) {
        self.set_rules(Rules::default());
    }

    pub(crate) fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn floors(&self) -> MutexGuard<'_, HashMap<VerifyKey, Floors>> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The highest serial of a key's certificates that have left, of those by administrators who are believed; 0 for none.
    pub(super) fn newest_left(&self, key: &PublicKey, rules: &Rules) -> u64 {
        let floors = self.floors();
        if floors.is_empty() {
            return 0;
        }
        let believed = rules.administrators.iter();
        let serials = believed.filter_map(|(signer, _)| Some(floors.get(signer)?.of(key)));
        serials.max().unwrap_or(0)
    }

    /// A key left, whose certificate was this one; or `next` takes its place.
    pub(crate) fn has_left(&self, certificate: &Certificate, next: Option<&Certificate>) {
        let Ok(old) = Signed::of(certificate) else {
            return;
        };
        let next = next.and_then(|next| Signed::of(next).ok());
        // A newer one of the same administrator says as much.
        if next.is_some_and(|next| next.signer == old.signer && next.serial >= old.serial) {
            return;
        }
        if let Some(signer) = self.rules().signer(&old) {
            let mut floors = self.floors();
            let floors = floors.entry(*signer).or_default();
            floors.raise(*certificate.public_key(), old.serial);
        }
    }

    /// Forgets what was signed by those who are believed no more.
    pub(crate) fn forget_others(&self, rules: &Rules) {
        let believed =
            |signer: &VerifyKey| rules.administrators.iter().any(|(key, _)| key == signer);
        self.floors().retain(|signer, _| believed(signer));
    }

    /// Whether a certificate that was verified is admitted now.
    pub(crate) fn admits(&self, certificate: &Certificate) -> bool {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.open && rules.admit_verified(certificate).is_ok()
    }
}
