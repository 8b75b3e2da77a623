//! What tells whether a file has changed since it was read.

use std::collections::hash_map::RandomState;
use std::fs::Metadata;
use std::hash::BuildHasher;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::Stamp;

/// A file's identity, size and times in eight bytes, without alignment: there is one for each of a million files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark([u8; 8]);

impl Mark {
    /// Equal to no file: read it again next time.
    pub(crate) const UNSETTLED: Self = Self([0; 8]);

    /// The mark of the file that `meta` describes.
    pub(crate) fn of(meta: &Metadata, seed: &RandomState) -> Self {
        // A change within the same tick of the file system's clock leaves no trace in the times, so a file that was changed
        // just now is looked at once more. Ticks are 10 ms at most; file systems without fractions count in 1 or 2 seconds.
        let tick = match meta.ctime_nsec() {
            0 => Duration::from_secs(3),
            _ => Duration::from_millis(50),
        };
        let changed = Duration::new(
            u64::try_from(meta.ctime()).unwrap_or(0),
            u32::try_from(meta.ctime_nsec()).unwrap_or(0),
        );
        match SystemTime::now().duration_since(UNIX_EPOCH + changed) {
            Ok(age) if age >= tick => Self(seed.hash_one(Stamp::from(meta)).to_ne_bytes()),
            _ => Self::UNSETTLED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn file_changed_just_now_is_looked_at_again() {
        let temp = tempfile::tempdir().unwrap();
        let (path, seed) = (temp.path().join("a"), RandomState::new());
        fs::write(&path, "").unwrap();
        let mark = || Mark::of(&fs::metadata(&path).unwrap(), &seed);
        assert!(mark() == Mark::UNSETTLED);
        std::thread::sleep(Duration::from_millis(100));
        let settled = mark();
        assert!(settled != Mark::UNSETTLED && settled == mark());
        fs::set_permissions(&path, fs::metadata(&path).unwrap().permissions()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(mark() != settled, "a change of status counts");
    }
}
