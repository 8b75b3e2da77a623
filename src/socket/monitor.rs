//! `Monitor`: what happens to a socket's connections.
//!
//! libzmq reports to one inproc socket, and waits inside the monitored socket's own work until there is room for a report: an
//! unread monitor stalls its socket, a second one silently ends the first. So a thread of ours reads all reports at once and
//! hands them to any number of readers, each with a bounded queue of its own.

mod protocol;

use std::cell::RefCell;
use std::ffi::CStr;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use zmq_sys_wrap::zmq;

use super::{FrameList, Socket, Watch};
use crate::error::{Errno, Error, Result};
use crate::fanout::{Closed, Fanout, Tap};
#[cfg(feature = "draft")]
use crate::ffi::message::RawMessage;
use crate::ffi::{self, c_string, os, socket::RawSocket};
pub use protocol::ProtocolError;

/// Reads what happens to a socket's connections. Any number of monitors may read one socket.
///
/// A monitor that is not read keeps the 4096 oldest events and counts the others as [`missed`](Self::missed). Whether a connection is secured, and why
/// not, a [`HandshakeWatch`](super::HandshakeWatch) makes of them.
///
/// ```
/// use ironhouse::socket::{EventKind, Monitor};
/// # use ironhouse::{Context, SocketType};
/// # fn main() -> ironhouse::Result<()> {
/// # let context = Context::new()?;
/// # let server = context.socket(SocketType::Rep).open()?;
/// # let endpoint = server.bind("tcp://127.0.0.1:*")?;
/// # let client = context.socket(SocketType::Req).open()?;
/// let monitor = Monitor::attach(&client)?; // before connect, to miss nothing
/// client.connect(&endpoint)?;
/// while let Some(event) = monitor.next(None)? {
///     println!("{}: {:?}", event.endpoint, event.kind);
///     if event.kind == EventKind::HandshakeSucceeded {
///         break;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[doc(alias = "zmq_socket_monitor")]
#[doc(alias = "zmonitor")]
#[derive(Debug)]
pub struct Monitor(pub(super) Tap<MonitorEvent>);

impl Monitor {
    /// Starts reading; events before that are not seen.
    ///
    /// # Errors
    /// [`Error::Terminated`] after the context was shut down; [`Error::Zmq`] or [`Error::Os`] where a socket or thread cannot be had.
    ///
    /// Source: `zmq_socket_monitor(3)`.
    pub fn attach(socket: &Socket) -> Result<Self> {
        socket.monitor.attach(socket)
    }

    /// Starts reading a host's socket in `context`, until the host closes it or the context ends.
    pub(super) fn of_borrowed(socket: &RawSocket, context: &super::Context) -> Result<Self> {
        let readers = Arc::new(Fanout::new());
        let tap = readers.tap();
        report(socket, context, move |reports| {
            if let Some((reports, version)) = reports {
                read(&reports, version, |event| {
                    readers.emit(|| event);
                });
            }
            readers.close();
        })?;
        Ok(Self(tap))
    }

    /// The next event, waiting at most `timeout` (`None`: as long as it takes); `None` when none came in time.
    ///
    /// # Errors
    /// [`Error::Terminated`] once the socket is closed or the context shut down, and all events before that were read.
    pub fn next(&self, timeout: Option<Duration>) -> Result<Option<MonitorEvent>> {
        self.0.next(timeout).map_err(|Closed| Error::Terminated)
    }

    /// The next event, awaited on any runtime. Cancel-safe: what was not returned is still to come.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_event(&mut self) -> Result<MonitorEvent> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next event; where there is none, the task is woken once there may be one. Ever only the task that polled last.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<MonitorEvent>> {
        let event = self.0.poll_next(cx);
        event.map_err(|Closed| Error::Terminated)
    }

    /// How many events this monitor did not get because it was not read.
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }
}

