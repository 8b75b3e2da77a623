//! Events to any number of readers, each with a bounded queue of its own: who reports never waits, and nothing grows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{self, Context, Poll};
use std::time::{Duration, Instant};

/// Events that most readers may leave unread before they miss some.
const QUEUE: usize = 4096;

/// The reporting end.
#[derive(Debug)]
pub(crate) struct Fanout<T> {
    /// Whether anybody reads: an event that nobody reads is not even made.
    read: AtomicBool,
    /// `None` once there will be no more events.
    readers: Mutex<Option<Vec<Reader<T>>>>,
}

/// One reader, as the reporting end holds it.
#[derive(Debug)]
struct Reader<T>(Arc<Queue<T>>);

/// A reading end.
#[derive(Debug)]
pub(crate) struct Tap<T>(Arc<Queue<T>>);

/// Ends the wait of one reader early.
#[derive(Debug)]
pub(crate) struct Waker<T>(Weak<Queue<T>>);

/// Events, each with how many this reader missed before it in all.
pub(crate) type Counted<T> = VecDeque<(u64, T)>;

/// There will be no more events, and all were read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// What one reader has not read yet.
#[derive(Debug)]
struct Queue<T> {
    state: Mutex<State<T>>,
    /// Most events to be kept.
    room: usize,
    /// What a thread waits for.
    news: Condvar,
    missed: Arc<AtomicU64>,
}

#[derive(Debug)]
struct State<T> {
    events: Counted<T>,
    /// Whether a thread waits: to wake one costs a system call.
    waits: bool,
    /// The task that waits.
    task: Option<task::Waker>,
    /// Whether the reader is to stop waiting.
    woken: bool,
    /// Whether there will be no more events.
    closed: bool,
    /// Whether nobody reads any more.
    left: bool,
}

impl<T: Clone> Fanout<T> {
    pub(crate) fn new() -> Self {
        Self {
            read: AtomicBool::new(false),
            readers: Mutex::new(Some(Vec::new())),
        }
    }

    /// A reader of all events from now on; one that gets none where there will be none.
    pub(crate) fn tap(&self) -> Tap<T> {
        self.tap_with_room(QUEUE)
    }

    /// The same, which may leave so many events unread before it misses some.
    pub(crate) fn tap_with_room(&self, room: usize) -> Tap<T> {
        let reader = Reader(Arc::new(Queue::new(room)));
        let tap = Tap(reader.0.clone());
        // Where there will be no more events, the reader ends as it is dropped.
        if let Some(readers) = &mut *self.readers() {
            readers.push(reader);
            self.read.store(true, Ordering::Release);
        }
        tap
    }

    /// Whether anybody reads, as far as is known without looking.
    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::Acquire)
    }

    /// Reports an event; how many readers miss it.
    pub(crate) fn emit(&self, event: impl FnOnce() -> T) -> u64 {
        if !self.is_read() {
            return 0;
        }
        let mut event = Some(event());
        self.hand_out(|reader, last| {
            if last {
                reader.put(event.take())
            } else {
                reader.put(event.clone())
            }
        })
    }

    /// Reports events in this order, and leaves none; how many are missed, by all readers together.
    pub(crate) fn emit_all(&self, events: &mut Vec<T>) -> u64 {
        let missing = self.hand_out(|reader, last| {
            if last {
                reader.put(events.drain(..))
            } else {
                reader.put(events.iter().cloned())
            }
        });
        events.clear();
        missing
    }

    /// Has `put` called for each reader; whether it is the last one, which may have the events themselves.
    fn hand_out(&self, mut put: impl FnMut(&Queue<T>, bool) -> Option<u64>) -> u64 {
        let mut missing = 0;
        if let Some(readers) = &mut *self.readers() {
            let mut left = readers.len();
            let mut gone = false;
            for reader in &*readers {
                left -= 1;
                match put(&reader.0, left == 0) {
                    Some(missed) => missing += missed,
                    None => gone = true,
                }
            }
            if gone {
                readers.retain(|reader| !reader.0.state().left);
                self.read.store(!readers.is_empty(), Ordering::Release);
            }
        }
        missing
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.readers().is_none()
    }

    /// Ends the events: readers get what is in their queues, and then [`Closed`].
    pub(crate) fn close(&self) {
        *self.readers() = None;
    }

    fn readers(&self) -> MutexGuard<'_, Option<Vec<Reader<T>>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.0.tell(|state| state.closed = true);
    }
}

