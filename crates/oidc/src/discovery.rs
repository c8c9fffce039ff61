//! What a provider says about itself.
//!
//! [`url()`] says where the document is, [`Metadata::parse`] reads it. Every endpoint in it is
//! https, except on this very machine; and the document must be about the issuer that was asked
//! for, since everything a token claims is measured against that name.
//!
//! Sources: OIDC Discovery §3, §4; RFC 8414 §2; RFC 8705 §5; RFC 9126 §5; RFC 9207 §3; RFC 9700 §2.1.1 (S256).

use serde_json::Value;
use url::{Host, Url};

use crate::exchange::Endpoint;
use crate::json::{self, MalformedJson, Object};
use crate::provider::Provider;
use crate::refusal::legible;

/// How long a metadata document may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The path below the issuer at which the document lies.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Where the metadata document of `issuer` is (OIDC Discovery §4).
///
/// The issuer's path is kept; one slash at its end is not doubled.
///
/// # Errors
/// The issuer is no URL, not https (http is allowed on this machine only), or has a user, a query
/// or a fragment.
pub fn url(issuer: &str) -> Result<Url, DiscoveryError> {
    if endpoint("issuer", issuer)?.query().is_some() {
        return Err(DiscoveryError::Decorated { member: "issuer" });
    }
    let trimmed = issuer.strip_suffix('/').unwrap_or(issuer);
    endpoint("issuer", &format!("{trimmed}{WELL_KNOWN}"))
}

/// Where the metadata document of `provider` is: as [`url()`] says, but for issuers that depend on the
/// person's tenant.
///
/// # Errors
/// As [`url()`].
pub fn url_of(provider: &Provider) -> Result<Url, DiscoveryError> {
    match provider.manner.tenant_issuer() {
        Some(tenants) => url(&tenants.of(&tenants.tenant)),
        None => url(&provider.issuer),
    }
}

/// A provider's description of itself, checked. Made only by [`parse`](Self::parse).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// The issuer identifier, as written.
    pub issuer: String,
    /// Where a browser is sent to sign in.
    pub authorization_endpoint: Url,
    /// Where a code is traded for tokens.
    pub token_endpoint: Url,
    /// Where further claims are, if anywhere.
    pub userinfo_endpoint: Option<Url>,
    /// Where the signature keys are. A provider without one can only sign with the client secret.
    pub jwks_uri: Option<Url>,
    /// Where a browser is sent to sign out at the provider, if anywhere.
    pub end_session_endpoint: Option<Url>,
    /// Where authorization requests are pushed to, if anywhere (RFC 9126 §5).
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Whether they have to be pushed there.
    pub require_pushed_authorization_requests: bool,
    /// The same endpoints for clients that show a certificate (RFC 8705 §5).
    pub mtls_endpoint_aliases: EndpointAliases,
    /// Where a grant is given back, if anywhere (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// Where it is asked what a token is worth, if anywhere (RFC 7662).
    pub introspection_endpoint: Option<Url>,
    /// The scopes that the provider admits to; empty when it does not say.
    pub scopes_supported: Vec<String>,
    /// How clients may authenticate; empty when it does not say.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// The PKCE methods; empty when it does not say, and then S256 is tried nonetheless.
    pub code_challenge_methods_supported: Vec<String>,
    /// Whether every authorization response carries `iss` (RFC 9207 §3).
    pub authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Reads the metadata document `body`, which must be that of `expected_issuer`.
    ///
    /// # Errors
    /// See [`DiscoveryError`]. Members that are not listed above are ignored.
    pub fn parse(body: &[u8], expected_issuer: &str) -> Result<Self, DiscoveryError> {
        Self::parse_if(body, expected_issuer, |issuer| issuer == expected_issuer)
    }

    /// Reads the metadata document `body`, which must be that of `provider`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_of(body: &[u8], provider: &Provider) -> Result<Self, DiscoveryError> {
        Self::parse_if(body, &provider.issuer, |issuer| may_be_named(issuer, provider))
    }

    /// Whether this is the metadata of `provider`.
    pub(crate) fn is_of(&self, provider: &Provider) -> bool {
        may_be_named(&self.issuer, provider)
    }

    fn parse_if(
        body: &[u8],
        expected_issuer: &str,
        is_expected: impl FnOnce(&str) -> bool,
    ) -> Result<Self, DiscoveryError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(DiscoveryError::TooLarge);
        }
        let document = json::object(body).map_err(DiscoveryError::Json)?;

        // The issuer is compared as written: normalizing it would accept a look-alike (§4.3).
        let issuer =
            text(&document, "issuer")?.ok_or(DiscoveryError::Missing { member: "issuer" })?;
        if !is_expected(issuer) {
            let found = legible(issuer, 500);
            let without_slash = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
            return Err(if without_slash(issuer) == without_slash(expected_issuer) {
                DiscoveryError::IssuerSlash { found }
            } else {
                DiscoveryError::IssuerDiffers { found }
            });
        }

        let code_challenge_methods_supported =
            texts(&document, "code_challenge_methods_supported")?;
        if !code_challenge_methods_supported.is_empty()
            && !code_challenge_methods_supported.iter().any(|method| method == "S256")
        {
            return Err(DiscoveryError::NoS256);
        }

        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: required_endpoint(&document, "authorization_endpoint")?,
            token_endpoint: required_endpoint(&document, "token_endpoint")?,
            userinfo_endpoint: optional_endpoint(&document, "userinfo_endpoint")?,
            jwks_uri: optional_endpoint(&document, "jwks_uri")?,
            end_session_endpoint: optional_endpoint(&document, "end_session_endpoint")?,
            pushed_authorization_request_endpoint: optional_endpoint(
                &document,
                "pushed_authorization_request_endpoint",
            )?,
            require_pushed_authorization_requests: flag(
                &document,
                "require_pushed_authorization_requests",
            )?,
            mtls_endpoint_aliases: EndpointAliases::read(&document)?,
            revocation_endpoint: optional_endpoint(&document, "revocation_endpoint")?,
            introspection_endpoint: optional_endpoint(&document, "introspection_endpoint")?,
            scopes_supported: texts(&document, "scopes_supported")?,
            token_endpoint_auth_methods_supported: texts(
                &document,
                "token_endpoint_auth_methods_supported",
            )?,
            code_challenge_methods_supported,
            authorization_response_iss_parameter_supported: flag(
                &document,
                "authorization_response_iss_parameter_supported",
            )?,
        })
    }
}

