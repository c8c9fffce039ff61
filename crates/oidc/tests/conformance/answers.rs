//! Answers in other forms than the ordinary: encrypted, signed, or without anybody in them.

use http::Response;
use lychgate_oidc::jwe::{self, EncryptionKey};
use lychgate_oidc::{
    Algorithm, ClientAuth, ConsentError, ContentEncryption, DecryptionKey, Encryption, Endpoint,
    ExchangeError, IdTokenError, JweError, JwsError, KeyManagement, Metadata, Moment, Provider,
    Secret, Step, SubjectRule, SubjectType, Timestamp, Userinfo,
};
use serde_json::{Value, json};

use crate::signer::{self, KEYS};
use crate::stage::{self, Draft, ISSUER, NOW, Stage, answer, keys, moment};

/// What is different about a token.
type Change = fn(&mut Draft);

/// The keys of the fixture that unit tests of encryption use as well.
fn fixture() -> Value {
    serde_json::from_str(include_str!("../../src/jwe/tokens_by_jose.json")).unwrap()
}

pub(crate) fn decryption_keys() -> Vec<DecryptionKey> {
    let fixture = fixture();
    let pem = |name: &str| Secret::new(fixture["keys"][name].as_str().unwrap());
    ["rsa", "p256"].map(|name| DecryptionKey::from_pem(&pem(name)).unwrap()).into()
}

pub(crate) fn encryption() -> Encryption {
    Encryption {
        key_management: vec![KeyManagement::RsaOaep256, KeyManagement::EcdhEs],
        content: vec![ContentEncryption::A256GCM],
    }
}

/// Encrypts to our key for `key_management`.
pub(crate) fn encrypted(token: &str, key_management: KeyManagement) -> String {
    let name = if key_management == KeyManagement::EcdhEs { "p256" } else { "rsa" };
    let fixture = fixture();
    let key = EncryptionKey::from_jwk(fixture["public"][name].as_object().unwrap()).unwrap();
    let mut moment = Moment::new(Timestamp::new(NOW), [9; 32]);
    let content = ContentEncryption::A256GCM;
    let sealed = jwe::encrypt(token, &key, key_management, content, &mut moment).unwrap();
    sealed.expose().to_owned()
}

fn encrypting() -> Stage {
    let mut stage = Stage::new();
    stage.provider.id_token.encryption = Some(encryption());
    stage.provider.decryption_keys = decryption_keys();
    stage
}

/// `BR-08`, OIDC Core §3.1.3.7 point 1; `fapi1-advanced-final-client-test-encrypted-idtoken`
#[test]
fn encrypted_idtoken() {
    for key_management in [KeyManagement::RsaOaep256, KeyManagement::EcdhEs] {
        let outcome = encrypting()
            .sign_in_with(|login| encrypted(&Draft::new(login).to_text(), key_management));
        let signed_in = outcome.signed_in();
        assert_eq!(signed_in.claims.subject(), "ada");
        assert_eq!(signed_in.claims.subject_type(), SubjectType::Claim);
    }
}

/// `G10`: what was agreed on is required, and what was not is refused.
#[test]
fn an_id_token_is_encrypted_exactly_if_that_was_agreed_on() {
    let plain = encrypting().sign_in(|_| {});
    assert_eq!(plain.refusal(), IdTokenError::Encryption(JweError::NotFiveParts));

    let encrypt = |stage: Stage, way| {
        stage.sign_in_with(|login| encrypted(&Draft::new(login).to_text(), way)).refusal()
    };
    let not_agreed = encrypt(Stage::new(), KeyManagement::RsaOaep256);
    assert_eq!(not_agreed, IdTokenError::Form(JwsError::Encrypted));
    let another_way = encrypt(encrypting(), KeyManagement::RsaOaep);
    assert_eq!(another_way, IdTokenError::Encryption(JweError::Algorithm));
}

/// `fapi1-advanced-final-client-test-encrypted-idtoken-usingrsa15`
#[test]
fn encrypted_idtoken_usingrsa15() {
    let outcome = encrypting().sign_in_with(|login| {
        let token = encrypted(&Draft::new(login).to_text(), KeyManagement::RsaOaep256);
        let (_, rest) = token.split_once('.').unwrap();
        let header = json!({ "alg": "RSA1_5", "enc": "A256GCM", "cty": "JWT" });
        format!("{}.{rest}", signer::encode(header.to_string()))
    });
    assert_eq!(outcome.refusal(), IdTokenError::Encryption(JweError::Algorithm));
}

