//! Who of a vendor's people gets in, and who does not.

use lychgate_tests::cast::scratch::Scratch;
use lychgate_tests::cast::vendor::Vendor;
use serde_json::json;

use crate::gatehouse::{Gatehouse, told};
use crate::table::SIGNED;

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

/// Kind, keys, and an entry of `allow` that is about the member: where a kind has no list of its own, the route's
/// rule keeps others out.
const BY_RULE: &[(&str, &str, &str)] = &[
    ("adfs", "issuer = '{issuer}'", "group:EXAMPLE\\Platform"),
    (
        "auth0",
        "issuer = '{issuer}'\nclaims.groups = 'https://lychgate.example.com/roles'",
        "group:operator",
    ),
    ("cidaas", "issuer = '{issuer}'", "group:platform:ADMIN"),
    ("cognito", "issuer = '{issuer}'", "group:operators"),
    ("digitalocean", "base_url = '{base}'", "group:8310c0de-0000-4000-8000-000000000001"),
    ("facebook", "base_url = '{base}'", "user:102283104000001"),
    ("keycloak", "issuer = '{issuer}'\nscopes = ['openid', 'groups']", "group:/staff/platform"),
    ("keycloak", "issuer = '{issuer}'", "group:role:operator"),
    ("linkedin", "base_url = '{base}'", "email:mira@example.com"),
    ("okta", "issuer = '{issuer}'", "group:platform"),
    ("sourcehut", "base_url = '{base}'", "user:mlindqvist"),
];

#[tokio::test]
async fn an_outsider_is_known_and_refused_where_only_a_rule_keeps_them_out() {
    let mut wrong = Vec::new();
    for (kind, keys, entry) in BY_RULE {
        let house = Gatehouse::admitting(kind, keys, entry).await;
        wrong.extend(keeps_out(&house, kind).await);
    }
    for (kind, keys, algorithm, ..) in SIGNED {
        let entry = "email:mira@example.com";
        let house = Gatehouse::signing_and_admitting(kind, keys, algorithm, entry).await;
        wrong.extend(keeps_out(&house, kind).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What is wrong when a member and an outsider come by.
async fn keeps_out(house: &Gatehouse, kind: &str) -> Option<String> {
    let (_, member) = house.arrives("member").await;
    let (_, outsider) = house.arrives("outsider").await;
    if member.status != 200 {
        return Some(format!("{kind}: member: {} {}", member.status, member.text()));
    }
    let fits = outsider.status == 403 && outsider.reason() == "access_not_granted";
    (!fits).then(|| format!("{kind}: outsider: {} {}", outsider.status, outsider.text()))
}

/// Kind, keys, who it is, how many groups they have in all, and the endpoint with how many pages of them.
type Paged = (&'static str, &'static str, &'static str, usize, (&'static str, usize));

const PAGED: &[Paged] = &[
    ("bitbucket", "base_url = '{base}'", "many", 132, ("workspaces", 2)),
    ("discord", "base_url = '{base}'", "many", 250, ("guilds", 2)),
    (
        "entra",
        "base_url = '{base}'\ntenant = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001'\ngroups_from = 'graph'",
        "member",
        3,
        ("transitive_member_of", 2),
    ),
    // 122 organizations and as many teams.
    ("gitea", "base_url = '{base}'", "many", 244, ("orgs", 3)),
];

/// Each in its vendor's own manner of paging: a next address, the last identifier, Graph's link, a header.
#[tokio::test]
async fn groups_are_read_to_their_last_page_at_every_vendor() {
    let mut wrong = Vec::new();
    for (kind, keys, persona, groups, (endpoint, pages)) in PAGED {
        let house = Gatehouse::open(kind, keys).await;
        // Graph's pages hold more than a session does.
        house.vendor.settings(json!({ "page": 2 })).await;
        let found = told(&house.signs_in(persona).await).groups.len();
        let asked = house.vendor.requests(endpoint).await.len();
        if (found, asked) != (*groups, *pages) {
            wrong.push(format!("{kind}: {found} groups, {asked} pages"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn googles_directory_is_read_to_its_last_page() {
    let house = with_directory("").await;
    house.vendor.settings(json!({ "page": 2 })).await;

    let member = told(&house.signs_in("member").await);

    assert_eq!(member.groups.len(), 3, "{member:?}");
    let asked = house.vendor.requests("groups").await;
    assert_eq!(asked.len(), 2, "{asked:?}");
}

/// What the guide to `oauth2` shows is what these fixtures understand, so it signs people in.
#[tokio::test]
async fn what_the_page_about_oauth2_shows_signs_people_in() {
    let page = include_str!("../../docs/providers/oauth2.md");
    let (_, block) = page.split_once("```toml\n").expect("the page shows a provider");
    let (block, _) = block.split_once("```").expect("a block ends");
    let ours = |line: &&str| {
        !["[providers.forum]", "kind ", "client_id ", "client_secret "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let keys: Vec<_> = block.lines().filter(ours).collect();
    let keys = keys.join("\n").replace("https://forum.example.com/oauth", "{base}");
    let keys = keys.replace("https://forum.example.com", "{base}").replace(".forum.", ".vendor.");
    let house = Gatehouse::open("oauth2", &keys).await;

    let member = told(&house.signs_in("member").await);

    assert_eq!((member.user.as_str(), member.groups.len()), ("mlindqvist", 2), "{member:?}");
}

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

/// A gate whose groups are those of Google's directory; `more` is what it wants of them.
pub(crate) async fn with_directory(more: &str) -> Gatehouse {
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
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    let keys = format!(
        "base_url = '{{base}}'\ngroups = {{ service_account = {{ file = '{}' }}, admin = 'admin@example.com'{more} }}",
        file.display()
    );
    Gatehouse::before(vendor, scratch, &keys).await
}

/// With a service account: the first scopes are not granted, nested groups count, and somebody of another
/// domain is looked up in the other way.
#[tokio::test]
async fn googles_directory_says_who_is_in_a_group() {
    let house = with_directory("members_of = ['nested@example.com', 'everyone@example.com']").await;

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
