use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::security::certificate::Certificate;
use crate::security::directory::Layout;
use crate::security::keys::PublicKey;
use crate::security::signing::{SignatureProblem, SigningKey};
use crate::security::store::CertificateStore;
use crate::security::watcher::Message;
use crate::security::zpl;

const DEADLINE: Duration = Duration::from_secs(20);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Both kinds of store, by events and by comparison.
const KINDS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn administrator(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

fn verify(n: u8) -> VerifyKey {
    *administrator(n).verify_key()
}

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
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
fn revocation_wins_whoever_signed() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        for (n, by, serial) in [(1, 1, 5), (2, 2, 5), (3, 1, 5), (4, 1, 7), (5, 2, 5)] {
            place.put(&format!("{n}"), &signed(n, by, serial));
        }
        place.list(1, 1, RevocationList::new());
        place.list(
            2,
            9,
            RevocationList::new()
                .revoke(key(1), "left us")
                .unwrap()
                .revoke_below(key(3), 6, "no writer")
                .unwrap()
                .revoke_below(key(4), 6, "no writer")
                .unwrap(),
        );
        place.open(place.trust(&[-1, -2]));
        place.admits(&[(2, "2-5"), (4, "1-7"), (5, "2-5")]);
        place.reports(&[("1", "left us"), ("3", "no writer")]);
        let lists = place.store().revocation_lists();
        let lists: Vec<_> = lists.iter().map(|(by, l)| (*by, l.serial())).collect();
        assert_eq!(lists, [(verify(1), 1), (verify(2), 9)]);
        // The one administrator signs anew what the other has revoked.
        place.put("1", &signed(1, 1, 100));
        place.put("3", &signed(3, 1, 6));
        place.admits(&[(2, "2-5"), (3, "1-6"), (4, "1-7"), (5, "2-5")]);
        // Lists are united, and each administrator's minimum is for what he signed himself.
        let minimum = RevocationList::new().with_minimum_serial(7);
        place.list(1, 2, minimum.revoke(key(5), "stolen").unwrap());
        place.admits(&[(2, "2-5"), (4, "1-7")]);
        place.reports(&[("1", "left us"), ("3", "below 7"), ("5", "stolen")]);
        place.list(1, 3, RevocationList::new());
        place.list(2, 10, RevocationList::new());
        place.admits(&[(1, "1-100"), (2, "2-5"), (3, "1-6"), (4, "1-7"), (5, "2-5")]);
        place.reports(&[]);
    }
}

#[test]
fn list_in_force_outlives_whatever_takes_its_place() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.put("b", &signed(2, 1, 5));
        let revoked = |n| RevocationList::new().revoke(key(n), "stolen").unwrap();
        let path = place.path("list-1");
        place.list(1, 4, RevocationList::new());
        let old = fs::read(&path).unwrap();
        place.list(1, 5, revoked(1));
        place.open(place.trust(&[-1]));
        place.admits(&[(2, "1-5")]);

        fs::write(&path, &old).unwrap();
        place.admits(&[(2, "1-5")]);
        place.reports(&[("list-1", "5 was seen before"), ("a", "stolen")]);
        let half = [&old[..], &old[..old.len() / 2]].concat();
        fs::write(&path, &half).unwrap();
        place.admits(&[(2, "1-5")]);
        place.reports(&[("list-1", "cut off"), ("a", "stolen")]);
        place.list(1, 5, revoked(2));
        place.admits(&[(2, "1-5")]);
        place.reports(&[("list-1", "says something else"), ("a", "stolen")]);
        fs::remove_file(&path).unwrap();
        place.admits(&[(2, "1-5")]);
        place.reports(&[("list-1", "No such file"), ("a", "stolen")]);
        revoked(2).issue_as(&path, &administrator(2), 6, SystemTime::now() + MONTH);
        place.admits(&[(2, "1-5")]);
        place.reports(&[("list-1", "signed by"), ("a", "stolen")]);
        place.list(1, 6, revoked(2));
        place.admits(&[(1, "1-5")]);
        place.reports(&[("b", "stolen")]);
    }
}

