//! Admitted keys as generations of a sharded map: readers use the current one while the writer makes the next.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::certificate::Certificate;
use super::keys::PublicKey;

/// Shards are two levels of this many, so that a change copies two short tables and one shard.
const FAN: usize = 64;

/// Fewer certificates are near in any case.
const FETCH_FROM: usize = 4096;

/// Keys looked up at once, at most.
pub(crate) const FETCH: usize = 16;

type Shard = HashTable<Certificate>;

/// Certificate files name the keys, so whoever makes them could make them collide: SipHash with a random seed. Once for each look-up: it
/// says both which shard it is and where to look there.
fn hash(seed: &RandomState, key: &PublicKey) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// Branch and shard: bits of the hash that the shards themselves use least, as they take the lowest and the seven highest.
fn place(hash: u64) -> (usize, usize) {
    ((hash >> 32) as usize % FAN, (hash >> 40) as usize % FAN)
}

fn entry<'a>(
    shard: &'a mut Shard,
    seed: &RandomState,
    at: u64,
    key: &PublicKey,
) -> Entry<'a, Certificate> {
    let is = |held: &Certificate| held.public_key() == key;
    shard.entry(at, is, |held| hash(seed, held.public_key()))
}

/// A map from key to certificate that is cheap to copy: copies share every shard until one changes.
#[derive(Clone)]
pub(crate) struct KeyMap {
    seed: RandomState,
    branches: Arc<[Branch]>,
    len: usize,
}

type Branch = Arc<[Arc<Shard>]>;

impl KeyMap {
    /// An empty map.
    pub(crate) fn new() -> Self {
        let seed = RandomState::new();
        let shard = Arc::new(Shard::new());
        let branch: Branch = (0..FAN).map(|_| Arc::clone(&shard)).collect();
        let branches = (0..FAN).map(|_| Arc::clone(&branch)).collect();
        Self {
            seed,
            branches,
            len: 0,
        }
    }

    /// How many keys it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The certificate of this key.
    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Certificate> {
        if self.len == 0 {
            return None;
        }
        let hash = hash(&self.seed, key);
        let (branch, shard) = place(hash);
        let shard = self.branches.get(branch)?.get(shard)?;
        shard.find(hash, |held| held.public_key() == key)
    }

    /// Looks these keys up, step by step all at once: the processor waits for memory once for all of them, and finds them near
    /// when they are looked up one by one.
    pub(crate) fn fetch(&self, keys: &[PublicKey]) {
        let mut at = [(0, None); FETCH];
        for (at, key) in at.iter_mut().zip(keys) {
            let hash = hash(&self.seed, key);
            let (branch, shard) = place(hash);
            let shard = self
                .branches
                .get(branch)
                .and_then(|branch| branch.get(shard));
            *at = (hash, shard);
        }
        let mut found = [None; FETCH];
        for ((found, key), (hash, shard)) in found.iter_mut().zip(keys).zip(at) {
            *found = shard.and_then(|shard| shard.find(hash, |held| held.public_key() == key));
        }
        black_box(found.map(|held| held.and_then(Certificate::fetch)));
    }

    fn shard_mut(&mut self, hash: u64) -> Option<&mut Shard> {
        let (branch, shard) = place(hash);
        let branch = Arc::make_mut(&mut self.branches).get_mut(branch)?;
        Some(Arc::make_mut(Arc::make_mut(branch).get_mut(shard)?))
    }

    /// Holds a certificate, in the place of one with the same key; true if the key is new.
    pub(crate) fn set(&mut self, certificate: Certificate) -> bool {
        let seed = self.seed.clone();
        let key = *certificate.public_key();
        let hash = hash(&seed, &key);
        let new = self
            .shard_mut(hash)
            .is_some_and(|shard| match entry(shard, &seed, hash, &key) {
                Entry::Occupied(mut held) => {
                    *held.get_mut() = certificate;
                    false
                }
                Entry::Vacant(place) => {
                    place.insert(certificate);
                    true
                }
            });
        self.len += usize::from(new);
        new
    }

