//! The document as written, all files in one, with every secret masked (C-23, C-40).

use std::fmt::Write as _;

use crate::file::Files;
use crate::grammar::SECRET;
use crate::secret::{MASKED, is_secret};
use crate::tree::{Entry, Node, Table, Value};

/// How a document is written.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    /// Secrets that are kept elsewhere are written as the place where they are, so that the result can be read
    /// again.
    pub(crate) readable: bool,
    /// The files, where each value's origin is to be said after it (C-32).
    pub(crate) origins: Option<&'a Files>,
}

/// Writes the document as TOML. What may be a secret reads `‹file /run/secrets/oidc›`, or
/// `‹literal›`.
pub(crate) fn masked(table: &Table, manner: Manner<'_>) -> String {
    let mut writing = Writing { text: String::new(), manner };
    writing.table(table, &mut Vec::new());
    writing.text
}

struct Writing<'m> {
    text: String,
    manner: Manner<'m>,
}

impl Writing<'_> {
    /// Plain values first, for what follows a `[table]` belongs to it.
    fn table<'a>(&mut self, table: &'a Table, path: &mut Vec<&'a str>) {
        let (sections, lines): (Vec<&Entry>, Vec<&Entry>) =
            table.0.iter().partition(|entry| is_section(entry, path));
        for entry in lines {
            path.push(&entry.key);
            self.line(&key(&entry.key), entry, path);
            path.pop();
        }
        for entry in sections {
            path.push(&entry.key);
            match &entry.node.value {
                Value::Table(inner) => {
                    let only_sections =
                        !inner.0.is_empty() && inner.0.iter().all(|inner| is_section(inner, path));
                    if !only_sections {
                        self.header(&format!("[{}]", keys(path)));
                    }
                    self.table(inner, path);
                }
                Value::List(items) => {
                    for item in items {
                        self.header(&format!("[[{}]]", keys(path)));
                        if let Value::Table(inner) = &item.value {
                            self.table(inner, path);
                        }
                    }
                }
                Value::Boolean(_)
                | Value::Datetime
                | Value::Float(_)
                | Value::Integer(_)
                | Value::Text(_) => {}
            }
            path.pop();
        }
    }

    fn header(&mut self, header: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(header);
        self.text.push('\n');
    }

    fn line<'a>(&mut self, name: &str, entry: &'a Entry, path: &mut Vec<&'a str>) {
        if let Value::Table(inner) = &entry.node.value
            && !is_secret(path)
            && !inner.0.is_empty()
        {
            for entry in &inner.0 {
                path.push(&entry.key);
                let name = format!("{name}.{}", key(&entry.key));
                self.line(&name, entry, path);
                path.pop();
            }
            return;
        }
        let origin = match self.manner.origins {
            None => String::new(),
            Some(files) => match files.find(entry.key_place.file) {
                Some(_) => {
                    let position = files.position(&entry.key_place);
                    format!(
                        "  # {}:{}",
                        position.file.replace(char::is_control, "\u{fffd}"),
                        position.line
                    )
                }
                None => "  # default".to_owned(),
            },
        };
        let value = value(&entry.node, path, self.manner.readable);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{name} = {value}{origin}");
    }
}

/// Tables of the first two levels have headers, and so have rules; what is deeper is written as
/// dotted keys.
fn is_section(entry: &Entry, path: &[&str]) -> bool {
    match &entry.node.value {
        Value::Table(_) => path.is_empty() || (path.len() == 1 && is_named(path)),
        Value::List(items) => {
            ((entry.key == "rules" && path.len() == 2) || (entry.key == "tests" && path.is_empty()))
                && !items.is_empty()
                && items.iter().all(|item| matches!(item.value, Value::Table(_)))
        }
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Text(_) => false,
    }
}

fn is_named(path: &[&str]) -> bool {
    path.first().is_some_and(|first| {
        ["listeners", "policies", "providers", "routes", "upstreams"].contains(first)
    })
}

fn value<'a>(node: &'a Node, path: &mut Vec<&'a str>, readable: bool) -> String {
    if is_secret(path) && !is_plain_proxy(node, path) {
        return match &node.value {
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| mask(item, readable)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::Table(_)
            | Value::Text(_) => mask(node, readable),
        };
    }
    match &node.value {
        Value::Boolean(value) => value.to_string(),
        Value::Datetime => quoted("‹a date›"),
        Value::Float(value) => format!("{value:?}"),
        Value::Integer(Some(value)) => value.to_string(),
        Value::Integer(None) => quoted("‹a large number›"),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| value(item, path, readable)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries: Vec<String> = table
                .0
                .iter()
                .map(|entry| {
                    path.push(&entry.key);
                    let text =
                        format!("{} = {}", key(&entry.key), value(&entry.node, path, readable));
                    path.pop();
                    text
                })
                .collect();
            if entries.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", entries.join(", "))
            }
        }
        Value::Text(text) => quoted(text),
    }
}

/// Whether this is the address of a proxy without a password in it.
fn is_plain_proxy(node: &Node, path: &[&str]) -> bool {
    matches!((path, &node.value), (["providers", _, "proxy"], Value::Text(text)) if !text.contains('@'))
}

/// Where a secret is kept, and never what it is.
fn mask(node: &Node, readable: bool) -> String {
    let Value::Table(table) = &node.value else { return quoted(MASKED) };
    match table.0.as_slice() {
        [Entry { key, node: Node { value: Value::Text(place), .. }, .. }]
            if SECRET.keys.contains(&key.as_str()) =>
        {
            if readable {
                format!("{{ {key} = {} }}", quoted(place))
            } else {
                quoted(&format!("‹{key} {place}›"))
            }
        }
        _ => quoted("‹hidden›"),
    }
}

fn keys(path: &[&str]) -> String {
    path.iter().map(|part| key(part)).collect::<Vec<_>>().join(".")
}

/// A key, in quotes unless it is a bare one.
pub(crate) fn key(key: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

/// A basic string (TOML 1.0).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
