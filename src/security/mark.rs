//! What tells whether a file has changed since it was read.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::file::Stamp;

/// A file's identity, size and times in eight bytes, without alignment: there is one for each of a million files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark([u8; 8]);

impl Mark {
    /// Equal to no file: read it again next time.
    pub(crate) const UNSETTLED: Self = Self([0; 8]);

    /// The mark of a file in this state.
    pub(crate) fn of(stamp: &Stamp, seed: &RandomState) -> Self {
        if stamp.is_settled() {
            Self(seed.hash_one(stamp).to_ne_bytes())
        } else {
            Self::UNSETTLED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn file_changed_just_now_is_looked_at_again() {
        let temp = tempfile::tempdir().unwrap();
        let (path, seed) = (temp.path().join("a"), RandomState::new());
        let mark = || Mark::of(&Stamp::from(&fs::metadata(&path).unwrap()), &seed);
        // On a busy machine it may be long ago already when it is looked at.
        let seen_at_once = (0..1000).any(|_| {
            fs::write(&path, "").unwrap();
            mark() == Mark::UNSETTLED
        });
        assert!(seen_at_once);
        std::thread::sleep(Duration::from_millis(100));
        let settled = mark();
        assert!(settled != Mark::UNSETTLED && settled == mark());
        fs::set_permissions(&path, fs::metadata(&path).unwrap().permissions()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(mark() != settled, "a change of status counts");
    }
}
