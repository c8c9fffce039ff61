//! Verification of an ID token, step by step.
//!
//! Every step of OIDC Core §3.1.3.7 is taken for every token, the signature included, though the
//! specification would let a token from the token endpoint pass without. The algorithm comes from
//! the operator's list; the token merely says which of them it used. Claims have one type each: a
//! claim of another type is malformed, never absent.
//!
//! Sources: OIDC Core §2, §3.1.3.6, §3.1.3.7, §3.3.2.11, §3.3.2.12; FAPI 1.0 Part 2 §5.2.2.1; RFC 7519 §4.1, §7.2;
//! RFC 8725 §3.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::claims::VerifiedClaims;
use crate::json::{self, MalformedJson, Object};
use crate::jwe::{self, Encryption, JweError};
use crate::jwks::KeySet;
use crate::jws::{CompactJws, Header, JwsError};
use crate::provider::{Algorithm, Provider};
use crate::response::SubjectType;
use crate::secret::{self, Secret};
use crate::time::Timestamp;

/// How long ago an ID token may have been issued, beyond the clock tolerance.
///
/// It was made for the request that just brought it. Minutes allow for a slow provider and for
/// clocks; a token from last week is a replay, whatever its expiry says.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// The largest number that every JSON reader takes for the same (RFC 8259 §6).
const EXACT_NUMBER_MAX: f64 = 9_007_199_254_740_992.0;

/// What an ID token must agree with.
pub(crate) struct Expected<'a> {
    pub(crate) provider: &'a Provider,
    /// The issuer that the metadata names.
    pub(crate) published_issuer: &'a str,
    pub(crate) occasion: Occasion<'a>,
    pub(crate) access_token: Option<&'a Secret>,
}

/// What brought the token here.
#[derive(Clone, Copy)]
pub(crate) enum Occasion<'a> {
    /// A browser did, which began a login with this nonce.
    Login {
        /// The login's. `None`: it was begun without one, and none is looked at.
        nonce: Option<&'a Secret>,
    },
    /// The authorization response did, beside a code for which it vouches (OIDC Core §3.3.2.11, FAPI 1.0 Part 2
    /// §5.2.2.1): it says which code and which `state`.
    Answer {
        /// The login's.
        nonce: Option<&'a Secret>,
        /// What came beside it.
        code: &'a Secret,
        /// The login's.
        state: &'a str,
    },
    /// A refresh did: no browser took part, so the token has no nonce of ours, and the person proved who they are
    /// when they signed in (OIDC Core §12.2).
    Refresh,
}

/// Takes every step, or stops at the first that fails.
pub(crate) fn verify(
    token: &Secret,
    expected: &Expected<'_>,
    keys: &KeySet,
    now: Timestamp,
) -> Result<VerifiedClaims, IdTokenError> {
    let provider = expected.provider;
    let token = open(token, provider.id_token.encryption.as_ref(), provider)?;
    let jws = CompactJws::read(token.expose()).map_err(IdTokenError::Form)?;
    let algorithm = algorithm(&jws.header, &provider.id_token.signed_response_algs)?;
    check_kind(&jws.header)?;
    check_signature(&jws, algorithm, provider, keys)?;

    let claims = Claims(json::object(&jws.payload).map_err(IdTokenError::Claims)?);
    let issuer = claims.check_issuer(provider, expected.published_issuer)?;
    claims.check_audience(provider)?;
    claims.check_times(provider.clock_tolerance, now)?;
    match expected.occasion {
        Occasion::Answer { nonce, code, state } => {
            claims.check_nonce(nonce.ok_or(IdTokenError::Nonce)?)?;
            if !claims.hashes("c_hash", algorithm, code.expose())? {
                return Err(IdTokenError::CodeHash);
            }
            if !claims.hashes("s_hash", algorithm, state)? {
                return Err(IdTokenError::StateHash);
            }
        }
        Occasion::Login { nonce: Some(nonce) } => claims.check_nonce(nonce)?,
        Occasion::Login { nonce: None } | Occasion::Refresh => {}
    }
    claims.check_access_token(algorithm, expected.access_token)?;
    let subject = claims.subject()?;
    let auth_time = match expected.occasion {
        Occasion::Answer { .. } | Occasion::Login { .. } => {
            claims.check_authentication_context(provider)?;
            claims.auth_time(provider.authorization.max_age, provider, now)?
        }
        Occasion::Refresh => claims.auth_time(None, provider, now)?,
    };
    let subject_type = SubjectType::Claim;
    Ok(VerifiedClaims { issuer, subject, subject_type, auth_time, members: claims.0 })
}

