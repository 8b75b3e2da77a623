//! The ZAP handler: a thread that answers libzmq, and what its owners hold of it.

mod policies;
mod shared;
mod thread;

use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::audit::Audit;
use super::clock::{Clock, Source};
use super::gssapi::GssapiServers;
use super::health::Pulse;
use super::limits::Limits;
use super::lockouts::Lockouts;
use super::peers::Peers;
use super::revoke::RevocationScope;
use super::traces::Running;
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::socket::{Context, SocketType, options};
use policies::Policies;
use shared::Inbox;
pub(crate) use shared::Shared;
use thread::Zap;

/// Where libzmq asks.
///
/// Source: RFC 27/ZAP, ZAP endpoint.
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// A running ZAP handler. Shared by its authenticator, domains and secured sockets; ends with the last of them.
pub(crate) struct Handler {
    shared: Arc<Shared>,
    context: Context,
    /// Closing it is the word to stop: a host's `zmq_ctx_term` would wait for an open 0MQ socket on our side.
    stop: Option<UnixStream>,
    thread: Option<os::Thread>,
    /// What ends with it.
    companion: Mutex<Option<Box<dyn Send>>>,
    /// Ends behind the thread.
    _traces: Running,
}

/// How long and how wide decisions may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a decision may take; then the peer is told to try again.
    pub(crate) deadline: Duration,
    /// Most callbacks at a time.
    pub(crate) threads: usize,
    /// What is closed where a revoked peer's connection cannot be told from others.
    pub(crate) scope: RevocationScope,
    /// By how much clocks may differ.
    pub(crate) skew: Duration,
    /// The version of the libzmq that asks: not every one carries out every decision.
    pub(crate) libzmq: (i32, i32, i32),
    /// What one address may take up, and all of them.
    pub(crate) limits: Limits,
}

impl Handler {
    pub(crate) fn start(context: &Context, settings: Settings, clock: Source) -> Result<Self> {
        let limits = settings.limits;
        limits.check()?;
        let socket = context
            .socket(SocketType::Router)
            .set(options::LINGER, Some(Duration::ZERO))
            .set(options::RCV_HWM, 0)
            .set(options::SND_HWM, 0)
            .open()?;
        socket.bind(ENDPOINT).map_err(|error| match error {
            Error::Zmq { errno, .. } if errno.0 == libc::EADDRINUSE => Error::HandlerExists,
            error => error,
        })?;
        let (stop, stopped) = os::wake_pair()?;
        let (wake, woken) = os::wake_pair()?;
        let audit = Arc::new(Audit::new());
        let traces = audit.traces().start()?;
        let shared = Arc::new_cyclic(|weak: &Weak<Shared>| {
            let weak = weak.clone();
            Shared {
                policies: RwLock::new(Policies {
                    gssapi: GssapiServers::new(settings.libzmq),
                    ..Policies::default()
                }),
                peers: Peers::new(settings.scope, audit.clone(), &limits),
                clock: Clock::new(clock, settings.skew, audit.clone()),
                lockouts: Lockouts::new(&limits).map(Arc::new),
                audit,
                pulse: Pulse::new(),
                inbox: Inbox {
                    notes: Mutex::default(),
                    wake,
                    anew: AtomicBool::new(false),
                },
                settings,
                store_changed: Arc::new(move || {
                    if let Some(shared) = weak.upgrade() {
                        shared.judge_anew();
                    }
                }),
            }
        });
        let zap = Zap::new(socket, stopped, woken, shared.clone());
        let thread = os::spawn("ironhouse-zap", move || zap.run())?;
        Ok(Self {
            shared,
            context: context.clone(),
            stop: Some(stop),
            thread: Some(thread),
            companion: Mutex::default(),
            _traces: traces,
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Keeps something as long as the handler runs.
    pub(super) fn keep(&self, companion: impl Send + 'static) {
        let mut kept = self
            .companion
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Box::new(companion));
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}
