//! What a signed store adds: revocation lists that are followed, and certificates judged anew when those who are believed change.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{File, Layout, Tree, secret};
use crate::error::{Error, Result};
use crate::security::certificate::Certificate;
use crate::security::clock::Latest;
use crate::security::file::{Fault, FileProblem, Stamp};
use crate::security::generation::KeyMap;
use crate::security::revocations::{RevocationList, RevocationProblem};
use crate::security::signing::{SignatureProblem, VerifyKey};
use crate::security::trail::Trail;
use crate::security::trust::{Guard, Rules, Trust, Vet, gap};

/// What the tree of a signed store goes by.
pub(super) struct Signed {
    guard: Arc<Guard>,
    /// What is wanted, as far as it is seen to.
    trust: Arc<Trust>,
    lists: Vec<Watched>,
    /// The keys that count, whether or not anybody may be admitted at present.
    latest: Arc<KeyMap>,
    /// Whether they are in force.
    open: bool,
    /// Others are believed than when the keys were put in force.
    renewed: bool,
    clock: Latest,
}

/// A revocation list that is required.
struct Watched {
    by: VerifyKey,
    path: PathBuf,
    /// The state of the file that was read, and whether a change after it would show.
    stamp: Option<(Stamp, bool)>,
    /// The newest that was read.
    list: Option<Arc<RevocationList>>,
    /// What is wrong with the file as it is now.
    problem: Option<Arc<Error>>,
    /// Whether there is none that counts.
    gap: bool,
}

impl Signed {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self {
            clock: Latest::new(guard.now()),
            guard,
            trust: Arc::default(),
            lists: Vec::new(),
            latest: Arc::new(KeyMap::new()),
            open: false,
            renewed: false,
        }
    }

    pub(super) fn vet(&self) -> Vet {
        Vet {
            guard: Arc::clone(&self.guard),
            rules: self.guard.rules(),
            known: Arc::clone(&self.latest),
        }
    }
}

impl Watched {
    fn new(by: VerifyKey, path: &Path) -> Self {
        Self {
            by,
            path: path.to_owned(),
            stamp: None,
            list: None,
            problem: None,
            gap: false,
        }
    }

    /// Reads the list if the file, at `end` free of links, is another one or may be. True if something is wrong with it that was not,
    /// or no longer.
    fn read(&mut self, end: Option<&Path>, guard: &Guard) -> bool {
        let now = fs::metadata(end.unwrap_or(&self.path)).map(|meta| Stamp::from(&meta));
        let now = now.ok();
        if let (Some(now), Some((known, settled))) = (now, self.stamp) {
            if now == known && settled {
                return false;
            }
        } else if now.is_none() && self.stamp.is_none() && self.problem.is_some() {
            return false;
        }
        self.stamp = now.map(|now| (now, now.is_settled()));
        let found =
            RevocationList::load(&self.path, &self.by).and_then(|list| self.take(list, guard));
        let before = self.problem.take();
        self.problem = found.err().map(Arc::new);
        before.is_some() || self.problem.is_some()
    }

    /// Puts a list in force unless it is older than what was seen.
    fn take(&mut self, list: RevocationList, guard: &Guard) -> Result<()> {
        let mut memory = guard.memory();
        let (serial, newest) = (list.serial(), memory.newest(&self.by));
        let known = self.list.as_deref();
        if known == Some(&list) {
            return Ok(());
        }
        let problem = if known.is_some_and(|known| known.serial() == serial) {
            RevocationProblem::SameSerial { serial }
        } else if serial < newest {
            RevocationProblem::RolledBack { serial, newest }
        } else {
            memory.note(self.by, serial);
            self.list = Some(Arc::new(list));
            return Ok(());
        };
        Err(Fault::new(None, problem).at(&self.path))
    }

    /// Whether it can be told that the list counts, or no longer does; if that has changed, or `anew`, what is to be reported.
    fn report(&mut self, now: SystemTime, anew: bool) -> Option<Vec<Arc<Error>>> {
        let gap = gap(self.by, self.list.as_deref(), now);
        let changed = std::mem::replace(&mut self.gap, gap.is_some()) != self.gap;
        if !changed && !anew {
            return None;
        }
        let gap = gap.map(|gap| Arc::new(Fault::new(None, gap).at(&self.path)));
        Some(self.problem.iter().cloned().chain(gap).collect())
    }
}

