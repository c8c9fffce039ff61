//! The cookie by which a browser stays signed in at the provider.
//!
//! It is neither sealed nor signed: whoever can send it could as well choose on the page.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Cookies are shared between the ports of a host, hence a name that no neighbour has.
const COOKIE: &str = "lychgate_demo_persona";

/// Who signed in with this browser, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) subject: String,
    /// Seconds since 1970.
    pub(super) auth_time: u64,
}

impl Remembered {
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let value = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, value)| (name == COOKIE).then_some(value))?;
        let (subject, auth_time) = value.split_once('.')?;
        let subject = String::from_utf8(URL_SAFE_NO_PAD.decode(subject).ok()?).ok()?;
        Some(Self { subject, auth_time: auth_time.parse().ok()? })
    }

    /// The `Set-Cookie` value, for as long as the browser runs. Not `Secure`: there is no TLS here.
    pub(super) fn set_cookie(&self) -> String {
        let subject = URL_SAFE_NO_PAD.encode(&self.subject);
        format!("{COOKIE}={subject}.{}; Path=/; HttpOnly; SameSite=Lax", self.auth_time)
    }
}

/// The `Set-Cookie` value that removes it.
pub(super) fn forget() -> HeaderValue {
    HeaderValue::from_static("lychgate_demo_persona=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_brings_back_what_it_was_given() {
        let remembered = Remembered { subject: "Ève; a=b".to_owned(), auth_time: 1_000 };

        let set_cookie = remembered.set_cookie();

        let (pair, _) = set_cookie.split_once(';').expect("attributes");
        let line = HeaderValue::try_from(format!("other=1; {pair}")).expect("a value");
        let headers = HeaderMap::from_iter([(header::COOKIE, line)]);
        assert_eq!(Remembered::from_headers(&headers), Some(remembered));
    }

    #[test]
    fn a_broken_cookie_is_nobody() {
        for value in ["", "x", "!.1", "YQ", "YQ.", "YQ.-1", "YQ.1.2"] {
            let line = HeaderValue::try_from(format!("{COOKIE}={value}")).expect("a value");
            let headers = HeaderMap::from_iter([(header::COOKIE, line)]);

            assert_eq!(Remembered::from_headers(&headers), None, "{value}");
        }
    }

    #[test]
    fn the_cookie_that_is_removed_is_the_one_that_was_set() {
        assert!(forget().to_str().is_ok_and(|value| value.starts_with(&format!("{COOKIE}=;"))));
    }
}
