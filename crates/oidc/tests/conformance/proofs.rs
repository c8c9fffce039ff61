//! How we prove who we are, and that a token is ours. What is signed is verified with aws-lc directly.

use std::sync::Arc;

use http::{Request, Response};
use lychgate_oidc::grant::{self, Held};
use lychgate_oidc::{
    Algorithm, AssertionAudience, Beginning, Certificate, ClientAuth, Dpop, DpopNonces, Exchange,
    ExchangeError, Grant, KeyError, KnownError, LoginEntropy, LoginRequest, Lookup, Moment,
    MtlsEndpointAliases, Paging, Provider, Pushing, Read, Secret, SecretMethod, SigningKey, Step,
    Timestamp, Userinfo, introspection, login,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use crate::signer::{KEYS, Key, encode, open_with_secret};
use crate::stage::{
    self, ACCESS_TOKEN, CLIENT, CLIENT_SECRET, Draft, ISSUER, Login, NOW, REDIRECT_URI, Stage,
};

pub(crate) fn signing_key(key: &Key) -> SigningKey {
    SigningKey::from_pem(&key.pem()).unwrap()
}

/// The parameters of a form, in order.
pub(crate) fn form(request: &Request<Vec<u8>>) -> Vec<(String, String)> {
    form_urlencoded::parse(request.body()).into_owned().collect()
}

pub(crate) fn value<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    let mut values = form.iter().filter(|(given, _)| given == name).map(|(_, value)| &**value);
    let value = values.next().unwrap_or_else(|| panic!("no {name} in {form:?}"));
    assert_eq!(values.next(), None, "{name} twice");
    value
}

/// A moment of its own, `step` seconds after the first.
pub(crate) fn moment_after(step: u8) -> Moment {
    Moment::new(Timestamp::new(NOW + i64::from(step)), [step; 32])
}

fn with_key(key: &Key, wished: Option<Algorithm>) -> Stage {
    let key = signing_key(key).named("our-key");
    let algorithm = key.algorithm(wished).unwrap();
    let mut stage = Stage::new();
    stage.provider.client_auth = ClientAuth::Key { key, algorithm };
    stage
}

/// `A-D11`, `F2-03`, `F2-15`: every algorithm, for the issuer alone, once, for a minute.
#[test]
fn a_signed_assertion_says_who_we_are_to_this_issuer_once() {
    for (key, wished, name) in [
        (&KEYS.rsa, None, "PS256"),
        (&KEYS.rsa, Some(Algorithm::RS256), "RS256"),
        (&KEYS.p256, None, "ES256"),
        (&KEYS.p384, None, "ES384"),
        (&KEYS.ed25519, None, "EdDSA"),
    ] {
        let (login, request, _) = with_key(key, wished).redeem();

        let form = form(&request);
        let (header, claims) = key.open(value(&form, "client_assertion"));
        assert_eq!(header, json!({ "alg": name, "kid": "our-key", "typ": "JWT" }));
        let jti = claims["jti"].as_str().unwrap();
        assert!(jti.len() >= 22);
        let expected = json!({
            "iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "jti": jti, "iat": NOW, "exp": NOW + 60,
        });
        assert_eq!(claims, expected);
        let names: Vec<&str> = form.iter().map(|(name, _)| &**name).collect();
        let all = [
            "grant_type",
            "code",
            "redirect_uri",
            "code_verifier",
            "client_id",
            "client_assertion_type",
            "client_assertion",
        ];
        assert_eq!(names, all);
        assert_eq!(value(&form, "client_id"), CLIENT);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(value(&form, "client_assertion_type"), kind);
        assert_eq!(value(&form, "redirect_uri"), REDIRECT_URI);
        assert_ne!(value(&form, "code_verifier"), login.query["code_challenge"]);
        assert!(request.headers().get("authorization").is_none());
    }
}

