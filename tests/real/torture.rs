//! Test programs that other people wrote to break servers, let loose on the gate.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use lychgate_tests::cast::backends::installed;
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::upstream::{Authority, Validity};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// Longer than any of them takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(480);

/// Runs a program to its end, and returns what it printed.
async fn runs(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").expect("it can be started: `cargo xtask setup`");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What h2spec complains of over plain TCP, and why that stays.
const KNOWN_TO_H2SPEC: &[(&str, &str)] = &[(
    "Sends invalid connection preface",
    "a plain port speaks HTTP/1.1 too: what does not begin with the preface is refused in that language",
)];

/// How often h2spec is asked. Its experiments race with the application's answers, which may be whole before the wrong
/// frame arrives; what is really wrong is complained of each time.
const ROUNDS: usize = 4;

/// K5: h2spec, which holds a server to RFC 7540 and RFC 7541 with a hundred and more experiments.
#[tokio::test]
async fn k5_h2spec_finds_what_it_should() {
    let plain = House::open().await;
    complains_of(&plain, &[], KNOWN_TO_H2SPEC).await;
    let encrypted = over_tls().await;
    complains_of(&encrypted, &["--tls", "--insecure"], &[]).await;
}

async fn complains_of(house: &House, more: &[&str], known: &[(&str, &str)]) {
    let known: BTreeSet<String> = known.iter().map(|(what, _)| (*what).to_owned()).collect();
    let (first, mut printed) = complaints(house, more).await;
    let mut each_time = first;
    for _ in 1..ROUNDS {
        if each_time.is_subset(&known) {
            break;
        }
        let (complaints, again) = complaints(house, more).await;
        each_time.retain(|what| complaints.contains(what));
        printed = again;
    }
    let new: Vec<_> = each_time.difference(&known).collect();
    let over: Vec<_> = known.difference(&each_time).collect();
    assert!(new.is_empty(), "h2spec complains of {new:?}:\n{printed}");
    assert!(over.is_empty(), "h2spec complains no longer of {over:?}: take them off the list");
}

/// What h2spec complains of, and all that it printed.
async fn complaints(house: &House, more: &[&str]) -> (BTreeSet<String>, String) {
    let port = house.gate.address().port().to_string();
    let mut program = Command::new(installed("h2spec"));
    program.args(["--host", "127.0.0.1", "--port", &port, "--path", "/public/", "--timeout", "5"]);
    let printed = runs(program.args(more)).await;
    let summary =
        printed.lines().find(|line| line.contains(" tests, ") && line.contains(" passed"));
    let passed =
        summary.and_then(|line| line.split(", ").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    assert!(passed.is_some_and(|passed| passed > 120), "{printed}");
    // A failure is told as it happens, and again in the end: `× 2: Sends a …`.
    let told = printed.lines().filter_map(|line| line.trim().strip_prefix("× "));
    let complaints = told.filter_map(|line| Some(line.split_once(": ")?.1.trim().to_owned()));
    (complaints.collect(), printed)
}

/// K3: slowhttptest holds hundreds of connections with headers that drip, bodies that drip, and answers that nobody
/// reads. Others are answered meanwhile, and in the end none is left.
#[tokio::test]
async fn k3_slow_clients_of_another_program_keep_nobody_waiting() {
    // The program takes host and address from one URL, and knows no name that leads to this machine.
    let house = House::planned(|plan| {
        let (port, upstream) = (plan.port, &plan.configuration["routes"]["app"]["upstream"]);
        let upstream = upstream.to_string();
        plan.set(&format!(
            "[limits]\nheader_timeout = \"2s\"\n[routes.slow]\nurl = \"http://127.0.0.1:{port}\"\nupstream = {upstream}\n\
             allow = [\"authenticated\"]\nrules = [{{ path = \"/public/**\", public = true }}]"
        ));
    })
    .await;
    let address = house.gate.address();
    for manner in [
        &["-H", "-i", "1"][..],
        &["-B", "-i", "1", "-s", "8192"],
        &["-X", "-w", "1", "-y", "8", "-n", "1"],
    ] {
        let url = format!(
            "http://{address}/public/{}",
            if manner[0] == "-X" { "download?bytes=1000000" } else { "up" }
        );
        let mut program = Command::new("slowhttptest");
        program.args(manner).args(["-c", "300", "-r", "300", "-l", "6", "-p", "5", "-u", &url]);
        let asks = async {
            let visitor = house.visitor();
            for _ in 0..30 {
                assert_eq!(visitor.fetches("/public/meanwhile").await.status, 200, "{manner:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let (printed, ()) = tokio::join!(runs(&mut program), asks);
        assert!(printed.contains("service available"), "{manner:?}: {printed}");
    }
}

/// What testssl.sh finds grave, and why that stays.
const KNOWN_TO_TESTSSL: &[(&str, &str)] = &[
    ("cert_revocation", "the authority of a test says nowhere what it revoked"),
    ("cert_validityPeriod", "certificates of tests are good for two thousand years"),
    (
        "cipher_order",
        "all ciphers are good, so the client may choose the one that is fast on its processor",
    ),
];

/// What testssl.sh has to find in order.
const FINE_FOR_TESTSSL: &[&str] = &[
    "SSLv2",
    "SSLv3",
    "TLS1_2",
    "TLS1_3",
    "cipherlist_NULL",
    "cipherlist_aNULL",
    "cipherlist_EXPORT",
    "cipherlist_LOW",
    "cipherlist_STRONG",
    "PFS",
    "cert_chain_of_trust",
    "cert_trust",
    "heartbleed",
    "CCS",
    "ticketbleed",
    "ROBOT",
    "secure_renego",
    "secure_client_renego",
    "CRIME_TLS",
    "BREACH",
    "POODLE_SSL",
    "fallback_SCSV",
    "SWEET32",
    "FREAK",
    "DROWN",
    "LOGJAM",
    "BEAST",
    "LUCKY13",
    "RC4",
];

/// K5: testssl.sh, which tries versions, ciphers and the weaknesses of TLS that have a name.
#[tokio::test]
async fn k5_testssl_finds_nothing_wrong() {
    let house = over_tls().await;
    let scratch = house.gate.scratch();
    let mut program = Command::new("testssl");
    program.args(["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none"]);
    program.args(["--ip", "127.0.0.1", "--add-ca"]).arg(scratch.file("issuer.pem"));
    program.args(["--protocols", "--standard", "--pfs", "--server-preference"]);
    program.args(["--server-defaults", "--vulnerable", "--jsonfile"]).arg(scratch.file("found"));
    program.arg(format!("https://app.localhost:{}/public/", house.gate.address().port()));

    let printed = runs(&mut program).await;

    let found: Vec<Finding> =
        serde_json::from_str(&scratch.read("found")).expect("a list of findings");
    let of = |severities: &[&str]| -> BTreeSet<_> {
        let those = found.iter().filter(|found| severities.contains(&&*found.severity));
        those.map(|found| &*found.id).collect()
    };
    let not_offered: Vec<_> = found.iter().filter(|found| found.finding == "not offered").collect();
    for version in ["TLS1", "TLS1_1", "cipherlist_3DES_IDEA", "cipherlist_AVERAGE"] {
        assert!(not_offered.iter().any(|found| found.id == version), "{version}:\n{printed}");
    }
    let fine = of(&["OK"]);
    let not_fine: Vec<_> = FINE_FOR_TESTSSL.iter().filter(|what| !fine.contains(*what)).collect();
    assert!(not_fine.is_empty(), "testssl.sh does not find {not_fine:?} in order:\n{printed}");
    let grave = of(&["MEDIUM", "HIGH", "CRITICAL", "FATAL"]);
    let known = KNOWN_TO_TESTSSL.iter().map(|(what, _)| *what).collect();
    let (new, over): (Vec<_>, Vec<_>) =
        (grave.difference(&known).collect(), known.difference(&grave).collect());
    assert!(new.is_empty(), "testssl.sh complains of {new:?}:\n{printed}");
    assert!(over.is_empty(), "testssl.sh complains no longer of {over:?}: take them off the list");
}

/// One thing that testssl.sh found.
#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

/// A house whose only listener speaks TLS. `issuer.pem` beside its configuration vouches for it.
async fn over_tls() -> House {
    let (scratch, authority) = (Scratch::new(), Authority::new());
    scratch.write("issuer.pem", authority.pem());
    let (certificate, key) = authority.issues("app.localhost", Validity::Now);
    scratch.write("certificate.pem", certificate);
    scratch.write("key.pem", key);
    House::planned(|plan| {
        plan.scratch = scratch;
        let origin = plan.origin().replace("http://", "https://");
        plan.provider.clients[0].redirect_uris = vec![format!("{origin}/.lychgate/callback")];
        plan.set(&format!(
            "[listeners.main]\ntls = {{ certificate = \"certificate.pem\", key = \"key.pem\" }}\n\
             [routes.app]\nurl = \"{origin}\""
        ));
    })
    .await
}
