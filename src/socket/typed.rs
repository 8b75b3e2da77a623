//! `Typed`: sockets whose type the compiler knows, so that a PULL has no `send` and a SUB is subscribed before it is open.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::options::{OptionValue, SocketOption, Writable};
use super::{Context, Frames, Mechanism, Message, Socket, SocketBuilder, SocketType, Tuple};
use crate::error::{Error, Result};

/// A socket of the type `K`: one of [`Pair`], [`Pub`], [`Sub`], [`Req`], [`Rep`], [`Dealer`], [`Router`], [`Pull`], [`Push`],
/// [`XPub`], [`XSub`], [`Stream`]; and those of the draft API (feature `draft`), of which the thread-safe ones can be shared between threads.
///
/// It is a [`Socket`] (`as_ref`, `into_inner`) with the calls that make sense of it.
///
/// ```
/// use ironhouse::Context;
/// use ironhouse::socket::{Pub, Sub};
/// # fn main() -> ironhouse::Result<()> {
/// let context = Context::new()?;
/// let weather = context.typed::<Pub>().open()?;
/// let endpoint = weather.bind("tcp://127.0.0.1:*")?;
/// let readers = context.typed::<Sub>().subscribe("rain").open()?; // does not open without
/// readers.connect(&endpoint)?;
/// # Ok(())
/// # }
/// ```
pub struct Typed<K>(Socket, PhantomData<K>);

/// A [`Typed`] socket to be: `S` says whether it lacks something ([`Unsubscribed`]) or not ([`Ready`]).
#[must_use = "open() makes the socket"]
pub struct TypedBuilder<K, S = Ready>(SocketBuilder, Vec<Vec<u8>>, PhantomData<(K, S)>);

/// Nothing is missing.
#[derive(Debug)]
pub enum Ready {}
/// A SUB that would receive nothing.
#[derive(Debug)]
pub enum Unsubscribed {}

/// The type of a [`Typed`] socket.
pub trait Kind: sealed::Kind {
    /// What its builder starts as.
    type Start;
}
/// Types that send.
pub trait Sends: Kind {}
/// Types that receive.
pub trait Receives: Kind {}

mod sealed {
    pub trait Kind {
        const TYPE: super::SocketType;
    }
}

macro_rules! kinds {
    ($($name:ident: $start:ident $($can:ident)+;)*) => {$(
        #[doc = concat!("The type of a [`Typed`] socket: [`SocketType::", stringify!($name), "`].")]
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Kind for $name {
            const TYPE: SocketType = SocketType::$name;
        }
        impl Kind for $name {
            type Start = $start;
        }
        $(impl $can for $name {})+
    )*};
}
kinds! {
    Pair: Ready Sends Receives;
    Pub: Ready Sends;
    Sub: Unsubscribed Receives;
    Req: Ready Sends Receives;
    Rep: Ready Sends Receives;
    Dealer: Ready Sends Receives;
    Router: Ready Sends Receives;
    Pull: Ready Receives;
    Push: Ready Sends;
    XPub: Ready Sends Receives;
    XSub: Ready Sends Receives;
    Stream: Ready Sends Receives;
}

#[cfg(feature = "draft")]
kinds! {
    Server: Ready Sends Receives;
    Client: Ready Sends Receives;
    Radio: Ready Sends;
    Dish: Ready Receives;
    Gather: Ready Receives;
    Scatter: Ready Sends;
    Dgram: Ready Sends Receives;
    Peer: Ready Sends Receives;
    Channel: Ready Sends Receives;
}

impl Context {
    /// Starts a socket whose type the compiler knows.
    pub fn typed<K: Kind>(&self) -> TypedBuilder<K, K::Start> {
        TypedBuilder(self.socket(K::TYPE), Vec::new(), PhantomData)
    }
}

impl<K, S> TypedBuilder<K, S> {
    /// As [`SocketBuilder::set`].
    pub fn set<T: OptionValue, A: Writable>(self, option: SocketOption<T, A>, value: T) -> Self {
        Self(self.0.set(option, value), self.1, PhantomData)
    }

    /// As [`SocketBuilder::secure`].
    pub fn secure(self, mechanism: impl Mechanism) -> Self {
        Self(self.0.secure(mechanism), self.1, PhantomData)
    }
}

impl<S> TypedBuilder<Sub, S> {
    /// Receives messages that start with `prefix`; an empty one means all. May be called again for others.
    pub fn subscribe(mut self, prefix: impl AsRef<[u8]>) -> TypedBuilder<Sub> {
        self.1.push(prefix.as_ref().to_vec());
        TypedBuilder(self.0, self.1, PhantomData)
    }
}

