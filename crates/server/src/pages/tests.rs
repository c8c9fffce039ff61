//! Pages in every language, and templates that an operator puts in the place of ours.

use std::fs;
use std::path::PathBuf;

use lychgate_gateway::client::Client;
use lychgate_gateway::outcome::{Answer, Words};

use super::*;
use crate::respond::Responder;

fn languages() -> Languages {
    Languages::new(["en", "de", "ar"].map(str::to_owned).to_vec())
}

/// A directory that ends with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path =
            std::env::temp_dir().join(format!("lychgate-pages-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    fn load(&self) -> Result<Pages, String> {
        Pages::load("/.gate", Some(&self.0), &languages()).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(|error| crate::chain(error)).collect();
            errors.join("\n")
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn source(name: &str) -> &'static str {
    TEMPLATES.iter().find(|(known, _)| *known == name).unwrap().1
}

/// P-01, P-02, P-05, P-06, P-10: every page in every language, by the rules that hold for an operator's own too.
#[test]
fn every_page_is_proper_in_every_language() {
    let pages = Pages::built_in("/.gate");
    for (language, direction) in [("en", "ltr"), ("de", "ltr"), ("ar", "rtl")] {
        for sample in samples::all("/.gate") {
            let what = format!("{language}/{}", sample.name);
            let page =
                sample.render(&pages, language).unwrap_or_else(|error| panic!("{what}: {error}"));

            assert_eq!(rules::of_page(&page, &sample.wanted(), "/.gate"), [], "{what}: {page}");
            let html = format!("<html lang=\"{language}\" dir=\"{direction}\">");
            assert!(page.contains(&html), "{what}");
            assert!(page.len() + STYLE.len() + SCRIPT.len() <= 20 * 1024, "{what}: {}", page.len());
            assert!(!page.to_ascii_lowercase().contains("lychgate"), "{what}");
            assert!(!page.contains(['{', '}']), "{what}: a placeholder is left: {page}");
            assert_eq!(page.matches("<h1>").count(), 1, "{what}");
            let between = |start, end| page.split_once(start).unwrap().1.split_once(end).unwrap().0;
            assert_eq!(between("<h1>", "</h1>"), between("<title>", "</title>"), "{what}");
        }
    }
}

/// P-09.
#[test]
fn an_operators_templates_texts_and_style_take_the_place_of_ours() {
    let german = include_str!("../../pages/languages/de.toml");
    let own = source("signed_out.html").replace("<ul class", "<p>By Example Corp</p><ul class");
    let directory = Directory::new(
        "own",
        &[
            ("signed_out.html", &own),
            ("style.css", "p { color: navy; }"),
            ("de.toml", &german.replace("Sie haben sich abgemeldet\"", "Auf Wiedersehen\"")),
            (".notes~", "whatever"),
        ],
    );

    let pages = directory.load().unwrap();

    let samples = samples::all("/.gate");
    let sample = samples.iter().find(|sample| sample.name == "signed-out").unwrap();
    let page = sample.render(&pages, "de").unwrap();
    assert!(
        page.contains("By Example Corp") && page.contains("<h1>Auf Wiedersehen</h1>"),
        "{page}"
    );
    assert_eq!(pages.style(), "p { color: navy; }");
}

/// P-09: what would leave people without help, or would not be run or loaded, is refused, and is named.
#[test]
fn templates_that_would_leave_people_without_help_are_refused() {
    let changed = |name: &str, from: &str, to: &str| {
        let text = source(name);
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    };
    for (name, text, expected) in [
        ("base.html", changed("base.html", "{{ request_id }}", ""), "does not show the request id"),
        ("bare.html", changed("bare.html", "{{ request_id }}", ""), "does not show the request id"),
        (
            "refusal.html",
            changed("refusal.html", "href=\"{{ sign_in }}\"", "href=\"/\""),
            "`{{ sign_in }}`",
        ),
        ("refusal.html", changed("refusal.html", "{{ kept.action }}", "/"), "`{{ kept.action }}`"),
        (
            "refusal.html",
            changed(
                "refusal.html",
                "<input type=\"hidden\" name=\"form\" value=\"{{ kept.form }}\">",
                "",
            ),
            "value=\"{{ kept.form }}\"",
        ),
        (
            "refusal.html",
            changed("refusal.html", "name=\"form\"", "name=\"kept\""),
            "value=\"{{ kept.form }}\"",
        ),
        (
            "refusal.html",
            changed("refusal.html", "href=\"\"", "href=\"/\""),
            "leaves out the way to try again",
        ),
        ("refusal.html", changed("refusal.html", "{{ sign_out }}", "/"), "`{{ sign_out }}`"),
        (
            "choose_provider.html",
            changed("choose_provider.html", "{{ choice.link }}", "/"),
            "`{{ choice.link }}`",
        ),
        (
            "base.html",
            changed("base.html", "</head>", "<script>x()</script></head>"),
            "has script in it",
        ),
        (
            "base.html",
            changed("base.html", "</head>", "<style>p{}</style></head>"),
            "has style in it",
        ),
        (
            "base.html",
            changed("base.html", "<main>", "<main onclick=x()>"),
            "has the attribute `onclick`",
        ),
        (
            "base.html",
            changed("base.html", "<main>", "<img src=\"https://cdn.test/a.png\"><main>"),
            "asks for https://cdn.test/a.png",
        ),
        (
            "base.html",
            changed("base.html", "lang=\"{{ lang }}\" ", ""),
            "does not say its language",
        ),
        (
            "refusal.html",
            changed("refusal.html", "{{ sentence }}", "{{ sentense }}"),
            "cannot be made",
        ),
        ("refusal.html", "{% if %}".to_owned(), "is no template"),
        ("refusals.html", String::new(), "is the name of no template"),
        ("style.css", "@import 'https://cdn.test/x.css';".to_owned(), "asks for @import"),
        ("fr.toml", "direction = \"ltr\"\n[text]\n[units]".to_owned(), "it lacks"),
    ] {
        let directory = Directory::new("refused", &[(name, &text)]);

        let said = directory.load().err().unwrap_or_else(|| panic!("{name} is taken: {expected}"));

        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(said.lines().count(), 1, "one mistake is said once: {said}");
    }
}

#[test]
fn a_language_without_texts_and_a_directory_that_is_not_there_are_said() {
    let languages = Languages::new(vec!["fr".to_owned()]);
    let said = |directory: Option<&Path>| {
        let errors = Pages::load("/.gate", directory, &languages).unwrap_err();
        errors.iter().map(|error| crate::chain(error)).collect::<Vec<_>>().join("\n")
    };

    assert!(said(None).contains("there are no texts in \"fr\": put them as fr.toml"));
    assert!(said(Some(Path::new("/nowhere/at/all"))).contains("/nowhere/at/all cannot be read"));
}

/// P-09: what no sample has may come together on a page all the same; then people get ours.
#[test]
fn a_template_that_fails_where_nobody_looked_is_replaced_by_ours() {
    let own = source("refusal.html").replace(
        "{{ sentence }}",
        "Oh no. {{ sentence }}{% if explain and provider_code %}{{ explane }}{% endif %}",
    );
    let directory = Directory::new("spare", &[("refusal.html", &own)]);
    let responder = Responder::new(directory.load().unwrap());
    let body = |provider_code: Option<&str>| {
        let words = Words {
            explain: Some("Ask Ada.".to_owned()),
            provider_code: provider_code.map(str::to_owned),
            ..Words::default()
        };
        let refusal = Refusal { words, ..Refusal::new(Reason::ProviderDenied, Client::Browser) };
        let samples = samples::all("/.gate");
        let response = responder.answer(&Answer::Refusal(refusal), &samples[0].about("de"));
        String::from_utf8(response.into_body().to_vec()).unwrap()
    };

    assert!(body(None).contains("Oh no."));
    let page = body(Some("access_denied"));

    assert!(!page.contains("Oh no."), "{page}");
    for part in ["<html lang=\"de\"", "Ask Ada.", "access_denied", rules::REQUEST_ID] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
