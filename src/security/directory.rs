//! A directory of certificate files as it was last seen, and how it is compared with the disk.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata, ReadDir};
use std::io::{self, ErrorKind};
use std::ops::Bound::{Excluded, Unbounded};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bulk;
use super::certificate::Certificate;
use super::events::Source;
use super::file::{self, FileProblem, Stamp};
use super::generation::KeyMap;
use super::holders::Holders;
use super::keyfile;
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
/// Files that one thread looks at in one go.
const CHUNK: usize = 256;

/// What a store's path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A directory with a file for each certificate.
    Directory,
    /// A file with a line for each certificate.
    KeyFile,
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
    /// Its state before it was last listed to the end, if a change since would show in it.
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
            holders: Holders::new(),
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

    /// Looks whether the root is another one. A key file in whose state nothing has changed is not read again, though it could have
    /// changed within one tick of the clock: events and comparisons see to that.
    pub(crate) fn glance(&mut self) {
        if self.layout == Layout::Directory {
            return self.refresh(Path::new(""));
        }
        let trail = Trail::of(&self.root);
        self.track(Path::new(""), &trail);
        self.read_key_file(&trail.end.unwrap_or_else(|| self.root.clone()), true);
    }

    /// Reads the key file if it is another one, or may be.
    fn read_key_file(&mut self, end: &Path, unsettled_too: bool) {
        let now = fs::metadata(end).map(|meta| Stamp::from(&meta)).ok();
        if self
            .key_file
            .is_some_and(|(known, settled)| now == Some(known) && (settled || unsettled_too))
        {
            return;
        }
        self.key_file = None;
        let (keys, problems) = match keyfile::read(end, &self.shared.stopping) {
            Ok(content) => {
                self.key_file = Some((content.stamp, content.settled));
                let faults = content.faults.into_iter();
                (
                    content.keys,
                    faults.map(|fault| fault.at(&self.root)).collect(),
                )
            }
            // The path that the user knows.
            Err(Error::Io { source, .. }) => {
                let error = self.unreadable(Path::new(""), source);
                (KeyMap::new(), vec![error])
            }
            Err(Error::File { problem, .. }) => {
                (KeyMap::new(), vec![self.problem(Path::new(""), problem)])
            }
            Err(error) => (KeyMap::new(), vec![error]),
        };
        self.shared.report_all(Path::new(""), problems);
        self.shared.keys.replace(Arc::new(keys));
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
        let (next, several) = self
            .holders
            .settle(|path| Certificate::load(self.root.join(path)).ok());
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
        if let Some(next) = next {
            self.shared.keys.replace(next);
        }
    }

    /// True if the root was entered anew.
    fn check_root(&mut self) -> bool {
        let root = Path::new("");
        let trail = Trail::of(&self.root);
        self.track(root, &trail);
        let end = trail.end.unwrap_or_else(|| self.root.clone());
        if self.layout == Layout::KeyFile {
            self.read_key_file(&end, false);
            return false;
        }
        match fs::metadata(&end) {
            Ok(meta) if meta.is_dir() => {
                let identity = (meta.dev(), meta.ino());
                if self.is_at(root, &end, identity) {
                    return false;
                }
                self.enter(root.to_owned(), end, identity);
                return true;
            }
            Ok(_) => {
                self.leave(root);
                self.report(root, self.problem(root, FileProblem::NotADirectory));
            }
            Err(error) => {
                self.leave(root);
                self.report(root, self.unreadable(root, error));
            }
        }
        false
    }

    /// Looks at one name of a directory and takes over what is there now. Returns its path if it is a directory. If nothing is there,
    /// it is only noted in `missed`, where that is given.
    fn examine(
        &mut self,
        directory: &Path,
        name: &OsStr,
        missed: Option<&mut Vec<PathBuf>>,
    ) -> Option<PathBuf> {
        let path = directory.join(name);
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
            Certificate::load(self.root.join(&path))
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
        self.shared.clear_problem(&path);
        match content {
            Ok(certificate) if old == key => self.holders.hold_again(certificate),
            Ok(certificate) => self.holders.hold(|| path, certificate),
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
        self.shared.clear_problem(&path);
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
                self.shared.clear_problem(&below);
                self.abandon(&below, &known);
            }
        }
        let inside = (Excluded(path), Unbounded);
        let links: Vec<_> = self
            .links
            .range::<Path, _>(inside)
            .map(|(link, _)| link.clone())
            .take_while(|link| link.starts_with(path))
            .collect();
        for link in links {
            self.untrack(&link);
        }
    }

    fn release(&mut self, path: &Path, files: BTreeMap<Box<OsStr>, File>) {
        for (name, file) in files {
            let path = path.join(&*name);
            if let Some(key) = file.key {
                self.holders.release(&path, key);
            }
            self.shared.clear_problem(&path);
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

    /// Whether a directory of the tree still is one; if it is another one, it begins anew.
    pub(crate) fn check(&mut self, path: &Path, missed: &mut Vec<PathBuf>) -> bool {
        let still = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.examine(parent, name, Some(missed)).is_some(),
            _ => {
                self.check_root();
                true
            }
        };
        let known = self.directories.get(path).filter(|_| still);
        let Some(real) = known.map(|known| known.real.clone()) else {
            return false;
        };
        self.source.doubt(&real);
        self.source.ensure(&real);
        true
    }

    /// Compares files known in a directory with the disk: those after this name, `most` of them. Returns how many, and the last one.
    pub(crate) fn compare(
        &mut self,
        directory: &Path,
        after: &OsStr,
        most: usize,
        missed: &mut Vec<PathBuf>,
    ) -> Option<(usize, Box<OsStr>)> {
        let known = self.directories.get(directory)?;
        let files = known.files.range::<OsStr, _>((Excluded(after), Unbounded));
        let files: Vec<_> = files
            .take(most)
            .map(|(name, file)| (&**name, file.mark))
            .collect();
        let last = Box::from(files.last()?.0);
        let count = files.len();
        let mut changed: Vec<Box<OsStr>> = Vec::new();
        let look = |files: &[(&OsStr, Mark)]| -> Vec<Box<OsStr>> {
            let mut directory = file::Reader::open(&known.real).ok();
            let mut is_changed = |name: &OsStr, mark: Mark| {
                let now = directory.as_mut().and_then(|files| files.stamp(name));
                mark == Mark::UNSETTLED || now.is_none_or(|now| Mark::of(&now, &self.seed) != mark)
            };
            let changed = files.iter().filter(|(name, mark)| is_changed(name, *mark));
            changed.map(|(name, _)| Box::from(*name)).collect()
        };
        bulk::spread(&files, CHUNK, &self.shared.stopping, look, |names| {
            changed.extend(names);
        });
        for name in changed {
            self.examine(directory, &name, Some(missed));
        }
        Some((count, last))
    }

    /// Opens a directory of the tree for listing, if it still is one; if `quick`, only if its names may have changed since the last time.
    pub(crate) fn open(
        &mut self,
        path: &Path,
        quick: bool,
        missed: &mut Vec<PathBuf>,
    ) -> Option<ReadDir> {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.examine(parent, name, Some(missed))?;
        }
        let known = self.directories.get_mut(path)?;
        let now = fs::metadata(&known.real).map(|meta| Stamp::from(&meta));
        let now = now.ok().filter(Stamp::is_settled);
        if quick && now.is_some() && now == known.listed {
            return None;
        }
        known.listed = now;
        match fs::read_dir(&known.real) {
            Ok(listing) => {
                self.shared.clear_problem(path);
                Some(listing)
            }
            Err(error) => {
                self.empty(path);
                self.report(path, self.unreadable(path, error));
                None
            }
        }
    }

    /// Takes in the names of a directory that are not known yet, out of the next `most` of its listing. Returns how many were listed.
    pub(crate) fn discover(
        &mut self,
        directory: &Path,
        listing: &mut ReadDir,
        most: usize,
    ) -> usize {
        let Some(known) = self.directories.get_mut(directory) else {
            return 0;
        };
        let (mut files, mut others) = (Vec::new(), Vec::new());
        let mut listed = 0;
        for entry in listing.take(most) {
            // A listing that breaks off leaves out names; the next pass tries again.
            let Ok(entry) = entry else {
                known.listed = None;
                break;
            };
            listed += 1;
            let name = entry.file_name();
            if ignored(&name) || known.files.contains_key(&*name) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_file()) && !secret(&name) {
                files.push(name.into_boxed_os_str());
            } else {
                others.push(name.into_boxed_os_str());
            }
        }
        others.extend(self.read_all(directory, files));
        for name in others {
            self.examine(directory, &name, None);
        }
        listed
    }

    /// Reads many files new to a directory; those that are something else by now are returned.
    fn read_all(&mut self, directory: &Path, mut names: Vec<Box<OsStr>>) -> Vec<Box<OsStr>> {
        let Some(known) = self.directories.get_mut(directory) else {
            return Vec::new();
        };
        // Close on disk as a rule, and close in memory from now on.
        names.sort_unstable();
        let look = |names: &[Box<OsStr>]| -> Vec<_> {
            let mut directory = file::Reader::open(&known.real).ok();
            let mut read = |name: &OsStr| {
                let (stamp, bytes) = directory.as_mut()?.read(name)?;
                Some((Mark::of(&stamp, &self.seed), Certificate::parse(bytes)))
            };
            names.iter().map(|name| read(name)).collect()
        };
        let mut files = Vec::with_capacity(names.len());
        let mut each = names.iter();
        bulk::spread(&names, CHUNK, &self.shared.stopping, look, |found| {
            for (found, name) in found.into_iter().zip(each.by_ref()) {
                files.push(found.map(|(mark, content)| {
                    let path = || directory.join(&**name);
                    self.shared.clear_problem_of(path);
                    let key = content.as_ref().ok().map(|c| *c.public_key());
                    match content {
                        Ok(certificate) => self.holders.hold(path, certificate),
                        Err(fault) => {
                            let path = path();
                            let error = fault.at(&self.root.join(&path));
                            self.shared.report(&path, error);
                        }
                    }
                    File { mark, key }
                }));
            }
        });
        let mut others = Vec::new();
        let files = names
            .into_iter()
            .zip(files)
            .filter_map(|(name, file)| match file {
                Some(file) => Some((name, file)),
                None => {
                    others.push(name);
                    None
                }
            });
        if known.files.is_empty() {
            // Packed more tightly than one by one.
            known.files = files.collect();
        } else {
            known.files.extend(files);
        }
        others
    }

    /// Lets go of a name if it still is not there.
    pub(crate) fn let_go(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.examine(parent, name, None);
        }
    }

    /// Whether nobody needs the outcome any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
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
