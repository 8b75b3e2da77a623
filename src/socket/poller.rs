//! `Poller`: waits on several sockets and descriptors.

use std::ops::BitOr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Socket;
use crate::error::Result;
use crate::ffi::poll::{FAILED, PollList, READABLE, WRITABLE};

/// Waits until one of several sockets or descriptors is ready. It borrows them, so none can be closed meanwhile.
///
/// ```
/// use ironhouse::socket::{Interest, Poller};
/// # use ironhouse::{Context, SocketType};
/// # use std::time::Duration;
/// # fn main() -> ironhouse::Result<()> {
/// # let context = Context::new()?;
/// # let tasks = context.socket(SocketType::Pull).open()?;
/// # let orders = context.socket(SocketType::Pull).open()?;
/// # let sender = context.socket(SocketType::Push).open()?;
/// # sender.connect(&orders.bind("tcp://127.0.0.1:*")?)?;
/// # sender.send("stop")?;
/// let mut poller = Poller::new();
/// let task = poller.add(&tasks, Interest::READABLE);
/// let order = poller.add(&orders, Interest::READABLE);
/// loop {
///     let ready = poller.wait(Some(Duration::from_secs(1)))?;
///     if ready.readable(task) {
///         println!("{:?}", tasks.recv()?);
///     }
///     if ready.readable(order) && orders.recv()? == "stop" {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Source: `zmq_poll(3)`.
#[doc(alias = "zmq_poll")]
#[doc(alias = "zpoller")]
#[derive(Debug)]
pub struct Poller<'a>(PollList<'a>);

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// `recv` will not wait.
    pub const READABLE: Self = Self(READABLE);
    /// `send` will not wait.
    pub const WRITABLE: Self = Self(WRITABLE);
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Names an entry of a [`Poller`]; the first one added is 0, the next 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub usize);

/// What [`Poller::wait`] found ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events(Vec<(Token, u32)>);

impl<'a> Poller<'a> {
    /// An empty list.
    pub fn new() -> Self {
        Self(PollList::new())
    }

    /// Adds a socket.
    pub fn add(&mut self, socket: &'a Socket, interest: Interest) -> Token {
        self.0.add_socket(&socket.raw, interest.0);
        Token(self.0.len() - 1)
    }

    /// Adds a descriptor, such as a pipe or a `UnixStream`.
    pub fn add_fd(&mut self, fd: &'a impl AsFd, interest: Interest) -> Token {
        let fd: BorrowedFd<'a> = fd.as_fd();
        self.0.add_fd(fd, interest.0 | FAILED);
        Token(self.0.len() - 1)
    }

    /// Waits until something is ready, at most `timeout` (`None`: for ever); no events when nothing was in time.
    ///
    /// # Errors
    /// [`Terminated`](crate::Error::Terminated), [`Interrupted`](crate::Error::Interrupted);
    /// [`InvalidOption`](crate::Error::InvalidOption) for a list without a socket, or with sockets of two
    /// libraries.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Events> {
        self.0.wait(timeout)?;
        let ready = (0..self.0.len()).map(|i| (Token(i), self.0.ready(i)));
        Ok(Events(ready.filter(|&(_, events)| events != 0).collect()))
    }
}

impl Default for Poller<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// Whether nothing was ready.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `recv` on this entry will not wait (for a descriptor: it can be read, or has failed).
    pub fn readable(&self, token: Token) -> bool {
        self.has(token, READABLE | FAILED)
    }

    /// Whether `send` on this entry will not wait.
    pub fn writable(&self, token: Token) -> bool {
        self.has(token, WRITABLE)
    }

    /// The entries that are ready.
    pub fn iter(&self) -> impl Iterator<Item = Token> + '_ {
        self.0.iter().map(|&(token, _)| token)
    }

    fn has(&self, token: Token, events: u32) -> bool {
        self.0
            .iter()
            .any(|&(t, ready)| t == token && ready & events != 0)
    }
}