    /// Lets go of `key`; true if it was held.
    pub(crate) fn unset(&mut self, key: &PublicKey) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        let seed = self.seed.clone();
        let at = hash(&seed, key);
        if let Some(shard) = self.shard_mut(at) {
            if let Ok(held) = shard.find_entry(at, |held| held.public_key() == key) {
                held.remove();
            }
            if shard.len() * 4 < shard.capacity() {
                shard.shrink_to_fit(|held| hash(&seed, held.public_key()));
            }
        }
        self.len -= 1;
        true
    }

    /// Every certificate, in no order.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let shards = self.branches.iter().flat_map(|branch| branch.iter());
        shards.flat_map(|shard| shard.iter())
    }

    /// Every key held, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &PublicKey> {
        self.certificates().map(Certificate::public_key)
    }
}

/// A map in the making, which nobody shares yet: at half the cost of one that may be shared.
pub(crate) struct Builder {
    seed: RandomState,
    /// Branch by branch.
    shards: Vec<Shard>,
    len: usize,
}

impl Builder {
    /// An empty map with room for so many keys, roughly.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        let seed = RandomState::new();
        let shard = || Shard::with_capacity(keys / (FAN * FAN));
        Self {
            shards: (0..FAN * FAN).map(|_| shard()).collect(),
            seed,
            len: 0,
        }
    }

    /// Holds a certificate unless one of its key is held already; true if there was none.
    pub(crate) fn add(&mut self, certificate: Certificate) -> bool {
        let key = certificate.public_key();
        let hash = hash(&self.seed, key);
        let (branch, shard) = place(hash);
        let Some(shard) = self.shards.get_mut(branch * FAN + shard) else {
            return false;
        };
        let Entry::Vacant(place) = entry(shard, &self.seed, hash, key) else {
            return false;
        };
        place.insert(certificate);
        self.len += 1;
        true
    }

    /// The certificate of this key, to be replaced by another one of it.
    pub(crate) fn get_mut(&mut self, key: &PublicKey) -> Option<&mut Certificate> {
        let hash = hash(&self.seed, key);
        let (branch, shard) = place(hash);
        let shard = self.shards.get_mut(branch * FAN + shard)?;
        shard.find_mut(hash, |held| held.public_key() == key)
    }

    /// The map.
    pub(crate) fn finish(self) -> KeyMap {
        let mut shards = self.shards.into_iter().map(Arc::new);
        let mut branch = |_| -> Branch { shards.by_ref().take(FAN).collect() };
        KeyMap {
            branches: (0..FAN).map(&mut branch).collect(),
            seed: self.seed,
            len: self.len,
        }
    }
}

/// The generation in force. Its lock is held for the time of one look-up or one pointer swap, never for disk work.
pub(crate) struct Current {
    map: RwLock<Arc<KeyMap>>,
    /// Of the map, to be had without the lock.
    len: AtomicUsize,
    /// When it was last changed, in microseconds since 1970; 0 if never.
    changed_at: AtomicU64,
    hooks: Hooks,
}

/// Called after each change, by whoever made it, as long as its owner lives; must be quick.
pub(crate) type Hook = Weak<dyn Fn() + Send + Sync>;

/// Who is told of changes.
#[derive(Default)]
pub(crate) struct Hooks(Mutex<Vec<Hook>>);

impl Hooks {
    /// Calls `hook` after each change from now on.
    pub(crate) fn add(&self, hook: &Hook) {
        let mut hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.retain(|known| known.strong_count() > 0);
        if !hooks.iter().any(|known| known.ptr_eq(hook)) {
            hooks.push(hook.clone());
        }
    }

    /// Tells all of a change.
    pub(crate) fn call(&self) {
        let hooks: Vec<_> = {
            let hooks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            hooks.iter().filter_map(Weak::upgrade).collect()
        };
        hooks.iter().for_each(|hook| hook());
    }
}

