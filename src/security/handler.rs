//! The ZAP thread: reads requests, decides what memory decides, hands on what may block, and answers in the order in which
//! decisions end.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak, mpsc};
use std::time::{Duration, Instant, SystemTime};

use super::audit::{Audit, AuditEvent, Reason};
use super::clock::{Clock, NextEnd, Reading, Source};
use super::explain::{Explanation, PolicySource, Trace};
use super::generation::FETCH;
use super::gssapi::GssapiServers;
use super::health::{Health, Pulse, StoreHealth};
use super::keys::PublicKey;
use super::limits::{Block, Limits};
use super::lockouts::{self, Lockouts};
use super::meter::Since;
use super::passwords::Proof;
use super::peers::Peers;
use super::pending::Pending;
use super::policy::{Judgement, Policy, Question, Rule};
use super::revoke::RevocationScope;
use super::store::CertificateStore;
use super::traces::Running;
use super::verdict::Outcome;
use super::workers::Workers;
use super::zap::{Credential, Frames, StatusCode, ZapReply, ZapRequest};
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::socket::{Context, FrameList, Socket, SocketType, options};

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
    /// What ends with it.
    companion: Mutex<Option<Box<dyn Send>>>,
    /// Ends behind the thread.
    _traces: Running,
}

/// What the handler's owners and its thread share.
pub(crate) struct Shared {
    policies: RwLock<Policies>,
    pub(crate) audit: Arc<Audit>,
    pub(super) peers: Arc<Peers>,
    pub(super) clock: Clock,
    pub(super) lockouts: Option<Arc<Lockouts>>,
    pulse: Pulse,
    inbox: Inbox,
    settings: Settings,
    /// Called by the stores and users that policies use.
    store_changed: Arc<dyn Fn() + Send + Sync>,
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

#[derive(Default)]
struct Policies {
    /// A server has few: finding one among them is cheaper than hashing its name.
    domains: BTreeMap<Arc<str>, Arc<Policy>>,
    fallback: Option<Arc<Policy>>,
    gssapi: GssapiServers,
    /// Refused whatever the policies say.
    revoked: HashSet<PublicKey>,
}

/// What other threads have for the ZAP thread.
struct Inbox {
    notes: Mutex<Vec<Note>>,
    wake: UnixStream,
    /// Whether a note to judge anew is on its way.
    anew: AtomicBool,
}

impl Policies {
    /// Whose policy it is, if anybody's.
    fn of(&self, domain: Option<&str>) -> (Option<&Arc<Policy>>, PolicySource) {
        match (
            domain.and_then(|name| self.domains.get(name)),
            &self.fallback,
        ) {
            (Some(policy), _) => (Some(policy), PolicySource::Domain),
            (None, Some(policy)) => (Some(policy), PolicySource::Fallback),
            (None, None) => (None, PolicySource::None),
        }
    }

    /// Has what will be asked of stores by these requests fetched from memory.
    fn fetch(&self, requests: &[Frames]) {
        let mut rest = requests.iter().filter_map(Frames::curve_key).peekable();
        while let Some((domain, _)) = rest.peek().copied() {
            let mut keys = [PublicKey::from_bytes([0; 32]); FETCH];
            let mut count = 0;
            while let Some((_, key)) = rest.next_if(|(other, _)| *other == domain) {
                if let Some(place) = keys.get_mut(count) {
                    *place = key;
                    count += 1;
                }
            }
            let (policy, _) = self.of(std::str::from_utf8(domain).ok());
            for store in policy.iter().flat_map(|policy| policy.stores()) {
                store.fetch(keys.get(..count).unwrap_or_default());
            }
        }
    }

