//! `SocketBuilder`: options and mechanism before the socket exists.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use zeroize::Zeroizing;
use zmq_sys_wrap::Api;

use super::context;
use super::monitor::Hub;
use super::options::{self, About, OptionValue, SocketOption, Writable};
use super::probe::{Expected, Proof};
use super::watch::{Watch, Watched};
use super::{Capability, Context, Socket, SocketType};
use crate::error::{Error, Result};
use crate::ffi::socket::RawSocket;

/// What a socket keeps alive as long as it is open: the authenticator that guards it.
pub(super) type KeepAlive = Arc<dyn Any + Send + Sync>;

/// How long a closed socket goes on sending what is queued: enough for a program that sends and ends, and no hang.
const LINGER: Duration = Duration::from_secs(1);

/// libzmq's own time for a handshake, set deliberately: security hangs on it, see [`options::HANDSHAKE_IVL`].
const HANDSHAKE_IVL: Duration = Duration::from_secs(30);

/// A security mechanism for a socket: who it is, and whom it admits.
///
/// Implemented in [`security`](crate::security) only: `NullServer`, and a server and a client each for PLAIN, CURVE and GSSAPI.
pub trait Mechanism: sealed::Mechanism {}

pub(crate) mod sealed {
    pub trait Mechanism {
        /// Gives the options the mechanism needs.
        fn secure(self, socket: &mut super::Secured) -> crate::Result<()>;
    }
}

/// What a [`Mechanism`] settles for a socket.
pub struct Secured {
    api: &'static Api,
    /// `None` for a socket of a host's, of which nobody can tell in which context it is.
    context: Option<Context>,
    pub(super) options: Vec<Setting>,
    pub(super) keep_alive: KeepAlive,
    watch: Option<(Arc<dyn Watch>, Arc<AtomicBool>)>,
    proof: Option<Arc<dyn Proof>>,
}

pub(super) struct Setting {
    pub(super) option: About,
    pub(super) value: Result<Zeroizing<Vec<u8>>>,
}

impl Secured {
    /// What `mechanism` settles for a socket of this context, or of a host's.
    pub(super) fn by(
        mechanism: impl Mechanism,
        api: &'static Api,
        context: Option<Context>,
    ) -> Result<Self> {
        let mut secured = Self {
            api,
            context,
            options: Vec::new(),
            keep_alive: Arc::new(()),
            watch: None,
            proof: None,
        };
        mechanism.secure(&mut secured)?;
        Ok(secured)
    }

    pub(crate) fn set<T: OptionValue, A: Writable>(
        &mut self,
        option: SocketOption<T, A>,
        value: T,
    ) {
        self.options.push(Setting::new(option, value));
    }

    /// Has the socket keep its authenticator alive.
    pub(crate) fn keep_alive(&mut self, guard: KeepAlive) {
        self.keep_alive = guard;
    }

    /// Has `watch` see what happens to the socket's connections and, while `alarm` is up, the messages received.
    pub(crate) fn watch(&mut self, watch: Arc<dyn Watch>, alarm: Arc<AtomicBool>) {
        self.watch = Some((watch, alarm));
    }

    /// What the socket's peer must be able to answer; asked where a handshake fails.
    pub(crate) fn expect(&mut self, proof: Arc<dyn Proof>) {
        self.proof = Some(proof);
    }

    /// The context the socket will live in; `None` for a socket of a host's, whose context nobody can tell.
    pub(crate) fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported).
    pub(crate) fn require(&self, capability: Capability) -> Result<()> {
        context::require(self.api, capability)
    }
}

impl Setting {
    fn new<T: OptionValue, A>(option: SocketOption<T, A>, value: T) -> Self {
        Self {
            option: option.about,
            value: value.encode(option.about.name),
        }
    }
}

/// A socket to be: its options and its security, before anything can reach it.
#[must_use = "open() makes the socket"]
pub struct SocketBuilder {
    context: Context,
    kind: SocketType,
    options: Vec<Setting>,
    secured: Option<Result<Secured>>,
}

