//! Revocation lists: in force, required, run out, remembered.

use super::*;
use crate::security::watcher::Message;

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
