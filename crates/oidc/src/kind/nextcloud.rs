//! Nextcloud as an OAuth 2.0 server. There is no ID token; the groups are the identifiers that the
//! instance gives them, and nothing says that an address is verified.
//!
//! Source: Nextcloud Administration Manual, "OAuth2"; Developer Manual, "OCS API".

use super::{KindSettings, Preset};
use crate::lookup::{Lookup, Read};

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let base = settings.base("");
    let mut preset = Preset::oauth2(
        base,
        format!("{base}/index.php/apps/oauth2/authorize"),
        format!("{base}/index.php/apps/oauth2/api/v1/token"),
        &[],
    );
    preset.manner.lookups.push(Lookup {
        headers: vec![("OCS-APIRequest".to_owned(), "true".to_owned())],
        ..Lookup::get(
            "user",
            format!("{base}/ocs/v2.php/cloud/user?format=json"),
            vec![
                Read::one("sub", "ocs.data.id"),
                Read::one("preferred_username", "ocs.data.id"),
                Read::one("name", "ocs.data.display-name"),
                Read::one("email", "ocs.data.email"),
                Read::every("groups", "ocs.data.groups", "{}"),
            ],
        )
    });
    preset.needs("groups", "groups", &settings.groups);
    preset.admits("preferred_username", &settings.users);
    preset
}
