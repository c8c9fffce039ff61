//! The beginning of a sign-in: where to send the browser, and what to remember of it.
//!
//! Three random values tie the answer to this browser and this login: `state` comes back in the
//! callback, `nonce` in the ID token, and the PKCE verifier proves at the token endpoint that
//! whoever redeems the code also began the login. All three are used, since any one alone has
//! been got around somewhere (RFC 9700 §4.5, §4.7); a registration may do without one of the last two,
//! where the provider does not know it, and never without both.
//!
//! Sources: OIDC Core §3.1.2.1; RFC 7636; RFC 9101; RFC 9126; RFC 9700 §2.1.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::authorization::{AuthorizationRequest, Parameters, Pushing};
use crate::client_auth::{self, ClientAuthError, Form};
use crate::discovery::Metadata;
use crate::dpop;
use crate::exchange::{Endpoint, ExchangeError};
use crate::jwe::EncryptionKey;
use crate::jwks::KeySet;
use crate::keys::KeyError;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::refusal::ProviderRefusal;
use crate::response::ResponseMode;
use crate::secret::{self, Secret};
use crate::template::{self, Filling, Template, TemplateValue};
use crate::time::Timestamp;
use crate::tokens;

/// How long a reference to a pushed request may be; it goes into an address.
const REQUEST_URI_BYTES_MAX: usize = 2048;
/// How long a parameter of a login link may be.
const PARAMETER_BYTES_MAX: usize = 512;

