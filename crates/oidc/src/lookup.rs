//! Questions to a provider's own API, as data: what to ask with the access token, and what to read.
//!
//! Nearly every provider that is not OpenID Connect is the same small program: one to four questions,
//! some of them with pages, a few members picked from the answers. A [`Lookup`] is one of these
//! questions. The host that is asked is the configuration's and never an answer's; what is filled into
//! its URL is encoded so that it cannot leave its place; pages, items and bytes are bounded. A provider
//! that has no time for us is a failure of its own, and never somebody without groups.
//!
//! Sources: RFC 6750 §2; RFC 8288 §3 (`Link`); RFC 6585 §4 (429); RFC 9700 §4.9.

mod paging;
mod template;

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::claims;
use crate::exchange::{Endpoint, ExchangeError};
use crate::json::{self, MalformedJson, Object};
use crate::keys::KeyError;
use crate::secret::Secret;
use crate::{tokens, userinfo};

pub use paging::Paging;
pub use template::{UrlTemplateError, url_template};

/// How many pages one lookup may have.
const PAGES_MAX: usize = 20;
/// How many values one lookup may give.
const ITEMS_MAX: usize = 2000;
/// How long one page may be.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest pause that is passed on.
const RETRY_AFTER_MAX: u64 = 3600;

/// One question, perhaps with pages, and what is read from its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// What logs call it.
    pub name: String,
    /// The address, in which `{claims.PATH}` stands for a claim that is known by then. Checked with
    /// [`url_template`].
    pub url: String,
    /// A JSON body; with one the question is posted.
    pub body: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Whose token goes along, and where.
    pub token: LookupToken,
    /// How the next page is found.
    pub paging: Paging,
    /// What is read.
    pub reads: Vec<Read>,
    /// Whether it is asked at all.
    pub when: When,
    /// Statuses that say "nothing of the kind", such as 404 where somebody is not a member. Nothing
    /// is read then, and it is no failure.
    pub nothing: Vec<u16>,
    /// Whether the sign-in ends when the answer is a failure.
    pub required: bool,
}

impl Lookup {
    /// A required GET with the access token as bearer, one page long.
    #[must_use]
    pub fn get(name: &str, url: impl Into<String>, reads: Vec<Read>) -> Self {
        Self {
            name: name.to_owned(),
            url: url.into(),
            body: None,
            headers: Vec::new(),
            token: LookupToken::Scheme("Bearer".to_owned()),
            paging: Paging::None,
            reads,
            when: When::Always,
            nothing: Vec::new(),
            required: true,
        }
    }
}

/// Which token goes along, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupToken {
    /// The person's, in a query parameter of this name. Only where the vendor takes it nowhere else:
    /// addresses end up in logs.
    Query(String),
    /// The person's, in `Authorization` after this word.
    Scheme(String),
    /// The service account's, as bearer.
    ServiceAccount,
}

/// When a lookup is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// At every sign-in.
    Always,
    /// When the lookup before it was answered with this status.
    AfterStatus(u16),
    /// When this claim is not known by then.
    Missing(String),
    /// When this claim is there.
    Present(String),
}

/// One claim that is read from an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Under which name.
    pub claim: String,
    /// The path to a list whose items are read one by one, an empty path for the answer itself. Without
    /// one the answer is the only item.
    pub each: Option<String>,
    /// What of the item.
    pub value: ReadValue,
    /// Only of items about which all of this is true.
    pub only: Vec<Condition>,
    /// Every value, as a list; otherwise the first.
    pub every: bool,
}

/// What is taken from an item.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadValue {
    /// This, whatever the item says beyond being there.
    Fixed(Value),
    /// What is at a path; an empty path is the item.
    Path(String),
    /// A text with paths in braces: `{organization.login}/{slug}`.
    Template(String),
}

/// What must be true of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A number at the path is at least this.
    AtLeast(String, u64),
    /// What is at the path is this.
    Is(String, Value),
    /// What is at the path is not this.
    IsNot(String, Value),
    /// Nothing is at the path, or null.
    Missing(String),
}

