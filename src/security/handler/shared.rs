//! What the handler's owners and its thread share.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::time::{Instant, SystemTime};

use super::Settings;
use super::policies::Policies;
use crate::error::Result;
use crate::security::audit::{Audit, Decided, Reason};
use crate::security::clock::{Clock, Reading};
use crate::security::explain::{Explanation, Trace};
use crate::security::health::{Health, Pulse, StoreHealth};
use crate::security::keys::PublicKey;
use crate::security::lockouts::{self, Lockouts};
use crate::security::passwords::Proof;
use crate::security::peers::Peers;
use crate::security::policy::{Judgement, Policy, Question, Rule};
use crate::security::store::CertificateStore;
use crate::security::verdict::Outcome;
use crate::security::zap::{StatusCode, ZapReply, ZapRequest};

/// What the handler's owners and its thread share.
pub(crate) struct Shared {
    pub(super) policies: RwLock<Policies>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) clock: Clock,
    pub(crate) lockouts: Option<Arc<Lockouts>>,
    pub(super) pulse: Pulse,
    pub(super) inbox: Inbox,
    pub(super) settings: Settings,
    /// Called by the stores and users that policies use.
    pub(super) store_changed: Arc<dyn Fn() + Send + Sync>,
}

/// What other threads have for the ZAP thread.
pub(super) struct Inbox {
    pub(super) notes: Mutex<Vec<Note>>,
    pub(super) wake: UnixStream,
    /// Whether a note to judge anew is on its way.
    pub(super) anew: AtomicBool,
}

pub(super) enum Note {
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

fn revoked() -> Outcome {
    Outcome::refused(StatusCode::AuthenticationFailure, Reason::Revoked)
}

fn unknown_domain() -> Outcome {
    Outcome::refused(StatusCode::AuthenticationFailure, Reason::UnknownDomain)
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
    pub(super) fn replace(
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
    pub(crate) fn configure(
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
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Policies) -> T) -> T {
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
    pub(super) fn follow(&self, policy: &Policy) {
        policy.hook(&Arc::downgrade(&self.store_changed));
    }

    /// Closes the connections of those who would not be let in any more; when the first certificate ends of those who stay.
    pub(super) fn put_out(&self) -> Option<SystemTime> {
        let mut reading = Reading::of_those_inside(&self.clock);
        self.peers.revoke(|admission| {
            let proof = admission.proof.as_deref();
            self.would_refuse(&admission.request(), proof, &mut reading)
        });
        reading.next_end()
    }

    /// Has the thread put out whom it would not let in any more.
    pub(super) fn judge_anew(&self) {
        if !self.inbox.anew.swap(true, Ordering::AcqRel) {
            self.post(Note::JudgeAnew);
        }
    }

    pub(super) fn policies(&self) -> RwLockReadGuard<'_, Policies> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What memory makes of a request. The policies are locked meanwhile, as nothing here takes its time.
    pub(super) fn judge(&self, request: &ZapRequest<'_>, reading: &mut Reading<'_>) -> Judgement {
        let policies = self.policies();
        let (policy, _) = policies.of(request.domain);
        match policy {
            _ if policies.revokes(request) => Judgement::Decided(revoked()),
            Some(policy) => {
                let lockouts = self.lockouts.as_deref();
                let judgement = Lockouts::judge(lockouts, policy, request, reading, &mut ());
                match &self.lockouts {
                    Some(lockouts) => lockouts.guard(judgement, policy, request),
                    None => judgement,
                }
            }
            None => Judgement::Decided(unknown_domain()),
        }
    }

    /// Whether one who was let in would be refused now, as far as memory tells.
    pub(super) fn would_refuse(
        &self,
        request: &ZapRequest<'_>,
        proof: Option<&Proof>,
        reading: &mut Reading<'_>,
    ) -> bool {
        let policies = self.policies();
        let (policy, _) = policies.of(request.domain);
        policies.revokes(request)
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
    pub(super) fn count_certificates(&self) {
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
            (policy.cloned(), source, policies.revokes(request))
        };
        let mut steps = Vec::new();
        let mut reading = Reading::new(&self.clock);
        let outcome = match policy {
            _ if is_revoked => revoked(),
            Some(policy) => {
                let lockouts = self.lockouts.as_deref();
                let mut judge = |steps: &mut _| {
                    Lockouts::judge(lockouts, &policy, request, &mut reading, steps)
                };
                let mut judgement = judge(&mut steps);
                if let Judgement::NotInStores { stores, .. } = &judgement {
                    let current = stores
                        .iter()
                        .all(|store| store.sync(self.settings.deadline).is_ok());
                    steps.clear();
                    judgement = if current {
                        judge(&mut steps)
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

    /// Records what a request is told, and has it reported with the others that are `decided`.
    pub(super) fn settle(
        &self,
        request: &ZapRequest<'_>,
        read: Instant,
        outcome: Outcome,
        decided: &mut Decided,
    ) -> ZapReply {
        let Outcome {
            mut reply,
            reason,
            proof,
        } = outcome;
        if reply.status == StatusCode::Success {
            reply.admission = self.peers.admit(request, proof);
        }
        self.audit
            .decided(decided, request, read, reply.status, reason);
        if let Some(lockouts) = &self.lockouts {
            if lockouts::is_failure(reason) || reason == Reason::LockedOut {
                for locked_out in lockouts.news(request) {
                    // First what led to it.
                    self.audit.report(decided);
                    self.audit.locked_out(locked_out);
                }
            }
        }
        reply
    }

    fn ask_here(&self, question: Box<Question>) -> Outcome {
        let (sink, answer) = mpsc::sync_channel(1);
        let sink = move |outcome| drop(sink.try_send(outcome));
        // A panic has answered already, by dropping its reply.
        let _ = catch_unwind(AssertUnwindSafe(|| question.ask(sink)));
        answer
            .recv_timeout(self.settings.deadline)
            .unwrap_or_else(|_| Outcome::fault(Reason::Late))
    }

    pub(super) fn post(&self, note: Note) {
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
