use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

const LIMIT: u64 = 1000;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn problem(error: Error) -> FileProblem {
    match error {
        Error::File { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

fn refused(path: &Path, access: Access) -> FileProblem {
    problem(read(path, LIMIT, access).unwrap_err())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mkfifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn file_and_link_to_it_are_read() {
    let folder = folder();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, b"content").unwrap();
    symlink(&file, &link).unwrap();
    for path in [file, link] {
        let bytes = read(&path, LIMIT, Access::Public).unwrap();
        assert_eq!(bytes.as_slice(), b"content");
    }
}

#[test]
fn stamp_tells_a_replaced_file_of_same_size_and_preserved_time() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, b"first").unwrap();
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, b"other").unwrap();
    let time = before.modified().unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_ne!(Stamp::from(&before), Stamp::from(&after));
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let folder = folder();
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo);
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let link = folder.path().join("link");
    symlink(&fifo, &link).unwrap();
    for (path, kind) in [
        (&*fifo, FileKind::Fifo),
        (&*link, FileKind::Fifo),
        (&*socket, FileKind::Socket),
        (folder.path(), FileKind::Directory),
        (Path::new("/dev/zero"), FileKind::Device),
    ] {
        for access in [Access::Public, Access::OwnerOnly] {
            assert_eq!(refused(path, access), FileProblem::NotAFile(kind));
        }
    }
}

#[test]
fn missing_file_and_dangling_or_circular_link_are_input_errors_with_the_path() {
    let folder = folder();
    let (missing, dangling, circle) = (
        folder.path().join("missing"),
        folder.path().join("dangling"),
        folder.path().join("circle"),
    );
    symlink(&missing, &dangling).unwrap();
    symlink(&circle, &circle).unwrap();
    for path in [missing, dangling, circle] {
        let error = read(&path, LIMIT, Access::Public).unwrap_err();
        assert!(matches!(&error, Error::Io { path: named, .. } if *named == path));
    }
}

#[test]
fn file_up_to_the_limit_is_read_and_a_larger_one_refused() {
    let folder = folder();
    let path = folder.path().join("file");
    fs::write(&path, vec![b'x'; 1000]).unwrap();
    assert_eq!(read(&path, LIMIT, Access::Public).unwrap().len(), 1000);
    fs::write(&path, vec![b'x'; 1001]).unwrap();
    let larger = refused(&path, Access::Public);
    assert_eq!(larger, FileProblem::TooLarge { limit: LIMIT });
    fs::write(&path, b"").unwrap();
    assert!(read(&path, LIMIT, Access::Public).unwrap().is_empty());
}

#[test]
fn file_that_grows_while_it_is_read_is_read_up_to_the_limit() {
    let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for expected in [0, 1, 7, 999, 1000] {
        let read = read_bounded(&mut data.as_slice(), expected, LIMIT).unwrap();
        assert_eq!(read.unwrap().as_slice(), data);
    }
    let endless = read_bounded(&mut io::repeat(0), 10, LIMIT).unwrap();
    assert!(endless.is_none());
}

#[test]
fn secret_file_is_read_only_if_group_and_others_have_no_permission() {
    let folder = folder();
    let path = folder.path().join("secret");
    fs::write(&path, b"secret").unwrap();
    for (mode, fine) in [
        (0o600, true),
        (0o400, true),
        (0o700, true),
        (0o640, false),
        (0o604, false),
        (0o610, false),
        (0o602, false),
        (0o644, false),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(read(&path, LIMIT, Access::Public).is_ok());
        if fine {
            assert!(read(&path, LIMIT, Access::OwnerOnly).is_ok());
            continue;
        }
        let error = read(&path, LIMIT, Access::OwnerOnly).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("chmod 600 {}", path.display()))
        );
        let path = path.clone();
        assert_eq!(problem(error), FileProblem::Exposed { mode, path });
    }
}

#[test]
fn written_file_has_the_mode_asked_for_whatever_was_there() {
    let folder = folder();
    let path = folder.path().join("file");
    write_atomically(&path, b"first", SECRET_MODE).unwrap();
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    write_atomically(&path, b"second", SECRET_MODE).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn link_is_followed_and_stays_when_its_file_is_written() {
    let folder = folder();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, b"old").unwrap();
    symlink("file", &link).unwrap();
    write_atomically(&link, b"new", PUBLIC_MODE).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"new");
}

#[test]
fn nothing_is_written_over_a_device_fifo_or_directory() {
    let folder = folder();
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo);
    let null = folder.path().join("null");
    symlink("/dev/null", &null).unwrap();
    for (path, kind) in [
        (&*fifo, FileKind::Fifo),
        (&*null, FileKind::Device),
        (folder.path(), FileKind::Directory),
    ] {
        let error = write_atomically(path, b"", PUBLIC_MODE).unwrap_err();
        assert_eq!(problem(error), FileProblem::NotAFile(kind));
    }
    assert_eq!(names(folder.path()), ["fifo", "null"]);
}

#[test]
fn failed_write_is_reported_and_leaves_nothing_behind() {
    let folder = folder();
    let missing = folder.path().join("missing/file");
    let error = write_atomically(&missing, b"", PUBLIC_MODE).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing));
    assert!(names(folder.path()).is_empty());
    // A name that cannot be renamed to: the file beside it was made by then, and is removed.
    let unusable = folder.path().join("x".repeat(256));
    assert!(write_atomically(&unusable, b"", PUBLIC_MODE).is_err());
    assert!(names(folder.path()).is_empty());
    // Nobody may create a file there, root neither.
    assert!(write_atomically(Path::new("/proc/file"), b"", PUBLIC_MODE).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_reported() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let error = fill(&full, b"content").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
}

#[test]
fn bytes_that_are_no_text_are_reported_with_their_line() {
    assert_eq!(text(b"caf\xC3\xA9").unwrap(), "café");
    for (bytes, line) in [(&b"\xFF"[..], 1), (b"a\nb\n\xC3", 3), (b"a\n\xC3\n", 2)] {
        let fault = text(bytes).unwrap_err();
        assert_eq!(fault, Fault::new(Some(line), FileProblem::Encoding));
    }
}
