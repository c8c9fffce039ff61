//! Header values with holes for a person's attributes: `"{user}"`, `"{groups | join(',')}"`.
//!
//! What a hole is filled with cannot change the shape of the value around it. Control characters are
//! percent-encoded, and in a joined list so is the separator inside an element; nothing is cut off.

use http::HeaderValue;
use lychgate_oidc::Secret;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::identity::Identity;

/// A header value with holes.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Hole(Hole),
    /// Filled in already; kept apart so that it prints nothing.
    Secret(Secret),
}

#[derive(Clone, Debug)]
struct Hole {
    attribute: Attribute,
    filters: Vec<Filter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Attribute {
    AccessToken,
    Claim(String),
    Email,
    Groups,
    Issuer,
    Name,
    Provider,
    Subject,
    SubjectType,
    User,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Base64,
    Join(String),
}

/// A template that says nothing, with the place (in bytes from its start) and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TemplateError {
    /// Where the hole begins.
    pub at: usize,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

const ATTRIBUTES: &str = "`user`, `email`, `name`, `groups`, `subject`, `subject_type`, `issuer`, `provider`, `access_token`, `claims.NAME` or `secret.NAME`";

/// Somebody who is signed in, as headers may speak of them.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Who it is.
    pub identity: &'a Identity,
    /// What the provider lets an application do for them, where it is kept.
    pub access_token: Option<&'a Secret>,
}

impl<'a> From<&'a Identity> for Person<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self { identity, access_token: None }
    }
}

impl Template {
    /// Reads a template. `secret` finds the route's secrets by name.
    ///
    /// A literal brace is written twice.
    ///
    /// # Errors
    /// [`TemplateError`] for an unclosed hole, an unknown attribute, secret or filter, and for text that no
    /// header may hold.
    pub fn parse(
        text: &str,
        secret: impl Fn(&str) -> Option<Secret>,
    ) -> Result<Self, TemplateError> {
        if let Some((at, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
            return Err(TemplateError {
                at,
                problem: "a header value has no control characters".to_owned(),
            });
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal.extend(brace.chars().next());
                rest = after;
                continue;
            }
            let position = text.len() - brace.len();
            let fail = |problem: &str| TemplateError { at: position, problem: problem.to_owned() };
            let Some(inside) = brace.strip_prefix('{') else {
                return Err(fail("this `}` closes nothing; write `}}` for a brace"));
            };
            let Some((hole, after)) = inside.split_once('}') else {
                return Err(fail("this `{` is not closed; write `{{` for a brace"));
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(
                Part::parse(hole, &secret)
                    .map_err(|problem| TemplateError { at: position, problem })?,
            );
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// The claims, beside the usual attributes, that the template reads.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(Hole { attribute: Attribute::Claim(name), .. }) => Some(name.as_str()),
            Part::Hole(_) | Part::Secret(_) | Part::Text(_) => None,
        })
    }

    /// Whether the value depends on who is signed in.
    pub fn is_about_a_person(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole(_)))
    }

    /// Whether the value is the person's access token, or has it in it.
    pub fn has_access_token(&self) -> bool {
        self.parts.iter().any(Part::is_access_token)
    }

    /// The value for a person, or for nobody: then every hole about a person is empty.
    pub fn fill(&self, person: Option<Person<'_>>) -> HeaderValue {
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Secret(secret) => value.push_str(secret.expose()),
                Part::Hole(hole) => value.push_str(&hole.fill(person)),
            }
        }
        // Control characters are encoded in holes, refused in text and in secrets; the rest is legal (RFC 9110 §5.5).
        let value = HeaderValue::from_bytes(value.trim().as_bytes());
        let mut value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
        let is_secret = |part: &Part| matches!(part, Part::Secret(_)) || part.is_access_token();
        value.set_sensitive(self.parts.iter().any(is_secret));
        value
    }
}

impl Part {
    fn is_access_token(&self) -> bool {
        matches!(self, Self::Hole(Hole { attribute: Attribute::AccessToken, .. }))
    }

