//! Reading one table: each key has a type, a default and a place, and keys that nobody knows are
//! said at once.
//!
//! A value that cannot be read is a problem, and the reader then goes on with the default: one run
//! finds everything (C-02), and an error anywhere keeps the result from being used.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::code::Code;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::grammar::{self, Kind};
use crate::inputs::Input;
use crate::problem::Problem;
use crate::shape::{self, Shape};
use crate::tree::{Entry, Node, Table, Value};
use crate::unit::{self, NotAQuantity};

/// A table being read.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) context: &'a Context<'a>,
    table: &'a Table,
    kind: &'static Kind,
    /// Where its name stands.
    pub(crate) place: &'a Place,
    /// Its name in full: `providers.corp`.
    pub(crate) path: &'a str,
}

static NOTHING: Table = Table(Vec::new());

impl<'a> Context<'a> {
    /// Reads a table of `kind`; keys that are not in it are said.
    pub(crate) fn read(
        &'a self,
        node: &'a Node,
        place: &'a Place,
        path: &'a str,
        kind: &'static Kind,
    ) -> Option<Reader<'a>> {
        let Value::Table(table) = &node.value else {
            self.add(self.wrong_type(node, path, "a table"));
            return None;
        };
        let reader = Reader { context: self, table, kind, place, path };
        reader.refuse_unknown();
        Some(reader)
    }

    /// Reads an optional table; without it every key has its default.
    pub(crate) fn read_or_default(
        &'a self,
        entry: Option<&'a Entry>,
        path: &'a str,
        kind: &'static Kind,
        nowhere: &'a Place,
    ) -> Reader<'a> {
        entry
            .and_then(|entry| self.read(&entry.node, &entry.key_place, path, kind))
            .unwrap_or(Reader { context: self, table: &NOTHING, kind, place: nowhere, path })
    }
}

/// The tables that an operator named, as in `[routes.grafana]`, in the order of their names.
pub(crate) fn named<'a>(context: &Context<'_>, entry: Option<&'a Entry>) -> Vec<&'a Entry> {
    let Some(entry) = entry else { return Vec::new() };
    let Value::Table(table) = &entry.node.value else {
        let name = format!("{}.NAME", entry.key);
        context.add(
            context
                .wrong_type(&entry.node, &entry.key, "tables with names of yours")
                .help(format!("write [{name}]")),
        );
        return Vec::new();
    };
    let mut entries: Vec<&Entry> = table.0.iter().collect();
    for entry in &entries {
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        if entry.key.is_empty() || !entry.key.chars().all(plain) {
            context.add(
                Problem::new(
                    Code::E0122,
                    &entry.key_place,
                    format!("`{}` cannot be a name", entry.key),
                )
                .label("write letters, digits, `-` and `_`"),
            );
        }
    }
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    entries
}

impl<'a> Reader<'a> {
    fn refuse_unknown(&self) {
        for entry in self.unknown() {
            let home = match self.path {
                "" => "at the top of the file".to_owned(),
                path => format!("in [{path}]"),
            };
            self.context.add(
                Problem::new(
                    Code::E0102,
                    &entry.key_place,
                    format!("unknown key `{}` {home}", entry.key),
                )
                .label(grammar::hint(self.kind, entry)),
            );
        }
    }

