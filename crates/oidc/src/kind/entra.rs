//! Microsoft Entra ID. A registration may be for the people of many tenants, and then the issuer of a
//! token has the tenant's identifier in it, which must be one of those allowed. A token has room for 200
//! groups; beyond, it names only where they are, and Graph is asked. App roles become `role:NAME`.
//!
//! Source: Microsoft Learn, "OpenID Connect on the Microsoft identity platform", "Configure group claims",
//! "List a user's memberships (direct and transitive)".

use super::{GroupNames, GroupsFrom, KindSettings, Preset, texts};
use crate::lookup::{Condition, Lookup, Paging, Read, When};
use crate::quirk::{Quirk, TenantIssuer};

/// The clouds of Microsoft, and where Graph is in each.
const CLOUDS: [(&str, &str); 3] = [
    ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
];

/// The groups by another name than the token's.
const GROUPS_BY_NAME: &str = "group_names";

pub(super) fn preset(settings: &KindSettings) -> Preset {
    let login = settings.base("https://login.microsoftonline.com");
    let graph = CLOUDS.iter().find(|(cloud, _)| *cloud == login).map_or(login, |(_, graph)| *graph);
    let issuer = TenantIssuer {
        base: login.to_owned(),
        tenant: settings.tenant.to_ascii_lowercase(),
        tenants: settings.tenants.iter().map(|tenant| tenant.to_ascii_lowercase()).collect(),
    };
    let mut preset = Preset::oidc(issuer.of(&issuer.tenant));
    preset.open_to_the_world = ["common", "organizations", "consumers"].contains(&&*issuer.tenant)
        && issuer.tenants.is_empty();
    let (field, claim) = match settings.group_names {
        GroupNames::Ids => ("id", "groups"),
        GroupNames::Names => ("displayName", GROUPS_BY_NAME),
        GroupNames::OnPremises => ("onPremisesSamAccountName", GROUPS_BY_NAME),
    };
    let when = match (settings.groups_from, settings.group_names) {
        (GroupsFrom::Token, _) => None,
        (GroupsFrom::Auto, GroupNames::Ids) => {
            Some(When::Present("_claim_names.groups".to_owned()))
        }
        (GroupsFrom::Auto | GroupsFrom::Graph, _) => Some(When::Always),
    };
    if let Some(when) = when {
        preset.scopes = texts(&["openid", "profile", "email", "User.Read"]);
        // Groups are asked for once more with each refresh, and there is none without this.
        preset.scopes.push("offline_access".to_owned());
        if settings.group_names != GroupNames::Ids {
            preset.scopes.push("GroupMember.Read.All".to_owned());
        }
        preset.groups_claim = claim.to_owned();
        // Anything else that somebody may be a member of is no group.
        let group = Condition::is("@odata.type", "#microsoft.graph.group");
        let named = Read::every(claim, "value", &format!("{{{field}}}"));
        preset.manner.lookups.push(Lookup {
            headers: vec![("ConsistencyLevel".to_owned(), "eventual".to_owned())],
            paging: Paging::NextUrl("@odata.nextLink".to_owned()),
            when,
            ..Lookup::get(
                "groups",
                format!("{graph}/v1.0/me/transitiveMemberOf?$select={field}&$top=999"),
                vec![Read { only: vec![group], ..named }],
            )
        });
    }
    preset.manner.quirks.push(Quirk::DomainOwnerVerified);
    preset.manner.quirks.push(Quirk::RolesAreGroups);
    preset.manner.quirks.push(Quirk::TenantIssuer(issuer));
    preset
}
