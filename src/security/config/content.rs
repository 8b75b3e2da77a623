//! What `ironhouse.toml` says.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::security::address::AddressRule;
use crate::security::authenticator::{DEADLINE, THREADS};
use crate::security::clock;
use crate::security::limits::Limits;
use crate::security::policy::{Refusal, Rule};
use crate::security::revoke::RevocationScope;
use crate::security::trust::Trust;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) settings: Settings,
    /// The file that audit events are written to.
    pub(crate) audit: Option<Named<PathBuf>>,
    pub(crate) fallback: Option<Rules>,
    pub(crate) domains: BTreeMap<Arc<str>, Rules>,
}

/// What the authenticator is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) threads: usize,
    pub(crate) skew: Duration,
    pub(crate) scope: RevocationScope,
    pub(crate) limits: Limits,
    /// The lines of those that the file sets.
    pub(super) lines: HashMap<&'static str, u32>,
}

/// Who may connect to one domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) allow: Vec<AddressRule>,
    pub(crate) deny: Vec<AddressRule>,
    pub(crate) null: bool,
    pub(crate) plain: Option<Named<PathBuf>>,
    pub(crate) curve: Option<Curve>,
    pub(crate) gssapi: Option<Gssapi>,
    pub(crate) refusals: Vec<(Rule, Refusal)>,
}

/// Which principals GSSAPI admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gssapi {
    Any,
    Principals(Vec<String>),
}

/// Whom CURVE admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Curve {
    Any,
    Stores(Vec<Named<Store>>),
}

/// A store, and whom it believes if it is a signed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) place: StorePlace,
    pub(crate) trust: Option<Named<Trust>>,
}

/// Where a store's certificates are: what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum StorePlace {
    Directory(PathBuf),
    Keyfile(PathBuf),
}

/// Something that the file names, and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named<T> {
    pub(crate) what: T,
    pub(crate) line: u32,
}

impl StorePlace {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) | Self::Keyfile(path) => path,
        }
    }

    /// The key of the file that names it.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Keyfile(_) => "keyfile",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            threads: THREADS,
            skew: clock::SKEW,
            scope: RevocationScope::default(),
            limits: Limits::off(),
            lines: HashMap::new(),
        }
    }
}

/// Equal where an authenticator would be the same, wherever the file says so.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.changes(other).is_empty()
    }
}

impl Eq for Settings {}

impl Settings {
    /// What differs in `wanted`, each with its line there, if it is set there.
    pub(crate) fn changes(&self, wanted: &Self) -> Vec<(&'static str, Option<u32>)> {
        [
            ("deadline", self.deadline == wanted.deadline),
            ("callback-threads", self.threads == wanted.threads),
            ("clock-skew", self.skew == wanted.skew),
            ("revocation", self.scope == wanted.scope),
            ("limits", self.limits == wanted.limits),
        ]
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(key, _)| (key, wanted.lines.get(key).copied()))
        .collect()
    }
}

impl Rules {
    /// The stores that it names.
    pub(crate) fn stores(&self) -> &[Named<Store>] {
        match &self.curve {
            Some(Curve::Stores(stores)) => stores,
            _ => &[],
        }
    }
}

impl Content {
    /// All policies.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rules> {
        self.domains.values().chain(&self.fallback)
    }
}

impl<T> Named<T> {
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Named<U> {
        Named {
            what: make(self.what),
            line: self.line,
        }
    }
}
