//! Access tokens that somebody presents to us, and whether they are good here.
//!
//! A [`PresentedJwt`] has been taken apart and is not believed. Everything that it says is held against the
//! rules before a key is asked for, so that a token which would be refused anyhow never makes us fetch keys; only
//! a signature makes an [`AccessToken`] of it.
//!
//! An ID token is not an access token, though the same issuer signs both. A token whose `typ` is `at+jwt` says
//! what it is (RFC 9068). Many issuers write `JWT`, or nothing: such a token has to carry something that only
//! access tokens carry, and nothing that only other tokens do.
//!
//! A token that is bound to a key or a certificate (`cnf`) is refused: whoever stole it could present it as a
//! bearer token, and we were not shown the key.
//!
//! Sources: RFC 6750 §3.1; RFC 7519 §4.1; RFC 8705 §3; RFC 8725 §3.9 to §3.12; RFC 9068 §2, §4, §5; RFC 9449 §7.2.

use std::time::Duration;

use serde_json::Value;

use crate::claims::{VerifiedClaims, word};
use crate::exchange::ExchangeError;
use crate::id_token::{self, Claims, IdTokenError};
use crate::json::{self, Object};
use crate::jwks::KeySet;
use crate::jws::{CompactJws, Header};
use crate::membership;
use crate::provider::{Algorithm, Provider};
use crate::quirk;
use crate::response::{SubjectRule, SubjectType};
use crate::secret::Secret;
use crate::time::Timestamp;

/// What an access token has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenRules {
    /// Whom it has to be for: one of these. `None` leaves it to the introspection endpoint, which knows who asks
    /// (RFC 7662 §4); no JWT is good without.
    pub audiences: Option<Vec<String>>,
    /// The algorithms that it may be signed with. One with a shared secret never counts.
    pub algorithms: Vec<Algorithm>,
    /// How a JWT says what it is.
    pub typ: AccessTokenType,
}

/// How a JWT says that it is an access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenType {
    /// By `typ` `at+jwt`, or else by what is in it.
    #[default]
    Inferred,
    /// By `typ` `at+jwt`, and in no other way (RFC 9068 §4).
    Declared,
}

/// A token that was verified, or that its issuer vouched for when it was asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessToken {
    /// What it says about whoever it was issued for. `scope` is a list of words in here.
    pub claims: VerifiedClaims,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// When it ends, with the clock tolerance; `None` where an introspection endpoint does not say.
    pub good_until: Option<Timestamp>,
}

