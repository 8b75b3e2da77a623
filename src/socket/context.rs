//! `Context`: what sockets live in.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use zmq_sys_wrap::Api;

use super::SocketBuilder;
#[cfg(feature = "linked")]
use super::options::Initial;
use super::options::{About, ContextOption, OptionValue, Readable, Writable, sealed::Value};
use crate::error::{Error, Result};
use crate::ffi::{self, context::RawContext};

/// What sockets live in: their I/O threads, and everything `inproc`, the authenticator included.
///
/// A handle: clones share one context, which is terminated when the last of them, and of the sockets made from them, is
/// dropped; in any order. That waits until messages already sent have left, for each socket at most its
/// [`LINGER`](super::options::LINGER), which is 1 s unless set.
///
/// One is enough for most programs. Give clones to the threads; sockets are made in the thread that uses them, or moved there.
///
/// ```
/// use ironhouse::socket::options;
/// use ironhouse::{Context, Error, SocketType};
/// # fn main() -> ironhouse::Result<()> {
/// let context = Context::builder().set(options::IO_THREADS, 2).build()?;
/// let worker = std::thread::spawn({
///     let context = context.clone();
///     move || context.socket(SocketType::Pull).open()?.recv()
/// });
/// context.shutdown()?; // ends what waits in any thread
/// assert!(matches!(worker.join(), Ok(Err(Error::Terminated))));
/// # Ok(())
/// # }
/// ```
#[doc(alias = "zmq_ctx_new")]
#[doc(alias = "zctx_t")]
#[derive(Debug, Clone)]
pub struct Context(Arc<RawContext>);

impl Context {
    /// A new context of the libzmq this program is linked with.
    ///
    /// # Errors
    /// [`Error::Zmq`] where the process has no descriptors or memory left.
    ///
    /// Source: `zmq_ctx_new(3)`.
    #[cfg(feature = "linked")]
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// A new context with options that must be set before its first socket.
    #[cfg(feature = "linked")]
    pub fn builder() -> ContextBuilder {
        ContextBuilder {
            options: Vec::new(),
            #[cfg(feature = "draft")]
            thread_name: None,
        }
    }

    /// Uses a context that its host goes on owning: dropping the result does not terminate it.
    ///
    /// # Safety
    /// `context` must be a live context of the library whose functions are in `api`, and stay allocated as long as the result or a
    /// clone of it is used and a socket made from them is open. The host's own `zmq_ctx_term` waits for the sockets, which answer
    /// [`Error::Terminated`] from then on, but not for handles: once it has returned, they may only be dropped.
    #[allow(unsafe_code)]
    pub unsafe fn borrow_raw(context: NonNull<c_void>, api: &'static Api) -> Self {
        // SAFETY: our caller keeps the contract, which is the same.
        Self(Arc::new(unsafe { RawContext::borrow(context, api) }))
    }

    /// The context as libzmq's functions take it. It is terminated when the last handle is dropped.
    pub fn as_raw(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// The functions of the libzmq this context belongs to.
    pub fn api(&self) -> &'static Api {
        self.0.api()
    }

    /// Starts a socket: options and mechanism first, then [`open`](SocketBuilder::open).
    #[doc(alias = "zmq_socket")]
    pub fn socket(&self, kind: super::SocketType) -> SocketBuilder {
        SocketBuilder::new(self.clone(), kind)
    }

    /// Ends all use of the context: calls that wait on its sockets, in any thread, return [`Error::Terminated`] at once, and so
    /// does every later one. What was sent may be lost.
    ///
    /// # Errors
    /// [`Error::Zmq`] where the context is not valid any more (a borrowed one only).
    ///
    /// Source: `zmq_ctx_shutdown(3)`.
    #[doc(alias = "zmq_ctx_shutdown")]
    pub fn shutdown(&self) -> Result<()> {
        self.0.shutdown()
    }

    /// Reads an option.
    ///
    /// # Errors
    /// [`Error::Zmq`] where this libzmq does not know it.
    #[doc(alias = "zmq_ctx_get")]
    pub fn get<T: OptionValue, A: Readable>(&self, option: ContextOption<T, A>) -> Result<T> {
        let about = option.about;
        let value = self.0.get(about.id).map_err(|e| about.explain(e, self))?;
        T::decode(&value.to_ne_bytes()).ok_or_else(|| unexpected(about.name, &value.to_ne_bytes()))
    }

    /// Sets an option, for sockets made from now on. Those that must be set before the first socket are given to a
    /// [`ContextBuilder`].
    ///
    /// # Errors
    /// [`Error::Zmq`], with the option's name where libzmq refuses it.
    ///
    /// Source: `zmq_ctx_set(3)`.
    #[doc(alias = "zmq_ctx_set")]
    pub fn set<T: OptionValue, A: Writable>(
        &self,
        option: ContextOption<T, A>,
        value: T,
    ) -> Result<()> {
        self.set_raw(option.about, number(option.about, value)?)
    }

    fn set_raw(&self, option: About, value: i32) -> Result<()> {
        let result = self.0.set(option.id, value);
        result.map_err(|e| option.explain(e, self))
    }

