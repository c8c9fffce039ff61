//! What must be known of somebody after every question, or they do not enter.
//!
//! A provider that gives accounts to everybody is a door for nobody until it says which of its people
//! are ours. What cannot be found out is not there, so nothing here fails open: a claim that is missing,
//! of another type or hidden from us fits nothing.

use serde_json::Value;

use crate::claims;
use crate::json::Object;

/// One list of which somebody must have an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The operator's key for it: `organizations`.
    pub name: String,
    /// The claim that says of what somebody is a member: a word or a list of words.
    pub claim: String,
    /// One of these must be there.
    pub any_of: Vec<String>,
    /// Whether capitals are the same as small letters.
    pub ignore_case: bool,
    /// Whether this alone is enough, whatever the other lists say.
    pub suffices: bool,
    /// Whether only the ID token's word counts, and not what other answers add.
    pub in_id_token: bool,
}

impl Membership {
    /// Somebody must have one of `any_of` in `claim`, letter by letter.
    #[must_use]
    pub fn of(name: &str, claim: &str, any_of: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            claim: claim.to_owned(),
            any_of: any_of.to_vec(),
            ignore_case: false,
            suffices: false,
            in_id_token: false,
        }
    }

    fn holds(&self, members: &Object) -> bool {
        let fits = |word: &str| {
            self.any_of.iter().any(|one| {
                if self.ignore_case { one.eq_ignore_ascii_case(word) } else { one == word }
            })
        };
        match claims::find(members, &self.claim) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(claims::word).any(|word| fits(&word))
            }
            Some(value) => claims::word(value).is_some_and(|word| fits(&word)),
            None => false,
        }
    }
}

/// The names of the lists of which somebody has no entry; empty if they may enter.
pub(crate) fn lacking(memberships: &[Membership], members: &Object) -> Vec<String> {
    if memberships.iter().any(|one| one.suffices && one.holds(members)) {
        return Vec::new();
    }
    let needed: Vec<&Membership> = memberships.iter().filter(|one| !one.suffices).collect();
    if needed.is_empty() {
        return memberships.iter().map(|one| one.name.clone()).collect();
    }
    needed.iter().filter(|one| !one.holds(members)).map(|one| one.name.clone()).collect()
}

/// The names of the lists of which somebody has no entry any more, where only some claims were asked for again: what
/// was not said is not judged.
pub(crate) fn lost(memberships: &[Membership], members: &Object) -> Vec<String> {
    let is_known = |one: &Membership| claims::find(members, &one.claim).is_some();
    if memberships.iter().any(|one| one.suffices && !is_known(one)) {
        return Vec::new();
    }
    let lacking = lacking(memberships, members);
    let known = |name: &String| memberships.iter().any(|one| one.name == *name && is_known(one));
    lacking.into_iter().filter(known).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lacking_of(memberships: &[Membership], members: Value) -> Vec<String> {
        let Value::Object(members) = members else { unreachable!() };
        lacking(memberships, &members)
    }

    fn of(name: &str, any_of: &[&str]) -> Membership {
        let any_of: Vec<String> = any_of.iter().map(|&one| one.to_owned()).collect();
        Membership::of(name, name, &any_of)
    }

    #[test]
    fn one_entry_of_every_list_is_needed() {
        let both = [of("organizations", &["works", "hill"]), of("teams", &["works/gate"])];

        let member = json!({ "organizations": ["hill"], "teams": ["works/gate"] });
        assert!(lacking_of(&both, member).is_empty());
        let half = json!({ "organizations": ["hill"], "teams": ["works/other"] });
        assert_eq!(lacking_of(&both, half), ["teams"]);
        assert_eq!(lacking_of(&both, json!({})), ["organizations", "teams"]);
    }

    #[test]
    fn what_is_not_said_plainly_fits_nothing() {
        for value in
            [json!(null), json!([]), json!({ "works": true }), json!([["works"]]), json!("Works")]
        {
            let members = json!({ "organizations": value });
            assert_eq!(
                lacking_of(&[of("organizations", &["works"])], members.clone()),
                ["organizations"],
                "{members}"
            );
        }
        assert_eq!(
            lacking_of(&[of("organizations", &[])], json!({ "organizations": [""] })),
            ["organizations"]
        );
    }

    #[test]
    fn somebody_who_is_named_enters_whatever_the_other_lists_say() {
        let named = Membership { suffices: true, ignore_case: true, ..of("users", &["Ada"]) };
        let lists = [of("organizations", &["works"]), named.clone()];

        assert!(lacking_of(&lists, json!({ "users": "ada" })).is_empty());
        assert_eq!(lacking_of(&lists, json!({ "users": "bob" })), ["organizations"]);
        assert!(
            lacking_of(&lists, json!({ "users": "bob", "organizations": ["works"] })).is_empty()
        );
        assert_eq!(lacking_of(&[named], json!({ "users": "bob" })), ["users"]);
    }

    #[test]
    fn without_a_list_everybody_enters() {
        assert!(lacking_of(&[], json!({})).is_empty());
    }
}