/// Anybody can encrypt to us; the signature inside is what counts.
#[test]
fn an_encrypted_id_token_is_verified_as_any_other() {
    let outcome = encrypting().sign_in_with(|login| {
        let mut draft = Draft::new(login);
        draft.signed_by(&KEYS.stranger, "RS256", "rsa");
        encrypted(&draft.to_text(), KeyManagement::EcdhEs)
    });
    assert_eq!(outcome.refusal(), IdTokenError::Signature);
}

/// The answer of the userinfo endpoint at a provider that signs it, and how many times keys were fetched.
fn userinfo(
    stage: &Stage,
    response: Response<Vec<u8>>,
) -> (Result<Option<String>, ExchangeError>, usize) {
    let (login, _, exchange) = stage.redeem();
    let token = Draft::new(&login).to_text();
    let step = exchange.receive(stage::token_answer(&token), &keys(&stage.newer_keys), moment());
    let Ok(Step::Ask(request, exchange)) = step else { panic!("{step:?}") };
    assert_eq!(request.headers()["accept"], "application/jwt");
    let step = match exchange.receive(response, &keys(&stage.keys), moment()) {
        Ok(Step::NewerKeys(waiting)) => (waiting.with_keys(&keys(&stage.newer_keys), moment()), 1),
        step => (step, 0),
    };
    let name = step.0.map(|step| match step {
        Step::Believe(signed_in) => signed_in.claims.text("name").map(str::to_owned),
        step @ (Step::Ask(..) | Step::NewerKeys(_) | Step::Renewed(..)) => panic!("{step:?}"),
    });
    (name, step.1)
}

fn signing_userinfo() -> Stage {
    let mut stage = Stage::new();
    stage.provider.userinfo = Userinfo::Always;
    stage.provider.answers.userinfo_signed_response_algs = vec![Algorithm::RS256];
    stage
}

fn userinfo_token(change: impl FnOnce(&mut Draft)) -> String {
    let login = Stage::new().begin();
    let mut draft = Draft::new(&login);
    draft.claims = json!({ "iss": ISSUER, "aud": stage::CLIENT, "sub": "ada", "name": "Ada" });
    change(&mut draft);
    draft.to_text()
}

fn as_token(token: &str) -> Response<Vec<u8>> {
    answer(200, "application/jwt", token)
}

/// `OC-03`; `oidcc-client-test-userinfo-signed`
#[test]
fn oidcc_client_test_userinfo_signed() {
    let stage = signing_userinfo();
    let (name, _) = userinfo(&stage, as_token(&userinfo_token(|_| {})));
    assert_eq!(name, Ok(Some("Ada".to_owned())));
}

/// OIDC Core §5.3.2: what is signed has to say whom it is from and for.
#[test]
fn signed_userinfo_that_is_not_for_us_is_refused() {
    let changes: [(Change, IdTokenError); 10] = [
        (|token| token.without("iss"), IdTokenError::ClaimMissing { claim: "iss" }),
        (|token| token.claims["iss"] = "https://evil.example".into(), IdTokenError::Issuer),
        (|token| token.without("aud"), IdTokenError::ClaimMissing { claim: "aud" }),
        (|token| token.claims["aud"] = "shop".into(), IdTokenError::Audience),
        (
            |token| token.claims["exp"] = (NOW - 60).into(),
            IdTokenError::Expired { by: std::time::Duration::from_secs(30) },
        ),
        (
            |token| token.claims["nbf"] = (NOW + 60).into(),
            IdTokenError::NotYetValid { by: std::time::Duration::from_secs(30) },
        ),
        (
            |token| token.claims["iat"] = (NOW + 60).into(),
            IdTokenError::IssuedInTheFuture { by: std::time::Duration::from_secs(30) },
        ),
        (|token| token.header["alg"] = "none".into(), IdTokenError::Algorithm),
        (|token| token.signed_by(&KEYS.p256, "ES256", "p256"), IdTokenError::Algorithm),
        (|token| token.signed_by(&KEYS.stranger, "RS256", "rsa"), IdTokenError::Signature),
    ];
    for (change, error) in changes {
        let (result, _) = userinfo(&signing_userinfo(), as_token(&userinfo_token(change)));
        assert_eq!(result, Err(ExchangeError::UserinfoToken(error)));
    }
    let (result, _) = userinfo(
        &signing_userinfo(),
        as_token(&userinfo_token(|token| token.claims["sub"] = "eve".into())),
    );
    assert_eq!(result, Err(ExchangeError::UserinfoSubject));
}

