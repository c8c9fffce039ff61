//! Facebook. There is no ID token in the code flow, many accounts have no e-mail address, and nothing says
//! that one is verified.
//!
//! Source: Meta for Developers, "Manually Build a Login Flow", "Graph API: User".

use super::{KindSettings, Preset};
use crate::lookup::{Lookup, Read};

const VERSION: &str = "v23.0";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let web = settings.base("https://www.facebook.com");
    let graph = settings.base("https://graph.facebook.com");
    let mut preset = Preset::oauth2(
        web,
        format!("{web}/{VERSION}/dialog/oauth"),
        format!("{graph}/{VERSION}/oauth/access_token"),
        &["public_profile", "email"],
    );
    preset.manner.lookups.push(Lookup::get(
        "me",
        format!("{graph}/{VERSION}/me?fields=id,name,email"),
        vec![Read::one("sub", "id"), Read::one("name", "name"), Read::one("email", "email")],
    ));
    preset.open_to_the_world = true;
    preset
}
