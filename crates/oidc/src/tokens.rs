//! The token endpoint's wire form: the requests, and how their answers are read.
//!
//! An answer is a success only if it is all that a success must be; everything else is one clean
//! failure. A code is sent once and never again, whatever came back.
//!
//! Sources: RFC 6749 §2.3.1, §4.1.3, §5, §6; RFC 7009 §2.1; RFC 7636 §4.5; OIDC Core §3.1.3, §9.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::client_auth::{self, ClientAuthError, Form};
use crate::discovery::Metadata;
use crate::exchange::{Endpoint, ExchangeError};
use crate::grant::Grant;
use crate::json::{self, Object};
use crate::login::PendingLogin;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::quirk::Quirk;
use crate::refusal::{KnownError, ProviderRefusal};
use crate::secret::{self, Secret};
use crate::time::Timestamp;

/// How long an answer may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The request that trades a code for tokens.
pub(crate) fn code_request(
    code: &Secret,
    login: &PendingLogin,
    provider: &Provider,
    metadata: &Metadata,
    dpop_nonce: Option<&str>,
    moment: &mut Moment,
) -> Result<Request<Vec<u8>>, ClientAuthError> {
    let mut form = Form::new();
    let mut say = |name: &'static str, value: &str| {
        form.push((name.into(), Zeroizing::new(value.to_owned())))
    };
    say("grant_type", "authorization_code");
    say("code", code.expose());
    if !provider.token_request_omits_redirect_uri {
        say("redirect_uri", login.redirect_uri());
    }
    if let Some(verifier) = login.verifier() {
        say("code_verifier", verifier.expose());
    }
    client_auth::post(provider, metadata, Endpoint::Token, form, dpop_nonce, moment)
}

/// The request that trades a refresh token for newer tokens (RFC 6749 §6). The scopes are those of the grant.
pub(crate) fn refresh_request(
    refresh_token: &Secret,
    provider: &Provider,
    metadata: &Metadata,
    dpop_nonce: Option<&str>,
    moment: &mut Moment,
) -> Result<Request<Vec<u8>>, ClientAuthError> {
    let form = vec![
        ("grant_type".into(), Zeroizing::new("refresh_token".to_owned())),
        ("refresh_token".into(), Zeroizing::new(refresh_token.expose().to_owned())),
    ];
    client_auth::post(provider, metadata, Endpoint::Token, form, dpop_nonce, moment)
}

/// The request that gives a token back (RFC 7009 §2.1).
pub(crate) fn revocation_request(
    token: &Secret,
    hint: &str,
    provider: &Provider,
    metadata: &Metadata,
    moment: &mut Moment,
) -> Result<Request<Vec<u8>>, ClientAuthError> {
    let form = vec![
        ("token".into(), Zeroizing::new(token.expose().to_owned())),
        ("token_type_hint".into(), Zeroizing::new(hint.to_owned())),
    ];
    client_auth::post(provider, metadata, Endpoint::Revocation, form, None, moment)
}

/// A request without a body that asks for JSON.
///
/// The endpoint travels with it, for whoever counts requests.
pub(crate) fn request(
    endpoint: Endpoint,
    method: Method,
    url: &Url,
    authorization: Option<HeaderValue>,
) -> Request<Vec<u8>> {
    let mut request = Request::new(Vec::new());
    request.extensions_mut().insert(endpoint);
    *request.method_mut() = method;
    // The metadata was refused unless each endpoint reads as a URI, so the default never shows;
    // it names no host and could not be sent.
    *request.uri_mut() = url.as_str().try_into().unwrap_or_default();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(mut value) = authorization {
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    request
}

/// The tokens of one sign-in.
pub(crate) struct Tokens {
    /// Not there where none was agreed on, whatever came (CB-55).
    pub(crate) id_token: Option<Secret>,
    pub(crate) grant: Grant,
    /// What was granted, if the answer says so.
    pub(crate) authorization_details: Vec<Value>,
}

impl Tokens {
    /// Reads the token endpoint's answer.
    ///
    /// An access token must be of the type that was agreed on, in any case; there may be none, since some
    /// providers give one only for scopes beyond `openid`. Unknown members are ignored.
    ///
    /// `login` is the one that the code belongs to, if it was one: there has to be an ID token where that was agreed
    /// on, and a `state` in the answer has to be its own (CB-57).
    pub(crate) fn read(
        response: &Response<Vec<u8>>,
        provider: &Provider,
        login: Option<&PendingLogin>,
        now: Timestamp,
    ) -> Result<Self, ExchangeError> {
        let endpoint = Endpoint::Token;
        let vendors_own = provider.manner.quirks.contains(&Quirk::VendorTokenAnswer);
        let answer = match form(response).filter(|_| vendors_own) {
            Some(form) => Ok(form),
            None => object(endpoint, response),
        };
        if let Some(refused) = refusal(response.status(), answer.as_ref().ok()) {
            return Err(refused);
        }
        check_status(endpoint, response.status())?;
        let answer = answer?;

        let id_token = match (provider.id_token.required, login) {
            (true, Some(_)) => Some(required_text(&answer, "id_token")?),
            (true, None) => text(&answer, "id_token")?,
            (false, _) => None,
        };
        let access_token = match (&id_token, login) {
            (Some(_), Some(_)) => text(&answer, "access_token")?,
            // Without an ID token there has to be something that the provider stands for (CB-50); and it is what a
            // refresh is about.
            (None, _) | (_, None) => Some(required_text(&answer, "access_token")?),
        };
        let names_grant = provider.manner.quirks.contains(&Quirk::StateNamesGrant);
        if let (Some(state), Some(login)) = (text(&answer, "state")?, login)
            && !(names_grant && state == "authorization_code")
            && !secret::same(state, login.state())
        {
            return Err(ExchangeError::StateDiffers);
        }
        let authorization_details = match answer.get("authorization_details") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(details)) => details.clone(),
            Some(_) => {
                return Err(ExchangeError::MemberMalformed { member: "authorization_details" });
            }
        };
        if let Some(access_token) = access_token {
            let token_type = match text(&answer, "token_type")? {
                None if vendors_own => "Bearer",
                None => return Err(ExchangeError::MemberMissing { member: "token_type" }),
                Some(token_type) => token_type,
            };
            if !token_type.eq_ignore_ascii_case(provider.token_type()) {
                return Err(ExchangeError::TokenType);
            }
            if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(ExchangeError::MemberMalformed { member: "access_token" });
            }
        }
        let refresh_token = text(&answer, "refresh_token")?.filter(|token| !token.is_empty());
        let grant = Grant::new(
            access_token.map(Secret::new),
            refresh_token.map(Secret::new),
            lifetime(&answer),
            now,
        );
        Ok(Self { id_token: id_token.map(Secret::new), grant, authorization_details })
    }
}

