//! Files of this room: read within bounds and without surprises, written whole or not at all.

mod guarded;
mod problem;

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

pub(crate) use problem::{Fault, Faults, MAX_FAULTS};
pub use problem::{FileKind, FileProblem};

use crate::error::{Error, Result};
use crate::ffi::dir::{self, Dir};
use crate::ffi::sodium;

/// Largest certificate file in bytes.
pub(crate) const CERTIFICATE_LIMIT: u64 = 64 * 1024;

/// Mode of a file that only its owner may read.
pub(crate) const SECRET_MODE: u32 = 0o600;
/// Mode of a file that anybody may read, before the process's umask.
pub(crate) const PUBLIC_MODE: u32 = 0o644;

/// Permission of group and others to write.
pub(crate) const OTHERS_WRITE: u32 = 0o022;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Public,
    /// Anybody, but none of them may change it or put another in its place, unless they are root or the user of this process.
    PublicGuarded,
    /// Its owner alone: any permission of group or others is refused.
    OwnerOnly,
    /// Whoever, except that not everybody may change it: files of programs that never closed them.
    Exposed,
    /// Its owner alone, but its group may read: what shows as that is the access control list by which systemd hands a credential to the
    /// user of a unit.
    Credential,
}

/// What tells one state of a file from another: nanosecond times, so a change within one second counts, and the
/// time of the last change of status, so one under a preserved time of modification does too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a regular file; `None` for anything else.
    // The widths of these numbers differ from system to system.
    #[allow(clippy::unnecessary_cast)]
    fn of_file(stat: &libc::stat) -> Option<Self> {
        (stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        })
    }

    /// Whether a change after this state would show. Within the same tick of the file system's clock one leaves no trace in the
    /// times. Ticks are 10 ms at most; file systems without fractions count in 1 or 2 seconds.
    pub(crate) fn is_settled(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let tick = match nanoseconds {
            0 => Duration::from_secs(3),
            _ => Duration::from_millis(50),
        };
        let changed = Duration::new(
            u64::try_from(seconds).unwrap_or(0),
            u32::try_from(nanoseconds).unwrap_or(0),
        );
        let age = SystemTime::now().duration_since(UNIX_EPOCH + changed);
        age.is_ok_and(|age| age >= tick)
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The path as it is whatever directory the process goes to later.
///
/// # Errors
/// [`Error::Io`]: it is empty, or relative while there is no current directory.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| Error::Io {
        path: path.into(),
        source,
    })
}

/// Whether this process lacks descriptors or memory, which says nothing of the file.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)
    )
}

/// Reads a regular file (or a link to one) of at most `limit` bytes. Never waits for a writer of a FIFO. The
/// bytes are wiped when dropped.
///
/// # Errors
/// [`Error::Io`]: not there, not readable. [`Error::File`]: not a regular file, too large, or open to others.
pub(crate) fn read(path: &Path, limit: u64, access: Access) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = || Fault::new(None, FileProblem::TooLarge { limit }).at(path);
    let (mut opened, metadata) = open(path, access)?;
    if metadata.len() > limit {
        return Err(too_large());
    }
    read_bounded(&mut opened, metadata.len(), limit)
        .map_err(|source| Error::Io {
            path: path.into(),
            source,
        })?
        .ok_or_else(too_large)
}

/// Opens a regular file (or a link to one) for reading. Never waits for a writer of a FIFO.
///
/// # Errors
/// [`Error::Io`]: not there, not readable. [`Error::File`]: not a regular file, or open to others.
pub(crate) fn open(path: &Path, access: Access) -> Result<(File, Metadata)> {
    let io = |source| Error::Io {
        path: path.into(),
        source,
    };
    let file = |problem| Fault::new(None, problem).at(path);

    // Opening a device can already do something, and a socket cannot be opened at all.
    regular(&fs::metadata(path).map_err(io)?).map_err(file)?;
    // What lies there may have changed since: open without waiting, and look at what was opened.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(io)?;
    let metadata = opened.metadata().map_err(io)?;
    regular(&metadata).map_err(file)?;
    let mode = metadata.mode() & 0o7777;
    let exposed = || {
        let path = path.into();
        Err(file(FileProblem::Exposed { mode, path }))
    };
    match access {
        Access::OwnerOnly if mode & 0o077 != 0 => return exposed(),
        Access::Exposed if mode & 0o002 != 0 => return exposed(),
        Access::Credential if mode & 0o037 != 0 => return exposed(),
        Access::PublicGuarded => guarded::check(path, &metadata).map_err(io)?.map_err(file)?,
        _ => {}
    }
    Ok((opened, metadata))
}

