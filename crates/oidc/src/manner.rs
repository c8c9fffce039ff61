//! What is peculiar to a provider beyond the standards: further questions, who of its people are ours,
//! and its quirks.

use crate::lookup::Lookup;
use crate::membership::Membership;
use crate::quirk::{Quirk, TenantIssuer};
use crate::service_account::ServiceAccount;

/// How a provider departs from OpenID Connect. By default not at all.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What is asked after the tokens came, in this order.
    pub lookups: Vec<Lookup>,
    /// Who may enter.
    pub memberships: Vec<Membership>,
    /// What may be the matter with somebody who is a member and is taken for none.
    pub membership_hint: Option<String>,
    /// What this vendor does otherwise.
    pub quirks: Vec<Quirk>,
    /// In whose name [`LookupToken::ServiceAccount`](crate::LookupToken::ServiceAccount) asks.
    pub service_account: Option<ServiceAccount>,
    /// The claim to which groups are added that quirks make of other claims.
    pub groups_claim: String,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            lookups: Vec::new(),
            memberships: Vec::new(),
            membership_hint: None,
            quirks: Vec::new(),
            service_account: None,
            groups_claim: "groups".to_owned(),
        }
    }
}

impl Manner {
    /// How the issuer depends on the person's tenant, if it does.
    #[must_use]
    pub fn tenant_issuer(&self) -> Option<&TenantIssuer> {
        self.quirks.iter().find_map(|quirk| match quirk {
            Quirk::TenantIssuer(tenants) => Some(tenants),
            Quirk::AccessTokenRoles
            | Quirk::AddressInUpn
            | Quirk::DomainOwnerVerified
            | Quirk::GroupObjects
            | Quirk::LogoutReturnTo
            | Quirk::LogoutUri
            | Quirk::RolesAreGroups
            | Quirk::StateNamesGrant
            | Quirk::VendorTokenAnswer => None,
        })
    }
}
