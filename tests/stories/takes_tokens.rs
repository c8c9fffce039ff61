//! Programs that come with an access token in the place of a session.
//!
//! The application for programs is at `api.localhost`. Its tokens are for `https://api.example.com` and have to be good
//! for `orders.read`; deleting is for the group `sre`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future;
use http::{Method, StatusCode};
use lychgate_demo::Algorithm;
use lychgate_demo::provider::{RawAnswer, Tamper};
use lychgate_tests::cast::house::{House, Plan};
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::{Value, json};

use crate::ends_with_the_session::{closed, echoes, web_socket_at};

const AUDIENCE: &str = "https://api.example.com";

/// The standard house with an application for programs.
async fn house(bearer: &str) -> (House, String) {
    house_with(bearer, |_| ()).await
}

async fn house_with(bearer: &str, change: impl FnOnce(&mut Plan)) -> (House, String) {
    let mut api = String::new();
    let house = House::planned(|plan| {
        api = format!("http://api.localhost:{}", plan.port);
        let upstream = plan.configuration["routes"]["app"]["upstream"].clone();
        plan.set(&format!(
            r#"
[routes.api]
url       = "{api}"
upstream  = {upstream}
login     = "never"
providers = []
allow     = ["authenticated"]
headers.request = {{ "X-Amr" = "{{claims.amr | join(',')}}" }}
[routes.api.bearer]
issuers  = ["demo"]
audience = "{AUDIENCE}"
scopes   = ["orders.read"]
{bearer}
[[routes.api.rules]]
path   = "/public/**"
public = true
[[routes.api.rules]]
methods = ["DELETE"]
allow   = ["group:sre"]
"#
        ));
        change(plan);
    })
    .await;
    (house, api)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The claims of a good token.
fn claims(house: &House) -> Value {
    json!({
        "iss": house.provider.issuer(),
        "aud": AUDIENCE,
        "sub": "demo-alice",
        "client_id": "batch",
        "scope": "orders.read orders.write",
        "iat": now(),
        "exp": now() + 300,
        "preferred_username": "alice",
        "email": "alice@demo.example",
        "email_verified": true,
        "groups": ["sre", "engineering"],
        "amr": ["pwd", "otp"],
    })
}

/// A good token with these claims in the place of its own; `null` takes one away.
fn token(house: &House, changes: &Value) -> String {
    let mut claims = claims(house);
    for (name, value) in changes.as_object().expect("changes are an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().and_then(|claims| claims.remove(name))),
            value @ (Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_)) => claims[name] = value.clone(),
        }
    }
    house.provider.signs("at+jwt", &claims).expect("the provider signs")
}

async fn asks(visitor: &Visitor, method: Method, place: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    visitor.asks(method, place, &[("authorization", authorization.as_str())]).await
}

/// What reached the application under a name.
fn told(answer: &Answer, name: &str) -> Vec<String> {
    let seen = answer.json();
    let lines = seen["headers"].as_array().cloned().unwrap_or_default();
    let lines = lines.iter().filter(|line| line[0] == name);
    lines.map(|line| line[1].as_str().unwrap_or_default().to_owned()).collect()
}

/// Refused as RFC 6750 has it: no redirect, no page, and the client learns no more than that.
fn expect_invalid(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.text());
    assert_eq!(answer.reason(), "access_token_invalid", "{what}");
    assert_eq!(answer.header("location"), "", "{what}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer realm=\"api.localhost"), "{what}: {challenge}");
    assert!(challenge.contains("error=\"invalid_token\""), "{what}: {challenge}");
    assert!(answer.set_cookies().is_empty(), "{what}");
}

