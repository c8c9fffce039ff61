//! Signing in where nothing but signed, pushed and bound will do, at somebody else's provider.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;

use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::strict_provider::StrictProvider;
use lychgate_tests::cast::visitor::Visitor;

/// F2-01, F2-02, F2-08, F2-11, F2-13, FM-01, PAR1, JAR1, DP1, DP2, B-D5: private_key_jwt with PS256, ES256 and
/// EdDSA, client_secret_jwt, PAR, JAR by value and inside PAR, DPoP with nonces that are asked for first.
#[tokio::test]
async fn a_strict_provider_takes_what_we_send_it() {
    let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let application = application.expect("the application starts");
    let (port, admin) = (free_port(), free_port());
    let origin = format!("http://127.0.0.1:{port}");
    let provider = StrictProvider::start(&origin).await;
    let issuer = provider.issuer();
    let scratch = Scratch::new();
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
upstream = "http://{application}"
allow    = ["authenticated"]
"#,
        application = application.address(),
    );
    for client in provider.clients() {
        let name = &client.name;
        let file = scratch.write(&format!("{name}.key"), &client.key);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = format!("signing_key = {{ file = \"{name}.key\" }}\nsigning_key_id = \"{name}\"");
        let more = match name.as_str() {
            "everything" => format!(
                "{key}\npushed_authorization_requests = \"required\"\n\
                 request_object_signing_alg = \"PS256\"\ndpop_bound_access_tokens = true"
            ),
            "in-the-address" => format!(
                "{key}\nrequest_object_signing_alg = \"ES256\"\ndpop_bound_access_tokens = true\n\
                 dpop_jkt = true"
            ),
            "pushed" => format!(
                "{key}\npushed_authorization_requests = \"required\"\n\
                 dpop_bound_access_tokens = true"
            ),
            _ => format!(
                "client_secret = {{ file = \"{name}.key\" }}\n\
                 token_endpoint_auth_method = \"client_secret_jwt\"\n\
                 request_object_signing_alg = \"HS256\""
            ),
        };
        toml.push_str(&format!(
            "\n[providers.{name}]\nissuer = \"{issuer}\"\nclient_id = \"{name}\"\n\
             userinfo = \"always\"\n{more}\n"
        ));
    }
    let gate = Gate::start_in(scratch, &toml).await;

    for client in provider.clients() {
        let visitor = Visitor::of(&origin, &[issuer]);
        let login = format!("/.lychgate/login?return_to=%2Fpage&provider={}", client.name);

        let answer = visitor.opens(&login).await;
        visitor.follows(answer).await;
        let page = visitor.fetches("/page").await;

        assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{}", client.name);
        // JAR2, D-D13: nothing that was signed or proved with is in what the gate wrote.
        let printed = gate.output();
        for part in [client.key.trim(), "eyJ", "PRIVATE KEY"] {
            assert!(!printed.contains(part), "{printed}");
        }
    }
}
