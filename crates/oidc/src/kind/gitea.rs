//! Gitea and Forgejo, which speak OpenID Connect. Their own API says the groups in the same form as
//! GitHub's: `organization` and `organization/team`.
//!
//! Source: Gitea Docs, "OAuth2 Provider", and the API description that every instance serves.

use super::{KindSettings, Preset, texts};
use crate::lookup::{Lookup, Paging, Read};

/// The token's own groups are of another form.
const GROUPS: &str = "memberships";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("");
    let api = format!("{base}/api/v1");
    let mut preset = Preset::oidc(base);
    preset.scopes = texts(&["openid", "profile", "email", "read:organization"]);
    preset.groups_claim = GROUPS.to_owned();
    let listed = |name: &str, template: &str| Lookup {
        paging: Paging::Link,
        ..Lookup::get(
            name,
            format!("{api}/user/{name}?limit=50"),
            vec![Read::every(GROUPS, "", template)],
        )
    };
    preset.manner.lookups =
        vec![listed("orgs", "{name}"), listed("teams", "{organization.name}/{name}")];
    if !settings.repositories.is_empty() {
        preset.scopes.push("read:repository".to_owned());
    }
    for repository in &settings.repositories {
        preset.manner.lookups.push(Lookup {
            nothing: vec![403, 404],
            ..Lookup::get(
                "repository",
                format!("{api}/repos/{repository}"),
                super::repository_reads(repository),
            )
        });
    }
    preset.needs("organizations", GROUPS, &settings.organizations);
    preset.needs("teams", GROUPS, &settings.teams);
    preset.needs("repositories", "repositories", &settings.repositories);
    preset.admits("preferred_username", &settings.users);
    preset
}
