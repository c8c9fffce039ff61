//! What the operator says about answers comes to the rules that the protocol holds them to.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use lychgate_config::config::{ProviderConfig, ProviderEndpoints};
use lychgate_config::{Environment, Report, Source, load};
use lychgate_oidc::{
    Algorithm, ContentEncryption, IssuerParameter, KeyManagement, ResponseMode, SubjectRule,
};

/// No variables.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn providers(text: &str) -> Result<Vec<ProviderConfig>, Report> {
    let source = Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() };
    load(&[source], &Nothing).map(|loaded| loaded.config.providers)
}

fn provider(keys: &str) -> ProviderConfig {
    let text = format!(
        "[providers.corp]\nissuer = \"https://id.example.com\"\nclient_id = \"gate\"\n{keys}"
    );
    providers(&text).unwrap_or_else(|report| panic!("{report}")).remove(0)
}

fn codes(text: &str) -> Vec<&'static str> {
    match providers(text) {
        Ok(_) => Vec::new(),
        Err(report) => report.problems().iter().map(|problem| problem.code().as_str()).collect(),
    }
}

#[test]
fn without_a_word_about_answers_they_are_the_ordinary_ones() {
    let provider = provider("").sign_in;
    let registration = &provider.registration;
    assert_eq!(registration.answers.mode, ResponseMode::Query);
    assert_eq!(registration.answers.issuer, IssuerParameter::ByMetadata);
    assert_eq!(registration.answers.subject, SubjectRule::Claim("sub".to_owned()));
    assert!(registration.id_token.required);
    assert_eq!(registration.id_token.encryption, None);
    assert_eq!(provider.sign_in, lychgate_gateway::settings::SignInRules::default());
}

/// A key in a file of its own, as another program made it.
/// A file with a private key, the same for all tests: two that wrote it at once would read half of it.
fn key_file() -> &'static str {
    static FILE: LazyLock<String> = LazyLock::new(write_key_file);
    &FILE
}

