//! `JsonLines`: audit events written to a file, a line of JSON each, by a thread that no decision waits for.

mod open;

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub(super) use open::can_be_written;
use open::{Open, identity, size};

use super::audit::{Audit, Timed};
use super::authenticator::Authenticator;
use super::file;
use super::generation::FETCH;
use super::json::{self, Recent, Seconds, event_line, lost_line};
use crate::error::{Error, Result};
use crate::fanout::{Counted, Tap, Waker};
use crate::ffi::os;

/// Events that may wait for the disk, some 2.5 MB of them: a write may well take a second, and when all clients come back at once, many
/// decisions are made meanwhile.
const ROOM: usize = 16 * 1024;

/// As many as usually wait at the most: the memory of so many is kept when they are written.
const USUAL: usize = ROOM / 4;

/// Text that is written at once. File systems take it in larger pieces where there is more of it.
const BATCH: usize = 256 * 1024;

/// How long more events are waited for after the first: so a flood of them costs few wake-ups and writes.
const LINGER: Duration = Duration::from_millis(2);

/// Lines after which other threads have their turn, as long as few events wait and nobody for their lines: on a machine with few cores, those
/// who ask or decide would stand still until all is written.
const TURN: u64 = 128;

/// How long after a failure the next attempt is made.
const RETRY: Duration = Duration::from_secs(1);

/// How long dropping waits for a write in progress.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes an authenticator's audit events to a file, a line of JSON each, until dropped. Decisions never wait for it.
///
/// The file is appended to; one that is not there is created for its owner alone (mode 0600). Before lines are written, it is seen whether the
/// path still names the file that is open: one that was renamed or removed is let go, and another opened or created. So log rotation needs
/// no signal; with one, call [`reopen`](Self::reopen). (For `logrotate`: `nocreate`, or the new file may be made twice.)
///
/// Where nothing can be written (no space, no permission), lines wait, and it is tried again each second. 16 384 events
/// are kept, and the others counted as [`lost`](AuditFile::lost). Once writing works again, a line says how many, in
/// the place where they are missing. What was written in part is completed; where it cannot be (the file is another one now), it ends
/// there, and the line is written anew on a line of its own.
///
/// # Fields
/// Each line is an object with `time` (RFC 3339, UTC, microseconds) and `event`, and what belongs to that event:
///
/// | `event` | fields |
/// |---|---|
/// | `decision` | `verdict` (`admitted`, `deferred`, `refused`), `status` (200 to 500), `reason` ([`Reason::name`](super::Reason::name)), `domain`, `mechanism`, `address`, `identity` (text, or null for NULL), `fingerprint` (of the key; null but for CURVE) |
/// | `malformed` | `problem` |
/// | `closed` | `domain`, `address`, `since` (a time), `admitted` (whether it is certainly one of the candidates), `candidates` (a list of objects with `mechanism` and `identity`) |
/// | `locked_out` | `domain`, `address` (a block), `mechanism`, `identity` (each null where it does not matter), `seconds` |
/// | `too_many_connections` | `domain`, `address`, `limit`, `most` |
/// | `clock_jumped` | `expected`, `found` (times) |
/// | `config_changed` | `path`, `needs_restart` (keys, with blanks between them) |
/// | `config_refused` | `path`, `line` (or null), `reason` |
/// | `handler_died` | |
/// | `lost` | `lost` (how many events are missing here) |
///
/// Fields and events may be added, never changed. No field holds a secret.
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// # use ironhouse::security::{Authenticator, JsonLines};
/// # use std::time::Duration;
/// # let context = ironhouse::Context::new()?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("audit.jsonl");
/// let authenticator = Authenticator::start(&context)?;
/// let file = JsonLines::open(path, &authenticator)?;
/// // ...
/// file.flush(Duration::from_secs(1))?;
/// assert_eq!(file.status().lost, 0);
/// # Ok(())
/// # }
/// ```
pub struct JsonLines {
    progress: Arc<Progress>,
    waker: Waker<Timed>,
    thread: Option<os::Thread>,
}

/// How a file of audit events fares.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditFile {
    /// Its path.
    pub path: PathBuf,
    /// Lines written to it.
    pub lines: u64,
    /// Events that will not be written, as too many waited.
    pub lost: u64,
    /// Why nothing can be written, and since when, if it is so.
    pub failing: Option<(String, SystemTime)>,
}

/// What the thread and others share.
pub(super) struct Progress {
    path: PathBuf,
    lost: Arc<AtomicU64>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: u64,
    failing: Option<(String, SystemTime)>,
    reopen: bool,
    stop: bool,
    /// How often it was asked that all be written, and how many of these are answered.
    asked: u64,
    answered: u64,
    ended: bool,
}

