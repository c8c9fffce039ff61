//! Access tokens, and what an introspection endpoint says of one: what is believed is signed or vouched for, is for
//! us, and is no ID token (G1 to G19).

use lychgate_oidc::{
    AccessToken, AccessTokenRules, AccessTokenType, Algorithm, PresentedJwt, Secret, Timestamp,
    introspection,
};
use serde_json::Value;

use super::sign_in::{self, ISSUER, NOW, is_fit_for_a_log};

const AUDIENCE: &str = "https://api.test";

/// An access token; or, where the bytes begin with `{`, a header on the first line and claims on the others, which are
/// then signed with the issuer's key, and the same claims as the answer of an introspection endpoint.
///
/// # Panics
/// When something is believed that does not hold, or an error is not fit for a log.
pub fn access_token(bytes: &[u8]) {
    let stage = sign_in::stage();
    let (token, answer) = if bytes.starts_with(b"{") {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (header, claims) = bytes.split_at(end);
        let claims = claims.get(1..).unwrap_or_default();
        (stage.sign(header, claims), claims)
    } else {
        let Ok(token) = std::str::from_utf8(bytes) else { return };
        (token.to_owned(), bytes)
    };
    let now = Timestamp::new(NOW);
    for typ in [AccessTokenType::Inferred, AccessTokenType::Declared] {
        let rules = AccessTokenRules {
            audiences: Some(vec![AUDIENCE.to_owned()]),
            algorithms: Algorithm::DEFAULT.to_vec(),
            typ,
        };
        let secret = Secret::new(token.clone());
        let verified = PresentedJwt::read(&secret)
            .and_then(|jwt| jwt.verify(&stage.provider, ISSUER, &rules, &stage.keys, now));
        match verified {
            Ok(verified) => {
                let claims = stage.signed(&token).expect("what is believed is signed");
                assert_eq!(claims["iss"], ISSUER);
                assert!(claims["exp"].as_f64().is_some(), "{claims}");
                is_right(&verified, &claims);
            }
            Err(error) => is_fit_for_a_log(&error),
        }
        let response = sign_in::answer(200, answer);
        let (provider, metadata) = (&stage.provider, &stage.metadata);
        match introspection::receive(&response, provider, metadata, &rules, now) {
            Ok(vouched) => {
                let said: Value = serde_json::from_slice(answer).expect("what is believed is JSON");
                assert_eq!(said["active"], true);
                is_right(&vouched, &said);
            }
            Err(error) => is_fit_for_a_log(&error),
        }
    }
}

fn is_right(token: &AccessToken, claims: &Value) {
    let audience = &claims["aud"];
    let is_ours = match audience.as_array() {
        Some(all) => all.iter().any(|one| one == AUDIENCE),
        None => audience == AUDIENCE,
    };
    assert!(is_ours, "the token is for somebody else: {claims}");
    assert!(claims.get("cnf").is_none_or(Value::is_null), "the token is bound: {claims}");
    assert!(token.good_until.is_none_or(|until| until > Timestamp::new(NOW)), "{claims}");
    assert_eq!(token.claims.issuer(), ISSUER);
    let is_the_clients = ["appid", "azp", "cid", "client_id"]
        .iter()
        .any(|name| claims.get(*name).is_some_and(|client| Some(client) == claims.get("sub")));
    assert!(!is_the_clients || token.claims.subject().starts_with("client:"), "{claims}");
    assert!((1..=255).contains(&token.claims.subject().len()), "{claims}");
    assert!(token.scopes.iter().all(|scope| !scope.is_empty() && !scope.contains(' ')));
}