#[test]
fn nobody_is_admitted_without_a_list_that_is_required() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.put("b", &signed(2, 2, 5));
        place.open(place.trust(&[-1, 2]));
        place.admits(&[]);
        place.reports(&[("list-1", "No such file"), ("list-1", "in force")]);
        assert!(place.store().lookup(&key(1)).is_none());
        fs::write(place.path("list-1"), "nonsense").unwrap();
        place.admits(&[]);
        place.reports(&[("list-1", "cut off"), ("list-1", "in force")]);
        place.list(
            1,
            1,
            RevocationList::new().revoke(key(1), "stolen").unwrap(),
        );
        place.admits(&[(2, "2-5")]);
        place.reports(&[("a", "stolen")]);
        // Another one is wanted, whose list is not there.
        place.store().set_trust(place.trust(&[-1, -2])).unwrap();
        place.admits(&[]);
        place.list(2, 1, RevocationList::new());
        place.admits(&[(2, "2-5")]);
        place.store().set_trust(place.trust(&[1, 2])).unwrap();
        place.admits(&[(1, "1-5"), (2, "2-5")]);
        place.reports(&[]);
    }
}

#[test]
fn nobody_is_admitted_once_a_list_has_run_out() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        let past = SystemTime::now() - Duration::from_secs(1);
        place.list_until(1, 1, past, RevocationList::new());
        place.open(place.trust(&[-1]));
        place.admits(&[]);
        place.reports(&[("list-1", "was valid until")]);
        place.list(1, 2, RevocationList::new());
        place.admits(&[(1, "1-5")]);
        // It runs out while nothing happens.
        let soon = SystemTime::now() + Duration::from_millis(100);
        place.list_until(1, 3, soon, RevocationList::new());
        let start = std::time::Instant::now();
        while !place.store().is_empty() {
            assert!(start.elapsed() < DEADLINE);
            std::thread::sleep(Duration::from_millis(5));
        }
        place.admits(&[]);
        place.reports(&[("list-1", "was valid until")]);
        let newer = RevocationList::new().revoke(key(2), "stolen").unwrap();
        place.list(1, 4, newer);
        place.admits(&[(1, "1-5")]);
        place.reports(&[]);
    }
}

#[test]
fn clock_set_back_brings_no_list_back_until_it_is_believed_anew() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.list(1, 1, RevocationList::new());
        place.open(place.trust(&[-1]));
        place.admits(&[(1, "1-5")]);
        let guard = Arc::clone(place.store().guard.as_ref().unwrap());
        let ahead = |days: u64| guard.ahead.store(days * 86_400, Ordering::Relaxed);
        ahead(29);
        place.admits(&[(1, "1-5")]);
        ahead(31);
        place.admits(&[]);
        ahead(0);
        place.admits(&[]);
        place.reports(&[("list-1", "was valid until")]);
        place.store().set_trust(place.trust(&[-1])).unwrap();
        place.admits(&[(1, "1-5")]);
        place.reports(&[]);
    }
}

#[test]
fn old_list_is_refused_after_a_restart_where_serials_are_remembered() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        let path = place.path("list-1");
        place.list(1, 4, RevocationList::new());
        let old = fs::read(&path).unwrap();
        let stolen = RevocationList::new().revoke(key(1), "stolen").unwrap();
        place.list(1, 5, stolen.clone());
        let remembering = place.trust(&[-1]).remember(place.path("seen"));
        place.open(remembering.clone());
        place.admits(&[]);
        place.reports(&[("a", "stolen")]);
        fs::write(&path, &old).unwrap();
        place.open(remembering.clone());
        place.admits(&[]);
        place.reports(&[
            ("list-1", "5 was seen before"),
            ("list-1", "nobody is admitted"),
        ]);
        place.list(1, 5, stolen.clone());
        place.admits(&[]);
        place.reports(&[("a", "stolen")]);
        // Without a memory, the old one counts again.
        fs::write(&path, &old).unwrap();
        place.open(place.trust(&[-1]));
        place.admits(&[(1, "1-5")]);
        // What cannot be read might say anything.
        place.list(1, 6, RevocationList::new());
        fs::write(place.path("seen"), "nonsense").unwrap();
        place.open(remembering.clone());
        place.admits(&[]);
        place.reports(&[
            ("seen", "ironhouse-revocations-seen"),
            ("seen", "nobody is admitted"),
        ]);
        fs::remove_file(place.path("seen")).unwrap();
        place.admits(&[(1, "1-5")]);
        place.reports(&[]);
        assert!(place.path("seen").exists());
    }
}

