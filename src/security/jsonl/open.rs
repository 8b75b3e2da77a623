//! The file that lines are appended to.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// The file that is open.
pub(super) struct Open {
    pub(super) file: File,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// Its size when it was opened.
    pub(super) size: u64,
    /// Whether it ends within a line.
    pub(super) ragged: bool,
}

impl Open {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let file = options().create(true).open(path)?;
        let meta = file.metadata()?;
        let size = size(&meta);
        Ok(Self {
            file,
            identity: identity(&meta),
            size,
            ragged: size
                .checked_sub(1)
                .is_some_and(|last| !is_newline(path, last)),
        })
    }

    /// Whether `path` still leads to this file, as far as can be told.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        match fs::metadata(path) {
            Ok(meta) => identity(&meta) == self.identity,
            Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

pub(super) fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// Bytes in a file; what is none has no end to append to.
pub(super) fn size(meta: &Metadata) -> u64 {
    if meta.is_file() { meta.len() } else { 0 }
}

/// Whether the byte at `position` ends a line; an empty line costs less than a broken one where it cannot be told.
fn is_newline(path: &Path, position: u64) -> bool {
    let mut byte = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut byte, position));
    read.is_ok() && byte == *b"\n"
}

/// A pipe that nobody reads must not hold us up, and a terminal not become ours.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// Whether the file can be written to, or its directory is there to create it in. Creates nothing.
///
/// # Errors
/// [`Error::Io`]: why not.
pub(crate) fn can_be_written(path: &Path) -> Result<()> {
    let found = match options().open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::metadata(path.parent().unwrap_or(path)).map(drop)
        }
        found => found.map(drop),
    };
    found.map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}