impl Metadata {
    /// Where an endpoint is asked; `aliases`: by a client whose certificate counts there.
    pub(crate) fn endpoint(&self, endpoint: Endpoint, aliases: bool) -> Option<&Url> {
        let these = &self.mtls_endpoint_aliases;
        let (alias, ordinary) = match endpoint {
            Endpoint::Introspection => {
                (&these.introspection_endpoint, self.introspection_endpoint.as_ref())
            }
            Endpoint::PushedAuthorizationRequest => (
                &these.pushed_authorization_request_endpoint,
                self.pushed_authorization_request_endpoint.as_ref(),
            ),
            Endpoint::Revocation => (&these.revocation_endpoint, self.revocation_endpoint.as_ref()),
            // These have addresses of their own.
            Endpoint::Lookup | Endpoint::ServiceAccount => return None,
            Endpoint::Token => (&these.token_endpoint, Some(&self.token_endpoint)),
            Endpoint::Userinfo => (&these.userinfo_endpoint, self.userinfo_endpoint.as_ref()),
        };
        alias.as_ref().filter(|_| aliases).or(ordinary)
    }
}

/// Where clients that show a certificate go instead; an endpoint without an alias is the ordinary one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointAliases {
    /// Where it is asked what a token is worth.
    pub introspection_endpoint: Option<Url>,
    /// Where authorization requests are pushed to.
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// Where a grant is given back.
    pub revocation_endpoint: Option<Url>,
    /// Where a code is traded for tokens.
    pub token_endpoint: Option<Url>,
    /// Where further claims are.
    pub userinfo_endpoint: Option<Url>,
}

impl EndpointAliases {
    /// An alias that cannot be used is an error: the ordinary endpoint in its place would take an unbound
    /// token for a bound one (MT1).
    fn read(document: &Object) -> Result<Self, DiscoveryError> {
        let member = "mtls_endpoint_aliases";
        let aliases = match document.get(member) {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(value) => value.as_object().ok_or(DiscoveryError::WrongType { member })?,
        };
        Ok(Self {
            introspection_endpoint: optional_endpoint(aliases, "introspection_endpoint")?,
            pushed_authorization_request_endpoint: optional_endpoint(
                aliases,
                "pushed_authorization_request_endpoint",
            )?,
            revocation_endpoint: optional_endpoint(aliases, "revocation_endpoint")?,
            token_endpoint: optional_endpoint(aliases, "token_endpoint")?,
            userinfo_endpoint: optional_endpoint(aliases, "userinfo_endpoint")?,
        })
    }
}

