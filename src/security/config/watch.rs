//! Follows `ironhouse.toml`: a good new state is in force in one step, a bad one changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::content::{Content, Curve, Gssapi, Named, Rules, Settings, Store, StorePlace};
use super::{Config, ConfigProblem, first, named, unwritable};
use crate::error::{Error, Result};
use crate::ffi::os;
use crate::security::audit::AuditEvent;
use crate::security::file::{Fault, FileProblem, Stamp};
use crate::security::gssapi::GssapiPolicy;
use crate::security::handler::Shared;
use crate::security::jsonl::{JsonLines, Ready};
use crate::security::passwords::PasswordFile;
use crate::security::policy::{CurvePolicy, Policy};
use crate::security::store::CertificateStore;
use crate::security::trust::Trust;

/// How often the file's times are looked at.
const TICK: Duration = Duration::from_millis(250);
/// For how long a file must be as it is before it is read: one that is written in place is not whole before.
const REST: Duration = Duration::from_millis(500);
/// How long a change waits for stores to judge their certificates anew.
const JUDGING: Duration = Duration::from_secs(5);

/// What is in force.
pub(super) struct State {
    path: PathBuf,
    handler: Weak<Shared>,
    settings: Settings,
    /// The domains that the file has or had.
    domains: BTreeSet<Arc<str>>,
    named: Opened,
    /// The text that is in force.
    digest: Option<[u8; 32]>,
    /// The state of the file when it was, if a change since would show.
    seen: Option<Stamp>,
    /// Another state of it, and since when.
    resting: Option<(Option<Stamp>, Instant)>,
    problems: Vec<Arc<Error>>,
}

/// What the file names: what is named before and after a change stays open.
#[derive(Default)]
struct Opened {
    stores: Stores,
    passwords: HashMap<PathBuf, Arc<PasswordFile>>,
    audit: Option<(PathBuf, Arc<JsonLines>)>,
}

/// Where a store is, and whether it is a signed one: with another of these it is another store.
type Kind = (StorePlace, bool);

/// Stores, and whom the signed ones believe.
type Stores = HashMap<Kind, (Arc<CertificateStore>, Option<Trust>)>;

fn kind(store: &Store) -> Kind {
    (store.place.clone(), store.trust.is_some())
}

