//! Counters, gauges and a histogram through the `metrics` facade (feature `metrics`).
//!
//! Labels are bounded by what the program configures: no address, no identity, and no domain that has no policy.

#[cfg(feature = "metrics")]
pub(super) use on::Meter;

#[cfg(not(feature = "metrics"))]
pub(super) use off::Meter;

#[cfg(feature = "metrics")]
mod on {
    use std::collections::{BTreeMap, BTreeSet};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
    use std::time::Duration;

    use metrics::{Counter, Histogram, Unit};

    use crate::security::audit::Reason;
    use crate::security::connections::ConnectionLimit;
    use crate::security::counters::{STATUSES, verdict};
    use crate::security::faults::HandshakeFault;
    use crate::security::zap::{StatusCode, ZapMechanism};

    const DECISIONS: &str = "ironhouse_decisions_total";
    const SECONDS: &str = "ironhouse_decision_seconds";
    const PENDING: &str = "ironhouse_pending_decisions";
    const MALFORMED: &str = "ironhouse_malformed_total";
    const CLOSED: &str = "ironhouse_closed_total";
    const LOCKED_OUT: &str = "ironhouse_lockouts_total";
    const EXCESS: &str = "ironhouse_excess_connections_total";
    const FAILED: &str = "ironhouse_failed_handshakes_total";
    const DROPPED: &str = "ironhouse_audit_dropped_total";
    const CERTIFICATES: &str = "ironhouse_certificates";
    const THREADS: &str = "ironhouse_zap_threads";
    const DEATHS: &str = "ironhouse_zap_thread_deaths_total";

    /// The domain of requests for one that has no policy of its own.
    const OTHER: &str = "?";

    const MECHANISMS: usize = ZapMechanism::Gssapi as usize + 1;

    /// Handles to the recorder that was installed when they were first used.
    pub(crate) struct Meter {
        domains: RwLock<BTreeMap<Arc<str>, Arc<Handles>>>,
        other: Handles,
        malformed: OnceLock<Counter>,
        dropped: OnceLock<Counter>,
        /// The stores whose certificates were last counted.
        stores: Mutex<BTreeSet<String>>,
    }

    /// Those of one domain, by mechanism, status and reason: dense numbers from 0 on.
    struct Handles {
        domain: Arc<str>,
        decisions: [[[OnceLock<Counter>; Reason::ALL.len()]; STATUSES.len()]; MECHANISMS],
        seconds: [[OnceLock<Histogram>; STATUSES.len()]; MECHANISMS],
        closed: OnceLock<Counter>,
    }

    impl Handles {
        fn new(domain: Arc<str>) -> Self {
            Self {
                domain,
                decisions: [const {
                    [const { [const { OnceLock::new() }; Reason::ALL.len()] }; STATUSES.len()]
                }; MECHANISMS],
                seconds: [const { [const { OnceLock::new() }; STATUSES.len()] }; MECHANISMS],
                closed: OnceLock::new(),
            }
        }

        fn decided(
            &self,
            mechanism: ZapMechanism,
            (status, reason): (StatusCode, Reason),
            took: Duration,
            decisions: u64,
        ) -> Option<()> {
            let labels = || {
                [
                    ("domain", self.domain.to_string()),
                    ("mechanism", mechanism.to_string()),
                    ("verdict", verdict(status).to_owned()),
                ]
            };
            let [by_mechanism, by_status] = [mechanism as usize, status as usize];
            let times = self.seconds.get(by_mechanism)?.get(by_status)?;
            times
                .get_or_init(|| metrics::histogram!(SECONDS, &labels()))
                .record_many(took, decisions as usize);
            let counts = self.decisions.get(by_mechanism)?.get(by_status)?;
            counts
                .get(reason as usize)?
                .get_or_init(|| {
                    let [domain, mechanism, verdict] = labels();
                    let reason = ("reason", reason.name().to_owned());
                    metrics::counter!(DECISIONS, &[domain, mechanism, verdict, reason])
                })
                .increment(decisions);
            Some(())
        }
    }

    /// A recorder's panic is its own, and must not end the thread that decides.
    fn guarded<T>(record: impl FnOnce() -> T) {
        let _ = catch_unwind(AssertUnwindSafe(record));
    }

    impl Meter {
        pub(crate) fn new() -> Self {
            guarded(describe);
            Self {
                domains: RwLock::default(),
                other: Handles::new(OTHER.into()),
                malformed: OnceLock::new(),
                dropped: OnceLock::new(),
                stores: Mutex::default(),
            }
        }

        /// A domain has a policy from now on.
        pub(crate) fn know(&self, domain: &Arc<str>) {
            let mut domains = self.domains.write().unwrap_or_else(PoisonError::into_inner);
            let handles = || Arc::new(Handles::new(domain.clone()));
            domains.entry(domain.clone()).or_insert_with(handles);
        }

        fn with<T>(&self, domain: &str, record: impl FnOnce(&Handles) -> T) {
            let known = {
                let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
                domains.get(domain).cloned()
            };
            guarded(|| record(known.as_deref().unwrap_or(&self.other)));
        }

        /// So many decisions that ended alike, each after that time.
        pub(crate) fn decided(
            &self,
            domain: &str,
            mechanism: ZapMechanism,
            end: (StatusCode, Reason),
            took: Duration,
            decisions: u64,
        ) {
            self.with(domain, |handles| {
                handles.decided(mechanism, end, took, decisions)
            });
        }

