//! `ironhouse.toml`: the whole authenticator as a file, in force as a whole or not at all.

mod content;
mod limits;
mod load;
mod reader;
mod schema;
mod stores;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use schema::ConfigProblem;

pub(crate) use content::Content;
#[cfg(any(test, fuzzing))]
pub(crate) use content::{Curve, Rules};

use content::{Named, Store, StorePlace};
use watch::{Following, State};

use super::authenticator::{Authenticator, Domain};
use super::file::{self, Access, Fault, FileProblem};
use super::passwords::PasswordFile;
use super::revocations::RevocationList;
use super::trust::{self, Vet};
use super::{jsonl, keyfile, memory};
use crate::error::{Error, Result};
use crate::ffi::sodium;
use crate::socket::Context;

/// Largest configuration file in bytes.
pub(crate) const LIMIT: u64 = 1 << 20;

/// An authenticator as a file: its domains with their address rules, mechanisms, stores and refusals.
///
/// ```no_run
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{Config, CurveServer, SecretCertificate};
/// use ironhouse::{Context, SocketType};
///
/// let context = Context::new()?;
/// let house = Config::load("/etc/pumps/ironhouse.toml")?.start(&context)?;
/// let certificate = SecretCertificate::load("/etc/pumps/server")?;
/// let mechanism = CurveServer::new(&certificate, &house.domain("pumps")?);
/// let server = context.socket(SocketType::Pull).secure(mechanism).open()?;
/// # Ok(())
/// # }
/// ```
///
#[doc = include_str!("../../docs/ironhouse.toml.md")]
#[derive(Debug, Clone)]
pub struct Config {
    /// Absolute.
    path: PathBuf,
    content: Content,
    /// The hash of the text.
    digest: [u8; 32],
}

