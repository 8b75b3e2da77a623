//! Of several certificates of a key, which one counts.

use super::*;

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
