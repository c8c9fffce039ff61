//! How we prove to a provider who we are, in every request that does not go through the browser.
//!
//! There is one function for all of them. It takes the form that an endpoint wants, adds what proves who we
//! are, and makes the request: a method that works at one endpoint works at all.
//!
//! Sources: RFC 6749 §2.3.1; OIDC Core §9; RFC 7521 §4.2; RFC 7523 §2.2, §3; RFC 8705 §2; RFC 9126 §2;
//! FAPI 2.0 Security Profile (the issuer alone as audience).

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::discovery::Metadata;
use crate::exchange::Endpoint;
use crate::jwt::{self, Signer};
use crate::keys::{KeyError, SigningKey};
use crate::moment::Moment;
use crate::provider::{Algorithm, Provider};
use crate::secret::Secret;
use crate::tokens;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Everything but the unreserved characters of RFC 3986 §2.3. Many servers compare the parts of
/// Basic authentication undecoded, so nothing is encoded that need not be; and a space becomes
/// `%20` rather than `+`, which form decoders and others read alike.
pub(crate) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a client authenticates at the token endpoint, and wherever else it is asked to (OIDC Core §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// A JWT that somebody else signs for us and replaces from time to time (RFC 7523 §2.2). Each
    /// [`Moment`] brings the one of that moment.
    Assertion,
    /// A certificate in the TLS handshake (RFC 8705 §2): the request only names us.
    Certificate,
    /// `private_key_jwt`: a statement signed with a key of ours.
    Key {
        /// The key.
        key: SigningKey,
        /// What it signs with.
        algorithm: Algorithm,
    },
    /// `none`: a public client, which only names itself.
    None,
    /// A secret that both sides know.
    Secret {
        /// The secret.
        secret: Secret,
        /// How it is sent; `None` leaves the choice to the provider's metadata.
        method: Option<SecretMethod>,
    },
    /// A secret that is a statement of ours, made for each request and sent in its body.
    SignedSecret {
        /// What signs it.
        key: SigningKey,
        /// What it says.
        claims: SignedSecret,
    },
}

/// How a shared secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// `client_secret_basic`: in the `Authorization` header.
    Basic,
    /// `client_secret_jwt`: not at all; it signs a statement.
    Jwt,
    /// `client_secret_post`: in the body.
    Post,
    /// `client_secret_query`: in the address, with everything else. Registered nowhere, and dangerous: addresses
    /// are written into logs. For providers that read nothing but the query.
    Query,
}

impl SecretMethod {
    /// Every way there is.
    pub const ALL: [Self; 4] = [Self::Basic, Self::Post, Self::Jwt, Self::Query];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Jwt => "client_secret_jwt",
            Self::Post => "client_secret_post",
            Self::Query => "client_secret_query",
        }
    }

    /// The method when the operator names none: `client_secret_basic` if `metadata` lists it or lists
    /// nothing (its default by OIDC Discovery §3), else `client_secret_post`.
    #[must_use]
    pub fn by_metadata(metadata: &Metadata) -> Self {
        let listed = &metadata.token_endpoint_auth_methods_supported;
        if listed.is_empty() || listed.iter().any(|name| name == Self::Basic.as_str()) {
            Self::Basic
        } else {
            Self::Post
        }
    }
}

/// What the statements are like that we sign to prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertionRules {
    /// Whom they are for.
    pub audience: AssertionAudience,
    /// How long they are good. At most five minutes.
    pub lifetime: Duration,
}

/// Whom a client assertion is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer, as a text: an assertion for one provider is then worth nothing at another.
    #[default]
    Issuer,
    /// The address of the token endpoint, as older providers want it.
    TokenEndpoint,
    /// Something else that the provider asks for.
    Other(String),
}

impl Default for AssertionRules {
    fn default() -> Self {
        Self { audience: AssertionAudience::Issuer, lifetime: Duration::from_secs(60) }
    }
}

/// Of what a client secret is made that we sign ourselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSecret {
    /// Who says it: the team that the client belongs to.
    pub issuer: String,
    /// Whom it is for.
    pub audience: String,
}

impl SignedSecret {
    /// What it is signed with.
    pub const ALGORITHM: Algorithm = Algorithm::ES256;
}

/// Why a request to a provider cannot be made. Carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientAuthError {
    /// Nobody brought the assertion that somebody else signs.
    #[error("there is no client assertion")]
    AssertionMissing,
    /// The provider has no such endpoint.
    #[error("the provider has no {0} endpoint")]
    NoEndpoint(Endpoint),
    /// The address is too long, or the secret cannot stand in a header.
    #[error("the request cannot be written")]
    Request,
    /// Something could not be signed.
    #[error("the request cannot be signed")]
    Signing(#[from] KeyError),
}

