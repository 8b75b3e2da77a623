//! libzmq's draft functions, where the library has them.

use std::ffi::{CStr, c_int};
use std::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};

use zmq_sys_wrap::zmq;

use super::context::RawContext;
use super::message::RawMessage;
use super::socket::RawSocket;
use super::{check, last_error};
use crate::error::{Error, Result};

impl RawContext {
    /// A text that the names of the I/O threads start with.
    pub(crate) fn set_thread_name(&self, prefix: &str) -> Result<()> {
        let call = "zmq_ctx_set_ext";
        self.check_process(call)?;
        let set = self.api().ctx_set_ext.ok_or_else(Error::no_draft)?;
        let option = zmq::ZMQ_THREAD_NAME_PREFIX as c_int;
        // SAFETY: the context is live; libzmq reads `len` bytes and keeps a copy.
        let rc = unsafe { set(self.as_ptr(), option, prefix.as_ptr().cast(), prefix.len()) };
        check(self.api(), rc, call).map(drop)
    }
}

impl RawSocket {
    pub(crate) fn join(&self, group: &CStr) -> Result<()> {
        self.check_process("zmq_join")?;
        let join = self.api().join.ok_or_else(Error::no_draft)?;
        // SAFETY: the socket is open and the text ends in NUL.
        let rc = unsafe { join(self.as_ptr(), group.as_ptr()) };
        check(self.api(), rc, "zmq_join").map(drop)
    }

    pub(crate) fn leave(&self, group: &CStr) -> Result<()> {
        self.check_process("zmq_leave")?;
        let leave = self.api().leave.ok_or_else(Error::no_draft)?;
        // SAFETY: as in `join`.
        let rc = unsafe { leave(self.as_ptr(), group.as_ptr()) };
        check(self.api(), rc, "zmq_leave").map(drop)
    }

    /// Connects; the routing id of the peer.
    pub(crate) fn connect_peer(&self, endpoint: &CStr) -> Result<u32> {
        self.check_process("zmq_connect_peer")?;
        let connect = self.api().connect_peer.ok_or_else(Error::no_draft)?;
        // SAFETY: as in `join`.
        let id = unsafe { connect(self.as_ptr(), endpoint.as_ptr()) };
        if id == 0 {
            return Err(last_error(self.api(), "zmq_connect_peer"));
        }
        Ok(id)
    }

    /// The events of one peer.
    pub(crate) fn peer_state(&self, routing_id: &[u8]) -> Result<u32> {
        let call = "zmq_socket_get_peer_state";
        self.check_process(call)?;
        let state = self
            .api()
            .socket_get_peer_state
            .ok_or_else(Error::no_draft)?;
        // SAFETY: the socket is open; libzmq reads `len` bytes.
        let rc = unsafe { state(self.as_ptr(), routing_id.as_ptr().cast(), routing_id.len()) };
        check(self.api(), rc, call).map(|events| events as u32)
    }

    /// Has the monitor report how many messages wait in each connection's queues.
    pub(crate) fn pipes_stats(&self) -> Result<()> {
        let call = "zmq_socket_monitor_pipes_stats";
        self.check_process(call)?;
        let ask = self
            .api()
            .socket_monitor_pipes_stats
            .ok_or_else(Error::no_draft)?;
        // SAFETY: the socket is open.
        let rc = unsafe { ask(self.as_ptr()) };
        check(self.api(), rc, call).map(drop)
    }

    /// As `monitor`, with events in their second version; false where the library has none.
    pub(crate) fn monitor_versioned(&self, endpoint: &CStr) -> Result<bool> {
        let Some(monitor) = self.api().socket_monitor_versioned else {
            return Ok(false);
        };
        let call = "zmq_socket_monitor_versioned";
        self.check_process(call)?;
        let events = u64::from(zmq::ZMQ_EVENT_ALL | zmq::ZMQ_EVENT_PIPES_STATS);
        let version = zmq::ZMQ_CURRENT_EVENT_VERSION_DRAFT as c_int;
        let kind = zmq::ZMQ_PAIR as c_int;
        // SAFETY: the socket is open and the text ends in NUL.
        let rc = unsafe { monitor(self.as_ptr(), endpoint.as_ptr(), events, version, kind) };
        check(self.api(), rc, call).map(|_| true)
    }
}

/// A socket that its library calls thread-safe, for any number of threads; it lives in `T`.
#[derive(Debug)]
pub(crate) struct ThreadSafe<T> {
    /// A second handle to it: never dropped, so that the socket is closed with its owner only.
    raw: ManuallyDrop<RawSocket>,
    owner: Mutex<T>,
}

// SAFETY: zmq_socket(3), "Thread safety": only "not thread safe" sockets must not be used from multiple threads, and `new` has asked the
// library (ZMQ_THREAD_SAFE) that this one is none of them. All else of the owner is behind its lock.
unsafe impl<T: Send> Sync for ThreadSafe<T> {}

impl<T> ThreadSafe<T> {
    /// `raw` answers the owner's own socket, which it keeps open while it lives.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where its library does not call it thread-safe.
    pub(crate) fn new(owner: T, raw: impl FnOnce(&T) -> &RawSocket) -> Result<Self> {
        let socket = raw(&owner);
        let mut safe = [0; size_of::<c_int>()];
        socket.get(zmq::ZMQ_THREAD_SAFE as c_int, &mut safe)?;
        if c_int::from_ne_bytes(safe) == 0 {
            return Err(Error::no_draft());
        }
        // SAFETY: a socket of that library, open as long as its owner, which only `into_owner` and the drop of both take away; several
        // threads may use it, as asked above.
        let raw = unsafe { RawSocket::borrow(socket.as_non_null(), socket.api()) };
        let owner = Mutex::new(owner);
        Ok(Self { raw, owner })
    }

    /// For calls of libzmq's, which orders them itself.
    pub(crate) fn raw(&self) -> &RawSocket {
        &self.raw
    }

    /// For all else: one thread at a time.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.owner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn into_owner(self) -> T {
        let owner = self.owner.into_inner();
        owner.unwrap_or_else(PoisonError::into_inner)
    }
}

impl RawMessage {
    /// The connection it came by or goes to; 0 for none.
    pub(crate) fn routing_id(&self) -> u32 {
        // SAFETY: the message is initialised.
        self.api()
            .msg_routing_id
            .map_or(0, |id| unsafe { id(self.as_ptr()) })
    }

    pub(crate) fn set_routing_id(&mut self, id: u32) -> Result<()> {
        let set = self.api().msg_set_routing_id.ok_or_else(Error::no_draft)?;
        // SAFETY: the message is initialised.
        let rc = unsafe { set(self.as_mut_ptr(), id) };
        check(self.api(), rc, "zmq_msg_set_routing_id").map(drop)
    }

    /// The group it belongs to; empty for none.
    pub(crate) fn group(&self) -> Option<&CStr> {
        let group = self.api().msg_group?;
        // SAFETY: the message is initialised.
        let name = unsafe { group(self.as_ptr()) };
        if name.is_null() {
            return None;
        }
        // SAFETY: a text that ends in NUL and is kept in or by the message, which is borrowed and not changed meanwhile.
        Some(unsafe { CStr::from_ptr(name) })
    }

    pub(crate) fn set_group(&mut self, group: &CStr) -> Result<()> {
        let set = self.api().msg_set_group.ok_or_else(Error::no_draft)?;
        // SAFETY: the message is initialised and the text ends in NUL.
        let rc = unsafe { set(self.as_mut_ptr(), group.as_ptr()) };
        check(self.api(), rc, "zmq_msg_set_group").map(drop)
    }
}
