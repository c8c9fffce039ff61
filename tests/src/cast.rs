//! Who appears in the stories.
//!
//! The [gate](gate::Gate) is the real binary. Around it stand a [house](house::House) with the development
//! provider and the echo application, [visitors](visitor::Visitor), a [socket](raw) that sends what no
//! well-behaved client would, and an [upstream] that answers what no well-behaved application would. Some
//! were written by other people, two providers, a browser and [applications](apps): `cargo xtask setup` installs
//! them, and `tests/rigs` runs them.
//!
//! A step that cannot be taken panics and says why, since a story that cannot go on has failed.

mod admin_listener;
pub mod apps;
pub mod backends;
pub mod browser;
pub mod certified_provider;
pub mod frames;
pub mod gate;
pub mod grpc;
pub mod house;
pub mod invariants;
pub mod kind_fixture;
mod line_protocol;
pub mod raw;
pub mod scratch;
pub mod simulator;
pub mod upstream;
pub mod vendor;
pub mod visitor;
pub mod zitadel_provider;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::browser::{Browser, Habits, Outcome, Scripts};
    use super::certified_provider::{
        Capabilities, CertifiedProvider, Login, OldKeys, PASSWORD, ProviderSetup,
    };
    use super::scratch::Scratch;

    /// The way to the provider's login page, and back to a page that the provider itself has.
    fn authorization(provider: &CertifiedProvider, return_to: &str) -> url::Url {
        let mut url = url::Url::parse(provider.issuer()).expect("the issuer is a URL");
        url.set_path("/auth");
        url.query_pairs_mut().extend_pairs([
            ("client_id", provider.client("es384").id.as_str()),
            ("redirect_uri", return_to),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "s"),
            // The challenge of RFC 7636, appendix B. Nobody redeems the code.
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ]);
        url
    }

    #[tokio::test]
    async fn a_person_signs_in_at_the_provider_with_a_form() -> Outcome<()> {
        let provider = CertifiedProvider::start(&ProviderSetup::default()).await;
        let home = format!("{}/jwks", provider.issuer());
        provider.accept_returns_to(&[&home], &[]).await;
        provider.login(Login::Form).await;
        let browser = Browser::start(&[]).await;
        let person = browser.person(&Habits::default()).await?;
        let page = person.open_tab().await?;

        page.goto(authorization(&provider, &home).as_str()).await?;
        page.fill("#user", "alice").await?;
        page.fill("#password", "wrong").await?;
        page.click("#sign-in").await?;
        let message = page.text("#message").await?;
        page.fill("#user", "alice").await?;
        page.fill("#password", PASSWORD).await?;
        page.click("#sign-in").await?;
        let arrived = page.wait_for_url("code=").await?;

        assert_eq!(message, "Wrong user or password.");
        assert!(arrived.starts_with(&home), "{arrived}");
        let logins = provider.events("login").await;
        let users: Vec<_> = logins.iter().filter_map(|login| login.detail.get("user")).collect();
        assert_eq!(users, [&json!("alice")]);
        assert!(person.cookies().await?.iter().any(|cookie| cookie.name == "_session"));

        drop((page, person));
        browser.close().await;
        Ok(())
    }

    #[tokio::test]
    async fn what_the_browser_cannot_do_is_an_error_and_what_a_page_complains_about_is_kept()
    -> Outcome<()> {
        let browser = Browser::start(&[]).await;
        let page = browser.person(&Habits::default()).await?.open_tab().await?;
        let quiet = Habits { scripts: Scripts::Off, ..Habits::default() };
        let scriptless = browser.person(&quiet).await?.open_tab().await?;
        let noisy = "data:text/html,<script>throw new Error('no good')</script><p>here";

        let refused = page.goto("http://127.0.0.1:1/").await;
        page.goto(noisy).await?;
        scriptless.goto(noisy).await?;

        let refusal = refused.expect_err("nobody listens on port 1").to_string();
        assert!(refusal.contains("net::ERR_"), "{refusal}");
        let complaints = page.complaints().await?;
        assert!(complaints.iter().any(|complaint| complaint.text.contains("no good")));
        assert_eq!(scriptless.complaints().await?, []);
        assert_eq!(scriptless.text("p").await?, "here");
        assert_eq!(page.requests().await?, ["http://127.0.0.1:1/"]);
        assert_eq!(page.evaluate::<u8>("Promise.resolve(6 * 7)").await?, 42);
        Ok(())
    }

    #[tokio::test]
    async fn the_provider_withdraws_keys_when_it_is_told_to() {
        let provider = CertifiedProvider::start(&ProviderSetup::default()).await;
        let published = async || {
            let url = format!("{}/jwks", provider.issuer());
            let answer = reqwest::get(url).await.expect("the provider answers");
            let keys = answer.bytes().await.expect("the provider answers in full");
            let keys: serde_json::Value = serde_json::from_slice(&keys).expect("keys are JSON");
            keys["keys"].as_array().map_or(0, Vec::len)
        };

        let before = published().await;
        provider.rotate_keys(OldKeys::StayPublished).await;
        let beside = published().await;
        provider.rotate_keys(OldKeys::Withdrawn).await;
        let after = published().await;

        assert_eq!((before, beside, after), (5, 10, 5));
    }

    /// The rig's own check: a certified library signs in as every strict client, and is refused
    /// whenever it leaves out what that client owes.
    #[tokio::test]
    async fn the_strict_provider_holds_every_client_to_its_registration() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/rigs/provider/check.mjs");

        let check = tokio::process::Command::new("node").arg(script).output().await;

        let check = check.expect("node can be started");
        let told = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success() && told.ends_with(" passed, 0 failed\n"), "{told}");
    }

    /// RFC 8705, section 5: only the aliases ask for a certificate. The certificates are the rig's own
    /// work, so this is also rustls taking them for what they are.
    #[tokio::test]
    async fn the_strict_provider_sees_a_certificate_where_it_asks_for_one() {
        let setup =
            ProviderSetup { capabilities: Capabilities::Strict, ..ProviderSetup::default() };
        let provider = CertifiedProvider::start(&setup).await;
        let scratch = Scratch::new();
        let files = provider.client("tls-by-authority").files_in(&scratch);
        let [certificate, key] = [files.certificate, files.certificate_key]
            .map(|file| std::fs::read(file.expect("the client has it")).expect("it was written"));
        let authority = reqwest::Certificate::from_pem(provider.authority().as_bytes());
        let client = reqwest::Client::builder()
            .tls_certs_only([authority.expect("the authority is a certificate")])
            .identity(
                reqwest::Identity::from_pem(&[certificate, key].concat())
                    .expect("the client has a certificate and its key"),
            )
            .build()
            .expect("the client can be built");

        let metadata = format!("{}/.well-known/openid-configuration", provider.issuer());
        let metadata = client.get(metadata).send().await.expect("the provider is believed");
        let metadata = metadata.bytes().await.expect("the provider answers in full");
        let metadata: serde_json::Value = serde_json::from_slice(&metadata).expect("it is JSON");
        for place in [&metadata, &metadata["mtls_endpoint_aliases"]] {
            let url = place["userinfo_endpoint"].as_str().expect("there is a URL");
            let answer = client.get(url).send().await.expect("the provider answers");
            assert_eq!(answer.status(), 401, "there is no access token");
        }

        let events = provider.events("request").await;
        let seen: Vec<_> = events
            .iter()
            .filter(|event| event.detail["path"] == "/me")
            .map(|event| event.detail.contains_key("certificate"))
            .collect();
        assert_eq!(seen, [false, true]);
    }
}
