//! `Health`: whether the authenticator's thread turns, its stores are followed and its audit is written.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::certificate::Certificate;
use super::counters::Counters;
use super::json::Seconds;
use super::jsonl::AuditFile;
use super::store::{CertificateStore, Watching};
use crate::error::Error;

/// How long the thread is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How an authenticator fares: its thread, the stores that its policies use, and its audit.
///
/// `Display` shows it as a short table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Health {
    /// The thread that decides.
    pub thread: ThreadHealth,
    /// What it has decided so far.
    pub counters: Counters,
    /// The stores that policies use, each once.
    pub stores: Vec<StoreHealth>,
    /// The files that audit events are written to.
    pub files: Vec<AuditFile>,
}

/// How the thread that decides fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThreadHealth {
    /// It answered when it was asked.
    Alive {
        /// How soon.
        answered_in: Duration,
    },
    /// It did not answer within a second: handshakes wait, and time out.
    Silent {
        /// How long ago it began its last turn.
        last_turn: Duration,
    },
    /// Its context was shut down: nobody can connect any more.
    Ended,
    /// It died though it is still needed: every handshake fails. Start an authenticator on another context.
    Died,
}

/// How a certificate store fares.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Its directory or key file; `None` for one in memory.
    pub path: Option<PathBuf>,
    /// The domains whose policies use it; `None` is the fallback.
    pub domains: Vec<Option<Arc<str>>>,
    /// How many keys it admits.
    pub certificates: usize,
    /// How many files or lines of it cannot be used: [`Health::problems`] says why.
    pub problems: usize,
    /// How changes on disk are noticed; `None` for one in memory.
    pub watching: Option<Watching>,
    /// The last look at what changed on disk or, now and then, at all of it; `None` for one in memory.
    pub reload: Option<Reload>,
    /// When the certificates that it admits last changed.
    pub changed: Option<SystemTime>,
    store: Arc<CertificateStore>,
}

/// A certificate that ends soon.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Expiring {
    /// The certificate.
    pub certificate: Certificate,
    /// The directory or key file of its store; `None` for one in memory.
    pub store: Option<PathBuf>,
}

/// A look at a store's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Reload {
    /// When it ended, with all changes in force.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

impl Health {
    /// Whether all is as it should be: the thread answers, every store on disk is followed, and every file of audit events can be
    /// written. Problems of single certificates, and events lost before, do not count.
    pub fn is_good(&self) -> bool {
        matches!(self.thread, ThreadHealth::Alive { .. })
            && self
                .stores
                .iter()
                .all(|store| store.watching != Some(Watching::Ended))
            && self.files.iter().all(|file| file.failing.is_none())
    }

    /// The certificates that admit now and end within so many days, store by store, the first to end first: as the stores are at the time
    /// of the call, all of which it looks at.
    pub fn expiring(&self, days: u32) -> Vec<Expiring> {
        let span = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        let Some(end) = SystemTime::now().checked_add(span) else {
            return Vec::new();
        };
        let stores = self.stores.iter();
        let expiring = stores.flat_map(|health| {
            let ending = health.store.ending_before(end).into_iter();
            ending.map(|certificate| Expiring {
                certificate,
                store: health.path.clone(),
            })
        });
        expiring.collect()
    }

    /// What is wrong with single files and lines of the stores, as [`CertificateStore::problems`] says it: as they are at the time of the call.
    pub fn problems(&self) -> Vec<Arc<Error>> {
        let stores = self.stores.iter();
        stores.flat_map(|health| health.store.problems()).collect()
    }
}

impl StoreHealth {
    pub(super) fn of(store: &Arc<CertificateStore>, domains: Vec<Option<Arc<str>>>) -> Self {
        Self {
            path: store.path().map(Into::into),
            domains,
            certificates: store.len(),
            problems: store.problems().len(),
            watching: store.watching(),
            reload: store.reload(),
            changed: store.changed(),
            store: store.clone(),
        }
    }
}

impl Reload {
    pub(super) fn now(took: Duration) -> Self {
        Self {
            at: SystemTime::now(),
            took,
        }
    }
}

