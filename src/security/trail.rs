//! What a path leads through: the symbolic links that decide where it ends.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A path resolved, and the names that would have to change for it to end elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trail {
    /// The symbolic links crossed, then the end (or the first name that is missing); each in a directory without links in its path.
    pub(crate) crossings: Vec<PathBuf>,
    /// Where the path ends, free of links; `None` if a name is missing or the links go in circles.
    pub(crate) end: Option<PathBuf>,
}

impl Trail {
    /// Follows `path`, which must be absolute.
    pub(crate) fn of(path: &Path) -> Self {
        let mut crossings = Vec::new();
        let mut real = PathBuf::from("/");
        let mut pending = Vec::new();
        push_names(path, &mut pending);
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                real.pop();
                continue;
            }
            real.push(name);
            match fs::symlink_metadata(&real) {
                Ok(meta) if meta.is_symlink() => {
                    crossings.push(real.clone());
                    links += 1;
                    let Ok(target) = fs::read_link(&real) else {
                        return Self::broken(crossings);
                    };
                    if links > MAX_LINKS {
                        return Self::broken(crossings);
                    }
                    real.pop();
                    if target.is_absolute() {
                        real = PathBuf::from("/");
                    }
                    push_names(&target, &mut pending);
                }
                Ok(_) => {}
                Err(_) => {
                    crossings.push(real);
                    return Self::broken(crossings);
                }
            }
        }
        crossings.push(real.clone());
        Self {
            crossings,
            end: Some(real),
        }
    }

    fn broken(crossings: Vec<PathBuf>) -> Self {
        Self {
            crossings,
            end: None,
        }
    }
}

/// Pushes the names of `path`, the first one last.
fn push_names(path: &Path, pending: &mut Vec<OsString>) {
    let start = pending.len();
    pending.extend(path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    }));
    if let Some(added) = pending.get_mut(start..) {
        added.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_link_on_the_way_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("..v1/sub")).unwrap();
        fs::write(top.join("..v1/sub/a"), "").unwrap();
        symlink("..v1", top.join("..data")).unwrap();
        symlink("..data/sub/../sub/a", top.join("a")).unwrap();
        let trail = Trail::of(&top.join("a"));
        assert_eq!(trail.end, Some(top.join("..v1/sub/a")));
        assert_eq!(
            trail.crossings,
            [top.join("a"), top.join("..data"), top.join("..v1/sub/a")]
        );
    }

    #[test]
    fn missing_name_and_circle_have_no_end() {
        let temp = tempfile::tempdir().unwrap();
        let top = temp.path().canonicalize().unwrap();
        let missing = Trail::of(&top.join("x/y/z"));
        assert_eq!(
            (missing.end, missing.crossings),
            (None, vec![top.join("x")])
        );
        symlink("q", top.join("p")).unwrap();
        symlink("p", top.join("q")).unwrap();
        assert_eq!(Trail::of(&top.join("p")).end, None);
    }
}