impl Tree {
    /// Sees to what the operator wants, to lists that have changed, and to those that have run out.
    pub(crate) fn refresh_trust(&mut self) {
        let Some(mut signed) = self.signed.take() else {
            return;
        };
        let guard = Arc::clone(&signed.guard);
        let wanted = guard.wanted();
        if !Arc::ptr_eq(&wanted, &signed.trust) {
            self.want(&mut signed, wanted);
        }
        self.remember(&guard, &signed.trust);
        let now = signed.clock.late(guard.now());
        for watched in &mut signed.lists {
            let trail = Trail::of(&watched.path);
            self.track(&watched.path, &trail);
            let anew = watched.read(trail.end.as_deref(), &guard);
            if let Some(errors) = watched.report(now, anew) {
                self.shared.report_shared(&watched.path, errors);
            }
        }
        self.remember(&guard, &signed.trust);

        let open = guard.memory().is_whole() && signed.lists.iter().all(|watched| !watched.gap);
        let in_force = |watched: &Watched| Some((watched.by, Arc::clone(watched.list.as_ref()?)));
        let lists = signed.lists.iter().filter_map(in_force).collect();
        let (old, new) = (guard.rules(), Rules::new(&signed.trust, lists, open));
        let alike = new.judge_alike(&old);
        if alike && old.open == open {
            self.signed = Some(signed);
            return;
        }
        guard.forget_others(&new);
        guard.set_rules(new);
        signed.renewed = true;
        if !open && std::mem::replace(&mut signed.open, false) {
            self.shared.keys.replace(Arc::new(KeyMap::new()));
        }
        self.signed = Some(signed);
        if !alike {
            self.judge_anew();
        }
    }

    /// Takes over what the operator wants.
    fn want(&mut self, signed: &mut Signed, wanted: Arc<Trust>) {
        let mut known = std::mem::take(&mut signed.lists);
        for watched in &known {
            self.untrack(&watched.path);
            self.shared.clear_problem(&watched.path);
        }
        if let Some(memory) = signed.trust.memory() {
            self.shared.clear_problem(memory);
        }
        for (by, path) in wanted.lists() {
            let mut watched = Watched::new(by, path);
            if let Some(at) = known.iter().position(|watched| watched.by == by) {
                watched.list = known.swap_remove(at).list;
            }
            signed.lists.push(watched);
        }
        signed.trust = wanted;
        signed.clock = Latest::new(signed.guard.now());
    }

    /// Has what was seen of lists in its file.
    fn remember(&self, guard: &Guard, trust: &Trust) {
        let mut memory = guard.memory();
        if let Some((path, kept)) = memory.keep(trust.memory()) {
            let forgotten = (!memory.is_whole())
                .then(|| Fault::new(None, RevocationProblem::Forgotten).at(&path));
            let errors = kept.err().into_iter().chain(forgotten);
            self.shared.report_all(&path, errors.collect());
        }
    }

    /// Judges every certificate by new rules. Read and verified are those alone that were refused, or are now.
    fn judge_anew(&mut self) {
        if matches!(self.layout, Layout::KeyFile) {
            self.key_file = None;
            let end = Trail::of(&self.root).end;
            return self.read_key_file(&end.unwrap_or_else(|| self.root.clone()), true);
        }
        let Some(rules) = self.signed.as_ref().map(|signed| signed.guard.rules()) else {
            return;
        };
        let directories: Vec<PathBuf> = self.directories.keys().cloned().collect();
        for directory in directories {
            let Some(known) = self.directories.get_mut(&directory) else {
                continue;
            };
            let holders = &self.holders;
            let stays = |file: &File| {
                let held = file.key.and_then(|key| holders.held(&key));
                held.is_some_and(|held| {
                    !holders.is_shared(held.public_key()) && rules.admit_verified(held).is_ok()
                })
            };
            let files = known.files.iter();
            let doubtful: Vec<_> = files
                .filter(|(name, file)| !secret(name) && !stays(file))
                .map(|(name, _)| name.clone())
                .collect();
            for name in &doubtful {
                if let Some(key) = known.files.remove(name).and_then(|file| file.key) {
                    self.holders.release(&directory.join(&**name), key);
                }
            }
            for name in self.read_all(&directory, doubtful) {
                self.examine(&directory, &name, None);
            }
        }
    }

