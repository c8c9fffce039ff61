//! FAPI 1.0 Advanced and Open Finance Brasil: signed requests and answers, certificates, encrypted ID tokens.

use std::net::{Ipv4Addr, SocketAddr};

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::{Simulator, client_keys};
use lychgate_tests::cast::visitor::Visitor;
use serde_json::{Value, json};

use super::example::{
    comes_back, ends_well, is_refused, issue_papers, names, pairs, requests, signs_in,
    until_refreshed, value,
};

/// A strict provider, and a gate with several registrations there, each named as its `client_id`.
struct House {
    provider: Simulator,
    gate: Gate,
    /// Of our certificate.
    thumbprint: String,
    keys: Vec<String>,
    _application: Echo,
}

/// A registration: its name, what is registered beyond the keys, and what the operator writes beyond them.
type Registration<'a> = (&'a str, Value, &'a str);

impl House {
    async fn open(preset: &str, behaviour: &Value, registrations: &[Registration<'_>]) -> Self {
        let scratch = Scratch::new();
        let (tls, thumbprint) = issue_papers(&scratch);
        let wanted = [("PS256", "signs", "sig"), ("RSA-OAEP", "opens", "enc")];
        let keys = client_keys(&wanted).await;
        scratch.write("signs.pem", &keys[0].pem);
        scratch.write("opens.pem", &keys[1].pem);
        let jwks: Vec<_> = keys.iter().map(|key| &key.jwk).collect();
        let port = free_port();
        let site = format!("http://app.localhost:{port}");
        let client = |name: &str, more: &Value| {
            let mut client = json!({
                "client_id": name, "jwks": { "keys": &jwks },
                "redirect_uris": [format!("{site}/.lychgate/callback/{name}")],
                "token_endpoint_auth_method": "private_key_jwt",
                "certificate_sha256": &thumbprint,
            });
            let members = client.as_object_mut().expect("an object");
            members.extend(more.as_object().expect("an object").clone());
            client
        };
        let nobody = client("nobody", &json!({}));
        let provider = Simulator::start_with(preset, &nobody, Some(&tls), behaviour).await;
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

[telemetry]
log = {{ level = "debug", format = "json" }}

[routes.app]
url      = "{site}"
upstream = "http://{application}"
allow    = ["authenticated"]
identity = "headers"
"#,
            admin = free_port(),
            application = application.address(),
        );
        for (name, more, lines) in registrations {
            provider.register(&client(name, more)).await;
            toml.push_str(&format!(
                r#"
[providers.{name}]
issuer                       = "{issuer}"
client_id                    = "{name}"
redirect_uri                 = "{site}/.lychgate/callback/{name}"
signing_key                  = {{ file = "signs.pem" }}
signing_key_id               = "signs"
tls                          = {{ certificate = "qwac.pem", key = "qwac.key", ca = "authority.pem" }}
request_object_signing_alg   = "PS256"
response_mode                = "jwt"
id_token_signed_response_alg = "PS256"
userinfo                     = "always"
tls_client_certificate_bound_access_tokens = true
{lines}
"#,
                issuer = provider.issuer(),
            ));
        }
        // The gate's own authority is the system's; the provider's is named for it alone.
        std::fs::rename(scratch.file("authority.pem"), scratch.file("bank-authority.pem"))
            .expect("a file");
        let toml = toml.replace("\"authority.pem\"", "\"bank-authority.pem\"");
        let gate = Gate::start_in(scratch, &toml).await;
        let keys = keys.into_iter().map(|key| key.pem).collect();
        Self { provider, gate, thumbprint, keys, _application: application }
    }

    fn visitor(&self) -> Visitor {
        let authority = self.gate.scratch().read("bank-authority.pem");
        let there = self.provider.endpoint("authorization");
        Visitor::trusting(self.gate.url(), &[there], &authority)
    }

    /// As [`super::example::ends_well`]; nothing that was signed for the provider is in the log either.
    async fn ends_well(&self) -> Vec<String> {
        let output = self.gate.output();
        let written = output.lines().find(|line| line.contains("eyJ"));
        assert_eq!(written, None, "CB-62: a signed or encrypted token is in the log");
        let mut secrets: Vec<&str> = vec!["PRIVATE KEY"];
        secrets.extend(self.keys.iter().flat_map(|pem| pem.lines().nth(1)));
        ends_well(&self.gate, &self.provider, &secrets).await
    }
}

const PUSHED: &str = "pushed_authorization_requests = \"required\"";
const IN_THE_ADDRESS: &str = "pushed_authorization_requests = \"never\"\n\
     authorization_request_repeats = [\"response_type\", \"scope\"]";

