//! Where events are made: counted, measured, and handed to whoever reads them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use super::{AuditEvent, AuditEvents, Decision, Reason, Timed};
use crate::fanout::{Fanout, Tap};
use crate::security::candidates::ConnectedPeer;
use crate::security::connections::ExcessConnection;
use crate::security::counters::Counts;
use crate::security::faults::FailedHandshake;
use crate::security::jsonl::{AuditFile, Progress};
use crate::security::lockout::LockedOut;
use crate::security::meter::Meter;
use crate::security::peers::PeerIdentity;
use crate::security::traces::Traces;
use crate::security::zap::{StatusCode, ZapMechanism, ZapProblem, ZapRequest};

/// Where the authenticator's thread puts its events, and what counts them.
pub(crate) struct Audit {
    events: Fanout<Timed>,
    /// Those, and what any stranger can cause at no cost.
    handshakes: Fanout<Timed>,
    traces: Traces,
    pub(in crate::security) counts: Counts,
    pub(in crate::security) meter: Meter,
    /// The files that the events are written to.
    files: Mutex<Vec<Weak<Progress>>>,
}

/// Decisions that are not reported yet. Those on requests that were read together are reported together: so the clock is looked at once,
/// each reader's queue locked once, and what they have in common counted once.
pub(crate) struct Decided {
    /// That of the last one. A name for each event would be freed by another thread than made it, and that is what an event would cost most.
    domain: Arc<str>,
    /// When the first of these was made.
    time: Option<SystemTime>,
    alike: Vec<Alike>,
    events: Vec<Timed>,
}

/// Decisions that differ only in whom they are about.
struct Alike {
    domain: Arc<str>,
    mechanism: ZapMechanism,
    status: StatusCode,
    reason: Reason,
    /// When their requests were read.
    read: Instant,
    count: u64,
}

impl Decided {
    pub(crate) fn new() -> Self {
        Self {
            domain: "".into(),
            time: None,
            alike: Vec::new(),
            events: Vec::new(),
        }
    }

    fn domain(&mut self, domain: &str) -> Arc<str> {
        if *self.domain != *domain {
            self.domain = domain.into();
        }
        self.domain.clone()
    }

