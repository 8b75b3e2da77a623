//! Events to any number of readers, each with a bounded queue of its own: who reports never waits, and nothing grows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{self, Context, Poll};
use std::time::Duration;

/// Events that a reader may leave unread before it misses some.
const QUEUE: usize = 4096;

/// The reporting end.
#[derive(Debug)]
pub(crate) struct Fanout<T> {
    /// Whether anybody reads: an event that nobody reads is not even made.
    read: AtomicBool,
    /// `None` once there will be no more events.
    readers: Mutex<Option<Vec<Reader<T>>>>,
}

#[derive(Debug)]
struct Reader<T> {
    queue: Arc<Queue<T>>,
    missed: Arc<AtomicU64>,
    bell: Arc<Bell>,
}

/// What tells a reader that polls of something new.
#[derive(Debug, Default)]
struct Bell {
    waker: Mutex<Option<task::Waker>>,
    /// Whether there will be no more events. The queue itself may tell a moment too late: a [`Waker`] holds it while it wakes.
    closed: AtomicBool,
}

/// Events, each with how many this reader missed before it; `None` wakes the reader.
type Queue<T> = SyncSender<Option<(u64, T)>>;

/// A reading end.
#[derive(Debug)]
pub(crate) struct Tap<T> {
    events: Receiver<Option<(u64, T)>>,
    queue: Weak<Queue<T>>,
    missed: Arc<AtomicU64>,
    bell: Arc<Bell>,
}

/// Ends the wait of one reader early.
#[derive(Debug)]
pub(crate) struct Waker<T>(Weak<Queue<T>>);

/// There will be no more events, and all were read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl<T: Clone> Fanout<T> {
    pub(crate) fn new() -> Self {
        Self {
            read: AtomicBool::new(false),
            readers: Mutex::new(Some(Vec::new())),
        }
    }

    /// A reader of all events from now on; one that gets none where there will be none.
    pub(crate) fn tap(&self) -> Tap<T> {
        let (queue, events) = sync_channel(QUEUE);
        let queue = Arc::new(queue);
        let tap = Tap {
            events,
            queue: Arc::downgrade(&queue),
            missed: Arc::new(AtomicU64::new(0)),
            bell: Arc::default(),
        };
        if let Some(readers) = &mut *self.readers() {
            readers.push(Reader {
                queue,
                missed: tap.missed.clone(),
                bell: tap.bell.clone(),
            });
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
        let mut missing = 0;
        if let Some(readers) = &mut *self.readers() {
            let mut left = readers.len();
            readers.retain(|reader| {
                left -= 1;
                // The last one gets the event itself.
                let given = if left > 0 {
                    event.clone()
                } else {
                    event.take()
                };
                // Counted only here, under the lock.
                let missed = reader.missed.load(Ordering::Relaxed);
                match reader.queue.try_send(given.map(|event| (missed, event))) {
                    Ok(()) => {
                        reader.bell.ring();
                        true
                    }
                    Err(TrySendError::Full(_)) => {
                        reader.missed.store(missed + 1, Ordering::Relaxed);
                        missing += 1;
                        true
                    }
                    Err(TrySendError::Disconnected(_)) => false,
                }
            });
            self.read.store(!readers.is_empty(), Ordering::Release);
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
        self.bell.closed.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl Bell {
    fn waker(&self) -> MutexGuard<'_, Option<task::Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        let waker = self.waker().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Tap<T> {
    /// The next event; where there is none, the task is woken when there may be one.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        let mut asked = false;
        loop {
            // In this order: what was reported before the end is in the queue by then.
            let closed = self.bell.closed.load(Ordering::Acquire);
            match self.events.try_recv() {
                Ok(Some((_, event))) => return Poll::Ready(Ok(event)),
                Ok(None) => {}
                Err(TryRecvError::Disconnected) => return Poll::Ready(Err(Closed)),
                Err(TryRecvError::Empty) if closed => return Poll::Ready(Err(Closed)),
                Err(TryRecvError::Empty) if asked => return Poll::Pending,
                Err(TryRecvError::Empty) => {
                    *self.bell.waker() = Some(cx.waker().clone());
                    asked = true;
                }
            }
        }
    }

    /// The next event, waiting at most `timeout` (`None`: as long as it takes); `None` when none came in time.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Result<Option<T>, Closed> {
        let event = self.next_counted(timeout)?;
        Ok(event.map(|(_, event)| event))
    }

    /// The same, with how many events this reader missed before it in all. Where there is no wait, there is none to be woken from.
    pub(crate) fn next_counted(
        &self,
        timeout: Option<Duration>,
    ) -> Result<Option<(u64, T)>, Closed> {
        loop {
            let event = match timeout {
                None => self
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(timeout) => self.events.recv_timeout(timeout),
            };
            match event {
                Ok(None) if timeout == Some(Duration::ZERO) => {}
                Ok(event) => return Ok(event),
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(Closed),
            }
        }
    }

    /// What ends a wait of this reader early, as if its time were up.
    pub(crate) fn waker(&self) -> Waker<T> {
        Waker(self.queue.clone())
    }

    /// How many events this reader did not get because its queue was full.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// The same count, for others.
    pub(crate) fn missing(&self) -> Arc<AtomicU64> {
        self.missed.clone()
    }
}

impl<T> Waker<T> {
    /// Wakes the reader, unless its queue is full: then it does not wait.
    pub(crate) fn wake(&self) {
        if let Some(queue) = self.0.upgrade() {
            let _ = queue.try_send(None);
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
        fanout.close();
        assert_eq!(fanout.emit(|| 2), 0);
        for tap in taps {
            assert_eq!(tap.next(None), Ok(Some(1)));
            assert_eq!(tap.next(None), Err(Closed));
        }
        assert_eq!(fanout.tap().next(None), Err(Closed));
    }

    #[test]
    fn a_reader_that_does_not_read_keeps_the_oldest_and_counts_the_rest() {
        let fanout = Fanout::new();
        let tap = fanout.tap();
        let missing: u64 = (0..QUEUE + 3).map(|n| fanout.emit(|| n)).sum();
        assert_eq!((missing, tap.missed()), (3, 3));
        assert_eq!(tap.next_counted(None), Ok(Some((0, 0))));
        // The first one behind the gap knows of it.
        assert_eq!(fanout.emit(|| 9999), 0);
        for n in 1..QUEUE {
            assert_eq!(tap.next_counted(None), Ok(Some((0, n))));
        }
        assert_eq!(tap.next_counted(None), Ok(Some((3, 9999))));
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
        let held = tap.queue.upgrade();
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
