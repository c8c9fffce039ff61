//! Google, and Google Workspace. `hd` is asked for so that Google shows the right accounts, and is verified
//! in the token, since anybody can leave the question out. Groups are the directory's and are told to a
//! service account alone.
//!
//! Source: Google Identity, "OpenID Connect"; Directory API, "Members: hasMember", "Members: get",
//! "Groups: list".

use super::{KindSettings, Preset};
use crate::lookup::{Condition, Lookup, LookupToken, Paging, Read, When};
use crate::membership::Membership;

/// What a service account may be granted; the smallest first.
pub const DIRECTORY_SCOPES: [&str; 4] = [
    "https://www.googleapis.com/auth/admin.directory.group.member.readonly",
    "https://www.googleapis.com/auth/admin.directory.group.readonly",
    "https://www.googleapis.com/auth/admin.directory.group.member",
    "https://www.googleapis.com/auth/admin.directory.group",
];

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let mut preset = Preset::oidc(settings.base("https://accounts.google.com"));
    let domains = &settings.hosted_domain;
    if let Some(first) = domains.first() {
        let hint = if domains.len() == 1 { first.as_str() } else { "*" };
        preset.authorization_params.push(("hd".to_owned(), hint.to_owned()));
        preset.needs("hosted_domain", "hd", domains);
    }
    for membership in &mut preset.manner.memberships {
        membership.in_id_token = true;
    }
    let Some(directory) = &settings.directory else {
        preset.open_to_the_world = domains.is_empty();
        return preset;
    };
    // The directory is asked about an address, so it has to be theirs.
    preset.manner.memberships.push(Membership {
        in_id_token: true,
        ..Membership::of("verified e-mail addresses", "email_verified", &["true".to_owned()])
    });
    // Groups are asked for once more with each refresh. Google gives a refresh token only so, and only with a consent.
    preset.authorization_params.push(("access_type".to_owned(), "offline".to_owned()));
    preset.manner.service_account.clone_from(&directory.service_account);
    let api =
        format!("{}/admin/directory/v1/groups", settings.base("https://admin.googleapis.com"));
    let get = |name: &str, url: String, reads: Vec<Read>| Lookup {
        token: LookupToken::ServiceAccount,
        ..Lookup::get(name, url, reads)
    };
    for group in &directory.members_of {
        let at = format!("{api}/{}", super::encoded(group));
        // Nested groups count. People of another domain are looked up in another way, and only directly.
        preset.manner.lookups.push(Lookup {
            nothing: vec![400],
            ..get(
                "hasMember",
                format!("{at}/hasMember/{{claims.email}}"),
                vec![Read::fact("groups", group, &[Condition::is("isMember", true)])],
            )
        });
        preset.manner.lookups.push(Lookup {
            nothing: vec![404],
            when: When::AfterStatus(400),
            ..get(
                "member",
                format!("{at}/members/{{claims.email}}"),
                vec![Read::fact("groups", group, &[Condition::is("status", "ACTIVE")])],
            )
        });
    }
    if directory.members_of.is_empty() {
        preset.manner.lookups.push(Lookup {
            paging: Paging::Token {
                member: "nextPageToken".to_owned(),
                parameter: "pageToken".to_owned(),
            },
            ..get(
                "groups",
                format!("{api}?userKey={{claims.email}}&maxResults=200"),
                vec![Read::every("groups", "groups", "{email}")],
            )
        });
    }
    preset.needs("groups", "groups", &directory.members_of);
    preset.open_to_the_world = domains.is_empty() && directory.members_of.is_empty();
    preset
}
