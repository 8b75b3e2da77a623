//! `AsyncSocket`: a socket whose calls are awaited, on tokio.

mod proxy;
mod ready;
mod watch;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::task::coop;

use super::{DONTWAIT, Message, SNDMORE, Socket};
use crate::error::{Error, Result};
use crate::ffi::message::RawMessage;
use ready::{Direction, Evented};

/// A [`Socket`] whose calls are awaited instead of blocking a thread. Feature `tokio`.
///
/// Made of an open socket, so it has that socket's options, connections and security; bind and connect before, or by [`with_socket`](Self::with_socket).
///
/// ```
/// use ironhouse::socket::AsyncSocket;
/// use ironhouse::{Context, SocketType};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let context = Context::new()?;
/// let mut server = AsyncSocket::new(context.socket(SocketType::Rep).open()?)?;
/// let endpoint = server.with_socket(|socket| socket.bind("tcp://127.0.0.1:*"))?;
/// let mut client = AsyncSocket::new(context.socket(SocketType::Req).open()?)?;
/// client.with_socket(|socket| socket.connect(&endpoint))?;
///
/// client.send("Hello").await?;
/// assert_eq!(server.recv().await?, "Hello");
/// server.send("World").await?;
/// assert_eq!(client.recv().await?, "World");
/// # Ok(()) })
/// # }
/// ```
///
/// **Cancelling** is safe everywhere. A future of [`recv`](Self::recv) or [`recv_multipart`](Self::recv_multipart) that is dropped has received
/// nothing; one of [`send`](Self::send) or [`send_multipart`](Self::send_multipart) that is dropped before it was ready has sent nothing, and once it is
/// ready the message is sent as a whole. So all of them can stand in `select!` and under `timeout`, which takes the place of the
/// options [`RCV_TIMEO`](super::options::RCV_TIMEO) and [`SND_TIMEO`](super::options::SND_TIMEO): these count for blocking calls only.
///
/// **Tasks and threads.** libzmq's sockets may move from thread to thread but not be used by two at a time. So an `AsyncSocket` is `Send`
/// and not `Sync`, its calls take `&mut self`, and their futures are `Send`: a task may own it on a runtime with any number of threads. There are no
/// halves to send and receive by from two threads: that would be two threads in one socket. To do both in *two* tasks, share it under
/// a lock that is not held while waiting; `StreamExt::split` of the crate `futures` does just that. What one half does never loses the
/// other's wake-up. In *one* task, `select!` between `recv` and what is to be sent.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<ironhouse::socket::AsyncSocket>();
/// ```
///
/// **Fair.** A socket that always has messages takes part in tokio's budget: after some of them its task lets others run.
///
/// **As a [`Stream`]** it yields messages of one or more frames; after [`Error::Terminated`] it ends. **As a [`Sink`]** it takes such messages. One that
/// was given to the sink and found no room waits in it, goes out before all that is sent later, and is lost if the socket is dropped or
/// [taken out](Self::into_inner) before a flush.
///
/// The runtime must have I/O (`enable_io`), and it is the one in which the socket was made that wakes who waits, wherever that is. Dropping the last handle of a context waits until what was sent has left, at most for each
/// socket's [`LINGER`](super::options::LINGER): to keep that off a thread of the runtime, hold a clone of the context outside.
///
/// Source: `zmq_getsockopt(3)`, `ZMQ_FD` and `ZMQ_EVENTS`.
#[doc(alias = "ZMQ_FD")]
pub struct AsyncSocket {
    io: Evented,
    /// What the sink took and libzmq had no room for; no frames: nothing.
    queued: Vec<RawMessage>,
    /// Whether the stream has told of its end.
    over: bool,
}

impl AsyncSocket {
    /// Makes `socket` one whose calls are awaited, on the tokio runtime of this thread.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] where this thread has no runtime; [`Error::Terminated`] after the context was shut down; [`Error::Os`] where the
    /// system refuses to wait for one descriptor more.
    ///
    /// # Panics
    /// Where the runtime was made without I/O (`enable_io` or `enable_all` of its builder).
    pub fn new(socket: Socket) -> Result<Self> {
        Ok(Self {
            io: Evented::new(socket)?,
            queued: Vec::new(),
            over: false,
        })
    }

    /// Calls `f` with the socket: to bind, connect, subscribe, read and set options, attach a monitor, or try without waiting.
    ///
    /// Calls that block hold up the runtime.
    pub fn with_socket<T>(&self, f: impl FnOnce(&Socket) -> T) -> T {
        let result = f(self.io.socket());
        // It may have been what took note of that for which somebody waits.
        self.io.remind(Direction::Recv);
        self.io.remind(Direction::Send);
        result
    }

    /// The socket as one that blocks.
    pub fn into_inner(self) -> Socket {
        self.io.into_inner()
    }

    /// Receives one frame; [`Message::more`] says whether others of the same message follow. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Terminated`], [`Error::Zmq`] where the pattern does not allow it now; [`Error::Os`] where the runtime was shut down.
    ///
    /// Source: `zmq_msg_recv(3)`.
    pub async fn recv(&mut self) -> Result<Message> {
        let mut message = Message::received(RawMessage::new(self.io.socket().raw.api()));
        let wait = Wait(self, Direction::Recv);
        // Received in its place: a message is moved as seldom as can be.
        poll_fn(|cx| {
            wait.0.io.poll(cx, Direction::Recv, |socket| {
                socket.try_recv_into(&mut message)
            })
        })
        .await?;
        Ok(message)
    }

