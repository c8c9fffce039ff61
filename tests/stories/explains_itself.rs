//! Understanding it: what would happen and why, before anybody tries.

use std::fs;
use std::process::{Command, Stdio};

use http::Method;
use lychgate_tests::cast::gate::{binary, lychgate};
use lychgate_tests::cast::house::{CLIENT_SECRET, House};
use lychgate_tests::cast::scratch::Scratch;
use serde_json::{Value, json};

const CONFIGURATION: &str = r#"
[providers.corp]
issuer        = "https://id.example.com"
client_id     = "gate"
client_secret = { file = "/no/such/secret" }

[policies.oncall]
allow   = ["group:sre"]
explain = "On-call tools are for members of the group sre."

[routes.app]
url      = "https://app.example.com"
upstream = "http://127.0.0.1:3000"
allow    = ["group:staff"]
deny     = ["user:mallory"]

[[routes.app.rules]]
path   = "/admin/**"
policy = "oncall"
"#;

const TESTS: &str = r#"
[[tests]]
name    = "contractors stay out of the admin pages"
as      = { user = "eve", groups = ["staff", "contractors"] }
request = "GET https://app.example.com/admin/users"
expect  = { decision = "deny", rule = "routes.app.rules[0]", status = 403 }

[[tests]]
name    = "a signed-out browser is sent to the corporate login"
request = "GET https://app.example.com/"
expect  = { decision = "login", provider = "corp", status = 302 }

[[tests]]
name    = "spoofed identity headers never arrive"
as      = { user = "bob", groups = ["staff"] }
request = { line = "GET https://app.example.com/", headers = { "X-Forwarded-User" = "root", "X_Forwarded_Email" = "root@example.com" } }
expect  = { decision = "allow", upstream_headers = { "X-Forwarded-User" = "bob", "X_Forwarded_Email" = false } }
"#;

fn scratch(text: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("lychgate.toml", text);
    scratch
}

