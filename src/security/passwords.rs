//! Users and their passwords for the PLAIN mechanism, in memory or from a file.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::security::file::{self, Access, Fault, FileProblem};
use crate::security::keys::{PLAIN_LIMIT, Password};

/// Largest password file in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// How a password hash starts.
const HASH_PREFIX: &[u8] = b"$argon2";

/// Users and passwords: lines `name=password`, as CZMQ's authenticator reads them. Clones share one set.
///
/// A line that starts with `#` is a comment. The name ends at the first `=`; nothing is trimmed, so that names and
/// passwords may hold spaces, and passwords `=` and `#` as well. Of several lines with one name the last counts; if
/// that one is bad, nobody enters by that name. A carriage return before the line's end is dropped (CZMQ keeps it,
/// and then no password matches).
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::PasswordFile;
///
/// let users = PasswordFile::in_memory();
/// users.insert("alice", "open sesame")?;
/// assert!(users.check(b"alice", b"open sesame"));
/// assert!(!users.check(b"bob", b"open sesame"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PasswordFile {
    shared: Arc<Shared>,
}

struct Shared {
    path: Option<PathBuf>,
    users: RwLock<Users>,
    /// Held from the reading of the file to its coming into force, so that of two reloads the later one lasts.
    reload: Mutex<()>,
    /// What the password of an unknown user is compared with.
    dummy: Password,
}

#[derive(Default)]
struct Users {
    /// In an `Arc`, so that a check holds no lock while it compares.
    passwords: HashMap<Box<[u8]>, Arc<Password>>,
    problems: Vec<Fault>,
}

impl PasswordFile {
    /// No users yet; [`PasswordFile::insert`] adds them.
    pub fn in_memory() -> Self {
        Self::new(None)
    }

    /// Reads a password file. Lines that cannot be used are left out, and reported by [`PasswordFile::problems`].
    ///
    /// # Errors
    /// [`Error::Io`]: not there, or not readable. [`Error::File`]: open to group or others, not a file, or larger
    /// than 16 MiB.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self> {
        let file = Self::new(Some(path.into()));
        file.reload()?;
        Ok(file)
    }

    fn new(path: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                path,
                users: RwLock::default(),
                reload: Mutex::default(),
                dummy: Password::dummy(),
            }),
        }
    }

    /// Reads the file again; in force, for all clones, when this returns. Nothing to do in memory.
    ///
    /// # Errors
    /// As [`PasswordFile::load`]; then nobody is admitted any more, since whoever was removed must not stay.
    pub fn reload(&self) -> Result<()> {
        let Some(path) = &self.shared.path else {
            return Ok(());
        };
        let _one_at_a_time = self
            .shared
            .reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (users, result) = match file::read(path, FILE_LIMIT, Access::OwnerOnly) {
            Ok(content) => (Users::parse(&content.bytes), Ok(())),
            Err(error) => (Users::default(), Err(error)),
        };
        let old = std::mem::replace(
            &mut *self
                .shared
                .users
                .write()
                .unwrap_or_else(PoisonError::into_inner),
            users,
        );
        // Wiping the old passwords takes its time: the lock is open again.
        drop(old);
        result
    }

    /// Adds a user, or changes the password of one. In a file's set this lasts until the next reload.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: a name that is empty, longer than 255 bytes or has a NUL; a password likewise.
    pub fn insert(&self, name: impl AsRef<[u8]>, password: impl Into<Vec<u8>>) -> Result<()> {
        let password = Password::new(password)?;
        let name = user_name(name.as_ref()).map_err(|problem| Error::InvalidOption {
            name: "user name",
            reason: problem.to_string(),
        })?;
        let mut users = self
            .shared
            .users
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        users.passwords.insert(name.into(), Arc::new(password));
        Ok(())
    }

    /// Removes a user; whether there was one. In a file's set this lasts until the next reload.
    pub fn remove(&self, name: impl AsRef<[u8]>) -> bool {
        let mut users = self
            .shared
            .users
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        users.passwords.remove(name.as_ref()).is_some()
    }

    /// Whether the password of this user is `password`. An unknown user costs what a known one does, and the time
    /// taken does not depend on the password.
    pub fn check(&self, name: &[u8], password: &[u8]) -> bool {
        let known = {
            let users = self
                .shared
                .users
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            users.passwords.get(name).cloned()
        };
        let equal = known
            .as_deref()
            .unwrap_or(&self.shared.dummy)
            .ct_eq(password);
        equal & known.is_some()
    }

    /// The lines of the file that could not be used, in order: [`Error::File`] each.
    pub fn problems(&self) -> Vec<Error> {
        let path = self.shared.path.as_deref().unwrap_or(Path::new(""));
        let users = self
            .shared
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        users
            .problems
            .iter()
            .cloned()
            .map(|fault| fault.at(path))
            .collect()
    }
}

impl Users {
    fn parse(bytes: &[u8]) -> Self {
        let mut users = Self::default();
        for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Err(problem) = users.read_line(line) {
                users.problems.push(Fault::new(Some(number), problem));
            }
        }
        users
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), FileProblem> {
        let mut parts = line.splitn(2, |&byte| byte == b'=');
        let (Some(name), Some(password)) = (parts.next(), parts.next()) else {
            return Err(FileProblem::NoEquals);
        };
        let name = user_name(name)?;
        // The last line of a name counts, and a bad one admits nobody: an older password must not outlive it.
        self.passwords.remove(name);
        if password.starts_with(HASH_PREFIX) {
            return Err(FileProblem::PasswordHash);
        }
        let password = Password::parse(password)?;
        self.passwords.insert(name.into(), Arc::new(password));
        Ok(())
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
