//! `Shared`: sockets of the draft API that several threads use at a time.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::typed::{Channel, Client, Dish, Gather, Kind, Peer, Radio, Scatter, Server};
use super::typed::{Receives, Sends, Typed};
use super::{DONTWAIT, Message, Socket, Watch};
use crate::error::{Error, Result};
use crate::ffi::draft::ThreadSafe as Raw;
use crate::ffi::message::RawMessage;

/// Types whose sockets several threads may use at a time.
///
/// Source: `zmq_socket(3)`, "Thread safety".
pub trait ThreadSafe: Kind {}
impl ThreadSafe for Client {}
impl ThreadSafe for Server {}
impl ThreadSafe for Dish {}
impl ThreadSafe for Radio {}
impl ThreadSafe for Scatter {}
impl ThreadSafe for Gather {}
impl ThreadSafe for Peer {}
impl ThreadSafe for Channel {}

/// A socket that several threads may use at a time, by reference or in an [`Arc`]: `Sync`, as no other socket is. Feature `draft`.
///
/// ```
/// # use ironhouse::socket::{Capability, Client, Context, Server};
/// # fn main() -> ironhouse::Result<()> {
/// # let context = Context::new()?;
/// # if !context.has(Capability::Draft) { return Ok(()) }
/// let server = context.typed::<Server>().open()?;
/// let endpoint = server.bind("tcp://127.0.0.1:*")?;
/// let server = server.share()?;
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| {
///             let question = server.recv()?;
///             let asker = question.routing_id().unwrap_or_default();
///             server.send(Message::from("answer").with_routing_id(asker)?)
///         });
///     }
///     // …
/// #   use ironhouse::Message;
/// #   let client = context.typed::<Client>().open()?;
/// #   client.connect(&endpoint)?;
/// #   for _ in 0..2 {
/// #       client.send("question")?;
/// #       client.recv()?;
/// #   }
/// #   Ok(())
/// })
/// # }
/// ```
///
/// Of two thread-safe sockets that are connected over inproc, each takes the other's lock while it holds its own: two threads, one at each, may
/// wait for each other for ever, shared or not (libzmq's issue 3048, present in 4.3.5). Connect them over tcp or ipc.
///
/// A socket of another type has no `share`:
///
/// ```compile_fail,E0599
/// # use ironhouse::socket::{Context, Dealer};
/// Context::new()?.typed::<Dealer>().open()?.share()?;
/// # ironhouse::Result::Ok(())
/// ```
///
/// Source: `zmq_socket(3)`, "Thread safety".
pub struct Shared<K> {
    inner: Raw<Socket>,
    /// What the socket's mechanism sees of its messages, while its alarm is up.
    watch: Option<(Arc<dyn Watch>, Arc<AtomicBool>)>,
    kind: PhantomData<fn() -> K>,
}

impl<K: ThreadSafe> Typed<K> {
    /// Makes it one that several threads may use at a time.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where its library does not call it thread-safe.
    pub fn share(self) -> Result<Shared<K>> {
        let socket = self.into_inner();
        let watch = socket.watched.as_ref().map(|watched| watched.share());
        Ok(Shared {
            inner: Raw::new(socket, |socket| &socket.raw)?,
            watch,
            kind: PhantomData,
        })
    }
}

impl<K: Kind> Shared<K> {
    /// Calls `f` with the socket, for one thread at a time: to bind, connect, join a group, read and set options, attach a monitor.
    /// Others go on sending and receiving meanwhile.
    pub fn with_socket<T>(&self, f: impl FnOnce(&Socket) -> T) -> T {
        self.inner.with(f)
    }

    /// The socket as one that is not shared any more.
    pub fn into_inner(self) -> Socket {
        self.inner.into_owner()
    }

    fn send_with(&self, message: impl Into<Message>, flags: i32) -> Result<()> {
        let raw = self.inner.raw();
        raw.send(&mut message.into().into_raw(raw.api())?, flags)
    }

    fn recv_with(&self, flags: i32) -> Result<Message> {
        let recv = || {
            let mut message = RawMessage::new(self.inner.raw().api());
            self.inner.raw().recv(&mut message, flags)?;
            Ok(Message::received(message))
        };
        let Some((watch, alarm)) = &self.watch else {
            return recv();
        };
        let is_up = || alarm.load(Ordering::Relaxed);
        loop {
            let looked_at = is_up();
            if looked_at {
                // Taking a message and looking at it is one step: so nobody calls the alarm off in between.
                match self.inner.with(Socket::try_recv) {
                    Err(Error::Again) => {}
                    received => return received,
                }
            }
            // These types have messages of one frame.
            let message = recv()?;
            if !(looked_at || is_up()) || watch.admits(&message) {
                return Ok(message);
            }
        }
    }
}

impl<K: Sends> Shared<K> {
    /// As [`Socket::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_with(message, 0)
    }

    /// As [`Socket::try_send`].
    ///
    /// # Errors
    /// As there.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<()> {
        self.send_with(message, DONTWAIT)
    }
}

impl<K: Receives> Shared<K> {
    /// As [`Socket::recv`]. Each message goes to one of the threads that wait for one.
    ///
    /// # Errors
    /// As there.
    pub fn recv(&self) -> Result<Message> {
        self.recv_with(0)
    }

    /// As [`Socket::try_recv`].
    ///
    /// # Errors
    /// As there.
    pub fn try_recv(&self) -> Result<Message> {
        self.recv_with(DONTWAIT)
    }
}

impl<K> fmt::Debug for Shared<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

const _: () = {
    const fn any_thread<T: Send + Sync>() {}
    any_thread::<Shared<Server>>();
};
