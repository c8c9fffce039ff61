//! What a page must have and must not have, whoever wrote its template (P-02, P-09).
//!
//! The rules look at the text of a finished page, tag by tag. They are for an operator who makes a mistake, not for one
//! who means harm: whoever writes the templates may show people anything.

use std::fmt;

/// What is wrong with a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    Fails(String),
    NoRequestId,
    NoLink(&'static str),
    NoField { field: &'static str, name: &'static str },
    NoReload,
    InlineScript,
    InlineStyle,
    EventAttribute(String),
    ForeignScript(String),
    ForeignResource(String),
    ScriptLink(String),
    BaseElement,
    NoLanguage,
}

impl fmt::Display for Objection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(error) => write!(formatter, "cannot be made: {error}"),
            Self::NoRequestId => formatter.write_str(
                "does not show the request id, under which the log knows what happened: keep `{{ request_id }}`",
            ),
            Self::NoLink(name) => write!(
                formatter,
                "leaves out a way on that people need there: keep the link or form with `{{{{ {name} }}}}`"
            ),
            Self::NoField { field, name } => write!(
                formatter,
                "would lose what somebody wrote: keep `<input type=\"hidden\" name=\"{field}\" value=\"{{{{ {name} }}}}\">`"
            ),
            Self::NoReload => formatter.write_str(
                "leaves out the way to try again: keep `<a href=\"\">` where `reload` holds",
            ),
            Self::InlineScript => formatter.write_str(
                "has script in it, which browsers do not run: there is `{{ prefix }}/script.js`, and nothing needs more",
            ),
            Self::InlineStyle => formatter.write_str(
                "has style in it, which browsers do not use: write it into a `style.css` beside the templates",
            ),
            Self::EventAttribute(name) => {
                write!(formatter, "has the attribute `{name}`, which browsers do not run")
            }
            Self::ForeignScript(source) => {
                write!(formatter, "asks for the script {source}, which browsers do not run")
            }
            Self::ForeignResource(source) => {
                write!(formatter, "asks for {source}, which browsers do not load from elsewhere")
            }
            Self::ScriptLink(link) => write!(formatter, "has the link {link}, which is a script"),
            Self::BaseElement => {
                formatter.write_str("has a `base` element, which would lead every link elsewhere")
            }
            Self::NoLanguage => formatter.write_str(
                "does not say its language: keep `<html lang=\"{{ lang }}\" dir=\"{{ dir }}\">`",
            ),
        }
    }
}

/// What has to be on a page. `name` is what templates call its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A field of a form, which nobody sees.
    Field { field: &'static str, name: &'static str, value: String },
    /// A link, or a form that leads there.
    Link { name: &'static str, to: String },
    /// A link to the same page.
    Reload,
}

/// The request id that samples have.
pub(crate) const REQUEST_ID: &str = "0123456789abcdef0123456789abcdef";

/// What is wrong with `page`, on which `wanted` has to be found.
pub(crate) fn of_page(page: &str, wanted: &[Wanted], path_prefix: &str) -> Vec<Objection> {
    let mut objections = Vec::new();
    if !page.contains(REQUEST_ID) {
        objections.push(Objection::NoRequestId);
    }
    let tags = tags(page);
    let any = |fits: &dyn Fn(&Tag) -> bool| tags.iter().any(fits);
    for wanted in wanted {
        match wanted {
            Wanted::Field { field, name, value } => {
                let is_it = |tag: &Tag| {
                    tag.name == "input"
                        && tag.value("name") == Some(field)
                        && tag.value("value") == Some(value)
                };
                if !any(&is_it) {
                    objections.push(Objection::NoField { field, name });
                }
            }
            Wanted::Link { name, to } => {
                let leads_there = |tag: &Tag| {
                    ["href", "action"].into_iter().any(|name| tag.value(name) == Some(to))
                };
                if !any(&leads_there) {
                    objections.push(Objection::NoLink(name));
                }
            }
            Wanted::Reload => {
                if !any(&|tag| tag.name == "a" && tag.value("href") == Some("")) {
                    objections.push(Objection::NoReload);
                }
            }
        }
    }
    if !tags.iter().any(|tag| tag.name == "html" && tag.has("lang") && tag.has("dir")) {
        objections.push(Objection::NoLanguage);
    }
    for tag in &tags {
        objections.extend(of_tag(tag, path_prefix));
    }
    objections
}

