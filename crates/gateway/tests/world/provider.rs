//! An OpenID provider in memory: it checks what it is sent as strictly as a good one does, signs with a real
//! key, and misbehaves when told to.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use lychgate_gateway::world::{Known, Unreachable};
use lychgate_oidc::{KeySet, Metadata};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

pub(crate) const CLIENT: &str = "lychgate";
pub(crate) const CLIENT_SECRET: &str = "client-secret-canary";

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

impl Person {
    pub(crate) fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups }
    }

    /// A site reliability engineer.
    pub(crate) fn ada() -> Self {
        Self::new("ada", &["staff", "sre"])
    }

    /// Somebody from sales.
    pub(crate) fn bob() -> Self {
        Self::new("bob", &["staff", "sales"])
    }
}

/// How the token endpoint behaves.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// As the specifications say.
    Honest,
    /// It does not answer at all.
    Silent,
    /// It answers with a status and an error code.
    Failing(u16, &'static str),
    /// It never comes to an end.
    Endless,
    /// It takes any verifier, as a provider without PKCE does.
    Careless,
    /// It asserts something else than it should.
    Lying(fn(&mut Value)),
    /// It signs with a key that it does not publish.
    Forging,
}

pub(crate) struct Provider {
    name: String,
    issuer: String,
    /// Whether its metadata was ever fetched.
    pub(crate) known: bool,
    pub(crate) manner: Manner,
    /// Whether it promises and sends `iss` with every authorization response (RFC 9207).
    pub(crate) sends_issuer: bool,
    /// Whether it has a sign-out page.
    pub(crate) signs_out: bool,
    /// The number of its current key, and of the newest that we have fetched.
    pub(crate) key: u8,
    fetched_key: u8,
    /// Whether it issues refresh tokens.
    pub(crate) refreshes: bool,
    /// Whether its refresh tokens stay the same instead.
    pub(crate) keeps_refresh_tokens: bool,
    /// Whether a refresh brings an ID token.
    pub(crate) refreshes_id_token: bool,
    /// What it knows of everybody's groups by now, if it is no more what it said at sign-in.
    pub(crate) groups_now: Option<Vec<String>>,
    /// What userinfo says, if there is such an endpoint; a status of its own when it is in trouble.
    pub(crate) userinfo: Option<(u16, Value)>,
    /// Which visit each request was for, as far as it said so.
    pub(crate) interactions: Vec<Option<String>>,
    /// When it wants to be asked again, in what it says of its troubles.
    pub(crate) retry_after: Option<&'static str>,
    /// Tokens that were given back.
    pub(crate) given_back: Vec<String>,
    /// Whether it takes nothing but pushed requests, and what becomes of these when that is not well.
    pub(crate) pushed_only: bool,
    pub(crate) push_refusal: Option<(u16, &'static str)>,
    /// What it wants in proofs of possession; then it gives tokens that are bound to their key.
    pub(crate) wants_nonce: Option<&'static str>,
    /// The assertions that clients brought to its token endpoint.
    pub(crate) assertions: Vec<String>,
    /// Requests that were pushed and not used yet, by their references.
    parked: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) pushes: usize,
    grants: BTreeMap<String, Grant>,
    /// By refresh token: whose it is, and whether it was used.
    families: BTreeMap<String, (Person, bool)>,
    pub(crate) token_requests: usize,
    /// What it says of every token that it is asked about; that it is no good, if nothing.
    pub(crate) says_of_tokens: Option<Value>,
    pub(crate) introspections: usize,
    pub(crate) key_requests: usize,
}

/// What a code stands for.
struct Grant {
    person: Person,
    nonce: String,
    challenge: String,
    redirect_uri: String,
    /// What was asked to be authorized, as it was asked.
    details: String,
}

/// The issuer of the provider with this name.
pub(crate) fn issuer(name: &str) -> String {
    format!("https://{name}.id.test")
}