/// The parameters of one request.
pub(crate) type Form = Vec<(Cow<'static, str>, Zeroizing<String>)>;

/// The request that posts `form` to an endpoint, with everything that proves who we are.
///
/// `dpop_nonce` is the one that the endpoint just asked for.
pub(crate) fn post(
    provider: &Provider,
    metadata: &Metadata,
    endpoint: Endpoint,
    mut form: Form,
    dpop_nonce: Option<&str>,
    moment: &mut Moment,
) -> Result<Request<Vec<u8>>, ClientAuthError> {
    let url = metadata.endpoint(endpoint, provider.uses_mtls_aliases());
    let mut url = url.ok_or(ClientAuthError::NoEndpoint(endpoint))?.clone();
    let mut say = |name: &'static str, value: &str| {
        // A pushed request names the client already.
        if !form.iter().any(|(given, _)| given == name) {
            form.push((name.into(), Zeroizing::new(value.to_owned())));
        }
    };
    let client_id = &provider.client_id;
    let (mut authorization, mut in_query) = (None, false);
    let mut assert = |assertion: &Secret| {
        say("client_id", client_id);
        say("client_assertion_type", JWT_BEARER);
        say("client_assertion", assertion.expose());
    };
    match &provider.client_auth {
        ClientAuth::Assertion => {
            let assertion = moment.client_assertion.as_ref();
            assert(assertion.ok_or(ClientAuthError::AssertionMissing)?);
        }
        ClientAuth::Certificate | ClientAuth::None => say("client_id", client_id),
        ClientAuth::Key { key, algorithm } => {
            assert(&assertion(provider, metadata, Signer::Key(key, *algorithm), moment)?);
        }
        ClientAuth::SignedSecret { key, claims } => {
            say("client_id", client_id);
            say("client_secret", signed_secret(provider, key, claims, moment)?.expose());
        }
        ClientAuth::Secret { secret, method } => {
            match method.unwrap_or_else(|| SecretMethod::by_metadata(metadata)) {
                SecretMethod::Basic => authorization = Some(basic(client_id, secret)?),
                SecretMethod::Jwt => {
                    assert(&assertion(provider, metadata, Signer::Secret(secret), moment)?);
                }
                method @ (SecretMethod::Post | SecretMethod::Query) => {
                    say("client_id", client_id);
                    say("client_secret", secret.expose());
                    in_query = method == SecretMethod::Query;
                }
            }
        }
    }

    let bare = url.clone();
    let mut body = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &form {
        body.append_pair(name, value);
    }
    let mut body = body.finish();
    if in_query {
        url.query_pairs_mut().extend_pairs(form.iter().map(|(name, value)| (&**name, &**value)));
        body.clear();
    }
    // An address that is too long would be sent as none at all.
    if http::Uri::try_from(url.as_str()).is_err() {
        return Err(ClientAuthError::Request);
    }
    let mut request = tokens::request(endpoint, Method::POST, &url, authorization);
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    *request.body_mut() = body.into_bytes();
    if let Some(dpop) = &provider.dpop {
        dpop.prove(&mut request, &bare, None, dpop_nonce, moment)?;
    }
    Ok(request)
}

/// A statement that we are we, good for one request.
fn assertion(
    provider: &Provider,
    metadata: &Metadata,
    signer: Signer<'_>,
    moment: &mut Moment,
) -> Result<Secret, KeyError> {
    let AssertionRules { audience, lifetime } = &provider.assertion;
    let audience = match audience {
        AssertionAudience::Issuer => provider.issuer.as_str(),
        AssertionAudience::TokenEndpoint => metadata.token_endpoint.as_str(),
        AssertionAudience::Other(audience) => audience,
    };
    let claims = json!({
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": audience,
        "jti": moment.unique(),
        "iat": moment.now.seconds(),
        "exp": moment.now.plus(*lifetime).seconds(),
    });
    jwt::sign(Some("JWT"), &claims, signer)
}

/// A client secret that is a statement of ours, as Apple has it.
fn signed_secret(
    provider: &Provider,
    key: &SigningKey,
    claims: &SignedSecret,
    moment: &Moment,
) -> Result<Secret, KeyError> {
    let claims = json!({
        "iss": claims.issuer,
        "sub": provider.client_id,
        "aud": claims.audience,
        "iat": moment.now.seconds(),
        "exp": moment.now.plus(provider.assertion.lifetime).seconds(),
    });
    jwt::sign(None, &claims, Signer::Key(key, SignedSecret::ALGORITHM))
}

fn basic(client_id: &str, secret: &Secret) -> Result<HeaderValue, ClientAuthError> {
    let id = utf8_percent_encode(client_id, RESERVED);
    let secret = utf8_percent_encode(secret.expose(), RESERVED);
    let credentials = STANDARD.encode(format!("{id}:{secret}"));
    HeaderValue::try_from(format!("Basic {credentials}")).map_err(|_| ClientAuthError::Request)
}
