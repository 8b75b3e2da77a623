//! Messages of several frames: as an array, as an iterator, from a tuple.

use super::{DONTWAIT, Message, Socket};
use crate::error::{Error, Result};

impl Socket {
    /// Receives a message of exactly `N` frames, and allocates nothing for their list.
    ///
    /// ```
    /// # use ironhouse::{Context, SocketType};
    /// # fn main() -> ironhouse::Result<()> {
    /// # let context = Context::new()?;
    /// # let (router, dealer) = (context.socket(SocketType::Router).open()?, context.socket(SocketType::Dealer).open()?);
    /// # dealer.connect(&router.bind("tcp://127.0.0.1:*")?)?;
    /// dealer.send_tuple(("weather", 7u32.to_be_bytes(), String::from("rain")))?;
    /// let [id, subject, place, sky] = router.recv_array()?;
    /// # assert_eq!((subject.as_str(), place == [0, 0, 0, 7], sky.as_str()), (Some("weather"), true, Some("rain")));
    /// router.send_multipart([id, "thanks".into()])?;
    /// let (thanks,) = dealer.recv_array()?.into(); // or as a tuple
    /// # let _: ironhouse::Message = thanks;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::FrameCount`] for a message of another number of frames, which is dropped; otherwise as [`recv`](Self::recv).
    pub fn recv_array<const N: usize>(&self) -> Result<[Message; N]> {
        self.recv_exactly(0)
    }

    /// As [`recv_array`](Self::recv_array), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`recv_array`](Self::recv_array).
    pub fn try_recv_array<const N: usize>(&self) -> Result<[Message; N]> {
        self.recv_exactly(DONTWAIT)
    }

    fn recv_exactly<const N: usize>(&self, flags: i32) -> Result<[Message; N]> {
        let mut array = std::array::from_fn(|_| Message::new());
        let mut received = 0;
        for frame in self.frames_with(flags) {
            let frame = frame?;
            if let Some(slot) = array.get_mut(received) {
                *slot = frame;
            }
            received += 1;
        }
        if received == N {
            Ok(array)
        } else {
            Err(Error::FrameCount {
                expected: N,
                received,
            })
        }
    }

    /// The frames of the next message, one after the other as they are asked for. Those not asked for are dropped with the iterator.
    pub fn frames(&self) -> Frames<'_> {
        self.frames_with(0)
    }

    /// The same of a message that is there; else the first is [`Error::Again`].
    pub(super) fn frames_now(&self) -> Frames<'_> {
        self.frames_with(DONTWAIT)
    }

    fn frames_with(&self, flags: i32) -> Frames<'_> {
        Frames {
            socket: self,
            flags,
            state: State::Before,
        }
    }

    /// Sends a message of several frames of different types, as a whole or not at all.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_tuple(&self, frames: impl Tuple) -> Result<()> {
        frames.send(self, 0)
    }

    /// As [`send_tuple`](Self::send_tuple), but answers [`Error::Again`] where it would wait.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn try_send_tuple(&self, frames: impl Tuple) -> Result<()> {
        frames.send(self, DONTWAIT)
    }
}

/// The frames of one message, as they are received.
#[derive(Debug)]
pub struct Frames<'a> {
    socket: &'a Socket,
    flags: i32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Before,
    Within,
    Ended,
}

impl Iterator for Frames<'_> {
    type Item = Result<Message>;

    /// The first one may wait; libzmq delivers messages whole, so the others are there.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = self.state == State::Before;
            if self.state == State::Ended {
                return None;
            }
            let frame = match self.socket.recv_frame(self.flags) {
                // A signal is no reason to lose the first frames.
                Err(Error::Interrupted) if !first => continue,
                frame => frame,
            };
            self.state = match &frame {
                Ok(frame) if frame.more() => State::Within,
                _ => State::Ended,
            };
            return Some(frame);
        }
    }
}

impl std::iter::FusedIterator for Frames<'_> {}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        // What is left of this message must not be taken for the next one.
        if self.state == State::Within {
            self.for_each(drop);
        }
    }
}

/// Frames of different types that make one message: tuples of up to eight.
pub trait Tuple: sealed::Tuple {}

mod sealed {
    pub trait Tuple {
        fn send(self, socket: &super::Socket, flags: i32) -> crate::Result<()>;
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Into<Message>),+> Tuple for ($($name,)+) {}
        impl<$($name: Into<Message>),+> sealed::Tuple for ($($name,)+) {
            #[allow(non_snake_case)] // the frames are called as their types
            fn send(self, socket: &Socket, flags: i32) -> Result<()> {
                let ($($name,)+) = self;
                socket.send_frames::<Message>([$($name.into()),+], flags)
            }
        }
    )*};
}

tuples! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
}