fn write_key_file() -> String {
    let fixture = include_str!("../../oidc/src/jwe/tokens_by_jose.json");
    let fixture: serde_json::Value = serde_json::from_str(fixture).unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("decryption.pem");
    std::fs::write(&file, fixture["keys"]["rsa"].as_str().unwrap()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

#[test]
fn every_key_about_answers_is_heard() {
    let file = key_file();
    let provider = provider(&format!(
        r#"
        response_mode = "jwt"
        authorization_response_iss_parameter = "required"
        authorization_signed_response_alg = "PS256"
        authorization_encrypted_response_alg = ["RSA-OAEP", "RSA-OAEP-256"]
        authorization_encrypted_response_enc = "A256GCM"
        id_token_encrypted_response_alg = "RSA-OAEP-256"
        required_acr_values = ["gold"]
        userinfo_signed_response_alg = ["ES256"]
        decryption_keys = [{{ file = "{file}" }}]
        claims.subject = "oid"
        consent_statuses = ["Authorized"]
        login_timeout = "20m"
        silent_login = true
        email_domains = ["Example.com"]
        errors = {{ retryable = ["odd"], uri_hosts = ["Help.example.com"], without_state = "show" }}
        "#
    ))
    .sign_in;
    let answers = &provider.registration.answers;
    assert_eq!(answers.mode, ResponseMode::Jwt);
    assert_eq!(answers.issuer, IssuerParameter::Required);
    assert_eq!(answers.authorization_signed_response_algs, [Algorithm::PS256]);
    let encryption = answers.authorization_encryption.as_ref().unwrap();
    assert_eq!(encryption.key_management, [KeyManagement::RsaOaep, KeyManagement::RsaOaep256]);
    assert_eq!(encryption.content, [ContentEncryption::A256GCM]);
    let encryption = provider.registration.id_token.encryption.as_ref().unwrap();
    assert_eq!(encryption.content, ContentEncryption::ALL);
    assert_eq!(provider.registration.id_token.acr_values, Some(vec!["gold".to_owned()]));
    assert_eq!(answers.userinfo_signed_response_algs, [Algorithm::ES256]);
    assert_eq!(provider.registration.decryption_keys.len(), 1);
    assert_eq!(answers.subject, SubjectRule::Claim("oid".to_owned()));
    assert_eq!(answers.consent_statuses, ["Authorized"]);
    let sign_in = &provider.sign_in;
    assert_eq!(sign_in.login_timeout, Some(Duration::from_secs(1200)));
    assert!(sign_in.silent_login && sign_in.errors.show_without_state);
    assert_eq!(sign_in.email_domains, ["example.com"]);
    assert_eq!(sign_in.errors.uri_hosts, ["help.example.com"]);
    assert_eq!(sign_in.errors.retryable, Some(vec!["odd".to_owned()]));
}

/// Encryption that our keys cannot take off, and keys that are none.
#[test]
fn a_key_has_to_fit_what_it_is_for() {
    let file = key_file();
    let provider = |more: &str| {
        codes(&format!(
            "[providers.corp]\nissuer = \"https://id.example.com\"\nclient_id = \"gate\"\n{more}"
        ))
    };
    let keys = format!("decryption_keys = [{{ file = \"{file}\" }}]");
    let wants = |alg: &str| format!("{keys}\nid_token_encrypted_response_alg = \"{alg}\"");
    assert!(provider(&wants("RSA-OAEP")).is_empty());
    assert_eq!(provider(&wants("ECDH-ES")), ["E0123"]);
    assert_eq!(provider("id_token_encrypted_response_alg = \"RSA-OAEP\""), ["E0123"]);
    let no_key = format!("decryption_keys = [{{ file = \"{}\" }}]", file!());
    assert!(!provider(&no_key).is_empty());
}

/// System D, and system C: an issuer that is a word, without metadata to fetch; and nobody in particular.
#[test]
fn an_issuer_may_be_a_word_where_everything_else_is_written_down() {
    let endpoints = "authorization_endpoint = \"https://login.example.com/authorize\"\n\
                     token_endpoint = \"https://bank.example.com/token\"\n";
    let config = |issuer: &str, more: &str| {
        format!("[providers.x]\nissuer = \"{issuer}\"\nclient_id = \"gate\"\n{more}")
    };
    let anonymous =
        format!("{endpoints}id_token = \"never\"\nsubject = \"pseudonymous\"\nscopes = [\"ais\"]");
    let found =
        providers(&config("ais-bank", &anonymous)).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(found[0].sign_in.registration.issuer, "ais-bank");
    assert_eq!(found[0].sign_in.registration.answers.subject, SubjectRule::Pseudonymous);
    assert!(
        matches!(&found[0].endpoints, ProviderEndpoints::Static(metadata) if metadata.issuer == "ais-bank")
    );

    assert_eq!(codes(&config("fanbase", "")), ["E0122"], "there is nothing to discover at a word");
    for issuer in ["fan base", "a|b", "a/b", "javascript:x"] {
        assert!(!codes(&config(issuer, &anonymous)).is_empty(), "{issuer}");
    }
}

/// CB-18; security 2.2 line 5: an answer says where it comes from, or its address does.
#[test]
fn providers_whose_answers_cannot_be_told_apart_do_not_share_an_address() {
    let two = |one: &str, other: &str, path: &str| {
        codes(&format!(
            "[providers.a]\nissuer = \"https://a.example.com\"\nclient_id = \"gate\"\n\
             redirect_uri = \"https://app.example.com/callback\"\n{one}\n\
             [providers.b]\nissuer = \"https://b.example.com\"\nclient_id = \"gate\"\n\
             redirect_uri = \"https://app.example.com/{path}\"\n{other}"
        ))
    };
    let says = "authorization_response_iss_parameter = \"required\"";
    let signs = "authorization_response_iss_parameter = \"required\"\nresponse_mode = \"jwt\"";
    assert!(two(says, says, "callback").is_empty());
    assert!(two("", "", "other").is_empty());
    for (one, other) in [("", ""), (says, ""), ("", says), (signs, says)] {
        assert_eq!(two(one, other, "callback"), ["E0211"], "{one} {other}");
    }
}

/// A cookie that comes with another site's form is one that browsers keep on https alone.
#[test]
fn answers_are_posted_to_https_only() {
    let posted = |url: &str| {
        codes(&format!(
            "[providers.a]\nissuer = \"https://a.example.com\"\nclient_id = \"gate\"\n\
             response_mode = \"form_post\"\n[routes.app]\nurl = \"{url}\"\n\
             upstream = \"http://127.0.0.1:3000\"\nallow = [\"authenticated\"]"
        ))
    };
    assert!(posted("https://app.example.com").is_empty());
    assert_eq!(posted("http://localhost:8080"), ["E0212"]);
}
