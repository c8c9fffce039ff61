//! Pages for people, in their language, from templates and texts.
//!
//! A template is HTML with the names of texts in it; a text is in a catalogue, one for each language. Whatever is put
//! into either is escaped. An operator may put files of the same names into a directory (`pages.templates`): each is
//! looked at before it is used, with every kind of page, and is refused if it would leave somebody without the request
//! id or the way on, or holds script or style that browsers would not run (P-02, P-09).
//!
//! Pages work without scripts, fetch nothing but our own style sheet and script, and name neither product nor version.

pub(crate) mod language;
pub(crate) mod rules;
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lychgate_gateway::language::Languages;
use lychgate_gateway::outcome::{Choice, Likely, Page, ProviderSignOut, Refusal};
use lychgate_gateway::reason::{Reason, Remedy};
use lychgate_gateway::rescue::Rescue;
use minijinja::value::Kwargs;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context,
};

use self::language::{Catalogue, CatalogueError};
use self::rules::Objection;
use crate::respond::{About, is_for_people, retry_after, shown_at_target};
use crate::rfc3339;

/// The files that the templates are made of.
pub(crate) const TEMPLATES: [(&str, &str); 9] = [
    ("bare.html", include_str!("../pages/bare.html")),
    ("base.html", include_str!("../pages/base.html")),
    ("choose_provider.html", include_str!("../pages/choose_provider.html")),
    ("confirm_sign_out.html", include_str!("../pages/confirm_sign_out.html")),
    ("continue_sign_in.html", include_str!("../pages/continue_sign_in.html")),
    ("reason.html", include_str!("../pages/reason.html")),
    ("refusal.html", include_str!("../pages/refusal.html")),
    ("signed_in_as.html", include_str!("../pages/signed_in_as.html")),
    ("signed_out.html", include_str!("../pages/signed_out.html")),
];

pub(crate) const SCRIPT: &str = include_str!("../pages/script.js");
pub(crate) const STYLE: &str = include_str!("../pages/style.css");
const STYLE_NAME: &str = "style.css";

/// How many groups a page lists. A person may be in thousands.
const GROUPS_SHOWN_MAX: usize = 50;

/// How many characters of a provider's text a page shows.
const PROVIDER_TEXT_CHARACTERS_MAX: usize = 500;

/// What of an operator's own pages cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is the name of no template; there are texts as `TAG.toml`, and {}", path.display(), names())]
    Unknown { path: PathBuf },
    #[error("{} is no template", path.display())]
    Template { path: PathBuf, source: Error },
    #[error("{}", path.display())]
    Catalogue { path: PathBuf, source: CatalogueError },
    #[error(
        "there are no texts in {tag:?}: put them as {tag}.toml into the directory of `pages.templates`"
    )]
    NoCatalogue { tag: String },
    #[error("the page {page:?} in {language:?} {objection}")]
    Page { page: String, language: String, objection: Objection },
    #[error("{} {objection}", path.display())]
    Style { path: PathBuf, objection: Objection },
}

fn names() -> String {
    let names = TEMPLATES.iter().map(|(name, _)| *name).chain([STYLE_NAME]);
    names.collect::<Vec<_>>().join(", ")
}

/// Templates and texts.
pub(crate) struct Pages {
    templates: Environment<'static>,
    catalogues: Arc<Vec<Catalogue>>,
    style: String,
    path_prefix: String,
}

