//! The userinfo endpoint.
//!
//! Sources: OIDC Core §5.3; RFC 6750 §2.1 (the token is taken from the header only), §3.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Shared, answer, claims, now};

pub(super) async fn userinfo(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let control = shared.control();
    if let Some(raw) = &control.userinfo_answer {
        return raw.give().await;
    }
    let Some(token) = bearer_token(&headers) else {
        return challenge("Bearer realm=\"lychgate demo\"");
    };
    let token = shared.grants().access_token(token, now());
    let person = token.and_then(|token| {
        let persona = control.persona_with_subject(&token.subject)?;
        Some((persona, token.scope))
    });
    let Some((persona, scope)) = person else {
        return challenge("Bearer realm=\"lychgate demo\", error=\"invalid_token\"");
    };

    let mut members = claims::about(persona, &scope, control.fault);
    members.insert("sub".to_owned(), json!(persona.subject));
    control.userinfo_edits.iter().for_each(|edit| edit.apply(&mut members));
    answer::json(StatusCode::OK, &Value::Object(members))
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn challenge(challenge: &'static str) -> Response {
    let value = HeaderValue::from_static(challenge);
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, value)]).into_response()
}
