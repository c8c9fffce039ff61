//! What the audit log has to say after each misbehaviour of a provider: the check that found it.

use std::fs;
use std::path::Path;

/// The words of the check that this switch of the simulators makes fail.
pub(crate) fn check_named_after(switch: &str) -> Option<&'static str> {
    NAMED.iter().find(|(named, _)| *named == switch).map(|(_, words)| *words)
}

/// Switch and words, in the order of the alphabet.
const NAMED: &[(&str, &str)] = &[
    ("authorize_error", "the provider refused"),
    ("bank_custom_error", "the provider refused"),
    ("code_and_error", "the provider refused: access_denied"),
    ("code_ttl", "refused the code: invalid_grant"),
    ("consent_awaiting", "consent"),
    ("deny", "the provider refused: access_denied"),
    ("details_changed", "authorization"),
    ("details_missing", "authorization"),
    ("details_other_consent", "authorization"),
    ("dup_params", "is given twice"),
    ("front_id_token_alg_none", "algorithm that is not allowed"),
    ("front_id_token_alg_other", "algorithm that is not allowed"),
    ("front_id_token_aud_missing", "`aud` is missing"),
    ("front_id_token_aud_wrong", "`aud` does not name"),
    ("front_id_token_bad_signature", "the signature is wrong"),
    ("front_id_token_c_hash_missing", "`c_hash` is missing"),
    ("front_id_token_c_hash_wrong", "`c_hash` does not fit"),
    ("front_id_token_exp_past", "the token expired"),
    ("front_id_token_garbage", "canonical base64url"),
    ("front_id_token_iat_week_old", "too long ago"),
    ("front_id_token_iss_missing", "`iss` is missing"),
    ("front_id_token_iss_wrong", "`iss` differs"),
    ("front_id_token_nonce_missing", "`nonce` is missing"),
    ("front_id_token_nonce_wrong", "`nonce` is not that"),
    ("front_id_token_s_hash_missing", "`s_hash` is missing"),
    ("front_id_token_s_hash_wrong", "`s_hash` does not fit"),
    ("front_id_token_sub_missing", "`sub` is missing"),
    ("front_id_token_unknown_kid", "a key that the provider does not publish"),
    ("id_token_acr_missing", "`acr` is missing"),
    ("id_token_acr_wrong", "`acr` is none of those"),
    ("id_token_alg_hs256_public_key", "algorithm that is not allowed"),
    ("id_token_alg_none", "algorithm that is not allowed"),
    ("id_token_alg_other", "algorithm that is not allowed"),
    ("id_token_at_hash_wrong", "`at_hash`"),
    ("id_token_aud_array_stranger", "`aud` names others"),
    ("id_token_aud_array_stranger_wrong_azp", "`aud` names others"),
    ("id_token_aud_missing", "`aud` is missing"),
    ("id_token_aud_wrong", "`aud` does not name"),
    ("id_token_auth_time_missing", "`auth_time` is missing"),
    ("id_token_auth_time_old", "longer ago than `max_age`"),
    ("id_token_azp_wrong", "`azp`"),
    ("id_token_bad_signature", "the signature is wrong"),
    ("id_token_crit_unknown", "`crit`"),
    ("id_token_deep_json", "the ID token is refused"),
    ("id_token_exp_missing", "`exp` is missing"),
    ("id_token_exp_past", "the token expired"),
    ("id_token_encrypted_rsa1_5", "the encryption is refused"),
    ("id_token_encrypted_unasked", "the token cannot be read"),
    ("id_token_garbage", "canonical base64url"),
    ("id_token_iat_future", "in the future"),
    ("id_token_iat_missing", "`iat` is missing"),
    ("id_token_iat_week_old", "too long ago"),
    ("id_token_iss_missing", "`iss` is missing"),
    ("id_token_iss_wrong", "`iss` differs"),
    ("id_token_nbf_future", "not valid for another"),
    ("id_token_no_kid_unpublished", "no published key verifies"),
    ("id_token_nonce_missing", "`nonce` is missing"),
    ("id_token_nonce_wrong", "`nonce` is not that"),
    ("id_token_oversize", "long"),
    ("id_token_plain", "the encryption is refused"),
    ("id_token_profile_missing", "no `profile.preferred_username`"),
    ("id_token_profile_text", "no `profile.preferred_username`"),
    ("id_token_sub_empty", "`sub`"),
    ("id_token_sub_missing", "`sub` is missing"),
    ("id_token_sub_number", "`sub`"),
    ("id_token_sub_other", "another person than that of the authorization response"),
    ("id_token_typ_wrong", "`typ`"),
    ("id_token_unknown_kid", "a key that the provider does not publish"),
    ("id_token_wrong_secret", "the signature is wrong"),
    ("ip_blocked", "the provider refused: invalid_client"),
    ("iss_trailing_slash", "`iss` differs from the issuer"),
    ("jarm_alg_hs256_public_key", "algorithm that is not allowed"),
    ("jarm_alg_none", "algorithm that is not allowed"),
    ("jarm_alg_other", "algorithm that is not allowed"),
    ("jarm_aud_array_stranger", "`aud` names others"),
    ("jarm_aud_missing", "`aud` is missing"),
    ("jarm_aud_wrong", "`aud` does not name"),
    ("jarm_azp_wrong", "`azp`"),
    ("jarm_bad_signature", "the signature is wrong"),
    ("jarm_crit_unknown", "`crit`"),
    ("jarm_encrypted_rsa1_5", "the signed response is refused"),
    ("jarm_encrypted_unasked", "the signed response is refused"),
    ("jarm_exp_missing", "`exp` is missing"),
    ("jarm_exp_past", "the token expired"),
    ("jarm_garbage", "canonical base64url"),
    ("jarm_iss_missing", "`iss` is missing"),
    ("jarm_iss_wrong", "`iss` differs"),
    ("jarm_no_kid_unpublished", "no published key verifies"),
    ("jarm_typ_wrong", "`typ`"),
    ("jarm_unknown_kid", "a key that the provider does not publish"),
    ("jwks_empty", "key"),
    ("no_access_token", "access"),
    ("no_front_id_token", "none came"),
    ("no_id_token", "`id_token` is missing"),
    ("no_iss", "`iss` is missing"),
    ("no_state", "`state` is missing"),
    ("no_token_type", "`token_type`"),
    ("plain_requests", "the provider refused: invalid_request"),
    ("plain_response", "a plain one came"),
    ("server_error", "the provider refused: server_error"),
    ("state_dropped", "`state` is missing"),
    ("temporarily_unavailable", "the provider refused: temporarily_unavailable"),
    ("token_200_error", "refused the code: invalid_grant"),
    ("token_429", "the token endpoint answered 429"),
    ("token_500", "the token endpoint answered 500"),
    ("token_empty", "cannot be read"),
    ("token_error", "the token endpoint refused"),
    ("token_html_502", "the token endpoint answered 502"),
    ("token_invalid_grant", "refused the code: invalid_grant"),
    ("token_oversize", "longer than"),
    ("token_redirect", "redirect"),
    ("token_reset", "token endpoint"),
    ("token_state_mismatch", "`state`"),
    ("token_truncated", "cannot be read"),
    ("token_type_wrong", "type"),
    ("token_wrong_content_type", "JSON"),
    ("unknown_error_code", "the provider refused"),
    ("userinfo_401", "the userinfo endpoint answered 401"),
    ("userinfo_403", "the userinfo endpoint answered 403"),
    ("userinfo_500", "the userinfo endpoint answered 500"),
    ("userinfo_jwt_alg_hs256_public_key", "algorithm that is not allowed"),
    ("userinfo_jwt_alg_none", "algorithm that is not allowed"),
    ("userinfo_jwt_alg_other", "algorithm that is not allowed"),
    ("userinfo_jwt_aud_array_stranger", "`aud` names others"),
    ("userinfo_jwt_aud_array_stranger_wrong_azp", "`aud` names others"),
    ("userinfo_jwt_aud_missing", "`aud` is missing"),
    ("userinfo_jwt_aud_wrong", "`aud` does not name"),
    ("userinfo_jwt_azp_wrong", "`azp`"),
    ("userinfo_jwt_bad_signature", "the signature is wrong"),
    ("userinfo_jwt_crit_unknown", "`crit`"),
    ("userinfo_jwt_deep_json", "token of the userinfo endpoint is refused"),
    ("userinfo_jwt_encrypted_rsa1_5", "token of the userinfo endpoint is refused"),
    ("userinfo_jwt_encrypted_unasked", "token of the userinfo endpoint is refused"),
    ("userinfo_jwt_exp_past", "the token expired"),
    ("userinfo_jwt_garbage", "canonical base64url"),
    ("userinfo_jwt_iat_future", "in the future"),
    ("userinfo_jwt_iss_missing", "`iss` is missing"),
    ("userinfo_jwt_iss_wrong", "`iss` differs"),
    ("userinfo_jwt_nbf_future", "not valid for another"),
    ("userinfo_jwt_no_kid_unpublished", "no published key verifies"),
    ("userinfo_jwt_oversize", "longer than"),
    ("userinfo_jwt_sub_empty", "another person"),
    ("userinfo_jwt_sub_missing", "another person"),
    ("userinfo_jwt_sub_number", "another person"),
    ("userinfo_jwt_sub_other", "another person"),
    ("userinfo_jwt_typ_wrong", "`typ`"),
    ("userinfo_jwt_unknown_kid", "a key that the provider does not publish"),
    ("userinfo_jwt_wrong_secret", "the signature is wrong"),
    ("userinfo_no_sub", "another person"),
    ("userinfo_not_json", "the answer of the userinfo endpoint cannot be read"),
    ("userinfo_oversize", "longer than"),
    ("userinfo_signed", "none was agreed on"),
    ("userinfo_slow", "timed out"),
    ("userinfo_sub_other", "another person"),
    ("wrong_iss", "`iss` differs from the issuer"),
    ("wrong_state", "`state` belongs to no login"),
];

