//! What operators see, and what nobody may see.

use http::{Method, StatusCode};
use lychgate_demo::Fault;
use lychgate_demo::provider::Tamper;
use lychgate_tests::cast::house::{CLIENT_SECRET, House, SESSION_KEY};
use lychgate_tests::cast::raw;
use serde_json::Value;

/// R44, T-40: health and metrics are on the operator's own port.
#[tokio::test]
async fn the_operators_port_tells_health_and_numbers() {
    let house = House::open().await;
    let operator = lychgate_tests::cast::visitor::Visitor::of(&house.gate.admin_url("/"), &[]);
    for (path, expected) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/healthz", 200),
        ("/readyz?verbose", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/debug", 404),
        ("/.lychgate/", 404),
    ] {
        let answer = operator.fetches(path).await;

        assert_eq!(answer.status.as_u16(), expected, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(operator.asks(Method::POST, "/readyz", &[]).await.status, 405);
    let verbose = operator.fetches("/readyz?verbose").await.text();
    assert!(verbose.contains("provider demo: reachable"), "{verbose}");
}

/// T-1: what happened is counted, under the operator's own names.
#[tokio::test]
async fn what_happened_is_counted() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    bob.fetches("/admin/").await;
    house.visitor().fetches("/x").await;
    house.visitor().fetches("/public/x").await;

    let metrics = house.gate.metrics().await;

    for line in [
        "lychgate_logins_total{provider=\"demo\",outcome=\"success\"",
        "lychgate_sessions_created_total{provider=\"demo\"} 1",
        "decision=\"deny\",reason=\"access_not_granted\"} 1",
        "decision=\"login\",reason=\"session_required\"}",
        "decision=\"public\"",
        "lychgate_build_info{",
        "http_server_request_duration_seconds_count{",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    assert!(
        !metrics.contains("/admin/x") && !metrics.contains("bob"),
        "N1: no path and nobody's name"
    );
}

/// T-20, T-21: one line for each request, with what an operator looks for.
#[tokio::test]
async fn a_request_is_one_line_of_json() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;

    let answer = bob
        .asks(
            Method::POST,
            "/page?code=s3cret&page=2",
            &[("user-agent", "story"), ("referer", "https://a.test/?token=s3cret")],
        )
        .await;

    let line = house.gate.access_line(answer.request_id()).await;
    for (field, expected) in [
        ("method", "POST"),
        ("scheme", "http"),
        ("host", house.host()),
        ("path", "/page"),
        ("query_redacted", "code=REDACTED&page=2"),
        ("protocol", "HTTP/1.1"),
        ("upstream", "routes.app"),
        ("route", "app"),
        ("decision", "allow"),
        ("provider", "demo"),
        ("client_ip", "127.0.0.1"),
        ("user_agent", "story"),
        ("referer", "https://a.test/?token=REDACTED"),
    ] {
        assert_eq!(line[field], expected, "{field} in {line}");
    }
    assert_eq!((&line["status"], &line["upstream_status"]), (&200.into(), &200.into()));
    for field in [
        "time",
        "duration_ms",
        "bytes_in",
        "bytes_out",
        "upstream_duration_ms",
        "rule",
        "session",
        "user",
    ] {
        assert!(!line[field].is_null(), "{field} in {line}");
    }
    assert_ne!(line["user"], "bob", "T-31: hashed unless asked otherwise");
    let lines = house.gate.lines();
    let of_request = lines
        .iter()
        .filter(|line| line["request_id"] == answer.request_id() && line["status"].is_u64());
    assert_eq!(of_request.count(), 1);
}

/// What no filter is asked about is seen all the same: a request that is no HTTP, one that is too long, and one that
/// never ends.
#[tokio::test]
async fn what_cannot_be_read_is_written_down_and_counted() {
    let house = House::with("limits.header_timeout = \"1s\"").await;
    let long =
        format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", house.host(), "x".repeat(60_000));
    for (sent, status, reason) in [
        ("nonsense\r\n\r\n", 400, "request_malformed"),
        (long.as_str(), 431, "headers_too_large"),
        ("GET / HTTP/1.1\r\nHost:", 408, "request_timeout"),
    ] {
        let exchange = raw::send(house.gate.address(), sent).await;

        assert_eq!(exchange.statuses(), [status], "{reason}");
        let line = house.gate.line(reason, |line| line["reason"] == reason).await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["peer_ip"], "127.0.0.1", "{line}");
        assert_eq!((&line["listener"], &line["scheme"]), (&"main".into(), &"http".into()));
        assert!(line["time"].is_string(), "{line}");
        let counted = format!(
            "lychgate_connections_refused_total{{listener=\"main\",reason=\"{reason}\"}} 1"
        );
        let metrics = house.gate.metrics().await;
        assert!(metrics.contains(&counted), "{counted} in\n{metrics}");
    }
}

