//! Which pages of other origins may ask, and read what they are told.
//!
//! A preflight never brings credentials, so it can only be answered without: by the application, by us for origins
//! that are listed one by one, or like everything else that brings none. Where we answer it we say the same on the
//! answers that follow, in the place of whatever the application says, so that nobody has to write it down twice.
//!
//! Sources: Fetch §3.2.1 to §3.2.5; requirement 5.4.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::origin::PublicOrigin;

/// What becomes of preflights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// They need a session like everything else, and have none.
    #[default]
    Refuse,
    /// The application answers them, for nobody.
    Pass,
    /// We do.
    Answer(CorsRules),
}

/// Who may ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsRules {
    /// Whose pages.
    pub origins: Vec<PublicOrigin>,
    /// Whether they may do it with the person's cookies.
    pub credentials: bool,
    /// Which headers of an answer they may read beside the few that everybody may.
    pub expose_headers: Vec<HeaderName>,
    /// For how long browsers may remember the answer.
    pub max_age: Duration,
}

/// What pages may always read: what our own refusals and those of gRPC say.
const EXPOSED: &str = "grpc-message, grpc-status, www-authenticate, x-request-id";

impl Cors {
    /// Says on an answer to a request with the headers `asked` what its page may do with it.
    pub fn apply(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        if let Self::Answer(rules) = self {
            rules.apply(asked, answer);
        }
    }
}

impl CorsRules {
    /// The headers of an answer to a preflight, or `None` where the origin is not listed. A listed origin may use
    /// every method and header that it asks for: what it may do is for the rules to say.
    pub fn preflight(&self, asked: &HeaderMap) -> Option<HeaderMap> {
        self.listed(asked)?;
        let mut answer = HeaderMap::new();
        self.apply(asked, &mut answer);
        for (asks, allows) in [
            (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
            (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        ] {
            if let Some(value) = asked.get(asks) {
                answer.insert(allows, value.clone());
            }
        }
        answer.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        answer.append(header::VARY, HeaderValue::from_static(ASKED_BY));
        Some(answer)
    }

    fn apply(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        for name in OURS {
            answer.remove(name);
        }
        // Also where the page is none of these: the next one's may be, and a cache would not ask again.
        answer.append(header::VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.listed(asked) else { return };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        let mut exposed = EXPOSED.to_owned();
        for name in &self.expose_headers {
            exposed.push_str(", ");
            exposed.push_str(name.as_str());
        }
        // Names of headers and commas always are the value of one.
        let exposed = HeaderValue::try_from(exposed).unwrap_or(HeaderValue::from_static(EXPOSED));
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }

    /// The `Origin`, if it is a listed one.
    fn listed<'a>(&self, asked: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = asked.get(header::ORIGIN)?;
        let is_it = |listed: &PublicOrigin| listed.as_str().as_bytes() == origin.as_bytes();
        self.origins.iter().any(is_it).then_some(origin)
    }
}

const ASKED_BY: &str = "access-control-request-headers, access-control-request-method";

const OURS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn rules(credentials: bool) -> CorsRules {
        CorsRules {
            origins: vec![PublicOrigin::of(&Url::parse("https://spa.test").unwrap()).unwrap()],
            credentials,
            expose_headers: vec![header::ETAG],
            max_age: Duration::from_secs(600),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    /// 5.4: a listed origin is told what it asked for, and no look-alike is told anything.
    #[test]
    fn a_preflight_is_answered_for_listed_origins_only() {
        let asks = [
            ("origin", "https://spa.test"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization, x-a"),
        ];
        let answer = rules(true).preflight(&headers(&asks)).unwrap();
        for (name, expected) in [
            ("access-control-allow-origin", "https://spa.test"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "authorization, x-a"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "600"),
        ] {
            assert_eq!(answer[name], expected, "{name}");
        }
        for origin in
            ["https://spa.test:8443", "http://spa.test", "https://spa.test.evil.test", "null", ""]
        {
            let asks = [("origin", origin), ("access-control-request-method", "PUT")];
            assert_eq!(rules(true).preflight(&headers(&asks)), None, "{origin}");
        }
    }

    /// What the application says to other origins does not get past us, and caches are told whom an answer is for.
    #[test]
    fn an_answer_says_what_the_operator_says() {
        for (origin, credentials, expected) in [
            ("https://spa.test", true, Some("https://spa.test")),
            ("https://spa.test", false, Some("https://spa.test")),
            ("https://evil.test", true, None),
        ] {
            let mut answer = headers(&[
                ("access-control-allow-origin", "*"),
                ("access-control-allow-credentials", "true"),
                ("vary", "accept"),
            ]);
            Cors::Answer(rules(credentials)).apply(&headers(&[("origin", origin)]), &mut answer);

            let text = |name: &str| answer.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(text("access-control-allow-origin"), expected, "{origin}");
            let allowed = (credentials && expected.is_some()).then_some("true");
            assert_eq!(text("access-control-allow-credentials"), allowed, "{origin}");
            let exposes_etag =
                text("access-control-expose-headers").is_some_and(|it| it.contains("etag"));
            assert_eq!(exposes_etag, expected.is_some());
            assert_eq!(answer.get_all("vary").iter().count(), 2);
        }
    }
}