/// Knob `assertion.aud`: older providers want the token endpoint, some a fixed name.
#[test]
fn an_assertion_is_for_whom_the_provider_wants_it() {
    for (audience, expected) in [
        (AssertionAudience::Issuer, ISSUER),
        (AssertionAudience::TokenEndpoint, "https://idp.example/token"),
        (AssertionAudience::Other("https://as.example".to_owned()), "https://as.example"),
    ] {
        let mut stage = with_key(&KEYS.p256, None);
        stage.provider.assertion.audience = audience;

        let (_, request, _) = stage.redeem();

        let (_, claims) = KEYS.p256.open(value(&form(&request), "client_assertion"));
        assert_eq!(claims["aud"], expected);
    }
}

/// HS256 is keyed with the bytes of the secret, fewer than 32 of them too (sim-oten `short_secret`).
#[test]
fn a_secret_signs_an_assertion_without_being_sent() {
    for secret in [CLIENT_SECRET, "short"] {
        let mut stage = Stage::new();
        stage.provider.client_auth =
            ClientAuth::Secret { secret: Secret::new(secret), method: Some(SecretMethod::Jwt) };

        let (_, request, _) = stage.redeem();

        let form = form(&request);
        let (header, claims) = open_with_secret(secret, value(&form, "client_assertion"));
        assert_eq!(header, json!({ "alg": "HS256", "typ": "JWT" }));
        assert_eq!(claims["aud"], ISSUER);
        assert!(!form.iter().any(|(name, _)| name == "client_secret"));
    }
}

/// RFC 8705 §2: the certificate is in the handshake, and the form only names us.
#[test]
fn a_certificate_needs_nothing_in_the_form_but_our_name() {
    let mut stage = Stage::new();
    stage.provider.client_auth = ClientAuth::Certificate;

    let (_, request, _) = stage.redeem();

    let form = form(&request);
    assert_eq!(value(&form, "client_id"), CLIENT);
    assert_eq!(form.len(), 5, "{form:?}");
}

/// RFC 7523 §2.2: somebody else signs; each request brings what is there at its moment.
#[test]
fn an_assertion_from_elsewhere_is_sent_as_it_is_and_never_missing() {
    let mut stage = Stage::new();
    stage.provider.client_auth = ClientAuth::Assertion;
    let redeem = |assertion: Option<&str>| {
        let (_, matched) = stage.come_back();
        let mut moment = moment_after(1);
        moment.client_assertion = assertion.map(Secret::new);
        let provider = Arc::new(stage.provider.clone());
        matched.redeem(provider, Arc::new(stage.metadata()), &stage::keys(&stage.keys), moment)
    };

    let Ok(Step::Ask(request, _)) = redeem(Some("a.b.c")) else { panic!("it is asked") };
    assert_eq!(value(&form(&request), "client_assertion"), "a.b.c");
    assert_eq!(value(&form(&request), "client_id"), CLIENT);

    let error = redeem(None).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "there is no client assertion");
}

/// `D-D4`: everything in the address, nothing in the body, and `redirect_uri` left out where it is unknown.
#[test]
fn a_provider_that_reads_only_the_query_gets_everything_there() {
    let mut stage = Stage::new();
    stage.send_secret(SecretMethod::Query);
    stage.provider.token_request_omits_redirect_uri = true;
    stage.provider.authorization.code_challenge = false;

    let (login, request, exchange) = stage.redeem();

    assert!(!login.query.contains_key("code_challenge"));
    assert!(request.body().is_empty());
    assert_eq!(request.method(), "POST");
    let uri = url::Url::parse(&request.uri().to_string()).unwrap();
    let pairs: Vec<_> = uri.query_pairs().into_owned().collect();
    let expected = [
        ("grant_type", "authorization_code"),
        ("code", "the-code"),
        ("client_id", CLIENT),
        ("client_secret", CLIENT_SECRET),
    ];
    assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // D-D13: neither the step nor an error about it shows the address.
    let shown = format!("{:?}", Step::Ask(request, exchange));
    assert!(!shown.contains("secret") && !shown.contains("the-code"), "{shown}");
}

