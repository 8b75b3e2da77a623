//! What the watcher's thread and its store have in common, and what they say to each other.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Error;
#[cfg(test)]
use crate::security::directory::Tree;
use crate::security::generation::Current;
use crate::security::health::Reload;
use crate::security::trust::Guard;

/// What the watcher's thread and the store share.
pub(crate) struct Shared {
    /// The keys of the files.
    pub(crate) keys: Current,
    /// What a signed store goes by.
    pub(crate) guard: Option<Arc<Guard>>,
    problems: Mutex<BTreeMap<PathBuf, Vec<Arc<Error>>>>,
    /// The last look at what changed, or at everything.
    reload: Mutex<Option<Reload>>,
    /// Why there are no file events, where that is not as it should be.
    pub(super) not_watched: OnceLock<String>,
    pub(crate) polling: AtomicBool,
    pub(crate) stopping: AtomicBool,
    /// Events in the queue.
    pub(crate) queued: AtomicUsize,
    /// Questions in the queue.
    pub(super) asked: AtomicUsize,
    /// Events were dropped, and nobody has seen to it.
    pub(crate) lost: AtomicBool,
    /// Keeps the event source from reading, while it is locked.
    #[cfg(test)]
    pub(crate) hold: Mutex<()>,
    /// How often the operating system said that it has dropped events.
    #[cfg(test)]
    pub(crate) overflows: AtomicUsize,
    /// How many names were looked at one by one.
    #[cfg(test)]
    pub(crate) looks: AtomicUsize,
}

impl Shared {
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::guarded_by(None)
    }

    pub(crate) fn guarded_by(guard: Option<Arc<Guard>>) -> Self {
        Self {
            keys: Current::new(),
            guard,
            problems: Mutex::default(),
            reload: Mutex::default(),
            not_watched: OnceLock::new(),
            polling: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            #[cfg(test)]
            hold: Mutex::default(),
            #[cfg(test)]
            overflows: AtomicUsize::new(0),
            #[cfg(test)]
            looks: AtomicUsize::new(0),
        }
    }

    pub(crate) fn report(&self, path: &Path, error: Error) {
        self.report_all(path, vec![error]);
    }

    /// Reports what is wrong with a path, instead of what was before; nothing, if so.
    pub(crate) fn report_all(&self, path: &Path, errors: Vec<Error>) {
        self.report_shared(path, errors.into_iter().map(Arc::new).collect());
    }

    pub(crate) fn report_shared(&self, path: &Path, errors: Vec<Arc<Error>>) {
        let mut problems = self.problems_now();
        if errors.is_empty() {
            problems.remove(path);
        } else {
            problems.insert(path.to_owned(), errors);
        }
    }

    pub(crate) fn clear_problem(&self, path: &Path) {
        self.clear_problem_of(|| path);
    }

    /// The same, for a path that is costly to make: as a rule there are no problems.
    pub(crate) fn clear_problem_of<P: AsRef<Path>>(&self, path: impl FnOnce() -> P) {
        let mut problems = self.problems_now();
        if !problems.is_empty() {
            problems.remove(path().as_ref());
        }
    }

    /// Clears what is reported of all below a directory of the tree.
    pub(crate) fn clear_problems_below(&self, path: &Path) {
        for below in self.problems_below(path) {
            self.clear_problem(&below);
        }
    }

    /// What is reported below a directory of the tree; relative to the root, as the tree's paths are.
    pub(crate) fn problems_below(&self, path: &Path) -> Vec<PathBuf> {
        let problems = self.problems_now();
        let after = problems.range::<Path, _>((Excluded(path), Unbounded));
        let below = after.take_while(|(below, _)| below.starts_with(path));
        below
            .map(|(below, _)| below)
            .filter(|below| below.is_relative())
            .cloned()
            .collect()
    }

    pub(super) fn reload(&self) -> MutexGuard<'_, Option<Reload>> {
        self.reload.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why there are no file events; the first reason stays.
    pub(crate) fn not_watched(&self, reason: String) {
        let _ = self.not_watched.set(reason);
    }

    pub(super) fn problems_now(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Vec<Arc<Error>>>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread is told.
pub(crate) enum Message {
    /// Something happened to these paths.
    Changed(Vec<PathBuf>),
    /// This path was renamed; unless it left what is watched, its new name is next.
    Renamed(Vec<PathBuf>),
    /// Events were lost.
    Lost,
    Ask(Request),
    /// The store is to believe others.
    Trust,
    Stop,
    #[cfg(test)]
    Inject(fn(&mut Tree)),
}

/// Somebody waits for the changes made so far. Answered in any case: true once they are in force, false if the thread
/// ends first, or too many wait.
pub(crate) struct Request {
    answer: Option<Box<dyn FnOnce(bool) + Send>>,
    /// Compare symbolic links with the disk too, for changes further away than events reach.
    pub(super) thorough: bool,
}

impl Request {
    pub(crate) fn new(thorough: bool, answer: Box<dyn FnOnce(bool) + Send>) -> Self {
        Self {
            answer: Some(answer),
            thorough,
        }
    }

    pub(super) fn answer(mut self) {
        self.give(true);
    }

    fn give(&mut self, current: bool) {
        if let Some(answer) = self.answer.take() {
            // A panic is the asker's own, and must not stop revocations.
            let _ = catch_unwind(AssertUnwindSafe(|| answer(current)));
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.give(false);
    }
}
