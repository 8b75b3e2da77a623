//! Failure counts that fade, in a table of fixed size.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::time::Duration;

/// Places that one subject may have. They lie side by side, so that a look-up touches few cache lines.
const WAYS: usize = 8;

/// Steps of the table's clock in one half-life: fine enough for counts, and 32 bits last for a year at the shortest half-life.
const STEPS: u32 = 128;

/// One failure. Counts have a fraction, because they fade.
const ONE: u32 = 1 << FRACTION;
const FRACTION: u32 = 8;
const COUNT: u32 = (1 << 26) - 1;

const LOCKED: u32 = 1 << 28;
const ANNOUNCED: u32 = 1 << 29;
const GOOD: u32 = 1 << 30;

/// As significant as so many thresholds, when a place is needed: above a single failure, below a repeated one.
const GOOD_WEIGHT: f32 = 0.25;

/// Most failures that a threshold may ask for.
pub(super) const MOST: u32 = 100_000;

/// What failures are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) words: [u64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A block of addresses, by its bits.
    Address,
    /// A user name at a block of addresses, by two keyed hashes: of the block, and of domain and name.
    User,
    /// A key, by two keyed hashes: of the domain, and of the key.
    Key,
    /// A principal, likewise.
    Principal,
}

/// How many failures lock a subject out; `None`: it is not counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    pub(super) address: Option<u32>,
    /// Of a user, key or principal.
    pub(super) credential: Option<u32>,
}

impl Thresholds {
    /// As a count.
    fn full(self, kind: Kind) -> Option<u32> {
        let threshold = match kind {
            Kind::Address => self.address,
            Kind::User | Kind::Key | Kind::Principal => self.credential,
        };
        threshold.map(|failures| failures.min(MOST) * ONE)
    }
}

/// A table of failure counts.
///
/// Its place in the table comes from a keyed hash, so that nobody can aim at another's. Where all places are taken, the count that says
/// least gives way: so who would be forgotten has to have others fail as often as himself, once for each place that he may have, and
/// cannot know who has these.
pub(super) struct Slots {
    // All zeros at first, so that memory is taken as it is used.
    slots: Vec<[u64; 3]>,
    hasher: RandomState,
    thresholds: Thresholds,
    half_life: Duration,
}

/// A place in the table, as it is worked with.
#[derive(Clone, Copy)]
struct Slot {
    subject: Subject,
    /// As of `time`.
    count: u32,
    time: u32,
    flags: u32,
}

impl Slots {
    /// A table for at least `capacity` subjects. Counts halve in each `half_life`.
    pub(super) fn new(capacity: usize, thresholds: Thresholds, half_life: Duration) -> Self {
        Self {
            slots: vec![[0; 3]; capacity.next_multiple_of(WAYS)],
            hasher: RandomState::new(),
            thresholds,
            half_life,
        }
    }

    /// Bytes that it takes at most, which is when all of it has been used.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// How many places it has.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Counts a failure of `subject`; whether it is locked out by that.
    pub(super) fn count(&mut self, subject: Subject, now: Duration) -> bool {
        let Some(full) = self.thresholds.full(subject.kind) else {
            return false;
        };
        let mut locked = false;
        self.change(subject, now, |slot, time| {
            slot.see_to_lock(full, time);
            slot.count = slot.faded(time).saturating_add(ONE);
            slot.time = time;
            // Rounded: those of some moments ago count in full.
            if slot.count >= full - ONE / 2 {
                // No more than that: a lock-out ends one half-life after the last failure, however many were under way.
                slot.count = full;
                slot.flags |= LOCKED;
                locked = true;
            }
        });
        locked
    }

    /// Notes that `subject` was admitted.
    pub(super) fn note_good(&mut self, subject: Subject, now: Duration) {
        if !self.is_good(subject) {
            self.change(subject, now, |slot, _| slot.flags |= GOOD);
        }
    }

    /// Whether `subject` was admitted once, as far as is remembered.
    pub(super) fn is_good(&self, subject: Subject) -> bool {
        self.find(subject)
            .is_some_and(|slot| slot.flags & GOOD != 0)
    }

    /// How much longer `subject` is locked out.
    pub(super) fn locked(&self, subject: Subject, now: Duration) -> Option<Duration> {
        self.left(&self.find(subject)?, now)
    }

    /// The same, but once for each lock-out.
    pub(super) fn announce(&mut self, subject: Subject, now: Duration) -> Option<Duration> {
        let slot = self.find(subject)?;
        let left = self.left(&slot, now)?;
        if slot.flags & ANNOUNCED != 0 {
            return None;
        }
        self.change(subject, now, |slot, _| slot.flags |= ANNOUNCED);
        Some(left)
    }

    /// Forgets the failures of those in `places` whom `is_meant` picks; how many of them were locked out.
    pub(super) fn forgive(
        &mut self,
        places: Range<usize>,
        now: Duration,
        is_meant: impl Fn(Subject) -> bool,
    ) -> usize {
        let mut locked = 0;
        for at in places {
            let Some(slot) = self.slots.get(at).map(|words| Slot::unpack(*words)) else {
                break;
            };
            if slot.is_free() || !is_meant(slot.subject) {
                continue;
            }
            locked += usize::from(self.left(&slot, now).is_some());
            let forgiven = Slot {
                count: 0,
                flags: slot.flags & GOOD,
                ..slot
            };
            if let Some(words) = self.slots.get_mut(at) {
                *words = forgiven.pack();
            }
        }
        locked
    }

