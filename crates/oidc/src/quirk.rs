//! What some vendors do otherwise than everybody else, as a closed list.
//!
//! What can be said as data (endpoints, scopes, lookups, memberships) is not in here. A new variant is
//! met in every match that is about it, and has a test of its own.

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::claims;
use crate::id_token;
use crate::json::{self, Object};
use crate::jwks::KeySet;
use crate::jws::CompactJws;
use crate::provider::{Algorithm, Provider};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The tenant of everybody's personal Microsoft account.
pub const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// One thing that a vendor does otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Keycloak says roles in the access token, nested: they become the groups `role:NAME` and
    /// `role:CLIENT:NAME`.
    AccessTokenRoles,
    /// ADFS gives names only as `upn`: it is the e-mail's stand-in where there is none, unverified.
    AddressInUpn,
    /// Entra does not say `email_verified`, but, where it is told to, `xms_edov`: that the address is of a
    /// domain whose owner is the person's tenant. Only then is it one that can be believed.
    DomainOwnerVerified,
    /// cidaas writes groups as objects, which become `GROUP:ROLE`, and roles, which become `cidaas:ROLE`.
    GroupObjects,
    /// Auth0 signs people out at `v2/logout` with `returnTo`, where its metadata names no endpoint.
    LogoutReturnTo,
    /// Cognito signs people out with `logout_uri` where others have `post_logout_redirect_uri`.
    LogoutUri,
    /// Entra's app roles, the claim `roles`, become the groups `role:NAME`.
    RolesAreGroups,
    /// Bitbucket's token answer has a `state`, and it is no login's but the name of the grant.
    StateNamesGrant,
    /// Microsoft's issuer has the tenant of the person in it.
    TenantIssuer(TenantIssuer),
    /// The token endpoint answers as vendors did before there was a standard: form-encoded, or without
    /// `token_type`.
    VendorTokenAnswer,
}

/// Whose tokens are believed where one registration is for the people of many tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantIssuer {
    /// The address before the tenant, without a slash at its end.
    pub base: String,
    /// What stands for the tenant in the metadata's address: `common`, `organizations`, `consumers` or a
    /// domain.
    pub tenant: String,
    /// The tenants that are believed, in small letters; empty for every tenant that `tenant` stands for.
    pub tenants: Vec<String>,
}

impl TenantIssuer {
    /// The issuer of `tenant`'s tokens.
    #[must_use]
    pub fn of(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.base)
    }

    /// Whether a metadata document may name this issuer: with a placeholder, or with one tenant.
    pub(crate) fn may_be_named(&self, issuer: &str) -> bool {
        let tenant = issuer
            .strip_prefix(&self.base)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.strip_suffix("/v2.0"));
        match (tenant, self.tenant.as_str()) {
            (Some("{tenantid}"), "common" | "organizations") => true,
            // Never one tenant's document in the place of everybody's.
            (Some(_), "common" | "organizations") => false,
            (Some(tenant), "consumers") => tenant == PERSONAL_TENANT,
            (Some(tenant), _) => is_tenant(tenant),
            (None, _) => false,
        }
    }

    /// Whether `issuer`, of a token that says it is of `tenant`, is believed when the metadata named
    /// `published`.
    pub(crate) fn is_believed(&self, issuer: &str, tenant: &str, published: &str) -> bool {
        let placed = published.replace("{tenantid}", tenant);
        let allowed = match self.tenant.as_str() {
            _ if !self.tenants.is_empty() => self.tenants.iter().any(|one| one == tenant),
            "organizations" => tenant != PERSONAL_TENANT,
            _ => true,
        };
        is_tenant(tenant) && issuer == placed && issuer == self.of(tenant) && allowed
    }
}

