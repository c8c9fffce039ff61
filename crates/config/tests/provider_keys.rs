//! Keys, certificates and everything else that a strict provider takes, from the words to what comes of them.

use std::path::PathBuf;
use std::time::Duration;

use lychgate_config::config::ProviderEndpoints;
use lychgate_config::{Config, Environment, Report, Source, load};
use lychgate_oidc::{
    Algorithm, AssertionAudience, ClientAuth, MtlsEndpointAliases, Provider, Pushing,
    RequestObjectSigner, SecretMethod,
};

struct NoVariables;

impl Environment for NoVariables {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A directory of this test's own, with a key and its certificate in it, and a stranger's.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("lychgate-keys-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let kept = Self(path);
        for name in ["ours", "theirs"] {
            let made = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
            kept.file(&format!("{name}.pem"), &made.cert.pem());
            kept.file(&format!("{name}.key"), &made.signing_key.serialize_pem());
        }
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

    fn provider(&self, provider: &str) -> Provider {
        let config = self.load(provider).unwrap_or_else(|report| panic!("{report}"));
        (*config.providers[0].sign_in.registration).clone()
    }

    fn problem(&self, provider: &str) -> String {
        self.load(provider).map(drop).unwrap_err().to_string()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Nothing of all this is there unless somebody wrote it.
#[test]
fn a_plain_provider_is_asked_in_the_plain_way() {
    let kept = Kept::new("plain");
    let config = kept.load("").unwrap_or_else(|report| panic!("{report}"));
    let provider = &config.providers[0];
    let registration = &provider.sign_in.registration;

    assert_eq!(registration.client_auth, ClientAuth::None);
    assert_eq!(registration.dpop, None);
    assert!(!registration.uses_mtls_aliases());
    let wish = &registration.authorization;
    assert!(wish.code_challenge && wish.nonce && wish.request_object.is_none());
    assert_eq!(wish.pushing, Pushing::Auto);
    assert_eq!(provider.transport, lychgate_config::config::ProviderTransport::default());
}

/// The method follows from what is there; every one of them can be written down as well.
#[test]
fn how_we_prove_who_we_are_follows_from_the_keys_that_are_there() {
    let kept = Kept::new("methods");
    kept.file("secret", "s");
    let secret = "client_secret = { file = \"secret\" }";
    let key = "signing_key = { file = \"ours.key\" }\nsigning_key_id = \"k\"";
    let tls = "tls = { certificate = \"ours.pem\", key = \"ours.key\" }";
    let token = "client_assertion = { file = \"token\" }";

    let auth = |text: &str| kept.provider(text).client_auth;
    assert!(matches!(auth(secret), ClientAuth::Secret { method: None, .. }));
    assert!(matches!(auth(key), ClientAuth::Key { algorithm: Algorithm::ES256, .. }));
    assert_eq!(auth(tls), ClientAuth::Certificate);
    assert_eq!(auth(token), ClientAuth::Assertion);
    let both = format!("{secret}\n{key}\n{tls}");
    assert!(matches!(auth(&both), ClientAuth::Secret { .. }));

    for (name, method) in [
        ("client_secret_basic", SecretMethod::Basic),
        ("client_secret_post", SecretMethod::Post),
        ("client_secret_jwt", SecretMethod::Jwt),
        ("client_secret_query\"\ndanger_secret_in_query = true #", SecretMethod::Query),
    ] {
        let text = format!("{secret}\ntoken_endpoint_auth_method = \"{name}\"");
        let found = auth(&text);
        let ClientAuth::Secret { method: found, .. } = found else { panic!("{found:?}") };
        assert_eq!(found, Some(method));
    }
    let written = "token_endpoint_auth_method = \"tls_client_auth\"";
    assert_eq!(auth(&format!("{key}\n{tls}\n{written}")), ClientAuth::Certificate);
    let written = "token_endpoint_auth_method = \"private_key_jwt\"";
    assert_eq!(auth(&format!("{token}\n{written}")), ClientAuth::Assertion);
}

/// `sim-uae` in the operator's words (A-D3 to A-D12, A-D16).
#[test]
fn a_strict_provider_can_be_written_down() {
    let kept = Kept::new("strict");
    let provider = kept.provider(
        r#"
        signing_key = { file = "ours.key" }
        signing_key_id = "k"
        signing_certificate = { file = "ours.pem" }
        token_endpoint_auth_signing_alg = "ES256"
        client_assertion_audience = "https://as.example.com"
        client_assertion_lifetime = "2m"
        tls = { certificate = "ours.pem", key = "ours.key", ca = "theirs.pem" }
        mtls_endpoint_aliases = "never"
        pushed_authorization_requests = "required"
        request_object_signing_alg = "ES256"
        request_object_typ = "none"
        max_age = "1h"
        scopes = ["openid", "accounts", "consent:{uuid}"]
        authorization_details = [{ type = "a", consent = { ConsentId = "{uuid}", n = 1.5 } }]
        dpop_bound_access_tokens = true
        dpop_jkt = true
        "#,
    );

    assert_eq!(
        provider.assertion.audience,
        AssertionAudience::Other("https://as.example.com".into())
    );
    assert_eq!(provider.assertion.lifetime, Duration::from_secs(120));
    assert_eq!(provider.mtls_endpoint_aliases, MtlsEndpointAliases::Never);
    let wish = &provider.authorization;
    assert_eq!(wish.pushing, Pushing::Required);
    let object = wish.request_object.as_ref().unwrap();
    assert_eq!((object.kind.as_deref(), object.lifetime), (None, Duration::from_secs(300)));
    let RequestObjectSigner::Key { key, .. } = &object.signer else { panic!("{object:?}") };
    assert_eq!(key.id(), Some("k"));
    assert_eq!(wish.max_age, Some(3600));
    assert_eq!(provider.scopes, ["openid", "accounts"]);
    assert_eq!((wish.scope_templates.len(), wish.authorization_details.len()), (1, 1));
    let dpop = provider.dpop.as_ref().unwrap();
    assert!(dpop.binds_code && dpop.algorithm == Algorithm::ES256);
    assert_ne!(dpop.key.thumbprint(), key.thumbprint(), "a key of its own");
}

/// B: HS256 with the client secret, PKCE inside; D: the secret in the query, no PKCE, no `redirect_uri`.
#[test]
fn providers_that_go_their_own_way_can_be_written_down() {
    let kept = Kept::new("own-way");
    kept.file("secret", "s");
    let b = kept.provider(
        "client_secret = { file = \"secret\" }\nrequest_object_signing_alg = \"HS256\"\n\
         request_object_audience = \"https://account.example.com\"",
    );
    let object = b.authorization.request_object.unwrap();
    assert_eq!(object.signer, RequestObjectSigner::ClientSecret);
    assert_eq!(object.audience.as_deref(), Some("https://account.example.com"));

    let d = kept.provider(
        "client_secret = { file = \"secret\" }\ntoken_endpoint_auth_method = \"client_secret_query\"\n\
         danger_secret_in_query = true\ncode_challenge_method = \"none\"\n\
         token_request_omits = [\"redirect_uri\"]",
    );
    assert!(d.token_request_omits_redirect_uri && !d.authorization.code_challenge);
    assert!(d.authorization.nonce);
}

/// C-S3, table 3.4 of C: a provider that only knows OAuth 2.0 is asked for nothing else.
#[test]
fn without_an_id_token_no_nonce_is_asked_for() {
    let kept = Kept::new("plain-oauth");
    let plain = |more: &str| {
        format!(
            "id_token = \"never\"\nscopes = [\"ais\"]\n\
             subject = \"pseudonymous\"\n{more}"
        )
    };
    let with_pkce = kept.provider(&plain("")).authorization;
    assert!(with_pkce.code_challenge && !with_pkce.nonce);
    let bare = kept.provider(&plain("code_challenge_method = \"none\"")).authorization;
    assert!(!bare.code_challenge && !bare.nonce);
    let problem = kept.problem(&plain("nonce = true"));
    assert!(problem.contains("it would come back in an ID token"), "{problem}");
    let problem = kept.problem("code_challenge_method = \"none\"\nnonce = false");
    assert!(
        problem.contains("E0403"),
        "with an ID token one of the two has to be there: {problem}"
    );
}

/// A-D16: what is to be authorized is remembered in a cookie, and has to fit.
#[test]
fn more_to_authorize_than_a_browser_keeps_is_refused() {
    let kept = Kept::new("long");
    let details = |bytes: usize| {
        format!("authorization_details = [{{ type = \"a\", p = \"{}\" }}]", "p".repeat(bytes))
    };
    assert!(kept.load(&details(1400)).is_ok());
    let problem = kept.problem(&details(1600));
    assert!(problem.contains("at most 1500: browsers carry it in a cookie"), "{problem}");
}

/// C-20, MT2: what cannot work is said when it is configured, and the file's content never.
#[test]
fn keys_and_certificates_that_cannot_work_are_refused() {
    let kept = Kept::new("refused");
    kept.file("not-a-key", "canary");
    for (text, expected) in [
        ("signing_key = { file = \"not-a-key\" }", "this is not PEM"),
        ("signing_key = { file = \"ours.pem\" }", "this is `CERTIFICATE`, not a private key"),
        ("signing_key = { file = \"missing\" }", "there is no such file"),
        (
            "signing_key = { file = \"ours.key\" }\nsigning_certificate = { file = \"theirs.pem\" }",
            "the certificate is for another key",
        ),
        (
            "signing_key = { file = \"ours.key\" }\ntoken_endpoint_auth_signing_alg = \"PS256\"",
            "a P-256 key cannot sign with PS256; it can with ES256",
        ),
        (
            "signing_key = { file = \"ours.key\" }\nrequest_object_signing_alg = \"EdDSA\"",
            "a P-256 key cannot sign with EdDSA",
        ),
        (
            "tls = { certificate = \"ours.pem\", key = \"theirs.key\" }",
            "the certificate is for another key",
        ),
        ("tls = { certificate = \"ours.key\", key = \"ours.key\" }", "not a certificate"),
        ("tls = { certificate = \"ours.pem\", key = \"missing\" }", "there is no such file"),
        ("tls.ca = \"not-a-key\"", "this is not PEM"),
    ] {
        let problem = kept.problem(text);
        assert!(problem.contains(expected), "{text}\n{problem}");
        assert!(!problem.contains("canary") && !problem.contains("BEGIN PRIVATE"), "{problem}");
        assert_eq!(problem.lines().last(), Some("1 error"), "{problem}");
    }
}

/// A provider without metadata can be told where grants are given back, and where a token's worth is asked for.
#[test]
fn where_grants_are_given_back_can_be_written_down() {
    let kept = Kept::new("endpoints");
    for kind in ["oidc", "oauth2"] {
        let keys = match kind {
            "oidc" => "jwks_uri = \"https://id.example.com/keys\"",
            _ => "lookups = [{ url = \"https://id.example.com/me\", reads = { sub = \"id\" } }]",
        };
        let text = format!(
            "kind = \"{kind}\"\nauthorization_endpoint = \"https://id.example.com/authorize\"\n\
             token_endpoint = \"https://id.example.com/token\"\n{keys}\n\
             introspection_endpoint = \"https://id.example.com/introspect\"\n\
             revocation_endpoint = \"https://id.example.com/revoke\"\n"
        );
        let config = kept.load(&text).unwrap_or_else(|report| panic!("{kind}: {report}"));
        let ProviderEndpoints::Static(metadata) = &config.providers[0].endpoints else {
            panic!("{kind}: {:?}", config.providers[0].endpoints)
        };
        let found = [&metadata.introspection_endpoint, &metadata.revocation_endpoint]
            .map(|url| url.as_ref().map(|url| url.path()));
        assert_eq!(found, [Some("/introspect"), Some("/revoke")], "{kind}");
    }
    let plain = kept.problem(
        "authorization_endpoint = \"https://id.example.com/authorize\"\n\
         token_endpoint = \"https://id.example.com/token\"\njwks_uri = \"https://id.example.com/keys\"\n\
         revocation_endpoint = \"http://id.example.com/revoke\"\n",
    );
    assert!(plain.contains("http://id.example.com/revoke"), "{plain}");
}