impl Provider {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            issuer: issuer(name),
            known: true,
            manner: Manner::Honest,
            sends_issuer: true,
            signs_out: true,
            key: 1,
            fetched_key: 1,
            refreshes: false,
            keeps_refresh_tokens: false,
            refreshes_id_token: true,
            groups_now: None,
            userinfo: None,
            interactions: Vec::new(),
            retry_after: None,
            given_back: Vec::new(),
            pushed_only: false,
            push_refusal: None,
            wants_nonce: None,
            assertions: Vec::new(),
            parked: BTreeMap::new(),
            pushes: 0,
            grants: BTreeMap::new(),
            families: BTreeMap::new(),
            token_requests: 0,
            says_of_tokens: None,
            introspections: 0,
            key_requests: 0,
        }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether browsers may be sent to this address of it.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin().ascii_serialization() == self.issuer
            && ["/authorize", "/sign-out"].contains(&url.path())
    }

    pub(crate) fn known(&self) -> Option<Known> {
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": format!("{}/authorize", self.issuer),
            "token_endpoint": format!("{}/token", self.issuer),
            "introspection_endpoint": format!("{}/introspect", self.issuer),
            "jwks_uri": format!("{}/keys", self.issuer),
            "authorization_response_iss_parameter_supported": self.sends_issuer,
        });
        if self.refreshes {
            document["revocation_endpoint"] = format!("{}/revoke", self.issuer).into();
        }
        if self.pushed_only {
            document["pushed_authorization_request_endpoint"] =
                format!("{}/par", self.issuer).into();
            document["require_pushed_authorization_requests"] = true.into();
        }
        if self.userinfo.is_some() {
            document["userinfo_endpoint"] = format!("{}/userinfo", self.issuer).into();
        }
        if self.signs_out {
            document["end_session_endpoint"] = format!("{}/sign-out", self.issuer).into();
        }
        let metadata = Metadata::parse(document.to_string().as_bytes(), &self.issuer);
        let metadata = Arc::new(metadata.expect("our own metadata"));
        self.known.then(|| Known { metadata, keys: self.keys(self.fetched_key) })
    }

    pub(crate) fn newer_keys(&mut self) -> Arc<KeySet> {
        self.key_requests += 1;
        self.fetched_key = self.key;
        self.keys(self.key)
    }

    fn keys(&self, number: u8) -> Arc<KeySet> {
        let jwk = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": format!("key-{number}"),
            "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(self.signing_key(number).public_key()),
        });
        let set = json!({ "keys": [jwk] }).to_string();
        Arc::new(KeySet::parse(set.as_bytes()).expect("our own keys"))
    }

    fn signing_key(&self, number: u8) -> Ed25519KeyPair {
        let mut seed: [u8; 32] = Sha256::digest(self.name.as_bytes()).into();
        seed[0] = number;
        Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes")
    }

    /// The person agrees: a code, and the way back. Also the secrets that are out now.
    pub(crate) fn authorize(
        &mut self,
        url: &Url,
        person: &Person,
        code: String,
    ) -> (String, Vec<String>) {
        let mut query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.query_pairs().count(), query.len(), "a parameter is repeated: {url}");
        if self.pushed_only {
            // A reference is used once, and nothing stands beside it (F2-13).
            assert_eq!(query.keys().collect::<Vec<_>>(), ["client_id", "request_uri"], "{url}");
            query = self.parked.remove(&query["request_uri"]).expect("a reference of ours");
        }
        let asked = |name: &str| query.get(name).cloned().unwrap_or_default();
        assert!(self.owns(url) && url.path() == "/authorize", "{url}");
        for (name, expected) in
            [("response_type", "code"), ("client_id", CLIENT), ("code_challenge_method", "S256")]
        {
            assert_eq!(asked(name), expected, "{url}");
        }
        let (state, nonce) = (asked("state"), asked("nonce"));
        assert!(state.len() >= 43 && nonce.len() >= 43 && state != nonce, "{url}");
        let grant = Grant {
            person: person.clone(),
            nonce: nonce.clone(),
            challenge: asked("code_challenge"),
            redirect_uri: asked("redirect_uri"),
            details: asked("authorization_details"),
        };
        let mut back = Url::parse(&grant.redirect_uri).expect("a redirect URI");
        if asked("response_mode").ends_with("jwt") {
            let claims = json!({
                "iss": self.issuer, "aud": CLIENT, "exp": 4_000_000_000_u32,
                "code": code, "state": state,
            });
            back.query_pairs_mut().append_pair("response", &self.sign(&claims));
        } else {
            back.query_pairs_mut().append_pair("code", &code).append_pair("state", &state);
            if self.sends_issuer {
                back.query_pairs_mut().append_pair("iss", &self.issuer);
            }
        }
        self.grants.insert(code.clone(), grant);
        (back.into(), vec![code, state, nonce])
    }

    /// The token endpoint. Also the secrets that it saw and made.
    pub(crate) fn answer(
        &mut self,
        request: &Request<Vec<u8>>,
        now: i64,
    ) -> (Result<Response<Vec<u8>>, Unreachable>, Vec<String>) {
        let said = request.headers().get("x-fapi-interaction-id");
        self.interactions.push(said.map(|id| id.to_str().expect("visible ASCII").to_owned()));
        if let Some((status, body)) = &self.userinfo
            && request.uri().path() == "/userinfo"
        {
            return (Ok(answer(*status, body)), Vec::new());
        }
        assert_eq!(request.method(), http::Method::POST);
        if request.uri().path() == "/par" {
            return (Ok(self.push(request)), vec![CLIENT_SECRET.to_owned()]);
        }
        let form: BTreeMap<_, _> = form_urlencoded::parse(request.body()).into_owned().collect();
        let sent = |name: &str| form.get(name).cloned().unwrap_or_default();
        if request.uri().path() == "/revoke" {
            self.given_back.push(sent("token"));
            return (Ok(answer(200, &json!({}))), Vec::new());
        }
        if request.uri().path() == "/introspect" {
            self.introspections += 1;
            let said = self.says_of_tokens.clone();
            let said = said.unwrap_or_else(|| json!({ "active": false }));
            return (Ok(answer(200, &said)), vec![CLIENT_SECRET.to_owned()]);
        }
        assert_eq!(request.uri().to_string(), format!("{}/token", self.issuer));
        self.token_requests += 1;
        if sent("grant_type") == "refresh_token" {
            return self.refreshed(&sent("refresh_token"), now);
        }
        let mut secrets = vec![sent("code_verifier"), CLIENT_SECRET.to_owned()];
        let refused = |status: u16, code: &str| Ok(answer(status, &json!({ "error": code })));

        if let Some(nonce) = self.wants_nonce
            && proof(request)["nonce"] != nonce
        {
            let mut refusal = answer(400, &json!({ "error": "use_dpop_nonce" }));
            refusal.headers_mut().insert("dpop-nonce", http::HeaderValue::from_static(nonce));
            return (Ok(refusal), secrets);
        }
        self.assertions.extend(form.get("client_assertion").cloned());

        // A code is gone with the first who brings it, right or wrong (RFC 6749 §4.1.2).
        let Some(grant) = self.grants.remove(&sent("code")) else {
            return (refused(400, "invalid_grant"), secrets);
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(sent("code_verifier")));
        let fits = challenge == grant.challenge || matches!(self.manner, Manner::Careless);
        if !fits || sent("redirect_uri") != grant.redirect_uri {
            return (refused(400, "invalid_grant"), secrets);
        }
        match self.manner {
            Manner::Endless | Manner::Silent => {
                return (Err(Unreachable("no answer in time".to_owned())), secrets);
            }
            Manner::Failing(status, code) => {
                let mut refusal = answer(status, &json!({ "error": code }));
                if let Some(when) = self.retry_after {
                    let when = http::HeaderValue::from_static(when);
                    refusal.headers_mut().insert("retry-after", when);
                }
                return (Ok(refusal), secrets);
            }
            Manner::Careless | Manner::Forging | Manner::Honest | Manner::Lying(_) => {}
        }
        let mut claims = self.claims(&grant.person, now);
        claims["nonce"] = grant.nonce.into();
        if let Manner::Lying(change) = self.manner {
            change(&mut claims);
        }
        let (mut body, made) = self.tokens(&grant.person, Some(&claims));
        if let Ok(details) = serde_json::from_str::<Value>(&grant.details) {
            body["authorization_details"] = details;
        }
        secrets.extend(made);
        (Ok(answer(200, &body)), secrets)
    }

    /// The answer to a refresh token, which is used up by it. A second use of one ends its family (RFC 9700 §4.14.2).
    fn refreshed(
        &mut self,
        token: &str,
        now: i64,
    ) -> (Result<Response<Vec<u8>>, Unreachable>, Vec<String>) {
        let refused = |status: u16, code: &str| Ok(answer(status, &json!({ "error": code })));
        match self.manner {
            Manner::Silent => {
                return (Err(Unreachable("no answer in time".to_owned())), Vec::new());
            }
            Manner::Failing(status, code) => return (refused(status, code), Vec::new()),
            Manner::Careless
            | Manner::Endless
            | Manner::Forging
            | Manner::Honest
            | Manner::Lying(_) => {}
        }
        let Some((person, used)) = self.families.get_mut(token) else {
            return (refused(400, "invalid_grant"), Vec::new());
        };
        if std::mem::replace(used, !self.keeps_refresh_tokens) {
            let name = person.name.clone();
            self.families.retain(|_, (person, _)| person.name != name);
            return (refused(400, "invalid_grant"), Vec::new());
        }
        let person = person.clone();
        let mut claims = self.claims(&person, now);
        if let Some(groups) = &self.groups_now {
            claims["groups"] = json!(groups);
        }
        if let Manner::Lying(change) = self.manner {
            change(&mut claims);
        }
        let (mut body, secrets) =
            self.tokens(&person, Some(&claims).filter(|_| self.refreshes_id_token));
        if self.keeps_refresh_tokens {
            body.as_object_mut().expect("an answer").remove("refresh_token");
        }
        (Ok(answer(200, &body)), secrets)
    }

    fn claims(&self, person: &Person, now: i64) -> Value {
        json!({
            "iss": self.issuer,
            "sub": format!("sub-{}", person.name),
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "preferred_username": person.name,
            "email": format!("{}@corp.test", person.name),
            "email_verified": true,
            "groups": person.groups,
        })
    }

    /// A success of the token endpoint, and the secrets in it.
    fn tokens(&mut self, person: &Person, claims: Option<&Value>) -> (Value, Vec<String>) {
        let number = self.token_requests;
        let access_token = format!("access-token-{number}-of-{}", person.name);
        let mut body = json!({
            "access_token": access_token,
            "token_type": if self.wants_nonce.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": 300,
        });
        let mut secrets = vec![access_token];
        if let Some(claims) = claims {
            let token = self.sign(claims);
            body["id_token"] = token.clone().into();
            secrets.push(token);
        }
        if self.refreshes && (!self.keeps_refresh_tokens || self.families.is_empty()) {
            let token = format!("refresh-token-{number}-of-{}", person.name);
            self.families.insert(token.clone(), (person.clone(), false));
            body["refresh_token"] = token.clone().into();
            secrets.push(token);
        }
        (body, secrets)
    }

    /// The endpoint for pushed requests.
    fn push(&mut self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        self.pushes += 1;
        if let Some((status, code)) = self.push_refusal {
            let mut refusal = answer(status, &json!({ "error": code }));
            refusal.headers_mut().insert("retry-after", http::HeaderValue::from_static("17"));
            return refusal;
        }
        let form = form_urlencoded::parse(request.body()).into_owned().collect();
        let reference = format!("urn:ietf:params:oauth:request_uri:{}", self.pushes);
        self.parked.insert(reference.clone(), form);
        answer(201, &json!({ "request_uri": reference, "expires_in": 60 }))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let key = if matches!(self.manner, Manner::Forging) { 0xFF } else { self.key };
        let header = json!({ "alg": "EdDSA", "kid": format!("key-{}", self.key), "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(claims));
        let signature = self.signing_key(key).sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What a proof of possession says.
fn proof(request: &Request<Vec<u8>>) -> Value {
    let proof = request.headers()["dpop"].to_str().expect("a token");
    let claims = proof.split('.').nth(1).expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    serde_json::from_slice(&claims).expect("claims")
}

fn answer(status: u16, body: &Value) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .expect("a response")
}
