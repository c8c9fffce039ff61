//! What the audit log tells of a login: each part of it, how that ended and what the provider took (CB-61).

use lychgate_tests::cast::visitor::Answer;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::uae;

/// CB-61: from the request that is pushed to the session, and the same for what goes wrong on the way. Who it is, is said
/// at the end, where it was verified.
#[tokio::test]
async fn a_login_is_told_part_by_part() {
    let (stage, secrets) = uae::stage().await;
    let visitor = stage.visitor();

    let away = visitor.opens("/page").await;
    let begun = lines_about(&stage, &away).await;
    let provider = away.location().expect("it leads to the provider");
    let callback = visitor.opens(provider.as_str()).await;
    let arrived = visitor.opens(callback.header("location")).await;
    let ended = lines_about(&stage, &arrived).await;

    assert_eq!(told(&begun), ["pushed-request success", "login-started unknown"]);
    assert_eq!(told(&ended), ["callback unknown", "code-exchange success", "login success"]);
    let flow = begun[0]["lychgate"]["flow"].as_str().expect("a login has a name");
    for line in begun.iter().chain(&ended) {
        assert_eq!(line["lychgate"]["flow"], flow, "{line}");
        assert_eq!(line["lychgate"]["provider"], "bank", "{line}");
        assert!(line["@timestamp"].is_string() && line["client"]["ip"].is_string(), "{line}");
        let asked = ["code-exchange", "pushed-request"].map(Value::from);
        let took = line["event"]["duration"].as_u64().is_some_and(|nanoseconds| nanoseconds > 0);
        assert_eq!(took, asked.contains(&line["event"]["action"]), "{line}");
        let ends = line["event"]["action"] == "login";
        assert_eq!(line.get("user").is_some(), ends, "{line}");
        assert_eq!(line["lychgate"]["session"].is_string(), ends, "{line}");
    }
    stage.signs_in().await;
    stage.ends(&secrets).await;
}

/// CB-61: what fails is told as what it is, with the reason of the page, and what succeeded before it as that.
#[tokio::test]
async fn a_login_that_fails_is_told_up_to_where_it_failed() {
    let (stage, secrets) = uae::stage().await;

    stage.simulator.switch_once("par_500", &json!({})).await;
    let away = stage.visitor().opens("/page").await;
    let lines = lines_about(&stage, &away).await;
    assert_eq!(told(&lines), ["pushed-request failure", "login failure"]);
    assert!(
        lines.iter().all(|line| line["event"]["reason"] == "provider_unavailable"),
        "{lines:?}"
    );
    assert!(lines[0]["event"]["duration"].as_u64().is_some(), "{lines:?}");

    for (switch, expected, reason, code) in [
        ("deny", &["callback unknown", "login failure"][..], "provider_denied", "access_denied"),
        ("wrong_iss", &["callback unknown", "login failure"], "issuer_mismatch", ""),
        (
            "token_500",
            &["callback unknown", "code-exchange failure", "login failure"],
            "token_exchange_failed",
            "",
        ),
        (
            "id_token_nonce_wrong",
            &["callback unknown", "code-exchange success", "id-token failure", "login failure"],
            "nonce_mismatch",
            "",
        ),
    ] {
        stage.simulator.switch_once(switch, &json!({})).await;
        let back = stage.returns().await;
        let answer = back.arrives().await;

        let lines = lines_about(&stage, &answer).await;

        assert_eq!(told(&lines), expected, "{switch}");
        for line in &lines {
            let failed = line["event"]["outcome"] == "failure";
            assert_eq!(line["event"]["reason"] == reason, failed, "{switch}: {line}");
            assert_eq!(line["error"]["message"].is_string(), failed, "{switch}: {line}");
            let said = line["error"]["code"].as_str().unwrap_or_default();
            assert_eq!(said, if failed { code } else { "" }, "{switch}: {line}");
            assert_eq!(line["lychgate"]["flow"], lines[0]["lychgate"]["flow"], "{switch}: {line}");
            assert!(line.get("user").is_none(), "{switch}: {line}");
        }
    }
    stage.signs_in().await;
    stage.ends(&secrets).await;
}

/// What the audit log says about this request, in order: its last line is the event.
async fn lines_about(stage: &Stage, answer: &Answer) -> Vec<Value> {
    let id = answer.request_id();
    stage.gate.audit_event(id).await;
    let about = |line: &Value| {
        line["event"]["dataset"] == "lychgate.audit" && line["http"]["request"]["id"] == id
    };
    stage.gate.lines().into_iter().filter(about).collect()
}

/// Action and outcome of each.
fn told(lines: &[Value]) -> Vec<String> {
    let word = |line: &Value, name: &str| line["event"][name].as_str().unwrap_or("-").to_owned();
    lines.iter().map(|line| format!("{} {}", word(line, "action"), word(line, "outcome"))).collect()
}
