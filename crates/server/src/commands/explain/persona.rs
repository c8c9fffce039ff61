//! Who is supposed to be signed in, as the command line says it.

use std::collections::BTreeMap;

use lychgate_gateway::explain::Persona;
use serde::Deserialize;

const KEYS: &str =
    "`user`, `name`, `email`, `email_verified`, `groups`, `provider` or `claims.NAME`";

/// As in `[[tests]]`: every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    user: Option<String>,
    name: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    #[serde(default)]
    groups: Vec<String>,
    provider: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, Values>,
}

/// A claim's value, or its values.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// The person whom all of `words` describe together; nobody when there are none. What is said twice is added up
/// for lists, and otherwise the last word counts.
pub(super) fn of(words: &[String]) -> Result<Option<Persona>, String> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut whole = Description::default();
    for word in words {
        match word.strip_prefix('@') {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("`{path}` cannot be read: {error}"))?;
                let read: Description = serde_json::from_str(&text)
                    .map_err(|error| format!("`{path}` describes nobody: {error}"))?;
                whole.add(read);
            }
            None => whole.read(word)?,
        }
    }
    Ok(Some(whole.persona()))
}

impl Description {
    /// Reads `user=ada,groups=sre|staff`. Blanks part as commas do, before the next key.
    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split(',').flat_map(str::split_whitespace) {
            match (part.split_once('='), pairs.last_mut()) {
                (Some((key, value)), _) => pairs.push((key.to_owned(), value.to_owned())),
                // The rest of a value with a blank in it: a name, mostly.
                (None, Some((_, value))) => {
                    value.push(' ');
                    value.push_str(part);
                }
                (None, None) => {
                    return Err(format!("`{part}` says nothing about a person; write user={part}"));
                }
            }
        }
        for (key, value) in pairs {
            self.set(&key, value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let several = |value: &str| value.split('|').map(str::to_owned).collect::<Vec<_>>();
        match key {
            "user" => self.user = Some(value),
            "name" => self.name = Some(value),
            "email" => self.email = Some(value),
            "provider" => self.provider = Some(value),
            "groups" | "group" => self.groups.extend(several(&value)),
            "email_verified" => match value.parse() {
                Ok(verified) => self.email_verified = Some(verified),
                Err(_) => return Err("`email_verified` is `true` or `false`".to_owned()),
            },
            _ => match key.strip_prefix("claims.").filter(|name| !name.is_empty()) {
                Some(name) => {
                    self.claims.insert(name.to_owned(), Values::Many(several(&value)));
                }
                None => return Err(format!("`{key}` is nothing that a person has; write {KEYS}")),
            },
        }
        Ok(())
    }

    fn add(&mut self, other: Self) {
        let Self { user, name, email, email_verified, groups, provider, claims } = other;
        self.user = user.or_else(|| self.user.take());
        self.name = name.or_else(|| self.name.take());
        self.email = email.or_else(|| self.email.take());
        self.email_verified = email_verified.or(self.email_verified);
        self.provider = provider.or_else(|| self.provider.take());
        self.groups.extend(groups);
        self.claims.extend(claims);
    }

    fn persona(self) -> Persona {
        let claims = self.claims.into_iter().map(|(name, values)| match values {
            Values::One(value) => (name, vec![value]),
            Values::Many(values) => (name, values),
        });
        Persona {
            user: self.user.or_else(|| self.email.clone()).unwrap_or_else(|| "somebody".to_owned()),
            name: self.name,
            email: self.email,
            email_verified: self.email_verified.unwrap_or(true),
            groups: self.groups,
            claims: claims.collect(),
            provider: self.provider,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(words: &[&str]) -> Result<Option<Persona>, String> {
        of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    /// W-12: with commas and with blanks.
    #[test]
    fn a_person_is_described_in_a_few_words() {
        let with_commas =
            described(&["user=ada,groups=sre|staff,email=a@example.com,claims.amr=hwk"]);
        let with_blanks =
            described(&["user=ada groups=sre", "groups=staff email=a@example.com claims.amr=hwk"]);

        let ada = with_commas.unwrap().unwrap();
        assert_eq!(ada.groups, ["sre", "staff"]);
        assert_eq!(ada.claims["amr"], ["hwk"]);
        assert!(ada.email_verified);
        assert_eq!(with_blanks, Ok(Some(ada)));
    }

    #[test]
    fn a_name_may_have_blanks() {
        let ada = described(&["name=Ada Lovelace,user=ada"]).unwrap().unwrap();

        assert_eq!(ada.name.as_deref(), Some("Ada Lovelace"));
        assert_eq!(ada.user, "ada");
    }

    #[test]
    fn what_describes_nobody_is_said() {
        for (words, part) in [
            ("ada", "write user=ada"),
            ("usr=ada", "`usr` is nothing"),
            ("claims.=x", "`claims.` is nothing"),
            ("email_verified=perhaps", "`true` or `false`"),
            ("@/no/such/file", "cannot be read"),
        ] {
            let error = described(&[words]).unwrap_err();
            assert!(error.contains(part), "{words}: {error}");
        }
        assert_eq!(described(&[]), Ok(None));
    }
}
