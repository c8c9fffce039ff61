//! JSON answers, good and bad.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// JSON that nobody may keep (RFC 6749 §5.1).
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, Json(body)).into_response()
}

/// An error of RFC 6749 §5.2, told to the client itself.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl Refusal {
    /// The client is unknown, or did not prove that it is who it says.
    pub(super) fn invalid_client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::of("invalid_client", "the client is unknown or did not prove itself")
        }
    }

    pub(super) fn invalid_grant(description: &str) -> Self {
        Self::of("invalid_grant", description)
    }

    /// The request is wrong in itself, whoever sent it.
    pub(super) fn invalid_request(description: &str) -> Self {
        Self::of("invalid_request", description)
    }

    pub(super) fn unsupported_grant_type() -> Self {
        Self::of("unsupported_grant_type", "only authorization_code is supported")
    }

    /// Cryptography failed, which needs a broken machine.
    pub(super) fn server_error() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::of("server_error", "no token could be made")
        }
    }

    fn of(code: &'static str, description: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: description.to_owned() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code, "error_description": self.description });
        let mut response = json(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"lychgate demo\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
