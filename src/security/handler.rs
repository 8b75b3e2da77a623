//! The ZAP thread: reads requests, decides what memory decides, hands on what may block, and answers in the order in which
//! decisions end.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::audit::{Audit, AuditEvent, Reason};
use super::policy::{Judgement, Outcome, Policy, Question};
use super::workers::Workers;
use super::zap::{Frames, StatusCode, ZapReply};
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::socket::{Context, Socket, SocketType, options};

/// Where libzmq asks.
///
/// Source: RFC 27/ZAP, ZAP endpoint.
const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// Requests read before the thread looks whether it is to stop, so that a flood cannot keep it.
const BATCH: usize = 256;

/// A running ZAP handler. Shared by its authenticator, domains and secured sockets; ends with the last of them.
pub(crate) struct Handler {
    shared: Arc<Shared>,
    context: Context,
    /// Closing it is the word to stop: a host's `zmq_ctx_term` would wait for an open 0MQ socket on our side.
    stop: Option<UnixStream>,
    thread: Option<os::Thread>,
}

/// What the handler's owners and its thread share.
pub(crate) struct Shared {
    policies: RwLock<Policies>,
    pub(crate) audit: Audit,
    inbox: Inbox,
}

#[derive(Default)]
struct Policies {
    domains: HashMap<Arc<str>, Arc<Policy>>,
    fallback: Option<Arc<Policy>>,
}

/// What other threads have for the ZAP thread.
struct Inbox {
    notes: Mutex<Vec<Note>>,
    wake: UnixStream,
}

enum Note {
    /// A decision was made.
    Answer(Frames, Outcome),
    /// The store that did not know this request's key is current now: judge again.
    Current(Frames),
    /// A test wants to see what becomes of a dead thread.
    Crash,
}

