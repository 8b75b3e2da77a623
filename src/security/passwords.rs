//! Users and their passwords for the PLAIN mechanism, in memory or from a file.

mod users;

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use crate::error::{Error, Result};
use crate::security::directory::Layout;
use crate::security::file::{self, Access, Stamp};
use crate::security::generation::{Hook, Hooks};
use crate::security::hash::Hash;
use crate::security::keys::Password;
use crate::security::mark::Mark;
use crate::security::watcher::Watcher;
pub(crate) use users::Proof;
use users::{Secret, Users, user_name};

/// Largest password file in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// Users and passwords: lines `name=password`, as CZMQ's authenticator reads them, or `name=$argon2id$…` with a hash of the
/// password. Clones share one set.
///
/// A line that starts with `#` is a comment. The name ends at the first `=`; nothing is trimmed, so that names and
/// passwords may hold spaces, and passwords `=` and `#` as well. Of several lines with one name the last counts; if
/// that one is bad, nobody enters by that name. A carriage return before the line's end is dropped (CZMQ keeps it,
/// and then no password matches).
///
/// A hash is Argon2id's (`v=19`, `p=1`), of at most 16 MiB of memory (`m=16384`) and 36 MiB times passes (`m` × `t` = 36864), so that a
/// check takes at most 10 ms of a server's core; [`PasswordFile::hash`] makes one. Any other is refused, and what begins as a hash of another kind does
/// (`$argon2i$`, `$2b$`, `$6$`, `$y$`, …) is never taken for a password: who has seen the file must not enter by what is in it.
///
/// A file is followed: a change, however made, counts from the next check on, at the price of one `stat` for each. A file that is gone,
/// open to group or others, or unreadable admits nobody, until it is mended. On a network file system a change counts as soon as `stat`
/// shows it, and checks wait where that hangs.
///
/// Who is connected to a server that uses the set is put out when the own line is removed, or replaced by another one (of the same
/// password too, if it is hashed anew), however that comes about; others stay. As for certificates, the operating system reports
/// changes of a file within milliseconds; where it cannot, they are looked for each second. Replace a file by renaming a new one
/// over it: of one that is being written in place, half may be read (until the rest is there), and who is not in that half has to connect anew.
///
/// What time tells: nothing about a password. As soon as one password of the set is a hash, a check of any name takes one
/// hash, and an unknown one as long as the dearest; so hashes of one cost hide which names exist, and a cheaper one among them does not.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Password, PasswordFile};
///
/// let users = PasswordFile::in_memory();
/// users.insert("alice", "open sesame")?;
/// users.insert_hash("bob", &PasswordFile::hash(&Password::new("secret")?)?)?;
/// assert!(users.check(b"alice", b"open sesame"));
/// assert!(users.check(b"bob", b"secret"));
/// assert!(!users.check(b"carol", b"secret"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PasswordFile {
    shared: Arc<Shared>,
}

struct Shared {
    /// Absolute.
    path: Option<PathBuf>,
    /// Who else may know what is in the file.
    access: Access,
    users: RwLock<Users>,
    /// Held from the reading of the file to its coming into force.
    reading: Mutex<()>,
    /// How many readings of the file have begun.
    readings: AtomicU64,
    /// Told of each change.
    hooks: Hooks,
    /// Has the file looked at when nobody connects too.
    watcher: OnceLock<Watcher>,
    seed: RandomState,
    /// What is compared where there is no plain password.
    dummy: Password,
}

impl PasswordFile {
    /// No users yet; [`PasswordFile::insert`] adds them.
    pub fn in_memory() -> Self {
        Self::new(None, Access::OwnerOnly)
    }

