//! `RawTimers`: libzmq's timers, whose handler only notes which one is due.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use zmq_sys_wrap::Api;

use super::{check, last_error};
use crate::error::Result;

/// A set of timers. It stays on its thread, as `zmq_timers(3)` wants: the pointers make it neither `Send` nor `Sync`.
#[derive(Debug)]
pub(crate) struct RawTimers {
    api: &'static Api,
    timers: NonNull<c_void>,
    /// The ids that `execute` found due: the handler's argument, so it stays in one place.
    due: NonNull<Vec<c_int>>,
}

impl RawTimers {
    pub(crate) fn new(api: &'static Api) -> Result<Self> {
        // SAFETY: zmq_timers_new has no precondition.
        let timers = unsafe { (api.timers_new)() };
        let timers = NonNull::new(timers).ok_or_else(|| last_error(api, "zmq_timers_new"))?;
        let due = NonNull::from(Box::leak(Box::default()));
        Ok(Self { api, timers, due })
    }

    pub(crate) fn add(&mut self, milliseconds: usize) -> Result<c_int> {
        // SAFETY: the timers are live; the handler takes `due`, which lives as long as they do.
        let rc = unsafe {
            (self.api.timers_add)(
                self.timers.as_ptr(),
                milliseconds,
                Some(note),
                self.due.as_ptr().cast(),
            )
        };
        check(self.api, rc, "zmq_timers_add")
    }

    pub(crate) fn cancel(&mut self, id: c_int) -> Result<()> {
        // SAFETY: the timers are live; an unknown id is refused.
        let rc = unsafe { (self.api.timers_cancel)(self.timers.as_ptr(), id) };
        check(self.api, rc, "zmq_timers_cancel").map(drop)
    }

    pub(crate) fn set_interval(&mut self, id: c_int, milliseconds: usize) -> Result<()> {
        // SAFETY: as in `cancel`.
        let rc = unsafe { (self.api.timers_set_interval)(self.timers.as_ptr(), id, milliseconds) };
        check(self.api, rc, "zmq_timers_set_interval").map(drop)
    }

    pub(crate) fn reset(&mut self, id: c_int) -> Result<()> {
        // SAFETY: as in `cancel`.
        let rc = unsafe { (self.api.timers_reset)(self.timers.as_ptr(), id) };
        check(self.api, rc, "zmq_timers_reset").map(drop)
    }

    /// Milliseconds until the next timer is due; `None` without a timer.
    pub(crate) fn timeout(&mut self) -> Option<u64> {
        // SAFETY: the timers are live.
        let left = unsafe { (self.api.timers_timeout)(self.timers.as_ptr()) };
        u64::try_from(left).ok()
    }

    /// The ids of the timers that are due; each starts anew.
    pub(crate) fn execute(&mut self) -> Result<Vec<c_int>> {
        // SAFETY: the timers are live, and nothing refers to `due` while the handler writes to it.
        let rc = unsafe { (self.api.timers_execute)(self.timers.as_ptr()) };
        check(self.api, rc, "zmq_timers_execute")?;
        // SAFETY: the vector is live, and the handler runs during `execute` only.
        let due = unsafe { self.due.as_mut() };
        Ok(std::mem::take(due))
    }
}

impl Drop for RawTimers {
    fn drop(&mut self) {
        let mut timers = self.timers.as_ptr();
        // SAFETY: the timers are live and not used again; the call sets our local pointer to null.
        unsafe { (self.api.timers_destroy)(&mut timers) };
        // SAFETY: made by `Box::leak` in `new`, and no timer is left that would refer to it.
        drop(unsafe { Box::from_raw(self.due.as_ptr()) });
    }
}

/// What libzmq calls for each timer that is due.
unsafe extern "C" fn note(id: c_int, due: *mut c_void) {
    // SAFETY: `add` gave the vector, which outlives the timers; `execute` has it borrowed mutably and does not look at it meanwhile.
    let due = unsafe { &mut *due.cast::<Vec<c_int>>() };
    due.push(id);
}
