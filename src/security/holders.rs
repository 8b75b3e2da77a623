//! Which files hold a key: it is admitted while at least one does, and the first by path gives its metadata.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificate::Certificate;
use super::generation::KeyMap;
use super::keys::PublicKey;
use super::trust::Guard;

/// The next generation of a directory's keys, in the making. Only keys held by several files are counted one by one:
/// for all others the presence of the key is the count.
pub(crate) struct Holders {
    next: Arc<KeyMap>,
    /// Every file of a key that several hold, by path.
    several: HashMap<PublicKey, BTreeSet<PathBuf>>,
    /// Let go of by their only file. They leave when all changes at hand are applied, so that a renamed file's key never does.
    released: HashSet<PublicKey>,
    /// Held by a second file: who the first one is takes a search, done once for all of them.
    unsearched: HashSet<PublicKey>,
    /// Held by several files, and these changed: the first one's metadata must be read again.
    unsettled: HashSet<PublicKey>,
    changed: bool,
    /// Remembers the serials of keys that leave, in a signed store.
    guard: Option<Arc<Guard>>,
}

impl Holders {
    pub(crate) fn new(guard: Option<Arc<Guard>>) -> Self {
        Self {
            next: Arc::new(KeyMap::new()),
            several: HashMap::new(),
            released: HashSet::new(),
            unsearched: HashSet::new(),
            unsettled: HashSet::new(),
            changed: false,
            guard,
        }
    }

    /// What is kept of a key in the making.
    pub(crate) fn held(&self, key: &PublicKey) -> Option<&Certificate> {
        self.next.get(key)
    }

    /// Keys that several files hold and whose metadata must be read again, with these files.
    pub(crate) fn contested(&self) -> Vec<(PublicKey, Vec<PathBuf>)> {
        let several = self.unsettled.iter().filter_map(|key| {
            let paths = self.several.get(key)?;
            Some((*key, paths.iter().cloned().collect::<Vec<_>>()))
        });
        several.filter(|(_, paths)| paths.len() > 1).collect()
    }

    /// Whether several files hold a key.
    pub(crate) fn is_shared(&self, key: &PublicKey) -> bool {
        self.several.contains_key(key)
    }

    /// The file at `path` now holds `certificate`, and did not hold that key before.
    pub(crate) fn hold(&mut self, path: impl FnOnce() -> PathBuf, certificate: Certificate) {
        let key = *certificate.public_key();
        if self.next.get(&key).is_none() || self.released.remove(&key) {
            self.keep(certificate);
        } else if let Some(paths) = self.several.get_mut(&key) {
            paths.insert(path());
            self.unsettled.insert(key);
        } else {
            self.unsearched.insert(key);
        }
    }

    /// The file at `path` was read again and holds the same key.
    pub(crate) fn hold_again(&mut self, certificate: Certificate) {
        let key = *certificate.public_key();
        if self.several.contains_key(&key) || self.unsearched.contains(&key) {
            self.unsettled.insert(key);
        } else {
            self.keep(certificate);
        }
    }

    /// The file at `path` no longer holds `key`.
    pub(crate) fn release(&mut self, path: &Path, key: PublicKey) {
        if let Some(paths) = self.several.get_mut(&key) {
            paths.remove(path);
            self.unsettled.insert(key);
        } else if !self.unsearched.contains(&key) {
            self.released.insert(key);
        }
    }

    fn keep(&mut self, certificate: Certificate) {
        if let (Some(guard), Some(old)) = (&self.guard, self.next.get(certificate.public_key())) {
            guard.has_left(old, Some(&certificate));
        }
        Arc::make_mut(&mut self.next).set(certificate);
        self.changed = true;
    }

    fn drop_key(&mut self, key: &PublicKey) {
        if let (Some(guard), Some(old)) = (&self.guard, self.next.get(key)) {
            guard.has_left(old, None);
        }
        Arc::make_mut(&mut self.next).unset(key);
        self.changed = true;
    }

    /// The keys whose files must be searched for, handed to `searched` afterwards.
    pub(crate) fn unsearched(&self) -> &HashSet<PublicKey> {
        &self.unsearched
    }

    /// Takes note of every file that holds an unsearched key.
    pub(crate) fn searched(&mut self, found: impl Iterator<Item = (PublicKey, PathBuf)>) {
        for (key, path) in found {
            self.several.entry(key).or_default().insert(path);
        }
        for key in self.unsearched.drain() {
            self.several.entry(key).or_default();
            self.unsettled.insert(key);
        }
    }

    /// Ends a round of changes: what nobody holds any more leaves. `read` reads a file again, for the metadata of a key that
    /// several files hold. Returns the next generation if it differs from the last, and for each
    /// key that several files hold, or held until now, those that do.
    pub(crate) fn settle(
        &mut self,
        mut read: impl FnMut(&Path) -> Option<Certificate>,
    ) -> (Option<Arc<KeyMap>>, Vec<Vec<PathBuf>>) {
        let mut shared = Vec::new();
        for key in std::mem::take(&mut self.unsettled) {
            let paths = self.several.remove(&key).unwrap_or_default();
            match paths.first() {
                None => {
                    self.released.insert(key);
                }
                Some(first) => {
                    self.released.remove(&key);
                    // Unreadable or changed since: an event is on its way, and until then the key stays as it is.
                    if let Some(certificate) = read(first).filter(|c| *c.public_key() == key) {
                        self.keep(certificate);
                    }
                }
            }
            shared.push(paths.iter().cloned().collect());
            if paths.len() > 1 {
                self.several.insert(key, paths);
            }
        }
        for key in std::mem::take(&mut self.released) {
            self.drop_key(&key);
        }
        let next = std::mem::take(&mut self.changed).then(|| Arc::clone(&self.next));
        (next, shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(n: u8) -> Certificate {
        Certificate::new(PublicKey::from_bytes([n; 32]))
    }

    fn settle(holders: &mut Holders) -> Option<Arc<KeyMap>> {
        holders.settle(|_| None).0
    }

    #[test]
    fn key_of_a_renamed_file_never_leaves() {
        let mut holders = Holders::new(None);
        holders.hold(|| "a".into(), certificate(1));
        let first = settle(&mut holders).unwrap();
        holders.release(Path::new("a"), *certificate(1).public_key());
        assert!(first.get(certificate(1).public_key()).is_some());
        holders.hold(|| "b".into(), certificate(1));
        let second = settle(&mut holders).unwrap();
        assert!(second.get(certificate(1).public_key()).is_some());
        assert!(settle(&mut holders).is_none(), "nothing changed");
        holders.release(Path::new("b"), *certificate(1).public_key());
        assert_eq!(settle(&mut holders).unwrap().len(), 0);
    }
}
