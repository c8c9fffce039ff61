//! Discord. There is no ID token. The groups are the identifiers of guilds.
//!
//! Source: Discord Developer Documentation, "OAuth2", "Users Resource".

use super::{KindSettings, Preset};
use crate::lookup::{Lookup, Paging, Read};

/// How many guilds a page has at most.
const PAGE: usize = 200;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let web = settings.base("https://discord.com");
    let api = format!("{web}/api/v10");
    let mut preset = Preset::oauth2(
        web,
        format!("{web}/oauth2/authorize"),
        format!("{web}/api/oauth2/token"),
        &["identify", "email", "guilds"],
    );
    preset.manner.lookups = vec![
        Lookup::get(
            "user",
            format!("{api}/users/@me"),
            vec![
                Read::one("sub", "id"),
                Read::one("preferred_username", "username"),
                Read::one("name", "global_name"),
                Read::one("email", "email"),
                Read::one("email_verified", "verified"),
            ],
        ),
        Lookup {
            paging: Paging::After {
                list: String::new(),
                last: "id".to_owned(),
                parameter: "after".to_owned(),
                full: PAGE,
            },
            ..Lookup::get(
                "guilds",
                format!("{api}/users/@me/guilds?limit={PAGE}"),
                vec![Read::every("groups", "", "{id}")],
            )
        },
    ];
    preset.needs("guilds", "groups", &settings.guilds);
    preset.admits("preferred_username", &settings.users);
    preset.open_to_the_world = preset.manner.memberships.is_empty();
    preset
}