/// T-14: page, logs and application know a request under one id; a stranger cannot choose it.
#[tokio::test]
async fn a_request_has_one_id_everywhere() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;

    let answer = bob.asks(Method::GET, "/x", &[("x-request-id", "chosen-by-a-stranger")]).await;

    assert_ne!(answer.request_id(), "chosen-by-a-stranger");
    assert_eq!(answer.echoed("x-request-id").as_deref(), Some(answer.request_id()));
    assert_eq!(house.gate.access_line(answer.request_id()).await["path"], "/x");
}

/// T-30, T-31: who signed in is told in the audit log as the operator wants it.
#[tokio::test]
async fn the_audit_log_names_people_as_the_operator_wants() {
    for (fields, expected_name) in [("plain", Some("bob")), ("hashed", None), ("none", None)] {
        let house = House::with(&format!("telemetry.user_fields = \"{fields}\"")).await;
        house.signed_in("bob").await;

        let event = house.gate.line("a sign-in", |line| {
            line["event"]["action"] == "login" && line["event"]["outcome"] == "success"
        });
        let event = event.await;

        assert_eq!(event["user"]["name"].as_str(), expected_name, "{fields}: {event}");
        assert_eq!(event["user"]["hash"].is_string(), fields == "hashed", "{fields}: {event}");
        assert_eq!(event["lychgate"]["provider"], "demo");
        assert_eq!(event["event"]["category"], serde_json::json!(["authentication"]));
        let output = house.gate.output();
        assert!(fields == "plain" || !output.contains("bob@demo.example"), "{fields}: {output}");
    }
}

/// N1: of everything that opens something, nothing is printed, counted or shown; in fair weather and in foul,
/// and however talkative the log is.
#[tokio::test]
async fn nothing_that_opens_something_is_printed_anywhere() {
    let house = House::with("telemetry.log.level = \"trace\"").await;
    let bob = house.visitor();
    let mut pages = Vec::new();
    let mut secrets = vec![CLIENT_SECRET.to_owned(), SESSION_KEY.to_owned()];

    // In fair weather, twice, and out again; then each fault.
    for fault in [
        None,
        None,
        Some(Fault::Nonce),
        Some(Fault::Audience),
        Some(Fault::Clock),
        Some(Fault::HugeGroups),
    ] {
        house.provider.set(|control| control.fault = fault);
        bob.forgets_everything();
        let callback = bob.comes_back_as("bob", "/page?code=canary-in-a-query").await;
        secrets.extend(bob.cookies().into_iter().map(|(_, value)| value));
        secrets.extend(
            callback
                .query_pairs()
                .filter(|(name, _)| name != "iss")
                .map(|(_, value)| value.into_owned()),
        );
        let answer = bob.opens(callback.as_str()).await;
        secrets.extend(bob.cookies().into_iter().map(|(_, value)| value));
        pages.push(bob.follows(answer).await.text());
        pages.push(bob.opens(callback.as_str()).await.text());
        pages.push(bob.opens("/.lychgate/").await.text());
        pages.push(bob.fetches("/.lychgate/me").await.text());
        pages.push(bob.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await.text());
    }
    house.provider.set(|control| {
        control.fault = None;
        control.tamper = vec![Tamper::Raw("canary.of.a-token".to_owned())];
    });
    pages.push(house.visitor().signs_in_as("bob", "/").await.text());
    for request in house.provider.requests() {
        for name in ["state", "nonce", "code", "code_verifier", "client_secret", "id_token_hint"] {
            secrets.extend(request.query_parameter(name));
            secrets.extend(request.form_parameter(name));
        }
        secrets.extend(
            request.header("authorization").and_then(|it| it.split(' ').nth(1)).map(str::to_owned),
        );
    }
    secrets.push("canary.of.a-token".to_owned());
    secrets.retain(|secret| secret.len() >= 8);
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() >= 30, "{}", secrets.len());

    let (output, metrics) = (house.gate.output(), house.gate.metrics().await);
    // A link to try again leads to where the person wanted to go, so theirs is on the page and nowhere else.
    assert!(
        !output.contains("canary-in-a-query") && !metrics.contains("canary-in-a-query"),
        "{output}"
    );
    for secret in &secrets {
        for (place, text) in [("output", &output), ("metrics", &metrics)] {
            assert!(
                !text.contains(secret.as_str()),
                "{secret} is in the {place}:\n{}",
                around(text, secret)
            );
        }
        let shown = pages.iter().find(|page| {
            page.contains(secret.as_str()) && !page.contains("This is the sample application")
        });
        assert!(shown.is_none(), "{secret} is on a page: {shown:?}");
    }
    assert!(!output.contains("panicked"), "{output}");
}

