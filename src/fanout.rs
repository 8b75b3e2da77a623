//! Events to any number of readers, each with a bounded queue of its own: who reports never waits, and nothing grows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    queue: SyncSender<T>,
    missed: Arc<AtomicU64>,
}

/// A reading end.
#[derive(Debug)]
pub(crate) struct Tap<T> {
    events: Receiver<T>,
    missed: Arc<AtomicU64>,
}

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
        let missed = Arc::new(AtomicU64::new(0));
        if let Some(readers) = &mut *self.readers() {
            readers.push(Reader {
                queue,
                missed: missed.clone(),
            });
            self.read.store(true, Ordering::Release);
        }
        Tap { events, missed }
    }

    /// Whether anybody reads, as far as is known without looking.
    pub(crate) fn is_read(&self) -> bool {
        self.read.load(Ordering::Acquire)
    }

    /// Reports an event.
    pub(crate) fn emit(&self, event: impl FnOnce() -> T) {
        if !self.is_read() {
            return;
        }
        let event = event();
        if let Some(readers) = &mut *self.readers() {
            readers.retain(|reader| match reader.queue.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    reader.missed.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Err(TrySendError::Disconnected(_)) => false,
            });
            self.read.store(!readers.is_empty(), Ordering::Release);
        }
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

impl<T> Tap<T> {
    /// The next event, waiting at most `timeout` (`None`: as long as it takes); `None` when none came in time.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Result<Option<T>, Closed> {
        let event = match timeout {
            None => self
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(timeout) => self.events.recv_timeout(timeout),
        };
        match event {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }

    /// How many events this reader did not get because its queue was full.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
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
        fanout.emit(|| 2);
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
        (0..QUEUE + 3).for_each(|n| fanout.emit(|| n));
        assert_eq!(tap.missed(), 3);
        assert_eq!(tap.next(None), Ok(Some(0)));
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
