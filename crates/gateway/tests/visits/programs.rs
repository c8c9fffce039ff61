//! Programs, parts of pages, and pages of other origins: who is not sent to a page, and what a token opens.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lychgate_gateway::bearer::{Bearer, Introspection, TokenFault};
use lychgate_gateway::client::Client;
use lychgate_gateway::clients::{ClientRules, LoginRule};
use lychgate_gateway::cors::{Cors, CorsRules};
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::outcome::{Answer, DecisionWord, Outcome, Verdict};
use lychgate_gateway::reason::Reason;
use lychgate_oidc::{AccessTokenRules, AccessTokenType, Algorithm};
use serde_json::{Value, json};
use url::Url;

use crate::world::browser::{admission, reason, refusal, user};
use crate::world::plan::Plan;
use crate::world::provider::Person;
use crate::world::{Ask, World};

pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// What a route with tokens asks of them.
pub(crate) fn bearer(introspection: Introspection) -> Bearer {
    Bearer {
        issuers: vec!["corp".to_owned()],
        token: AccessTokenRules {
            audiences: Some(vec![AUDIENCE.to_owned()]),
            algorithms: Algorithm::DEFAULT.to_vec(),
            typ: AccessTokenType::Inferred,
        },
        scopes: vec!["orders.read".to_owned()],
        introspection,
        introspection_cache: Duration::from_secs(60),
        forward: false,
        metadata: true,
    }
}

/// One app that takes tokens in the place of sessions, and nothing else.
pub(crate) fn for_programs(introspection: Introspection) -> Plan {
    let mut plan = Plan::one_app();
    plan.routes[0].providers.clear();
    plan.routes[0].clients = ClientRules {
        login: LoginRule::Never,
        bearer: Some(Arc::new(bearer(introspection))),
        cors: Cors::Refuse,
    };
    plan
}

/// A token of Ada's, for `scope`.
pub(crate) fn token(world: &World, scope: &str) -> String {
    let now = world.now();
    world.at("corp", |provider| {
        provider.sign(&json!({
            "iss": provider.issuer(), "aud": AUDIENCE, "sub": "sub-ada", "client_id": "batch",
            "scope": scope, "iat": now, "exp": now + 300, "preferred_username": "ada",
            "groups": ["sre"],
        }))
    })
}

pub(crate) fn with_token(path: &str, token: &str) -> Ask {
    let ask = Ask::new(Method::GET, &format!("https://app.test{path}"));
    ask.with("authorization", &format!("Bearer {token}"))
}

fn asks(path: &str) -> Ask {
    Ask::new(Method::GET, &format!("https://app.test{path}"))
}

fn preflight(origin: &str) -> Ask {
    Ask::new(Method::OPTIONS, "https://app.test/orders")
        .with("origin", origin)
        .with("access-control-request-method", "PUT")
}

/// RFC 6750 §3: a token opens what its owner may open; without one, the client is told that one is needed.
#[test]
fn a_token_opens_what_its_owner_may_open() {
    let world = World::new(for_programs(Introspection::Never));
    let (good, weak) = (token(&world, "orders.read"), token(&world, "orders.write"));

    let nobody = world.visit(&asks("/orders").with("accept", "text/html"));
    let ada = world.visit(&with_token("/admin/orders", &good));
    let lacking = world.visit(&with_token("/orders", &weak));
    let forged = world.visit(&with_token("/orders", "a.b.c"));

    assert_eq!(reason(&nobody), Some(Reason::AccessTokenRequired));
    assert_eq!(refusal(&nobody).map(|refusal| refusal.client), Some(Client::Program));
    assert_eq!(user(&ada), Some("ada"));
    assert!(ada.record.token.is_some());
    let faults = [&lacking, &forged].map(|outcome| refusal(outcome).unwrap().token.clone());
    let enough = TokenFault::Insufficient(vec!["orders.read".to_owned()]);
    assert_eq!(faults, [Some(enough), Some(TokenFault::Invalid)]);
    assert_eq!(reason(&lacking), Some(Reason::AccessTokenScopeMissing));
    assert_eq!(reason(&forged), Some(Reason::AccessTokenInvalid));
}

/// A route that takes both says that somebody has to sign in, not that a token is the only way.
#[test]
fn a_route_that_takes_sessions_too_does_not_ask_for_a_token_alone() {
    let mut plan = for_programs(Introspection::Never);
    plan.routes[0].providers.push("corp");
    let world = World::new(plan);

    let outcome = world.visit(&asks("/orders"));

    assert_eq!(reason(&outcome), Some(Reason::SessionRequired));
}