/// Every request that goes to the provider without the browser, with what proves who we are in it, in the order of
/// exchange, refresh, push, revocation and introspection. Each is made with this assertion from elsewhere, if any.
fn every_request(stage: &Stage, assertion: Option<&str>) -> Vec<(&'static str, Request<Vec<u8>>)> {
    let moment = || {
        let mut moment = stage::moment();
        moment.client_assertion = assertion.map(Secret::new);
        moment
    };
    let (provider, metadata) = (Arc::new(stage.provider.clone()), Arc::new(stage.metadata()));
    let asked = |step: Step| match step {
        Step::Ask(request, _) => request,
        step @ (Step::Believe(_) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    };
    let (_, matched) = stage.come_back();
    let exchange = matched
        .redeem(provider.clone(), metadata.clone(), &stage::keys(&stage.keys), moment())
        .unwrap();
    let held =
        Held { refresh_token: Secret::new("held-token"), subject: "ada".to_owned(), sub: None };
    let refresh = grant::refresh(provider.clone(), metadata.clone(), held, moment()).unwrap();
    let mut pushing = Provider::clone(&provider);
    pushing.authorization.pushing = Pushing::Required;
    let (keys, wish) = (stage::keys(&stage.keys), LoginRequest::default());
    let entropy = LoginEntropy::from([7; 96]);
    let pushed =
        login::begin(&Arc::new(pushing), &metadata, &keys, REDIRECT_URI, &wish, entropy, moment());
    let Beginning::Push(push, _) = pushed.unwrap() else { panic!("it is not pushed") };
    let grant: Grant = serde_json::from_value(
        json!({ "access_token": null, "refresh_token": "held-token", "expires_at": NOW }),
    )
    .unwrap();
    let revocation = grant::revocation(&provider, &metadata, &grant, moment()).unwrap();
    let token = Secret::new("some-token");
    let introspection = introspection::request(&token, &provider, &metadata, moment()).unwrap();
    vec![
        ("token", asked(exchange)),
        ("token", asked(refresh)),
        ("par", push),
        ("revoke", revocation),
        ("introspect", introspection),
    ]
}

/// RFC 6749 §2.3, RFC 7521 §4.2: what proves who we are at one endpoint proves it at all, method by method. An
/// assertion from a file is the one of the moment, and two statements that we sign ourselves are never the same.
#[test]
fn each_method_proves_who_we_are_at_every_endpoint() {
    let mut stage = Stage::new();
    for (member, path) in [
        ("pushed_authorization_request_endpoint", "par"),
        ("revocation_endpoint", "revoke"),
        ("introspection_endpoint", "introspect"),
    ] {
        stage.metadata[member] = format!("https://idp.example/{path}").into();
    }
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    // `client_assertion` from a file, before and after it is replaced.
    stage.provider.client_auth = ClientAuth::Assertion;
    for assertion in ["old.file.signature", "new.file.signature"] {
        for (endpoint, request) in every_request(&stage, Some(assertion)) {
            assert_eq!(request.uri().path(), format!("/{endpoint}"));
            let form = form(&request);
            assert_eq!(value(&form, "client_assertion"), assertion, "{endpoint}");
            assert_eq!(value(&form, "client_assertion_type"), jwt_bearer, "{endpoint}");
            assert_eq!(value(&form, "client_id"), CLIENT, "{endpoint}");
            assert!(!request.headers().contains_key("authorization"), "{endpoint}");
        }
    }

    // `client_secret_jwt`.
    let secret = "a secret of thirty-two bytes or more";
    stage.provider.client_auth =
        ClientAuth::Secret { secret: Secret::new(secret), method: Some(SecretMethod::Jwt) };
    for (endpoint, request) in every_request(&stage, None) {
        assert_eq!(request.uri().path(), format!("/{endpoint}"));
        let form = form(&request);
        let (header, claims) = open_with_secret(secret, value(&form, "client_assertion"));
        assert_eq!(header["alg"], "HS256", "{endpoint}");
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(CLIENT), &json!(ISSUER)));
        assert_eq!(value(&form, "client_assertion_type"), jwt_bearer, "{endpoint}");
        assert!(form.iter().all(|(_, value)| value != secret), "{endpoint}");
    }

    // The secret in the query: everything is there, and nothing in the body.
    stage.send_secret(SecretMethod::Query);
    for (endpoint, request) in every_request(&stage, None) {
        assert_eq!(request.uri().path(), format!("/{endpoint}"));
        assert!(request.body().is_empty(), "{endpoint}");
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let query: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        assert_eq!(value(&query, "client_secret"), CLIENT_SECRET, "{endpoint}");
        assert_eq!(value(&query, "client_id"), CLIENT, "{endpoint}");
    }
}

