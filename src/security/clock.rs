//! The time by which certificates are judged: the system's clock, which anybody may set, beside one that only goes forward.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::audit::{Audit, AuditEvent, Reason};
use super::validity::Validity;

/// By how much clocks may differ, unless the program says otherwise.
pub(crate) const SKEW: Duration = Duration::from_secs(60);

/// Least jump of the system's clock that is reported; smaller steps are how it is kept right.
const LEAST_JUMP: Duration = Duration::from_secs(2);

/// How long a wait for a date may last before the clock is looked at again: it may have been set, or the machine may have slept.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where the wall-clock time comes from, and the time of the clock that only goes forward.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> (SystemTime, Instant) + Send + Sync>);

impl Source {
    /// What `clock` shows is the wall-clock time.
    pub(crate) fn wall(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || (clock(), Instant::now())))
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::wall(SystemTime::now)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

/// The clock of an authenticator. A clock that is set back gives nobody a certificate back that had ended: what ends is judged by
/// the latest time that the clock has shown, and the time that went by since.
pub(crate) struct Clock {
    source: Source,
    skew: Duration,
    latest: Mutex<Latest>,
    audit: Arc<Audit>,
}

/// The latest time that the clock has shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latest {
    wall: SystemTime,
    at: Instant,
    /// How much less it showed than it should have when it was last reported to have jumped.
    behind: Duration,
}

/// One look at the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// What the clock shows.
    wall: SystemTime,
    /// What it would show if it had never been set back.
    late: SystemTime,
}

impl Clock {
    pub(crate) fn new(source: Source, skew: Duration, audit: Arc<Audit>) -> Self {
        let (wall, now) = (source.0)();
        let latest = Mutex::new(Latest::at(wall, now));
        Self {
            source,
            skew,
            latest,
            audit,
        }
    }

    /// Looks at the clock, and reports it if it has jumped.
    fn look(&self) -> Moment {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, now) = (self.source.0)();
        let jump = latest.see(wall, now, self.skew.max(LEAST_JUMP));
        let late = latest.wall;
        drop(latest);
        if let Some(expected) = jump {
            self.audit.emit(|| AuditEvent::ClockJumped {
                expected,
                found: wall,
            });
        }
        Moment { wall, late }
    }

    /// Believes the clock, whatever it has shown before.
    pub(crate) fn trust(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, now) = (self.source.0)();
        *latest = Latest::at(wall, now);
    }

    /// Whether `end` has passed, allowing for the skew.
    fn is_over(&self, end: SystemTime, moment: Moment) -> bool {
        // A sum beyond all times is never reached.
        end.checked_add(self.skew)
            .is_some_and(|end| end <= moment.late)
    }
}

impl Latest {
    pub(crate) fn new(wall: SystemTime) -> Self {
        Self::at(wall, Instant::now())
    }

    fn at(wall: SystemTime, at: Instant) -> Self {
        Self {
            wall,
            at,
            behind: Duration::ZERO,
        }
    }

    /// The clock shows `wall` now: what it would show if it had never been set back.
    pub(crate) fn late(&mut self, wall: SystemTime) -> SystemTime {
        self.see(wall, Instant::now(), Duration::MAX);
        self.wall
    }

    /// The clock shows `wall` at `now`. If it has jumped by `least` or more, the answer is what it should have shown.
    fn see(&mut self, wall: SystemTime, now: Instant, least: Duration) -> Option<SystemTime> {
        let passed = now.saturating_duration_since(self.at);
        let late = self.wall.checked_add(passed).unwrap_or(self.wall);
        let behind = late.duration_since(wall).unwrap_or_default();
        let ahead = wall.duration_since(late).unwrap_or_default();
        let jumped = ahead + self.behind.abs_diff(behind) >= least;
        let expected = late.checked_sub(self.behind).unwrap_or(late);
        self.wall = late.max(wall);
        self.at = now;
        if jumped {
            self.behind = behind;
        }
        jumped.then_some(expected)
    }
}

