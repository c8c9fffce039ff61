//! Bitbucket Cloud. There is no ID token. The groups are the slugs of workspaces; a person is named by
//! UUID, since names change hands. Only an address that is primary and confirmed is one.
//!
//! Source: Bitbucket Cloud REST API, "OAuth 2.0", "Users", "Workspaces", "Repositories".

use super::{KindSettings, Preset};
use crate::client_auth::SecretMethod;
use crate::lookup::{Condition, Lookup, Paging, Read, ReadValue};
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let web = settings.base("https://bitbucket.org");
    let api = settings.base("https://api.bitbucket.org");
    let mut scopes = vec!["account", "email"];
    if !settings.repositories.is_empty() {
        scopes.push("repository");
    }
    let mut preset = Preset::oauth2(
        web,
        format!("{web}/site/oauth2/authorize"),
        format!("{web}/site/oauth2/access_token"),
        &scopes,
    );
    preset.secret_method = Some(SecretMethod::Basic);
    preset.manner.quirks.push(Quirk::StateNamesGrant);
    let next = Paging::NextUrl("next".to_owned());
    let confirmed = [Condition::is("is_primary", true), Condition::is("is_confirmed", true)];
    let address = ReadValue::Path("email".to_owned());
    let lookups = &mut preset.manner.lookups;
    lookups.push(Lookup::get(
        "user",
        format!("{api}/2.0/user"),
        vec![
            Read::one("sub", "uuid"),
            Read::one("preferred_username", "username"),
            Read::one("name", "display_name"),
        ],
    ));
    lookups.push(Lookup {
        paging: next.clone(),
        ..Lookup::get(
            "emails",
            format!("{api}/2.0/user/emails"),
            vec![
                Read::first("email", "values", address, &confirmed),
                Read::first("email_verified", "values", ReadValue::Fixed(true.into()), &confirmed),
            ],
        )
    });
    lookups.push(Lookup {
        paging: next.clone(),
        ..Lookup::get(
            "workspaces",
            format!("{api}/2.0/user/workspaces?pagelen=100"),
            vec![Read::every("groups", "values", "{workspace.slug}")],
        )
    });
    for repository in &settings.repositories {
        // `role` leaves out what anybody may read.
        let Some((workspace, _)) = repository.split_once('/') else { continue };
        let mut url = format!("{api}/2.0/repositories/{workspace}?role=contributor&q=");
        url.push_str(&super::encoded(&format!("full_name=\"{repository}\"")));
        let reads = vec![Read::every("repositories", "values", "{full_name}")];
        lookups.push(Lookup {
            paging: next.clone(),
            nothing: vec![403, 404],
            ..Lookup::get("repository", url, reads)
        });
    }
    preset.needs("workspaces", "groups", &settings.workspaces);
    preset.needs("repositories", "repositories", &settings.repositories);
    preset.admits("preferred_username", &settings.users);
    preset.open_to_the_world = preset.manner.memberships.is_empty();
    preset
}
