//! What each key is for, from the shipped example: the one place where its sentence stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use crate::file::{File, Files};
use crate::grammar::{ENTRY, Kind, PROVIDER, SECRET, TOP};
use crate::problem::Problems;
use crate::shape::{self, Shape};
use crate::tree::{self, Node, Table, Value};

/// The shipped example: every key there is, once.
pub(crate) const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// What the example says of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Advice {
    pub(crate) sentence: String,
    pub(crate) example: Json,
}

/// The advice on every key, by the name of its kind and its own.
pub(crate) type Guide = BTreeMap<(&'static str, &'static str), Advice>;

/// Every key, commented out, with its sentence (C-42).
#[must_use]
pub fn defaults() -> String {
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        comment if comment.starts_with('#') => format!("{comment}\n"),
        key => format!("#{key}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

/// Reads the example.
pub(crate) fn guide() -> Guide {
    let text = with_every_key_in_force();
    let lines: Vec<&str> = text.lines().collect();
    let mut files = Files::default();
    let file = files.add(File::new("example".to_owned(), &text, PathBuf::new(), false));
    let document = tree::parse(file, &files, &Problems::default());
    let mut reading = Reading { files: &files, lines: &lines, guide: Guide::new() };
    reading.table(&document, &TOP, "");
    let mut guide = reading.guide;
    // Where secrets are kept is explained at the one that everybody has.
    if let Some(Advice { sentence, .. }) = guide.get(&(PROVIDER.name, "client_secret")).cloned() {
        for name in SECRET.keys {
            if let Some(advice) = guide.get_mut(&(SECRET.name, *name)) {
                advice.sentence.clone_from(&sentence);
            }
        }
    }
    guide
}

/// The example without the sign before keys that are commented out. Line for line the same.
fn with_every_key_in_force() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key)
            if key.starts_with(|first: char| !first.is_whitespace() && first != ':')
                || key.starts_with("    ") =>
        {
            key
        }
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

struct Reading<'a> {
    files: &'a Files,
    lines: &'a [&'a str],
    guide: Guide,
}

impl Reading<'_> {
    /// `around` is what was said of the whole table.
    fn table(&mut self, table: &Table, kind: &'static Kind, around: &str) {
        for entry in &table.0 {
            let Some(key) = shape::find(kind, &entry.key) else { continue };
            let above = self.sentence(self.files.position(&entry.key_place).line);
            let sentence = if above.is_empty() { around.to_owned() } else { above };
            self.inside(&entry.node, key.shape, &sentence);
            let example = json(&entry.node);
            let advice = Advice { sentence, example };
            let known = self.guide.entry((kind.name, key.name)).or_insert_with(|| advice.clone());
            if known.sentence.is_empty() {
                *known = advice;
            }
        }
    }

    fn inside(&mut self, node: &Node, shape: Shape, sentence: &str) {
        match (shape, &node.value) {
            (
                Shape::Table(kind)
                | Shape::TextOrTable(kind)
                | Shape::TextsOrTable(kind)
                | Shape::WordOrTable(_, kind),
                Value::Table(table),
            ) => self.table(table, kind, sentence),
            (Shape::TextOrTablesByName(kind), Value::Table(table)) => {
                for entry in &table.0 {
                    self.inside(&entry.node, Shape::TextOrTable(kind), sentence);
                }
            }
            (Shape::TablesByName(kind), Value::Table(table)) => {
                for entry in &table.0 {
                    let above = self.sentence(self.files.position(&entry.key_place).line);
                    let Value::Table(inner) = &entry.node.value else { continue };
                    self.table(inner, kind, &above);
                }
            }
            (Shape::Tables(kind), Value::List(items)) => self.tables(items, kind, sentence),
            (Shape::Entries, Value::List(items)) => self.tables(items, &ENTRY, sentence),
            (Shape::Secrets, Value::List(items)) => self.tables(items, &SECRET, sentence),
            (Shape::Secret | Shape::TextOrSecret, Value::Table(table)) => {
                self.table(table, &SECRET, sentence)
            }
            (Shape::SecretsByName, Value::Table(table)) => {
                for entry in &table.0 {
                    self.inside(&entry.node, Shape::Secret, sentence);
                }
            }
            _ => {}
        }
    }

    fn tables(&mut self, items: &[Node], kind: &'static Kind, sentence: &str) {
        for item in items {
            if let Value::Table(table) = &item.value {
                self.table(table, kind, sentence);
            }
        }
    }

    /// The comment above a line. Keys that stand together without one between them share it.
    fn sentence(&self, line: usize) -> String {
        let above = self.lines.get(..line.saturating_sub(1)).unwrap_or_default().iter().rev();
        let is_comment = |line: &&&str| line.starts_with("# ");
        let is_blank = |line: &&&str| line.is_empty() || line.starts_with('[');
        let together = above.skip_while(|line| !is_comment(line) && !is_blank(line));
        let mut comment: Vec<&str> =
            together.take_while(is_comment).map(|line| line.trim_start_matches("# ")).collect();
        comment.reverse();
        comment.join(" ")
    }
}

/// A value of the example for programs.
pub(crate) fn json(node: &Node) -> Json {
    match &node.value {
        Value::Boolean(value) => Json::from(*value),
        Value::Datetime => Json::Null,
        Value::Float(value) => Json::from(*value),
        Value::Integer(value) => Json::from(*value),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Table(table) => {
            let members = table.0.iter().map(|entry| (entry.key.clone(), json(&entry.node)));
            Json::Object(members.collect::<Map<_, _>>())
        }
        Value::Text(text) => Json::from(text.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::KINDS;

    /// C-42, C-45: who completes a key in an editor reads what it is for.
    #[test]
    fn every_key_has_a_sentence_in_the_example() {
        let guide = guide();
        for kind in KINDS {
            for key in shape::keys(kind) {
                let Some(advice) = guide.get(&(kind.name, key.name)) else {
                    panic!("`{}` of [{}] is not in the example", key.name, kind.name);
                };
                let has_a_table = matches!(
                    key.shape,
                    Shape::Table(_) | Shape::Tables(_) | Shape::TablesByName(_)
                );
                let is_said = advice.sentence.ends_with(['.', ':', '"', ')']);
                assert!(is_said || has_a_table, "`{}` of [{}]: {advice:?}", key.name, kind.name);
            }
        }
    }

    /// C-42.
    #[test]
    fn the_defaults_are_the_example_with_nothing_in_force() {
        let mut files = Files::default();
        let file = files.add(File::new("all".to_owned(), &defaults(), PathBuf::new(), false));
        let problems = Problems::default();

        let document = tree::parse(file, &files, &problems);

        assert!(document.0.is_empty() && !problems.has_errors());
        assert_eq!(defaults().lines().count(), EXAMPLE.lines().count());
        for kind in KINDS {
            for key in kind.keys {
                assert!(defaults().contains(key), "{key}");
            }
        }
    }
}
