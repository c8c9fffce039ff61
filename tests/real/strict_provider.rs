//! Signing in where nothing but what was registered will do, at somebody else's provider.
//!
//! The certified provider demands of each of its clients what that client registered, and refuses everything
//! else (`rigs/provider/check.mjs` shows that it does). Here each client is a provider of one gate.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::certified_provider::{
    Capabilities, CertifiedProvider, Event, Nonces, OldKeys, ProviderSetup, RegisteredClient,
};
use lychgate_tests::cast::gate::{Gate, PATIENCE, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// What a client is written down with beyond what its registration says.
type Row = (&'static str, &'static str);

/// Everything that is one thing at a time. What a client registered is copied, since the names are the same.
const CLIENTS: [Row; 33] = [
    ("public", ""),
    ("secret-jwt", ""),
    ("private-key-ps256", ""),
    ("private-key-es256", ""),
    ("private-key-es384", ""),
    ("private-key-eddsa", ""),
    ("tls-by-authority", ""),
    ("tls-self-signed", "token_endpoint_auth_method = \"self_signed_tls_client_auth\""),
    ("par", "pushed_authorization_requests = \"required\""),
    ("jar-hs256", ""),
    ("jar-ps256", ""),
    ("jar-es256", ""),
    ("jar-eddsa", ""),
    ("jar-in-par", "pushed_authorization_requests = \"required\""),
    ("jar-encrypted-rsa", ""),
    ("jar-encrypted-ecdh", ""),
    ("form-post", "response_mode = \"form_post\""),
    ("jarm", "response_mode = \"jwt\""),
    ("jarm-form-post", "response_mode = \"form_post.jwt\""),
    ("jarm-encrypted", "response_mode = \"query.jwt\""),
    ("jarm-encrypted-ecdh", "response_mode = \"form_post.jwt\""),
    ("encrypted-id-token-rsa-oaep", ""),
    ("encrypted-id-token-rsa-oaep-256", ""),
    ("encrypted-id-token-ecdh", ""),
    ("encrypted-id-token-ecdh-a128", ""),
    ("signed-userinfo", ""),
    ("encrypted-userinfo", ""),
    ("dpop", ""),
    ("tls-bound", ""),
    (
        "rar",
        "authorization_details = [{ type = \"payment_initiation\", \
         instructedAmount = { currency = \"EUR\", amount = \"{login.amount}\" } }]\n\
         authorization_params_from_login = [\"amount\"]",
    ),
    ("pairwise", ""),
    ("without-pkce", "code_challenge_method = \"none\""),
    ("rs256", ""),
];

/// All of it at once: the profile says it, and nothing is copied but keys.
const PROFILES: [Row; 6] = [
    ("fapi2-dpop", "fapi2"),
    ("fapi2-mtls", "fapi2"),
    ("fapi2-private-key-mtls", "fapi2"),
    ("fapi2-message-signing", "fapi2-message-signing"),
    ("fapi1-advanced", "fapi1-advanced"),
    ("open-finance-brasil", "open-finance-brasil"),
];

/// Members of a registration that are keys of ours, under the same names.
const COPIED: [&str; 14] = [
    "token_endpoint_auth_signing_alg",
    "request_object_signing_alg",
    "request_object_encryption_alg",
    "request_object_encryption_enc",
    "authorization_signed_response_alg",
    "authorization_encrypted_response_alg",
    "authorization_encrypted_response_enc",
    "id_token_encrypted_response_alg",
    "id_token_encrypted_response_enc",
    "userinfo_signed_response_alg",
    "userinfo_encrypted_response_alg",
    "userinfo_encrypted_response_enc",
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
];

/// The keys and the way to the provider that a client has, whatever it does with them.
fn keys(client: &RegisteredClient, scratch: &Scratch) -> String {
    let files = client.files_in(scratch);
    let mut toml = String::new();
    let mut say = |line: String| toml.push_str(&format!("{line}\n"));
    if let (Some(file), Some(id)) = (files.signing_key, &client.signing_key_id) {
        say(format!("signing_key = {{ file = {file:?} }}\nsigning_key_id = \"{id}\""));
    }
    if let Some(file) = files.decryption_key {
        say(format!("decryption_keys = [{{ file = {file:?} }}]"));
    }
    say(match (files.certificate, files.certificate_key) {
        (Some(certificate), Some(key)) => {
            format!(
                "tls = {{ ca = \"provider.pem\", certificate = {certificate:?}, key = {key:?} }}"
            )
        }
        _ => "tls = { ca = \"provider.pem\" }".to_owned(),
    });
    toml
}

fn by_registration(client: &RegisteredClient, scratch: &Scratch, more: &str) -> String {
    let mut toml = keys(client, scratch);
    if !client.secret.is_empty() {
        let secret = scratch.write(&format!("{}.secret", client.name), &client.secret);
        toml.push_str(&format!("client_secret = {{ file = {secret:?} }}\n"));
    }
    if !more.contains("token_endpoint_auth_method") {
        toml.push_str(&format!("token_endpoint_auth_method = \"{}\"\n", client.auth));
    }
    toml.push_str(&format!("id_token_signed_response_alg = \"{}\"\n", client.alg));
    for name in COPIED {
        if let Some(value) = client.metadata.get(name) {
            toml.push_str(&format!("{name} = {value}\n"));
        }
    }
    format!("{toml}{more}\n")
}

fn by_profile(client: &RegisteredClient, scratch: &Scratch, profile: &str) -> String {
    format!("profile = \"{profile}\"\n{}", keys(client, scratch))
}

/// One gate before one application, with a provider for each of these clients.
struct Bank {
    provider: CertifiedProvider,
    gate: Gate,
    origin: String,
    trusted: String,
    _application: Echo,
}

impl Bank {
    async fn open(clients: &[Row], profiles: &[Row]) -> Self {
        Self::open_with(clients, profiles, |_| String::new()).await
    }

    /// With this for each client beside its `[providers.NAME]`; `ORIGIN` and `UPSTREAM` are filled in.
    async fn open_with(clients: &[Row], profiles: &[Row], beside: impl Fn(&str) -> String) -> Self {
        let setup =
            ProviderSetup { capabilities: Capabilities::Strict, ..ProviderSetup::default() };
        let provider = CertifiedProvider::start(&setup).await;
        let application = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let application = application.expect("the application starts");
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["app.test".to_owned()]).expect("a certificate");
        let scratch = Scratch::new();
        scratch.write("tls.crt", cert.pem());
        scratch.write("tls.key", signing_key.serialize_pem());
        scratch.write("provider.pem", provider.authority());
        let (port, admin) = (free_port(), free_port());
        let origin = format!("https://app.test:{port}");
        let mut toml = format!(
            r#"
[listeners.https]
address = "127.0.0.1:{port}"
tls     = {{ certificate = "tls.crt", key = "tls.key" }}

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[routes.app]
url      = "{origin}"
upstream = "http://{upstream}"
allow    = ["authenticated"]
headers.request = {{ "X-Token" = "{{access_token}}", "X-Subject" = "{{subject}}" }}
"#,
            upstream = application.address(),
        );
        let mut callbacks = Vec::new();
        let rows = clients.iter().map(|row| (row, false));
        let rows: Vec<_> = rows.chain(profiles.iter().map(|row| (row, true))).collect();
        for ((name, more), is_profile) in &rows {
            let client = provider.client(name);
            let written = match is_profile {
                true => by_profile(client, &scratch, more),
                false => by_registration(client, &scratch, more),
            };
            toml.push_str(&format!(
                "\n[providers.{name}]\nissuer = \"{issuer}\"\nclient_id = \"{id}\"\n\
                 userinfo = \"always\"\n{written}",
                issuer = provider.issuer(),
                id = client.id,
            ));
            let upstream = format!("http://{}", application.address());
            let beside = beside(name).replace("ORIGIN", &origin).replace("UPSTREAM", &upstream);
            toml.push_str(&beside);
            callbacks.push(match rows.len() {
                1 => format!("{origin}/.lychgate/callback"),
                _ => format!("{origin}/.lychgate/callback/{name}"),
            });
        }
        let callbacks: Vec<&str> = callbacks.iter().map(String::as_str).collect();
        let farewell = format!("{origin}/.lychgate/signed-out");
        provider.accept_returns_to(&callbacks, &[&farewell]).await;
        let gate = Gate::start_in(scratch, &toml).await;
        let trusted = format!("{}{}", cert.pem(), provider.authority());
        Self { provider, gate, origin, trusted, _application: application }
    }

    fn visitor(&self) -> Visitor {
        Visitor::trusting(&self.origin, &[self.provider.issuer()], &self.trusted)
    }

    /// Signs in as alice by the client of that name, and comes as far as the application: what it was told.
    async fn sign_in(&self, name: &str) -> (Visitor, Answer) {
        let visitor = self.visitor();
        let login = format!("/.lychgate/login?return_to=%2Fpage&provider={name}&amount=123.50");
        let answer = visitor.opens(&login).await;
        let mut answer = visitor.follows(answer).await;
        if let Some((action, form)) = form(&answer) {
            let headers = [
                ("accept", "text/html"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
            ];
            answer = visitor.sends(Method::POST, &action, &headers, form.into_bytes()).await;
            answer = visitor.follows(answer).await;
        }
        let refused = self.provider.events("").await;
        let refused = refused.iter().rfind(|event| event.kind.ends_with("error"));
        assert_eq!(
            (answer.status.as_u16(), answer.url.path()),
            (200, "/page"),
            "{name}: {}\n{refused:?}\n{}",
            answer.text(),
            self.gate.output()
        );
        let told = visitor.fetches("/page").await;
        (visitor, told)
    }

    /// What the provider was asked for by this client, and took.
    async fn successes(&self, kind: &str, client: &str) -> Vec<Event> {
        let events = self.provider.events(&format!("{kind}.success")).await;
        events.into_iter().filter(|event| event.detail["client"] == client).collect()
    }

    /// Asks for pages until one of them comes with newer cookies, and says with which access token it was asked
    /// for.
    async fn refreshed(&self, visitor: &Visitor) -> String {
        let began = Instant::now();
        loop {
            let answer = visitor.fetches("/page").await;
            assert_eq!(answer.status, 200, "{}\n{}", answer.text(), self.gate.output());
            if !answer.set_cookies().is_empty() {
                return answer.echoed("x-token").expect("an access token");
            }
            assert!(began.elapsed() < PATIENCE, "nothing was refreshed");
        }
    }

    /// N1, CB-62, JAR2, D-D13: nothing that was signed, proved or carried is in what the gate wrote.
    fn has_told_nothing(&self, secrets: &[&str]) {
        let output = self.gate.output();
        let known = ["eyJ", "PRIVATE KEY", "not-a-credential"];
        for secret in secrets.iter().copied().chain(known).filter(|secret| !secret.is_empty()) {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
}

/// The form that a provider's page posts by itself: where it goes, and what is in it.
fn form(page: &Answer) -> Option<(String, String)> {
    let text = page.text();
    let (_, form) = text.split_once("<form method=\"post\"")?;
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\"")).expect("an attribute");
        rest.split('"').next().unwrap_or_default().replace("&amp;", "&")
    };
    let mut fields = url::form_urlencoded::Serializer::new(String::new());
    for field in form.split("<input ").skip(1).filter(|field| field.contains("name=\"")) {
        fields.append_pair(&value(field, "name"), &value(field, "value"));
    }
    Some((value(form, "action"), fields.finish()))
}

