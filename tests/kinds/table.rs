//! What the application is told of a member, for every kind.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};

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

/// Those to whom we sign who we are.
pub(crate) const SIGNED: &[(&str, &str, &SignatureAlgorithm, &str, &str)] = &[
    (
        "apple",
        "base_url = '{base}'\nteam_id = '{team_id}'\nsigning_key_id = '{key_id}'",
        &PKCS_ECDSA_P256_SHA256,
        MIRA,
        MIRA,
    ),
    ("login_gov", "base_url = '{base}'", &PKCS_RSA_SHA256, MIRA, MIRA),
];

#[tokio::test]
async fn whoever_signs_in_where_our_secret_is_a_signature_reaches_the_application() {
    for (kind, keys, algorithm, user, email) in SIGNED {
        let house = Gatehouse::signing(kind, keys, algorithm).await;
        let told = told(&house.signs_in("member").await);
        assert_eq!((told.user.as_str(), told.email.as_str()), (*user, *email), "{kind}");
        assert!(told.groups.is_empty(), "{kind}: {told:?}");
    }
}

/// A key that the vendor does not know proves nothing.
#[tokio::test]
async fn a_signature_of_another_key_signs_nobody_in() {
    for (kind, keys, algorithm, ..) in SIGNED {
        let house = Gatehouse::signing(kind, keys, algorithm).await;
        let other = KeyPair::generate_for(algorithm).expect("a key").public_key_pem();
        house.vendor.client_keys(&[other]).await;
        assert_ne!(house.signs_in("member").await.status, 200, "{kind}");
    }
}

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
