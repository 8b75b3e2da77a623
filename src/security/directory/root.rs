//! The path of a store: a directory, or a key file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::signed::Signed;
use super::{Layout, Tree};
use crate::error::Error;
use crate::security::file::{FileProblem, Stamp};
use crate::security::generation::KeyMap;
use crate::security::keyfile;
use crate::security::trail::Trail;

impl Tree {
    /// True if the root was entered anew.
    pub(super) fn check_root(&mut self) -> bool {
        self.refresh_trust();
        let root = Path::new("");
        let trail = Trail::of(&self.root);
        self.track(root, &trail);
        let end = trail.end.unwrap_or_else(|| self.root.clone());
        match &self.layout {
            Layout::Directory => {}
            Layout::KeyFile => {
                self.read_key_file(&end, false);
                return false;
            }
            Layout::Other(changed) => {
                changed();
                return false;
            }
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

    /// Looks whether the root is another one. A key file in whose state nothing has changed is not read again, though it could have
    /// changed within one tick of the clock: events and comparisons see to that.
    pub(crate) fn glance(&mut self) {
        if !matches!(self.layout, Layout::KeyFile) {
            return self.refresh(Path::new(""));
        }
        self.refresh_trust();
        let trail = Trail::of(&self.root);
        self.track(Path::new(""), &trail);
        self.read_key_file(&trail.end.unwrap_or_else(|| self.root.clone()), true);
    }

    /// Reads the key file if it is another one, or may be.
    pub(super) fn read_key_file(&mut self, end: &Path, unsettled_too: bool) {
        let now = fs::metadata(end).map(|meta| Stamp::from(&meta)).ok();
        if self
            .key_file
            .is_some_and(|(known, settled)| now == Some(known) && (settled || unsettled_too))
        {
            return;
        }
        self.key_file = None;
        let vet = self.signed.as_ref().map(Signed::vet);
        let (keys, problems) = match keyfile::read(end, &self.shared.stopping, vet.as_ref()) {
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
        self.replace_keys(Arc::new(keys));
    }
}
