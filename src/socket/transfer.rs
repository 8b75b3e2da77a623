//! Sending and receiving.

use super::{DONTWAIT, FrameList, Message, SNDMORE, Socket};
use crate::error::{Error, Result};
use crate::ffi::message::RawMessage;

/// Frames that a message is sent by without an allocation for their list.
const FEW: usize = 8;

impl Socket {
    /// Sends a message of one frame, or the last frame of one.
    ///
    /// Success means queued, not delivered. After an error the message is gone; clone it first (that copies nothing) to try again.
    ///
    /// # Errors
    /// [`Error::Again`], [`Error::Terminated`], [`Error::Interrupted`]; [`Error::Zmq`] where the pattern does not allow it now.
    ///
    /// Source: `zmq_msg_send(3)`.
    #[doc(alias = "zmq_msg_send")]
    #[doc(alias = "zstr_send")]
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_frame(message.into(), 0)
    }

    /// Sends a frame that others of the same message follow. Nothing leaves before the last one, given to [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_more(&self, message: impl Into<Message>) -> Result<()> {
        self.send_frame(message.into(), SNDMORE)
    }

    /// As [`send`](Self::send), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_frame(message.into(), DONTWAIT)
    }

    /// Sends a copy of `bytes` as a message of one frame, or as the last frame of one. As [`send`](Self::send), but without a
    /// [`Message`] of them: what costs least for bytes that the program keeps, or that are few.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// Source: `zmq_send(3)`.
    #[doc(alias = "zmq_send")]
    pub fn send_slice(&self, bytes: &[u8]) -> Result<()> {
        self.raw.send_copy(bytes, 0)
    }

    /// Sends a message of several frames, as a whole or not at all. No frames: nothing is sent.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_multipart<T: Into<Message>>(
        &self,
        frames: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.send_frames(frames, 0)
    }

    /// As [`send_multipart`](Self::send_multipart), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send_multipart<T: Into<Message>>(
        &self,
        frames: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        self.send_frames(frames, DONTWAIT)
    }

    /// Receives one frame; [`Message::more`] says whether others of the same message follow.
    ///
    /// # Errors
    /// [`Error::Again`], [`Error::Terminated`], [`Error::Interrupted`]; [`Error::Zmq`] where the pattern does not allow it now.
    ///
    /// Source: `zmq_msg_recv(3)`.
    #[doc(alias = "zmq_msg_recv")]
    #[doc(alias = "zstr_recv")]
    pub fn recv(&self) -> Result<Message> {
        self.recv_frame(0)
    }

    /// As [`recv`](Self::recv), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Message> {
        self.recv_frame(DONTWAIT)
    }

    /// Receives one frame in the place of what `message` held, which costs no allocation; after an error it may be empty.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "zmq_recv")]
    pub fn recv_into(&self, message: &mut Message) -> Result<()> {
        self.recv_frame_into(message, 0)
    }

    /// As [`recv_into`](Self::recv_into), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv_into(&self, message: &mut Message) -> Result<()> {
        self.recv_frame_into(message, DONTWAIT)
    }

    /// Receives all frames of a message.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "zmsg_recv")]
    pub fn recv_multipart(&self) -> Result<Vec<Message>> {
        self.recv_frames(0)
    }

    /// As [`recv_multipart`](Self::recv_multipart), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv_multipart(&self) -> Result<Vec<Message>> {
        self.recv_frames(DONTWAIT)
    }

    fn send_frame(&self, mut message: Message, flags: i32) -> Result<()> {
        let api = self.raw.api();
        let Some(raw) = message.native(api) else {
            return self.raw.send(&mut message.into_raw(api)?, flags);
        };
        self.raw.send(raw, flags)?;
        // zmq_msg_send(3): no zmq_msg_close after a success.
        std::mem::forget(message);
        Ok(())
    }

    pub(super) fn send_frames<T: Into<Message>>(
        &self,
        frames: impl IntoIterator<Item = T>,
        flags: i32,
    ) -> Result<()> {
        // All are made before the first is sent: whatever fails on the way leaves no half message on the socket.
        let api = self.raw.api();
        let mut few = [const { None }; FEW];
        let mut many = Vec::new();
        let mut len = 0;
        for frame in frames {
            let frame = frame.into().into_raw(api)?;
            match few.get_mut(len) {
                Some(slot) => *slot = Some(frame),
                None => many.push(frame),
            }
            len += 1;
        }
        let frames = few.iter_mut().flatten().chain(&mut many);
        self.send_raw(frames, len, flags, &mut false)
    }

    /// Sends `len` frames as one message. Where that fails, `taken` says whether some of them are gone.
    pub(super) fn send_raw<'a>(
        &self,
        frames: impl Iterator<Item = &'a mut RawMessage>,
        len: usize,
        flags: i32,
        taken: &mut bool,
    ) -> Result<()> {
        let last = len.saturating_sub(1);
        for (i, frame) in frames.enumerate() {
            *taken = i > 0;
            let more = if i < last { SNDMORE } else { 0 };
            loop {
                match self.raw.send(frame, flags | more) {
                    // The first frame is on its way: only going on keeps the message whole.
                    Err(Error::Interrupted) if i > 0 => continue,
                    // The peer went away in between. libzmq took back what it had and drops the rest up to the last frame.
                    Err(Error::Again) if i > 0 && i < last => {
                        let _ = self.raw.send(&mut RawMessage::new(self.raw.api()), flags);
                        return Err(Error::Again);
                    }
                    result => break result?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn recv_frame(&self, flags: i32) -> Result<Message> {
        let mut message = Message::received(RawMessage::new(self.raw.api()));
        self.recv_frame_into(&mut message, flags)?;
        Ok(message)
    }

    fn recv_frame_into(&self, message: &mut Message, flags: i32) -> Result<()> {
        // What most messages need, apart from the rest: it costs half as much that way.
        if self.watched.is_none() {
            if let Some(raw) = message.native(self.raw.api()) {
                return self.raw.recv(raw, flags);
            }
        }
        self.recv_watched_into(message, flags)
    }

    #[inline(never)]
    fn recv_watched_into(&self, message: &mut Message, flags: i32) -> Result<()> {
        let watched = self.watched.as_ref();
        if let Some(watched) = watched.filter(|watched| watched.is_busy()) {
            *message = self.recv_admitted(watched, flags)?;
            return Ok(());
        }
        message.replace(self.raw.api(), |raw| self.raw.recv(raw, flags))?;
        let Some(watched) = watched else {
            return Ok(());
        };
        watched.set_within(message.more());
        if watched.is_alarmed() {
            *message = self.look_at(watched, Ok(std::mem::take(message)), flags)?;
        }
        Ok(())
    }

    pub(super) fn recv_any(&self, flags: i32) -> Result<Message> {
        let mut message = RawMessage::new(self.raw.api());
        self.raw.recv(&mut message, flags)?;
        Ok(Message::received(message))
    }

    fn recv_frames(&self, flags: i32) -> Result<Vec<Message>> {
        let mut frames = Vec::new();
        self.recv_frames_into(&mut frames, flags)?;
        Ok(frames)
    }

    /// Sends a copy of `bytes`, as [`send_more`](Self::send_more) or [`send`](Self::send) do.
    pub(crate) fn send_copy(&self, bytes: &[u8], more: bool) -> Result<()> {
        self.raw.send_copy(bytes, if more { SNDMORE } else { 0 })
    }

    /// Sends the last frame of a message, in two pieces.
    pub(crate) fn send_joined(&self, pieces: [&[u8]; 2]) -> Result<()> {
        let mut frame = RawMessage::joined(self.raw.api(), pieces)?;
        self.raw.send(&mut frame, 0)
    }

    /// As [`try_recv_multipart`](Self::try_recv_multipart), into a list that need not grow anew each time. For sockets of ours, on which
    /// no revocation is waiting.
    pub(crate) fn try_recv_list(&self, frames: &mut FrameList) -> Result<()> {
        frames.recv(&self.raw, DONTWAIT)
    }

    /// Sends a frame that was received, with more to follow; it is empty afterwards.
    pub(crate) fn send_frame_more(&self, frames: &mut FrameList, at: usize) -> Result<()> {
        frames.send_more(at, &self.raw, SNDMORE)
    }

    fn recv_frames_into(&self, frames: &mut Vec<Message>, flags: i32) -> Result<()> {
        let mut frame = self.recv_frame(flags)?;
        while frame.more() {
            frames.push(frame);
            // libzmq delivers messages whole: the other frames are here, and a signal is no reason to lose the first.
            frame = loop {
                match self.recv_frame(flags) {
                    Err(Error::Interrupted) => continue,
                    frame => break frame?,
                }
            };
        }
        frames.push(frame);
        Ok(())
    }
}
