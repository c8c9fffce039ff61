//! Who somebody is, once their claims are verified.
//!
//! Issuer and subject together are the person; names and addresses only describe them (OIDC Core §5.7).

use std::collections::BTreeMap;

use lychgate_oidc::{SignedIn, SubjectRule, SubjectType, VerifiedClaims};
use serde::{Deserialize, Serialize};

use crate::settings::SignInProvider;
use crate::visit::explain::Persona;

/// The standard's claim for who somebody is.
const SUB: &str = "sub";

/// A person, as one provider described them at sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    provider: String,
    issuer: String,
    subject: String,
    subject_type: SubjectType,
    user: String,
    name: Option<String>,
    email: Option<String>,
    email_verified: EmailVerified,
    groups: Vec<String>,
    claims: BTreeMap<String, Vec<String>>,
}

/// What the provider says of the e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum EmailVerified {
    No,
    Unsaid,
    Yes,
}

/// A claim that the operator named as the user's is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider gave no `{claim}` that can be trusted as the user name")]
pub struct ClaimMissing {
    /// The claim's name.
    pub claim: String,
}

impl Identity {
    /// Reads the attributes out of verified claims, by the provider's claim names.
    ///
    /// # Errors
    /// [`ClaimMissing`] when the operator chose a claim for the user name and it is absent, or is an e-mail
    /// address that nobody verified: another one would be another person to the application.
    pub fn from_claims(
        claims: &VerifiedClaims,
        provider: &SignInProvider,
    ) -> Result<Self, ClaimMissing> {
        let names = &provider.claims;
        let text =
            |name: &str| claims.text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let email = text(&names.email);
        let email_verified = match claims.value("email_verified") {
            _ if names.assume_email_verified => EmailVerified::Yes,
            // The standard's word is about the standard's claim, and about no other that the operator chose.
            _ if names.email != "email" => EmailVerified::Unsaid,
            Some(serde_json::Value::Bool(true)) => EmailVerified::Yes,
            None => EmailVerified::Unsaid,
            // The text "true" is some providers' way of saying it; a gate takes the standard's (Core §5.1).
            Some(_) => EmailVerified::No,
        };
        let verified = |email: &String| email_verified == EmailVerified::Yes && !email.is_empty();
        // The standard's address is one whatever the operator calls by that name, and has the standard's word.
        let said = claims.value("email_verified") == Some(&serde_json::Value::Bool(true));
        let standard_verified = names.assume_email_verified || said;
        // Applications know people by this name, so an address is one only if it was verified.
        let user = match &names.user {
            Some(claim) if *claim == names.email => email.clone().filter(verified),
            Some(claim) if claim == "email" => text(claim).filter(|_| standard_verified),
            Some(claim) => text(claim),
            None => text("preferred_username")
                .or_else(|| email.clone().filter(verified))
                .or_else(|| Some(claims.subject().to_owned())),
        };
        let user =
            user.ok_or_else(|| ClaimMissing { claim: names.user.clone().unwrap_or_default() })?;
        let mut groups = claims.list(&names.groups);
        groups.retain(|group| !group.is_empty());
        let kept = provider.kept_claims.iter();
        // Whom an ID token calls otherwise than we do is recognised by it at a refresh.
        let token_subject = match &provider.registration.answers.subject {
            SubjectRule::Claim(path) if path != "sub" => Some(SUB.to_owned()),
            SubjectRule::Claim(_) | SubjectRule::Pseudonymous => None,
        };
        let claims_kept = kept
            .chain(&token_subject)
            .map(|name| (name.clone(), claims.list(name)))
            .filter(|(_, values)| !values.is_empty());
        Ok(Self {
            provider: provider.registration.name.clone(),
            issuer: claims.issuer().to_owned(),
            subject: claims.subject().to_owned(),
            subject_type: claims.subject_type(),
            user,
            name: text(&names.name),
            email,
            email_verified,
            groups,
            claims: claims_kept.collect(),
        })
    }

    /// This person after a refresh, of whom the provider may have said only a part again.
    ///
    /// # Errors
    /// As [`from_claims`](Self::from_claims).
    pub fn refreshed(
        &self,
        signed_in: &SignedIn,
        provider: &SignInProvider,
    ) -> Result<Self, ClaimMissing> {
        let claims = &signed_in.claims;
        if signed_in.complete {
            return Self::from_claims(claims, provider);
        }
        let said = |name: &str| claims.value(name).is_some();
        let names = &provider.claims;
        let mut newer = self.clone();
        if let Ok(now) = Self::from_claims(claims, provider) {
            // A user name that follows from another claim than before would be another person to applications.
            if names.user.as_deref().map_or_else(|| said("preferred_username"), said) {
                newer.user = now.user;
            }
            if said(&names.email) {
                (newer.email, newer.email_verified) = (now.email, now.email_verified);
            }
            if said(&names.name) {
                newer.name = now.name;
            }
            if said(&names.groups) {
                newer.groups = now.groups;
            }
            for name in provider.kept_claims.iter().filter(|name| said(name)) {
                newer.claims.insert(name.clone(), claims.list(name));
            }
        }
        Ok(newer)
    }

