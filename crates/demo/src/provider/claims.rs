//! What the provider says about a person.

use serde_json::{Map, Value, json};

use crate::{Fault, personas::Persona};

/// How many groups [`Fault::HugeGroups`] gives: some sixty kilobytes of them.
const HUGE_GROUPS: usize = 4_000;

/// The claims that these scopes ask for (OIDC Core §5.4).
///
/// There is no standard scope for groups, and providers differ in whether they want one; this one
/// always gives them.
pub(super) fn about(persona: &Persona, scope: &str, fault: Option<Fault>) -> Map<String, Value> {
    let mut claims = Map::new();
    let asked = |name: &str| scope.split(' ').any(|present| present == name);
    if asked("profile") {
        claims.insert("name".to_owned(), json!(persona.name));
        claims.insert("preferred_username".to_owned(), json!(persona.preferred_username));
    }
    if let Some(email) = &persona.email
        && asked("email")
        && fault != Some(Fault::MissingEmail)
    {
        claims.insert("email".to_owned(), json!(email));
        claims.insert("email_verified".to_owned(), json!(persona.email_verified));
    }
    let groups = if fault == Some(Fault::HugeGroups) {
        (0..HUGE_GROUPS).map(|number| format!("huge-group-{number:04}")).collect()
    } else {
        persona.groups.clone()
    };
    claims.insert("groups".to_owned(), json!(groups));
    claims
}
