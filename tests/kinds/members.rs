//! Who of a vendor's people gets in, and who does not.

use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::vendor::Vendor;
use serde_json::json;

use crate::gatehouse::{Gatehouse, told};

/// Kind, keys, and somebody who does not get in beside the outsider.
const ROWS: &[(&str, &str)] = &[
    ("bitbucket", "base_url = '{base}'\nworkspaces = ['lychgate-works']"),
    ("bitbucket", "base_url = '{base}'\nrepositories = ['lychgate-works/gate']"),
    ("discord", "base_url = '{base}'\nguilds = ['1100000000000004097']"),
    ("gitea", "base_url = '{base}'\norganizations = ['lychgate-works']"),
    ("gitea", "base_url = '{base}'\nteams = ['lychgate-works/platform']"),
    ("forgejo", "base_url = '{base}'\nrepositories = ['lychgate-works/gate']"),
    ("github", "base_url = '{base}'\norganizations = ['Lychgate-Works', 'elsewhere']"),
    ("github", "base_url = '{base}'\nteams = ['lychgate-works/on-call']"),
    ("github", "base_url = '{base}'\nrepositories = ['lychgate-works/gate']"),
    ("github", "base_url = '{base}'\nusers = ['MLindqvist']"),
    ("gitlab", "base_url = '{base}'\ngroups = ['lychgate/platform']"),
    ("gitlab", "base_url = '{base}'\nprojects = ['lychgate/gate=30']"),
    ("google", "base_url = '{base}'\nhosted_domain = ['example.org', 'example.com']"),
    ("nextcloud", "base_url = '{base}'\ngroups = ['Platform Team']"),
    (
        "oauth2",
        "authorization_endpoint = '{base}/authorize'\ntoken_endpoint = '{base}/token'\n\
         memberships = { groups = ['platform'] }\n\
         [[providers.vendor.lookups]]\nurl = '{base}/api/me'\nreads = { sub = 'data.user.id' }\n\
         [[providers.vendor.lookups]]\nurl = '{base}/api/groups'\npaging = 'link'\n\
         reads.groups = { each = '', value = '{slug}', only = { active = true } }",
    ),
];

