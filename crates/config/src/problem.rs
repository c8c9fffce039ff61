//! What is wrong, where, why, and what to write instead.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;

use crate::code::{Code, Severity};
use crate::file::{Files, Place, Position};

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    message: String,
    place: Place,
    label: String,
    also: Vec<(Place, String)>,
    help: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, place: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            place: place.clone(),
            label: String::new(),
            also: Vec::new(),
            help: None,
        }
    }

    /// What stands at the carets.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A second place that has to do with it.
    pub(crate) fn also(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.also.push((place.clone(), label.into()));
        self
    }

    /// What to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Where problems gather while a configuration is read.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(crate) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.0.borrow().iter().any(|problem| problem.code.severity() == Severity::Error)
    }

    /// All problems in the order of files and lines. Where a file is not TOML nothing else is said
    /// about it: what its author wrote is not what was read. It may also hold the names that other
    /// files refer to.
    pub(crate) fn into_report(self, files: Files) -> Report {
        let mut problems = self.0.into_inner();
        let not_toml: BTreeSet<usize> = problems
            .iter()
            .filter(|problem| problem.code == Code::E0002)
            .map(|problem| problem.place.file)
            .collect();
        problems.retain(|problem| {
            let is_doubtful = not_toml.contains(&problem.place.file)
                || (problem.code == Code::E0130 && !not_toml.is_empty());
            problem.code == Code::E0002 || !is_doubtful
        });
        problems.sort_by_key(|problem| {
            (problem.place.file, problem.place.span.start, problem.code.severity(), problem.code)
        });
        problems.dedup_by(|second, first| {
            second.code == first.code
                && second.place == first.place
                && second.message == first.message
        });
        Report { problems, files }
    }
}

/// Problems, in the order of files and lines. Printed with `{}`, it is for a terminal without
/// colours; see [`render`](Self::render) for other readers.
///
/// Secrets that were written into a file are starred out wherever a line of it is shown.
#[derive(Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
    files: Files,
}

/// Whom a report is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A terminal with colours.
    Coloured,
    /// GitHub's annotations: `::error file=…,line=…::`.
    Github,
    /// Programs: one JSON document.
    Json,
    /// A terminal without colours, or a file.
    Plain,
}

impl Report {
    /// The problems, in order.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The file, line and column of a problem of this report.
    #[must_use]
    pub fn position(&self, problem: &Problem) -> Position {
        self.files.position(&problem.place)
    }

    /// How many problems are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many problems are warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.code.severity() == severity).count()
    }

    /// The report for a reader. Ends with a line end, unless it is empty.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Coloured => self.text(&Renderer::styled()),
            Format::Github => self.github(),
            Format::Json => self.json(),
            Format::Plain => self.text(&Renderer::plain()),
        }
    }

    fn text(&self, renderer: &Renderer) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&renderer.render(&self.groups(problem)));
            text.push_str("\n\n");
        }
        if !self.is_empty() {
            text.push_str(&self.count_in_words());
            text.push('\n');
        }
        text
    }

    fn groups<'a>(&'a self, problem: &'a Problem) -> Vec<Group<'a>> {
        let level = match problem.code.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str()).id(problem.code.as_str());
        let primary = AnnotationKind::Primary.span(problem.place.span.clone());
        let label = (!problem.label.is_empty()).then_some(problem.label.as_str());
        let mut group = Group::with_title(title);
        let Some(file) = self.files.find(problem.place.file) else { return vec![group] };
        if file.text().is_empty() {
            // Nothing to show: the file could not be read, or holds nothing.
            group = group.element(Origin::path(file.name()));
            if let Some(label) = label {
                group = group.element(Level::NOTE.message(label));
            }
        } else {
            let mut snippet =
                Snippet::source(file.shown()).path(file.name()).annotation(primary.label(label));
            let (here, elsewhere): (Vec<_>, Vec<_>) =
                problem.also.iter().partition(|(place, _)| place.file == problem.place.file);
            for (place, label) in here {
                let context = AnnotationKind::Context.span(place.span.clone());
                snippet = snippet.annotation(context.label(label.as_str()));
            }
            group = group.element(snippet);
            for (place, label) in elsewhere {
                let Some(file) = self.files.find(place.file) else { continue };
                let context = AnnotationKind::Context.span(place.span.clone());
                let snippet = Snippet::source(file.shown()).path(file.name());
                group = group.element(snippet.annotation(context.label(label.as_str())));
            }
        }
        let help = problem.help.as_deref();
        let help = help.map(|help| Group::with_title(Level::HELP.secondary_title(help)));
        std::iter::once(group).chain(help).collect()
    }

    fn github(&self) -> String {
        let escape =
            |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        // In a property, `:` and `,` would end it.
        let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
        let mut text = String::new();
        for problem in &self.problems {
            let Position { file, line, column } = self.position(problem);
            let mut message = problem.message.clone();
            for more in
                [Some(problem.label.as_str()), problem.help.as_deref()].into_iter().flatten()
            {
                if !more.is_empty() {
                    message.push('\n');
                    message.push_str(more);
                }
            }
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "::{} file={},line={line},col={column},title={}::{}",
                problem.code.severity().as_str(),
                property(&file),
                problem.code,
                escape(&message),
            );
        }
        text
    }

    fn json(&self) -> String {
        let problems = self.problems.iter().map(|problem| {
            let Position { file, line, column } = self.position(problem);
            json!({
                "code": problem.code.as_str(),
                "severity": problem.code.severity().as_str(),
                "message": problem.message,
                "label": problem.label,
                "help": problem.help,
                "file": file,
                "line": line,
                "column": column,
            })
        });
        let document = json!({
            "errors": self.errors(),
            "warnings": self.warnings(),
            "problems": problems.collect::<Vec<_>>(),
        });
        format!("{document}\n")
    }

    /// `5 errors, 1 warning`.
    fn count_in_words(&self) -> String {
        let counts = [(self.errors(), "error"), (self.warnings(), "warning")];
        let words = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }));
        words.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.render(Format::Plain).trim_end())
    }
}

impl std::error::Error for Report {}
