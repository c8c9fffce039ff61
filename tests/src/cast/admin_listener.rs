//! What the providers of the rigs have beside the protocol: orders, and a list of what happened.

use serde_json::Value;

use super::certified_provider::Event;

/// A provider's admin listener.
#[derive(Debug)]
pub(crate) struct AdminListener {
    url: String,
    http: reqwest::Client,
}

impl AdminListener {
    /// The listener at this URL, which has no slash at its end.
    pub(crate) fn at(url: String) -> Self {
        Self { url, http: reqwest::Client::new() }
    }

    /// What happened, oldest first, of the kinds that begin with this; "" is everything.
    ///
    /// # Panics
    /// When the provider does not answer.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Event> {
        let url = format!("{}/events?type={kind}", self.url);
        let answer = self.http.get(url).send().await.expect("the admin listener answers");
        let body = answer.bytes().await.expect("the admin listener answers in full");
        serde_json::from_slice(&body).expect("events are a list")
    }

    /// Gives an order.
    ///
    /// # Panics
    /// When the provider does not follow it.
    pub(crate) async fn post(&self, route: &str, body: &Value) {
        let request = self.http.post(format!("{}{route}", self.url)).body(body.to_string());
        let answer = request.send().await.expect("the admin listener answers");
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        assert!(status.is_success(), "the provider refuses {route}: {text}");
    }
}