/// The lists hold, whatever routes allow: this one lets in anyone who has an account.
#[tokio::test]
async fn members_get_in_and_others_are_told_that_they_are_none() {
    let mut wrong = Vec::new();
    for (kind, keys) in ROWS {
        let house = Gatehouse::open(kind, keys).await;
        let member = house.signs_in("member").await;
        if member.status != 200 {
            wrong.push(format!("{kind} {keys}: member: {} {}", member.status, member.text()));
        }
        let outsider = house.signs_in("outsider").await;
        if outsider.status != 403 || outsider.reason() != "membership_required" {
            wrong.push(format!("{kind} {keys}: outsider: {} {}", outsider.status, outsider.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_team_on_the_third_page_is_found() {
    let house =
        Gatehouse::open("github", "base_url = '{base}'\nteams = ['guild-250/team-250']").await;

    let (_, member) = house.is_refused("member").await;
    let many = told(&house.signs_in("many").await);

    assert_eq!(member, "membership_required");
    assert!(many.groups.contains(&"guild-250/team-250".to_owned()));
    assert_eq!(many.groups.len(), 504);
    let pages = house.vendor.requests("teams").await;
    assert_eq!(pages.len(), 4, "{pages:?}");
    let asked = house.vendor.requests("user").await;
    assert!(asked[0]["headers"]["authorization"].as_str().unwrap().starts_with("token "));
    assert!(house.vendor.requests("emails").await[0]["query"].get("access_token").is_none());
}

#[tokio::test]
async fn whoever_is_in_too_many_groups_for_a_token_has_them_from_graph() {
    let keys = "base_url = '{base}'\ntenant = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001'";
    let house = Gatehouse::open("entra", keys).await;

    let member = told(&house.signs_in("member").await);
    assert_eq!(member.groups.len(), 3, "{member:?}");
    assert!(house.vendor.requests("transitive_member_of").await.is_empty());

    house.vendor.settings(json!({ "overage": true })).await;
    let overage = told(&house.signs_in("member").await);
    assert_eq!(overage, member);
    assert_eq!(house.vendor.requests("transitive_member_of").await.len(), 1);
}

#[tokio::test]
async fn groups_of_entra_can_have_names_and_app_roles_are_groups() {
    let keys = "base_url = '{base}'\ntenant = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001'\ngroup_names = 'names'";
    let house = Gatehouse::open("entra", keys).await;
    house.vendor.settings(json!({ "roles": ["Reader"] })).await;

    let member = told(&house.signs_in("member").await);

    assert_eq!(member.groups, ["Team 1", "Team 2", "Team 3", "role:Reader"]);
}

#[tokio::test]
async fn only_listed_tenants_get_in_where_a_registration_is_for_many() {
    let ours = "tenants = ['1f0c1a52-6a0e-4a50-9c55-0a8d83100001']";
    for tenant in ["common", "organizations"] {
        let keys = format!("base_url = '{{base}}'\ntenant = '{tenant}'\n{ours}");
        let house = Gatehouse::open("entra", &keys).await;

        let member = told(&house.signs_in("member").await);
        let (_, other) = house.is_refused("other_tenant").await;
        let (_, personal) = house.is_refused("personal").await;

        assert_eq!(member.user, "mira@example.com");
        assert_eq!((other.as_str(), personal.as_str()), ("issuer_mismatch", "issuer_mismatch"));
    }
    let house = Gatehouse::open("entra", "base_url = '{base}'\ntenant = 'example.com'").await;
    assert_eq!(told(&house.signs_in("member").await).user, "mira@example.com");
    assert_eq!(house.is_refused("other_tenant").await.1, "issuer_mismatch");
}

#[tokio::test]
async fn only_the_configured_workspace_of_slack_gets_in() {
    let house = Gatehouse::open("slack", "base_url = '{base}'\nworkspace = 'T0LYCHGATE'").await;

    assert_eq!(told(&house.signs_in("member").await).groups, ["T0LYCHGATE"]);
    assert_eq!(house.is_refused("other_workspace").await.1, "membership_required");
}

/// `hd` is verified in the token, whatever was asked for.
#[tokio::test]
async fn somebody_with_a_google_account_of_no_domain_does_not_get_in() {
    let house =
        Gatehouse::open("google", "base_url = '{base}'\nhosted_domain = 'example.com'").await;

    assert_eq!(house.is_refused("outsider").await.1, "membership_required");
    assert_eq!(house.vendor.requests("authorization").await[0]["query"]["hd"], "example.com");
    house.vendor.fails(json!({ "endpoint": "id_token", "how": "edit", "remove": ["hd"] })).await;
    assert_eq!(house.is_refused("member").await.1, "membership_required");
}

/// With a service account: the first scopes are not granted, nested groups count, and somebody of another
/// domain is looked up in the other way.
#[tokio::test]
async fn googles_directory_says_who_is_in_a_group() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key is made");
    let vendor = Vendor::start("google").await;
    vendor.client_keys(&[key.public_key_pem()]).await;
    vendor
        .settings(json!({
            "granted_scopes": ["https://www.googleapis.com/auth/admin.directory.group.readonly"],
        }))
        .await;
    let scratch = Scratch::new();
    let account = json!({
        "type": "service_account",
        "client_email": "lychgate@example-project.iam.gserviceaccount.com",
        "private_key_id": "83104",
        "private_key": key.serialize_pem(),
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let file = scratch.write("directory.json", account.to_string());
    let keys = format!(
        "base_url = '{{base}}'\ngroups = {{ service_account = {{ file = '{}' }}, admin = 'admin@example.com', \
         members_of = ['nested@example.com', 'everyone@example.com'] }}",
        file.display()
    );
    let house = Gatehouse::before(vendor, scratch, &keys).await;

    let member = told(&house.signs_in("member").await);
    assert_eq!(member.groups, ["nested@example.com", "everyone@example.com"]);
    let other = told(&house.signs_in("other_domain").await);
    assert_eq!(other.groups, ["everyone@example.com"]);
    assert_eq!(house.is_refused("outsider").await.1, "membership_required");
    house.vendor.fails(json!({ "endpoint": "has_member", "how": "rate_limit", "times": 1 })).await;
    assert_eq!(house.is_refused("member").await.1, "provider_busy");
}

#[tokio::test]
async fn roles_of_keycloak_are_believed_only_in_a_token_for_us() {
    let house = Gatehouse::open("keycloak", "issuer = '{issuer}'").await;

    for fault in [
        json!({ "set": { "azp": "somebody-else" } }),
        json!({ "set": { "iss": "https://elsewhere.example" } }),
        json!({ "set": { "exp": 1 } }),
        json!({ "remove": ["azp"] }),
    ] {
        let mut fault = fault;
        fault["endpoint"] = "access_token".into();
        fault["how"] = "edit".into();
        house.vendor.fails(fault.clone()).await;
        let groups = told(&house.signs_in("member").await).groups;
        assert_eq!(groups, ["/staff", "/staff/platform"], "{fault}");
    }
    assert!(told(&house.signs_in("member").await).groups.contains(&"role:operator".to_owned()));
}

/// The same list in each manner of paging, with nothing but lines of configuration.
#[tokio::test]
async fn an_operators_own_questions_follow_every_manner_of_paging() {
    for (path, read) in [
        ("groups", "paging = 'link'\nreads.groups = { each = '', value = '{slug}' }"),
        (
            "groups/by-token",
            "paging = { token = 'next_cursor', parameter = 'cursor' }\n\
             reads.groups = { each = 'items', value = 'slug' }",
        ),
        (
            "groups/by-address",
            "paging = { next_url = 'next' }\nreads.groups = { each = 'values', value = 'slug' }",
        ),
        ("groups", "paging = { page = 'page' }\nreads.groups = { each = '', value = 'slug' }"),
    ] {
        let keys = format!(
            "authorization_endpoint = '{{base}}/authorize'\ntoken_endpoint = '{{base}}/token'\n\
             claims.user = 'login'\n\
             [[providers.vendor.lookups]]\nurl = '{{base}}/api/me'\n\
             reads = {{ sub = 'data.user.id', login = 'data.user.login' }}\n\
             [[providers.vendor.lookups]]\nurl = '{{base}}/api/{path}'\n{read}\n\
             [[providers.vendor.lookups]]\nurl = '{{base}}/api/groups/platform'\nexpect_status = [404]\n\
             reads = {{ is_platform = 'member' }}"
        );
        let house = Gatehouse::open("oauth2", &keys).await;

        let many = told(&house.signs_in("many").await);
        let outsider = told(&house.signs_in("outsider").await);

        assert_eq!((many.user.as_str(), many.groups.len()), ("mgruber", 302), "{read}");
        assert_eq!((outsider.user.as_str(), outsider.groups.len()), ("obrandt", 0), "{read}");
    }
}
