//! Signing in and out at `oidc-provider`, which is certified for what it does.
//!
//! Where a test stands for a module of the OpenID Foundation's plans for relying parties, its
//! comment names the module.

use std::net::{Ipv4Addr, SocketAddr};

use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::certified_provider::{
    CertifiedProvider, ClaimsIn, Event, Login, OldKeys, ProviderSetup,
};
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::json;

/// One gate before one application, with a site for each of the provider's clients.
struct Street {
    provider: CertifiedProvider,
    port: u16,
    gate: Gate,
    _application: Echo,
}

impl Street {
    async fn open(clients: &[&str], claims: ClaimsIn) -> Self {
        let setup = ProviderSetup { claims, ..ProviderSetup::default() };
        let provider = CertifiedProvider::start(&setup).await;
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let (port, admin) = (free_port(), free_port());
        let mut toml = format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]
"#
        );
        for name in clients {
            let client = provider.client(name);
            toml.push_str(&format!(
                r#"
[providers.{name}]
issuer        = "{issuer}"
client_id     = '{id}'
client_secret = '{secret}'
token_endpoint_auth_method   = "{auth}"
id_token_signed_response_alg = "{alg}"

[routes.{name}]
url       = "{site}"
upstream  = "http://{application}"
providers = ["{name}"]
allow     = ["authenticated"]
headers.request = {{ "X-Person-Name" = "{{name}}" }}
"#,
                issuer = provider.issuer(),
                id = client.id,
                secret = client.secret,
                auth = client.auth,
                alg = client.alg,
                site = site(name, port),
                application = application.address(),
            ));
        }
        let (mut callbacks, mut farewells) = (Vec::new(), Vec::new());
        for name in clients {
            let ours = format!("{}/.lychgate", site(name, port));
            // Where there are several providers, each has its own (RFC 9700, section 4.4.2.2).
            callbacks.push(match clients {
                [_only] => format!("{ours}/callback"),
                _ => format!("{ours}/callback/{name}"),
            });
            farewells.push(format!("{ours}/signed-out"));
        }
        provider.accept_returns_to(&borrowed(&callbacks), &borrowed(&farewells)).await;
        let gate = Gate::start(&toml).await;
        Self { provider, port, gate, _application: application }
    }

    /// Somebody new before the site of `client`.
    fn visitor(&self, client: &str) -> Visitor {
        Visitor::of(&site(client, self.port), &[self.provider.issuer()])
    }

    /// Somebody who signed in as `user`, and the page that this ended on.
    async fn sign_in(&self, client: &str, user: &str) -> (Visitor, Answer) {
        self.provider.current_user(user).await;
        let visitor = self.visitor(client);
        let answer = visitor.opens("/deep?q=1").await;
        let answer = visitor.follows(answer).await;
        (visitor, answer)
    }

    /// How often the provider was asked for this path.
    async fn asked_for(&self, path: &str) -> usize {
        let asked = |event: &&Event| event.detail.get("path") == Some(&json!(path));
        self.provider.events("request").await.iter().filter(asked).count()
    }
}