/// What a provider can do wrong with a token, as `identity-systems` 7.2 lists it: each is refused, by a check that the log
/// names, wherever the gate is given such a token.
const OF_TOKENS: &str = "alg_none alg_other alg_hs256_public_key bad_signature unknown_kid no_kid_unpublished iss_missing \
    iss_wrong aud_missing aud_wrong aud_array_stranger aud_array_stranger_wrong_azp azp_wrong exp_past iat_future \
    nbf_future sub_missing sub_empty sub_number crit_unknown encrypted_rsa1_5 encrypted_unasked oversize deep_json garbage \
    typ_wrong wrong_secret";
/// Of ID tokens alone: they have to say more.
const OF_ID_TOKENS: &str = "exp_missing iat_missing iat_week_old nonce_missing nonce_wrong at_hash_wrong auth_time_missing \
    auth_time_old acr_missing acr_wrong plain";
/// Of an ID token beside a code, for which it has to vouch.
const OF_FRONT_TOKENS: &str = "alg_none bad_signature iss_wrong aud_wrong exp_past nonce_missing nonce_wrong c_hash_missing \
    c_hash_wrong s_hash_missing s_hash_wrong";
/// Of signed answers, which are about nobody.
const OF_ANSWERS: &str = "alg_none alg_other bad_signature unknown_kid iss_missing iss_wrong aud_missing aud_wrong exp_past \
    exp_missing encrypted_unasked";

