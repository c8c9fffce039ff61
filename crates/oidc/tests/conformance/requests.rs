//! The authorization request: what is in it, and the ways in which it reaches the provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use lychgate_oidc::{
    Algorithm, AuthorizationUrl, Beginning, ClientAuth, ContentEncryption, Dpop, KeyManagement,
    KeySet, KnownError, LoginEntropy, LoginError, LoginRequest, PendingLogin, Pushed, Pushing,
    RequestObject, RequestObjectEncryption, RequestObjectSigner, Secret, SecretMethod,
    TemplateValue, login,
};
use serde_json::{Value, json};
use url::Url;

use crate::proofs::{form, moment_after, proof, signing_key, value};
use crate::signer::{KEYS, Key, open_with_secret};
use crate::stage::{self, CLIENT, CLIENT_SECRET, ISSUER, NOW, REDIRECT_URI, Stage};

const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:a&b=c%d#";

fn begin(stage: &Stage, request: &LoginRequest) -> Result<Beginning, LoginError> {
    let entropy = LoginEntropy::from([9; 96]);
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let keys = stage::keys(&stage.keys);
    login::begin(&provider, &metadata, &keys, REDIRECT_URI, request, entropy, moment_after(0))
}

fn go(stage: &Stage) -> (AuthorizationUrl, PendingLogin) {
    match begin(stage, &LoginRequest::default()) {
        Ok(Beginning::Go(url, pending)) => (url, pending),
        other => panic!("{other:?}"),
    }
}

fn push(stage: &Stage) -> (Request<Vec<u8>>, Pushed) {
    match begin(stage, &LoginRequest::default()) {
        Ok(Beginning::Push(request, pushed)) => (request, pushed),
        other => panic!("{other:?}"),
    }
}

fn pairs(url: &AuthorizationUrl) -> Vec<(String, String)> {
    Url::parse(url.as_str()).unwrap().query_pairs().into_owned().collect()
}

fn query(url: &AuthorizationUrl) -> BTreeMap<String, String> {
    pairs(url).into_iter().collect()
}

/// The stage with an address without a query, so that nothing but ours is in it.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.metadata["authorization_endpoint"] = "https://idp.example/authorize".into();
    stage.metadata["pushed_authorization_request_endpoint"] = "https://idp.example/par".into();
    stage
}

fn pushing() -> Stage {
    let mut stage = stage();
    stage.provider.authorization.pushing = Pushing::Required;
    stage
}

fn request_object(signer: RequestObjectSigner) -> RequestObject {
    RequestObject {
        signer,
        audience: None,
        lifetime: Duration::from_secs(300),
        kind: Some(RequestObject::KIND.to_owned()),
        encryption: None,
    }
}

fn signed_by(key: &Key) -> RequestObject {
    let key = signing_key(key).named("our-key");
    let algorithm = key.algorithm(None).unwrap();
    request_object(RequestObjectSigner::Key { key, algorithm })
}

fn taken(status: u16) -> Response<Vec<u8>> {
    let body = json!({ "request_uri": REQUEST_URI, "expires_in": 60 });
    stage::answer(status, "application/json", body.to_string())
}

