//! The ZAP thread: reads requests, decides what memory decides, hands on what may block, and answers in the order in which
//! decisions end.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shared::{Note, Shared};
use super::{ENDPOINT, Settings};
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::security::audit::{AuditEvent, Decided, Reason};
use crate::security::clock::{Moment, NextEnd, Reading};
use crate::security::generation::FETCH;
use crate::security::limits::{Block, Limits};
use crate::security::pending::Pending;
use crate::security::policy::{Judgement, Question};
use crate::security::store::CertificateStore;
use crate::security::verdict::Outcome;
use crate::security::workers::Workers;
use crate::security::zap::{Frames, StatusCode, ZapReply, ZapRequest};
use crate::socket::{FrameList, Socket};

/// Requests read before the thread looks whether it is to stop, so that a flood cannot keep it.
const BATCH: usize = 256;

/// The thread.
pub(super) struct Zap {
    // Dropped in this order: what workers still answer goes nowhere once the socket is closed.
    socket: Socket,
    workers: Workers,
    pending: Pending,
    /// How many requests to read before the first of them is decided.
    ahead: usize,
    /// What the clock showed to the requests that were read with this one.
    moment: Option<Moment>,
    /// Answers that are not sent yet, and what is to be reported of them.
    replies: Vec<(Frames, ZapReply)>,
    decided: Decided,
    /// Lists for the frames of the next requests, so that they need not grow again.
    spare: Vec<FrameList>,
    /// Whether those who are in are to be judged anew.
    anew: bool,
    /// When they are to be, because a certificate ends.
    next_end: NextEnd,
    /// And not before then: where there are many of them, a store that changes all the time must not delay the others.
    rest: Instant,
    stopped: UnixStream,
    woken: UnixStream,
    shared: Arc<Shared>,
}

