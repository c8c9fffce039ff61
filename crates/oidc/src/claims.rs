//! What a provider asserts about a person, after every check.
//!
//! Sources: OIDC Core §2, §5.1, §5.3.2.

use std::fmt;

use serde_json::Value;

use crate::id_token::is_subject;
use crate::json::Object;
use crate::response::{SubjectRule, SubjectType};
use crate::time::Timestamp;

/// Claims of an ID token that passed every step of verification, and what the userinfo endpoint and
/// lookups added to them. Where a provider gives no ID token, what its own endpoints said when they were
/// asked with the token just received; [`subject_type`](Self::subject_type) says what the subject rests on.
///
/// Only a completed [`Exchange`](crate::Exchange) makes them, or an access token that was
/// [verified](crate::access_token). The pair of
/// [`issuer`](Self::issuer) and [`subject`](Self::subject) names a person; nothing else does.
#[derive(Clone, PartialEq)]
pub struct VerifiedClaims {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) subject_type: SubjectType,
    pub(crate) auth_time: Option<Timestamp>,
    /// Every claim by name, those above included.
    pub(crate) members: Object,
}

impl VerifiedClaims {
    /// Nothing but who it is, of somebody whose refresh token was accepted; `sub` is what the ID token called them,
    /// where that is still known.
    pub(crate) fn of_refreshed(issuer: &str, sub: Option<&str>) -> Self {
        let mut members = Object::new();
        members.insert("iss".to_owned(), issuer.into());
        if let Some(sub) = sub {
            members.insert("sub".to_owned(), sub.into());
        }
        Self {
            issuer: issuer.to_owned(),
            subject: sub.unwrap_or_default().to_owned(),
            subject_type: SubjectType::Claim,
            auth_time: None,
            members,
        }
    }

    /// Who asserts this: exactly the configured issuer, or that of one tenant where the configuration
    /// stands for many.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The person's name at the issuer: 1 to 255 characters of ASCII without control characters,
    /// never given to anyone else there.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the subject rests on.
    #[must_use]
    pub const fn subject_type(&self) -> SubjectType {
        self.subject_type
    }

    /// Somebody of whom nothing is known but that they signed in, at a provider that gives no ID token. What it
    /// says when it is asked is added to this, the subject last.
    pub(crate) fn of_nobody(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: String::new(),
            subject_type: SubjectType::Lookup,
            auth_time: None,
            members: Object::new(),
        }
    }

    /// Makes the subject what `rule` says it is; `fresh` is a value that nobody has seen before. `None`: the
    /// claim is not there, or cannot be a subject.
    pub(crate) fn with_subject(mut self, rule: &SubjectRule, fresh: String) -> Option<Self> {
        match rule {
            SubjectRule::Claim(path) if path == "sub" && !self.subject.is_empty() => {}
            SubjectRule::Claim(path) => {
                self.subject = match self.value(path)? {
                    Value::String(text) => text.clone(),
                    // Some number their people. A fraction would be read differently by others.
                    Value::Number(number) if !number.is_f64() => number.to_string(),
                    Value::Array(_)
                    | Value::Bool(_)
                    | Value::Null
                    | Value::Number(_)
                    | Value::Object(_) => return None,
                };
            }
            SubjectRule::Pseudonymous => {
                self.subject_type = SubjectType::Pseudonymous;
                // Whatever named the person would undo it.
                self.members.insert("sub".to_owned(), Value::String(fresh.clone()));
                self.subject = fresh;
            }
        }
        is_subject(&self.subject).then_some(self)
    }

    /// When the person last proved who they are. Always there when `max_age` is configured.
    #[must_use]
    pub const fn auth_time(&self) -> Option<Timestamp> {
        self.auth_time
    }

    /// The claim at `path`, whatever its type.
    ///
    /// A path is the name of a claim, or names joined by dots that lead into nested objects
    /// (`realm_access.roles`). Names may have dots in them (`https://example.com/roles`); the
    /// longest first name that exists is followed, then shorter ones.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&Value> {
        find(&self.members, path)
    }

    /// The claim at `path` if it is text. See [`value`](Self::value) for paths.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        self.value(path).and_then(Value::as_str)
    }

    /// The claim at `path` as a list of words: the texts, numbers and booleans of a list, or one
    /// alone as a list of one. Other items are passed over; without the claim the list is empty.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.value(path) {
            Some(Value::Array(items)) => items.iter().filter_map(word).collect(),
            Some(value) => word(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Whether the claim at `path` is `true`, or the text `"true"`, which some providers write
    /// for `email_verified`.
    #[must_use]
    pub fn is_true(&self, path: &str) -> bool {
        self.value(path).is_some_and(|value| *value == true || *value == "true")
    }
}

/// Shows who it is and which claims there are, and not what the others say.
impl fmt::Debug for VerifiedClaims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifiedClaims")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("auth_time", &self.auth_time)
            .field("names", &self.members.keys().collect::<Vec<_>>())
            .finish()
    }
}

pub(crate) fn find<'a>(members: &'a Object, path: &str) -> Option<&'a Value> {
    members.get(path).or_else(|| {
        path.rmatch_indices('.').find_map(|(at, _)| {
            let (name, rest) = path.split_at(at);
            find(members.get(name)?.as_object()?, rest.strip_prefix('.')?)
        })
    })
}

pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(_) | Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> VerifiedClaims {
        let members = serde_json::json!({
            "email": "ada@example.com",
            "email_verified": "true",
            "https://example.com/roles": ["reader"],
            "realm_access": { "roles": ["editor", 7, true, null, {}] },
            "resource_access": { "wiki.internal": { "roles": ["owner"] } },
            "a.b": "literal",
            "a": { "b": "nested", "c": false },
        });
        let Value::Object(members) = members else { unreachable!() };
        VerifiedClaims {
            issuer: "https://idp.example".to_owned(),
            subject: "ada".to_owned(),
            subject_type: SubjectType::Claim,
            auth_time: None,
            members,
        }
    }

    #[test]
    fn a_path_is_a_name_or_leads_through_names() {
        let claims = claims();

        assert_eq!(claims.text("email"), Some("ada@example.com"));
        assert_eq!(claims.list("https://example.com/roles"), ["reader"]);
        assert_eq!(claims.list("realm_access.roles"), ["editor", "7", "true"]);
        assert_eq!(claims.list("resource_access.wiki.internal.roles"), ["owner"]);
        assert_eq!(claims.text("a.b"), Some("literal"));
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let claims = claims();

        for path in ["", ".", "email.x", "realm_access.", "realm_access..roles", "a.d", "b"] {
            assert_eq!(claims.value(path), None, "{path:?}");
            assert!(claims.list(path).is_empty(), "{path:?}");
        }
    }

    #[test]
    fn one_word_alone_is_a_list_of_one() {
        assert_eq!(claims().list("email"), ["ada@example.com"]);
    }

    #[test]
    fn only_true_is_true() {
        let claims = claims();

        assert!(claims.is_true("email_verified"));
        assert!(!claims.is_true("a.c"));
        assert!(!claims.is_true("email"));
        assert!(!claims.is_true("missing"));
    }

    #[test]
    fn printing_claims_shows_no_values() {
        let shown = format!("{:?}", claims());

        assert!(shown.contains("email_verified"));
        assert!(!shown.contains("ada@example.com"));
    }
}