    /// Reads a password file, and follows it from now on. Lines that cannot be used are left out, and reported by
    /// [`PasswordFile::problems`].
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: open to group or others, not a file, or larger
    /// than 16 MiB. [`Error::Os`]: no thread can be started.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self> {
        Self::follow(path.into(), Access::OwnerOnly, false)
    }

    /// The same, whoever may read the file, and whichever group may change it. For the C interface to programs that never closed theirs.
    ///
    /// # Errors
    /// As [`load`](Self::load), but for the permissions: [`Error::File`] only where everybody may change the file.
    #[doc(hidden)]
    pub fn load_exposed(path: impl Into<PathBuf>) -> Result<Self> {
        Self::follow(path.into(), Access::Exposed, false)
    }

    fn follow(path: PathBuf, access: Access, poll: bool) -> Result<Self> {
        let absolute = file::absolute(&path)?;
        let file = Self::new(Some(absolute.clone()), access);
        file.catch_up()?;
        let weak = Arc::downgrade(&file.shared);
        let look = move || {
            if let Some(shared) = weak.upgrade() {
                Self { shared }.notice_changes();
            }
        };
        let watcher = Watcher::start(absolute, Layout::Other(Arc::new(look)), poll, None)?;
        // Set here only.
        let _ = file.shared.watcher.set(watcher);
        Ok(file)
    }

    fn new(path: Option<PathBuf>, access: Access) -> Self {
        Self {
            shared: Arc::new(Shared {
                path,
                access,
                users: RwLock::new(Users::none()),
                reading: Mutex::default(),
                readings: AtomicU64::new(0),
                hooks: Hooks::default(),
                watcher: OnceLock::new(),
                seed: RandomState::new(),
                dummy: Password::dummy(),
            }),
        }
    }

    /// The Argon2id hash of a password, to be written behind `name=`, or for [`PasswordFile::insert_hash`]: at most 127 characters.
    /// Takes 8 MiB and about 6 ms, as each check of it will.
    ///
    /// # Errors
    /// [`Error::Os`]: no memory, or no random numbers for its salt.
    ///
    /// Source: RFC 9106.
    #[doc(alias = "crypto_pwhash_str")]
    pub fn hash(password: &Password) -> Result<String> {
        Hash::text_of(password)
    }

    /// Adds a user, or changes the password of one, in memory.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a name that is empty, longer than 255 bytes or has a NUL; a password likewise; or the users are
    /// those of a file, where they are to be changed.
    pub fn insert(&self, name: impl AsRef<[u8]>, password: impl Into<Vec<u8>>) -> Result<()> {
        let password = Password::new(password)?;
        self.put(name.as_ref(), Secret::Plain(Arc::new(password)))
    }

    /// As [`PasswordFile::insert`], with an Argon2id hash instead of a password.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: as for [`PasswordFile::insert`]; or the hash is another one than a file may hold.
    pub fn insert_hash(&self, name: impl AsRef<[u8]>, hash: &str) -> Result<()> {
        let hash = Hash::parse(hash.as_bytes()).map_err(|problem| Error::InvalidOption {
            name: "password hash",
            reason: problem.to_string(),
        })?;
        self.put(name.as_ref(), Secret::Hash(Arc::new(hash)))
    }

    fn put(&self, name: &[u8], secret: Secret) -> Result<()> {
        self.in_memory_only()?;
        let name = user_name(name).map_err(|problem| Error::InvalidOption {
            name: "user name",
            reason: problem.to_string(),
        })?;
        self.users_mut().set(name, Some(secret));
        self.shared.hooks.call();
        Ok(())
    }

    /// Removes a user from memory; whether there was one.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: the users are those of a file, where they are to be removed.
    pub fn remove(&self, name: impl AsRef<[u8]>) -> Result<bool> {
        self.in_memory_only()?;
        let known = self.users_mut().set(name.as_ref(), None);
        self.shared.hooks.call();
        Ok(known)
    }

    /// A user who is removed from a file's set alone would be back after the file's next change.
    fn in_memory_only(&self) -> Result<()> {
        match &self.shared.path {
            None => Ok(()),
            Some(path) => Err(Error::InvalidOption {
                name: "user",
                reason: format!("those of a file are changed in {}", path.display()),
            }),
        }
    }

    /// Whether the password of this user is `password`. Takes milliseconds where there are hashes (see [`PasswordFile`]), and reads a
    /// file that has changed.
    pub fn check(&self, name: &[u8], password: &[u8]) -> bool {
        self.prove(name, password).is_some()
    }

    /// As `check`; what there is to say of it later.
    pub(crate) fn prove(&self, name: &[u8], password: &[u8]) -> Option<Box<Proof>> {
        self.notice_changes();
        // A hash could be that of a password which no line can hold.
        if Password::parse(password).is_err() {
            return None;
        }
        let (known, dearest) = {
            let users = self.users();
            (users.secrets.get(name).cloned(), users.dearest.clone())
        };
        let (plain, hash) = match &known {
            Some(Secret::Plain(plain)) => (Some(&**plain), None),
            Some(Secret::Hash(hash)) => (None, Some(&**hash)),
            None => (None, None),
        };
        // One comparison, and one hash if the set has any, whatever is known of the user.
        let same = plain.unwrap_or(&self.shared.dummy).ct_eq(password);
        let hashed = hash
            .or(dearest.as_deref())
            .is_some_and(|hash| hash.is_of(password));
        let good = (plain.is_some() & same) | (hash.is_some() & hashed);
        known
            .filter(|_| good)
            .map(|secret| Box::new(Proof::of(name, &secret)))
    }

    /// Whether what was proven still is the user's secret, as far as memory tells.
    pub(crate) fn confirms(&self, proof: &Proof) -> bool {
        let users = self.users();
        let secret = users.secrets.get(&proof.name);
        secret.is_some_and(|secret| secret.print(&proof.seed) == proof.print)
    }

    /// Calls `hook` after each change from now on.
    pub(crate) fn hook(&self, hook: &Hook) {
        self.shared.hooks.add(hook);
    }

    /// Whether a check is a comparison in memory just now: it takes no hash and asks no disk, which may hang.
    // For the thread that decides what it need not hand to a worker.
    pub(crate) fn is_quick(&self) -> bool {
        self.shared.path.is_none() && self.users().dearest.is_none()
    }

    /// What is wrong with the file as it is now: [`Error::File`] for each line that cannot be used, in order (the first thousand of them), behind
    /// [`FileProblem::NotWatched`](crate::security::FileProblem::NotWatched) where its changes cannot be watched; or [`Error::Io`] or [`Error::File`], as for [`PasswordFile::load`],
    /// if nobody is admitted by it.
    pub fn problems(&self) -> Vec<Error> {
        if let Err(error) = self.catch_up() {
            return vec![error];
        }
        let path = self.shared.path.as_deref().unwrap_or(Path::new(""));
        let problems = self.users().problems.clone();
        let watching = self.shared.watcher.get().and_then(Watcher::not_watched);
        watching
            .into_iter()
            .chain(problems.into_iter().map(|fault| fault.at(path)))
            .collect()
    }

    /// Puts the file as it is now into force, or a later state of it. Of many callers at once, one reads for all who wait.
    fn notice_changes(&self) {
        let Some(path) = &self.shared.path else {
            return;
        };
        let before = self.shared.readings.load(Ordering::SeqCst);
        if self.is_current(path) {
            return;
        }
        let _reading = self.lock_reading();
        // A reading that began since then, and has ended as the lock is free, will do.
        if self.shared.readings.load(Ordering::SeqCst) == before {
            // Nobody is admitted, and `problems` says why.
            let _ = self.read(path);
        }
    }

    /// Puts the file as it is now into force; an error is that of its present state.
    fn catch_up(&self) -> Result<()> {
        let Some(path) = &self.shared.path else {
            return Ok(());
        };
        let _reading = self.lock_reading();
        if self.is_current(path) {
            Ok(())
        } else {
            self.read(path)
        }
    }

    fn is_current(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|meta| {
            let mark = Mark::of(&Stamp::from(&meta), &self.shared.seed);
            mark != Mark::UNSETTLED && mark == self.users().mark
        })
    }

    /// Reads the file, and lets nobody in if that fails: whoever was removed must not stay. To be called with the lock.
    fn read(&self, path: &Path) -> Result<()> {
        self.shared.readings.fetch_add(1, Ordering::SeqCst);
        // The mark comes first: a change during the reading makes another one.
        let mark = fs::metadata(path).map_or(Mark::UNSETTLED, |meta| {
            Mark::of(&Stamp::from(&meta), &self.shared.seed)
        });
        let (users, result) = match file::read(path, FILE_LIMIT, self.shared.access) {
            Ok(bytes) => {
                let mut users = Users::parse(&bytes, mark);
                users.content = Some(self.shared.seed.hash_one(&*bytes));
                (users, Ok(()))
            }
            Err(error) => (Users::none(), Err(error)),
        };
        let content = users.content;
        let old = std::mem::replace(&mut *self.users_mut(), users);
        if content != old.content {
            self.shared.hooks.call();
        }
        // Wiping the old passwords takes its time: the lock is open again.
        drop(old);
        result
    }

    fn lock_reading(&self) -> MutexGuard<'_, ()> {
        self.shared
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> RwLockReadGuard<'_, Users> {
        self.shared
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn users_mut(&self) -> RwLockWriteGuard<'_, Users> {
        self.shared
            .users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shared.path {
            Some(path) => write!(f, "PasswordFile({})", path.display()),
            None => f.write_str("PasswordFile(in memory)"),
        }
    }
}

#[cfg(test)]
mod tests;