type Change<'a> = &'a dyn Fn(&mut Stage);

/// `F2-07`, `MT1`, `oidcc-client-test-mtls-endpoint-aliases`: aliases exactly where a certificate counts.
#[test]
fn endpoints_for_certificates_are_asked_exactly_when_one_counts() {
    let ordinary = "https://idp.example/token";
    let alias = "https://mtls.idp.example/token";
    let certificate = |stage: &mut Stage| stage.provider.client_auth = ClientAuth::Certificate;
    let bound = |stage: &mut Stage| stage.provider.certificate_bound_access_tokens = true;
    let always = |stage: &mut Stage| {
        stage.provider.mtls_endpoint_aliases = MtlsEndpointAliases::Always;
    };
    let never = |stage: &mut Stage| {
        stage.provider.client_auth = ClientAuth::Certificate;
        stage.provider.mtls_endpoint_aliases = MtlsEndpointAliases::Never;
    };
    let cases: [(Change<'_>, &str); 5] = [
        (&|_| {}, ordinary),
        (&certificate, alias),
        (&bound, alias),
        (&always, alias),
        (&never, ordinary),
    ];
    for (change, expected) in cases {
        let mut stage = Stage::new();
        stage.provider.userinfo = Userinfo::Always;
        stage.metadata["mtls_endpoint_aliases"] =
            json!({ "token_endpoint": alias, "userinfo_endpoint": "https://mtls.idp.example/me" });
        change(&mut stage);

        let (login, request, exchange) = stage.redeem();

        assert_eq!(request.uri().to_string(), expected);
        let step = answer(&stage, exchange, &login, "Bearer").unwrap();
        let Step::Ask(request, _) = step else { panic!("{step:?}") };
        let claims = if expected == alias {
            "https://mtls.idp.example/me"
        } else {
            "https://idp.example/userinfo"
        };
        assert_eq!(request.uri().to_string(), claims);
    }
}

/// `MT1`: an alias that cannot be used is an error, and not a reason to go elsewhere.
#[test]
fn a_bad_alias_is_an_error() {
    let mut stage = Stage::new();
    for bad in [json!({ "token_endpoint": "http://idp.example/t" }), json!("none"), json!([])] {
        stage.metadata["mtls_endpoint_aliases"] = bad;
        let document = stage.metadata.to_string();
        assert!(lychgate_oidc::Metadata::parse(document.as_bytes(), ISSUER).is_err(), "{document}");
    }
}

/// Gives the token endpoint's answer, of a token of this type.
fn answer(
    stage: &Stage,
    exchange: Exchange,
    login: &Login,
    token_type: &str,
) -> Result<Step, ExchangeError> {
    let body = json!({
        "access_token": ACCESS_TOKEN,
        "token_type": token_type,
        "id_token": Draft::new(login).to_text(),
    });
    exchange.receive(stage::json(&body), &stage::keys(&stage.keys), moment_after(2))
}

fn with_dpop() -> Stage {
    let mut stage = with_key(&KEYS.ed25519, None);
    let dpop =
        Dpop { key: signing_key(&KEYS.p256), algorithm: Algorithm::ES256, binds_code: false };
    stage.provider.dpop = Some(dpop);
    stage.provider.userinfo = Userinfo::Always;
    stage
}

/// The proof in a request, verified with the key that it names itself, as a server does.
pub(crate) fn proof(request: &Request<Vec<u8>>) -> (Value, Value) {
    let mut proofs = request.headers().get_all("dpop").iter();
    let proof = proofs.next().unwrap().to_str().unwrap();
    assert_eq!(proofs.next(), None);
    let (header, claims) = KEYS.p256.open(proof);
    assert_eq!(header["jwk"], KEYS.p256.nameless_jwk());
    (header, claims)
}

fn asks_for_nonce(nonce: &str) -> Response<Vec<u8>> {
    let mut response = stage::answer(400, "application/json", r#"{"error":"use_dpop_nonce"}"#);
    response.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
    response
}

/// `DP1`, `F2-01`: at the token endpoint and at the resource, each proof about its own request.
#[test]
fn a_proof_is_about_one_request_and_nothing_else() {
    let mut stage = with_dpop();
    stage.metadata["token_endpoint"] = "https://idp.example/token?tenant=a".into();
    let (login, request, exchange) = stage.redeem();

    let (header, claims) = proof(&request);
    assert_eq!(header["typ"], "dpop+jwt");
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header.as_object().unwrap().len(), 3);
    let expected = json!({
        "jti": claims["jti"], "htm": "POST", "htu": "https://idp.example/token", "iat": NOW,
    });
    assert_eq!(claims, expected);

    let Step::Ask(request, _) = answer(&stage, exchange, &login, "dpop").unwrap() else {
        panic!("userinfo is asked")
    };
    let (_, at_resource) = proof(&request);
    let expected = json!({
        "jti": at_resource["jti"],
        "htm": "GET",
        "htu": "https://idp.example/userinfo",
        "iat": NOW + 2,
        "ath": encode(Sha256::digest(ACCESS_TOKEN)),
    });
    assert_eq!(at_resource, expected);
    assert_ne!(claims["jti"], at_resource["jti"]);
    // F2-04: in the header, and nowhere else.
    assert_eq!(request.headers()["authorization"], format!("DPoP {ACCESS_TOKEN}"));
    assert!(!request.uri().to_string().contains(ACCESS_TOKEN));
}

/// `DP2`, `F2-08`: once more with everything fresh, and never a third time.
#[test]
fn a_nonce_is_given_once_with_a_new_proof_and_a_new_assertion() {
    let stage = with_dpop();
    let (_, first, exchange) = stage.redeem();
    let keys = stage::keys(&stage.keys);

    let step = exchange.receive(asks_for_nonce("n-1"), &keys, moment_after(1)).unwrap();
    let Step::Ask(second, exchange) = step else { panic!("{step:?}") };

    let ((_, before), (_, after)) = (proof(&first), proof(&second));
    assert_eq!(before.get("nonce"), None);
    assert_eq!(after["nonce"], "n-1");
    assert_ne!(before["jti"], after["jti"]);
    let jti =
        |request| KEYS.ed25519.open(value(&form(request), "client_assertion")).1["jti"].clone();
    assert_ne!(jti(&first), jti(&second));
    for same in ["code", "code_verifier", "redirect_uri"] {
        assert_eq!(value(&form(&first), same), value(&form(&second), same));
    }

    let error = exchange.receive(asks_for_nonce("n-2"), &keys, moment_after(2)).unwrap_err();
    let ExchangeError::TokenClientRefused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.error.known(), Some(KnownError::UseDpopNonce));
}

