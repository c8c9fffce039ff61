//! A provider made of values, and a sign-in that runs against it from start to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use lychgate_oidc::{
    AuthorizationUrl, Beginning, Callback, ClientAuth, Endpoint, Exchange, ExchangeError,
    IdTokenError, KeySet, LoginEntropy, LoginRequest, MatchedCallback, Metadata, Moment,
    PendingLogin, Provider, Secret, SecretMethod, SignedIn, Step, Timestamp, login,
};
use serde_json::{Value, json};

use crate::signer::{self, KEYS, Key};

pub(crate) const ISSUER: &str = "https://idp.example/realm";
pub(crate) const CLIENT: &str = "wiki";
pub(crate) const CLIENT_SECRET: &str = "a secret: with/odd+characters~é";
pub(crate) const REDIRECT_URI: &str = "https://wiki.example/.lychgate/callback/idp";
pub(crate) const ACCESS_TOKEN: &str = "access-token";
/// 2030-01-01T09:00:00Z.
pub(crate) const NOW: i64 = 1_893_488_400;
pub(crate) const TOLERANCE: i64 = 30;

/// [`NOW`], always with the same entropy.
pub(crate) fn moment() -> Moment {
    Moment::new(Timestamp::new(NOW), [7; 32])
}

/// Both sides of a sign-in, before it begins.
pub(crate) struct Stage {
    pub(crate) provider: Provider,
    pub(crate) metadata: Value,
    /// What we know of the provider's keys.
    pub(crate) keys: Value,
    /// What the provider answers when asked for its keys again.
    pub(crate) newer_keys: Value,
    /// What the userinfo endpoint says.
    pub(crate) userinfo: Value,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            provider: Provider {
                client_auth: ClientAuth::Secret {
                    secret: Secret::new(CLIENT_SECRET),
                    method: None,
                },
                scopes: vec!["openid".to_owned(), "email".to_owned()],
                clock_tolerance: Duration::from_secs(TOLERANCE.unsigned_abs()),
                ..Provider::new("idp", ISSUER, CLIENT)
            },
            metadata: json!({
                "issuer": ISSUER,
                "authorization_endpoint": "https://idp.example/authorize?tenant=a%20b",
                "token_endpoint": "https://idp.example/token",
                "userinfo_endpoint": "https://idp.example/userinfo",
                "jwks_uri": "https://idp.example/keys",
                "end_session_endpoint": "https://idp.example/logout",
            }),
            keys: KEYS.published(),
            newer_keys: KEYS.published(),
            userinfo: json!({ "sub": "ada" }),
        }
    }

    pub(crate) fn metadata(&self) -> Metadata {
        let issuer = &self.provider.issuer;
        let issuer = if self.metadata["issuer"] == issuer.as_str() { issuer } else { ISSUER };
        Metadata::parse(self.metadata.to_string().as_bytes(), issuer).unwrap()
    }

    /// Has the secret sent in one way, whatever the metadata lists.
    pub(crate) fn send_secret(&mut self, method: SecretMethod) {
        let secret = Secret::new(CLIENT_SECRET);
        self.provider.client_auth = ClientAuth::Secret { secret, method: Some(method) };
    }

    /// Begins a login with what is asked for and the entropy given.
    pub(crate) fn begin_with(
        &self,
        request: &LoginRequest,
        entropy: LoginEntropy,
    ) -> (AuthorizationUrl, PendingLogin) {
        let (provider, metadata) = (Arc::new(self.provider.clone()), Arc::new(self.metadata()));
        let keys = keys(&self.keys);
        let beginning =
            login::begin(&provider, &metadata, &keys, REDIRECT_URI, request, entropy, moment());
        let Beginning::Go(url, pending) = beginning.unwrap() else { panic!("it is pushed") };
        (url, pending)
    }

    /// Begins a login, always with the same entropy.
    pub(crate) fn begin(&self) -> Login {
        let mut entropy = [0; 96];
        for (at, byte) in (0_u8..).zip(&mut entropy) {
            *byte = at;
        }
        let (url, pending) = self.begin_with(&LoginRequest::default(), entropy.into());
        let url = url::Url::parse(url.as_str()).unwrap();
        Login { query: url.query_pairs().into_owned().collect(), pending }
    }

    /// Begins a login and comes back from the provider with a code.
    pub(crate) fn come_back(&self) -> (Login, MatchedCallback) {
        let login = self.begin();
        let matched = self.come_back_to(&login);
        (login, matched)
    }

    fn come_back_to(&self, login: &Login) -> MatchedCallback {
        Callback::parse(&format!("code=the-code&state={}", login.query["state"]))
            .and_then(|callback| {
                callback.matching(login.pending.clone(), &self.provider, &self.metadata())
            })
            .unwrap()
    }

    /// Comes back to `login` and as far as the question to the token endpoint.
    pub(crate) fn redeem_login(&self, login: Login) -> Exchange {
        let (provider, metadata) = (Arc::new(self.provider.clone()), Arc::new(self.metadata()));
        let keys = keys(&self.keys);
        let step = self.come_back_to(&login).redeem(provider, metadata, &keys, moment()).unwrap();
        let Step::Ask(_, exchange) = step else { panic!("{step:?}") };
        exchange
    }

    /// Comes as far as the question to the token endpoint.
    pub(crate) fn redeem(&self) -> (Login, Request<Vec<u8>>, Exchange) {
        let (login, matched) = self.come_back();
        let (provider, metadata) = (Arc::new(self.provider.clone()), Arc::new(self.metadata()));
        let step = matched.redeem(provider, metadata, &keys(&self.keys), moment()).unwrap();
        let Step::Ask(request, exchange) = step else { panic!("{step:?}") };
        (login, request, exchange)
    }

    /// Signs in with a token that is right in every way, but for what `change` does to it.
    pub(crate) fn sign_in(&self, change: impl FnOnce(&mut Draft)) -> Outcome {
        self.sign_in_with(|login| {
            let mut draft = Draft::new(login);
            change(&mut draft);
            draft.to_text()
        })
    }

    /// Signs in with the token that `make` makes.
    pub(crate) fn sign_in_with(&self, make: impl FnOnce(&Login) -> String) -> Outcome {
        let (login, request, exchange) = self.redeem();
        let token = make(&login);
        let mut outcome =
            Outcome { result: Err(ExchangeError::TokenType), asked: Vec::new(), key_fetches: 0 };
        let mut step = Ok(Step::Ask(request, exchange));
        loop {
            step = match step {
                Ok(Step::Ask(_, exchange)) => {
                    outcome.asked.push(exchange.endpoint());
                    let answer = match exchange.endpoint() {
                        Endpoint::Token => token_answer(&token),
                        Endpoint::Userinfo => json(&self.userinfo),
                        Endpoint::Introspection
                        | Endpoint::Lookup
                        | Endpoint::PushedAuthorizationRequest
                        | Endpoint::Revocation
                        | Endpoint::ServiceAccount => {
                            panic!("a login of this registration asks no other endpoint")
                        }
                    };
                    exchange.receive(answer, &keys(&self.keys), moment())
                }
                Ok(Step::Renewed(..)) => panic!("a login renews nothing"),
                Ok(Step::NewerKeys(waiting)) => {
                    outcome.key_fetches += 1;
                    waiting.with_keys(&keys(&self.newer_keys), moment())
                }
                Ok(Step::Believe(signed_in)) => {
                    outcome.result = Ok(signed_in);
                    return outcome;
                }
                Err(error) => {
                    outcome.result = Err(error);
                    return outcome;
                }
            };
        }
    }
}