impl Handler {
    pub(crate) fn start(context: &Context) -> Result<Self> {
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
        let (stop, stopped) = pair()?;
        let (wake, woken) = pair()?;
        let shared = Arc::new(Shared {
            policies: RwLock::default(),
            audit: Audit::new(),
            inbox: Inbox {
                notes: Mutex::default(),
                wake,
            },
        });
        let zap = Zap {
            socket,
            stopped,
            woken,
            shared: shared.clone(),
            workers: Workers::new(),
        };
        let thread = os::spawn("ironhouse-zap", move || zap.run())?;
        Ok(Self {
            shared,
            context: context.clone(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
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

fn pair() -> Result<(UnixStream, UnixStream)> {
    let pair = UnixStream::pair().and_then(|(ours, theirs)| {
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok((ours, theirs))
    });
    pair.map_err(|source| Error::Os {
        call: "socketpair",
        source,
    })
}

impl Shared {
    /// In force for every request that the thread reads after this returns.
    pub(crate) fn set_domain(&self, name: Arc<str>, policy: Policy) {
        self.policies
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .domains
            .insert(name, Arc::new(policy));
    }

    pub(crate) fn set_fallback(&self, policy: Policy) {
        self.policies
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .fallback = Some(Arc::new(policy));
    }

    pub(crate) fn crash(&self) {
        self.post(Note::Crash);
    }

    /// Whose policy it is, if anybody's. Decided upon without the lock, so that a slow decision delays no change.
    fn policy(&self, domain: Option<&str>) -> Option<Arc<Policy>> {
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        domain
            .and_then(|name| policies.domains.get(name))
            .or(policies.fallback.as_ref())
            .cloned()
    }

    fn post(&self, note: Note) {
        let mut notes = self
            .inbox
            .notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if notes.is_empty() {
            // Full only if the thread has been woken many times over; gone only if nobody reads the notes either.
            let _ = (&self.inbox.wake).write(&[0]);
        }
        notes.push(note);
    }
}

/// The thread.
struct Zap {
    // Dropped in this order: what workers still answer goes nowhere once the socket is closed.
    socket: Socket,
    workers: Workers,
    stopped: UnixStream,
    woken: UnixStream,
    shared: Arc<Shared>,
}

impl Zap {
    fn run(self) {
        let shared = self.shared.clone();
        // `self` moves in, so that the socket is closed whichever way this ends.
        let ended = catch_unwind(AssertUnwindSafe(move || self.serve()));
        if ended.is_err() {
            shared.audit.emit(|| AuditEvent::HandlerDied);
        }
        shared.audit.close();
    }

    /// Until the stop pair closes, or the context is terminated.
    fn serve(mut self) -> Result<()> {
        loop {
            let drained = self.read_requests()?;
            if self.read_notes()? {
                // Sending may have taken the signal of a new request: look again before waiting for the next one.
                continue;
            }
            let timeout = if drained { None } else { Some(Duration::ZERO) };
            let fds = [
                self.socket.event_fd()?,
                self.stopped.as_fd(),
                self.woken.as_fd(),
            ];
            let [_, stop, woken] = os::wait_readable(fds, timeout)?;
            if stop {
                return Ok(());
            }
            if woken {
                let _ = self.woken.read(&mut [0; 64]);
            }
        }
    }

    /// Reads requests until there is none left, or a batch is full; whether there is none left.
    fn read_requests(&mut self) -> Result<bool> {
        for _ in 0..BATCH {
            match self.socket.try_recv_multipart() {
                Ok(frames) => match Frames::new(frames) {
                    Ok(frames) => self.judge(frames, false)?,
                    Err(problem) => self.shared.audit.emit(|| AuditEvent::Malformed(problem)),
                },
                Err(Error::Again) => return Ok(true),
                Err(Error::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Does what other threads left to do; whether there was anything.
    fn read_notes(&mut self) -> Result<bool> {
        let notes = std::mem::take(
            &mut *self
                .shared
                .inbox
                .notes
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let any = !notes.is_empty();
        for note in notes {
            match note {
                Note::Answer(frames, outcome) => self.answer(frames, outcome)?,
                Note::Current(frames) => self.judge(frames, true)?,
                #[allow(clippy::panic)]
                Note::Crash => panic!("crashed by a test"),
            }
        }
        Ok(any)
    }

    /// Decides, or has it decided; `current` says that the store has been brought up to date for this request.
    fn judge(&mut self, frames: Frames, current: bool) -> Result<()> {
        let request = match frames.request() {
            Ok(request) => request,
            Err(problem) => {
                self.shared.audit.emit(|| AuditEvent::Malformed(problem));
                return self.send(frames, ZapReply::refusal(StatusCode::AuthenticationFailure));
            }
        };
        let Some(policy) = self.shared.policy(request.domain) else {
            let reply = ZapReply::refusal(StatusCode::AuthenticationFailure);
            return self.answer(
                frames,
                Outcome {
                    reply,
                    reason: Reason::UnknownDomain,
                },
            );
        };
        match policy.judge(&request) {
            Judgement::Decided(outcome) => self.answer(frames, outcome),
            Judgement::NotInStore { refused, .. } if current => self.answer(frames, refused),
            Judgement::NotInStore { store, .. } => {
                let shared = self.shared.clone();
                store.when_current(Box::new(move |current| {
                    shared.post(if current {
                        Note::Current(frames)
                    } else {
                        Note::Answer(frames, Outcome::fault(Reason::StoreNotCurrent))
                    });
                }));
                Ok(())
            }
            Judgement::Ask(question) => self.ask(frames, question),
        }
    }

    fn ask(&mut self, frames: Frames, question: Question) -> Result<()> {
        let shared = self.shared.clone();
        // Where the pool has no room the job comes back, and the frames with it.
        let frames = Arc::new(Mutex::new(Some(frames)));
        let asked = frames.clone();
        let job = Box::new(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| question.ask()))
                .unwrap_or_else(|_| Outcome::fault(Reason::CallbackPanicked));
            if let Some(frames) = take(&asked) {
                shared.post(Note::Answer(frames, outcome));
            }
        });
        if self.workers.submit(job).is_err() {
            if let Some(frames) = take(&frames) {
                return self.answer(frames, Outcome::fault(Reason::Overloaded));
            }
        }
        Ok(())
    }

    fn answer(&self, frames: Frames, outcome: Outcome) -> Result<()> {
        self.shared
            .audit
            .decision(&frames, outcome.reply.status, outcome.reason);
        self.send(frames, outcome.reply)
    }

    fn send(&self, frames: Frames, reply: ZapReply) -> Result<()> {
        match self.socket.send_multipart(frames.answer(reply)) {
            Err(Error::Terminated) => Err(Error::Terminated),
            // A ROUTER drops what nobody waits for any more; there is nobody to tell.
            _ => Ok(()),
        }
    }
}

fn take(frames: &Mutex<Option<Frames>>) -> Option<Frames> {
    frames.lock().unwrap_or_else(PoisonError::into_inner).take()
}
