//! A directory of certificate files as it was last seen, and how it is compared with the disk.

mod root;
mod scan;
mod signed;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Bound::{Excluded, Unbounded};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::Ordering;

use super::certificate::Certificate;
use super::events::Source;
use super::file::{FileProblem, Stamp};
use super::holders::Holders;
use super::keys::PublicKey;
use super::mark::Mark;
use super::pass::Pass;
use super::trail::Trail;
use super::watcher::Shared;
use crate::error::{Error, Result};

/// Directories below the root; links can multiply a small tree without end.
const MAX_DEPTH: usize = 16;
/// Directories in all: 256 × 256 and their parents fit.
const MAX_DIRECTORIES: usize = 100_000;

/// What a store's path is.
#[derive(Clone)]
pub(crate) enum Layout {
    /// A directory with a file for each certificate.
    Directory,
    /// A file with a line for each certificate.
    KeyFile,
    /// A file that somebody else reads: called whenever it may have changed.
    Other(Arc<dyn Fn() + Send + Sync>),
}

/// Names no certificate is read from: hidden ones (orchestrators keep old and new versions of a mount under `..`), editors'
/// backups, files being written.
fn ignored(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".") || name.ends_with(b"~") || name.ends_with(b".tmp")
}

/// Names that say that a secret key is inside.
fn secret(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b"_secret")
}

struct File {
    mark: Mark,
    /// `None` if the file is reported as a problem.
    key: Option<PublicKey>,
}

struct Directory {
    /// Its path, free of links.
    real: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// Its state before it was listed, if a change since would show in it.
    listed: Option<Stamp>,
    files: BTreeMap<Box<OsStr>, File>,
}

/// The tree as it was last seen. Paths are relative to the root, which is the empty path.
pub(crate) struct Tree {
    root: PathBuf,
    layout: Layout,
    /// The state of the key file that was read, and whether a change after it would show.
    key_file: Option<(Stamp, bool)>,
    directories: BTreeMap<PathBuf, Directory>,
    /// Several directories of the tree can be one on disk.
    by_real: HashMap<PathBuf, Vec<PathBuf>>,
    /// For the root and every symbolic link, what its end depends on.
    links: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// The same the other way round.
    crossings: HashMap<PathBuf, BTreeSet<PathBuf>>,
    holders: Holders,
    /// In a signed store.
    signed: Option<signed::Signed>,
    source: Source,
    shared: Arc<Shared>,
    seed: RandomState,
}

impl Tree {
    /// A tree not looked at yet; `root` must be absolute.
    pub(crate) fn new(root: PathBuf, layout: Layout, source: Source, shared: Arc<Shared>) -> Self {
        Self {
            root,
            layout,
            key_file: None,
            directories: BTreeMap::new(),
            by_real: HashMap::new(),
            links: BTreeMap::new(),
            crossings: HashMap::new(),
            holders: Holders::new(shared.guard.clone()),
            signed: shared.guard.clone().map(signed::Signed::new),
            source,
            shared,
            seed: RandomState::new(),
        }
    }

    pub(crate) fn source(&mut self) -> &mut Source {
        &mut self.source
    }