impl Current {
    pub(crate) fn new() -> Self {
        Self {
            map: RwLock::new(Arc::new(KeyMap::new())),
            len: AtomicUsize::new(0),
            changed_at: AtomicU64::new(0),
            hooks: Hooks::default(),
        }
    }

    /// The generation in force now; later changes do not touch it.
    pub(crate) fn generation(&self) -> Arc<KeyMap> {
        Arc::clone(&self.map())
    }

    /// The certificate of this key.
    pub(crate) fn get(&self, key: &PublicKey) -> Option<Certificate> {
        if self.len() == 0 {
            return None;
        }
        self.map().get(key).cloned()
    }

    /// See [`KeyMap::fetch`].
    pub(crate) fn fetch(&self, keys: &[PublicKey]) {
        if self.is_far() {
            self.map().fetch(keys);
        }
    }

    /// Whether fetching pays.
    pub(crate) fn is_far(&self) -> bool {
        self.len() >= FETCH_FROM
    }

    fn map(&self) -> RwLockReadGuard<'_, Arc<KeyMap>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys are held.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Puts `next` in force. What the old generation alone held is freed after the lock.
    pub(crate) fn replace(&self, next: Arc<KeyMap>) {
        let old = {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            self.len.store(next.len(), Ordering::Release);
            std::mem::replace(&mut *map, next)
        };
        drop(old);
        self.changed();
    }

    /// Changes the generation in force in one step; for writers that do no disk work.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut KeyMap) -> T) -> T {
        let result = {
            let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
            let result = change(Arc::make_mut(&mut map));
            self.len.store(map.len(), Ordering::Release);
            result
        };
        self.changed();
        result
    }

    /// Calls `hook` after each change from now on.
    pub(crate) fn hook(&self, hook: &Hook) {
        self.hooks.add(hook);
    }

    /// When it was last changed.
    pub(crate) fn last_change(&self) -> Option<SystemTime> {
        let micros = self.changed_at.load(Ordering::Relaxed);
        (micros > 0).then(|| UNIX_EPOCH + Duration::from_micros(micros))
    }

    fn changed(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros() as u64);
        self.changed_at.store(micros, Ordering::Relaxed);
        self.hooks.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> PublicKey {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn bare(n: u32) -> Certificate {
        Certificate::new(key(n))
    }

    #[test]
    fn old_generation_does_not_see_later_changes() {
        let current = Current::new();
        let mut next = current.generation();
        Arc::make_mut(&mut next).set(bare(1));
        current.replace(Arc::clone(&next));
        let old = current.generation();
        Arc::make_mut(&mut next).unset(&key(1));
        Arc::make_mut(&mut next).set(bare(2));
        current.replace(next);
        assert!(old.get(&key(1)).is_some() && old.get(&key(2)).is_none());
        assert!(current.get(&key(1)).is_none() && current.get(&key(2)).is_some());
        assert_eq!((old.len(), current.len()), (1, 1));
    }

    #[test]
    fn map_that_was_built_is_one_that_was_filled() {
        for expected in [0, 100_000] {
            let mut builder = Builder::with_capacity(expected);
            for n in 0..20_000 {
                assert!(builder.add(bare(n)) && !builder.add(bare(n)));
            }
            let mut map = builder.finish();
            assert_eq!((map.len(), map.keys().count()), (20_000, 20_000));
            assert!((0..20_000).all(|n| map.unset(&key(n)) && map.get(&key(n)).is_none()));
            assert!(map.set(bare(1)) && map.get(&key(1)).is_some());
        }
    }

    #[test]
    fn behaves_like_a_plain_map() {
        let mut map = KeyMap::new();
        for n in 0..20_000 {
            assert!(map.set(bare(n)));
            assert!(!map.set(bare(n)));
        }
        for n in (0..20_000).step_by(2) {
            assert!(map.unset(&key(n)));
            assert!(!map.unset(&key(n)));
        }
        assert_eq!((map.len(), map.keys().count()), (10_000, 10_000));
        assert!((0..20_000).all(|n| map.get(&key(n)).is_some() == (n % 2 == 1)));
    }
}
