//! The token endpoint: one code, once, for the tokens it stands for.
//!
//! Sources: RFC 6749 §2.3.1, §4.1.3, §5; RFC 7636 §4.6 (PKCE); OIDC Core §3.1.3.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{constant_time, digest};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{
    Shared,
    answer::{self, Refusal},
    control::{Client, Control},
    grants::{Grant, TOKEN_SECONDS},
    id_token, now,
    parameters::Parameters,
    random_text,
};
use crate::Fault;

/// How long [`Fault::Slow`] thinks.
const SLOW_FAULT: Duration = Duration::from_secs(30);

pub(super) async fn redeem(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let control = shared.control();
    if control.fault == Some(Fault::Slow) {
        tokio::time::sleep(SLOW_FAULT).await;
    }
    if let Some(raw) = &control.token_answer {
        return raw.give().await;
    }
    match tokens(&shared, &control, &headers, &parameters) {
        Ok(body) => answer::json(StatusCode::OK, &body),
        Err(refusal) => refusal.into_response(),
    }
}

fn tokens(
    shared: &Shared,
    control: &Control,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Value, Refusal> {
    if let Some(name) = parameters.repeated() {
        return Err(Refusal::invalid_request(&format!("`{name}` was sent more than once")));
    }
    let client = authenticated_client(control, headers, parameters)?;
    match parameters.value("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Err(Refusal::unsupported_grant_type()),
        None => return Err(Refusal::invalid_request("`grant_type` is missing")),
    }
    let required = |name: &str| {
        let missing = || Refusal::invalid_request(&format!("`{name}` is missing"));
        parameters.value(name).ok_or_else(missing)
    };
    let code = required("code")?;
    let redirect_uri = required("redirect_uri")?;
    let verifier = required("code_verifier")?;

    let now = now();
    let grant = shared.grants().take_code(code, now);
    let grant = grant.ok_or_else(|| {
        Refusal::invalid_grant("the code is unknown, was used before, or is a minute old")
    })?;
    check_code_is_theirs(&grant, client, redirect_uri, verifier)?;
    let persona = control
        .persona_with_subject(&grant.subject)
        .ok_or_else(|| Refusal::invalid_grant("this person is no longer here"))?;

    let access_token = random_text().map_err(|_| Refusal::server_error())?;
    let claims = id_token::claims(shared.issuer(), control, &grant, persona, &access_token, now);
    let id_token = id_token::write(claims, control, client, &shared.signing_keys())
        .map_err(|_| Refusal::server_error())?;
    let mut body = json!({
        "access_token": access_token,
        "expires_in": TOKEN_SECONDS,
        "id_token": id_token,
        "scope": grant.scope,
        "token_type": "Bearer",
    });
    if let Some(members) = body.as_object_mut() {
        control.token_edits.iter().for_each(|edit| edit.apply(members));
    }
    let mut grants = shared.grants();
    grants.add_id_token(&id_token, &client.client_id);
    grants.add_access_token(access_token, code, &grant, now);
    Ok(body)
}

/// The client that proves itself in the header or in the form, and not in both.
pub(super) fn authenticated_client<'a>(
    control: &'a Control,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<&'a Client, Refusal> {
    let in_form = (parameters.value("client_id"), parameters.value("client_secret"));
    let (client_id, secret) = match (headers.get(header::AUTHORIZATION), in_form) {
        (Some(_), (_, Some(_))) => {
            return Err(Refusal::invalid_request("the client proves itself in two ways"));
        }
        (Some(value), (named, None)) => {
            let pair = basic_credentials(value).ok_or_else(Refusal::invalid_client)?;
            if named.is_some_and(|named| named != pair.0) {
                return Err(Refusal::invalid_request("the header and the form name two clients"));
            }
            pair
        }
        (None, (Some(client_id), Some(secret))) => (client_id.to_owned(), secret.to_owned()),
        (None, _) => return Err(Refusal::invalid_client()),
    };
    control
        .client(&client_id)
        .filter(|client| {
            constant_time::verify_slices_are_equal(
                client.client_secret.as_bytes(),
                secret.as_bytes(),
            )
            .is_ok()
        })
        .ok_or_else(Refusal::invalid_client)
}

/// Name and secret from HTTP Basic, each of them form-encoded inside (RFC 6749 §2.3.1).
fn basic_credentials(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = pair.split_once(':')?;
    Some((form_decoded(client_id), form_decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // A bare `&` is the mistake of a client that did not encode. What follows it is not read, so
    // that the mistake shows.
    let pair = format!("value={text}");
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn check_code_is_theirs(
    grant: &Grant,
    client: &Client,
    redirect_uri: &str,
    verifier: &str,
) -> Result<(), Refusal> {
    if grant.client_id != client.client_id {
        return Err(Refusal::invalid_grant("the code was given to another client"));
    }
    if grant.redirect_uri != redirect_uri {
        return Err(Refusal::invalid_grant("the code was sent to another redirect URI"));
    }
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    if grant.code_challenge != challenge {
        return Err(Refusal::invalid_grant("the verifier does not fit the challenge"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        let header = |pair: &str| {
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).expect("a value")
        };

        for (pair, client_id, secret) in [
            ("gateway:secret", "gateway", "secret"),
            ("gate%3Away:p%25+%2B%26", "gate:way", "p% +&"),
            ("gateway:with:colon", "gateway", "with:colon"),
            ("gateway:", "gateway", ""),
        ] {
            let expected = Some((client_id.to_owned(), secret.to_owned()));
            assert_eq!(basic_credentials(&header(pair)), expected, "{pair}");
        }
        assert_eq!(basic_credentials(&header("no colon")), None);
        assert_eq!(basic_credentials(&HeaderValue::from_static("Bearer token")), None);
    }
}
