//! Header names: no spelling of ours is a client's (C1).

use http::HeaderName;
use lychgate_gateway::headers::{IdentityHeaders, PRESETS, Stripped};
use lychgate_gateway::template::Template;

/// A header that only a route sets.
const OWN: &str = "x-my-user";

/// The name of a header that a client sends.
///
/// Every name that an application could fold to one of ours is stripped, and stripping does not depend on the
/// spelling.
///
/// # Panics
/// When one of these does not hold.
pub fn header_names(bytes: &[u8]) {
    let Ok(name) = std::str::from_utf8(bytes) else { return };
    let template = Template::parse("{user}", |_| None).expect("a template");
    let set = vec![(HeaderName::from_static(OWN), template)];
    let stripped = Stripped::new([&IdentityHeaders { set, remove: Vec::new() }]);

    let presets = PRESETS.iter().flat_map(|preset| preset.headers).map(|(name, _)| *name);
    let forwarding = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "proxy"];
    let is_known = presets.chain(forwarding).chain([OWN]).any(|known| fold(known) == fold(name));
    assert!(stripped.contains(name) || !is_known, "{name:?} gets through");

    for other in [
        name.to_ascii_uppercase(),
        name.to_ascii_lowercase(),
        name.replace('-', "_"),
        name.replace(['-', '_'], "."),
        name.replace(['-', '_', '.'], ""),
        name.replace('-', "--"),
        format!("-{name}_"),
    ] {
        assert_eq!(stripped.contains(&other), stripped.contains(name), "{name:?} and {other:?}");
    }
}

/// What is left when everything is dropped that some application layer drops or confuses.
fn fold(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|character| character.to_ascii_lowercase()).collect()
}
