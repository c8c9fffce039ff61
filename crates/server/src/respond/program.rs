//! What programs are told: problem documents, the status of gRPC, and what is asked of them.
//!
//! A 401 names the schemes that help. `Bearer` is named where the route takes tokens. `Cookie` is named where people
//! sign in: no scheme is registered for what a sign-in page does; this one was proposed for it
//! (draft-broyer-http-cookie-auth). Browsers do nothing with a scheme that they do not know, while `Basic` would open
//! their own dialog (P-21).
//!
//! A gRPC client takes any status but 200 for a failure of the network and would try again. It is answered with
//! 200 and trailers alone, which are the headers where there is nothing before them.
//!
//! Sources: RFC 9110 §11.6.1; RFC 9457; RFC 6750 §3; RFC 9728 §2, §5.1; gRPC over HTTP/2 (Responses); the status codes
//! of gRPC; htmx (HX-Redirect).

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use lychgate_gateway::bearer::{TokenFault, WELL_KNOWN};
use lychgate_gateway::client::Client;
use lychgate_gateway::clients::LoginRule;
use lychgate_gateway::outcome::{Refusal, Resource};
use lychgate_gateway::reason::Reason;
use lychgate_gateway::route::Route;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use url::Url;

use super::{About, JSON, json, negotiated, with_body};

const PROBLEM: &str = "application/problem+json";

const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a message of gRPC is encoded in: all that is not printable, and the percent sign (gRPC over HTTP/2,
/// Responses).
const NOT_IN_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// A problem document.
pub(super) fn problem(refusal: &Refusal, path_prefix: &str, about: &About<'_>) -> Response<Bytes> {
    let document = Problem::of(refusal, path_prefix, about);
    let mut response = json(&document, refusal.reason.status(), PROBLEM, about);
    // htmx leaves its page for this one, whatever the status is.
    if refusal.client == Client::Htmx
        && let Some(Ok(link)) = refusal.sign_in.as_deref().map(HeaderValue::from_str)
    {
        response.headers_mut().insert(HX_REDIRECT, link);
    }
    response
}

/// The status of gRPC, in trailers alone.
pub(super) fn grpc(refusal: &Refusal, about: &About<'_>) -> Response<Bytes> {
    let reason = refusal.reason;
    let mut response = negotiated(StatusCode::OK, about);
    let headers = response.headers_mut();
    let content_type =
        if refusal.client == Client::GrpcWeb { "application/grpc-web" } else { "application/grpc" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(GRPC_STATUS, grpc_status(reason).into());
    let message = format!("{} ({}, {})", reason.sentence(), reason.code(), about.request_id);
    let message = utf8_percent_encode(&message, NOT_IN_MESSAGE).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    with_body(response, Bytes::new(), about)
}

/// What gRPC calls it. Only what may pass when it is tried again is `UNAVAILABLE`, for clients do try again.
fn grpc_status(reason: Reason) -> u16 {
    match reason.status() {
        StatusCode::BAD_REQUEST => 3,
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::MISDIRECTED_REQUEST => 12,
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        | StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::INTERNAL_SERVER_ERROR => 13,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::GATEWAY_TIMEOUT => 4,
        _ => 2,
    }
}

/// How to get in, and what was wrong with the token that was presented.
pub(super) fn challenges(refusal: &Refusal, route: Option<&Route>) -> Vec<HeaderValue> {
    let unauthorized = refusal.reason.status() == StatusCode::UNAUTHORIZED;
    let Some(route) = route else {
        return Vec::from_iter(unauthorized.then_some(HeaderValue::from_static("Cookie")));
    };
    let realm = route.origin.authority();
    let mut challenges = Vec::new();
    if let Some(bearer) = &route.clients.bearer
        && (unauthorized || refusal.token.is_some())
    {
        let mut challenge = format!("Bearer realm=\"{realm}\"");
        let mut say = |name: &str, value: &str| {
            challenge.push_str(&format!(", {name}=\"{value}\""));
        };
        match &refusal.token {
            None if !bearer.scopes.is_empty() => say("scope", &bearer.scopes.join(" ")),
            None => {}
            Some(TokenFault::Invalid) => say("error", "invalid_token"),
            Some(TokenFault::Insufficient(scopes)) => {
                say("error", "insufficient_scope");
                if !scopes.is_empty() {
                    say("scope", &scopes.join(" "));
                }
            }
        }
        if refusal.token.is_some() {
            say("error_description", refusal.reason.sentence());
        }
        if bearer.metadata {
            say("resource_metadata", &format!("{}{WELL_KNOWN}{}", route.origin, route.path));
        }
        challenges.push(challenge);
    }
    // Whoever presented a token is not helped by another way in.
    if unauthorized && refusal.token.is_none() && route.clients.login == LoginRule::Auto
        || challenges.is_empty() && unauthorized
    {
        challenges.push(format!("Cookie realm=\"{realm}\""));
    }
    challenges.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
}

/// What a route asks of tokens (RFC 9728 §3.2). Every page may read it: it is how a program that is one finds out.
pub(super) fn resource(resource: &Resource, about: &About<'_>) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Document<'a> {
        resource: &'a str,
        authorization_servers: &'a [String],
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        scopes_supported: &'a [String],
        bearer_methods_supported: [&'static str; 1],
    }
    let document = Document {
        resource: &resource.resource,
        authorization_servers: &resource.authorization_servers,
        scopes_supported: &resource.scopes,
        bearer_methods_supported: ["header"],
    };
    let mut response = json(&document, StatusCode::OK, JSON, about);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A problem document (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_url: Option<&'a str>,
    /// What the provider said, under the names that it has there (CB-47).
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

impl<'a> Problem<'a> {
    fn of(refusal: &'a Refusal, path_prefix: &str, about: &About<'a>) -> Self {
        let reason = refusal.reason;
        // A host that is not ours is told nothing that would say what stands there.
        let kind = if matches!(reason, Reason::NoSuchSite | Reason::Misdirected) {
            "about:blank".to_owned()
        } else {
            let origin = about.route.map_or("", |route| route.origin.as_str());
            format!("{origin}{path_prefix}/reasons/{}", reason.code())
        };
        Self {
            kind,
            title: reason.title(),
            status: reason.status().as_u16(),
            detail: reason.sentence(),
            code: reason.code(),
            request_id: about.request_id,
            login_url: refusal.sign_in.as_deref(),
            error: refusal.words.provider_code.as_deref(),
            error_description: refusal.words.provider_text.as_deref(),
            error_uri: refusal.words.provider_link.as_deref().map(Url::as_str),
            retryable: refusal.words.retryable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5.4: what gRPC clients try again by themselves is what may pass then.
    #[test]
    fn a_grpc_client_tries_again_what_may_pass_then() {
        for reason in Reason::ALL {
            let status = grpc_status(*reason);
            let expected = match reason.status().as_u16() {
                401 => 16,
                403 => 7,
                429 => 8,
                500 => 13,
                502 | 503 => 14,
                504 => 4,
                other => {
                    assert!(other < 500 && ![0, 14, 16].contains(&status), "{}", reason.code());
                    continue;
                }
            };
            assert_eq!(status, expected, "{}", reason.code());
        }
    }
}
