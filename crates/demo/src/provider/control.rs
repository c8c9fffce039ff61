//! What a test may change about a running provider.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value};

use crate::{Algorithm, Fault, personas::Persona};

/// A registered client, always with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`, also the key of [`Algorithm::Hs256`].
    pub client_secret: String,
    /// Where a sign-in may end. Compared byte for byte.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may end. Compared byte for byte.
    pub post_logout_redirect_uris: Vec<String>,
}

/// Who decides which persona signs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignIn {
    /// The persona with this user name, without a page.
    Always(String),
    /// The visitor, on a page of personas. The browser then remembers the choice.
    #[default]
    Choose,
}

/// Where the claims about a person are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimsIn {
    /// In the ID token and at the userinfo endpoint.
    #[default]
    IdTokenAndUserinfo,
    /// At the userinfo endpoint; the ID token says only who signed in, not what they are like.
    Userinfo,
}

/// The provider's behaviour; changed with [`Provider::set`](super::Provider::set).
///
/// What stands here holds for every request that arrives later. Requests under way keep what they
/// began with.
#[derive(Clone, Debug)]
pub struct Control {
    /// Who may ask for sign-ins.
    pub clients: Vec<Client>,
    /// Who can sign in.
    pub personas: Vec<Persona>,
    /// Who decides which of them does.
    pub sign_in: SignIn,
    /// How ID tokens are signed.
    pub signing: Algorithm,
    /// Where the claims are.
    pub claims_in: ClaimsIn,
    /// One of the classic faults.
    pub fault: Option<Fault>,
    /// Changes to ID tokens, made in this order.
    pub tamper: Vec<Tamper>,
    /// Changes to the parameters that the browser brings back from `/authorize`.
    pub redirect_edits: Vec<ParameterEdit>,
    /// Changes to the discovery document.
    pub discovery_edits: Vec<Edit>,
    /// Changes to the token endpoint's good answers.
    pub token_edits: Vec<Edit>,
    /// Changes to the userinfo endpoint's good answers.
    pub userinfo_edits: Vec<Edit>,
    /// What `/.well-known/openid-configuration` answers instead.
    pub discovery_answer: Option<RawAnswer>,
    /// What `/jwks` answers instead.
    pub jwks_answer: Option<RawAnswer>,
    /// What `/token` answers instead; the code is not looked at and stays good.
    pub token_answer: Option<RawAnswer>,
    /// What `/userinfo` answers instead.
    pub userinfo_answer: Option<RawAnswer>,
    /// What `/introspect` answers about these tokens; of all others it knows those that it gave out.
    pub introspection: BTreeMap<String, Value>,
    /// What `/introspect` answers instead, whoever asks.
    pub introspection_answer: Option<RawAnswer>,
}

impl Control {
    pub(super) fn client(&self, client_id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.client_id == client_id)
    }

    pub(super) fn persona_with_subject(&self, subject: &str) -> Option<&Persona> {
        self.personas.iter().find(|persona| persona.subject == subject)
    }

    pub(super) fn persona_called(&self, user: &str) -> Option<&Persona> {
        self.personas.iter().find(|persona| persona.preferred_username == user)
    }
}

/// A change to a JSON object.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// The member is left out.
    Drop(String),
    /// The member has this value, whether it was there or not.
    Set(String, Value),
}

impl Edit {
    /// An [`Edit::Drop`].
    #[must_use]
    pub fn drop(name: impl Into<String>) -> Self {
        Self::Drop(name.into())
    }

    /// An [`Edit::Set`].
    #[must_use]
    pub fn set(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Set(name.into(), value.into())
    }

    pub(super) fn apply(&self, members: &mut Map<String, Value>) {
        match self {
            Self::Drop(name) => drop(members.remove(name)),
            Self::Set(name, value) => drop(members.insert(name.clone(), value.clone())),
        }
    }
}

/// A change to a list of parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterEdit {
    /// The parameter is added at the end, even if there is one already.
    Append(String, String),
    /// Every parameter of this name is left out.
    Drop(String),
    /// The parameter is there once, with this value.
    Set(String, String),
}

impl ParameterEdit {
    /// A [`ParameterEdit::Append`].
    #[must_use]
    pub fn append(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Append(name.into(), value.into())
    }

    /// A [`ParameterEdit::Drop`].
    #[must_use]
    pub fn drop(name: impl Into<String>) -> Self {
        Self::Drop(name.into())
    }

    /// A [`ParameterEdit::Set`].
    #[must_use]
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::Set(name.into(), value.into())
    }

    pub(super) fn apply(&self, parameters: &mut Vec<(String, String)>) {
        match self {
            Self::Append(name, value) => parameters.push((name.clone(), value.clone())),
            Self::Drop(name) => parameters.retain(|(present, _)| present != name),
            Self::Set(name, value) => {
                parameters.retain(|(present, _)| present != name);
                parameters.push((name.clone(), value.clone()));
            }
        }
    }
}

/// A change to an ID token.
///
/// Unless it says otherwise the token is signed after the change, so that its signature is good.
/// For a good signature by an algorithm that the client did not expect, change
/// [`Control::signing`].
#[derive(Clone, Debug, PartialEq)]
pub enum Tamper {
    /// The header names this algorithm; the signature is by the true one.
    Algorithm(String),
    /// The signature is by a key that was never published. The `kid` stays.
    AnotherKey,
    /// The last octet of the signature is wrong.
    BrokenSignature,
    /// The claims are changed.
    Claim(Edit),
    /// The header is changed.
    Header(Edit),
    /// The header names HS256, and the key is the text of the RSA public key in PEM, which a
    /// verifier that trusts the header would use (RFC 8725 §2.1).
    PublicKeyAsSecret,
    /// This text stands in the place of the token.
    Raw(String),
    /// The header names `none`, and the signature is empty.
    Unsigned,
}

impl Tamper {
    /// Sets a claim.
    #[must_use]
    pub fn set_claim(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Claim(Edit::set(name, value))
    }

    /// Leaves a claim out.
    #[must_use]
    pub fn drop_claim(name: impl Into<String>) -> Self {
        Self::Claim(Edit::drop(name))
    }

    /// Sets a member of the header.
    #[must_use]
    pub fn set_header(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Header(Edit::set(name, value))
    }

    /// Leaves a member of the header out.
    #[must_use]
    pub fn drop_header(name: impl Into<String>) -> Self {
        Self::Header(Edit::drop(name))
    }
}

/// An answer given whatever was asked.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// The status; 200 unless set.
    pub status: StatusCode,
    /// The headers; none unless set, not even a content type.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long to wait before answering.
    pub delay: Duration,
}

impl RawAnswer {
    /// This status with this JSON and its content type, at once.
    #[must_use]
    pub fn json(status: StatusCode, body: &Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self {
            status,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: body.to_string().into_bytes().into(),
            delay: Duration::ZERO,
        }
    }

    pub(super) async fn give(&self) -> Response {
        tokio::time::sleep(self.delay).await;
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}
