//! The parameters of a request, from its query or its form.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{Method, header},
};

use super::answer::Refusal;

/// Names and values in the order sent, decoded.
///
/// A GET brings them in its query; a POST in its body, as a form, and then its query does not
/// count (RFC 6749 §3.1, §3.2).
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of `name`. An empty one is as good as none (RFC 6749 §3.1).
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(present, _)| present == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A name that was sent more than once, which RFC 6749 §3.1 forbids.
    pub(super) fn repeated(&self) -> Option<&str> {
        self.0.iter().enumerate().find_map(|(index, (name, _))| {
            self.0[..index].iter().any(|(earlier, _)| earlier == name).then_some(name.as_str())
        })
    }

    /// The same parameters with one more, encoded for a link.
    pub(super) fn encoded_with(&self, name: &str, value: &str) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(self.0.iter().filter(|(present, _)| present != name))
            .append_pair(name, value)
            .finish()
    }
}

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        if request.method() != Method::POST {
            return Ok(Self::parse(request.uri().query().unwrap_or_default().as_bytes()));
        }
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let essence = content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::invalid_request("the body is not a form"));
        }
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|_| Refusal::invalid_request("the body cannot be read"))?;
        Ok(Self::parse(&body))
    }
}