impl Read {
    /// `claim` is what is at `path` of the answer.
    #[must_use]
    pub fn one(claim: &str, path: &str) -> Self {
        Self {
            claim: claim.to_owned(),
            each: None,
            value: ReadValue::Path(path.to_owned()),
            only: Vec::new(),
            every: false,
        }
    }

    /// `claim` has `template` of each item of the list at `list`.
    #[must_use]
    pub fn every(claim: &str, list: &str, template: &str) -> Self {
        Self {
            claim: claim.to_owned(),
            each: Some(list.to_owned()),
            value: ReadValue::Template(template.to_owned()),
            only: Vec::new(),
            every: true,
        }
    }

    /// `claim` is `value` of the first item of the list at `list` about which `only` is true.
    #[must_use]
    pub fn first(claim: &str, list: &str, value: ReadValue, only: &[Condition]) -> Self {
        Self {
            claim: claim.to_owned(),
            each: Some(list.to_owned()),
            value,
            only: only.to_vec(),
            every: false,
        }
    }

    /// `claim` has `value` too, if all of `only` is true of the answer.
    #[must_use]
    pub fn fact(claim: &str, value: &str, only: &[Condition]) -> Self {
        Self {
            claim: claim.to_owned(),
            each: None,
            value: ReadValue::Fixed(Value::String(value.to_owned())),
            only: only.to_vec(),
            every: true,
        }
    }
}

impl Condition {
    /// What is at `path` is `value`.
    #[must_use]
    pub fn is(path: &str, value: impl Into<Value>) -> Self {
        Self::Is(path.to_owned(), value.into())
    }

    fn holds(&self, item: &Value) -> bool {
        match self {
            Self::AtLeast(path, least) => {
                at(item, path).and_then(Value::as_u64).is_some_and(|number| number >= *least)
            }
            Self::Is(path, value) => at(item, path) == Some(value),
            Self::IsNot(path, value) => at(item, path) != Some(value),
            Self::Missing(path) => at(item, path).is_none_or(Value::is_null),
        }
    }
}

/// What is wrong with a lookup's answer. Carries nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// A claim that the address needs is not known.
    #[error("`{claim}`, which the address needs, is not known")]
    ClaimUnknown {
        /// Which claim.
        claim: String,
    },
    /// The answer is JSON that says that the question was refused.
    #[error("the answer lists errors")]
    Errors,
    /// The answer is not JSON, or names a member twice.
    #[error("the answer cannot be read")]
    Json(#[source] MalformedJson),
    /// The answer does not say that it is JSON.
    #[error("the answer is not declared as JSON")]
    NotDeclaredJson,
    /// The next page is said to be at another origin, which would carry the token there.
    #[error("the next page is at another origin")]
    PageElsewhere,
    /// The address made of the template is none.
    #[error("the address cannot be asked")]
    NotAUri,
    /// The answer was a redirect or another status that is not expected.
    #[error("answered {0}")]
    Status(StatusCode),
    /// There is no token to ask with.
    #[error("there is no access token to ask with")]
    TokenMissing,
    /// The key of the token does not sign.
    #[error("the proof of possession cannot be made")]
    Unproven,
    /// More pages, values or bytes than are read.
    #[error("the answer is longer than is read")]
    TooMuch,
}

/// Adds the proof of possession to a request, where tokens are bound to a key (RFC 9449 §7.1).
pub(crate) type Prove<'a> =
    dyn FnMut(&mut Request<Vec<u8>>, &Url) -> Result<Option<()>, KeyError> + 'a;

/// A lookup under way: what was found on the pages before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    read: usize,
    items: usize,
    /// The page that is asked for, once there was one.
    url: Option<Url>,
    first: Object,
    every: BTreeMap<String, Vec<Value>>,
}

/// What a page leads to.
pub(crate) enum Page {
    /// Another one.
    Next,
    /// Nothing more, and perhaps a status that says that there is nothing at all.
    Last(StatusCode),
}

