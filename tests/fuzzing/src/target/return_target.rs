//! Return targets: nowhere but where we serve (A1 to A4).

use lychgate_gateway::origin::{PublicOrigin, RETURN_TO_BYTES_MAX, ReturnTo};
use lychgate_gateway::path::CanonicalPath;
use url::Url;

const PAGE: &str = "https://app.test";
const LISTED: [&str; 2] = ["https://app.test", "https://a.corp.test"];
const PREFIX: &str = "/.lychgate";

/// A return target, and the same bytes as the fragment of one.
///
/// Wherever it leads is same-origin or listed by the judgement of the parser that browsers use, is visible ASCII
/// without a backslash, is none of our own pages, and reads as itself a second time.
///
/// # Panics
/// When one of these does not hold.
pub fn return_target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let [page, allowed @ ..] = [PAGE, LISTED[0], LISTED[1]].map(origin);
    let target = ReturnTo::parse(text, &page, &allowed, PREFIX);
    is_safe(&target, text);
    let again = ReturnTo::parse(target.as_str(), &page, &allowed, PREFIX);
    assert_eq!(again, target, "{text:?} is not stable");
    let with_fragment = ReturnTo::home(&page).with_fragment(text);
    is_safe(&with_fragment, text);
    assert_eq!(with_fragment.path(), "/");
}

fn is_safe(target: &ReturnTo, from: &str) {
    let location = target.as_str();
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{from:?} became {location:?}");
    // In a fragment a backslash is a letter like any other.
    let place = location.split('#').next().unwrap_or_default();
    assert!(!place.contains('\\'), "{from:?} became {location}");
    assert!(location.len() <= RETURN_TO_BYTES_MAX, "{from:?} became too long");
    for form in [location, target.local()] {
        let there = Url::parse(PAGE).and_then(|page| page.join(form)).expect("a place");
        let place = there.origin().ascii_serialization();
        let listed = if form == location { &LISTED[..] } else { &LISTED[..1] };
        let elsewhere = target.origin().is_some_and(|origin| origin.as_str() != PAGE);
        // A target elsewhere is never written without its origin, so its local form is no location.
        assert!(listed.contains(&place.as_str()) || elsewhere, "{from:?} leads to {there}");
        assert_eq!((there.username(), there.password()), ("", None), "{from:?}");
    }
    let path = CanonicalPath::parse(target.path()).expect("a path that we would serve");
    assert!(!path.as_str().to_ascii_lowercase().starts_with("/.lychgate/"), "{from:?} is ours");
}

fn origin(text: &str) -> PublicOrigin {
    let url = Url::parse(text).expect("a URL");
    PublicOrigin::of(&url).expect("an origin")
}