/// Why a metadata document is not believed. The provider's fault, or the operator's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// An address has a user, a fragment or (the issuer) a query.
    #[error("`{member}` has a part that it must not have: a user, a query or a fragment")]
    Decorated {
        /// Which member of the document.
        member: &'static str,
    },
    /// An address is neither https nor on this machine.
    #[error("`{member}` is not https")]
    Insecure {
        /// Which member of the document.
        member: &'static str,
    },
    /// The document is about another issuer. Often a realm is wrong.
    #[error("the document is that of issuer `{found}`")]
    IssuerDiffers {
        /// The issuer it names, cut and cleaned for a log.
        found: String,
    },
    /// The document's issuer is the expected one but for a slash at the end, which is another issuer all the same.
    #[error(
        "the document is that of issuer `{found}`; only the slash at the end differs, and `issuer` has to be written \
         exactly so"
    )]
    IssuerSlash {
        /// The issuer it names, cut and cleaned for a log.
        found: String,
    },
    /// The document is not a JSON object.
    #[error("the document cannot be read")]
    Json(#[source] MalformedJson),
    /// Something that every provider must say is not there.
    #[error("`{member}` is missing")]
    Missing {
        /// Which member of the document.
        member: &'static str,
    },
    /// The provider lists the PKCE methods it knows, and S256 is not among them.
    #[error("the provider does not support the PKCE method S256")]
    NoS256,
    /// An address is a URL, and too long or too odd to be asked over HTTP.
    #[error("`{member}` cannot be the target of a request")]
    NotAUri {
        /// Which member of the document.
        member: &'static str,
    },
    /// An address is not a URL.
    #[error("`{member}` is not a URL")]
    NotAUrl {
        /// Which member of the document.
        member: &'static str,
        /// What is wrong with it.
        #[source]
        source: url::ParseError,
    },
    /// The document is longer than 1 MiB.
    #[error("the document is longer than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// A member is there, and not of the type it must have.
    #[error("`{member}` has the wrong type")]
    WrongType {
        /// Which member of the document.
        member: &'static str,
    },
}

/// Whether a metadata document of `provider` may name `issuer`: exactly the configured one, but where the
/// issuer depends on the person's tenant.
fn may_be_named(issuer: &str, provider: &Provider) -> bool {
    match provider.manner.tenant_issuer() {
        Some(tenants) => tenants.may_be_named(issuer),
        None => issuer == provider.issuer,
    }
}

fn required_endpoint(document: &Object, member: &'static str) -> Result<Url, DiscoveryError> {
    optional_endpoint(document, member)?.ok_or(DiscoveryError::Missing { member })
}

fn optional_endpoint(
    document: &Object,
    member: &'static str,
) -> Result<Option<Url>, DiscoveryError> {
    text(document, member)?.map(|text| endpoint(member, text)).transpose()
}

/// A URL that we may send a browser, a code or a secret to.
pub(crate) fn endpoint(member: &'static str, text: &str) -> Result<Url, DiscoveryError> {
    let url = Url::parse(text).map_err(|source| DiscoveryError::NotAUrl { member, source })?;
    let secure = match url.scheme() {
        "https" => true,
        "http" => is_this_machine(&url),
        _ => false,
    };
    if !secure {
        return Err(DiscoveryError::Insecure { member });
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(DiscoveryError::Decorated { member });
    }
    // Requests to it are written as `http::Uri`, which is stricter in length and characters.
    if http::Uri::try_from(url.as_str()).is_err() {
        return Err(DiscoveryError::NotAUri { member });
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A text member; `null` counts as absent.
fn text<'a>(document: &'a Object, member: &'static str) -> Result<Option<&'a str>, DiscoveryError> {
    match document.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(DiscoveryError::WrongType { member }),
    }
}

/// A list of texts; absent and `null` count as empty.
fn texts(document: &Object, member: &'static str) -> Result<Vec<String>, DiscoveryError> {
    let values = match document.get(member) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or(DiscoveryError::WrongType { member })?,
    };
    values
        .iter()
        .map(|value| value.as_str().map(str::to_owned).ok_or(DiscoveryError::WrongType { member }))
        .collect()
}

/// A flag; absent and `null` count as unset.
fn flag(document: &Object, member: &'static str) -> Result<bool, DiscoveryError> {
    match document.get(member) {
        None | Some(Value::Null) => Ok(false),
        Some(value) => value.as_bool().ok_or(DiscoveryError::WrongType { member }),
    }
}
