//! Each kind is what its vendor documents.

use lychgate_oidc::kind::{Endpoints, GroupNames, GroupsFrom, Kind, KindSettings, Preset};
use lychgate_oidc::{
    Algorithm, AssertionAudience, Membership, Quirk, ResponseMode, SecretMethod, SignedSecret,
    TenantIssuer, Userinfo, When, url_template,
};

/// What an operator writes.
type Change = fn(&mut KindSettings);

fn preset(kind: &str, change: impl FnOnce(&mut KindSettings)) -> Preset {
    let mut settings = KindSettings {
        issuer: "https://id.example.com/x".to_owned(),
        tenant: "common".to_owned(),
        ..KindSettings::default()
    };
    change(&mut settings);
    kind.parse::<Kind>().unwrap().preset(&settings)
}

fn plain(kind: &str) -> Preset {
    preset(kind, |_| ())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn lookups(preset: &Preset) -> Vec<&str> {
    preset.manner.lookups.iter().map(|lookup| lookup.url.as_str()).collect()
}

#[test]
fn every_kind_has_its_vendors_addresses_and_scopes() {
    for (kind, issuer, endpoints, scopes) in [
        ("adfs", "https://id.example.com/x", None, "openid profile email allatclaims"),
        ("apple", "https://appleid.apple.com", None, "openid name email"),
        ("auth0", "https://id.example.com/x/", None, "openid profile email"),
        (
            "bitbucket",
            "https://bitbucket.org",
            Some((
                "https://bitbucket.org/site/oauth2/authorize",
                "https://bitbucket.org/site/oauth2/access_token",
            )),
            "account email",
        ),
        ("cidaas", "https://id.example.com/x", None, "openid profile email roles groups"),
        ("cognito", "https://id.example.com/x", None, "openid profile email"),
        (
            "digitalocean",
            "https://cloud.digitalocean.com",
            Some((
                "https://cloud.digitalocean.com/v1/oauth/authorize",
                "https://cloud.digitalocean.com/v1/oauth/token",
            )),
            "read",
        ),
        (
            "discord",
            "https://discord.com",
            Some(("https://discord.com/oauth2/authorize", "https://discord.com/api/oauth2/token")),
            "identify email guilds",
        ),
        (
            "entra",
            "https://login.microsoftonline.com/common/v2.0",
            None,
            "openid profile email User.Read offline_access",
        ),
        (
            "facebook",
            "https://www.facebook.com",
            Some((
                "https://www.facebook.com/v23.0/dialog/oauth",
                "https://graph.facebook.com/v23.0/oauth/access_token",
            )),
            "public_profile email",
        ),
        (
            "github",
            "https://github.com",
            Some((
                "https://github.com/login/oauth/authorize",
                "https://github.com/login/oauth/access_token",
            )),
            "read:user user:email read:org",
        ),
        ("gitlab", "https://gitlab.com", None, "openid profile email"),
        ("google", "https://accounts.google.com", None, "openid profile email"),
        ("keycloak", "https://id.example.com/x", None, "openid profile email"),
        ("linkedin", "https://www.linkedin.com/oauth", None, "openid profile email"),
        ("login_gov", "https://secure.login.gov/", None, "openid email"),
        ("oidc", "https://id.example.com/x", None, "openid profile email"),
        ("okta", "https://id.example.com/x", None, "openid profile email groups"),
        ("slack", "https://slack.com", None, "openid profile email"),
        (
            "sourcehut",
            "https://meta.sr.ht",
            Some(("https://meta.sr.ht/oauth2/authorize", "https://meta.sr.ht/oauth2/access-token")),
            "meta.sr.ht/PROFILE:RO",
        ),
    ] {
        let preset = plain(kind);
        let expected = endpoints.map(|(authorization, token)| Endpoints {
            authorization: authorization.to_owned(),
            token: token.to_owned(),
            userinfo: None,
            pushed_authorization_request: None,
            introspection: None,
            revocation: None,
        });
        assert_eq!(preset.issuer, issuer, "{kind}");
        assert_eq!(preset.endpoints, expected, "{kind}");
        assert_eq!(preset.scopes.join(" "), scopes, "{kind}");
        // Without metadata there is nothing that could sign an ID token.
        assert_eq!(preset.id_token, endpoints.is_none(), "{kind}");
        assert!(preset.metadata().is_none_or(|metadata| metadata.is_ok()), "{kind}");
    }
}

#[test]
fn every_kind_can_be_elsewhere_and_every_question_can_be_asked() {
    for kind in Kind::ALL.iter().filter(|kind| kind.keys().contains(&"base_url")) {
        let preset = preset(kind.as_str(), |settings| {
            settings.base_url = Some("https://own.example.com:8443/at".to_owned());
            settings.repositories = texts(&["works/gate"]);
            settings.projects = vec![("works/gate".to_owned(), 30)];
        });
        assert!(preset.issuer.starts_with("https://own.example.com:8443/at"), "{kind:?}");
        for lookup in &preset.manner.lookups {
            let url =
                url_template(&lookup.url).unwrap_or_else(|error| panic!("{error}: {}", lookup.url));
            assert_eq!(
                url.origin().ascii_serialization(),
                "https://own.example.com:8443",
                "{kind:?}"
            );
            assert!(lookup.required);
        }
    }
}

/// C-60: whoever gives accounts to everybody is open until somebody is named.
#[test]
fn a_kind_that_gives_accounts_to_everybody_is_open_until_somebody_is_named() {
    let open = [
        "apple",
        "bitbucket",
        "digitalocean",
        "discord",
        "entra",
        "facebook",
        "github",
        "gitlab",
        "google",
        "linkedin",
        "login_gov",
        "slack",
        "sourcehut",
    ];
    for kind in Kind::ALL {
        let preset = plain(kind.as_str());
        assert_eq!(preset.open_to_the_world, open.contains(&kind.as_str()), "{kind:?}");
    }
    let ours = || texts(&["ours"]);
    let closed: [(&str, Change); 10] = [
        ("bitbucket", |settings| settings.workspaces = vec!["ours".to_owned()]),
        ("discord", |settings| settings.guilds = vec!["1".to_owned()]),
        ("entra", |settings| settings.tenants = vec!["ours".to_owned()]),
        ("entra", |settings| settings.tenant = "11111111-2222-3333-4444-555555555555".to_owned()),
        ("github", |settings| settings.organizations = vec!["ours".to_owned()]),
        ("github", |settings| settings.users = vec!["ada".to_owned()]),
        ("gitlab", |settings| settings.groups = vec!["ours".to_owned()]),
        ("gitlab", |settings| settings.projects = vec![("ours/gate".to_owned(), 20)]),
        ("google", |settings| settings.hosted_domain = vec!["example.com".to_owned()]),
        ("slack", |settings| settings.workspaces = vec!["T0".to_owned()]),
    ];
    for (kind, change) in closed {
        assert!(!preset(kind, change).open_to_the_world, "{kind}");
    }
    let own =
        preset("gitlab", |settings| settings.base_url = Some("https://git.example.com".to_owned()));
    assert!(!own.open_to_the_world);
    assert!(preset("gitlab", |settings| settings.teams = ours()).open_to_the_world);
}

#[test]
fn github_asks_four_questions_and_enterprise_the_same_below_its_api() {
    let calls = [
        "/user",
        "/user/emails?per_page=100",
        "/user/orgs?per_page=100",
        "/user/teams?per_page=100",
    ];
    let at = |base: &str| calls.map(|call| format!("{base}{call}"));
    assert_eq!(lookups(&plain("github")), at("https://api.github.com"));
    let enterprise =
        preset("github", |settings| settings.base_url = Some("https://ghe.example.com".to_owned()));
    assert_eq!(lookups(&enterprise), at("https://ghe.example.com/api/v3"));
    let repositories = preset("github", |settings| settings.repositories = texts(&["works/gate"]));
    assert_eq!(lookups(&repositories)[4], "https://api.github.com/repos/works/gate");
    assert!(repositories.scopes.contains(&"repo".to_owned()));
}

#[test]
fn entra_asks_graph_when_it_has_to() {
    let groups = |from, names| {
        let preset = preset("entra", |settings| {
            settings.groups_from = from;
            settings.group_names = names;
        });
        let when = preset.manner.lookups.first().map(|lookup| lookup.when.clone());
        (when, preset.groups_claim)
    };
    let overage = When::Present("_claim_names.groups".to_owned());
    let (ids, by_name) = ("groups".to_owned(), "group_names".to_owned());
    assert_eq!(groups(GroupsFrom::Token, GroupNames::Ids), (None, ids.clone()));
    assert_eq!(groups(GroupsFrom::Auto, GroupNames::Ids), (Some(overage), ids.clone()));
    assert_eq!(groups(GroupsFrom::Graph, GroupNames::Ids), (Some(When::Always), ids));
    assert_eq!(groups(GroupsFrom::Auto, GroupNames::Names), (Some(When::Always), by_name));

    let national = preset("entra", |settings| {
        settings.base_url = Some("https://login.microsoftonline.us".to_owned());
    });
    assert!(
        lookups(&national)[0].starts_with("https://graph.microsoft.us/v1.0/me/transitiveMemberOf?")
    );
    assert!(national.manner.quirks.contains(&Quirk::TenantIssuer(TenantIssuer {
        base: "https://login.microsoftonline.us".to_owned(),
        tenant: "common".to_owned(),
        tenants: Vec::new(),
    })));
}

#[test]
fn google_sends_a_domain_as_a_hint_and_verifies_it_in_the_token() {
    let one = preset("google", |settings| settings.hosted_domain = texts(&["example.com"]));
    assert_eq!(one.authorization_params, [("hd".to_owned(), "example.com".to_owned())]);
    let domain = Membership::of("hosted_domain", "hd", &texts(&["example.com"]));
    let domain = Membership { ignore_case: true, in_id_token: true, ..domain };
    assert_eq!(one.manner.memberships, [domain]);
    let two =
        preset("google", |settings| settings.hosted_domain = texts(&["a.example", "b.example"]));
    assert_eq!(two.authorization_params, [("hd".to_owned(), "*".to_owned())]);
}

#[test]
fn the_rest_is_what_the_vendors_say() {
    assert_eq!(plain("cognito").groups_claim, "cognito:groups");
    assert_eq!(plain("slack").groups_claim, "https://slack.com/team_id");
    assert_eq!(plain("adfs").groups_claim, "group");
    assert_eq!(plain("cidaas").userinfo, Some(Userinfo::Always));
    assert_eq!(plain("bitbucket").secret_method, Some(SecretMethod::Basic));
    assert_eq!(plain("linkedin").secret_method, Some(SecretMethod::Post));
    assert_eq!(plain("oauth2").secret_method, None);
    assert_eq!(plain("apple").response_mode, ResponseMode::FormPost);
    let signed = preset("apple", |settings| settings.team_id = "LYCH83104T".to_owned());
    let secret = SignedSecret {
        issuer: "LYCH83104T".to_owned(),
        audience: "https://appleid.apple.com".to_owned(),
    };
    assert_eq!(signed.signed_secret, Some(secret));
    let login_gov = plain("login_gov");
    assert_eq!(login_gov.acr_values, ["http://idmanagement.gov/ns/assurance/ial/1"]);
    assert_eq!(login_gov.assertion_audience, AssertionAudience::TokenEndpoint);
    assert_eq!(login_gov.assertion_algorithm, Some(Algorithm::RS256));
    for (kind, quirk) in [
        ("adfs", Quirk::AddressInUpn),
        ("auth0", Quirk::LogoutReturnTo),
        ("bitbucket", Quirk::StateNamesGrant),
        ("cidaas", Quirk::GroupObjects),
        ("cognito", Quirk::LogoutUri),
        ("entra", Quirk::RolesAreGroups),
        ("github", Quirk::VendorTokenAnswer),
        ("keycloak", Quirk::AccessTokenRoles),
    ] {
        assert!(plain(kind).manner.quirks.contains(&quirk), "{kind}");
    }
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(*kind));
        assert!(kind.needs().iter().all(|key| kind.keys().contains(key)
            || key.ends_with("_endpoint")
            || key.starts_with("signing_key")));
    }
    assert!(Kind::ALL.is_sorted_by_key(|kind| kind.as_str()));
}
