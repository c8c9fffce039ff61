//! System C: a bank that knows OAuth 2.0 and nothing of OpenID Connect (PSD2, account information).
//!
//! The bank says nothing of itself, issues no ID token, reads the secret in the body only, and shows three pages.

use http::Method;
use lychgate_demo::echo::Echo;
use lychgate_tests::cast::browser::{Browser, Habits, Outcome};
use lychgate_tests::cast::gate::{Gate, lychgate};
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::simulator::Simulator;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::{Value, json};

use super::example::{
    Example, comes_back, ends_well, is_refused, issue_papers, login, names, pairs, requests,
    signs_in, until_refreshed, value,
};

const FILE: &str = "psd2-ais.toml";
const SECRET: &str = "marker-the-secret-at-the-bank";

/// The registration at the bank: an address for every provider of the story.
fn client(site: &str, providers: &[&str]) -> Value {
    let places: Vec<_> =
        providers.iter().map(|name| format!("{site}/.lychgate/callback/{name}")).collect();
    json!({
        "client_id": "accounts-app", "client_secret": SECRET, "redirect_uris": places,
        "token_endpoint_auth_method": "client_secret_post",
    })
}

/// The example, with the addresses of this bank in it.
fn example(bank: &Simulator) -> Example {
    let mut example = Example::copied(FILE);
    let redirect_uri = format!("{}/.lychgate/callback/bank", example.site());
    for (key, value) in [
        ("authorization_endpoint", bank.endpoint("authorization")),
        ("token_endpoint", bank.endpoint("token")),
        ("userinfo_endpoint", bank.endpoint("accounts")),
        ("redirect_uri", &redirect_uri),
    ] {
        example.says(&format!("providers.bank.{key}"), value);
    }
    example.keeps_secret("providers.bank.client_secret", SECRET);
    example
}

/// What the example says to do where there is no call that says who somebody is.
fn knows_nobody(example: &mut Example, provider: &str) {
    let provider = format!("providers.{provider}");
    for key in ["userinfo_endpoint", "claims.subject", "claims.user", "claims.name"] {
        example.lacks(&format!("{provider}.{key}"));
    }
    example.adds(&provider, "subject = \"pseudonymous\"");
}

/// A bank, a gate with these providers (`bank` is among them without being named), and the application.
struct House {
    bank: Simulator,
    gate: Gate,
    _application: Echo,
}

impl House {
    async fn open(names: &[&str], change: impl FnOnce(&mut Example)) -> Self {
        Self::like(&json!({}), names, change).await
    }

    async fn like(behaviour: &Value, names: &[&str], change: impl FnOnce(&mut Example)) -> Self {
        let bank = Simulator::start_with("sim-ais", &client("", &[]), None, behaviour).await;
        let mut example = example(&bank);
        for name in names {
            example.has_another("bank", name);
        }
        change(&mut example);
        let all: Vec<_> = ["bank"].iter().chain(names).copied().collect();
        bank.register(&client(&example.site(), &all)).await;
        let (gate, application) = example.opens("accounts").await;
        Self { bank, gate, _application: application }
    }

    fn visitor(&self) -> Visitor {
        Visitor::of(self.gate.url(), &[self.bank.endpoint("authorization")])
    }

    /// Fills in the bank's pages, until it sends the browser back or `cancel_at` is reached.
    async fn at_the_pages(&self, visitor: &Visitor, cancel_at: Option<usize>) -> Answer {
        let step = format!("{}/step", self.bank.endpoint("authorization"));
        let answer = visitor.opens(&login("bank")).await;
        let location = answer.location().expect("the way to the bank");
        let mut answer = visitor.opens(location.as_str()).await;
        for (number, fields) in ["user=anna&password=x", "account=1", "sca="].iter().enumerate() {
            assert_eq!(answer.status, 200, "page {number}");
            let cancels = cancel_at == Some(number);
            let form = if cancels { "cancel=1" } else { fields };
            answer = visitor
                .sends(
                    Method::POST,
                    &step,
                    &[("content-type", "application/x-www-form-urlencoded")],
                    form.into(),
                )
                .await;
            if cancels {
                break;
            }
        }
        let callback = answer.location().expect("the way back");
        visitor.opens(callback.as_str()).await
    }
}

