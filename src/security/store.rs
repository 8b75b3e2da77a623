//! Certificate stores: whom a server knows.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use super::certificate::Certificate;
use super::directory::Layout;
use super::file;
use super::generation::{Current, Hook, KeyMap};
use super::health::Reload;
use super::keys::PublicKey;
use super::revocations::RevocationList;
use super::signing::VerifyKey;
use super::trust::{Guard, Rules, Trust, Vet};
use super::watcher::{Request, Watcher};
use crate::error::{Error, Result};

/// The certificates of the clients that a server admits: in memory, in a directory or in a key file, which are followed as they change.
///
/// All methods take `&self`: share a store by [`Arc`]. A look-up touches no disk and waits for nobody who does.
///
/// # Directories
/// Every file in the directory and its subdirectories is a certificate, whatever its name, as for CZMQ. Not read are hidden
/// files, and names that end in `~` or `.tmp`; a name that ends in `_secret` is reported as a problem. Symbolic links are
/// followed, to files and directories, also out of the tree. A path that does not exist is an empty store, until it does.
///
/// A change is in force within milliseconds where the operating system reports it. Removal always revokes: whatever makes a
/// file's key differ from what was read (deleted, renamed, replaced with the same size and time, made unreadable, broken, its
/// directory gone or another one) takes the old key out. A key that two files hold leaves with the second. File systems that
/// report no changes of other machines, such as NFS, are compared file by file, each second and at most for one part
/// in a hundred of a core's time: the more files, the later. [`CertificateStore::sync`] and [`CertificateStore::watching`] tell.
///
/// # Key files
/// One file of many certificates, for those who keep them in one place: loaded ten times as fast as a directory, but read whole
/// after each change. A line is a key, then metadata:
///
/// ```text
/// # pumps of hall 3
/// +[2F}Z&f<:/K&o%w+>r2(N=m=[=aeE%3xVgV[esz name="pump 7" role='reader'
/// ```
///
/// The key is Z85. Behind it come `name=value` pairs with blanks between them and none around `=`. Values stand in double or single quotes, or
/// bare if they hold no blanks; a quoted value may hold anything but its own quote and a line break. Names are those of
/// [`Certificate::with_meta`]. Blank lines count for nothing, nor do those that start with `#` (behind blanks or not), which no key does.
/// There are no comments behind a key. A line that is not so admits nobody, is reported with its number, and hinders no other. Of two lines
/// with the same key the first counts, and the second is reported. Lines have at most 64 KiB, files 1 GiB.
///
/// The keys of the file as it was stay in force until it has been read again to its end. So write it beside and rename it: a file that is
/// being written in place is read as far as it has come. It may be a symbolic link, or lie behind some. A path that does not exist is an empty
/// store, and so is a file that cannot be read: removal revokes here too. Who may read the file does not matter, as keys are public; who may
/// write to it admits people.
///
/// # Signed stores
/// [`signed_directory`](Self::signed_directory), [`signed_keyfile`](Self::signed_keyfile) and
/// [`signed_in_memory`](Self::signed_in_memory) open stores of certificates that an administrator [signed](Certificate::sign): whoever
/// distributes them need not be trusted. All others are reported as problems and admit nobody. [`Trust`] says what that guarantees. Of
/// several certificates of one key the one with the highest serial counts, of these the first by path or line; the others are reported.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Certificate, CertificateStore, Keypair};
///
/// let store = CertificateStore::in_memory();
/// let key = *Keypair::generate()?.public();
/// store.insert(Certificate::new(key).with_meta("name", "pump 7")?)?;
/// assert_eq!(store.lookup(&key).unwrap().meta("name"), Some("pump 7"));
/// assert!(store.remove(&key) && store.lookup(&key).is_none());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "zcertstore")]
pub struct CertificateStore {
    /// What `insert` added.
    memory: Current,
    /// What a directory or a key file holds.
    pub(super) files: Option<Watcher>,
    /// What a signed store goes by.
    pub(super) guard: Option<Arc<Guard>>,
}