/// The line in which something stands that must not.
fn around<'a>(text: &'a str, secret: &str) -> &'a str {
    text.lines().find(|line| line.contains(secret)).unwrap_or_default()
}

/// N2: one request is one line, whatever it says of itself.
#[tokio::test]
async fn nothing_that_is_sent_makes_a_second_line() {
    let house = House::with("telemetry.user_fields = \"plain\"").await;
    house.provider.set(|control| {
        control.tamper = vec![Tamper::set_claim(
            "preferred_username",
            "bob\r\n{\"forged\":true}\u{2028}\u{1b}[31m",
        )];
    });
    let bob = house.visitor();
    bob.signs_in_as("bob", "/").await;
    let message = format!(
        "GET /public/%0d%0a%7B%22forged%22:true%7D?x=%0a\u{1b}\" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        host = house.host()
    );
    raw::send(house.gate.address(), message).await;
    let message = format!(
        "GET /public/last HTTP/1.1\r\nHost: {}\r\nUser-Agent: a\t\u{2028}\"}}{{\"forged\":true\r\n\
         Referer: https://a.test/\"}}\\u000a{{\"forged\":true\r\nX: \u{9b}2J\r\nConnection: close\r\n\r\n",
        house.host()
    );
    raw::send(house.gate.address(), message).await;

    house.gate.line("the last request", |line| line["path"] == "/public/last").await;

    // What is wrong with the configuration is said to people, before there is a log.
    for line in house.gate.output().lines().skip_while(|line| !line.starts_with('{')) {
        let parsed = serde_json::from_str::<Value>(line);
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(parsed["forged"].is_null(), "{line:?}");
        assert!(!line.chars().any(|it| it.is_control() || it == '\u{2028}'), "{line:?}");
    }
}

/// C-79, T-21: logs that are sent to files are in files, and nowhere else.
#[tokio::test]
async fn logs_go_where_the_operator_wants_them() {
    let house = House::with(
        "[telemetry]\naccess_log = { output = \"./access.jsonl\", exclude_paths = [\"/public/health\"] }\n\
         audit_log = { output = \"./audit.jsonl\" }",
    )
    .await;
    let mut gate = house.gate;
    let nobody = lychgate_tests::cast::visitor::Visitor::of(gate.url(), &[house.provider.issuer()]);
    nobody.fetches("/public/health").await;
    let answer = nobody.fetches("/public/seen").await;
    nobody.opens("/").await;

    gate.terminate().await;

    let access = gate.scratch().read("access.jsonl");
    assert!(access.contains(answer.request_id()) && !access.contains("/public/health"), "{access}");
    assert!(access.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{access}");
    let audit = gate.scratch().read("audit.jsonl");
    assert!(audit.contains("login-started"), "{audit}");
    assert!(!gate.output().contains("lychgate.audit"), "{}", gate.output());
}

/// The token of the operator's port is asked for where there is one.
#[tokio::test]
async fn metrics_are_told_to_whoever_has_the_token() {
    let house = House::with("admin.token = \"a-token-for-prometheus\"").await;
    let operator = lychgate_tests::cast::visitor::Visitor::of(&house.gate.admin_url("/"), &[]);
    for (token, expected) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("Bearer wrong"), StatusCode::UNAUTHORIZED),
        (Some("Basic a-token-for-prometheus"), StatusCode::UNAUTHORIZED),
        (Some("Bearer a-token-for-prometheus"), StatusCode::OK),
    ] {
        let headers: Vec<_> = token.iter().map(|token| ("authorization", *token)).collect();

        let answer = operator.asks(Method::GET, "/metrics", &headers).await;

        assert_eq!(answer.status, expected, "{token:?}");
    }
    assert!(!house.gate.output().contains("a-token-for-prometheus"));
}
