//! What the published profiles make of a provider of which little is written. What they refuse is in
//! `problems/profile_*.toml`.

use std::path::PathBuf;

use lychgate_config::{Config, Environment, Report, Source, load};
use lychgate_oidc::{
    Algorithm, AssertionAudience, ClientAuth, ContentEncryption, Encryption, IssuerParameter,
    KeyManagement, Provider, Pushing, RequestObject, RequestObjectEncryption, RequestObjectSigner,
    ResponseMode,
};
use serde_json::{Value, json};

struct NoVariables;

impl Environment for NoVariables {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A directory of this test's own, with keys in it: `p256.key`, its certificate `p256.pem`, and `rsa.key`.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("lychgate-profiles-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let kept = Self(path);
        let made = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
        kept.file("p256.pem", &made.cert.pem());
        kept.file("p256.key", &made.signing_key.serialize_pem());
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        kept.file("p384.key", &p384.serialize_pem());
        let fixture = include_str!("../../oidc/src/jwe/tokens_by_jose.json");
        let fixture: Value = serde_json::from_str(fixture).unwrap();
        kept.file("rsa.key", fixture["keys"]["rsa"].as_str().unwrap());
        kept
    }

    fn file(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn load(&self, provider: &str) -> Result<Config, Report> {
        self.file(
            "lychgate.toml",
            &format!(
                "[providers.corp]\nissuer = \"https://id.example.com\"\nclient_id = \"c\"\n{provider}\n\
                 [routes.app]\nurl = \"https://app.example.com\"\n\
                 upstream = \"http://127.0.0.1:3000\"\nallow = [\"authenticated\"]\n",
            ),
        );
        let loaded = load(&[Source::Path(self.0.join("lychgate.toml"))], &NoVariables)?;
        Ok(loaded.config)
    }

    fn provider(&self, profile: &str, more: &str) -> Provider {
        let config = self.load(&format!("profile = \"{profile}\"\n{more}"));
        let config = config.unwrap_or_else(|report| panic!("{report}"));
        (*config.providers[0].sign_in.registration).clone()
    }

    fn problem(&self, profile: &str, more: &str) -> String {
        let loaded = self.load(&format!("profile = \"{profile}\"\n{more}"));
        loaded.map(drop).unwrap_err().to_string()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const FAPI2: [Algorithm; 3] = [Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
const KEY: &str = "signing_key = { file = \"p256.key\" }";
const RSA: &str = "signing_key = { file = \"rsa.key\" }";
const TLS: &str = "tls = { certificate = \"p256.pem\", key = \"p256.key\" }";

/// The lists are of what is allowed, in the order in which we name algorithms.
fn sorted(algorithms: &[Algorithm]) -> Vec<&'static str> {
    let mut names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    names.sort_unstable();
    names
}

fn object(provider: &Provider) -> &RequestObject {
    provider.authorization.request_object.as_ref().expect("requests are signed")
}

#[test]
fn f2_01_tokens_are_bound_to_a_certificate_where_there_is_one_and_to_a_key_elsewhere() {
    let kept = Kept::new("f2-01");
    for (more, by_certificate) in [
        (KEY.to_owned(), false),
        (TLS.to_owned(), true),
        (format!("{KEY}\n{TLS}"), true),
        (format!("{KEY}\n{TLS}\ndpop_bound_access_tokens = true"), false),
        (format!("{KEY}\n{TLS}\ntls_client_certificate_bound_access_tokens = false"), false),
    ] {
        let provider = kept.provider("fapi2", &more);
        assert_eq!(provider.certificate_bound_access_tokens, by_certificate, "{more}");
        assert_eq!(provider.dpop.is_some(), !by_certificate, "{more}");
    }
}

#[test]
fn f2_02_and_f2_03_a_key_or_a_certificate_proves_who_we_are_to_the_issuer_alone() {
    let kept = Kept::new("f2-02");
    let by_key = kept.provider("fapi2", KEY);
    assert!(matches!(by_key.client_auth, ClientAuth::Key { algorithm: Algorithm::ES256, .. }));
    assert_eq!(by_key.assertion.audience, AssertionAudience::Issuer);
    assert_eq!(kept.provider("fapi2", TLS).client_auth, ClientAuth::Certificate);
    kept.file("token", "a.b.c");
    let theirs = kept.provider("fapi2", "client_assertion = { file = \"token\" }");
    assert_eq!(theirs.client_auth, ClientAuth::Assertion);
}

#[test]
fn f2_07_aliases_are_used_exactly_where_the_certificate_counts() {
    let kept = Kept::new("f2-07");
    assert!(kept.provider("fapi2", TLS).uses_mtls_aliases());
    assert!(kept.provider("fapi2", &format!("{KEY}\n{TLS}")).uses_mtls_aliases());
    let for_transport = format!("{KEY}\n{TLS}\ndpop_bound_access_tokens = true");
    assert!(!kept.provider("fapi2", &for_transport).uses_mtls_aliases());
}

#[test]
fn f2_11_f2_12_and_f2_13_requests_are_pushed_with_pkce_and_answers_say_whose_they_are() {
    let kept = Kept::new("f2-11");
    let provider = kept.provider("fapi2", KEY);
    let wish = &provider.authorization;
    assert_eq!(wish.pushing, Pushing::Required);
    assert!(wish.code_challenge && wish.nonce && wish.repeats.is_empty());
    assert!(wish.request_object.is_none());
    assert_eq!(provider.answers.issuer, IssuerParameter::Required);
    assert_eq!(provider.answers.mode, ResponseMode::Query);
}

#[test]
fn f2_15_only_three_algorithms_are_left() {
    let kept = Kept::new("f2-15");
    let provider = kept.provider("fapi2", KEY);
    assert_eq!(sorted(&provider.id_token.signed_response_algs), sorted(&FAPI2));
    assert_eq!(sorted(&provider.answers.authorization_signed_response_algs), sorted(&FAPI2));
    let chosen =
        kept.provider("fapi2", &format!("{KEY}\nid_token_signed_response_alg = \"EdDSA\""));
    assert_eq!(chosen.id_token.signed_response_algs, [Algorithm::EdDSA]);

    // The key itself decides where no algorithm is named.
    let problem = kept.problem("fapi2", "signing_key = { file = \"p384.key\" }");
    assert!(problem.contains("use an RSA key, one on P-256, or one of Ed25519"), "{problem}");
}

#[test]
fn fm_01_requests_are_signed_for_the_issuer() {
    let kept = Kept::new("fm-01");
    let provider = kept.provider("fapi2-message-signing", RSA);
    let RequestObject { signer, audience, kind, encryption, .. } = object(&provider);
    assert!(matches!(signer, RequestObjectSigner::Key { algorithm: Algorithm::PS256, .. }));
    assert_eq!(*audience, None, "the issuer");
    assert_eq!(kind.as_deref(), Some("oauth-authz-req+jwt"));
    assert_eq!(*encryption, None);
    assert_eq!(provider.authorization.pushing, Pushing::Required);
    let longer = kept.provider(
        "fapi2-message-signing",
        &format!("{RSA}\nrequest_object_lifetime = \"30m\"\nrequest_object_typ = \"none\""),
    );
    assert_eq!((object(&longer).lifetime.as_secs(), object(&longer).kind.as_deref()), (1800, None));
}

#[test]
fn fm_02_answers_are_signed_unless_the_operator_says_that_they_are_not() {
    let kept = Kept::new("fm-02");
    let provider = kept.provider("fapi2-message-signing", KEY);
    assert_eq!(provider.answers.mode, ResponseMode::Jwt);
    let plain = format!("{KEY}\nresponse_mode = \"query\"");
    assert_eq!(kept.provider("fapi2-message-signing", &plain).answers.mode, ResponseMode::Query);
}

#[test]
fn f1_01_to_f1_06_requests_and_answers_are_signed_and_tokens_bound_to_the_certificate() {
    let kept = Kept::new("f1");
    let provider = kept.provider("fapi1-advanced", &format!("{RSA}\n{TLS}"));
    assert!(provider.certificate_bound_access_tokens && provider.dpop.is_none());
    assert!(object(&provider).audience.is_none() && object(&provider).encryption.is_none());
    assert_eq!(provider.authorization.repeats, ["response_type", "scope"]);
    assert_eq!(provider.answers.mode, ResponseMode::Jwt);
    let allowed = ["ES256", "PS256"];
    assert_eq!(sorted(&provider.id_token.signed_response_algs), allowed);
    assert_eq!(sorted(&provider.answers.authorization_signed_response_algs), allowed);

    let pushed = format!("{RSA}\n{TLS}\npushed_authorization_requests = \"required\"");
    let pushed = kept.provider("fapi1-advanced", &pushed);
    assert!(pushed.authorization.repeats.is_empty() && pushed.authorization.code_challenge);
}

#[test]
fn br_01_br_02_br_04_and_br_08_everything_is_ps256_encrypted_and_asks_for_the_context() {
    let kept = Kept::new("br");
    let keys = format!("{RSA}\n{TLS}\ndecryption_keys = [{{ file = \"rsa.key\" }}]");
    let provider = kept.provider("open-finance-brasil", &keys);
    assert_eq!(provider.id_token.signed_response_algs, [Algorithm::PS256]);
    assert_eq!(
        provider.id_token.encryption,
        Some(Encryption {
            key_management: vec![KeyManagement::RsaOaep],
            content: vec![ContentEncryption::A256GCM],
        })
    );
    let encryption = RequestObjectEncryption {
        key_management: KeyManagement::RsaOaep,
        content: ContentEncryption::A256GCM,
    };
    assert_eq!(object(&provider).encryption, Some(encryption));
    let essential = json!({ "id_token": { "acr": { "essential": true } } });
    assert_eq!(provider.authorization.claims, Some(essential));
    assert_eq!(provider.id_token.acr_values, Some(Vec::new()), "any, but one");

    // BR-01: where the request is pushed, nobody else reads it.
    let pushed = format!("{keys}\npushed_authorization_requests = \"required\"");
    let pushed = kept.provider("open-finance-brasil", &pushed);
    assert_eq!(object(&pushed).encryption, None);
    // BR-04: what else is asked for stays.
    let more = "claims_request = { userinfo = { cpf = {} }, id_token = { cnpj = {} } }";
    let more = kept.provider("open-finance-brasil", &format!("{keys}\n{more}"));
    let claims = more.authorization.claims.unwrap();
    assert_eq!(claims["userinfo"], json!({ "cpf": {} }));
    assert_eq!(claims["id_token"], json!({ "cnpj": {}, "acr": { "essential": true } }));
    // BR-02: the key itself has to be RSA.
    let curve = keys.replacen("rsa.key", "p256.key", 1);
    let problem = kept.problem("open-finance-brasil", &curve);
    assert!(problem.contains("use an RSA key"), "{problem}");
}

/// Request objects are encrypted wherever the operator says so, with or without a profile.
#[test]
fn a_request_object_may_be_encrypted_by_hand() {
    let kept = Kept::new("by-hand");
    let provider = kept.load(&format!(
        "{KEY}\nrequest_object_signing_alg = \"ES256\"\nrequest_object_encryption_alg = \"ECDH-ES\"\n\
         request_object_encryption_enc = \"A128GCM\""
    ));
    let provider = provider.unwrap_or_else(|report| panic!("{report}"));
    let provider = &provider.providers[0].sign_in.registration;
    assert_eq!(
        object(provider).encryption,
        Some(RequestObjectEncryption {
            key_management: KeyManagement::EcdhEs,
            content: ContentEncryption::A128GCM,
        })
    );
}
