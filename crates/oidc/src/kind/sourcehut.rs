//! SourceHut. There is no ID token; one GraphQL question says who somebody is.
//!
//! Source: SourceHut manual, "meta.sr.ht: OAuth 2.0", "GraphQL".

use super::{KindSettings, Preset};
use crate::client_auth::SecretMethod;
use crate::lookup::{Lookup, Read};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("https://meta.sr.ht");
    let mut preset = Preset::oauth2(
        base,
        format!("{base}/oauth2/authorize"),
        format!("{base}/oauth2/access-token"),
        &["meta.sr.ht/PROFILE:RO"],
    );
    preset.secret_method = Some(SecretMethod::Basic);
    preset.manner.lookups.push(Lookup {
        body: Some(r#"{"query":"query { me { id username email } }"}"#.to_owned()),
        ..Lookup::get(
            "me",
            format!("{base}/query"),
            vec![
                Read::one("sub", "data.me.id"),
                Read::one("preferred_username", "data.me.username"),
                Read::one("email", "data.me.email"),
            ],
        )
    });
    preset.admits("preferred_username", &settings.users);
    preset.open_to_the_world = settings.is_vendors_own() && settings.users.is_empty();
    preset
}