/// F2-01, F2-02, F2-08, F2-11, F2-13, PAR1, JAR1, JARM1, DP1, DP2, MT1, BR-01, BR-08, OC-03, OC-07, CB-24, CB-62:
/// each way to prove who we are, to ask and to be answered, where no other will do.
#[tokio::test]
async fn a_strict_provider_takes_what_each_client_registered() {
    let bank = Bank::open(&CLIENTS, &[]).await;

    let visits = CLIENTS.map(|(name, _)| bank.sign_in(name));
    let visits = join_all(visits).await;

    let mut tokens = Vec::new();
    for ((name, _), (_, page)) in CLIENTS.iter().zip(&visits) {
        assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{name}");
        tokens.extend(page.echoed("x-token"));
        // One code, one token request; and it was pushed where that was registered, with nothing beside it.
        assert_eq!(bank.successes("grant", name).await.len(), 1, "{name}");
        let pushed = usize::from(["par", "jar-in-par"].contains(name));
        let pushes = bank.successes("pushed_authorization_request", name).await;
        assert_eq!(pushes.len(), pushed, "{name}");
    }
    assert_eq!(tokens.len(), CLIENTS.len());
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    bank.has_told_nothing(&tokens);
    // Somebody who is known by a pseudonym has one, and nobody else.
    for ((name, _), (_, page)) in CLIENTS.iter().zip(&visits) {
        let subject = page.echoed("x-subject").expect("a subject");
        assert_eq!(subject == "alice", *name != "pairwise", "{name}: {subject}");
    }
}