impl Config {
    /// Reads the file. What it names is not opened yet.
    ///
    /// # Errors
    /// [`Error::Io`]: not there, not readable. [`Error::File`]: not a file, larger than 1 MiB, for others to change or replace, or the first of
    /// its [mistakes](ConfigProblem), with its line; [`Config::check`] has them all.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref()).map_err(first)
    }

    /// All that is wrong with the file and with what it names, as far as that can be told without starting anything; nothing, if it is
    /// good.
    ///
    /// Password files are there, with mode 0600, and each line can be used; so can each line of key files that are there. Where a
    /// directory or key file is missing, it may come later, but what it will lie in is there. Revocation lists are there and count now. The
    /// audit file can be written to, if it is there.
    pub fn check(path: impl AsRef<Path>) -> Vec<Error> {
        match Self::read(path.as_ref()) {
            Ok(config) => config.check_named(),
            Err(errors) => errors,
        }
    }

    /// Starts the authenticator of `context`, which follows the file from now on.
    ///
    /// # Errors
    /// As [`Authenticator::start`]; [`Error::GssapiRefusal`] for a domain that this libzmq could not refuse by; [`Error::File`] with the line of the file that names a password file which cannot be used,
    /// or an audit file which cannot be written to.
    pub fn start(&self, context: &Context) -> Result<ConfiguredAuthenticator> {
        let settings = &self.content.settings;
        let authenticator = Authenticator::builder(context)
            .deadline(settings.deadline)
            .callback_threads(settings.threads)
            .clock_skew(settings.skew)
            .revocation(settings.scope)
            .limits(settings.limits)
            .start()?;
        let shared = authenticator.handler().shared();
        let state = State::start(self, Arc::downgrade(shared)).map_err(first)?;
        let state = Arc::new(Mutex::new(state));
        let following = Following::start(state.clone())?;
        authenticator.handler().keep(following);
        Ok(ConfiguredAuthenticator {
            authenticator,
            state,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The domains that it has a policy for, by name.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.content.domains.keys().map(|name| &**name)
    }

    fn read(path: &Path) -> Result<Self, Vec<Error>> {
        let path = file::absolute(path).map_err(|error| vec![error])?;
        let bytes = file::read(&path, LIMIT, Access::PublicGuarded).map_err(|error| vec![error])?;
        let base = path.parent().unwrap_or(Path::new("/"));
        let content = file::text(&bytes)
            .map_err(|fault| vec![fault])
            .and_then(|text| Content::parse(text, base))
            .map_err(|faults| {
                faults
                    .into_iter()
                    .map(|fault| fault.at(&path))
                    .collect::<Vec<_>>()
            })?;
        Ok(Self {
            digest: sodium::blake2b(&bytes),
            path,
            content,
        })
    }

    fn check_named(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        if let Some(audit) = &self.content.audit {
            let found = jsonl::can_be_written(&audit.what);
            errors.extend(
                found
                    .err()
                    .map(|error| unwritable(audit.line, &error).at(&self.path)),
            );
        }
        for rules in self.content.rules() {
            if let Some(plain) = &rules.plain {
                match PasswordFile::load(&plain.what) {
                    Ok(passwords) => errors.extend(passwords.problems()),
                    Err(error) => errors.push(named("plain", plain.line, &error).at(&self.path)),
                }
            }
            for store in rules.stores() {
                errors.extend(self.check_store(store));
                errors.extend(self.check_trust(store));
            }
        }
        errors
    }

    /// The revocation lists of a signed store, and what it remembers of them.
    fn check_trust(&self, store: &Named<Store>) -> Vec<Error> {
        let Some(trust) = &store.what.trust else {
            return Vec::new();
        };
        let blame = |key, error: &Error| named(key, trust.line, error).at(&self.path);
        let mut errors = Vec::new();
        for (by, path) in trust.what.lists() {
            let list = RevocationList::load(path, &by).and_then(|list| {
                let gap = trust::gap(by, Some(&list), SystemTime::now());
                gap.map_or(Ok(()), |gap| Err(Fault::new(None, gap).at(path)))
            });
            errors.extend(list.err().map(|error| blame("revocations", &error)));
        }
        let memory = trust.what.memory().map_or(Ok(()), memory::check);
        errors.extend(memory.err().map(|error| blame("remember", &error)));
        errors
    }

    fn check_store(&self, store: &Named<Store>) -> Vec<Error> {
        let place = &store.what.place;
        let (key, path) = (place.key(), place.path());
        let blame = |reason: String| {
            let problem = ConfigProblem::value(key, format!("{}: {reason}", path.display()));
            vec![Fault::new(Some(store.line), problem).at(&self.path)]
        };
        match (std::fs::metadata(path), place) {
            (Ok(found), StorePlace::Directory(_)) if found.is_dir() => {
                match std::fs::read_dir(path) {
                    Ok(_) => Vec::new(),
                    Err(error) => blame(error.to_string()),
                }
            }
            (Ok(_), StorePlace::Directory(_)) => blame(FileProblem::NotADirectory.to_string()),
            (Ok(_), StorePlace::Keyfile(_)) => {
                let trust = store.what.trust.as_ref();
                let vet = trust.map(|trust| Vet::by_signature(&trust.what));
                match keyfile::read(path, &false.into(), vet.as_ref()) {
                    Ok(content) => content
                        .faults
                        .into_iter()
                        .map(|fault| fault.at(path))
                        .collect(),
                    Err(error) => vec![named(key, store.line, &error).at(&self.path)],
                }
            }
            (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => {
                match path.parent() {
                    Some(parent) if !parent.is_dir() => {
                        blame("not there, nor the directory that it is to lie in".into())
                    }
                    _ => Vec::new(),
                }
            }
            (Err(error), _) => blame(error.to_string()),
        }
    }
}

/// What is wrong with a file that the configuration names.
fn named(key: &'static str, line: u32, error: &Error) -> Fault {
    Fault::new(Some(line), ConfigProblem::value(key, error.to_string()))
}

/// What is wrong with the audit file that the configuration names.
fn unwritable(line: u32, error: &Error) -> Fault {
    let reason = format!(
        "{error}: make its directory, let the user of this process write there, or name another file"
    );
    Fault::new(Some(line), ConfigProblem::value("audit.file", reason))
}

/// The first of some errors.
fn first(errors: Vec<Error>) -> Error {
    errors.into_iter().next().unwrap_or(Error::Again)
}

/// An authenticator that does what a [`Config`] says, and follows its file.
///
/// The file goes on being followed as long as the authenticator runs, also by the [`Domain`]s and sockets that remain when this is dropped.
pub struct ConfiguredAuthenticator {
    authenticator: Authenticator,
    state: Arc<Mutex<State>>,
}

impl ConfiguredAuthenticator {
    /// A domain of the file, to secure sockets with. It stays one when the file drops it, and refuses everybody then.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]: the file has no such domain.
    pub fn domain(&self, name: &str) -> Result<Domain> {
        let state = self.state();
        match state.domain(name) {
            Some(name) => Ok(self.authenticator.existing_domain(name)),
            None => Err(Error::InvalidOption {
                name: "domain",
                reason: format!(
                    "{} has no table for {name:?}: add one, or name one of those in it",
                    state.path().display()
                ),
            }),
        }
    }

    /// The authenticator. A policy that is set by it counts until the file changes, in the domains of the file and for the fallback.
    pub const fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Puts the file as it is now into force, without waiting for it to be at rest: for a signal handler's thread, say, or once a
    /// program has written it. In force when this returns.
    ///
    /// # Errors
    /// As [`Config::load`] and [`Config::start`]: nothing has changed then.
    pub fn reload(&self) -> Result<()> {
        self.state().reload()
    }

    /// What is wrong with the file as it was last read, and why what was read before is in force instead; or which of its settings need
    /// a restart ([`ConfigProblem::NeedsRestart`]). Nothing, if all of it is in force.
    pub fn problems(&self) -> Vec<Arc<Error>> {
        self.state().problems().to_vec()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ConfiguredAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfiguredAuthenticator({:?})", self.state().path())
    }
}
