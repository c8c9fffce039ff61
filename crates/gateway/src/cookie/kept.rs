//! The cookies of two things beside sessions and logins: how often a browser came back from a sign-in lately, and the forms
//! that are kept for it.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{COOKIE_BYTES_MAX, Cookies, Found, Scope, find, pairs};

impl Cookies {
    /// How often this browser came back from a sign-in lately, as [`set_returns`](Self::set_returns) wrote it. Anybody can
    /// write it.
    pub fn returns<'a>(&self, headers: &'a HeaderMap) -> Found<'a> {
        find(headers, &self.returns)
    }

    /// The name of the cookie of one form that is kept.
    pub fn form_name(&self, id: &str) -> String {
        format!("{}{id}", self.form_prefix)
    }

    /// The forms that are kept for this browser: ids and sealed values, in the order sent.
    pub fn forms<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = (&'a str, &'a str)> {
        pairs(headers).filter_map(|(name, value)| {
            let id = std::str::from_utf8(name).ok()?.strip_prefix(self.form_prefix.as_str())?;
            Some((id, std::str::from_utf8(value).ok()?))
        })
    }

    /// Whether the browser sent any cookie of ours.
    pub fn brings_any(&self, headers: &HeaderMap) -> bool {
        pairs(headers).any(|(name, _)| self.is_ours(name))
    }

    /// The `Set-Cookie` line that counts how often this browser came back from a sign-in; without a value it is
    /// forgotten. Where a domain shares the session, it shares this too.
    pub fn set_returns(&self, returns: Option<(String, Duration)>) -> Option<HeaderValue> {
        let (value, max_age) =
            returns.map_or((String::new(), None), |(value, age)| (value, Some(age)));
        self.line(self.returns.clone(), value, max_age, Scope::Logout)
    }

    /// The `Set-Cookie` line that forgets how often this browser came back, if it says so.
    pub fn clear_returns(&self, sent: &HeaderMap) -> Option<HeaderValue> {
        (self.returns(sent) != Found::Nothing).then(|| self.set_returns(None))?
    }

    /// The `Set-Cookie` line of one form that is kept. No other site can have it sent.
    pub fn set_form(&self, id: &str, sealed: String, max_age: Duration) -> Option<HeaderValue> {
        let fits = self.form_name(id).len() + "=".len() + sealed.len() <= COOKIE_BYTES_MAX;
        fits.then(|| self.line(self.form_name(id), sealed, Some(max_age), Scope::Form))?
    }

    /// The `Set-Cookie` line that forgets one form.
    pub fn clear_form(&self, id: &str) -> Option<HeaderValue> {
        self.line(self.form_name(id), String::new(), None, Scope::Form)
    }
}
