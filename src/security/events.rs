//! File events: which directories are watched, and what of their events reaches the watcher's queue.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::file;
use super::watcher::{Message, Shared};

/// Events that may wait in the queue; beyond, they count as lost, and the tree is compared as a whole.
const MAX_QUEUED: usize = 65_536;

/// Where file events come from. Without a watcher, the tree is only polled.
pub(crate) struct Source {
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<PathBuf, Watched>,
    shared: Arc<Shared>,
    /// Hangs up when the watcher's own thread has ended.
    ended: Option<Receiver<()>>,
}

/// Each directory is watched by itself, not with all below it: so it is us who decide when, which is always before it is listed.
struct Watched {
    users: usize,
    /// The kernel's watch is on the directory that has this path now, as far as we know.
    live: bool,
}

impl Source {
    /// A source that gives no events yet.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            watcher: None,
            watched: HashMap::new(),
            shared,
            ended: None,
        }
    }

    /// Begins to send events to `queue`. Where that cannot be, the tree is polled.
    pub(crate) fn listen(&mut self, queue: Sender<Message>) {
        let (alive, ended) = mpsc::channel::<()>();
        let shared = Arc::clone(&self.shared);
        let handler = move |event| {
            let _ = &alive;
            forward(event, &queue, &shared);
        };
        let config = Config::default().with_follow_symlinks(false);
        match RecommendedWatcher::new(handler, config) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.ended = Some(ended);
                self.shared.polling.store(false, Ordering::Relaxed);
                for directory in self.watched.keys().cloned().collect::<Vec<_>>() {
                    self.ensure(&directory);
                }
            }
            Err(error) => self.give_up(&error),
        }
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.watcher.is_none()
    }

    /// Watches a directory; its path must be free of links. To be undone by `unwatch` as often as done.
    pub(crate) fn watch(&mut self, directory: &Path) {
        match self.watched.get_mut(directory) {
            Some(watched) => watched.users += 1,
            None => {
                let watched = Watched {
                    users: 1,
                    live: false,
                };
                self.watched.insert(directory.to_owned(), watched);
            }
        }
        self.ensure(directory);
    }

    pub(crate) fn unwatch(&mut self, directory: &Path) {
        let Some(watched) = self.watched.get_mut(directory) else {
            return;
        };
        watched.users -= 1;
        if watched.users == 0 {
            self.watched.remove(directory);
            if let Some(watcher) = &mut self.watcher {
                // The kernel drops the watch of a directory that is gone.
                let _ = watcher.unwatch(directory);
            }
        }
    }

    /// Another directory may have this path now. True if it is watched.
    pub(crate) fn doubt(&mut self, directory: &Path) -> bool {
        self.watched
            .get_mut(directory)
            .map(|watched| watched.live = false)
            .is_some()
    }

    pub(crate) fn doubt_all(&mut self) {
        for watched in self.watched.values_mut() {
            watched.live = false;
        }
    }

    /// True if events of this directory may have gone unreported.
    pub(crate) fn is_doubtful(&self, directory: &Path) -> bool {
        self.watcher.is_some()
            && self
                .watched
                .get(directory)
                .is_some_and(|watched| !watched.live)
    }

    /// Renews a doubtful watch.
    pub(crate) fn ensure(&mut self, directory: &Path) {
        let (Some(watcher), Some(watched)) = (&mut self.watcher, self.watched.get_mut(directory))
        else {
            return;
        };
        if watched.live {
            return;
        }
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => watched.live = true,
            Err(error) if exhausted(&error) => self.give_up(&error),
            // Gone again, or not ours to read: the periodic comparison remains.
            Err(_) => {}
        }
    }

    /// Falls back to polling, and says why.
    fn give_up(&mut self, error: &notify::Error) {
        self.shared.not_watched(match &error.kind {
            ErrorKind::Io(error) => error.to_string(),
            ErrorKind::MaxFilesWatch => "no watch is left".into(),
            other => format!("{other:?}"),
        });
        self.stop();
    }

    /// Falls back to polling.
    pub(crate) fn stop(&mut self) {
        self.shared.polling.store(true, Ordering::Relaxed);
        self.watcher = None;
        if let Some(ended) = self.ended.take() {
            // Nothing is ever sent: this waits for the hang-up.
            let _ = ended.recv_timeout(Duration::from_secs(1));
        }
        self.doubt_all();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop();
    }
}

/// No watch can be had, for this directory or any other.
fn exhausted(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => {
            error.raw_os_error() == Some(libc::ENOSPC) || file::is_shortage(error)
        }
        _ => false,
    }
}

/// Runs on the event source's thread.
fn forward(event: notify::Result<notify::Event>, queue: &Sender<Message>, shared: &Shared) {
    #[cfg(test)]
    {
        drop(shared.hold.lock());
        let overflow = event.as_ref().is_ok_and(notify::Event::need_rescan);
        shared
            .overflows
            .fetch_add(usize::from(overflow), Ordering::Relaxed);
    }
    let message = match event {
        Ok(event) if event.need_rescan() => Message::Lost,
        Ok(event) => match event.kind {
            // Every opening is reported, our own included.
            EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => return,
            // Both names were reported one by one.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
            kind if shared.queued.fetch_add(1, Ordering::Relaxed) < MAX_QUEUED => match kind {
                EventKind::Modify(ModifyKind::Name(RenameMode::From))
                    if event.tracker().is_some() =>
                {
                    Message::Renamed(event.paths)
                }
                _ => Message::Changed(event.paths),
            },
            _ => {
                shared.queued.fetch_sub(1, Ordering::Relaxed);
                // One is enough until it is seen to.
                if shared.lost.swap(true, Ordering::Relaxed) {
                    return;
                }
                Message::Lost
            }
        },
        Err(_) => Message::Lost,
    };
    // A closed queue means that the store is being dropped.
    let _ = queue.send(message);
}

