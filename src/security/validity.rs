//! The life of a certificate: from when to when it admits, as three of its metadata values say.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The metadata values that count here.
const NOT_BEFORE: &str = "not-before";
const NOT_AFTER: &str = "not-after";
const DISABLED: &str = "disabled";
pub(crate) const NAMES: [&str; 3] = [NOT_BEFORE, NOT_AFTER, DISABLED];

/// From when to when a certificate admits its owner; without dates, always.
///
/// In a certificate's file it is metadata like any other, which CZMQ and pyzmq read and make nothing of:
///
/// ```text
/// metadata
///     not-before = "2027-01-31T12:00:00Z"
///     not-after = "2028-01-31T12:00:00Z"
///     disabled = "false"
/// ```
///
/// Dates are those of RFC 3339 in UTC, with a `Z` (or `+00:00`), in the years 1970 to 9999; `disabled` is `true` or `false`. A file or line
/// in which they are anything else admits nobody and is reported, and so is one in which they stand twice, outside of the section `metadata`, or
/// under a name such as `Not_After`.
///
/// It counts where a policy admits by a store; nobody is kept from using keys of his own. Of several files with one key, that one decides
/// which gives the metadata.
///
/// The first moment of a life is `not-before`, and `not-after` is the first moment behind it. Whoever is connected when it passes is put
/// out. Whoever comes too early is refused; the next handshake after `not-before` is admitted, so have the policy refuse by
/// [`Refusal::Retry`](super::Refusal::Retry) if clients are to come back by themselves. Clocks differ:
/// [`AuthenticatorBuilder::clock_skew`](super::AuthenticatorBuilder::clock_skew).
///
/// ```
/// # fn main() -> ironhouse::Result<()> {
/// use ironhouse::security::{SecretCertificate, Validity};
/// use std::time::{Duration, SystemTime};
///
/// let now = SystemTime::now();
/// let year = Validity::new().with_not_before(now).with_not_after(now + Duration::from_secs(365 * 86_400));
/// let certificate = SecretCertificate::generate()?.with_validity(year)?;
/// assert_eq!(certificate.certificate().validity(), year);
/// assert!(certificate.certificate().meta("not-after").is_some());
/// # Ok(())
/// # }
/// ```
///
/// Source: RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Validity {
    not_before: Option<SystemTime>,
    not_after: Option<SystemTime>,
    disabled: bool,
}