fn site(client: &str, port: u16) -> String {
    format!("http://{client}.localhost:{port}")
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// `oidcc-client-test` for every way of signing ID tokens, `-client-secret-basic`, and a client id
/// and secret that mean something else unless they are form-encoded first (OC-04, L7).
#[tokio::test]
async fn people_sign_in_with_every_signature_and_every_client_authentication() {
    let clients = ["rs256", "ps256", "es256", "es384", "eddsa", "post", "odd"];
    let street = Street::open(&clients, ClaimsIn::Userinfo).await;

    for client in clients {
        let (visitor, page) = street.sign_in(client, "alice").await;
        let echoed = visitor.fetches("/").await;

        assert_eq!(
            (page.status.as_u16(), page.url.path()),
            (200, "/deep"),
            "{client}: {}",
            page.text()
        );
        assert_eq!(page.url.query(), Some("q=1"), "{client}");
        assert_eq!(echoed.echoed("x-person-name").as_deref(), Some("Alice Example"), "{client}");
    }

    let grants = street.provider.events("grant").await;
    let kinds: Vec<_> = grants.iter().map(|grant| grant.kind.as_str()).collect();
    assert_eq!(kinds, ["grant.success"; 7], "{grants:?}");
    assert_eq!(street.provider.events("server_error").await.len(), 0);
}

/// `oidcc-client-test-scope-userinfo-claims`, and a provider that puts the same into the ID token.
#[tokio::test]
async fn claims_count_wherever_the_provider_puts_them() {
    for claims in [ClaimsIn::Userinfo, ClaimsIn::IdTokenToo] {
        let street = Street::open(&["es256"], claims).await;

        let (visitor, _) = street.sign_in("es256", "alice").await;
        let me = visitor.fetches("/.lychgate/me").await.json();

        let told = json!([me["user"], me["name"], me["email"], me["groups"]]);
        let expected = json!(["alice", "Alice Example", "alice@example.com", ["staff", "admin"]]);
        assert_eq!(told, expected, "{claims:?}");
    }
}

/// `oidcc-client-test-signing-key-rotation`, with the old keys gone and with the old keys kept.
#[tokio::test]
async fn new_keys_at_the_provider_are_fetched_when_a_token_names_one() {
    for old_keys in [OldKeys::Withdrawn, OldKeys::StayPublished] {
        let street = Street::open(&["ps256"], ClaimsIn::Userinfo).await;
        street.sign_in("ps256", "alice").await;
        let before = street.asked_for("/jwks").await;

        street.provider.rotate_keys(old_keys).await;
        let (visitor, page) = street.sign_in("ps256", "bob").await;

        assert!(visitor.has_session(), "{old_keys:?}: {}", page.text());
        assert_eq!(street.asked_for("/jwks").await, before + 1, "{old_keys:?}");
    }
}

/// `oidcc-client-test-signing-key-rotation-just-before-signing`.
#[tokio::test]
async fn a_key_that_is_new_since_the_login_began_is_fetched_too() {
    let street = Street::open(&["eddsa"], ClaimsIn::Userinfo).await;
    let visitor = street.visitor("eddsa");
    let callback = visitor.comes_back_as("alice", "/").await;

    street.provider.rotate_keys(OldKeys::Withdrawn).await;
    let answer = visitor.opens(callback.as_str()).await;
    let page = visitor.follows(answer).await;

    assert!(visitor.has_session() && page.status == 200, "{}", page.text());
}

/// CB-39: a person who says no is told so, and may think again.
#[tokio::test]
async fn whom_the_provider_refuses_gets_a_page_and_no_session() {
    let street = Street::open(&["rs256"], ClaimsIn::Userinfo).await;
    street.provider.login(Login::Denied).await;

    let (visitor, refused) = street.sign_in("rs256", "alice").await;
    let had_session = visitor.has_session();
    street.provider.login(Login::Automatic).await;
    let again = visitor.opens(&refused.link("/.lychgate/login")).await;
    let page = visitor.follows(again).await;

    assert_eq!((refused.status.as_u16(), refused.reason().as_str()), (403, "provider_denied"));
    assert!(refused.text().contains("access_denied"), "the provider's own word is shown");
    assert!(!had_session);
    assert_eq!((page.status.as_u16(), page.url.as_str()), (200, visitor.url("/deep?q=1").as_str()));
}

/// `oidcc-client-test-rp-init-logout`, `oidcc-client-test-rp-init-logout-other-state`,
/// `oidcc-client-test-rp-init-logout-no-state`: what comes back wrong changes nothing but what the page says.
#[tokio::test]
async fn signing_out_ends_the_session_here_and_at_the_provider() {
    let street = Street::open(&["rs256"], ClaimsIn::Userinfo).await;
    let (visitor, _) = street.sign_in("rs256", "alice").await;

    let to_provider =
        visitor.asks(Method::POST, "/.lychgate/logout", &[("accept", "text/html")]).await;
    let here = visitor.has_session();
    let question = visitor.follows(to_provider.clone()).await;
    let astray = ["/.lychgate/signed-out?state=another", "/.lychgate/signed-out"];
    let astray = [visitor.opens(astray[0]).await, visitor.opens(astray[1]).await];
    let confirmed = confirm(&visitor, &question).await;
    let farewell = visitor.follows(confirmed).await;
    street.provider.login(Login::Denied).await;
    let afterwards = visitor.opens("/deep").await;
    let afterwards = visitor.follows(afterwards).await;

    let asked = to_provider.location().expect("the provider is asked");
    let asked: Vec<_> = asked.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(asked, ["client_id", "post_logout_redirect_uri", "state", "id_token_hint"]);
    assert!(!here, "the session here ends first");
    for page in astray {
        assert_eq!(page.status, 200);
        assert!(page.text().contains("You may still be signed in"), "{}", page.text());
    }
    assert!(
        farewell.text().contains("your session at the identity provider too"),
        "{}",
        farewell.text()
    );
    let ends = street.provider.events("end_session").await;
    let [end] = &*ends else { panic!("one session ends, once: {ends:?}") };
    assert_eq!(end.kind, "end_session.success");
    assert_eq!((&end.detail["client"], &end.detail["user"]), (&json!("rs256"), &json!("alice")));
    assert_eq!(afterwards.reason(), "provider_denied", "the provider asks again who this is");
}

/// Presses the button of the provider's sign-out page.
async fn confirm(visitor: &Visitor, question: &Answer) -> Answer {
    let text = question.text();
    let value = |before: &str| {
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("no {before} in {text}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let (action, token) = (value("action=\""), value("name=\"xsrf\" value=\""));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
    let body = format!("xsrf={token}&logout=yes").into_bytes();
    visitor.sends(Method::POST, &action, &headers, body).await
}

#[tokio::test]
async fn a_person_of_whom_only_the_subject_is_known_is_called_by_it() {
    let street = Street::open(&["es384"], ClaimsIn::Userinfo).await;

    let (visitor, _) = street.sign_in("es384", "minimal").await;
    let me = visitor.fetches("/.lychgate/me").await.json();
    let echoed = visitor.fetches("/").await;

    assert_eq!(
        (&me["user"], &me["email"], &me["groups"]),
        (&json!("minimal"), &json!(null), &json!([]))
    );
    assert_eq!(echoed.echoed("x-forwarded-user").as_deref(), Some("minimal"));
    // Sent empty, so that nothing else can take its place.
    assert_eq!(echoed.echoed("x-person-name").as_deref(), Some(""));
}

/// RFC 9110, section 5.5: octets above ASCII are legal in a field value; ours are UTF-8.
#[tokio::test]
async fn names_in_any_script_reach_the_application_as_utf_8() {
    let street = Street::open(&["es256"], ClaimsIn::Userinfo).await;

    let (visitor, _) = street.sign_in("es256", "unicode").await;
    let echoed = visitor.fetches("/").await;

    assert_eq!(echoed.echoed("x-person-name").as_deref(), Some("Zoë Ünï “Ø” 山田 🙂"));
    assert_eq!(echoed.echoed("x-forwarded-user").as_deref(), Some("zoë"));
    assert_eq!(echoed.echoed("x-forwarded-groups").as_deref(), Some("grüppe,mit leerzeichen,部門"));
}

/// C3: a claim is one value of one header, whatever is in it.
#[tokio::test]
async fn line_breaks_and_markup_in_claims_stay_inside_their_header_and_their_page() {
    let street = Street::open(&["rs256"], ClaimsIn::Userinfo).await;

    let (visitor, _) = street.sign_in("rs256", "inject").await;
    let echoed = visitor.fetches("/").await;
    let account = visitor.opens("/.lychgate/").await;

    assert_eq!(echoed.echoed("x-injected"), None);
    assert_eq!(echoed.echoed("x-person-name").as_deref(), Some("Mallory%0D%0AX-Injected: 1"));
    assert_eq!(echoed.echoed("x-forwarded-user").as_deref(), Some("mallory%0AX-Injected: 2"));
    assert_eq!(
        echoed.echoed("x-forwarded-groups").as_deref(),
        Some("staff%0D%0AX-Injected: 4,staff%2Cadmin,<script>alert(1)</script>"),
    );
    assert!(account.text().contains("&lt;script&gt;alert(1)"), "{}", account.text());
    assert!(!account.text().contains("<script>alert"));
}

/// A browser drops a cookie of more than 4 kB without a word, so a session is split (RFC 6265bis,
/// section 5.6).
#[tokio::test]
async fn a_person_in_hundreds_of_groups_has_a_session_in_several_cookies() {
    let street = Street::open(&["rs256"], ClaimsIn::Userinfo).await;

    let (visitor, page) = street.sign_in("rs256", "big").await;
    let me = visitor.fetches("/.lychgate/me").await.json();

    assert_eq!(page.status, 200, "{}", page.text());
    let cookies = visitor.cookies();
    assert!(cookies.len() >= 2, "{}", cookies.len());
    assert!(cookies.iter().all(|(name, value)| name.len() + value.len() < 4096));
    assert_eq!(me["groups"].as_array().map(Vec::len), Some(300));
}

#[tokio::test]
async fn a_person_in_thousands_of_groups_is_told_that_it_is_too_much_and_is_not_sent_in_circles() {
    let street = Street::open(&["rs256"], ClaimsIn::Userinfo).await;

    let (visitor, page) = street.sign_in("rs256", "huge").await;

    assert_eq!((page.status.as_u16(), page.reason().as_str()), (403, "session_too_large"));
    assert!(!visitor.has_session());
    assert_eq!(street.provider.events("grant").await.len(), 1);
    let cause = |line: &serde_json::Value| line.to_string().contains("groups (4000 entries)");
    street.gate.line("what was too large", cause).await;
}