/// 5.4: a token is as good as a session to rules, headers and logs, and is kept from the application.
#[tokio::test]
async fn a_token_takes_the_place_of_a_session() {
    let (house, api) = house("").await;
    let program = house.visitor();
    let (alice, bob) = (
        token(&house, &json!({})),
        token(
            &house,
            &json!({ "sub": "demo-bob", "preferred_username": "bob", "groups": ["engineering"] }),
        ),
    );

    let answer = asks(&program, Method::GET, &format!("{api}/x?y=1"), &alice).await;
    let deleted = asks(&program, Method::DELETE, &format!("{api}/x"), &alice).await;
    let refused = asks(&program, Method::DELETE, &format!("{api}/x"), &bob).await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    for (name, expected) in [
        ("x-forwarded-user", &["alice"][..]),
        ("x-forwarded-email", &["alice@demo.example"]),
        ("x-forwarded-groups", &["sre,engineering"]),
        ("x-amr", &["pwd,otp"]),
        ("authorization", &[]),
    ] {
        assert_eq!(told(&answer, name), expected, "{name}");
    }
    assert_eq!(deleted.status, 200);
    assert_eq!(
        (refused.status, refused.reason()),
        (StatusCode::FORBIDDEN, "access_not_granted".to_owned())
    );
    assert!(refused.header("www-authenticate").contains("error=\"insufficient_scope\""));
    let line = house.gate.access_line(answer.request_id()).await;
    assert_eq!((&line["decision"], &line["provider"]), (&json!("allow"), &json!("demo")));
    assert!(line["user"].as_str().is_some_and(|user| user.len() == 32), "{line}");
    for secret in [&alice, &bob] {
        assert!(!house.gate.output().contains(secret.as_str()), "no log has a token in it");
    }
}

/// The application sees a token where its route says so, and only one that was verified.
#[tokio::test]
async fn a_token_is_passed_on_only_where_the_route_says_so_and_only_a_good_one() {
    let (house, api) = house("forward = true").await;
    let program = house.visitor();
    let good = token(&house, &json!({}));

    let answer = asks(&program, Method::GET, &format!("{api}/x"), &good).await;
    let forged = asks(&program, Method::GET, &format!("{api}/public/x"), "forged").await;

    assert_eq!(told(&answer, "authorization"), [format!("Bearer {good}")]);
    assert_eq!(
        (forged.status, told(&forged, "authorization")),
        (StatusCode::OK, Vec::<String>::new())
    );
    assert_eq!(told(&forged, "x-forwarded-user"), Vec::<String>::new());
}

