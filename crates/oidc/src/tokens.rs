//! The token endpoint's wire form: the one request, and how its answer is read.
//!
//! An answer is a success only if it is all that a success must be; everything else is one clean
//! failure. A code is sent once and never again, whatever came back.
//!
//! Sources: RFC 6749 §2.3.1, §4.1.3, §5; RFC 7636 §4.5; OIDC Core §3.1.3, §9.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::callback::MatchedCallback;
use crate::discovery::Metadata;
use crate::exchange::{Endpoint, ExchangeError};
use crate::json::{self, Object};
use crate::provider::{ClientAuth, Provider, SecretMethod};
use crate::quirk::Quirk;
use crate::refusal::{KnownError, ProviderRefusal};
use crate::secret::Secret;

/// How long an answer may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Everything but the unreserved characters of RFC 3986 §2.3. Many servers compare the parts of
/// Basic authentication undecoded, so nothing is encoded that need not be; and a space becomes
/// `%20` rather than `+`, which form decoders and others read alike.
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The request that trades a code for tokens.
pub(crate) fn code_request(
    callback: &MatchedCallback,
    provider: &Provider,
    metadata: &Metadata,
) -> Request<Vec<u8>> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", callback.code.expose())
        .append_pair("redirect_uri", callback.login.redirect_uri())
        .append_pair("code_verifier", callback.login.verifier().expose());

    let mut authorization = None;
    match &provider.client_auth {
        ClientAuth::None => {
            form.append_pair("client_id", &provider.client_id);
        }
        ClientAuth::Secret { secret, method } => {
            match method.unwrap_or_else(|| SecretMethod::by_metadata(metadata)) {
                SecretMethod::Basic => authorization = basic(&provider.client_id, secret),
                SecretMethod::Post => {
                    form.append_pair("client_id", &provider.client_id)
                        .append_pair("client_secret", secret.expose());
                }
            }
        }
    }

    let mut request = request(Method::POST, &metadata.token_endpoint, authorization);
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    *request.body_mut() = form.finish().into_bytes();
    request
}

/// A request without a body that asks for JSON.
pub(crate) fn request(
    method: Method,
    url: &Url,
    authorization: Option<HeaderValue>,
) -> Request<Vec<u8>> {
    let mut request = Request::new(Vec::new());
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

fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let id = utf8_percent_encode(client_id, RESERVED);
    let secret = utf8_percent_encode(secret.expose(), RESERVED);
    let credentials = STANDARD.encode(format!("{id}:{secret}"));
    HeaderValue::try_from(format!("Basic {credentials}")).ok()
}

/// The tokens of one sign-in.
pub(crate) struct Tokens {
    /// There whenever one is required, and never otherwise.
    pub(crate) id_token: Option<Secret>,
    pub(crate) access_token: Option<Secret>,
}

impl Tokens {
    /// Reads the token endpoint's answer.
    ///
    /// An access token must be of type `Bearer`, in any case; there may be none, since some
    /// providers give one only for scopes beyond `openid`. Unknown members are ignored.
    pub(crate) fn read(
        response: &Response<Vec<u8>>,
        provider: &Provider,
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

        let id_token = match provider.id_token.required {
            true => Some(required_text(&answer, "id_token")?),
            false => None,
        };
        let access_token = text(&answer, "access_token")?;
        if let Some(access_token) = access_token {
            let token_type = match text(&answer, "token_type")? {
                None if vendors_own => "Bearer",
                None => return Err(ExchangeError::MemberMissing { member: "token_type" }),
                Some(token_type) => token_type,
            };
            if !token_type.eq_ignore_ascii_case("Bearer") {
                return Err(ExchangeError::TokenType);
            }
            if access_token.is_empty() || !access_token.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(ExchangeError::MemberMalformed { member: "access_token" });
            }
        }
        Ok(Self {
            id_token: id_token.map(Secret::new),
            access_token: access_token.map(Secret::new),
        })
    }
}

/// A refusal in the form of RFC 6749 §5.2, whatever the status it came with; a redirect is none.
fn refusal(status: StatusCode, answer: Option<&Object>) -> Option<ExchangeError> {
    if status.is_redirection() {
        return None;
    }
    let answer = answer?;
    let code = answer.get("error")?.as_str()?;
    let description = answer.get("error_description").and_then(Value::as_str);
    let refusal = ProviderRefusal::new(code, description);
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

fn text<'a>(answer: &'a Object, member: &'static str) -> Result<Option<&'a str>, ExchangeError> {
    match answer.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(ExchangeError::MemberMalformed { member }),
    }
}

fn required_text<'a>(answer: &'a Object, member: &'static str) -> Result<&'a str, ExchangeError> {
    text(answer, member)?.ok_or(ExchangeError::MemberMissing { member })
}
