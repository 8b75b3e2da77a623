//! `SecretSource`: where operators keep a secret key. Never in the environment or on the command line itself, which others can read.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::certificate::SecretCertificate;
use super::file::{self, Access, CERTIFICATE_LIMIT, Fault, FileKind, FileProblem};
use super::keys::SecretKey;
use crate::error::{Error, Result};
use crate::ffi::fd::{self, NotTaken};
use crate::ffi::os;

/// Names the directory in which systemd puts the credentials of a unit. `systemd.exec(5)`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// How long a pipe's other end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a secret certificate is kept; each holds what [`SecretCertificate::save`] writes to `<path>_secret`.
///
/// ```no_run
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::SecretSource;
///
/// // In the unit: LoadCredentialEncrypted=server.key
/// let source = SecretSource::Credential("server.key".into());
/// let certificate = source.certificate()?.locked()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretSource {
    /// A file of mode 0600 or less: see [`SecretCertificate::load`], which adds `_secret` to the path.
    File(PathBuf),
    /// A descriptor that the program was started with (`program 3</path/to/secret`, or a pipe, or a `memfd_create(2)`): read once from where
    /// it stands to its end, and closed. 3 or above.
    ///
    /// A pipe must be written and closed within 10 s. What has the descriptor's number must be the one that was handed over: one that
    /// this process opened itself, with close-on-exec as Rust does, is refused.
    Descriptor(i32),
    /// A credential of the systemd unit (`LoadCredential=`, `SetCredentialEncrypted=`), by its name: a file in `$CREDENTIALS_DIRECTORY`.
    ///
    /// Source: `systemd.exec(5)`.
    Credential(String),
    /// An environment variable, by its name, that holds the absolute path of a file of mode 0600 or less; never the key itself.
    Variable(String),
}

/// Why a secret cannot be had from its source, and how to mend it. Never holds what was found there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretProblem {
    /// No such descriptor.
    #[error(
        "not open: hand it over as `program 3</path/to/secret` does, and read it once, as it is closed then"
    )]
    Closed,
    /// Standard input, output or errors.
    #[error("descriptors 0, 1 and 2 are standard input, output and errors: hand over another")]
    Standard,
    /// A descriptor of somebody else in this process.
    #[error(
        "opened by this process itself, not handed over to it: name the number that the program was started with"
    )]
    NotInherited,
    /// Neither a pipe nor a file.
    #[error("{0}, where a pipe or a file is wanted")]
    Kind(FileKind),
    /// The other end of the pipe is still open.
    #[error(
        "not written to its end within 10 s: have the writer close its end, and hand that end to nobody else"
    )]
    Unfinished,
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// The variable is not set.
    #[error("not set: have it hold the absolute path of a file with the secret")]
    NotSet,
    /// The variable holds a key.
    #[error(
        "holds a key, where the path of a file is wanted; all that runs as the same user, and each child, can read the environment: make a new key, put it into a file of mode 0600, and have the variable hold its path"
    )]
    HoldsKey,
    /// The variable holds something else than a path.
    #[error("does not hold an absolute path (what it holds is not shown, as it may be a secret)")]
    NotAPath,
    /// The file that the variable names is not there.
    #[error("names a file that is not there (its name is not shown, as it may be a secret)")]
    NotThere,
    /// Not the name of a credential.
    #[error("not the name of a credential: it has no `/`, and is neither empty nor `.` nor `..`")]
    Name,
    /// There are no credentials.
    #[error(
        "there is no $CREDENTIALS_DIRECTORY: systemd sets it for a unit with `LoadCredential=` or the like; start the program by it"
    )]
    NoCredentials,
    /// What is there is no secret certificate.
    #[error("{}{problem}", Line(*.line))]
    Content {
        /// The line, from 1, where one is to blame.
        line: Option<u32>,
        /// What is wrong with it, and how to mend it.
        problem: FileProblem,
    },
}

/// Displays `line N: `, or nothing.
struct Line(Option<u32>);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, "line {line}: "))
    }
}

impl SecretSource {
    /// Reads the secret certificate that is kept there.
    ///
    /// # Errors
    /// [`Error::Secret`] says what is wrong with the source; [`Error::File`] and [`Error::Io`] what is with the file that it leads to,
    /// as for [`SecretCertificate::load`].
    pub fn certificate(&self) -> Result<SecretCertificate> {
        let failed = |problem| Error::Secret {
            from: self.clone(),
            problem,
        };
        match self {
            Self::File(path) => SecretCertificate::load(path),
            Self::Descriptor(number) => {
                let bytes = read_descriptor(*number).map_err(failed)?;
                SecretCertificate::parse(&bytes, |Fault { line, problem }| {
                    failed(SecretProblem::Content { line, problem })
                })
            }
            Self::Credential(name) => {
                let path = credential(name, std::env::var_os(CREDENTIALS)).map_err(failed)?;
                SecretCertificate::read(&path, Access::Credential)
            }
            Self::Variable(name) => {
                let path = path_in(std::env::var_os(name)).map_err(failed)?;
                SecretCertificate::read(&path, Access::OwnerOnly)
            }
        }
    }
}

/// Names the source, never what it holds.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
            Self::Credential(name) => write!(f, "credential {name:?}"),
            Self::Variable(name) => write!(f, "environment variable {name:?}"),
        }
    }
}