/// A private directory on the same source of events: a file made in it is reported after all that happened before.
pub(crate) struct Bell {
    directory: PathBuf,
    round: u64,
    /// When it was rung, while it has not been heard.
    rung: Option<Instant>,
    /// Rung since it was last asked whether it is idle.
    used: bool,
}

impl Bell {
    /// Makes the directory, for nobody else to enter.
    pub(crate) fn new(source: &mut Source) -> io::Result<Self> {
        let random = RandomState::new().hash_one(std::process::id());
        let name = format!(".ironhouse-watch-{}-{random:016x}", std::process::id());
        let directory = std::env::temp_dir().canonicalize()?.join(name);
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        source.watch(&directory);
        Ok(Self {
            directory,
            round: 0,
            rung: None,
            used: false,
        })
    }

    /// Rings; what was rung before is not waited for any longer.
    pub(crate) fn ring(&mut self) -> io::Result<()> {
        self.round += 1;
        fs::File::create_new(self.clapper())?;
        self.rung = Some(Instant::now());
        self.used = true;
        Ok(())
    }

    /// Whether `path` is the sound of the last ring. `None` if it is not ours at all.
    pub(crate) fn hears(&mut self, path: &Path) -> Option<bool> {
        if !path.starts_with(&self.directory) {
            return None;
        }
        let heard = self.rung.is_some() && path == self.clapper();
        if heard {
            self.rung = None;
            let _ = fs::remove_file(path);
        }
        Some(heard)
    }

    /// When it was rung, if it has not been heard since.
    pub(crate) fn rung(&self) -> Option<Instant> {
        self.rung
    }

    /// Whether it can be put away: a process that is killed leaves none behind if it has not been asked anything for a while.
    pub(crate) fn is_idle(&mut self) -> bool {
        !std::mem::take(&mut self.used) && self.rung.is_none()
    }

    /// Does not wait for the last ring any longer.
    pub(crate) fn forget(&mut self) {
        if self.rung.take().is_some() {
            let _ = fs::remove_file(self.clapper());
        }
    }

    fn clapper(&self) -> PathBuf {
        self.directory.join(self.round.to_string())
    }

    /// Gives up the directory.
    pub(crate) fn remove(self, source: &mut Source) {
        source.unwatch(&self.directory);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // Nobody else can have put anything in it; if it is gone, the better.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_counts_as_lost_events_once() {
        let shared = Shared::new();
        let (queue, messages) = mpsc::channel();
        let event = || Ok(notify::Event::new(EventKind::Any).add_path(PathBuf::from("/x")));
        shared.queued.store(MAX_QUEUED - 1, Ordering::Relaxed);
        for _ in 0..10 {
            forward(event(), &queue, &shared);
        }
        let got: Vec<_> = messages.try_iter().collect();
        assert!(matches!(got[..], [Message::Changed(_), Message::Lost]));
    }

    #[test]
    fn openings_do_not_reach_the_queue_and_trouble_counts_as_loss() {
        let shared = Shared::new();
        let (queue, messages) = mpsc::channel();
        let access = |kind| Ok(notify::Event::new(EventKind::Access(kind)));
        forward(access(AccessKind::Open(AccessMode::Any)), &queue, &shared);
        forward(access(AccessKind::Close(AccessMode::Read)), &queue, &shared);
        assert!(messages.try_recv().is_err());
        forward(
            access(AccessKind::Close(AccessMode::Write)),
            &queue,
            &shared,
        );
        assert!(matches!(messages.try_recv(), Ok(Message::Changed(_))));
        let rescan = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        forward(Ok(rescan), &queue, &shared);
        assert!(matches!(messages.try_recv(), Ok(Message::Lost)));
        forward(Err(notify::Error::generic("x")), &queue, &shared);
        assert!(matches!(messages.try_recv(), Ok(Message::Lost)));
    }

    #[test]
    fn bell_is_private_hears_its_last_ring_alone_and_leaves_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let mut source = Source::new(Arc::new(Shared::new()));
        let mut bell = Bell::new(&mut source).unwrap();
        let directory = bell.directory.clone();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        assert!(bell.is_idle());
        bell.ring().unwrap();
        let (first, early) = (bell.clapper(), bell.rung());
        assert!(first.exists() && early.is_some() && !bell.is_idle());
        bell.forget();
        bell.ring().unwrap();
        assert_eq!(bell.hears(Path::new("/elsewhere")), None);
        assert_eq!(bell.hears(&first), Some(false));
        assert_eq!(bell.hears(&bell.clapper()), Some(true));
        assert_eq!(bell.hears(&bell.clapper()), Some(false));
        assert!(!bell.is_idle() && bell.is_idle());
        bell.remove(&mut source);
        assert!(!directory.exists() && source.watched.is_empty());
    }
}