/// Something that happened to a connection or to the endpoint it was made for.
///
/// Source: `zmq_socket_monitor(3)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorEvent {
    /// What happened.
    pub kind: EventKind,
    /// The endpoint of *this* socket that it happened at, as bound or connected; it does not name the peer.
    pub endpoint: String,
    /// The other end of the connection, where libzmq says it: with the feature `draft`, and a library built with that API.
    pub peer: Option<String>,
}

/// What happened to a connection. Descriptors are those of this process, and may be closed and used anew by the time they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A connection was made to a peer; not yet secured.
    Connected {
        /// Its descriptor.
        fd: i32,
    },
    /// A connection attempt goes on in the background.
    ConnectDelayed,
    /// A connection attempt failed and is made again after `interval`.
    ConnectRetried {
        /// The wait.
        interval: Duration,
    },
    /// The socket was bound.
    Listening {
        /// The listening descriptor.
        fd: i32,
    },
    /// The socket could not be bound.
    BindFailed(Errno),
    /// A connection of a peer was accepted; not yet secured.
    Accepted {
        /// Its descriptor.
        fd: i32,
    },
    /// A connection of a peer could not be accepted.
    AcceptFailed(Errno),
    /// A descriptor was closed.
    Closed {
        /// The descriptor.
        fd: i32,
    },
    /// A descriptor could not be closed.
    CloseFailed(Errno),
    /// A connection ended.
    Disconnected {
        /// Its descriptor.
        fd: i32,
    },
    /// A handshake succeeded: messages can flow.
    HandshakeSucceeded,
    /// A handshake ended without a reason: the peer closed it (`EPIPE`), it took too long (`EAGAIN`), or no authenticator answered
    /// (`EFAULT`).
    HandshakeFailedNoDetail(Errno),
    /// A handshake broke the protocol.
    HandshakeFailedProtocol(ProtocolError),
    /// The authenticator refused: the status it answered, 300, 400 or 500.
    HandshakeFailedAuth(u16),
    /// How many messages wait in a connection's queues, asked for by `Socket::report_pipes_stats` (draft API).
    PipesStats {
        /// To be sent.
        outbound: u64,
        /// To be received; libzmq counts some that were received a moment ago.
        inbound: u64,
    },
    /// What a later libzmq may report.
    Other {
        /// The event's number.
        event: u16,
        /// Its value.
        value: u32,
    },
}

impl MonitorEvent {
    /// From the two frames of a report; `None` for what is not one.
    fn parse(head: &[u8], endpoint: &[u8]) -> Option<Self> {
        let (event, value) = head.split_first_chunk()?;
        let event = u16::from_ne_bytes(*event);
        let value = u32::from_ne_bytes(value.try_into().ok()?);
        Some(Self {
            kind: EventKind::of(event, value),
            endpoint: String::from_utf8_lossy(endpoint).into_owned(),
            peer: None,
        })
    }

    /// From the frames of a report of the second version: event, number of values, values, this end, the other end.
    #[cfg(feature = "draft")]
    fn parse_versioned(frames: &[RawMessage]) -> Option<Self> {
        let (event, frames) = frames.split_first()?;
        let (_, frames) = frames.split_first()?;
        let (peer, frames) = frames.split_last()?;
        let (endpoint, values) = frames.split_last()?;
        let number = |frame: &RawMessage| Some(u64::from_ne_bytes(frame.bytes().try_into().ok()?));
        let text = |frame: &RawMessage| String::from_utf8_lossy(frame.bytes()).into_owned();
        let event = number(event)?;
        let kind = match (event, values) {
            (STATS, [outbound, inbound, ..]) => EventKind::PipesStats {
                outbound: number(outbound)?,
                inbound: number(inbound)?,
            },
            (_, [value, ..]) => EventKind::of(event.try_into().unwrap_or(0), number(value)? as u32),
            (_, []) => EventKind::of(event.try_into().unwrap_or(0), 0),
        };
        Some(Self {
            kind,
            endpoint: text(endpoint),
            peer: Some(text(peer)).filter(|peer| !peer.is_empty()),
        })
    }
}