/// Begins a login at `provider`.
///
/// `redirect_uri` is where the provider sends the browser back; it is one of those registered, and
/// is kept to be repeated byte for byte when the code is redeemed. `entropy` must be fresh.
/// The query that the authorization endpoint already has is kept. `keys` are the provider's: an encrypted
/// request is for one of them.
///
/// # Errors
/// See [`LoginError`].
pub fn begin(
    provider: &Arc<Provider>,
    metadata: &Arc<Metadata>,
    keys: &KeySet,
    redirect_uri: &str,
    request: &LoginRequest,
    entropy: LoginEntropy,
    mut moment: Moment,
) -> Result<Beginning, LoginError> {
    let wish = &provider.authorization;
    let encryption = wish.request_object.as_ref().and_then(|object| object.encryption);
    let encryption_key = match encryption {
        None => None,
        Some(encryption) => Some(
            keys.encryption_key(encryption.key_management)
                .ok_or(LoginError::EncryptionKeyMissing)?
                .clone(),
        ),
    };
    let LoginValues { state, nonce, verifier } = entropy.into_values();
    let nonce = wish.nonce.then_some(nonce);
    let verifier = wish.code_challenge.then_some(verifier);
    let from_login = from_login(wish, request)?;
    let consent = names_consent(wish).then(|| moment.uuid());
    let filling = Filling {
        consent: consent.as_deref().unwrap_or_default(),
        now: moment.now,
        login: &from_login,
    };
    let details = wish.authorization_details.iter().map(|detail| detail.fill(&filling));
    let details = details.collect::<Result<Vec<_>, _>>()?;

    let mut parameters = Parameters::new();
    parameters.add("response_type", provider.answers.response_type.as_str());
    parameters.add("client_id", provider.client_id.as_str());
    parameters.add("redirect_uri", redirect_uri);
    parameters.add("scope", scope(provider, &filling)?);
    parameters.add("state", state.as_str());
    parameters.add_if("nonce", nonce.as_ref().map(Secret::expose));
    if let Some(verifier) = &verifier {
        parameters.add("code_challenge", challenge(verifier.expose()));
        parameters.add("code_challenge_method", "S256");
    }
    if provider.answers.mode != ResponseMode::Query {
        parameters.add("response_mode", provider.answers.mode.as_str());
    }
    parameters.add_if("id_token_hint", request.id_token_hint.as_ref().map(Secret::expose));
    parameters.add_if("max_age", wish.max_age);
    parameters.add_if("prompt", request.prompt.as_deref().or(wish.prompt.as_deref()));
    parameters.add_if("login_hint", request.login_hint.as_deref());
    parameters.add_if("ui_locales", request.ui_locales.as_deref().or(wish.ui_locales.as_deref()));
    parameters.add_if("acr_values", joined(&wish.acr_values));
    parameters.add_if("claims", wish.claims.clone());
    parameters.add_if("resource", some(&wish.resource).map(|resource| resource.to_vec()));
    parameters.add_if("authorization_details", some(&details).map(|details| details.to_vec()));
    if let Some(dpop) = provider.dpop.as_ref().filter(|dpop| dpop.binds_code) {
        parameters.add("dpop_jkt", dpop.key.thumbprint());
    }
    let static_ones = wish.parameters.iter().map(|(name, value)| (name, value));
    for (name, value) in static_ones.chain(&from_login) {
        // What the protocol says is said once, and by us.
        if !parameters.has(name) && !used_in_template(wish, name) {
            parameters.add(name, value.as_str());
        }
    }

    let pending = PendingLogin {
        provider: provider.name.clone(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state,
        nonce,
        verifier,
        begun_at: moment.now,
        authorization_details: if details.is_empty() {
            String::new()
        } else {
            Value::Array(details).to_string()
        },
        consent,
    };
    let repeated = |parameters: &Parameters| -> Vec<(String, String)> {
        let pairs = parameters.pairs().filter(|(name, _)| wish.repeats.iter().any(|it| it == name));
        pairs.map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let pushed = match wish.pushing {
        Pushing::Auto => metadata.require_pushed_authorization_requests,
        Pushing::Never => false,
        Pushing::Required => true,
    };
    if pushed {
        let repeats = repeated(&parameters);
        let pushed = Pushed {
            provider: Arc::clone(provider),
            metadata: Arc::clone(metadata),
            parameters,
            repeats,
            encryption_key,
            pending,
            asked_for_nonce: false,
        };
        return pushed.ask(None, moment);
    }
    let url = match &wish.request_object {
        None => with_query(&metadata.authorization_endpoint, parameters.pairs()),
        Some(object) => {
            let signed =
                object.sign(provider, &parameters, encryption_key.as_ref(), &mut moment)?;
            let own = [
                ("client_id", provider.client_id.clone()),
                ("request", signed.expose().to_owned()),
            ];
            let repeats = repeated(&parameters);
            let repeats = repeats.iter().map(|(name, value)| (name.as_str(), value.clone()));
            with_query(&metadata.authorization_endpoint, own.into_iter().chain(repeats))
        }
    };
    Ok(Beginning::Go(AuthorizationUrl(url), pending))
}

/// What the beginning of a login needs next.
#[must_use = "a login has not begun until it says `Go`"]
#[expect(
    clippy::large_enum_variant,
    reason = "a beginning lives for a moment and is moved a few times; a request is taken out whole"
)]
pub enum Beginning {
    /// Nothing: send the browser there, and remember the login.
    Go(AuthorizationUrl, PendingLogin),
    /// Send this request, once, and give the answer to [`Pushed::receive`]. Do not follow redirects, do
    /// not retry; a request that failed ends the login.
    Push(Request<Vec<u8>>, Pushed),
}

/// Requests carry secrets and are not shown.
impl fmt::Debug for Beginning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go(url, pending) => {
                formatter.debug_tuple("Go").field(url).field(pending).finish()
            }
            Self::Push(_, pushed) => formatter.debug_tuple("Push").field(pushed).finish(),
        }
    }
}

/// An authorization request that is on its way to the provider, ahead of the browser (RFC 9126).
pub struct Pushed {
    provider: Arc<Provider>,
    metadata: Arc<Metadata>,
    parameters: Parameters,
    repeats: Vec<(String, String)>,
    encryption_key: Option<EncryptionKey>,
    pending: PendingLogin,
    asked_for_nonce: bool,
}

