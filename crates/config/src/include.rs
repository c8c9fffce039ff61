//! Finding and reading the files: sources, directories, `include`.
//!
//! Files of a directory come in the order of their names, and so do those of a pattern. That order
//! only decides about the order of messages: no file has precedence over another (C-04, C-30).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::expand::expand;
use crate::file::{File, Files, Place};
use crate::inputs::Input;
use crate::load::{Environment, Source};
use crate::problem::{Problem, Problems};
use crate::secret;
use crate::tree::{self, Entry, Table, Value};

/// The language that this program speaks.
const VERSION: i64 = 1;

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) files: Files,
    pub(crate) table: Table,
}

/// Reads all sources and what they include, and puts their tables together.
pub(crate) fn read(
    sources: &[Source],
    environment: &dyn Environment,
    problems: &Problems,
) -> Document {
    let mut reading =
        Reading { document: Document::default(), seen: BTreeSet::new(), environment, problems };
    for source in sources {
        match source {
            Source::Text { name, text } => {
                let file = File::new(name.clone(), text, PathBuf::new(), false);
                reading.take(file, Depth::Top);
            }
            Source::Path(path) if path.is_dir() => reading.directory(path),
            Source::Path(path) => {
                reading.file(path, None, Depth::Top);
            }
        }
    }
    let mut document = reading.document;
    for place in secret::literals(&document.table) {
        document.files.hide(&place);
    }
    document
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Included,
    Top,
}

struct Reading<'a> {
    document: Document,
    /// Files by their real path, so that none is read twice.
    seen: BTreeSet<PathBuf>,
    environment: &'a dyn Environment,
    problems: &'a Problems,
}

impl Reading<'_> {
    fn directory(&mut self, directory: &Path) {
        let pattern = "*.toml".to_owned();
        self.environment.reads(Input::Directory { path: directory.to_owned(), pattern });
        let (chosen, skipped) = match matching(directory, "*.toml") {
            Ok(found) => found,
            Err(error) => {
                self.unreadable(directory, None, &secret::in_words(&error));
                return;
            }
        };
        if chosen.is_empty() {
            self.unreadable(directory, None, "the directory holds no `.toml` file");
        }
        self.name_skipped(directory, &skipped, None);
        for path in chosen {
            self.file(&path, None, Depth::Top);
        }
    }

    /// Reads one file; `mentioned` is where another file asked for it.
    fn file(&mut self, path: &Path, mentioned: Option<&Place>, depth: Depth) {
        self.environment.reads(Input::File(path.to_owned()));
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            let place = mentioned.cloned().unwrap_or_else(|| self.empty_file(path));
            self.problems.add(
                Problem::new(Code::E0003, &place, format!("`{}` is read twice", path.display()))
                    .label("it was read already, or it includes itself"),
            );
            return;
        }
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes),
            Err(error) => {
                self.unreadable(path, mentioned, &secret::in_words(&error));
                return;
            }
        };
        let Ok(text) = text else {
            let place = self.empty_file(path);
            let problem = Problem::new(Code::E0002, &place, "the file is not UTF-8 text");
            self.problems.add(problem);
            return;
        };
        let readable_by_others =
            fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        let file = File::new(path.display().to_string(), &text, directory, readable_by_others);
        self.take(file, depth);
    }

    /// Parses a file, follows its includes and adds its tables to the document.
    fn take(&mut self, file: File, depth: Depth) {
        let number = self.document.files.add(file);
        let mut table = tree::parse(number, &self.document.files, self.problems);
        self.check_version(&mut table);
        let include = table.0.iter().position(|entry| entry.key == "include");
        let include = include.map(|at| table.0.remove(at));
        tree::merge(&mut self.document.table, table, "", self.problems);
        match (include, depth) {
            (None, _) => {}
            (Some(entry), Depth::Top) => self.include(&entry),
            (Some(entry), Depth::Included) => self.problems.add(
                Problem::new(Code::E0003, &entry.key_place, "an included file includes others")
                    .label("only one level is read")
                    .help("move this line to the file at the top"),
            ),
        }
    }

    /// Each file may say which language it is in; the document then says so once (C-43).
    fn check_version(&self, table: &mut Table) {
        let Some(at) = table.0.iter().position(|entry| entry.key == "version") else { return };
        if at > 0
            && let Some(entry) = table.0.get(at)
        {
            self.problems.add(
                Problem::new(Code::E0103, &entry.key_place, "`version` is not the first key")
                    .label("move it to the top of the file"),
            );
        }
        let Some(entry) = table.0.get(at) else { return };
        let ours = env!("CARGO_PKG_VERSION");
        let problem = |message: String| Problem::new(Code::E0103, &entry.node.place, message);
        match entry.node.value {
            Value::Integer(Some(VERSION)) => {}
            Value::Integer(Some(newer)) if newer > VERSION => self.problems.add(problem(format!(
                "config version {newer} needs lychgate {newer}.0 or newer (this is {ours})"
            ))),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Table(_)
            | Value::Text(_) => self.problems.add(
                problem(format!(
                    "`version` cannot be {}",
                    self.document.files.text_at(&entry.node.place)
                ))
                .label(format!("write {VERSION}, or leave the line out")),
            ),
        }
        if self.document.table.find("version").is_some() {
            table.0.remove(at);
        }
    }

    fn include(&mut self, entry: &Entry) {
        let Value::List(items) = &entry.node.value else {
            self.problems.add(
                Problem::new(Code::E0120, &entry.node.place, "`include` has to be a list of texts")
                    .label(format!("this is {}", entry.node.value.kind())),
            );
            return;
        };
        for item in items {
            let Value::Text(written) = &item.value else {
                self.problems.add(
                    Problem::new(Code::E0120, &item.place, "`include` has to be a list of texts")
                        .label(format!("this is {}", item.value.kind())),
                );
                continue;
            };
            match expand(written, self.environment) {
                Ok(pattern) => self.pattern(&pattern, &item.place),
                Err(error) => {
                    self.problems.add(
                        Problem::new(Code::E0310, &item.place, error.message).label("in `include`"),
                    );
                }
            }
        }
    }

    fn pattern(&mut self, pattern: &str, place: &Place) {
        let path = self.document.files.path(place, pattern);
        let stars = |text: &str| text.contains(['*', '?']);
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        if stars(&directory.to_string_lossy()) || pattern.contains("**") {
            self.problems.add(
                Problem::new(Code::E0003, place, format!("`{pattern}` cannot be searched for"))
                    .label("`*` and `?` may stand in the file's name only"),
            );
            return;
        }
        if !stars(&name) {
            self.file(&path, Some(place), Depth::Included);
            return;
        }
        let input = Input::Directory { path: directory.clone(), pattern: name.clone() };
        self.environment.reads(input);
        match matching(&directory, &name) {
            Ok((chosen, skipped)) => {
                self.name_skipped(&directory, &skipped, Some(place));
                for path in chosen {
                    self.file(&path, Some(place), Depth::Included);
                }
            }
            // A directory that may hold files may also not be there yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.problems.add(
                Problem::new(
                    Code::E0003,
                    place,
                    format!("`{}` cannot be read", directory.display()),
                )
                .label(secret::in_words(&error)),
            ),
        }
    }

    fn name_skipped(&mut self, directory: &Path, skipped: &[String], mentioned: Option<&Place>) {
        if skipped.is_empty() {
            return;
        }
        let place = mentioned.cloned().unwrap_or_else(|| self.empty_file(directory));
        let names = skipped.join("`, `");
        self.problems.add(
            Problem::new(
                Code::W0104,
                &place,
                format!("`{names}` skipped in `{}`", directory.display()),
            )
            .label("hidden files, back-ups and leftovers of packages are not read"),
        );
    }

    fn unreadable(&mut self, path: &Path, mentioned: Option<&Place>, label: &str) {
        let place = mentioned.cloned().unwrap_or_else(|| self.empty_file(path));
        let message = format!("`{}` cannot be read", path.display());
        let problem = Problem::new(Code::E0001, &place, message).label(label);
        self.problems.add(match mentioned {
            Some(_) => problem,
            None => problem.help("name another file with `-c`, or try `lychgate demo`"),
        });
    }

    /// A place for what is wrong with a file as a whole.
    fn empty_file(&mut self, path: &Path) -> Place {
        let file = File::new(path.display().to_string(), "", PathBuf::new(), false);
        Place { file: self.document.files.add(file), span: 0..0 }
    }
}