impl fmt::Debug for Pages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    /// Our own, with links to our own files below `path_prefix`.
    pub(crate) fn built_in(path_prefix: &str) -> Self {
        let catalogues = Arc::new(Catalogue::built_in());
        let templates = built_in(&catalogues);
        Self { templates, catalogues, style: STYLE.to_owned(), path_prefix: path_prefix.to_owned() }
    }

    /// The same texts and style in our own templates.
    pub(crate) fn with_our_templates(&self) -> Self {
        Self {
            templates: built_in(&self.catalogues),
            catalogues: Arc::clone(&self.catalogues),
            style: self.style.clone(),
            path_prefix: self.path_prefix.clone(),
        }
    }

    /// Our own, with what is in `directory` in their place.
    ///
    /// # Errors
    /// All that cannot be used.
    pub(crate) fn load(
        path_prefix: &str,
        directory: Option<&Path>,
        languages: &Languages,
    ) -> Result<Self, Vec<PageError>> {
        let mut pages = Self::built_in(path_prefix);
        let mut errors = Vec::new();
        if let Some(directory) = directory {
            pages.take(directory, &mut errors);
        }
        for tag in languages.tags() {
            if !pages.catalogues.iter().any(|catalogue| catalogue.tag == tag) {
                errors.push(PageError::NoCatalogue { tag: tag.to_owned() });
            }
        }
        if errors.is_empty() && directory.is_some() {
            errors.extend(pages.objections(languages));
        }
        if errors.is_empty() { Ok(pages) } else { Err(errors) }
    }

    fn take(&mut self, directory: &Path, errors: &mut Vec<PageError>) {
        let unreadable =
            |path: &Path, source| PageError::Unreadable { path: path.to_owned(), source };
        let found = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> = match found {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return errors.push(unreadable(directory, error)),
        };
        paths.sort();
        let mut catalogues: Vec<Catalogue> = self.catalogues.to_vec();
        let mut sources: Vec<(PathBuf, &'static str, String)> = Vec::new();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // Editors and Kubernetes leave such files beside what is meant.
            if name.starts_with('.') || name.ends_with('~') || path.is_dir() {
                continue;
            }
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    errors.push(unreadable(&path, error));
                    continue;
                }
            };
            let template = TEMPLATES.iter().find(|(known, _)| *known == name);
            match (template, name.strip_suffix(".toml")) {
                (Some((known, _)), _) => sources.push((path, known, text)),
                (None, Some(tag)) => match Catalogue::read(tag, &text) {
                    Ok(catalogue) => {
                        catalogues.retain(|known| known.tag != tag);
                        catalogues.push(catalogue);
                    }
                    Err(source) => errors.push(PageError::Catalogue { path, source }),
                },
                (None, None) if name == STYLE_NAME => match rules::of_style(&text) {
                    Some(objection) => errors.push(PageError::Style { path, objection }),
                    None => self.style = text,
                },
                (None, None) => errors.push(PageError::Unknown { path }),
            }
        }
        self.catalogues = Arc::new(catalogues);
        let mut templates = environment(&self.catalogues);
        for (name, source) in TEMPLATES {
            let own = sources.iter().find(|(_, known, _)| *known == name);
            let source = own.map_or(source, |(_, _, text)| text.as_str()).to_owned();
            if let Err(source) = templates.add_template_owned(name, source) {
                let path = own.map_or_else(|| directory.join(name), |(path, ..)| path.clone());
                errors.push(PageError::Template { path, source });
            }
        }
        self.templates = templates;
    }

    /// What is wrong with pages that an operator has changed. Every kind is looked at, in every language.
    fn objections(&self, languages: &Languages) -> Vec<PageError> {
        let mut errors: Vec<PageError> = Vec::new();
        for language in languages.tags() {
            for sample in samples::all(&self.path_prefix) {
                let page = match sample.render(self, language) {
                    Ok(page) => page,
                    Err(error) => {
                        errors.push(PageError::Page {
                            page: sample.name.clone(),
                            language: language.to_owned(),
                            objection: Objection::Fails(error.to_string()),
                        });
                        continue;
                    }
                };
                let objections = rules::of_page(&page, &sample.wanted(), &self.path_prefix);
                errors.extend(objections.into_iter().map(|objection| PageError::Page {
                    page: sample.name.clone(),
                    language: language.to_owned(),
                    objection,
                }));
            }
        }
        // The same mistake is on many pages.
        let mut said: Vec<Objection> = Vec::new();
        errors.retain(|error| {
            let PageError::Page { objection, .. } = error else { return true };
            let is_new = !said.contains(objection);
            if is_new {
                said.push(objection.clone());
            }
            is_new
        });
        errors
    }

    /// The style sheet.
    pub(crate) fn style(&self) -> &str {
        &self.style
    }

    /// Where the paths of our own begin.
    pub(crate) fn path_prefix(&self) -> &str {
        &self.path_prefix
    }

    fn catalogue(&self, language: &str) -> Option<&Catalogue> {
        let mut all = self.catalogues.iter();
        all.find(|catalogue| catalogue.tag == language).or_else(|| self.catalogues.first())
    }

    /// A page that is not a refusal.
    pub(crate) fn page(&self, page: &Page, about: &About<'_>) -> Result<String, Error> {
        match page {
            Page::ChooseProvider { choices, destination } => {
                let choices: Vec<_> =
                    choices.iter().map(|Choice { label, link }| context! { label, link }).collect();
                let content = context! { choices, destination };
                self.render("choose_provider.html", Title::Text("choose_title"), content, about)
            }
            Page::ContinueSignIn { link } => self.render(
                "continue_sign_in.html",
                Title::Text("moment_title"),
                context! { link },
                about,
            ),
            Page::ConfirmSignOut { action } => self.render(
                "confirm_sign_out.html",
                Title::Text("confirm_title"),
                context! { action },
                about,
            ),
            Page::SignedOut { provider, sign_in } => {
                let provider_ended = *provider == ProviderSignOut::Ended;
                let content = context! { provider_ended, sign_in };
                self.render("signed_out.html", Title::Text("signed_out_title"), content, about)
            }
            Page::SignedInAs { session, provider, now, sign_out } => {
                let identity = session.identity();
                let groups = identity.groups();
                let shown: Vec<String> = groups.iter().take(GROUPS_SHOWN_MAX).cloned().collect();
                let content = context! {
                    user => identity.user(),
                    name => identity.name(),
                    email => identity.email(),
                    provider,
                    groups => shown,
                    more_groups => groups.len().saturating_sub(GROUPS_SHOWN_MAX),
                    begun_at => rfc3339::seconds(session.begun_at()),
                    begun_at_in_words => rfc3339::in_words(session.begun_at()),
                    ends_at => rfc3339::seconds(session.ends_at()),
                    ends_at_in_words => rfc3339::in_words(session.ends_at()),
                    remaining => self.duration(session.remaining(*now), about),
                    sign_out,
                };
                self.render("signed_in_as.html", Title::Text("account_title"), content, about)
            }
        }
    }

    /// The page that says why somebody does not get what they asked for.
    pub(crate) fn refusal(&self, refusal: &Refusal, about: &About<'_>) -> Result<String, Error> {
        let Refusal { reason, words, .. } = refusal;
        let code = reason.code();
        let catalogue = self.catalogue(about.language);
        let sentence = catalogue.map_or_else(|| reason.sentence(), |texts| texts.sentence(*reason));
        let advice = |reason| advice(reason).and_then(|key| catalogue?.text(key));
        if matches!(reason, Reason::NoSuchSite | Reason::Misdirected) {
            // None of our paths exist on a host that is not ours, the style sheet included.
            let content = context! { code, sentence, advice => advice(*reason) };
            return self.render("bare.html", Title::Reason(*reason), content, about);
        }
        let shown_at_target = shown_at_target(about.method);
        let signed_out = reason.status() == http::StatusCode::UNAUTHORIZED;
        // On our own page about the account nobody was on the way to anything.
        let knows_target = !signed_out || about.route.is_some();
        let nothing_sent = signed_out && !shown_at_target;
        let links = refusal.sign_in.is_some() || refusal.other_account.is_some();
        let wait = refusal.retry_after.and_then(|wait| retry_after(*reason, Some(wait)));
        let content = context! {
            code,
            sentence,
            likely => refusal.likely.map(likely),
            advice => if knows_target { advice(*reason) } else { None },
            person => refusal.identity.as_deref().map(|identity| {
                let name = strong(identity.name().unwrap_or_else(|| identity.user()));
                match identity.email() {
                    Some(email) => Value::from_safe_string(format!("{name} (<bdi>{}</bdi>)", escaped(email))),
                    None => name,
                }
            }),
            site => about.route.map(|route| route.origin.host()),
            explain => &words.explain,
            help => words.help.as_ref().filter(|url| is_for_people(url)).map(url::Url::as_str),
            provider_code => &words.provider_code,
            provider_text => words.provider_text.as_ref().map(|text| {
                text.chars().take(PROVIDER_TEXT_CHARACTERS_MAX).collect::<String>()
            }),
            provider_link => words.provider_link.as_deref().map(url::Url::as_str),
            again => words.retryable.map(|again| match again {
                true => "again_may_help",
                false => "again_does_not_help",
            }),
            nothing_sent,
            kept => match &refusal.rescue {
                Some(Rescue::Kept(kept)) => Some(context! {
                    action => &kept.action,
                    form => &kept.form,
                    time => self.duration(kept.time, about),
                }),
                _ => None,
            },
            not_kept => match &refusal.rescue {
                Some(Rescue::TooLarge) => Some("kept_not_too_large"),
                Some(Rescue::Failed) => Some("kept_not_now"),
                Some(Rescue::PassedOn) => Some("kept_passed_on"),
                Some(Rescue::Again(_) | Rescue::Kept(_) | Rescue::Offer(_)) | None => None,
            },
            wait => wait.and_then(|seconds| Some(catalogue?.count("second", seconds))),
            sign_in => &refusal.sign_in,
            sign_in_label => if signed_out { "sign_in" } else { "try_again" },
            reload => shown_at_target && reason.remedy() == Remedy::TryAgain,
            other_account => &refusal.other_account,
            sign_out => &refusal.sign_out,
            // Elsewhere than at the target, the address's fragment is not the target's.
            keep_fragment => links && shown_at_target && about.route.is_some(),
        };
        self.render("refusal.html", Title::Reason(*reason), content, about)
    }

    /// What a reason means: for whoever wrote a program that met it. What the logs mean by it is said in English.
    pub(crate) fn reason(&self, reason: Reason, about: &About<'_>) -> Result<String, Error> {
        let catalogue = self.catalogue(about.language);
        let literal = |text: &str| {
            Value::from_safe_string(format!("<code dir=\"ltr\">{}</code>", escaped(text)))
        };
        let content = context! {
            reason => literal(reason.code()),
            member => literal("code"),
            status => reason.status().as_u16(),
            meaning => reason.meaning(),
            sentence => catalogue.map_or_else(|| reason.sentence(), |texts| texts.sentence(reason)),
            advice => advice(reason).and_then(|key| catalogue?.text(key)),
        };
        self.render("reason.html", Title::Reason(reason), content, about)
    }

    fn duration(&self, duration: Duration, about: &About<'_>) -> String {
        self.catalogue(about.language).map(|texts| texts.duration(duration)).unwrap_or_default()
    }

    /// A page. `content` is what its own template needs; the frame is the same for all.
    fn render(
        &self,
        template: &str,
        title: Title,
        content: Value,
        about: &About<'_>,
    ) -> Result<String, Error> {
        let catalogue = self.catalogue(about.language);
        let title = match title {
            Title::Reason(reason) => {
                catalogue.map_or_else(|| reason.title(), |texts| texts.title(reason))
            }
            Title::Text(key) => catalogue.and_then(|texts| texts.text(key)).unwrap_or_default(),
        };
        let frame = context! {
            lang => catalogue.map(|texts| texts.tag.as_str()),
            dir => catalogue.map(|texts| texts.direction.as_str()),
            prefix => &self.path_prefix,
            title,
            code => (),
            request_id => about.request_id,
            time => rfc3339::seconds(about.now),
            time_in_words => rfc3339::in_words(about.now),
        };
        self.templates.get_template(template)?.render(context! { ..content, ..frame })
    }
}

