//! Who may pass: `allow`, `deny`, `policy` and `public` of a route or rule, exactly one way (C-76).

use std::collections::BTreeMap;
use std::sync::Arc;

use lychgate_gateway::route::Access;

use super::policies::{self, Names, People};
use crate::code::Code;
use crate::file::Place;
use crate::problem::Problem;
use crate::reader::Reader;

/// Who may pass, before it is known which providers count.
pub(super) enum Answer {
    Public,
    SignedIn { people: People, place: Place },
}

impl Answer {
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Public => Access::Public,
            Self::SignedIn { people, .. } => Access::SignedIn(Arc::clone(&people.policy)),
        }
    }
}

/// Reads the answer of a route or rule; `who` names it in messages. Without a readable answer
/// nothing is public: `None`, and it was said why.
pub(super) fn read(
    reader: &Reader<'_>,
    who: &str,
    names: &Names,
    policies: &BTreeMap<String, People>,
) -> Option<Answer> {
    let context = reader.context;
    let public = reader.boolean("public");
    let (allow, deny) = (reader.entry("allow"), reader.entry("deny"));
    let named = reader.entry("policy");
    let ways = [
        ("public", reader.entry("public").filter(|_| public == Some(true))),
        ("policy", named),
        ("allow", allow),
        ("deny", deny.filter(|_| allow.is_none())),
    ];
    let mut given = ways.into_iter().filter_map(|(key, entry)| Some((key, entry?)));
    let first = given.next();
    if let (Some((one, first)), Some((other, second))) = (first, given.next()) {
        let help = match (one, other) {
            ("policy", _) => "write the people into the policy, or delete `policy`",
            _ => "delete one of them",
        };
        context.add(
            Problem::new(
                Code::E0202,
                &second.key_place,
                format!("{who} says in two ways who may use it"),
            )
            .label(format!("beside `{one}`"))
            .also(&first.key_place, "one way")
            .help(help),
        );
    }
    match first {
        Some(("public", _)) => Some(Answer::Public),
        Some(("policy", entry)) => {
            let text = reader.words("policy")?;
            let Some(people) = policies.get(&text.value) else {
                policies::unknown_name(
                    context,
                    &text,
                    "policy",
                    policies.keys().map(String::as_str),
                );
                return None;
            };
            Some(Answer::SignedIn { people: people.clone(), place: entry.node.place.clone() })
        }
        Some(("allow", entry)) => {
            let people = policies::lists(reader, names);
            Some(Answer::SignedIn { people, place: entry.node.place.clone() })
        }
        Some((_, entry)) => {
            policies::lists(reader, names);
            if !is_misspelt(reader) {
                context.add(
                    Problem::new(
                        Code::E0201,
                        &entry.key_place,
                        format!("{who} says who may not use it, but not who may"),
                    )
                    .label("no `allow`")
                    .help("allow = [\"authenticated\"] lets in everybody else who is signed in"),
                );
            }
            None
        }
        None => {
            // A `public` that cannot be read was an answer, and was said to be wrong.
            if (!reader.has("public") || public == Some(false)) && !is_misspelt(reader) {
                context.add(
                    Problem::new(
                        Code::E0201,
                        reader.place,
                        format!("{who} does not say who may use it"),
                    )
                    .label("no `allow`, `policy` or `public`")
                    .help("allow = [\"authenticated\"] lets in every signed-in user"),
                );
            }
            None
        }
    }
}

/// Whether an answer was meant and misspelt. That was said; the help for those who gave none would
/// open what its author meant to close.
fn is_misspelt(reader: &Reader<'_>) -> bool {
    ["allow", "policy", "public"].into_iter().any(|key| reader.misspells(key))
}