/// `OC-07`; RFC 8707 §2, OIDC Core §5.5
#[test]
fn a_login_asks_for_what_the_operator_wants() {
    let mut stage = stage();
    let wish = &mut stage.provider.authorization;
    wish.max_age = Some(3600);
    wish.prompt = Some("login".to_owned());
    wish.ui_locales = Some("pt-BR en".to_owned());
    wish.acr_values = vec!["urn:gold".to_owned(), "urn:silver".to_owned()];
    wish.claims = Some(json!({ "id_token": { "acr": { "essential": true } } }));
    wish.resource = vec!["https://a.example".to_owned(), "https://b.example".to_owned()];
    wish.parameters = vec![("audience".to_owned(), "api".to_owned())];

    let (url, _) = go(&stage);

    let expected = [
        ("max_age", "3600"),
        ("prompt", "login"),
        ("ui_locales", "pt-BR en"),
        ("acr_values", "urn:gold urn:silver"),
        ("claims", r#"{"id_token":{"acr":{"essential":true}}}"#),
        ("resource", "https://a.example"),
        ("resource", "https://b.example"),
        ("audience", "api"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(pairs(&url)[8..], expected);
}

/// Knobs `pkce: off` and `nonce: off`, one at a time; what was not sent is not asked for later.
#[test]
fn pkce_and_nonce_can_be_left_out_one_at_a_time() {
    let mut stage = stage();
    stage.provider.authorization.code_challenge = false;
    let (url, _) = go(&stage);
    let sent = query(&url);
    assert!(!sent.contains_key("code_challenge") && !sent.contains_key("code_challenge_method"));
    assert!(sent.contains_key("nonce"));
    let (_, request, _) = stage.redeem();
    assert!(!form(&request).iter().any(|(name, _)| name == "code_verifier"));

    stage.provider.authorization.code_challenge = true;
    stage.provider.authorization.nonce = false;
    let (url, _) = go(&stage);
    let sent = query(&url);
    assert!(!sent.contains_key("nonce"));
    assert_eq!(sent["code_challenge_method"], "S256");
}

/// `params.from_login_query`: listed ones only, and never in the place of ours.
#[test]
fn a_login_link_adds_what_is_listed_and_replaces_nothing() {
    let mut stage = stage();
    stage.provider.authorization.parameters_from_login =
        ["auth_id", "state", "client_id"].map(str::to_owned).to_vec();
    let given = [("auth_id", "a-1"), ("state", "mine"), ("client_id", "you"), ("evil", "x")];
    let request = LoginRequest {
        parameters: given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..LoginRequest::default()
    };

    let Ok(Beginning::Go(url, pending)) = begin(&stage, &request) else { panic!("it begins") };

    let sent = query(&url);
    assert_eq!(sent["auth_id"], "a-1");
    assert_eq!(sent["state"], pending.state());
    assert_eq!(sent["client_id"], CLIENT);
    assert!(!sent.contains_key("evil"));
    assert_eq!(pairs(&url).len(), sent.len(), "nothing is there twice");

    let odd = LoginRequest {
        parameters: vec![("auth_id".to_owned(), "a\nb".to_owned())],
        ..LoginRequest::default()
    };
    let error = begin(&stage, &odd).unwrap_err();
    assert_eq!(error, LoginError::ParameterMalformed { name: "auth_id".to_owned() });
}

/// `A-D16`, `BR-03`: one identifier for a login, wherever it is named, remembered as it was sent.
#[test]
fn what_is_to_be_authorized_is_new_for_every_login_and_remembered() {
    let mut stage = stage();
    let wish = &mut stage.provider.authorization;
    wish.scope_templates = vec!["consent:{uuid}".parse().unwrap()];
    wish.authorization_details = vec![
        TemplateValue::new(json!({
            "type": "urn:accounts",
            "consent": {
                "ConsentId": "{uuid}",
                "ExpirationDateTime": "{now + 90d}",
                "Permissions": ["ReadAccounts"],
                "Recurring": true,
            },
        }))
        .unwrap(),
    ];

    let (url, pending) = go(&stage);

    let consent = pending.consent().unwrap();
    assert_eq!(consent.len(), 36);
    let sent = query(&url);
    assert_eq!(sent["scope"], format!("openid email consent:{consent}"));
    let details: Value = serde_json::from_str(&sent["authorization_details"]).unwrap();
    let expected = json!([{
        "type": "urn:accounts",
        "consent": {
            "ConsentId": consent,
            "ExpirationDateTime": "2030-04-01T09:00:00Z",
            "Permissions": ["ReadAccounts"],
            "Recurring": true,
        },
    }]);
    assert_eq!(details, expected);
    let written = serde_json::to_string(&pending).unwrap();
    let read: PendingLogin = serde_json::from_str(&written).unwrap();
    assert_eq!(Value::from(read.authorization_details()), expected);
    assert_eq!(go(&Stage::new()).1.consent(), None);
}

/// PSD2 scopes such as `AIS:<consent>`: one word, or no login.
#[test]
fn a_scope_from_the_login_link_is_one_scope() {
    let mut stage = stage();
    let wish = &mut stage.provider.authorization;
    wish.parameters_from_login = vec!["consent".to_owned()];
    wish.scope_templates = vec!["AIS:{login.consent}".parse().unwrap()];
    let with = |value: &str| LoginRequest {
        parameters: vec![("consent".to_owned(), value.to_owned())],
        ..LoginRequest::default()
    };

    let Ok(Beginning::Go(url, _)) = begin(&stage, &with("c-7")) else { panic!("it begins") };

    let sent = query(&url);
    assert_eq!(sent["scope"], "openid email AIS:c-7");
    assert!(!sent.contains_key("consent"));
    let name = "consent".to_owned();
    let error = begin(&stage, &with("c-7 admin")).unwrap_err();
    assert_eq!(error, LoginError::ParameterMalformed { name: name.clone() });
    let error = begin(&stage, &LoginRequest::default()).unwrap_err();
    assert_eq!(error, LoginError::ParameterMissing { name });
}

/// `B-D4`, `B-D5`, `B-D6`, `JAR1`: HS256 and EdDSA by value; everything inside, the client alone outside.
#[test]
fn a_request_object_in_the_address_holds_everything() {
    let mut stage = stage();
    stage.provider.authorization.max_age = Some(600);
    for (object, secret) in [
        (request_object(RequestObjectSigner::ClientSecret), true),
        (signed_by(&KEYS.ed25519), false),
    ] {
        stage.provider.authorization.request_object = Some(object);

        let (url, pending) = go(&stage);

        let sent = query(&url);
        assert_eq!(sent.keys().collect::<Vec<_>>(), ["client_id", "request"]);
        assert_eq!(sent["client_id"], CLIENT);
        let (header, claims) = if secret {
            open_with_secret(CLIENT_SECRET, &sent["request"])
        } else {
            KEYS.ed25519.open(&sent["request"])
        };
        let expected = if secret {
            json!({ "alg": "HS256", "typ": "oauth-authz-req+jwt" })
        } else {
            json!({ "alg": "EdDSA", "typ": "oauth-authz-req+jwt", "kid": "our-key" })
        };
        assert_eq!(header, expected);
        let expected = json!({
            "iss": CLIENT,
            "aud": ISSUER,
            "iat": NOW,
            "nbf": NOW - 10,
            "exp": NOW + 300,
            "jti": claims["jti"],
            "client_id": CLIENT,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": "openid email",
            "state": pending.state(),
            "nonce": claims["nonce"],
            "code_challenge": claims["code_challenge"],
            "code_challenge_method": "S256",
            "max_age": 600,
        });
        assert_eq!(claims, expected);
        assert!(claims["jti"].as_str().unwrap().len() >= 22);
        assert_ne!(claims["nonce"], Value::Null);
    }
}

/// `A-D8`, `A-D9`, `FM-01`: PS256; `typ` and audience as the provider wants them; no `sub`.
#[test]
fn a_request_object_is_what_the_provider_wants() {
    let mut stage = stage();
    let mut object = signed_by(&KEYS.rsa);
    object.kind = None;
    object.audience = Some("https://account.example".to_owned());
    object.lifetime = Duration::from_secs(60);
    stage.provider.authorization.request_object = Some(object);
    stage.provider.authorization.resource = vec!["https://a.example".to_owned()];
    stage.provider.authorization.claims = Some(json!({ "userinfo": {} }));

    let (header, claims) = KEYS.rsa.open(&query(&go(&stage).0)["request"]);

    assert_eq!(header, json!({ "alg": "PS256", "kid": "our-key" }));
    assert_eq!(claims["aud"], "https://account.example");
    assert_eq!(claims["exp"], NOW + 60);
    assert_eq!(claims["claims"], json!({ "userinfo": {} }));
    assert_eq!(claims["resource"], json!(["https://a.example"]));
    for never in ["sub", "request", "request_uri", "client_secret"] {
        assert_eq!(claims.get(never), None);
    }
}

/// Knob `authorize.repeat`; `F1-02`
#[test]
fn parameters_stand_outside_as_well_where_the_provider_looks_there() {
    let mut stage = stage();
    stage.provider.authorization.request_object = Some(signed_by(&KEYS.p256));
    stage.provider.authorization.repeats = ["response_type", "scope"].map(str::to_owned).to_vec();
    let outside = query(&go(&stage).0);
    let names: Vec<&String> = outside.keys().collect();
    assert_eq!(names, ["client_id", "request", "response_type", "scope"]);
    assert_eq!(outside["scope"], "openid email");

    stage.provider.authorization.pushing = Pushing::Required;
    let (_, pushed) = push(&stage);
    let Ok(Beginning::Go(url, _)) = pushed.receive(taken(201), moment_after(1)) else {
        panic!("it goes")
    };
    let outside = query(&url);
    let names: Vec<&String> = outside.keys().collect();
    assert_eq!(names, ["client_id", "request_uri", "response_type", "scope"]);
}

/// `A-D6`, `A-D7`, `F2-11`, `F2-13`, `F2-18`, `PAR1`, `PAR4`: taken with 200 or 201; only a reference is left.
#[test]
fn a_pushed_request_leaves_a_reference_in_the_address() {
    for status in [200, 201] {
        let stage = pushing();
        let (request, pushed) = push(&stage);

        assert_eq!(request.uri().to_string(), "https://idp.example/par");
        let sent = form(&request);
        for (name, expected) in [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", REDIRECT_URI),
            ("scope", "openid email"),
            ("code_challenge_method", "S256"),
        ] {
            assert_eq!(value(&sent, name), expected);
        }
        assert!(!sent.iter().any(|(name, _)| name == "request_uri"));
        // The same authentication as at the token endpoint.
        assert!(request.headers()["authorization"].to_str().unwrap().starts_with("Basic "));

        let Ok(Beginning::Go(url, pending)) = pushed.receive(taken(status), moment_after(1)) else {
            panic!("it goes")
        };
        assert_eq!(
            pairs(&url),
            [
                ("client_id".to_owned(), CLIENT.to_owned()),
                ("request_uri".to_owned(), REQUEST_URI.to_owned())
            ],
        );
        assert_eq!(pending.state(), value(&sent, "state"));
    }
}

/// `A-D5`, `A-D12`, `FM-01`: the request object and the assertion, and nothing in clear.
#[test]
fn a_signed_request_is_pushed_with_nothing_beside_it() {
    let mut stage = pushing();
    let key = signing_key(&KEYS.rsa).named("our-key");
    stage.provider.client_auth = ClientAuth::Key { key, algorithm: Algorithm::PS256 };
    stage.provider.authorization.request_object = Some(signed_by(&KEYS.rsa));

    let (request, _) = push(&stage);

    let sent = form(&request);
    let names: Vec<&str> = sent.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["client_id", "request", "client_assertion_type", "client_assertion"]);
    let (_, object) = KEYS.rsa.open(value(&sent, "request"));
    let (_, assertion) = KEYS.rsa.open(value(&sent, "client_assertion"));
    assert_eq!(object["aud"], ISSUER);
    assert_eq!(assertion["aud"], ISSUER);
    assert_ne!(object["jti"], assertion["jti"]);
}

/// Knob `par: off|auto|required`, `PAR3`: what the provider demands is done, and what cannot be done fails.
#[test]
fn a_request_is_pushed_when_it_has_to_be() {
    let mut stage = stage();
    stage.metadata["require_pushed_authorization_requests"] = true.into();
    assert!(matches!(begin(&stage, &LoginRequest::default()), Ok(Beginning::Push(..))));

    stage.provider.authorization.pushing = Pushing::Never;
    assert!(matches!(begin(&stage, &LoginRequest::default()), Ok(Beginning::Go(..))));

    stage.provider.authorization.pushing = Pushing::Required;
    stage.metadata["pushed_authorization_request_endpoint"] = Value::Null;
    let error = begin(&stage, &LoginRequest::default()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the provider has no pushed authorization request endpoint");
}

/// `PAR3`, `PAR4`, `A-D6`, `A-D14`: whatever else comes back, no browser goes anywhere.
#[test]
fn a_push_that_fails_never_falls_back() {
    let json =
        |status: u16, body: Value| stage::answer(status, "application/json", body.to_string());
    let malformed = |member| LoginError::PushMalformed { member };
    for (response, expected) in [
        (json(201, json!({ "expires_in": 60 })), malformed("request_uri")),
        (json(201, json!({ "request_uri": "" })), malformed("request_uri")),
        (json(201, json!({ "request_uri": 7 })), malformed("request_uri")),
        (json(201, json!({ "request_uri": "a\u{20ac}" })), malformed("request_uri")),
        (json(201, json!({ "request_uri": "u".repeat(2049) })), malformed("request_uri")),
        (json(201, json!({ "request_uri": "urn:a", "expires_in": 0 })), malformed("expires_in")),
        (json(201, json!({ "request_uri": "urn:a", "expires_in": "9" })), malformed("expires_in")),
        (json(429, json!({})), LoginError::PushBusy { retry_after: None }),
    ] {
        let (_, pushed) = push(&pushing());
        assert_eq!(pushed.receive(response, moment_after(1)).unwrap_err(), expected);
    }
    let mut busy = json(429, json!({}));
    busy.headers_mut().insert("retry-after", "7".parse().unwrap());
    let (_, pushed) = push(&pushing());
    let error = pushed.receive(busy, moment_after(1)).unwrap_err();
    assert_eq!(error, LoginError::PushBusy { retry_after: Some(Duration::from_secs(7)) });

    for (code, operator) in [("invalid_client", true), ("server_error", false)] {
        let (_, pushed) = push(&pushing());
        let body = json!({ "error": code, "error_description": "no\u{202e}" });
        let error = pushed.receive(json(400, body), moment_after(1)).unwrap_err();
        let (LoginError::PushClientRefused(refusal) | LoginError::PushRefused(refusal)) = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!(refusal.description.as_deref(), Some("no"));
        assert_eq!(matches!(error, LoginError::PushClientRefused(_)), operator);
    }
    for response in [
        stage::answer(302, "text/html", ""),
        stage::answer(405, "text/html", ""),
        stage::answer(413, "text/plain", "too large"),
        stage::answer(500, "text/html", "oops"),
        stage::answer(201, "text/html", r#"{"request_uri":"urn:a"}"#),
        stage::answer(201, "application/json", "not json"),
        stage::answer(204, "application/json", r#"{"request_uri":"urn:a"}"#),
    ] {
        let (_, pushed) = push(&pushing());
        let error = pushed.receive(response, moment_after(1)).unwrap_err();
        assert!(matches!(error, LoginError::PushAnswer(_)), "{error:?}");
    }
}

/// `DP2` at the endpoint for pushed requests: the key binds the code there already (RFC 9449 §10.1).
#[test]
fn a_push_is_made_once_more_for_a_nonce_with_everything_signed_anew() {
    let mut stage = pushing();
    let key = signing_key(&KEYS.ed25519);
    stage.provider.client_auth = ClientAuth::Key { key, algorithm: Algorithm::EdDSA };
    stage.provider.authorization.request_object = Some(signed_by(&KEYS.ed25519));
    stage.provider.dpop =
        Some(Dpop { key: signing_key(&KEYS.p256), algorithm: Algorithm::ES256, binds_code: false });
    let wants = || {
        let mut response = stage::answer(400, "application/json", r#"{"error":"use_dpop_nonce"}"#);
        response.headers_mut().insert("dpop-nonce", "p-1".parse().unwrap());
        response
    };
    let (first, pushed) = push(&stage);
    assert_eq!(proof(&first).1["htu"], "https://idp.example/par");

    let Ok(Beginning::Push(second, pushed)) = pushed.receive(wants(), moment_after(1)) else {
        panic!("it is pushed again")
    };

    assert_eq!(proof(&second).1["nonce"], "p-1");
    for name in ["client_assertion", "request"] {
        let claims = |request| KEYS.ed25519.open(value(&form(request), name)).1;
        assert_ne!(claims(&first)["jti"], claims(&second)["jti"]);
        assert_eq!(claims(&first)["state"], claims(&second)["state"]);
    }
    let error = pushed.receive(wants(), moment_after(2)).unwrap_err();
    let LoginError::PushClientRefused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.error.known(), Some(KnownError::UseDpopNonce));
}

/// `PAR2`: every login pushes its own, and none is used twice: what holds the reference is consumed.
#[test]
fn two_logins_push_two_requests() {
    let stage = pushing();
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let states = [1, 2].map(|byte| {
        let begun = login::begin(
            &provider,
            &metadata,
            &KeySet::empty(),
            REDIRECT_URI,
            &LoginRequest::default(),
            LoginEntropy::from([byte; 96]),
            moment_after(byte),
        );
        let Ok(Beginning::Push(request, _)) = begun else { panic!("it is pushed") };
        value(&form(&request), "state").to_owned()
    });
    assert_ne!(states[0], states[1]);
}

/// `D-D13`, `JAR2`, `PAR4`: what is printed on the way shows no assertion, request object, secret or reference.
#[test]
fn nothing_that_is_printed_of_a_request_shows_what_is_in_it() {
    let mut stage = pushing();
    stage.send_secret(SecretMethod::Query);
    stage.provider.authorization.request_object =
        Some(request_object(RequestObjectSigner::ClientSecret));
    let (request, pushed) = push(&stage);
    let sent = request.uri().to_string();
    assert!(sent.contains("client_secret="), "{sent}");

    let mut shown = format!("{:?} {pushed:?}", Beginning::Push(request, push(&stage).1));
    let going = pushed.receive(taken(201), moment_after(1)).unwrap();
    shown.push_str(&format!("{going:?} {:?}", stage.provider));
    stage.provider.client_auth = ClientAuth::Assertion;
    let mut moment = moment_after(2);
    moment.client_assertion = Some(Secret::new("eyJ.canary.sig"));
    shown.push_str(&format!("{moment:?}"));
    let (_, pushed) = push(&pushing());
    let refused = stage::answer(400, "text/plain", sent);
    shown.push_str(&format!("{:?}", pushed.receive(refused, moment_after(3))));

    for secret in ["canary", "eyJ", "client_secret=", "a+secret", CLIENT_SECRET, "request_uri:a"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// `BR-01`: where the provider publishes nothing to encrypt to, nothing is sent; not even pushed.
#[test]
fn a_login_does_not_begin_without_the_key_that_its_request_is_for() {
    for mut stage in [stage(), pushing()] {
        let mut object = signed_by(&KEYS.p256);
        object.encryption = Some(RequestObjectEncryption {
            key_management: KeyManagement::RsaOaep,
            content: ContentEncryption::A256GCM,
        });
        stage.provider.authorization.request_object = Some(object);
        let error = begin(&stage, &LoginRequest::default()).err();
        assert_eq!(error, Some(LoginError::EncryptionKeyMissing));
    }
}
