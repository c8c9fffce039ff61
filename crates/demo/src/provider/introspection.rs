//! The introspection endpoint: what a token is worth, told to clients that prove who they are.
//!
//! Sources: RFC 7662 §2.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Shared, answer, now, parameters::Parameters, token::authenticated_client};

pub(super) async fn introspect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let control = shared.control();
    if let Some(raw) = &control.introspection_answer {
        return raw.give().await;
    }
    if let Err(refusal) = authenticated_client(&control, &headers, &parameters) {
        return refusal.into_response();
    }
    let token = parameters.value("token").unwrap_or_default();
    if let Some(answer) = control.introspection.get(token) {
        return answer::json(StatusCode::OK, answer);
    }
    let known = shared.grants().access_token(token, now());
    let said = match known {
        Some(token) => json!({
            "active": true,
            "sub": token.subject,
            "scope": token.scope,
            "token_type": "Bearer",
            "iss": shared.issuer(),
        }),
        // Not a word about why (RFC 7662 §2.2).
        None => json!({ "active": false }),
    };
    answer::json(StatusCode::OK, &said)
}
