mod lists;
mod model;
mod serials;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::security::certificate::Certificate;
use crate::security::directory::Layout;
use crate::security::keys::PublicKey;
use crate::security::signing::SignatureProblem;
use crate::security::store::CertificateStore;
use crate::security::testing::{administrator, key};
use crate::security::zpl;

const DEADLINE: Duration = Duration::from_secs(20);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Both kinds of store, by events and by comparison.
const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn verify(n: u8) -> VerifyKey {
    *administrator(n).verify_key()
}

fn certificate(n: u8, role: &str) -> Certificate {
    Certificate::new(key(n)).with_meta("role", role).unwrap()
}

fn signed(n: u8, by: u8, serial: u64) -> Certificate {
    let role = format!("{by}-{serial}");
    let made = certificate(n, &role);
    made.sign_with_serial(&administrator(by), serial).unwrap()
}

/// A signed store and what it is made of.
struct Place {
    store: Option<CertificateStore>,
    keyfile: bool,
    poll: bool,
    /// Of a key file, its lines by name.
    lines: RefCell<BTreeMap<String, Certificate>>,
    root: PathBuf,
    _temp: tempfile::TempDir,
}

impl Place {
    fn new((keyfile, poll): (bool, bool)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        fs::create_dir(root.join("certs")).unwrap();
        Self {
            store: None,
            keyfile,
            poll,
            lines: RefCell::default(),
            root,
            _temp: temp,
        }
    }

    fn open(&mut self, trust: Trust) {
        self.store = None;
        let (layout, path) = match self.keyfile {
            true => (Layout::KeyFile, self.root.join("keys")),
            false => (Layout::Directory, self.root.join("certs")),
        };
        let store = CertificateStore::open(&path, layout, self.poll, Some(trust));
        self.store = Some(store.unwrap());
    }

    fn store(&self) -> &CertificateStore {
        self.store.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn put(&self, name: &str, certificate: &Certificate) {
        if !self.keyfile {
            return certificate
                .save(self.root.join("certs").join(name))
                .unwrap();
        }
        let mut lines = self.lines.borrow_mut();
        lines.insert(name.into(), certificate.clone());
        self.write_lines(&lines);
    }

    fn remove(&self, name: &str) {
        if !self.keyfile {
            return fs::remove_file(self.root.join("certs").join(name)).unwrap();
        }
        let mut lines = self.lines.borrow_mut();
        lines.remove(name).unwrap();
        self.write_lines(&lines);
    }

    fn write_lines(&self, lines: &BTreeMap<String, Certificate>) {
        let mut text = String::new();
        for certificate in lines.values() {
            text.push_str(&certificate.public_key().to_string());
            for (name, value) in certificate.metadata() {
                let quote = zpl::quotes(value).unwrap();
                text.push_str(&format!(" {name}={quote}{value}{quote}"));
            }
            text.push('\n');
        }
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path("keys")).unwrap();
    }

    fn list(&self, by: u8, serial: u64, list: RevocationList) {
        let until = SystemTime::now() + MONTH;
        self.list_until(by, serial, until, list);
    }

    fn list_until(&self, by: u8, serial: u64, until: SystemTime, list: RevocationList) {
        let path = self.path(&format!("list-{by}"));
        list.issue_as(&path, &administrator(by), serial, until);
    }

    /// Trusts these administrators; of those named with a minus, the lists too.
    fn trust(&self, administrators: &[i8]) -> Trust {
        let mut trust = Trust::default();
        for &by in administrators {
            let n = by.unsigned_abs();
            let key = verify(n);
            trust = match by {
                ..0 => trust.revocations(key, self.path(&format!("list-{n}"))),
                _ => trust.believe(key),
            };
        }
        trust
    }

    /// After `sync`, exactly these keys are admitted, each by the certificate of this role.
    #[track_caller]
    fn admits(&self, expected: &[(u8, &str)]) {
        self.store().sync(DEADLINE).unwrap();
        let mut keys = self.store().keys();
        keys.sort_unstable();
        let role = |key: &PublicKey| {
            let certificate = self.store().lookup(key).unwrap();
            let role = certificate.meta("role").unwrap().to_owned();
            (key.as_bytes()[0], role)
        };
        let found: Vec<_> = keys.iter().map(role).collect();
        let found: Vec<_> = found.iter().map(|(n, role)| (*n, &**role)).collect();
        assert_eq!(found, expected, "{:#?}", self.problems());
        assert_eq!(self.store().len(), expected.len());
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.store().problems();
        problems.iter().map(ToString::to_string).collect()
    }

    /// The problems are these, lists before certificates: each is told by a name and a word of its text.
    #[track_caller]
    fn reports(&self, expected: &[(&str, &str)]) {
        let mut problems = self.problems();
        problems
            .sort_by_key(|problem| !["/list-", "/seen:"].iter().any(|own| problem.contains(own)));
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, (name, word)) in problems.iter().zip(expected) {
            // Of a key file, the line stands behind it.
            let own = name.starts_with("list") || *name == "seen";
            let name = if self.keyfile && !own { "keys" } else { name };
            let told = problem.contains(&format!("/{name}:")) && problem.contains(word);
            assert!(told, "{name}: {word}: {problems:#?}");
        }
    }
}

