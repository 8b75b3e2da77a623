//! What a mechanism sees of its socket's connections and, while it has reason to, of the messages.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{DONTWAIT, Message, MonitorEvent, Socket, SocketType};
use crate::error::{Error, Result};
use crate::ffi::message::RawMessage;

/// Watches over the connections of a socket.
pub(crate) trait Watch: Send + Sync {
    /// Something happened to a connection. Called on the thread that reads the socket's reports.
    fn observe(&self, event: &MonitorEvent);

    /// Whether the program may have the message that starts with this frame. Asked while the alarm is up.
    fn admits(&self, frame: &Message) -> bool;

    /// There was no message. Told while the alarm is up.
    fn drained(&self);
}

/// A socket's side of its [`Watch`].
pub(super) struct Watched {
    pub(super) watch: Arc<dyn Watch>,
    alarm: Arc<AtomicBool>,
    /// Whether the last frame received has others behind it.
    within: Cell<bool>,
    /// The next of them, where it had to be looked at.
    next: Cell<Option<Message>>,
}

impl Watched {
    pub(super) fn new(watch: Arc<dyn Watch>, alarm: Arc<AtomicBool>) -> Self {
        Self {
            watch,
            alarm,
            within: Cell::new(false),
            next: Cell::new(None),
        }
    }

    /// For a socket that several threads use.
    #[cfg(feature = "draft")]
    pub(super) fn share(&self) -> (Arc<dyn Watch>, Arc<AtomicBool>) {
        (self.watch.clone(), self.alarm.clone())
    }

    /// Whether messages must be looked at.
    pub(super) fn is_alarmed(&self) -> bool {
        self.alarm.load(Ordering::Relaxed)
    }

    /// Whether the next frame is not simply the first of a message that anybody may have.
    pub(super) fn is_busy(&self) -> bool {
        self.within.get() || self.is_alarmed()
    }

    /// Says whether the frame just received has others behind it.
    pub(super) fn set_within(&self, within: bool) {
        self.within.set(within);
    }
}

impl Socket {
    /// As `recv_any`, but passes over messages of peers that are no longer admitted. For a busy `watched`.
    #[cold]
    pub(super) fn recv_admitted(&self, watched: &Watched, flags: i32) -> Result<Message> {
        if !watched.within.get() {
            let received = self.recv_alarmed(watched, flags);
            if let Ok(frame) = &received {
                watched.within.set(frame.more());
            }
            return self.look_at(watched, received, flags);
        }
        let frame = match watched.next.take() {
            Some(next) => next,
            None => self.recv_any(flags)?,
        };
        watched.within.set(frame.more());
        Ok(frame)
    }

    /// Passes on a message's first frame, or another's in its place.
    #[cold]
    pub(super) fn look_at(
        &self,
        watched: &Watched,
        mut received: Result<Message>,
        flags: i32,
    ) -> Result<Message> {
        loop {
            let frame = received?;
            // A ROUTER that was polled makes the routing id itself, without properties: the next frame has them.
            let next = match frame.source_fd() {
                None if frame.more() => Some(self.recv_here()?),
                _ => None,
            };
            // A REQ waits for this very reply: without it, it could neither receive nor send.
            if self.kind == SocketType::Req || watched.watch.admits(next.as_ref().unwrap_or(&frame))
            {
                watched.within.set(frame.more());
                watched.next.set(next);
                return Ok(frame);
            }
            let mut more = next.as_ref().unwrap_or(&frame).more();
            while more {
                more = self.recv_here()?.more();
            }
            watched.within.set(false);
            if self.kind == SocketType::Rep {
                // It receives again only after an answer, which goes to a connection that is shut down.
                let mut empty = RawMessage::new(self.raw.api());
                self.raw.send(&mut empty, DONTWAIT)?;
            }
            received = self.recv_alarmed(watched, flags);
        }
    }

    /// As `recv_any`, but notices when there is nothing to receive, even if it then waits.
    #[cold]
    fn recv_alarmed(&self, watched: &Watched, flags: i32) -> Result<Message> {
        match self.recv_any(flags | DONTWAIT) {
            Err(Error::Again) => watched.watch.drained(),
            received => return received,
        }
        self.recv_any(flags)
    }

    /// A frame behind another: libzmq delivers messages whole, so it is here.
    fn recv_here(&self) -> Result<Message> {
        loop {
            match self.recv_any(DONTWAIT) {
                Err(Error::Interrupted) => continue,
                frame => return frame,
            }
        }
    }
}