impl When {
    pub(crate) fn applies(&self, claims: &Object, before: Option<StatusCode>) -> bool {
        match self {
            Self::Always => true,
            Self::AfterStatus(status) => before.is_some_and(|before| before.as_u16() == *status),
            Self::Missing(path) => claims::find(claims, path).is_none(),
            Self::Present(path) => claims::find(claims, path).is_some(),
        }
    }
}

impl Pages {
    /// The request for the next page of `lookup`.
    pub(crate) fn request(
        &mut self,
        lookup: &Lookup,
        claims: &Object,
        token: &Secret,
        prove: &mut Prove<'_>,
    ) -> Result<Request<Vec<u8>>, LookupError> {
        let mut url = match self.url.take() {
            Some(url) => url,
            None => {
                let text = template::url(&lookup.url, claims)?;
                let url = Url::parse(&text).map_err(|_| LookupError::NotAUri)?;
                lookup.paging.first(url)
            }
        };
        self.url = Some(url.clone());
        let mut authorization = None;
        match &lookup.token {
            LookupToken::Query(name) => {
                url.query_pairs_mut().append_pair(name, token.expose());
            }
            LookupToken::Scheme(word) => authorization = header(word, token),
            LookupToken::ServiceAccount => authorization = header("Bearer", token),
        }
        if http::Uri::try_from(url.as_str()).is_err() {
            return Err(LookupError::NotAUri);
        }
        let posted = lookup.body.is_some();
        let method = if posted { Method::POST } else { Method::GET };
        let mut request = tokens::request(Endpoint::Lookup, method, &url, None);
        for (name, value) in &lookup.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                request.headers_mut().insert(name, value);
            }
        }
        if let Some(mut value) = authorization {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(body) = &lookup.body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
            *request.body_mut() = body.clone().into_bytes();
        }
        // A token that is bound to a key is worth nothing without a proof, and is no bearer's.
        if let LookupToken::Scheme(word) = &lookup.token
            && word.eq_ignore_ascii_case("Bearer")
            && prove(&mut request, &url).map_err(|_| LookupError::Unproven)?.is_some()
            && let Some(mut value) = header("DPoP", token)
        {
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Reads one page.
    pub(crate) fn receive(
        &mut self,
        lookup: &Lookup,
        response: &Response<Vec<u8>>,
    ) -> Result<Page, ExchangeError> {
        let fail = |source| ExchangeError::Lookup { name: lookup.name.clone(), source };
        if let Some(retry_after) = rate_limited(response) {
            return Err(ExchangeError::RateLimited { name: lookup.name.clone(), retry_after });
        }
        let status = response.status();
        // Only the first page can say that there is nothing: a later one that is gone is a list cut off.
        if lookup.nothing.contains(&status.as_u16()) && self.read == 0 {
            return Ok(Page::Last(status));
        }
        if !status.is_success() {
            return Err(fail(LookupError::Status(status)));
        }
        if response.body().len() > BODY_BYTES_MAX {
            return Err(fail(LookupError::TooMuch));
        }
        // A status without a body is an answer: "yes".
        let answer = if status == StatusCode::NO_CONTENT {
            Value::Null
        } else {
            if !tokens::is_declared_json(response.headers()) {
                return Err(fail(LookupError::NotDeclaredJson));
            }
            json::value(response.body()).map_err(LookupError::Json).map_err(fail)?
        };
        // GraphQL refuses with a status that says otherwise.
        if lookup.body.is_some()
            && at(&answer, "errors").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
        {
            return Err(fail(LookupError::Errors));
        }
        let values = lookup.reads.iter().map(|read| self.take(read, &answer)).max().unwrap_or(0);
        self.read += 1;
        if self.items > ITEMS_MAX {
            return Err(fail(LookupError::TooMuch));
        }
        let Some(url) = &self.url else { return Ok(Page::Last(status)) };
        let next = lookup.paging.next(url, &answer, response.headers(), self.read, values);
        let Some(next) = next.map_err(fail)? else { return Ok(Page::Last(status)) };
        if self.read >= PAGES_MAX {
            return Err(fail(LookupError::TooMuch));
        }
        self.url = Some(next);
        Ok(Page::Next)
    }

    /// Takes what `read` says from one page; how many items the page had for it.
    fn take(&mut self, read: &Read, answer: &Value) -> usize {
        let items: Vec<&Value> = match &read.each {
            None => vec![answer],
            Some(path) => match at(answer, path) {
                Some(Value::Array(items)) => items.iter().collect(),
                Some(Value::Null) | None => Vec::new(),
                Some(item) => vec![item],
            },
        };
        for item in &items {
            if !read.only.iter().all(|condition| condition.holds(item)) {
                continue;
            }
            let value = match &read.value {
                ReadValue::Fixed(value) => Some(value.clone()),
                ReadValue::Path(path) => at(item, path).filter(|value| !value.is_null()).cloned(),
                ReadValue::Template(template) => {
                    template::filled(template, item).map(Value::String)
                }
            };
            let Some(value) = value else { continue };
            if read.every {
                let list = self.every.entry(read.claim.clone()).or_default();
                let before = list.len();
                if let Value::Array(values) = value {
                    list.extend(values);
                } else {
                    list.push(value);
                }
                self.items += list.len() - before;
            } else if let (Some(Value::Array(list)), Value::Array(more)) =
                (self.first.get_mut(&read.claim), &value)
            {
                // A list goes on over the pages.
                self.items += more.len();
                list.extend(more.iter().cloned());
            } else if !self.first.contains_key(&read.claim) {
                self.first.insert(read.claim.clone(), value);
            }
        }
        items.len()
    }

    /// Adds what was found to what is known. Nothing that is known is replaced, and lists grow.
    pub(crate) fn into_claims(self, claims: &mut Object) {
        userinfo::merge(&self.first, claims);
        for (claim, found) in self.every {
            if userinfo::is_about_the_token(&claim) {
                continue;
            }
            let list = match claims.remove(&claim) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(list)) => list,
                Some(one) => vec![one],
            };
            let mut list: Vec<Value> = list;
            for value in found {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            claims.insert(claim, Value::Array(list));
        }
    }
}

