//! DigitalOcean. There is no ID token; the account says who somebody is, and its team is the group.
//!
//! Source: DigitalOcean, "OAuth API", "API reference: Account".

use super::{KindSettings, Preset};
use crate::lookup::{Lookup, Read};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let web = settings.base("https://cloud.digitalocean.com");
    let api = settings.base("https://api.digitalocean.com");
    let mut preset = Preset::oauth2(
        web,
        format!("{web}/v1/oauth/authorize"),
        format!("{web}/v1/oauth/token"),
        &["read"],
    );
    preset.manner.lookups.push(Lookup::get(
        "account",
        format!("{api}/v2/account"),
        vec![
            Read::one("sub", "account.uuid"),
            Read::one("email", "account.email"),
            Read::one("email_verified", "account.email_verified"),
            Read::one("name", "account.name"),
            Read { every: true, ..Read::one("groups", "account.team.uuid") },
        ],
    ));
    preset.open_to_the_world = true;
    preset
}