#[cfg(feature = "draft")]
const STATS: u64 = zmq::ZMQ_EVENT_PIPES_STATS as u64;

impl EventKind {
    pub(super) fn of(event: u16, value: u32) -> Self {
        let fd = value as i32;
        let errno = Errno(value as i32);
        match u32::from(event) {
            zmq::ZMQ_EVENT_CONNECTED => EventKind::Connected { fd },
            zmq::ZMQ_EVENT_CONNECT_DELAYED => EventKind::ConnectDelayed,
            zmq::ZMQ_EVENT_CONNECT_RETRIED => EventKind::ConnectRetried {
                interval: Duration::from_millis(value.into()),
            },
            zmq::ZMQ_EVENT_LISTENING => EventKind::Listening { fd },
            zmq::ZMQ_EVENT_BIND_FAILED => EventKind::BindFailed(errno),
            zmq::ZMQ_EVENT_ACCEPTED => EventKind::Accepted { fd },
            zmq::ZMQ_EVENT_ACCEPT_FAILED => EventKind::AcceptFailed(errno),
            zmq::ZMQ_EVENT_CLOSED => EventKind::Closed { fd },
            zmq::ZMQ_EVENT_CLOSE_FAILED => EventKind::CloseFailed(errno),
            zmq::ZMQ_EVENT_DISCONNECTED => EventKind::Disconnected { fd },
            zmq::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => EventKind::HandshakeSucceeded,
            zmq::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => EventKind::HandshakeFailedNoDetail(errno),
            zmq::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL => {
                EventKind::HandshakeFailedProtocol(ProtocolError(value))
            }
            zmq::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => {
                EventKind::HandshakeFailedAuth(value.try_into().unwrap_or(u16::MAX))
            }
            _ => EventKind::Other { event, value },
        }
    }
}

/// A socket's side of its monitors: made with the first of them.
pub(super) struct Hub(RefCell<Option<Running>>);

struct Running {
    readers: Arc<Fanout<MonitorEvent>>,
    thread: os::Thread,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self(RefCell::new(None))
    }

    fn attach(&self, socket: &Socket) -> Result<Monitor> {
        let readers = self.start(socket)?;
        if readers.is_closed() {
            return Err(Error::Terminated);
        }
        Ok(Monitor(readers.tap()))
    }

    /// Has libzmq report, if it does not yet.
    pub(super) fn start(&self, socket: &Socket) -> Result<Arc<Fanout<MonitorEvent>>> {
        let mut running = self.0.borrow_mut();
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running::start(socket)?),
        };
        Ok(running.readers.clone())
    }

    /// Runs `bind`, and finds out why it failed where libzmq has forgotten that: the report it makes of the failure to a
    /// monitor may overwrite the error number by `EAGAIN`, which is none of `zmq_bind`'s own.
    pub(super) fn explain_bind(&self, bind: impl FnOnce() -> Result<()>) -> Result<()> {
        let reports = self.0.borrow().as_ref().map(|r| r.readers.tap());
        let result = bind();
        let (Err(Error::Again), Some(reports)) = (&result, reports) else {
            return result;
        };
        // The report was made before `bind` returned: the time-out is for a context that was shut down meanwhile.
        while let Ok(Some(event)) = reports.next(Some(Duration::from_secs(1))) {
            if let EventKind::BindFailed(errno) = event.kind {
                return Err(Error::Zmq {
                    call: "zmq_bind",
                    on: "".into(),
                    errno,
                    cure: ffi::cure("zmq_bind", errno),
                });
            }
        }
        result
    }

    /// Ends the reports, before `socket` is closed: one that found nobody reading would stall libzmq.
    pub(super) fn stop(&self, socket: &RawSocket) {
        let Some(running) = self.0.take() else {
            return;
        };
        if socket.is_ours() {
            // Fails only where the context is shut down, and then the thread has seen that as well.
            let _ = socket.monitor(None);
        }
        running.thread.join();
    }
}

