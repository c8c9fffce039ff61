//! What rules and headers read of a person, so that exactly that is asked for and kept.

use std::collections::BTreeSet;

use lychgate_gateway::policy::{Condition, Policy};
use lychgate_gateway::settings::ClaimNames;
use lychgate_gateway::template::Template;
use lychgate_oidc::Userinfo;

/// The attributes that something reads, beside the user name, which everything reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    email: bool,
    email_verified: bool,
    groups: bool,
    name: bool,
    access_token: bool,
    claims: BTreeSet<String>,
}

impl Needs {
    pub(super) fn of_policy(&mut self, policy: &Policy) {
        let entries = policy.allow.iter().chain(&policy.deny);
        for condition in entries.flat_map(|entry| &entry.conditions) {
            match condition {
                Condition::Claim { name, .. } => {
                    self.claims.insert(name.clone());
                }
                Condition::Domain(_) | Condition::Email(_) => {
                    self.email = true;
                    self.email_verified = true;
                }
                Condition::Group(_) => self.groups = true,
                Condition::Authenticated
                | Condition::Network(_)
                | Condition::Provider(_)
                | Condition::User(_) => {}
            }
        }
    }

    /// `text` is what `template` was read from.
    pub(super) fn of_template(&mut self, text: &str, template: &Template) {
        self.claims.extend(template.claims().map(str::to_owned));
        self.access_token |= template.has_access_token();
        for hole in text.split('{').skip(1) {
            match hole.split(['}', '|']).next().map(str::trim) {
                Some("email") => self.email = true,
                Some("groups") => self.groups = true,
                Some("name") => self.name = true,
                _ => {}
            }
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.email |= other.email;
        self.email_verified |= other.email_verified;
        self.groups |= other.groups;
        self.name |= other.name;
        self.access_token |= other.access_token;
        self.claims.extend(other.claims.iter().cloned());
    }

    /// Whether the access token has to be kept in the session.
    pub(super) fn access_token(&self) -> bool {
        self.access_token
    }

    /// The claims that have to be kept in the session under their own names.
    pub(super) fn kept_claims(&self) -> Vec<String> {
        self.claims.iter().cloned().collect()
    }

    /// When the userinfo endpoint has to be asked: if the ID token lacks any of these.
    pub(super) fn userinfo(&self, names: &ClaimNames) -> Userinfo {
        let user = names.user.clone().unwrap_or_else(|| "preferred_username".to_owned());
        let verified = self.email_verified && !names.assume_email_verified;
        let mut claims = vec![user];
        let read = [
            (self.name, names.name.clone()),
            (self.email, names.email.clone()),
            (verified, "email_verified".to_owned()),
            (self.groups, names.groups.clone()),
        ];
        let read = read.into_iter().filter(|(is_read, _)| *is_read).map(|(_, claim)| claim);
        for claim in read.chain(self.kept_claims()) {
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        }
        Userinfo::WhenMissing(claims)
    }
}
