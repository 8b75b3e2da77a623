//! The thread that keeps a store current, or tells whoever reads another file: change by change from file events, and as a whole now and
//! then.

mod shared;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::directory::{Layout, Tree};
use super::events::{Bell, Source};
use super::file::{Fault, FileProblem};
use super::generation::{Current, KeyMap};
use super::health::Reload;
use super::pass::Pass;
use super::trust::Guard;
use crate::error::{Error, Result};
use crate::ffi::os;
pub(crate) use shared::{Message, Request, Shared};

/// How often the root's path is resolved anew, and the least time between two comparisons of the whole tree.
const TICK: Duration = Duration::from_secs(1);
/// A comparison of the whole tree that takes a second is made every hundred seconds: one part in a hundred of a core.
const IDLE_PER_WORK: u32 = 100;
/// The same for comparisons that unknown keys cause, where there are no events: one part in ten.
const IDLE_PER_QUESTION: u32 = 10;
/// A bell not heard for so long is not going to be.
const DEAF: Duration = Duration::from_millis(500);
/// Events taken together; each still costs one look at one file, at most.
const BATCH: usize = 1024;
/// The two halves of a rename arrive within microseconds.
const RENAMING: Duration = Duration::from_millis(2);
/// Names looked at between two looks at the queue.
const SLICE: usize = 256;

/// Questions that may wait for the thread, which may hang with its file system; others are answered that they were not seen to.
const MAX_ASKED: usize = 65_536;

/// A directory or a file being watched, until dropped.
pub(crate) struct Watcher {
    root: PathBuf,
    shared: Arc<Shared>,
    queue: Sender<Message>,
    thread: Option<os::Thread>,
}