/// Such as:
///
/// ```text
/// thread  alive, answered in 85µs
/// audit   12 admitted, 3 refused, 0 deferred, 0 pending; 0 events dropped
/// store   /etc/pumps: 310 certificates, 2 problems, followed by events, last read 2027-01-31T12:00:00Z in 1.2ms
/// file    /var/log/pumps.jsonl: 15 lines, 0 lost
/// ```
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "thread  {}\naudit   {}; {} events dropped",
            self.thread, self.counters, self.counters.dropped
        )?;
        let stores = self.stores.iter();
        stores
            .clone()
            .try_for_each(|store| write!(f, "\nstore   {store}"))?;
        let files = self.files.iter();
        files
            .clone()
            .try_for_each(|file| write!(f, "\nfile    {file}"))
    }
}

impl fmt::Display for ThreadHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive { answered_in } => write!(f, "alive, answered in {answered_in:.0?}"),
            Self::Silent { last_turn } => {
                write!(f, "SILENT: it began its last turn {last_turn:.0?} ago")
            }
            Self::Ended => f.write_str("ended with its context"),
            Self::Died => f.write_str("DIED: every handshake fails"),
        }
    }
}

impl fmt::Display for StoreHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            certificates,
            problems,
            ..
        } = self;
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => f.write_str("in memory")?,
        }
        write!(f, ": {certificates} certificates, {problems} problems")?;
        f.write_str(match self.watching {
            None => "",
            Some(Watching::Events) => ", followed by events",
            Some(Watching::Polling) => ", followed by polling",
            Some(Watching::Ended) => ", NOT FOLLOWED any more: it admits nobody",
        })?;
        self.reload.iter().try_for_each(|Reload { at, took }| {
            let at = Seconds(*at);
            write!(f, ", last read {at} in {took:.1?}")
        })
    }
}

/// Such as `eq3g-xrs3-wcg3-fcem-an2d in /etc/pumps ends 2027-01-31T12:00:00Z`.
impl fmt::Display for Expiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.certificate.public_key().fingerprint())?;
        if let Some(path) = &self.store {
            write!(f, " in {}", path.display())?;
        }
        let end = self.certificate.validity().not_after();
        end.map_or(Ok(()), |end| write!(f, " ends {}", Seconds(end)))
    }
}

/// The thread's signs of life.
pub(super) struct Pulse {
    started: Instant,
    /// When the last turn began, in microseconds since the start.
    turn: AtomicU64,
    /// Whether the thread has been asked and has not answered yet.
    asked: AtomicBool,
    state: Mutex<State>,
    beat: Condvar,
}

