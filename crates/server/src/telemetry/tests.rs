//! What the logs and the metrics say of a request.

use std::path::PathBuf;

use http::Method;
use lychgate_config::config::{AccessLog, LogFormat, LogLevel, LogOutput, UserFields};
use lychgate_gateway::forwarded::Peer;
use lychgate_gateway::headers::IdentityHeaders;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::outcome::{DecisionWord, Event, Leg, LegKind};
use lychgate_gateway::request::Transport;
use lychgate_gateway::route::{Access, OnExpiry, Route, Routes};
use lychgate_gateway::session::Session;
use lychgate_oidc::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::metrics::FAMILIES;
use super::provider_requests::{FetchOutcome, ProviderEndpoint};
use super::*;
use crate::turned_away::Cause;

/// Text that would end a line, steer a terminal, or break out of JSON.
const HOSTILE: &str = "x\r\n{\"forged\":true}\u{1b}[2J\u{9b}31m\u{2028}\u{202e}\\\"";

fn route() -> Route {
    Route {
        name: "wiki".to_owned(),
        origin: PublicOrigin::of(&Url::parse("https://wiki.example.com").unwrap()).unwrap(),
        path: "/w".to_owned(),
        upstream: "wiki".to_owned(),
        upstream_path: String::new(),
        providers: vec!["corp".to_owned()],
        rules: Vec::new(),
        access: Access::Public,
        identity: IdentityHeaders::default(),
        response_headers: Vec::new(),
        body_bytes_max: None,
        clients: lychgate_gateway::clients::ClientRules::default(),
        websocket_origins: Vec::new(),
        on_expiry: OnExpiry::Close,
    }
}

fn session(user: &str) -> Arc<Session> {
    let session = serde_json::from_value(json!({
        "id": vec![7; 16], "login": vec![7; 12], "begun_at": 0, "ends_at": 9, "seen_at": 0, "id_token": "eyJ.hidden.token",
        "identity": {
            "provider": "corp", "issuer": "https://id.test", "subject": "s-1", "subject_type": "Claim", "user": user, "name": "Ada L.",
            "email": "ada@example.com", "email_verified": "Yes", "groups": ["staff"], "claims": {},
        },
    }));
    Arc::new(session.unwrap())
}

fn metrics() -> Arc<Metrics> {
    let routes = Routes::new(vec![route()], None).unwrap();
    let metrics = Metrics::new(&routes, ["corp"], "c0ffee", SystemTime::UNIX_EPOCH);
    Arc::new(metrics.with_listeners(["main"]))
}

/// Logs in a directory of their own, which is removed at the end.
struct Logs {
    directory: PathBuf,
    telemetry: Telemetry,
}

