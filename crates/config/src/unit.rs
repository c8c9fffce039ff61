//! Durations and sizes with their units: `"90s"`, `"12h"`, `"32KiB"`.

use std::time::Duration;

/// Milliseconds in each unit, the longest first.
const DURATIONS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Bytes in each unit.
const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
    ("B", 1),
];

/// Why a text is no quantity; said where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAQuantity {
    Number,
    TooLarge,
    Unit,
}

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Result<Duration, NotAQuantity> {
    quantity(text, DURATIONS).map(Duration::from_millis)
}

/// Reads a size in bytes: a whole number and `B`, `KiB`, `MiB`, `GiB` or a decimal `KB`, `MB`, `GB`.
pub(crate) fn size(text: &str) -> Result<u64, NotAQuantity> {
    quantity(text, SIZES)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, NotAQuantity> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(NotAQuantity::Number);
    }
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or(NotAQuantity::Unit)?;
    let number: u64 = number.parse().map_err(|_| NotAQuantity::TooLarge)?;
    number.checked_mul(*factor).ok_or(NotAQuantity::TooLarge)
}

/// A duration as it would be written, in its largest whole unit.
pub(crate) fn duration_in_words(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = DURATIONS.iter().find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", millis / factor),
        None => "0s".to_owned(),
    }
}

/// A size as it would be written.
pub(crate) fn size_in_words(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(name, factor)| {
        (name.contains('i') || *name == "B") && bytes != 0 && bytes.is_multiple_of(*factor)
    });
    match unit {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => "0B".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-05.
    #[test]
    fn a_duration_carries_its_unit() {
        for (text, expected) in [
            ("90s", Ok(Duration::from_secs(90))),
            ("12h", Ok(Duration::from_secs(43_200))),
            ("7d", Ok(Duration::from_secs(604_800))),
            ("500ms", Ok(Duration::from_millis(500))),
            ("10 m", Ok(Duration::from_secs(600))),
            ("10", Err(NotAQuantity::Unit)),
            ("10min", Err(NotAQuantity::Unit)),
            ("h", Err(NotAQuantity::Number)),
            ("-1s", Err(NotAQuantity::Number)),
            ("1.5h", Err(NotAQuantity::Unit)),
            ("", Err(NotAQuantity::Number)),
            ("99999999999999999999d", Err(NotAQuantity::TooLarge)),
            ("9999999999999999d", Err(NotAQuantity::TooLarge)),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_size_carries_its_unit() {
        for (text, expected) in [
            ("32KiB", Ok(32 << 10)),
            ("100MiB", Ok(100 << 20)),
            ("2 MB", Ok(2_000_000)),
            ("0B", Ok(0)),
            ("32", Err(NotAQuantity::Unit)),
            ("32kib", Err(NotAQuantity::Unit)),
            ("17179869184GiB", Err(NotAQuantity::TooLarge)),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quantities_are_read_back_as_they_are_written() {
        for text in ["1d", "12h", "90s", "500ms", "10m", "0s"] {
            assert_eq!(duration(text).map(duration_in_words).as_deref(), Ok(text));
        }
        for text in ["32KiB", "1GiB", "100B", "0B"] {
            assert_eq!(size(text).map(size_in_words).as_deref(), Ok(text));
        }
    }
    proptest::proptest! {
        /// C-05: what is written is what was meant, in any unit, and nothing overflows on the way.
        #[test]
        fn any_quantity_is_read_back_as_it_was_written(millis: u64, bytes: u64, text in "[0-9]{0,25} ?\\PC{0,3}") {
            let time = Duration::from_millis(millis);
            proptest::prop_assert_eq!(duration(&duration_in_words(time)), Ok(time));
            proptest::prop_assert_eq!(size(&size_in_words(bytes)), Ok(bytes));
            if let Ok(time) = duration(&text) {
                proptest::prop_assert_eq!(duration(&duration_in_words(time)), Ok(time));
            }
            if let Ok(bytes) = size(&text) {
                proptest::prop_assert_eq!(size(&size_in_words(bytes)), Ok(bytes));
            }
        }
    }
}
