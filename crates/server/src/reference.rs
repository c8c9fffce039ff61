//! The reference pages that are written by the program itself, and a test that they say what it does.
//!
//! `UPDATE_DOCS=1 cargo test -p lychgate-server reference` writes them anew.

use std::fmt::Write as _;
use std::path::Path;

use lychgate_gateway::reason::{Reason, Remedy};

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
    let pages =
        [("diagnostics.md", diagnostics()), ("metrics.md", metrics()), ("reasons.md", reasons())];
    for (name, page) in pages {
        let path = directory.join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(written, page, "{name} is out of date: run with UPDATE_DOCS=1");
    }
}