#[test]
fn userinfo_that_was_to_be_signed_is_not_taken_unsigned() {
    let plain = stage::json(&json!({ "sub": "ada", "name": "Ada" }));
    let (result, _) = userinfo(&signing_userinfo(), plain);
    assert_eq!(result, Err(ExchangeError::UserinfoUnsigned));
}

#[test]
fn a_new_key_of_userinfo_is_fetched_once() {
    let mut stage = signing_userinfo();
    stage.keys = json!({ "keys": [KEYS.stranger.jwk("older")] });
    let (name, fetches) = userinfo(&stage, as_token(&userinfo_token(|_| {})));
    assert_eq!((name, fetches), (Ok(Some("Ada".to_owned())), 1));
}

/// OIDC Core §5.3.2: signed and then encrypted, or encrypted alone.
#[test]
fn userinfo_may_be_encrypted() {
    let mut stage = signing_userinfo();
    stage.provider.answers.userinfo_encryption = Some(encryption());
    stage.provider.decryption_keys = decryption_keys();
    let sealed = encrypted(&userinfo_token(|_| {}), KeyManagement::RsaOaep256);
    assert_eq!(userinfo(&stage, as_token(&sealed)).0, Ok(Some("Ada".to_owned())));
    let (unencrypted, _) = userinfo(&stage, as_token(&userinfo_token(|_| {})));
    let refused = IdTokenError::Encryption(JweError::NotFiveParts);
    assert_eq!(unencrypted, Err(ExchangeError::UserinfoToken(refused)));

    stage.provider.answers.userinfo_signed_response_algs.clear();
    let claims = json!({ "sub": "ada", "name": "Ada" }).to_string();
    let sealed = encrypted(&claims, KeyManagement::EcdhEs);
    assert_eq!(userinfo(&stage, as_token(&sealed)).0, Ok(Some("Ada".to_owned())));
}

fn without_id_token(subject: SubjectRule) -> Stage {
    let mut stage = Stage::new();
    stage.provider.id_token.required = false;
    stage.provider.answers.subject = subject;
    stage
}

/// `CB-55`, `C-S13`: an ID token that nobody expects is not looked at, not even when it is right.
#[test]
fn an_id_token_that_is_not_expected_is_not_trusted() {
    let signed_in = without_id_token(SubjectRule::Pseudonymous).sign_in(|_| {}).signed_in();

    assert_ne!(signed_in.claims.subject(), "ada");
    assert_eq!(signed_in.claims.text("iss"), None);
    assert_eq!(signed_in.id_token, None);
    assert_eq!(signed_in.claims.issuer(), ISSUER);
}

/// System C: somebody signed in, and every session is somebody else.
#[test]
fn a_pseudonym_is_drawn_for_each_session() {
    let draw = |entropy: u8| {
        let stage = without_id_token(SubjectRule::Pseudonymous);
        let (_, _, exchange) = stage.redeem();
        let response = stage::json(&json!({ "access_token": "a", "token_type": "bearer" }));
        let moment = Moment::new(Timestamp::new(NOW), [entropy; 32]);
        let step = exchange.receive(response, &keys(&stage.keys), moment).unwrap();
        let Step::Believe(signed_in) = step else { panic!("{step:?}") };
        assert_eq!(signed_in.claims.subject_type(), SubjectType::Pseudonymous);
        signed_in.claims.subject().to_owned()
    };
    assert_ne!(draw(1), draw(2));
    assert_eq!(draw(1).len(), 22);
}

/// A pseudonym stays one although the provider said who it is.
#[test]
fn a_pseudonym_hides_the_subject_of_an_id_token() {
    let mut stage = Stage::new();
    stage.provider.answers.subject = SubjectRule::Pseudonymous;
    stage.provider.userinfo = Userinfo::Always;

    let claims = stage.sign_in(|_| {}).signed_in().claims;

    assert_eq!(claims.subject_type(), SubjectType::Pseudonymous);
    assert_ne!(claims.subject(), "ada");
    assert_eq!(claims.text("sub"), Some(claims.subject()));
}