impl Pushed {
    /// The request; `nonce` is the one that the endpoint just asked for.
    fn ask(self, nonce: Option<&str>, mut moment: Moment) -> Result<Beginning, LoginError> {
        let provider = &self.provider;
        let form: Form = match &provider.authorization.request_object {
            // Everything is inside but for the client, which is named beside it (A-D5; RFC 9126 §3).
            Some(object) => {
                let key = self.encryption_key.as_ref();
                let signed = object.sign(provider, &self.parameters, key, &mut moment)?;
                let client_id = Zeroizing::new(provider.client_id.clone());
                let signed = Zeroizing::new(signed.expose().to_owned());
                vec![("client_id".into(), client_id), ("request".into(), signed)]
            }
            None => {
                let pairs = self.parameters.pairs();
                pairs.map(|(name, value)| (name.to_owned().into(), Zeroizing::new(value))).collect()
            }
        };
        let endpoint = Endpoint::PushedAuthorizationRequest;
        let request =
            client_auth::post(provider, &self.metadata, endpoint, form, nonce, &mut moment)?;
        Ok(Beginning::Push(request, self))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// See [`LoginError`]. Nothing was sent through the browser then, and nothing is to be.
    pub fn receive(
        mut self,
        response: Response<Vec<u8>>,
        moment: Moment,
    ) -> Result<Beginning, LoginError> {
        let endpoint = Endpoint::PushedAuthorizationRequest;
        if self.provider.dpop.is_some()
            && !self.asked_for_nonce
            && tokens::wants_dpop_nonce(endpoint, &response)
            && let Some(nonce) = dpop::nonce(&response)
        {
            self.asked_for_nonce = true;
            return self.ask(Some(nonce), moment);
        }
        let request_uri = request_uri(&response)?;
        let own = [("client_id", self.provider.client_id.as_str()), ("request_uri", &request_uri)];
        let repeats = self.repeats.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs = own.into_iter().chain(repeats).map(|(name, value)| (name, value.to_owned()));
        let url = with_query(&self.metadata.authorization_endpoint, pairs);
        Ok(Beginning::Go(AuthorizationUrl(url), self.pending))
    }
}

impl fmt::Debug for Pushed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pushed")
            .field("provider", &self.provider.name)
            .finish_non_exhaustive()
    }
}

/// The reference in the answer to a pushed request. It means nothing to us and is never fetched (PAR4).
fn request_uri(response: &Response<Vec<u8>>) -> Result<String, LoginError> {
    let endpoint = Endpoint::PushedAuthorizationRequest;
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = response.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        return Err(LoginError::PushBusy { retry_after });
    }
    if let Some(refusal) = tokens::provider_refusal(endpoint, response) {
        return Err(match refusal.error.known() {
            Some(known) if known.concerns_the_operator() => LoginError::PushClientRefused(refusal),
            None | Some(_) => LoginError::PushRefused(refusal),
        });
    }
    // RFC 9126 §2.2 says 201, and some providers 200.
    if status != StatusCode::CREATED {
        tokens::check_status(endpoint, status).map_err(LoginError::PushAnswer)?;
    }
    let answer = tokens::object(endpoint, response).map_err(LoginError::PushAnswer)?;
    match answer.get("expires_in") {
        None => {}
        Some(seconds) if seconds.as_f64().is_some_and(|seconds| seconds > 0.0) => {}
        Some(_) => return Err(LoginError::PushMalformed { member: "expires_in" }),
    }
    let request_uri = answer.get("request_uri").and_then(Value::as_str).unwrap_or_default();
    let is_plain = request_uri.bytes().all(|byte| byte.is_ascii_graphic());
    if request_uri.is_empty() || request_uri.len() > REQUEST_URI_BYTES_MAX || !is_plain {
        return Err(LoginError::PushMalformed { member: "request_uri" });
    }
    Ok(request_uri.to_owned())
}