fn of_tag(tag: &Tag, path_prefix: &str) -> Vec<Objection> {
    let mut objections = Vec::new();
    match tag.name.as_str() {
        "style" => objections.push(Objection::InlineStyle),
        "base" => objections.push(Objection::BaseElement),
        "script" => match tag.value("src") {
            None => objections.push(Objection::InlineScript),
            Some(source) if source != format!("{path_prefix}/script.js") => {
                objections.push(Objection::ForeignScript(source.to_owned()));
            }
            Some(_) if !tag.text.trim().is_empty() => objections.push(Objection::InlineScript),
            Some(_) => {}
        },
        _ => {}
    }
    for (name, value) in &tag.attributes {
        let bare = value.trim_start().to_ascii_lowercase();
        let loads = name == "src" || (name == "href" && tag.name == "link") || name == "srcset";
        if name == "style" {
            objections.push(Objection::InlineStyle);
        } else if name.starts_with("on") {
            objections.push(Objection::EventAttribute(name.clone()));
        } else if bare.starts_with("javascript:") || bare.starts_with("vbscript:") {
            objections.push(Objection::ScriptLink(value.clone()));
        } else if loads
            && tag.name != "script"
            && (bare.starts_with("//")
                || bare.split(['/', '?']).next().is_some_and(|first| first.contains(':')))
        {
            objections.push(Objection::ForeignResource(value.clone()));
        }
    }
    objections
}

/// What is wrong with a style sheet.
pub(crate) fn of_style(style: &str) -> Option<Objection> {
    let lower = style.to_ascii_lowercase();
    let foreign = ["@import", "http://", "https://", "url(//", "url(\"//", "url('//"];
    let found = foreign.into_iter().find(|foreign| lower.contains(foreign))?;
    Some(Objection::ForeignResource(found.to_owned()))
}

/// A tag that begins an element, and the text up to the next tag.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
}

impl Tag {
    fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| !value.is_empty())
    }
}

fn tags(page: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once('<') {
        rest = after;
        if let Some(comment) = after.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, rest)| rest);
            continue;
        }
        if !after.starts_with(|first: char| first.is_ascii_alphabetic()) {
            continue;
        }
        let (tag, after) = tag(after);
        rest = after;
        let text = after.split('<').next().unwrap_or_default().to_owned();
        tags.push(Tag { text, ..tag });
    }
    tags
}

/// Reads a tag from behind its `<`, and what comes after it.
fn tag(text: &str) -> (Tag, &str) {
    let end = text.find(|byte: char| byte.is_ascii_whitespace() || byte == '>' || byte == '/');
    let (name, mut rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, ""));
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|byte: char| byte.is_ascii_whitespace() || byte == '/');
        if let Some(after) = rest.strip_prefix('>') {
            rest = after;
            break;
        }
        if rest.is_empty() {
            break;
        }
        let end =
            rest.find(|byte: char| byte.is_ascii_whitespace() || matches!(byte, '=' | '>' | '/'));
        let (key, after) = match rest.split_at_checked(end.unwrap_or(rest.len())) {
            // An `=` without a name before it is a name to browsers.
            Some(("", after)) => after.split_at_checked(1).unwrap_or((after, "")),
            Some(parts) => parts,
            None => (rest, ""),
        };
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('=').map(str::trim_start) {
            None => ("", after),
            Some(quoted) => match quoted.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let inside = quoted.get(1..).unwrap_or_default();
                    inside.split_once(quote).unwrap_or((inside, ""))
                }
                _ => {
                    let end = quoted.find(|byte: char| byte.is_ascii_whitespace() || byte == '>');
                    quoted.split_at_checked(end.unwrap_or(quoted.len())).unwrap_or((quoted, ""))
                }
            },
        };
        attributes.push((key.to_ascii_lowercase(), unescaped(value)));
        rest = after;
    }
    let name = name.to_ascii_lowercase();
    (Tag { name, attributes, text: String::new() }, rest)
}