    fn parse(hole: &str, secret: &impl Fn(&str) -> Option<Secret>) -> Result<Self, String> {
        let mut pieces = split_filters(hole).into_iter();
        let name = pieces.next().unwrap_or_default();
        let filters = pieces.map(Filter::parse).collect::<Result<Vec<_>, _>>()?;
        let attribute = match name {
            "access_token" => Attribute::AccessToken,
            "email" => Attribute::Email,
            "groups" => Attribute::Groups,
            "issuer" => Attribute::Issuer,
            "name" => Attribute::Name,
            "provider" => Attribute::Provider,
            "subject" => Attribute::Subject,
            "subject_type" => Attribute::SubjectType,
            "user" => Attribute::User,
            other => {
                if let Some(claim) = other.strip_prefix("claims.").filter(|claim| !claim.is_empty())
                {
                    Attribute::Claim(claim.to_owned())
                } else if let Some(name) = other.strip_prefix("secret.") {
                    let Some(secret) = secret(name) else {
                        return Err(format!(
                            "the route has no secret `{name}`; add `secrets.{name} = {{ file = \"…\" }}`"
                        ));
                    };
                    return Self::secret(&secret, &filters);
                } else {
                    return Err(format!("`{other}` is no attribute; write {ATTRIBUTES}"));
                }
            }
        };
        Ok(Self::Hole(Hole { attribute, filters }))
    }

    fn secret(secret: &Secret, filters: &[Filter]) -> Result<Self, String> {
        let mut text = secret.expose().to_owned();
        for filter in filters {
            match filter {
                Filter::Base64 => text = STANDARD.encode(text),
                Filter::Join(_) => {
                    return Err("a secret is one text; there is nothing to join".to_owned());
                }
            }
        }
        if text.chars().any(char::is_control) {
            return Err("the secret holds control characters, which no header may".to_owned());
        }
        Ok(Self::Secret(Secret::new(text)))
    }
}

/// Splits at `|`, but not inside quotes.
fn split_filters(hole: &str) -> Vec<&str> {
    let mut quoted = false;
    let pieces = hole.split(|character| {
        quoted ^= character == '\'';
        character == '|' && !quoted
    });
    pieces.map(str::trim).collect()
}

impl Filter {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "base64" {
            return Ok(Self::Base64);
        }
        text.strip_prefix("join('")
            .and_then(|rest| rest.strip_suffix("')"))
            .filter(|separator| !separator.is_empty())
            .map(|separator| Self::Join(separator.to_owned()))
            .ok_or_else(|| format!("`{text}` is no filter; write `join(',')` or `base64`"))
    }
}

impl Hole {
    fn fill(&self, person: Option<Person<'_>>) -> String {
        let Some(Person { identity, access_token }) = person else { return String::new() };
        let one;
        let values: &[String] = match &self.attribute {
            Attribute::AccessToken => {
                one = [access_token.map(Secret::expose).unwrap_or_default().to_owned()];
                &one
            }
            Attribute::Claim(name) => identity.claim(name),
            Attribute::Groups => identity.groups(),
            Attribute::Email => {
                one = [identity.email().unwrap_or_default().to_owned()];
                &one
            }
            Attribute::Issuer => {
                one = [identity.issuer().to_owned()];
                &one
            }
            Attribute::Name => {
                one = [identity.name().unwrap_or_default().to_owned()];
                &one
            }
            Attribute::Provider => {
                one = [identity.provider().to_owned()];
                &one
            }
            Attribute::Subject => {
                one = [identity.subject().to_owned()];
                &one
            }
            Attribute::SubjectType => {
                one = [identity.subject_type().as_str().to_owned()];
                &one
            }
            Attribute::User => {
                one = [identity.user().to_owned()];
                &one
            }
        };
        let separator = self.filters.iter().find_map(|filter| match filter {
            Filter::Join(separator) => Some(separator.as_str()),
            Filter::Base64 => None,
        });
        let separator = separator.unwrap_or(",");
        let list =
            values.len() > 1 || matches!(self.attribute, Attribute::Claim(_) | Attribute::Groups);
        let mut text = String::new();
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                text.push_str(separator);
            }
            push_plain(&mut text, value, if list { separator } else { "" });
        }
        if self.filters.contains(&Filter::Base64) { STANDARD.encode(text) } else { text }
    }
}

