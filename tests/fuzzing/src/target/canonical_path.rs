//! Paths: one form, and no second meaning in it (B1 to B9).

use lychgate_gateway::endpoint::{Endpoint, is_reserved};
use lychgate_gateway::path::{CanonicalPath, PathPattern};
use percent_encoding::percent_decode_str;

const PREFIX: &str = "/.lychgate";

/// The path of a request target.
///
/// What is accepted is already in its own form; decoded once more it is either refused or one of its own
/// readings; none of its readings leaves a directory; and a path that is ours by any reading is ours.
///
/// # Panics
/// When one of these does not hold.
pub fn canonical_path(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let text = path.as_str();
    assert_eq!(CanonicalPath::parse(text).as_ref(), Ok(&path), "{raw:?} is not stable");
    assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()), "{raw:?}");
    assert!(!text.contains(['\\', ';', '#', '?']), "{raw:?} became {text}");

    let readings: Vec<&str> = path.readings().collect();
    assert_eq!(readings.first(), Some(&text));
    for reading in &readings {
        assert!(!reading.contains("//"), "{reading} of {raw:?}");
        assert!(!reading.split('/').any(|part| matches!(part, "." | "..")), "{reading} of {raw:?}");
        let ours = Endpoint::at(&path, PREFIX).is_some();
        assert!(ours || !is_reserved(reading, PREFIX), "{reading} of {raw:?} is ours");
    }

    // Whoever decodes what we send has a path of ours in hand, or none at all.
    let decoded = percent_decode_str(text).decode_utf8().expect("what is accepted is UTF-8");
    assert!(!decoded.bytes().any(|byte| byte.is_ascii_control() || byte == b'\\'), "{raw:?}");
    let cut = decoded.split(['?', '#']).next().unwrap_or_default();
    for once_more in [decoded.as_ref(), cut] {
        if let Ok(again) = CanonicalPath::parse(once_more) {
            assert!(readings.contains(&again.as_str()), "{raw:?} can be read as {again}");
        }
    }

    // A path without stars is a pattern for itself.
    if !text.contains('*') {
        let pattern = PathPattern::parse(text).expect("a canonical path is a pattern");
        assert!(pattern.matches(text), "{text} does not match itself");
    }
}