/// Why the life of a certificate cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidityProblem {
    /// Not a date and time.
    #[error(
        "`{0}` is no date and time of the years 1970 to 9999: write it in UTC, as 2027-01-31T12:00:00Z"
    )]
    Date(&'static str),
    /// A date and time without a zone: it could be that of any place.
    #[error("`{0}` has no time zone: write it in UTC, with a Z behind, as 2027-01-31T12:00:00Z")]
    NoZone(&'static str),
    /// A date and time of another zone.
    #[error("`{0}` is in another time zone: write it in UTC, as 2027-01-31T12:00:00Z")]
    OtherZone(&'static str),
    /// The end is not behind the start.
    #[error("`not-after` is no later than `not-before`, so nobody is ever admitted: correct one")]
    Reversed,
    /// Neither of the two words.
    #[error("`disabled` is neither `true` nor `false`: write one of them, or leave it out")]
    Disabled,
    /// Somewhere else in the file than it counts.
    #[error("`{0}` counts below `metadata` alone, one level deeper: move it there")]
    Misplaced(&'static str),
    /// A name that differs from one that counts in its case or by its hyphen.
    #[error("written so it would not count: write `{0}`, or choose quite another name")]
    Misspelt(&'static str),
}

impl Validity {
    /// Always.
    pub const fn new() -> Self {
        Self {
            not_before: None,
            not_after: None,
            disabled: false,
        }
    }

    /// From `time` on.
    pub const fn with_not_before(mut self, time: SystemTime) -> Self {
        self.not_before = Some(time);
        self
    }

    /// Until `time`, which is the first moment at which it is over.
    pub const fn with_not_after(mut self, time: SystemTime) -> Self {
        self.not_after = Some(time);
        self
    }

    /// Not at all, whatever the dates say, if `disabled`.
    pub const fn with_disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// When it begins; `None` if it always has been.
    pub const fn not_before(&self) -> Option<SystemTime> {
        self.not_before
    }

    /// When it is over; `None` if it never is.
    pub const fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// Whether it is switched off.
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether it admits at `time`, by that clock alone.
    pub fn admits_at(&self, time: SystemTime) -> bool {
        !self.disabled
            && self.not_before.is_none_or(|start| start <= time)
            && self.not_after.is_none_or(|end| time < end)
    }

    /// Takes over a certificate's metadata value, if it is one of those that count.
    pub(crate) fn read(&mut self, name: &str, value: &str) -> Result<(), ValidityProblem> {
        match NAMES.into_iter().find(|ours| is_like(name, ours)) {
            None => Ok(()),
            Some(ours) if ours == name => self.take(name, value),
            Some(ours) => Err(ValidityProblem::Misspelt(ours)),
        }
    }

    /// The name, if it is one of those that count.
    pub(crate) fn name(name: &str) -> Option<&'static str> {
        NAMES.into_iter().find(|ours| *ours == name)
    }

    /// What the metadata of a certificate say, which have been [read](Self::read) before.
    pub(crate) fn of<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut validity = Self::new();
        let mut sound = true;
        for (name, value) in metadata {
            sound &= validity.take(name, value).is_ok();
        }
        // What cannot be told admits nobody.
        validity.disabled |= !sound;
        validity
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ValidityProblem> {
        match name {
            NOT_BEFORE => self.not_before = Some(date(NOT_BEFORE, value)?),
            NOT_AFTER => self.not_after = Some(date(NOT_AFTER, value)?),
            DISABLED => {
                self.disabled = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(ValidityProblem::Disabled),
                }
            }
            _ => return Ok(()),
        }
        match (self.not_before, self.not_after) {
            (Some(start), Some(end)) if start >= end => Err(ValidityProblem::Reversed),
            _ => Ok(()),
        }
    }

    /// The metadata values that say so: names and values.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&'static str, String)> {
        let date = |time: SystemTime| Date(time).to_string();
        let disabled = self.disabled.then(|| "true".to_owned());
        NAMES
            .into_iter()
            .zip([
                self.not_before.map(date),
                self.not_after.map(date),
                disabled,
            ])
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Such as `from 2027-01-31T12:00:00Z until 2028-01-31T12:00:00Z`; `always`; `disabled`.
impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.not_before, self.not_after) {
            _ if self.disabled => f.write_str("disabled"),
            (None, None) => f.write_str("always"),
            (Some(start), None) => write!(f, "from {}", Date(start)),
            (None, Some(end)) => write!(f, "until {}", Date(end)),
            (Some(start), Some(end)) => write!(f, "from {} until {}", Date(start), Date(end)),
        }
    }
}

/// Whether people would take one name for the other.
fn is_like(name: &str, other: &str) -> bool {
    let letters = |text| {
        str::bytes(text)
            .filter(u8::is_ascii_alphanumeric)
            .map(|byte| byte.to_ascii_lowercase())
    };
    letters(name).eq(letters(other))
}

fn date(name: &'static str, value: &str) -> Result<SystemTime, ValidityProblem> {
    parse(value).ok_or_else(|| {
        let zoned = |time: &str| parse(&format!("{time}Z")).is_some();
        match value.rsplit_once(['+', '-']) {
            _ if zoned(value) => ValidityProblem::NoZone(name),
            Some((time, zone)) if zone.len() == 5 && zoned(time) => {
                ValidityProblem::OtherZone(name)
            }
            _ => ValidityProblem::Date(name),
        }
    })
}

/// Reads a date and time in UTC.
pub(crate) fn parse(value: &str) -> Option<SystemTime> {
    // The crate takes some other things too between the seconds and a Z at the end.
    let tail = value.get("2027-01-31T12:00:00".len()..)?;
    let zone = match tail.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => tail,
    };
    matches!(zone, "Z" | "+00:00").then_some(())?;
    humantime::parse_rfc3339(value).ok()
}

/// The last second that RFC 3339 can name, counted from 1970.
pub(crate) const LAST: u64 = 253_402_300_799;