/// RFC 7662 at somebody else's provider: an opaque token is asked about with each way to prove who we are, and one that
/// is bound to a key or a certificate is no bearer token (5.4).
#[tokio::test]
async fn a_strict_provider_is_asked_what_a_token_is_worth() {
    let asking = [
        "rs256",
        "secret-jwt",
        "private-key-ps256",
        "private-key-eddsa",
        "tls-by-authority",
        "tls-self-signed",
        "dpop",
        "tls-bound",
    ];
    let rows: Vec<Row> = CLIENTS.into_iter().filter(|(name, _)| asking.contains(name)).collect();
    let route = |name: &str| {
        format!(
            "\n[routes.{name}]\nurl = \"ORIGIN/tokens/{name}\"\nupstream = \"UPSTREAM\"\nlogin = \"never\"\n\
             providers = []\nallow = [\"authenticated\"]\n\
             bearer = {{ issuers = [\"{name}\"], introspection = \"always\", any_audience = true }}\n"
        )
    };
    let bank = Bank::open_with(&rows, &[], route).await;

    for (name, _) in &rows {
        let (_, page) = bank.sign_in(name).await;
        let token = page.echoed("x-token").expect("an access token");
        let program = bank.visitor();
        let place = format!("/tokens/{name}/x");
        let ask = async |token: &str| {
            let authorization = format!("Bearer {token}");
            program.asks(Method::GET, &place, &[("authorization", &*authorization)]).await
        };

        let (answer, invented) = (ask(&token).await, ask("invented").await);

        assert_eq!(invented.status, 401, "{name}: {}", invented.text());
        if matches!(*name, "dpop" | "tls-bound") {
            assert_eq!(answer.status, 401, "{name}: {}", answer.text());
            continue;
        }
        assert_eq!(answer.status, 200, "{name}: {}\n{}", answer.text(), bank.gate.output());
        assert_eq!(answer.echoed("x-forwarded-user").as_deref(), Some("alice"), "{name}");
        assert_eq!(answer.echoed("authorization"), None, "{name}");
        bank.has_told_nothing(&[&token]);
    }
}