impl Logs {
    fn new(name: &str, user_fields: UserFields) -> Self {
        let directory =
            std::env::temp_dir().join(format!("telemetry-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = config::Telemetry {
            log_level: LogLevel::Info,
            log_format: LogFormat::Auto,
            access_log: AccessLog {
                output: LogOutput::File(directory.join("access")),
                exclude_paths: vec![PathPattern::parse("/health/**").unwrap()],
            },
            audit_log: LogOutput::File(directory.join("audit")),
            user_fields,
        };
        let telemetry = Telemetry::new(&config, &[7; 32], "c0ffee", metrics()).unwrap();
        Self { directory, telemetry }
    }

    /// The lines of a log, each of which has to be one JSON object.
    fn lines(&self, name: &str) -> Vec<Value> {
        self.telemetry.flush(Duration::from_secs(30));
        let text = std::fs::read_to_string(self.directory.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// K7, K6, J: what no filter ever sees is counted and written down, with what is known.
#[test]
fn a_connection_that_is_turned_away_is_one_line_and_one_more() {
    let logs = Logs::new("turned-away", UserFields::Hashed);
    logs.telemetry.turned_away(&TurnedAway {
        listener: "main",
        transport: Transport::Tls,
        peer: Peer::Address([192, 0, 2, 7].into()),
        cause: Cause::RequestMalformed,
    });

    let lines = logs.lines("access");
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
    for (field, expected) in [
        ("peer_ip", json!("192.0.2.7")),
        ("listener", json!("main")),
        ("scheme", json!("https")),
        ("status", json!(400)),
        ("reason", json!("request_malformed")),
    ] {
        assert_eq!(lines[0][field], expected, "{field}");
    }
    let text = logs.telemetry.metrics().expose(Format::Prometheus);
    for line in [
        "lychgate_connections_refused_total{listener=\"main\",reason=\"request_malformed\"} 1",
        "lychgate_connections_refused_total{listener=\"main\",reason=\"request_timeout\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

fn finished<'a>(method: &'a Method, record: &'a Record) -> Finished<'a> {
    Finished {
        request_id: "0123456789abcdef",
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_224_919_042),
        client: Some([192, 0, 2, 7].into()),
        peer: Some([10, 0, 0, 1].into()),
        method,
        scheme: "https",
        authority: "wiki.example.com",
        path: "/w/page",
        query: Some("a=1&code=s3cret"),
        protocol: "HTTP/2",
        status: 200,
        bytes_in: 0,
        bytes_out: 512,
        duration: Duration::from_micros(12_345),
        upstream: Some("wiki"),
        upstream_status: Some(200),
        upstream_duration: Some(Duration::from_millis(12)),
        user_agent: Some("curl/8"),
        referer: Some("https://wiki.example.com/?state=s3cret"),
        error: None,
        record,
    }
}

fn allowed(user: &str) -> Record {
    Record {
        route: Some(Arc::new(route())),
        rule: Some("wiki".to_owned()),
        decision: DecisionWord::Allow,
        provider: Some("corp".to_owned()),
        session: Some(session(user)),
        ..Record::default()
    }
}

fn denied() -> Record {
    Record {
        decision: DecisionWord::Deny,
        reason: Some(Reason::AccessDenied),
        event: Some(Event::AccessDenied),
        ..allowed("ada")
    }
}

/// T-21, T-11.
#[test]
fn a_line_of_the_access_log_has_every_field_that_exists() {
    let logs = Logs::new("fields", UserFields::Plain);

    logs.telemetry.finished(&finished(&Method::GET, &allowed("ada")));

    assert_eq!(
        logs.lines("access"),
        [json!({
            "time": "2026-11-21T01:35:19.042Z", "request_id": "0123456789abcdef",
            "client_ip": "192.0.2.7", "peer_ip": "10.0.0.1", "method": "GET", "scheme": "https",
            "host": "wiki.example.com", "path": "/w/page", "query_redacted": "a=1&code=REDACTED",
            "protocol": "HTTP/2", "status": 200, "bytes_in": 0, "bytes_out": 512, "duration_ms": 12.345,
            "upstream": "wiki", "upstream_status": 200, "upstream_duration_ms": 12.0,
            "route": "wiki", "rule": "wiki", "decision": "allow", "user": "ada", "provider": "corp",
            "session": "07070707", "user_agent": "curl/8",
            "referer": "https://wiki.example.com/?state=REDACTED",
        })]
    );
    assert_eq!(logs.lines("audit"), Vec::<Value>::new());
}

/// T-22, N2, CB-63.
#[test]
fn one_request_is_one_line_whatever_is_in_it() {
    let logs = Logs::new("hostile", UserFields::Plain);
    let record = Record { session: Some(session(HOSTILE)), ..denied() };

    logs.telemetry.finished(&Finished {
        path: HOSTILE,
        authority: HOSTILE,
        query: Some(HOSTILE),
        user_agent: Some(HOSTILE),
        referer: Some(HOSTILE),
        error: Some(HOSTILE),
        ..finished(&Method::GET, &record)
    });

    for name in ["access", "audit"] {
        let lines = logs.lines(name);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let text = std::fs::read_to_string(logs.directory.join(name)).unwrap();
        assert!(
            text.trim_end_matches('\n').chars().all(|character| !character.is_control()),
            "{text:?}"
        );
        assert!(!text.contains(['\u{2028}', '\u{202e}']), "{text:?}");
    }
    assert_eq!(logs.lines("access")[0]["user_agent"], HOSTILE);
    assert_eq!(logs.lines("audit")[0]["url"]["path"], HOSTILE);
}

/// T-32, T-30.
#[test]
fn a_denied_request_has_exactly_one_audit_event() {
    let logs = Logs::new("denied", UserFields::Plain);

    logs.telemetry.finished(&finished(&Method::GET, &denied()));
    logs.telemetry.finished(&finished(&Method::GET, &Record { event: None, ..denied() }));

    let events = logs.lines("audit");
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!(event["event"]["reason"], "access_denied");
        assert_eq!(event["event"]["category"], json!(["web"]));
        assert_eq!(event["event"]["type"], json!(["access", "denied"]));
        assert_eq!(event["http"]["request"]["id"], "0123456789abcdef");
        assert_eq!(event["user"]["id"], "https://id.test|s-1");
        assert_eq!(event["lychgate"]["config_hash"], "c0ffee");
        assert!(event["lychgate"].get("flow").is_none(), "what does not exist is left out");
    }
}

/// CB-61, in the schema's words.
#[test]
fn every_event_has_its_action_and_outcome() {
    let flow = || "flow-1".to_owned();
    let logs = Logs::new("events", UserFields::None);
    let table = [
        (Event::LoginStarted { flow: flow() }, "login-started", "unknown", json!(["info"])),
        (Event::LoginSucceeded { flow: flow() }, "login", "success", json!(["start"])),
        (Event::LoginFailed { flow: Some(flow()) }, "login", "failure", json!(["start"])),
        (Event::LoginFailed { flow: None }, "login", "failure", json!(["start"])),
        (Event::LoginReplayed { flow: flow() }, "login-replay", "failure", json!(["info"])),
        (Event::Logout, "logout", "success", json!(["end"])),
        (Event::Refreshed, "token-refresh", "success", json!(["info"])),
        (Event::RefreshFailed, "token-refresh", "failure", json!(["info"])),
    ];
    // Whatever began with a session belongs to the login of that session.
    let login = session("ada").login().text();

    for (event, ..) in &table {
        let cause = Some("the nonce is not this login's".to_owned());
        let record = Record { event: Some(event.clone()), cause, ..allowed("ada") };
        logs.telemetry.finished(&finished(&Method::GET, &record));
    }

    let lines = logs.lines("audit");
    assert_eq!(lines.len(), table.len());
    for (line, (event, action, outcome, types)) in lines.iter().zip(table) {
        assert!(is_listed(line), "{line}");
        assert_eq!(line["event"]["action"], action, "{event:?}");
        assert_eq!(line["event"]["outcome"], outcome, "{event:?}");
        assert_eq!(line["event"]["type"], types, "{event:?}");
        assert_eq!(line["@timestamp"], "2026-11-21T01:35:19.042Z", "{event:?}");
        assert_eq!(line["client"]["ip"], "192.0.2.7", "{event:?}");
        assert_eq!(line["error"]["message"], "the nonce is not this login's", "{event:?}");
        assert_eq!(line["lychgate"]["provider"], "corp", "{event:?}");
        let flow = match event {
            Event::AccessDenied | Event::LoginFailed { flow: None } | Event::TokenRefused => {
                Value::Null
            }
            Event::Logout | Event::Refreshed | Event::RefreshFailed => json!(login),
            Event::LoginFailed { flow: Some(_) }
            | Event::LoginReplayed { .. }
            | Event::LoginStarted { .. }
            | Event::LoginSucceeded { .. } => json!("flow-1"),
        };
        assert_eq!(line["lychgate"]["flow"], flow, "{event:?}");
        assert!(line.get("user").is_none(), "{event:?}");
    }
}

/// CB-61: what is done in a login is told before how it ended, each with its outcome, the login, the address and what
/// the provider took, and without saying who it may be.
#[test]
fn the_parts_of_a_login_are_told_before_its_end() {
    let logs = Logs::new("legs", UserFields::Plain);
    let (flow, took) = (Some("flow-1".to_owned()), Some(Duration::from_micros(1500)));
    let leg = |kind, reason, took| Leg { kind, flow: flow.clone(), reason, took };
    let ended = Event::LoginFailed { flow: flow.clone() };
    let (nonce, down) = (Some(Reason::NonceMismatch), Some(Reason::ProviderUnavailable));
    let legs = vec![
        leg(LegKind::RequestPushed, None, took),
        leg(LegKind::RequestPushed, down, took),
        leg(LegKind::CallbackReceived, None, None),
        leg(LegKind::CodeExchanged, down, took),
        leg(LegKind::CodeExchanged, None, took),
        leg(LegKind::IdTokenRefused, nonce, None),
    ];
    let record = Record {
        event: Some(ended),
        reason: nonce,
        cause: Some("`nonce` is not that".to_owned()),
        provider_error: Some("access_denied".to_owned()),
        legs,
        ..allowed("ada")
    };

    logs.telemetry.finished(&finished(&Method::GET, &record));

    let lines = logs.lines("audit");
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let [action, outcome, reason, duration, cause, code] = [
                "/event/action",
                "/event/outcome",
                "/event/reason",
                "/event/duration",
                "/error/message",
                "/error/code",
            ]
            .map(|path| line.pointer(path).cloned().unwrap_or_default());
            json!([action, outcome, reason, duration, cause, code])
        })
        .collect();
    let (nonce, why, code) = ("nonce_mismatch", "`nonce` is not that", "access_denied");
    let (down, none) = ("provider_unavailable", Value::Null);
    assert_eq!(
        told,
        [
            json!(["pushed-request", "success", none, 1_500_000, none, none]),
            json!(["pushed-request", "failure", down, 1_500_000, why, code]),
            json!(["callback", "unknown", none, none, none, none]),
            json!(["code-exchange", "failure", down, 1_500_000, why, code]),
            json!(["code-exchange", "success", none, 1_500_000, none, none]),
            json!(["id-token", "failure", nonce, none, why, code]),
            json!(["login", "failure", nonce, none, why, code]),
        ]
    );
    let ids: std::collections::HashSet<_> =
        lines.iter().map(|line| line["event"]["id"].to_string()).collect();
    assert_eq!(ids.len(), lines.len());
    for line in &lines {
        assert_eq!(line["lychgate"]["flow"], "flow-1", "{line}");
        assert_eq!(line["lychgate"]["provider"], "corp", "{line}");
        assert_eq!(line["client"]["ip"], "192.0.2.7", "{line}");
        assert_eq!(line["http"]["request"]["id"], "0123456789abcdef", "{line}");
        assert_eq!(line.get("user").is_some(), line["event"]["action"] == "login", "{line}");
        assert!(is_listed(line), "{line}");
    }
}

/// Whether the reference knows an event.
fn is_listed(line: &Value) -> bool {
    audit_log::EVENTS.iter().any(|(action, outcome, _)| {
        line["event"]["action"] == *action && line["event"]["outcome"] == *outcome
    })
}

/// T-31: the same person correlates, and nobody can be read.
#[test]
fn hashed_people_are_recognisable_and_unknown() {
    let logs = Logs::new("hashed", UserFields::Hashed);

    for user in ["ada", "renamed"] {
        logs.telemetry.finished(&finished(
            &Method::GET,
            &Record { session: Some(session(user)), ..denied() },
        ));
    }

    let hashes: Vec<_> = logs.lines("access").iter().map(|line| line["user"].clone()).collect();
    assert_eq!(hashes[0], hashes[1], "issuer and subject are the person, whatever the name");
    assert_eq!(hashes[0].as_str().unwrap().len(), 32);
    assert_eq!(logs.lines("audit")[0]["user"], json!({ "hash": hashes[0] }));
    for name in ["access", "audit"] {
        let text = std::fs::read_to_string(logs.directory.join(name)).unwrap();
        assert!(
            ["ada", "s-1", "example.com\"", "staff", "eyJ"]
                .iter()
                .all(|known| { !text.replace("wiki.example.com", "").contains(known) }),
            "{text}"
        );
    }
    let other_key = People::new(UserFields::Hashed, &[8; 32]);
    let person::Named::Hash(other) = other_key.name(Some(session("ada").identity())) else {
        panic!()
    };
    assert_ne!(hashes[0], other.as_str());
}

#[test]
fn people_can_be_left_out_altogether() {
    let logs = Logs::new("nobody", UserFields::None);

    logs.telemetry.finished(&finished(&Method::GET, &denied()));

    assert!(logs.lines("access")[0].get("user").is_none());
    assert!(logs.lines("audit")[0].get("user").is_none());
}

/// T-23. The audit log leaves nothing out.
#[test]
fn excluded_paths_are_left_out_of_the_access_log_only() {
    let logs = Logs::new("excluded", UserFields::None);

    logs.telemetry
        .finished(&Finished { path: "/health/live", ..finished(&Method::GET, &denied()) });

    assert_eq!(logs.lines("access"), Vec::<Value>::new());
    assert_eq!(logs.lines("audit").len(), 1);
}

/// K7: who begins more logins than one client may is told to the audit log ten times a minute; everything else is told
/// however often it happens.
#[test]
fn strangers_without_number_do_not_fill_the_audit_log() {
    let logs = Logs::new("flood", UserFields::None);
    let too_many = Record {
        reason: Some(Reason::LoginsTooMany),
        event: Some(Event::LoginFailed { flow: None }),
        ..Record::default()
    };

    for _ in 0..25 {
        logs.telemetry.finished(&finished(&Method::GET, &too_many));
        logs.telemetry.finished(&finished(&Method::GET, &denied()));
    }

    let audit = logs.lines("audit");
    let told = |reason: &str| audit.iter().filter(|line| line["event"]["reason"] == reason).count();
    assert_eq!((told("logins_too_many"), told("access_denied")), (10, 25), "{audit:?}");
    assert_eq!(logs.lines("access").len(), 50);
}

fn ended<'a>(method: &'a Method, status: u16, record: &'a Record) -> Ended<'a> {
    let upstream = Some((Duration::from_millis(3), Some(status)));
    Ended { method, status, duration: Duration::from_millis(4), upstream, record, active: None }
}

/// T-01, T-03: the numbers, by labels that no visitor can choose.
#[test]
fn a_request_is_counted_by_route_method_status_and_decision() {
    let metrics = metrics();
    let odd = Method::from_bytes(b"BREW").unwrap();
    let nowhere = Record { reason: Some(Reason::NoSuchSite), ..Record::default() };

    metrics.ended(&ended(&Method::GET, 200, &allowed("ada")));
    metrics.ended(&ended(&Method::GET, 403, &denied()));
    metrics.ended(&ended(&odd, 799, &nowhere));
    let _active = metrics.active(Some(&route()));
    drop(metrics.active(None));

    let text = metrics.expose(Format::Prometheus);
    for line in [
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"/w/*\",lychgate_route=\"wiki\"} 1",
        "http_server_request_duration_seconds_count{http_request_method=\"_OTHER\",http_response_status_code=\"_OTHER\",http_route=\"\",lychgate_route=\"_unmatched\"} 1",
        "http_server_active_requests{lychgate_route=\"wiki\"} 1",
        "http_server_active_requests{lychgate_route=\"_unmatched\"} 0",
        "http_client_request_duration_seconds_count{http_response_status_code=\"403\",lychgate_route=\"wiki\"} 1",
        "lychgate_decisions_total{route=\"wiki\",rule=\"wiki\",decision=\"allow\",reason=\"\"} 1",
        "lychgate_decisions_total{route=\"wiki\",rule=\"wiki\",decision=\"deny\",reason=\"access_denied\"} 1",
        "lychgate_decisions_total{route=\"_unmatched\",rule=\"\",decision=\"own\",reason=\"no_such_site\"} 1",
        "lychgate_config_info{version=\"0.1.0\",hash=\"c0ffee\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// CB-64, CB-65.
#[test]
fn logins_sessions_and_provider_requests_are_counted_by_provider() {
    let metrics = metrics();
    let count = |event, reason, provider: &str| {
        let record = Record {
            event: Some(event),
            reason,
            provider: Some(provider.to_owned()),
            ..Record::default()
        };
        metrics.ended(&ended(&Method::GET, 303, &record));
    };
    let flow = || "flow".to_owned();

    count(Event::LoginStarted { flow: flow() }, None, "corp");
    count(Event::LoginSucceeded { flow: flow() }, None, "corp");
    count(Event::LoginFailed { flow: None }, Some(Reason::NonceMismatch), "corp");
    count(Event::LoginReplayed { flow: flow() }, Some(Reason::LoginAlreadyUsed), "corp");
    count(Event::Logout, None, "corp");
    count(Event::Logout, None, "a stranger's word");
    let refused = FetchOutcome::of(http::StatusCode::BAD_REQUEST);
    metrics.provider_request("corp", ProviderEndpoint::Token, refused, Duration::from_millis(40));
    metrics.keys_read("corp", Timestamp::new(1_795_224_919));

    let text = metrics.expose(Format::OpenMetrics);
    for line in [
        "lychgate_logins_total{provider=\"corp\",outcome=\"started\",reason=\"\"} 1",
        "lychgate_logins_total{provider=\"corp\",outcome=\"success\",reason=\"\"} 1",
        "lychgate_logins_total{provider=\"corp\",outcome=\"failure\",reason=\"nonce_mismatch\"} 1",
        "lychgate_logins_total{provider=\"corp\",outcome=\"failure\",reason=\"login_already_used\"} 1",
        "lychgate_logouts_total{provider=\"corp\"} 1",
        "lychgate_logouts_total{provider=\"_OTHER\"} 1",
        "lychgate_sessions_created_total{provider=\"corp\"} 1",
        "lychgate_provider_requests_total{provider=\"corp\",endpoint=\"token\",outcome=\"refused\"} 1",
        "lychgate_provider_requests_total{provider=\"corp\",endpoint=\"jwks\",outcome=\"success\"} 0",
        "lychgate_provider_request_duration_seconds_count{provider=\"corp\",endpoint=\"token\"} 1",
        "lychgate_provider_jwks_last_success_timestamp_seconds{provider=\"corp\"} 1795224919",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// T-03: ten thousand visitors with ideas of their own make no series.
#[test]
fn strangers_make_no_series() {
    let metrics = metrics();
    let visit = |number: u32| {
        let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
        let record = Record {
            rule: Some(format!("rule-{number}")),
            provider: Some(format!("p-{number}")),
            ..Record::default()
        };
        metrics.ended(&ended(&method, 700 + u16::try_from(number % 200).unwrap(), &record));
    };

    visit(0);
    let before = metrics.expose(Format::Prometheus).lines().count();
    (1..10_000).for_each(visit);

    assert_eq!(metrics.expose(Format::Prometheus).lines().count(), before);
}

/// T-04, and the conventions of Prometheus for names.
#[test]
fn every_metric_is_exposed_under_a_conventional_name() {
    let text = metrics().expose(Format::Prometheus);
    for family in FAMILIES {
        let name = family.name;
        assert!(text.contains(&format!("# TYPE {name} {}\n", family.kind.as_str())), "{name}");
        assert!(text.contains(&format!("# HELP {name} {}\n", family.help)), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind.as_str() == "counter", "{name}");
        assert!(name.strip_suffix("_total").unwrap_or(name).ends_with(family.unit), "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\']), "{name}");
    }
}

/// R35: lines that a log could not take are seen where somebody looks.
#[test]
fn lost_lines_are_counted_in_the_metrics() {
    let config = config::Telemetry {
        log_level: LogLevel::Info,
        log_format: LogFormat::Auto,
        access_log: AccessLog { output: LogOutput::None, exclude_paths: Vec::new() },
        audit_log: LogOutput::File(PathBuf::from("/dev/full")),
        user_fields: UserFields::None,
    };
    let telemetry = Telemetry::new(&config, &[7; 32], "c0ffee", metrics()).unwrap();

    telemetry.finished(&finished(&Method::GET, &denied()));
    telemetry.flush(Duration::from_secs(30));

    let text = telemetry.metrics().expose(Format::Prometheus);
    assert!(text.contains("\nlychgate_audit_dropped_total 1\n"), "{text}");
    assert!(text.contains("\nlychgate_log_lines_dropped_total{log=\"audit\"} 1\n"), "{text}");
}
