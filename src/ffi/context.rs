//! `RawContext`: a libzmq context, owned or borrowed.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use zmq_sys_wrap::Api;

use super::os::Process;
use super::{check, last_error};
use crate::error::{Error, Result};

/// A libzmq context and the library it belongs to. An owned one is terminated when it is dropped.
#[derive(Debug)]
pub(crate) struct RawContext {
    api: &'static Api,
    context: NonNull<c_void>,
    /// Whether we made it, and so terminate it.
    owned: bool,
    /// The process that made or borrowed it: a forked child must not touch its parent's context.
    process: Process,
}

// SAFETY: zmq_ctx_new(3): "A 0MQ context is thread safe and may be shared among as many application threads as necessary".
unsafe impl Send for RawContext {}
// SAFETY: as above.
unsafe impl Sync for RawContext {}

impl RawContext {
    pub(crate) fn new(api: &'static Api) -> Result<Self> {
        // SAFETY: zmq_ctx_new has no precondition.
        let context = unsafe { (api.ctx_new)() };
        let context = NonNull::new(context).ok_or_else(|| last_error(api, "zmq_ctx_new"))?;
        Ok(Self {
            api,
            context,
            owned: true,
            process: Process::remember(),
        })
    }

    /// Uses a context that its host goes on owning.
    ///
    /// # Safety
    /// `context` must be a live context of the library behind `api`, and stay so for every call on the result and as long as a
    /// socket made from it is open; it may be shut down or be in termination meanwhile. Dropping the result does not touch it.
    pub(crate) unsafe fn borrow(context: NonNull<c_void>, api: &'static Api) -> Self {
        Self {
            api,
            context,
            owned: false,
            process: Process::remember(),
        }
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.context.as_ptr()
    }

    /// # Errors
    /// [`Error::Forked`].
    pub(super) fn check_process(&self, call: &'static str) -> Result<()> {
        self.process.check(call)
    }

    pub(crate) fn set(&self, option: c_int, value: c_int) -> Result<()> {
        self.check_process("zmq_ctx_set")?;
        // SAFETY: the context is live: we own it, or the caller of `borrow` answers for it.
        let rc = unsafe { (self.api.ctx_set)(self.as_ptr(), option, value) };
        check(self.api, rc, "zmq_ctx_set").map(drop)
    }

    pub(crate) fn get(&self, option: c_int) -> Result<c_int> {
        self.check_process("zmq_ctx_get")?;
        // SAFETY: as in `set`.
        let rc = unsafe { (self.api.ctx_get)(self.as_ptr(), option) };
        check(self.api, rc, "zmq_ctx_get")
    }

    /// Makes every blocking call on this context's sockets return, and every later one fail, with ETERM.
    pub(crate) fn shutdown(&self) -> Result<()> {
        self.check_process("zmq_ctx_shutdown")?;
        // SAFETY: as in `set`.
        let rc = unsafe { (self.api.ctx_shutdown)(self.as_ptr()) };
        check(self.api, rc, "zmq_ctx_shutdown").map(drop)
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        if !self.owned || self.check_process("zmq_ctx_term").is_err() {
            return;
        }
        loop {
            // SAFETY: we own the context and give it up here; after EINTR it is still ours.
            let rc = unsafe { (self.api.ctx_term)(self.as_ptr()) };
            match check(self.api, rc, "zmq_ctx_term") {
                Err(Error::Interrupted) => continue,
                _ => return,
            }
        }
    }
}