/// F2-01 to F2-03, F2-07, F2-08, F2-11 to F2-13, F2-15, FM-01, FM-02, F1-01 to F1-03, F1-05, BR-01, BR-02, BR-04,
/// BR-08: a profile and the keys are all that is written down, at a provider that holds us to the same profile.
#[tokio::test]
async fn a_profile_is_all_that_a_strict_provider_takes() {
    let bank = Bank::open(&[], &PROFILES).await;

    // Proofs need a nonce of the provider's at first, and none afterwards.
    for nonces in [Nonces::Required, Nonces::Optional] {
        bank.provider.nonces(nonces).await;
        let visits = join_all(PROFILES.map(|(name, _)| bank.sign_in(name))).await;
        for ((name, _), (_, page)) in PROFILES.iter().zip(&visits) {
            assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{name}");
        }
    }

    for (name, profile) in PROFILES {
        assert_eq!(bank.successes("grant", name).await.len(), 2, "{name}");
        let pushes = bank.successes("pushed_authorization_request", name).await;
        assert_eq!(pushes.len(), if profile.starts_with("fapi2") { 2 } else { 0 }, "{name}");
        // BR-06: what was asked for never had an ID token in it.
        for event in bank.successes("authorization", name).await {
            assert!(event.detail["params"].get("id_token_hint").is_none(), "{event:?}");
        }
    }
    bank.has_told_nothing(&[]);
}