/// The clock as one decision sees it: looked at when the first certificate with dates asks for it, and then the same for all others.
pub(crate) struct Reading<'a> {
    clock: &'a Clock,
    moment: Option<Moment>,
    /// Whether those judged were admitted before.
    inside: bool,
    next_end: Option<SystemTime>,
}

impl<'a> Reading<'a> {
    /// For those who want to be admitted.
    pub(crate) fn new(clock: &'a Clock) -> Self {
        Self {
            clock,
            moment: None,
            inside: false,
            next_end: None,
        }
    }

    /// The same; the clock was looked at a moment ago.
    pub(crate) fn at(clock: &'a Clock, moment: Option<Moment>) -> Self {
        Self {
            moment,
            ..Self::new(clock)
        }
    }

    /// For those who are in. Their certificates had begun: a clock that is set back does not put them out.
    pub(crate) fn of_those_inside(clock: &'a Clock) -> Self {
        Self {
            inside: true,
            ..Self::new(clock)
        }
    }

    /// Whether a certificate of this life admits now.
    pub(crate) fn admits(&mut self, life: &Validity) -> Result<(), Reason> {
        if life.is_disabled() {
            return Err(Reason::Disabled);
        }
        if (life.not_before(), life.not_after()) == (None, None) {
            return Ok(());
        }
        let moment = *self.moment.get_or_insert_with(|| self.clock.look());
        if life
            .not_after()
            .is_some_and(|end| self.clock.is_over(end, moment))
        {
            return Err(Reason::Expired);
        }
        let now = if self.inside {
            moment.late
        } else {
            moment.wall
        };
        // A sum beyond all times is behind each of them.
        let now = now.checked_add(self.clock.skew);
        if life
            .not_before()
            .is_some_and(|start| now.is_some_and(|now| now < start))
        {
            return Err(Reason::NotYetValid);
        }
        self.next_end = self.next_end.into_iter().chain(life.not_after()).min();
        Ok(())
    }

    /// What it showed, if it was looked at.
    pub(crate) fn moment(&self) -> Option<Moment> {
        self.moment
    }

    /// The first end among the certificates that were found to admit.
    pub(crate) fn next_end(&self) -> Option<SystemTime> {
        self.next_end
    }

    /// What the clock shows, and what is allowed for; for an explanation.
    pub(crate) fn shown(&mut self) -> (SystemTime, Duration) {
        let moment = self.moment.get_or_insert_with(|| self.clock.look());
        (moment.wall, self.clock.skew)
    }
}

/// Wakes when the first certificate ends of those by which somebody is in.
pub(crate) struct NextEnd {
    end: Option<SystemTime>,
    look: Instant,
}

impl NextEnd {
    pub(crate) fn none() -> Self {
        Self {
            end: None,
            look: Instant::now(),
        }
    }

    /// Somebody is in until `end`.
    pub(crate) fn add(&mut self, end: Option<SystemTime>) {
        if let Some(end) = end {
            if self.end.is_none_or(|known| end < known) {
                self.end = Some(end);
                self.look = Instant::now();
            }
        }
    }

