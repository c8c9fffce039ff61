//! Configurations: whatever is typed, reading it ends, and every place that is named exists (C-02).

use lychgate_config::{Environment, Format, Origins, Report, Source, check};

const NAME: &str = "lychgate.toml";

/// No variable is set.
struct Nothing;

impl Environment for Nothing {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

/// A configuration file.
///
/// It is right, or there are problems; and each of them is at a line and column that the file has, and can be
/// shown to every kind of reader.
///
/// # Panics
/// When one of these does not hold.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source::Text { name: NAME.to_owned(), text: text.to_owned() };
    match check(std::slice::from_ref(&source), &Nothing) {
        Ok(checked) => {
            assert_eq!(checked.warnings.errors(), 0);
            says_where(&checked.warnings, text);
            // What is right can be printed.
            assert!(lychgate_config::print(&[source], &Nothing, Origins::Hidden).is_ok());
        }
        Err(report) => {
            assert!(report.errors() > 0);
            says_where(&report, text);
        }
    }
}

fn says_where(report: &Report, text: &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in report.problems() {
        assert!(!problem.message().is_empty());
        let position = report.position(problem);
        if position.file != NAME {
            continue;
        }
        let line = lines.get(position.line.wrapping_sub(1));
        let line = line.unwrap_or_else(|| panic!("{} is at {position:?}", problem.message()));
        let columns = 1..=line.chars().count() + 1;
        assert!(columns.contains(&position.column), "{} at {position:?}", problem.message());
    }
    assert_eq!(report.errors() + report.warnings(), report.problems().len());
    for format in [Format::Coloured, Format::Github, Format::Plain] {
        assert_eq!(report.render(format).is_empty(), report.is_empty());
    }
    let json = report.render(Format::Json);
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
}