/// Verifies a signed authorization response (JARM §2.4): whom it is from and for before anything is asked of
/// the keys, and nothing of it is used before all has passed (`FM-02`).
pub(crate) fn verify_response(
    token: &Secret,
    provider: &Provider,
    published_issuer: &str,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Object, IdTokenError> {
    let rules = &provider.answers;
    let token = open(token, rules.authorization_encryption.as_ref(), provider)?;
    let jws = CompactJws::read(token.expose()).map_err(IdTokenError::Form)?;
    let algorithm = algorithm(&jws.header, &rules.authorization_signed_response_algs)?;
    check_kind(&jws.header)?;
    let claims = Claims(json::object(&jws.payload).map_err(IdTokenError::Claims)?);
    claims.check_issuer(provider, published_issuer)?;
    claims.check_audience(provider)?;
    let expires = claims.required_date("exp")?.plus(provider.clock_tolerance);
    if now >= expires {
        return Err(IdTokenError::Expired { by: now.since(expires) });
    }
    check_signature(&jws, algorithm, provider, keys)?;
    Ok(claims.0)
}

/// Verifies signed userinfo (OIDC Core §5.3.2). Whom it is about is the caller's to compare.
pub(crate) fn verify_userinfo(
    token: &Secret,
    provider: &Provider,
    published_issuer: &str,
    keys: &KeySet,
    now: Timestamp,
) -> Result<Object, IdTokenError> {
    let rules = &provider.answers;
    let token = open(token, rules.userinfo_encryption.as_ref(), provider)?;
    if rules.userinfo_signed_response_algs.is_empty() {
        return json::object(token.expose().as_bytes()).map_err(IdTokenError::Claims);
    }
    let jws = CompactJws::read(token.expose()).map_err(IdTokenError::Form)?;
    let algorithm = algorithm(&jws.header, &rules.userinfo_signed_response_algs)?;
    check_kind(&jws.header)?;
    check_signature(&jws, algorithm, provider, keys)?;
    let claims = Claims(json::object(&jws.payload).map_err(IdTokenError::Claims)?);
    claims.check_issuer(provider, published_issuer)?;
    claims.check_audience(provider)?;
    if let Some(expires) = claims.date("exp")?.map(|date| date.plus(provider.clock_tolerance))
        && now >= expires
    {
        return Err(IdTokenError::Expired { by: now.since(expires) });
    }
    claims.check_start(provider.clock_tolerance, now)?;
    Ok(claims.0)
}

/// Takes off the encryption that was agreed on. What was not agreed on is refused later, as no signed token.
fn open<'a>(
    token: &'a Secret,
    encryption: Option<&Encryption>,
    provider: &Provider,
) -> Result<Cow<'a, Secret>, IdTokenError> {
    match encryption {
        None => Ok(Cow::Borrowed(token)),
        Some(agreed) => jwe::decrypt(token.expose(), agreed, &provider.decryption_keys)
            .map(Cow::Owned)
            .map_err(IdTokenError::Encryption),
    }
}

