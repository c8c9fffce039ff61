//! GitHub, and GitHub Enterprise Server with its API below `/api/v3`. There is no ID token; a person is
//! named by the numeric identifier, since login names are given to others. The groups are organizations
//! and `organization/team`.
//!
//! Source: GitHub Docs, "Authorizing OAuth apps", REST API for users, organizations, teams, repositories,
//! "Rate limits for the REST API", "About OAuth app access restrictions".

use super::{KindSettings, Preset};
use crate::lookup::{Condition, Lookup, LookupToken, Paging, Read, ReadValue};

const HINT: &str = "GitHub does not tell of memberships in organizations that have not approved this \
    application, or that ask for SAML single sign-on first. Ask an owner of the organization to approve \
    it, or sign in at the organization and try again.";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let web = settings.base("https://github.com");
    let api = match settings.is_vendors_own() || web == "https://github.com" {
        true => "https://api.github.com".to_owned(),
        false => format!("{web}/api/v3"),
    };
    let mut scopes = vec!["read:user", "user:email", "read:org"];
    if !settings.repositories.is_empty() {
        // There is no smaller one that shows private repositories.
        scopes.push("repo");
    }
    let mut preset = Preset::oauth2(
        web,
        format!("{web}/login/oauth/authorize"),
        format!("{web}/login/oauth/access_token"),
        &scopes,
    );
    let get = |name: &str, path: &str, reads: Vec<Read>| Lookup {
        headers: vec![
            ("Accept".to_owned(), "application/vnd.github+json".to_owned()),
            ("X-GitHub-Api-Version".to_owned(), "2022-11-28".to_owned()),
        ],
        token: LookupToken::Scheme("token".to_owned()),
        paging: Paging::Link,
        ..Lookup::get(name, format!("{api}{path}"), reads)
    };
    let ours = [Condition::is("primary", true), Condition::is("verified", true)];
    let address = ReadValue::Path("email".to_owned());
    // What is hidden from us is a membership that somebody does not have, said with the hint.
    let hidden = if settings.organizations.is_empty() && settings.teams.is_empty() {
        Vec::new()
    } else {
        vec![403]
    };
    preset.manner.lookups = vec![
        get(
            "user",
            "/user",
            vec![
                Read::one("sub", "id"),
                Read::one("preferred_username", "login"),
                Read::one("name", "name"),
            ],
        ),
        get(
            "emails",
            "/user/emails?per_page=100",
            vec![
                Read::first("email", "", address, &ours),
                Read::first("email_verified", "", ReadValue::Fixed(true.into()), &ours),
            ],
        ),
        Lookup {
            nothing: hidden.clone(),
            ..get("orgs", "/user/orgs?per_page=100", vec![Read::every("groups", "", "{login}")])
        },
        Lookup {
            nothing: hidden,
            ..get(
                "teams",
                "/user/teams?per_page=100",
                vec![Read::every("groups", "", "{organization.login}/{slug}")],
            )
        },
    ];
    for repository in &settings.repositories {
        preset.manner.lookups.push(Lookup {
            nothing: vec![403, 404],
            ..get(
                "repository",
                &format!("/repos/{repository}"),
                super::repository_reads(repository),
            )
        });
    }
    preset.manner.membership_hint = Some(HINT.to_owned());
    preset.needs("organizations", "groups", &settings.organizations);
    preset.needs("teams", "groups", &settings.teams);
    preset.needs("repositories", "repositories", &settings.repositories);
    preset.admits("preferred_username", &settings.users);
    preset.open_to_the_world = settings.is_vendors_own() && preset.manner.memberships.is_empty();
    preset
}
