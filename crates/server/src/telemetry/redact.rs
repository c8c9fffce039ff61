//! Queries without what could be used by whoever reads a log (T-11).

use url::form_urlencoded;

/// Parameters whose values are credentials, name people, or come from an address's fragment. In lower case.
const REDACTED: [&str; 28] = [
    "access_token",
    "api_key",
    "apikey",
    "assertion",
    "awsaccesskeyid",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "fragment",
    "id_token",
    "id_token_hint",
    "login_hint",
    "logout_token",
    "nonce",
    "password",
    "refresh_token",
    "relaystate",
    "samlresponse",
    "session_state",
    "sid",
    "sig",
    "signature",
    "state",
    "token",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-signature",
];

/// How deep queries inside of parameters are looked into: `return_to=/a?return_to=…`.
const DEPTH_MAX: usize = 3;

/// The query with the names of all parameters, and `REDACTED` for the values that are nobody's business.
///
/// A value that holds an address with such a query is replaced as a whole.
pub(super) fn query(query: &str) -> String {
    redact(query, DEPTH_MAX)
}

/// An address as in `Referer`: its query redacted, its fragment left out.
pub(super) fn address(address: &str) -> String {
    let address = address.split_once('#').map_or(address, |(before, _)| before);
    match address.split_once('?') {
        Some((place, query)) => format!("{place}?{}", redact(query, DEPTH_MAX)),
        None => address.to_owned(),
    }
}

fn redact(query: &str, depth: usize) -> String {
    let mut redacted = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            redacted.push('&');
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if value.is_empty() || !is_secret(pair, depth) {
            redacted.push_str(pair);
        } else {
            redacted.push_str(name);
            redacted.push_str("=REDACTED");
        }
    }
    redacted
}

/// Whether the value of `pair` is to be replaced. Names are compared as a server would read them.
fn is_secret(pair: &str, depth: usize) -> bool {
    form_urlencoded::parse(pair.as_bytes()).any(|(name, value)| {
        REDACTED.contains(&name.to_ascii_lowercase().as_str())
            || is_token(&value)
            || value.split_once(['?', '#']).is_some_and(|(_, inner)| {
                // What is nested deeper than anybody nests it is not worth reading either.
                depth == 0 || redact(inner, depth - 1) != inner
            })
    })
}

/// Whether this is a signed or encrypted token, whatever it is called: a signed response (JARM) holds the code.
/// The header of one is a JSON object (RFC 7515 §7.1, RFC 7516 §7.1).
fn is_token(value: &str) -> bool {
    value.trim_start().starts_with("eyJ") && value.split('.').count() >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_open_something_are_replaced_and_names_are_kept() {
        for (given, expected) in [
            ("", ""),
            ("page=2&sort=name", "page=2&sort=name"),
            ("code=s3cret&state=abc&iss=x", "code=REDACTED&state=REDACTED&iss=x"),
            ("CODE=s3cret", "CODE=REDACTED"),
            ("c%6Fde=s3cret", "c%6Fde=REDACTED"),
            ("code=", "code="),
            ("code", "code"),
            ("code=a=b&&x", "code=REDACTED&&x"),
            ("fragment=%23access_token%3Dx", "fragment=REDACTED"),
            ("response=eyJhbGciOiJub25lIn0.eyJjb2RlIjoieCJ9.", "response=REDACTED"),
            ("x=eyJlbmMiOiJBMjU2R0NNIn0.key.iv.text.tag", "x=REDACTED"),
            ("response=yes&file=eyJ.txt", "response=yes&file=eyJ.txt"),
            ("return_to=%2Fa%3Fpage%3D2", "return_to=%2Fa%3Fpage%3D2"),
            ("return_to=%2Fcb%3Fcode%3Ds3cret", "return_to=REDACTED"),
            ("return_to=/cb?code=s3cret", "return_to=REDACTED"),
            ("return_to=%2Fa%3Freturn_to%3D%252Fcb%253Ftoken%253Ds3cret", "return_to=REDACTED"),
        ] {
            assert_eq!(query(given), expected, "{given}");
        }
    }

    #[test]
    fn a_referer_is_redacted_too() {
        assert_eq!(
            address("https://id.test/cb?code=s3cret&a=1#access_token=s3cret"),
            "https://id.test/cb?code=REDACTED&a=1"
        );
        assert_eq!(address("https://id.test/"), "https://id.test/");
    }
}
