//! One Chromium, and the people who use it.
//!
//! A [`Browser`] is one program; a [`Person`] has cookies of their own in it and a [`Page`] is a tab
//! of theirs. All may be cloned, and commands take turns, so somebody who waits holds the others
//! up. What fails in the browser (a selector that does not appear within 20 seconds, a certificate
//! that does not fit) is an [`Err`] with the browser's own words, so that a story can be about it.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::line_protocol::LineProtocol;

/// A running Chromium that trusts the authorities of the test. It ends when the last handle on it
/// is dropped.
#[derive(Debug, Clone)]
pub struct Browser {
    program: Arc<Mutex<LineProtocol>>,
}

/// Somebody with cookies of their own.
#[derive(Debug, Clone)]
pub struct Person {
    browser: Browser,
    name: String,
}

/// A tab.
#[derive(Debug, Clone)]
pub struct Page {
    browser: Browser,
    name: String,
}

/// What the browser says when something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserError(pub String);

impl std::fmt::Display for BrowserError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BrowserError {}

/// What came of a step in the browser.
pub type Outcome<T> = Result<T, BrowserError>;

/// How somebody's browser is set up.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    /// A language tag, for example `de-DE`.
    pub locale: Option<String>,
    /// Whether pages should be light or dark.
    pub colors: Option<Colors>,
    /// Whether scripts run.
    pub scripts: Scripts,
    /// Headers that go with every request.
    pub headers: Vec<(String, String)>,
    /// Width and height of the window in CSS pixels; 1280 × 720 without.
    pub window: Option<(u32, u32)>,
}

/// Whether pages should be light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Colors {
    fn scheme(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Whether scripts run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scripts {
    /// As almost everywhere.
    #[default]
    Run,
    /// Switched off.
    Off,
}

/// Where a navigation ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Landing {
    /// The address, after every redirect.
    pub url: String,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
}

/// A cookie as the browser keeps it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it belongs to, with a dot before it where subdomains share it.
    pub domain: String,
    /// Its path.
    pub path: String,
    /// Unix seconds; -1 for a cookie that ends with the browser.
    pub expires: f64,
    /// Hidden from scripts.
    pub http_only: bool,
    /// For TLS only.
    pub secure: bool,
    /// `Strict`, `Lax` or `None`.
    pub same_site: String,
}

/// Something that a page complained about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Complaint {
    /// `console` or `exception`.
    pub kind: String,
    /// What it says.
    pub text: String,
    /// Where it comes from.
    pub url: String,
}

impl Browser {
    /// Starts one that trusts these PEM files beside the usual authorities.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(authorities: &[&Path]) -> Self {
        let arguments = authorities.iter().flat_map(|file| [Path::new("--ca"), file]);
        let mut program = LineProtocol::start("browser.mjs", arguments);
        let ready = program.hear().await;
        assert!(ready.get("ready").is_some(), "the browser's first line is {ready}");
        Self { program: Arc::new(Mutex::new(program)) }
    }

    /// Somebody new, without any cookie.
    ///
    /// # Errors
    /// In the browser's words.
    pub async fn person(&self, habits: &Habits) -> Outcome<Person> {
        let mut wishes = Map::new();
        if let Some(locale) = &habits.locale {
            wishes.insert("locale".into(), json!(locale));
        }
        if let Some(colors) = habits.colors {
            wishes.insert("color_scheme".into(), json!(colors.scheme()));
        }
        if let Some((width, height)) = habits.window {
            wishes.insert("viewport".into(), json!({ "width": width, "height": height }));
        }
        let headers: Map<String, Value> =
            habits.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        wishes.insert("headers".into(), headers.into());
        wishes.insert("javascript".into(), json!(habits.scripts == Scripts::Run));
        let name = self.ask("new_context", wishes).await?;
        Ok(Person { browser: self.clone(), name })
    }

    /// Ends the browser and waits until nothing of it is left on the disk.
    ///
    /// # Panics
    /// While somebody else still holds a handle on it, or when it does not end.
    pub async fn close(self) {
        let program = Arc::into_inner(self.program).expect("nobody else uses the browser");
        program.into_inner().end().await;
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        mut with: Map<String, Value>,
    ) -> Outcome<T> {
        with.insert("do".into(), json!(what));
        let mut answer = self.program.lock().await.ask(&Value::Object(with)).await;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            return Err(BrowserError(format!("{what}: {error}")));
        }
        let value = answer.get_mut("ok").map(Value::take).unwrap_or_default();
        serde_json::from_value(value).map_err(|error| BrowserError(format!("{what}: {error}")))
    }
}

impl Person {
    /// Opens an empty tab.
    ///
    /// # Errors
    /// In the browser's words.
    pub async fn open_tab(&self) -> Outcome<Page> {
        let name = self.ask("new_page", json!({})).await?;
        Ok(Page { browser: self.browser.clone(), name })
    }

