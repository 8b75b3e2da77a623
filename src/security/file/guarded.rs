//! Files whose word is relied on: nobody may change them but root, and the user as whom this process runs.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{FileProblem, OTHERS_WRITE};
use crate::ffi::os;
use crate::security::trail::Trail;

/// Of a directory in which one may remove and rename nothing but one's own.
const STICKY: u32 = 0o1000;

/// Looks at a file that is open, at the links on the way to it, and at the directories in which these and the file lie. What is above
/// them is not looked at.
///
/// # Errors
/// Somebody else may change one of them; or the way cannot be followed.
pub(super) fn check(path: &Path, file: &Metadata) -> io::Result<Result<(), FileProblem>> {
    check_for(os::user(), path, file)
}

fn check_for(user: u32, path: &Path, file: &Metadata) -> io::Result<Result<(), FileProblem>> {
    let path = std::path::absolute(path)?;
    let mode = file.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Ok(Err(FileProblem::Alterable { mode, path }));
    }
    if let Some(problem) = foreign(user, &path, file) {
        return Ok(Err(problem));
    }
    for crossing in Trail::of(&path).crossings {
        let Some(directory) = crossing.parent() else {
            continue;
        };
        let meta = fs::metadata(directory)?;
        let mode = meta.mode() & 0o7777;
        // In a sticky one, others move nothing but their own.
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            let path = directory.into();
            return Ok(Err(FileProblem::AlterableDirectory { mode, path }));
        }
        let link = fs::symlink_metadata(&crossing)?;
        let found = foreign(user, directory, &meta).or_else(|| foreign(user, &crossing, &link));
        if let Some(problem) = found {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(()))
}

/// What is wrong with the owner, if it is neither root nor this user.
fn foreign(user: u32, path: &Path, meta: &Metadata) -> Option<FileProblem> {
    let owner = meta.uid();
    let path = path.into();
    (owner != 0 && owner != user).then_some(FileProblem::ForeignOwner { owner, user, path })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
    use std::path::PathBuf;

    use super::*;

    /// A directory with a file, each for its owner alone to write to.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().canonicalize().unwrap();
        let path = folder.join("file");
        fs::write(&path, "").unwrap();
        set_mode(&path, 0o644);
        (temp, path)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(user: u32, path: &Path) -> Result<(), String> {
        let meta = fs::metadata(path).unwrap();
        check_for(user, path, &meta)
            .unwrap()
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn file_and_directory_that_others_may_write_to_are_refused_with_the_cure() {
        let (_temp, path) = place();
        let folder = path.parent().unwrap();
        for (file, directory, wanted) in [
            (0o644, 0o755, None),
            (0o400, 0o700, None),
            (0o644, 0o1777, None),
            (0o664, 0o755, Some(&path)),
            (0o602, 0o755, Some(&path)),
            (0o644, 0o775, Some(&folder.to_owned())),
            (0o644, 0o702, Some(&folder.to_owned())),
        ] {
            set_mode(&path, file);
            set_mode(folder, directory);
            let found = found(os::user(), &path);
            let Some(place) = wanted else {
                assert_eq!(found, Ok(()));
                continue;
            };
            let said = found.unwrap_err();
            let cure = format!("run `chmod go-w {}`", place.display());
            assert!(said.contains(&cure), "{said}");
        }
        set_mode(&path, 0o644);
        set_mode(folder, 0o777);
        let said = found(os::user(), &path).unwrap_err();
        let wanted = format!(
            "mode 0777 of {0} lets others put another file in its place: run `chmod go-w {0}`, and see whether they did",
            folder.display()
        );
        assert_eq!(said, wanted);
    }

    #[test]
    fn each_directory_counts_through_which_links_lead() {
        let (temp, path) = place();
        let other = temp.path().canonicalize().unwrap().join("links");
        fs::create_dir(&other).unwrap();
        let link = other.join("link");
        symlink("../file", &link).unwrap();
        set_mode(&other, 0o755);
        assert_eq!(found(os::user(), &link), Ok(()));
        for directory in [&*other, path.parent().unwrap()] {
            set_mode(directory, 0o775);
            let said = found(os::user(), &link).unwrap_err();
            let wanted = format!("mode 0775 of {} lets", directory.display());
            assert!(said.starts_with(&wanted), "{said}");
            set_mode(directory, 0o755);
        }
    }

    #[test]
    fn another_owner_than_root_and_this_user_is_refused() {
        let (_temp, path) = place();
        let folder = path.parent().unwrap();
        let link = folder.join("link");
        symlink("file", &link).unwrap();
        // Who is not root cannot give files away, and so takes himself for another.
        let (owner, user) = match os::user() {
            0 => (12_345, 0),
            own => (own, own + 1),
        };
        let said = |path: &Path| {
            format!(
                "{0} belongs to user {owner}, who may change it, while this runs as user {user}: run `chown -h {user} {0}`, and see whether it was changed",
                path.display()
            )
        };
        if user != 0 {
            assert_eq!(found(user, &path), Err(said(&path)));
            return;
        }
        for place in [&*path, folder] {
            chown(place, Some(owner), None).unwrap();
            assert_eq!(found(user, &path), Err(said(place)));
            assert_eq!(found(owner, &path), Ok(()));
            chown(place, Some(user), None).unwrap();
        }
        lchown(&link, Some(owner), None).unwrap();
        assert_eq!(found(user, &link), Err(said(&link)));
    }
}