/// G1 to G16 in the place of a session (G19): every way in which a token can be no good, and the application is asked
/// for none of them.
#[tokio::test]
async fn g19_a_token_that_is_no_good_opens_nothing() {
    let (house, api) = house("").await;
    let program = house.visitor();
    let mut bad: Vec<(String, String)> = Vec::new();
    for (what, changes) in [
        ("expired", json!({ "exp": now() - 3600 })),
        ("without an end", json!({ "exp": null })),
        ("an end that is a text", json!({ "exp": "4102444800" })),
        ("an end beyond all numbers", json!({ "exp": 1e300 })),
        ("an end before the beginning", json!({ "exp": -1 })),
        ("an end that is a list", json!({ "exp": [now() + 300] })),
        ("not yet good", json!({ "nbf": now() + 3600 })),
        ("a beginning that is a text", json!({ "nbf": "0" })),
        ("made in the future", json!({ "iat": now() + 3600 })),
        ("no issuer", json!({ "iss": null })),
        ("another issuer", json!({ "iss": "https://other.example" })),
        ("an issuer with a slash", json!({ "iss": format!("{}/", house.provider.issuer()) })),
        ("several issuers", json!({ "iss": [house.provider.issuer()] })),
        ("no audience", json!({ "aud": null })),
        ("G18: for a sibling", json!({ "aud": "https://other.example.com" })),
        ("for the client itself", json!({ "aud": "gate" })),
        ("for nobody", json!({ "aud": [] })),
        ("an audience that is a number", json!({ "aud": 7 })),
        ("an audience with a space", json!({ "aud": format!("{AUDIENCE} ") })),
        ("no subject", json!({ "sub": null })),
        ("an empty subject", json!({ "sub": "" })),
        ("a subject that is a number", json!({ "sub": 7 })),
        ("a subject with a line end", json!({ "sub": "a\nb" })),
        ("bound to a key", json!({ "cnf": { "jkt": "x" } })),
    ] {
        bad.push((what.to_owned(), token(&house, &changes)));
    }
    let good = token(&house, &json!({}));
    for (what, kind, changes) in [
        (
            "G9: an ID token",
            "JWT",
            json!({ "aud": AUDIENCE, "nonce": "n", "client_id": null, "scope": null }),
        ),
        ("an ID token without a nonce", "JWT", json!({ "client_id": null, "scope": null })),
        ("an ID token of zitadel/oidc", "JWT", json!({ "azp": "batch", "scope": null })),
        ("an ID token with a hash", "JWT", json!({ "at_hash": "x" })),
        ("Keycloak's ID token", "JWT", json!({ "typ": "ID" })),
        ("Keycloak's refresh token", "JWT", json!({ "typ": "Refresh" })),
        ("Cognito's ID token", "JWT", json!({ "token_use": "id" })),
        ("a logout token", "logout+jwt", json!({})),
        ("a proof", "dpop+jwt", json!({})),
        ("a request", "oauth-authz-req+jwt", json!({})),
    ] {
        let mut all = claims(&house);
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(all.as_object_mut().and_then(|all| all.remove(name))),
                value @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => all[name] = value.clone(),
            }
        }
        bad.push((what.to_owned(), house.provider.signs(kind, &all).expect("it signs")));
    }
    for (what, tamper) in [
        ("G1: unsigned", Tamper::Unsigned),
        ("G1: `None`", Tamper::Algorithm("None".to_owned())),
        ("G2: the public key as a secret", Tamper::PublicKeyAsSecret),
        ("G4: another algorithm", Tamper::Algorithm("PS256".to_owned())),
        ("G6: another key", Tamper::AnotherKey),
        ("a broken signature", Tamper::BrokenSignature),
        ("G6: a key of its own", Tamper::set_header("jwk", json!({ "kty": "oct", "k": "eA" }))),
        ("crit", Tamper::set_header("crit", json!(["exp"]))),
        ("G7: a `kid` that is a path", Tamper::set_header("kid", "../../dev/null")),
        ("G7: a `kid` that is a number", Tamper::set_header("kid", 7)),
        ("G7: a `kid` with a NUL", Tamper::set_header("kid", "a\u{0}b")),
    ] {
        // A header that brings its own key is signed by another one.
        let tampers = if matches!(tamper, Tamper::Header(_)) && what.contains("own") {
            vec![tamper, Tamper::AnotherKey]
        } else {
            vec![tamper]
        };
        house.provider.set(|control| control.tamper = tampers);
        bad.push((what.to_owned(), token(&house, &json!({}))));
    }
    house.provider.set(|control| {
        control.tamper.clear();
        control.signing = Algorithm::Hs256;
    });
    bad.push(("G3: a shared secret".to_owned(), token(&house, &json!({}))));
    house.provider.set(|control| control.signing = Algorithm::Rs256);
    let (head, rest) = good.split_once('.').expect("a token has parts");
    for (what, text) in [
        ("two parts", head.to_owned()),
        ("G10: five parts", format!("{good}.a.b")),
        ("G16: dots", format!("{head}{}", ".".repeat(5_000))),
        ("padding", format!("{head}=.{rest}")),
        ("huge", "a".repeat(20_000)),
        ("empty", String::new()),
        ("two tokens", format!("{good} {good}")),
        ("G16: the scheme twice", format!("Bearer {good}")),
    ] {
        bad.push((what.to_owned(), text));
    }
    house.application.clear();

    for (what, text) in &bad {
        let answer = asks(&program, Method::GET, &format!("{api}/x"), text).await;
        expect_invalid(&answer, what);
    }

    assert_eq!(house.application.count("/x"), 0, "nothing reached the application");
    let answer = asks(&program, Method::GET, &format!("{api}/x"), &good).await;
    assert_eq!(answer.status, 200, "the good one is still good");
}