    /// The provider's name in the configuration.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Somebody who is supposed to have signed in at `provider`, for an explanation. What no rule and no header
    /// reads is not kept, as in a session.
    pub(crate) fn imagined(persona: &Persona, provider: &SignInProvider) -> Self {
        let verified = persona.email_verified || provider.claims.assume_email_verified;
        let registration = &provider.registration;
        let is_kept = |name: &str| provider.kept_claims.iter().any(|kept| kept == name);
        let claims = persona.claims.iter().filter(|(name, _)| is_kept(name));
        Self {
            provider: provider.registration.name.clone(),
            issuer: provider.registration.issuer.clone(),
            subject: persona.user.clone(),
            subject_type: match (&registration.answers.subject, registration.id_token.required) {
                (SubjectRule::Pseudonymous, _) => SubjectType::Pseudonymous,
                (SubjectRule::Claim(_), true) => SubjectType::Claim,
                (SubjectRule::Claim(_), false) => SubjectType::Lookup,
            },
            user: persona.user.clone(),
            name: persona.name.clone(),
            email: persona.email.clone(),
            email_verified: if verified { EmailVerified::Yes } else { EmailVerified::No },
            groups: persona.groups.iter().filter(|group| !group.is_empty()).cloned().collect(),
            claims: claims.map(|(name, values)| (name.clone(), values.clone())).collect(),
        }
    }

    /// What the ID token called them, where the subject is another claim.
    pub(crate) fn sub(&self) -> Option<&str> {
        self.claims.get(SUB)?.first().map(String::as_str)
    }

    /// The issuer's identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject: unique and never reassigned within the issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the subject rests on: a pseudonym is somebody else in every session.
    pub fn subject_type(&self) -> SubjectType {
        self.subject_type
    }

    /// The user name that the application is told.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The display name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The e-mail address, unless the provider says that it is not verified.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified != EmailVerified::No)
    }

    /// The e-mail address, if the provider says that it is verified. Rules about addresses use this one.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified == EmailVerified::Yes)
    }

    /// The groups, in the provider's order, none of them empty.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The values of a claim that some rule or header reads.
    pub fn claim(&self, name: &str) -> &[String] {
        self.claims.get(name).map_or(&[], Vec::as_slice)
    }

    /// How many bytes the attributes have.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.provider, &self.issuer, &self.subject, &self.user];
        let more = self.name.iter().chain(&self.email).chain(&self.groups);
        let claims = self.claims.iter().flat_map(|(name, values)| values.iter().chain([name]));
        texts.into_iter().chain(more).chain(claims).map(String::len).sum()
    }

    /// The largest attribute and its size in bytes, for the operator whose session does not fit.
    pub fn largest(&self) -> (String, usize) {
        let listed = |values: &[String]| values.iter().map(String::len).sum();
        let claims = self.claims.iter().map(|(name, values)| (name.clone(), listed(values)));
        std::iter::once((format!("groups ({} entries)", self.groups.len()), listed(&self.groups)))
            .chain(claims)
            .max_by_key(|(_, bytes)| *bytes)
            .unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A person for the tests of other modules.
    pub(crate) fn person(user: &str, groups: &[&str]) -> Identity {
        Identity {
            provider: "corp".to_owned(),
            issuer: "https://id.test".to_owned(),
            subject: format!("sub-{user}"),
            subject_type: SubjectType::Claim,
            user: user.to_owned(),
            name: Some(format!("{user} example")),
            email: Some(format!("{user}@example.com")),
            email_verified: EmailVerified::Yes,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            claims: BTreeMap::from([("amr".to_owned(), vec!["pwd".to_owned()])]),
        }
    }

    /// A person whose address is not what it should be.
    pub(crate) fn person_with_email(email: &str, verified: Option<bool>) -> Identity {
        let email_verified = match verified {
            Some(true) => EmailVerified::Yes,
            Some(false) => EmailVerified::No,
            None => EmailVerified::Unsaid,
        };
        Identity { email: Some(email.to_owned()), email_verified, ..person("ada", &[]) }
    }
}
