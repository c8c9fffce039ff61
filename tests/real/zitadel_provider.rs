//! Signing in and out at the certified provider of `zitadel/oidc`: another language, and other people's
//! reading of the standards, where two readings are allowed.

use std::net::{Ipv4Addr, SocketAddr};

use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::certified_provider::OldKeys;
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::visitor::Visitor;
use lychgate_tests::cast::zitadel_provider::ZitadelProvider;
use serde_json::json;

/// `client_secret_basic`, PKCE, claims from userinfo, new keys between two logins, and sign-out (OC-01,
/// OC-03, OC-04, OC-06).
#[tokio::test]
async fn people_sign_in_and_out_at_a_provider_of_another_code_base() {
    let provider = ZitadelProvider::start().await;
    let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let application = application.expect("the application starts");
    let port = free_port();
    let site = format!("http://app.localhost:{port}");
    let client = provider.client("basic");
    provider
        .accept_returns_to(
            &[&format!("{site}/.lychgate/callback")],
            &[&format!("{site}/.lychgate/signed-out")],
        )
        .await;
    let _gate = Gate::start(&format!(
        r#"
[listeners.main]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[providers.zitadel]
issuer        = "{issuer}"
client_id     = "{id}"
client_secret = "{secret}"
token_endpoint_auth_method = "{auth}"
scopes        = ["openid", "profile", "email", "groups"]

[routes.app]
url      = "{site}"
upstream = "http://{upstream}"
allow    = ["group:staff", "group:guest"]
"#,
        admin = free_port(),
        issuer = provider.issuer(),
        id = client.id,
        secret = client.secret,
        auth = client.auth,
        upstream = application.address(),
    ))
    .await;
    let sign_in = async |user: &str| {
        provider.current_user(user).await;
        let visitor = Visitor::of(&site, &[provider.issuer()]);
        let answer = visitor.opens("/deep?q=1").await;
        let page = visitor.follows(answer).await;
        (visitor, page)
    };

    let (alice, page) = sign_in("alice").await;
    let me = alice.fetches("/.lychgate/me").await.json();
    provider.rotate_keys(OldKeys::Withdrawn).await;
    let (bob, after_rotation) = sign_in("bob").await;
    let answer = bob.asks(Method::POST, "/.lychgate/logout", &[("accept", "text/html")]).await;
    let farewell = bob.follows(answer).await;

    assert_eq!((page.status.as_u16(), page.url.as_str()), (200, alice.url("/deep?q=1").as_str()));
    let told = json!([me["user"], me["name"], me["email"], me["groups"]]);
    let expected = json!(["alice", "Alice Example", "alice@example.com", ["staff", "admin"]]);
    assert_eq!(told, expected);
    assert_eq!(after_rotation.status, 200, "{}", after_rotation.text());
    assert!(!bob.has_session());
    assert!(
        farewell.text().contains("your session at the identity provider too"),
        "{}",
        farewell.text()
    );
    let ends = provider.events("end_session").await;
    let [end] = &*ends else { panic!("one session ends, once: {ends:?}") };
    assert_eq!((&end.detail["user"], &end.detail["client"]), (&json!("bob"), &json!("basic")));
}