impl State {
    /// Has the handler do what the file says.
    ///
    /// # Errors
    /// Something that it names cannot be opened.
    pub(super) fn start(config: &Config, handler: Weak<Shared>) -> Result<Self, Vec<Error>> {
        let mut state = Self {
            path: config.path.clone(),
            handler,
            settings: config.content.settings.clone(),
            domains: BTreeSet::new(),
            named: Opened::default(),
            digest: Some(config.digest),
            seen: None,
            resting: None,
            problems: Vec::new(),
        };
        state.apply(&config.content)?;
        Ok(state)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn problems(&self) -> &[Arc<Error>] {
        &self.problems
    }

    pub(super) fn domain(&self, name: &str) -> Option<Arc<str>> {
        self.domains.get(name).cloned()
    }

    pub(super) fn reload(&mut self) -> Result<()> {
        self.read().map_err(first)
    }

    /// Reads the file if it is another one, and at rest.
    fn look(&mut self, now: Instant) {
        let stamp = self.stamp();
        if stamp.is_some() && stamp == self.seen {
            self.resting = None;
            return;
        }
        match &self.resting {
            Some((before, since)) if *before == stamp => {
                if now.saturating_duration_since(*since) >= REST {
                    // What is wrong with it is kept, and told to the audit events.
                    let _ = self.read();
                }
            }
            _ => self.resting = Some((stamp, now)),
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        std::fs::metadata(&self.path)
            .ok()
            .map(|meta| Stamp::from(&meta))
    }

    /// Puts the file into force as it is now. An error leaves what was, and is reported once for each text.
    fn read(&mut self) -> Result<(), Vec<Error>> {
        let before = self.stamp();
        let read = Config::read(&self.path);
        // One that changed meanwhile, or within a tick of the file system's clock, is looked at again.
        let whole = before == self.stamp();
        self.seen = before.filter(|stamp| whole && stamp.is_settled());
        let digest = read.as_ref().ok().map(|config| config.digest);
        if digest.is_some()
            && digest == self.digest
            && self.problems.iter().all(|it| needs_restart(it))
        {
            return Ok(());
        }
        let config = read.map_err(|errors| {
            if errors.iter().any(lies_open) {
                // That may be mended without a change of the file itself.
                self.seen = None;
            }
            self.refuse(errors)
        })?;
        if let Err(errors) = self.apply(&config.content) {
            // What it names may be mended without a change of the file itself.
            self.seen = None;
            return Err(self.refuse(errors));
        }
        self.digest = digest;
        let needs_restart = self.problems.iter().filter_map(|it| restart_key(it));
        let event = AuditEvent::ConfigChanged {
            path: self.path.clone(),
            needs_restart: needs_restart.collect(),
        };
        self.emit(event);
        Ok(())
    }

    /// Notes what is wrong, and reports it if it is something else than before. Returns it once more for who asked.
    fn refuse(&mut self, errors: Vec<Error>) -> Vec<Error> {
        let same = errors.len() == self.problems.len()
            && errors
                .iter()
                .zip(&self.problems)
                .all(|(new, old)| new.to_string() == old.to_string());
        if !same {
            if let Some(first) = errors.first() {
                let (line, reason) = match first {
                    Error::File {
                        path,
                        line,
                        problem,
                    } if *path == self.path => (*line, problem.to_string()),
                    other => (None, other.to_string()),
                };
                let path = self.path.clone();
                self.emit(AuditEvent::ConfigRefused { path, line, reason });
            }
        }
        let copies = errors.iter().map(copy).collect();
        self.problems = errors.into_iter().map(Arc::new).collect();
        copies
    }

    fn emit(&self, event: AuditEvent) {
        if let Some(handler) = self.handler.upgrade() {
            handler.audit.emit(|| event);
        }
    }

    /// Opens what is new, then replaces all policies in one step.
    fn apply(&mut self, content: &Content) -> Result<(), Vec<Error>> {
        let at = |faults: Vec<Fault>| {
            faults
                .into_iter()
                .map(|fault| fault.at(&self.path))
                .collect::<Vec<_>>()
        };
        let Some(handler) = self.handler.upgrade() else {
            return Ok(());
        };
        let mut opened = self.named.passwords_with(content).map_err(at)?;
        let audit = self.named.audit_ready(content).map_err(at)?;
        // Last, as it takes its time.
        opened.stores = self.named.stores_with(content).map_err(at)?;
        opened.audit = match (audit, &content.audit) {
            (Some(ready), Some(Named { what: path, .. })) => {
                let file = ready.write(&handler.audit).map_err(|error| vec![error])?;
                Some((path.clone(), Arc::new(file)))
            }
            (_, wanted) => wanted.as_ref().and_then(|_| self.named.audit.clone()),
        };
        let gone = self
            .domains
            .iter()
            .filter(|name| !content.domains.contains_key(*name));
        // Not left to the fallback: who drops a domain does not want it open.
        let mut domains: Vec<_> = gone.map(|name| (name.clone(), Policy::new())).collect();
        domains.extend(
            content
                .domains
                .iter()
                .map(|(name, rules)| (name.clone(), opened.policy(rules))),
        );
        let fallback = content.fallback.as_ref().map(|rules| opened.policy(rules));
        handler
            .configure(domains, fallback)
            .map_err(|error| vec![error])?;
        self.domains.extend(content.domains.keys().cloned());
        opened
            .believe_anew(&self.named)
            .map_err(|error| vec![error])?;
        // Only now: nothing uses any more what is closed by this.
        self.named = opened;
        let restart =
            |(key, line)| Fault::new(line, ConfigProblem::NeedsRestart { key }).at(&self.path);
        let changes = self.settings.changes(&content.settings);
        self.problems = changes.into_iter().map(restart).map(Arc::new).collect();
        Ok(())
    }
}

/// Whether somebody else may replace the file.
fn lies_open(error: &Error) -> bool {
    matches!(
        error,
        Error::File {
            problem: FileProblem::AlterableDirectory { .. } | FileProblem::ForeignOwner { .. },
            ..
        }
    )
}

fn restart_key(error: &Error) -> Option<&'static str> {
    match error {
        Error::File {
            problem: FileProblem::Config(ConfigProblem::NeedsRestart { key }),
            ..
        } => Some(key),
        _ => None,
    }
}

fn needs_restart(error: &Error) -> bool {
    restart_key(error).is_some()
}

/// The same error once more: of those that reading a configuration makes.
fn copy(error: &Error) -> Error {
    match error {
        Error::File {
            path,
            line,
            problem,
        } => Fault::new(*line, problem.clone()).at(path),
        Error::Io { path, source } => Error::Io {
            path: path.clone(),
            source: source.raw_os_error().map_or_else(
                || std::io::Error::new(source.kind(), source.to_string()),
                std::io::Error::from_raw_os_error,
            ),
        },
        Error::GssapiRefusal {
            policy,
            rule,
            libzmq,
        } => Error::GssapiRefusal {
            policy: policy.clone(),
            rule,
            libzmq: *libzmq,
        },
        other => Error::Os {
            call: "ironhouse.toml",
            source: std::io::Error::other(other.to_string()),
        },
    }
}

impl Opened {
    /// The password files that `content` names: as they are open here, or opened now.
    fn passwords_with(&self, content: &Content) -> Result<Self, Vec<Fault>> {
        let mut opened = Self::default();
        let mut faults = Vec::new();
        for rules in content.rules() {
            if let Some(plain) = &rules.plain {
                let known = opened
                    .passwords
                    .get(&plain.what)
                    .or_else(|| self.passwords.get(&plain.what));
                let file = match known {
                    Some(file) => Ok(file.clone()),
                    None => PasswordFile::load(&plain.what).map(Arc::new),
                };
                match file {
                    Ok(file) => drop(opened.passwords.insert(plain.what.clone(), file)),
                    Err(error) => faults.push(named("plain", plain.line, &error)),
                }
            }
        }
        if faults.is_empty() {
            Ok(opened)
        } else {
            Err(faults)
        }
    }