/// 7.2: every fault of a token has a row in a story that asks for its page, for no session and for the check in the log.
#[test]
fn every_fault_of_a_token_is_put_before_the_gate() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("systems");
    let stories: Vec<String> = fs::read_dir(stories)
        .expect("there are stories")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("checks.rs"))
        .map(|path| fs::read_to_string(path).expect("a story"))
        .collect();
    let of = |kind: &str, faults: &str| -> Vec<String> {
        faults.split_whitespace().map(|fault| format!("{kind}_{fault}")).collect()
    };
    let all = [
        of("id_token", OF_TOKENS),
        of("id_token", OF_ID_TOKENS),
        of("front_id_token", OF_FRONT_TOKENS),
        of("jarm", OF_ANSWERS),
        of("userinfo_jwt", OF_TOKENS),
        of("userinfo_jwt", "sub_other"),
        vec!["plain_response".to_owned(), "userinfo_sub_other".to_owned()],
    ];
    let lacking: Vec<String> = all
        .concat()
        .into_iter()
        .filter(|switch| {
            // A story may write down the fault alone, beside what it is a fault of.
            let tried = stories.iter().any(|story| {
                let (kind, fault) = ["front_id_token_", "id_token_"]
                    .into_iter()
                    .find_map(|kind| Some((kind, switch.strip_prefix(kind)?)))
                    .unwrap_or_default();
                let of_its_kind = !kind.is_empty() && {
                    story.contains(&format!("\"{kind}{{fault}}\""))
                        && story.contains(&format!("\"{fault}\""))
                };
                story.contains(&format!("\"{switch}\"")) || of_its_kind
            });
            !tried || check_named_after(switch).is_none()
        })
        .collect();
    assert_eq!(lacking, [""; 0]);
}
