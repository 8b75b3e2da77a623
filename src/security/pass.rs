//! How the tree of a directory store is compared with the disk.

use std::ffi::OsStr;
use std::fs::ReadDir;
use std::path::PathBuf;

use super::directory::Tree;

/// Names taken out of a table at once, at most.
const BATCH: usize = 65_536;

/// A comparison of the tree, or of a part of it, with the disk. It can be taken in small steps, between which the tree may change.
///
/// It goes through the tree twice: what is known, then what is not. Only then does it let go of what it missed: a file
/// that was renamed meanwhile has been found under its new name by then, in whatever directory.
pub(crate) struct Pass {
    within: PathBuf,
    at: PathBuf,
    stage: Stage,
    /// Names that were not there.
    missed: Vec<PathBuf>,
    /// Does not list directories that have not changed since they were listed.
    quick: bool,
}

enum Stage {
    /// Still the same directory?
    Check,
    /// Files known already, after this one: changed or gone?
    Known(Box<OsStr>),
    Open,
    /// Names not known yet.
    Listing(ReadDir),
}

impl Pass {
    /// A pass over the directory at `within` and all below it.
    pub(crate) fn over(within: PathBuf) -> Self {
        Self {
            at: within.clone(),
            within,
            stage: Stage::Check,
            missed: Vec::new(),
            quick: false,
        }
    }

    /// A pass over everything, soon after another: what its times show to be as it was is not listed again.
    pub(crate) fn again() -> Self {
        Self {
            quick: true,
            ..Self::over(PathBuf::new())
        }
    }

    /// Looks at `budget` names, roughly. True if the pass has ended.
    pub(crate) fn step(&mut self, tree: &mut Tree, budget: usize) -> bool {
        let mut seen = 0;
        while seen < budget {
            if tree.is_stopping() {
                return true;
            }
            let most = (budget - seen).min(BATCH);
            match &mut self.stage {
                Stage::Check => {
                    seen += 1;
                    if tree.check(&self.at, &mut self.missed) {
                        self.stage = Stage::Known(Box::default());
                    } else {
                        self.next_known(tree);
                    }
                }
                Stage::Known(after) => {
                    match tree.compare(&self.at, after, most, &mut self.missed) {
                        Some((count, last)) => {
                            seen += count;
                            *after = last;
                        }
                        None => self.next_known(tree),
                    }
                }
                Stage::Open => {
                    seen += 1;
                    match tree.open(&self.at, self.quick, &mut self.missed) {
                        Some(listing) => self.stage = Stage::Listing(listing),
                        None if self.next_listing(tree) => {}
                        None => return self.end(tree),
                    }
                }
                Stage::Listing(listing) => {
                    let most = budget - seen;
                    let count = tree.discover(&self.at, listing, most);
                    seen += count;
                    if count < most && !self.next_listing(tree) {
                        return self.end(tree);
                    }
                }
            }
        }
        false
    }

    fn next_known(&mut self, tree: &Tree) {
        match tree.next_below(&self.within, &self.at) {
            Some(next) => {
                self.at = next;
                self.stage = Stage::Check;
            }
            None => {
                self.at = self.within.clone();
                self.stage = Stage::Open;
            }
        }
    }

    fn next_listing(&mut self, tree: &Tree) -> bool {
        let next = tree.next_below(&self.within, &self.at);
        self.stage = Stage::Open;
        next.map(|next| self.at = next).is_some()
    }

    fn end(&mut self, tree: &mut Tree) -> bool {
        for path in self.missed.drain(..) {
            tree.let_go(&path);
        }
        tree.look_after_problems(&self.within);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::security::directory::Layout;
    use crate::security::events::Source;
    use crate::security::keys::PublicKey;
    use crate::security::watcher::Shared;

    #[test]
    fn key_of_a_file_renamed_during_a_pass_is_never_let_go_of() {
        let key = PublicKey::from_bytes([7; 32]);
        let text = format!("curve\n    public-key = \"{key}\"\n");
        // Steps of one name, published after each; the file moves at every one of them, in either direction.
        for (from, to) in [("x/a", "y/b"), ("y/b", "x/a"), ("a", "b"), ("b", "x/a")] {
            for moment in 0..16 {
                let temp = tempfile::tempdir().unwrap();
                let root = temp.path().canonicalize().unwrap();
                fs::create_dir(root.join("x")).unwrap();
                fs::create_dir(root.join("y")).unwrap();
                fs::write(root.join(from), &text).unwrap();
                let shared = Arc::new(Shared::new());
                let source = Source::new(Arc::clone(&shared));
                let mut tree =
                    Tree::new(root.clone(), Layout::Directory, source, Arc::clone(&shared));
                tree.finish(Pass::over(PathBuf::new()));
                tree.publish();
                let mut pass = Pass::over(PathBuf::new());
                for step in 0.. {
                    if step == moment {
                        fs::rename(root.join(from), root.join(to)).unwrap();
                    }
                    let ended = pass.step(&mut tree, 1);
                    tree.publish();
                    assert!(shared.keys.get(&key).is_some(), "{from} to {to}, {step}");
                    if ended {
                        break;
                    }
                }
                if root.join(to).exists() {
                    fs::remove_file(root.join(to)).unwrap();
                    tree.finish(Pass::over(PathBuf::new()));
                    tree.publish();
                    assert!(shared.keys.get(&key).is_none());
                }
            }
        }
    }

    #[test]
    fn second_pass_sees_whatever_changed_since_the_first() {
        let key = |n| PublicKey::from_bytes([n; 32]);
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        let write = |name: &str, n| {
            let text = format!("curve\n    public-key = \"{}\"\n", key(n));
            fs::write(root.join(name), text).unwrap();
        };
        fs::create_dir(root.join("x")).unwrap();
        for (name, n) in [("a", 1), ("b", 2), ("x/c", 3), ("x/d", 4)] {
            write(name, n);
        }
        // Longer than a change counts as made just now.
        std::thread::sleep(std::time::Duration::from_millis(100));
        let shared = Arc::new(Shared::new());
        let source = Source::new(Arc::clone(&shared));
        let mut tree = Tree::new(root.clone(), Layout::Directory, source, Arc::clone(&shared));
        tree.finish(Pass::over(PathBuf::new()));
        write("a", 5);
        fs::remove_file(root.join("b")).unwrap();
        fs::rename(root.join("x/c"), root.join("x/e")).unwrap();
        write("x/f", 6);
        fs::create_dir(root.join("x/y")).unwrap();
        write("x/y/g", 7);
        tree.finish(Pass::again());
        tree.publish();
        let held = |n: &u8| shared.keys.get(&key(*n)).is_some();
        assert!((1..9).filter(held).eq([3, 4, 5, 6, 7]));
    }
}
