//! Users and their passwords for the PLAIN mechanism, in memory or from a file.

use std::collections::HashMap;
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
use crate::security::file::{self, Access, Fault, FileProblem, Stamp};
use crate::security::generation::{Hook, Hooks};
use crate::security::hash::Hash;
use crate::security::keys::{PLAIN_LIMIT, Password};
use crate::security::mark::Mark;
use crate::security::watcher::Watcher;

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

struct Users {
    secrets: HashMap<Box<[u8]>, Secret>,
    /// The hash that takes longest to check, whose check also hides that there is nothing to check.
    dearest: Option<Arc<Hash>>,
    problems: Vec<Fault>,
    /// The file as it was when its reading began.
    mark: Mark,
    /// Its content, as a keyed hash; `None` where there is none.
    content: Option<u64>,
}

/// What a user proves to know; in an `Arc`, so that a check holds no lock.
#[derive(Clone)]
enum Secret {
    Plain(Arc<Password>),
    Hash(Arc<Hash>),
}

/// That a user has proven to know a secret: enough to tell later whether it still is the user's, and not the secret.
pub(crate) struct Proof {
    name: Box<[u8]>,
    /// Of this proof alone.
    seed: RandomState,
    print: u64,
}

impl PasswordFile {
    /// No users yet; [`PasswordFile::insert`] adds them.
    pub fn in_memory() -> Self {
        Self::new(None)
    }

