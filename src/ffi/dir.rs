//! What is in an open directory, by name alone: no path is built or resolved for each of a million files.

use std::ffi::{CStr, OsStr, c_int};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A directory held open, and room for one name.
pub(crate) struct Dir {
    directory: File,
    name: Vec<u8>,
}

impl Dir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        Ok(Self {
            directory: options.open(path)?,
            name: Vec::new(),
        })
    }

    /// Opens a file for reading, without waiting for anything; a link is refused.
    ///
    /// Source: `open(2)`.
    pub(crate) fn read(&mut self, name: &OsStr) -> io::Result<File> {
        let directory = self.directory.as_raw_fd();
        let name = terminated(&mut self.name, name)?;
        let flags: c_int =
            libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        // SAFETY: the directory is open while `self` lives; `name` ends with NUL and outlives the call.
        let fd = unsafe { libc::openat(directory, name.as_ptr(), flags) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: openat returned a new descriptor, which nobody else owns.
        Ok(unsafe { File::from_raw_fd(fd) })
    }

    /// What describes a name, or a link of this name itself.
    ///
    /// Source: `fstatat(2)`.
    pub(crate) fn stat(&mut self, name: &OsStr) -> io::Result<libc::stat> {
        let directory = self.directory.as_raw_fd();
        let name = terminated(&mut self.name, name)?;
        let mut stat = MaybeUninit::uninit();
        let (to, flags) = (stat.as_mut_ptr(), libc::AT_SYMLINK_NOFOLLOW);
        // SAFETY: as in `read`; `to` is valid for a write.
        if unsafe { libc::fstatat(directory, name.as_ptr(), to, flags) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fstatat succeeded, so it wrote the whole structure.
        Ok(unsafe { stat.assume_init() })
    }
}

/// What describes an open file.
///
/// Source: `fstat(2)`.
pub(crate) fn stat(file: &File) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: the file is open while it is borrowed; the structure behind the pointer is valid for a write.
    if unsafe { libc::fstat(file.as_raw_fd(), stat.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstat succeeded, so it wrote the whole structure.
    Ok(unsafe { stat.assume_init() })
}

fn terminated<'a>(room: &'a mut Vec<u8>, name: &OsStr) -> io::Result<&'a CStr> {
    room.clear();
    room.extend_from_slice(name.as_bytes());
    room.push(0);
    CStr::from_bytes_with_nul(room).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn names_are_read_and_described_in_the_directory_that_was_opened() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("d");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "content").unwrap();
        symlink("a", path.join("link")).unwrap();
        let mut dir = Dir::open(&path).unwrap();
        fs::rename(&path, temp.path().join("moved")).unwrap();
        let mut file = dir.read(OsStr::new("a")).unwrap();
        let meta = file.metadata().unwrap();
        for stat in [dir.stat(OsStr::new("a")).unwrap(), stat(&file).unwrap()] {
            assert_eq!((stat.st_ino, stat.st_size), (meta.ino(), 7));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let link = dir.stat(OsStr::new("link")).unwrap();
        assert_eq!(link.st_mode & libc::S_IFMT, libc::S_IFLNK);
        assert!(dir.read(OsStr::new("link")).is_err());
        assert!(dir.read(OsStr::new("no")).is_err() && dir.stat(OsStr::new("no")).is_err());
        assert!(dir.read(OsStr::new("a\0")).is_err());
        assert!(Dir::open(&temp.path().join("moved/a")).is_err());
    }
}