/// Which check an ID token failed, or another token that the provider signed for us: signed responses and
/// userinfo are verified by the same steps. Carries no text of the token, save the name of an unknown key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// `at_hash` does not fit the access token: the two were not issued together.
    #[error("`at_hash` does not fit the access token")]
    AccessTokenHash,
    /// The algorithm is none that the operator allows, or none at all.
    #[error("the token is signed with an algorithm that is not allowed")]
    Algorithm,
    /// The token is for someone else.
    #[error("`aud` does not name this client")]
    Audience,
    /// The token is also for someone else, whom nobody told us to trust.
    #[error("`aud` names others beside this client")]
    AudienceNotOursAlone,
    /// The person did not prove who they are in one of the ways that are required.
    #[error("`acr` is none of those that are required")]
    AuthenticationContext,
    /// The person proved who they are longer ago than `max_age` allows.
    #[error("the person last signed in {} s longer ago than `max_age` allows", by.as_secs())]
    AuthenticatedTooLongAgo {
        /// How much longer, beyond the clock tolerance.
        by: Duration,
    },
    /// The token was issued to another client.
    #[error("`azp` names another client")]
    AuthorizedParty,
    /// A claim is of the wrong type, or out of its range.
    #[error("`{claim}` is malformed")]
    ClaimMalformed {
        /// Which claim.
        claim: &'static str,
    },
    /// A claim that must be there is not.
    #[error("`{claim}` is missing")]
    ClaimMissing {
        /// Which claim.
        claim: &'static str,
    },
    /// The claims are not a JSON object, or one is given twice.
    #[error("the claims cannot be read")]
    Claims(#[source] MalformedJson),
    /// `c_hash` does not fit the code: the two were not issued together.
    #[error("`c_hash` does not fit the code")]
    CodeHash,
    /// It is not encrypted as was agreed on.
    #[error("the encryption is refused")]
    Encryption(#[source] JweError),
    /// The token has expired.
    #[error("the token expired {} s ago", by.as_secs())]
    Expired {
        /// How long ago, beyond the clock tolerance.
        by: Duration,
    },
    /// It is not a signed token in compact form.
    #[error("the token cannot be read")]
    Form(#[source] JwsError),
    /// Another issuer made the token.
    #[error("`iss` differs from the configured issuer")]
    Issuer,
    /// The token was issued in the future.
    #[error("the token was issued {} s in the future", by.as_secs())]
    IssuedInTheFuture {
        /// How far, beyond the clock tolerance.
        by: Duration,
    },
    /// The token is too old to have been made for this login.
    #[error("the token was issued {} s too long ago", by.as_secs())]
    IssuedTooLongAgo {
        /// How much longer ago than ten minutes and the clock tolerance.
        by: Duration,
    },
    /// It is a JWT of another kind, such as an access token or a logout token.
    #[error("`typ` in the header says that this is not an ID token")]
    Kind,
    /// The token names no key, and none of the published ones that fit verifies it.
    #[error("no published key verifies the signature")]
    NoKeyVerifies,
    /// The token was made for another login.
    #[error("`nonce` is not that of this login")]
    Nonce,
    /// The token's time has not come.
    #[error("the token is not valid for another {} s", by.as_secs())]
    NotYetValid {
        /// How long, beyond the clock tolerance.
        by: Duration,
    },
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// `s_hash` does not fit the login's `state`: the answer is that to another login.
    #[error("`s_hash` does not fit `state`")]
    StateHash,
    /// The token names a key that the provider does not publish for its algorithm.
    #[error("the token is signed with a key that the provider does not publish")]
    UnknownKey {
        /// The name. Foreign text: at most 256 bytes, no control characters.
        kid: String,
    },
}

impl IdTokenError {
    /// Whether the provider may have published a fitting key since ours were fetched.
    pub(crate) const fn may_pass_with_newer_keys(&self) -> bool {
        matches!(self, Self::UnknownKey { .. } | Self::NoKeyVerifies)
    }
}

/// The token's algorithm, if the operator allows it.
pub(crate) fn algorithm(header: &Header, allowed: &[Algorithm]) -> Result<Algorithm, IdTokenError> {
    header
        .algorithm
        .parse()
        .ok()
        .filter(|algorithm| allowed.contains(algorithm))
        .ok_or(IdTokenError::Algorithm)
}

/// A JWT that says it is of another kind must not pass as an ID token (RFC 8725 §3.11).
fn check_kind(header: &Header) -> Result<(), IdTokenError> {
    match &header.kind {
        Some(kind) if !kind.eq_ignore_ascii_case("JWT") => Err(IdTokenError::Kind),
        None | Some(_) => Ok(()),
    }
}

pub(crate) fn check_signature(
    jws: &CompactJws<'_>,
    algorithm: Algorithm,
    provider: &Provider,
    keys: &KeySet,
) -> Result<(), IdTokenError> {
    if algorithm == Algorithm::HS256 {
        // An empty secret would be a key that everyone knows.
        let secret = provider.client_secret().filter(|secret| !secret.expose().is_empty());
        let key = secret.map(|secret| DecodingKey::from_secret(secret.expose().as_bytes()));
        return if key.is_some_and(|key| verifies(jws, algorithm, &key)) {
            Ok(())
        } else {
            Err(IdTokenError::Signature)
        };
    }

    let key_id = jws.header.key_id.as_deref();
    let mut candidates = keys.candidates(algorithm, key_id).peekable();
    match key_id {
        Some(kid) if candidates.peek().is_none() => {
            Err(IdTokenError::UnknownKey { kid: kid.to_owned() })
        }
        _ if candidates.any(|key| verifies(jws, algorithm, key)) => Ok(()),
        Some(_) => Err(IdTokenError::Signature),
        None => Err(IdTokenError::NoKeyVerifies),
    }
}

/// The only use of the JWT library: its signature check, with a key and an algorithm of our
/// choosing. Its own validation accepts what must be refused here, and is not called.
pub(crate) fn verifies(jws: &CompactJws<'_>, algorithm: Algorithm, key: &DecodingKey) -> bool {
    let algorithm = match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
    };
    jsonwebtoken::crypto::verify(jws.signature, jws.signing_input.as_bytes(), key, algorithm)
        .unwrap_or(false)
}

/// How long a subject may be (OIDC Core §2).
const SUBJECT_BYTES_MAX: usize = 255;

/// Whether this can name a person (OIDC Core §2).
pub(crate) fn is_subject(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SUBJECT_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_control())
}

