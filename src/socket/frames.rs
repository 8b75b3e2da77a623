//! `FrameList`: the frames of one message, in slots that are used again.

use crate::error::{Error, Result};
use crate::ffi::message::RawMessage;
use crate::ffi::socket::RawSocket;

/// Slots kept for the next message: more than any message of a protocol we speak has.
const KEPT: usize = 16;

/// The frames of one received message. Receiving the next one into the same list allocates nothing.
#[derive(Default)]
pub(crate) struct FrameList {
    slots: Vec<RawMessage>,
    /// How many slots hold frames of the message.
    len: usize,
}

impl FrameList {
    /// Receives a message in the place of what the list held.
    pub(super) fn recv(&mut self, socket: &RawSocket, flags: i32) -> Result<()> {
        self.len = 0;
        self.slots.truncate(KEPT);
        loop {
            if self.slots.len() == self.len {
                self.slots.push(RawMessage::new(socket.api()));
            }
            let Some(slot) = self.slots.get_mut(self.len) else {
                return Ok(());
            };
            match socket.recv(slot, flags) {
                // libzmq delivers messages whole: the other frames are here, and a signal is no reason to lose the first.
                Err(Error::Interrupted) if self.len > 0 => continue,
                received => received?,
            }
            let more = slot.more();
            self.len += 1;
            if !more {
                return Ok(());
            }
        }
    }

    /// Sends one of the frames, which is empty afterwards, with more to follow.
    pub(super) fn send_more(&mut self, at: usize, socket: &RawSocket, flags: i32) -> Result<()> {
        match self.slots.get_mut(at) {
            Some(frame) => socket.send(frame, flags),
            None => Ok(()),
        }
    }

    /// The frames, as libzmq has them.
    pub(super) fn messages(&self) -> &[RawMessage] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The content of the frames from this one on.
    pub(crate) fn from(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        let slots = self.slots.iter().take(self.len).skip(at);
        slots.map(RawMessage::bytes)
    }

    /// Overwrites the content of the frames from this one on, where that is safe.
    pub(crate) fn wipe(&mut self, from: usize) {
        let slots = self.slots.iter_mut().take(self.len).skip(from);
        slots.for_each(RawMessage::wipe);
    }

    /// A message as if it had been received.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(frames: &[&[u8]]) -> Result<Self> {
        let api = zmq_sys_wrap::Api::linked();
        let slots = frames.iter().map(|frame| RawMessage::copy_of(api, frame));
        Ok(Self {
            slots: slots.collect::<Result<_>>()?,
            len: frames.len(),
        })
    }
}
