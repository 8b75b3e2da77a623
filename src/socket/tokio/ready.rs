//! When a socket is worth a try: the descriptor behind ZMQ_FD, on tokio.
//!
//! The descriptor becomes readable when something came for the socket: a message, room for one, the end of the context. It does not say
//! which, and whatever next looks (any call) takes note of all of it, for both directions. tokio tells of it once. From that follow
//! three rules, without which a wake-up is lost:
//! - What tokio told is forgotten *before* the socket is looked at, never after.
//! - Nobody waits before the socket has looked. A receive that finds nothing has; a send that finds no room may not have (libzmq spares itself
//!   the look for a millisecond), so ZMQ_EVENTS is read then.
//! - Whoever looked while somebody waits in the other direction looks for him too, and wakes him.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::coop;
use zmq_sys_wrap::zmq;

use crate::error::{Error, Result};
use crate::ffi::os;
use crate::socket::{PollableSocket, Socket};

/// What somebody waits to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Recv,
    Send,
}

impl Direction {
    fn other(self) -> Self {
        match self {
            Direction::Recv => Direction::Send,
            Direction::Send => Direction::Recv,
        }
    }

    /// Its bit of ZMQ_EVENTS.
    fn event(self) -> u32 {
        match self {
            Direction::Recv => zmq::ZMQ_POLLIN,
            Direction::Send => zmq::ZMQ_POLLOUT,
        }
    }
}

/// A value for each direction.
#[derive(Debug, Default)]
struct Each<T> {
    recv: T,
    send: T,
}

impl<T> Each<T> {
    fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Recv => &self.recv,
            Direction::Send => &self.send,
        }
    }

    fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Recv => &mut self.recv,
            Direction::Send => &mut self.send,
        }
    }
}

/// A socket that can be waited for.
pub(super) struct Evented {
    /// A duplicate: so there is no moment in which the runtime waits for a descriptor that was closed.
    fd: AsyncFd<OwnedFd>,
    socket: Socket,
    /// Who waits; whether anybody does is known without its lock.
    waiters: Arc<Waiters>,
    waits: Each<bool>,
    /// Wakes them all.
    waker: Waker,
}

impl Evented {
    pub(super) fn new(socket: Socket) -> Result<Self> {
        if Handle::try_current().is_err() {
            return Err(Error::InvalidOption {
                name: "AsyncSocket",
                reason: "this thread has no tokio runtime: make it inside one, such as in an `async fn` that the runtime runs, or under `Runtime::enter`".into(),
            });
        }
        let (socket, fd) = PollableSocket::new(socket)?.into_parts();
        let waiters = Arc::new(Waiters::default());
        Ok(Self {
            fd: os::readable(fd).map_err(refused)?,
            socket,
            waker: waiters.clone().into(),
            waiters,
            waits: Each::default(),
        })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn into_inner(self) -> Socket {
        self.socket
    }

    /// Tries `call` until it answers anything but [`Error::Again`], and waits in between.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut call: impl FnMut(&Socket) -> Result<T>,
    ) -> Poll<Result<T>> {
        loop {
            let budget = ready!(coop::poll_proceed(cx));
            if *self.waits.of(direction) {
                // Most likely what woke us. Whatever comes after this is told anew.
                if let Poll::Ready(told) = self.poll_told() {
                    told?;
                }
            }
            match self.attempt(direction, &mut call) {
                Err(Error::Again) => drop(budget),
                result => {
                    budget.made_progress();
                    self.forget(direction);
                    return Poll::Ready(result);
                }
            }
            *self.waits.of_mut(direction) = true;
            self.waiters.put(direction, cx.waker());
            ready!(self.poll_told())?;
        }
    }

    /// Tries `call` without waiting. Where it answers [`Error::Again`], the socket has taken note of all that came before.
    pub(super) fn attempt<T>(
        &mut self,
        direction: Direction,
        mut call: impl FnMut(&Socket) -> Result<T>,
    ) -> Result<T> {
        let mut call = || loop {
            match call(self.socket()) {
                Err(Error::Interrupted) => continue,
                result => return result,
            }
        };
        let mut result = call();
        if direction == Direction::Send && matches!(result, Err(Error::Again)) {
            // Its answer need not be asked for: it holds for no peer in particular, and a ROUTER always has room for somebody.
            self.events()?;
            result = call();
        }
        self.remind(direction.other());
        result
    }

    /// Wakes who waits for this direction, if it is ready: what was just done may have taken note of that, unheard of by him.
    #[inline]
    pub(super) fn remind(&self, direction: Direction) {
        if *self.waits.of(direction) {
            self.look_for(direction);
        }
    }

    #[inline(never)]
    fn look_for(&self, direction: Direction) {
        match self.events() {
            Ok(events) if events & direction.event() == 0 => {}
            _ => self.waiters.rouse(direction),
        }
    }

    /// Nobody waits for this direction any more.
    #[inline]
    pub(super) fn forget(&mut self, direction: Direction) {
        if std::mem::take(self.waits.of_mut(direction)) {
            drop(self.waiters.take(direction));
        }
    }

    /// Whether tokio told that something came, since it was asked last; if not, all who wait are woken when it does.
    fn poll_told(&self) -> Poll<Result<()>> {
        let mut cx = Context::from_waker(&self.waker);
        ready!(self.fd.poll_read_ready(&mut cx))
            .map_err(refused)?
            .clear_ready();
        Poll::Ready(Ok(()))
    }

    fn events(&self) -> Result<u32> {
        loop {
            match self.socket().raw.events() {
                Err(Error::Interrupted) => continue,
                result => return result,
            }
        }
    }
}

fn refused(source: std::io::Error) -> Error {
    Error::Os {
        call: "tokio's AsyncFd",
        source,
    }
}

/// Who waits. tokio keeps one waker for the descriptor: one that wakes both of these.
#[derive(Default)]
struct Waiters(Mutex<Each<Option<Waker>>>);

impl Waiters {
    fn put(&self, direction: Direction, waker: &Waker) {
        match self.lock().of_mut(direction) {
            Some(put) => put.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn take(&self, direction: Direction) -> Option<Waker> {
        self.lock().of_mut(direction).take()
    }

    fn rouse(&self, direction: Direction) {
        if let Some(waker) = self.take(direction) {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Each<Option<Waker>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse(Direction::Recv);
        self.rouse(Direction::Send);
    }
}
