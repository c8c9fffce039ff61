//! ID tokens: what is believed is signed, and says what Core §3.1.3.7 asks of it (G1 to G18).

use serde_json::{Value, json};

use super::sign_in::{self, CLIENT, ISSUER, NOW, Stage};

/// How far clocks may differ, as every registration has it that says nothing.
const TOLERANCE: i64 = 60;

/// An ID token; or, where the bytes begin with `{`, a header on the first line and claims on the others, which are
/// then signed with the provider's key.
///
/// Whatever is believed carries a signature that verifies, and claims that a second reader finds right.
///
/// # Panics
/// When one of these does not hold.
pub fn id_token(bytes: &[u8]) {
    let stage = sign_in::stage();
    let token = if bytes.starts_with(b"{") {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (header, claims) = bytes.split_at(end);
        stage.sign(header, claims.get(1..).unwrap_or_default())
    } else {
        let Ok(token) = std::str::from_utf8(bytes) else { return };
        token.to_owned()
    };
    let body = json!({ "access_token": "a", "token_type": "Bearer", "id_token": token });
    let answer = || sign_in::answer(200, body.to_string().as_bytes());
    let (nonce, _) = stage.begin();

    if let Some(signed_in) = stage.redeems(answer()) {
        let claims = is_right(stage, &token);
        assert_eq!(claims["nonce"], nonce, "the token is another login's");
        assert_eq!(claims["sub"], signed_in.claims.subject());
    }
    if stage.refreshes(answer()).is_some() {
        let claims = is_right(stage, &token);
        assert_eq!(claims["sub"], sign_in::SUBJECT, "the token is another person's");
    }
}

fn is_right(stage: &Stage, token: &str) -> Value {
    let claims = stage.signed(token).expect("what is believed is signed");
    assert_eq!(claims["iss"], ISSUER);
    let audience = &claims["aud"];
    let ours = match audience.as_array() {
        Some(all) => !all.is_empty() && all.iter().all(|one| one == CLIENT),
        None => audience == CLIENT,
    };
    assert!(ours, "the token is also for somebody else: {claims}");
    assert!(claims.get("azp").is_none_or(|party| party == CLIENT), "{claims}");
    let number = |name: &str| claims[name].as_f64();
    let at = |seconds: i64| f64::from(i32::try_from(seconds).expect("before 2038"));
    assert!(number("exp").is_some_and(|end| end > at(NOW - TOLERANCE - 1)), "{claims}");
    assert!(number("iat").is_some_and(|start| start < at(NOW + TOLERANCE + 1)), "{claims}");
    assert!(number("nbf").is_none_or(|start| start < at(NOW + TOLERANCE + 1)), "{claims}");
    let subject = claims["sub"].as_str().unwrap_or_default();
    assert!((1..=255).contains(&subject.len()) && subject.is_ascii(), "{claims}");
    claims
}