/// F1-01 to F1-03, F1-05, F1-06: JARM with `response_type=code`; the request signed and pushed, or signed in the
/// address beside what has to be repeated; assertions or the certificate alone; ID tokens plain or encrypted.
#[tokio::test]
async fn a_financial_grade_provider_takes_what_we_send_it() {
    let sealed = json!({ "id_token_encrypted_response_alg": "RSA-OAEP" });
    let opens = format!(
        "{PUSHED}\nid_token_encrypted_response_alg = \"RSA-OAEP\"\n\
         decryption_keys = [{{ file = \"opens.pem\" }}]"
    );
    let certified = json!({ "token_endpoint_auth_method": "tls_client_auth" });
    let by_certificate = format!("{PUSHED}\ntoken_endpoint_auth_method = \"tls_client_auth\"");
    let house = House::open(
        "sim-fapi1",
        &json!({}),
        &[
            ("pushed", json!({}), PUSHED),
            ("address", json!({}), IN_THE_ADDRESS),
            ("sealed", sealed, &opens),
            ("certified", certified, &by_certificate),
        ],
    )
    .await;

    for name in ["pushed", "address", "sealed", "certified"] {
        let visitor = house.visitor();
        let callback = comes_back(&visitor, name).await;
        let answer = pairs(callback.query().unwrap_or_default());
        assert_eq!(names(&answer), ["response"], "{name}: everything is in the JWT");
        let page = signs_in(&visitor.somebody_else(), name).await;
        assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{name}");
        let queries = house.provider.authorize_queries().await;
        let asked = pairs(queries.last().expect("a request"));
        let expected: &[&str] = match name {
            "address" => &["client_id", "request", "response_type", "scope"],
            _ => &["client_id", "request_uri"],
        };
        assert_eq!(names(&asked), expected, "{name}");
    }

    let seen = house.provider.certificates().await;
    for endpoint in ["par", "token", "userinfo"] {
        assert_eq!(seen[endpoint], [Some(house.thumbprint.clone())], "F1-01: {endpoint}");
    }
    let assertions = house.provider.assertions().await;
    let once: std::collections::BTreeSet<_> = assertions.iter().collect();
    assert_eq!(once.len(), assertions.len(), "no assertion is used twice");
    assert_eq!(house.ends_well().await, [""; 0]);
}

const INVALID: (u16, &str) = (502, "token_invalid");
const UNVERIFIED: (u16, &str) = (502, "signature_invalid");

/// CB-25, CB-54, FM-02, 7.2 "JARM": an answer that lies, or is plain, reaches no token endpoint. So does an ID token
/// that is not encrypted where that was agreed on, or encrypted where it was not, or with what nobody accepts.
#[tokio::test]
async fn a_signed_answer_that_lies_is_not_redeemed() {
    let sealed = json!({ "id_token_encrypted_response_alg": "RSA-OAEP" });
    let opens = format!(
        "{PUSHED}\nid_token_encrypted_response_alg = \"RSA-OAEP\"\n\
         decryption_keys = [{{ file = \"opens.pem\" }}]"
    );
    let registrations = [("pushed", json!({}), PUSHED), ("sealed", sealed, &*opens)];
    let house = House::open("sim-fapi1", &json!({}), &registrations).await;
    for (switch, expected) in [
        ("plain_response", (400, "login_malformed")),
        ("jarm_alg_none", UNVERIFIED),
        ("jarm_alg_other", UNVERIFIED),
        ("jarm_alg_hs256_public_key", UNVERIFIED),
        ("jarm_bad_signature", UNVERIFIED),
        ("jarm_unknown_kid", UNVERIFIED),
        ("jarm_no_kid_unpublished", UNVERIFIED),
        ("jarm_iss_wrong", (502, "issuer_mismatch")),
        ("jarm_iss_missing", INVALID),
        ("jarm_aud_wrong", (502, "audience_mismatch")),
        ("jarm_aud_array_stranger", (502, "audience_mismatch")),
        ("jarm_azp_wrong", (502, "audience_mismatch")),
        ("jarm_aud_missing", INVALID),
        ("jarm_exp_past", (502, "clock_skew")),
        ("jarm_exp_missing", INVALID),
        ("jarm_crit_unknown", INVALID),
        ("jarm_typ_wrong", INVALID),
        ("jarm_encrypted_unasked", INVALID),
        ("jarm_encrypted_rsa1_5", INVALID),
        ("jarm_garbage", INVALID),
        ("state_dropped", (400, "login_not_ours")),
    ] {
        let visitor = house.visitor();
        let parameters = match switch {
            // To the key that there is.
            "jarm_encrypted_unasked" => json!({ "alg": "RSA-OAEP" }),
            _ => json!({}),
        };
        house.provider.switch_once(switch, &parameters).await;
        let answer = visitor.opens(comes_back(&visitor, "pushed").await.as_str()).await;
        is_refused(&house.gate, &visitor, &answer, expected, switch).await;
    }
    assert!(requests(&house.provider, "token").await.is_empty(), "no exchange");

    for (client, switch) in [
        ("sealed", "id_token_plain"),
        ("sealed", "id_token_encrypted_rsa1_5"),
        ("sealed", "id_token_bad_signature"),
        ("pushed", "id_token_encrypted_unasked"),
        ("pushed", "id_token_iat_week_old"),
    ] {
        let visitor = house.visitor();
        let parameters = json!({ "alg": "RSA-OAEP" });
        house.provider.switch_once(switch, &parameters).await;
        let answer = visitor.opens(comes_back(&visitor, client).await.as_str()).await;
        let expected = match switch {
            "id_token_bad_signature" => "signature_invalid",
            "id_token_iat_week_old" => "clock_skew",
            _ => "token_invalid",
        };
        is_refused(&house.gate, &visitor, &answer, (502, expected), switch).await;
    }
    house.ends_well().await;
}

