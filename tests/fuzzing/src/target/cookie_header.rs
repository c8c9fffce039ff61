//! Cookies: found once or not at all, split and joined, kept from applications (I1 to I5, H8).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use lychgate_gateway::cookie::{CookieNames, Cookies, ForUpstream, Found};
use lychgate_gateway::origin::PublicOrigin;
use url::Url;

/// The `Cookie` lines of a request, one per line of the text; and the same bytes as a session.
///
/// A session is only ever the one that is there, no application sees a cookie of ours in any spelling, what it
/// does see is what was sent, and whatever is split is joined again from exactly its own parts.
///
/// # Panics
/// When one of these does not hold.
pub fn cookie_header(bytes: &[u8]) {
    let origin = Url::parse("https://app.test").expect("a URL");
    let origin = PublicOrigin::of(&origin).expect("an origin");
    let cookies = Cookies::new(&CookieNames::default(), &origin);
    let lines: Vec<_> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    let sent: HeaderMap = lines.iter().map(|line| (header::COOKIE, line.clone())).collect();

    let whole: Vec<u8> = lines.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b';');
    let is_session = |piece: &&[u8]| name(piece) == b"__Host-lychgate" && piece.contains(&b'=');
    let count = pieces(&whole).filter(is_session).count();
    match cookies.session(&sent) {
        Found::Nothing => assert_eq!(count, 0, "{sent:?}"),
        Found::Value(value) => {
            assert_eq!(count, 1, "{sent:?}");
            assert!(value.len() <= whole.len(), "{sent:?}");
        }
        Found::Confused => assert!(count > 0, "{sent:?}"),
    }
    for (id, value) in cookies.logins(&sent) {
        let pair = format!("__Host-lychgate-login-{id}={value}");
        assert!(pair.len() <= whole.len(), "{pair}");
    }

    let kept = match cookies.read(&sent).for_upstream {
        ForUpstream::AsSent => whole.clone(),
        ForUpstream::Nothing => Vec::new(),
        ForUpstream::Only(kept) => kept.as_bytes().to_vec(),
    };
    assert!(!pieces(&kept).any(|piece| is_ours(name(piece))), "{kept:?} of {sent:?}");
    let of = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let foreign = pieces(bytes).filter(|piece| !piece.is_empty() && !is_ours(name(piece)));
        foreign.map(<[u8]>::to_vec).collect()
    };
    assert_eq!(of(&kept), of(&whole), "an application's cookie is lost or changed");

    split_and_join(&cookies, bytes, &whole);
}

fn split_and_join(cookies: &Cookies, bytes: &[u8], foreign: &[u8]) {
    // Nothing is never sealed: even an empty text has a header.
    let sealed = format!("A{}", URL_SAFE_NO_PAD.encode(bytes));
    let hour = Duration::from_secs(3600);
    let Ok(lines) = cookies.set_session(&sealed, hour, &HeaderMap::new()) else {
        assert!(sealed.len() > 11_000, "{} bytes are too many", sealed.len());
        return;
    };
    let pairs: Vec<&str> = lines
        .iter()
        .map(|line| line.to_str().expect("visible ASCII").split(';').next().unwrap_or_default())
        .collect();
    assert!(pairs.iter().all(|pair| pair.len() <= 4096), "a browser drops such a cookie");
    let value = Found::Value(sealed.as_bytes().into());
    let brought = |pairs: &[&str]| -> HeaderMap {
        let line = HeaderValue::try_from(pairs.join("; ")).expect("our own cookies");
        [(header::COOKIE, line)].into_iter().collect()
    };
    assert_eq!(cookies.session(&brought(&pairs)), value);
    for (at, pair) in pairs.iter().enumerate() {
        let mut twice = pairs.clone();
        twice.push(pair);
        assert_eq!(cookies.session(&brought(&twice)), Found::Confused, "{pair} is there twice");
        let mut less = pairs.clone();
        less.remove(at);
        let expected = if at == 0 { Found::Nothing } else { Found::Confused };
        assert_eq!(cookies.session(&brought(&less)), expected, "{pair} is missing");
    }
    // Beside whatever else a browser sends.
    if !pieces(foreign).any(|piece| is_ours(name(piece))) {
        let line = [pairs.join("; ").as_bytes(), b"; ", foreign].concat();
        let line = HeaderValue::from_bytes(&line).expect("two header values");
        let beside: HeaderMap = [(header::COOKIE, line)].into_iter().collect();
        assert_eq!(cookies.session(&beside), value, "{beside:?}");
    }
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn name(piece: &[u8]) -> &[u8] {
    piece.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// Whether an application or a browser could take this name for one of ours.
fn is_ours(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let bare = name.strip_prefix("__host-").or_else(|| name.strip_prefix("__secure-"));
    let bare = bare.unwrap_or(&name);
    bare == "lychgate" || bare.starts_with("lychgate-")
}