fn explained(scratch: &Scratch, arguments: &[&str]) -> (Option<i32>, Value) {
    let printed = lychgate(scratch, ["explain", "--json"].iter().chain(arguments));
    let document = serde_json::from_str(&printed.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", printed.stdout, printed.stderr));
    (printed.code, document)
}

/// W-11: the decision, the rule and the reason that are explained are those of a real visit, for everybody and
/// everywhere.
#[tokio::test]
async fn what_is_explained_is_what_happens() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    let me = bob.fetches("/.lychgate/me").await.json();
    let groups: Vec<&str> =
        me["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let person = format!("user=bob,groups={}", groups.join("|"));
    let page = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
    for (visitor, person) in [(house.visitor(), None), (bob, Some(person.as_str()))] {
        for path in ["/", "/page?x=1", "/admin/", "/admin/x", "/public/x", "/a%23b", "/admin%2fx"] {
            let answer = visitor.asks(Method::GET, path, &page).await;
            let line = house.gate.access_line(answer.request_id()).await;
            let url = format!("{}{path}", house.gate.url());
            let mut arguments = vec![url.as_str(), "--from", "127.0.0.1"];
            arguments.extend(person.into_iter().flat_map(|person| ["--as", person]));

            let (_, told) = explained(house.gate.scratch(), &arguments);

            for (said, logged) in [
                (&told["decision"], &line["decision"]),
                (&told["rule"], &line["rule"]),
                (&told["reason"], &line["reason"]),
            ] {
                assert_eq!(said, logged, "{path} {person:?}: {told} {line}");
            }
            if told["status"].is_u64() {
                assert_eq!(told["status"], line["status"], "{path} {person:?}");
            }
        }
    }
}

/// W-10, W-12: a person in a few words, no server and no secret; the exit code is the answer.
#[test]
fn a_refusal_is_explained_with_its_conditions_and_places() {
    let scratch = scratch(CONFIGURATION);

    let printed = lychgate(
        &scratch,
        ["explain", "--as", "user=eve groups=staff", "https://app.example.com/admin/x"],
    );

    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    for part in [
        "routes.app.rules[0]   lychgate.toml:17   /admin/** policy oncall",
        "✗ policies.oncall.allow[0]   lychgate.toml:8",
        "✗ group:sre   (has staff)",
        "result   deny   by routes.app.rules[0]   reason access_not_granted   status 403",
        "the way in needs group:sre",
        "On-call tools are for members of the group sre.",
    ] {
        assert!(printed.stdout.contains(part), "{part} in\n{}", printed.stdout);
    }
}

/// W-10: 0 passes, 1 is refused, 3 depends on who signs in, 2 is no question.
#[test]
fn the_exit_code_says_how_it_ends() {
    let scratch = scratch(CONFIGURATION);
    for (arguments, expected, decision) in [
        (&["https://app.example.com/"][..], 3, "login"),
        (&["https://app.example.com/", "--as", "groups=staff"], 0, "allow"),
        (&["https://app.example.com/", "--as", "user=mallory,groups=staff"], 1, "deny"),
        (&["https://elsewhere.example.com/"], 1, "own"),
        (&["https://app.example.com/%2e%2e/"], 1, "own"),
        (&["https://app.example.com/.lychgate/me", "--as", "user=bob"], 0, "own"),
    ] {
        let (code, document) = explained(&scratch, arguments);

        assert_eq!(code, Some(expected), "{arguments:?}: {document}");
        assert_eq!(document["decision"], decision, "{arguments:?}");
    }
    for wrong in [
        &["explain", "app.example.com"][..],
        &["explain", "https://app.example.com/", "--as", "eve"],
        &["explain", "https://app.example.com/", "--as", "provider=nobody"],
        &["explain", "https://app.example.com/", "-H", "no header"],
        &["explain"],
    ] {
        let printed = lychgate(&scratch, wrong);

        assert_eq!(printed.code, Some(2), "{wrong:?}: {}", printed.stdout);
        assert!(printed.stdout.is_empty() && !printed.stderr.is_empty(), "{wrong:?}");
    }
}

/// W-13: what the application would be told, from a person in a file.
#[test]
fn the_headers_that_the_application_gets_are_shown_or_masked() {
    let scratch = scratch(CONFIGURATION);
    let person = json!({ "user": "ada", "groups": ["staff"], "email": "ada@example.com" });
    scratch.write("ada.json", person.to_string());
    let arguments =
        ["https://app.example.com/x?y", "--as", "@ada.json", "-H", "X-Forwarded-User: root"];

    let (_, shown) = explained(&scratch, &arguments);
    let (_, masked) = explained(&scratch, &[&arguments[..], &["--mask"]].concat());

    let value = |document: &Value, name: &str| {
        let headers = document["upstream"]["headers"].as_array().expect("headers");
        let header = headers.iter().find(|header| header["name"] == name).expect(name);
        header["value"].as_str().map(str::to_owned)
    };
    assert_eq!(value(&shown, "x-forwarded-user").as_deref(), Some("ada"));
    assert_eq!(value(&shown, "x-forwarded-email").as_deref(), Some("ada@example.com"));
    assert_eq!(value(&masked, "x-forwarded-email").as_deref(), Some("‹15 bytes›"));
    assert_eq!(shown["upstream"]["target"], "/x?y");
    assert_eq!(shown["upstream"]["stripped"], json!(["x-forwarded-user"]));
}

/// W-20, W-21: tests travel with the configuration, and coverage says what they leave out.
#[test]
fn the_tests_of_a_configuration_are_run_and_their_coverage_told() {
    let scratch = scratch(&format!("{CONFIGURATION}{TESTS}"));

    let passed = lychgate(&scratch, ["test"]);
    let covered = lychgate(&scratch, ["test", "--require-coverage"]);
    let filtered = lychgate(&scratch, ["test", "spoofed", "--format", "json"]);
    let nobody = lychgate(&scratch, ["test", "no such test"]);

    assert_eq!(passed.code, Some(0), "{}", passed.stdout);
    let summary =
        "3 passed, 0 failed · 2 of 3 rules exercised · never exercised: routes.app.deny[0]";
    assert!(passed.stdout.contains(summary), "{}", passed.stdout);
    assert_eq!(covered.code, Some(1));
    assert!(covered.stderr.contains("routes.app.deny[0]"), "{}", covered.stderr);
    let filtered: Value = serde_json::from_str(&filtered.stdout).expect("JSON");
    assert_eq!((&filtered["passed"], &filtered["failed"]), (&json!(1), &json!(0)));
    assert_eq!(nobody.code, Some(1));
}

/// W-20, W-23: a failure says what was expected, what is, where and why; `check` fails too.
#[test]
fn a_failing_test_is_explained_in_every_form() {
    let wrong =
        TESTS.replace("\"X-Forwarded-User\" = \"bob\"", "\"X-Forwarded-User\" = \"<root>\"");
    let scratch = scratch(&format!("{CONFIGURATION}{wrong}"));

    let text = lychgate(&scratch, ["test"]);
    let github = lychgate(&scratch, ["test", "--format", "github"]);
    let junit = lychgate(&scratch, ["test", "--format", "junit"]);
    let check = lychgate(&scratch, ["check", "--offline"]);

    for printed in [&text, &github, &junit, &check] {
        assert_eq!(printed.code, Some(1), "{} {}", printed.stdout, printed.stderr);
    }
    for part in [
        "✗ spoofed identity headers never arrive   lychgate.toml:32",
        "upstream header x-forwarded-user: expected \"<root>\", actual \"bob\"",
        "✓ group:staff",
        "2 passed, 1 failed",
    ] {
        assert!(text.stdout.contains(part), "{part} in\n{}", text.stdout);
    }
    assert!(github.stdout.starts_with("::error file=lychgate.toml,line=32,title=spoofed"));
    assert!(
        junit.stdout.contains("tests=\"3\" failures=\"1\"")
            && junit.stdout.contains("&lt;root&gt;")
    );
    assert!(check.stderr.contains("spoofed identity headers never arrive"), "{}", check.stderr);
}

/// C-40, C-41: the resolved configuration is one that can be read, and it is the same.
#[test]
fn the_resolved_configuration_can_be_checked_and_has_the_same_hash() {
    let scratch = scratch(&format!("{CONFIGURATION}{TESTS}"));

    let resolved = lychgate(&scratch, ["config", "print", "--resolved"]);
    let origins = lychgate(&scratch, ["config", "print", "--resolved", "--show-origin"]);
    let first = lychgate(&scratch, ["check", "--offline"]);
    scratch.write("resolved.toml", &resolved.stdout);
    let stdin = fs::File::open(scratch.file("resolved.toml")).expect("it was written");
    let second = Command::new(binary())
        .args(["check", "--offline", "-"])
        .stdin(Stdio::from(stdin))
        .current_dir(scratch.path())
        .output()
        .expect("the binary can be started");

    let hash = |text: &str| {
        let (_, after) = text.split_once("config_hash ").unwrap_or_else(|| panic!("{text}"));
        after.chars().take(8).collect::<String>()
    };
    let checked = String::from_utf8_lossy(&second.stdout);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(hash(&resolved.stdout), hash(&first.stdout));
    assert_eq!(hash(&checked), hash(&first.stdout));
    assert!(resolved.stdout.contains("headers.request.x-forwarded-user = \"{user}\"\n"));
    assert!(resolved.stdout.contains("client_secret = { file = \"/no/such/secret\" }\n"));
    assert!(origins.stdout.contains("client_id = \"gate\"  # lychgate.toml:4\n"));
    assert!(origins.stdout.contains("lifetime = \"12h\"  # default\n"));
}

/// C-42, C-45: what an editor needs is in the binary.
#[test]
fn the_binary_prints_every_default_and_its_own_schema() {
    let scratch = Scratch::new();

    let defaults = lychgate(&scratch, ["config", "print", "--defaults"]);
    let schema = lychgate(&scratch, ["config", "schema"]);

    assert_eq!((defaults.code, schema.code), (Some(0), Some(0)));
    let is_comment = |line: &str| line.is_empty() || line.starts_with('#');
    assert!(
        defaults.stdout.lines().all(is_comment) && defaults.stdout.contains("#lifetime = \"12h\"")
    );
    let schema: Value = serde_json::from_str(&schema.stdout).expect("JSON");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["properties"]["sessions"]["properties"]["lifetime"]["default"], "12h");
}