/// Why a token is not good here. Carries nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// It is for somebody else.
    #[error("`aud` names none of the audiences of this route")]
    Audience,
    /// It may be used only by whoever has a key that was not shown.
    #[error("the token is bound to a key (`cnf`), and was presented as a bearer token")]
    Bound,
    /// The introspection endpoint says that it is worth nothing.
    #[error("the provider says that the token is not active")]
    Inactive,
    /// The operator lets in some of the provider's people, and this is none of them.
    #[error("the token does not show a membership in: {}", lacking.join(", "))]
    Membership {
        /// The lists of which there is no entry.
        lacking: Vec<String>,
    },
    /// Nothing in it says that it is an access token, or something says that it is another one.
    #[error("nothing shows that this is an access token and no other: {0}")]
    NotAnAccessToken(&'static str),
    /// A step of verification failed.
    #[error(transparent)]
    Token(#[from] IdTokenError),
    /// The introspection endpoint gave no answer that can be read.
    #[error("the introspection endpoint gave no answer")]
    Unanswered(#[source] ExchangeError),
}

impl AccessTokenError {
    /// Whether nothing is known of the token because the provider could not be asked.
    #[must_use]
    pub const fn is_about_the_provider(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether the provider may have published a fitting key since ours were fetched.
    #[must_use]
    pub const fn may_pass_with_newer_keys(&self) -> bool {
        matches!(self, Self::Token(error) if error.may_pass_with_newer_keys())
    }
}

/// A token in compact form, with its claims. Nothing in it has been verified.
pub struct PresentedJwt<'a> {
    jws: CompactJws<'a>,
    claims: Claims,
}

impl<'a> PresentedJwt<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is no JWT in its one canonical form, or no signed one. It may still be an opaque token.
    pub fn read(token: &'a Secret) -> Result<Self, AccessTokenError> {
        let jws = CompactJws::read(token.expose()).map_err(IdTokenError::Form)?;
        let claims = Claims(json::object(&jws.payload).map_err(IdTokenError::Claims)?);
        Ok(Self { jws, claims })
    }

    /// Whether it claims to be of `provider`, whose metadata names `published_issuer`.
    #[must_use]
    pub fn names(&self, provider: &Provider, published_issuer: &str) -> bool {
        self.claims.check_issuer(provider, published_issuer).is_ok()
    }

    /// Verifies it.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn verify(
        self,
        provider: &Provider,
        published_issuer: &str,
        rules: &AccessTokenRules,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<AccessToken, AccessTokenError> {
        let Self { jws, claims } = self;
        let algorithm = id_token::algorithm(&jws.header, &rules.algorithms)?;
        if algorithm == Algorithm::HS256 {
            return Err(IdTokenError::Algorithm.into());
        }
        let issuer = claims.check_issuer(provider, published_issuer)?;
        // Without an audience every token of the issuer would be good here, whatever it was issued for.
        let audiences = rules.audiences.as_deref().unwrap_or_default();
        check_audience(&claims.0, audiences)?;
        check_type(&jws.header, &claims.0, rules.typ)?;
        let good_until = claims.required_date("exp")?.plus(provider.clock_tolerance);
        check_times(&claims, Some(good_until), provider.clock_tolerance, now)?;
        check_unbound(&claims.0)?;
        claims.subject()?;
        let subject = owner(&claims)?;
        id_token::check_signature(&jws, algorithm, provider, keys)?;
        accepted(issuer, subject, claims.0, Some(good_until), provider)
    }
}

/// Makes what is known about the token's owner of claims that are believed.
pub(crate) fn accepted(
    issuer: String,
    subject: String,
    mut members: Object,
    good_until: Option<Timestamp>,
    provider: &Provider,
) -> Result<AccessToken, AccessTokenError> {
    let scopes = scopes(&members);
    let words = scopes.iter().cloned().map(Value::String).collect();
    // Whoever reads the claim reads the same one.
    members.insert("sub".to_owned(), Value::String(subject.clone()));
    members.insert("scope".to_owned(), Value::Array(words));
    let manner = &provider.manner;
    quirk::translate(&manner.quirks, &manner.groups_claim, &mut members);
    let lacking = match manner.memberships.is_empty() {
        true => Vec::new(),
        false => membership::lacking(&manner.memberships, &members),
    };
    if !lacking.is_empty() {
        return Err(AccessTokenError::Membership { lacking });
    }
    let subject_type = SubjectType::Claim;
    let claims = VerifiedClaims { issuer, subject, subject_type, auth_time: None, members };
    // People are the same ones whether they come with a session or with a token.
    let claims = match &provider.answers.subject {
        SubjectRule::Claim(path) if path == "sub" => claims,
        rule @ SubjectRule::Claim(_) => claims
            .with_subject(rule, String::new())
            .ok_or(IdTokenError::ClaimMalformed { claim: "the subject's claim" })?,
        SubjectRule::Pseudonymous => {
            return Err(IdTokenError::ClaimMalformed { claim: "sub" }.into());
        }
    };
    Ok(AccessToken { claims, scopes, good_until })
}

/// Claims that name the client that a token was issued to: the standard's, Entra's (`appid`), OpenID Connect's (`azp`) and
/// Okta's (`cid`).
const OF_CLIENTS: [&str; 4] = ["appid", "azp", "cid", "client_id"];

/// Whose token it is. A client's own has the client's name for a subject, or none (RFC 9068 §2.2, RFC 7662 §2.2), and
/// is told from a person's: whoever may choose a client's name would otherwise be the person who is called so (RFC
/// 9068 §5).
pub(crate) fn owner(claims: &Claims) -> Result<String, AccessTokenError> {
    let owner = match claims.text("sub")? {
        Some(subject) => {
            let is_it = |name: &&str| claims.0.get(*name).is_some_and(|client| client == subject);
            match OF_CLIENTS.iter().any(is_it) {
                true => format!("client:{subject}"),
                false => subject.to_owned(),
            }
        }
        None => {
            let client = claims.text("client_id")?;
            let client = client.ok_or(IdTokenError::ClaimMissing { claim: "sub" })?;
            format!("client:{client}")
        }
    };
    if id_token::is_subject(&owner) {
        Ok(owner)
    } else {
        Err(IdTokenError::ClaimMalformed { claim: "sub" }.into())
    }
}

/// `aud` has to name one of `audiences`; it may name others beside it (RFC 7519 §4.1.3).
pub(crate) fn check_audience(
    members: &Object,
    audiences: &[String],
) -> Result<(), AccessTokenError> {
    let malformed = || IdTokenError::ClaimMalformed { claim: "aud" };
    let named: Vec<&str> = match members.get("aud") {
        None => return Err(IdTokenError::ClaimMissing { claim: "aud" }.into()),
        Some(Value::Array(names)) => {
            let names = names.iter().map(Value::as_str).collect::<Option<_>>();
            names.ok_or_else(malformed)?
        }
        Some(value) => vec![value.as_str().ok_or_else(malformed)?],
    };
    if named.iter().any(|name| audiences.iter().any(|audience| audience == name)) {
        Ok(())
    } else {
        Err(AccessTokenError::Audience)
    }
}

/// Whether the token's time has come and is not over. `iat` is optional, and is no time in the future.
pub(crate) fn check_times(
    claims: &Claims,
    good_until: Option<Timestamp>,
    tolerance: Duration,
    now: Timestamp,
) -> Result<(), AccessTokenError> {
    if let Some(good_until) = good_until.filter(|until| now >= *until) {
        return Err(IdTokenError::Expired { by: now.since(good_until) }.into());
    }
    let latest = now.plus(tolerance);
    if let Some(not_before) = claims.date("nbf")?.filter(|start| *start > latest) {
        return Err(IdTokenError::NotYetValid { by: not_before.since(latest) }.into());
    }
    if let Some(issued) = claims.date("iat")?.filter(|issued| *issued > latest) {
        return Err(IdTokenError::IssuedInTheFuture { by: issued.since(latest) }.into());
    }
    Ok(())
}

pub(crate) fn check_unbound(members: &Object) -> Result<(), AccessTokenError> {
    match members.get("cnf") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(AccessTokenError::Bound),
    }
}