fn with_query<'a>(endpoint: &Url, pairs: impl Iterator<Item = (&'a str, String)>) -> Url {
    let mut url = endpoint.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// What the login link brought and may bring.
fn from_login(
    wish: &AuthorizationRequest,
    request: &LoginRequest,
) -> Result<BTreeMap<String, String>, LoginError> {
    let mut allowed = BTreeMap::new();
    for (name, value) in &request.parameters {
        if !wish.parameters_from_login.contains(name) {
            continue;
        }
        let is_plain = !value.chars().any(char::is_control);
        if value.is_empty() || value.len() > PARAMETER_BYTES_MAX || !is_plain {
            return Err(LoginError::ParameterMalformed { name: name.clone() });
        }
        allowed.insert(name.clone(), value.clone());
    }
    Ok(allowed)
}

fn templates(wish: &AuthorizationRequest) -> impl Iterator<Item = &Template> {
    let details = wish.authorization_details.iter().flat_map(TemplateValue::texts);
    wish.scope_templates.iter().chain(details)
}

fn names_consent(wish: &AuthorizationRequest) -> bool {
    template::name_consent(templates(wish))
}

/// A parameter of the login link that fills a template is not one of the request as well.
fn used_in_template(wish: &AuthorizationRequest, name: &str) -> bool {
    templates(wish).any(|template| template.login_parameters().any(|used| used == name))
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn joined(words: &[String]) -> Option<String> {
    some(words).map(|words| words.join(" "))
}

/// Why a login cannot begin. Carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The request that is pushed ahead cannot be made.
    #[error("the authorization request cannot be pushed")]
    ClientAuth(#[from] ClientAuthError),
    /// The request has to be encrypted, and the provider publishes no key for that.
    #[error("the provider publishes no key to encrypt the authorization request to")]
    EncryptionKeyMissing,
    /// The login link brought something that cannot be passed on.
    #[error(
        "`{name}` of the login link is empty, too long, or has characters that it must not have"
    )]
    ParameterMalformed {
        /// Which parameter.
        name: String,
    },
    /// The login link has to bring something, and does not.
    #[error("the login link has to bring `{name}`")]
    ParameterMissing {
        /// Which parameter.
        name: String,
    },
    /// The answer to the pushed request cannot be used.
    #[error("the authorization request was not taken")]
    PushAnswer(#[source] ExchangeError),
    /// The provider asks to be asked less often.
    #[error("the provider takes no more authorization requests for now")]
    PushBusy {
        /// When to try again, if it says so.
        retry_after: Option<Duration>,
    },
    /// The provider does not accept our registration or request: the operator must act.
    #[error("the authorization request was refused: {0}")]
    PushClientRefused(ProviderRefusal),
    /// A member of the answer to the pushed request is missing, too long or odd.
    #[error("`{member}` in the answer to the pushed authorization request is missing or malformed")]
    PushMalformed {
        /// Which member.
        member: &'static str,
    },
    /// Any other refusal.
    #[error("the authorization request was refused: {0}")]
    PushRefused(ProviderRefusal),
    /// The request object cannot be signed.
    #[error("the authorization request cannot be signed")]
    Signing(#[from] KeyError),
}

/// What a login may ask of the provider beyond the ordinary.
#[derive(Clone, Debug, Default)]
pub struct LoginRequest {
    /// `prompt`: `none`, `login`, `consent` or `select_account`.
    pub prompt: Option<String>,
    /// `login_hint`: whom the provider should expect.
    pub login_hint: Option<String>,
    /// `id_token_hint`: an ID token of the person who is expected. Only with `prompt` `none`, since a URL with a
    /// token in it is shown to nobody else then.
    pub id_token_hint: Option<Secret>,
    /// `ui_locales`: languages in order of preference, separated by spaces.
    pub ui_locales: Option<String>,
    /// Everything that the login link brought. Only what the registration lists is passed on.
    pub parameters: Vec<(String, String)>,
}

/// The address of the provider's sign-in page for one login. Only [`begin`] makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationUrl(Url);

impl AuthorizationUrl {
    /// The address, for a `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Shows the place and not the query, in which `state` and `nonce` are.
impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.origin().ascii_serialization();
        write!(formatter, "AuthorizationUrl({origin}{}?…)", self.0.path())
    }
}

/// One login under way, as its browser must remember it.
///
/// It can be written down so that it can be sealed into a cookie; it holds the verifier and must
/// never be written anywhere in the clear. It ends by being consumed in
/// [`Callback::matching`](crate::Callback::matching), whatever the outcome. How long it may be
/// pending is for the floor above to say, by [`begun_at`](Self::begun_at).
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    provider: String,
    issuer: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    #[serde(with = "secret::sealed_option")]
    nonce: Option<Secret>,
    #[serde(with = "secret::sealed_option")]
    verifier: Option<Secret>,
    begun_at: Timestamp,
    /// As JSON; empty when there are none. The cookie's own format does not hold arbitrary values.
    authorization_details: String,
    consent: Option<String>,
}

impl PendingLogin {
    /// The value that the callback must repeat, and by which this login is found.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The operator's name of the provider where the login began.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// When the login began.
    #[must_use]
    pub const fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    /// Where the provider was told to send the browser back.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// What was asked to be authorized, as it was sent (RFC 9396); empty when nothing was.
    #[must_use]
    pub fn authorization_details(&self) -> Vec<Value> {
        serde_json::from_str(&self.authorization_details).unwrap_or_default()
    }