impl SocketBuilder {
    pub(super) fn new(context: Context, kind: SocketType) -> Self {
        Self {
            context,
            kind,
            options: Vec::new(),
            secured: None,
        }
    }

    /// Sets an option; a bad value is reported by [`open`](Self::open).
    #[doc(alias = "zmq_setsockopt")]
    pub fn set<T: OptionValue, A: Writable>(
        mut self,
        option: SocketOption<T, A>,
        value: T,
    ) -> Self {
        self.options.push(Setting::new(option, value));
        self
    }

    /// Gives the socket its security mechanism; without one it speaks NULL and is open to anybody. A second one replaces the first.
    pub fn secure(mut self, mechanism: impl Mechanism) -> Self {
        let context = Some(self.context.clone());
        self.secured = Some(Secured::by(mechanism, self.context.api(), context));
        self
    }

    /// Opens the socket.
    ///
    /// # Errors
    /// [`Error::Zmq`](crate::Error::Zmq), with the option's name where an option is refused; [`Error::InvalidOption`](crate::Error::InvalidOption) for a value out of its range;
    /// [`Error::Unsupported`](crate::Error::Unsupported) where this libzmq lacks the mechanism; [`Error::Terminated`](crate::Error::Terminated) after the context was shut down.
    ///
    /// Source: `zmq_socket(3)`.
    #[doc(alias = "zmq_socket")]
    pub fn open(self) -> Result<Socket> {
        let (keep_alive, mechanism, watch, proof) = match self.secured.transpose()? {
            Some(s) => (Some(s.keep_alive), s.options, s.watch, s.proof),
            None => (None, Vec::new(), None, None),
        };
        if keep_alive.is_some() && self.kind == SocketType::Stream {
            return Err(Error::InvalidOption {
                name: "socket type",
                reason: "a STREAM speaks plain TCP, which no security mechanism guards: take another type, or open it without one".into(),
            });
        }
        // libzmq makes them without its draft API as well, but nothing that goes with them.
        if self.kind as u32 > SocketType::Stream as u32 {
            self.context.require(Capability::Draft)?;
        }
        let raw = RawSocket::open(self.context.raw(), self.kind as i32)?;
        let socket = Socket {
            raw,
            monitor: Hub::new(),
            watched: watch.map(|(watch, alarm)| Watched::new(watch, alarm)),
            keep_alive,
            expected: proof.map(Expected::new).map(Arc::new),
            context: self.context,
            kind: self.kind,
        };
        socket.set(options::LINGER, Some(LINGER))?;
        socket.set(options::HANDSHAKE_IVL, HANDSHAKE_IVL)?;
        // The mechanism's come last, so that no other can undo them.
        for setting in self.options.into_iter().chain(mechanism) {
            socket.set_raw(setting.option, &setting.value?)?;
        }
        if socket.watched.is_some() {
            socket.monitor.start(&socket)?;
        }
        Ok(socket)
    }

    /// Opens the socket, connects it, and returns once the connection stands and its security is agreed; or says why not.
    ///
    /// `timeout` bounds the whole; half of it is a fair time for the peer, for what comes after it is asked why. A server that is not there
    /// yet is waited for. Later reconnections are not watched: for these, and for several endpoints, there is
    /// [`HandshakeWatch`](super::HandshakeWatch).
    ///
    /// # Errors
    /// [`Error::Handshake`](crate::Error::Handshake) with the reason, a [`HandshakeProblem`](super::HandshakeProblem); otherwise as [`open`](Self::open) and [`connect`](Socket::connect).
    pub fn connect_checked(self, endpoint: &str, timeout: Duration) -> Result<Socket> {
        let socket = self.open()?;
        super::handshake::connect(&socket, endpoint, timeout)?;
        Ok(socket)
    }
}

impl fmt::Debug for SocketBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.iter().map(|o| o.option.name).collect();
        f.debug_struct("SocketBuilder")
            .field("kind", &self.kind)
            .field("options", &options)
            .field("secured", &self.secured.is_some())
            .finish_non_exhaustive()
    }
}