impl<T> Drop for Tap<T> {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.0.state();
            state.left = true;
            std::mem::take(&mut state.events)
        };
        // Without the lock: what an event owns may report another when it is dropped.
        drop(unread);
    }
}

impl<T> Queue<T> {
    fn new(room: usize) -> Self {
        Self {
            room,
            state: Mutex::new(State {
                events: VecDeque::new(),
                waits: false,
                task: None,
                woken: false,
                closed: false,
                left: false,
            }),
            news: Condvar::new(),
            missed: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes who waits for that.
    fn tell<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        let (waits, task) = (std::mem::take(&mut state.waits), state.task.take());
        drop(state);
        if waits {
            self.news.notify_one();
        }
        if let Some(task) = task {
            task.wake();
        }
        result
    }

    /// How many of these events this reader misses; `None` where there is no reader any more.
    fn put(&self, events: impl IntoIterator<Item = T>) -> Option<u64> {
        let mut events = events.into_iter();
        self.tell(|state| {
            if state.left {
                return None;
            }
            // Changed only here, under the lock.
            let before = self.missed.load(Ordering::Relaxed);
            let room = self.room.saturating_sub(state.events.len());
            let fitting = events.by_ref().take(room);
            state.events.extend(fitting.map(|event| (before, event)));
            let missed = events.count() as u64;
            if missed > 0 {
                self.missed.store(before + missed, Ordering::Relaxed);
            }
            Some(missed)
        })
    }

    /// What `take` takes from the events; waits at most `timeout` (`None`: as long as it takes) until there is one. `None` when none came in
    /// time, or the reader was woken: where there is no wait, there is none to be woken from.
    fn wait<R>(
        &self,
        timeout: Option<Duration>,
        take: impl FnOnce(&mut Counted<T>) -> R,
    ) -> Result<Option<R>, Closed> {
        let mut deadline = None;
        let mut state = self.state();
        loop {
            let woken = std::mem::take(&mut state.woken);
            if !state.events.is_empty() {
                return Ok(Some(take(&mut state.events)));
            }
            if state.closed {
                return Err(Closed);
            }
            if woken || timeout == Some(Duration::ZERO) {
                return Ok(None);
            }
            state.waits = true;
            let Some(timeout) = timeout else {
                let waited = self.news.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // A time beyond all times never comes.
            let deadline = *deadline.get_or_insert_with(|| Instant::now().checked_add(timeout));
            let left = deadline.map_or(timeout, |it| it.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                state.waits = false;
                return Ok(None);
            }
            let waited = self.news.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Tap<T> {
    /// The next event; where there is none, the task is woken when there may be one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        let mut state = self.0.state();
        match state.events.pop_front() {
            Some((_, event)) => Poll::Ready(Ok(event)),
            None if state.closed => Poll::Ready(Err(Closed)),
            None => {
                state.task = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next event, waiting at most `timeout` (`None`: as long as it takes); `None` when none came in time, or when it was woken.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Result<Option<T>, Closed> {
        let event = self.0.wait(timeout, VecDeque::pop_front)?;
        Ok(event.flatten().map(|(_, event)| event))
    }

    /// Appends all events that there are to `events`, waiting as [`next`](Self::next) does for the first; whether there were any.
    pub(crate) fn take(
        &self,
        timeout: Option<Duration>,
        events: &mut Counted<T>,
    ) -> Result<bool, Closed> {
        let taken = self.0.wait(timeout, |unread| {
            // The room goes back and forth, so that neither has to grow again.
            if events.is_empty() {
                std::mem::swap(events, unread);
            } else {
                events.append(unread);
            }
        })?;
        Ok(taken.is_some())
    }

    /// How many events are there to be taken.
    pub(crate) fn unread(&self) -> usize {
        self.0.state().events.len()
    }

    /// What ends a wait of this reader early, as if its time were up.
    pub(crate) fn waker(&self) -> Waker<T> {
        Waker(Arc::downgrade(&self.0))
    }

    /// How many events this reader did not get because its queue was full.
    pub(crate) fn missed(&self) -> u64 {
        self.0.missed.load(Ordering::Relaxed)
    }

    /// The same count, for others.
    pub(crate) fn missing(&self) -> Arc<AtomicU64> {
        self.0.missed.clone()
    }
}

impl<T> Waker<T> {
    /// Wakes the reader; one that does not wait does not wait the next time.
    pub(crate) fn wake(&self) {
        if let Some(queue) = self.0.upgrade() {
            queue.tell(|state| state.woken = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_gets_every_event_and_then_the_end() {
        let fanout = Fanout::new();
        let taps = [fanout.tap(), fanout.tap()];
        fanout.emit(|| 1);
        fanout.emit_all(&mut vec![2, 3]);
        fanout.close();
        assert_eq!(fanout.emit(|| 4), 0);
        assert_eq!(fanout.emit_all(&mut vec![5]), 0);
        for tap in taps {
            for expected in 1..=3 {
                assert_eq!(tap.next(None), Ok(Some(expected)));
            }
            assert_eq!(tap.next(None), Err(Closed));
        }
        assert_eq!(fanout.tap().next(None), Err(Closed));
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_the_oldest_and_counts_the_rest() {
        let fanout = Fanout::new();
        let tap = fanout.tap();
        let roomy = fanout.tap_with_room(QUEUE + 2);
        let missing: u64 = (0..QUEUE + 3).map(|n| fanout.emit(|| n)).sum();
        assert_eq!((missing, tap.missed(), roomy.missed()), (4, 3, 1));
        drop(roomy);
        let mut more = vec![7; 2];
        assert_eq!((fanout.emit_all(&mut more), tap.missed()), (2, 5));
        assert!(more.is_empty());
        assert_eq!(tap.next(None), Ok(Some(0)));
        // The first one behind the gap knows of it.
        assert_eq!(fanout.emit(|| 9999), 0);
        let mut events = Counted::new();
        assert_eq!(tap.take(None, &mut events), Ok(true));
        let expected = (1..QUEUE).map(|n| (0, n)).chain([(5, 9999)]);
        assert!(events.iter().copied().eq(expected));
        // Others are put behind them, and then there is none.
        fanout.emit(|| 1);
        assert_eq!(tap.take(None, &mut events), Ok(true));
        assert_eq!((events.len(), events.back()), (QUEUE + 1, Some(&(5, 1))));
        assert_eq!(tap.take(Some(Duration::ZERO), &mut events), Ok(false));
    }

    #[test]
    fn a_woken_reader_waits_no_longer_and_the_end_is_not_delayed_by_who_could_wake() {
        let fanout = Fanout::new();
        let tap = fanout.tap();
        let waker = tap.waker();
        waker.wake();
        assert_eq!(tap.next(None), Ok(None));
        waker.wake();
        fanout.emit(|| 1);
        assert_eq!(tap.next(Some(Duration::ZERO)), Ok(Some(1)));
        fanout.emit(|| 1);
        fanout.close();
        assert_eq!(tap.next(None), Ok(Some(1)));
        assert_eq!(tap.next(None), Err(Closed));
        waker.wake();
    }

    #[test]
    fn a_task_that_polls_is_woken_by_the_next_event_and_by_the_end() {
        struct Woken(AtomicU64);
        impl task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicU64::new(0)));
        let waker = task::Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let fanout = Fanout::new();
        let mut tap = fanout.tap();
        assert_eq!(tap.poll_next(&mut cx), Poll::Pending);
        fanout.emit(|| 1);
        fanout.emit(|| 2);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Ok(1)));
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Ok(2)));
        assert_eq!(tap.poll_next(&mut cx), Poll::Pending);
        // Even while somebody holds the queue.
        let held = tap.0.clone();
        fanout.emit(|| 3);
        fanout.close();
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Ok(3)));
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Err(Closed)));
        drop(held);
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Err(Closed)));
        assert_eq!(fanout.tap().poll_next(&mut cx), Poll::Ready(Err(Closed)));
        let mut tap = Fanout::<u8>::new().tap();
        assert_eq!(tap.poll_next(&mut cx), Poll::Ready(Err(Closed)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_event_that_nobody_reads_is_not_made() {
        let fanout = Fanout::<()>::new();
        fanout.emit(|| panic!("made"));
        drop(fanout.tap());
        fanout.emit(|| ());
        fanout.emit(|| panic!("made"));
    }
}
