//! Times as files write them: RFC 3339, in UTC, to the second.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

/// A time to be shown.
pub(crate) struct Date(pub(crate) SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = match self.0.duration_since(UNIX_EPOCH) {
            Err(_) => return f.write_str("before 1970"),
            Ok(since) if since.as_secs() > LAST => return f.write_str("after 9999"),
            Ok(since) => since.as_secs(),
        };
        let (mut year, mut month, mut day) = (1970, 1, seconds / DAY);
        while day >= days_of_year(year) {
            day -= days_of_year(year);
            year += 1;
        }
        while day >= days_of_month(year, month) {
            day -= days_of_month(year, month);
            month += 1;
        }
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
            day + 1
        )
    }
}

/// Reads what [`Date`] shows, of the years 1970 to 9999.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let years = (1970..year).map(days_of_year).sum::<u64>();
    let months = (1..month)
        .map(|month| days_of_month(year, month))
        .sum::<u64>();
    let days = years + months + day.checked_sub(1)?;
    let seconds = days * DAY + hour * 3600 + minute * 60 + second;
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    // Nothing but a date that exists is written so.
    (Date(time).to_string() == text).then_some(time)
}

const fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

const fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Date(time).to_string(), text);
            assert_eq!(parse(text), Some(time));
        }
        let late = UNIX_EPOCH + Duration::from_secs(LAST + 1);
        assert_eq!(Date(late).to_string(), "after 9999");
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Date(early).to_string(), "before 1970");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "before 1970",
            "after 9999",
            "2001-09-09",
            "2001-09-09T01:46:40",
            "2001-09-09T01:46:40+00:00",
            "2001-09-09t01:46:40z",
            "2001-09-09 01:46:40Z",
            "2001-09-09T01:46:60Z",
            "2001-09-09T24:00:00Z",
            "2001-02-29T00:00:00Z",
            "2001-00-09T00:00:00Z",
            "2001-13-09T00:00:00Z",
            "2001-09-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "+001-09-09T01:46:40Z",
            "2001-09-09T01:46:40ZZ",
            "２００１-09-09T01:46:40Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_survives_its_text(seconds in 0..=LAST) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(parse(&Date(time).to_string()), Some(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,24}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z") {
            if let Some(time) = parse(&text) {
                prop_assert_eq!(Date(time).to_string(), text);
            }
        }
    }
}
