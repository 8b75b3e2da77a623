//! `RawSocket`: a libzmq socket that is closed when it is dropped.

use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use zmq_sys_wrap::Api;
use zmq_sys_wrap::zmq::{ZMQ_EVENT_ALL, ZMQ_FD};

use super::context::RawContext;
use super::message::RawMessage;
use super::os::Process;
use super::{check, last_error};
use crate::error::Result;

/// A socket of one libzmq.
#[derive(Debug)]
pub(crate) struct RawSocket {
    api: &'static Api,
    socket: NonNull<c_void>,
    /// The process that made it: closing it in a forked child would disturb the parent's.
    process: Process,
}

// SAFETY: zmq_socket(3): a socket may be migrated "from one thread to another as long as it's done with a full fence memory
// barrier", which moving a value between threads is. It may not be used by two threads at a time: so there is no `Sync`.
unsafe impl Send for RawSocket {}

impl RawSocket {
    /// The caller keeps `context` alive longer than the socket.
    pub(crate) fn open(context: &RawContext, kind: c_int) -> Result<Self> {
        context.check_process("zmq_socket")?;
        let api = context.api();
        // SAFETY: the context is live.
        let socket = unsafe { (api.socket)(context.as_ptr(), kind) };
        let socket = NonNull::new(socket).ok_or_else(|| last_error(api, "zmq_socket"))?;
        Ok(Self {
            api,
            socket,
            process: Process::remember(),
        })
    }

