//! The discovery document and the key set.
//!
//! Sources: OIDC Discovery §3 and §4; RFC 8414 §2; RFC 9207 §3; RFC 7517 §5.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{Shared, answer};
use crate::Algorithm;

pub(super) async fn metadata(State(shared): State<Arc<Shared>>) -> Response {
    let control = shared.control();
    if let Some(raw) = &control.discovery_answer {
        return raw.give().await;
    }

    let issuer = shared.issuer();
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "end_session_endpoint": format!("{issuer}/end_session"),
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_response_iss_parameter_supported": true,
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash",
            "name", "preferred_username", "email", "email_verified", "groups",
        ],
        "code_challenge_methods_supported": ["S256"],
        "grant_types_supported": ["authorization_code"],
        "id_token_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "prompt_values_supported": ["none", "login", "select_account"],
        "request_uri_parameter_supported": false,
        "response_modes_supported": ["query", "form_post"],
        "response_types_supported": ["code"],
        "scopes_supported": ["openid", "profile", "email", "groups"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    if let Some(members) = document.as_object_mut() {
        control.discovery_edits.iter().for_each(|edit| edit.apply(members));
    }
    answer::json(StatusCode::OK, &document)
}

pub(super) async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    if let Some(raw) = &shared.control().jwks_answer {
        return raw.give().await;
    }
    let published: Vec<Value> =
        shared.published_keys().iter().flat_map(|keys| keys.published()).collect();
    answer::json(StatusCode::OK, &json!({ "keys": published }))
}
