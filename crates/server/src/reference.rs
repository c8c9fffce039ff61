//! The reference pages that are written by the program itself, and a test that they say what it does.
//!
//! `UPDATE_DOCS=1 cargo test -p lychgate-server reference` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use lychgate_gateway::reason::{Reason, Remedy};

use crate::telemetry::audit_log::EVENTS;
use crate::telemetry::metrics::FAMILIES;
use crate::turned_away::Cause;

fn metrics() -> String {
    let mut page = "# Metrics\n\n\
        <!-- Written by the test `the_reference_says_what_the_program_does`; do not edit. -->\n\n\
        `/metrics` on the admin address exposes these, as OpenMetrics to whoever asks for it by `Accept`, and in the\n\
        text format of Prometheus otherwise. Removing or renaming one is a breaking change.\n\n\
        Labels come from the configuration and from closed vocabularies. What has no route is `_unmatched`; methods,\n\
        statuses and providers that nobody knows are `_OTHER`. Histograms have buckets from 5 ms to 10 s.\n\n\
        | Name | Type | Unit | Labels | Meaning |\n|---|---|---|---|---|\n"
        .to_owned();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            family.name,
            family.kind.as_str(),
            family.unit,
            labels.join(", "),
            family.help
        )
        .unwrap();
    }
    page
}

fn reasons() -> String {
    let mut page = "# Reasons\n\n\
        <!-- Written by the test `the_reference_says_what_the_program_does`; do not edit. -->\n\n\
        When a visit does not go through, one code says why: on the page, as `code` in the problem document, as\n\
        `reason` in the logs and in the metrics. A code never changes its meaning. What went wrong in detail is in\n\
        the log, under the request id that the page shows.\n\n\
        | Code | Status | Meaning | The visitor reads | What helps |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut all = Reason::ALL.to_vec();
    all.sort_unstable_by_key(|reason| reason.code());
    for reason in all {
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            reason.code(),
            reason.status().as_u16(),
            reason.meaning(),
            reason.sentence(),
            remedy(reason)
        )
        .unwrap();
    }
    page.push_str(
        "\n## Connections that are turned away\n\n\
        Before there is a request to ask about, a connection is closed for one of these, as `reason` in the access log\n\
        and in `lychgate_connections_refused_total`. Nothing is said where there is no status. Requests over HTTP/2\n\
        that cannot be read are not among them.\n\n\
        | Code | Status | Meaning |\n|---|---|---|\n",
    );
    for cause in Cause::ALL {
        let status = Some(cause.status()).filter(|status| *status > 0);
        let status = status.map_or_else(String::new, |status| status.to_string());
        writeln!(page, "| `{}` | {status} | {} |", cause.code(), cause.meaning()).unwrap();
    }
    page
}

fn events() -> String {
    let mut page = "# Events\n\n\
        <!-- Written by the test `the_reference_says_what_the_program_does`; do not edit. -->\n\n\
        What the audit log says, in Elastic Common Schema, one line of JSON each, with `event.dataset` `lychgate.audit`. A\n\
        request has at most one event; at a login, lines about its parts come before it. An action never changes its\n\
        meaning.\n\n\
        | `event.action` | `event.outcome` | Meaning |\n|---|---|---|\n"
        .to_owned();
    for (action, outcome, meaning) in EVENTS {
        writeln!(page, "| `{action}` | {outcome} | {meaning} |").unwrap();
    }
    page.push_str(
        "\n## Fields\n\n\
        What is not known is not there.\n\n\
        | Field | Meaning |\n|---|---|\n\
        | `@timestamp`, `event.id` | When the request came, and 128 bits of the line's own. |\n\
        | `event.reason` | Why it failed, by [its code](reasons.md). |\n\
        | `event.duration` | What the provider took, in nanoseconds, at `code-exchange` and `pushed-request`. |\n\
        | `error.code` | The provider's own error code, where it gave one. |\n\
        | `error.message` | The cause, down to the check that failed. It holds no code, token or secret. |\n\
        | `client.ip`, `user_agent.original` | Who asked, as far as that is believed. |\n\
        | `url.domain`, `url.path`, `http.request.method`, `http.response.status_code` | What was asked for, without its query, and the answer. |\n\
        | `http.request.id` | The id on the page and in every other log. |\n\
        | `user.id`, `user.name`, `user.full_name`, `user.email`, `user.roles`, or `user.hash` | Who it is, once the provider's word was verified, as `telemetry.user_fields` wants it. Lines about the parts of a login name nobody. |\n\
        | `rule.name`, `lychgate.route` | What decided. |\n\
        | `lychgate.provider` | The provider. |\n\
        | `lychgate.flow` | The login: the same from its beginning to the sign-out of its session. A request that could not be pushed began none. |\n\
        | `lychgate.session` | Eight digits of the session's id. |\n\
        | `lychgate.config_hash` | The configuration that was in use. |\n",
    );
    page
}

fn diagnostics() -> String {
    let mut page = "# Diagnostics\n\n\
        <!-- Written by the test `the_reference_says_what_the_program_does`; do not edit. -->\n\n\
        What `lychgate check` says about a configuration carries one of these codes. With an `E` the configuration is\n\
        not used; with a `W` it is, and somebody should know. A code never changes its meaning.\n\n\
        | Code | Meaning |\n|---|---|\n"
        .to_owned();
    for (code, meaning) in lychgate_config::codes() {
        writeln!(page, "| `{code}` | {meaning} |").unwrap();
    }
    page
}

fn remedy(reason: Reason) -> &'static str {
    match reason.remedy() {
        Remedy::AnotherAccount => "another account, or access granted by the operator",
        Remedy::Operator => "the operator",
        Remedy::OtherAddress => "another address or request",
        Remedy::SignIn => "signing in",
        Remedy::TryAgain => "trying again",
    }
}

#[test]
fn the_reference_says_what_the_program_does() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let pages = [
        ("diagnostics.md", diagnostics()),
        ("events.md", events()),
        ("metrics.md", metrics()),
        ("reasons.md", reasons()),
    ];
    for (name, page) in pages {
        let path = directory.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, page, "{name} is out of date: run with UPDATE_DOCS=1");
    }
}