    /// When to ask [`has_come`](Self::has_come).
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.end.map(|_| self.look)
    }

    /// Whether it has passed; then it is forgotten.
    pub(crate) fn has_come(&mut self, now: Instant, clock: &Clock) -> bool {
        let Some(end) = self.end.filter(|_| now >= self.look) else {
            return false;
        };
        let moment = clock.look();
        if clock.is_over(end, moment) {
            self.end = None;
            return true;
        }
        let left = end.checked_add(clock.skew);
        let left = left.and_then(|end| end.duration_since(moment.late).ok());
        self.look = now + left.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    fn noon() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY + 12 * HOUR
    }

    /// A clock that shows what it is set to, while no time goes by.
    struct Bench {
        clock: Clock,
        shown: Arc<Mutex<SystemTime>>,
        events: super::super::audit::AuditEvents,
    }

    impl Bench {
        fn new(skew: Duration) -> Self {
            let shown = Arc::new(Mutex::new(noon()));
            let audit = Arc::new(Audit::new());
            let events = audit.subscribe();
            let source = shown.clone();
            let start = Instant::now();
            let source = Source(Arc::new(move || (*source.lock().unwrap(), start)));
            Self {
                clock: Clock::new(source, skew, audit),
                shown,
                events,
            }
        }

        fn set(&self, time: SystemTime) {
            *self.shown.lock().unwrap() = time;
        }

        fn admits(&self, life: Validity) -> Result<(), Reason> {
            Reading::new(&self.clock).admits(&life)
        }

        fn keeps(&self, life: Validity) -> Result<(), Reason> {
            Reading::of_those_inside(&self.clock).admits(&life)
        }

        /// Whether the last look was reported as a jump, and by how much.
        fn jump(&self) -> Option<i64> {
            let event = self.events.next(Some(Duration::ZERO))?;
            let AuditEvent::ClockJumped { expected, found } = event else {
                panic!("{event}");
            };
            let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            Some((seconds(found) - seconds(expected)).round() as i64)
        }
    }

    #[test]
    fn both_ends_are_moved_in_favour_of_admission() {
        for skew in [Duration::ZERO, SECOND, 60 * SECOND] {
            let bench = Bench::new(skew);
            let later = |seconds: u64| noon() + HOUR + Duration::from_secs(seconds);
            let life = Validity::new()
                .with_not_before(noon() + HOUR)
                .with_not_after(later(1000));
            for (time, wanted) in [
                (later(0) - skew - SECOND / 1000, Err(Reason::NotYetValid)),
                (later(0) - skew, Ok(())),
                (later(1000) + skew - SECOND, Ok(())),
                (later(1000) + skew, Err(Reason::Expired)),
            ] {
                bench.set(time);
                assert_eq!(bench.admits(life), wanted, "{skew:?} {time:?}");
                assert_eq!(bench.keeps(life), wanted);
                let disabled = life.with_disabled(true);
                assert_eq!(bench.admits(disabled), Err(Reason::Disabled));
            }
        }
    }

    #[test]
    fn clock_set_back_by_a_day_gives_no_ended_certificate_back_and_begins_none() {
        let bench = Bench::new(SKEW);
        let ended = Validity::new().with_not_after(noon() - HOUR);
        let ends_soon = Validity::new().with_not_after(noon() + HOUR);
        let begun = Validity::new().with_not_before(noon() - HOUR);
        for life in [ended, ends_soon, begun] {
            assert_eq!(bench.admits(life).is_ok(), life != ended);
        }
        assert_eq!(bench.jump(), None);
        bench.set(noon() - DAY);
        assert_eq!(bench.admits(ended), Err(Reason::Expired));
        assert_eq!(bench.jump(), Some(-86_400));
        assert_eq!(bench.admits(ends_soon), Ok(()));
        // Who knows whether it was set right now, or before.
        assert_eq!(bench.admits(begun), Err(Reason::NotYetValid));
        assert_eq!(bench.keeps(begun), Ok(()));
        assert_eq!(bench.jump(), None, "reported once");
        // And forward again: part of the way, all of it, and beyond.
        bench.set(noon() - HOUR);
        assert_eq!(bench.admits(ended), Err(Reason::Expired));
        assert_eq!(bench.jump(), Some(23 * 3600));
        bench.set(noon());
        assert_eq!(bench.admits(begun), Ok(()));
        assert_eq!(bench.jump(), Some(3600));
        bench.set(noon() + 2 * HOUR);
        assert_eq!(bench.admits(ends_soon), Err(Reason::Expired));
        assert_eq!(bench.jump(), Some(7200));
        bench.set(noon());
        assert_eq!(bench.admits(ends_soon), Err(Reason::Expired));
        assert_eq!(bench.jump(), Some(-7200));
        // Somebody has seen to it.
        bench.clock.trust();
        assert_eq!(bench.admits(ends_soon), Ok(()));
        assert_eq!(bench.jump(), None);
    }

    #[test]
    fn small_steps_are_not_reported() {
        let bench = Bench::new(Duration::ZERO);
        let life = Validity::new().with_not_after(noon() + DAY);
        for step in [SECOND, Duration::ZERO, SECOND, Duration::ZERO] {
            bench.set(noon() + step);
            assert_eq!(bench.admits(life), Ok(()));
            assert_eq!(bench.jump(), None);
        }
    }

    #[test]
    fn clock_is_not_looked_at_for_those_without_dates() {
        let never = Source(Arc::new(|| panic!("looked at")));
        let audit = Arc::new(Audit::new());
        let clock = Clock {
            latest: Mutex::new(Latest::new(noon())),
            source: never,
            skew: SKEW,
            audit,
        };
        let mut reading = Reading::new(&clock);
        assert_eq!(reading.admits(&Validity::new()), Ok(()));
        let disabled = Validity::new().with_disabled(true);
        assert_eq!(reading.admits(&disabled), Err(Reason::Disabled));
        assert_eq!(reading.next_end(), None);
    }

    #[test]
    fn all_of_one_reading_are_judged_by_one_look_and_the_first_end_is_known() {
        let bench = Bench::new(Duration::ZERO);
        let until = |seconds| Validity::new().with_not_after(noon() + Duration::from_secs(seconds));
        let mut reading = Reading::new(&bench.clock);
        assert_eq!(reading.admits(&until(20)), Ok(()));
        bench.set(noon() + HOUR);
        assert_eq!(reading.admits(&until(10)), Ok(()));
        assert_eq!(reading.admits(&until(30)), Ok(()));
        assert_eq!(reading.next_end(), Some(noon() + 10 * SECOND));
        assert_eq!(bench.admits(until(30)), Err(Reason::Expired));
    }

    #[test]
    fn next_end_comes_when_the_clock_says_so_and_is_looked_for_each_second() {
        let bench = Bench::new(SECOND);
        let mut next = NextEnd::none();
        let start = Instant::now();
        assert!(next.deadline().is_none() && !next.has_come(start, &bench.clock));
        next.add(None);
        next.add(Some(noon() + DAY));
        next.add(Some(noon() + HOUR));
        next.add(Some(noon() + DAY));
        let mut now = next.deadline().unwrap();
        assert!(!next.has_come(now, &bench.clock));
        assert_eq!(next.deadline().unwrap(), now + LOOK_AGAIN);
        bench.set(noon() + HOUR + SECOND / 2);
        now += LOOK_AGAIN / 2;
        assert!(!next.has_come(now, &bench.clock), "not looked at yet");
        now += LOOK_AGAIN / 2;
        assert!(!next.has_come(now, &bench.clock), "skew");
        let due = next.deadline().unwrap();
        assert!(due > now && due <= now + SECOND / 2);
        bench.set(noon() + HOUR + SECOND);
        assert!(next.has_come(due, &bench.clock));
        assert!(next.deadline().is_none());
    }

    proptest! {
        /// However the clock is set: what ended stays so, the time is never earlier than the clock's own, and whatever is
        /// more than small steps is reported.
        #[test]
        fn time_never_goes_back(
            skew in 0u64..100,
            steps in prop::collection::vec((0u64..100, -200i64..200), 1..40),
        ) {
            let least = Duration::from_secs(skew).max(LEAST_JUMP);
            let mut latest = Latest::new(noon());
            let start = latest.at;
            let (mut passed, mut offset) = (0, 0);
            for (step, jump) in steps {
                let before = latest.wall;
                passed += step;
                offset += jump;
                let shown = passed as i64 + offset;
                let wall = noon() + Duration::from_secs(1_000_000) - Duration::from_secs((1_000_000 - shown) as u64);
                let jumped = latest.see(wall, start + Duration::from_secs(passed), least);
                prop_assert!(latest.wall >= wall && latest.wall >= before + Duration::from_secs(step));
                prop_assert!(jumped.is_some() || jump.unsigned_abs() < 2 * least.as_secs());
                if let Some(expected) = jumped {
                    let by = expected.duration_since(wall).unwrap_or_else(|ahead| ahead.duration());
                    prop_assert!(by >= least);
                }
            }
        }
    }
}