impl Watcher {
    /// Loads what is at `root` (absolute) and keeps it current; without file events if `poll`. Of certificates only those that `guard`
    /// admits, where there is one.
    pub(crate) fn start(
        root: PathBuf,
        layout: Layout,
        poll: bool,
        guard: Option<Arc<Guard>>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::guarded_by(guard));
        let (queue, messages) = mpsc::channel();
        let (loaded, ready) = mpsc::channel();
        let thread = {
            let (shared, queue, root) = (Arc::clone(&shared), queue.clone(), root.clone());
            os::spawn("ironhouse-watch", move || {
                watch(&root, layout, poll, &shared, &queue, &messages, &loaded);
            })?
        };
        // A hang-up means a panic in the first load: the store is empty then.
        let _ = ready.recv();
        Ok(Self {
            root,
            shared,
            queue,
            thread: Some(thread),
        })
    }

    /// The keys of the files.
    pub(crate) fn keys(&self) -> &Current {
        &self.shared.keys
    }

    pub(crate) fn problems(&self) -> Vec<Arc<Error>> {
        let watching = self.not_watched().map(Arc::new).into_iter();
        let problems = self.shared.problems_now();
        watching
            .chain(problems.values().flatten().cloned())
            .collect()
    }

    /// What keeps it from getting file events.
    pub(crate) fn not_watched(&self) -> Option<Error> {
        let reason = self.shared.not_watched.get()?.clone();
        let fault = Fault::new(None, FileProblem::NotWatched { reason });
        Some(fault.at(&self.root))
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.shared.polling.load(Ordering::Relaxed)
    }

    /// Has the thread see what the guard wants now.
    pub(crate) fn trust_anew(&self) {
        // If the thread is gone, there are no keys.
        let _ = self.queue.send(Message::Trust);
    }

    /// Whether nobody follows the files any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.thread.as_ref().is_none_or(os::Thread::is_over)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The last look at what changed, or at everything.
    pub(crate) fn reload(&self) -> Option<Reload> {
        *self.shared.reload()
    }

    pub(crate) fn ask(&self, request: Request) {
        // If there are too many, or the thread is gone, the request answers itself as it is dropped.
        if self.shared.asked.fetch_add(1, Ordering::Relaxed) < MAX_ASKED {
            let _ = self.queue.send(Message::Ask(request));
        } else {
            self.shared.asked.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends the thread a message that only the operating system or a fault of ours would.
    #[cfg(test)]
    pub(crate) fn inject(&self, message: Message) {
        self.queue.send(message).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let _ = self.queue.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// The thread's body.
fn watch(
    root: &Path,
    layout: Layout,
    mut poll: bool,
    shared: &Arc<Shared>,
    queue: &Sender<Message>,
    messages: &Receiver<Message>,
    loaded: &Sender<()>,
) {
    loop {
        let run = catch_unwind(AssertUnwindSafe(|| {
            let queue = (!poll).then(|| queue.clone());
            let mut state = State::load(root, layout.clone(), queue, shared, messages);
            let _ = loaded.send(());
            state.run();
        }));
        if run.is_ok() {
            return;
        }
        // Our own fault: admit nobody by files that nobody watches, and begin anew with the least that can fail.
        if let Some(guard) = &shared.guard {
            guard.close();
        }
        shared.keys.replace(Arc::new(KeyMap::new()));
        shared.not_watched("a fault within this library".into());
        if std::mem::replace(&mut poll, true) {
            return;
        }
    }
}

struct State<'a> {
    tree: Tree,
    bell: Option<Bell>,
    shared: &'a Shared,
    messages: &'a Receiver<Message>,
    /// They wait for the bell that was rung.
    waiting: Vec<Request>,
    /// They came after it was rung, and wait for the next one.
    later: Vec<Request>,
    /// A comparison in progress, and the time spent on it.
    pass: Option<(Pass, Duration)>,
    last_pass: (Instant, Duration),
    next_tick: Instant,
}

/// What came out of the queue together.
#[derive(Default)]
struct Batch {
    dirty: BTreeSet<PathBuf>,
    lost: bool,
    heard: bool,
    trust: bool,
    stop: bool,
}

impl<'a> State<'a> {
    fn load(
        root: &Path,
        layout: Layout,
        queue: Option<Sender<Message>>,
        shared: &'a Arc<Shared>,
        messages: &'a Receiver<Message>,
    ) -> Self {
        let source = Source::new(Arc::clone(shared));
        let mut state = Self {
            tree: Tree::new(root.to_owned(), layout, source, Arc::clone(shared)),
            bell: None,
            shared,
            messages,
            waiting: Vec::new(),
            later: Vec::new(),
            pass: None,
            last_pass: (Instant::now(), Duration::ZERO),
            next_tick: Instant::now() + TICK,
        };
        // Every reading of a file makes two events: so read first, then watch, then look for what changed in between.
        state.compare_all();
        if let Some(queue) = queue {
            state.tree.source().listen(queue);
            state.compare(Pass::again());
        }
        state
    }

    fn run(&mut self) {
        loop {
            let mut batch = Batch::default();
            match self.messages.recv_timeout(self.patience()) {
                Ok(first) => self.collect(first, &mut batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if batch.stop {
                return;
            }
            if batch.trust {
                self.tree.refresh_trust();
                self.tree.publish();
            }
            if batch.lost {
                self.waiting.append(&mut self.later);
                self.compare_all();
                self.answer();
            } else if !batch.dirty.is_empty() {
                let start = Instant::now();
                for path in &batch.dirty {
                    self.tree.refresh(path);
                }
                self.tree.publish();
                *self.shared.reload() = Some(Reload::now(start.elapsed()));
            }
            if batch.heard {
                self.look_around();
                self.answer();
            }
            self.keep_time();
            if self.waiting.is_empty() && !self.later.is_empty() {
                self.begin_round();
            }
        }
    }

    /// Takes what is in the queue, up to a bound.
    fn collect(&mut self, first: Message, batch: &mut Batch) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(message) = next {
            let renamed = matches!(message, Message::Renamed(_));
            match message {
                Message::Changed(paths) | Message::Renamed(paths) => {
                    self.shared.queued.fetch_sub(1, Ordering::Relaxed);
                    for path in &paths {
                        match self.bell.as_mut().and_then(|bell| bell.hears(path)) {
                            Some(heard) => batch.heard |= heard,
                            None => self.tree.touched(path, &mut batch.dirty),
                        }
                    }
                }
                Message::Lost => {
                    self.shared.lost.store(false, Ordering::Relaxed);
                    batch.lost = true;
                }
                Message::Ask(request) => {
                    self.shared.asked.fetch_sub(1, Ordering::Relaxed);
                    self.later.push(request);
                }
                Message::Trust => batch.trust = true,
                Message::Stop => {
                    batch.stop = true;
                    return;
                }
                #[cfg(test)]
                Message::Inject(fault) => fault(&mut self.tree),
            }
            taken += 1;
            if taken >= BATCH && !renamed {
                return;
            }
            next = match self.messages.try_recv() {
                // Both names together, so that the key stays admitted.
                Err(_) if renamed => self.messages.recv_timeout(RENAMING).ok(),
                received => received.ok(),
            };
        }
    }

    /// Begins a round for all who asked since the last one began.
    fn begin_round(&mut self) {
        self.waiting = std::mem::take(&mut self.later);
        if self.ring() && !self.tree.source().is_polling() {
            return;
        }
        let (end, took) = self.last_pass;
        let thorough = self.waiting.iter().any(|request| request.thorough);
        if thorough || end.elapsed() >= took * IDLE_PER_QUESTION {
            self.compare_all();
        } else {
            self.look_around();
        }
        self.answer();
    }

    /// True if a bell was rung.
    fn ring(&mut self) -> bool {
        if self.tree.source().is_polling() {
            return false;
        }
        if self.bell.as_mut().is_some_and(|bell| bell.ring().is_ok()) {
            return true;
        }
        // Not made yet, or swept away with other temporary files.
        self.put_away_bell();
        self.bell = Bell::new(self.tree.source()).ok();
        self.bell.as_mut().is_some_and(|bell| bell.ring().is_ok())
    }

    fn put_away_bell(&mut self) {
        if let Some(bell) = self.bell.take() {
            bell.remove(self.tree.source());
        }
    }

    /// Looks where events do not reach: the root may have moved with a directory above it.
    fn look_around(&mut self) {
        self.tree.glance();
        if self.waiting.iter().any(|request| request.thorough) {
            self.tree.refresh_links();
        }
        self.tree.publish();
    }

    /// Everything has been compared.
    fn compared(&mut self, took: Duration) {
        self.tree.publish();
        self.last_pass = (Instant::now(), took);
        *self.shared.reload() = Some(Reload::now(took));
    }

    fn answer(&mut self) {
        if let Some(bell) = &mut self.bell {
            bell.forget();
        }
        for request in self.waiting.drain(..) {
            request.answer();
        }
    }

    /// Compares the whole tree with the disk, now.
    fn compare_all(&mut self) {
        self.compare(Pass::over(PathBuf::new()));
    }

    fn compare(&mut self, pass: Pass) {
        let start = Instant::now();
        self.pass = None;
        self.tree.source().doubt_all();
        self.tree.finish(pass);
        self.compared(start.elapsed());
    }

    /// When the next comparison is due.
    fn next_pass(&self) -> Instant {
        let (end, took) = self.last_pass;
        end + TICK.max(took * IDLE_PER_WORK)
    }

    fn patience(&self) -> Duration {
        if self.pass.is_some() {
            return Duration::ZERO;
        }
        let due = self.next_pass().min(self.next_tick);
        let rung = self.bell.as_ref().and_then(Bell::rung);
        let due = rung.map_or(due, |rung| due.min(rung + DEAF));
        due.saturating_duration_since(Instant::now())
    }

    /// Does what is due.
    fn keep_time(&mut self) {
        let now = Instant::now();
        let rung = self.bell.as_ref().and_then(Bell::rung);
        if rung.is_some_and(|rung| now >= rung + DEAF) {
            self.compare_all();
            self.answer();
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            if self.bell.as_mut().is_some_and(Bell::is_idle) {
                self.put_away_bell();
            }
            self.tree.glance();
            self.tree.publish();
        }
        if self.pass.is_none() && now >= self.next_pass() {
            self.pass = Some((Pass::over(PathBuf::new()), Duration::ZERO));
        }
        if let Some((pass, took)) = &mut self.pass {
            let ended = pass.step(&mut self.tree, SLICE);
            *took += now.elapsed();
            if ended {
                let took = *took;
                self.compared(took);
                self.pass = None;
            }
        }
    }
}
