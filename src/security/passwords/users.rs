//! The users of a set of passwords: names and secrets.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::security::file::{Fault, Faults, FileProblem, MAX_FAULTS};
use crate::security::hash::Hash;
use crate::security::keys::{PLAIN_LIMIT, Password};
use crate::security::mark::Mark;

pub(super) struct Users {
    pub(super) secrets: HashMap<Box<[u8]>, Secret>,
    /// The hash that takes longest to check, whose check also hides that there is nothing to check.
    pub(super) dearest: Option<Arc<Hash>>,
    pub(super) problems: Vec<Fault>,
    /// The file as it was when its reading began.
    pub(super) mark: Mark,
    /// Its content, as a keyed hash; `None` where there is none.
    pub(super) content: Option<u64>,
}

/// What a user proves to know; in an `Arc`, so that a check holds no lock.
#[derive(Clone)]
pub(super) enum Secret {
    Plain(Arc<Password>),
    Hash(Arc<Hash>),
}

/// That a user has proven to know a secret: enough to tell later whether it still is the user's, and not the secret.
pub(crate) struct Proof {
    pub(super) name: Box<[u8]>,
    /// Of this proof alone.
    pub(super) seed: RandomState,
    pub(super) print: u64,
}

impl Users {
    /// Nobody, by no file.
    pub(super) fn none() -> Self {
        Self {
            secrets: HashMap::new(),
            dearest: None,
            problems: Vec::new(),
            mark: Mark::UNSETTLED,
            content: None,
        }
    }

    pub(super) fn parse(bytes: &[u8], mark: Mark) -> Self {
        let mut users = Self {
            mark,
            ..Self::none()
        };
        let mut faults = Faults::new(MAX_FAULTS);
        for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if let Err(problem) = users.read_line(line) {
                faults.push(Fault::new(Some(number), problem));
            }
        }
        users.problems = faults.finish();
        users.dearest = users.find_dearest();
        users
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), FileProblem> {
        let mut parts = line.splitn(2, |&byte| byte == b'=');
        let (Some(name), Some(password)) = (parts.next(), parts.next()) else {
            return Err(FileProblem::NoEquals);
        };
        let name = user_name(name)?;
        // The last line of a name counts, and a bad one admits nobody: an older password must not outlive it.
        self.secrets.remove(name);
        let secret = if Hash::is_meant(password) {
            Secret::Hash(Arc::new(Hash::parse(password)?))
        } else {
            Secret::Plain(Arc::new(Password::parse(password)?))
        };
        self.secrets.insert(name.into(), secret);
        Ok(())
    }

    /// Adds, changes or removes a user; whether there was one.
    pub(super) fn set(&mut self, name: &[u8], secret: Option<Secret>) -> bool {
        let old = self.secrets.remove(name);
        if let Some(secret) = secret {
            if let Secret::Hash(hash) = &secret {
                let dearer = |dearest: &Arc<Hash>| dearest.work() < hash.work();
                if self.dearest.as_ref().is_none_or(dearer) {
                    self.dearest = Some(hash.clone());
                }
            }
            self.secrets.insert(name.into(), secret);
        }
        if let (Some(Secret::Hash(old)), Some(dearest)) = (&old, &self.dearest) {
            if Arc::ptr_eq(old, dearest) {
                self.dearest = self.find_dearest();
            }
        }
        old.is_some()
    }

    fn find_dearest(&self) -> Option<Arc<Hash>> {
        let hashes = self.secrets.values().filter_map(|secret| match secret {
            Secret::Hash(hash) => Some(hash),
            Secret::Plain(_) => None,
        });
        hashes.max_by_key(|hash| hash.work()).cloned()
    }
}

impl Secret {
    /// What differs for another secret.
    pub(super) fn print(&self, seed: &RandomState) -> u64 {
        match self {
            Secret::Plain(password) => seed.hash_one((false, password.expose_bytes())),
            Secret::Hash(hash) => seed.hash_one((true, hash.text())),
        }
    }
}

impl Proof {
    pub(super) fn of(name: &[u8], secret: &Secret) -> Self {
        let seed = RandomState::new();
        Self {
            name: name.into(),
            print: secret.print(&seed),
            seed,
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

pub(super) fn user_name(name: &[u8]) -> Result<&[u8], FileProblem> {
    if name.is_empty() || name.len() > PLAIN_LIMIT || name.contains(&0) {
        Err(FileProblem::UserName)
    } else {
        Ok(name)
    }
}