/// A-02: the running process says which configuration it has, and how it is; a secret it says to nobody.
#[tokio::test]
async fn the_running_gateway_says_how_it_is() {
    let house = House::open().await;
    let address = house.gate.admin().to_string();

    let text = lychgate(house.gate.scratch(), ["status"]);
    let by_address =
        lychgate(house.gate.scratch(), ["status", "--address", &address, "--format", "json"]);
    let nobody = lychgate(house.gate.scratch(), ["status", "--address", "127.0.0.1:1"]);
    let checked = lychgate(house.gate.scratch(), ["check", "--offline"]);

    assert_eq!((text.code, by_address.code, nobody.code), (Some(0), Some(0), Some(69)));
    assert!(text.stdout.contains("providers    demo: reachable"), "{}", text.stdout);
    let status: Value = serde_json::from_str(&by_address.stdout).expect("JSON");
    assert_eq!((&status["ready"], &status["checks"]["listeners"]), (&json!(true), &json!("ok")));
    let hash = status["config_hash"].as_str().expect("a hash");
    assert!(checked.stdout.contains(&format!("config_hash {hash}")), "{}", checked.stdout);
    assert!(!text.stdout.contains(CLIENT_SECRET) && !by_address.stdout.contains(CLIENT_SECRET));
}

/// W-10, W-21: at a door for programs, whoever is asked about comes with a token that is good for all that is asked of one.
#[test]
fn a_door_for_programs_is_explained_with_a_token() {
    let api = r#"
[routes.api]
url       = "https://api.example.com"
upstream  = "http://127.0.0.1:3001"
login     = "never"
providers = []
allow     = ["group:staff"]
bearer    = { audience = "https://api.example.com", scopes = ["orders.read"] }
"#;
    let scratch = scratch(&format!("{CONFIGURATION}{api}"));
    let url = "https://api.example.com/orders";
    for (person, decision, status) in [
        (Some("user=ada,groups=staff"), "allow", json!(null)),
        (Some("user=ada,groups=other"), "deny", json!(403)),
        (None, "login", json!(401)),
    ] {
        let arguments = person.map_or_else(|| vec![url], |person| vec!["--as", person, url]);
        let (_, told) = explained(&scratch, &arguments);
        assert_eq!(told["decision"], decision, "{person:?}: {told}");
        assert_eq!(told["status"], status, "{person:?}: {told}");
    }
}
