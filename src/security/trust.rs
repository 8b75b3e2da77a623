//! Whom a signed store believes: its administrators, their revocation lists, and what it has seen of them.

mod guard;
mod rules;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(crate) use guard::Guard;
pub(crate) use rules::{Rules, Vet};

use super::file::{self, FileProblem};
use super::revocations::{RevocationList, RevocationProblem};
use super::signing::VerifyKey;
use crate::error::Result;

/// Whom a [signed store](super::CertificateStore::signed_directory) believes: which administrators may sign, and where their revocation
/// lists are.
///
/// ```no_run
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{CertificateStore, Trust, VerifyKey};
///
/// let (anna, ben) = (VerifyKey::load("/etc/pumps/anna.pub")?, VerifyKey::load("/etc/pumps/ben.pub")?);
/// let trust = Trust::new([ben])
///     .revocations(anna, "/srv/pumps/anna.revoked") // and Anna's signatures count too
///     .remember("/var/lib/pumps/serials");
/// let store = CertificateStore::signed_directory("/srv/pumps/clients", trust)?;
/// # Ok(())
/// # }
/// ```
///
/// # What is guaranteed
/// Whoever distributes the directory and the lists is not trusted: he may leave out, change, mix and put back files at will. The store
/// admits a key only by a certificate that
/// 1. an administrator who is trusted *now* has signed, as it is, whole;
/// 2. no list in force revokes, whoever signed the certificate, and whichever administrator's list it is: **revocation wins**;
/// 3. has at least the minimum serial that the list of its signer sets;
/// 4. is not older than another certificate of the same key that this store has held, since it was opened and the other's signer trusted.
///
/// A list is in force if its administrator signed it, it is the newest that was seen of him, and it has not run out. Each administrator has
/// one list at most. A list named here is *required*: **while any of them is not in force, nobody is admitted**. A newer list is in force
/// as soon as it is there. If one vanishes, or is replaced by an older, a broken or somebody else's, then the one read before stays in force
/// until it runs out, and [`problems`](super::CertificateStore::problems) tells: so a list may also be overwritten in place.
///
/// What this leaves to the distributor: he can keep people out, by leaving out their certificates or letting a list run out. He can keep
/// a new revocation away until the list before it runs out, and no longer: that is what
/// [`valid_for`](RevocationList::issue) is for. And he can put back a certificate that was merely deleted, or replaced, while the store was
/// not running. So **deleting a signed certificate does not revoke it**: name its key in a list, or have it expire. To replace a
/// certificate by one with fewer rights for good, [revoke](RevocationList::revoke_below) those below the new one's serial.
///
/// Without [`remember`](Self::remember), an old list that has not run out yet counts again after a restart. That a list has run out is told
/// by the latest time that the system's clock has shown since the store was opened, or was given a `Trust`: setting it back helps nobody.
/// The store's thread notices it, so one that is reading a large file at that moment (verifying takes a core some 40 µs a signature)
/// notices it afterwards.
///
/// # Changing administrators
/// Trust the new one too, sign the certificates and the list with the new key, have them distributed, then trust the new one alone:
/// [`CertificateStore::set_trust`](super::CertificateStore::set_trust) does either while the store runs. Of two signatures of one
/// certificate the higher serial counts, so both files may lie there at once. With an administrator all he signed leaves, his list as well:
/// take over its entries first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    administrators: Vec<Administrator>,
    memory: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Administrator {
    key: VerifyKey,
    list: Option<PathBuf>,
}

impl Trust {
    /// Believes these administrators; nobody is admitted without any.
    pub fn new(administrators: impl IntoIterator<Item = VerifyKey>) -> Self {
        administrators
            .into_iter()
            .fold(Self::default(), Self::believe)
    }

    /// Believes this administrator too.
    pub(crate) fn believe(mut self, key: VerifyKey) -> Self {
        if self.administrators().all(|known| *known != key) {
            self.administrators.push(Administrator { key, list: None });
        }
        self
    }

    /// Believes this administrator, and requires his revocation list at this path, where it is followed as it changes. It may lie in the
    /// store's directory.
    pub fn revocations(mut self, administrator: VerifyKey, list: impl Into<PathBuf>) -> Self {
        let (key, list) = (administrator, Some(list.into()));
        match self
            .administrators
            .iter_mut()
            .find(|known| known.key == key)
        {
            Some(known) => known.list = list,
            None => self.administrators.push(Administrator { key, list }),
        }
        self
    }

    /// Keeps the serials of the newest lists in a file, so that older ones are refused after a restart too. The store writes it; nobody
    /// else should be able to, and no other store may use it. If it is not there, nothing is remembered yet; if it cannot be read, nobody is
    /// admitted.
    pub fn remember(mut self, path: impl Into<PathBuf>) -> Self {
        self.memory = Some(path.into());
        self
    }

    /// The administrators believed, in the order in which they were added.
    pub fn administrators(&self) -> impl ExactSizeIterator<Item = &VerifyKey> {
        self.administrators.iter().map(|known| &known.key)
    }

    /// The lists that are required.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (VerifyKey, &Path)> {
        self.administrators
            .iter()
            .filter_map(|known| Some((known.key, known.list.as_deref()?)))
    }

    /// Whether there is anything to be followed or kept.
    pub(crate) fn names_files(&self) -> bool {
        self.memory.is_some() || self.lists().next().is_some()
    }

    pub(crate) fn memory(&self) -> Option<&Path> {
        self.memory.as_deref()
    }

    /// The same, with [absolute](file::absolute) paths.
    pub(crate) fn absolute(mut self) -> Result<Self> {
        let lists = self.administrators.iter_mut().map(|known| &mut known.list);
        for path in lists.chain([&mut self.memory]).flatten() {
            *path = file::absolute(path)?;
        }
        Ok(self)
    }
}

/// Why a list cannot be put in force, or stay so.
pub(crate) fn gap(
    by: VerifyKey,
    list: Option<&RevocationList>,
    now: SystemTime,
) -> Option<FileProblem> {
    let problem = match list {
        None => RevocationProblem::NoneInForce { by },
        Some(list) if list.valid_until() <= now => RevocationProblem::Expired {
            until: list.valid_until(),
            by,
        },
        Some(_) => return None,
    };
    Some(problem.into())
}

#[cfg(test)]
mod tests;
