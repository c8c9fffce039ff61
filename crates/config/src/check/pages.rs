//! `[pages]`.

use lychgate_gateway::language::{Languages, SPOKEN};

use crate::code::Code;
use crate::config::Pages;
use crate::context::Text;
use crate::include::matching;
use crate::inputs::Input;
use crate::problem::Problem;
use crate::reader::Reader;

pub(super) fn read(reader: &Reader<'_>) -> (Languages, Pages) {
    let templates = reader.path("templates");
    if let Some(directory) = &templates {
        let environment = reader.context.environment;
        environment.reads(Input::Directory { path: directory.clone(), pattern: "*".to_owned() });
        // One that cannot be read is said when the pages are made.
        let (files, _) = matching(directory, "*").unwrap_or_default();
        files.into_iter().for_each(|file| environment.reads(Input::File(file)));
    }
    let mut tags: Vec<String> = Vec::new();
    for text in reader.texts("languages").unwrap_or_default() {
        if is_tag(reader, &text, templates.is_some())
            && !tags.iter().any(|tag| tag.eq_ignore_ascii_case(&text.value))
        {
            tags.push(text.value);
        }
    }
    if let Some(entry) = reader.entry("languages")
        && tags.is_empty()
        && !reader.context.problems.has_errors()
    {
        let message = format!("`{}` is empty", reader.name("languages"));
        reader.context.add(
            Problem::new(Code::E0122, &entry.node.place, message)
                .label("write a language, or delete the line"),
        );
    }
    if tags.is_empty() {
        tags = SPOKEN.map(str::to_owned).to_vec();
    }
    (Languages::new(tags), Pages { templates })
}

/// Whether this is a language tag, and of a language that there are texts in. Says so if not. What an operator's own
/// texts say is for `lychgate check` to look at.
fn is_tag(reader: &Reader<'_>, text: &Text, own_texts: bool) -> bool {
    let name = reader.name("languages");
    let plain = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !text.value.split('-').all(plain) || text.value.len() > 35 {
        let message = format!("`{name}` has something that is no language tag");
        let problem = Problem::new(Code::E0122, &text.place, message);
        reader.context.add(problem.label("write for example \"de\" or \"pt-BR\" (BCP 47)"));
        return false;
    }
    let spoken = SPOKEN.contains(&text.value.as_str());
    if !spoken && !own_texts {
        let message = format!("there are no texts in {:?}", text.value);
        reader.context.add(
            Problem::new(Code::E0121, &text.place, message)
                .label("one of \"en\", \"de\" and \"ar\"")
                .help(format!(
                    "for another language, put your texts as {}.toml into the directory of `pages.templates`",
                    text.value
                )),
        );
    }
    spoken || own_texts
}
