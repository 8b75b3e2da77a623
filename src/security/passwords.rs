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
            Ok(bytes) => (Users::parse(&bytes), Ok(())),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;
    use crate::security::file::FileKind;
    use crate::security::keys::PasswordProblem;

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

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
             hash=$argon2id$v=19$m=65536$c2FsdA$aGFzaA\nlast=2\n"
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
            (9, FileProblem::PasswordHash),
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
    fn reload_revokes_and_admits_for_every_clone() {
        let (_folder, path, users) = file("alice=1\nbob=2\nbad\n");
        let clone = users.clone();
        write(&path, "bob=3\ncarol=4\n");
        assert!(clone.check(b"alice", b"1"));
        users.reload().unwrap();
        assert!(!clone.check(b"alice", b"1") && !clone.check(b"bob", b"2"));
        assert!(clone.check(b"bob", b"3") && clone.check(b"carol", b"4"));
        assert!(clone.problems().is_empty());
    }

    #[test]
    fn file_that_is_gone_or_unusable_at_reload_admits_nobody() {
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
            let (_folder, path, users) = file("alice=1\n");
            break_file(&path);
            assert!(users.check(b"alice", b"1"));
            assert!(users.reload().is_err());
            assert!(!users.check(b"alice", b"1"));
            assert!(PasswordFile::load(&path).is_err());
        }
    }

    #[test]
    fn file_comes_back_after_it_was_gone() {
        let (_folder, path, users) = file("alice=1\n");
        fs::remove_file(&path).unwrap();
        assert!(matches!(users.reload(), Err(Error::Io { .. })));
        write(&path, "alice=1\n");
        users.reload().unwrap();
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
        users.reload().unwrap();
        assert!(users.check(b"alice", b"2") && !users.check(b"alice", b"1"));
        assert!(users.remove("alice") && !users.remove("alice"));
        assert!(!users.check(b"alice", b"2"));
        for (name, password) in [("", "x"), ("a\0", "x"), ("a", ""), ("a", "\0")] {
            let refused = users.insert(name, password);
            assert!(matches!(refused, Err(Error::InvalidOption { .. })));
        }
    }

    #[test]
    fn debug_and_problems_show_no_password() {
        let (_folder, _, users) = file("alice=hunter\nhunter\n=hunter\nbob=hunt\0er\n");
        let shown = format!("{users:?} {:?}", users.problems());
        assert!(!shown.contains("hunt"), "{shown}");
    }

    #[test]
    fn checks_and_reloads_run_at_the_same_time() {
        let (_folder, _, users) = file("alice=1\n");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| assert!(users.check(b"alice", b"1"))));
                scope.spawn(|| (0..20).for_each(|_| users.reload().unwrap()));
            }
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_admit_no_empty_password(bytes: Vec<u8>) {
            let users = Users::parse(&bytes);
            for (name, password) in &users.passwords {
                prop_assert!(!name.is_empty() && !password.expose_bytes().is_empty());
            }
        }

        #[test]
        fn what_is_written_as_a_line_is_checked(
            name in "[^=#\r\n\0][^=\r\n\0]{0,20}", password in "[^\r\n\0]{1,30}", wrong in "\\PC{0,30}"
        ) {
            prop_assume!(!name.bytes().all(|byte| byte.is_ascii_whitespace()));
            prop_assume!(!password.starts_with("$argon2"));
            let parsed = Users::parse(format!("{name}={password}\n").as_bytes());
            let users = PasswordFile::in_memory();
            *users.shared.users.write().unwrap() = parsed;
            prop_assert!(users.check(name.as_bytes(), password.as_bytes()));
            prop_assert_eq!(users.check(name.as_bytes(), wrong.as_bytes()), wrong == password);
        }
    }
}
