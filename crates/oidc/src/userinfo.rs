//! Further claims from the userinfo endpoint, asked with the access token just received.
//!
//! The answer is not signed; it is believed because it came over TLS from the provider, and only
//! as far as it is about the same person (`sub`) and says nothing that the ID token already said.
//! Where it was agreed on that it is signed or encrypted (`application/jwt`), it has to be.
//!
//! Sources: OIDC Core §5.3; RFC 6750 §2.1.

use http::header::ACCEPT;
use http::{HeaderValue, Method, Request, Response};
use url::Url;

use crate::claims::VerifiedClaims;
use crate::client_auth::ClientAuthError;
use crate::discovery::Metadata;
use crate::exchange::{Endpoint, ExchangeError};
use crate::id_token;
use crate::json::Object;
use crate::jwks::KeySet;
use crate::moment::Moment;
use crate::provider::{Provider, Userinfo};
use crate::secret::{self, Secret};
use crate::time::Timestamp;
use crate::tokens;

/// Claims that speak of the token and not of the person. Userinfo has no say in them, even where
/// the ID token is silent.
const ABOUT_THE_TOKEN: [&str; 17] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "c_hash",
    "cnf",
    "events",
    "exp",
    "iat",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "s_hash",
    "sid",
];

/// Claims that vouch for another one, and are worth something only together with it.
const VOUCHES_FOR: [(&str, &str); 2] =
    [("email_verified", "email"), ("phone_number_verified", "phone_number")];

/// Whether `claims` leave something to ask for.
pub(crate) fn is_wanted(when: &Userinfo, claims: &VerifiedClaims) -> bool {
    match when {
        Userinfo::Always => true,
        Userinfo::Never => false,
        Userinfo::WhenMissing(paths) => paths.iter().any(|path| claims.value(path).is_none()),
    }
}

/// Whether it was agreed on that userinfo is a token.
fn is_token(provider: &Provider) -> bool {
    let rules = &provider.answers;
    !rules.userinfo_signed_response_algs.is_empty() || rules.userinfo_encryption.is_some()
}

/// The token goes into a header; in the query or a form it would end up in logs (F2-04).
///
/// `dpop_nonce` is the one that the endpoint just asked for.
pub(crate) fn request(
    provider: &Provider,
    url: &Url,
    access_token: &Secret,
    dpop_nonce: Option<&str>,
    moment: &mut Moment,
) -> Result<Request<Vec<u8>>, ExchangeError> {
    let scheme = provider.token_type();
    let authorization = HeaderValue::try_from(format!("{scheme} {}", access_token.expose()))
        .map_err(|_| ExchangeError::MemberMalformed { member: "access_token" })?;
    let mut request = tokens::request(Endpoint::Userinfo, Method::GET, url, Some(authorization));
    if is_token(provider) {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/jwt"));
    }
    if let Some(dpop) = &provider.dpop {
        let token = Some(access_token);
        dpop.prove(&mut request, url, token, dpop_nonce, moment).map_err(ClientAuthError::from)?;
    }
    Ok(request)
}

/// Adds what the userinfo endpoint says to what the ID token said.
pub(crate) fn add(
    response: &Response<Vec<u8>>,
    claims: &mut VerifiedClaims,
    provider: &Provider,
    metadata: &Metadata,
    keys: &KeySet,
    now: Timestamp,
) -> Result<(), ExchangeError> {
    let endpoint = Endpoint::Userinfo;
    tokens::check_status(endpoint, response.status())?;
    let came_as_token =
        tokens::media_type(response.headers()).as_deref() == Some("application/jwt");
    let answer = match (came_as_token, is_token(provider)) {
        (true, false) => return Err(ExchangeError::UserinfoSigned),
        (false, true) => return Err(ExchangeError::UserinfoUnsigned),
        (false, false) => tokens::object(endpoint, response)?,
        (true, true) => {
            let token = str::from_utf8(response.body())
                .map_err(|_| ExchangeError::NotDeclaredJson { endpoint })?;
            let token = Secret::new(token.trim());
            id_token::verify_userinfo(&token, provider, &metadata.issuer, keys, now)
                .map_err(ExchangeError::UserinfoToken)?
        }
    };
    // Where there is no ID token, this is where the person is named at all.
    let same_person = claims.subject().is_empty()
        || answer
            .get("sub")
            .and_then(|subject| subject.as_str())
            .is_some_and(|subject| secret::same(subject, claims.subject()));
    if !same_person {
        return Err(ExchangeError::UserinfoSubject);
    }
    merge(&answer, &mut claims.members);
    Ok(())
}

/// Whether a claim speaks of the token and not of the person.
pub(crate) fn is_about_the_token(claim: &str) -> bool {
    ABOUT_THE_TOKEN.contains(&claim)
}

/// Adds what an unsigned answer says: never about the token, and never against what is known.
pub(crate) fn merge(answer: &Object, claims: &mut Object) {
    // Whatever vouches is dropped where it vouches for something else than the ID token's claim.
    let vouches_in_vain = |name: &str| {
        VOUCHES_FOR.iter().any(|(voucher, subject)| {
            *voucher == name
                && claims.get(*subject).is_some_and(|ours| answer.get(*subject) != Some(ours))
        })
    };
    let additions: Object = answer
        .iter()
        .filter(|(name, _)| {
            !is_about_the_token(name) && !claims.contains_key(*name) && !vouches_in_vain(name)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    claims.extend(additions);
}
