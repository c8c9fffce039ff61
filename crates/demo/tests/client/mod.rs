//! A plain client of the provider, which verifies what it is given with its own few lines.

use aws_lc_rs::{
    digest, hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use lychgate_demo::provider::{self, ParameterEdit, Provider, ProviderOptions, SignIn};
use reqwest::{StatusCode, header, redirect};
use serde_json::Value;

pub(crate) const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters";
const REDIRECT_URI: &str = "http://localhost:9000/callback";

/// Alice always signs in, at the client `gateway`.
pub(crate) fn options() -> ProviderOptions {
    ProviderOptions {
        clients: vec![provider::Client {
            client_id: "gateway".to_owned(),
            client_secret: "p%s + ecret".to_owned(),
            redirect_uris: vec![REDIRECT_URI.to_owned()],
            post_logout_redirect_uris: vec!["http://localhost:9000/goodbye".to_owned()],
        }],
        sign_in: SignIn::Always("alice".to_owned()),
        ..ProviderOptions::default()
    }
}

/// What came back, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    /// The first cookie that was set, without its attributes.
    pub(crate) cookie: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let text = |name: header::HeaderName| {
            response.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
        };
        Self {
            status: response.status(),
            location: text(header::LOCATION),
            cookie: text(header::SET_COOKIE)
                .and_then(|cookie| cookie.split(';').next().map(str::to_owned)),
            body: response.text().await.expect("a body"),
        }
    }

    pub(crate) fn json(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub(crate) struct Client {
    pub(crate) provider: Provider,
    http: reqwest::Client,
}

impl Client {
    pub(crate) async fn of_new_provider() -> Self {
        let provider = Provider::start(options()).await.expect("a provider");
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy().build();
        Self { provider, http: http.expect("a client") }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.provider.issuer())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path))).await
    }

    /// A good authorization request, with these changes.
    pub(crate) async fn authorize(&self, edits: &[ParameterEdit]) -> Answer {
        self.authorize_as("", edits).await
    }

    /// The same by a browser with this cookie.
    pub(crate) async fn authorize_as(&self, cookie: &str, edits: &[ParameterEdit]) -> Answer {
        let challenge =
            URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()));
        let parameters = edited(
            &[
                ("client_id", "gateway"),
                ("redirect_uri", REDIRECT_URI),
                ("response_type", "code"),
                ("scope", "openid profile email"),
                ("state", "a-state"),
                ("nonce", "a-nonce"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
            edits,
        );
        let url = self.url(&format!("/authorize?{parameters}"));
        Answer::of(self.http.get(url).header(header::COOKIE, cookie)).await
    }

    pub(crate) async fn code(&self) -> String {
        let location = self.authorize(&[]).await.location.expect("a redirect");
        parameter(&location, "code").expect("a code")
    }

    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    pub(crate) async fn redeem_with(&self, code: &str, edits: &[ParameterEdit]) -> Answer {
        // The secret is form-encoded before it is put together (RFC 6749 §2.3.1).
        let pair = STANDARD.encode("gateway:p%25s+%2B+ecret");
        let request = self.token_request(code, edits);
        Answer::of(request.header(header::AUTHORIZATION, format!("Basic {pair}"))).await
    }

    pub(crate) async fn redeem_without_header(
        &self,
        code: &str,
        edits: &[ParameterEdit],
    ) -> Answer {
        Answer::of(self.token_request(code, edits)).await
    }

    fn token_request(&self, code: &str, edits: &[ParameterEdit]) -> reqwest::RequestBuilder {
        let form = edited(
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", REDIRECT_URI),
                ("code_verifier", VERIFIER),
            ],
            edits,
        );
        self.http
            .post(self.url("/token"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
    }

    /// The answer of the token endpoint after a whole sign-in.
    pub(crate) async fn tokens(&self) -> Value {
        self.redeem(&self.code().await).await.json(StatusCode::OK)
    }

    pub(crate) async fn userinfo(&self, tokens: &Value) -> Answer {
        let token = tokens["access_token"].as_str().expect("an access token");
        let request = self.http.get(self.url("/userinfo"));
        Answer::of(request.header(header::AUTHORIZATION, format!("Bearer {token}"))).await
    }

    pub(crate) async fn keys(&self) -> Value {
        self.get("/jwks").await.json(StatusCode::OK)
    }

    /// The claims of the ID token, after its signature was found to be good.
    pub(crate) async fn verified_claims(&self, tokens: &Value) -> Value {
        let token = tokens["id_token"].as_str().expect("an ID token");
        assert!(verified(token, &self.keys().await, ""), "{token}");
        claims(token)
    }
}

/// The first value of this parameter in a location.
pub(crate) fn parameter(location: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(location).expect("an address");
    url.query_pairs().find(|(present, _)| present == name).map(|(_, value)| value.into_owned())
}

pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn edited(pairs: &[(&str, &str)], edits: &[ParameterEdit]) -> String {
    let mut pairs = pairs.to_vec();
    for edit in edits {
        match edit {
            ParameterEdit::Append(name, value) => pairs.push((name, value)),
            ParameterEdit::Drop(name) => pairs.retain(|(present, _)| present != name),
            ParameterEdit::Set(name, value) => {
                pairs.retain(|(present, _)| present != name);
                pairs.push((name, value));
            }
        }
    }
    encoded(&pairs)
}

pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Whether the signature is good by the published key that the header names, or by the secret.
pub(crate) fn verified(token: &str, keys: &Value, secret: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let header = header(token);
    let key = keys["keys"].as_array().expect("keys").iter().find(|key| key["kid"] == header["kid"]);
    let number = |member: &str| {
        let text = key.and_then(|key| key[member].as_str()).expect("a member of the key");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let rsa = |parameters: &'static RsaParameters| {
        let public = RsaPublicKeyComponents { n: number("n"), e: number("e") };
        public.verify(parameters, signed.as_bytes(), &signature).is_ok()
    };
    let other = |algorithm: &'static dyn VerificationAlgorithm, public: Vec<u8>| {
        UnparsedPublicKey::new(algorithm, public).verify(signed.as_bytes(), &signature).is_ok()
    };
    let point = || [vec![4], number("x"), number("y")].concat();
    match header["alg"].as_str() {
        Some("HS256") => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
        }
        _ if key.is_none() => false,
        Some("RS256") => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Some("PS256") => rsa(&RSA_PSS_2048_8192_SHA256),
        Some("ES256") => other(&ECDSA_P256_SHA256_FIXED, point()),
        Some("ES384") => other(&ECDSA_P384_SHA384_FIXED, point()),
        Some("EdDSA") => other(&ED25519, number("x")),
        _ => false,
    }
}
