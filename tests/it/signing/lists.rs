//! Revocation lists under a running server.

use super::*;

#[test]
fn list_puts_out_a_live_client_and_leaves_the_others() {
    within(SOON * 2, || {
        let place = Place::new();
        let [bad, good] = ["bad", "good"].map(|name| place.enrol(name, name, &place.anna));
        let first = place.enters(&bad, "bad");
        let monitor = Monitor::attach(&first).unwrap();
        let second = place.enters(&good, "good");
        place.revoke(&bad);
        is_put_out(&monitor);
        place.is_refused(&bad);
        place.reports(&place.path("bad"), "stolen");
        second.send("still here").unwrap();
        assert_eq!(place.server.recv().unwrap(), "still here");
        // Signing it anew does not help.
        let again = bad.sign(&place.anna).unwrap();
        again.certificate().save(place.path("again")).unwrap();
        place.is_refused(&again);
    });
}

#[test]
fn old_list_and_half_a_list_change_nothing_before_nor_after_a_restart() {
    within(SOON * 3, || {
        let place = Place::new();
        let [bad, good] = ["bad", "good"].map(|name| place.enrol(name, name, &place.anna));
        let old = fs::read(place.list()).unwrap();
        place.revoke(&bad);
        place.is_refused(&bad);
        let new = fs::read(place.list()).unwrap();
        for (other, what) in [
            (&old[..], "was seen before"),
            (&new[..new.len() / 2], "cut off, or something else"),
            (b"", "cut off, or something else"),
            (b"nonsense", "cut off, or something else"),
        ] {
            fs::write(place.list(), other).unwrap();
            place.store.sync(SOON).unwrap();
            place.reports(&place.list(), what);
            place.is_refused(&bad);
            drop(place.enters(&good, "good"));
        }
        fs::write(place.list(), &old).unwrap();
        place.store.sync(SOON).unwrap();
        place.reports(&place.list(), "was seen before");

        // Nobody is admitted by the old one; the newest is all it takes.
        let place = place.restart();
        place.reports(&place.list(), "was seen before");
        place.is_refused(&bad);
        place.is_refused(&good);
        fs::write(place.list(), &new).unwrap();
        place.store.sync(SOON).unwrap();
        place.is_refused(&bad);
        drop(place.enters(&good, "good"));
    });
}

#[test]
fn nobody_enters_once_the_list_has_run_out_and_those_who_are_in_are_put_out() {
    within(SOON * 2, || {
        let place = Place::new();
        let client = place.enrol("client", "reader", &place.anna);
        let socket = place.enters(&client, "reader");
        let monitor = Monitor::attach(&socket).unwrap();
        let list = RevocationList::load(place.list(), place.anna.verify_key()).unwrap();
        let short = Duration::from_secs(1);
        let list = list.issue(place.list(), &place.anna, short).unwrap();
        is_put_out(&monitor);
        place.is_refused(&client);
        place.reports(&place.list(), "was valid until");
        list.issue(place.list(), &place.anna, MONTH).unwrap();
        place.store.sync(SOON).unwrap();
        drop(place.enters(&client, "reader"));
    });
}

#[test]
fn nobody_enters_while_a_required_list_is_missing() {
    within(SOON, || {
        let place = Place::new();
        let client = place.enrol("client", "reader", &place.anna);
        fs::remove_file(place.list()).unwrap();
        fs::remove_file(place.folder.path().join("seen")).unwrap();
        let place = place.restart();
        place.is_refused(&client);
        place.reports(&place.list(), "nobody is admitted");
        let list = RevocationList::new();
        list.issue(place.list(), &place.anna, MONTH).unwrap();
        place.store.sync(SOON).unwrap();
        drop(place.enters(&client, "reader"));
    });
}