/// `DP2`, at the resource.
/// `fapi2-security-profile-final-client-test-rs-dpop-auth-scheme-case-insensitivity`
#[test]
fn a_resource_may_ask_for_a_nonce_too_and_only_once() {
    let stage = with_dpop();
    let (login, _, exchange) = stage.redeem();
    let keys = stage::keys(&stage.keys);
    let unauthorized = || {
        Response::builder()
            .status(401)
            .header("www-authenticate", r#"dpop error="use_dpop_nonce", algs="ES256""#)
            .header("dpop-nonce", "r-1")
            .body(Vec::new())
            .unwrap()
    };
    let Ok(Step::Ask(_, exchange)) = answer(&stage, exchange, &login, "DPoP") else {
        panic!("userinfo is asked")
    };

    let step = exchange.receive(unauthorized(), &keys, moment_after(3)).unwrap();
    let Step::Ask(request, exchange) = step else { panic!("{step:?}") };
    assert_eq!(proof(&request).1["nonce"], "r-1");
    assert!(exchange.receive(unauthorized(), &keys, moment_after(4)).is_err());
}

/// `DP2`: the error without the key, and the error without a nonce.
#[test]
fn a_wish_for_a_nonce_that_cannot_be_met_is_a_refusal() {
    let plain = Stage::new();
    let (_, _, exchange) = plain.redeem();
    let keys = stage::keys(&plain.keys);
    assert!(exchange.receive(asks_for_nonce("n-1"), &keys, moment_after(1)).is_err());

    let (_, _, exchange) = with_dpop().redeem();
    let response = stage::answer(400, "application/json", r#"{"error":"use_dpop_nonce"}"#);
    assert!(exchange.receive(response, &keys, moment_after(1)).is_err());
}

/// `DP2`: each server's own nonce, from the first request on.
#[test]
fn a_nonce_that_is_known_is_used_at_its_own_server_only() {
    let stage = with_dpop();
    for (server, expected) in
        [("https://idp.example", Some("kept")), ("https://other.example", None)]
    {
        let (_, matched) = stage.come_back();
        let mut moment = moment_after(1);
        moment.dpop_nonces = DpopNonces::from([(server.to_owned(), "kept".to_owned())]);
        let provider = Arc::new(stage.provider.clone());
        let step = matched
            .redeem(provider, Arc::new(stage.metadata()), &stage::keys(&stage.keys), moment)
            .unwrap();
        let Step::Ask(request, _) = step else { panic!("{step:?}") };
        assert_eq!(proof(&request).1.get("nonce").and_then(Value::as_str), expected);
    }
}

/// `DP3`
#[test]
fn a_token_of_another_type_than_the_one_asked_for_is_refused() {
    for (stage, good, bad) in [(with_dpop(), "dPoP", "Bearer"), (Stage::new(), "bEARER", "DPoP")] {
        let (login, _, exchange) = stage.redeem();
        assert!(answer(&stage, exchange, &login, good).is_ok());
        let (login, _, exchange) = stage.redeem();
        let refused = answer(&stage, exchange, &login, bad).unwrap_err();
        assert_eq!(refused, ExchangeError::TokenType);
    }
}

/// `DP5`; RFC 7638 and RFC 9449 §10
#[test]
fn a_code_is_bound_to_the_key_when_that_is_configured() {
    let mut stage = with_dpop();
    assert!(!stage.begin().query.contains_key("dpop_jkt"));
    stage.provider.dpop.as_mut().unwrap().binds_code = true;

    let login = stage.begin();

    let jwk = KEYS.p256.nameless_jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    assert_eq!(login.query["dpop_jkt"], encode(Sha256::digest(canonical)));
}

/// RFC 7638 §3.1 and RFC 8037 appendix A.3.
#[test]
fn the_thumbprint_is_that_of_the_specifications_example() {
    // The private key of RFC 8037 appendix A.1, in PKCS #8.
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    der.extend([0x04, 0x22, 0x04, 0x20]);
    let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    der.extend(base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, seed).unwrap());
    let pem = Secret::new(crate::signer::pem("PRIVATE KEY", &der));

    let key = SigningKey::from_pem(&pem).unwrap();

    assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key.public_jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
}

/// As much of an RSA key with 1024 bits as it takes to see that it is one.
fn weak_rsa() -> Vec<u8> {
    let element = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]], content].concat()
    };
    let modulus = [&[0x00, 0x80][..], &[1; 127]].concat();
    let key = element(0x30, &[element(0x02, &[0]), element(0x02, &modulus)].concat());
    let algorithm = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let version = element(0x02, &[0]);
    element(0x30, &[&version, &algorithm[..], &element(0x04, &key)].concat())
}