#[test]
fn new_list_is_in_force_though_it_cannot_be_remembered() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.list(1, 1, RevocationList::new());
        place.open(place.trust(&[-1]).remember(place.path("gone/seen")));
        place.admits(&[(1, "1-5")]);
        place.reports(&[("seen", "No such file")]);
        place.list(
            1,
            2,
            RevocationList::new().revoke(key(1), "stolen").unwrap(),
        );
        place.admits(&[]);
        fs::create_dir(place.path("gone")).unwrap();
        let start = std::time::Instant::now();
        while !place.path("gone/seen").exists() {
            assert!(start.elapsed() < DEADLINE);
            std::thread::sleep(Duration::from_millis(5));
        }
        place.admits(&[]);
        place.reports(&[("a", "stolen")]);
        let seen = fs::read_to_string(place.path("gone/seen")).unwrap();
        assert!(seen.contains("serial = \"2\""), "{seen}");
    }
}

#[test]
fn certificate_older_than_one_that_was_held_is_refused() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 5));
        place.put("b", &signed(2, 1, 5));
        place.open(place.trust(&[1, 2]));
        place.put("a", &signed(1, 1, 7));
        place.admits(&[(1, "1-7"), (2, "1-5")]);
        // In its place, under another name, after it has gone; by whomever it was signed.
        place.put("a", &signed(1, 1, 6));
        place.admits(&[(2, "1-5")]);
        place.reports(&[("a", "older than 7")]);
        place.remove("a");
        place.put("c", &signed(1, 2, 5));
        place.admits(&[(2, "1-5")]);
        place.put("c", &signed(1, 1, 7));
        place.admits(&[(1, "1-7"), (2, "1-5")]);
        place.reports(&[]);
        // What an administrator signed who is believed no more binds nobody.
        place.put("b", &signed(2, 2, u64::MAX));
        place.admits(&[(1, "1-7"), (2, &format!("2-{}", u64::MAX))]);
        place.put("b", &signed(2, 1, 6));
        place.admits(&[(1, "1-7")]);
        place.store().set_trust(place.trust(&[1])).unwrap();
        place.admits(&[(1, "1-7"), (2, "1-6")]);
        place.reports(&[]);
    }
}

#[test]
fn newest_of_several_certificates_of_a_key_counts_in_whatever_order_they_come() {
    for kind in KINDS {
        for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] {
            for running in [false, true] {
                let mut place = Place::new(kind);
                if running {
                    place.open(place.trust(&[1, 2]));
                }
                for name in order {
                    let (by, serial) = match name {
                        "a" => (1, 5),
                        "b" => (2, 7),
                        _ => (1, 6),
                    };
                    place.put(name, &signed(1, by, serial));
                    if running {
                        place.store().sync(DEADLINE).unwrap();
                    }
                }
                if !running {
                    place.open(place.trust(&[1, 2]));
                }
                place.admits(&[(1, "2-7")]);
                assert_eq!(place.problems().len(), 2, "{:#?}", place.problems());
                // The newest goes: an older one does not take its place.
                place.remove("b");
                place.admits(&[]);
            }
        }
    }
}

#[test]
fn newest_of_an_administrator_binds_though_another_has_signed_since() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("a", &signed(1, 1, 1));
        place.open(place.trust(&[1, 2]));
        place.put("b", &signed(1, 1, 2));
        place.admits(&[(1, "1-2")]);
        place.put("c", &signed(1, 2, 3));
        place.admits(&[(1, "2-3")]);
        place.remove("b");
        place.store().set_trust(place.trust(&[1])).unwrap();
        place.admits(&[]);
        // Nor does a minimum that the newest falls below bring back an older one of somebody else.
        place.put("a", &signed(1, 1, 4));
        place.admits(&[(1, "1-4")]);
        let minimum = RevocationList::new().with_minimum_serial(5);
        place.list(1, 1, minimum);
        place.store().set_trust(place.trust(&[-1, 2])).unwrap();
        place.admits(&[]);
    }
}

