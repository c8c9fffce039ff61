//! The client tests of the OpenID Foundation's conformance suite for FAPI, each by the name it has there.
//!
//! The suite plays a provider that does one thing wrong, or differently, and sees what the client makes of it. Here
//! a simulator plays it. Every module is told twice where it can be: to a client of the Security Profile and to one
//! of Message Signing. `docs/reference/conformance.md` lists them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::{Simulator, SimulatorTls};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

/// What a client has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    SignsIn,
    /// With a reason, after so many token requests.
    Refuses(&'static str, usize),
}

use Expected::{Refuses, SignsIn};

/// A module, what the provider does in it, and what the client has to.
type Module = (&'static str, &'static str, Expected);

const SECURITY_PROFILE: [Module; 22] = [
    ("fapi2-security-profile-final-client-test-happy-path", "", SignsIn),
    ("fapi2-security-profile-final-client-test-happy-path-no-dpop-nonce", "no_dpop_nonce", SignsIn),
    (
        "fapi2-security-profile-final-client-test-ensure-authorization-response-with-invalid-state-fails",
        "wrong_state",
        Refuses("login_not_ours", 0),
    ),
    (
        "fapi2-security-profile-final-client-test-ensure-authorization-response-with-invalid-missing-state-fails",
        "no_state",
        Refuses("login_not_ours", 0),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-authorization-response-iss",
        "wrong_iss",
        Refuses("issuer_mismatch", 0),
    ),
    (
        "fapi2-security-profile-final-client-test-remove-authorization-response-iss",
        "no_iss",
        Refuses("issuer_mismatch", 0),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-aud",
        "id_token_aud_wrong",
        Refuses("audience_mismatch", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-iss",
        "id_token_iss_wrong",
        Refuses("issuer_mismatch", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-nonce",
        "id_token_nonce_wrong",
        Refuses("nonce_mismatch", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-null-alg",
        "id_token_alg_none",
        Refuses("signature_invalid", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-alternate-alg",
        "id_token_alg_other",
        Refuses("signature_invalid", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-expired-exp",
        "id_token_exp_past",
        Refuses("clock_skew", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-secondary-aud",
        "id_token_aud_array_stranger",
        Refuses("audience_mismatch", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-missing-aud",
        "id_token_aud_missing",
        Refuses("token_invalid", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-missing-exp",
        "id_token_exp_missing",
        Refuses("token_invalid", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-missing-iss",
        "id_token_iss_missing",
        Refuses("token_invalid", 1),
    ),
    (
        "fapi2-security-profile-final-client-test-invalid-missing-nonce",
        "id_token_nonce_missing",
        Refuses("token_invalid", 1),
    ),
    ("fapi2-security-profile-final-client-test-valid-aud-as-array", "id_token_aud_array", SignsIn),
    (
        "fapi2-security-profile-final-client-test-token-type-case-insensitivity",
        "token_type_case",
        SignsIn,
    ),
    (
        "fapi2-security-profile-final-client-test-token-endpoint-response-without-expires_in",
        "no_expires_in",
        SignsIn,
    ),
    // Not of the suite: what else must not pass where tokens are bound (F2-01, DP3, F2-15).
    ("a token of another type", "token_type_wrong", Refuses("token_exchange_failed", 1)),
    ("a signature by a stranger", "id_token_bad_signature", Refuses("signature_invalid", 1)),
];

const MESSAGE_SIGNING: [Module; 9] = [
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-without-iss-fails",
        "jarm_iss_missing",
        Refuses("token_invalid", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-without-aud-fails",
        "jarm_aud_missing",
        Refuses("token_invalid", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-without-exp-fails",
        "jarm_exp_missing",
        Refuses("token_invalid", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-with-invalid-iss-fails",
        "jarm_iss_wrong",
        Refuses("issuer_mismatch", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-with-invalid-aud-fails",
        "jarm_aud_wrong",
        Refuses("audience_mismatch", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-with-invalid-sig-fails",
        "jarm_bad_signature",
        Refuses("signature_invalid", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-with-expired-exp-fails",
        "jarm_exp_past",
        Refuses("clock_skew", 0),
    ),
    (
        "fapi2-message-signing-final-client-test-ensure-jarm-signature-is-not-none",
        "jarm_alg_none",
        Refuses("signature_invalid", 0),
    ),
    // Not of the suite: JARM1, a plain answer where a signed one was asked for.
    ("a plain answer", "plain_response", Refuses("login_malformed", 0)),
];

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        for at in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * at)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// A simulated provider, and a gate with a provider for each of its clients.
struct Plan {
    simulator: Simulator,
    gate: Gate,
    origin: String,
    trusted: Option<String>,
    key: String,
    _application: Echo,
}

/// A client of the simulator: its name, what the operator writes down, and what is registered beside its keys.
type Client = (&'static str, String, Value);

/// How a simulator is set up.
#[derive(Default)]
struct Setting<'a> {
    /// Members of the preset that are replaced.
    behaviour: Option<Value>,
    /// What it does wrong when the gate meets it first.
    at_first: &'a str,
    /// Its certificate, and the authority (PEM) that vouches for it.
    tls: Option<(SimulatorTls, String)>,
}

impl Plan {
    async fn begin(
        preset: &str,
        clients: &[Client],
        setting: Setting<'_>,
        scratch: Scratch,
    ) -> Self {
        let key = KeyPair::generate().expect("a key");
        let point = key.der_bytes();
        let (x, y) = point[1..].split_at(32);
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": "ours", "use": "sig", "alg": "ES256",
            "x": base64url(x), "y": base64url(y),
        });
        let port = free_port();
        let origin = format!("http://app.localhost:{port}");
        let callback = |name: &str| match clients.len() {
            1 => format!("{origin}/.lychgate/callback"),
            _ => format!("{origin}/.lychgate/callback/{name}"),
        };
        let client = |(name, _, registered): &Client| {
            let mut client = json!({
                "client_id": name,
                "redirect_uris": [callback(name)],
                "jwks": { "keys": [jwk] },
            });
            let members = registered.as_object().expect("members").clone();
            client.as_object_mut().expect("an object").extend(members);
            client
        };
        let behaviour = setting.behaviour.unwrap_or_else(|| json!({}));
        let tls = setting.tls.as_ref().map(|(tls, _)| tls);
        let simulator = Simulator::start_with(preset, &client(&clients[0]), tls, &behaviour).await;
        for more in &clients[1..] {
            simulator.register(&client(more)).await;
        }
        if !setting.at_first.is_empty() {
            simulator.switch(setting.at_first, &json!({})).await;
        }
        scratch.write("signing.pem", key.serialize_pem());
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let mut toml = format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[routes.app]
url      = "{origin}"
upstream = "http://{upstream}"
allow    = ["authenticated"]
headers.request = {{ "X-Token" = "{{access_token}}" }}
"#,
            admin = free_port(),
            upstream = application.address(),
        );
        for (name, more, _) in clients {
            toml.push_str(&format!(
                "\n[providers.{name}]\nissuer = \"{issuer}\"\nclient_id = \"{name}\"\n\
                 userinfo = \"always\"\n{more}\n",
                issuer = simulator.issuer(),
            ));
        }
        let gate = Gate::start_without_providers(scratch, &toml).await;
        let trusted = setting.tls.map(|(_, authority)| authority);
        let key = key.serialize_pem();
        Self { simulator, gate, origin, trusted, key, _application: application }
    }

    fn visitor(&self) -> Visitor {
        let elsewhere = [self.simulator.issuer()];
        match &self.trusted {
            None => Visitor::of(&self.origin, &elsewhere),
            Some(trusted) => Visitor::trusting(&self.origin, &elsewhere, trusted),
        }
    }

    async fn is_ready(&self, clients: &[Client]) {
        for (name, ..) in clients {
            let ready = |line: &Value| {
                line["provider"] == *name && line.to_string().contains("the provider is ready")
            };
            self.gate.line("the provider is ready", ready).await;
        }
    }

    async fn token_requests(&self) -> usize {
        let requests = self.simulator.events("request").await;
        requests.iter().filter(|request| request.detail["endpoint"] == "token").count()
    }

    /// Signs in by the client of that name: the visitor, what the callback answered, and the callback itself.
    async fn sign_in(&self, name: &str) -> (Visitor, Answer, Url) {
        let visitor = self.visitor();
        let login = format!("/.lychgate/login?return_to=%2Fpage&provider={name}");
        let answer = visitor.opens(&login).await;
        assert!(answer.location().is_some(), "{name}: {}", self.gate.output());
        let callback = visitor.is_sent_back_as("alice", answer).await;
        let answer = visitor.opens(callback.as_str()).await;
        (visitor, answer, callback)
    }

    /// One module for one client; what was expected and did not come, if anything.
    async fn tell(&self, client: &str, (module, switch, expected): Module) -> Option<String> {
        if !switch.is_empty() {
            self.simulator.switch(switch, &json!({})).await;
        }
        let before = self.token_requests().await;
        let (visitor, answer, callback) = self.sign_in(client).await;
        let asked = self.token_requests().await - before;
        if !switch.is_empty() {
            self.simulator.clear_switches().await;
        }
        let told = format!("{module} ({client}): {}\n{}", answer.text(), self.gate.output());
        match expected {
            SignsIn => {
                let page = visitor.follows(answer).await;
                assert_eq!(page.status, 200, "{told}");
                let page = visitor.fetches("/page").await;
                assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{told}");
                let token = page.echoed("x-token").expect("an access token");
                assert!(!self.gate.output().contains(&token), "CB-62: {module}");
            }
            Refuses(reason, requests) => {
                if answer.status.is_redirection() {
                    return Some(format!("{module} ({client}): signed in"));
                }
                let found = answer.reason();
                if (found.as_str(), asked) != (reason, requests) {
                    return Some(format!("{module} ({client}): {found} after {asked}"));
                }
                assert!(!visitor.has_session(), "{told}");
                assert_eq!(visitor.fetches("/.lychgate/me").await.status, 401, "{told}");
                let access = self.gate.access_line(answer.header("x-request-id")).await;
                assert_eq!(access["reason"], reason, "{access}");
            }
        }
        // CB-62: what the browser carried is in nothing that was printed.
        let output = self.gate.output();
        for (name, value) in callback.query_pairs() {
            let is_secret = ["code", "response", "state"].contains(&&*name);
            assert!(!is_secret || !output.contains(&*value), "{module}: {name} in {output}");
        }
        assert!(!output.contains("eyJ") && !output.contains(&self.key), "{module}: {output}");
        None
    }

    /// What must not have happened, whatever did.
    async fn ends(&self) {
        assert!(self.simulator.events("broken").await.is_empty());
        // F2-13: the browser carried a reference and who asks.
        for query in self.simulator.authorize_queries().await {
            let names = url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
            let names: Vec<_> = names.map(|(name, _)| name.into_owned()).collect();
            assert_eq!(names, ["client_id", "request_uri"], "{query}");
        }
        // F2-03, PAR2: every assertion was used once.
        let mut assertions = self.simulator.assertions().await;
        let all = assertions.len();
        assertions.sort_unstable();
        assertions.dedup();
        assert!(all > 0 && assertions.len() == all);
    }
}

fn by_key(name: &'static str, profile: &str) -> Client {
    let toml = format!(
        "profile = \"{profile}\"\nsigning_key = {{ file = \"signing.pem\" }}\nsigning_key_id = \"ours\""
    );
    let registered = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "authorization_signed_response_alg": "ES256",
        "request_object_signing_alg": "ES256",
    });
    (name, toml, registered)
}

/// F2-01 to F2-04, F2-08, F2-09, F2-11 to F2-15, FM-01 to FM-03, JARM1 to JARM3, DP1 to DP3, CB-14, CB-15, CB-25,
/// CB-62. `fapi2-security-profile-final-client-test-discovery-issuer-mismatch` comes first: nobody is sent to a
/// provider that says it is another one, until it says who it is.
#[tokio::test]
async fn the_client_tests_of_fapi_2_with_dpop() {
    let clients =
        [by_key("security-profile", "fapi2"), by_key("message-signing", "fapi2-message-signing")];
    let setting = Setting { at_first: "metadata_issuer_mismatch", ..Setting::default() };
    let plan = Plan::begin("sim-fapi2-dpop", &clients, setting, Scratch::new()).await;
    let refused = plan.visitor().opens("/.lychgate/login?provider=security-profile").await;
    assert_eq!(refused.reason(), "provider_unavailable", "{}", plan.gate.output());
    assert!(plan.simulator.authorize_queries().await.is_empty());
    plan.simulator.clear_switches().await;
    plan.is_ready(&clients).await;

    let mut wrong = Vec::new();
    for (name, ..) in &clients {
        for (title, switch, expected) in SECURITY_PROFILE {
            // FM-03: where the answer is signed, its issuer is inside.
            let (switch, expected) = match (switch, *name) {
                ("wrong_iss", "message-signing") => ("jarm_iss_wrong", expected),
                ("no_iss", "message-signing") => ("jarm_iss_missing", Refuses("token_invalid", 0)),
                _ => (switch, expected),
            };
            wrong.extend(plan.tell(name, (title, switch, expected)).await);
        }
    }
    for module in MESSAGE_SIGNING {
        wrong.extend(plan.tell("message-signing", module).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    plan.ends().await;
    let refusals = plan.simulator.refusals().await;
    let nonce = "the proof has not the nonce that is asked for";
    assert!(refusals.iter().all(|refusal| refusal == nonce), "{refusals:?}");
}

/// F2-01, F2-02, F2-07, F2-11 to F2-15, MT1, CB-62: the same with a certificate that binds tokens, and proves who we
/// are or has a key beside it. It is shown at the aliases alone.
#[tokio::test]
async fn the_client_tests_of_fapi_2_with_a_certificate() {
    let scratch = Scratch::new();
    let papers = Papers::issue(&scratch);
    let certified = |name, profile: &str| {
        let (name, toml, mut registered) = by_key(name, profile);
        registered["certificate_sha256"] = papers.client_sha256.as_str().into();
        let tls =
            "tls = { ca = \"authority.crt\", certificate = \"client.crt\", key = \"client.key\" }";
        (name, format!("{toml}\n{tls}"), registered)
    };
    let mut alone = certified("certificate", "fapi2");
    alone.1 = alone.1.replace("signing_key = ", "# ").replace("signing_key_id = ", "# ");
    alone.2["token_endpoint_auth_method"] = "tls_client_auth".into();
    let clients = [alone, certified("key", "fapi2-message-signing")];
    let setting = Setting { tls: Some(papers.server(&scratch)), ..Setting::default() };
    let plan = Plan::begin("sim-fapi2-mtls", &clients, setting, scratch).await;
    plan.is_ready(&clients).await;

    let mut wrong = Vec::new();
    for (title, switch, expected) in SECURITY_PROFILE {
        // This provider issues bearer tokens, bound by the certificate: there are no proofs.
        if switch != "no_dpop_nonce" {
            wrong.extend(plan.tell("certificate", (title, switch, expected)).await);
        }
    }
    for module in MESSAGE_SIGNING {
        wrong.extend(plan.tell("key", module).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    assert!(plan.simulator.events("broken").await.is_empty());
    assert_eq!(plan.simulator.refusals().await, [""; 0]);
    let seen = plan.simulator.certificates().await;
    for endpoint in ["par", "token", "userinfo"] {
        assert_eq!(seen[endpoint], [Some(papers.client_sha256.clone())], "{endpoint}: {seen:?}");
    }
}

/// F1-01 to F1-03, F1-05, F1-06, BR-08, MT1, JARM1 to JARM3, CB-25, CB-62: what FAPI 1.0 Advanced asks of a client
/// that takes a code in a signed answer. The request is a request object in the address.
#[tokio::test]
async fn the_client_tests_of_fapi_1_advanced() {
    const MODULES: [Module; 5] = [
        ("fapi1-advanced-final-client-test", "", SignsIn),
        ("fapi1-advanced-final-client-test-valid-aud-as-array", "id_token_aud_array", SignsIn),
        (
            "fapi1-advanced-final-client-test-no-scope-in-token-endpoint-response",
            "no_scope",
            SignsIn,
        ),
        (
            "fapi1-advanced-final-client-test-iat-is-week-in-past",
            "id_token_iat_week_old",
            Refuses("clock_skew", 1),
        ),
        ("a missing at_hash", "id_token_at_hash_missing", SignsIn),
    ];
    let scratch = Scratch::new();
    let papers = Papers::issue(&scratch);
    let (name, toml, mut registered) = by_key("advanced", "fapi1-advanced");
    registered["certificate_sha256"] = papers.client_sha256.as_str().into();
    let tls =
        "tls = { ca = \"authority.crt\", certificate = \"client.crt\", key = \"client.key\" }";
    let clients = [(name, format!("{toml}\n{tls}"), registered)];
    let setting = Setting { tls: Some(papers.server(&scratch)), ..Setting::default() };
    let plan = Plan::begin("sim-fapi1", &clients, setting, scratch).await;
    plan.is_ready(&clients).await;

    let mut wrong = Vec::new();
    for module in MODULES.into_iter().chain(MESSAGE_SIGNING) {
        wrong.extend(plan.tell("advanced", module).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    assert!(plan.simulator.events("broken").await.is_empty());
    assert_eq!(plan.simulator.refusals().await, [""; 0]);
    for query in plan.simulator.authorize_queries().await {
        let names = url::form_urlencoded::parse(query.trim_start_matches('?').as_bytes());
        let names: Vec<_> = names.map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["client_id", "request", "response_type", "scope"], "{query}");
    }
}

/// Certificates for a simulator and its client, by one authority.
struct Papers {
    authority: String,
    client_sha256: String,
}

impl Papers {
    /// Lays them out: `authority.crt`, and `server` and `client`, each `.crt` and `.key`.
    fn issue(scratch: &Scratch) -> Self {
        let made = "a certificate can be made";
        let mut params = CertificateParams::new(Vec::new()).expect(made);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Who has the issuer's name is taken for the issuer.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect(made)).expect(made);
        scratch.write("authority.crt", authority.pem());
        let mut digests = ["server", "client"].map(|name| {
            let names = ["localhost", "127.0.0.1"].map(str::to_owned);
            let mut params = CertificateParams::new(names).expect(made);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect(made);
            let certificate = params.signed_by(&key, &authority).expect(made);
            scratch.write(&format!("{name}.crt"), certificate.pem());
            scratch.write(&format!("{name}.key"), key.serialize_pem());
            let digest = Sha256::digest(certificate.der());
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        });
        let client_sha256 = std::mem::take(&mut digests[1]);
        Self { authority: authority.pem(), client_sha256 }
    }

    /// What a simulator speaks TLS with, and who vouches for it.
    fn server(&self, scratch: &Scratch) -> (SimulatorTls, String) {
        let tls = SimulatorTls {
            certificate: scratch.file("server.crt"),
            key: scratch.file("server.key"),
            client_authority: Some(scratch.file("authority.crt")),
        };
        (tls, self.authority.clone())
    }
}

/// F2-06, DP4, H13, OC-05, `fapi2-security-profile-final-client-test-refresh-token-test`,
/// `oidcc-client-test-refresh-token`, `oidcc-client-test-refresh-token-invalid-issuer` and
/// `oidcc-client-test-refresh-token-invalid-sub`: a session goes on with what a refresh brings, and ends with what
/// speaks of somebody or somewhere else.
#[tokio::test]
async fn the_client_tests_of_refresh_tokens() {
    let clients = [by_key("refreshing", "fapi2"), by_key("other", "fapi2")];
    let behaviour = json!({
        "access_token": { "shape": "token", "lifetime": 2 },
        "refresh": { "when": "always", "rotates": true },
    });
    let setting = Setting { behaviour: Some(behaviour), ..Setting::default() };
    let plan = Plan::begin("sim-fapi2-dpop", &clients, setting, Scratch::new()).await;
    plan.is_ready(&clients).await;

    for (switch, goes_on) in
        [("", true), ("refresh_id_token_iss_wrong", false), ("refresh_id_token_sub_other", false)]
    {
        let (visitor, answer, _) = plan.sign_in("refreshing").await;
        visitor.follows(answer).await;
        let first = visitor.fetches("/page").await.echoed("x-token").expect("an access token");
        if !switch.is_empty() {
            plan.simulator.switch(switch, &json!({})).await;
        }
        let began = Instant::now();
        let last = loop {
            assert!(began.elapsed() < PATIENCE, "nothing was refreshed");
            let page = visitor.fetches("/page").await;
            if page.status != 200 || page.echoed("x-token").as_ref() != Some(&first) {
                break page;
            }
        };
        plan.simulator.clear_switches().await;
        if goes_on {
            assert_eq!(last.echoed("x-forwarded-user").as_deref(), Some("alice"));
        } else {
            assert_eq!((last.status.as_u16(), last.reason().as_str()), (401, "session_ended"));
            assert!(!visitor.has_session(), "{switch}");
        }
        assert!(!plan.gate.output().contains(&first), "CB-62: {switch}");
    }
    plan.ends().await;
}