impl JsonLines {
    /// Writes the events of `authenticator` from now on to the file at `path`. Its directory must be there.
    ///
    /// # Errors
    /// [`Error::Io`]: the file can be neither opened nor created. [`Error::Os`]: no thread can be started.
    pub fn open(path: impl AsRef<Path>, authenticator: &Authenticator) -> Result<Self> {
        Ready::at(path.as_ref())?.write(authenticator.audit())
    }

    fn follow(ready: Ready, events: Tap<Timed>) -> Result<Self> {
        let progress = Arc::new(Progress {
            path: ready.path,
            lost: events.missing(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let waker = events.waker();
        let writer = Writer {
            progress: progress.clone(),
            text: Text::new(),
            open: Some(ready.open),
            noted: 0,
            taken: Counted::new(),
            events,
        };
        let thread = os::spawn("ironhouse-audit", move || writer.run())?;
        Ok(Self {
            progress,
            waker,
            thread: Some(thread),
        })
    }

    /// Has the path opened anew before the next line is written, as after a signal that says so; where writing failed, at once.
    pub fn reopen(&self) {
        self.tell(|state| state.reopen = true);
    }

    /// Returns once every event before the call is in the hands of the operating system.
    ///
    /// # Errors
    /// [`Error::Again`]: not within `timeout`; [`status`](Self::status) may say why.
    pub fn flush(&self, timeout: Duration) -> Result<()> {
        let mut asked = 0;
        self.tell(|state| {
            state.asked += 1;
            asked = state.asked;
        });
        let start = Instant::now();
        let mut state = self.progress.state();
        while state.answered < asked {
            let left = timeout.checked_sub(start.elapsed());
            let (false, Some(left)) = (state.ended, left) else {
                return Err(Error::Again);
            };
            state = self.progress.wait(state, left);
        }
        Ok(())
    }

    /// How it fares.
    pub fn status(&self) -> AuditFile {
        self.progress.status()
    }

    fn tell(&self, word: impl FnOnce(&mut State)) {
        word(&mut self.progress.state());
        self.progress.changed.notify_all();
        self.waker.wake();
    }
}

/// A file that can be written to.
pub(super) struct Ready {
    path: PathBuf,
    open: Open,
}

impl Ready {
    /// Opens the file, or creates it.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let path = file::absolute(path)?;
        match Open::at(&path) {
            Ok(open) => Ok(Self { path, open }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Writes the events from now on to it.
    pub(super) fn write(self, audit: &Audit) -> Result<JsonLines> {
        let writer = JsonLines::follow(self, audit.tap_with_room(ROOM))?;
        audit.add_file(Arc::downgrade(&writer.progress));
        Ok(writer)
    }
}

/// Writes what there is, but does not wait for what cannot be written.
impl Drop for JsonLines {
    fn drop(&mut self) {
        self.tell(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            thread.join_within(PATIENCE);
        }
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonLines").field(&self.status()).finish()
    }
}

/// Such as `/var/log/audit.jsonl: 12 lines, 0 lost`.
impl fmt::Display for AuditFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "{path}: {} lines, {} lost", self.lines, self.lost)?;
        self.failing.iter().try_for_each(|(reason, since)| {
            let since = Seconds(*since);
            write!(f, "; cannot be written since {since}: {reason}")
        })
    }
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, timeout);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn status(&self) -> AuditFile {
        let state = self.state();
        AuditFile {
            path: self.path.clone(),
            lines: state.lines,
            lost: self.lost.load(Ordering::Relaxed),
            failing: state.failing.clone(),
        }
    }
}

/// The thread.
struct Writer {
    progress: Arc<Progress>,
    events: Tap<Timed>,
    /// Those of them that are not written as lines yet.
    taken: Counted<Timed>,
    /// `None` after a failure.
    open: Option<Open>,
    text: Text,
    /// Missed events that a line tells of.
    noted: u64,
}

impl Writer {
    fn run(mut self) {
        let mut ended = false;
        while !ended {
            let (asked, stop, told) = {
                let state = self.progress.state();
                let told = state.stop || state.reopen || state.asked > state.answered;
                (state.asked, state.stop, told)
            };
            let gathered = self.gather(told);
            let written = self.write();
            let mut state = self.progress.state();
            if written && gathered != Gathered::Some {
                state.answered = asked;
            }
            // What came before the word to stop is written, unless it cannot be.
            ended = match gathered {
                Gathered::Some => !written,
                Gathered::All => stop || !written,
                Gathered::Last => true,
            };
            state.ended = ended;
            drop(state);
            self.progress.changed.notify_all();
        }
    }