/// `F2-15`: what is no key for us is refused with words, and never shown.
#[test]
fn a_key_that_cannot_be_used_is_refused_with_words() {
    let read = |text: &str| SigningKey::from_pem(&Secret::new(text)).unwrap_err();
    let good = KEYS.p256.pem();
    let inside = good.expose();
    for (text, words) in [
        ("hunter2".to_owned(), "this is not PEM"),
        (inside.replace("PRIVATE KEY", "RSA PRIVATE KEY"), "not in PKCS #8"),
        (inside.replace("PRIVATE KEY", "EC PRIVATE KEY"), "not in PKCS #8"),
        (inside.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "is encrypted"),
        (inside.replace("PRIVATE KEY", "PUBLIC KEY"), "not a private key"),
        (inside.replace("-----END", "----END"), "damaged"),
        (crate::signer::pem("PRIVATE KEY", b"\x30\x03abc"), "neither RSA, P-256"),
        (crate::signer::pem("PRIVATE KEY", &weak_rsa()), "has 1024 bits"),
    ] {
        let error = read(&text);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(words), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("MI"), "{shown}");
    }
    let key = signing_key(&KEYS.rsa);
    let wrong = key.algorithm(Some(Algorithm::ES256)).unwrap_err();
    assert_eq!(wrong.to_string(), "an RSA key cannot sign with ES256; it can with PS256 and RS256");
    assert!(matches!(wrong, KeyError::Algorithm { .. }));
}