/// Signs in at `stage` with other metadata than its own.
pub(crate) fn sign_in_at(
    stage: &Stage,
    metadata: &Metadata,
    change: impl FnOnce(&mut Draft),
) -> Result<Box<SignedIn>, ExchangeError> {
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(metadata.clone()));
    let entropy = LoginEntropy::from([7; 96]);
    let wish = LoginRequest::default();
    let beginning = login::begin(
        &provider,
        &metadata,
        &keys(&stage.keys),
        REDIRECT_URI,
        &wish,
        entropy,
        moment(),
    );
    let Beginning::Go(url, pending) = beginning.unwrap() else { panic!("nothing is pushed") };
    let url = url::Url::parse(url.as_str()).unwrap();
    let login = Login { query: url.query_pairs().into_owned().collect(), pending };
    let callback = Callback::parse(&format!("code=c&state={}", login.query["state"])).unwrap();
    let matched = callback.matching(login.pending.clone(), &provider, &metadata).unwrap();
    let step = matched.redeem(provider, metadata, &keys(&stage.keys), moment())?;
    let Step::Ask(_, exchange) = step else { panic!("a code is redeemed by asking") };
    let mut draft = Draft::new(&login);
    change(&mut draft);
    match exchange.receive(token_answer(&draft.to_text()), &keys(&stage.keys), moment())? {
        Step::Believe(signed_in) => Ok(signed_in),
        step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    }
}

