//! Lock-outs: who failed too often is refused for a while, before anything is asked.
//!
//! What may be counted against whom, so that nobody can shut out others:
//!
//! - **An address** is proven by the handshake: over TCP the peer has answered from there, over ipc the kernel names its user. What fails from
//!   an address counts against its block.
//! - **A key** (CURVE) or principal (GSSAPI) is proven before the authenticator is asked, so failures count against it, wherever it comes
//!   from: nobody else can cause one.
//! - **A user name** (PLAIN) proves nothing. It counts only together with the address, and never alone: else anybody could shut out a
//!   user by his name.
//!
//! What a lock-out refuses, so that it stops guesses and work but no innocent neighbour:
//!
//! - A password can be guessed: it is not even compared, right or wrong. So who is locked out learns nothing.
//! - A key cannot be guessed, and finding one in a store costs less than the table: it is looked up first, and **a key that is in a store is
//!   admitted** from an address that is locked out. What is refused is the rest: waiting until the store is current, asking callbacks.
//! - A user, key or principal that was admitted before is not touched by the lock-out of its address, only by its own.
//!
//! A success takes nothing back: or who has one good password could buy himself guesses at others with it. A refusal during a lock-out does
//! not count: or a client that comes back by itself would never get in again. What is under way when the lock-out begins is
//! asked again before it starts, so guesses go beyond the threshold by those that run at that moment at most.
//!
//! Counts halve in each half-life, and a lock-out ends when half of the threshold is left, one half-life after the last failure. So a guesser
//! has the threshold once, and then half of it in each half-life.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::PeerAddress;
use super::audit::Reason;
use super::clock::Reading;
use super::explain::Trace;
use super::keys::PublicKey;
use super::limits::{Block, Blocks, Limits};
use super::lockout::{LockedOut, Lockout, LockoutSubject};
use super::policy::{Judgement, Policy, Question};
use super::slots::{Kind, Slots, Subject};
use super::verdict::Outcome;
use super::zap::{Credential, ZapRequest};
use crate::error::Result;

/// Places of the table that are looked through at once: nobody waits longer for its lock than that takes.
const STRIDE: usize = 16_384;

/// Names of users, keys and principals that are kept while they are locked out, to be listed: the table does not hold them.
const NAMES: usize = 4096;

/// What an attempt counts against.
#[derive(Clone, Copy)]
struct Attempt {
    address: Option<Subject>,
    credential: Option<Subject>,
}

/// Who is locked out.
pub(super) struct Lockouts {
    settings: Lockout,
    blocks: Blocks,
    /// Of the two words of a credential.
    hashers: [RandomState; 2],
    state: Mutex<State>,
    start: Instant,
    /// When the last lock-out ends, in nanoseconds since the start: where nobody is locked out, nobody need be looked for.
    until: AtomicU64,
}

/// Stands before a question that waits for its turn: others like it may have failed meanwhile.
pub(crate) struct Guard {
    lockouts: Arc<Lockouts>,
    attempt: Attempt,
    locked_out: Outcome,
}

impl Guard {
    /// Asks, unless the peer is locked out by now; and takes note of the end.
    pub(super) fn ask(self, question: Question, sink: Box<dyn FnOnce(Outcome) + Send>) {
        let Self {
            lockouts,
            attempt,
            locked_out,
        } = self;
        if lockouts.is_shut(&attempt) {
            return sink(locked_out);
        }
        question.ask(move |outcome: Outcome| {
            lockouts.record(&attempt, outcome.reason);
            sink(outcome);
        });
    }
}

struct State {
    slots: Slots,
    names: HashMap<Subject, LockoutSubject>,
}