/// Claims that only ID tokens have, or only logout tokens and the like (OIDC Core §2, §3.3.2.11; RFC 8417).
const OF_OTHER_TOKENS: [&str; 6] = ["at_hash", "c_hash", "events", "nonce", "s_hash", "sub_id"];

/// Claims that say for whom an access token was issued or what it may be used for, in the standard's words and in
/// those of Okta (`cid`, `scp`) and Entra (`appid`, `azpacr`). ID tokens have none of them.
const OF_ACCESS_TOKENS: [&str; 5] = ["appid", "azpacr", "cid", "scope", "scp"];

/// What every access token of RFC 9068 has. Some ID tokens have the first of them (those of the library
/// zitadel/oidc), others the second; none that we know has both.
const OF_ACCESS_TOKENS_TOGETHER: [&str; 2] = ["client_id", "jti"];

/// What vendors write in the claims to tell their tokens apart: Keycloak `typ`, Cognito and Hydra `token_use`.
const KIND_CLAIMS: [&str; 2] = ["token_use", "typ"];

const KINDS_OF_ACCESS: [&str; 4] = ["access", "access_token", "at+jwt", "bearer"];

/// Whether what the vendor writes in the claims says that it is another token. `Ok(true)`: it says that it is an
/// access token.
pub(crate) fn says_access(members: &Object) -> Result<bool, AccessTokenError> {
    let mut said = false;
    for name in KIND_CLAIMS {
        let Some(kind) = members.get(name) else { continue };
        let is_access =
            |kind: &str| KINDS_OF_ACCESS.iter().any(|access| kind.eq_ignore_ascii_case(access));
        if !kind.as_str().is_some_and(is_access) {
            return Err(AccessTokenError::NotAnAccessToken(
                "a claim names it as a token of another kind",
            ));
        }
        said = true;
    }
    Ok(said)
}