/// RFC 9068, section 2.1, and what issuers write that do not follow it.
#[tokio::test]
async fn an_access_token_is_known_by_what_it_says_it_is() {
    let (auto, auto_api) = house("").await;
    let (strict, strict_api) = house("typ = \"at+jwt\"").await;
    for (kind, changes, in_auto, in_strict) in [
        ("at+jwt", json!({}), 200, 200),
        ("application/at+jwt", json!({}), 200, 200),
        ("AT+JWT", json!({}), 200, 200),
        ("JWT", json!({}), 200, 401),
        ("JWT", json!({ "typ": "Bearer", "client_id": 7 }), 200, 401),
        ("JWT", json!({ "token_use": "access" }), 200, 401),
    ] {
        for (house, api, expected) in
            [(&auto, &auto_api, in_auto), (&strict, &strict_api, in_strict)]
        {
            let mut all = claims(house);
            for (name, value) in changes.as_object().expect("an object") {
                all[name] = value.clone();
            }
            let token = house.provider.signs(kind, &all).expect("it signs");
            let answer = asks(&house.visitor(), Method::GET, &format!("{api}/x"), &token).await;
            assert_eq!(answer.status.as_u16(), expected, "{kind} {changes}: {}", answer.text());
        }
    }
}

/// RFC 6750, section 3.1: a token that is good for something else says what it would have to be good for.
#[tokio::test]
async fn a_token_without_the_scope_is_told_which_one_is_needed() {
    let (house, api) = house("").await;
    let program = house.visitor();
    for (changes, expected) in [
        (json!({ "scope": "orders.write" }), 403),
        (json!({ "scope": "orders.readx xorders.read" }), 403),
        (json!({ "scope": null }), 403),
        (json!({ "scope": ["orders.read"] }), 200),
        (json!({ "scope": null, "scp": ["orders.read"] }), 200),
        (json!({ "scope": null, "scp": "a orders.read" }), 200),
    ] {
        let text = token(&house, &changes);
        let answer = asks(&program, Method::GET, &format!("{api}/x"), &text).await;
        let public = asks(&program, Method::GET, &format!("{api}/public/x"), &text).await;

        assert_eq!(answer.status.as_u16(), expected, "{changes}");
        assert_eq!(public.status, 200, "what is public asks for no scope");
        if expected == 403 {
            assert_eq!(answer.reason(), "access_token_scope_missing");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            assert!(challenge.contains("scope=\"orders.read\""), "{challenge}");
        }
    }
}

/// RFC 9728: whoever brings nothing is told where tokens are to be had.
#[tokio::test]
async fn a_program_finds_out_where_to_get_a_token() {
    let (house, api) = house("").await;
    let program = house.visitor();

    let answer = program.asks(Method::GET, &format!("{api}/x"), &[("accept", "text/html")]).await;
    let challenge = answer.header("www-authenticate").to_owned();
    let place =
        challenge.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next());
    let place = place.expect("the challenge says where").to_owned();
    let document =
        program.asks(Method::GET, &place, &[("origin", "https://inspector.example")]).await;
    let other = place.replace("//api.", "//app.");
    let elsewhere = program.fetches(&other).await;

    assert_eq!(
        (answer.status, answer.reason()),
        (StatusCode::UNAUTHORIZED, "access_token_required".to_owned())
    );
    assert_eq!(answer.header("content-type"), "application/problem+json", "`login` is \"never\"");
    assert!(
        !challenge.contains("error="),
        "nothing was wrong with it (RFC 6750, 3.1): {challenge}"
    );
    assert_eq!(place, format!("{api}/.well-known/oauth-protected-resource"));
    assert_eq!(
        document.json(),
        json!({
            "resource": api,
            "authorization_servers": [house.provider.issuer()],
            "scopes_supported": ["orders.read"],
            "bearer_methods_supported": ["header"],
        })
    );
    assert_eq!(document.header("access-control-allow-origin"), "*");
    assert_eq!(elsewhere.status, 401, "a route without tokens has no such document");
}

