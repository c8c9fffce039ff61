//! Every request that arrived, for tests that ask "how often, and with what?".

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, request::Parts};

/// Older requests are forgotten, so that a demo left open for a week does not grow.
const REQUESTS_MAX: usize = 10_000;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The method, in capitals.
    pub method: String,
    /// The path as sent, still percent-encoded.
    pub path: String,
    /// The query as sent, without its question mark; empty when there was none.
    pub query: String,
    /// Names in small letters and values, as [`Recorded::header`] reads them. Values that are not
    /// UTF-8 are shown with replacement characters. Order is that of arrival, except that lines
    /// with the same name stand together.
    pub headers: Vec<(String, String)>,
    /// The body. Always empty at the echo application, which answers with a digest instead.
    pub body: Vec<u8>,
}

impl Recorded {
    pub(crate) fn new(head: &Parts, body: &[u8]) -> Self {
        Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: header_lines(&head.headers),
            body: body.to_vec(),
        }
    }

    /// The first value of the header `name`, whatever its capitals.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of the query parameter `name`, decoded.
    #[must_use]
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        first_parameter(self.query.as_bytes(), name)
    }

    /// The first value of the parameter `name` of a form body, decoded.
    #[must_use]
    pub fn form_parameter(&self, name: &str) -> Option<String> {
        first_parameter(&self.body, name)
    }
}

fn first_parameter(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded)
        .find(|(candidate, _)| candidate == name)
        .map(|(_, value)| value.into_owned())
}

/// The header lines as pairs, in the order described at [`Recorded::headers`].
pub(crate) fn header_lines(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

/// Keeps the last ten thousand requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<VecDeque<Recorded>>>);

impl Recorder {
    pub(crate) fn record(&self, request: Recorded) {
        let mut requests = self.lock();
        if requests.len() == REQUESTS_MAX {
            requests.pop_front();
        }
        requests.push_back(request);
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.lock().iter().filter(|request| request.path == path).count()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