/// A login under way, and what the browser carried to the provider.
pub(crate) struct Login {
    pub(crate) query: HashMap<String, String>,
    pub(crate) pending: PendingLogin,
}

/// How a sign-in ended, and what it took.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<Box<SignedIn>, ExchangeError>,
    pub(crate) asked: Vec<Endpoint>,
    pub(crate) key_fetches: usize,
}

impl Outcome {
    pub(crate) fn signed_in(self) -> SignedIn {
        match self.result {
            Ok(signed_in) => *signed_in,
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) fn refusal(self) -> IdTokenError {
        match self.result {
            Err(ExchangeError::IdToken(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// An ID token being made.
pub(crate) struct Draft {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) key: &'static Key,
}

impl Draft {
    pub(crate) fn new(login: &Login) -> Self {
        Self {
            header: json!({ "alg": "RS256", "kid": "rsa", "typ": "JWT" }),
            claims: json!({
                "iss": ISSUER,
                "sub": "ada",
                "aud": CLIENT,
                "exp": NOW + 300,
                "iat": NOW,
                "nonce": login.query["nonce"],
            }),
            key: &KEYS.rsa,
        }
    }

    pub(crate) fn without(&mut self, claim: &str) {
        self.claims.as_object_mut().unwrap().remove(claim).unwrap();
    }

    /// Signs with `key`, published under the name `kid`.
    pub(crate) fn signed_by(&mut self, key: &'static Key, algorithm: &str, kid: &str) {
        self.key = key;
        self.header["alg"] = algorithm.into();
        self.header["kid"] = kid.into();
    }

    /// What is to be signed.
    pub(crate) fn input(&self) -> String {
        let header = signer::encode(self.header.to_string());
        format!("{header}.{}", signer::encode(self.claims.to_string()))
    }

    pub(crate) fn to_text(&self) -> String {
        let algorithm = self.header["alg"].as_str().unwrap_or_default();
        self.to_text_signed(&self.key.sign(algorithm, &self.input()))
    }

    pub(crate) fn to_text_signed(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.input(), signer::encode(signature))
    }
}

pub(crate) fn keys(set: &Value) -> KeySet {
    KeySet::parse(set.to_string().as_bytes()).unwrap()
}

/// A success of the token endpoint.
pub(crate) fn token_answer(id_token: &str) -> Response<Vec<u8>> {
    json(&json!({
        "access_token": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "id_token": id_token,
    }))
}

pub(crate) fn json(body: &Value) -> Response<Vec<u8>> {
    answer(200, "application/json", body.to_string())
}

pub(crate) fn answer(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    Response::builder().status(status).header("content-type", media_type).body(body.into()).unwrap()
}
