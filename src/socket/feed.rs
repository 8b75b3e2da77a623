//! `MonitorFeed`: what a host's own monitor tells, on its way to us. For the C interface.

use std::sync::{Arc, Mutex, PoisonError};

use zmq_sys_wrap::zmq;

use super::monitor::{EventKind, Monitor, MonitorEvent};
use super::watch::Watch;
use crate::fanout::Fanout;

/// Takes the reports of a monitor that a host has of its socket by itself: libzmq has one for each, so ours would end the host's.
///
/// Reports are taken in their order, by one thread at a time. They end with [`ZMQ_EVENT_MONITOR_STOPPED`](zmq::ZMQ_EVENT_MONITOR_STOPPED),
/// or when the feed is dropped.
#[doc(hidden)]
pub struct MonitorFeed(Mutex<Option<Sink>>);

type Sink = Box<dyn FnMut(MonitorEvent) + Send>;

/// Ends its readers' waiting when it is dropped.
struct Readers(Fanout<MonitorEvent>);

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl MonitorFeed {
    /// To a reader, for whom it stands for libzmq's monitor.
    pub(super) fn to_monitor() -> (Self, Monitor) {
        let readers = Readers(Fanout::new());
        let monitor = Monitor(readers.0.tap());
        let sink = move |event| {
            readers.0.emit(|| event);
        };
        (Self::to(sink), monitor)
    }

    /// To what watches over a socket of a host's.
    pub(crate) fn to_watch(watch: Arc<dyn Watch>) -> Self {
        Self::to(move |event| {
            watch.observe(&event);
            // Nobody looks at the messages, so none is waited for.
            watch.drained();
        })
    }

    fn to(sink: impl FnMut(MonitorEvent) + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(sink))))
    }

    /// Takes a report: the event's number and value, and the endpoint, as `zmq_socket_monitor(3)` defines them.
    pub fn report(&self, event: u16, value: u32, endpoint: &[u8]) {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if u32::from(event) == zmq::ZMQ_EVENT_MONITOR_STOPPED {
            let ended = sink.take();
            drop(sink);
            drop(ended);
        } else if let Some(hand_on) = &mut *sink {
            hand_on(MonitorEvent {
                kind: EventKind::of(event, value),
                endpoint: String::from_utf8_lossy(endpoint).into_owned(),
                peer: None,
            });
        }
    }
}

impl std::fmt::Debug for MonitorFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MonitorFeed(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Error;

    const SOON: Option<Duration> = Some(Duration::from_secs(20));

    #[test]
    fn reports_are_read_as_those_of_libzmq() {
        let (feed, monitor) = MonitorFeed::to_monitor();
        feed.report(zmq::ZMQ_EVENT_ACCEPTED as u16, 7, b"tcp://127.0.0.1:5555");
        let event = monitor.next(SOON).unwrap().unwrap();
        assert_eq!(event.kind, EventKind::Accepted { fd: 7 });
        assert_eq!(event.endpoint, "tcp://127.0.0.1:5555");
        drop(feed);
        assert!(matches!(monitor.next(SOON), Err(Error::Terminated)));
    }

    #[test]
    fn monitor_that_stopped_ends_its_reader() {
        let (feed, monitor) = MonitorFeed::to_monitor();
        feed.report(zmq::ZMQ_EVENT_MONITOR_STOPPED as u16, 0, b"");
        assert!(matches!(monitor.next(SOON), Err(Error::Terminated)));
        feed.report(zmq::ZMQ_EVENT_CONNECTED as u16, 7, b"tcp://127.0.0.1:1");
        assert!(matches!(monitor.next(SOON), Err(Error::Terminated)));
    }
}
