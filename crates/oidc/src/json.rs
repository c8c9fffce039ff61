//! JSON objects, read so that no two readers could disagree about them.
//!
//! RFC 8259 §4 leaves open what a repeated member means, and parsers differ: one sees the first,
//! another the last. A token that says two things is refused instead (RFC 7515 §5.2, RFC 7519 §4
//! allow it). Nesting is bounded by the parser (128 levels).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

/// The members of one JSON object.
pub(crate) type Object = Map<String, Value>;

/// Reads `bytes` as exactly one JSON object, in which no member at any depth is repeated.
pub(crate) fn object(bytes: &[u8]) -> Result<Object, MalformedJson> {
    let value = value(bytes)?;
    if let Value::Object(members) = value { Ok(members) } else { Err(MalformedJson::NotAnObject) }
}

/// Reads `bytes` as exactly one JSON value, in which no member at any depth is repeated.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, MalformedJson> {
    let Unambiguous(value) = serde_json::from_slice(bytes).map_err(|error| {
        match error.classify() {
            // The visitor below raises this category for one reason only.
            Category::Data => MalformedJson::RepeatedMember,
            Category::Eof | Category::Io | Category::Syntax => {
                MalformedJson::Syntax { line: error.line(), column: error.column() }
            }
        }
    })?;
    Ok(value)
}

/// Why bytes are not the JSON object that was due. Carries none of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedJson {
    /// It is JSON, and something else than an object.
    #[error("the JSON is not an object")]
    NotAnObject,
    /// Some object in it has two members of one name.
    #[error("a JSON object names a member twice")]
    RepeatedMember,
    /// It is not JSON, or nested too deeply to read.
    #[error("not JSON (line {line}, column {column})")]
    Syntax {
        /// Where reading stopped, counted from one.
        line: usize,
        /// Where reading stopped, counted from one.
        column: usize,
    },
}

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without repeated members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unambiguous(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Object::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Unambiguous(value) = entries.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(de::Error::custom("repeated member"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_stands() {
        let text = r#"{"a": [1, -2, 1.5, null, true], "b": {"c": "d"}}"#;

        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(object(text.as_bytes()).map(Value::Object), Ok(expected));
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for (text, error) in [
            (r#"{"sub": "a", "sub": "b"}"#, MalformedJson::RepeatedMember),
            (r#"{"sub": "a", "s\u0075b": "b"}"#, MalformedJson::RepeatedMember),
            (r#"{"a": [{"b": 1, "b": 1}]}"#, MalformedJson::RepeatedMember),
            ("[]", MalformedJson::NotAnObject),
            ("\"text\"", MalformedJson::NotAnObject),
            ("{} {}", MalformedJson::Syntax { line: 1, column: 4 }),
            ("", MalformedJson::Syntax { line: 1, column: 0 }),
            ("{\"a\": 1e999}", MalformedJson::Syntax { line: 1, column: 11 }),
        ] {
            assert_eq!(object(text.as_bytes()), Err(error), "{text}");
        }
    }

    /// K8.
    #[test]
    fn deep_nesting_is_an_error_and_not_an_overflow() {
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));

        assert!(matches!(object(deep.as_bytes()), Err(MalformedJson::Syntax { .. })));
    }
}
