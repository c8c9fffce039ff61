//! How much a client wants one thing of several: the weights of `Accept` and `Accept-Language`.
//!
//! Source: RFC 9110 §12.4.2.

/// A weight in thousandths: `1`, `0.8`, `0.125`. `None` for what is no weight.
pub(crate) fn thousandths(weight: &str) -> Option<u16> {
    let (whole, rest) = weight.split_once('.').unwrap_or((weight, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let rest: u16 = format!("{rest:0<3}").parse().ok()?;
    match (whole, rest) {
        ("0", rest) => Some(rest),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_between_nothing_and_one_with_three_digits_at_most() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            ("0.", Some(0)),
            ("0.8", Some(800)),
            ("0.125", Some(125)),
            ("1.001", None),
            ("0.1234", None),
            ("7", None),
            ("-0.5", None),
            ("+0.5", None),
            (".5", None),
            ("1e0", None),
            ("inf", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text), expected, "{text:?}");
        }
    }
}