/// Appends `value` with control characters percent-encoded; in a list also `%` and what the separator is made of, so
/// that elements are told apart and can be read back. A space is encoded only where it separates alone.
fn push_plain(text: &mut String, value: &str, separator: &str) {
    let spaces_separate = separator.chars().all(|character| character == ' ');
    let encoded = |character: char| {
        let separates = separator.contains(character) && (character != ' ' || spaces_separate);
        character.is_control() || separates || (character == '%' && !separator.is_empty())
    };
    if !value.chars().any(encoded) {
        text.push_str(value);
        return;
    }
    for character in value.chars() {
        if encoded(character) {
            let mut bytes = [0_u8; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::person;

    fn no_secret(_: &str) -> Option<Secret> {
        None
    }

    fn fill(template: &str, identity: &Identity) -> String {
        let value = Template::parse(template, no_secret).unwrap().fill(Some(identity.into()));
        String::from_utf8(value.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn holes_are_filled_from_the_identity() {
        let ada = person("ada", &["sre", "staff"]);
        for (template, expected) in [
            ("{user}", "ada"),
            ("User {user} <{email}>", "User ada <ada@example.com>"),
            ("{groups}", "sre,staff"),
            ("{groups | join('|')}", "sre|staff"),
            ("{ groups | join(', ') }", "sre, staff"),
            ("{user | base64}", "YWRh"),
            ("{claims.amr}", "pwd"),
            ("{claims.missing}", ""),
            ("{subject_type}", "claim"),
            ("{{literal}}", "{literal}"),
            ("{provider} {issuer} {subject} {name}", "corp https://id.test sub-ada ada example"),
        ] {
            assert_eq!(fill(template, &ada), expected, "{template}");
        }
    }

    /// C6: what a provider says cannot break out of a header or out of its place in a list.
    #[test]
    fn hostile_attributes_stay_inside_their_value() {
        let eve = person("x\r\nX-Injected: 1", &["a,b", "c\0d", "e"]);
        assert_eq!(fill("{user}", &eve), "x%0D%0AX-Injected: 1");
        assert_eq!(fill("{groups}", &eve), "a%2Cb,c%00d,e");
        assert_eq!(fill("{groups | join('|')}", &eve), "a,b|c%00d|e");
        let edges = person("eve", &["a|", "b", "100%", "c d"]);
        assert_eq!(fill("{groups | join('||')}", &edges), "a%7C||b||100%25||c d");
        assert_eq!(fill("{groups | join(' ')}", &edges), "a| b 100%25 c%20d");
        let zoe = person("Zoë 山田 🙂", &[]);
        assert_eq!(fill("{user}", &zoe), "Zoë 山田 🙂");
    }

    #[test]
    fn nobody_fills_every_hole_with_nothing() {
        assert_eq!(Template::parse("{user}", no_secret).unwrap().fill(None), "");
    }

    #[test]
    fn a_secret_is_filled_in_and_never_printed() {
        let secret = |name: &str| (name == "pma").then(|| Secret::new("user:pass"));
        let template = Template::parse("Basic {secret.pma | base64}", secret).unwrap();
        assert_eq!(template.fill(None), "Basic dXNlcjpwYXNz");
        assert!(!format!("{template:?}").contains("dXNl"), "{template:?}");
    }

    #[test]
    fn a_wrong_template_says_where_and_what_instead() {
        for (template, at, part) in [
            ("x {usr}", 2, "`usr` is no attribute"),
            ("{user", 0, "not closed"),
            ("a } b", 2, "closes nothing"),
            ("{groups | jion(',')}", 0, "is no filter"),
            ("{groups | join('')}", 0, "is no filter"),
            ("{secret.x}", 0, "has no secret `x`"),
            ("a\tb", 1, "control characters"),
        ] {
            let error = Template::parse(template, no_secret).unwrap_err();
            assert_eq!(error.at, at, "{template}");
            assert!(error.problem.contains(part), "{template}: {error}");
        }
    }
    proptest::proptest! {
        /// C6: nothing that a provider says of anybody adds a line, a control byte or an element of a list.
        #[test]
        fn no_attribute_changes_the_shape_of_a_value(
            user in "\\PC{1,10}|[\\x00-\\x7f]{1,10}",
            groups in proptest::collection::vec("[\\x00-\\x7f]{1,6}|[a,|; %]{1,4}", 0..5),
        ) {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let person = person(&user, &groups);
            let kept = person.groups().len();
            for (template, separator) in [
                ("{user}", None),
                ("a {user} b", None),
                ("{groups}", Some(",")),
                ("{groups | join('|')}", Some("|")),
                ("{groups | join(' ')}", Some(" ")),
            ] {
                let value = fill(template, &person);
                let value = std::str::from_utf8(value.as_bytes()).unwrap();
                proptest::prop_assert!(!value.chars().any(|c| c.is_ascii_control()), "{:?}", value);
                if let Some(separator) = separator {
                    let elements = if kept == 0 { 0 } else { value.split(separator).count() };
                    proptest::prop_assert_eq!(elements, kept, "{:?} with {:?}", value, separator);
                }
            }
        }

        /// Reading any template ends, and where one is wrong it says a place in it.
        #[test]
        fn any_template_is_read_or_refused_at_a_place(text in "([{}|'()., a-z]|\\PC|user|groups|claims|join){0,12}") {
            match Template::parse(&text, |_| None) {
                Ok(template) => proptest::prop_assert!(template.fill(None).as_bytes().len() <= text.len()),
                Err(error) => proptest::prop_assert!(text.is_char_boundary(error.at), "{}", error.at),
            }
        }
    }
}