/// The references that templates write.
fn unescaped(text: &str) -> String {
    text.replace("&#x2f;", "/")
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objections(body: &str) -> Vec<Objection> {
        let page = format!("<html lang=en dir=ltr><body>{body}<code>{REQUEST_ID}</code></body>");
        of_page(&page, &[], "/.gate")
    }

    /// P-02, P-09: whatever the browser would not run or load, in every way to write it.
    #[test]
    fn what_browsers_would_not_run_or_load_is_objected_to() {
        use Objection::*;
        for (body, expected) in [
            ("<script>x</script>", Some(InlineScript)),
            ("<SCRIPT type=module >x</SCRIPT>", Some(InlineScript)),
            ("<script src=\"/.gate/script.js\">x</script>", Some(InlineScript)),
            (
                "<script src='https://cdn.test/x.js'></script>",
                Some(ForeignScript("https://cdn.test/x.js".into())),
            ),
            ("<style>p{}</style>", Some(InlineStyle)),
            ("<p class=a style=\"color:red\">", Some(InlineStyle)),
            ("<p\nSTYLE='color:red'>", Some(InlineStyle)),
            ("<img/onerror=x src=/a.png>", Some(EventAttribute("onerror".into()))),
            ("<a href=x onclick = \"y\">", Some(EventAttribute("onclick".into()))),
            ("<a href=\" JavaScript:x\">", Some(ScriptLink(" JavaScript:x".into()))),
            (
                "<img src=\"https://cdn.test/a.png\">",
                Some(ForeignResource("https://cdn.test/a.png".into())),
            ),
            ("<link rel=icon href=//cdn.test/a>", Some(ForeignResource("//cdn.test/a".into()))),
            (
                "<img src='data:image/png;base64,AA'>",
                Some(ForeignResource("data:image/png;base64,AA".into())),
            ),
            ("<base href=/x>", Some(BaseElement)),
            ("<script src=\"/.gate/script.js\" defer></script>", None),
            ("<a href=\"https://help.test/style=x\">onclick</a>", None),
            ("<!-- <script>x</script> --><p title='a > b'>&lt;script&gt;</p>", None),
        ] {
            assert_eq!(objections(body).into_iter().next(), expected, "{body}");
        }
    }

    #[test]
    fn what_people_need_has_to_be_there() {
        let to = "/.gate/login?return_to=/&a=1".to_owned();
        let wanted = [Wanted::Link { name: "sign_in", to }];
        let page =
            |link: &str| format!("<html lang='de' dir='ltr'><a href=\"{link}\">{REQUEST_ID}");

        assert_eq!(
            of_page(&page("&#x2f;.gate&#x2f;login?return_to=&#x2f;&amp;a=1"), &wanted, ""),
            []
        );
        assert_eq!(of_page(&page("/"), &wanted, ""), [Objection::NoLink("sign_in")]);
        assert_eq!(of_page("<html lang=de dir=ltr>", &[], ""), [Objection::NoRequestId]);
        assert_eq!(of_page(&format!("<html>{REQUEST_ID}"), &[], ""), [Objection::NoLanguage]);
    }

    #[test]
    fn a_style_sheet_loads_nothing_from_elsewhere() {
        assert_eq!(of_style("p { color: red; }"), None);
        assert_eq!(of_style(crate::pages::STYLE), None);
        for style in
            ["@IMPORT 'x';", "p{background:url(https://cdn.test/a)}", "p{background:url(//a)}"]
        {
            assert!(of_style(style).is_some(), "{style}");
        }
    }
}