impl Lockouts {
    /// `None` where there are to be none.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let settings = limits.lockout?;
        Some(Self {
            settings,
            blocks: limits.blocks,
            hashers: [RandomState::new(), RandomState::new()],
            state: Mutex::new(State {
                slots: Slots::new(settings.capacity, settings.thresholds(), settings.half_life),
                names: HashMap::new(),
            }),
            start: Instant::now(),
            until: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this request would count against.
    fn attempt(&self, request: &ZapRequest<'_>) -> Attempt {
        let block = self.blocks.of(&request.address);
        let [first, second] = &self.hashers;
        let domain = request.domain.unwrap_or_default();
        let in_domain = |kind, name: &[u8]| {
            let words = [first.hash_one(domain), second.hash_one(name)];
            Some(Subject { kind, words })
        };
        let credential = match &request.credential {
            Credential::Null => None,
            Credential::Plain { name, .. } => block.map(|block| Subject {
                kind: Kind::User,
                words: [first.hash_one(block), second.hash_one((domain, name))],
            }),
            Credential::Curve(key) => in_domain(Kind::Key, key.as_bytes()),
            Credential::Gssapi { principal } => in_domain(Kind::Principal, principal),
        };
        Attempt {
            address: block.map(address),
            credential,
        }
    }

    /// Judges as the policy does; but who is locked out is refused before anything is asked that is more than a look-up in memory.
    pub(super) fn judge(
        lockouts: Option<&Self>,
        policy: &Policy,
        request: &ZapRequest<'_>,
        reading: &mut Reading<'_>,
        trace: &mut impl Trace,
    ) -> Judgement {
        let refuses = || lockouts.is_some_and(|lockouts| lockouts.refuses(request));
        // A password in memory is a look-up as well, but can be guessed.
        if matches!(request.credential, Credential::Plain { .. }) {
            return if refuses() {
                policy.judge_locked_out_user(request, reading, trace)
            } else {
                policy.judge(request, reading, trace)
            };
        }
        match policy.judge(request, reading, trace) {
            Judgement::NotInStores { .. } | Judgement::Ask(_) if refuses() => {
                Judgement::Decided(policy.lock_out(trace))
            }
            judgement => judgement,
        }
    }

    /// Has what is to be asked later looked at once more before that, and its end counted.
    pub(super) fn guard(
        self: &Arc<Self>,
        judgement: Judgement,
        policy: &Policy,
        request: &ZapRequest<'_>,
    ) -> Judgement {
        let Judgement::Ask(question) = judgement else {
            return judgement;
        };
        let guard = Guard {
            lockouts: self.clone(),
            attempt: self.attempt(request),
            locked_out: policy.lock_out(&mut ()),
        };
        Judgement::Ask(Box::new(Question::Guarded { guard, question }))
    }

    /// Whether a request is to be refused unseen.
    fn refuses(&self, request: &ZapRequest<'_>) -> bool {
        self.until.load(Ordering::Acquire) != 0 && self.is_shut(&self.attempt(request))
    }

    /// Whether an attempt is to be refused unseen.
    fn is_shut(&self, attempt: &Attempt) -> bool {
        self.is_shut_at(attempt, self.start.elapsed())
    }

    fn is_shut_at(&self, attempt: &Attempt, now: Duration) -> bool {
        if u128::from(self.until.load(Ordering::Acquire)) <= now.as_nanos() {
            return false;
        }
        let State { slots, .. } = &*self.state();
        let locked = |subject| slots.locked(subject, now).is_some();
        attempt.credential.is_some_and(locked)
            || attempt.address.is_some_and(locked)
                && !attempt.credential.is_some_and(|c| slots.is_good(c))
    }

    /// Takes note of how a request ended that was decided from memory.
    pub(super) fn note(&self, request: &ZapRequest<'_>, reason: Reason) {
        // That a key is in a store need not be remembered: it is looked up first in any case.
        let user = matches!(request.credential, Credential::Plain { .. });
        if is_failure(reason) || (reason == Reason::Admitted && user) {
            self.record(&self.attempt(request), reason);
        }
    }

    /// Takes note of how an attempt ended.
    fn record(&self, attempt: &Attempt, reason: Reason) {
        self.record_at(attempt, reason, self.start.elapsed());
    }

    fn record_at(&self, attempt: &Attempt, reason: Reason, now: Duration) {
        let mut state = self.state();
        if reason == Reason::Admitted {
            if let (Some(credential), Some(_)) =
                (attempt.credential, self.settings.thresholds().address)
            {
                state.slots.note_good(credential, now);
            }
        } else if is_failure(reason) {
            for subject in [attempt.address, attempt.credential].into_iter().flatten() {
                if state.slots.count(subject, now) {
                    let until = (now + self.settings.half_life).as_nanos() as u64;
                    self.until.fetch_max(until, Ordering::Release);
                }
            }
        }
    }

    /// The lock-outs that concern this request, and that were not told of before.
    pub(super) fn news(&self, request: &ZapRequest<'_>) -> Vec<LockedOut> {
        let (attempt, now) = (self.attempt(request), self.start.elapsed());
        let mut state = self.state();
        let mut news = Vec::new();
        for subject in [attempt.address, attempt.credential].into_iter().flatten() {
            let Some(remaining) = state.slots.announce(subject, now) else {
                continue;
            };
            let Some(name) = self.name(subject, request) else {
                continue;
            };
            if subject.kind != Kind::Address {
                state.remember(subject, &name, now);
            }
            news.push(LockedOut {
                subject: name,
                remaining,
            });
        }
        news
    }

    /// For people.
    fn name(&self, subject: Subject, request: &ZapRequest<'_>) -> Option<LockoutSubject> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let domain: Arc<str> = request.domain.unwrap_or_default().into();
        let address = || {
            self.blocks
                .of(&request.address)
                .map(|b| self.blocks.rule(b))
        };
        Some(match (subject.kind, &request.credential) {
            (Kind::Address, _) => LockoutSubject::Address(address()?),
            (_, Credential::Plain { name, .. }) => LockoutSubject::User {
                domain,
                address: address()?,
                name: text(name),
            },
            (_, Credential::Curve(key)) => LockoutSubject::Key { domain, key: *key },
            (_, Credential::Gssapi { principal }) => LockoutSubject::Principal {
                domain,
                principal: text(principal),
            },
            (_, Credential::Null) => return None,
        })
    }

    /// Who is locked out.
    pub(super) fn list(&self) -> Vec<LockedOut> {
        let mut all = Vec::new();
        self.each_stride(|state, places, now| {
            for (subject, remaining) in state.slots.all_locked(places, now) {
                let name = match subject.kind {
                    Kind::Address => {
                        let block = self.blocks.rule(Block::from_words(subject.words));
                        Some(LockoutSubject::Address(block))
                    }
                    _ => state.names.get(&subject).cloned(),
                };
                all.extend(name.map(|subject| LockedOut { subject, remaining }));
            }
        });
        all
    }

    /// Lets in again who is at `at`; whether anybody was locked out.
    pub(super) fn unlock_address(&self, at: &PeerAddress) -> bool {
        let Some(block) = self.blocks.of(at) else {
            return false;
        };
        let [first, _] = &self.hashers;
        let (address, there) = (address(block), first.hash_one(block));
        self.forgive(|subject| {
            subject == address || subject.kind == Kind::User && subject.words[0] == there
        })
    }

    /// Lets in again the holder of `key`; whether it was locked out.
    pub(super) fn unlock_key(&self, key: &PublicKey) -> bool {
        let [_, second] = &self.hashers;
        let key = second.hash_one(&key.as_bytes()[..]);
        self.forgive(|subject| subject.kind == Kind::Key && subject.words[1] == key)
    }

    fn forgive(&self, is_meant: impl Fn(Subject) -> bool) -> bool {
        let mut any = false;
        self.each_stride(|state, places, now| {
            any |= state.slots.forgive(places, now, &is_meant) > 0;
        });
        self.state().names.retain(|subject, _| !is_meant(*subject));
        any
    }

    /// Goes through the table in small steps, between which others may use it.
    fn each_stride(&self, mut step: impl FnMut(&mut State, std::ops::Range<usize>, Duration)) {
        let len = self.state().slots.len();
        for from in (0..len).step_by(STRIDE) {
            let to = (from + STRIDE).min(len);
            step(&mut self.state(), from..to, self.start.elapsed());
        }
    }
}

impl State {
    fn remember(&mut self, subject: Subject, name: &LockoutSubject, now: Duration) {
        if self.names.len() >= NAMES {
            let slots = &self.slots;
            self.names
                .retain(|subject, _| slots.locked(*subject, now).is_some());
        }
        if self.names.len() < NAMES {
            self.names.insert(subject, name.clone());
        }
    }
}

fn address(block: Block) -> Subject {
    Subject {
        kind: Kind::Address,
        words: block.words(),
    }
}

/// The table alone, for the benchmark.
#[doc(hidden)]
pub struct LockoutTable(Lockouts);

impl LockoutTable {
    #[doc(hidden)]
    pub fn new(lockout: Lockout) -> Result<Self> {
        lockout.check()?;
        let lockouts = Lockouts::new(&Limits::off().lockout(lockout));
        lockouts.map(Self).ok_or(crate::Error::Again)
    }

    /// Bytes that the table takes, all of it used.
    #[doc(hidden)]
    pub fn bytes(&self) -> usize {
        self.0.state().slots.bytes()
    }

    /// Whether a user is refused; if not, counts how the attempt ended.
    #[doc(hidden)]
    pub fn attempt(&self, address: &PeerAddress, name: &[u8], admitted: bool) -> bool {
        let credential = Credential::Plain {
            name,
            password: &[],
        };
        let request = ZapRequest {
            domain: Some("bench"),
            address: address.clone().into(),
            credential,
        };
        let refused = self.0.refuses(&request);
        if !refused {
            let reason = if admitted {
                Reason::Admitted
            } else {
                Reason::WrongPassword
            };
            self.0.record(&self.0.attempt(&request), reason);
        }
        refused
    }

    /// How many are locked out.
    #[doc(hidden)]
    pub fn locked_out(&self) -> usize {
        self.0.list().len()
    }
}

/// Whether the peer failed. What an address rule, a mechanism or our own fault refuses cost nothing and proves nothing.
pub(super) fn is_failure(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::WrongPassword
            | Reason::UnknownKey
            | Reason::Expired
            | Reason::NotYetValid
            | Reason::Disabled
            | Reason::UnknownPrincipal
            | Reason::CallbackRefused
    )
}

#[cfg(test)]
mod tests;