    /// Uses a socket that its host goes on owning: it is not closed.
    ///
    /// # Safety
    /// `socket` is a socket of the library behind `api`, open and used by no other thread as long as the result is used.
    pub(crate) unsafe fn borrow(socket: NonNull<c_void>, api: &'static Api) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self {
            api,
            socket,
            process: Process::remember(),
        })
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    pub(crate) fn as_ptr(&self) -> *mut c_void {
        self.socket.as_ptr()
    }

    #[cfg(feature = "draft")]
    pub(super) fn as_non_null(&self) -> NonNull<c_void> {
        self.socket
    }

    /// Whether this process made the socket; a forked child only has its parent's memory of it.
    pub(crate) fn is_ours(&self) -> bool {
        self.process == Process::current()
    }

    /// # Errors
    /// [`Error::Forked`](crate::Error::Forked).
    pub(super) fn check_process(&self, call: &'static str) -> Result<()> {
        self.process.check(call)
    }

    pub(crate) fn set(&self, option: c_int, value: &[u8]) -> Result<()> {
        self.check_process("zmq_setsockopt")?;
        // SAFETY: the socket is open; libzmq reads `len` bytes and keeps a copy of its own.
        let rc = unsafe {
            (self.api.setsockopt)(self.as_ptr(), option, value.as_ptr().cast(), value.len())
        };
        check(self.api, rc, "zmq_setsockopt").map(drop)
    }

    /// Reads an option into `value`; how many bytes of it were written.
    pub(crate) fn get(&self, option: c_int, value: &mut [u8]) -> Result<usize> {
        self.check_process("zmq_getsockopt")?;
        let mut len = value.len();
        // SAFETY: the socket is open; libzmq writes at most `len` bytes and then the length.
        let rc = unsafe {
            (self.api.getsockopt)(self.as_ptr(), option, value.as_mut_ptr().cast(), &mut len)
        };
        check(self.api, rc, "zmq_getsockopt")?;
        Ok(len)
    }

    /// The descriptor behind ZMQ_FD.
    pub(crate) fn event_fd(&self) -> Result<BorrowedFd<'_>> {
        let mut fd = [0; size_of::<c_int>()];
        self.get(ZMQ_FD as c_int, &mut fd)?;
        // SAFETY: the descriptor belongs to the socket, which is open as long as it is borrowed.
        Ok(unsafe { BorrowedFd::borrow_raw(c_int::from_ne_bytes(fd)) })
    }

    /// What the socket is ready for, after it has taken note of everything that came up to now.
    #[cfg(feature = "tokio")]
    pub(crate) fn events(&self) -> Result<u32> {
        let mut events = [0; size_of::<c_int>()];
        self.get(zmq_sys_wrap::zmq::ZMQ_EVENTS as c_int, &mut events)?;
        Ok(c_int::from_ne_bytes(events) as u32)
    }

    pub(crate) fn bind(&self, endpoint: &CStr) -> Result<()> {
        self.check_process("zmq_bind")?;
        // SAFETY: the socket is open and the text ends in NUL.
        let rc = unsafe { (self.api.bind)(self.as_ptr(), endpoint.as_ptr()) };
        check(self.api, rc, "zmq_bind").map(drop)
    }

    pub(crate) fn connect(&self, endpoint: &CStr) -> Result<()> {
        self.check_process("zmq_connect")?;
        // SAFETY: as in `bind`.
        let rc = unsafe { (self.api.connect)(self.as_ptr(), endpoint.as_ptr()) };
        check(self.api, rc, "zmq_connect").map(drop)
    }

    pub(crate) fn unbind(&self, endpoint: &CStr) -> Result<()> {
        self.check_process("zmq_unbind")?;
        // SAFETY: as in `bind`.
        let rc = unsafe { (self.api.unbind)(self.as_ptr(), endpoint.as_ptr()) };
        check(self.api, rc, "zmq_unbind").map(drop)
    }

    pub(crate) fn disconnect(&self, endpoint: &CStr) -> Result<()> {
        self.check_process("zmq_disconnect")?;
        // SAFETY: as in `bind`.
        let rc = unsafe { (self.api.disconnect)(self.as_ptr(), endpoint.as_ptr()) };
        check(self.api, rc, "zmq_disconnect").map(drop)
    }

    /// Sends a message of this socket's own library. On success libzmq has it; on failure the caller still does.
    pub(crate) fn send(&self, message: &mut RawMessage, flags: c_int) -> Result<()> {
        self.check_process("zmq_msg_send")?;
        debug_assert!(std::ptr::eq(self.api, message.api()));
        // SAFETY: socket and message are valid and of one library; afterwards the message is empty or unchanged.
        let rc = unsafe { (self.api.msg_send)(message.as_mut_ptr(), self.as_ptr(), flags) };
        check(self.api, rc, "zmq_msg_send")?;
        message.changed(Some(0));
        Ok(())
    }

    /// Sends a copy of `bytes` as one frame.
    pub(crate) fn send_copy(&self, bytes: &[u8], flags: c_int) -> Result<()> {
        self.check_process("zmq_send")?;
        // SAFETY: the socket is open; libzmq copies `len` bytes.
        let rc =
            unsafe { (self.api.send)(self.as_ptr(), bytes.as_ptr().cast(), bytes.len(), flags) };
        check(self.api, rc, "zmq_send").map(drop)
    }

    /// Receives one frame in the place of what `message` held.
    pub(crate) fn recv(&self, message: &mut RawMessage, flags: c_int) -> Result<()> {
        self.check_process("zmq_msg_recv")?;
        debug_assert!(std::ptr::eq(self.api, message.api()));
        // SAFETY: socket and message are valid and of one library.
        let rc = unsafe { (self.api.msg_recv)(message.as_mut_ptr(), self.as_ptr(), flags) };
        let received = check(self.api, rc, "zmq_msg_recv");
        // The answer is the size, but for one that no `int` holds; after an error the content may be gone.
        let size = received.as_ref().ok().filter(|size| **size < c_int::MAX);
        message.changed(size.and_then(|size| usize::try_from(*size).ok()));
        received.map(drop)
    }

    /// Has all events reported to `endpoint`, an inproc address, from now on; `None` ends that.
    ///
    /// The reports must be read as long as they come: libzmq waits, inside whatever the socket does, for room to leave one.
    pub(crate) fn monitor(&self, endpoint: Option<&CStr>) -> Result<()> {
        self.check_process("zmq_socket_monitor")?;
        let endpoint = endpoint.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: the socket is open, and the text ends in NUL or is null.
        let rc =
            unsafe { (self.api.socket_monitor)(self.as_ptr(), endpoint, ZMQ_EVENT_ALL as c_int) };
        check(self.api, rc, "zmq_socket_monitor").map(drop)
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the socket is open and is not used again.
            unsafe { (self.api.close)(self.as_ptr()) };
        }
    }
}