impl<K: Kind> TypedBuilder<K> {
    /// Opens the socket.
    ///
    /// # Errors
    /// As [`SocketBuilder::open`].
    pub fn open(self) -> Result<Typed<K>> {
        Self::subscribed(self.0.open()?, self.1)
    }

    /// As [`SocketBuilder::connect_checked`].
    ///
    /// # Errors
    /// As there.
    pub fn connect_checked(self, endpoint: &str, timeout: Duration) -> Result<Typed<K>> {
        Self::subscribed(self.0.connect_checked(endpoint, timeout)?, self.1)
    }

    fn subscribed(socket: Socket, prefixes: Vec<Vec<u8>>) -> Result<Typed<K>> {
        prefixes
            .iter()
            .try_for_each(|prefix| socket.subscribe(prefix))?;
        Ok(Typed(socket, PhantomData))
    }
}

/// Calls that are passed on to the socket within.
macro_rules! pass_on {
    ($($(#[$doc:meta])* $name:ident $([$($generic:tt)*])? ($($arg:ident: $type:ty),*) -> $ret:ty;)*) => {$(
        #[doc = concat!("As [`Socket::", stringify!($name), "`].")]
        ///
        /// # Errors
        /// As there.
        $(#[$doc])*
        pub fn $name $(<$($generic)*>)? (&self, $($arg: $type),*) -> $ret {
            self.0.$name($($arg),*)
        }
    )*};
}

impl<K: Kind> Typed<K> {
    pass_on! {
        bind(endpoint: &str) -> Result<String>;
        connect(endpoint: &str) -> Result<()>;
        unbind(endpoint: &str) -> Result<()>;
        disconnect(endpoint: &str) -> Result<()>;
        set[T: OptionValue, A: Writable](option: SocketOption<T, A>, value: T) -> Result<()>;
        get[T: OptionValue, A: super::options::Readable](option: SocketOption<T, A>) -> Result<T>;
    }

    /// The socket without its type: for a [`Poller`](super::Poller), a [`proxy`](super::proxy()), a [`Monitor`](super::Monitor).
    pub fn into_inner(self) -> Socket {
        self.0
    }
}

impl<K: Sends> Typed<K> {
    pass_on! {
        send(message: impl Into<Message>) -> Result<()>;
        send_slice(bytes: &[u8]) -> Result<()>;
        send_more(message: impl Into<Message>) -> Result<()>;
        try_send(message: impl Into<Message>) -> Result<()>;
        send_multipart[T: Into<Message>](frames: impl IntoIterator<Item = T>) -> Result<()>;
        try_send_multipart[T: Into<Message>](frames: impl IntoIterator<Item = T>) -> Result<()>;
        send_tuple(frames: impl Tuple) -> Result<()>;
        try_send_tuple(frames: impl Tuple) -> Result<()>;
    }
}

impl<K: Receives> Typed<K> {
    pass_on! {
        recv() -> Result<Message>;
        try_recv() -> Result<Message>;
        recv_into(message: &mut Message) -> Result<()>;
        try_recv_into(message: &mut Message) -> Result<()>;
        recv_multipart() -> Result<Vec<Message>>;
        try_recv_multipart() -> Result<Vec<Message>>;
        recv_array[const N: usize]() -> Result<[Message; N]>;
        try_recv_array[const N: usize]() -> Result<[Message; N]>;
        frames() -> Frames<'_>;
    }
}

impl Typed<Sub> {
    pass_on! {
        subscribe(prefix: impl AsRef<[u8]>) -> Result<()>;
        unsubscribe(prefix: impl AsRef<[u8]>) -> Result<()>;
    }
}

impl<K> AsRef<Socket> for Typed<K> {
    fn as_ref(&self) -> &Socket {
        &self.0
    }
}

/// Fails for a socket of another type. Whether a SUB is subscribed is for its maker to see to.
impl<K: Kind> TryFrom<Socket> for Typed<K> {
    type Error = Error;

    fn try_from(socket: Socket) -> Result<Self> {
        if socket.kind() == K::TYPE {
            return Ok(Self(socket, PhantomData));
        }
        Err(Error::InvalidOption {
            name: "socket type",
            reason: format!("{:?} was asked for, and it is {:?}", K::TYPE, socket.kind()),
        })
    }
}

impl<K> fmt::Debug for Typed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<K, S> fmt::Debug for TypedBuilder<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
