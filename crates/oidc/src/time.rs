//! A moment, given by whoever has a clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in whole seconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// This is the `NumericDate` of RFC 7519 §2, cut to the second. Arithmetic stops at the ends of
/// the range instead of wrapping: a hostile number can make a moment very far away, and never
/// bring it round to the other side.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `seconds` after the epoch; before it if negative.
    #[must_use]
    pub const fn new(seconds: i64) -> Self {
        Self(seconds)
    }

    /// The moment `seconds` into a day of the Gregorian calendar.
    pub(crate) const fn of_date(year: i64, month: i64, day: i64, seconds: i64) -> Self {
        // Years begin in March here, so that the odd day comes last. Eras have 400 years and 146 097 days.
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        // From 0000-03-01 to 1970-01-01.
        let days = era * 146_097 + day_of_era - 719_468;
        Self(days * 86_400 + seconds)
    }

    /// The moment as RFC 3339 writes it, to the second and in UTC: `2030-01-01T09:00:00Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let shifted = days.saturating_add(719_468);
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This moment and `duration` (whole seconds of it) later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(duration.as_secs()))
    }

    /// `duration` (whole seconds of it) before this moment.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(duration.as_secs()))
    }

    /// How long this moment is after `earlier`; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        Duration::from_secs(self.0.abs_diff(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_between_moments_is_never_negative() {
        let earlier = Timestamp::new(100);
        let later = Timestamp::new(160);

        assert_eq!(later.since(earlier), Duration::from_secs(60));
        assert_eq!(earlier.since(later), Duration::ZERO);
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (date, seconds, text) in [
            ((1970, 1, 1), 0, "1970-01-01T00:00:00Z"),
            ((2000, 2, 29), 951_782_400, "2000-02-29T00:00:00Z"),
            ((2030, 1, 1), 1_893_456_000, "2030-01-01T00:00:00Z"),
            ((2100, 3, 1), 4_107_542_400, "2100-03-01T00:00:00Z"),
            ((9999, 12, 31), 253_402_214_400, "9999-12-31T00:00:00Z"),
        ] {
            let (year, month, day) = date;
            let moment = Timestamp::of_date(year, month, day, 0);
            assert_eq!(moment, Timestamp::new(seconds), "{text}");
            assert_eq!(moment.rfc3339(), text);
        }
        assert_eq!(Timestamp::new(1_893_488_461).rfc3339(), "2030-01-01T09:01:01Z");
    }

    /// R25.
    #[test]
    fn arithmetic_stops_at_the_ends_of_time() {
        let last = Timestamp::new(i64::MAX);
        let first = Timestamp::new(i64::MIN);

        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(first.minus(Duration::MAX), first);
        assert_eq!(last.since(first), Duration::from_secs(u64::MAX));
    }
}
