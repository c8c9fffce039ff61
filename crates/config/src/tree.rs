//! The document as written: a tree in which every key and value knows its place.

use toml::de::{DeTable, DeValue};

use crate::code::Code;
use crate::file::{Files, Place};
use crate::problem::{Problem, Problems};

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Boolean(bool),
    /// Dates and times, which no key wants.
    Datetime,
    Float(f64),
    /// `None`: outside what 64 bits hold.
    Integer(Option<i64>),
    List(Vec<Node>),
    Table(Table),
    Text(String),
}

impl Value {
    /// What it is, with an article.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Float(_) => "a number with a fraction",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Text(_) => "a text",
        }
    }
}

/// Keys and values in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Entry>);

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn find(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }
}

/// Reads one file. What cannot be read is a problem, and the rest is there all the same (C-02).
pub(crate) fn parse(file: usize, files: &Files, problems: &Problems) -> Table {
    let text = files.find(file).map_or("", |file| file.text());
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let end = span.end.clamp(span.start.min(text.len()), text.len());
        let place = Place { file, span: span.start.min(end)..end };
        problems.add(Problem::new(Code::E0002, &place, format!("not TOML: {}", error.message())));
    }
    read_table(table.get_ref(), file)
}

fn read_table(table: &DeTable<'_>, file: usize) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_place: Place { file, span: key.span() },
            node: read_value(value.get_ref(), Place { file, span: value.span() }),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_place.span.start);
    Table(entries)
}

fn read_value(value: &DeValue<'_>, place: Place) -> Node {
    let file = place.file;
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok())
        }
        // The only texts that do not parse are those that the recovering reader complained about.
        DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(list) => Value::List(
            list.iter()
                .map(|node| read_value(node.get_ref(), Place { file, span: node.span() }))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(read_table(table, file)),
    };
    Node { place, value }
}

/// Puts the tables of another file beside those that are there. A key that both have is a problem,
/// for there is no order between files that could decide (C-04, C-31).
pub(crate) fn merge(into: &mut Table, from: Table, path: &str, problems: &Problems) {
    for entry in from.0 {
        let name =
            if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let Some(first) = into.0.iter_mut().find(|first| first.key == entry.key) else {
            into.0.push(entry);
            continue;
        };
        let Entry { key_place, node, .. } = entry;
        match (&mut first.node.value, node.value) {
            (Value::Table(first), Value::Table(second)) => merge(first, second, &name, problems),
            (Value::List(_), Value::List(_))
                if name.starts_with("routes.") && name.ends_with(".rules") =>
            {
                problems.add(
                    Problem::new(Code::E0151, &key_place, format!("`{name}` is spread over two files"))
                        .label("more rules here")
                        .also(&first.key_place, "the first rules")
                        .help("the first rule that fits decides, so write all rules of a route into one file"),
                );
            }
            (
                Value::Boolean(_)
                | Value::Datetime
                | Value::Float(_)
                | Value::Integer(_)
                | Value::List(_)
                | Value::Table(_)
                | Value::Text(_),
                _,
            ) => problems.add(
                Problem::new(Code::E0150, &key_place, format!("`{name}` is defined twice"))
                    .label("and here")
                    .also(&first.key_place, "here")
                    .help("delete one of them; no file has precedence over another"),
            ),
        }
    }
}
