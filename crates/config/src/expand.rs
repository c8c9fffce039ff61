//! `${NAME}` inside values, replaced after the file was read, so that a variable never adds a key,
//! a table or a line (C-24).

use std::ops::Range;

use crate::load::Environment;

/// Why a text cannot be expanded, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotExpanded {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, and `$$` by one dollar. A dollar
/// before anything else stays. As in a shell, an empty variable counts as unset after `:-` and `:?`.
pub(crate) fn expand(text: &str, environment: &dyn Environment) -> Result<String, NotExpanded> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, dollar) = rest.split_at(at);
        expanded.push_str(before);
        if let Some(after) = dollar.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
        } else if let Some(inside) = dollar.strip_prefix("${") {
            let start = text.len() - dollar.len();
            let Some((reference, after)) = inside.split_once('}') else {
                return Err(NotExpanded {
                    at: start..text.len(),
                    message: "`${` is not closed".to_owned(),
                    help: Some("write `$$` for a dollar".to_owned()),
                });
            };
            let fail = |message: String, help: Option<String>| NotExpanded {
                at: start..text.len() - after.len(),
                message,
                help,
            };
            expanded.push_str(&value(reference, environment, &fail)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = dollar.strip_prefix('$').unwrap_or_default();
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value(
    reference: &str,
    environment: &dyn Environment,
    fail: &dyn Fn(String, Option<String>) -> NotExpanded,
) -> Result<String, NotExpanded> {
    let end =
        reference.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    let (name, otherwise) = reference.split_at(end.unwrap_or(reference.len()));
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        let help = "a name has letters, digits and `_`, and does not begin with a digit";
        return Err(fail(format!("`${{{reference}}}` names no variable"), Some(help.to_owned())));
    }
    let set = environment.variable(name);
    let set_and_not_empty = set.clone().filter(|value| !value.is_empty());
    let value = if let Some(default) = otherwise.strip_prefix(":-") {
        set_and_not_empty.unwrap_or_else(|| default.to_owned())
    } else if let Some(message) = otherwise.strip_prefix(":?") {
        set_and_not_empty.ok_or_else(|| fail(format!("`{name}` is not set: {message}"), None))?
    } else if otherwise.is_empty() {
        let help = format!("set it, or write `${{{name}:-a default}}`");
        set.ok_or_else(|| fail(format!("the variable `{name}` is not set"), Some(help)))?
    } else {
        let help = format!("write `${{{name}}}`, `${{{name}:-default}}` or `${{{name}:?message}}`");
        return Err(fail(format!("`${{{reference}}}` cannot be read"), Some(help)));
    };
    if value.chars().any(char::is_control) {
        return Err(fail(format!("the value of `{name}` holds control characters"), None));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Environment for Fixed {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "HOST" => Some("example.com".to_owned()),
                "EMPTY" => Some(String::new()),
                "LINES" => Some("a\nb".to_owned()),
                "DOLLAR" => Some("${HOST}".to_owned()),
                _ => None,
            }
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("https://app.${HOST}/x", "https://app.example.com/x"),
            ("${NONE:-a default}", "a default"),
            ("${EMPTY:-default}", "default"),
            ("${EMPTY}", ""),
            ("$$ and $${HOST}", "$ and ${HOST}"),
            ("5 $ and $HOME", "5 $ and $HOME"),
            ("${DOLLAR}", "${HOST}"),
            ("é${HOST}é", "éexample.comé"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &Fixed).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_said_with_its_place() {
        for (text, at, part) in [
            ("a${NONE}b", 1..8, "`NONE` is not set"),
            ("${NONE:?say where}", 0..18, "`NONE` is not set: say where"),
            ("${HOST", 0..6, "not closed"),
            ("${}", 0..3, "names no variable"),
            ("${9}", 0..4, "names no variable"),
            ("${HOST:+x}", 0..10, "cannot be read"),
            ("${LINES}", 0..8, "control characters"),
        ] {
            let error = expand(text, &Fixed).unwrap_err();
            assert_eq!(error.at, at, "{text}");
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }
}