    /// Receives all frames of a message. Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_multipart(&mut self) -> Result<Vec<Message>> {
        let wait = Wait(self, Direction::Recv);
        poll_fn(|cx| wait.0.poll_recv(cx)).await
    }

    /// Sends a message of one frame, waiting for room. Cancel-safe: what was cancelled was not sent.
    ///
    /// Success means queued, not delivered. After an error the message is gone.
    ///
    /// # Errors
    /// [`Error::Terminated`]; [`Error::Zmq`] where the pattern does not allow it now; [`Error::Os`] where the runtime was shut down.
    ///
    /// Source: `zmq_msg_send(3)`.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<()> {
        let mut frame = message.into().into_raw(self.io.socket().raw.api())?;
        let wait = Wait(self, Direction::Send);
        poll_fn(|cx| {
            ready!(wait.0.poll_queued(cx))?;
            wait.0
                .io
                .poll(cx, Direction::Send, |socket| send(socket, &mut frame, 0))
        })
        .await
    }

    /// Sends a message of several frames, as a whole or not at all. No frames: nothing is sent. Cancel-safe, as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_multipart<T: Into<Message>>(
        &mut self,
        frames: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let api = self.io.socket().raw.api();
        let mut frames = frames
            .into_iter()
            .map(|frame| frame.into().into_raw(api))
            .collect::<Result<Vec<_>>>()?;
        let wait = Wait(self, Direction::Send);
        poll_fn(|cx| {
            ready!(wait.0.poll_queued(cx))?;
            wait.0
                .io
                .poll(cx, Direction::Send, |socket| offer(socket, &mut frames))
        })
        .await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Message>>> {
        self.io
            .poll(cx, Direction::Recv, Socket::try_recv_multipart)
    }

    /// Sends what the sink has taken; ready when it has nothing any more.
    #[inline]
    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.queued.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let queued = &mut self.queued;
        let sent = ready!(
            self.io
                .poll(cx, Direction::Send, |socket| offer(socket, queued))
        );
        self.queued.clear();
        Poll::Ready(sent)
    }

    /// Sends a message or, where there is no room, keeps it. What it kept must have gone.
    fn take(&mut self, frames: Vec<Message>) -> Result<()> {
        if !self.queued.is_empty() {
            return Err(Error::Again);
        }
        let api = self.io.socket().raw.api();
        for frame in frames {
            match frame.into_raw(api) {
                Ok(frame) => self.queued.push(frame),
                Err(error) => {
                    self.queued.clear();
                    return Err(error);
                }
            }
        }
        let queued = &mut self.queued;
        match self
            .io
            .attempt(Direction::Send, |socket| offer(socket, queued))
        {
            Err(Error::Again) => return Ok(()),
            result => result?,
        }
        self.queued.clear();
        Ok(())
    }
}

/// A call that waits. When it is cancelled, nobody waits any more.
struct Wait<'a>(&'a mut AsyncSocket, Direction);

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.io.forget(self.1);
    }
}

/// Sends all of `frames` without waiting. Where that cannot be, it answers [`Error::Again`], has sent nothing, and `frames` are as before.
fn offer(socket: &Socket, frames: &mut [RawMessage]) -> Result<()> {
    let Some((last, head)) = frames.split_last_mut() else {
        return Ok(());
    };
    for (i, frame) in head.iter().enumerate() {
        // The peer may go away in between, and what libzmq had of the message goes with it.
        let mut copy = frame.try_clone()?;
        let sent = send(socket, &mut copy, SNDMORE);
        if i > 0 && matches!(sent, Err(Error::Again)) {
            // libzmq drops the rest, up to the last frame.
            let _ = send(socket, &mut RawMessage::new(frame.api()), 0);
        }
        sent?;
    }
    send(socket, last, 0)
}

#[inline]
fn send(socket: &Socket, frame: &mut RawMessage, more: i32) -> Result<()> {
    loop {
        match socket.raw.send(frame, DONTWAIT | more) {
            Err(Error::Interrupted) => continue,
            result => return result,
        }
    }
}

/// Messages of one or more frames, until the context is shut down.
impl Stream for AsyncSocket {
    type Item = Result<Vec<Message>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let received = ready!(self.poll_recv(cx));
        self.over = matches!(received, Err(Error::Terminated));
        Poll::Ready(Some(received))
    }
}

/// Messages of one or more frames.
impl Sink<Vec<Message>> for AsyncSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.queued.is_empty() {
            // Where there is always room, this is what lets others run.
            ready!(coop::poll_proceed(cx)).made_progress();
        }
        self.poll_queued(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Vec<Message>) -> Result<()> {
        self.take(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_queued(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_queued(cx)
    }
}

impl fmt::Debug for AsyncSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSocket")
            .field("socket", self.io.socket())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn send<T: Send>() {}
    send::<AsyncSocket>();
};
