//! What the application is told of a member, for every kind.

use crate::gatehouse::{Gatehouse, told};

/// Kind, keys, user, e-mail address, groups.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const MIRA: &str = "mira@example.com";

const ROWS: &[Row] = &[
    (
        "adfs",
        "issuer = '{issuer}'",
        "adfs-83104",
        MIRA,
        &["EXAMPLE\\Domain Users", "EXAMPLE\\Platform"],
    ),
    (
        "auth0",
        "issuer = '{issuer}'\nclaims.groups = 'https://lychgate.example.com/roles'",
        MIRA,
        MIRA,
        &["operator", "editor"],
    ),
    ("bitbucket", "base_url = '{base}'", "mlindqvist", MIRA, &["lychgate-works", "hillside"]),
    (
        "cidaas",
        "issuer = '{issuer}'",
        "mlindqvist",
        MIRA,
        &["platform:ADMIN", "platform:MEMBER", "hillside:MEMBER", "cidaas:USER", "cidaas:OPERATOR"],
    ),
    ("cognito", "issuer = '{issuer}'", MIRA, MIRA, &["operators", "editors"]),
    ("digitalocean", "base_url = '{base}'", MIRA, MIRA, &["8310c0de-0000-4000-8000-000000000001"]),
    (
        "discord",
        "base_url = '{base}'",
        "mlindqvist",
        MIRA,
        &["1100000000000004097", "1100000000000008193"],
    ),
    ("facebook", "base_url = '{base}'", "102283104000001", MIRA, &[]),
    (
        "forgejo",
        "base_url = '{base}'",
        "mlindqvist",
        MIRA,
        &["lychgate-works", "hillside", "lychgate-works/Owners", "lychgate-works/platform"],
    ),
    (
        "gitea",
        "base_url = '{base}'",
        "mlindqvist",
        MIRA,
        &["lychgate-works", "hillside", "lychgate-works/Owners", "lychgate-works/platform"],
    ),
    (
        "github",
        "base_url = '{base}'",
        "mlindqvist",
        MIRA,
        &["lychgate-works", "Hillside", "lychgate-works/platform", "lychgate-works/on-call"],
    ),
    (
        "gitlab",
        "base_url = '{base}'",
        "mlindqvist",
        MIRA,
        &["lychgate", "lychgate/platform", "lychgate/platform/on-call"],
    ),
    ("google", "base_url = '{base}'\nhosted_domain = 'example.com'", MIRA, MIRA, &[]),
    (
        "keycloak",
        "issuer = '{issuer}'\nscopes = ['openid', 'groups']",
        "mlindqvist",
        MIRA,
        &[
            "/staff",
            "/staff/platform",
            "role:operator",
            "role:default-roles-main",
            "role:offline_access",
            "role:account:manage-account",
            "role:account:view-profile",
            "role:lychgate:editor",
        ],
    ),
    ("linkedin", "base_url = '{base}'", MIRA, MIRA, &[]),
    ("nextcloud", "base_url = '{base}'", "mlindqvist", MIRA, &["staff", "Platform Team"]),
    ("oidc", "issuer = '{issuer}'", "mlindqvist", MIRA, &["staff", "platform"]),
    ("okta", "issuer = '{issuer}'", MIRA, MIRA, &["Everyone", "platform"]),
    ("slack", "base_url = '{base}'", MIRA, MIRA, &["T0LYCHGATE"]),
    ("sourcehut", "base_url = '{base}'", "mlindqvist", MIRA, &[]),
];

#[tokio::test]
async fn a_member_of_every_vendor_reaches_the_application_under_their_name() {
    let mut wrong = Vec::new();
    for (kind, keys, user, email, groups) in ROWS {
        let house = Gatehouse::open(kind, keys).await;
        let answer = house.signs_in("member").await;
        if answer.status != 200 {
            wrong.push(format!("{kind}: {} {} {}", answer.status, answer.url, answer.text()));
            continue;
        }
        let told = told(&answer);
        let fits = told.user == *user && told.email == *email && told.groups == *groups;
        if !fits {
            wrong.push(format!("{kind}: {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
