//! Moments as people and logs read them: RFC 3339, always UTC.

use std::time::{Duration, SystemTime};

use lychgate_oidc::Timestamp;

/// To the second: `2026-11-21T01:35:19Z`.
///
/// Four digits hold the years 0 to 9999; a moment outside them is written as the nearest one inside.
pub(crate) fn seconds(moment: Timestamp) -> String {
    let (year, month, day, hour, minute, second) = civil(moment.seconds());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// To the millisecond: `2026-11-21T01:35:19.042Z`.
pub(crate) fn milliseconds(moment: SystemTime) -> String {
    let since_epoch = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (year, month, day, hour, minute, second) =
        civil(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    let milliseconds = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// For a page: `2026-11-21 01:35:19 UTC`.
pub(crate) fn in_words(moment: Timestamp) -> String {
    seconds(moment).replace('T', " ").replace('Z', " UTC")
}

/// Year, month, day, hour, minute and second in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of a year, and in eras of 400, after
/// which the calendar repeats.
fn civil(seconds: i64) -> (i64, i64, i64, i64, i64, i64) {
    const FIRST: i64 = -62_167_219_200; // 0000-01-01T00:00:00Z
    const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    let seconds = seconds.clamp(FIRST, LAST);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // From 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of `date --utc --date=@…`.
    #[test]
    fn moments_are_written_in_the_gregorian_calendar() {
        for (moment, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_224_919, "2026-11-21T01:35:19Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(seconds(Timestamp::new(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn a_log_has_milliseconds_and_a_page_has_words() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);

        assert_eq!(milliseconds(moment), "1970-01-01T00:00:01.500Z");
        assert_eq!(in_words(Timestamp::new(1)), "1970-01-01 00:00:01 UTC");
    }
}
