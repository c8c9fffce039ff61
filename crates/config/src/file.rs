//! The files that were read, and places in them.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in one of the [`Files`]: bytes of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

/// A place as people count: lines and characters from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as the operator named it.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters; a tab is one.
    pub column: usize,
}

/// Every file that was read or should have been, in order.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<File>);

/// One file, without the byte-order mark that some editors put before it.
#[derive(Debug)]
pub(crate) struct File {
    name: String,
    text: String,
    /// The text with secrets starred out, byte for byte as long.
    shown: String,
    directory: PathBuf,
    readable_by_others: bool,
}

impl File {
    pub(crate) fn new(
        name: String,
        text: &str,
        directory: PathBuf,
        readable_by_others: bool,
    ) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        Self { name, shown: text.clone(), text, directory, readable_by_others }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text as it may be shown.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl Files {
    /// Adds a file and says what its number is.
    pub(crate) fn add(&mut self, file: File) -> usize {
        self.0.push(file);
        self.0.len() - 1
    }

    pub(crate) fn find(&self, number: usize) -> Option<&File> {
        self.0.get(number)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(File::name)
    }

    /// The text at a place, as written.
    pub(crate) fn text_at(&self, place: &Place) -> &str {
        self.find(place.file).and_then(|file| file.text.get(place.span.clone())).unwrap_or_default()
    }

    /// Whether the file of `place` may be read by others than its owner.
    pub(crate) fn readable_by_others(&self, place: &Place) -> bool {
        self.find(place.file).is_some_and(|file| file.readable_by_others)
    }

    /// A path as the file of `place` means it: relative to that file (C-06).
    pub(crate) fn path(&self, place: &Place, written: &str) -> PathBuf {
        let base =
            self.find(place.file).map_or_else(|| Path::new(""), |file| file.directory.as_path());
        base.join(written)
    }

    /// Line and column of a place's beginning.
    pub(crate) fn position(&self, place: &Place) -> Position {
        let Some(file) = self.find(place.file) else {
            return Position { file: String::new(), line: 1, column: 1 };
        };
        let before = file.text.get(..place.span.start).unwrap_or(&file.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
        }
    }

    /// Stars out what stands at `place` wherever the file is shown; quotes and line ends stay.
    pub(crate) fn hide(&mut self, place: &Place) {
        let Some(file) = self.0.get_mut(place.file) else { return };
        let Some(secret) = file.shown.get(place.span.clone()) else { return };
        let stars: String = secret
            .chars()
            .map(|character| match character {
                '"' | '\'' | '\r' | '\n' => character.to_string(),
                other => "*".repeat(other.len_utf8()),
            })
            .collect();
        file.shown.replace_range(place.span.clone(), &stars);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, at: usize) -> (usize, usize) {
        let mut files = Files::default();
        let file = files.add(File::new("a.toml".to_owned(), text, PathBuf::new(), false));
        let position = files.position(&Place { file, span: at..at });
        (position.line, position.column)
    }

    /// C-03.
    #[test]
    fn columns_are_counted_in_characters() {
        assert_eq!(position("a = 1", 0), (1, 1));
        assert_eq!(position("é = 1", 2), (1, 2));
        assert_eq!(position("\ta = 1", 1), (1, 2));
        assert_eq!(position("a = 1\r\nb = 2\r\n", 7), (2, 1));
        assert_eq!(position("\u{feff}a = 1", 0), (1, 1));
        assert_eq!(position("a", 99), (1, 2), "past the end");
    }

    #[test]
    fn a_hidden_text_keeps_its_length() {
        let mut files = Files::default();
        let text = "k = \"hé\"";
        let file = files.add(File::new("a.toml".to_owned(), text, PathBuf::new(), false));
        files.hide(&Place { file, span: 4..text.len() });
        let shown = files.find(file).map(File::shown);
        assert_eq!(shown, Some("k = \"***\""));
    }
}