/// C-S1 to C-S4, C-S8, C-S10 to C-S13, CB-33, CB-48, CB-50, CB-55: the example as it is. The request has the five
/// parameters and no other, the secret is in the body, and the account list says who somebody is.
#[tokio::test]
async fn a_bank_says_who_has_the_accounts() {
    let house = House::open(&[], |_| ()).await;
    let anna = house.visitor();

    let page = signs_in(&anna, "bank").await;

    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"));
    assert_eq!(page.echoed("x-forwarded-subject-type").as_deref(), Some("lookup"));
    assert_eq!(page.echoed("authorization"), None, "the access token is nobody else's");
    let asked = pairs(&house.bank.authorize_queries().await[0]);
    assert_eq!(names(&asked), ["client_id", "redirect_uri", "response_type", "scope", "state"]);
    assert_eq!(value(&asked, "scope"), "ais");
    let [token] = &*requests(&house.bank, "token").await else { panic!("one token request") };
    let sent = pairs(token["body"].as_str().expect("a body"));
    let five = ["client_id", "client_secret", "code", "grant_type", "redirect_uri"];
    assert_eq!((names(&sent), &token["query"]), (five.to_vec(), &json!("")));
    assert_eq!(value(&sent, "redirect_uri"), value(&asked, "redirect_uri"), "to the letter");
    assert_eq!(token["headers"]["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(token["headers"].get("authorization"), None);
    let [accounts] = &*requests(&house.bank, "accounts").await else { panic!("one call") };
    assert_eq!((&accounts["query"], &accounts["body"]), (&json!(""), &json!("")));
    let bearer = accounts["headers"]["authorization"].as_str().expect("a header");
    assert!(bearer.starts_with("Bearer "), "{bearer}");
    assert_eq!(ends_well(&house.gate, &house.bank, &[SECRET]).await, [""; 0]);
}

/// C-S13, table 3.4: without such a call somebody is nobody in particular, and applications are told so.
#[tokio::test]
async fn a_bank_that_names_nobody_lets_in_pseudonyms() {
    let house = House::open(&[], |example| knows_nobody(example, "bank")).await;
    let anna = house.visitor();

    let first = signs_in(&anna, "bank").await;
    let again = anna.fetches("/other").await;
    let other = signs_in(&anna.somebody_else(), "bank").await;

    let user = |page: &Answer| page.echoed("x-forwarded-user").expect("a name");
    assert_eq!(first.echoed("x-forwarded-subject-type").as_deref(), Some("pseudonymous"));
    assert_eq!(user(&first), user(&again), "one session, one name");
    assert_ne!(user(&first), user(&other), "another session, another name");
    assert!(![user(&first), user(&other)].contains(&"alice".to_owned()));
    assert!(requests(&house.bank, "accounts").await.is_empty());
    assert_eq!(ends_well(&house.gate, &house.bank, &[SECRET]).await, [""; 0]);
}

/// C-S5 to C-S7, CB-40, CB-54: a login lives through three pages with cookies of the bank's own; whoever cancels on
/// any of them is told so, and can start again.
#[tokio::test]
async fn a_login_lives_through_three_pages_and_can_be_cancelled_on_each() {
    let house = House::open(&[], |_| ()).await;
    house.bank.switch("interactive", &json!({})).await;

    for page in 0..3 {
        let anna = house.visitor();
        let answer = house.at_the_pages(&anna, Some(page)).await;
        let story = format!("cancelled on page {page}");
        is_refused(&house.gate, &anna, &answer, (403, "provider_denied"), &story).await;
        assert!(answer.text().contains("You cancelled"), "{}", answer.text());
    }
    assert!(requests(&house.bank, "token").await.is_empty(), "no exchange");

    let anna = house.visitor();
    let answer = house.at_the_pages(&anna, None).await;
    assert_eq!((answer.status.as_u16(), anna.has_session()), (303, true), "{}", answer.text());
    ends_well(&house.gate, &house.bank, &[SECRET]).await;
}

/// C-S5 to C-S7 in a real browser, whose pages fill themselves in: its rules for cookies and forms are the real ones.
#[tokio::test]
async fn a_browser_goes_through_the_banks_pages_by_itself() -> Outcome<()> {
    let house = House::open(&[], |_| ()).await;
    house.bank.switch("interactive", &json!({ "auto": true })).await;
    let browser = Browser::start(&[]).await;
    let page = browser.person(&Habits::default()).await?.open_tab().await?;

    page.goto(&format!("{}/page", house.gate.url())).await?;
    let arrived = page.wait_for_url_like("/page$").await?;

    assert_eq!(arrived, format!("{}/page", house.gate.url()));
    assert!(page.text("body").await?.contains("lookup"));
    assert_eq!(ends_well(&house.gate, &house.bank, &[SECRET]).await, [""; 0]);
    drop(page);
    browser.close().await;
    Ok(())
}

/// CB-50, CB-55, table 7.2: what a token answer may leave out, write otherwise and add. An ID token that nobody
/// agreed on is not looked at, neither for who somebody is nor for whether they may come in.
#[tokio::test]
async fn a_token_answer_may_be_odd_and_still_right() {
    let house = House::open(&["nobody"], |example| knows_nobody(example, "nobody")).await;
    for switch in [
        "no_expires_in",
        "token_type_lowercase",
        "token_type_case",
        "echo_extra_members",
        "unexpected_id_token",
        "with_refresh",
    ] {
        house.bank.switch(switch, &json!({})).await;
        for (provider, kind) in [("bank", "lookup"), ("nobody", "pseudonymous")] {
            let page = signs_in(&house.visitor(), provider).await;
            assert_eq!(page.echoed("x-forwarded-subject-type").as_deref(), Some(kind), "{switch}");
            let user = page.echoed("x-forwarded-user").expect("a name");
            assert_eq!(user == "alice", provider == "bank", "{switch}: {user}");
            assert_ne!(user, "nobody", "{switch}: the name in the ID token");
        }
        let issued = house.bank.events("tokens").await.pop().expect("tokens").detail;
        let issued = issued["answer"].as_object().expect("an answer");
        match switch {
            "no_expires_in" => assert_eq!(issued.get("expires_in"), None),
            "token_type_lowercase" => assert_eq!(issued["token_type"], "bearer"),
            "token_type_case" => assert_eq!(issued["token_type"], "bEARER"),
            "echo_extra_members" => assert_eq!(issued["example_parameter"], "x"),
            "unexpected_id_token" => assert!(issued.contains_key("id_token")),
            _ => assert!(issued.contains_key("refresh_token")),
        }
        house.bank.clear_switches().await;
    }
    assert_eq!(ends_well(&house.gate, &house.bank, &[SECRET]).await, [""; 0]);
}

/// CB-28, CB-32, CB-35, CB-51, CB-53, CB-54: whatever the token endpoint or the account list says instead, nobody is
/// signed in, and the code is not sent again.
#[tokio::test]
async fn whatever_the_bank_answers_instead_signs_nobody_in() {
    const FAILED: (u16, &str) = (502, "token_exchange_failed");
    let house = House::open(&[], |_| ()).await;
    for (switch, parameters, expected) in [
        ("token_500", json!({}), FAILED),
        ("token_html_502", json!({}), FAILED),
        ("token_redirect", json!({}), FAILED),
        ("token_empty", json!({}), FAILED),
        ("token_truncated", json!({}), FAILED),
        ("token_oversize", json!({}), (503, "provider_unavailable")),
        ("token_wrong_content_type", json!({}), FAILED),
        ("token_200_error", json!({}), (400, "login_expired")),
        ("token_reset", json!({}), (503, "provider_unavailable")),
        ("token_429", json!({}), (503, "provider_unavailable")),
        ("token_type_wrong", json!({}), FAILED),
        ("no_access_token", json!({}), FAILED),
        ("no_token_type", json!({}), FAILED),
        ("token_invalid_grant", json!({}), (400, "login_expired")),
        (
            "token_error",
            json!({ "error": "invalid_client", "status": 401 }),
            (502, "client_refused"),
        ),
        ("token_error", json!({ "error": "invalid_scope" }), (502, "provider_refused")),
        ("token_error", json!({ "error": "bank_error_7" }), FAILED),
        ("code_ttl", json!({ "seconds": 0 }), (400, "login_expired")),
        ("accounts_401", json!({}), FAILED),
    ] {
        let anna = house.visitor();
        house.bank.switch(switch, &parameters).await;
        let before = requests(&house.bank, "token").await.len();

        let callback = comes_back(&anna, "bank").await;
        let answer = anna.opens(callback.as_str()).await;

        let story = format!("{switch} {parameters}");
        is_refused(&house.gate, &anna, &answer, expected, &story).await;
        assert_eq!(requests(&house.bank, "token").await.len(), before + 1, "{story}");
        let code = value(&pairs(callback.query().unwrap_or_default()), "code").to_owned();
        assert!(!answer.text().contains(&code), "{story}: CB-35");
        assert!(!answer.text().contains("Bad gateway"), "{story}: CB-53");
        house.bank.clear_switches().await;
    }
    ends_well(&house.gate, &house.bank, &[SECRET]).await;
}

/// C-S9, CB-29, CB-32: a code that the person brings back too late is refused by the bank; one that was redeemed is
/// not redeemed again, whoever brings it.
#[tokio::test]
async fn a_code_is_good_once_and_not_for_long() {
    let house = House::open(&[], |_| ()).await;
    let slow = house.visitor();
    house.bank.switch("code_ttl", &json!({ "seconds": 60 })).await;
    let callback = comes_back(&slow, "bank").await;
    house.bank.forward(61).await;

    let answer = slow.opens(callback.as_str()).await;

    is_refused(&house.gate, &slow, &answer, (400, "login_expired"), "too late").await;
    assert_eq!(house.bank.refusals().await, ["the code has expired"]);

    let anna = house.visitor();
    let callback = comes_back(&anna, "bank").await;
    assert_eq!(anna.opens(callback.as_str()).await.status, 303);
    assert_eq!(anna.opens(callback.as_str()).await.status, 303, "her own session: lead her on");
    let thief = house.visitor();
    let answer = thief.opens(callback.as_str()).await;
    assert!(!thief.has_session());
    assert!(["login_not_ours", "login_already_used"].contains(&&*answer.reason()));
    // `ends_well` counts the token requests of each code.
    ends_well(&house.gate, &house.bank, &[SECRET]).await;
}

/// C-S4, C-S8, CB-05 to CB-07, CB-09, CB-22, CB-23: an answer that does not fit the login of this browser reaches no
/// token endpoint.
#[tokio::test]
async fn an_answer_that_does_not_fit_is_not_redeemed() {
    let house = House::open(&[], |_| ()).await;
    for (switch, parameters, expected) in [
        ("state_dropped", json!({}), (400, "login_not_ours")),
        ("wrong_state", json!({}), (400, "login_not_ours")),
        ("dup_params", json!({ "names": ["code"] }), (400, "login_malformed")),
        ("dup_params", json!({ "names": ["state"] }), (400, "login_malformed")),
        ("code_and_error", json!({}), (403, "provider_denied")),
        ("deny", json!({}), (403, "provider_denied")),
        ("server_error", json!({}), (503, "provider_unavailable")),
        ("authorize_error", json!({ "error": "invalid_scope" }), (502, "provider_refused")),
        ("wrong_iss", json!({}), (502, "issuer_mismatch")),
    ] {
        let anna = house.visitor();
        house.bank.switch_once(switch, &parameters).await;
        let callback = comes_back(&anna, "bank").await;
        let answer = anna.opens(callback.as_str()).await;
        let story = format!("{switch} {parameters}");
        is_refused(&house.gate, &anna, &answer, expected, &story).await;
    }
    // CB-07: the right answer, in somebody else's browser.
    let (anna, mallory) = (house.visitor(), house.visitor());
    let callback = comes_back(&anna, "bank").await;
    let answer = mallory.opens(callback.as_str()).await;
    is_refused(&house.gate, &mallory, &answer, (400, "login_not_ours"), "another browser").await;

    assert!(requests(&house.bank, "token").await.is_empty(), "no exchange");
    assert_eq!(anna.opens(callback.as_str()).await.status, 303, "her login is still good");
    ends_well(&house.gate, &house.bank, &[SECRET]).await;
}

/// C-S2, table 3.3: each login may be a consent of its own; which, may come with the link, as may the number that
/// another call brought. PKCE is used where the bank knows it.
#[tokio::test]
async fn a_login_may_be_a_consent_of_its_own() {
    let house = House::open(&["fresh", "linked", "prepared", "careful"], |example| {
        example.says("providers.fresh.scopes", vec!["AIS:{uuid}"]);
        example.says("providers.linked.scopes", vec!["AIS:{login.consent}"]);
        let from_login = "authorization_params_from_login = [\"consent\"]";
        example.adds("providers.linked", from_login);
        let from_login = "authorization_params_from_login = [\"auth_id\"]";
        example.adds("providers.prepared", from_login);
        example.lacks("providers.careful.code_challenge_method");
    })
    .await;
    let last_scope = async || {
        let asked = house.bank.authorize_queries().await;
        value(&pairs(asked.last().expect("a request")), "scope").to_owned()
    };

    house.bank.switch("scope_consent", &json!({})).await;
    signs_in(&house.visitor(), "fresh").await;
    let first = last_scope().await;
    signs_in(&house.visitor(), "fresh").await;
    assert_ne!(first, last_scope().await);
    assert_eq!((first.len(), &first[..4]), (40, "AIS:"));

    signs_in(&house.visitor(), "linked&consent=c-4711").await;
    assert_eq!(last_scope().await, "AIS:c-4711");
    let anna = house.visitor();
    let answer = anna.opens(&login("linked")).await;
    is_refused(&house.gate, &anna, &answer, (400, "login_malformed"), "no consent").await;
    let answer = anna.opens(comes_back(&anna, "bank").await.as_str()).await;
    is_refused(&house.gate, &anna, &answer, (502, "provider_refused"), "scope ais").await;
    house.bank.clear_switches().await;

    house.bank.switch("pre_step_auth_id", &json!({})).await;
    let call = anna
        .sends(
            Method::POST,
            house.bank.endpoint("consent"),
            &[("content-type", "application/x-www-form-urlencoded")],
            "client_id=accounts-app".into(),
        )
        .await;
    let auth_id = call.json()["auth_id"].as_str().expect("a number").to_owned();
    signs_in(&house.visitor(), &format!("prepared&auth_id={auth_id}")).await;
    let answer = anna.opens(comes_back(&anna, "prepared").await.as_str()).await;
    is_refused(&house.gate, &anna, &answer, (502, "provider_refused"), "no auth_id").await;
    house.bank.clear_switches().await;

    house.bank.switch("pkce_required", &json!({})).await;
    signs_in(&house.visitor(), "careful").await;
    let answer = anna.opens(comes_back(&anna, "bank").await.as_str()).await;
    is_refused(&house.gate, &anna, &answer, (502, "provider_refused"), "no PKCE").await;
    house.bank.clear_switches().await;
    // A bank that has never heard of PKCE takes it as well.
    signs_in(&house.visitor(), "careful").await;

    let refused = ends_well(&house.gate, &house.bank, &[SECRET]).await;
    assert_eq!(
        refused,
        [
            "the scope is not AIS: and a consent",
            "the auth_id is not the one of the step before",
            "there is no code_challenge",
        ]
    );
}

/// CB-59, table 3.4 "refresh: if present": who somebody is, is asked again while the bank renews their tokens, and
/// whom it refuses is signed out. A pseudonym stays the same.
#[tokio::test]
async fn a_session_ends_when_the_bank_no_longer_vouches_for_it() {
    let brief = json!({ "access_token": { "shape": "token", "lifetime": 2 } });
    let house = House::like(&brief, &["nobody"], |example| {
        knows_nobody(example, "nobody");
    })
    .await;
    house.bank.switch("with_refresh", &json!({})).await;
    let (anna, somebody) = (house.visitor(), house.visitor());
    signs_in(&anna, "bank").await;
    let before = signs_in(&somebody, "nobody").await.echoed("x-forwarded-user");

    assert_eq!(until_refreshed(&anna).await.echoed("x-forwarded-user").as_deref(), Some("alice"));
    assert_eq!(until_refreshed(&somebody).await.echoed("x-forwarded-user"), before);
    let tokens = requests(&house.bank, "token").await;
    let again = tokens.iter().map(|token| pairs(token["body"].as_str().unwrap_or_default()));
    let again: Vec<_> = again.filter(|sent| value(sent, "grant_type") == "refresh_token").collect();
    assert!(again.len() >= 2);
    let four = ["client_id", "client_secret", "grant_type", "refresh_token"];
    assert!(again.iter().all(|sent| names(sent) == four), "{again:?}");

    // A switched account is another person; a revoked consent is nobody.
    house.bank.current_user("bob", &json!({})).await;
    house.bank.switch("token_invalid_grant", &json!({})).await;
    let end = until_refreshed(&anna).await;
    assert_eq!((end.status.as_u16(), &*end.reason()), (401, "session_ended"));
    assert!(!anna.has_session());
    ends_well(&house.gate, &house.bank, &[SECRET]).await;
}

/// C-S10, table 3.3 (QWAC): where the bank wants a certificate beside the secret, every call to it has it.
#[tokio::test]
async fn a_bank_may_want_a_certificate_as_well() {
    let papers = Scratch::new();
    let (tls, thumbprint) = issue_papers(&papers);
    let mut registration = client("", &[]);
    registration["certificate_sha256"] = json!(thumbprint);
    let bank = Simulator::start("sim-ais", &registration, Some(&tls)).await;
    bank.switch("mtls", &json!({})).await;
    let mut example = example(&bank);
    example.has_another("bank", "bare");
    let file = |name: &str| papers.file(name).display().to_string();
    let authority = file("authority.pem");
    let shown = format!(
        "tls = {{ certificate = \"{}\", key = \"{}\", ca = \"{authority}\" }}",
        file("qwac.pem"),
        file("qwac.key"),
    );
    example.adds("providers.bank", &shown);
    example.adds("providers.bare", &format!("tls = {{ ca = \"{authority}\" }}"));
    bank.register(&client(&example.site(), &["bank", "bare"])).await;
    let (gate, _application) = example.opens("accounts").await;
    let authority = papers.read("authority.pem");
    let visitor = || Visitor::trusting(gate.url(), &[bank.endpoint("authorization")], &authority);

    let page = signs_in(&visitor(), "bank").await;

    assert_eq!(page.echoed("x-forwarded-user").as_deref(), Some("alice"));
    let seen = bank.certificates().await;
    assert_eq!(seen["authorization"], [None], "the browser has none");
    for endpoint in ["token", "accounts"] {
        assert_eq!(seen[endpoint], [Some(thumbprint.clone())], "{endpoint}");
    }
    let bare = visitor();
    let answer = bare.opens(comes_back(&bare, "bare").await.as_str()).await;
    is_refused(&gate, &bare, &answer, (502, "client_refused"), "no certificate").await;
    let refused = ends_well(&gate, &bank, &[SECRET]).await;
    assert_eq!(refused, ["there is no client certificate"]);
}

/// CB-18: answers that do not say whose they are need an address of their own; `check` refuses the configuration.
#[test]
fn no_other_provider_comes_back_to_the_banks_address() {
    let mut example = Example::copied(FILE);
    example.has_another("bank", "other");
    let place = "https://accounts.example.com/.lychgate/callback/bank";
    example.says("providers.other.redirect_uri", place);
    let file = example.writes_as_it_is("shared.toml");

    let checked = lychgate(&example.scratch, ["check", "--offline", "-c", &file]);

    assert_eq!(checked.code, Some(1), "{checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("E0211") && said.contains("`other`"), "{said}");
}
