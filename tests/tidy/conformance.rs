//! Each module of the conformance suite that we claim is told by a test that has its name.

use std::collections::BTreeSet;
use std::fs;

use super::{expect_none, files, root};

/// The plans that we claim, with what their modules are called after the first word they share.
const CLAIMED: [(&str, &str, &[&str]); 10] = [
    (
        "oidcc-client-basic-certification-test-plan",
        "oidcc-client-test",
        &[
            "",
            "-invalid-iss",
            "-missing-sub",
            "-invalid-aud",
            "-missing-iat",
            "-kid-absent-single-jwks",
            "-kid-absent-multiple-jwks",
            "-idtoken-sig-rs256",
            "-idtoken-sig-none",
            "-userinfo-invalid-sub",
            "-nonce-invalid",
            "-scope-userinfo-claims",
            "-client-secret-basic",
            "-invalid-sig-rs256",
        ],
    ),
    (
        "oidcc-client-config-certification-test-plan",
        "oidcc-client-test",
        &[
            "-discovery-openid-config",
            "-discovery-jwks-uri-keys",
            "-discovery-issuer-mismatch",
            "-idtoken-sig-none",
            "-signing-key-rotation-just-before-signing",
            "-signing-key-rotation",
        ],
    ),
    (
        "oidcc-client-formpost-basic-certification-test-plan",
        "oidcc-client-test",
        &["-form-post-error"],
    ),
    (
        "oidcc-client-test-plan",
        "oidcc-client-test",
        &[
            "-missing-aud",
            "-invalid-sig-hs256",
            "-invalid-sig-es256",
            "-userinfo-bearer-header",
            "-missing-athash",
            "-invalid-athash",
            "-aggregated-claims",
            "-distributed-claims",
            "-mtls-endpoint-aliases",
            "-userinfo-signed",
            "-missing-chash",
            "-invalid-chash",
            "-nonce-unless-code-flow",
        ],
    ),
    (
        "oidcc-client-rp-initiated-logout-rp-basic",
        "oidcc-client-test-rp-init-logout",
        &["", "-other-state", "-no-state"],
    ),
    (
        "oidcc-client-refreshtoken-test-plan",
        "oidcc-client-test",
        &["-refresh-token", "-refresh-token-invalid-issuer", "-refresh-token-invalid-sub"],
    ),
    (
        "oidcc-client-test-3rd-party-init-login-test-plan",
        "oidcc-client-test",
        &["-3rd-party-init-login"],
    ),
    (
        "fapi2-security-profile-final-client-test-plan",
        "fapi2-security-profile-final-client-test-",
        &[
            "happy-path",
            "happy-path-no-dpop-nonce",
            "refresh-token-test",
            "discovery-issuer-mismatch",
            "ensure-authorization-response-with-invalid-state-fails",
            "ensure-authorization-response-with-invalid-missing-state-fails",
            "invalid-authorization-response-iss",
            "remove-authorization-response-iss",
            "invalid-aud",
            "invalid-iss",
            "invalid-nonce",
            "invalid-null-alg",
            "invalid-alternate-alg",
            "invalid-expired-exp",
            "invalid-secondary-aud",
            "invalid-missing-aud",
            "invalid-missing-exp",
            "invalid-missing-iss",
            "invalid-missing-nonce",
            "valid-aud-as-array",
            "token-type-case-insensitivity",
            "rs-dpop-auth-scheme-case-insensitivity",
            "token-endpoint-response-without-expires_in",
        ],
    ),
    (
        "fapi2-message-signing-final-client-test-plan",
        "fapi2-message-signing-final-client-test-",
        &[
            "ensure-jarm-without-iss-fails",
            "ensure-jarm-without-aud-fails",
            "ensure-jarm-without-exp-fails",
            "ensure-jarm-with-invalid-iss-fails",
            "ensure-jarm-with-invalid-aud-fails",
            "ensure-jarm-with-invalid-sig-fails",
            "ensure-jarm-with-expired-exp-fails",
            "ensure-jarm-signature-is-not-none",
        ],
    ),
    (
        "fapi1-advanced-final-client-test-plan",
        "fapi1-advanced-final-client-test-",
        &[
            "encrypted-idtoken",
            "encrypted-idtoken-usingrsa15",
            "invalid-shash",
            "missing-shash",
            "iat-is-week-in-past",
            "valid-aud-as-array",
            "no-scope-in-token-endpoint-response",
        ],
    ),
];

#[test]
fn every_module_that_is_claimed_is_told_by_a_test_of_its_name() {
    let page = fs::read_to_string(root().join("docs/reference/conformance.md"));
    let page = page.expect("the modules");
    // What is written here is a claim, and no test.
    let sources =
        files(&[".rs"]).into_iter().filter(|file| !file.starts_with(root().join("tests/tidy")));
    let code: String =
        sources.map(|file| fs::read_to_string(file).expect("a source file")).collect();
    let mut wrong = Vec::new();
    let mut listed = BTreeSet::new();
    let mut plan = "";
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            plan = title;
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let Some((module, tests)) = row.split_once("` | ") else {
            wrong.push(format!("not a row: {line}"));
            continue;
        };
        if !listed.insert((plan.to_owned(), module.to_owned())) {
            wrong.push(format!("{module} is listed twice in {plan}"));
        }
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("{module} names no test"));
        }
        for name in named.iter().filter(|name| !code.contains(&format!("fn {name}("))) {
            wrong.push(format!("{module} names `{name}`, which nobody wrote"));
        }
        let as_name = format!("fn {}(", module.replace('-', "_"));
        let as_text = [format!("`{module}`"), format!("\"{module}\"")];
        if !code.contains(&as_name) && !as_text.iter().any(|text| code.contains(text)) {
            wrong.push(format!("no test says that it is {module}"));
        }
    }
    for (plan, prefix, modules) in CLAIMED {
        for module in modules {
            let module = format!("{prefix}{module}");
            if !listed.remove(&(plan.to_owned(), module.clone())) {
                wrong.push(format!("{module} of {plan} is not listed"));
            }
        }
    }
    wrong.extend(listed.iter().map(|(plan, module)| format!("{module} is not claimed in {plan}")));
    expect_none("the modules of the conformance suite and their tests differ", &wrong);
}