/// Whether this is a tenant's identifier, in the form in which tokens have it.
fn is_tenant(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

/// Adds what the access token says, where the vendor puts something about the person into it.
///
/// It is believed as far as an ID token is: signed with a key of the provider, of this issuer, for this
/// client, and not expired. One that is not is passed over, and whoever needs a role does not enter.
pub(crate) fn read_access_token(
    provider: &Provider,
    token: Option<&Secret>,
    keys: &KeySet,
    now: Timestamp,
    members: &mut Object,
) {
    if !provider.manner.quirks.contains(&Quirk::AccessTokenRoles)
        || members.contains_key("realm_access")
        || members.contains_key("resource_access")
    {
        return;
    }
    let Some(claims) = token.and_then(|token| access_token(provider, token, keys, now)) else {
        return;
    };
    for name in ["realm_access", "resource_access"] {
        if let Some(value) = claims.get(name) {
            members.insert(name.to_owned(), value.clone());
        }
    }
}

fn access_token(
    provider: &Provider,
    token: &Secret,
    keys: &KeySet,
    now: Timestamp,
) -> Option<Object> {
    let jws = CompactJws::read(token.expose()).ok()?;
    let algorithm: Algorithm = jws.header.algorithm.parse().ok()?;
    // Never with the shared secret: an access token is the provider's word alone.
    let allowed = algorithm != Algorithm::HS256
        && provider.id_token.signed_response_algs.contains(&algorithm);
    let mut candidates = keys.candidates(algorithm, jws.header.key_id.as_deref());
    let verified = |key: &DecodingKey| id_token::verifies(&jws, algorithm, key);
    if !allowed || !candidates.any(verified) {
        return None;
    }
    let claims = json::object(&jws.payload).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let expires = claims.get("exp").and_then(Value::as_i64)?;
    let fresh = now < Timestamp::new(expires).plus(provider.clock_tolerance);
    let ours = text("iss") == Some(&*provider.issuer) && text("azp") == Some(&*provider.client_id);
    (fresh && ours).then_some(claims)
}

/// Makes of the vendor's own claims what everybody else has.
pub(crate) fn translate(quirks: &[Quirk], groups: &str, members: &mut Object) {
    for quirk in quirks {
        match quirk {
            Quirk::AccessTokenRoles => {
                let roles = keycloak_roles(members);
                add_groups(groups, roles, members);
            }
            Quirk::AddressInUpn => {
                if !members.contains_key("email")
                    && let Some(upn) = members.get("upn").cloned()
                {
                    members.insert("email".to_owned(), upn);
                    // Nobody vouched for this one.
                    members.remove("email_verified");
                }
            }
            Quirk::DomainOwnerVerified => {
                let words = words(members.get("xms_edov"));
                let owned = matches!(words.as_slice(), [word] if word == "true" || word == "1");
                if owned && members.contains_key("email") && !members.contains_key("email_verified")
                {
                    members.insert("email_verified".to_owned(), Value::Bool(true));
                }
            }
            Quirk::GroupObjects => {
                let roles = cidaas_groups(members);
                members.remove(groups);
                add_groups(groups, roles, members);
            }
            Quirk::RolesAreGroups => {
                let roles = words(members.get("roles"));
                let roles = roles.into_iter().map(|role| format!("role:{role}")).collect();
                add_groups(groups, roles, members);
            }
            Quirk::LogoutReturnTo
            | Quirk::LogoutUri
            | Quirk::StateNamesGrant
            | Quirk::TenantIssuer(_)
            | Quirk::VendorTokenAnswer => {}
        }
    }
}

fn keycloak_roles(members: &Object) -> Vec<String> {
    let realm = words(claims::find(members, "realm_access.roles"));
    let mut roles: Vec<String> = realm.into_iter().map(|role| format!("role:{role}")).collect();
    let clients = members.get("resource_access").and_then(Value::as_object);
    for (client, access) in clients.into_iter().flatten() {
        let of_client = words(access.get("roles"));
        roles.extend(of_client.into_iter().map(|role| format!("role:{client}:{role}")));
    }
    roles
}

fn cidaas_groups(members: &Object) -> Vec<String> {
    let mut groups = Vec::new();
    for group in members.get("groups").and_then(Value::as_array).into_iter().flatten() {
        let Some(id) = group.get("groupId").and_then(Value::as_str) else { continue };
        let roles = words(group.get("roles"));
        groups.extend(roles.into_iter().map(|role| format!("{id}:{role}")));
    }
    let roles = words(members.get("roles"));
    groups.extend(roles.into_iter().map(|role| format!("cidaas:{role}")));
    groups
}

fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(claims::word).collect(),
        Some(value) => claims::word(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Adds to the claim with the groups. Where that is a path inside, a member with the whole name takes
/// its place, and is what the path leads to from then on.
fn add_groups(claim: &str, more: Vec<String>, members: &mut Object) {
    if more.is_empty() {
        return;
    }
    let mut groups = words(claims::find(members, claim));
    for group in more {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    members.insert(claim.to_owned(), groups.into_iter().map(Value::String).collect());
}
