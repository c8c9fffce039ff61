//! cidaas. Groups are objects with roles in them, said by userinfo; they become `GROUP:ROLE`, and roles
//! outside groups `cidaas:ROLE`.
//!
//! Source: cidaas Docs, "User info", "Groups and roles".

use super::{KindSettings, Preset, texts};
use crate::manner::Manner;
use crate::provider::Userinfo;
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        scopes: texts(&["openid", "profile", "email", "roles", "groups"]),
        userinfo: Some(Userinfo::Always),
        manner: Manner { quirks: vec![Quirk::GroupObjects], ..Manner::default() },
        ..Preset::oidc(&settings.issuer)
    }
}