    /// Reads a certificate, which must count in a signed store.
    pub(super) fn load(&self, path: &Path) -> Result<Certificate> {
        let path = self.root.join(path);
        let certificate = Certificate::load(&path)?;
        if let Some(signed) = &self.signed {
            let vet = signed.vet();
            let held = self.holders.held(certificate.public_key());
            let counts = vet.admit(&certificate);
            counts
                .and_then(|()| vet.refuse_older(&certificate, held))
                .map_err(|problem| Fault::from(problem).at(&path))?;
        }
        Ok(certificate)
    }

    /// Where several files hold a key, refuses those that are older than another.
    pub(super) fn refuse_older(&mut self) {
        if self.signed.is_none() {
            return;
        }
        for (key, paths) in self.holders.contested() {
            let read = paths.into_iter().filter_map(|path| match self.load(&path) {
                Ok(read) if *read.public_key() == key => Some((path, Ok(read.serial()?))),
                Err(Error::File {
                    problem: FileProblem::Signature(problem),
                    ..
                }) => Some((path, Err(problem))),
                // Changed since: an event is on its way.
                _ => None,
            });
            let read: Vec<_> = read.collect();
            let serials = read.iter().filter_map(|(_, serial)| serial.as_ref().ok());
            let newest = serials.max().copied().unwrap_or(0);
            for (path, serial) in read {
                match serial {
                    Ok(serial) if serial < newest => {
                        self.refuse(&path, SignatureProblem::Superseded { serial, newest });
                    }
                    Ok(_) => {}
                    Err(problem) => self.refuse(&path, problem),
                }
            }
        }
    }

    /// Lets a file hold its key no longer.
    fn refuse(&mut self, path: &Path, problem: SignatureProblem) {
        if let (Some(directory), Some(name)) = (path.parent(), path.file_name()) {
            let known = self.directories.get(directory);
            if let Some(mark) = known.and_then(|known| Some(known.files.get(name)?.mark)) {
                let error = self.problem(path, problem.into());
                self.take(directory, name, mark, Err(error));
            }
        }
    }

    /// Puts a generation in force, if there is a new one, or if others are believed.
    pub(super) fn put_in_force(&mut self, next: Option<Arc<KeyMap>>) {
        let Some(signed) = &mut self.signed else {
            if let Some(next) = next {
                self.shared.keys.replace(next);
            }
            return;
        };
        let changed = next.is_some() | std::mem::take(&mut signed.renewed);
        if let Some(next) = next {
            signed.latest = next;
        }
        if changed && signed.guard.rules().open {
            signed.open = true;
            self.shared.keys.replace(Arc::clone(&signed.latest));
        }
    }

    /// Puts the keys of a key file in force.
    pub(super) fn replace_keys(&mut self, keys: Arc<KeyMap>) {
        if let Some(signed) = &self.signed {
            for old in signed.latest.certificates() {
                signed.guard.has_left(old, keys.get(old.public_key()));
            }
        }
        self.put_in_force(Some(keys));
    }

    /// Whether a name of the directory is a list, or what is remembered of them.
    pub(super) fn is_own(&self, directory: &Path, name: &OsStr) -> bool {
        self.signed.as_ref().is_some_and(|signed| {
            own(signed).any(|path| {
                path.file_name() == Some(name) && path.parent() == Some(&*self.root.join(directory))
            })
        })
    }

    /// Such names of a directory.
    pub(super) fn own_names(&self, directory: &Path) -> Vec<OsString> {
        let Some(signed) = &self.signed else {
            return Vec::new();
        };
        let directory = self.root.join(directory);
        let names = own(signed).filter(|path| path.parent() == Some(&*directory));
        names
            .filter_map(|path| path.file_name().map(OsStr::to_owned))
            .collect()
    }
}

/// The files of a store that are no certificates.
fn own(signed: &Signed) -> impl Iterator<Item = &Path> {
    let lists = signed.lists.iter().map(|watched| &*watched.path);
    lists.chain(signed.trust.memory())
}