    fn count(&mut self, one: Alike) {
        match self.alike.last_mut() {
            Some(last)
                if (last.mechanism, last.status, last.reason, last.read)
                    == (one.mechanism, one.status, one.reason, one.read)
                    && Arc::ptr_eq(&last.domain, &one.domain) =>
            {
                last.count += 1;
            }
            _ => self.alike.push(one),
        }
    }
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self {
            events: Fanout::new(),
            handshakes: Fanout::new(),
            traces: Traces::new(),
            counts: Counts::new(),
            meter: Meter::new(),
            files: Mutex::default(),
        }
    }

    pub(crate) fn subscribe(&self) -> AuditEvents {
        AuditEvents(self.tap())
    }

    pub(in crate::security) fn tap(&self) -> Tap<Timed> {
        self.events.tap()
    }

    /// A reader that may leave so many events unread before it misses some.
    pub(in crate::security) fn tap_with_room(&self, room: usize) -> Tap<Timed> {
        self.events.tap_with_room(room)
    }

    pub(crate) fn subscribe_to_handshakes(&self) -> AuditEvents {
        AuditEvents(self.handshakes.tap())
    }

    /// What hands the events on to `tracing`.
    pub(in crate::security) fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> AuditEvent) {
        let event = || (SystemTime::now(), event());
        let trace = self.traces.wants_any();
        let dropped = if trace || self.handshakes.is_read() {
            let event = event();
            let traced = if trace { self.traces.emit(&event) } else { 0 };
            traced + self.handshakes.emit(|| event.clone()) + self.events.emit(|| event)
        } else {
            self.events.emit(event)
        };
        self.dropped(dropped);
    }

    fn dropped(&self, dropped: u64) {
        if dropped > 0 {
            self.counts.dropped.fetch_add(dropped, Ordering::Relaxed);
            self.meter.dropped(dropped);
        }
    }

    /// Reports a handshake that failed.
    pub(crate) fn failed(&self, failed: FailedHandshake) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        self.meter.failed(&failed.domain, failed.fault);
        let event = || (failed.time, AuditEvent::HandshakeFailed(failed));
        self.dropped(self.handshakes.emit(event));
    }

    /// Ends the events: there is nobody left to report.
    pub(crate) fn close(&self) {
        self.events.close();
        self.handshakes.close();
        self.traces.close();
    }

    /// Adds the answer to a request that was read at `read` to those to be reported.
    pub(crate) fn decided(
        &self,
        decided: &mut Decided,
        request: &ZapRequest<'_>,
        read: Instant,
        status: StatusCode,
        reason: Reason,
    ) {
        let mechanism = request.credential.mechanism();
        let domain = decided.domain(request.domain.unwrap_or("?"));
        if self.traces.wants(status) || self.handshakes.is_read() || self.events.is_read() {
            let time = *decided.time.get_or_insert_with(SystemTime::now);
            let decision = Decision {
                time,
                domain: domain.clone(),
                mechanism,
                identity: PeerIdentity::of(&request.credential),
                address: request.address.clone(),
                status,
                reason,
            };
            decided.events.push((time, AuditEvent::Decision(decision)));
        }
        decided.count(Alike {
            domain,
            mechanism,
            status,
            reason,
            read,
            count: 1,
        });
    }

    /// Reports the answers that are given now.
    pub(crate) fn report(&self, decided: &mut Decided) {
        decided.time = None;
        if !decided.alike.is_empty() {
            let now = Instant::now();
            for alike in decided.alike.drain(..) {
                let took = now - alike.read;
                self.counts.decided(alike.status, alike.reason, alike.count);
                self.meter.decided(
                    &alike.domain,
                    alike.mechanism,
                    (alike.status, alike.reason),
                    took,
                    alike.count,
                );
            }
        }
        if decided.events.is_empty() {
            return;
        }
        let mut dropped = 0;
        for event in &decided.events {
            if let (_, AuditEvent::Decision(decision)) = event {
                if self.traces.wants(decision.status) {
                    dropped += self.traces.emit(event);
                }
            }
        }
        if self.handshakes.is_read() {
            dropped += self.handshakes.emit_all(&mut decided.events.clone());
        }
        self.dropped(dropped + self.events.emit_all(&mut decided.events));
    }

    /// Reports a message that is no ZAP request.
    pub(crate) fn malformed(&self, problem: ZapProblem) {
        self.counts.malformed.fetch_add(1, Ordering::Relaxed);
        self.meter.malformed();
        self.emit(|| AuditEvent::Malformed(problem));
    }

    /// Reports a connection that was closed.
    pub(crate) fn closed(&self, peer: ConnectedPeer) {
        self.counts.closed.fetch_add(1, Ordering::Relaxed);
        self.meter.closed(&peer.domain);
        self.emit(|| AuditEvent::Closed(peer));
    }

    /// Reports that somebody is locked out from now on.
    pub(crate) fn locked_out(&self, locked_out: LockedOut) {
        self.counts.locked_out.fetch_add(1, Ordering::Relaxed);
        self.meter.locked_out();
        self.emit(|| AuditEvent::LockedOut(locked_out));
    }

    /// Reports a connection that was closed because there was one too many.
    pub(crate) fn closed_as_excess(&self, connection: ExcessConnection) {
        self.counts.excess.fetch_add(1, Ordering::Relaxed);
        self.meter.excess(&connection.domain, connection.limit);
        self.emit(|| AuditEvent::TooManyConnections(connection));
    }

    /// Notes how many decisions are being waited for.
    pub(crate) fn pending(&self, now: usize) {
        let before = self.counts.pending.swap(now as u64, Ordering::Relaxed);
        if before != now as u64 {
            self.meter.pending(before, now);
        }
    }

    /// The files that the events are written to.
    pub(in crate::security) fn files(&self) -> Vec<AuditFile> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let files = files.iter().filter_map(Weak::upgrade);
        files.map(|file| file.status()).collect()
    }

    /// Notes a file that the events are written to from now on.
    pub(in crate::security) fn add_file(&self, file: Weak<Progress>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| file.strong_count() > 0);
        files.push(file);
    }
}