fn check_type(
    header: &Header,
    members: &Object,
    rule: AccessTokenType,
) -> Result<(), AccessTokenError> {
    let kind = header.kind.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    if kind == "at+jwt" {
        return Ok(());
    }
    let refuse = |why| Err(AccessTokenError::NotAnAccessToken(why));
    match rule {
        AccessTokenType::Declared => refuse("`typ` in the header is not `at+jwt`"),
        AccessTokenType::Inferred if kind != "jwt" => {
            refuse("`typ` in the header names a token of another kind")
        }
        AccessTokenType::Inferred => {
            if OF_OTHER_TOKENS.iter().any(|name| members.contains_key(*name)) {
                return refuse("it has a claim that only tokens of another kind have");
            }
            if says_access(members)? {
                return Ok(());
            }
            let has = |name: &&str| members.contains_key(*name);
            if OF_ACCESS_TOKENS.iter().any(has) || OF_ACCESS_TOKENS_TOGETHER.iter().all(has) {
                return Ok(());
            }
            refuse("it has no claim that only access tokens have, such as `scope`")
        }
    }
}

/// The scopes: `scope`, words with spaces between them, or `scp`, as Entra and Okta write it.
fn scopes(members: &Object) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for value in ["scope", "scp"].into_iter().filter_map(|name| members.get(name)) {
        let texts = match value {
            Value::Array(items) => items.iter().filter_map(word).collect(),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_)) => word(other).into_iter().collect::<Vec<_>>(),
        };
        for scope in texts.iter().flat_map(|text| text.split(' ')).filter(|text| !text.is_empty()) {
            if !scopes.iter().any(|known| known == scope) {
                scopes.push(scope.to_owned());
            }
        }
    }
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(value: Value) -> Object {
        let Value::Object(members) = value else { panic!("{value} is no object") };
        members
    }

    fn header(typ: &str) -> Header {
        Header { algorithm: "RS256".to_owned(), key_id: None, kind: Some(typ.to_owned()) }
    }

    /// RFC 9068 §2.2, §5: whoever registers a client called `ada` is not the person `ada`.
    #[test]
    fn a_token_of_a_client_is_nobodys_who_is_called_like_it() {
        for (claims, expected) in [
            (json!({ "sub": "ada" }), "ada"),
            (json!({ "sub": "ada", "client_id": "batch" }), "ada"),
            (json!({ "sub": "ada", "client_id": "Ada" }), "ada"),
            (json!({ "sub": "ada", "azp": "app", "appid": 7, "client_id": 7 }), "ada"),
            (json!({ "sub": "ada", "client_id": "ada" }), "client:ada"),
            (json!({ "sub": "ada", "client_id": "batch", "azp": "ada" }), "client:ada"),
            (json!({ "sub": "ada", "cid": "ada" }), "client:ada"),
            (json!({ "sub": "ada", "appid": "ada" }), "client:ada"),
            (json!({ "client_id": "ada" }), "client:ada"),
        ] {
            assert_eq!(
                owner(&Claims(members(claims.clone()))).as_deref(),
                Ok(expected),
                "{claims}"
            );
        }
        for claims in [
            json!({}),
            json!({ "azp": "ada" }),
            json!({ "sub": "" }),
            json!({ "sub": 7, "client_id": "ada" }),
            json!({ "client_id": ["ada"] }),
            json!({ "sub": "a".repeat(250), "client_id": "a".repeat(250) }),
        ] {
            assert!(owner(&Claims(members(claims.clone()))).is_err(), "{claims}");
        }
    }

    /// G9: what looks like an access token, and is an ID token.
    #[test]
    fn one_mark_that_some_id_tokens_have_makes_no_access_token() {
        for (claims, expected) in [
            (json!({}), false),
            (json!({ "client_id": "app" }), false),
            (json!({ "client_id": "app", "azp": "app", "auth_time": 1, "amr": ["pwd"] }), false),
            (json!({ "jti": "1" }), false),
            (json!({ "client_id": "app", "jti": "1" }), true),
            (json!({ "client_id": "app", "jti": "1", "nonce": "n" }), false),
            (json!({ "client_id": "app", "jti": "1", "at_hash": "h" }), false),
            (json!({ "scope": "a" }), true),
            (json!({ "scp": ["a"] }), true),
            (json!({ "typ": "Bearer" }), true),
            (json!({ "typ": "ID", "scope": "a" }), false),
        ] {
            let said =
                check_type(&header("JWT"), &members(claims.clone()), AccessTokenType::Inferred);
            assert_eq!(said.is_ok(), expected, "{claims}");
            let declared =
                check_type(&header("at+jwt"), &members(claims), AccessTokenType::Inferred);
            assert!(declared.is_ok());
        }
    }
}