#[test]
fn only_what_a_trusted_administrator_signed_as_it_is_is_admitted() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.put("b", &certificate(2, "unsigned"));
        place.put("c", &signed(3, 3, 5));
        let tampered = signed(4, 1, 5).with_meta("role", "root").unwrap();
        place.put("d", &tampered);
        place.put("e", &signed(5, 2, 5));
        let reports = [
            ("b", "not signed"),
            ("c", "not trusted"),
            ("d", "does not match"),
        ];
        place.open(Trust::new([verify(1), verify(2)]));
        place.admits(&[(1, "1-5"), (5, "2-5")]);
        place.reports(&reports);
        // Changed while the store runs: each change counts.
        place.put("a", &tampered);
        place.put("b", &signed(2, 2, 5));
        place.put("d", &signed(4, 1, 5));
        place.admits(&[(2, "2-5"), (4, "1-5"), (5, "2-5")]);
        place.put("a", &signed(1, 1, 5));
        place.admits(&[(1, "1-5"), (2, "2-5"), (4, "1-5"), (5, "2-5")]);
        place.reports(&[("c", "not trusted")]);
        place.remove("c");
        place.admits(&[(1, "1-5"), (2, "2-5"), (4, "1-5"), (5, "2-5")]);
        place.reports(&[]);
    }
}

#[test]
fn nobody_is_admitted_where_nobody_is_trusted() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.open(Trust::default());
        place.admits(&[]);
        place.reports(&[("a", "not trusted")]);
    }
}

#[test]
fn administrators_change_while_the_store_runs() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.put("b", &signed(2, 2, 5));
        place.open(place.trust(&[1]));
        place.admits(&[(1, "1-5")]);
        let set = |administrators: &[i8]| {
            let trust = place.trust(administrators);
            place.store().set_trust(trust).unwrap();
        };
        set(&[1, 2]);
        place.admits(&[(1, "1-5"), (2, "2-5")]);
        place.reports(&[]);
        set(&[2]);
        place.admits(&[(2, "2-5")]);
        place.reports(&[("a", "not trusted")]);
        set(&[]);
        place.admits(&[]);
        set(&[1, 2]);
        place.admits(&[(1, "1-5"), (2, "2-5")]);
        place.reports(&[]);
    }
}

#[test]
fn what_did_not_change_is_not_verified_again() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        for n in 1..=20 {
            place.put(&format!("{n}"), &signed(n, 1 + n % 2, 5));
        }
        // Files changed just now are read twice, but verified once all the same.
        place.open(place.trust(&[1, 2]));
        let guard = Arc::clone(place.store().guard.as_ref().unwrap());
        let verified = || guard.verified.swap(0, Ordering::Relaxed);
        assert_eq!(verified(), 20);
        place.put("1", &signed(1, 2, 6));
        place.store().sync(DEADLINE).unwrap();
        assert_eq!(verified(), 1);
        place.store().set_trust(place.trust(&[1])).unwrap();
        place.store().sync(DEADLINE).unwrap();
        assert_eq!((verified(), place.store().len()), (0, 10));
        place.store().set_trust(place.trust(&[1, 2])).unwrap();
        place.store().sync(DEADLINE).unwrap();
        assert_eq!((verified(), place.store().len()), (10, 20));
    }
}

#[test]
fn store_in_memory_takes_signed_certificates_alone() {
    let store = CertificateStore::signed_in_memory([verify(1), verify(2)]);
    for (bad, wanted) in [
        (certificate(1, "x"), SignatureProblem::Unsigned),
        (
            signed(1, 3, 5),
            SignatureProblem::UnknownSigner { signer: verify(3) },
        ),
        (
            signed(1, 1, 5).with_meta("role", "root").unwrap(),
            SignatureProblem::Mismatch,
        ),
    ] {
        match store.insert(bad).unwrap_err() {
            Error::Signature(problem) => assert_eq!(problem, wanted),
            other => panic!("{other}"),
        }
    }
    assert!(store.is_empty());
    store.insert(signed(1, 1, 5)).unwrap();
    store.insert(signed(2, 2, 5)).unwrap();
    store.insert(signed(2, 2, 6)).unwrap();
    assert!(store.insert(signed(2, 2, 5)).is_err());
    assert_eq!(store.len(), 2);
    store.set_trust(Trust::new([verify(2)])).unwrap();
    assert_eq!((store.len(), store.keys()), (1, vec![key(2)]));
    assert!(store.lookup(&key(1)).is_none() && store.lookup(&key(2)).is_some());
    store.set_trust(Trust::new([verify(2), verify(1)])).unwrap();
    assert_eq!(store.len(), 2);
    for files in [
        Trust::default().remember("seen"),
        Trust::default().revocations(verify(1), "list"),
    ] {
        assert!(store.set_trust(files).is_err());
    }
    let unsigned = CertificateStore::in_memory();
    assert!(unsigned.set_trust(Trust::default()).is_err());
}

#[test]
fn what_was_inserted_beside_files_counts_while_its_signer_and_no_list_says_otherwise() {
    let mut place = Place::new((false, false));
    place.put("a", &signed(1, 1, 5));
    place.list(1, 1, RevocationList::new());
    place.open(place.trust(&[-1, 2]));
    assert!(place.store().insert(certificate(2, "x")).is_err());
    place.store().insert(signed(2, 2, 5)).unwrap();
    place.store().insert(signed(3, 2, 5)).unwrap();
    place.admits(&[(1, "1-5"), (2, "2-5"), (3, "2-5")]);
    place.list(
        1,
        2,
        RevocationList::new().revoke(key(2), "stolen").unwrap(),
    );
    place.admits(&[(1, "1-5"), (3, "2-5")]);
    assert!(place.store().insert(signed(2, 2, 6)).is_err());
    place.store().set_trust(place.trust(&[1])).unwrap();
    place.admits(&[(1, "1-5")]);
}