    /// Whether the key of this request, if it has one, was revoked.
    fn revoke(&self, request: &ZapRequest<'_>) -> bool {
        matches!(&request.credential, Credential::Curve(key) if self.revoked.contains(key))
    }
}

enum Note {
    /// The decision on this request.
    Decided(u64, Outcome),
    /// The stores that did not know this request's key are current now, or (false) ended.
    Current(u64, bool),
    /// Policies, stores or revocations have changed.
    JudgeAnew,
    /// Somebody wants to know whether the thread turns.
    Probe,
    /// A test wants to see what becomes of a dead thread.
    Crash,
}

impl Handler {
    pub(crate) fn start(context: &Context, settings: Settings, clock: Source) -> Result<Self> {
        let Settings {
            deadline,
            threads,
            limits,
            ..
        } = settings;
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
        let (stop, stopped) = pair()?;
        let (wake, woken) = pair()?;
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
        let zap = Zap {
            socket,
            stopped,
            woken,
            shared: shared.clone(),
            workers: Workers::new(
                threads,
                limits.threads_per_address.unwrap_or(threads),
                deadline,
            ),
            pending: Pending::new(deadline, &limits),
            ahead: 1,
            spare: Vec::new(),
            anew: false,
            next_end: NextEnd::none(),
            rest: Instant::now(),
        };
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

fn revoked() -> Outcome {
    Outcome::refused(StatusCode::AuthenticationFailure, Reason::Revoked)
}

fn unknown_domain() -> Outcome {
    Outcome::refused(StatusCode::AuthenticationFailure, Reason::UnknownDomain)
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
    /// In force for every request that the thread reads after this returns; or not at all.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`].
    pub(crate) fn set_domain(&self, name: &Arc<str>, policy: Policy) -> Result<()> {
        self.update_domain(name, |_| policy)
    }

    /// The same, made from the policy that is in force, which nobody else changes meanwhile.
    pub(crate) fn update_domain(
        &self,
        name: &Arc<str>,
        change: impl FnOnce(Policy) -> Policy,
    ) -> Result<()> {
        self.replace(|policies| {
            let before = policies.domains.get(name);
            let policy = Arc::new(change(before.map(|p| Policy::clone(p)).unwrap_or_default()));
            match policies.gssapi.check(Some(name), &policy) {
                Ok(()) => {
                    self.follow(&policy);
                    self.audit.meter.know(name);
                    (policies.domains.insert(name.clone(), policy), Ok(()))
                }
                refused => (Some(policy), refused),
            }
        })
    }

    /// As [`set_domain`](Self::set_domain), for domains without a policy.
    pub(crate) fn set_fallback(&self, policy: Policy) -> Result<()> {
        self.replace(|policies| {
            let policy = Arc::new(policy);
            match policies.gssapi.check(None, &policy) {
                Ok(()) => {
                    self.follow(&policy);
                    (policies.fallback.replace(policy), Ok(()))
                }
                refused => (Some(policy), refused),
            }
        })
    }

    /// Changes a policy; what the change leaves over is dropped without the lock, because what a callback owns may use the
    /// authenticator when it is dropped.
    fn replace(
        &self,
        change: impl FnOnce(&mut Policies) -> (Option<Arc<Policy>>, Result<()>),
    ) -> Result<()> {
        let (left_over, result) = self.change(change);
        drop(left_over);
        result
    }

    /// Lets the domain's policy be none but what libzmq carries out over GSSAPI, as long as the result lives.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] where it is another now.
    pub(crate) fn hold_for_gssapi(&self, name: &Arc<str>) -> Result<Arc<()>> {
        let mut policies = self
            .policies
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Policies {
            domains, gssapi, ..
        } = &mut *policies;
        gssapi.hold(name, domains.get(name).map_or(&Policy::new(), |p| p))
    }

    /// The policies of all these domains and of the fallback, in one step.
    ///
    /// # Errors
    /// [`Error::GssapiRefusal`] for a policy that this libzmq would not carry out; nothing has changed then.
    pub(super) fn configure(
        &self,
        domains: Vec<(Arc<str>, Policy)>,
        fallback: Option<Policy>,
    ) -> Result<()> {
        let mut domains: Vec<_> = domains
            .into_iter()
            .map(|(name, policy)| (name, Arc::new(policy)))
            .collect();
        let mut fallback = fallback.map(Arc::new);
        // What is replaced, or refused, is dropped without the lock, as in `replace`.
        self.change(|policies| {
            let mut all = domains.iter();
            all.try_for_each(|(name, policy)| policies.gssapi.check(Some(name), policy))?;
            if let Some(policy) = &fallback {
                policies.gssapi.check(None, policy)?;
                self.follow(policy);
            }
            for (name, policy) in &mut domains {
                self.follow(policy);
                self.audit.meter.know(name);
                if let Some(before) = policies.domains.insert(name.clone(), policy.clone()) {
                    *policy = before;
                }
            }
            std::mem::swap(&mut policies.fallback, &mut fallback);
            Ok(())
        })
    }

    pub(crate) fn revoke(&self, key: PublicKey) {
        self.change(|policies| policies.revoked.insert(key));
    }

    pub(crate) fn unrevoke(&self, key: &PublicKey) -> bool {
        self.change(|policies| policies.revoked.remove(key))
    }

    /// In force for every request that the thread reads after this returns; those who are in are judged anew.
    fn change<T>(&self, change: impl FnOnce(&mut Policies) -> T) -> T {
        let mut policies = self
            .policies
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut policies);
        drop(policies);
        self.put_out();
        // And once more for those on whom the thread was deciding meanwhile.
        self.judge_anew();
        result
    }

    /// Has changes of the policy's stores and users tell us.
    fn follow(&self, policy: &Policy) {
        policy.hook(&Arc::downgrade(&self.store_changed));
    }

    /// Closes the connections of those who would not be let in any more; when the first certificate ends of those who stay.
    fn put_out(&self) -> Option<SystemTime> {
        let mut reading = Reading::of_those_inside(&self.clock);
        self.peers.revoke(|admission| {
            let proof = admission.proof.as_ref();
            self.would_refuse(&admission.request(), proof, &mut reading)
        });
        reading.next_end()
    }

    /// Has the thread put out whom it would not let in any more.
    fn judge_anew(&self) {
        if !self.inbox.anew.swap(true, Ordering::AcqRel) {
            self.post(Note::JudgeAnew);
        }
    }

    fn policies(&self) -> RwLockReadGuard<'_, Policies> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What memory makes of a request. The policies are locked meanwhile, as nothing here takes its time.
    fn judge(&self, request: &ZapRequest<'_>, reading: &mut Reading<'_>) -> Judgement {
        let policies = self.policies();
        let (policy, _) = policies.of(request.domain);
        match policy {
            _ if policies.revoke(request) => Judgement::Decided(revoked()),
            Some(policy) => {
                let judgement = self.judge_by(policy, request, reading, &mut ());
                match &self.lockouts {
                    Some(lockouts) => lockouts.guard(judgement, policy, request),
                    None => judgement,
                }
            }
            None => Judgement::Decided(unknown_domain()),
        }
    }

    /// As the policy judges, unless the peer is locked out.
    fn judge_by(
        &self,
        policy: &Policy,
        request: &ZapRequest<'_>,
        reading: &mut Reading<'_>,
        trace: &mut impl Trace,
    ) -> Judgement {
        match &self.lockouts {
            Some(lockouts) => lockouts.judge(policy, request, reading, trace),
            None => policy.judge(request, reading, trace),
        }
    }

    /// Whether one who was let in would be refused now, as far as memory tells.
    fn would_refuse(
        &self,
        request: &ZapRequest<'_>,
        proof: Option<&Proof>,
        reading: &mut Reading<'_>,
    ) -> bool {
        let policies = self.policies();
        let (policy, _) = policies.of(request.domain);
        policies.revoke(request)
            || policy.is_none_or(|policy| policy.would_refuse(request, proof, reading))
    }

    /// How the thread, the stores and the audit fare; the thread is asked.
    pub(crate) fn health(&self) -> Health {
        Health {
            thread: self.pulse.ask(|| self.post(Note::Probe)),
            counters: self.audit.counts.read(),
            stores: self.in_use(StoreHealth::of),
            files: self.audit.files(),
        }
    }

    /// What `look` makes of each store that policies use, and of the domains that use it (`None`: by the fallback).
    fn in_use<T>(
        &self,
        look: impl Fn(&Arc<CertificateStore>, Vec<Option<Arc<str>>>) -> T,
    ) -> Vec<T> {
        // Without the lock while they are looked at.
        let policies: Vec<_> = {
            let policies = self.policies();
            let named = policies.domains.iter();
            let named = named.map(|(name, policy)| (Some(name.clone()), policy.clone()));
            let fallback = policies.fallback.iter().map(|it| (None, it.clone()));
            named.chain(fallback).collect()
        };
        let mut stores: Vec<(&Arc<CertificateStore>, Vec<_>)> = Vec::new();
        for (domain, policy) in &policies {
            for store in policy.stores() {
                match stores
                    .iter_mut()
                    .find(|(known, _)| Arc::ptr_eq(known, store))
                {
                    Some((_, domains)) => domains.push(domain.clone()),
                    None => stores.push((store, vec![domain.clone()])),
                }
            }
        }
        let looked = stores
            .into_iter()
            .map(|(store, domains)| look(store, domains));
        looked.collect()
    }

    /// Tells the metrics of the stores' sizes, where there are metrics.
    fn count_certificates(&self) {
        #[cfg(feature = "metrics")]
        self.audit.meter.stores(
            self.in_use(|store, _| (store.path().map(std::path::Path::to_owned), store.len())),
        );
    }

    pub(crate) fn crash(&self) {
        self.post(Note::Crash);
    }

    /// What would become of a request, decided as in earnest but on this thread; callbacks and stores are asked.
    pub(crate) fn explain(&self, request: &ZapRequest<'_>) -> Explanation {
        // Without the lock while it is asked, so that a slow decision delays no change.
        let (policy, source, is_revoked) = {
            let policies = self.policies();
            let (policy, source) = policies.of(request.domain);
            (policy.cloned(), source, policies.revoke(request))
        };
        let mut steps = Vec::new();
        let mut reading = Reading::new(&self.clock);
        let outcome = match policy {
            _ if is_revoked => revoked(),
            Some(policy) => {
                let mut judgement = self.judge_by(&policy, request, &mut reading, &mut steps);
                if let Judgement::NotInStores { stores, .. } = &judgement {
                    let current = stores
                        .iter()
                        .all(|store| store.sync(self.settings.deadline).is_ok());
                    steps.clear();
                    judgement = if current {
                        self.judge_by(&policy, request, &mut reading, &mut steps)
                    } else {
                        Judgement::Decided(Outcome::fault(Reason::StoreNotCurrent))
                    };
                }
                match judgement {
                    Judgement::Decided(outcome)
                    | Judgement::NotInStores {
                        refused: outcome, ..
                    } => outcome,
                    Judgement::Ask(question) => {
                        let outcome = self.ask_here(question);
                        let passed = outcome.reply.status == StatusCode::Success;
                        steps.asked(Rule::Credential, passed, || outcome.reason.to_string());
                        outcome
                    }
                }
            }
            None => unknown_domain(),
        };
        Explanation {
            status: outcome.reply.status,
            reason: outcome.reason,
            policy: source,
            steps,
        }
    }

    /// Records what a request is told, and reports it.
    fn settle(&self, request: &ZapRequest<'_>, read: Since, outcome: Outcome) -> ZapReply {
        let Outcome {
            mut reply,
            reason,
            proof,
        } = outcome;
        if reply.status == StatusCode::Success {
            reply.admission = self.peers.admit(request, proof);
        }
        self.audit.decision(request, read, reply.status, reason);
        if let Some(lockouts) = &self.lockouts {
            if lockouts::is_failure(reason) || reason == Reason::LockedOut {
                for locked_out in lockouts.news(request) {
                    self.audit.locked_out(locked_out);
                }
            }
        }
        reply
    }

    fn ask_here(&self, question: Question) -> Outcome {
        let (sink, answer) = mpsc::sync_channel(1);
        let sink = move |outcome| drop(sink.try_send(outcome));
        // A panic has answered already, by dropping its reply.
        let _ = catch_unwind(AssertUnwindSafe(|| question.ask(sink)));
        answer
            .recv_timeout(self.settings.deadline)
            .unwrap_or_else(|_| Outcome::fault(Reason::Late))
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
    pending: Pending,
    /// How many requests to read before the first of them is decided.
    ahead: usize,
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
    fn run(mut self) {
        self.shared.audit.meter.started();
        let ended = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let died = !matches!(ended, Ok(Ok(()) | Err(Error::Terminated)));
        self.shared.pulse.end(died);
        self.shared.audit.pending(0);
        self.shared.audit.meter.ended(died);
        if died {
            self.shared.audit.emit(|| AuditEvent::HandlerDied);
        }
        self.shared.audit.close();
        if died {
            // Nothing is left to be done about an error.
            let _ = self.fall_silent();
        }
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
        }
        Ok(false)
    }

    /// Reads as many as are decided in one go; whether there is none left. To find that out costs a system call, so where requests
    /// come one by one none is looked for before the first is answered.
    fn read_some(&mut self, requests: &mut Vec<Frames>) -> Result<bool> {
        for _ in 0..self.ahead {
            let mut list = self.spare.pop().unwrap_or_default();
            match self.socket.try_recv_list(&mut list) {
                Ok(()) => match Frames::new(list) {
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
            match note {
                Note::Decided(id, outcome) => {
                    if let Some(frames) = self.pending.take(id) {
                        // It may have been asked under another policy, or before the key was revoked.
                        let mut reading = Reading::new(&self.shared.clock);
                        let stands = outcome.reply.status != StatusCode::Success
                            || frames.request().is_ok_and(|request| {
                                let proof = outcome.proof.as_ref();
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
        Ok(any)
    }

    /// Decides, or has it decided; `current` says that the stores have been brought up to date for this request.
    fn judge(&mut self, frames: Frames, current: bool) -> Result<()> {
        let request = match frames.request() {
            Ok(request) => request,
            Err(problem) => {
                self.shared.audit.malformed(problem);
                return self.send(frames, ZapReply::refusal(StatusCode::AuthenticationFailure));
            }
        };
        let mut reading = Reading::new(&self.shared.clock);
        let judgement = self.shared.judge(&request, &mut reading);
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
                let reply = self.shared.settle(&request, frames.read, outcome);
                self.send(frames, reply)
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

    fn ask(&mut self, frames: Frames, from: Option<Block>, question: Question) -> Result<()> {
        let id = match self.pending.park(frames, from) {
            Ok(id) => id,
            Err(frames) => return self.answer(frames, Outcome::fault(Reason::Overloaded)),
        };
        let shared = Arc::downgrade(&self.shared);
        let due = Instant::now() + self.shared.settings.deadline;
        let job = move || {
            if Instant::now() > due {
                return; // the peer was told to try again
            }
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
            Ok(request) => self.shared.settle(&request, frames.read, outcome),
            Err(_) => ZapReply::refusal(StatusCode::AuthenticationFailure),
        };
        self.send(frames, reply)
    }

    fn send(&mut self, mut frames: Frames, reply: ZapReply) -> Result<()> {
        let sent = frames.answer(&reply, &self.socket);
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
