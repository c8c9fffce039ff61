//! What everything that reads the document shares, and the reading of single values.

use std::fmt;
use std::ops::Range;

use url::Url;

use crate::code::Code;
use crate::expand::expand;
use crate::file::{Files, Place};
use crate::load::Environment;
use crate::problem::{Problem, Problems};
use crate::secret::SecretUse;
use crate::tree::{Node, Value};

/// What everything that reads needs to know.
pub(crate) struct Context<'a> {
    pub(crate) files: &'a Files,
    pub(crate) environment: &'a dyn Environment,
    pub(crate) problems: &'a Problems,
    pub(crate) secrets: SecretUse,
    /// Nobody but this machine is served: a demonstration, which may keep its secrets at hand.
    pub(crate) loopback_only: bool,
}

/// A text of the document: expanded, with its place.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) place: Place,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context<'_> {
    pub(crate) fn add(&self, problem: Problem) {
        self.problems.add(problem);
    }

    /// Says that `node` is not what `name` has to be.
    pub(crate) fn wrong_type(&self, node: &Node, name: &str, expected: &str) -> Problem {
        Problem::new(Code::E0120, &node.place, format!("`{name}` has to be {expected}"))
            .label(format!("this is {}", node.value.kind()))
    }

    /// A text, expanded.
    pub(crate) fn text(&self, node: &Node, name: &str) -> Option<Text> {
        let Value::Text(written) = &node.value else {
            self.add(self.wrong_type(node, name, "a text"));
            return None;
        };
        match expand(written, self.environment) {
            Ok(value) => Some(Text { value, place: node.place.clone() }),
            Err(error) => {
                let place = self.inside(&node.place, written, error.at);
                let problem = Problem::new(Code::E0310, &place, error.message);
                let problem = problem.label(format!("in `{name}`"));
                self.add(match error.help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                None
            }
        }
    }

    /// The place of a part of a text, or of the whole where escapes make that uncertain.
    pub(crate) fn inside(&self, place: &Place, value: &str, part: Range<usize>) -> Place {
        let written = self.files.text_at(place);
        let between = written.get(1..written.len().saturating_sub(1));
        if between != Some(value) {
            return place.clone();
        }
        let start = place.span.start + 1;
        Place { file: place.file, span: start + part.start..start + part.end }
    }

    /// The texts of a list, those that are none being said.
    pub(crate) fn texts(&self, node: &Node, name: &str) -> Option<Vec<Text>> {
        let Value::List(items) = &node.value else {
            let problem = self.wrong_type(node, name, "a list of texts");
            self.add(match &node.value {
                Value::Text(one) => {
                    let items: Vec<String> =
                        one.split_whitespace().map(|item| format!("{item:?}")).collect();
                    problem.help(format!("write [{}]", items.join(", ")))
                }
                Value::Boolean(_)
                | Value::Datetime
                | Value::Float(_)
                | Value::Integer(_)
                | Value::List(_)
                | Value::Table(_) => problem,
            });
            return None;
        };
        Some(items.iter().filter_map(|item| self.text(item, name)).collect())
    }

    /// An absolute http(s) URL without a user.
    pub(crate) fn url(&self, text: &Text, name: &str) -> Option<Url> {
        match Url::parse(&text.value) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                if url.username().is_empty() && url.password().is_none() {
                    return Some(url);
                }
                let problem =
                    Problem::new(Code::E0122, &text.place, format!("`{name}` names a user"));
                self.add(problem.label("a URL in here has no user and no password"));
                None
            }
            Ok(_) => {
                let problem =
                    Problem::new(Code::E0122, &text.place, format!("`{name}` is no http(s) URL"));
                self.add(problem.label("begin with `https://`"));
                None
            }
            Err(error) => {
                let label = if text.value.contains("://") {
                    error.to_string()
                } else {
                    "begin with `https://`".to_owned()
                };
                let problem = Problem::new(Code::E0122, &text.place, format!("`{name}` is no URL"));
                self.add(problem.label(label));
                None
            }
        }
    }
}
