//! `SteerableProxy`: a proxy that is paused, resumed, asked and ended from other threads.
//!
//! Not `zmq_proxy_steerable`: libzmq up to 4.3.4 aborts the process on a command that it does not know, 4.3.5 takes PAUSE for
//! RESUME, and both are steered by whoever can reach the control socket. Ours does the same by a handle.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::{DONTWAIT, Socket, options, proxy::same_library};
use crate::error::{Error, Result};
use crate::ffi::message::RawMessage;
use crate::ffi::os;
use crate::ffi::poll::{FAILED, PollList, READABLE, WRITABLE};

/// Messages passed on in one direction before the other has its turn.
const BURST: usize = 1000;

const ACTIVE: u8 = 0;
const PAUSED: u8 = 1;
const ENDED: u8 = 2;

/// A proxy that other threads steer by its [`ProxyControl`]s.
///
/// ```
/// use ironhouse::socket::SteerableProxy;
/// # use ironhouse::{Context, SocketType};
/// # fn main() -> ironhouse::Result<()> {
/// # let context = Context::new()?;
/// # let frontend = context.socket(SocketType::Router).open()?;
/// # let backend = context.socket(SocketType::Dealer).open()?;
/// let proxy = SteerableProxy::new()?;
/// let control = proxy.control();
/// let running = std::thread::spawn(move || proxy.run(&frontend, &backend, None));
///
/// control.pause(); // messages wait in the sockets' queues
/// control.resume();
/// println!("{} messages have come", control.statistics().frontend_received.messages);
/// control.terminate();
/// running.join().expect("it does not panic")?;
/// # Ok(())
/// # }
/// ```
///
/// Source: `zmq_proxy_steerable(3)`.
#[doc(alias = "zmq_proxy_steerable")]
#[doc(alias = "zproxy")]
#[derive(Debug)]
pub struct SteerableProxy(Arc<Shared>);

/// Steers a [`SteerableProxy`], from any thread.
#[derive(Debug, Clone)]
pub struct ProxyControl(Arc<Shared>);

/// What a [`SteerableProxy`] has passed on so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProxyStatistics {
    /// What came by the frontend socket.
    pub frontend_received: Traffic,
    /// What left by the frontend socket.
    pub frontend_sent: Traffic,
    /// What came by the backend socket.
    pub backend_received: Traffic,
    /// What left by the backend socket.
    pub backend_sent: Traffic,
}

/// How much went one way through one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages, of any number of frames.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    frontend_received: Counter,
    frontend_sent: Counter,
    backend_received: Counter,
    backend_sent: Counter,
    /// A byte in here ends the proxy's wait.
    wake: UnixStream,
    woken: UnixStream,
}