/// A route may take both. A bad token is not made good by the session that comes with it.
#[tokio::test]
async fn a_route_may_take_sessions_and_tokens() {
    let house = House::with(&format!("[routes.app.bearer]\naudience = \"{AUDIENCE}\"\n")).await;
    let bob = house.signed_in("bob").await;
    let alice = token(&house, &json!({}));

    let with_session = bob.fetches("/x").await;
    let with_token = asks(&house.visitor(), Method::GET, "/x", &alice).await;
    let with_both = asks(&bob, Method::GET, "/x", &alice).await;
    let with_bad = asks(&bob, Method::GET, "/x", "forged").await;
    let with_neither = house.visitor().fetches("/x").await;
    let page = house.visitor().opens("/x").await;

    assert_eq!(told(&with_session, "x-forwarded-user"), ["bob"]);
    assert_eq!(told(&with_token, "x-forwarded-user"), ["alice"]);
    assert_eq!(told(&with_both, "x-forwarded-user"), ["alice"], "the client meant the token");
    assert_eq!(
        (with_bad.status, with_bad.reason()),
        (StatusCode::UNAUTHORIZED, "access_token_invalid".to_owned())
    );
    let schemes: Vec<_> = with_neither.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(schemes.len(), 2, "both ways in are named: {schemes:?}");
    assert_eq!(page.status, StatusCode::FOUND, "people are sent to sign in");
}

/// L8: a stream of invented keys asks the provider next to nothing, and tokens that are good are good meanwhile.
#[tokio::test]
async fn l8_invented_keys_do_not_make_the_provider_be_asked() {
    let (house, api) = house("").await;
    let program = house.visitor();
    let good = token(&house, &json!({}));
    let place = format!("{api}/x");
    asks(&program, Method::GET, &place, &good).await;
    house.provider.clear();

    let invented: Vec<String> = (0..200)
        .map(|number| {
            house.provider.set(|control| {
                control.tamper = vec![Tamper::set_header("kid", format!("kid-{number}"))];
            });
            token(&house, &json!({}))
        })
        .collect();
    house.provider.set(|control| control.tamper.clear());
    let began = std::time::Instant::now();
    for batch in invented.chunks(20) {
        let asked = batch.iter().map(|token| asks(&program, Method::GET, &place, token));
        for answer in future::join_all(asked).await {
            assert_eq!(answer.status, 401);
        }
        assert_eq!(asks(&program, Method::GET, &place, &good).await.status, 200);
    }

    // One in five seconds, however long this took.
    let windows = 1 + began.elapsed().as_secs() / 5;
    let asked = house.provider.count("/jwks") as u64;
    assert!(asked <= windows, "asked {asked} times in {windows} windows");
    house.provider.rotate_keys().expect("new keys");
}

/// RFC 7662: a token that says nothing is asked about once, by a client that proves who it is, and what was said is
/// good for a while.
#[tokio::test]
async fn an_opaque_token_is_asked_about_once() {
    let (house, api) = house("introspection = \"opaque\"").await;
    let program = house.visitor();
    let good = json!({
        "active": true, "sub": "demo-alice", "aud": AUDIENCE, "scope": "orders.read", "client_id": "batch",
        "preferred_username": "alice", "groups": ["sre"], "token_type": "Bearer", "exp": now() + 300,
    });
    house
        .provider
        .set(|control| drop(control.introspection.insert("opaque".to_owned(), good.clone())));
    house.provider.clear();
    let place = format!("{api}/x");

    let asked = (0..30).map(|_| asks(&program, Method::GET, &place, "opaque"));
    let answers = future::join_all(asked).await;
    let jwt = asks(&program, Method::GET, &place, &token(&house, &json!({}))).await;
    let unknown = (0..10).map(|_| asks(&program, Method::GET, &place, "unknown"));
    let unknown = future::join_all(unknown).await;

    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(told(answer, "x-forwarded-user"), ["alice"]);
    }
    assert_eq!(jwt.status, 200, "one that says something is verified");
    for answer in &unknown {
        expect_invalid(answer, "unknown");
    }
    assert_eq!(house.provider.count("/introspect"), 2, "once for each token");
    let question = house.provider.requests().into_iter().find(|it| it.path == "/introspect");
    let question = question.expect("it was asked");
    assert!(question.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(!house.gate.output().contains("token=opaque"));
}

