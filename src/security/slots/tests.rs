use proptest::prelude::*;

use super::*;

const HALF_LIFE: Duration = Duration::from_secs(60);

fn slots(capacity: usize, address: u32) -> Slots {
    let thresholds = Thresholds {
        address: Some(address),
        credential: Some(5),
    };
    Slots::new(capacity, thresholds, HALF_LIFE)
}

fn subject(n: u64) -> Subject {
    Subject {
        kind: Kind::Address,
        words: [0, n],
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_threshold_locks_out_for_a_half_life_and_leaves_half_of_itself() {
    let mut slots = slots(1024, 4);
    let one = subject(1);
    for _ in 0..3 {
        slots.count(one, at(100));
    }
    assert_eq!(slots.locked(one, at(100)), None);
    slots.count(one, at(100));
    assert_eq!(slots.locked(one, at(100)), Some(HALF_LIFE));
    let left = slots.locked(one, at(130)).unwrap();
    assert!((at(29)..=at(31)).contains(&left), "{left:?}");
    assert!(slots.locked(one, at(159)).is_some());
    assert_eq!(slots.locked(one, at(160)), None);
    slots.count(one, at(160));
    assert_eq!(slots.locked(one, at(160)), None);
    slots.count(one, at(160));
    assert_eq!(slots.locked(one, at(160)), Some(HALF_LIFE));
    // What was some moments ago counts in full, and after a while not at all.
    for n in 0..4 {
        slots.count(subject(2), at(n));
    }
    assert_eq!(slots.locked(subject(2), at(3)), Some(HALF_LIFE));
    for n in 0..3 {
        slots.count(one, at(3600) + at(n));
    }
    assert_eq!(slots.locked(one, at(3602)), None);
}

#[test]
fn failures_under_way_do_not_add_up_to_a_longer_lock_out() {
    let mut slots = slots(1024, 4);
    for _ in 0..1000 {
        slots.count(subject(1), at(0));
    }
    assert_eq!(slots.locked(subject(1), at(0)), Some(HALF_LIFE));
}

#[test]
fn a_lock_out_is_told_once_and_the_next_one_again() {
    let mut slots = slots(1024, 1);
    let one = subject(1);
    for start in [at(0), at(1000)] {
        assert_eq!(slots.announce(one, start), None);
        slots.count(one, start);
        assert!(slots.announce(one, start).is_some());
        assert_eq!(slots.announce(one, start), None);
        slots.count(one, start);
        assert_eq!(slots.announce(one, start), None);
    }
}

#[test]
fn kinds_are_counted_apart_and_by_their_own_threshold() {
    let mut slots = slots(1024, 2);
    let kinds = [Kind::Address, Kind::User, Kind::Key, Kind::Principal];
    let all = kinds.map(|kind| Subject {
        kind,
        words: [7, 7],
    });
    for failures in 1..=5 {
        for one in all {
            slots.count(one, at(0));
        }
        let locked = all.map(|one| slots.locked(one, at(0)).is_some());
        assert_eq!(locked[0], failures >= 2);
        assert_eq!(locked[1..], [failures >= 5; 3]);
    }
    let uncounted = Thresholds {
        address: None,
        credential: None,
    };
    let mut slots = Slots::new(1024, uncounted, HALF_LIFE);
    (0..1000).for_each(|_| assert!(!slots.count(all[1], at(0))));
    assert_eq!(slots.locked(all[1], at(0)), None);
}

#[test]
fn a_flood_of_others_flushes_out_no_lock_out_and_no_repeated_failure() {
    let mut slots = slots(1024, 4);
    for _ in 0..4 {
        slots.count(subject(1), at(0));
    }
    for _ in 0..3 {
        slots.count(subject(2), at(0));
    }
    for n in 100..20_000 {
        slots.count(subject(n), at(0));
    }
    assert!(slots.locked(subject(1), at(0)).is_some());
    slots.count(subject(2), at(0));
    assert!(slots.locked(subject(2), at(0)).is_some());
    // Twenty thousand times one failure is nobody's lock-out.
    let others = (100..20_000).filter(|n| slots.locked(subject(*n), at(0)).is_some());
    assert_eq!(others.count(), 0);
}

#[test]
fn who_was_admitted_is_remembered_and_gives_way_to_those_who_fail_repeatedly() {
    let mut slots = slots(WAYS, 10);
    slots.note_good(subject(0), at(0));
    for n in 1..100 {
        slots.count(subject(n), at(0));
    }
    assert!(slots.is_good(subject(0)));
    for n in 1..100 {
        for _ in 0..4 {
            slots.count(subject(n), at(0));
        }
    }
    assert!(!slots.is_good(subject(0)));
}

#[test]
fn the_forgiven_begin_anew_and_stay_known() {
    let mut slots = slots(1024, 2);
    for n in 0..2 {
        slots.note_good(subject(n), at(0));
        for _ in 0..2 {
            slots.count(subject(n), at(0));
        }
    }
    let forgiven = slots.forgive(0..slots.len(), at(0), |one| one == subject(1));
    assert_eq!(forgiven, 1);
    assert_eq!(slots.locked(subject(1), at(0)), None);
    assert!(slots.is_good(subject(1)));
    let left: Vec<_> = slots.all_locked(0..slots.len(), at(0)).collect();
    assert_eq!(left, [(subject(0), HALF_LIFE)]);
    slots.count(subject(1), at(0));
    assert_eq!(slots.locked(subject(1), at(0)), None);
}

#[test]
fn a_million_addresses_take_less_than_64_mib_and_hardly_any_is_forgotten() {
    // The bench counts all of them. Who is forgotten depends on how full the table is: a sixteenth of both will do here.
    for (capacity, kept) in [(1 << 20, 850_000), (1 << 21, 990_000)] {
        assert!(slots(capacity, 1).bytes() < 64 << 20);
        let mut slots = slots(capacity / 16, 1);
        let (bytes, reserved) = (slots.bytes(), slots.slots.capacity());
        for n in 0..1_000_000 / 16 {
            slots.count(subject(n), at(0));
        }
        let remembered = slots.all_locked(0..slots.len(), at(0)).count();
        assert!(remembered > kept / 16, "{remembered} in {capacity} / 16");
        assert_eq!((slots.bytes(), slots.slots.capacity()), (bytes, reserved));
        assert_eq!(bytes, capacity / 16 * 24);
    }
}

proptest! {
    /// As counted by real numbers, for each by itself; within what rounding may do near the thresholds.
    #[test]
    fn counts_agree_with_arithmetic(
        steps in prop::collection::vec((0..4u64, 0..3u8, 0..40u64), 1..200),
        threshold in 1..20u32,
    ) {
        struct Model { count: f64, time: Duration, locked: bool }
        let mut slots = slots(1024, threshold);
        let mut models: Vec<Model> =
            (0..4).map(|_| Model { count: 0.0, time: at(0), locked: false }).collect();
        let mut now = at(0);
        for (who, action, wait) in steps {
            let full = f64::from(threshold);
            let faded = |model: &Model, now: Duration| {
                let age = (now - model.time).as_secs_f64() / HALF_LIFE.as_secs_f64();
                model.count * (-age).exp2()
            };
            match action {
                0 => now += Duration::from_secs(wait),
                _ => {
                    let model = &mut models[who as usize];
                    let count = faded(model, now);
                    // Within a step of the table's clock, or the smallest part that it counts, either answer is right.
                    let near = |a: f64, b: f64| (a - b).abs() < 0.02 * full + 0.05;
                    if near(count, full / 2.0) || near(count + 1.0, full - 0.5) {
                        continue;
                    }
                    model.locked &= count > full / 2.0;
                    model.count = count + 1.0;
                    model.time = now;
                    if model.count >= full - 0.5 {
                        model.count = full;
                        model.locked = true;
                    }
                    slots.count(subject(who), now);
                }
            }
            for (who, model) in (0..).zip(&models) {
                let count = faded(model, now);
                if (count - full / 2.0).abs() < 0.02 * full + 0.05 {
                    continue;
                }
                let expected = model.locked && count > full / 2.0;
                prop_assert_eq!(slots.locked(subject(who), now).is_some(), expected, "{} of {}", count, full);
            }
        }
    }

    #[test]
    fn a_place_survives_its_packing(
        words: [u64; 2], count in 0..=COUNT, time: u32, kind in 0..4usize, flags in 0..8u32,
    ) {
        let kind = [Kind::Address, Kind::User, Kind::Key, Kind::Principal][kind];
        let slot = Slot { subject: Subject { kind, words }, count, time, flags: flags << 28 };
        let again = Slot::unpack(slot.pack());
        prop_assert_eq!(
            (again.subject, again.count, again.time, again.flags),
            (slot.subject, count, time, flags << 28)
        );
    }
}