#[test]
fn of_two_with_one_serial_the_first_by_path_counts_and_the_other_is_reported() {
    for kind in KINDS {
        let mut place = Place::new(kind);
        place.put("b", &signed(1, 1, 5));
        place.open(place.trust(&[1, 2]));
        place.put("a", &signed(1, 2, 5));
        place.admits(&[(1, "2-5")]);
        place.reports(&[("b", "holds the key of")]);
        place.remove("a");
        place.admits(&[(1, "1-5")]);
        place.reports(&[]);
        place.put("c", &signed(1, 2, 5));
        place.admits(&[(1, "1-5")]);
        // With its signer goes the one that counted.
        place.store().set_trust(place.trust(&[2])).unwrap();
        place.admits(&[(1, "2-5")]);
        place.reports(&[("b", "not trusted")]);
    }
}

#[test]
fn fault_of_ours_closes_a_store_until_its_lists_are_read_anew() {
    let mut place = Place::new((false, false));
    place.put("a", &signed(1, 1, 5));
    let path = place.path("list-1");
    place.list(1, 1, RevocationList::new());
    let old = fs::read(&path).unwrap();
    place.list(1, 2, RevocationList::new());
    place.open(place.trust(&[-1, 2]));
    place.store().insert(signed(2, 2, 5)).unwrap();
    place.admits(&[(1, "1-5"), (2, "2-5")]);
    fs::write(&path, &old).unwrap();
    place.store().sync(DEADLINE).unwrap();
    // What was seen of lists is not forgotten: the old one counts no more than before.
    let fault = Message::Inject(|_| panic!("on purpose"));
    place.store().files.as_ref().unwrap().inject(fault);
    place.admits(&[]);
    place.list(1, 3, RevocationList::new());
    place.admits(&[(1, "1-5"), (2, "2-5")]);
    // The second time, for good.
    let fault = Message::Inject(|_| panic!("on purpose"));
    place.store().files.as_ref().unwrap().inject(fault);
    assert!(place.store().sync(DEADLINE).is_err());
    assert!(place.store().is_empty() && place.store().lookup(&key(2)).is_none());
}

#[test]
fn lists_and_memory_in_the_directory_are_not_taken_for_certificates() {
    for poll in [false, true] {
        let mut place = Place::new((false, poll));
        place.put("a", &signed(1, 1, 5));
        let list = place.path("certs/revoked");
        let until = SystemTime::now() + MONTH;
        RevocationList::new().issue_as(&list, &administrator(1), 1, until);
        let trust = Trust::default()
            .revocations(verify(1), &list)
            .remember(place.path("certs/seen"));
        place.open(trust);
        place.admits(&[(1, "1-5")]);
        place.reports(&[]);
        let revoked = RevocationList::new().revoke(key(1), "stolen").unwrap();
        revoked.issue_as(&list, &administrator(1), 2, until);
        place.admits(&[]);
        place.reports(&[("a", "stolen")]);
    }
}

#[test]
fn list_behind_a_link_is_followed() {
    for poll in [false, true] {
        let mut place = Place::new((false, poll));
        place.put("a", &signed(1, 1, 5));
        for version in ["v1", "v2"] {
            fs::create_dir(place.path(version)).unwrap();
        }
        let until = SystemTime::now() + MONTH;
        let list = place.path("v1/list");
        RevocationList::new().issue_as(&list, &administrator(1), 1, until);
        let revoked = RevocationList::new().revoke(key(1), "stolen").unwrap();
        revoked.issue_as(&place.path("v2/list"), &administrator(1), 2, until);
        std::os::unix::fs::symlink("v1", place.path("now")).unwrap();
        place.open(Trust::default().revocations(verify(1), place.path("now/list")));
        place.admits(&[(1, "1-5")]);
        std::os::unix::fs::symlink("v2", place.path("next")).unwrap();
        fs::rename(place.path("next"), place.path("now")).unwrap();
        place.admits(&[]);
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

#[derive(Debug, Clone)]
enum Step {
    /// File, key, signer (0: none), tampered with.
    Put(u8, u8, u8, bool),
    Remove(u8),
    /// Administrators who are believed, those of the second set with their lists.
    Trust([bool; 3], [bool; 3]),
    /// Administrator, keys revoked, minimum serial.
    List(u8, [bool; 4], u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..5, 1u8..5, 0u8..4, prop::bool::weighted(0.1))
            .prop_map(|(file, key, by, bad)| Step::Put(file, key, by, bad)),
        1 => (0u8..5).prop_map(Step::Remove),
        1 => (any::<[bool; 3]>(), any::<[bool; 3]>()).prop_map(|(a, b)| Step::Trust(a, b)),
        2 => (1u8..4, any::<[bool; 4]>(), 0u8..12)
            .prop_map(|(by, keys, minimum)| Step::List(by, keys, minimum)),
    ]
}

/// Each case is costly.
fn few() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    config.cases = config.cases.min(24);
    config
}

