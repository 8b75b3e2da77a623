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
mod tests;
