//! `Timers`: what is to be done every so often, beside a [`Poller`](super::Poller) on the same thread.

use std::time::Duration;

use super::Context;
use super::options::sealed::Value;
use crate::error::{Error, Result};
use crate::ffi::timers::RawTimers;

/// A set of repeating timers, for the thread that made it.
///
/// Nothing runs by itself: wait with a [`Poller`](super::Poller) for at most [`timeout`](Self::timeout), then see what is
/// [`due`](Self::due).
///
/// ```
/// use ironhouse::socket::{Context, Timers};
/// use std::time::Duration;
/// # fn main() -> ironhouse::Result<()> {
/// let mut timers = Timers::new(&Context::new()?)?;
/// let heartbeat = timers.add(Duration::from_millis(20))?;
/// while !timers.due()?.contains(&heartbeat) {
///     std::thread::sleep(timers.timeout().unwrap_or_default()); // in earnest: poller.wait(timers.timeout())
/// }
/// # Ok(())
/// # }
/// ```
///
/// Source: `zmq_timers(3)`.
#[doc(alias = "zmq_timers_new")]
#[doc(alias = "zloop_timer")]
#[derive(Debug)]
pub struct Timers {
    raw: RawTimers,
    /// Those not taken out: libzmq forgets some time later that one was.
    there: Vec<TimerId>,
}

/// Names a timer of [`Timers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId(i32);

impl Timers {
    /// An empty set, kept by the context's library.
    ///
    /// # Errors
    /// [`Error::Zmq`] where memory is out.
    pub fn new(context: &Context) -> Result<Self> {
        Ok(Self {
            raw: RawTimers::new(context.api())?,
            there: Vec::new(),
        })
    }

    /// Adds a timer that is due after each `interval`: 1 to 2147483647 ms, parts of one rounded up.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an interval out of its range.
    #[doc(alias = "zmq_timers_add")]
    pub fn add(&mut self, interval: Duration) -> Result<TimerId> {
        let timer = TimerId(self.raw.add(milliseconds(interval)?)?);
        self.there.push(timer);
        Ok(timer)
    }

    /// Takes a timer out.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where it is out already.
    #[doc(alias = "zmq_timers_cancel")]
    pub fn cancel(&mut self, timer: TimerId) -> Result<()> {
        self.check(timer)?;
        self.raw.cancel(timer.0)?;
        self.there.retain(|&other| other != timer);
        Ok(())
    }

    /// Gives a timer another interval, which starts now.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an interval out of its range, and for a timer that was taken out.
    #[doc(alias = "zmq_timers_set_interval")]
    pub fn set_interval(&mut self, timer: TimerId, interval: Duration) -> Result<()> {
        self.check(timer)?;
        self.raw.set_interval(timer.0, milliseconds(interval)?)
    }

    /// Starts a timer's interval anew.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a timer that was taken out.
    #[doc(alias = "zmq_timers_reset")]
    pub fn reset(&mut self, timer: TimerId) -> Result<()> {
        self.check(timer)?;
        self.raw.reset(timer.0)
    }

    /// How long it is until the next timer is due, in milliseconds; `None` without a timer. As [`Poller::wait`](super::Poller::wait)
    /// takes it.
    #[doc(alias = "zmq_timers_timeout")]
    pub fn timeout(&mut self) -> Option<Duration> {
        self.raw.timeout().map(Duration::from_millis)
    }

    /// The timers that are due, the longest due first. Each of them starts anew.
    ///
    /// # Errors
    /// [`Error::Zmq`], which libzmq has no reason for.
    #[doc(alias = "zmq_timers_execute")]
    pub fn due(&mut self) -> Result<Vec<TimerId>> {
        Ok(self.raw.execute()?.into_iter().map(TimerId).collect())
    }

    fn check(&self, timer: TimerId) -> Result<()> {
        if self.there.contains(&timer) {
            return Ok(());
        }
        Err(Error::InvalidOption {
            name: "timer",
            reason: "it was taken out, or is of another set".into(),
        })
    }
}

/// An interval as libzmq takes it. One of 0 would have `zmq_timers_execute` call its handler for ever.
fn milliseconds(interval: Duration) -> Result<usize> {
    let name = "timer interval";
    let bytes = interval.encode(name)?;
    match i32::decode(&bytes).and_then(|ms| usize::try_from(ms).ok()) {
        Some(ms) if ms > 0 => Ok(ms),
        _ => Err(Error::InvalidOption {
            name,
            reason: "it takes 1 to 2147483647 ms".into(),
        }),
    }
}
