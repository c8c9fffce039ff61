//! A service account: a program's own key, with which it asks in the name of an administrator.
//!
//! Google's directory tells groups to nobody else. The account signs a statement with its key (RS256)
//! and trades it for an access token; which scope an administrator granted is not known beforehand, so
//! they are tried in turn.
//!
//! Sources: RFC 7523 §2.1, §3; Google Identity, "Using OAuth 2.0 for Server to Server Applications".

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::discovery;
use crate::exchange::{Endpoint, ExchangeError};
use crate::json;
use crate::jwt::{self, Signer};
use crate::keys::{KeyError, SigningKey};
use crate::moment::Moment;
use crate::provider::Algorithm;
use crate::secret::Secret;
use crate::tokens;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long a statement is good. It is used at once.
const LIFETIME_SECONDS: i64 = 300;

/// A key that signs for a service account, and in whose name.
#[derive(Clone)]
pub struct ServiceAccount {
    email: String,
    key: SigningKey,
    token_endpoint: Url,
    admin: String,
    scopes: Vec<String>,
}

/// Why a file is no service account's key. Carries nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceAccountError {
    /// The key cannot be used.
    #[error("`private_key` cannot be used: {0}")]
    Key(#[from] KeyError),
    /// It is not JSON.
    #[error("this is not the JSON file of a service account's key")]
    NotJson,
    /// A member is missing or malformed.
    #[error("`{0}` is missing or malformed")]
    Member(&'static str),
}

impl ServiceAccount {
    /// Reads the key file that Google gives out. `admin` is in whose name it asks, with one of `scopes`,
    /// in the order in which they are tried. `token_endpoint` replaces the file's.
    ///
    /// # Errors
    /// See [`ServiceAccountError`].
    pub fn parse(
        file: &Secret,
        admin: &str,
        scopes: &[&str],
        token_endpoint: Option<&Url>,
    ) -> Result<Self, ServiceAccountError> {
        let file =
            json::object(file.expose().as_bytes()).map_err(|_| ServiceAccountError::NotJson)?;
        let text = |member: &'static str| {
            let text = file.get(member).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).ok_or(ServiceAccountError::Member(member))
        };
        let key = SigningKey::from_pem(&Secret::new(text("private_key")?))?;
        key.algorithm(Some(Algorithm::RS256))?;
        let key = match text("private_key_id") {
            Ok(id) => key.named(id),
            Err(_) => key,
        };
        let token_endpoint = match token_endpoint {
            Some(url) => url.clone(),
            None => discovery::endpoint("token_uri", text("token_uri")?)
                .map_err(|_| ServiceAccountError::Member("token_uri"))?,
        };
        Ok(Self {
            email: text("client_email")?.to_owned(),
            key,
            token_endpoint,
            admin: admin.to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        })
    }

    /// The question for a token with the scope at `turn`; `None` when there is no such scope.
    pub(crate) fn request(&self, turn: usize, moment: &mut Moment) -> Option<Request<Vec<u8>>> {
        let scope = self.scopes.get(turn)?;
        let now = moment.now.seconds();
        let claims = json!({
            "iss": self.email,
            "sub": self.admin,
            "scope": scope,
            "aud": self.token_endpoint.as_str(),
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "jti": moment.unique(),
        });
        let signer = Signer::Key(&self.key, Algorithm::RS256);
        let assertion = jwt::sign(Some("JWT"), &claims, signer).ok()?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT_TYPE).append_pair("assertion", assertion.expose());
        let url = &self.token_endpoint;
        let mut request = tokens::request(Endpoint::ServiceAccount, Method::POST, url, None);
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        *request.body_mut() = form.finish().into_bytes();
        Some(request)
    }
}

/// The token in an answer; `Ok(None)` when another scope may be granted where this one is not.
pub(crate) fn receive(response: &Response<Vec<u8>>) -> Result<Option<Secret>, ExchangeError> {
    let endpoint = Endpoint::ServiceAccount;
    let answer = tokens::object(endpoint, response);
    if let Ok(answer) = &answer
        && answer.get("error").is_some_and(|error| error == "unauthorized_client")
    {
        return Ok(None);
    }
    tokens::check_status(endpoint, response.status())?;
    let answer = answer?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let usable =
        |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    match token.filter(usable) {
        Some(token) => Ok(Some(Secret::new(token))),
        None => Err(ExchangeError::MemberMissing { member: "access_token" }),
    }
}

/// Shows whose it is and in whose name, and not the key.
impl std::fmt::Debug for ServiceAccount {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ServiceAccount")
            .field("email", &self.email)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}