    /// Every cookie, hidden ones too.
    ///
    /// # Errors
    /// In the browser's words.
    pub async fn cookies(&self) -> Outcome<Vec<StoredCookie>> {
        self.ask("cookies", json!({})).await
    }

    /// Forgets every cookie.
    ///
    /// # Errors
    /// In the browser's words.
    pub async fn clear_cookies(&self) -> Outcome<()> {
        self.ask("clear_cookies", json!({})).await
    }

    /// Closes every tab and forgets everything.
    ///
    /// # Errors
    /// In the browser's words.
    pub async fn leave(self) -> Outcome<()> {
        self.ask("close_context", json!({})).await
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, with: Value) -> Outcome<T> {
        self.browser.ask(what, about("context", &self.name, with)).await
    }
}

/// Every step fails in the browser's words.
#[expect(clippy::missing_errors_doc, reason = "said once, above, for all of them")]
impl Page {
    /// Goes to an address and waits until the page there has loaded.
    pub async fn goto(&self, url: &str) -> Outcome<Landing> {
        self.ask("goto", json!({ "url": url })).await
    }

    /// Goes back, as the button does.
    pub async fn back(&self) -> Outcome<Landing> {
        self.ask("back", json!({})).await
    }

    /// What axe-core objects to on this page: a line for each rule of WCAG 2.2 A and AA, and of good practice.
    pub async fn axe(&self) -> Outcome<Vec<String>> {
        self.ask("axe", json!({})).await
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Outcome<Landing> {
        self.ask("reload", json!({})).await
    }

    /// Clicks what this CSS selector finds, once it can be clicked. Does not wait for a navigation
    /// that the click begins: wait for its address, or for something on its page.
    pub async fn click(&self, selector: &str) -> Outcome<()> {
        self.ask("click", json!({ "selector": selector })).await
    }

    /// Writes into a field.
    pub async fn fill(&self, selector: &str, text: &str) -> Outcome<()> {
        self.ask("fill", json!({ "selector": selector, "text": text })).await
    }

    /// Presses a key, for example `Tab` or `Enter`.
    pub async fn press(&self, key: &str) -> Outcome<()> {
        self.ask("press", json!({ "key": key })).await
    }

    /// Waits until something visible fits this CSS selector.
    pub async fn wait_for(&self, selector: &str) -> Outcome<()> {
        self.ask("wait_for", json!({ "selector": selector })).await
    }

    /// Waits until the address contains this, and answers the address.
    pub async fn wait_for_url(&self, part: &str) -> Outcome<String> {
        self.ask("wait_for_url", json!({ "contains": part })).await
    }

    /// Waits until the address fits this regular expression, and answers the address.
    pub async fn wait_for_url_like(&self, pattern: &str) -> Outcome<String> {
        self.ask("wait_for_url", json!({ "matches": pattern })).await
    }

    /// The address.
    pub async fn url(&self) -> Outcome<String> {
        self.ask("url", json!({})).await
    }

    /// The title.
    pub async fn title(&self) -> Outcome<String> {
        self.ask("title", json!({})).await
    }

    /// The text that can be seen inside what this CSS selector finds.
    pub async fn text(&self, selector: &str) -> Outcome<String> {
        self.ask("text", json!({ "selector": selector })).await
    }

    /// The page as HTML.
    pub async fn content(&self) -> Outcome<String> {
        self.ask("content", json!({})).await
    }

    /// The value of a script's expression; a promise is waited for.
    pub async fn evaluate<T: DeserializeOwned>(&self, expression: &str) -> Outcome<T> {
        self.ask("eval", json!({ "js": expression })).await
    }

    /// Asks for light or dark pages from now on.
    pub async fn prefer(&self, colors: Colors) -> Outcome<()> {
        self.ask("emulate", json!({ "color_scheme": colors.scheme() })).await
    }

    /// Makes the window so wide and so high, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) -> Outcome<()> {
        let viewport = json!({ "width": width, "height": height });
        self.ask("emulate", json!({ "viewport": viewport })).await
    }

    /// Writes a PNG of the whole page.
    pub async fn screenshot(&self, path: &Path) -> Outcome<()> {
        self.ask("screenshot", json!({ "path": path })).await
    }

    /// What the page and those before it in this tab complained about.
    pub async fn complaints(&self) -> Outcome<Vec<Complaint>> {
        self.ask("errors", json!({})).await
    }

    /// Every address that was asked for in this tab, WebSockets too.
    pub async fn requests(&self) -> Outcome<Vec<String>> {
        self.ask("requests", json!({})).await
    }

    /// Closes the tab.
    pub async fn close(self) -> Outcome<()> {
        self.ask("close_page", json!({})).await
    }

    async fn ask<T: DeserializeOwned>(&self, what: &str, with: Value) -> Outcome<T> {
        self.browser.ask(what, about("page", &self.name, with)).await
    }
}

/// A command about one context or page.
fn about(kind: &str, name: &str, with: Value) -> Map<String, Value> {
    let mut command = match with {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    command.insert(kind.into(), json!(name));
    command
}
