//! Texts with places to fill in: `{organization.login}/{slug}`, and addresses with claims in them.

use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use url::Url;

use super::{LookupError, at};
use crate::claims;
use crate::client_auth::RESERVED;
use crate::json::Object;

/// Why a text is no address of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlTemplateError {
    /// A brace has no partner.
    #[error("a brace is not closed")]
    Brace,
    /// Something else than a claim is to be filled in.
    #[error("only `{{claims.NAME}}` can be filled in")]
    NotAClaim,
    /// A claim would say whom we ask.
    #[error("the host, and all before it, cannot be filled in")]
    HostFilled,
    /// It is no address, or neither https nor on this machine.
    #[error("this is no https URL")]
    NotHttps,
}

/// Checks the address of a lookup: https (or this machine), the host written out, and nothing but
/// `{claims.PATH}` to be filled in.
///
/// # Errors
/// See [`UrlTemplateError`].
pub fn url_template(text: &str) -> Result<Url, UrlTemplateError> {
    // What is filled in is encoded, so a filled address differs from this one in these places alone.
    let plain = with_places(text, |path| match path.strip_prefix("claims.") {
        Some(claim) if !claim.is_empty() => Ok("x".to_owned()),
        _ => Err(UrlTemplateError::NotAClaim),
    })?
    .ok_or(UrlTemplateError::Brace)?;
    let url = Url::parse(&plain).map_err(|_| UrlTemplateError::NotHttps)?;
    let origin_ends = text
        .find("://")
        .and_then(|at| text.get(at + 3..)?.find(['/', '?']).map(|end| at + 3 + end));
    if text.find('{').is_some_and(|brace| origin_ends.is_none_or(|end| brace < end)) {
        return Err(UrlTemplateError::HostFilled);
    }
    if crate::discovery::endpoint("url", &plain).is_err() {
        return Err(UrlTemplateError::NotHttps);
    }
    Ok(url)
}

/// The address with the claims in it, each encoded so that it stays within its segment or value.
pub(super) fn url(template: &str, known: &Object) -> Result<String, LookupError> {
    let filled = with_places(template, |path| {
        let claim = path.strip_prefix("claims.").unwrap_or(path);
        let unknown = || LookupError::ClaimUnknown { claim: claim.to_owned() };
        let word = claims::find(known, claim).and_then(claims::word).ok_or_else(unknown)?;
        // A segment of dots alone would lead upwards, encoded or not (WHATWG URL §4.5).
        if word.is_empty() || word.bytes().all(|byte| byte == b'.') {
            return Err(unknown());
        }
        Ok(utf8_percent_encode(&word, RESERVED).to_string())
    })?;
    filled.ok_or(LookupError::NotAUri)
}

/// `template` with what `item` has at the paths in braces; `{}` is the item. `None` if one is missing.
pub(super) fn filled(template: &str, item: &Value) -> Option<String> {
    let filled = with_places(template, |path| {
        at(item, path).and_then(claims::word).filter(|word| !word.is_empty()).ok_or(())
    });
    filled.ok().flatten()
}

/// Fills in every place; `Ok(None)` where a brace has no partner.
fn with_places<E>(
    template: &str,
    mut fill: impl FnMut(&str) -> Result<String, E>,
) -> Result<Option<String>, E> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((path, after)) = after.split_once('}') else { return Ok(None) };
        text.push_str(before);
        text.push_str(&fill(path)?);
        rest = after;
    }
    if rest.contains('}') {
        return Ok(None);
    }
    text.push_str(rest);
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(email: &str) -> Object {
        let Value::Object(claims) = json!({ "email": email, "n": 7, "a": { "b": "c" } }) else {
            unreachable!()
        };
        claims
    }

    #[test]
    fn what_is_filled_into_an_address_cannot_leave_its_place() {
        let template = "https://api.example/users/{claims.email}/groups?of={claims.email}";
        for (email, encoded) in [
            ("ada@example.com", "ada%40example.com"),
            ("../admin", "..%2Fadmin"),
            ("a/b?c#d&e=f", "a%2Fb%3Fc%23d%26e%3Df"),
            ("é", "%C3%A9"),
            ("a%2Fb", "a%252Fb"),
            ("{claims.n}", "%7Bclaims.n%7D"),
        ] {
            let expected = format!("https://api.example/users/{encoded}/groups?of={encoded}");
            assert_eq!(url(template, &claims(email)), Ok(expected), "{email}");
        }
        for email in ["", ".", "..", "..."] {
            let unknown = LookupError::ClaimUnknown { claim: "email".to_owned() };
            assert_eq!(url(template, &claims(email)), Err(unknown), "{email}");
        }
        let unknown = LookupError::ClaimUnknown { claim: "missing".to_owned() };
        assert_eq!(url("https://api.example/{claims.missing}", &claims("a")), Err(unknown));
    }

    #[test]
    fn the_host_is_the_configurations_and_never_a_claims() {
        assert!(url_template("https://api.example/{claims.a.b}?q={claims.n}").is_ok());
        assert!(url_template("http://127.0.0.1:9/x").is_ok());
        for (text, error) in [
            ("https://{claims.n}/", UrlTemplateError::HostFilled),
            ("https://api.{claims.n}.example/", UrlTemplateError::HostFilled),
            ("https://api.example{claims.n}", UrlTemplateError::HostFilled),
            ("{claims.n}://api.example/", UrlTemplateError::HostFilled),
            ("http://api.example/", UrlTemplateError::NotHttps),
            ("https://user:pw@api.example/", UrlTemplateError::NotHttps),
            ("https://api.example/{env.SECRET}", UrlTemplateError::NotAClaim),
            ("https://api.example/{claims.}", UrlTemplateError::NotAClaim),
            ("https://api.example/{claims.n", UrlTemplateError::Brace),
            ("https://api.example/}", UrlTemplateError::Brace),
        ] {
            assert_eq!(url_template(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_template_without_one_of_its_parts_is_nothing() {
        let item = json!({ "organization": { "login": "works" }, "slug": "gate", "id": 7 });

        assert_eq!(filled("{organization.login}/{slug}", &item).as_deref(), Some("works/gate"));
        assert_eq!(filled("{id}", &item).as_deref(), Some("7"));
        assert_eq!(filled("{}", &json!("works")).as_deref(), Some("works"));
        assert_eq!(filled("{organization.login}/{name}", &item), None);
        assert_eq!(filled("{organization}", &item), None);
    }
}
