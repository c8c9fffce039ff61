//! GitLab, theirs or one's own. Userinfo has the full paths of all groups, the ID token only of those of
//! which somebody is a direct member. Somebody in a project with enough access has `project:PATH` among
//! their groups, too.
//!
//! Source: GitLab Docs, "GitLab as OpenID Connect identity provider", "Projects API".

use super::{KindSettings, Preset};
use crate::lookup::{Condition, Lookup, Read};
use crate::provider::Userinfo;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("https://gitlab.com");
    let mut preset = Preset::oidc(base);
    let mut projects = Vec::new();
    for (path, level) in &settings.projects {
        let group = format!("project:{path}");
        let alive = Condition::IsNot("archived".to_owned(), true.into());
        let of_project = "permissions.project_access.access_level";
        let own = Condition::AtLeast(of_project.to_owned(), *level);
        let inherited =
            Condition::AtLeast("permissions.group_access.access_level".to_owned(), *level);
        let not_own = Condition::Missing(of_project.to_owned());
        preset.manner.lookups.push(Lookup {
            nothing: vec![404],
            ..Lookup::get(
                "project",
                format!("{base}/api/v4/projects/{}", super::encoded(path)),
                vec![
                    Read::fact("groups", &group, &[alive.clone(), own]),
                    Read::fact("groups", &group, &[alive, not_own, inherited]),
                ],
            )
        });
        projects.push(group);
    }
    if !projects.is_empty() {
        preset.scopes.push("read_api".to_owned());
    }
    // A lookup adds to the groups, so they have to be there before it: userinfo comes first.
    if !settings.groups.is_empty() || !projects.is_empty() {
        preset.userinfo = Some(Userinfo::Always);
    }
    preset.needs("groups", "groups", &settings.groups);
    preset.needs("projects", "groups", &projects);
    preset.open_to_the_world = base == "https://gitlab.com" && preset.manner.memberships.is_empty();
    preset
}