/// `JAR2`: keys do not print themselves.
#[test]
fn a_key_shows_what_it_is_and_nothing_else() {
    let key = signing_key(&KEYS.ed25519).named("k1");
    let shown = format!("{key:?}");
    assert_eq!(shown, r#"SigningKey { kind: "Ed25519", id: Some("k1"), .. }"#);
}

/// A certificate for a key of ours, good until 3 February 2051, PEM and DER.
fn certificate(key: &Secret) -> (String, Vec<u8>) {
    let key = rcgen::KeyPair::from_pem(key.expose()).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2051, 2, 3);
    let made = params.self_signed(&key).unwrap();
    (made.pem(), made.der().to_vec())
}

/// Entra and others look the key up by its certificate (RFC 7515 §4.1.7, §4.1.8).
#[test]
fn an_assertion_points_out_the_certificate_of_its_key() {
    for key in [&KEYS.p256, &KEYS.rsa, &KEYS.ed25519, &KEYS.p384] {
        let (pem, der) = certificate(&key.pem());
        let certificate = Certificate::from_pem(&pem).unwrap();
        // 2051-02-03T00:00:00Z
        assert_eq!(certificate.expires_at(), Timestamp::new(2_558_995_200));
        let mut stage = with_key(key, None);
        let signing = signing_key(key).certified_by(certificate).unwrap();
        let algorithm = signing.algorithm(None).unwrap();
        stage.provider.client_auth = ClientAuth::Key { key: signing, algorithm };

        let (_, request, _) = stage.redeem();

        let (header, _) = key.open(value(&form(&request), "client_assertion"));
        assert_eq!(header["x5t#S256"], encode(Sha256::digest(&der)));
        let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &der);
        assert_eq!(header["x5t"], encode(sha1));
    }
}