/// `D-D9`: without an ID token, userinfo is asked who it is, by the name it uses.
#[test]
fn without_an_id_token_userinfo_names_the_person() {
    for (userinfo, expected) in [
        (json!({ "user_id": "0042", "user_name": "Ada" }), Ok("0042")),
        (json!({ "user_id": 42 }), Ok("42")),
        (json!({ "user_id": 4.5 }), Err(())),
        (json!({ "user_id": "" }), Err(())),
        (json!({ "user_id": ["42"] }), Err(())),
        (json!({ "user_id": "a\u{0}b" }), Err(())),
        (json!({ "user_id": "x".repeat(256) }), Err(())),
        (json!({ "sub": "ada" }), Err(())),
    ] {
        let mut stage = without_id_token(SubjectRule::Claim("user_id".to_owned()));
        stage.userinfo = userinfo.clone();
        let outcome = stage.sign_in(|_| {});
        assert_eq!(outcome.asked, [Endpoint::Token, Endpoint::Userinfo]);
        match expected {
            Ok(subject) => {
                let claims = outcome.signed_in().claims;
                assert_eq!(claims.subject(), subject);
                assert_eq!(claims.subject_type(), SubjectType::Lookup);
            }
            Err(()) => {
                let error = outcome.result.err();
                assert_eq!(error, Some(ExchangeError::SubjectMissing), "{userinfo}");
            }
        }
    }
    let mut nobody_to_ask = without_id_token(SubjectRule::default());
    nobody_to_ask.metadata["userinfo_endpoint"] = Value::Null;
    assert_eq!(nobody_to_ask.sign_in(|_| {}).result.err(), Some(ExchangeError::SubjectMissing));
}

/// `CB-50`: without an ID token, an access token is what the provider stands for.
#[test]
fn without_an_id_token_there_is_an_access_token() {
    for (body, error) in [
        (json!({ "id_token": "a.b.c" }), ExchangeError::MemberMissing { member: "access_token" }),
        (json!({ "access_token": "a" }), ExchangeError::MemberMissing { member: "token_type" }),
    ] {
        let stage = without_id_token(SubjectRule::Pseudonymous);
        let (_, _, exchange) = stage.redeem();
        let result = exchange.receive(stage::json(&body), &keys(&stage.keys), moment());
        assert_eq!(result.err(), Some(error), "{body}");
    }
}

/// System D: an issuer that is a word, and ID tokens under the client secret (`D-D6`, `D-D7`).
#[test]
fn an_issuer_may_be_a_word() {
    let secret = "a client secret of fanbase";
    let mut stage = Stage::new();
    stage.provider = Provider {
        client_auth: ClientAuth::Secret { secret: Secret::new(secret), method: None },
        ..Provider::new("fanbase", "fanbase", stage::CLIENT)
    };
    stage.provider.id_token.signed_response_algs = vec![Algorithm::HS256];
    stage.metadata["issuer"] = "fanbase".into();
    let sign_in = |issuer: &str, secret: &str| {
        stage.sign_in_with(|login| {
            let mut draft = Draft::new(login);
            draft.header = json!({ "alg": "HS256", "typ": "JWT" });
            draft.claims["iss"] = issuer.into();
            draft.claims["profile"] = json!({ "email": "ada@example.com" });
            draft.to_text_signed(&signer::hmac("HS256", secret.as_bytes(), &draft.input()))
        })
    };
    let claims = sign_in("fanbase", secret).signed_in().claims;
    assert_eq!(claims.issuer(), "fanbase");
    assert_eq!(claims.text("profile.email"), Some("ada@example.com"));
    for issuer in ["https://fanbase", "Fanbase", ""] {
        assert_eq!(sign_in(issuer, secret).refusal(), IdTokenError::Issuer, "{issuer}");
    }
    assert_eq!(sign_in("fanbase", "another").refusal(), IdTokenError::Signature);
    assert!(Metadata::parse(stage.metadata.to_string().as_bytes(), "other").is_err());
}