    /// Those in `places` who are locked out, and how much longer.
    pub(super) fn all_locked(
        &self,
        places: Range<usize>,
        now: Duration,
    ) -> impl Iterator<Item = (Subject, Duration)> {
        let slots = self.slots.iter().skip(places.start).take(places.len());
        slots.filter_map(move |words| {
            let slot = Slot::unpack(*words);
            Some((slot.subject, self.left(&slot, now)?))
        })
    }

    /// How much longer the subject of `slot` is locked out: until half of its threshold is left.
    fn left(&self, slot: &Slot, now: Duration) -> Option<Duration> {
        let time = self.step(now);
        let full = self.thresholds.full(slot.subject.kind)?;
        if !slot.is_locked(full, time) {
            return None;
        }
        let half_lives = (2.0 * slot.faded(time) as f32 / full as f32).log2();
        Some(self.half_life.mul_f32(half_lives.max(0.0)))
    }

    /// The table's clock. It wraps around, after a year at least: who was locked out then, and was not seen since, may be locked out for a
    /// half-life once more.
    fn step(&self, now: Duration) -> u32 {
        let step = (self.half_life.as_nanos() / u128::from(STEPS)).max(1);
        (now.as_nanos() / step) as u32
    }

    /// The places that `subject` may have.
    fn places(&self, subject: Subject) -> Range<usize> {
        let hash = match subject.kind {
            Kind::Address => self.hasher.hash_one(subject.words),
            // A keyed hash already.
            Kind::User | Kind::Key | Kind::Principal => subject.words[1],
        };
        let sets = (self.slots.len() / WAYS) as u128;
        let home = ((u128::from(hash) * sets) >> 64) as usize * WAYS;
        home..home + WAYS
    }

    fn find(&self, subject: Subject) -> Option<Slot> {
        let places = self.slots.get(self.places(subject))?.iter();
        places
            .map(|words| Slot::unpack(*words))
            .find(|slot| slot.is_of(subject))
    }

    /// Changes the place of `subject`, which it gets if it has none.
    fn change(&mut self, subject: Subject, now: Duration, change: impl FnOnce(&mut Slot, u32)) {
        let time = self.step(now);
        let (places, thresholds) = (self.places(subject), self.thresholds);
        let Some(places) = self.slots.get_mut(places) else {
            return;
        };
        let found = places
            .iter()
            .position(|words| Slot::unpack(*words).is_of(subject));
        let at = found.or_else(|| {
            let weights = places
                .iter()
                .map(|words| Slot::unpack(*words).weight(thresholds, time));
            let least = weights.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
            least.map(|(at, _)| at)
        });
        let Some(place) = at.and_then(|at| places.get_mut(at)) else {
            return;
        };
        let mut slot = match found {
            Some(_) => Slot::unpack(*place),
            None => Slot {
                subject,
                count: 0,
                time,
                flags: 0,
            },
        };
        change(&mut slot, time);
        *place = slot.pack();
    }
}

impl Slot {
    fn unpack([first, second, rest]: [u64; 3]) -> Self {
        let low = rest as u32;
        Self {
            subject: Subject {
                kind: match low >> 26 & 3 {
                    0 => Kind::Address,
                    1 => Kind::User,
                    2 => Kind::Key,
                    _ => Kind::Principal,
                },
                words: [first, second],
            },
            count: low & COUNT,
            time: (rest >> 32) as u32,
            flags: low & (LOCKED | ANNOUNCED | GOOD),
        }
    }

    fn pack(self) -> [u64; 3] {
        let [first, second] = self.subject.words;
        let low = self.count.min(COUNT) | (self.subject.kind as u32) << 26 | self.flags;
        [first, second, u64::from(self.time) << 32 | u64::from(low)]
    }

    fn is_free(&self) -> bool {
        self.count == 0 && self.flags & GOOD == 0
    }

    fn is_of(&self, subject: Subject) -> bool {
        self.subject == subject && !self.is_free()
    }

    /// The count as of `time`.
    fn faded(&self, time: u32) -> u32 {
        let steps = time.wrapping_sub(self.time);
        if steps == 0 {
            return self.count;
        }
        (self.count as f32 * (-(steps as f32) / STEPS as f32).exp2()).round() as u32
    }

    fn is_locked(&self, full: u32, time: u32) -> bool {
        self.flags & LOCKED != 0 && self.faded(time).saturating_mul(2) > full
    }

    /// Ends a lock-out whose time is over.
    fn see_to_lock(&mut self, full: u32, time: u32) {
        if !self.is_locked(full, time) {
            self.flags &= !(LOCKED | ANNOUNCED);
        }
    }

    /// How much would be lost with it, in thresholds.
    fn weight(&self, thresholds: Thresholds, time: u32) -> f32 {
        if self.is_free() {
            return -1.0;
        }
        let good = match self.flags & GOOD {
            0 => 0.0,
            _ => GOOD_WEIGHT,
        };
        let Some(full) = thresholds.full(self.subject.kind) else {
            return good;
        };
        let locked = if self.is_locked(full, time) { 1.0 } else { 0.0 };
        let count = self.faded(time) as f32 / full as f32;
        locked + count.max(good)
    }
}

#[cfg(test)]
mod tests {
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
}