impl Zap {
    pub(super) fn new(
        socket: Socket,
        stopped: UnixStream,
        woken: UnixStream,
        shared: Arc<Shared>,
    ) -> Self {
        let Settings {
            deadline,
            threads,
            limits,
            ..
        } = shared.settings;
        let threads_per_address = limits.threads_per_address.unwrap_or(threads);
        Self {
            socket,
            stopped,
            woken,
            shared,
            workers: Workers::new(threads, threads_per_address, deadline),
            pending: Pending::new(deadline, &limits),
            ahead: 1,
            moment: None,
            replies: Vec::with_capacity(FETCH),
            decided: Decided::new(),
            spare: Vec::new(),
            anew: false,
            next_end: NextEnd::none(),
            rest: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        self.shared.audit.meter.started();
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let died = !matches!(ended, Ok(Ok(()) | Err(Error::Terminated)));
        self.shared.pulse.end(died);
        self.shared.audit.report(&mut self.decided);
        self.shared.audit.pending(0);
        self.shared.audit.meter.ended(died);
        if died {
            self.shared.audit.emit(|| AuditEvent::HandlerDied);
        }
        self.shared.audit.close();
        // Nothing is left to be done about an error.
        if died {
            let _ = self.fall_silent();
        }
        // The name is free when this returns: closing alone leaves that to libzmq's reaper, for whom who starts the next authenticator, or
        // connects, does not wait.
        let _ = self.socket.unbind(ENDPOINT);
    }

    /// Answers nobody until the end. An open socket without answers admits nobody; without the socket libzmq would let everybody in by
    /// GSSAPI, which knows no enforcement, and to sockets of others that do not ask for it.
    fn fall_silent(&mut self) -> Result<()> {
        self.pending = Pending::new(Duration::ZERO, &Limits::off());
        let mut list = FrameList::default();
        loop {
            let mut timeout = Some(Duration::ZERO);
            for _ in 0..BATCH {
                match self.socket.try_recv_list(&mut list) {
                    Ok(()) => list.wipe(0),
                    Err(Error::Interrupted) => {}
                    Err(Error::Again) => {
                        timeout = None;
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            let fds = [self.socket.event_fd()?, self.stopped.as_fd()];
            if let [_, true] = os::wait_readable(fds, timeout)? {
                return Ok(());
            }
        }
    }

    /// Until the stop pair closes, or the context is terminated.
    fn serve(&mut self) -> Result<()> {
        loop {
            let drained = self.read_requests()?;
            self.judge_anew();
            // Whatever is answered below leads to another turn.
            self.shared.audit.pending(self.pending.len());
            // Sending may take the signal of a new request: then look again, before waiting for the next one.
            let sent = self.read_notes()? | self.see_to_deadlines()?;
            let anew = self.anew.then_some(self.rest);
            let due = [self.pending.deadline(), anew, self.next_end.deadline()];
            let timeout = match due.into_iter().flatten().min() {
                _ if sent || !drained => Some(Duration::ZERO),
                Some(due) => Some(due.saturating_duration_since(Instant::now())),
                None => None,
            };
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
        let mut requests = Vec::with_capacity(FETCH);
        let mut count = 0;
        while count < BATCH {
            let drained = self.read_some(&mut requests)?;
            if drained && requests.is_empty() {
                return Ok(true);
            }
            count += requests.len().max(1);
            if requests.len() > 1 {
                self.shared.policies().fetch(&requests);
            }
            // Answering may take the signal of another request: so there is none left only if nothing came before.
            for frames in requests.drain(..) {
                self.judge(frames, false)?;
            }
            self.send_replies()?;
        }
        Ok(false)
    }

    /// Reads as many as are decided in one go; whether there is none left. To find that out costs a system call, so where requests
    /// come one by one none is looked for before the first is answered.
    fn read_some(&mut self, requests: &mut Vec<Frames>) -> Result<bool> {
        self.moment = None;
        let now = Instant::now();
        for _ in 0..self.ahead {
            let mut list = self.spare.pop().unwrap_or_default();
            match self.socket.try_recv_list(&mut list) {
                Ok(()) => match Frames::new(list, now) {
                    Ok(frames) => requests.push(frames),
                    Err(problem) => self.shared.audit.malformed(problem),
                },
                Err(Error::Again) => {
                    self.spare.push(list);
                    self.ahead = requests.len().max(1);
                    return Ok(true);
                }
                Err(Error::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        self.ahead = (2 * self.ahead).min(FETCH);
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
            self.moment = None;
            match note {
                Note::Decided(id, outcome) => {
                    if let Some(frames) = self.pending.take(id) {
                        // It may have been asked under another policy, or before the key was revoked.
                        let mut reading = Reading::new(&self.shared.clock);
                        let stands = outcome.reply.status != StatusCode::Success
                            || frames.request().is_ok_and(|request| {
                                let proof = outcome.proof.as_deref();
                                !self.shared.would_refuse(&request, proof, &mut reading)
                            });
                        if stands {
                            self.answer(frames, outcome)?;
                        } else {
                            self.judge(frames, false)?;
                        }
                    }
                }
                Note::JudgeAnew => {
                    // First the flag: what changes from here on sends a note again.
                    self.shared.inbox.anew.store(false, Ordering::Release);
                    self.anew = true;
                }
                Note::Current(id, current) => {
                    if let Some(frames) = self.pending.take(id) {
                        if current {
                            self.judge(frames, true)?;
                        } else {
                            self.answer(frames, Outcome::fault(Reason::StoreNotCurrent))?;
                        }
                    }
                }
                Note::Probe => self.shared.pulse.answer(),
                #[allow(clippy::panic)]
                Note::Crash => panic!("crashed by a test"),
            }
        }
        self.send_replies()?;
        Ok(any)
    }

    /// Puts out whom the policies and stores of now would not let in, if they have changed or a certificate has ended. At most a tenth of the
    /// thread's time.
    fn judge_anew(&mut self) {
        let start = Instant::now();
        self.shared.pulse.turned(start);
        self.anew |= self.next_end.has_come(start, &self.shared.clock);
        if self.anew && start >= self.rest {
            self.anew = false;
            self.next_end = NextEnd::none();
            self.next_end.add(self.shared.put_out());
            self.shared.count_certificates();
            self.rest = start + start.elapsed() * 10;
        }
    }

    /// Answers those whose decision did not come in time; whether there was any.
    fn see_to_deadlines(&mut self) -> Result<bool> {
        let mut any = false;
        while let Some(frames) = self.pending.overdue() {
            self.answer(frames, Outcome::fault(Reason::Late))?;
            any = true;
        }
        self.send_replies()?;
        Ok(any)
    }

    /// Decides, or has it decided; `current` says that the stores have been brought up to date for this request.
    fn judge(&mut self, frames: Frames, current: bool) -> Result<()> {
        let request = match frames.request() {
            Ok(request) => request,
            Err(problem) => {
                self.shared.audit.malformed(problem);
                return self.reply(frames, ZapReply::refusal(StatusCode::AuthenticationFailure));
            }
        };
        let mut reading = Reading::at(&self.shared.clock, self.moment);
        let judgement = self.shared.judge(&request, &mut reading);
        self.moment = reading.moment();
        self.next_end.add(reading.next_end());
        match judgement {
            Judgement::NotInStores { stores, .. } if !current => {
                let from = self.block_of(&request);
                self.wait_for_stores(frames, from, stores)
            }
            Judgement::Decided(outcome)
            | Judgement::NotInStores {
                refused: outcome, ..
            } => {
                if let Some(lockouts) = &self.shared.lockouts {
                    lockouts.note(&request, outcome.reason);
                }
                let decided = &mut self.decided;
                let reply = self.shared.settle(&request, frames.read, outcome, decided);
                self.reply(frames, reply)
            }
            Judgement::Ask(question) => {
                let from = self.block_of(&request);
                self.ask(frames, from, question)
            }
        }
    }

    /// Which address a request counts for.
    fn block_of(&self, request: &ZapRequest<'_>) -> Option<Block> {
        self.shared.settings.limits.blocks.of(&request.address)
    }

    fn wait_for_stores(
        &mut self,
        frames: Frames,
        from: Option<Block>,
        stores: Vec<Arc<CertificateStore>>,
    ) -> Result<()> {
        let id = match self.pending.park(frames, from) {
            Ok(id) => id,
            Err(frames) => return self.answer(frames, Outcome::fault(Reason::Overloaded)),
        };
        // Each store answers once, and the last of them for all.
        let state = Arc::new(Mutex::new((stores.len(), true)));
        if stores.is_empty() {
            self.shared.post(Note::Current(id, true));
        }
        for store in stores {
            let (state, shared) = (state.clone(), Arc::downgrade(&self.shared));
            store.when_current(Box::new(move |current| {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.0 -= 1;
                state.1 &= current;
                if let (0, all, Some(shared)) = (state.0, state.1, shared.upgrade()) {
                    shared.post(Note::Current(id, all));
                }
            }));
        }
        Ok(())
    }

    fn ask(&mut self, frames: Frames, from: Option<Block>, question: Box<Question>) -> Result<()> {
        let id = match self.pending.park(frames, from) {
            Ok(id) => id,
            Err(frames) => return self.answer(frames, Outcome::fault(Reason::Overloaded)),
        };
        let shared = Arc::downgrade(&self.shared);
        let job = move || {
            let sink = move |outcome| {
                if let Some(shared) = shared.upgrade() {
                    shared.post(Note::Decided(id, outcome));
                }
            };
            // A panic has answered already, by dropping its reply.
            let _ = catch_unwind(AssertUnwindSafe(|| question.ask(sink)));
        };
        if self.workers.submit(Box::new(job), from).is_err() {
            if let Some(frames) = self.pending.take(id) {
                return self.answer(frames, Outcome::fault(Reason::Overloaded));
            }
        }
        Ok(())
    }

    /// Answers a request that waited.
    fn answer(&mut self, frames: Frames, outcome: Outcome) -> Result<()> {
        let reply = match frames.request() {
            Ok(request) => {
                let decided = &mut self.decided;
                self.shared.settle(&request, frames.read, outcome, decided)
            }
            Err(_) => ZapReply::refusal(StatusCode::AuthenticationFailure),
        };
        self.reply(frames, reply)
    }

    /// Has an answer sent with the others.
    fn reply(&mut self, frames: Frames, reply: ZapReply) -> Result<()> {
        self.replies.push((frames, reply));
        if self.replies.len() < FETCH {
            return Ok(());
        }
        self.send_replies()
    }

    /// Sends the answers that there are. All in a row: who waits for several is woken once, by the first, and finds the others.
    fn send_replies(&mut self) -> Result<()> {
        self.shared.audit.report(&mut self.decided);
        let mut replies = std::mem::take(&mut self.replies);
        let result = replies
            .drain(..)
            .try_for_each(|(frames, reply)| self.send(frames, &reply));
        self.replies = replies;
        result
    }

    fn send(&mut self, mut frames: Frames, reply: &ZapReply) -> Result<()> {
        let sent = frames.answer(reply, &self.socket);
        let list = frames.wipe();
        if self.spare.len() < FETCH {
            self.spare.push(list);
        }
        match sent {
            Err(Error::Terminated) => Err(Error::Terminated),
            // A ROUTER drops what nobody waits for any more; there is nobody to tell.
            _ => Ok(()),
        }
    }
}