/// What a refusal of the token endpoint means; `answer` is what it said, in whichever form.
fn refusal(status: StatusCode, answer: Option<&Object>) -> Option<ExchangeError> {
    let refusal = refusal_in(status, answer)?;
    Some(match refusal.error.known() {
        Some(KnownError::InvalidGrant) => ExchangeError::TokenGrantRefused(refusal),
        Some(known) if known.concerns_the_operator() => ExchangeError::TokenClientRefused(refusal),
        None | Some(_) => match refusal.error.as_str() {
            // GitHub's own words for the same.
            "bad_verification_code" => ExchangeError::TokenGrantRefused(refusal),
            "incorrect_client_credentials" | "redirect_uri_mismatch" => {
                ExchangeError::TokenClientRefused(refusal)
            }
            _ => ExchangeError::TokenRefused(refusal),
        },
    })
}

/// A refusal in the form of RFC 6749 §5.2, whatever the status it came with; a redirect is none.
pub(crate) fn provider_refusal(
    endpoint: Endpoint,
    response: &Response<Vec<u8>>,
) -> Option<ProviderRefusal> {
    refusal_in(response.status(), object(endpoint, response).as_ref().ok())
}

fn refusal_in(status: StatusCode, answer: Option<&Object>) -> Option<ProviderRefusal> {
    let answer = answer.filter(|_| !status.is_redirection())?;
    let code = answer.get("error")?.as_str()?;
    let description = answer.get("error_description").and_then(Value::as_str);
    Some(ProviderRefusal::new(code, description, answer.get("error_uri").and_then(Value::as_str)))
}

/// Whether an endpoint answers that it wants a nonce in the proof of possession (RFC 9449 §8).
pub(crate) fn wants_dpop_nonce(endpoint: Endpoint, response: &Response<Vec<u8>>) -> bool {
    provider_refusal(endpoint, response)
        .is_some_and(|refusal| refusal.error.known() == Some(KnownError::UseDpopNonce))
}

/// An answer that is form-encoded, as GitHub's is unless JSON is asked for; some call it plain text.
/// One that names a member twice is none.
fn form(response: &Response<Vec<u8>>) -> Option<Object> {
    let media_type = media_type(response.headers())?;
    let is_form = ["application/x-www-form-urlencoded", "text/plain"].contains(&&*media_type);
    if !is_form || response.body().len() > BODY_BYTES_MAX {
        return None;
    }
    let mut members = Object::new();
    for (name, value) in form_urlencoded::parse(response.body()) {
        if members.insert(name.into_owned(), Value::String(value.into_owned())).is_some() {
            return None;
        }
    }
    Some(members)
}

/// Only 200 is an answer. A redirect is never followed: it would carry a secret elsewhere.
pub(crate) fn check_status(endpoint: Endpoint, status: StatusCode) -> Result<(), ExchangeError> {
    if status.is_redirection() {
        Err(ExchangeError::Redirected { endpoint, status })
    } else if status != StatusCode::OK {
        Err(ExchangeError::Status { endpoint, status })
    } else {
        Ok(())
    }
}

/// The JSON object in a body that is declared as JSON and of a bearable size.
pub(crate) fn object(
    endpoint: Endpoint,
    response: &Response<Vec<u8>>,
) -> Result<Object, ExchangeError> {
    if response.body().len() > BODY_BYTES_MAX {
        return Err(ExchangeError::TooLarge { endpoint });
    }
    if !is_declared_json(response.headers()) {
        return Err(ExchangeError::NotDeclaredJson { endpoint });
    }
    json::object(response.body()).map_err(|source| ExchangeError::Json { endpoint, source })
}

/// Whether the headers say that the body is JSON.
pub(crate) fn is_declared_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|name| is_json(&name))
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(|name| name.trim().to_ascii_lowercase())
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// `expires_in`: a number of seconds, or the text of one, as some providers write it. What cannot be read is not
/// said: it is advice (RFC 6749 §5.1).
fn lifetime(answer: &Object) -> Option<Duration> {
    let seconds = match answer.get("expires_in")? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => return None,
    };
    Some(Duration::from_secs(seconds))
}

fn text<'a>(answer: &'a Object, member: &'static str) -> Result<Option<&'a str>, ExchangeError> {
    match answer.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(ExchangeError::MemberMalformed { member }),
    }
}

fn required_text<'a>(answer: &'a Object, member: &'static str) -> Result<&'a str, ExchangeError> {
    text(answer, member)?.ok_or(ExchangeError::MemberMissing { member })
}