/// C-20: a certificate that cannot work is refused before anybody is shown it.
#[test]
fn a_certificate_of_another_key_is_refused() {
    let (pem, der) = certificate(&KEYS.rsa.pem());
    let other = Certificate::from_pem(&pem).unwrap();
    let refused = signing_key(&KEYS.p256).certified_by(other.clone()).unwrap_err();
    assert_eq!(refused, KeyError::CertificateOfAnotherKey);
    assert!(!signing_key(&KEYS.stranger).fits(&other));

    for text in [
        String::new(),
        KEYS.rsa.pem().expose().to_owned(),
        crate::signer::pem("CERTIFICATE", b"\x30\x00"),
        crate::signer::pem("CERTIFICATE", &der[..der.len() / 2]),
    ] {
        let error = Certificate::from_pem(&text).unwrap_err();
        assert!(!format!("{error:?}").contains("MI"), "{error:?}");
    }
    // However it is cut or bent, it is read or refused, and nothing else.
    for at in 0..der.len() {
        let mut bent = der.clone();
        bent[at] ^= 0xff;
        let _ = Certificate::from_pem(&crate::signer::pem("CERTIFICATE", &bent));
        let _ = Certificate::from_pem(&crate::signer::pem("CERTIFICATE", &der[..at]));
    }
}

/// `F2-01`, RFC 9449 §7.1, §9: a token that is bound to a key is shown to the vendor's own API as one, with a proof for
/// each page, and the API may ask for a nonce once for each. A service account's token is a bearer token still.
#[test]
fn a_lookup_shows_a_bound_token_with_a_proof() {
    let mut stage = with_dpop();
    stage.provider.userinfo = Userinfo::Never;
    let reads = vec![Read::every("groups", "", "{slug}")];
    let lookup = Lookup::get("groups", "https://api.example/groups?per_page=2", reads);
    stage.provider.manner.lookups = vec![Lookup { paging: Paging::Link, ..lookup }];
    let keys = stage::keys(&stage.keys);
    let (login, _, exchange) = stage.redeem();
    let unauthorized = |nonce: &str| {
        Response::builder()
            .status(401)
            .header("www-authenticate", r#"DPoP error="use_dpop_nonce""#)
            .header("dpop-nonce", nonce)
            .body(Vec::new())
            .unwrap()
    };
    let asked = |step: Result<Step, ExchangeError>| match step.unwrap() {
        Step::Ask(request, exchange) => (request, exchange),
        step @ (Step::Believe(_) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    };

    let (first, exchange) = asked(answer(&stage, exchange, &login, "DPoP"));
    assert_eq!(first.headers()["authorization"], format!("DPoP {ACCESS_TOKEN}"));
    assert!(first.headers()["authorization"].is_sensitive());
    let (_, claims) = proof(&first);
    assert_eq!(claims["htm"], "GET");
    assert_eq!(claims["htu"], "https://api.example/groups");
    assert_eq!(claims["ath"], encode(Sha256::digest(ACCESS_TOKEN)));
    assert_eq!(claims.get("nonce"), None);

    let (again, exchange) = asked(exchange.receive(unauthorized("r-1"), &keys, moment_after(3)));
    assert_eq!(again.uri(), first.uri(), "the same page");
    assert_eq!(proof(&again).1["nonce"], "r-1");

    let mut page = stage::json(&json!([{ "slug": "a" }]));
    let next = "<https://api.example/groups?page=2>; rel=\"next\"";
    page.headers_mut().insert("link", next.parse().unwrap());
    let (second, exchange) = asked(exchange.receive(page, &keys, moment_after(4)));
    assert_eq!(second.uri(), "https://api.example/groups?page=2");
    let (second, exchange) = asked(exchange.receive(unauthorized("r-2"), &keys, moment_after(5)));
    assert_eq!(second.uri(), "https://api.example/groups?page=2");
    assert_eq!(proof(&second).1["nonce"], "r-2");

    let error = exchange.receive(unauthorized("r-3"), &keys, moment_after(6)).unwrap_err();
    assert!(matches!(error, ExchangeError::Lookup { .. }), "{error:?}");
}