    /// Reads a password file, and follows it from now on. Lines that cannot be used are left out, and reported by
    /// [`PasswordFile::problems`].
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: open to group or others, not a file, or larger
    /// than 16 MiB. [`Error::Os`]: no thread can be started.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self> {
        Self::follow(path.into(), false)
    }

    fn follow(path: PathBuf, poll: bool) -> Result<Self> {
        let absolute = std::path::absolute(&path).map_err(|source| Error::Io { path, source })?;
        let file = Self::new(Some(absolute.clone()));
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

    fn new(path: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                path,
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
    pub(crate) fn prove(&self, name: &[u8], password: &[u8]) -> Option<Proof> {
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
            .map(|secret| Proof::of(name, &secret))
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

    /// What is wrong with the file as it is now: [`Error::File`] for each line that cannot be used, in order, behind
    /// [`FileProblem::NotWatched`] where its changes cannot be watched; or [`Error::Io`] or [`Error::File`], as for [`PasswordFile::load`],
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
        let (users, result) = match file::read(path, FILE_LIMIT, Access::OwnerOnly) {
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

impl Users {
    /// Nobody, by no file.
    fn none() -> Self {
        Self {
            secrets: HashMap::new(),
            dearest: None,
            problems: Vec::new(),
            mark: Mark::UNSETTLED,
            content: None,
        }
    }

    fn parse(bytes: &[u8], mark: Mark) -> Self {
        let mut users = Self {
            mark,
            ..Self::none()
        };
        for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Err(problem) = users.read_line(line) {
                users.problems.push(Fault::new(Some(number), problem));
            }
        }
        users.dearest = users.find_dearest();
        users
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), FileProblem> {
        let mut parts = line.splitn(2, |&byte| byte == b'=');
        let (Some(name), Some(password)) = (parts.next(), parts.next()) else {
            return Err(FileProblem::NoEquals);
        };
        let name = user_name(name)?;
        // The last line of a name counts, and a bad one admits nobody: an older password must not outlive it.
        self.secrets.remove(name);
        let secret = if Hash::is_meant(password) {
            Secret::Hash(Arc::new(Hash::parse(password)?))
        } else {
            Secret::Plain(Arc::new(Password::parse(password)?))
        };
        self.secrets.insert(name.into(), secret);
        Ok(())
    }

    /// Adds, changes or removes a user; whether there was one.
    fn set(&mut self, name: &[u8], secret: Option<Secret>) -> bool {
        let old = self.secrets.remove(name);
        if let Some(secret) = secret {
            if let Secret::Hash(hash) = &secret {
                let dearer = |dearest: &Arc<Hash>| dearest.work() < hash.work();
                if self.dearest.as_ref().is_none_or(dearer) {
                    self.dearest = Some(hash.clone());
                }
            }
            self.secrets.insert(name.into(), secret);
        }
        if let (Some(Secret::Hash(old)), Some(dearest)) = (&old, &self.dearest) {
            if Arc::ptr_eq(old, dearest) {
                self.dearest = self.find_dearest();
            }
        }
        old.is_some()
    }

    fn find_dearest(&self) -> Option<Arc<Hash>> {
        let hashes = self.secrets.values().filter_map(|secret| match secret {
            Secret::Hash(hash) => Some(hash),
            Secret::Plain(_) => None,
        });
        hashes.max_by_key(|hash| hash.work()).cloned()
    }
}

impl Secret {
    /// What differs for another secret.
    fn print(&self, seed: &RandomState) -> u64 {
        match self {
            Secret::Plain(password) => seed.hash_one((false, password.expose_bytes())),
            Secret::Hash(hash) => seed.hash_one((true, hash.text())),
        }
    }
}

impl Proof {
    fn of(name: &[u8], secret: &Secret) -> Self {
        let seed = RandomState::new();
        Self {
            name: name.into(),
            print: secret.print(&seed),
            seed,
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

fn user_name(name: &[u8]) -> Result<&[u8], FileProblem> {
    if name.is_empty() || name.len() > PLAIN_LIMIT || name.contains(&0) {
        Err(FileProblem::UserName)
    } else {
        Ok(name)
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
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::security::file::FileKind;
    use crate::security::hash::HashProblem;
    use crate::security::hash::TAKEN;
    use crate::security::keys::PasswordProblem;
    use crate::security::watcher::Message;

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// A hash that is checked in no time.
    const QUICK: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$fIbdC2xakJ6cNlONBQKde0ZQtJof49m9l+7mj3O30mA";

    /// A password file with this content, and the folder that holds it.
    fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf, PasswordFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        write(&path, content);
        let users = PasswordFile::load(&path).unwrap();
        (folder, path, users)
    }

    fn problems(users: &PasswordFile) -> Vec<(u32, FileProblem)> {
        let problems = users.problems().into_iter();
        problems
            .map(|error| match error {
                Error::File { line, problem, .. } => (line.unwrap(), problem),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn user_enters_with_the_own_password_only() {
        let (_folder, _, users) = file("alice=secret\nbob=other\n");
        assert!(users.check(b"alice", b"secret"));
        assert!(users.check(b"bob", b"other"));
        for (name, password) in [
            ("alice", "other"),
            ("alice", ""),
            ("alice", "secre"),
            ("alice", "secret\n"),
            ("Alice", "secret"),
            ("carol", "secret"),
            ("", ""),
            ("carol", &"-".repeat(255)),
        ] {
            assert!(
                !users.check(name.as_bytes(), password.as_bytes()),
                "{name} {password}"
            );
        }
        assert!(users.problems().is_empty());
    }

    #[test]
    fn name_ends_at_the_first_equals_sign_and_nothing_is_trimmed() {
        let (_folder, _, users) = file(
            "# comment = x\n\n  \n spaced = v \nuser=a=b\nhash=#x # y\nlast=1\nlast=2\n #no=comment",
        );
        for (name, password) in [
            (" spaced ", " v "),
            ("user", "a=b"),
            ("hash", "#x # y"),
            ("last", "2"),
            (" #no", "comment"),
        ] {
            assert!(users.check(name.as_bytes(), password.as_bytes()), "{name}");
        }
        assert!(!users.check(b"last", b"1"));
        assert!(!users.check(b"# comment ", b" x"));
        assert!(problems(&users).is_empty());
    }

    #[test]
    fn one_carriage_return_at_the_end_of_a_line_is_dropped() {
        let (_folder, _, users) = file("alice=secret\r\nbob=odd\r\r\n\r\n#x\r\n");
        assert!(users.check(b"alice", b"secret"));
        assert!(users.check(b"bob", b"odd\r"));
        assert!(problems(&users).is_empty());
    }

    #[test]
    fn bad_lines_are_reported_and_the_others_load() {
        let long = "x".repeat(256);
        let content = format!(
            "first=1\nno separator\n=nameless\nempty=\n{long}=x\nlong={long}\nnul\0=x\nnul=\0x\n\
             hash=$argon2id$v=19$m=65536$c2FsdA$aGFzaA\ndear={}\nother=$6$salt$hash\nlast=2\n",
            QUICK.replace("m=8", "m=65536")
        );
        let (_folder, path, users) = file(&content);
        let wanted = [
            (2, FileProblem::NoEquals),
            (3, FileProblem::UserName),
            (4, PasswordProblem::Empty.into()),
            (5, FileProblem::UserName),
            (6, PasswordProblem::TooLong.into()),
            (7, FileProblem::UserName),
            (8, PasswordProblem::Nul.into()),
            (9, HashProblem::Malformed.into()),
            (10, HashProblem::TooCostly.into()),
            (11, HashProblem::Kind.into()),
        ];
        assert_eq!(problems(&users), wanted);
        assert!(users.check(b"first", b"1") && users.check(b"last", b"2"));
        for (name, password) in [
            (&b"empty"[..], &b""[..]),
            (b"", b"nameless"),
            (long.as_bytes(), b"x"),
            (b"long", long.as_bytes()),
            (b"nul\0", b"x"),
            (b"nul", b"\0x"),
            (b"hash", b"$argon2id$v=19$m=65536$c2FsdA$aGFzaA"),
            (b"other", b"$6$salt$hash"),
            (b"no separator", b""),
        ] {
            assert!(!users.check(name, password));
        }
        let shown = users.problems()[0].to_string();
        assert!(
            shown.starts_with(&format!("{}:2: ", path.display())),
            "{shown}"
        );
    }

    #[test]
    fn password_of_255_bytes_of_any_kind_is_read() {
        let mut content = b"caf\xE9=".to_vec();
        let password: Vec<u8> = (1..=255).filter(|&byte| byte != b'\n').collect();
        content.extend(&password);
        let (_folder, _, users) = file(content);
        assert!(users.check(b"caf\xE9", &password));
    }

    #[test]
    fn bad_last_line_of_a_name_revokes_its_earlier_password() {
        let (_folder, _, users) = file("alice=old\nalice=\nbob=\nbob=good\n");
        assert!(!users.check(b"alice", b"old"));
        assert!(users.check(b"bob", b"good"));
        assert_eq!(problems(&users).len(), 2);
    }

    #[test]
    fn hashes_and_plain_passwords_stand_in_one_file() {
        let own = PasswordFile::hash(&Password::new("own").unwrap()).unwrap();
        let content = format!(
            "plain=secret\nquick={QUICK}\nown={own}\nlast=plain\nlast={QUICK}\nback={QUICK}\nback=plain\n"
        );
        let (_folder, _, users) = file(&content);
        for (name, password) in [
            ("plain", "secret"),
            ("quick", "secret"),
            ("own", "own"),
            ("last", "secret"),
            ("back", "plain"),
        ] {
            assert!(users.check(name.as_bytes(), password.as_bytes()), "{name}");
        }
        for (name, password) in [
            ("plain", "own"),
            ("plain", ""),
            ("quick", "secre"),
            ("quick", "secret\0"),
            ("quick", QUICK),
            ("quick", ""),
            ("own", "secret"),
            ("last", "plain"),
            ("back", "secret"),
            ("nobody", "secret"),
            ("nobody", "own"),
        ] {
            assert!(!users.check(name.as_bytes(), password.as_bytes()), "{name}");
        }
        assert!(problems(&users).is_empty());
    }

    #[test]
    fn password_that_no_client_may_send_is_refused_even_where_its_hash_is_known() {
        for password in [&b""[..], b"with\0nul", &[b'x'; 256]] {
            let cost = crate::ffi::sodium::HashCost {
                memory: 8,
                passes: 1,
            };
            let text = crate::ffi::sodium::hash_password(password, cost).unwrap();
            let text = std::ffi::CStr::from_bytes_until_nul(text.as_slice()).unwrap();
            let users = PasswordFile::in_memory();
            users.insert_hash("user", text.to_str().unwrap()).unwrap();
            assert!(!users.check(b"user", password));
        }
    }

    #[test]
    fn any_name_costs_one_hash_where_there_are_hashes() {
        let (_folder, _, users) = file(format!("hashed={QUICK}\nplain=secret\n"));
        for name in ["hashed", "plain", "unknown", ""] {
            let before = TAKEN.get();
            assert!(!users.check(name.as_bytes(), b"wrong"));
            assert_eq!(TAKEN.get() - before, 1, "{name}");
        }
        let before = TAKEN.get();
        assert!(users.check(b"plain", b"secret"));
        assert_eq!(TAKEN.get() - before, 1);
    }

    #[test]
    fn no_name_costs_a_hash_where_there_are_none() {
        let (_folder, _, users) = file("plain=secret\n");
        let before = TAKEN.get();
        assert!(!users.check(b"plain", b"wrong") && !users.check(b"unknown", b"wrong"));
        assert_eq!(TAKEN.get(), before);
    }

    #[test]
    fn unknown_user_costs_the_dearest_hash_that_there_is() {
        let users = PasswordFile::in_memory();
        let dearest = || users.users().dearest.as_ref().map(|hash| hash.work());
        assert!(users.is_quick());
        users.insert_hash("a", QUICK).unwrap();
        assert_eq!(dearest(), Some(16));
        users
            .insert_hash("b", &QUICK.replace("m=8,t=1", "m=9,t=2"))
            .unwrap();
        users.insert_hash("c", QUICK).unwrap();
        assert_eq!(dearest(), Some(27));
        users.insert("b", "plain").unwrap();
        assert_eq!(dearest(), Some(16));
        users.remove("a").unwrap();
        assert!(dearest() == Some(16) && !users.is_quick());
        users.remove("c").unwrap();
        assert!(dearest().is_none() && users.is_quick());
    }

    #[test]
    fn file_is_never_quick_because_its_disk_may_hang() {
        let (_folder, _, users) = file("alice=1\n");
        assert!(!users.is_quick());
    }

    #[test]
    fn change_of_the_file_counts_from_the_next_check_for_every_clone() {
        let (_folder, path, users) = file("alice=1\nbob=2\nbad\n");
        let clone = users.clone();
        assert!(clone.check(b"alice", b"1"));
        write(&path, "bob=3\ncarol=4\n");
        assert!(!clone.check(b"alice", b"1") && !users.check(b"bob", b"2"));
        assert!(clone.check(b"bob", b"3") && users.check(b"carol", b"4"));
        assert!(clone.problems().is_empty());
        write(&path, "bad\n");
        assert_eq!(problems(&users), [(1, FileProblem::NoEquals)]);
    }

    #[test]
    fn changes_of_the_same_size_within_one_moment_all_count() {
        let (_folder, path, users) = file("alice=0\n");
        for round in 1..500 {
            let (old, new) = ((round - 1) % 10, round % 10);
            if round % 2 == 0 {
                fs::write(&path, format!("alice={new}\n")).unwrap();
            } else {
                let beside = path.with_extension("new");
                write(&beside, format!("alice={new}\n"));
                fs::rename(&beside, &path).unwrap();
            }
            assert!(users.check(b"alice", format!("{new}").as_bytes()));
            assert!(!users.check(b"alice", format!("{old}").as_bytes()));
        }
    }

    #[test]
    fn proof_holds_as_long_as_the_users_line_is_the_same() {
        let again = QUICK.replace("c2FsdHNhbHRzYWx0c2FsdA", "c2FsdHNhbHRzYWx0c2FsdB");
        assert_ne!(again, QUICK);
        let before = format!("# head\nalice=1\nbob={QUICK}\n");
        let (_folder, path, users) = file(&before);
        let [alice, bob] = [("alice", "1"), ("bob", "secret")]
            .map(|(name, password)| users.prove(name.as_bytes(), password.as_bytes()).unwrap());
        assert!(users.prove(b"alice", b"2").is_none() && users.prove(b"carol", b"1").is_none());
        let other = PasswordFile::in_memory();
        assert!(!other.confirms(&alice));
        other.insert("alice", "1").unwrap();
        assert!(other.confirms(&alice) && !other.confirms(&bob));
        for (content, expected) in [
            (format!("bob={QUICK}\r\ncarol=3\nalice=1"), [true, true]),
            (format!("alice=1\nbob={again}\n"), [true, false]),
            (format!("alice=2\nbob={QUICK}\n"), [false, true]),
            (before.clone(), [true, true]),
            (format!("alice={QUICK}\nbob=secret\n"), [false, false]),
            ("Alice=1\nalice=1\nalice=\n".into(), [false, false]),
            (before, [true, true]),
        ] {
            write(&path, &content);
            users.notice_changes();
            assert_eq!(
                [&alice, &bob].map(|p| users.confirms(p)),
                expected,
                "{content}"
            );
        }
        fs::remove_file(&path).unwrap();
        users.notice_changes();
        assert!(!users.confirms(&alice) && !users.confirms(&bob));
        assert_eq!(format!("{alice:?}"), "Proof(..)");
    }

    #[test]
    fn proof_of_a_name_that_is_no_text_holds() {
        let users = PasswordFile::in_memory();
        users.insert(b"caf\xe9", "1").unwrap();
        let proof = users.prove(b"caf\xe9", b"1").unwrap();
        users.insert(b"caf\xc3\xa9", "1").unwrap();
        assert!(users.confirms(&proof));
        users.remove(b"caf\xe9").unwrap();
        assert!(!users.confirms(&proof));
    }

    /// Counts the changes that `users` tell of.
    fn changes(users: &PasswordFile) -> (Arc<AtomicU64>, Arc<dyn Fn() + Send + Sync>) {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let hook: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        users.hook(&Arc::downgrade(&hook));
        (count, hook)
    }

    #[track_caller]
    fn wait(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn change_of_the_file_is_told_without_a_check_however_it_comes_about() {
        for poll in [false, true] {
            let (folder, path, users) = file("alice=0\n");
            drop(users);
            let users = PasswordFile::follow(path.clone(), poll).unwrap();
            let (count, _hook) = changes(&users);
            let alice = |n: &str| {
                let secret = users.users().secrets.get(&b"alice"[..]).cloned();
                matches!(secret, Some(Secret::Plain(password)) if *password.expose_bytes() == *n.as_bytes())
            };
            fs::write(&path, "alice=1\n").unwrap();
            wait(|| alice("1"));
            write(&path.with_extension("new"), "alice=2\n");
            fs::rename(path.with_extension("new"), &path).unwrap();
            wait(|| alice("2"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            wait(|| users.users().secrets.is_empty());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            wait(|| alice("2"));
            fs::remove_file(&path).unwrap();
            wait(|| users.users().secrets.is_empty());
            symlink("target", &path).unwrap();
            write(&folder.path().join("target"), "alice=3\n");
            wait(|| alice("3"));
            fs::rename(folder.path().join("target"), folder.path().join("gone")).unwrap();
            wait(|| users.users().secrets.is_empty());
            assert!(count.load(Ordering::SeqCst) >= 7);
        }
    }

    #[test]
    fn change_is_told_after_lost_events_and_a_fault_of_ours() {
        let (_folder, path, users) = file("alice=0\n");
        let watcher = users.shared.watcher.get().unwrap();
        let gone = || users.users().secrets.is_empty();
        fs::write(&path, "").unwrap();
        watcher.inject(Message::Lost);
        wait(gone);
        watcher.inject(Message::Inject(|_| panic!("as intended")));
        wait(|| !users.problems().is_empty());
        assert!(watcher.is_polling());
        assert!(matches!(
            &problems_without_lines(&users)[..],
            [FileProblem::NotWatched { .. }]
        ));
        fs::write(&path, "alice=1\n").unwrap();
        wait(|| !gone());
    }

    fn problems_without_lines(users: &PasswordFile) -> Vec<FileProblem> {
        let problems = users.problems().into_iter();
        problems
            .map(|error| match error {
                Error::File {
                    line: None,
                    problem,
                    ..
                } => problem,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn users_in_memory_tell_of_each_change() {
        let users = PasswordFile::in_memory();
        let (count, hook) = changes(&users);
        users.insert("alice", "1").unwrap();
        users.insert_hash("alice", QUICK).unwrap();
        users.remove("alice").unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
        drop(hook);
        users.insert("alice", "1").unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn dropping_the_last_clone_ends_the_watch() {
        let (_folder, path, users) = file("alice=1\n");
        let clone = users.clone();
        drop(users);
        fs::write(&path, "alice=2\n").unwrap();
        wait(|| clone.users().secrets.contains_key(&b"alice"[..]));
        let weak = Arc::downgrade(&clone.shared);
        drop(clone);
        wait(|| weak.upgrade().is_none());
    }

    #[test]
    fn link_that_moves_leads_to_other_users() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, line) in [("v1", "alice=1\n"), ("v2", "bob=2\n")] {
            fs::create_dir(at(version)).unwrap();
            write(&at(version).join("passwords"), line);
        }
        symlink("v1", at("data")).unwrap();
        let users = PasswordFile::load(at("data").join("passwords")).unwrap();
        assert!(users.check(b"alice", b"1"));
        symlink("v2", at("next")).unwrap();
        fs::rename(at("next"), at("data")).unwrap();
        assert!(!users.check(b"alice", b"1") && users.check(b"bob", b"2"));
        fs::rename(at("v2"), at("v3")).unwrap();
        assert!(!users.check(b"bob", b"2"));
        assert!(matches!(users.problems()[..], [Error::Io { .. }]));
    }

    #[test]
    fn file_that_is_gone_or_unusable_admits_nobody_until_it_is_mended() {
        let break_file: [fn(&Path); 4] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            |path| write(path, vec![b'\n'; 16 * 1024 * 1024 + 1]),
        ];
        for break_file in break_file {
            let (_folder, path, users) = file("alice=1\nbad\n");
            assert!(users.check(b"alice", b"1"));
            break_file(&path);
            assert!(!users.check(b"alice", b"1"));
            let error = PasswordFile::load(&path).unwrap_err().to_string();
            let problems = users.problems();
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].to_string(), error);
            if path.is_dir() {
                fs::remove_dir(&path).unwrap();
            }
            write(&path, "alice=1\nbob=2\n");
            assert!(users.check(b"alice", b"1") && users.check(b"bob", b"2"));
            assert!(users.problems().is_empty());
        }
    }

    #[test]
    fn quiet_file_is_not_read_again() {
        let (_folder, _, users) = file("alice=1\n");
        let readings = || users.shared.readings.load(Ordering::SeqCst);
        let start = Instant::now();
        // A file that changed just now is read at each check, since its times may not show another change.
        loop {
            let before = readings();
            users.check(b"alice", b"1");
            if readings() == before {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(30));
        }
        let before = readings();
        for _ in 0..100 {
            assert!(users.check(b"alice", b"1"));
        }
        assert!(users.problems().is_empty());
        assert_eq!(readings(), before);
    }

    #[test]
    fn file_of_a_relative_path_is_followed_where_it_was_loaded() {
        let here = std::env::current_dir().unwrap();
        let folder = tempfile::tempdir_in(&here).unwrap();
        let path = folder.path().join("passwords");
        write(&path, "alice=1\n");
        let users = PasswordFile::load(path.strip_prefix(&here).unwrap()).unwrap();
        assert_eq!(users.shared.path.as_deref(), Some(&*path));
        assert!(users.check(b"alice", b"1"));
    }

    #[test]
    fn fifo_and_open_file_are_refused_at_load() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let error = PasswordFile::load(&fifo).unwrap_err();
        let wanted = FileProblem::NotAFile(FileKind::Fifo);
        assert!(matches!(error, Error::File { problem, .. } if problem == wanted));
        let open = folder.path().join("open");
        write(&open, "alice=1\n");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        let error = PasswordFile::load(&open).unwrap_err().to_string();
        assert!(
            error.contains(&format!("chmod 600 {}", open.display())),
            "{error}"
        );
    }

    #[test]
    fn users_in_memory_come_and_go() {
        let users = PasswordFile::in_memory();
        users.insert("alice", "1").unwrap();
        users.insert("alice", String::from("2")).unwrap();
        assert!(users.check(b"alice", b"2") && !users.check(b"alice", b"1"));
        users.insert_hash("alice", QUICK).unwrap();
        assert!(users.check(b"alice", b"secret") && !users.check(b"alice", b"2"));
        assert!(users.remove("alice").unwrap() && !users.remove("alice").unwrap());
        assert!(!users.check(b"alice", b"secret"));
        for (name, password) in [("", "x"), ("a\0", "x"), ("a", ""), ("a", "\0")] {
            let refused = users.insert(name, password);
            assert!(matches!(refused, Err(Error::InvalidOption { .. })));
        }
        for (name, hash) in [("", QUICK), ("a", "secret"), ("a", &QUICK[1..]), ("a", "")] {
            let refused = users.insert_hash(name, hash);
            assert!(matches!(refused, Err(Error::InvalidOption { .. })));
        }
        assert!(users.problems().is_empty());
    }

    #[test]
    fn users_of_a_file_are_changed_in_the_file_alone() {
        let (_folder, _, users) = file("alice=1\n");
        for refused in [
            users.insert("bob", "2"),
            users.insert_hash("bob", QUICK),
            users.remove("alice").map(drop),
        ] {
            assert!(matches!(refused, Err(Error::InvalidOption { .. })));
        }
        assert!(users.check(b"alice", b"1") && !users.check(b"bob", b"2"));
    }

    #[test]
    fn debug_and_problems_show_no_password_and_no_hash() {
        let digest = QUICK.rsplit('$').next().unwrap();
        let (_folder, _, users) = file(format!(
            "alice=hunter\nhunter\n=hunter\nbob=hunt\0er\ncarol={QUICK}\ndave={QUICK}$\n"
        ));
        let refused = users.insert_hash("eve", &QUICK[1..]);
        let shown = format!("{users:?} {:?} {refused:?}", users.problems());
        assert!(
            !shown.contains("hunt") && !shown.contains(digest),
            "{shown}"
        );
    }

    #[test]
    fn every_check_during_changes_sees_one_of_the_states() {
        let (_folder, path, users) = file("alice=1\nbob=1\n");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        assert!(users.check(b"alice", b"1") && users.problems().is_empty());
                        assert!(!users.check(b"bob", b"3"));
                    }
                });
            }
            scope.spawn(|| {
                let beside = path.with_extension("new");
                for round in 0..200 {
                    write(&beside, format!("alice=1\nbob={}\n", round % 2));
                    fs::rename(&beside, &path).unwrap();
                    let bob = format!("{}", round % 2);
                    assert!(users.check(b"bob", bob.as_bytes()));
                }
            });
        });
    }

    /// Users in memory that were parsed from a file's content.
    fn parsed(content: &[u8]) -> PasswordFile {
        let users = PasswordFile::in_memory();
        *users.users_mut() = Users::parse(content, Mark::UNSETTLED);
        users
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_admit_no_empty_password(bytes: Vec<u8>, end in "(\\$argon2id?)?[$=,a-z0-9\n]{0,99}") {
            for content in [bytes, [QUICK, &end].concat().into_bytes(), format!("a={end}\n{end}").into_bytes()] {
                let users = Users::parse(&content, Mark::UNSETTLED);
                for (name, secret) in &users.secrets {
                    prop_assert!(!name.is_empty());
                    if let Secret::Plain(password) = secret {
                        prop_assert!(!password.expose_bytes().is_empty());
                        prop_assert!(!password.expose_bytes().starts_with(b"$argon2"));
                    }
                }
                let hashes = users.secrets.values().any(|secret| matches!(secret, Secret::Hash(_)));
                prop_assert_eq!(users.dearest.is_some(), hashes);
            }
        }

        #[test]
        fn what_is_written_as_a_line_is_checked(
            name in "[^=#\r\n\0][^=\r\n\0]{0,20}", password in "[^\r\n\0]{1,30}", wrong in "\\PC{0,30}"
        ) {
            prop_assume!(!name.bytes().all(|byte| byte.is_ascii_whitespace()));
            prop_assume!(!Hash::is_meant(password.as_bytes()));
            let users = parsed(format!("{name}={password}\n").as_bytes());
            prop_assert!(users.check(name.as_bytes(), password.as_bytes()));
            prop_assert_eq!(users.check(name.as_bytes(), wrong.as_bytes()), wrong == password);
        }

        #[test]
        fn hash_line_admits_its_password_and_no_other(
            name in "[^=#\r\n\0][^=\r\n\0]{0,20}", password in "[^\0]{1,30}", wrong in "\\PC{0,30}", more in "([a-z]=[a-z]{1,5}\n){0,3}"
        ) {
            prop_assume!(!name.bytes().all(|byte| byte.is_ascii_whitespace()));
            let cost = crate::ffi::sodium::HashCost { memory: 8, passes: 1 };
            let text = crate::ffi::sodium::hash_password(password.as_bytes(), cost).unwrap();
            let text = String::from_utf8_lossy(text.as_slice());
            let users = parsed(format!("{more}{name}={}\r\n", text.trim_end_matches('\0')).as_bytes());
            prop_assert!(users.users().problems.is_empty());
            prop_assert!(users.check(name.as_bytes(), password.as_bytes()));
            prop_assert_eq!(users.check(name.as_bytes(), wrong.as_bytes()), wrong == password);
            prop_assert!(!users.check(name.as_bytes(), text.trim_end_matches('\0').as_bytes()));
        }
    }
}