    /// Whether this libzmq was built with `capability`.
    ///
    /// Source: `zmq_has(3)`.
    #[doc(alias = "zmq_has")]
    pub fn has(&self, capability: Capability) -> bool {
        has(self.api(), capability)
    }

    /// Major, minor and patch number of this libzmq.
    ///
    /// Source: `zmq_version(3)`.
    #[doc(alias = "zmq_version")]
    pub fn version(&self) -> (i32, i32, i32) {
        ffi::version(self.api())
    }

    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn require(&self, capability: Capability) -> Result<()> {
        require(self.api(), capability)
    }

    pub(super) fn raw(&self) -> &RawContext {
        &self.0
    }
}

fn has(api: &'static Api, capability: Capability) -> bool {
    match (capability, capability.c_name()) {
        (Capability::Since(major, minor, patch), _) => ffi::version(api) >= (major, minor, patch),
        (_, name) => name.is_some_and(|name| ffi::has(api, name)),
    }
}

/// # Errors
/// [`Error::Unsupported`].
pub(super) fn require(api: &'static Api, capability: Capability) -> Result<()> {
    if has(api, capability) {
        Ok(())
    } else {
        Err(Error::Unsupported(capability))
    }
}

/// An option whose value is not of the size that the manual says.
pub(super) fn unexpected(name: &'static str, value: &[u8]) -> Error {
    Error::InvalidOption {
        name,
        reason: format!("libzmq answered a value of {} bytes", value.len()),
    }
}

/// The value of a context's option, which is always a number.
fn number<T: OptionValue>(option: About, value: T) -> Result<i32> {
    let bytes = value.encode(option.name)?;
    i32::decode(&bytes).ok_or_else(|| unexpected(option.name, &bytes))
}

/// Makes a [`Context`] with options that must be set before its first socket.
#[cfg(feature = "linked")]
#[derive(Debug)]
#[must_use = "build() makes the context"]
pub struct ContextBuilder {
    options: Vec<(About, Result<i32>)>,
    #[cfg(feature = "draft")]
    thread_name: Option<String>,
}

#[cfg(feature = "linked")]
impl ContextBuilder {
    /// Sets an option; a bad value is reported by [`build`](Self::build).
    #[doc(alias = "zmq_ctx_set")]
    pub fn set<T: OptionValue, A: Initial>(
        mut self,
        option: ContextOption<T, A>,
        value: T,
    ) -> Self {
        let number = number(option.about, value);
        self.options.push((option.about, number));
        self
    }

    /// Starts the names of the I/O threads by a text of at most 16 bytes (draft API); as a number,
    /// [`THREAD_NAME_PREFIX`](super::options::THREAD_NAME_PREFIX) is for every libzmq.
    ///
    /// Source: `zmq_ctx_set_ext(3)`.
    #[cfg(feature = "draft")]
    #[doc(alias = "zmq_ctx_set_ext")]
    pub fn thread_name(mut self, prefix: &str) -> Self {
        self.thread_name = Some(prefix.to_owned());
        self
    }

    /// Makes the context.
    ///
    /// # Errors
    /// [`Error::Zmq`], with the option's name where libzmq refuses it.
    pub fn build(self) -> Result<Context> {
        let context = Context(Arc::new(RawContext::new(Api::linked())?));
        for (option, value) in self.options {
            context.set_raw(option, value?)?;
        }
        #[cfg(feature = "draft")]
        if let Some(prefix) = self.thread_name {
            context.0.set_thread_name(&prefix)?;
        }
        Ok(context)
    }
}

/// What a libzmq may have been built with.
///
/// Source: `zmq_has(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The transport `ipc`.
    Ipc,
    /// The transports `pgm` and `epgm`.
    Pgm,
    /// The transport `tipc`.
    Tipc,
    /// The transport `norm`.
    Norm,
    /// The transport `vmci`.
    Vmci,
    /// The transport `ws`.
    Ws,
    /// The transport `wss`.
    Wss,
    /// The CURVE mechanism.
    Curve,
    /// The GSSAPI mechanism.
    Gssapi,
    /// The draft API.
    Draft,
    /// What came with this version (major, minor, patch).
    Since(i32, i32, i32),
}

impl Capability {
    /// What `zmq_has` calls it.
    fn c_name(self) -> Option<&'static std::ffi::CStr> {
        Some(match self {
            Capability::Ipc => c"ipc",
            Capability::Pgm => c"pgm",
            Capability::Tipc => c"tipc",
            Capability::Norm => c"norm",
            Capability::Vmci => c"vmci",
            Capability::Ws => c"WS",
            Capability::Wss => c"WSS",
            Capability::Curve => c"curve",
            Capability::Gssapi => c"gssapi",
            Capability::Draft => c"draft",
            Capability::Since(..) => return None,
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::Curve => "CURVE mechanism (it was built without libsodium)",
            Capability::Gssapi => "GSSAPI mechanism",
            Capability::Draft => "draft API",
            Capability::Since(major, minor, patch) => {
                return write!(f, "feature of version {major}.{minor}.{patch}");
            }
            transport => {
                let name = transport.c_name().unwrap_or_default().to_string_lossy();
                return write!(f, "transport {name}");
            }
        })
    }
}
