//! What a pass asks of the tree: a whole directory at a time.

use std::ffi::OsStr;
use std::fs::{self, ReadDir};
use std::ops::Bound::{Excluded, Unbounded};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use super::signed::Signed;
use super::{File, Tree, ignored, secret};
use crate::security::bulk;
use crate::security::certificate::Certificate;
use crate::security::file::{self, Stamp};
use crate::security::mark::Mark;

/// Files that one thread looks at in one go.
const CHUNK: usize = 256;

impl Tree {
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
        let stopping = &self.shared.stopping;
        bulk::spread(&files, CHUNK, bulk::READERS, stopping, look, |names| {
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
                // The files that are known have been looked at one by one; new ones wait until we can open again.
                if !file::is_shortage(&error) {
                    self.empty(path);
                }
                if let Some(known) = self.directories.get_mut(path) {
                    known.listed = None;
                }
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
        let own = self.own_names(directory);
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
            if ignored(&name) || known.files.contains_key(&*name) || own.contains(&name) {
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
    pub(super) fn read_all(
        &mut self,
        directory: &Path,
        mut names: Vec<Box<OsStr>>,
    ) -> Vec<Box<OsStr>> {
        let Some(known) = self.directories.get_mut(directory) else {
            return Vec::new();
        };
        // Close on disk as a rule, and close in memory from now on.
        names.sort_unstable();
        // Listings may name a file twice while names change.
        names.dedup();
        let vet = self.signed.as_ref().map(Signed::vet);
        let look = |names: &[Box<OsStr>]| -> Vec<_> {
            let mut directory = file::Reader::open(&known.real).ok();
            let mut read = |name: &OsStr| {
                let (stamp, bytes) = directory.as_mut()?.read(name)?;
                let content = Certificate::parse(bytes).and_then(|certificate| {
                    if let Some(vet) = &vet {
                        vet.admit(&certificate)?;
                    }
                    Ok(certificate)
                });
                Some((Mark::of(&stamp, &self.seed), content))
            };
            names.iter().map(|name| read(name)).collect()
        };
        // Reading waits, verifying does not.
        let threads = match &vet {
            Some(_) => bulk::ALL_CORES,
            None => bulk::READERS,
        };
        let mut files = Vec::with_capacity(names.len());
        let mut each = names.iter();
        let stopping = &self.shared.stopping;
        bulk::spread(&names, CHUNK, threads, stopping, look, |found| {
            for (found, name) in found.into_iter().zip(each.by_ref()) {
                files.push(found.map(|(mark, content)| {
                    let path = || directory.join(&**name);
                    let content = content.and_then(|certificate| {
                        if let Some(vet) = &vet {
                            let held = self.holders.held(certificate.public_key());
                            vet.refuse_older(&certificate, held)?;
                        }
                        Ok(certificate)
                    });
                    let key = content.as_ref().ok().map(|c| *c.public_key());
                    match content {
                        Ok(certificate) => {
                            self.shared.clear_problem_of(path);
                            self.holders.hold(path, certificate);
                        }
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

    /// Looks once more at what is reported below a directory though it is no part of the tree: no pass has met its name if it is gone.
    pub(crate) fn look_after_problems(&mut self, within: &Path) {
        for path in self.shared.problems_below(within) {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                continue;
            };
            let known = self.directories.get(parent);
            if known.is_some_and(|known| known.files.contains_key(name))
                || self.directories.contains_key(&path)
            {
                continue;
            }
            if known.is_none() {
                self.shared.clear_problem(&path);
            } else {
                self.examine(parent, name, None);
            }
        }
    }

    /// Whether nobody needs the outcome any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }
}