/// What is at a dotted path of any value; an empty path is the value itself.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() { Some(value) } else { claims::find(value.as_object()?, path) }
}

fn header(word: &str, token: &Secret) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{word} {}", token.expose())).ok()
}

/// Whether the provider has no time for us, and how many seconds it wants to be left alone.
///
/// GitHub answers 403 when the hour's questions are used up, and Google when the day's are; both say in
/// another place that this is not about the person.
fn rate_limited(response: &Response<Vec<u8>>) -> Option<Option<u64>> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = header(RETRY_AFTER.as_str())
        .and_then(|text| text.trim().parse().ok())
        .map(|seconds: u64| seconds.min(RETRY_AFTER_MAX));
    let limited = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::FORBIDDEN => {
            header("x-ratelimit-remaining") == Some("0")
                || header(RETRY_AFTER.as_str()).is_some()
                || says_quota(response.body())
        }
        StatusCode::BAD_REQUEST => says_call_limit(response.body()),
        _ => false,
    };
    limited.then_some(retry_after)
}

/// Facebook's way of saying so: a code of the Graph API.
fn says_call_limit(body: &[u8]) -> bool {
    const CODES: [u64; 4] = [4, 17, 32, 613];
    let Some(answer) = Some(body).filter(|body| body.len() <= BODY_BYTES_MAX) else { return false };
    let Ok(answer) = json::value(answer) else { return false };
    at(&answer, "error.code").and_then(Value::as_u64).is_some_and(|code| CODES.contains(&code))
}

/// Google's way of saying so: `error.errors[].reason`.
fn says_quota(body: &[u8]) -> bool {
    const REASONS: [&str; 3] = ["quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded"];
    let Some(answer) = Some(body).filter(|body| body.len() <= BODY_BYTES_MAX) else { return false };
    let Ok(answer) = json::value(answer) else { return false };
    at(&answer, "error.errors").and_then(Value::as_array).is_some_and(|errors| {
        errors.iter().any(|error| {
            let reason = at(error, "reason").and_then(Value::as_str);
            reason.is_some_and(|reason| REASONS.contains(&reason))
        })
    })
}