/// The claims of a token: its caller knows whether the signature is right.
pub(crate) struct Claims(pub(crate) Object);

impl Claims {
    pub(crate) fn check_issuer(
        &self,
        provider: &Provider,
        published: &str,
    ) -> Result<String, IdTokenError> {
        let issuer = self.required_text("iss")?;
        let expected = match provider.manner.tenant_issuer() {
            Some(tenants) => tenants.is_believed(issuer, self.required_text("tid")?, published),
            None => issuer == provider.issuer,
        };
        if !expected {
            return Err(IdTokenError::Issuer);
        }
        Ok(issuer.to_owned())
    }

    fn check_audience(&self, provider: &Provider) -> Result<(), IdTokenError> {
        let malformed = IdTokenError::ClaimMalformed { claim: "aud" };
        let audience: Vec<&str> = match self.0.get("aud") {
            None => return Err(IdTokenError::ClaimMissing { claim: "aud" }),
            Some(Value::Array(names)) => {
                names.iter().map(Value::as_str).collect::<Option<_>>().ok_or(malformed)?
            }
            Some(value) => vec![value.as_str().ok_or(malformed)?],
        };
        if !audience.contains(&provider.client_id.as_str()) {
            return Err(IdTokenError::Audience);
        }
        if audience.iter().any(|name| *name != provider.client_id) {
            return Err(IdTokenError::AudienceNotOursAlone);
        }
        match self.text("azp")? {
            Some(party) if party != provider.client_id => Err(IdTokenError::AuthorizedParty),
            None | Some(_) => Ok(()),
        }
    }

    /// What is not valid yet, or comes from the future, is not believed, whether or not it has to say when it began.
    fn check_start(&self, tolerance: Duration, now: Timestamp) -> Result<(), IdTokenError> {
        let latest_start = now.plus(tolerance);
        if let Some(not_before) = self.date("nbf")?
            && not_before > latest_start
        {
            return Err(IdTokenError::NotYetValid { by: not_before.since(latest_start) });
        }
        if let Some(issued) = self.date("iat")?
            && issued > latest_start
        {
            return Err(IdTokenError::IssuedInTheFuture { by: issued.since(latest_start) });
        }
        Ok(())
    }

    fn check_times(&self, tolerance: Duration, now: Timestamp) -> Result<(), IdTokenError> {
        let expires = self.required_date("exp")?.plus(tolerance);
        if now >= expires {
            return Err(IdTokenError::Expired { by: now.since(expires) });
        }
        self.check_start(tolerance, now)?;
        let issued = self.required_date("iat")?;
        let oldest = now.minus(tolerance).minus(AGE_MAX);
        if issued < oldest {
            return Err(IdTokenError::IssuedTooLongAgo { by: oldest.since(issued) });
        }
        Ok(())
    }