fn read_descriptor(number: i32) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretProblem> {
    if (0..3).contains(&number) {
        return Err(SecretProblem::Standard);
    }
    let taken = fd::take_inherited(number).map_err(|problem| match problem {
        NotTaken::Closed => SecretProblem::Closed,
        NotTaken::NotInherited => SecretProblem::NotInherited,
    })?;
    let opened = File::from(taken);
    let kind = opened.metadata().map_err(SecretProblem::Io)?.file_type();
    match FileKind::of(kind) {
        None | Some(FileKind::Fifo) => {}
        Some(other) => return Err(SecretProblem::Kind(other)),
    }
    let mut source = Patient {
        opened,
        until: Instant::now() + PATIENCE,
    };
    match file::read_bounded(&mut source, CERTIFICATE_LIMIT, CERTIFICATE_LIMIT) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(SecretProblem::Content {
            line: None,
            problem: FileProblem::TooLarge {
                limit: CERTIFICATE_LIMIT,
            },
        }),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(SecretProblem::Unfinished),
        Err(error) => Err(SecretProblem::Io(error)),
    }
}

/// Reads from a pipe whose other end may never be closed.
struct Patient {
    opened: File,
    until: Instant,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let ready = os::wait_readable([self.opened.as_fd()], Some(left));
            match ready.map_err(io::Error::other)? {
                [true] => return self.opened.read(buffer),
                // A signal ends the wait early.
                [false] if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                [false] => {}
            }
        }
    }
}

/// The file of a credential.
fn credential(name: &str, directory: Option<OsString>) -> Result<PathBuf, SecretProblem> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(SecretProblem::Name);
    }
    let directory = directory
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    Ok(directory.ok_or(SecretProblem::NoCredentials)?.join(name))
}

/// The path that a variable holds.
fn path_in(value: Option<OsString>) -> Result<PathBuf, SecretProblem> {
    let value = value
        .filter(|value| !value.is_empty())
        .ok_or(SecretProblem::NotSet)?;
    let path = Path::new(&value);
    let there = path.is_absolute() && path.symlink_metadata().is_ok();
    if there {
        return Ok(path.into());
    }
    if holds_key(value.as_bytes()) {
        return Err(SecretProblem::HoldsKey);
    }
    Err(if path.is_absolute() {
        SecretProblem::NotThere
    } else {
        SecretProblem::NotAPath
    })
}

/// Whether this is a key as text, or a certificate with one.
fn holds_key(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    SecretKey::parse(text.trim()).is_ok() || text.contains("secret-key")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "A}rLet-]Nvzqv-4w}EC.!:qUpQ0bvRIkJ?:4Nyqu";

    #[track_caller]
    fn says<T: fmt::Debug>(result: Result<T, SecretProblem>, wanted: &str) {
        let said = result.unwrap_err().to_string();
        assert!(said.starts_with(wanted), "{said}");
        assert!(!said.contains(SECRET));
    }

    #[test]
    fn variable_that_holds_a_key_is_refused_and_the_key_not_shown() {
        let path_in = |text: &str| path_in(Some(text.into()));
        let spaced = format!(" {SECRET}\n");
        let file = format!("curve\n    secret-key = \"{SECRET}\"\n");
        for key in [SECRET, &spaced, &file] {
            says(
                path_in(key),
                "holds a key, where the path of a file is wanted",
            );
        }
        says(super::path_in(None), "not set");
        says(path_in(""), "not set");
        // A key in another writing, or a slip of the pen.
        for other in [
            "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE=",
            "server_secret",
        ] {
            says(path_in(other), "does not hold an absolute path");
        }
        says(path_in("/no/such/file"), "names a file that is not there");
    }

    #[test]
    fn variable_names_a_file_even_if_its_path_could_be_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().to_str().unwrap().to_owned() + "/";
        // As long as a key.
        while path.len() < 40 {
            path.push('a');
        }
        std::fs::write(&path, "").unwrap();
        assert_eq!(
            path_in(Some(path.clone().into())).unwrap(),
            Path::new(&path)
        );
    }

    #[test]
    fn credential_is_a_name_in_the_directory_that_systemd_gives() {
        let at = |name: &str, directory: &str| credential(name, Some(directory.into()));
        assert_eq!(
            at("server.key", "/run/c").unwrap(),
            Path::new("/run/c/server.key")
        );
        for name in ["", ".", "..", "../x", "/etc/shadow", "a\0"] {
            says(at(name, "/run/c"), "not the name of a credential");
        }
        says(credential("x", None), "there is no $CREDENTIALS_DIRECTORY");
        says(at("x", "relative"), "there is no $CREDENTIALS_DIRECTORY");
    }

    #[test]
    fn descriptor_that_nobody_handed_over_is_refused_and_left_alone() {
        use std::os::fd::AsRawFd;

        for number in 0..3 {
            says(
                read_descriptor(number),
                "descriptors 0, 1 and 2 are standard",
            );
        }
        for number in [-1, i32::MIN, i32::MAX] {
            says(read_descriptor(number), "not open");
        }
        let file = tempfile::tempfile().unwrap();
        says(
            read_descriptor(file.as_raw_fd()),
            "opened by this process itself",
        );
        assert!(file.metadata().is_ok());
    }

    #[test]
    fn pipe_that_is_never_closed_is_not_waited_for_for_ever() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut source = Patient {
            opened: std::os::fd::OwnedFd::from(ours).into(),
            until: Instant::now(),
        };
        let error = source.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
        assert_eq!(source.read(&mut [0]).unwrap(), 0);
    }
}
