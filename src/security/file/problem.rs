//! What may be wrong with a file.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::security::config::ConfigProblem;
use crate::security::endpoint::EndpointProblem;
use crate::security::hash::HashProblem;
use crate::security::keys::{KeyProblem, PasswordProblem};
use crate::security::revocations::RevocationProblem;
use crate::security::signing::SignatureProblem;
use crate::security::validity::ValidityProblem;
use crate::security::zpl::{SyntaxError, SyntaxProblem};

/// What is wrong with a file's content or mode, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// Larger than any such file needs to be.
    #[error("larger than {limit} bytes, more than such a file may hold")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// Not a regular file, nor a link to one.
    #[error("{0}, where a regular file is wanted")]
    NotAFile(FileKind),
    /// A file with secrets that group or others may use.
    #[error(
        "mode {mode:04o} opens the secrets in it to others: run `chmod 600 {}`, and replace what they may have read",
        .path.display()
    )]
    Exposed {
        /// The file's permission bits.
        mode: u32,
        /// The file.
        path: PathBuf,
    },
    /// A file that others may change, although what it says is relied on.
    #[error(
        "mode {mode:04o} lets others change it: run `chmod go-w {}`, and see whether they did",
        .path.display()
    )]
    Alterable {
        /// The file's permission bits.
        mode: u32,
        /// The file.
        path: PathBuf,
    },
    /// A file that others may replace, although what it says is relied on.
    #[error(
        "mode {mode:04o} of {0} lets others put another file in its place: run `chmod go-w {0}`, and see whether they did",
        .path.display()
    )]
    AlterableDirectory {
        /// The directory's permission bits.
        mode: u32,
        /// The directory in which the file lies, or a link that leads to it.
        path: PathBuf,
    },
    /// A file that somebody else may change or replace, although what it says is relied on.
    #[error(
        "{0} belongs to user {owner}, who may change it, while this runs as user {user}: run `chown -h {user} {0}`, and see whether it was changed",
        .path.display()
    )]
    ForeignOwner {
        /// Who owns it: neither root nor `user`.
        owner: u32,
        /// As whom this process runs.
        user: u32,
        /// The file, its directory, or a link that leads to it.
        path: PathBuf,
    },
    /// Not UTF-8 text.
    #[error("not UTF-8: save the file in that encoding")]
    Encoding,
    /// Breaks the file's syntax.
    #[error(transparent)]
    Syntax(#[from] SyntaxProblem),
    /// The text of a key is not Z85 (RFC 32).
    #[error(
        "not Z85: the key's character at position {position} is outside its alphabet, or its group of five exceeds 32 bits"
    )]
    Z85 {
        /// Index of the offending character within the key, from 0.
        position: usize,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] KeyProblem),
    /// A certificate without this section or entry.
    #[error("no {0}: restore the file, or write it anew")]
    Missing(&'static str),
    /// A secret key where a public certificate is wanted.
    #[error(
        "holds a secret key where a public certificate is wanted: put the public file here, and keep this one private"
    )]
    SecretKey,
    /// A certificate's metadata name that cannot be sent.
    #[error(
        "a metadata name has 1 to 255 characters, and starts neither with `public-key` nor with `secret-key`"
    )]
    MetadataName,
    /// A certificate's life that cannot be told.
    #[error(transparent)]
    Validity(#[from] ValidityProblem),
    /// A line of a password file without `=`.
    #[error("no `=`: write `name=password`, or start a comment with `#`")]
    NoEquals,
    /// A user name that the mechanism cannot carry.
    #[error("a user name has 1 to 255 bytes and no NUL: choose another")]
    UserName,
    /// A password that cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordProblem),
    /// A file with secret keys in a directory of public certificates.
    #[error(
        "not read: a secret key does not belong among public certificates, so keep this file with its owner and put the public one here"
    )]
    SecretFile,
    /// The key of another file of the same directory store.
    #[error(
        "holds the key of {} too, which stays admitted until both are gone: remove one", .first.display()
    )]
    DuplicateKey {
        /// The file whose metadata counts: the first by path.
        first: PathBuf,
    },
    /// Something else than metadata behind the key in a line of a key file.
    #[error("behind the key expected `name=\"value\"`: blanks between such pairs, none around `=`")]
    Pair,
    /// Two metadata values of one name in a line of a key file, or in a certificate where that name tells its life.
    #[error("two values of one name: remove one")]
    SameName,
    /// The key of an earlier line of the same key file.
    #[error("holds the key of a line above, which is the one that counts: remove one")]
    SameKey,
    /// The key of an earlier line of a signed key file, whose certificate is older.
    #[error(
        "holds the key of a line above with a newer certificate, which counts: remove the line above"
    )]
    NewerKey,
    /// A line of a key file that is longer than any needs to be.
    #[error(
        "a line of more than {limit} bytes: leave out some of its metadata, or end it where the next one begins"
    )]
    LongLine {
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many lines are wrong to report each.
    #[error("{lines} more lines are wrong: mend the others first")]
    More {
        /// How many.
        lines: usize,
    },
    /// Something else where a directory of certificates is wanted.
    #[error(
        "not a directory, so nobody is admitted by it: name the one that holds the certificates, or open a key file as such"
    )]
    NotADirectory,
    /// A directory too deep, one too many, or a link to a directory that it lies in.
    #[error(
        "a link to a directory above it, too deep, or one directory too many: what it holds is not read, so remove the link, or put the files elsewhere"
    )]
    NotFollowed,
    /// Not an endpoint, nor a pattern of endpoints.
    #[error("the line starts with an endpoint, or a pattern of such: {0}")]
    Endpoint(#[from] EndpointProblem),
    /// An endpoint without a server key behind it.
    #[error("no key: behind the endpoint write the server's public key, 40 characters of Z85")]
    NoServerKey,
    /// More server keys of one endpoint than a rotation needs.
    #[error("more than {limit} keys of one endpoint: remove those that no server holds any longer")]
    TooManyServerKeys {
        /// The limit.
        limit: usize,
    },
    /// A certificate whose signature does not count, or no verify key where one is wanted.
    #[error(transparent)]
    Signature(#[from] SignatureProblem),
    /// A revocation list that does not count.
    #[error(transparent)]
    Revocations(#[from] RevocationProblem),
    /// A signing key that is none.
    #[error(
        "a signing key is `ed25519-secret:` and 40 characters of Z85 that are not all zero: restore the file, or make a new key"
    )]
    SigningKey,
    /// A configuration that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// Changes are not reported by the operating system.
    #[error(
        "changes are not reported ({reason}), so they are looked for each second, or less often where there are many files: on Linux raise the sysctls fs.inotify.max_user_watches and max_user_instances or the limit on open files, and open this anew"
    )]
    NotWatched {
        /// Why not.
        reason: String,
    },
    /// A hashed password that cannot be checked.
    #[error(transparent)]
    PasswordHash(#[from] HashProblem),
}