        pub(crate) fn closed(&self, domain: &str) {
            self.with(domain, |handles| {
                let register = || metrics::counter!(CLOSED, "domain" => handles.domain.to_string());
                handles.closed.get_or_init(register).increment(1);
            });
        }

        /// Rare enough to have its handle looked up each time.
        pub(crate) fn excess(&self, domain: &str, limit: ConnectionLimit) {
            self.with(domain, |handles| {
                let domain = handles.domain.to_string();
                metrics::counter!(EXCESS, "domain" => domain, "limit" => limit.name()).increment(1);
            });
        }

        /// The same.
        pub(crate) fn locked_out(&self) {
            guarded(|| metrics::counter!(LOCKED_OUT).increment(1));
        }

        /// Anybody can cause many, but a connection costs more than the handle.
        pub(crate) fn failed(&self, domain: &str, fault: HandshakeFault) {
            self.with(domain, |handles| {
                let domain = handles.domain.to_string();
                metrics::counter!(FAILED, "domain" => domain, "fault" => fault.name()).increment(1);
            });
        }

        pub(crate) fn malformed(&self) {
            guarded(|| {
                let register = || metrics::counter!(MALFORMED);
                self.malformed.get_or_init(register).increment(1);
            });
        }

        pub(crate) fn dropped(&self, events: u64) {
            guarded(|| {
                let register = || metrics::counter!(DROPPED);
                self.dropped.get_or_init(register).increment(events);
            });
        }

        /// Several authenticators share one gauge: each adds its own.
        pub(crate) fn pending(&self, before: u64, now: usize) {
            guarded(|| metrics::gauge!(PENDING).increment(now as f64 - before as f64));
        }

        pub(crate) fn started(&self) {
            guarded(|| metrics::gauge!(THREADS).increment(1.0));
        }

        pub(crate) fn ended(&self, died: bool) {
            guarded(|| {
                metrics::gauge!(THREADS).decrement(1.0);
                metrics::counter!(DEATHS).increment(u64::from(died));
            });
        }

        /// Tells how many certificates the stores in use hold, those in memory together, and none for those that are not used any more.
        pub(crate) fn stores(&self, stores: Vec<(Option<PathBuf>, usize)>) {
            let mut held = BTreeMap::<String, usize>::new();
            for (path, certificates) in stores {
                let name = path.map_or("memory".into(), |path| path.to_string_lossy().into_owned());
                *held.entry(name).or_default() += certificates;
            }
            let mut known = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            let gone = known.iter().filter(|name| !held.contains_key(*name));
            let gone: Vec<_> = gone.map(|name| (name.clone(), 0)).collect();
            known.clone_from(&held.keys().cloned().collect());
            drop(known);
            for (name, certificates) in held.into_iter().chain(gone) {
                guarded(|| metrics::gauge!(CERTIFICATES, "store" => name).set(certificates as f64));
            }
        }
    }

    fn describe() {
        for (counter, about) in [
            (
                DECISIONS,
                "Decisions on who may connect, by domain, mechanism, verdict and reason",
            ),
            (MALFORMED, "Messages that are no ZAP requests"),
            (
                CLOSED,
                "Connections closed because a peer was no longer admitted, by domain",
            ),
            (LOCKED_OUT, "Lock-outs that began"),
            (
                EXCESS,
                "Connections closed because there was one too many, by domain and limit",
            ),
            (
                FAILED,
                "Handshakes that failed without a decision, by domain and fault",
            ),
            (
                DROPPED,
                "Audit events that a reader did not get because it did not read",
            ),
            (
                DEATHS,
                "ZAP threads that died though they were still needed",
            ),
        ] {
            metrics::describe_counter!(counter, about);
        }
        for (gauge, about) in [
            (PENDING, "Requests whose decision is being waited for"),
            (CERTIFICATES, "Certificates in a store that a policy uses"),
            (THREADS, "ZAP threads that are alive, one per authenticator"),
        ] {
            metrics::describe_gauge!(gauge, about);
        }
        metrics::describe_histogram!(
            SECONDS,
            Unit::Seconds,
            "Time from reading a request to its answer, by domain, mechanism and verdict"
        );
    }
}

/// Nothing, at no cost.
#[cfg(not(feature = "metrics"))]
mod off {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::security::audit::Reason;
    use crate::security::connections::ConnectionLimit;
    use crate::security::faults::HandshakeFault;
    use crate::security::zap::{StatusCode, ZapMechanism};

    pub(crate) struct Meter;

    impl Meter {
        pub(crate) const fn new() -> Self {
            Self
        }

        pub(crate) const fn know(&self, _: &Arc<str>) {}

        pub(crate) const fn decided(
            &self,
            _: &str,
            _: ZapMechanism,
            _: (StatusCode, Reason),
            _: Duration,
            _: u64,
        ) {
        }

        pub(crate) const fn closed(&self, _: &str) {}

        pub(crate) const fn excess(&self, _: &str, _: ConnectionLimit) {}

        pub(crate) const fn locked_out(&self) {}

        pub(crate) const fn failed(&self, _: &str, _: HandshakeFault) {}

        pub(crate) const fn malformed(&self) {}

        pub(crate) const fn dropped(&self, _: u64) {}

        pub(crate) const fn pending(&self, _: u64, _: usize) {}

        pub(crate) const fn started(&self) {}

        pub(crate) const fn ended(&self, _: bool) {}
    }
}
