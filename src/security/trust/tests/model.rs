//! Stores beside a model of the rules, through steps at random.

use proptest::prelude::*;

use super::*;
use crate::security::testing::few;

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

proptest! {
    #![proptest_config(few(24))]

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