/// How a store learns of changes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Watching {
    /// The operating system reports them.
    Events,
    /// It cannot (no more watches to be had, most often; [`CertificateStore::problems`] says why): the files are compared one by one, each
    /// second or, with many of them, less often. On Linux, raise the sysctls `fs.inotify.max_user_watches` and `max_user_instances` and
    /// open the store anew.
    Polling,
    /// By nothing: a fault of ours ended what followed the files. They admit nobody; open the store anew.
    Ended,
}

impl CertificateStore {
    /// An empty store.
    pub fn in_memory() -> Self {
        Self {
            memory: Current::new(),
            files: None,
            guard: None,
        }
    }

    /// A store of the certificate files in a directory, loaded when this returns.
    ///
    /// Files that cannot be used admit nobody and hinder nobody: see [`CertificateStore::problems`].
    ///
    /// # Errors
    /// [`Error::Io`]: the path is empty, or relative while there is no current directory. [`Error::Os`]: no thread can be started.
    pub fn directory(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), Layout::Directory, false, None)
    }

    /// A store of the certificates in one file, a line each; loaded when this returns. See the section on key files above.
    ///
    /// Lines that cannot be used admit nobody and hinder no other: see [`CertificateStore::problems`].
    ///
    /// # Errors
    /// [`Error::Io`]: the path is empty, or relative while there is no current directory. [`Error::Os`]: no thread can be started.
    #[doc(alias = "authorized_keys")]
    pub fn keyfile(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), Layout::KeyFile, false, None)
    }

    /// As [`directory`](Self::directory), of the certificates alone that administrators whom `trust` names have signed. All cores verify
    /// the signatures; what has not changed is not verified again.
    ///
    /// # Errors
    /// [`Error::Io`]: a path is empty, or relative while there is no current directory. [`Error::Os`]: no thread can be started.
    pub fn signed_directory(path: impl AsRef<Path>, trust: Trust) -> Result<Self> {
        Self::open(path.as_ref(), Layout::Directory, false, Some(trust))
    }

    /// As [`keyfile`](Self::keyfile), of the lines alone that administrators whom `trust` names have signed: their `signature` and what
    /// belongs to it are metadata like others.
    ///
    /// # Errors
    /// [`Error::Io`]: a path is empty, or relative while there is no current directory. [`Error::Os`]: no thread can be started.
    pub fn signed_keyfile(path: impl AsRef<Path>, trust: Trust) -> Result<Self> {
        Self::open(path.as_ref(), Layout::KeyFile, false, Some(trust))
    }

    /// An empty store that takes certificates which one of these administrators signed, and no others.
    pub fn signed_in_memory(administrators: impl IntoIterator<Item = VerifyKey>) -> Self {
        let trust = Trust::new(administrators);
        let guard = Guard::new(trust.clone());
        guard.set_rules(Rules::new(&trust, Vec::new(), true));
        Self {
            guard: Some(Arc::new(guard)),
            ..Self::in_memory()
        }
    }

    /// Has a signed store believe what `trust` says from now on, instead of what it was opened with: in force once
    /// [`sync`](Self::sync) returns, and at once for a store in memory. Whoever is admitted no more is put out.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: the store is not a signed one; or `trust` names files, and it is in memory. [`Error::Io`]: a path is
    /// empty, or relative while there is no current directory.
    pub fn set_trust(&self, trust: Trust) -> Result<()> {
        let refuse = |reason: &str| Error::InvalidOption {
            name: "trust",
            reason: reason.into(),
        };
        let Some(guard) = &self.guard else {
            return Err(refuse("the store was not opened as a signed one"));
        };
        let trust = trust.absolute()?;
        if let Some(files) = &self.files {
            guard.want(trust);
            files.trust_anew();
            return Ok(());
        }
        if trust.names_files() {
            return Err(refuse("nothing follows files for a store in memory"));
        }
        guard.set_rules(Rules::new(&trust, Vec::new(), true));
        // Nothing of it changed but who is admitted.
        self.memory.change(|_| ());
        Ok(())
    }

    /// The revocation lists in force in a signed store, each with its administrator.
    pub fn revocation_lists(&self) -> Vec<(VerifyKey, Arc<RevocationList>)> {
        self.guard
            .as_ref()
            .map_or_else(Vec::new, |guard| guard.rules().lists().to_vec())
    }

    /// Opens a store; by comparison alone, without file events, if `poll`.
    pub(super) fn open(
        path: &Path,
        layout: Layout,
        poll: bool,
        trust: Option<Trust>,
    ) -> Result<Self> {
        let root = file::absolute(path)?;
        let trust = trust.map(Trust::absolute).transpose()?;
        let guard = trust.map(|trust| Arc::new(Guard::new(trust)));
        Ok(Self {
            memory: Current::new(),
            files: Some(Watcher::start(root, layout, poll, guard.clone())?),
            guard,
        })
    }

    /// Adds a certificate, in the place of one with the same key. It is kept in memory: a store of a directory has it beside its
    /// files, and before a file of the same key.
    ///
    /// # Errors
    /// [`Error::Key`]: the key of zeros, which nobody can hold. [`Error::Signature`]: in a signed store, one that does not count.
    #[doc(alias = "zcertstore_insert")]
    pub fn insert(&self, certificate: Certificate) -> Result<()> {
        let key = certificate.public_key().usable()?;
        if let Some(guard) = &self.guard {
            let vet = Vet {
                rules: guard.rules(),
                guard: Arc::clone(guard),
                known: self.memory.generation(),
            };
            vet.admit(&certificate)?;
            vet.refuse_older(&certificate, vet.known.get(&key))?;
        }
        self.memory.change(|map| map.set(certificate));
        Ok(())
    }

    /// Takes out a certificate that [`CertificateStore::insert`] added; true if there was one.
    ///
    /// A file's key is taken out by removing the file or its line, followed by [`CertificateStore::sync`].
    pub fn remove(&self, key: &PublicKey) -> bool {
        self.memory.change(|map| map.unset(key))
    }

    /// The certificate of this key, whether or not its [`validity`](Certificate::validity) admits it now.
    #[doc(alias = "zcertstore_lookup")]
    pub fn lookup(&self, key: &PublicKey) -> Option<Certificate> {
        self.memory
            .get(key)
            .filter(|certificate| self.counts(certificate))
            .or_else(|| self.files.as_ref()?.keys().get(key))
    }

    /// Whether there are too many keys for all of them to be near the processor.
    pub(super) fn is_far(&self) -> bool {
        self.memory.is_far()
            || self
                .files
                .as_ref()
                .is_some_and(|files| files.keys().is_far())
    }

    /// Has what will be looked up soon, at most [`FETCH`](super::generation::FETCH) keys, fetched from memory.
    pub(super) fn fetch(&self, keys: &[PublicKey]) {
        self.memory.fetch(keys);
        if let Some(files) = &self.files {
            files.keys().fetch(keys);
        }
    }

    /// Whether what was inserted counts at present.
    fn counts(&self, certificate: &Certificate) -> bool {
        let guard = self.guard.as_ref();
        guard.is_none_or(|guard| guard.admits(certificate))
    }

    /// The keys that were inserted and count.
    fn inserted<'a>(&self, memory: &'a KeyMap) -> impl Iterator<Item = &'a PublicKey> {
        let counts = |key: &&PublicKey| memory.get(key).is_some_and(|it| self.counts(it));
        memory
            .keys()
            .filter(move |key| self.guard.is_none() || counts(key))
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        if self.files.is_none() && self.guard.is_none() {
            return self.memory.len();
        }
        let memory = self.memory.generation();
        let Some(directory) = &self.files else {
            return self.inserted(&memory).count();
        };
        let files = directory.keys().generation();
        let beside = self
            .inserted(&memory)
            .filter(|key| files.get(key).is_none());
        files.len() + beside.count()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys that it holds now, in no order.
    #[doc(alias = "zcertstore_certs")]
    pub fn keys(&self) -> Vec<PublicKey> {
        let memory = self.memory.generation();
        let mut keys: HashSet<PublicKey> = self.inserted(&memory).copied().collect();
        if let Some(directory) = &self.files {
            keys.extend(directory.keys().generation().keys());
        }
        keys.into_iter().collect()
    }

    /// The certificates that admit now and end before `time`, the first to end first. Looks at all of them.
    pub fn ending_before(&self, time: SystemTime) -> Vec<Certificate> {
        let now = SystemTime::now();
        let memory = self.memory.generation();
        let files = self.files.as_ref().map(|files| files.keys().generation());
        let files = files.iter().flat_map(|files| files.certificates());
        let inserted = memory.certificates();
        let inserted = inserted.filter(|it| self.counts(it));
        let before = |key| memory.get(key).is_some_and(|it| self.counts(it));
        let beside = files.filter(|it| !before(it.public_key()));
        let mut ending: Vec<_> = inserted
            .chain(beside)
            .filter_map(|certificate| {
                let life = certificate.validity();
                let end = life.not_after().filter(|end| *end < time)?;
                life.admits_at(now).then(|| (end, certificate.clone()))
            })
            .collect();
        ending.sort_by_key(|(end, certificate)| (*end, *certificate.public_key().as_bytes()));
        ending
            .into_iter()
            .map(|(_, certificate)| certificate)
            .collect()
    }

    /// What is wrong with the files of a directory, ordered by path, or with the lines of a key file, the first thousand of them; the others
    /// are loaded.
    ///
    /// [`Error::File`] names the file, the line where there is one, and what is wrong: above all no certificate, a
    /// [`Validity`](super::Validity) that cannot be told, a name that ends in `_secret`, or a key that another file holds too (which is
    /// admitted all the same); in a signed store also a signature that does not count, and what is wrong with a revocation list or with what is
    /// remembered of them; first of all, where that is so, that changes are not [watched](Watching::Polling). [`Error::Io`]: not readable, or
    /// the directory is not there.
    pub fn problems(&self) -> Vec<Arc<Error>> {
        self.files.as_ref().map_or_else(Vec::new, Watcher::problems)
    }

    /// The directory or key file, as an absolute path; `None` for a store in memory.
    pub fn path(&self) -> Option<&Path> {
        self.files.as_ref().map(Watcher::root)
    }

    /// The last change of the keys admitted.
    pub(super) fn changed(&self) -> Option<SystemTime> {
        let files = self.files.as_ref();
        self.memory
            .last_change()
            .max(files.and_then(|files| files.keys().last_change()))
    }

    /// The last look at what changed on disk, or at all of it.
    pub(super) fn reload(&self) -> Option<Reload> {
        self.files.as_ref().and_then(Watcher::reload)
    }

    /// How changes on disk are noticed; `None` for a store in memory.
    pub fn watching(&self) -> Option<Watching> {
        self.files.as_ref().map(|directory| {
            if directory.is_dead() {
                Watching::Ended
            } else if directory.is_polling() {
                Watching::Polling
            } else {
                Watching::Events
            }
        })
    }

    /// Returns once every change made on disk before the call is in force; at once for a store in memory.
    ///
    /// Not covered are changes that the operating system does not report: through another hard link to a file, by a mount over a
    /// directory, by other machines on a shared file system.
    ///
    /// # Errors
    /// [`Error::Again`]: not within `timeout`, too many wait already, or called in a callback of the store's own thread.
    #[doc(alias = "zcertstore_load")]
    pub fn sync(&self, timeout: Duration) -> Result<()> {
        let Some(directory) = &self.files else {
            return Ok(());
        };
        let (answer, answered) = mpsc::sync_channel(1);
        let answer = Box::new(move |current| {
            // Nobody listens any more once the time-out has ended.
            let _ = answer.try_send(current);
        });
        directory.ask(Request::new(true, answer));
        match answered.recv_timeout(timeout) {
            Ok(true) => Ok(()),
            _ => Err(Error::Again),
        }
    }

    /// Calls `hook` after each change from now on.
    pub(crate) fn hook(&self, hook: &Hook) {
        self.memory.hook(hook);
        if let Some(files) = &self.files {
            files.keys().hook(hook);
        }
    }

    /// Calls back, from the store's thread, once all file events queued before the call are applied: with false if the store goes away
    /// before, or too many wait. Any number of calls share one round. A store in memory calls back at once.
    pub(crate) fn when_current(&self, answer: Box<dyn FnOnce(bool) + Send>) {
        match &self.files {
            Some(directory) => directory.ask(Request::new(false, answer)),
            None => answer(true),
        }
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore")
            .field("len", &self.len())
            .field("watching", &self.watching())
            .finish()
    }
}

#[cfg(test)]
mod tests;
