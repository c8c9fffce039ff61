//! Staying signed in with refresh tokens that are good for one use, at a provider that nobody here wrote.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::visitor::Visitor;
use lychgate_tests::cast::zitadel_provider::ZitadelProvider;

/// R4, R5, CB-59, CB-60, `oidcc-client-test-refresh-token`; RFC 9700 §4.14: fifty requests with one cookie are one
/// refresh, upstreams are told the newest access token, and signing out gives the grant back.
#[tokio::test]
async fn a_page_full_of_requests_is_one_refresh() {
    let provider = ZitadelProvider::start().await;
    provider.access_tokens_live(Duration::from_secs(2)).await;
    let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let application = application.expect("the application starts");
    let port = free_port();
    let site = format!("http://app.localhost:{port}");
    let client = provider.client("basic");
    provider.accept_returns_to(&[&format!("{site}/.lychgate/callback")], &[]).await;
    let gate = Gate::start(&format!(
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
scopes        = ["openid", "profile", "email", "groups", "offline_access"]

[routes.app]
url      = "{site}"
upstream = "http://{upstream}"
allow    = ["group:staff"]
headers.request = {{ "Authorization" = "Bearer {{access_token}}" }}
"#,
        admin = free_port(),
        issuer = provider.issuer(),
        id = client.id,
        secret = client.secret,
        upstream = application.address(),
    ))
    .await;
    let tokens_asked = async || {
        let requests = provider.events("request").await;
        let to_tokens = requests.iter().filter(|request| request.detail["path"] == "/oauth/token");
        to_tokens.count()
    };

    let alice = Visitor::of(&site, &[provider.issuer()]);
    let page = alice.follows(alice.opens("/").await).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let first = alice.fetches("/").await;
    assert_eq!(tokens_asked().await, 1);
    let first_token = first.echoed("authorization").expect("an access token");
    assert!(first_token.starts_with("Bearer ") && first_token.len() > "Bearer ".len());

    // Whole pages of requests, until one of them is due.
    let began = Instant::now();
    let page = loop {
        let page = join_all((0..50).map(|_| alice.fetches("/"))).await;
        assert!(page.iter().all(|answer| answer.status == 200));
        if page.iter().any(|answer| !answer.set_cookies().is_empty()) {
            break page;
        }
        assert!(began.elapsed() < PATIENCE, "nothing was refreshed");
    };

    assert_eq!(tokens_asked().await, 2, "the login, and one refresh");
    let refreshed = page.iter().filter(|answer| !answer.set_cookies().is_empty());
    let tokens: Vec<_> = refreshed.map(|answer| answer.echoed("authorization")).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "all of them with one token");
    assert_ne!(tokens[0].as_deref(), Some(first_token.as_str()));
    assert!(
        gate.metrics()
            .await
            .contains(r#"lychgate_token_refreshes_total{provider="zitadel",outcome="failure"} 0"#)
    );

    alice.asks(Method::POST, "/.lychgate/logout", &[("accept", "text/html")]).await;
    assert!(!alice.has_session());
    let began = Instant::now();
    while !provider.events("request").await.iter().any(|event| event.detail["path"] == "/revoke") {
        assert!(began.elapsed() < PATIENCE, "the grant was not given back");
    }
    let output = gate.output();
    let bare = first_token.trim_start_matches("Bearer ");
    assert!(!output.contains(bare), "N1, CB-62: the access token is in the log");
}