/// F2-06, H13, DP4, MT1, BR-05, `oidcc-client-test-signing-key-rotation`: sessions go on when tokens are bound, with
/// refresh tokens that rotate and with one that stays; after the provider's keys were replaced, too.
#[tokio::test]
async fn bound_tokens_are_refreshed_and_keys_replaced() {
    let rows: Vec<Row> =
        CLIENTS.into_iter().filter(|(name, _)| ["dpop", "tls-bound"].contains(name)).collect();
    let profiles: Vec<Row> = PROFILES
        .into_iter()
        .filter(|(name, _)| ["fapi2-dpop", "fapi2-mtls"].contains(name))
        .collect();
    let bank = Bank::open(&rows, &profiles).await;
    bank.provider.access_tokens_live(Duration::from_secs(2)).await;

    let mut people = Vec::new();
    for (name, _) in rows.iter().chain(&profiles) {
        let (visitor, page) = bank.sign_in(name).await;
        let first = page.echoed("x-token").expect("an access token");
        let second = bank.refreshed(&visitor).await;
        assert_ne!(first, second, "{name}");
        people.push((name, visitor, first, second));
    }
    // A second refresh with what the first one gave, and an ID token signed with a key that is new.
    bank.provider.rotate_keys(OldKeys::Withdrawn).await;
    for (name, visitor, first, second) in &people {
        let third = bank.refreshed(visitor).await;
        assert_ne!(*second, third, "{name}");
        let (_, page) = bank.sign_in(name).await;
        assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"), "{name}");
        bank.has_told_nothing(&[first, second, &third]);
    }
    let metrics = bank.gate.metrics().await;
    for (name, _) in rows.iter().chain(&profiles) {
        let none =
            format!(r#"lychgate_token_refreshes_total{{provider="{name}",outcome="failure"}} 0"#);
        assert!(metrics.contains(&none), "{metrics}");
    }
}

/// OC-06 under FAPI 2.0: signing out gives the grant back with the same proof as everything else, and leads to the
/// provider.
#[tokio::test]
async fn signing_out_of_a_strict_provider_gives_the_grant_back() {
    let chosen = ["fapi2-dpop", "fapi2-mtls", "open-finance-brasil"];
    let profiles: Vec<Row> =
        PROFILES.into_iter().filter(|(name, _)| chosen.contains(name)).collect();
    let bank = Bank::open(&[], &profiles).await;
    for (name, _) in &profiles {
        let (visitor, page) = bank.sign_in(name).await;
        let token = page.echoed("x-token").expect("an access token");

        let answer =
            visitor.asks(Method::POST, "/.lychgate/logout", &[("accept", "text/html")]).await;

        assert!(!visitor.has_session(), "{name}");
        let to = answer.location().expect("it leads somewhere");
        assert!(to.as_str().starts_with(bank.provider.issuer()), "{name}: {to}");
        let began = Instant::now();
        let of_this_client = |event: &Event| event.detail["client"] == **name;
        while !bank.provider.events("grant.revoked").await.iter().any(of_this_client) {
            let refused = bank.provider.events("revocation.error").await;
            assert!(began.elapsed() < PATIENCE, "{name}: {refused:?}");
        }
        bank.has_told_nothing(&[&token]);
    }
}