impl Running {
    fn start(socket: &Socket) -> Result<Self> {
        let readers = Arc::new(Fanout::new());
        let thread = report(&socket.raw, &socket.context, {
            let readers = readers.clone();
            let watch = socket.watched.as_ref().map(|w| w.watch.clone());
            move |reports| {
                if let Some((reports, version)) = reports {
                    read(&reports, version, |event| {
                        if let Some(watch) = &watch {
                            watch.observe(&event);
                        }
                        readers.emit(|| event);
                    });
                }
                readers.close();
            }
        })?;
        Ok(Self { readers, thread })
    }
}

/// Has `watch` see what happens to the connections of a host's socket in `context`, until it is closed or its context ends: on a thread of ours.
pub(super) fn watch_borrowed(
    socket: &RawSocket,
    context: &super::Context,
    watch: Arc<dyn Watch>,
) -> Result<()> {
    report(socket, context, move |reports| {
        if let Some((reports, version)) = reports {
            read(&reports, version, |event| {
                watch.observe(&event);
                // Nobody looks at the messages, so none is waited for.
                watch.drained();
            });
            // In this order: once the host's context has ended, nothing of it is left.
            drop(watch);
            drop(reports);
        }
    })
    .map(drop)
}

/// Has libzmq report on `socket`, and a thread of ours `read` that: `None`, where there is nothing to be read.
fn report(
    socket: &RawSocket,
    context: &super::Context,
    read: impl FnOnce(Option<(RawSocket, Version)>) + Send + 'static,
) -> Result<os::Thread> {
    let (start, started) = std::sync::mpsc::channel();
    // The thread comes first: from the moment something is reported, somebody must read.
    let thread = os::spawn("ironhouse-mon", move || read(started.recv().ok()))?;
    // Never the same twice: libzmq gives an address free some time after its socket was closed.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let endpoint = c_string(
        "endpoint",
        &format!("inproc://ironhouse-monitor-{}-{number}", std::process::id()),
    )?;
    let reports = RawSocket::open(context.raw(), zmq::ZMQ_PAIR as i32)?;
    reports.set(zmq::ZMQ_RCVHWM as i32, &0i32.to_ne_bytes())?;
    reports.connect(&endpoint)?;
    let version = start_reports(socket, &endpoint)?;
    let _ = start.send((reports, version));
    Ok(thread)
}

/// The form of libzmq's reports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    #[cfg(feature = "draft")]
    Two,
}

/// Has libzmq report in the newest form it has.
fn start_reports(socket: &RawSocket, endpoint: &CStr) -> Result<Version> {
    #[cfg(feature = "draft")]
    if socket.monitor_versioned(endpoint)? {
        return Ok(Version::Two);
    }
    socket.monitor(Some(endpoint))?;
    Ok(Version::One)
}

/// Hands reports on until they end with the socket or the context.
fn read(reports: &RawSocket, version: Version, mut hand_on: impl FnMut(MonitorEvent)) {
    let stopped = stopped(version);
    let mut list = FrameList::default();
    while list.recv(reports, 0).is_ok() {
        let frames = list.messages();
        if frames
            .first()
            .is_some_and(|head| head.bytes().starts_with(&stopped))
        {
            return;
        }
        let event = match (version, frames) {
            (Version::One, [head, endpoint]) => MonitorEvent::parse(head.bytes(), endpoint.bytes()),
            (Version::One, _) => None,
            #[cfg(feature = "draft")]
            (Version::Two, frames) => MonitorEvent::parse_versioned(frames),
        };
        if let Some(event) = event {
            hand_on(event);
        }
    }
}

/// How the last report starts.
fn stopped(version: Version) -> Vec<u8> {
    let event = zmq::ZMQ_EVENT_MONITOR_STOPPED;
    match version {
        Version::One => (event as u16).to_ne_bytes().to_vec(),
        #[cfg(feature = "draft")]
        Version::Two => u64::from(event).to_ne_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests;
