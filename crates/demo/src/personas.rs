//! The people of the demo.

/// Somebody to sign in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persona {
    /// The `sub` claim: the same for ever, and nothing a person would type.
    pub subject: String,
    /// The `preferred_username` claim, by which the demo and its tests call the persona.
    pub preferred_username: String,
    /// The `name` claim, as a person writes it.
    pub name: String,
    /// The `email` claim; absent from the tokens when `None`.
    pub email: Option<String>,
    /// The `email_verified` claim; absent when there is no address.
    pub email_verified: bool,
    /// The `groups` claim.
    pub groups: Vec<String>,
}

impl Persona {
    /// Whether `word` is this persona's user name, subject or address: how a `login_hint` may put
    /// it (OIDC Core §3.1.2.1).
    pub(crate) fn answers_to(&self, word: &str) -> bool {
        self.preferred_username == word
            || self.subject == word
            || self.email.as_deref() == Some(word)
    }
}

/// Alice (sre, engineering), Bob (engineering) and Eve (contractor).
///
/// Eve's name is not ASCII, which has surprised applications that expect names in headers.
#[must_use]
pub fn default() -> Vec<Persona> {
    let persona = |user: &str, name: &str, groups: &[&str]| Persona {
        subject: format!("demo-{user}"),
        preferred_username: user.to_owned(),
        name: name.to_owned(),
        email: Some(format!("{user}@demo.example")),
        email_verified: true,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
    };
    vec![
        persona("alice", "Alice Anders", &["sre", "engineering"]),
        persona("bob", "Bob Brewer", &["engineering"]),
        persona("eve", "Ève Contractor", &["contractor"]),
    ]
}