/// Reads many certificate files of one directory through one buffer, which is wiped when dropped.
pub(crate) struct Reader {
    directory: Dir,
    buffer: Zeroizing<Vec<u8>>,
}

impl Reader {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: Dir::open(directory)?,
            buffer: Zeroizing::new(vec![0; 1024]),
        })
    }

    /// The bytes of a file, and its state before they were read. `None` for all that is no regular file of fitting size, links
    /// included, and where anything fails: [`read`] tells why.
    pub(crate) fn read(&mut self, name: &OsStr) -> Option<(Stamp, &[u8])> {
        let mut opened = self.directory.read(name).ok()?;
        let stat = dir::stat(&opened).ok()?;
        let stamp = Stamp::of_file(&stat).filter(|stamp| stamp.size <= CERTIFICATE_LIMIT)?;
        let size = usize::try_from(stamp.size).ok()?;
        if self.buffer.len() <= size {
            self.buffer = Zeroizing::new(vec![0; 2 * size]);
        }
        let mut filled = 0;
        loop {
            let room = self
                .buffer
                .get_mut(filled..)
                .filter(|room| !room.is_empty())?;
            let count = opened.read(room).ok()?;
            filled += count;
            // All that was there when it was opened. Whatever comes later changes its times.
            if count == 0 || filled == size {
                break;
            }
        }
        self.buffer.get(..filled).map(|bytes| (stamp, bytes))
    }

    /// The state of a regular file, without opening it; `None` for anything else.
    pub(crate) fn stamp(&mut self, name: &OsStr) -> Option<Stamp> {
        Stamp::of_file(&self.directory.stat(name).ok()?)
    }
}

fn regular(metadata: &Metadata) -> Result<(), FileProblem> {
    let other = FileKind::of(metadata.file_type());
    other.map_or(Ok(()), |kind| Err(FileProblem::NotAFile(kind)))
}

/// Reads to the end, or gives `None` beyond `limit`. No buffer is reallocated, which would leave a copy behind.
pub(crate) fn read_bounded(
    source: &mut impl Read,
    expected: u64,
    limit: u64,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let size = |bytes: u64| usize::try_from(bytes).map_err(io::Error::other);
    let mut buffer = Zeroizing::new(vec![0; size(expected.min(limit).saturating_add(1))?]);
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        if room.is_empty() {
            // It grew since it was measured.
            if filled as u64 > limit {
                return Ok(None);
            }
            let larger = (filled as u64)
                .saturating_mul(2)
                .min(limit.saturating_add(1));
            let mut larger = Zeroizing::new(vec![0; size(larger)?]);
            for (to, from) in larger.iter_mut().zip(buffer.iter()) {
                *to = *from;
            }
            buffer = larger;
            continue;
        }
        match source.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled as u64 > limit {
        return Ok(None);
    }
    buffer.truncate(filled);
    Ok(Some(buffer))
}

/// The text of a file.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.iter().take(error.valid_up_to());
        let line = valid.filter(|&&byte| byte == b'\n').count() + 1;
        Fault::new(u32::try_from(line).ok(), FileProblem::Encoding)
    })
}

/// Writes a file whole or not at all: beside it, to the disk, then renamed over it. `mode` is subject to the umask.
///
/// A link is followed, and what it leads to replaced.
///
/// # Errors
/// [`Error::Io`]: no such directory, no permission, no space. [`Error::File`]: something else than a file is there.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let io = |source| Error::Io {
        path: path.into(),
        source,
    };
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.into(),
        Err(error) => return Err(io(error)),
    };
    match fs::metadata(&target) {
        // Renaming over a device such as /dev/null would replace it for everybody.
        Ok(metadata) => regular(&metadata).map_err(|problem| Fault::new(None, problem).at(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = directory.join(temporary_name()?);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(io)?;
    let written = fill(&file, bytes).and_then(|()| fs::rename(&temporary, &target));
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(io(error));
    }
    // The new name is on the disk only when its directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io)
}

/// A name that directory listings hide and certificate stores skip.
fn temporary_name() -> Result<String> {
    let mut random = [0; 8];
    sodium::random(&mut random)?;
    Ok(format!(".ironhouse-{:016x}", u64::from_ne_bytes(random)))
}

fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