/// `OC-02` point 12: `acr` has to be one of those that the operator requires. `BR-04`: or merely there.
#[test]
fn acr_is_checked_where_it_is_required() {
    let gold = || vec!["gold".to_owned(), "silver".to_owned()];
    let sign_in = |required: Option<Vec<String>>, acr: Value| {
        let mut stage = Stage::new();
        stage.provider.id_token.acr_values = required;
        stage.sign_in(|token| token.claims["acr"] = acr).result
    };
    let refused = |error| Some(ExchangeError::IdToken(error));
    assert!(sign_in(None, Value::Null).is_ok());
    assert!(sign_in(Some(gold()), "silver".into()).is_ok());
    assert!(sign_in(Some(Vec::new()), "lead".into()).is_ok());
    let error = sign_in(Some(gold()), "lead".into()).err();
    assert_eq!(error, refused(IdTokenError::AuthenticationContext));
    for required in [gold(), Vec::new()] {
        let malformed = IdTokenError::ClaimMalformed { claim: "acr" };
        assert_eq!(sign_in(Some(required), json!(["gold"])).err(), refused(malformed));
    }
    let mut stage = Stage::new();
    stage.provider.id_token.acr_values = Some(gold());
    let missing = IdTokenError::ClaimMissing { claim: "acr" };
    assert_eq!(stage.sign_in(|_| {}).refusal(), missing);
}

/// `F2-16`: two keys of one name are told apart by their type.
#[test]
fn a_name_that_two_keys_have_is_no_obstacle() {
    let mut stage = Stage::new();
    stage.keys = json!({ "keys": [
        KEYS.p256.jwk("same"), KEYS.stranger.jwk("same"), KEYS.rsa.jwk("same"),
    ]});
    let outcome = stage.sign_in(|token| token.header["kid"] = "same".into());
    assert_eq!(outcome.signed_in().claims.subject(), "ada");
    let outcome = stage.sign_in(|token| token.signed_by(&KEYS.p256, "ES256", "same"));
    assert_eq!(outcome.signed_in().claims.subject(), "ada");
}

/// `CB-57`: a token answer that says whose it is says it of this login.
#[test]
fn a_token_answer_to_another_login_is_refused() {
    let stage = Stage::new();
    let ask = |state: &str| {
        let (login, _, exchange) = stage.redeem();
        let state = state.replace("{state}", &login.query["state"]);
        let token = Draft::new(&login).to_text();
        let body = json!({ "id_token": token, "state": state });
        exchange.receive(stage::json(&body), &keys(&stage.keys), moment())
    };
    assert!(matches!(ask("{state}"), Ok(Step::Believe(_))));
    for other in ["", "other", "{state} "] {
        assert_eq!(ask(other).err(), Some(ExchangeError::StateDiffers), "{other}");
    }
}

/// `CB-58`: details are compared with those that the login remembers.
#[test]
fn what_was_granted_is_compared_with_what_was_asked() {
    let details =
        json!([{ "type": "account", "consent": { "ConsentId": "c-1", "Permissions": ["a"] } }]);
    let ask = |granted: Value| {
        let mut stage = Stage::new();
        stage.provider.answers.consent_statuses = vec!["Authorized".to_owned()];
        let mut login = stage.begin();
        let mut pending = serde_json::to_value(&login.pending).unwrap();
        pending["authorization_details"] = details.to_string().into();
        login.pending = serde_json::from_value(pending).unwrap();
        let token = Draft::new(&login).to_text();
        let exchange = stage.redeem_login(login);
        let mut body = json!({ "id_token": token });
        if !granted.is_null() {
            body["authorization_details"] = granted;
        }
        exchange.receive(stage::json(&body), &keys(&stage.keys), moment())
    };
    let with = |status: &str, id: &str| json!([{ "type": "account", "Status": status, "consent": { "ConsentId": id } }]);
    assert!(matches!(ask(with("Authorized", "c-1")), Ok(Step::Believe(_))));
    let refused = |error: ConsentError| Some(ExchangeError::Consent(error));
    assert_eq!(ask(with("Authorized", "c-2")).err(), refused(ConsentError::Wider));
    assert_eq!(ask(Value::Null).err(), refused(ConsentError::Missing));
    let status = "AwaitingAuthorization".to_owned();
    assert_eq!(ask(with(&status, "c-1")).err(), refused(ConsentError::Status { status }));
    let malformed = ExchangeError::MemberMalformed { member: "authorization_details" };
    assert_eq!(ask("all".into()).err(), Some(malformed));
}