/// What a path leads to instead of a regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
    /// A character or block device.
    Device,
}

impl FileKind {
    /// What this is; `None` for a regular file.
    pub(crate) fn of(kind: FileType) -> Option<Self> {
        if kind.is_file() {
            None
        } else if kind.is_dir() {
            Some(Self::Directory)
        } else if kind.is_fifo() {
            Some(Self::Fifo)
        } else if kind.is_socket() {
            Some(Self::Socket)
        } else {
            Some(Self::Device)
        }
    }
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

/// What is wrong in a file whose path is not at hand, and in which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: Option<u32>,
    pub(crate) problem: FileProblem,
}

impl Fault {
    pub(crate) fn new(line: Option<u32>, problem: impl Into<FileProblem>) -> Self {
        Self {
            line,
            problem: problem.into(),
        }
    }

    /// The error, now that the path is known.
    pub(crate) fn at(self, path: &Path) -> Error {
        Error::File {
            path: path.into(),
            line: self.line,
            problem: self.problem,
        }
    }
}

/// Bad lines of a file with a line for each key or user that are reported one by one.
pub(crate) const MAX_FAULTS: usize = 1000;

/// What is wrong with a file, line by line; beyond a number, lines are only counted.
pub(crate) struct Faults {
    most: usize,
    each: Vec<Fault>,
    more: usize,
}

impl Faults {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            most,
            each: Vec::new(),
            more: 0,
        }
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        if self.each.len() < self.most {
            self.each.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// In the order of the lines.
    pub(crate) fn finish(mut self) -> Vec<Fault> {
        self.each.sort_by_key(|fault| fault.line);
        if self.more > 0 {
            let lines = self.more;
            self.each
                .push(Fault::new(None, FileProblem::More { lines }));
        }
        self.each
    }
}

impl From<SignatureProblem> for Fault {
    fn from(problem: SignatureProblem) -> Self {
        Self::new(None, problem)
    }
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self::new(Some(error.line), error.problem)
    }
}