/// The files of a directory whose names fit, and the names of those that are skipped, in order.
pub(crate) fn matching(
    directory: &Path,
    pattern: &str,
) -> std::io::Result<(Vec<PathBuf>, Vec<String>)> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut names = Vec::new();
    for entry in fs::read_dir(here)? {
        let entry = entry?;
        // Kubernetes keeps directories called `..data` beside the files.
        if !entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let (skipped, fitting): (Vec<_>, Vec<_>) = names
        .into_iter()
        .filter(|name| fits(without_leftover(name), pattern))
        .partition(|name| is_leftover(name));
    Ok((fitting.iter().map(|name| directory.join(name)).collect(), skipped))
}

const LEFTOVERS: &[&str] =
    &["~", ".bak", ".orig", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-new", ".dpkg-dist"];

fn is_leftover(name: &str) -> bool {
    name.starts_with('.') || LEFTOVERS.iter().any(|end| name.ends_with(end))
}

/// The name that a back-up once had, so that `10-app.toml~` counts as skipped rather than foreign.
fn without_leftover(name: &str) -> &str {
    LEFTOVERS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Whether a name fits a pattern of characters, `?` for one and `*` for any number.
fn fits(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.chars().collect(), pattern.chars().collect());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last star stood and how much it had eaten: one star to go back to is enough.
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(expected) if *expected == '?' || name.get(at) == Some(expected) => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((star_at, eaten)) = star else { return false };
                star = Some((star_at, eaten + 1));
                at = eaten + 1;
                in_pattern = star_at + 1;
            }
        }
    }
    pattern.iter().skip(in_pattern).all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_names() {
        for (name, pattern, expected) in [
            ("10-app.toml", "*.toml", true),
            ("app.toml", "app.toml", true),
            ("app.yaml", "*.toml", false),
            ("a1.toml", "a?.toml", true),
            ("a.toml", "a?.toml", false),
            ("aXbXc", "a*X*c", true),
            ("aXbXd", "a*X*c", false),
            ("", "*", true),
            ("x", "", false),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