/// A token changes nothing about what is public: nobody is asked about it there, and keys are not fetched for it.
#[test]
fn what_is_public_makes_nobody_be_asked_about_a_token() {
    for (introspection, invented) in [
        (Introspection::Always, "invented".to_owned()),
        (Introspection::Opaque, "invented".to_owned()),
        (Introspection::Never, String::new()),
    ] {
        let world = World::new(for_programs(introspection));
        let known = token(&world, "orders.read");
        world.at("corp", |provider| provider.key = 2);
        let invented = if invented.is_empty() { token(&world, "x") } else { invented };

        let outcome = world.visit(&with_token("/public/x", &invented));

        assert_eq!(outcome.record.decision, DecisionWord::Public);
        assert_eq!(user(&outcome), None, "{introspection:?}");
        let asked = world.at("corp", |it| (it.introspections, it.key_requests));
        assert_eq!(asked, (0, 0), "{introspection:?}");
        if introspection == Introspection::Never {
            let outcome = world.visit(&with_token("/public/x", &known));
            assert_eq!(user(&outcome), Some("ada"), "the keys that are at hand are enough");
            world.visit(&with_token("/orders", &invented));
            assert_eq!(world.at("corp", |it| it.key_requests), 1, "where it counts, it is asked");
        } else {
            let outcome = world.visit(&with_token("/orders", &invented));
            assert_eq!(reason(&outcome), Some(Reason::AccessTokenInvalid));
            assert_eq!(world.at("corp", |it| it.introspections), 1, "where it counts, it is asked");
        }
    }
}

/// RFC 7662: what the provider says is held against the route.
#[test]
fn a_provider_vouches_for_a_token_and_not_for_its_use_here() {
    let world = World::new(for_programs(Introspection::Opaque));
    let said = |audience: &str| {
        json!({
            "active": true, "aud": audience, "sub": "ada", "client_id": "ada", "scope": "orders.read",
        })
    };
    let visit = |said: Value| {
        world.at("corp", |provider| provider.says_of_tokens = Some(said));
        world.visit(&with_token("/orders", "opaque"))
    };

    let clients_own = visit(said(AUDIENCE));
    let for_others = visit(said("https://other.example.com"));

    assert_eq!(user(&clients_own), Some("client:ada"), "no client is a person by its name");
    assert_eq!(reason(&for_others), Some(Reason::AccessTokenInvalid));
}

/// Fetch §3.2: a preflight from a listed origin is answered; every other is refused like anybody without a session.
#[test]
fn a_preflight_is_answered_for_pages_that_are_listed() {
    let listed = Url::parse("https://spa.example.com").expect("a URL");
    let mut plan = Plan::one_app();
    plan.routes[0].clients.cors = Cors::Answer(CorsRules {
        origins: vec![PublicOrigin::of(&listed).expect("an origin")],
        credentials: false,
        expose_headers: Vec::new(),
        max_age: Duration::from_secs(600),
    });
    let world = World::new(plan);
    let answered = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Answer(answer) => match &**answer {
            Answer::Preflight(headers) => headers.get("access-control-allow-methods").cloned(),
            Answer::Asset(_) | Answer::Me(_) | Answer::Page(_) | Answer::Reason(_) => None,
            Answer::Redirect(_) | Answer::Refusal(_) | Answer::Resource(_) => None,
        },
        Verdict::Admit(_) => None,
    };

    let ours = world.visit(&preflight("https://spa.example.com"));
    let theirs = world.visit(&preflight("https://evil.example.com"));

    assert_eq!(answered(&ours).expect("an answer"), "PUT");
    assert_eq!(reason(&theirs), Some(Reason::SessionRequired));
    assert_eq!(refusal(&theirs).map(|refusal| refusal.client), Some(Client::Preflight));

    world.reload(|plan| plan.routes[0].clients.cors = Cors::Pass);
    let passed = world.visit(&preflight("https://evil.example.com"));
    assert!(admission(&passed).is_some() && user(&passed).is_none());
}

/// 5.4: htmx is told where people sign in, and comes back to the page that the person is on; gRPC is refused as gRPC.
#[test]
fn each_client_is_refused_in_its_own_way() {
    let world = World::new(Plan::one_app());
    let part = asks("/part")
        .with("hx-request", "true")
        .with("hx-current-url", "https://app.test/page?a=b")
        .with("sec-fetch-site", "same-origin");

    let htmx = world.visit(&part);

    let link = refusal(&htmx).and_then(|refusal| refusal.sign_in.clone());
    assert_eq!(link.as_deref(), Some("/.lychgate/login?return_to=%2Fpage%3Fa%3Db"));
    for (content_type, client) in
        [("application/grpc", Client::Grpc), ("application/grpc-web+proto", Client::GrpcWeb)]
    {
        let ask = Ask { method: Method::POST, ..asks("/orders.Orders/List") };
        let ask = ask.with("content-type", content_type);
        let signed_out = world.visit(&ask);
        assert_eq!(reason(&signed_out), Some(Reason::SessionRequired));
        assert_eq!(refusal(&signed_out).map(|refusal| refusal.client), Some(client));

        let mut bob = world.browser(Person::bob());
        bob.opens("/");
        let ask = Ask { target: "/admin/x".to_owned(), ..ask };
        let ask = bob.prepared(ask);
        let not_allowed = world.visit(&ask);
        assert_eq!(reason(&not_allowed), Some(Reason::AccessNotGranted));
        assert_eq!(refusal(&not_allowed).map(|refusal| refusal.client), Some(client));
    }
}