    /// Takes the events that there are. If there is none, waits for the first one, unless somebody waits for what is written.
    fn gather(&mut self, awaited: bool) -> Gathered {
        // What was taken before is written, whether more comes or not.
        let some = awaited || !self.taken.is_empty();
        let mut patience = some.then_some(Duration::ZERO);
        while self.text.buffer.len() < BATCH {
            if self.taken.len() % FETCH == 0 {
                let next = self.taken.iter().take(FETCH);
                json::fetch(next.map(|(_, event)| event), &self.text.recent);
            }
            if let Some((missed, event)) = self.taken.pop_front() {
                self.note_missed(missed, event.0);
                self.text
                    .push(|recent, buffer| event_line(&event, recent, buffer));
                if !awaited && self.text.lines % TURN == 0 && self.waiting() < USUAL {
                    std::thread::yield_now();
                }
                continue;
            }
            match self.events.take(patience, &mut self.taken) {
                Ok(true) if patience.is_none() => std::thread::sleep(LINGER),
                // Or woken: now what there is.
                Ok(found) if found || patience.is_none() => {}
                end => {
                    self.taken.shrink_to(USUAL);
                    self.note_missed(self.events.missed(), SystemTime::now());
                    return if end.is_err() {
                        Gathered::Last
                    } else {
                        Gathered::All
                    };
                }
            }
            patience = Some(Duration::ZERO);
        }
        Gathered::Some
    }

    /// How many events are not written as lines yet.
    fn waiting(&self) -> usize {
        self.taken.len() + self.events.unread()
    }

    /// Tells of the events that were missed before the next one, of `missed` in all.
    fn note_missed(&mut self, missed: u64, time: SystemTime) {
        if let Some(lost @ 1..) = missed.checked_sub(self.noted) {
            self.noted = missed;
            self.text
                .push(|recent, buffer| lost_line(time, lost, recent, buffer));
        }
    }

    /// Writes the text, as soon as that can be done; false if it could not, and it is time to stop.
    fn write(&mut self) -> bool {
        loop {
            if std::mem::take(&mut self.progress.state().reopen) {
                self.open = None;
            }
            let result = self.text.write(&mut self.open, &self.progress.path);
            let mut state = self.progress.state();
            let Err(error) = result else {
                state.failing = None;
                state.lines += std::mem::take(&mut self.text.lines);
                return true;
            };
            self.open = None;
            let since = match state.failing.take() {
                Some((_, since)) => since,
                None => SystemTime::now(),
            };
            state.failing = Some((error.to_string(), since));
            if state.stop {
                return false;
            }
            let start = Instant::now();
            while !state.stop && !state.reopen {
                let Some(left) = RETRY.checked_sub(start.elapsed()) else {
                    break;
                };
                state = self.progress.wait(state, left);
            }
        }
    }
}

/// What events were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathered {
    /// There may be more.
    Some,
    /// All there were.
    All,
    /// All there will ever be.
    Last,
}

/// Lines on their way to the file.
struct Text {
    buffer: String,
    recent: Recent,
    lines: u64,
    /// Bytes of it that are written.
    written: usize,
    /// The file and its size after the last write failed: if it is still so, the next byte belongs right there.
    cut: Option<((u64, u64), u64)>,
}

impl Text {
    fn new() -> Self {
        Self {
            buffer: String::new(),
            recent: Recent::new(),
            lines: 0,
            written: 0,
            cut: None,
        }
    }

    fn push(&mut self, line: impl FnOnce(&mut Recent, &mut String)) {
        line(&mut self.recent, &mut self.buffer);
        self.lines += 1;
    }

    /// Writes all of it to the file at `path`, which is opened anew unless `open` is that file.
    fn write(&mut self, open: &mut Option<Open>, path: &Path) -> io::Result<()> {
        let open = match open {
            Some(open) if open.is_at(path) => open,
            _ => open.insert(Open::at(path)?),
        };
        let before = self.buffer.as_bytes().get(..self.written);
        let end = before.and_then(|before| before.iter().rposition(|byte| *byte == b'\n'));
        let begun = end.map_or(0, |end| end + 1);
        if begun < self.written && self.cut == Some((open.identity, open.size)) {
            open.ragged = false;
        } else {
            self.written = begun;
        }
        self.cut = None;
        let result = self.append(open);
        if result.is_err() {
            self.cut = open
                .file
                .metadata()
                .ok()
                .map(|meta| (identity(&meta), size(&meta)));
        }
        result
    }

    fn append(&mut self, open: &mut Open) -> io::Result<()> {
        while let Some(rest @ [_, ..]) = self.buffer.as_bytes().get(self.written..) {
            match open.file.write(if open.ragged { b"\n" } else { rest }) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) if open.ragged => open.ragged = false,
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