    /// The audit file that `content` names, opened, unless it is open here.
    fn audit_ready(&self, content: &Content) -> Result<Option<Ready>, Vec<Fault>> {
        let open = self.audit.as_ref().map(|(path, _)| path);
        match &content.audit {
            Some(wanted) if open != Some(&wanted.what) => match Ready::at(&wanted.what) {
                Ok(ready) => Ok(Some(ready)),
                Err(error) => Err(vec![unwritable(wanted.line, &error)]),
            },
            _ => Ok(None),
        }
    }

    /// The stores that `content` names: as they are open here, or opened now, each with what it is to believe.
    fn stores_with(&self, content: &Content) -> Result<Stores, Vec<Fault>> {
        let mut stores = Stores::new();
        let mut faults = Vec::new();
        for named_store in content.rules().flat_map(Rules::stores) {
            let wanted = &named_store.what;
            let kind = kind(wanted);
            if stores.contains_key(&kind) {
                continue;
            }
            let trust = wanted.trust.as_ref().map(|trust| trust.what.clone());
            let store = match (self.stores.get(&kind), &wanted.place, trust.clone()) {
                (Some((store, _)), ..) => Ok(store.clone()),
                (None, StorePlace::Directory(path), None) => {
                    CertificateStore::directory(path).map(Arc::new)
                }
                (None, StorePlace::Directory(path), Some(trust)) => {
                    CertificateStore::signed_directory(path, trust).map(Arc::new)
                }
                (None, StorePlace::Keyfile(path), None) => {
                    CertificateStore::keyfile(path).map(Arc::new)
                }
                (None, StorePlace::Keyfile(path), Some(trust)) => {
                    CertificateStore::signed_keyfile(path, trust).map(Arc::new)
                }
            };
            match store {
                Ok(store) => drop(stores.insert(kind, (store, trust))),
                Err(error) => faults.push(named(wanted.place.key(), named_store.line, &error)),
            }
        }
        if faults.is_empty() {
            Ok(stores)
        } else {
            Err(faults)
        }
    }

    /// Has stores that were open in `before` believe what they are to believe now.
    fn believe_anew(&self, before: &Self) -> Result<()> {
        let mut changed = Vec::new();
        for (kind, (store, trust)) in &self.stores {
            let known = before.stores.get(kind);
            if let (Some((_, known)), Some(trust)) = (known, trust) {
                if known.as_ref() != Some(trust) {
                    store.set_trust(trust.clone())?;
                    changed.push(store);
                }
            }
        }
        let start = Instant::now();
        for store in changed {
            // What it believed before counts until it has judged them.
            let _ = store.sync(JUDGING.saturating_sub(start.elapsed()));
        }
        Ok(())
    }

    /// The policy that these rules make.
    fn policy(&self, rules: &Rules) -> Policy {
        let mut policy = Policy::new();
        for rule in &rules.allow {
            policy = policy.allow(*rule);
        }
        for rule in &rules.deny {
            policy = policy.deny(*rule);
        }
        if rules.null {
            policy = policy.null();
        }
        if let Some(file) = rules
            .plain
            .as_ref()
            .and_then(|plain| self.passwords.get(&plain.what))
        {
            policy = policy.plain(file.clone());
        }
        policy = match &rules.curve {
            None => policy,
            Some(Curve::Any) => policy.curve(CurvePolicy::any_key()),
            Some(Curve::Stores(stores)) => {
                let stores = stores
                    .iter()
                    .filter_map(|it| self.stores.get(&kind(&it.what)));
                let stores = stores.map(|(store, _)| store.clone());
                policy.curve(CurvePolicy::stores(stores))
            }
        };
        policy = match &rules.gssapi {
            None => policy,
            Some(Gssapi::Any) => policy.gssapi(GssapiPolicy::any_principal()),
            Some(Gssapi::Principals(names)) => {
                policy.gssapi(GssapiPolicy::principals(names.iter().cloned()))
            }
        };
        for (rule, refusal) in &rules.refusals {
            policy = policy.refusal_by(*rule, *refusal);
        }
        policy
    }
}

/// The thread that looks at the file; ends when dropped.
pub(super) struct Following {
    stop: Option<Sender<()>>,
    thread: Option<os::Thread>,
    /// Not the thread's own alone: dropped there, it would wait for nobody to write the last audit events.
    _state: Arc<Mutex<State>>,
}

impl Following {
    pub(super) fn start(state: Arc<Mutex<State>>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = os::spawn("ironhouse-conf", {
            let state = state.clone();
            move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    // A panic is our own fault. It must not end the following.
                    let _ = catch_unwind(AssertUnwindSafe(|| state.look(Instant::now())));
                }
            }
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            _state: state,
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