proptest! {
    #![proptest_config(few())]

    /// Serials grow with each step, so nothing is older than what was held but what is replaced.
    #[test]
    fn store_is_what_the_rules_make_of_its_files(
        kind in prop::sample::select(KINDS.to_vec()),
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let mut place = Place::new(kind);
        place.open(place.trust(&[1, 2, 3]));
        let mut files: BTreeMap<u8, (u8, u8, u64, bool)> = BTreeMap::new();
        let mut believed = BTreeMap::from([(1, false), (2, false), (3, false)]);
        let mut lists: BTreeMap<u8, ([bool; 4], u64)> = BTreeMap::new();
        // By key: serials of those that were held, with their signers.
        let mut held: Vec<(u8, u8, u64)> = Vec::new();
        for (serial, step) in steps.into_iter().enumerate() {
            let serial = serial as u64 + 1;
            match step {
                Step::Put(file, n, by, bad) => {
                    let made = match by {
                        0 => certificate(n, "unsigned"),
                        _ => signed(n, by, serial),
                    };
                    let made = if bad { made.with_meta("more", "x").unwrap() } else { made };
                    place.put(&file.to_string(), &made);
                    files.insert(file, (n, by, serial, bad || by == 0));
                }
                Step::Remove(file) => {
                    if files.remove(&file).is_some() {
                        place.remove(&file.to_string());
                    }
                }
                Step::Trust(some, with_list) => {
                    let of = |at: u8| [some, with_list].map(|set| set[usize::from(at) - 1]);
                    believed = (1..4)
                        .filter(|at| of(*at)[0])
                        .map(|at| (at, of(at)[1]))
                        .collect();
                    held.retain(|(_, by, _)| believed.contains_key(by));
                    let signs: Vec<i8> = believed
                        .iter()
                        .map(|(at, list)| if *list { -(*at as i8) } else { *at as i8 })
                        .collect();
                    place.store().set_trust(place.trust(&signs)).unwrap();
                }
                Step::List(by, keys, minimum) => {
                    let mut list = RevocationList::new().with_minimum_serial(minimum.into());
                    for (at, _) in keys.iter().enumerate().filter(|(_, revoked)| **revoked) {
                        list = list.revoke(key(at as u8 + 1), "x").unwrap();
                    }
                    place.list(by, serial, list);
                    lists.insert(by, (keys, minimum.into()));
                }
            }
            let required: Vec<u8> =
                believed.iter().filter(|(_, list)| **list).map(|(by, _)| *by).collect();
            let open = required.iter().all(|by| lists.contains_key(by));
            let in_force: Vec<_> =
                required.iter().filter_map(|by| Some((*by, lists.get(by)?))).collect();
            let counts = |n: u8, by: u8, serial: u64| {
                believed.contains_key(&by)
                    && in_force.iter().all(|(of, (keys, minimum))| {
                        !keys[usize::from(n) - 1] && (*of != by || serial >= *minimum)
                    })
            };
            let mut expected: BTreeMap<u8, (u64, u8)> = BTreeMap::new();
            for (n, by, serial, bad) in files.values() {
                if !bad && counts(*n, *by, *serial) {
                    let newest = expected.entry(*n).or_default();
                    *newest = (*newest).max((*serial, *by));
                }
            }
            // What left is not replaced by anything older.
            expected.retain(|n, (serial, _)| {
                held.iter().all(|(m, _, held)| m != n || held <= serial)
            });
            held.extend(expected.iter().map(|(n, (serial, by))| (*n, *by, *serial)));
            let roles: Vec<_> =
                expected.iter().map(|(n, (serial, by))| (*n, format!("{by}-{serial}"))).collect();
            let roles: Vec<_> = roles.iter().map(|(n, role)| (*n, &**role)).collect();
            place.admits(if open { &roles } else { &[] });
        }
    }
}
