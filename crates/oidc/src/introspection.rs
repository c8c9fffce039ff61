//! Asking a provider what a token is worth: for tokens that say nothing themselves.
//!
//! The request is made by the one function that proves who we are, so every way of client authentication works here.
//! An answer is read strictly: `active` is `true` or the token is worth nothing, and what is no answer is said to be
//! none, which is no word against the token.
//!
//! Sources: RFC 7662 §2, §4; RFC 9700 §4.9.

use http::{Request, Response};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::access_token::{self, AccessToken, AccessTokenError, AccessTokenRules};
use crate::client_auth::{self, ClientAuthError};
use crate::discovery::Metadata;
use crate::exchange::{Endpoint, ExchangeError};
use crate::id_token::Claims;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::tokens;

/// The request that asks about `token`.
///
/// # Errors
/// The provider has no such endpoint, or the request cannot be made.
pub fn request(
    token: &Secret,
    provider: &Provider,
    metadata: &Metadata,
    mut moment: Moment,
) -> Result<Request<Vec<u8>>, ClientAuthError> {
    let form = vec![
        ("token".into(), Zeroizing::new(token.expose().to_owned())),
        ("token_type_hint".into(), Zeroizing::new("access_token".to_owned())),
    ];
    client_auth::post(provider, metadata, Endpoint::Introspection, form, None, &mut moment)
}

/// Reads the answer.
///
/// # Errors
/// The token is not good here, or [there is no answer](AccessTokenError::is_about_the_provider).
pub fn receive(
    response: &Response<Vec<u8>>,
    provider: &Provider,
    metadata: &Metadata,
    rules: &AccessTokenRules,
    now: Timestamp,
) -> Result<AccessToken, AccessTokenError> {
    let endpoint = Endpoint::Introspection;
    let answer = tokens::check_status(endpoint, response.status())
        .and_then(|()| tokens::object(endpoint, response))
        .map_err(AccessTokenError::Unanswered)?;
    match answer.get("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(AccessTokenError::Inactive),
        None | Some(_) => {
            let malformed = ExchangeError::MemberMalformed { member: "active" };
            return Err(AccessTokenError::Unanswered(malformed));
        }
    }
    // What follows was said about an active token, so whatever is wrong with it is wrong with the token here.
    let claims = Claims(answer);
    let issuer = match claims.text("iss")? {
        None => provider.issuer.clone(),
        Some(_) => claims.check_issuer(provider, &metadata.issuer)?,
    };
    if let Some(audiences) = &rules.audiences {
        access_token::check_audience(&claims.0, audiences)?;
    }
    if claims.text("token_type")?.is_some_and(|kind| !is_bearer(kind)) {
        return Err(AccessTokenError::NotAnAccessToken("`token_type` is not `Bearer`"));
    }
    access_token::says_access(&claims.0)?;
    access_token::check_unbound(&claims.0)?;
    let good_until = claims.date("exp")?.map(|date| date.plus(provider.clock_tolerance));
    access_token::check_times(&claims, good_until, provider.clock_tolerance, now)?;
    let subject = access_token::owner(&claims)?;
    access_token::accepted(issuer, subject, claims.0, good_until, provider)
}

/// Some answer with what the token is, where others name the scheme that it is used with.
fn is_bearer(kind: &str) -> bool {
    ["bearer", "access_token", "urn:ietf:params:oauth:token-type:access_token"]
        .iter()
        .any(|bearer| kind.eq_ignore_ascii_case(bearer))
}
