//! Texts of an authorization request that are different for every login.
//!
//! A template is read once, when the configuration is. `{uuid}` is one new identifier for the whole login, so
//! that a scope and a consent can name the same one; `{now}` and `{now + 90d}` are moments; `{login.NAME}` is
//! what the login link brought under that name. A brace is written `{{` or `}}`.
//!
//! Sources: RFC 9396 §2 (`authorization_details`); RFC 9562 (UUID); RFC 3339 (moments).

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::login::LoginError;
use crate::time::Timestamp;

/// A text with places that are filled in for every login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Consent,
    Login(String),
    Now(Duration),
    Plain(String),
}

/// JSON whose texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplateValue {
    /// A list.
    List(Vec<Self>),
    /// Neither a text nor anything that holds one.
    Plain(Value),
    /// An object.
    Table(Vec<(String, Self)>),
    /// A text.
    Text(Template),
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace that nothing closes, or that closes nothing.
    #[error("a brace has no partner; a brace itself is written `{{{{` or `}}}}`")]
    Brace,
    /// What follows `now` is not a duration.
    #[error("write for example {{now + 90d}}, with `s`, `m`, `h` or `d`")]
    Duration,
    /// There is no such place.
    #[error(
        "`{{{0}}}` is not known; there are {{uuid}}, {{now}}, {{now + 90d}} and {{login.NAME}}"
    )]
    Unknown(String),
}

/// What the places of one login's templates are filled with.
pub(crate) struct Filling<'a> {
    pub(crate) consent: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) login: &'a BTreeMap<String, String>,
}

impl Template {
    /// The names of the login link's parameters that are used.
    pub fn login_parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Login(name) => Some(name.as_str()),
            Piece::Consent | Piece::Now(_) | Piece::Plain(_) => None,
        })
    }

    fn names_consent(&self) -> bool {
        self.0.contains(&Piece::Consent)
    }

    pub(crate) fn fill(&self, filling: &Filling<'_>) -> Result<String, LoginError> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Consent => text.push_str(filling.consent),
                Piece::Login(name) => {
                    let value = filling.login.get(name);
                    text.push_str(
                        value.ok_or_else(|| LoginError::ParameterMissing { name: name.clone() })?,
                    );
                }
                Piece::Now(later) => text.push_str(&filling.now.plus(*later).rfc3339()),
                Piece::Plain(plain) => text.push_str(plain),
            }
        }
        Ok(text)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inside = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
                let (name, after) = inside.ok_or(TemplateError::Brace)?;
                if !plain.is_empty() {
                    pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                }
                pieces.push(piece(name.trim())?);
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(Self(pieces))
    }
}

fn piece(name: &str) -> Result<Piece, TemplateError> {
    if name == "uuid" {
        return Ok(Piece::Consent);
    }
    if let Some(parameter) = name.strip_prefix("login.")
        && !parameter.is_empty()
        && !parameter.contains('{')
    {
        return Ok(Piece::Login(parameter.to_owned()));
    }
    let Some(later) = name.strip_prefix("now") else {
        return Err(TemplateError::Unknown(name.to_owned()));
    };
    let later = later.trim();
    if later.is_empty() {
        return Ok(Piece::Now(Duration::ZERO));
    }
    let amount = later.strip_prefix('+').ok_or(TemplateError::Duration)?.trim();
    let unit = match amount.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some(_) | None => return Err(TemplateError::Duration),
    };
    let number = amount.get(..amount.len() - 1).and_then(|number| number.parse::<u32>().ok());
    let number = number.ok_or(TemplateError::Duration)?;
    Ok(Piece::Now(Duration::from_secs(u64::from(number) * unit)))
}

impl TemplateValue {
    /// Reads every text in `value` as a template.
    ///
    /// # Errors
    /// The first text that is none.
    pub fn new(value: Value) -> Result<Self, TemplateError> {
        Ok(match value {
            Value::String(text) => Self::Text(text.parse()?),
            Value::Array(items) => {
                Self::List(items.into_iter().map(Self::new).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members =
                    members.into_iter().map(|(name, value)| Ok((name, Self::new(value)?)));
                Self::Table(members.collect::<Result<_, _>>()?)
            }
            plain @ (Value::Bool(_) | Value::Null | Value::Number(_)) => Self::Plain(plain),
        })
    }

    /// All texts in it.
    pub fn texts(&self) -> Vec<&Template> {
        match self {
            Self::List(items) => items.iter().flat_map(Self::texts).collect(),
            Self::Plain(_) => Vec::new(),
            Self::Table(members) => members.iter().flat_map(|(_, value)| value.texts()).collect(),
            Self::Text(text) => vec![text],
        }
    }

    pub(crate) fn fill(&self, filling: &Filling<'_>) -> Result<Value, LoginError> {
        Ok(match self {
            Self::List(items) => {
                items.iter().map(|item| item.fill(filling)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Self::Plain(plain) => plain.clone(),
            Self::Table(members) => {
                let mut filled = Map::new();
                for (name, value) in members {
                    filled.insert(name.clone(), value.fill(filling)?);
                }
                Value::Object(filled)
            }
            Self::Text(text) => Value::String(text.fill(filling)?),
        })
    }
}

/// Whether any of the texts names the consent.
pub(crate) fn name_consent<'a>(texts: impl IntoIterator<Item = &'a Template>) -> bool {
    texts.into_iter().any(Template::names_consent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, LoginError> {
        let login = BTreeMap::from([("consent".to_owned(), "c-7".to_owned())]);
        let filling = Filling { consent: "u-1", now: Timestamp::new(1_893_488_400), login: &login };
        text.parse::<Template>().unwrap_or_else(|error| panic!("{error}")).fill(&filling)
    }

    /// `A-D16`, `BR-03`
    #[test]
    fn places_are_filled_in_and_everything_else_is_kept() {
        for (text, expected) in [
            ("accounts", "accounts"),
            ("consent:{uuid}", "consent:u-1"),
            ("AIS:{login.consent}", "AIS:c-7"),
            ("{now}", "2030-01-01T09:00:00Z"),
            ("{now + 90d}", "2030-04-01T09:00:00Z"),
            ("{now+15m}!", "2030-01-01T09:15:00Z!"),
            ("{{uuid}} {{", "{uuid} {"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
        let missing = LoginError::ParameterMissing { name: "other".to_owned() };
        assert_eq!(filled("{login.other}"), Err(missing));
    }

    #[test]
    fn what_is_no_template_is_refused_when_it_is_read() {
        for (text, expected) in [
            ("{uuid", TemplateError::Brace),
            ("uuid}", TemplateError::Brace),
            ("{UUID}", TemplateError::Unknown("UUID".to_owned())),
            ("{}", TemplateError::Unknown(String::new())),
            ("{login.}", TemplateError::Unknown("login.".to_owned())),
            ("{now - 1d}", TemplateError::Duration),
            ("{now + 1w}", TemplateError::Duration),
            ("{now + é}", TemplateError::Duration),
            ("{now + 99999999999d}", TemplateError::Duration),
        ] {
            assert_eq!(text.parse::<Template>(), Err(expected), "{text}");
        }
    }
}