/// A time as people and files write it: RFC 3339 in UTC.
pub(crate) struct Date(pub(crate) SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The crate can write no other times.
        match self.0.duration_since(UNIX_EPOCH) {
            Err(_) => f.write_str("before 1970"),
            Ok(since) if since.as_secs() > LAST => f.write_str("after 9999"),
            Ok(_) => humantime::format_rfc3339(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Validity, ValidityProblem> {
        let mut validity = Validity::new();
        for (name, value) in pairs {
            validity.read(name, value)?;
        }
        assert_eq!(Validity::of(pairs.iter().copied()), validity);
        Ok(validity)
    }

    #[test]
    fn dates_and_words_are_read() {
        let start = Validity::new().with_not_before(at(1_000_000_000));
        let both = start.with_not_after(at(1_000_000_001));
        for (pairs, wanted, shown) in [
            (&[][..], Validity::new(), "always"),
            (
                &[("name", "not-after"), ("after", "x"), ("disabled.by", "x")],
                Validity::new(),
                "always",
            ),
            (
                &[("not-before", "2001-09-09T01:46:40Z")],
                start,
                "from 2001-09-09T01:46:40Z",
            ),
            (
                &[("not-before", "2001-09-09T01:46:40.000+00:00")],
                start,
                "from 2001-09-09T01:46:40Z",
            ),
            (
                &[
                    ("not-after", "2001-09-09T01:46:41Z"),
                    ("disabled", "false"),
                    ("not-before", "2001-09-09T01:46:40Z"),
                ],
                both,
                "from 2001-09-09T01:46:40Z until 2001-09-09T01:46:41Z",
            ),
            (
                &[("not-after", "1970-01-01T00:00:00.5Z")],
                Validity::new().with_not_after(UNIX_EPOCH + Duration::from_millis(500)),
                "until 1970-01-01T00:00:00.500000000Z",
            ),
            (
                &[("disabled", "true")],
                Validity::new().with_disabled(true),
                "disabled",
            ),
        ] {
            let validity = read(pairs).unwrap();
            assert_eq!(validity, wanted, "{pairs:?}");
            assert_eq!(validity.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_date_in_utc_is_refused_with_the_way_to_write_it() {
        use ValidityProblem::{Date, NoZone, OtherZone};
        for (value, problem) in [
            ("2027-01-31T12:00:00", NoZone("not-after")),
            ("2027-01-31T12:00:00.25", NoZone("not-after")),
            ("2027-01-31T12:00:00+01:00", OtherZone("not-after")),
            ("2027-01-31T12:00:00.5-11:30", OtherZone("not-after")),
            ("2027-01-31T12:00:00-00:00", OtherZone("not-after")),
            ("", Date("not-after")),
            ("never", Date("not-after")),
            ("2027-01-31", Date("not-after")),
            ("2027-01-31Z", Date("not-after")),
            ("2027-01-31 12:00:00Z", Date("not-after")),
            ("2027-01-31t12:00:00z", Date("not-after")),
            ("2027-1-31T12:00:00Z", Date("not-after")),
            ("2027-01-31T12:00Z", Date("not-after")),
            (" 2027-01-31T12:00:00Z", Date("not-after")),
            ("2027-01-31T12:00:00Z ", Date("not-after")),
            ("2027-01-31T12:00:00ZZ", Date("not-after")),
            ("2027-01-31T12:00:00Z+09Z", Date("not-after")),
            ("2027-01-31T12:00:00.Z", Date("not-after")),
            ("2027-01-31T12:00:00Z+00:00", Date("not-after")),
            ("2027-02-29T12:00:00Z", Date("not-after")),
            ("2027-04-31T12:00:00Z", Date("not-after")),
            ("2027-13-01T12:00:00Z", Date("not-after")),
            ("2027-01-31T24:00:00Z", Date("not-after")),
            ("1969-12-31T23:59:59Z", Date("not-after")),
            ("99999-12-31T23:59:59Z", Date("not-after")),
            ("+2027-01-31T12:00:00Z", Date("not-after")),
            ("２０２７-01-31T12:00:00Z", Date("not-after")),
            ("1801396800", Date("not-after")),
        ] {
            assert_eq!(read(&[("not-after", value)]), Err(problem), "{value:?}");
            assert!(problem.to_string().contains("2027-01-31T12:00:00Z"));
        }
        for value in ["", "yes", "1", "True", "true "] {
            assert_eq!(
                read(&[("disabled", value)]),
                Err(ValidityProblem::Disabled),
                "{value:?}"
            );
        }
    }

    #[test]
    fn an_end_that_is_not_behind_the_start_is_refused_in_either_order() {
        for (start, end) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T11:59:59.999Z"),
        ] {
            for pairs in [
                [("not-before", start), ("not-after", end)],
                [("not-after", end), ("not-before", start)],
            ] {
                assert_eq!(read(&pairs), Err(ValidityProblem::Reversed));
            }
        }
    }

    #[test]
    fn a_name_that_would_be_taken_for_one_that_counts_is_refused() {
        for (name, meant) in [
            ("Not-After", "not-after"),
            ("not_after", "not-after"),
            ("notafter", "not-after"),
            ("not.before", "not-before"),
            ("NotBefore", "not-before"),
            ("DISABLED", "disabled"),
        ] {
            let misspelt = Err(ValidityProblem::Misspelt(meant));
            assert_eq!(read(&[(name, "2027-01-31T12:00:00Z")]), misspelt, "{name}");
        }
    }

    #[test]
    fn the_start_belongs_to_a_life_and_the_end_does_not() {
        let life = Validity::new()
            .with_not_before(at(10))
            .with_not_after(at(20));
        let admits = |life: Validity| [9, 10, 19, 20].map(|time| life.admits_at(at(time)));
        assert_eq!(admits(life), [false, true, true, false]);
        assert_eq!(admits(Validity::new()), [true; 4]);
        assert_eq!(admits(life.with_disabled(true)), [false; 4]);
    }

    #[test]
    fn what_was_not_read_before_admits_nobody() {
        for pairs in [
            &[("not-after", "tomorrow")][..],
            &[("not-after", "tomorrow"), ("disabled", "false")],
            &[("disabled", "no")],
            &[
                ("not-before", "2027-01-31T12:00:00Z"),
                ("not-after", "2026-01-31T12:00:00Z"),
            ],
        ] {
            assert!(Validity::of(pairs.iter().copied()).is_disabled());
        }
    }

    #[test]
    fn times_that_no_file_can_hold_are_shown_all_the_same() {
        let early = UNIX_EPOCH - Duration::from_secs(1);
        let late = at(253_402_300_800);
        let shown = [early, UNIX_EPOCH, late - Duration::from_secs(1), late];
        let shown = shown.map(|time| Date(time).to_string());
        assert_eq!(shown[0], "before 1970");
        assert_eq!(shown[1], "1970-01-01T00:00:00Z");
        assert_eq!(shown[2], "9999-12-31T23:59:59Z");
        assert_eq!(shown[3], "after 9999");
        for text in [&shown[0], &shown[3]] {
            let refused = Err(ValidityProblem::Date("not-after"));
            assert_eq!(read(&[("not-after", text)]), refused);
        }
    }

    proptest! {
        #[test]
        fn any_life_survives_its_metadata(
            start in prop::option::of((0u64..253_402_300_799, 0u32..1_000_000_000)),
            length in prop::option::of(1u64..10_000_000_000),
            disabled: bool,
        ) {
            let start = start.map(|(s, n)| UNIX_EPOCH + Duration::new(s, n));
            let last = at(253_402_300_799);
            let end = length.map(|l| (start.unwrap_or(UNIX_EPOCH) + Duration::from_secs(l)).min(last));
            prop_assume!(start.zip(end).is_none_or(|(start, end)| start < end));
            let life = Validity { not_before: start, not_after: end, disabled };
            let metadata: Vec<_> = life.metadata().collect();
            let pairs: Vec<_> = metadata.iter().map(|(n, v)| (*n, v.as_str())).collect();
            prop_assert_eq!(read(&pairs), Ok(life));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(
            text in "\\PC{0,40}|[0-9TZ:.+-]{18,40}|20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?(Z|[+-][0-9:]{4,5})?"
        ) {
            for name in NAMES {
                if read(&[(name, &text)]).is_ok() && name != DISABLED {
                    let zone = text.trim_start_matches(|c: char| c.is_ascii_digit() || "-T:.".contains(c));
                    prop_assert!(zone == "Z" || zone == "+00:00", "{}", text);
                }
            }
        }
    }
}