    /// The identifier that this login's templates were given as `{uuid}`, if they name one.
    #[must_use]
    pub fn consent(&self) -> Option<&str> {
        self.consent.as_deref()
    }

    /// `None`: this login was begun without.
    pub(crate) const fn nonce(&self) -> Option<&Secret> {
        self.nonce.as_ref()
    }

    /// `None`: this login was begun without.
    pub(crate) const fn verifier(&self) -> Option<&Secret> {
        self.verifier.as_ref()
    }

    /// Whether this login began at `provider`, as it is configured now.
    pub(crate) fn began_at_provider(&self, provider: &Provider) -> bool {
        self.provider == provider.name
            && self.issuer == provider.issuer
            && self.client_id == provider.client_id
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PendingLogin")
            .field("provider", &self.provider)
            .field("redirect_uri", &self.redirect_uri)
            .field("begun_at", &self.begun_at)
            .finish_non_exhaustive()
    }
}

/// The randomness of one login: 96 bytes from the operating system, used for this login alone.
#[derive(ZeroizeOnDrop)]
pub struct LoginEntropy {
    state: [u8; 32],
    nonce: [u8; 32],
    verifier: [u8; 32],
}

struct LoginValues {
    state: String,
    nonce: Secret,
    verifier: Secret,
}

impl LoginEntropy {
    /// Each value is 43 characters of the unreserved set, which RFC 7636 §4.1 asks of a verifier.
    fn into_values(self) -> LoginValues {
        LoginValues {
            state: URL_SAFE_NO_PAD.encode(self.state),
            nonce: Secret::new(URL_SAFE_NO_PAD.encode(self.nonce)),
            verifier: Secret::new(URL_SAFE_NO_PAD.encode(self.verifier)),
        }
    }
}

impl From<[u8; 96]> for LoginEntropy {
    fn from(bytes: [u8; 96]) -> Self {
        let mut entropy = Self { state: [0; 32], nonce: [0; 32], verifier: [0; 32] };
        let places = [&mut entropy.state, &mut entropy.nonce, &mut entropy.verifier];
        for (place, part) in places.into_iter().zip(bytes.chunks_exact(32)) {
            place.copy_from_slice(part);
        }
        entropy
    }
}

impl fmt::Debug for LoginEntropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LoginEntropy").finish_non_exhaustive()
    }
}

/// The scopes in one line. Without `openid` there would be no ID token, where there has to be one.
fn scope(provider: &Provider, filling: &Filling<'_>) -> Result<String, LoginError> {
    let scopes = &provider.scopes;
    let asked = scopes.iter().any(|scope| scope == "openid");
    let openid = (provider.id_token.required && !asked).then_some("openid");
    let mut words: Vec<String> =
        openid.into_iter().chain(scopes.iter().map(String::as_str)).map(str::to_owned).collect();
    for template in &provider.authorization.scope_templates {
        let word = template.fill(filling)?;
        // RFC 6749 §3.3: a space would be a second scope, chosen by whoever wrote the link.
        let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if word.is_empty() || !word.bytes().all(is_token) {
            let name = template.login_parameters().next().unwrap_or("scope").to_owned();
            return Err(LoginError::ParameterMalformed { name });
        }
        words.push(word);
    }
    Ok(words.join(" "))
}

/// RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_that_of_the_specifications_example() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn each_third_of_the_entropy_makes_one_value() {
        let mut bytes = [0; 96];
        bytes[32..64].fill(1);
        bytes[64..].fill(0xff);

        let values = LoginEntropy::from(bytes).into_values();

        assert_eq!(values.state, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(values.nonce.expose(), "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        assert_eq!(values.verifier.expose(), "__________________________________________8");
    }

    #[test]
    fn openid_is_asked_for_once_where_there_has_to_be_an_id_token() {
        let login = BTreeMap::new();
        let filling = Filling { consent: "", now: Timestamp::default(), login: &login };
        for (scopes, required, expected) in [
            (&[][..], true, "openid"),
            (&["email"], true, "openid email"),
            (&["email", "openid"], true, "email openid"),
            (&["ais"], false, "ais"),
        ] {
            let mut provider = Provider::new("idp", "https://idp.example", "wiki");
            provider.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            provider.id_token.required = required;
            assert_eq!(scope(&provider, &filling).as_deref(), Ok(expected));
        }
    }
}
