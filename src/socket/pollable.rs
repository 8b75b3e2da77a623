//! `PollableSocket`: a socket with the descriptor by which any runtime can wait for it.

use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::Socket;
use crate::error::Result;

/// A socket that other runtimes than tokio can wait for: it has a descriptor ([`AsFd`]). For tokio there is `AsyncSocket` (feature `tokio`).
///
/// The descriptor says that *something* happened, not what, and it says so once. So:
/// 1. Try first ([`try_recv`](Socket::try_recv), [`try_send`](Socket::try_send)) and wait only after [`Error::Again`](crate::Error::Again).
/// 2. After a *send* that answered it, read [`EVENTS`](super::options::EVENTS) and try again if they hold 2 (`ZMQ_POLLOUT`), before waiting:
///    a send looks at most once in a millisecond whether there is room again.
/// 3. Always wait for the descriptor to be *readable*, to send as well.
/// 4. Any use of the socket may be what takes note of an event: where one task waits to receive while another one sends by the same socket, read
///    `EVENTS` after each send, and wake the first if they hold 1 (`ZMQ_POLLIN`).
///
/// Whatever waits should forget what it knows of the descriptor before it tries: an event that comes after that is not lost.
/// `examples/smol.rs` is a program that does so.
///
/// It takes one descriptor more than the socket itself: a duplicate, so that nothing waits for a descriptor that was closed.
///
/// Source: `zmq_getsockopt(3)`, `ZMQ_FD` and `ZMQ_EVENTS`.
#[derive(Debug)]
pub struct PollableSocket {
    socket: Socket,
    fd: OwnedFd,
}

impl PollableSocket {
    /// Makes `socket` one that can be waited for, with all its security and connections.
    ///
    /// # Errors
    /// [`Error::Terminated`](crate::Error::Terminated) after the context was shut down; [`Error::Os`](crate::Error::Os) where the process has no descriptor left.
    pub fn new(socket: Socket) -> Result<Self> {
        let fd = socket.event_fd()?.try_clone_to_owned();
        let fd = fd.map_err(|source| crate::Error::Os {
            call: "fcntl",
            source,
        })?;
        Ok(Self { socket, fd })
    }

    /// Both, each by itself.
    #[cfg(feature = "tokio")]
    pub(super) fn into_parts(self) -> (Socket, OwnedFd) {
        (self.socket, self.fd)
    }

    /// The socket without the descriptor.
    pub fn into_inner(self) -> Socket {
        self.socket
    }
}

impl Deref for PollableSocket {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for PollableSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PollableSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