#[derive(Debug, Default)]
struct Counter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    fn count(&self, bytes: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Traffic {
        Traffic {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl SteerableProxy {
    /// A proxy that does not run yet.
    ///
    /// # Errors
    /// [`Error::Os`] where the process has no descriptors left.
    pub fn new() -> Result<Self> {
        let (wake, woken) = os::wake_pair()?;
        Ok(Self(Arc::new(Shared {
            state: AtomicU8::new(ACTIVE),
            frontend_received: Counter::default(),
            frontend_sent: Counter::default(),
            backend_received: Counter::default(),
            backend_sent: Counter::default(),
            wake,
            woken,
        })))
    }

    /// A handle that steers it, before it runs as well.
    pub fn control(&self) -> ProxyControl {
        ProxyControl(self.0.clone())
    }

    /// Passes messages between `frontend` and `backend`, both ways, and a copy of each to `capture`; ends with
    /// [`ProxyControl::terminate`] or [`Context::shutdown`](super::Context::shutdown).
    ///
    /// A message is taken in when the other side has room for it, and when the capture has: so one that takes nothing stops the
    /// flow. Security stays with each socket, as in [`proxy`](super::proxy()).
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for sockets of different libraries; [`Error::Zmq`] where a socket neither sends nor receives.
    pub fn run(&self, frontend: &Socket, backend: &Socket, capture: Option<&Socket>) -> Result<()> {
        same_library(frontend, backend, capture)?;
        match self.0.run(frontend, backend, capture) {
            Err(Error::Terminated) => Ok(()),
            result => result,
        }
    }
}

impl ProxyControl {
    /// Has messages wait in the sockets' queues.
    pub fn pause(&self) {
        self.0.steer(PAUSED);
    }

    /// Has them pass again.
    pub fn resume(&self) {
        self.0.steer(ACTIVE);
    }

    /// Ends the proxy, for good: [`SteerableProxy::run`] returns, after the messages in hand. Its sockets stay open.
    pub fn terminate(&self) {
        self.0.steer(ENDED);
    }

    /// What has passed so far.
    pub fn statistics(&self) -> ProxyStatistics {
        ProxyStatistics {
            frontend_received: self.0.frontend_received.read(),
            frontend_sent: self.0.frontend_sent.read(),
            backend_received: self.0.backend_received.read(),
            backend_sent: self.0.backend_sent.read(),
        }
    }
}

/// What a direction waits for: one thing at a time, since what is there already would end every wait at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Message,
    Room,
    Capture,
}

/// One direction.
struct Flow<'a> {
    from: &'a Socket,
    to: &'a Socket,
    received: &'a Counter,
    sent: &'a Counter,
    waits: Waits,
    /// Frames that were received and found no room after all.
    frames: Vec<RawMessage>,
    /// Whether the capture has its copy of them.
    captured: bool,
}

impl Shared {
    fn steer(&self, state: u8) {
        // Once ended, it stays so.
        let _ = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                (now != ENDED).then_some(state)
            });
        // Full: it will wake up in any case.
        let _ = (&self.wake).write(&[0]);
    }

    fn run(&self, frontend: &Socket, backend: &Socket, capture: Option<&Socket>) -> Result<()> {
        let mut there = Flow::new(
            (frontend, &self.frontend_received),
            (backend, &self.backend_sent),
        );
        let mut back = Flow::new(
            (backend, &self.backend_received),
            (frontend, &self.frontend_sent),
        );
        let mut poll = PollList::new();
        poll.add_fd(self.woken.as_fd(), READABLE | FAILED);
        poll.add_socket(&frontend.raw, 0);
        poll.add_socket(&backend.raw, 0);
        if let Some(capture) = capture {
            poll.add_socket(&capture.raw, 0);
        }
        loop {
            let state = self.state.load(Ordering::SeqCst);
            if state == ENDED {
                return Ok(());
            }
            let active = state == ACTIVE;
            let wanted = |flow: &Flow<'_>, what, events| {
                if active && flow.waits == what {
                    events
                } else {
                    0
                }
            };
            for (socket, out, into) in [(1, &there, &back), (2, &back, &there)] {
                let reads = wanted(out, Waits::Message, READABLE);
                poll.set_interest(socket, reads | wanted(into, Waits::Room, WRITABLE));
            }
            let copies = [&there, &back].map(|flow| wanted(flow, Waits::Capture, WRITABLE));
            poll.set_interest(3, copies[0] | copies[1]);
            match poll.wait(None) {
                Err(Error::Interrupted) => continue,
                result => result?,
            };
            if poll.ready(0) != 0 {
                // Whatever was said, the state tells.
                let _ = (&self.woken).read(&mut [0; 64]);
                continue;
            }
            for (flow, from, to) in [(&mut there, 1, 2), (&mut back, 2, 1)] {
                let (waits_for, events) = match flow.waits {
                    Waits::Message => (from, READABLE),
                    Waits::Room => (to, WRITABLE),
                    Waits::Capture => (3, WRITABLE),
                };
                if poll.ready(waits_for) & events != 0 {
                    flow.pass(capture)?;
                }
            }
        }
    }
}

impl<'a> Flow<'a> {
    fn new(
        (from, received): (&'a Socket, &'a Counter),
        (to, sent): (&'a Socket, &'a Counter),
    ) -> Self {
        Self {
            from,
            to,
            received,
            sent,
            waits: Waits::Message,
            frames: Vec::new(),
            captured: false,
        }
    }

    /// Passes on what is there, until there is nothing or no room.
    fn pass(&mut self, capture: Option<&Socket>) -> Result<()> {
        for _ in 0..BURST {
            // Asked before a message is taken, so that none is in hand when there is no room: it would be lost at the end.
            if !has_room(self.to)? {
                self.waits = Waits::Room;
                return Ok(());
            }
            if let (Some(capture), false) = (capture, self.captured) {
                if !has_room(capture)? {
                    self.waits = Waits::Capture;
                    return Ok(());
                }
            }
            self.waits = Waits::Message;
            if self.frames.is_empty() && !self.receive()? {
                return Ok(());
            }
            match self.send(capture) {
                // The room that was there is taken: the frames wait.
                Err(Error::Again | Error::Interrupted) => {
                    self.waits = Waits::Room;
                    return Ok(());
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// Receives one message; whether there was one.
    fn receive(&mut self) -> Result<bool> {
        let api = self.to.raw.api();
        for frame in self.from.frames_now() {
            match frame {
                Ok(frame) => self.frames.push(frame.into_raw(api)?),
                Err(Error::Again | Error::Interrupted) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.received.count(self.bytes());
        Ok(true)
    }

    fn send(&mut self, capture: Option<&Socket>) -> Result<()> {
        let len = self.frames.len();
        if let (Some(capture), false) = (capture, self.captured) {
            let copies = self.frames.iter().map(RawMessage::try_clone);
            let mut copies = copies.collect::<Result<Vec<_>>>()?;
            capture.send_raw(copies.iter_mut(), len, DONTWAIT, &mut false)?;
            self.captured = true;
        }
        let bytes = self.bytes();
        let mut taken = false;
        let frames = self.frames.iter_mut();
        let sent = self.to.send_raw(frames, len, DONTWAIT, &mut taken);
        if sent.is_err() && !taken {
            return sent;
        }
        self.frames.clear();
        self.captured = false;
        match sent {
            // The peer went away in between, and a part of the message with it: the next one may have room elsewhere.
            Err(Error::Again) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.sent.count(bytes);
                Ok(())
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

fn has_room(socket: &Socket) -> Result<bool> {
    Ok(socket.get(options::EVENTS)? as u32 & WRITABLE != 0)
}