enum Title {
    Reason(Reason),
    Text(&'static str),
}

/// Our own templates with texts of `catalogues`.
fn built_in(catalogues: &Arc<Vec<Catalogue>>) -> Environment<'static> {
    let mut templates = environment(catalogues);
    for (name, source) in TEMPLATES {
        #[expect(clippy::expect_used, reason = "the sources are constants of this program")]
        templates.add_template(name, source).expect("a template of ours parses");
    }
    templates
}

/// An environment in which templates can name texts of `catalogues`.
fn environment(catalogues: &Arc<Vec<Catalogue>>) -> Environment<'static> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_function("strong", |text: &str| strong(text));
    templates.add_function("moment", |time: &str, in_words: &str| {
        let (time, in_words) = (escaped(time), escaped(in_words));
        Value::from_safe_string(format!("<time datetime=\"{time}\" dir=\"ltr\">{in_words}</time>"))
    });
    let catalogues = Arc::clone(catalogues);
    let say = move |state: &State<'_, '_>, key: &str, values: Kwargs| -> Result<Value, Error> {
        let language = state.lookup("lang");
        let language = language.as_ref().and_then(Value::as_str).unwrap_or_default();
        let catalogue = catalogues.iter().find(|catalogue| catalogue.tag == language);
        let text = catalogue.and_then(|catalogue| catalogue.text(key)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("there is no text `{key}`"))
        })?;
        // Its own braces are places to fill in; those of what is filled in are not.
        let mut html = markup_escaped(text);
        let names: Vec<String> = values.args().map(str::to_owned).collect();
        for name in names {
            let value: Value = values.get(&name)?;
            // What is isolated keeps its own direction (UAX #9), and does not turn the words around it.
            let shown = match value.is_safe() {
                true => value.to_string(),
                false => format!("<bdi>{}</bdi>", escaped(&value.to_string())),
            };
            html = html.replace(&format!("{{{name}}}"), &shown);
        }
        Ok(Value::from_safe_string(html))
    };
    templates.add_function("say", say);
    templates
}