/// What a provider says of a token is held against the route as what a token says itself.
#[tokio::test]
async fn a_provider_that_vouches_for_a_token_does_not_vouch_for_everything() {
    let (house, api) = house("introspection = \"always\"").await;
    let program = house.visitor();
    let good = json!({
        "active": true, "sub": "demo-alice", "aud": [AUDIENCE, "https://other.example"], "scope": "orders.read",
    });
    let cases = [
        ("good", json!({}), 200),
        ("of a client alone", json!({ "sub": null, "client_id": "batch" }), 200),
        ("of a client called like a person", json!({ "sub": "batch", "client_id": "batch" }), 200),
        ("not active", json!({ "active": false }), 401),
        ("active in words", json!({ "active": "true" }), 503),
        ("active in nothing", json!({ "active": null }), 503),
        ("for others", json!({ "aud": "https://other.example" }), 401),
        ("for nobody", json!({ "aud": null }), 401),
        ("of another issuer", json!({ "iss": "https://other.example" }), 401),
        ("over", json!({ "exp": now() - 3600 }), 401),
        ("not begun", json!({ "nbf": now() + 3600 }), 401),
        ("bound", json!({ "cnf": { "x5t#S256": "x" } }), 401),
        ("another type", json!({ "token_type": "DPoP" }), 401),
        ("a refresh token", json!({ "token_use": "refresh_token" }), 401),
        ("of nobody", json!({ "sub": null }), 401),
        ("without the scope", json!({ "scope": "other" }), 403),
    ];
    for (number, (what, changes, expected)) in cases.into_iter().enumerate() {
        let mut said = good.clone();
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(said.as_object_mut().and_then(|said| said.remove(name))),
                value @ (Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => said[name] = value.clone(),
            }
        }
        let token = format!("token-{number}");
        house.provider.set(|control| drop(control.introspection.insert(token.clone(), said)));

        let answer = asks(&program, Method::GET, &format!("{api}/x"), &token).await;

        assert_eq!(answer.status.as_u16(), expected, "{what}: {}", answer.text());
        if what.starts_with("of a client") {
            assert_eq!(told(&answer, "x-forwarded-user"), ["client:batch"]);
        }
    }
}

/// A provider that does not answer has said nothing against a token: 503, never 401, and never in.
#[tokio::test]
async fn a_provider_that_cannot_be_asked_lets_nobody_in_and_condemns_nobody() {
    let (house, api) = house("introspection = \"always\"\nintrospection_cache = \"0s\"").await;
    let program = house.visitor();
    let html = RawAnswer { body: "<html>".into(), ..RawAnswer::default() };
    for (number, (what, answer)) in [
        ("an error", RawAnswer::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({}))),
        (
            "we are not believed",
            RawAnswer::json(StatusCode::UNAUTHORIZED, &json!({ "active": true })),
        ),
        ("a redirect", RawAnswer::json(StatusCode::FOUND, &json!({ "active": true }))),
        ("no JSON", html),
        ("a list", RawAnswer::json(StatusCode::OK, &json!([{ "active": true }]))),
        (
            "twice",
            RawAnswer {
                body: "{\"active\":true,\"active\":true,\"sub\":\"a\"}".into(),
                ..RawAnswer::json(StatusCode::OK, &json!({}))
            },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        house.provider.set(|control| control.introspection_answer = Some(answer.clone()));
        let token = format!("token-{number}");
        let answer = asks(&program, Method::GET, &format!("{api}/x"), &token).await;
        let public = asks(&program, Method::GET, &format!("{api}/public/x"), &token).await;

        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert_eq!(answer.reason(), "access_token_unconfirmed", "{what}");
        assert_eq!(answer.header("retry-after"), "10", "{what}");
        assert_eq!(
            answer.header("www-authenticate"),
            "",
            "{what}: nothing is wrong with the token"
        );
        assert_eq!(public.status, 200, "{what}");
    }
    // And once it answers, what it says counts.
    let good =
        json!({ "active": true, "sub": "demo-alice", "aud": AUDIENCE, "scope": "orders.read" });
    house.provider.set(|control| {
        control.introspection_answer = None;
        control.introspection.insert("better".to_owned(), good);
    });
    let place = format!("{api}/x");
    assert_eq!(asks(&program, Method::GET, &place, "better").await.status, 200);
    // Without a cache, a token that is revoked is worth nothing from then on.
    house.provider.set(|control| drop(control.introspection.remove("better")));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while asks(&program, Method::GET, &place, "better").await.status == 200 {
        assert!(std::time::Instant::now() < deadline, "a revoked token is still good");
        tokio::task::yield_now().await;
    }
}