/// BR-02 to BR-06, BR-08: PS256 and the certificate everywhere, the consent of the link in the scope, `acr` as an
/// essential claim without values, an encrypted ID token; a refresh token that stays the same; and never a hint.
#[tokio::test]
async fn a_brazilian_bank_takes_what_we_send_it() {
    let sealed = json!({ "id_token_encrypted_response_alg": "RSA-OAEP" });
    let bank = format!(
        "{PUSHED}\nid_token_encrypted_response_alg = \"RSA-OAEP\"\n\
         decryption_keys = [{{ file = \"opens.pem\" }}]\n\
         scopes = [\"openid\", \"accounts\", \"consent:{{login.consent}}\"]\n\
         authorization_params_from_login = [\"consent\"]\n\
         claims_request = {{ id_token = {{ acr = {{ essential = true }} }} }}\n\
         required_acr_values = [\"urn:brasil:openbanking:loa2\"]"
    );
    let hasty = format!("{bank}\n").replace(", \"consent:{login.consent}\"", "");
    let hasty = hasty.replace("authorization_params_from_login = [\"consent\"]", "");
    let brief = json!({ "access_token": { "shape": "token", "lifetime": 2 } });
    let registrations = [("bank", sealed.clone(), &*bank), ("hasty", sealed, &hasty)];
    let house = House::open("sim-brazil", &brief, &registrations).await;
    let ana = house.visitor();

    let page = signs_in(&ana, "bank&consent=urn:bank:c-4711").await;
    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"));
    let kept = async || {
        let tokens = requests(&house.provider, "token").await.into_iter();
        let forms = tokens.map(|sent| pairs(sent["body"].as_str().unwrap_or_default()));
        let refreshes = forms.filter(|sent| value(sent, "grant_type") == "refresh_token");
        refreshes.map(|sent| value(&sent, "refresh_token").to_owned()).collect::<Vec<_>>()
    };
    let page = until_refreshed(&ana).await;
    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{}", page.text());
    assert!(!kept().await.is_empty(), "the refresh token is used");
    let issued = house.provider.events("tokens").await.pop().expect("tokens").detail;
    assert_eq!(issued["answer"].get("refresh_token"), None, "BR-05: the bank sends no other");
    // The session goes on without a new one.
    assert_eq!(ana.fetches("/page").await.status, 200);

    let seen = house.provider.certificates().await;
    for endpoint in ["par", "token", "userinfo"] {
        assert_eq!(seen[endpoint], [Some(house.thumbprint.clone())], "BR-02: {endpoint}");
    }

    let visitor = house.visitor();
    house.provider.switch_once("id_token_acr_wrong", &json!({})).await;
    let callback = comes_back(&visitor, "bank&consent=urn:bank:c-2").await;
    let answer = visitor.opens(callback.as_str()).await;
    is_refused(&house.gate, &visitor, &answer, (403, "authentication_weak"), "acr").await;
    // The push is refused, so the browser goes nowhere.
    let answer = visitor.opens(&super::example::login("hasty")).await;
    assert_eq!((answer.status.as_u16(), &*answer.reason()), (502, "provider_refused"));
    // BR-06 is the simulator's own rule: a hint would be among what it refused.
    assert_eq!(house.ends_well().await, ["the scope holds not one consent"]);
}