#[derive(Default)]
struct State {
    answers: u64,
    ended: Option<ThreadHealth>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            turn: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            state: Mutex::default(),
            beat: Condvar::new(),
        }
    }

    /// The thread began another turn.
    pub(super) fn turned(&self, now: Instant) {
        let since = now.saturating_duration_since(self.started);
        self.turn.store(since.as_micros() as u64, Ordering::Relaxed);
    }

    /// The thread has read the question.
    pub(super) fn answer(&self) {
        // First the flag: who asks from here on is answered the next time.
        self.asked.store(false, Ordering::Release);
        self.state().answers += 1;
        self.beat.notify_all();
    }

    /// The thread has ended.
    pub(super) fn end(&self, died: bool) {
        self.state().ended = Some(if died {
            ThreadHealth::Died
        } else {
            ThreadHealth::Ended
        });
        self.beat.notify_all();
    }

    /// Waits for an answer of the thread, which `post` asks unless it is being asked.
    pub(super) fn ask(&self, post: impl FnOnce()) -> ThreadHealth {
        let start = Instant::now();
        let mut state = self.state();
        let before = state.answers;
        if state.ended.is_none() && !self.asked.swap(true, Ordering::AcqRel) {
            drop(state);
            post();
            state = self.state();
        }
        loop {
            if let Some(ended) = state.ended {
                return ended;
            }
            let waited = start.elapsed();
            if state.answers > before {
                return ThreadHealth::Alive {
                    answered_in: waited,
                };
            }
            let Some(left) = PATIENCE.checked_sub(waited) else {
                let turn = Duration::from_micros(self.turn.load(Ordering::Relaxed));
                let last_turn = self.started.elapsed().saturating_sub(turn);
                return ThreadHealth::Silent { last_turn };
            };
            let waited = self.beat.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{SecretCertificate, Validity};
    use std::time::UNIX_EPOCH;

    const DAY: Duration = Duration::from_secs(86_400);

    fn health(stores: Vec<StoreHealth>) -> Health {
        Health {
            thread: ThreadHealth::Alive {
                answered_in: Duration::from_micros(85),
            },
            counters: Counters::default(),
            stores,
            files: Vec::new(),
        }
    }

    #[test]
    fn a_thread_that_answers_is_alive_and_one_that_does_not_is_not() {
        let pulse = Pulse::new();
        assert!(matches!(
            pulse.ask(|| pulse.answer()),
            ThreadHealth::Alive { .. }
        ));
        let silent = pulse.ask(|| ());
        assert!(
            matches!(silent, ThreadHealth::Silent { last_turn } if last_turn >= PATIENCE),
            "{silent:?}"
        );
        // It is being asked already; whoever asks is answered all the same.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while pulse.state().answers < 2 {
                    pulse.answer();
                }
            });
            while !matches!(pulse.ask(|| pulse.answer()), ThreadHealth::Alive { .. }) {}
        });
        pulse.turned(Instant::now());
        pulse.end(true);
        assert_eq!(pulse.ask(|| panic!("asked the dead")), ThreadHealth::Died);
    }

    #[test]
    fn certificates_that_end_soon_are_listed_and_those_that_have_ended_or_are_disabled_are_not() {
        let store = Arc::new(CertificateStore::in_memory());
        let now = SystemTime::now();
        let always = Validity::new();
        let lives = [
            always.with_not_after(now + 29 * DAY),
            always.with_not_after(now + 2 * DAY),
            always.with_not_after(now + 31 * DAY),
            always.with_not_after(now - DAY),
            always.with_not_after(now + DAY).with_disabled(true),
            always,
        ];
        let keys = lives.map(|life| {
            let certificate = SecretCertificate::generate().unwrap();
            let certificate = certificate.with_validity(life).unwrap();
            store.insert(certificate.certificate().clone()).unwrap();
            *certificate.public_key()
        });
        let health = health(vec![StoreHealth::of(&store, vec![None])]);
        let listed = |days| {
            let listed = health.expiring(days).into_iter();
            listed
                .map(|it| *it.certificate.public_key())
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(30), [keys[1], keys[0]]);
        assert_eq!(listed(1), []);
        let first = &health.expiring(3)[0];
        let end = Seconds(now + 2 * DAY);
        assert_eq!(
            first.to_string(),
            format!("{} ends {end}", keys[1].fingerprint())
        );
    }

    #[test]
    fn health_is_shown_as_a_table_and_is_good_unless_something_does_not_work() {
        let mut health = health(Vec::new());
        let mut store = StoreHealth::of(&Arc::new(CertificateStore::in_memory()), vec![None]);
        store.certificates = 310;
        store.problems = 2;
        health.stores = vec![store.clone(), store];
        let file = &mut health.stores[1];
        file.path = Some("/etc/pumps".into());
        file.watching = Some(Watching::Polling);
        file.reload = Some(Reload {
            at: UNIX_EPOCH,
            took: Duration::from_micros(1234),
        });
        health.files = vec![AuditFile {
            path: "/var/log/pumps".into(),
            lines: 12,
            lost: 3,
            failing: None,
        }];
        assert!(health.is_good());
        assert_eq!(
            health.to_string(),
            "thread  alive, answered in 85µs
audit   0 admitted, 0 refused, 0 deferred, 0 pending; 0 events dropped
store   in memory: 310 certificates, 2 problems
store   /etc/pumps: 310 certificates, 2 problems, followed by polling, last read 1970-01-01T00:00:00Z in 1.2ms
file    /var/log/pumps: 12 lines, 3 lost"
        );

        health.files[0].failing = Some(("No space left on device".into(), UNIX_EPOCH));
        assert!(!health.is_good());
        let failing =
            "3 lost; cannot be written since 1970-01-01T00:00:00Z: No space left on device";
        assert!(health.to_string().ends_with(failing), "{health}");
        health.files.clear();
        health.stores[1].watching = Some(Watching::Ended);
        assert!(!health.is_good());
        health.stores.clear();
        assert!(health.is_good());
        for thread in [
            ThreadHealth::Died,
            ThreadHealth::Ended,
            ThreadHealth::Silent { last_turn: DAY },
        ] {
            health.thread = thread;
            assert!(!health.is_good());
        }
    }
}
