//! Active Directory Federation Services. Its ID tokens name people by `upn` and have an e-mail address
//! only where a rule issues one, and groups as `group`; `allatclaims` puts what the rules issue into the ID token. It reads
//! `state` once more than others do, which changes nothing in one that is base64url.
//!
//! Source: Microsoft Learn, "AD FS OpenID Connect/OAuth concepts".

use super::{KindSettings, Preset, texts};
use crate::manner::Manner;
use crate::quirk::Quirk;

pub(super) fn preset(settings: &KindSettings) -> Preset {
    Preset {
        groups_claim: "group".to_owned(),
        scopes: texts(&["openid", "profile", "email", "allatclaims"]),
        manner: Manner { quirks: vec![Quirk::AddressInUpn], ..Manner::default() },
        ..Preset::oidc(&settings.issuer)
    }
}