/// K, L: whoever invents tokens makes the provider be asked about each, and nobody waits for that who signs in.
#[tokio::test]
async fn a_flood_of_invented_tokens_keeps_nobody_from_signing_in() {
    const FLOOD: usize = 200;
    let house = House::with(&format!(
        "[routes.app.bearer]\naudience = \"{AUDIENCE}\"\nintrospection = \"opaque\"\n"
    ))
    .await;
    let slow = RawAnswer {
        delay: Duration::from_secs(9),
        ..RawAnswer::json(StatusCode::OK, &json!({ "active": false }))
    };
    house.provider.set(|control| control.introspection_answer = Some(slow));
    house.provider.clear();
    let program = house.visitor();
    let flood = (0..FLOOD).map(|number| {
        let program = &program;
        async move { asks(program, Method::GET, "/x", &format!("invented-{number}")).await }
    });
    let sign_in = async {
        while house.provider.count("/introspect") < 32 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let bob = house.signed_in("bob").await;
        bob.fetches("/x").await
    };

    let answer = tokio::select! {
        answers = future::join_all(flood) => panic!("{} were answered first", answers.len()),
        answer = sign_in => answer,
    };

    assert_eq!(told(&answer, "x-forwarded-user"), ["bob"]);
    assert_eq!(house.provider.count("/introspect"), 32, "no more at once");
}

/// What is public is so for everybody: an invented token costs no question there, and nobody's patience.
#[tokio::test]
async fn what_is_public_makes_nobody_be_asked_about_a_token() {
    let (house, api) = house("introspection = \"always\"").await;
    let program = house.visitor();
    let said =
        json!({ "active": true, "sub": "demo-alice", "aud": AUDIENCE, "scope": "orders.read" });
    house.provider.set(|control| drop(control.introspection.insert("known".to_owned(), said)));
    house.provider.clear();
    let public = format!("{api}/public/x");

    let invented = asks(&program, Method::GET, &public, "invented").await;
    let before = asks(&program, Method::GET, &public, "known").await;
    let asked = house.provider.count("/introspect");
    let private = asks(&program, Method::GET, &format!("{api}/x"), "known").await;
    let after = asks(&program, Method::GET, &public, "known").await;

    for answer in [&invented, &before, &private, &after] {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!((asked, house.provider.count("/introspect")), (0, 1));
    assert_eq!(told(&before, "x-forwarded-user"), Vec::<String>::new());
    assert_eq!(told(&after, "x-forwarded-user"), ["demo-alice"], "it is remembered by now");
}

/// P-23, R16: what began with a token ends with it.
#[tokio::test]
async fn a_web_socket_ends_with_its_token() {
    let (house, api) =
        house_with("", |plan| plan.set("providers.demo.clock_tolerance = \"0s\"")).await;
    let place = format!("{}/ws", api.trim_start_matches("http://"));
    let short = token(&house, &json!({ "exp": now() + 3 }));
    let long = token(&house, &json!({}));
    let authorization = |token: &str| format!("Bearer {token}");
    let opens = async |token: &str| {
        web_socket_at(&house, &place, Some(("authorization", &authorization(token)))).await
    };
    let (mut of_short, mut of_long) = (opens(&short).await, opens(&long).await);
    assert!(echoes(&mut of_short, "hello").await);

    assert_eq!(closed(&house, &mut of_short).await, (4401, "access_token_invalid".to_owned()));
    assert!(echoes(&mut of_long, "still here").await);
}
