//! Where events are made: counted, measured, and handed to whoever reads them.

use std::cell::LazyCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

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
use crate::security::zap::{StatusCode, ZapProblem, ZapRequest};

/// How often the system's clock is looked at for the times of decisions, at most: in between, what went by is added.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

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
    last: Mutex<Last>,
}

/// What the last decision had, and most often the next one has too.
struct Last {
    /// The clock was looked at, and showed this.
    looked: Instant,
    shown: SystemTime,
    /// A name for each event would be freed by another thread than made it, and that is what an event would cost most.
    domain: Arc<str>,
}

impl Last {
    /// The time and the name for an event of `now`.
    fn next(&mut self, now: Instant, domain: &str) -> (SystemTime, Arc<str>) {
        let mut passed = now.saturating_duration_since(self.looked);
        if passed >= LOOK_AGAIN {
            (self.looked, self.shown) = (now, SystemTime::now());
            passed = Duration::ZERO;
        }
        if *self.domain != *domain {
            self.domain = domain.into();
        }
        (self.shown + passed, self.domain.clone())
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
            last: Mutex::new(Last {
                looked: Instant::now(),
                shown: SystemTime::now(),
                domain: "".into(),
            }),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self) -> AuditEvents {
        AuditEvents(self.tap())
    }

    pub(in crate::security) fn tap(&self) -> Tap<Timed> {
        self.events.tap()
    }

    pub(crate) fn subscribe_to_handshakes(&self) -> AuditEvents {
        AuditEvents(self.handshakes.tap())
    }

    /// What hands the events on to `tracing`.
    pub(in crate::security) fn traces(&self) -> &Traces {
        &self.traces
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> AuditEvent) {
        let trace = self.traces.wants_any();
        self.report(trace, || (SystemTime::now(), event()));
    }

    fn report(&self, trace: bool, event: impl FnOnce() -> Timed) {
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

    /// Reports the answer to a request that was read at `read`.
    pub(crate) fn decision(
        &self,
        request: &ZapRequest<'_>,
        read: Instant,
        status: StatusCode,
        reason: Reason,
    ) {
        let mechanism = request.credential.mechanism();
        self.counts.decided(status, reason);
        // Looked at where it is needed, and then once.
        let now = LazyCell::new(Instant::now);
        self.meter
            .decided(request.domain, mechanism, status, reason, || *now - read);
        self.report(self.traces.wants(status), || {
            let (time, domain) = self.last().next(*now, request.domain.unwrap_or("?"));
            let decision = Decision {
                time,
                domain,
                mechanism,
                identity: PeerIdentity::of(&request.credential),
                address: request.address.clone(),
                status,
                reason,
            };
            (time, AuditEvent::Decision(decision))
        });
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
