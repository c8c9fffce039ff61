//! The authorization request: what is asked for, and the three ways in which it reaches the provider.
//!
//! As parameters in the browser's address, as one signed request object, or pushed ahead from here so that
//! the browser carries a mere reference. Whatever was configured or is demanded by the provider is done or
//! fails: nothing falls back to a weaker way (PAR3).
//!
//! An encrypted request object is a signed one inside an encrypted one, never the other way round (RFC 9101
//! §6.2): who asks is proved to the provider alone.
//!
//! Sources: OIDC Core §3.1.2.1, §5.5, §6.1; RFC 7636 §4.3; RFC 8707 §2; RFC 9101 §4, §5, §10; RFC 9126; RFC 9396
//! §2; RFC 9449 §10; FAPI 2.0 Message Signing.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::jwe::{self, ContentEncryption, EncryptionKey, KeyManagement};
use crate::jwks::KeySet;
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

impl AuthorizationRequest {
    /// Whether the request has to be encrypted to a key that is not among `keys`.
    #[must_use]
    pub fn lacks_key(&self, keys: &KeySet) -> bool {
        let encryption = self.request_object.as_ref().and_then(|object| object.encryption);
        encryption.is_some_and(|it| keys.encryption_key(it.key_management).is_none())
    }
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
    /// How it is encrypted once it is signed, where only the provider may read it.
    pub encryption: Option<RequestObjectEncryption>,
}

/// How a request object is encrypted (RFC 9101 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestObjectEncryption {
    /// How the key of the content comes along (`alg`).
    pub key_management: KeyManagement,
    /// How the content is encrypted (`enc`).
    pub content: ContentEncryption,
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

    /// Signs the request with everything in it, and encrypts it to `key` where it has to be encrypted.
    ///
    /// There is no `sub`: a request object with one could be passed off as a client assertion (RFC 9101 §10.8).
    pub(crate) fn sign(
        &self,
        provider: &Provider,
        parameters: &Parameters,
        key: Option<&EncryptionKey>,
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
        let signed = jwt::sign(self.kind.as_deref(), &Value::Object(claims), signer)?;
        let Some(RequestObjectEncryption { key_management, content }) = self.encryption else {
            return Ok(signed);
        };
        let key = key.ok_or(KeyError::Unusable)?;
        jwe::encrypt(signed.expose(), key, key_management, content, moment)
            .ok_or(KeyError::Unusable)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwe::{DecryptionKey, Encryption};

    const NOW: Timestamp = Timestamp::new(1_900_000_000);

    fn fixture() -> Value {
        serde_json::from_str(include_str!("jwe/tokens_by_jose.json")).unwrap()
    }

    /// A key set with our own test keys, each published for `purpose`.
    fn published(purpose: &str) -> KeySet {
        let mut keys = fixture()["public"].clone();
        for key in keys.as_object_mut().unwrap().values_mut() {
            key["use"] = purpose.into();
        }
        let keys: Vec<&Value> = keys.as_object().unwrap().values().collect();
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn provider(key_management: KeyManagement) -> Provider {
        let mut provider = Provider::new("bank", "https://bank.example", "client");
        let key = SigningKey::generate().unwrap();
        provider.authorization.request_object = Some(RequestObject {
            signer: RequestObjectSigner::Key { key, algorithm: Algorithm::ES256 },
            audience: None,
            lifetime: Duration::from_secs(300),
            kind: Some(RequestObject::KIND.to_owned()),
            encryption: Some(RequestObjectEncryption {
                key_management,
                content: ContentEncryption::A256GCM,
            }),
        });
        provider
    }

    /// BR-01; RFC 9101 §6.1, §6.2: signed first, then encrypted, so that nobody on the way reads anything.
    #[test]
    fn an_encrypted_request_object_is_a_signed_one_for_the_providers_eyes() {
        let fixture = fixture();
        for (key_management, name) in [
            (KeyManagement::RsaOaep, "rsa"),
            (KeyManagement::RsaOaep256, "rsa"),
            (KeyManagement::EcdhEs, "p256"),
        ] {
            let (provider, keys) = (provider(key_management), published("enc"));
            let object = provider.authorization.request_object.as_ref().unwrap();
            let mut parameters = Parameters::new();
            parameters.add("scope", "openid consent:canary");
            let mut moment = Moment::new(NOW, [7; 32]);

            assert!(!provider.authorization.lacks_key(&keys));
            let key = keys.encryption_key(key_management);
            let sealed = object.sign(&provider, &parameters, key, &mut moment).unwrap();

            let pem = Secret::new(fixture["keys"][name].as_str().unwrap());
            let agreed = Encryption {
                key_management: vec![key_management],
                content: vec![ContentEncryption::A256GCM],
            };
            let ours = [DecryptionKey::from_pem(&pem).unwrap()];
            let signed = jwe::decrypt(sealed.expose(), &agreed, &ours).unwrap();
            let payload = signed.expose().split('.').nth(1).unwrap().to_owned();
            let payload =
                base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
            let claims: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
            assert_eq!(claims["scope"], "openid consent:canary");
            assert_eq!(claims["aud"], "https://bank.example");
        }
    }

    /// Nothing falls back to a request that others can read: not without a key, and not to one that is
    /// published for signatures.
    #[test]
    fn a_request_that_cannot_be_encrypted_is_not_made() {
        for keys in [KeySet::empty(), published("sig")] {
            let provider = provider(KeyManagement::RsaOaep);
            assert!(provider.authorization.lacks_key(&keys));
            let object = provider.authorization.request_object.as_ref().unwrap();
            let key = keys.encryption_key(KeyManagement::RsaOaep);
            let mut moment = Moment::new(NOW, [7; 32]);
            let signed = object.sign(&provider, &Parameters::new(), key, &mut moment);
            assert_eq!(signed.err(), Some(KeyError::Unusable));
        }
    }
}