fn strong(text: &str) -> Value {
    Value::from_safe_string(format!("<strong><bdi>{}</bdi></strong>", escaped(text)))
}

/// `text` as text of a page, whatever stands in it; and braces so that no further text is filled into it.
fn escaped(text: &str) -> String {
    markup_escaped(text).replace('{', "&#x7b;").replace('}', "&#x7d;")
}

/// `text` as text of a page in which something is filled in.
fn markup_escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#x27;"),
            _ => html.push(character),
        }
    }
    html
}

/// What a visitor can do about it, as a key of the catalogue.
fn advice(reason: Reason) -> Option<&'static str> {
    match reason.remedy() {
        Remedy::AnotherAccount => Some("advice_another_account"),
        Remedy::Operator => Some("advice_operator"),
        Remedy::OtherAddress => Some("advice_other_address"),
        // Of these three, no target is known.
        Remedy::SignIn
            if matches!(
                reason,
                Reason::LoginAlreadyUsed | Reason::LoginMalformed | Reason::LoginNotOurs
            ) =>
        {
            None
        }
        Remedy::SignIn => Some("advice_sign_in"),
        Remedy::TryAgain => Some("advice_try_again"),
    }
}

/// The most likely cause, as a key of the catalogue.
fn likely(likely: Likely) -> &'static str {
    match likely {
        Likely::Clock => "circle_clock",
        Likely::CookieNotReturned => "circle_cookie",
        Likely::DifferentKeys => "circle_keys",
        Likely::NoCookies => "no_cookies",
        Likely::NoCookiesByPlainHttp => "no_cookies_plain",
        Likely::PlainHttp => "circle_plain",
        Likely::Unknown => "circle_unknown",
    }
}
