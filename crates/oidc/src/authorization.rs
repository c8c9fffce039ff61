//! The authorization request: what is asked for, and the three ways in which it reaches the provider.
//!
//! As parameters in the browser's address, as one signed request object, or pushed ahead from here so that
//! the browser carries a mere reference. Whatever was configured or is demanded by the provider is done or
//! fails: nothing falls back to a weaker way (PAR3).
//!
//! Encrypted request objects begin where [`RequestObject::sign`] ends: its signed token is what is encrypted.
//!
//! Sources: OIDC Core §3.1.2.1, §5.5, §6.1; RFC 7636 §4.3; RFC 8707 §2; RFC 9101 §4, §5, §10; RFC 9126; RFC 9396
//! §2; RFC 9449 §10; FAPI 2.0 Message Signing §5.3.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::jwt::{self, Signer};
use crate::keys::{KeyError, SigningKey};
use crate::moment::Moment;
use crate::provider::{Algorithm, Provider};
use crate::secret::Secret;
use crate::template::{Template, TemplateValue};
use crate::time::Timestamp;

/// How long before now a request object begins to count: for clocks that are behind ours (A-D10).
const EARLIER: Duration = Duration::from_secs(10);

/// The authorization request of one registration.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    /// How it reaches the provider.
    pub pushing: Pushing,
    /// If given: it is a signed request object.
    pub request_object: Option<RequestObject>,
    /// Which parameters stand beside a request object or a reference as well, for providers that want
    /// to see them there.
    pub repeats: Vec<String>,
    /// Whether the code is bound to this login by PKCE, with S256.
    pub code_challenge: bool,
    /// Whether the ID token is bound to this login by `nonce`.
    pub nonce: bool,
    /// If given: how many seconds ago the person may have last proven who they are.
    pub max_age: Option<u64>,
    /// `prompt`, where the login does not ask for another.
    pub prompt: Option<String>,
    /// `ui_locales`, where the login does not ask for others.
    pub ui_locales: Option<String>,
    /// The authentication contexts wished for, the best first.
    pub acr_values: Vec<String>,
    /// Claims asked for one by one (OIDC Core §5.5).
    pub claims: Option<Value>,
    /// Where the access token is to be good (RFC 8707).
    pub resource: Vec<String>,
    /// Scopes that are different for every login, beside those of the provider.
    pub scope_templates: Vec<Template>,
    /// What exactly is to be authorized (RFC 9396).
    pub authorization_details: Vec<TemplateValue>,
    /// Further parameters, the same for every login.
    pub parameters: Vec<(String, String)>,
    /// Which parameters of a login link are passed on; no other is.
    pub parameters_from_login: Vec<String>,
}

impl Default for AuthorizationRequest {
    fn default() -> Self {
        Self {
            pushing: Pushing::Auto,
            request_object: None,
            repeats: Vec::new(),
            code_challenge: true,
            nonce: true,
            max_age: None,
            prompt: None,
            ui_locales: None,
            acr_values: Vec::new(),
            claims: None,
            resource: Vec::new(),
            scope_templates: Vec::new(),
            authorization_details: Vec::new(),
            parameters: Vec::new(),
            parameters_from_login: Vec::new(),
        }
    }
}

/// Whether the request is pushed ahead (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushing {
    /// When the provider's metadata demand it.
    Auto,
    /// Never, whatever the metadata say.
    Never,
    /// Always; a provider that does not take it cannot be used.
    Required,
}

/// How the request is signed (RFC 9101).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestObject {
    /// What it is signed with.
    pub signer: RequestObjectSigner,
    /// Whom it is for, where that is not the issuer.
    pub audience: Option<String>,
    /// How long it is good.
    pub lifetime: Duration,
    /// What it calls itself in its header (`typ`); some providers refuse any name.
    pub kind: Option<String>,
}

/// What a request object is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestObjectSigner {
    /// HS256, with the client secret.
    ClientSecret,
    /// A private key of ours.
    Key {
        /// The key.
        key: SigningKey,
        /// What it signs with.
        algorithm: Algorithm,
    },
}

impl RequestObject {
    /// The type that RFC 9101 §10.8 gives it.
    pub const KIND: &str = "oauth-authz-req+jwt";

    /// Signs the request with everything in it.
    ///
    /// There is no `sub`: a request object with one could be passed off as a client assertion (RFC 9101 §10.8).
    pub(crate) fn sign(
        &self,
        provider: &Provider,
        parameters: &Parameters,
        moment: &mut Moment,
    ) -> Result<Secret, KeyError> {
        let mut claims: Map<String, Value> = parameters.0.iter().cloned().collect();
        let now: Timestamp = moment.now;
        let audience = self.audience.as_deref().unwrap_or(&provider.issuer);
        for (name, value) in [
            ("iss", provider.client_id.as_str().into()),
            ("aud", audience.into()),
            ("iat", now.seconds().into()),
            ("nbf", now.minus(EARLIER).seconds().into()),
            ("exp", now.plus(self.lifetime).seconds().into()),
            ("jti", moment.unique().into()),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let signer = match &self.signer {
            RequestObjectSigner::ClientSecret => {
                Signer::Secret(provider.client_secret().ok_or(KeyError::Unusable)?)
            }
            RequestObjectSigner::Key { key, algorithm } => Signer::Key(key, *algorithm),
        };
        jwt::sign(self.kind.as_deref(), &Value::Object(claims), signer)
    }
}

/// The parameters of one request, each with its JSON value.
pub(crate) struct Parameters(pub(crate) Vec<(String, Value)>);

impl Parameters {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.to_owned(), value.into()));
    }

    pub(crate) fn add_if<T: Into<Value>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// The parameters as they stand in a query or a form: texts as they are, JSON as JSON, and `resource`
    /// once for each (RFC 8707 §2).
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().flat_map(|(name, value)| {
            let several = value.as_array().filter(|_| name == "resource");
            let values = several.map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            values.iter().map(|value| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.as_str(), text)
            })
        })
    }
}
