//! `AuditListener`: audit events handed to a function, by a thread that no decision waits for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::audit::{AuditEvent, Timed};
use super::authenticator::Authenticator;
use crate::error::Result;
use crate::fanout::{Tap, Waker};
use crate::ffi::os;

/// How long, once it is dropped, it goes on with events that came before.
const REST: Duration = Duration::from_secs(1);

/// How long dropping waits for the function.
const PATIENCE: Duration = Duration::from_secs(2);

/// Calls a function with an authenticator's events, one at a time, until dropped or until the authenticator is gone.
///
/// Its thread has all signals blocked. Decisions never wait for it: where the function is slow, it misses what goes beyond 4096 events, and
/// [`Counters::dropped`](super::Counters::dropped) counts them. Dropping hands over what came before, for at most a second, and waits for
/// the function to return, for at most two; dropped by the function itself, it does not wait. A function that panics is not called again.
#[must_use = "dropping it ends it"]
pub struct AuditListener {
    stop: Arc<AtomicBool>,
    waker: Waker<Timed>,
    thread: Option<os::Thread>,
}

impl AuditListener {
    /// Calls `listen` with every event of `authenticator` from now on.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os): no thread can be started.
    pub fn start(
        authenticator: &Authenticator,
        listen: impl FnMut(AuditEvent) + Send + 'static,
    ) -> Result<Self> {
        let events = authenticator.audit().tap();
        let waker = events.waker();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = os::spawn("ironhouse-event", move || run(&events, &told, listen))?;
        Ok(Self {
            stop,
            waker,
            thread: Some(thread),
        })
    }
}

fn run(events: &Tap<Timed>, stop: &AtomicBool, mut listen: impl FnMut(AuditEvent)) {
    let mut end = None;
    loop {
        if end.is_none() && stop.load(Ordering::Acquire) {
            end = Some(Instant::now() + REST);
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return;
        }
        match events.next(end.map(|_| Duration::ZERO)) {
            Ok(Some((_, event))) => listen(event),
            Ok(None) if end.is_none() => {}
            _ => return,
        }
    }
}

impl Drop for AuditListener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join_within(PATIENCE);
        }
    }
}

impl fmt::Debug for AuditListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditListener(..)")
    }
}

#[cfg(all(test, feature = "linked"))]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::Context;
    use crate::security::zap::ZapProblem;

    const SOON: Duration = Duration::from_secs(20);

    fn emit(authenticator: &Authenticator) {
        let problem = ZapProblem::FrameCount(0);
        authenticator
            .audit()
            .emit(|| AuditEvent::Malformed(problem));
    }

    fn telling(events: Sender<&'static str>) -> impl FnMut(AuditEvent) + Send + 'static {
        move |event| {
            let _ = events.send(event.name());
        }
    }

    #[test]
    fn events_before_the_end_of_the_listener_are_heard() {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (sender, heard) = channel();
        let listener = AuditListener::start(&authenticator, telling(sender)).unwrap();
        (0..3).for_each(|_| emit(&authenticator));
        drop(listener);
        // The function is gone, and so is its end of the channel.
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["malformed"; 3]);
        emit(&authenticator);
    }

    #[test]
    fn listener_ends_with_its_authenticator() {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (sender, heard) = channel();
        let listener = AuditListener::start(&authenticator, telling(sender)).unwrap();
        emit(&authenticator);
        drop(authenticator);
        assert_eq!(heard.recv_timeout(SOON), Ok("malformed"));
        assert!(heard.recv_timeout(SOON).is_err());
        drop(listener);
    }

    #[test]
    fn function_that_drops_its_listener_does_not_wait_for_itself() {
        let context = Context::new().unwrap();
        let authenticator = Authenticator::start(&context).unwrap();
        let (give, given) = channel::<AuditListener>();
        let (sender, heard) = channel();
        let listener = AuditListener::start(&authenticator, move |_| {
            drop(given.recv_timeout(SOON));
            sender.send(()).unwrap();
        });
        give.send(listener.unwrap()).unwrap();
        emit(&authenticator);
        assert_eq!(heard.recv_timeout(SOON), Ok(()));
    }
}
