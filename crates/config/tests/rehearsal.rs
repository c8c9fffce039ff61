//! What a configuration says it would do, and its tests.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use lychgate_config::rehearsal::{decision, full_name};
use lychgate_config::{Environment, Rehearsal, Source, rehearse};
use lychgate_gateway::explain::{
    AccessTrace, EntryTrace, Explanation, Hypothesis, Persona, Unimaginable,
};
use lychgate_gateway::outcome::DecisionWord;
use lychgate_oidc::Timestamp;

const CONFIGURATION: &str = r#"
[providers.corp]
issuer = "https://id.example.com"
client_id = "lychgate"
client_secret = { file = "/no/such/secret" }
[providers.guests]
issuer = "https://guests.example.com"
client_id = "lychgate"
[networks]
office = ["192.0.2.0/24"]
[policies.oncall]
allow = [
    { groups = ["sre"], networks = ["office"] },
    { groups = ["sre"], claims = { amr = ["hwk", "fido"] } },
]
deny = ["user:mallory"]
explain = "On-call tools need the office network or a hardware key."
[routes.kibana]
url = "https://kibana.example.com"
upstream = "http://127.0.0.1:5601/base"
providers = ["corp"]
allow = ["group:staff"]
identity = "none"
headers.request = { "X-Proxy-User" = "{user}", "X-Key" = "{secret.key}" }
secrets.key = { env = "NO_SUCH_VARIABLE" }
[[routes.kibana.rules]]
path = "/health"
public = true
[[routes.kibana.rules]]
path = "/app/dev_tools/**"
policy = "oncall"
[routes.wiki]
url = "https://wiki.example.com"
upstream = "http://127.0.0.1:8000"
allow = ["domain:example.com"]
"#;

struct NoVariables;

impl Environment for NoVariables {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn rehearsal(text: &str) -> Rehearsal {
    let source = Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() };
    rehearse(&[source], &NoVariables).unwrap_or_else(|report| panic!("{report}"))
}

fn bob(groups: &[&str]) -> Persona {
    Persona {
        user: "bob".to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Persona::default()
    }
}

fn asked(url: &str, person: Option<Persona>) -> Hypothesis {
    Hypothesis { person, ..Hypothesis::of_url("GET", url).unwrap() }
}

fn explained(hypothesis: &Hypothesis) -> Explanation {
    rehearsal(CONFIGURATION).explain(hypothesis, Timestamp::new(1_893_488_400)).unwrap()
}

/// The entries of the rule that decided, in words: which conditions hold.
fn conditions(explanation: &Explanation) -> Vec<(String, Option<bool>)> {
    let decided = explanation.looked_at.iter().find(|rule| rule.is_about).unwrap();
    let AccessTrace::SignedIn { allow, deny, .. } = &decided.access else { return Vec::new() };
    let entries = deny.iter().chain(allow);
    let conditions = entries.flat_map(|entry| &entry.conditions);
    conditions.map(|condition| (condition.text.clone(), condition.holds)).collect()
}

/// W-10: the route, the rule, and for each condition whether it held.
#[test]
fn a_refused_person_is_told_which_conditions_do_not_hold() {
    let mut hypothesis = asked("https://kibana.example.com/app/dev_tools/x", Some(bob(&["sre"])));
    hypothesis.client = Some(IpAddr::from([203, 0, 113, 9]));

    let explanation = explained(&hypothesis);

    assert_eq!(explanation.decision, DecisionWord::Deny);
    assert_eq!(explanation.rule.as_deref(), Some("routes.kibana.rules[1]"));
    assert_eq!(explanation.reason.map(|reason| reason.code()), Some("access_not_granted"));
    assert!(explanation.upstream.is_none() && explanation.sign_in.is_empty());
    assert_eq!(
        conditions(&explanation),
        [
            ("user:mallory".to_owned(), Some(false)),
            ("group:sre".to_owned(), Some(true)),
            ("network:192.0.2.0/24".to_owned(), Some(false)),
            ("group:sre".to_owned(), Some(true)),
            ("claim:amr=hwk|fido".to_owned(), Some(false)),
        ]
    );

    hypothesis.client = Some(IpAddr::from([192, 0, 2, 7]));
    assert_eq!(explained(&hypothesis).decision, DecisionWord::Allow);
}

/// W-10: for somebody who is signed out it depends, and it is said where they would sign in.
#[test]
fn a_signed_out_visitor_is_told_where_they_would_sign_in() {
    let explanation = explained(&asked("https://kibana.example.com/", None));

    assert_eq!(explanation.decision, DecisionWord::Login);
    assert_eq!(explanation.sign_in, ["corp"]);
    assert_eq!(explanation.status.map(|status| status.as_u16()), Some(302));
    assert_eq!(conditions(&explanation), [("group:staff".to_owned(), None)]);
    let both = explained(&asked("https://wiki.example.com/", None));
    assert_eq!(both.sign_in, ["corp", "guests"]);
}

