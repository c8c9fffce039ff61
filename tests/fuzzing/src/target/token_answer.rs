//! Answers of the token endpoint: nobody is believed without a signature, and no error prints a secret (N1).

use serde_json::Value;

use super::sign_in::{self, SUBJECT};

/// The body of the token endpoint's answer, under three statuses, to a code and to a refresh token.
///
/// A code is only believed with an ID token that is signed; a refresh only with an access token, and about
/// whoever it was for; neither with any status but 200.
///
/// # Panics
/// When one of these does not hold.
pub fn token_answer(bytes: &[u8]) {
    let stage = sign_in::stage();
    for status in [200, 400, 503] {
        let redeemed = stage.redeems(sign_in::answer(status, bytes));
        let refreshed = stage.refreshes(sign_in::answer(status, bytes));
        if redeemed.is_none() && refreshed.is_none() {
            continue;
        }
        assert_eq!(status, 200);
        let said: Value = serde_json::from_slice(bytes).expect("what is believed is JSON");
        assert!(said["access_token"].as_str().is_some_and(|token| !token.is_empty()), "{said}");
        let kind = said["token_type"].as_str().unwrap_or_default();
        assert!(kind.eq_ignore_ascii_case("bearer"), "{said}");
        let claims = said["id_token"].as_str().map(|token| stage.signed(token));
        if let Some(signed_in) = redeemed {
            let claims = claims.clone().flatten().expect("what is believed is signed");
            assert_eq!(claims["sub"], signed_in.claims.subject());
        }
        if let Some(signed_in) = refreshed {
            assert_eq!(signed_in.claims.subject(), SUBJECT);
            let unsigned = claims.is_some_and(|claims| claims.is_none());
            assert!(!unsigned, "an unsigned token is believed");
        }
    }
}
