//! `zmq_poll` over borrowed sockets and descriptors, and `zmq_proxy`.

use std::ffi::{c_int, c_long, c_short};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use zmq_sys_wrap::zmq::{self, zmq_pollitem_t};

use super::os::milliseconds;
use super::socket::RawSocket;
use super::{check, last_error};
use crate::error::{Error, Result};

/// A list for `zmq_poll`, each entry borrowed from its socket or descriptor.
#[derive(Debug)]
pub(crate) struct PollList<'a> {
    items: Vec<zmq_pollitem_t>,
    /// A socket in the list: its library waits, and it knows whether this process may.
    first: Option<&'a RawSocket>,
    /// Whether they are of more than one library, so that none could wait for them all.
    mixed: bool,
    /// Those with a descriptor, in a list where others have none: thread-safe ones, of the draft API.
    #[cfg(feature = "draft")]
    sockets: Sockets<'a>,
    /// Holds the borrows, and keeps the list on the thread that may use the sockets.
    borrowed: PhantomData<&'a RawSocket>,
}

/// The sockets in a list, by whether they are thread-safe.
#[cfg(feature = "draft")]
#[derive(Debug, Default)]
struct Sockets<'a> {
    usual: Vec<&'a RawSocket>,
    any_thread_safe: bool,
}

#[cfg(feature = "draft")]
impl<'a> Sockets<'a> {
    fn add(&mut self, socket: &'a RawSocket) {
        let mut thread_safe = [0; size_of::<c_int>()];
        let asked = socket.get(zmq::ZMQ_THREAD_SAFE as c_int, &mut thread_safe);
        if asked.is_ok() && c_int::from_ne_bytes(thread_safe) != 0 {
            self.any_thread_safe = true;
        } else {
            self.usual.push(socket);
        }
    }

    /// Waiting on thread-safe sockets beside others, libzmq (4.3.5 at least) asks these for their descriptors, and aborts the process
    /// where they answer that the context is shut down. They only learn so on this thread, and now.
    fn check(&self) -> Result<()> {
        if !self.any_thread_safe {
            return Ok(());
        }
        self.usual.iter().try_for_each(|socket| {
            let mut events = [0; size_of::<c_int>()];
            socket.get(zmq::ZMQ_EVENTS as c_int, &mut events).map(drop)
        })
    }
}

impl<'a> PollList<'a> {
    pub(crate) fn new() -> Self {
        Self {
            items: Vec::new(),
            first: None,
            mixed: false,
            #[cfg(feature = "draft")]
            sockets: Sockets::default(),
            borrowed: PhantomData,
        }
    }

    pub(crate) fn add_socket(&mut self, socket: &'a RawSocket, events: u32) {
        let first = *self.first.get_or_insert(socket);
        self.mixed |= !std::ptr::eq(first.api(), socket.api());
        #[cfg(feature = "draft")]
        self.sockets.add(socket);
        self.push(socket.as_ptr(), 0, events);
    }

    pub(crate) fn add_fd(&mut self, fd: BorrowedFd<'a>, events: u32) {
        self.push(std::ptr::null_mut(), fd.as_raw_fd(), events);
    }

    fn push(&mut self, socket: *mut std::ffi::c_void, fd: c_int, events: u32) {
        self.items.push(zmq_pollitem_t {
            socket,
            fd,
            events: events as c_short,
            revents: 0,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Waits for other events of entry `index` from now on.
    pub(crate) fn set_interest(&mut self, index: usize, events: u32) {
        if let Some(item) = self.items.get_mut(index) {
            item.events = events as c_short;
        }
    }

    /// Waits until an entry is ready, at most `timeout` (`None`: for ever); how many are.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<usize> {
        let Some(first) = self.first.filter(|_| !self.mixed) else {
            return Err(Error::InvalidOption {
                name: "poller",
                reason: "it takes one socket at least, and all of one libzmq".into(),
            });
        };
        first.check_process("zmq_poll")?;
        #[cfg(feature = "draft")]
        self.sockets.check()?;
        let api = first.api();
        let (len, timeout) = (
            self.items.len() as c_int,
            c_long::from(milliseconds(timeout)),
        );
        // SAFETY: `items` has `len` entries, whose sockets are open and descriptors valid while `'a` lasts; the list is not
        // `Send`, so it is on the thread that may use the sockets.
        let rc = unsafe { (api.poll)(self.items.as_mut_ptr(), len, timeout) };
        check(api, rc, "zmq_poll").map(|ready| ready as usize)
    }

    /// The events of entry `index` after the last wait; 0 where there is no such entry.
    pub(crate) fn ready(&self, index: usize) -> u32 {
        self.items.get(index).map_or(0, |item| item.revents as u32)
    }
}

/// Passes messages between `frontend` and `backend`, both ways, a copy of each to `capture`, until it fails: it never returns otherwise.
pub(crate) fn proxy(
    frontend: &RawSocket,
    backend: &RawSocket,
    capture: Option<&RawSocket>,
) -> crate::Error {
    if let Err(forked) = frontend.check_process("zmq_proxy") {
        return forked;
    }
    let api = frontend.api();
    let capture = capture.map_or(std::ptr::null_mut(), RawSocket::as_ptr);
    // SAFETY: open sockets (null: no capture), borrowed, so on the thread that may use them; the caller checked that they are
    // of one library.
    unsafe { (api.proxy)(frontend.as_ptr(), backend.as_ptr(), capture) };
    last_error(api, "zmq_proxy")
}

/// Readable; for a socket: `recv` will not wait.
pub(crate) const READABLE: u32 = zmq::ZMQ_POLLIN;
/// Writable; for a socket: `send` will not wait.
pub(crate) const WRITABLE: u32 = zmq::ZMQ_POLLOUT;
/// An error condition of a plain descriptor.
pub(crate) const FAILED: u32 = zmq::ZMQ_POLLERR;
