//! A vendor's own interface that fails: nobody gets in, and nobody is told that they are no member.

use serde_json::json;

use crate::gatehouse::{Gatehouse, told};

/// Kind, keys, the endpoint that fails.
const ROWS: &[(&str, &str, &str)] = &[
    ("bitbucket", "base_url = '{base}'\nworkspaces = ['lychgate-works']", "workspaces"),
    ("digitalocean", "base_url = '{base}'", "account"),
    ("discord", "base_url = '{base}'\nguilds = ['1100000000000004097']", "guilds"),
    (
        "entra",
        "base_url = '{base}'\ntenant = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001'\ngroups_from = 'graph'",
        "transitive_member_of",
    ),
    ("facebook", "base_url = '{base}'", "me"),
    ("forgejo", "base_url = '{base}'\nteams = ['lychgate-works/platform']", "teams"),
    ("gitea", "base_url = '{base}'\norganizations = ['lychgate-works']", "teams"),
    ("github", "base_url = '{base}'\norganizations = ['lychgate-works']", "orgs"),
    ("gitlab", "base_url = '{base}'\nprojects = ['lychgate/gate']", "project"),
    ("nextcloud", "base_url = '{base}'\ngroups = ['staff']", "user"),
    (
        "oauth2",
        "authorization_endpoint = '{base}/authorize'\ntoken_endpoint = '{base}/token'\n\
         memberships = { groups = ['platform'] }\n\
         [[providers.vendor.lookups]]\nurl = '{base}/api/me'\nreads = { sub = 'data.user.id' }\n\
         [[providers.vendor.lookups]]\nurl = '{base}/api/groups'\npaging = 'link'\n\
         reads.groups = { each = '', value = '{slug}' }",
        "groups",
    ),
    (
        "oidc",
        "issuer = '{issuer}'\nuserinfo = 'never'\nscopes = ['openid', 'profile', 'groups']\n\
         memberships = { teams = ['platform'] }\n\
         [[providers.vendor.lookups]]\nurl = '{base}/userinfo'\n\
         reads = { teams = 'groups' }",
        "userinfo",
    ),
    ("sourcehut", "base_url = '{base}'", "query"),
];

/// Those whose memberships are what userinfo says.
const USERINFO_ROWS: &[(&str, &str)] = &[
    ("cidaas", "issuer = '{issuer}'"),
    ("keycloak", "issuer = '{issuer}'\nscopes = ['openid', 'groups']\nuserinfo = 'always'"),
];

#[tokio::test]
async fn userinfo_that_is_busy_or_down_lets_nobody_in_and_says_so() {
    let mut wrong = Vec::new();
    for (kind, keys) in USERINFO_ROWS {
        let house = Gatehouse::open(kind, keys).await;
        for (how, reason) in [
            ("rate_limit", "provider_unavailable"),
            ("status", "token_exchange_failed"),
            ("garbage", "token_exchange_failed"),
            ("truncated", "provider_unavailable"),
            ("cut", "provider_unavailable"),
        ] {
            house.vendor.fails(json!({ "endpoint": "userinfo", "how": how })).await;
            let answer = house.signs_in("member").await;
            if answer.status == 200 || answer.reason() != reason {
                wrong.push(format!("{kind} {how}: {} {}", answer.status, answer.text()));
            }
        }
        assert_eq!(house.signs_in("member").await.status, 200, "{kind} afterwards");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_vendor_that_is_busy_or_down_lets_nobody_in_and_says_so() {
    let mut wrong = Vec::new();
    for (kind, keys, endpoint) in ROWS {
        let house = Gatehouse::open(kind, keys).await;
        for (how, reasons) in [
            ("rate_limit", &["provider_busy"][..]),
            ("status", &["lookup_failed"]),
            ("garbage", &["lookup_failed"]),
            ("truncated", &["provider_unavailable"]),
            ("cut", &["provider_unavailable"]),
        ] {
            house.vendor.fails(json!({ "endpoint": endpoint, "how": how })).await;
            let answer = house.signs_in("member").await;
            let fits = answer.status != 200 && reasons.contains(&answer.reason().as_str());
            if !fits {
                wrong.push(format!("{kind} {how}: {} {}", answer.status, answer.text()));
            }
        }
        // And once it is well again, so is everybody.
        let answer = house.signs_in("member").await;
        if answer.status != 200 {
            wrong.push(format!("{kind} afterwards: {} {}", answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// GitHub says the same with three statuses and headers, and how long it wants to be left alone.
#[tokio::test]
async fn githubs_limits_are_never_taken_for_somebody_without_groups() {
    let house =
        Gatehouse::open("github", "base_url = '{base}'\norganizations = ['lychgate-works']").await;

    for variant in ["primary", "secondary", "too_many"] {
        let fault = json!({ "endpoint": "orgs", "how": "rate_limit", "variant": variant });
        house.vendor.fails(fault).await;
        let (answer, reason) = house.is_refused("member").await;
        assert_eq!(reason, "provider_busy", "{variant}");
        assert_eq!(answer.status, 503);
        if variant == "secondary" {
            assert_eq!(answer.header("retry-after"), "60");
        }
    }
}

#[tokio::test]
async fn an_organization_that_hides_behind_single_sign_on_is_explained() {
    let house =
        Gatehouse::open("github", "base_url = '{base}'\norganizations = ['lychgate-works']").await;
    house.vendor.fails(json!({ "endpoint": "orgs", "how": "status", "status": 403 })).await;

    let (answer, reason) = house.is_refused("member").await;

    assert_eq!(reason, "membership_required");
    assert!(answer.text().contains("SAML single sign-on"), "{}", answer.text());
}

#[tokio::test]
async fn an_address_that_the_vendor_did_not_verify_is_not_passed_on() {
    for (kind, keys) in [
        ("bitbucket", "base_url = '{base}'"),
        ("discord", "base_url = '{base}'"),
        ("github", "base_url = '{base}'"),
    ] {
        let house = Gatehouse::open(kind, keys).await;
        let somebody = told(&house.signs_in("unverified").await);
        assert_eq!((somebody.user.as_str(), somebody.email.as_str()), ("upetrova", ""), "{kind}");
    }
}

/// CB-55: a code of a vendor without ID tokens brings none, and one that comes is not looked at.
#[tokio::test]
async fn an_id_token_that_was_not_expected_is_not_trusted() {
    let house = Gatehouse::open("github", "base_url = '{base}'").await;
    let set = json!({ "id_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9." });
    house.vendor.fails(json!({ "endpoint": "token_answer", "how": "edit", "set": set })).await;

    assert_eq!(told(&house.signs_in("member").await).user, "mlindqvist");
}

#[tokio::test]
async fn a_next_page_elsewhere_ends_the_sign_in_and_is_not_asked_for() {
    let house =
        Gatehouse::open("bitbucket", "base_url = '{base}'\nworkspaces = ['lychgate-works']").await;
    let body = json!({ "values": [], "next": "http://localhost:9/2.0/user/workspaces?page=2" });
    house.vendor.fails(json!({ "endpoint": "workspaces", "how": "body", "body": body })).await;

    assert_eq!(house.is_refused("member").await.1, "lookup_failed");
}