    fn check_nonce(&self, expected: &Secret) -> Result<(), IdTokenError> {
        let nonce = self.required_text("nonce")?;
        if secret::same(nonce, expected.expose()) { Ok(()) } else { Err(IdTokenError::Nonce) }
    }

    /// Whether a claim that has to be there is the hash of `whole`.
    fn hashes(
        &self,
        claim: &'static str,
        algorithm: Algorithm,
        whole: &str,
    ) -> Result<bool, IdTokenError> {
        let given = self.required_text(claim)?;
        Ok(secret::same(given, &left_half(algorithm, whole)))
    }

    /// `at_hash` may be absent in the code flow. When it is there, it must fit (§3.1.3.8), which
    /// it cannot if there is no access token.
    fn check_access_token(
        &self,
        algorithm: Algorithm,
        access_token: Option<&Secret>,
    ) -> Result<(), IdTokenError> {
        let Some(given) = self.text("at_hash")? else { return Ok(()) };
        let fits = access_token
            .is_some_and(|token| secret::same(given, &left_half(algorithm, token.expose())));
        if fits { Ok(()) } else { Err(IdTokenError::AccessTokenHash) }
    }

    pub(crate) fn subject(&self) -> Result<String, IdTokenError> {
        let subject = self.required_text("sub")?;
        if is_subject(subject) {
            Ok(subject.to_owned())
        } else {
            Err(IdTokenError::ClaimMalformed { claim: "sub" })
        }
    }

    /// Required and measured when `max_age` was asked for; otherwise taken if it is a date.
    fn auth_time(
        &self,
        max_age: Option<u64>,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, IdTokenError> {
        let Some(max_age) = max_age else {
            return Ok(self.date("auth_time").ok().flatten());
        };
        let auth_time = self.required_date("auth_time")?;
        if auth_time > now.plus(provider.clock_tolerance) {
            return Err(IdTokenError::ClaimMalformed { claim: "auth_time" });
        }
        let oldest = now.minus(provider.clock_tolerance).minus(Duration::from_secs(max_age));
        if auth_time < oldest {
            return Err(IdTokenError::AuthenticatedTooLongAgo { by: oldest.since(auth_time) });
        }
        Ok(Some(auth_time))
    }

    /// `acr`, where it was asked for as essential (OIDC Core §5.5.1.1).
    fn check_authentication_context(&self, provider: &Provider) -> Result<(), IdTokenError> {
        let Some(values) = &provider.id_token.acr_values else { return Ok(()) };
        let given = self.required_text("acr")?;
        if values.is_empty() || values.iter().any(|value| value == given) {
            Ok(())
        } else {
            Err(IdTokenError::AuthenticationContext)
        }
    }

    pub(crate) fn text(&self, claim: &'static str) -> Result<Option<&str>, IdTokenError> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(IdTokenError::ClaimMalformed { claim }),
        }
    }

    fn required_text(&self, claim: &'static str) -> Result<&str, IdTokenError> {
        self.text(claim)?.ok_or(IdTokenError::ClaimMissing { claim })
    }

    /// A number of seconds, possibly with a fraction, which is cut off.
    pub(crate) fn date(&self, claim: &'static str) -> Result<Option<Timestamp>, IdTokenError> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let seconds = value
            .as_f64()
            .filter(|seconds| (0.0..=EXACT_NUMBER_MAX).contains(seconds))
            .ok_or(IdTokenError::ClaimMalformed { claim })?;
        Ok(Some(Timestamp::new(seconds as i64)))
    }

    pub(crate) fn required_date(&self, claim: &'static str) -> Result<Timestamp, IdTokenError> {
        self.date(claim)?.ok_or(IdTokenError::ClaimMissing { claim })
    }
}

/// The left half of the hash of `token`, by the hash that `algorithm` itself uses.
fn left_half(algorithm: Algorithm, token: &str) -> String {
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::HS256 => {
            Sha256::digest(token).to_vec()
        }
        Algorithm::ES384 => Sha384::digest(token).to_vec(),
        Algorithm::EdDSA => Sha512::digest(token).to_vec(),
    };
    let (left, _) = hash.split_at(hash.len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}