    /// Adds to `dirty` whatever in the tree an event on `path` may have changed.
    pub(crate) fn touched(&mut self, path: &Path, dirty: &mut BTreeSet<PathBuf>) {
        let watched = self.source.doubt(path);
        if let Some(dependents) = self.crossings.get(path) {
            dirty.extend(dependents.iter().cloned());
        }
        if let Some(directories) = self.by_real.get(path) {
            dirty.extend(directories.iter().cloned());
        } else if watched {
            // A directory outside of the tree that only links lead through.
            dirty.extend(self.links.keys().cloned());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if ignored(name) {
            return;
        }
        for directory in self.by_real.get(parent).into_iter().flatten() {
            dirty.insert(directory.join(name));
        }
    }

    /// Compares one path of the tree with the disk; a directory with all that is below it, the root if it is another one.
    pub(crate) fn refresh(&mut self, path: &Path) {
        if path.is_absolute() {
            return self.refresh_trust(); // a revocation list, wherever it is
        }
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                if let Some(directory) = self.examine(parent, name, None) {
                    self.finish(Pass::over(directory));
                }
            }
            _ => {
                // What happened to the directory itself, such as new permissions, can hide or show what is in it.
                let root = self.directories.get(path).map(|root| root.real.clone());
                let doubtful = root.is_some_and(|root| self.source.is_doubtful(&root));
                if self.check_root() || doubtful {
                    self.finish(Pass::over(PathBuf::new()));
                }
            }
        }
    }

    /// Compares every symbolic link with the disk.
    pub(crate) fn refresh_links(&mut self) {
        for link in self.links.keys().cloned().collect::<Vec<_>>() {
            self.refresh(&link);
        }
    }

    /// Carries a pass through to its end.
    pub(crate) fn finish(&mut self, mut pass: Pass) {
        while !pass.step(self, usize::MAX) {}
    }

    /// Puts all changes since the last call in force, as one generation.
    pub(crate) fn publish(&mut self) {
        let unsearched = self.holders.unsearched();
        if !unsearched.is_empty() {
            let mut found = Vec::new();
            for (path, directory) in &self.directories {
                for (name, file) in &directory.files {
                    if let Some(key) = file.key.filter(|key| unsearched.contains(key)) {
                        found.push((key, path.join(&**name)));
                    }
                }
            }
            self.holders.searched(found.into_iter());
        }
        self.refuse_older();
        let vet = self.signed.as_ref().map(signed::Signed::vet);
        let (next, several) = self.holders.settle(|path| {
            let read = Certificate::load(self.root.join(path)).ok();
            read.filter(|read| vet.as_ref().is_none_or(|vet| vet.admit(read).is_ok()))
        });
        for paths in several {
            let Some((first, others)) = paths.split_first() else {
                continue;
            };
            self.shared.clear_problem(first);
            for path in others {
                let problem = FileProblem::DuplicateKey {
                    first: self.root.join(first),
                };
                self.report(path, self.problem(path, problem));
            }
        }
        self.put_in_force(next);
    }

    /// Looks at one name of a directory and takes over what is there now. Returns its path if it is a directory. If nothing is there,
    /// it is only noted in `missed`, where that is given.
    fn examine(
        &mut self,
        directory: &Path,
        name: &OsStr,
        missed: Option<&mut Vec<PathBuf>>,
    ) -> Option<PathBuf> {
        #[cfg(test)]
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(name);
        if self.is_own(directory, name) {
            self.drop_file(directory, name);
            return None;
        }
        let mut real = self.directories.get(directory)?.real.join(name);
        let mut meta = fs::symlink_metadata(&real);
        if meta.as_ref().is_ok_and(Metadata::is_symlink) {
            let trail = Trail::of(&real);
            self.track(&path, &trail);
            real = trail.end.unwrap_or(real);
            meta = fs::metadata(&real);
        } else {
            if meta.as_ref().is_err_and(gone) {
                if let Some(missed) = missed {
                    missed.push(path);
                    return None;
                }
                self.untrack(&path);
                self.leave(&path);
                self.drop_file(directory, name);
                self.shared.clear_problem(&path);
                return None;
            }
            self.untrack(&path);
        }
        let meta = match meta {
            Ok(meta) => meta,
            Err(error) => {
                self.leave(&path);
                let error = Err(self.unreadable(&path, error));
                self.take(directory, name, Mark::UNSETTLED, error);
                return None;
            }
        };
        if meta.is_dir() {
            let identity = (meta.dev(), meta.ino());
            self.drop_file(directory, name);
            if !self.is_at(&path, &real, identity) {
                self.enter(path.clone(), real, identity);
            }
            return self.directories.contains_key(&path).then_some(path);
        }
        self.leave(&path);
        // Taken before the file is opened: if it changes in between, it differs next time.
        let mark = Mark::of(&Stamp::from(&meta), &self.seed);
        let known = self.directories.get(directory)?.files.get(name);
        if mark != Mark::UNSETTLED && known.is_some_and(|file| file.mark == mark) {
            return None;
        }
        let content = if secret(name) {
            Err(self.problem(&path, FileProblem::SecretFile))
        } else {
            self.load(&path)
        };
        // Whether a file may be opened can change without it.
        let mark = match content {
            Err(Error::Io { .. }) => Mark::UNSETTLED,
            _ => mark,
        };
        self.take(directory, name, mark, content);
        None
    }

    /// Notes what a file holds now.
    fn take(&mut self, directory: &Path, name: &OsStr, mark: Mark, content: Result<Certificate>) {
        let path = directory.join(name);
        let Some(known) = self.directories.get_mut(directory) else {
            return;
        };
        let key = content.as_ref().ok().map(|c| *c.public_key());
        let old = match known.files.get_mut(name) {
            Some(file) => {
                file.mark = mark;
                std::mem::replace(&mut file.key, key)
            }
            None => {
                known.files.insert(name.into(), File { mark, key });
                None
            }
        };
        if let Some(old) = old.filter(|_| old != key) {
            self.holders.release(&path, old);
        }
        // What is reported is replaced, never taken back in between: somebody may be looking. Of a key that several hold, `publish` reports.
        match content {
            Ok(certificate) if old == key => {
                if !self.holders.is_shared(certificate.public_key()) {
                    self.shared.clear_problem(&path);
                }
                self.holders.hold_again(certificate);
            }
            Ok(certificate) => {
                self.shared.clear_problem(&path);
                self.holders.hold(|| path, certificate);
            }
            Err(error) => self.report(&path, error),
        }
    }

    fn drop_file(&mut self, directory: &Path, name: &OsStr) {
        let Some(known) = self.directories.get_mut(directory) else {
            return;
        };
        if let Some(file) = known.files.remove(name) {
            let path = directory.join(name);
            if let Some(key) = file.key {
                self.holders.release(&path, key);
            }
            self.shared.clear_problem(&path);
        }
    }

    fn is_at(&self, path: &Path, real: &Path, identity: (u64, u64)) -> bool {
        self.directories
            .get(path)
            .is_some_and(|known| known.identity == identity && known.real == real)
    }

    /// Makes a directory part of the tree, empty until a pass lists it.
    fn enter(&mut self, path: PathBuf, real: PathBuf, identity: (u64, u64)) {
        self.leave(&path);
        let circle = path.ancestors().skip(1).any(|above| {
            self.directories
                .get(above)
                .is_some_and(|known| known.identity == identity)
        });
        if circle
            || path.components().count() > MAX_DEPTH
            || self.directories.len() >= MAX_DIRECTORIES
        {
            return self.report(&path, self.problem(&path, FileProblem::NotFollowed));
        }
        self.shared.clear_problem(&path);
        self.source.watch(&real);
        self.by_real
            .entry(real.clone())
            .or_default()
            .push(path.clone());
        let known = Directory {
            real,
            identity,
            listed: None,
            files: BTreeMap::new(),
        };
        self.directories.insert(path, known);
    }

    /// Takes a directory and all below it out of the tree.
    fn leave(&mut self, path: &Path) {
        self.empty(path);
        if let Some(known) = self.directories.remove(path) {
            self.shared.clear_problem(path);
            self.abandon(path, &known);
        }
    }

    /// Takes all below a directory out of the tree.
    fn empty(&mut self, path: &Path) {
        let Some(known) = self.directories.get_mut(path) else {
            return;
        };
        let files = std::mem::take(&mut known.files);
        self.release(path, files);
        while let Some(below) = self.next_below(path, path) {
            if let Some(mut known) = self.directories.remove(&below) {
                let files = std::mem::take(&mut known.files);
                self.release(&below, files);
                self.abandon(&below, &known);
            }
        }
        self.shared.clear_problems_below(path);
        let inside = (Excluded(path), Unbounded);
        let links: Vec<_> = self
            .links
            .range::<Path, _>(inside)
            .map(|(link, _)| link.clone())
            .take_while(|link| link.starts_with(path))
            .filter(|link| link.is_relative())
            .collect();
        for link in links {
            self.untrack(&link);
        }
    }

    fn release(&mut self, path: &Path, files: BTreeMap<Box<OsStr>, File>) {
        for (name, file) in files {
            if let Some(key) = file.key {
                self.holders.release(&path.join(&*name), key);
            }
        }
    }

    fn abandon(&mut self, path: &Path, known: &Directory) {
        self.source.unwatch(&known.real);
        if let Some(paths) = self.by_real.get_mut(&known.real) {
            paths.retain(|other| other != path);
            if paths.is_empty() {
                self.by_real.remove(&known.real);
            }
        }
    }

    /// The next directory of the tree after `after`, below `path`.
    pub(crate) fn next_below(&self, path: &Path, after: &Path) -> Option<PathBuf> {
        let (next, _) = self
            .directories
            .range::<Path, _>((Excluded(after), Unbounded))
            .next()?;
        next.starts_with(path).then(|| next.clone())
    }

    /// Watches everything on the way of a link.
    fn track(&mut self, link: &Path, trail: &Trail) {
        if self.links.get(link) != Some(&trail.crossings) {
            self.untrack(link);
            for crossing in &trail.crossings {
                self.crossings
                    .entry(crossing.clone())
                    .or_default()
                    .insert(link.to_owned());
            }
            for parent in trail.crossings.iter().filter_map(|path| path.parent()) {
                self.source.watch(parent);
            }
            self.links.insert(link.to_owned(), trail.crossings.clone());
        }
        for parent in trail.crossings.iter().filter_map(|path| path.parent()) {
            self.source.ensure(parent);
        }
    }

    fn untrack(&mut self, link: &Path) {
        for crossing in self.links.remove(link).into_iter().flatten() {
            if let Some(dependents) = self.crossings.get_mut(&crossing) {
                dependents.remove(link);
                if dependents.is_empty() {
                    self.crossings.remove(&crossing);
                }
            }
            if let Some(parent) = crossing.parent() {
                self.source.unwatch(parent);
            }
        }
    }

    fn report(&self, path: &Path, error: Error) {
        self.shared.report(path, error);
    }

    fn problem(&self, path: &Path, problem: FileProblem) -> Error {
        Error::File {
            path: self.root.join(path),
            line: None,
            problem,
        }
    }

    fn unreadable(&self, path: &Path, source: io::Error) -> Error {
        Error::Io {
            path: self.root.join(path),
            source,
        }
    }
}

/// No such name, or no such directory.
fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