    /// The name of a key in full.
    pub(crate) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(self.kind.keys.contains(&key), "`{key}` is not in the grammar");
        self.table.find(key)
    }

    /// What the schema says of a key is what its reader asks for (C-47).
    fn agrees(&self, key: &str, with: impl Fn(Shape) -> bool) {
        debug_assert!(
            shape::find(self.kind, key).is_none_or(|key| with(key.shape)),
            "shape.rs says something else about `{key}` of [{}] than its reader",
            self.kind.name
        );
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    pub(crate) fn text(&self, key: &str) -> Option<Text> {
        self.context.text(&self.entry(key)?.node, &self.name(key))
    }

    /// A text that may not be empty.
    pub(crate) fn words(&self, key: &str) -> Option<Text> {
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            let problem =
                Problem::new(Code::E0122, &text.place, format!("`{}` is empty", self.name(key)));
            self.context.add(problem.label("write something, or delete the key"));
            return None;
        }
        Some(text)
    }

    pub(crate) fn texts(&self, key: &str) -> Option<Vec<Text>> {
        self.context.texts(&self.entry(key)?.node, &self.name(key))
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        self.agrees(key, |shape| shape == Shape::Boolean);
        let entry = self.entry(key)?;
        let Value::Boolean(value) = entry.node.value else {
            let problem =
                self.context.wrong_type(&entry.node, &self.name(key), "`true` or `false`");
            self.context.add(problem);
            return None;
        };
        Some(value)
    }

    /// A whole number within limits. One written as a float is taken, with a warning (C-05).
    pub(crate) fn integer(&self, key: &str, default: u32, limits: RangeInclusive<u32>) -> u32 {
        self.agrees(key, |shape| shape == Shape::Integer(*limits.start(), *limits.end()));
        let Some(entry) = self.entry(key) else { return default };
        let name = self.name(key);
        let number = match entry.node.value {
            Value::Integer(number) => number,
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                // Whole and small: nothing is lost.
                #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
                let number = number as i64;
                self.context.add(
                    Problem::new(Code::W0120, &entry.node.place, format!("`{name}` is a whole number"))
                        .label(format!("write {number}"))
                        .help("Helm's `toToml` turns whole numbers into floats; template the text instead"),
                );
                Some(number)
            }
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Text(_) => {
                self.context.add(self.context.wrong_type(&entry.node, &name, "a whole number"));
                return default;
            }
        };
        match number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| limits.contains(number))
        {
            Some(number) => number,
            None => {
                self.context.add(
                    Problem::new(
                        Code::E0124,
                        &entry.node.place,
                        format!("`{name}` is outside its limits"),
                    )
                    .label(format!(
                        "from {} to {}",
                        limits.start(),
                        limits.end()
                    )),
                );
                default
            }
        }
    }

    pub(crate) fn duration(
        &self,
        key: &str,
        default: Duration,
        limits: RangeInclusive<Duration>,
    ) -> Duration {
        self.agrees(key, |shape| {
            let words = |duration: &Duration| unit::duration_in_words(*duration);
            matches!(shape, Shape::Duration(least, most)
                if words(limits.start()) == least && words(limits.end()) == most)
        });
        let example = unit::duration_in_words(default);
        let Some(text) = self.quantity(key, "a duration", |number| match number {
            Some(number) => format!("write \"{number}s\""),
            None => format!("write for example \"{example}\""),
        }) else {
            return default;
        };
        let name = self.name(key);
        match unit::duration(&text.value) {
            Ok(duration) if limits.contains(&duration) => duration,
            Ok(_) => {
                let (least, most) = (limits.start(), limits.end());
                let (least, most) =
                    (unit::duration_in_words(*least), unit::duration_in_words(*most));
                self.context.add(
                    Problem::new(
                        Code::E0124,
                        &text.place,
                        format!("`{name}` is outside its limits"),
                    )
                    .label(format!("from \"{least}\" to \"{most}\"")),
                );
                default
            }
            Err(error) => {
                self.no_quantity(&text, &name, error, "`ms`, `s`, `m`, `h` or `d`", &example);
                default
            }
        }
    }

    /// A size in bytes. `None`: the word `none`, where there may be no limit.
    pub(crate) fn size(&self, key: &str) -> Option<SizeLimit> {
        let text = self.quantity(key, "a size", |number| match number {
            Some(number) => format!("write \"{number}B\", or with `KiB` or `MiB`"),
            None => "write for example \"32KiB\"".to_owned(),
        })?;
        if text.value == "none" {
            return Some(SizeLimit { bytes: None, place: text.place });
        }
        match unit::size(&text.value) {
            Ok(bytes) => Some(SizeLimit { bytes: Some(bytes), place: text.place }),
            Err(error) => {
                self.no_quantity(
                    &text,
                    &self.name(key),
                    error,
                    "`B`, `KiB`, `MiB` or `GiB`",
                    "32KiB",
                );
                None
            }
        }
    }

    /// A size that has to be within limits.
    pub(crate) fn size_within(&self, key: &str, default: u64, limits: RangeInclusive<u64>) -> u64 {
        self.agrees(key, |shape| {
            let words = |bytes: &u64| unit::size_in_words(*bytes);
            matches!(shape, Shape::SizeWithin(least, most)
                if words(limits.start()) == least && words(limits.end()) == most)
        });
        let Some(size) = self.size(key) else { return default };
        match size.bytes.filter(|bytes| limits.contains(bytes)) {
            Some(bytes) => bytes,
            None => {
                let (least, most) = (limits.start(), limits.end());
                let (least, most) = (unit::size_in_words(*least), unit::size_in_words(*most));
                self.context.add(
                    Problem::new(
                        Code::E0124,
                        &size.place,
                        format!("`{}` is outside its limits", self.name(key)),
                    )
                    .label(format!("from \"{least}\" to \"{most}\"")),
                );
                default
            }
        }
    }

    /// A quantity as text; a bare number gets the help that `help` makes of it.
    fn quantity(
        &self,
        key: &str,
        what: &str,
        help: impl Fn(Option<i64>) -> String,
    ) -> Option<Text> {
        let entry = self.entry(key)?;
        let name = self.name(key);
        let bare = match entry.node.value {
            Value::Text(_) => return self.text(key),
            Value::Integer(number) => number,
            Value::Float(_) => None,
            Value::Boolean(_) | Value::Datetime | Value::List(_) | Value::Table(_) => {
                self.context.add(self.context.wrong_type(&entry.node, &name, what));
                return None;
            }
        };
        self.context.add(
            Problem::new(
                Code::E0140,
                &entry.node.place,
                format!("`{name}` is {what} and needs a unit"),
            )
            .label("of what?")
            .help(help(bare)),
        );
        None
    }

    fn no_quantity(
        &self,
        text: &Text,
        name: &str,
        error: NotAQuantity,
        units: &str,
        example: &str,
    ) {
        let (code, label) = match error {
            NotAQuantity::Number => (Code::E0140, "a whole number has to come first".to_owned()),
            NotAQuantity::TooLarge => (Code::E0124, "this is too much".to_owned()),
            NotAQuantity::Unit => (Code::E0140, format!("the unit has to be {units}")),
        };
        self.context.add(
            Problem::new(code, &text.place, format!("`{name}` cannot be read"))
                .label(label)
                .help(format!("write for example \"{example}\"")),
        );
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, key: &str, default: T, words: &[(&str, T)]) -> T {
        self.agrees(key, |shape| {
            matches!(shape, Shape::Word(known) | Shape::WordOrTable(known, _)
                if known.iter().copied().eq(words.iter().map(|(word, _)| *word)))
        });
        let Some(text) = self.text(key) else { return default };
        match words.iter().find(|(word, _)| *word == text.value) {
            Some((_, meaning)) => *meaning,
            None => {
                self.none_of(&text, &self.name(key), words.iter().map(|(word, _)| *word));
                default
            }
        }
    }

    /// Says that a text is none of the `words` that may stand there.
    pub(crate) fn none_of<'w>(
        &self,
        text: &Text,
        name: &str,
        words: impl Iterator<Item = &'w str> + Clone,
    ) {
        let label = match grammar::nearest(&text.value, words.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => {
                let known: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
                format!("write {}", alternatives(&known))
            }
        };
        let message = format!("`{name}` cannot be {:?}", text.value);
        self.context.add(Problem::new(Code::E0121, &text.place, message).label(label));
    }

    /// A path, relative to the file that mentions it.
    pub(crate) fn path(&self, key: &str) -> Option<PathBuf> {
        let path = self.path_of_later(key)?;
        self.context.environment.reads(Input::File(path.clone()));
        Some(path)
    }

    /// The path of a file that is read anew at every use, relative to the file that mentions it.
    pub(crate) fn path_of_later(&self, key: &str) -> Option<PathBuf> {
        let text = self.words(key)?;
        Some(self.context.files.path(&text.place, &text.value))
    }

    /// An absolute URL.
    pub(crate) fn url(&self, key: &str) -> Option<(Url, Text)> {
        let text = self.words(key)?;
        let url = self.context.url(&text, &self.name(key))?;
        Some((url, text))
    }

    /// A table inside this one.
    pub(crate) fn table(&self, key: &str, path: &'a str, kind: &'static Kind) -> Option<Self> {
        let entry = self.entry(key)?;
        self.context.read(&entry.node, &entry.key_place, path, kind)
    }

    /// A table inside this one; without it every key has its default.
    pub(crate) fn table_or_default(&self, key: &str, path: &'a str, kind: &'static Kind) -> Self {
        self.context.read_or_default(self.entry(key), path, kind, self.place)
    }

    /// The entries of a table whose keys are the operator's.
    pub(crate) fn free_table(&self, key: &str) -> &'a [Entry] {
        let Some(entry) = self.entry(key) else { return &[] };
        let Value::Table(table) = &entry.node.value else {
            self.context.add(self.context.wrong_type(&entry.node, &self.name(key), "a table"));
            return &[];
        };
        &table.0
    }

    /// A problem where a key has to be there and is not.
    pub(crate) fn missing(&self, message: String) -> Problem {
        Problem::new(Code::E0110, self.place, message).label("required here")
    }

    /// Whether a key is not there, not even misspelt; a misspelt one was said to be that.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        !self.has(key) && !self.misspells(key)
    }

    /// Whether an unknown key was met with the advice to write `key`.
    pub(crate) fn misspells(&self, key: &str) -> bool {
        let meant = format!("`{key}`");
        self.unknown().any(|entry| grammar::hint(self.kind, entry).contains(&meant))
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Entry> {
        let kind = self.kind;
        self.table.0.iter().filter(move |entry| !kind.keys.contains(&entry.key.as_str()))
    }
}

/// A size, or that there is no limit.
#[derive(Clone, Debug)]
pub(crate) struct SizeLimit {
    pub(crate) bytes: Option<u64>,
    pub(crate) place: Place,
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn alternatives(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
