//! One provider and one login, always the same, for the targets that stand in the middle of a sign-in.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use lychgate_oidc::grant::{self, Held};
use lychgate_oidc::{
    Beginning, Callback, ClientAuth, ExchangeError, KeySet, LoginEntropy, LoginRequest, Metadata,
    Moment, PendingLogin, Provider, Secret, SignedIn, Step, Timestamp, login,
};
use serde_json::{Value, json};
use url::Url;

pub(crate) const ISSUER: &str = "https://id.test";
pub(crate) const CLIENT: &str = "wiki";
/// What no error may print.
pub(crate) const CLIENT_SECRET: &str = "client-secret-canary";
pub(crate) const CODE: &str = "code-canary";
pub(crate) const SUBJECT: &str = "ada";
/// 2030-01-01T09:00:00Z.
pub(crate) const NOW: i64 = 1_893_488_400;

const REDIRECT_URI: &str = "https://app.test/.lychgate/callback";

pub(crate) struct Stage {
    pub(crate) provider: Arc<Provider>,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) keys: KeySet,
    pair: Ed25519KeyPair,
}

pub(crate) fn moment() -> Moment {
    Moment::new(Timestamp::new(NOW), [7; 32])
}

/// Made once: a fuzzer has better things to do than to make keys.
pub(crate) fn stage() -> &'static Stage {
    static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);
    &STAGE
}

impl Stage {
    fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("32 bytes are a seed");
        let jwk = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": "ed",
            "x": URL_SAFE_NO_PAD.encode(pair.public_key()),
        });
        let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes());
        let metadata = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.test/authorize",
            "token_endpoint": "https://id.test/token",
            "jwks_uri": "https://id.test/keys",
        });
        let metadata = Metadata::parse(metadata.to_string().as_bytes(), ISSUER);
        let client_auth = ClientAuth::Secret { secret: Secret::new(CLIENT_SECRET), method: None };
        let provider = Provider { client_auth, ..Provider::new("corp", ISSUER, CLIENT) };
        Self {
            provider: Arc::new(provider),
            metadata: Arc::new(metadata.expect("our own metadata")),
            keys: keys.expect("our own keys"),
            pair,
        }
    }

    /// A login under way, and its nonce.
    pub(crate) fn begin(&self) -> (String, PendingLogin) {
        let entropy = LoginEntropy::from(std::array::from_fn::<u8, 96, _>(|at| {
            u8::try_from(at).unwrap_or_default()
        }));
        let wish = LoginRequest::default();
        let (provider, metadata) = (&self.provider, &self.metadata);
        let begun =
            login::begin(provider, metadata, &self.keys, REDIRECT_URI, &wish, entropy, moment());
        let Beginning::Go(url, pending) = begun.expect("a login begins") else {
            panic!("the browser goes at once");
        };
        let url = Url::parse(url.as_str()).expect("an authorization URL");
        let nonce = url.query_pairs().find(|(name, _)| name == "nonce").expect("a nonce").1;
        (nonce.into_owned(), pending)
    }

    /// The answer to a code, as far as it is believed.
    pub(crate) fn redeems(&self, answer: Response<Vec<u8>>) -> Option<Box<SignedIn>> {
        let (_, pending) = self.begin();
        let query = format!("code={CODE}&state={}", pending.state());
        let callback = Callback::parse(&query).expect("our own callback");
        let matched = callback.matching(pending, &self.provider, &self.metadata);
        let (provider, metadata) = (Arc::clone(&self.provider), Arc::clone(&self.metadata));
        let step = matched.expect("it answers").redeem(provider, metadata, &self.keys, moment());
        self.answers(step, answer)
    }

    /// The answer to a refresh token, as far as it is believed.
    pub(crate) fn refreshes(&self, answer: Response<Vec<u8>>) -> Option<Box<SignedIn>> {
        let refresh_token = Secret::new("refresh-token-canary");
        let held = Held { refresh_token, subject: SUBJECT.to_owned(), sub: None };
        let (provider, metadata) = (Arc::clone(&self.provider), Arc::clone(&self.metadata));
        self.answers(grant::refresh(provider, metadata, held, moment()), answer)
    }

    fn answers(
        &self,
        step: Result<Step, ExchangeError>,
        answer: Response<Vec<u8>>,
    ) -> Option<Box<SignedIn>> {
        let Ok(Step::Ask(_, exchange)) = step else { panic!("the token endpoint is asked") };
        let mut step = exchange.receive(answer, &self.keys, moment());
        if let Ok(Step::Renewed(_, renewed)) = step {
            step = renewed.go_on(&self.keys, moment());
        }
        if let Ok(Step::NewerKeys(waiting)) = step {
            step = waiting.with_keys(&self.keys, moment());
        }
        match step {
            Ok(Step::Believe(signed_in)) => Some(signed_in),
            Ok(other) => panic!("nothing more is to be asked: {other:?}"),
            Err(error) => {
                is_fit_for_a_log(&error);
                None
            }
        }
    }

    /// A token of this provider's, with a header and claims of anybody's.
    pub(crate) fn sign(&self, header: &[u8], claims: &[u8]) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let input = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The claims of a token that this provider signed, read a second time by other means.
    pub(crate) fn signed(&self, token: &str) -> Option<Value> {
        let (input, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key());
        key.verify(input.as_bytes(), &signature).ok()?;
        let (_, claims) = input.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

/// What an error says may be written into a log: no secret, no code, nothing that is not legible, and not too much.
pub(crate) fn is_fit_for_a_log(error: &(dyn std::error::Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        let shown = error.to_string();
        assert!(!shown.contains(char::is_control) && shown.len() < 4096, "{shown:?}");
        for secret in [CLIENT_SECRET, CODE, "refresh-token-canary"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        next = error.source();
    }
}

/// An answer of the token endpoint.
pub(crate) fn answer(status: u16, body: &[u8]) -> Response<Vec<u8>> {
    let answer = Response::builder().status(status).header("content-type", "application/json");
    answer.body(body.to_vec()).expect("an answer")
}