/// A session of another provider than the route accepts is none there.
#[test]
fn somebody_of_another_provider_has_to_sign_in_again() {
    let guest = Persona { provider: Some("guests".to_owned()), ..bob(&["staff"]) };

    let explanation = explained(&asked("https://kibana.example.com/", Some(guest)));

    assert_eq!(explanation.decision, DecisionWord::Login);
    assert_eq!(explanation.reason.map(|reason| reason.code()), Some("session_other_provider"));
}

/// W-13: the headers that the application gets; no spelling of a client's own, and no secret.
#[test]
fn the_application_is_told_what_the_gateway_says_and_nobody_else() {
    let mut hypothesis = asked("https://kibana.example.com/app/x?y=%2F", Some(bob(&["staff"])));
    for name in ["x-proxy-user", "x_proxy_user", "x-forwarded-for", "x-harmless"] {
        let name = HeaderName::from_static(name);
        hypothesis.headers.insert(name, HeaderValue::from_static("root"));
    }

    let explanation = explained(&hypothesis);

    let told = explanation.upstream.unwrap();
    assert_eq!(told.target, "/base/app/x?y=%2F");
    let value = |name: &str| {
        let mut found = told.headers.iter().filter(|header| header.name == name);
        let value = found.next().map(|header| header.value.clone());
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(value("x-proxy-user").unwrap(), "bob");
    assert_eq!(value("x-harmless").unwrap(), "root");
    assert_eq!(value("x-forwarded-host").unwrap(), "kibana.example.com");
    assert_eq!(
        (value("x_proxy_user"), value("x-forwarded-for"), value("cookie")),
        (None, None, None)
    );
    assert!(value("x-key").unwrap().is_sensitive());
    assert!(told.stripped.iter().any(|name| name == "x_proxy_user"));
}

/// B1, B2: a request with two readings is refused before any rule, and it is said why.
#[test]
fn odd_spellings_are_explained_as_refused() {
    for (url, part) in [
        ("https://kibana.example.com/health%2f..%2fapp", "separator"),
        ("https://kibana.example.com/health/../app", "dot segment"),
        ("https://kibana.example.com/health/%2e%2e/app", "dot segment"),
        ("https://kibana.example.com/health;x", "parameters"),
        ("https://kibana.example.com//health", "empty segment"),
        ("https://kibana.example.com/%2561", "twice"),
        ("https://kibana.example.com\\health", "begin with a slash"),
        ("https://user@kibana.example.com/health", "no usable host"),
    ] {
        let explanation = explained(&asked(url, Some(bob(&["staff"]))));

        assert_eq!(format!("{:?}", decision(&explanation)), "Refuse", "{url}");
        assert_eq!(explanation.reason.map(|reason| reason.code()), Some("request_malformed"));
        assert!(explanation.cause.as_deref().unwrap().contains(part), "{url}: {explanation:?}");
        assert!(explanation.looked_at.is_empty() && explanation.upstream.is_none());
    }
}

/// B2: a path that two routes could claim is nobody's, and it is said why.
#[test]
fn a_path_that_two_routes_could_claim_is_explained() {
    let inner = "[routes.inner]\nurl = \"https://wiki.example.com/inner\"\n\
                 upstream = \"http://127.0.0.1:8001\"\npublic = true\n";
    let rehearsal = rehearsal(&format!("{CONFIGURATION}{inner}"));

    let hypothesis = asked("https://wiki.example.com/inner%23/x", Some(bob(&[])));
    let explanation = rehearsal.explain(&hypothesis, Timestamp::new(0)).unwrap();

    assert_eq!(explanation.reason.map(|reason| reason.code()), Some("request_malformed"));
    assert!(explanation.cause.is_some_and(|cause| cause.contains("another route's")));
}

#[test]
fn nobody_is_imagined_who_could_not_sign_in() {
    let rehearsal = rehearsal(CONFIGURATION);
    let now = Timestamp::new(0);
    let stranger = Persona { provider: Some("elsewhere".to_owned()), ..bob(&[]) };
    let huge = Persona { name: Some("x".repeat(40_000)), ..bob(&[]) };

    let explain =
        |person| rehearsal.explain(&asked("https://wiki.example.com/", Some(person)), now);

    assert_eq!(
        explain(stranger).unwrap_err(),
        Unimaginable::UnknownProvider("elsewhere".to_owned())
    );
    assert!(matches!(explain(huge), Err(Unimaginable::TooLarge(_))));
}

/// W-21: the tests of a configuration ask the gateway, and say what is otherwise.
#[test]
fn a_test_says_what_was_expected_and_what_is() {
    let text = CONFIGURATION.to_owned()
        + r#"
[[tests]]
name = "right"
as = { user = "bob", groups = ["staff"] }
request = { line = "GET https://kibana.example.com/", headers = { "X-Proxy-User" = "root" } }
expect = { decision = "allow", rule = "routes.kibana", upstream_headers = { "X-Proxy-User" = "bob", "X-Forwarded-User" = false } }
[[tests]]
name = "wrong in every way"
as = { user = "bob" }
request = "GET https://kibana.example.com/"
expect = { decision = "login", rule = "routes.kibana.rules[0]", status = 302, reason = "session_required", provider = "guests", upstream_headers = { "X-Proxy-User" = "bob" } }
"#;
    let rehearsal = rehearsal(&text);
    let run = |index: usize| {
        rehearsal.run(&rehearsal.tests()[index], Timestamp::new(0)).unwrap().mismatches
    };

    assert_eq!(run(0), []);
    let wrong = run(1);
    let found: Vec<_> = wrong
        .iter()
        .map(|mismatch| format!("{}: {} / {}", mismatch.what, mismatch.expected, mismatch.actual))
        .collect();
    assert_eq!(
        found,
        [
            "decision: login / deny",
            "rule: routes.kibana.rules[0] / routes.kibana",
            "status: 302 / 403",
            "reason: session_required / access_not_granted",
            "provider: guests / corp",
            "upstream header x-proxy-user: bob / the application is not asked",
        ]
    );
    assert_eq!(rehearsal.tests()[1].position.line, 42);
}

/// W-20: rules and denials that nothing reached are named.
#[test]
fn coverage_names_what_no_test_reached() {
    let rehearsal = rehearsal(CONFIGURATION);
    let mallory = Persona { user: "mallory".to_owned(), ..bob(&["sre"]) };
    let dev_tools = "https://kibana.example.com/app/dev_tools/x";
    let explained: Vec<_> = [
        asked("https://kibana.example.com/health", None),
        asked(dev_tools, Some(bob(&["sre"]))),
        asked("https://wiki.example.com/", None),
    ]
    .iter()
    .map(explained)
    .collect();

    let coverage = rehearsal.coverage(&explained);

    let unreached: Vec<_> = coverage.unreached().collect();
    assert_eq!(unreached, ["policies.oncall.deny[0]", "routes.kibana"]);
    assert_eq!((coverage.reached(), coverage.rules.len(), coverage.percent()), (3, 5, 60));
    let denied = self::explained(&asked(dev_tools, Some(mallory)));
    let unreached: Vec<_> = rehearsal.coverage([&denied]).unreached().map(str::to_owned).collect();
    assert!(!unreached.contains(&"policies.oncall.deny[0]".to_owned()), "{unreached:?}");
}

/// A-DIAG-1: each rule and entry has its place in the file.
#[test]
fn rules_and_entries_have_places() {
    let rehearsal = rehearsal(CONFIGURATION);
    for (name, line) in [
        ("routes.kibana", 18),
        ("routes.kibana.rules[1]", 29),
        ("routes.kibana.allow[0]", 22),
        ("policies.oncall.allow[1]", 14),
        ("policies.oncall.deny[0]", 16),
    ] {
        assert_eq!(rehearsal.place(name).map(|place| place.line), Some(line), "{name}");
    }
    assert_eq!(full_name("kibana"), "routes.kibana");
    assert_eq!(full_name("routes.kibana.rules[1]"), "routes.kibana.rules[1]");
}

/// W-11: over all policies of four entries and all people with three attributes, the conditions that are shown are
/// those that decide: some entry of `allow` holds, and none of `deny`.
#[test]
fn the_conditions_that_are_shown_are_those_that_decide() {
    type Holds = fn(&Persona) -> bool;
    fn is_in(person: &Persona, group: &str) -> bool {
        person.groups.iter().any(|held| held == group)
    }
    let entries: [(&str, Holds); 4] = [
        ("\"group:a\"", |person| is_in(person, "a")),
        ("\"user:x\"", |person| person.user == "x"),
        ("{ groups = [\"a\", \"b\"], users = [\"x\"] }", |person| {
            person.user == "x" && (is_in(person, "a") || is_in(person, "b"))
        }),
        ("{ groups = [\"b\"] }", |person| is_in(person, "b")),
    ];
    let chosen = |set: u8| entries.iter().enumerate().filter(move |(at, _)| set & 1 << at != 0);
    let list = |set: u8| chosen(set).map(|(_, (text, _))| *text).collect::<Vec<_>>().join(", ");
    for (allow, deny) in (1_u8..16).flat_map(|allow| (0_u8..16).map(move |deny| (allow, deny))) {
        let denial = if deny == 0 { String::new() } else { format!("deny = [{}]\n", list(deny)) };
        let rehearsal = rehearsal(&format!(
            "[providers.corp]\nissuer = \"https://id.example.com\"\nclient_id = \"x\"\n\
             [routes.app]\nurl = \"https://app.example.com\"\nupstream = \"http://127.0.0.1:1\"\n\
             allow = [{}]\n{denial}",
            list(allow)
        ));
        for who in 0_u8..8 {
            let groups = [(1, "a"), (2, "b")].into_iter().filter(|(bit, _)| who & bit != 0);
            let groups: Vec<&str> = groups.map(|(_, group)| group).collect();
            let user = if who & 4 == 0 { "y" } else { "x" };
            let person = Persona { user: user.to_owned(), ..bob(&groups) };
            let hold = |set: u8| chosen(set).map(|(_, (_, holds))| holds(&person));
            let shown = |set: u8| hold(set).map(Some).collect::<Vec<_>>();
            let expected = if hold(deny).any(|holds| holds) {
                (DecisionWord::Deny, Some("access_denied"))
            } else if hold(allow).any(|holds| holds) {
                (DecisionWord::Allow, None)
            } else {
                (DecisionWord::Deny, Some("access_not_granted"))
            };

            let hypothesis = asked("https://app.example.com/", Some(person.clone()));
            let told = rehearsal.explain(&hypothesis, Timestamp::new(0)).unwrap();

            assert_eq!((told.decision, told.reason.map(|reason| reason.code())), expected);
            let AccessTrace::SignedIn { allow: allowing, deny: denying, .. } =
                &told.looked_at[0].access
            else {
                panic!("{told:?}");
            };
            let holds = |entries: &[EntryTrace]| {
                entries.iter().map(|entry| entry.holds).collect::<Vec<_>>()
            };
            assert_eq!(
                (holds(allowing), holds(denying)),
                (shown(allow), shown(deny)),
                "{person:?}"
            );
        }
    }
}

/// W-10: the way to a provider is told without its keys, without asking it, and whatever kind it is of.
#[test]
fn a_sign_in_is_explained_at_every_kind_of_provider() {
    let key =
        "signing_key = { file = \"/no/such/key\" }\npushed_authorization_requests = \"required\"\n";
    for keys in [
        format!("{key}issuer = \"https://id.example\"\n"),
        format!(
            "{key}issuer = \"https://id.example\"\nrequest_object_signing_alg = \"PS256\"\ntoken_endpoint_auth_signing_alg = \"PS256\"\n"
        ),
        "issuer = \"https://id.example\"\nclient_assertion = { file = \"/no/such/token\" }\npushed_authorization_requests = \"required\"\n".to_owned(),
        "issuer = \"https://id.example\"\ndpop_bound_access_tokens = true\ndpop_signing_key = { file = \"/no/such/key\" }\ndpop_signing_alg = \"EdDSA\"\npushed_authorization_requests = \"required\"\n".to_owned(),
        "issuer = \"word\"\nauthorization_endpoint = \"https://id.example/a\"\ntoken_endpoint = \"https://id.example/t\"\njwks_uri = \"https://id.example/k\"\n".to_owned(),
        "kind = \"oauth2\"\nauthorization_endpoint = \"https://id.example/a\"\ntoken_endpoint = \"https://id.example/t\"\nuserinfo_endpoint = \"https://id.example/u\"\n".to_owned(),
        "issuer = \"https://id.example\"\nprofile = \"open-finance-brasil\"\nsigning_key = { file = \"/no/such/key\" }\ndecryption_keys = [{ file = \"/no/such/key\" }]\ntls = { certificate = \"/no/such\", key = \"/no/such/key\" }\n".to_owned(),
        "kind = \"github\"\norganizations = [\"octo-org\"]\n".to_owned(),
        "kind = \"entra\"\ntenant = \"organizations\"\ntenants = [\"11111111-2222-3333-4444-555555555555\"]\n".to_owned(),
        "kind = \"apple\"\nteam_id = \"TEAM\"\nsigning_key = { file = \"/no/such/key\" }\nsigning_key_id = \"KEY\"\n".to_owned(),
    ] {
        let text = format!(
            "[providers.corp]\nclient_id = \"lychgate\"\n{keys}[routes.app]\nurl = \"https://app.example.com\"\nupstream = \"http://127.0.0.1:1\"\nallow = [\"group:staff\"]\n"
        );
        let page = "https://app.example.com/.lychgate/login?return_to=/&provider=corp";
        let explanation = rehearsal(&text).explain(&asked(page, None), Timestamp::new(2_000_000_000));

        let explanation = explanation.unwrap();
        let status = explanation.status.map(|status| status.as_u16());
        assert_eq!(status, Some(302), "{keys}: {:?}", explanation.cause);
    }
}
