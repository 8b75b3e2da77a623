//! How the tree of a directory store is compared with the disk.

use std::ffi::OsStr;
use std::fs::ReadDir;
use std::path::PathBuf;

use super::directory::Tree;

/// A comparison of the tree, or of a part of it, with the disk. It can be taken in small steps, between which the tree may change.
pub(crate) struct Pass {
    within: PathBuf,
    at: PathBuf,
    stage: Stage,
}

enum Stage {
    Open,
    /// Files known already: changed or gone?
    Known {
        listing: ReadDir,
        after: Box<OsStr>,
    },
    /// Names not known yet.
    Listing(ReadDir),
    Done,
}

impl Pass {
    /// A pass over the directory at `within` and all below it.
    pub(crate) fn over(within: PathBuf) -> Self {
        Self {
            at: within.clone(),
            within,
            stage: Stage::Open,
        }
    }

    /// Looks at `budget` names, roughly. True if the pass has ended.
    pub(crate) fn step(&mut self, tree: &mut Tree, budget: usize) -> bool {
        /// Names taken out of a table at once.
        const BATCH: usize = 256;
        let mut seen = 0;
        while seen < budget {
            if tree.is_stopping() {
                return true;
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
                Stage::Open => {
                    seen += 1;
                    match tree.open(&self.at) {
                        Some(listing) => Stage::Known {
                            listing,
                            after: Box::default(),
                        },
                        None => Stage::Done,
                    }
                }
                Stage::Known { listing, after } => {
                    let names = tree.names_after(&self.at, &after, BATCH);
                    seen += names.len();
                    for name in &names {
                        tree.examine(&self.at, name);
                    }
                    match names.into_iter().next_back() {
                        Some(after) => Stage::Known { listing, after },
                        None => Stage::Listing(listing),
                    }
                }
                Stage::Listing(mut listing) => {
                    seen += 1;
                    match listing.next() {
                        // A listing that breaks off leaves out names; the next pass tries again.
                        None | Some(Err(_)) => Stage::Done,
                        Some(Ok(entry)) => {
                            let name = entry.file_name();
                            if tree.is_unknown(&self.at, &name) {
                                tree.examine(&self.at, &name);
                            }
                            Stage::Listing(listing)
                        }
                    }
                }
                Stage::Done => match tree.next_below(&self.within, &self.at) {
                    Some(next) => {
                        self.at = next;
                        Stage::Open
                    }
                    None => return true,
                },
            };
        }
        false
    }
}
