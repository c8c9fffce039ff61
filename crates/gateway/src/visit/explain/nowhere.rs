//! The world in which a visit is explained.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lychgate_oidc::{KeySet, Metadata, Secret};

use crate::bearer::{KnownToken, TokenId};
use crate::client::Client;
use crate::login_state::LoginId;
use crate::outcome::{Outcome, Refusal};
use crate::reason::Reason;
use crate::session::SessionId;
use crate::settings::SignInProvider;
use crate::visit::Gateway;
use crate::world::{GrantId, Known, Refreshed, Spent, Unreachable, World};

/// Where a provider is whose issuer is no address.
const ELSEWHERE: &str = "https://provider.invalid";

/// Where authorization requests are pushed to.
const PUSHED: &str = "par";

/// A world without a network, in which every provider has told its endpoints and nothing was ever revoked.
///
/// It has no randomness either: what is sealed in it is opened in it and thrown away.
#[derive(Clone, Debug)]
pub(super) struct Nowhere {
    providers: Arc<BTreeMap<String, Known>>,
    /// What every token is.
    token: Option<Arc<KnownToken>>,
}

impl Nowhere {
    pub(super) fn of(gateway: &Gateway) -> Self {
        let known = |provider: &SignInProvider| {
            let client = &provider.registration;
            // Where everything else is written down, an issuer may be a word.
            let is_url = client.issuer.starts_with("http");
            let base = if is_url { client.issuer.trim_end_matches('/') } else { ELSEWHERE };
            let at = |path: &str| format!("{base}/{path}");
            let document = serde_json::json!({
                "issuer": client.issuer,
                "authorization_endpoint": at("authorize"),
                "token_endpoint": at("token"),
                "pushed_authorization_request_endpoint": at(PUSHED),
            });
            let metadata = Metadata::parse(document.to_string().as_bytes(), &client.issuer).ok()?;
            let keys = KeySet::parse(br#"{"keys":[]}"#).ok()?;
            Some((
                client.name.clone(),
                Known { metadata: Arc::new(metadata), keys: Arc::new(keys) },
            ))
        };
        let providers = gateway.settings.providers.iter().filter_map(known).collect();
        Self { providers: Arc::new(providers), token: None }
    }

    /// The same world, in which every token is this one.
    pub(super) fn with_token(self, token: KnownToken) -> Self {
        Self { token: Some(Arc::new(token)), ..self }
    }
}

impl World for Nowhere {
    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn provider(&self, name: &str) -> Option<Known> {
        self.providers.get(name).cloned()
    }

    async fn newer_keys(&self, provider: &str) -> Arc<KeySet> {
        self.providers.get(provider).map(|known| Arc::clone(&known.keys)).unwrap_or_default()
    }

    async fn client_assertion(&self, _: &str) -> Result<Option<Secret>, Unreachable> {
        Ok(Some(Secret::new("nobody is shown this".to_owned())))
    }

    /// A request that is pushed ahead is always taken: it is a part of the way to the provider.
    async fn fetch(
        &self,
        _: &str,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        if request.uri().path().ends_with(&format!("/{PUSHED}")) {
            let taken = serde_json::json!({
                "request_uri": "urn:ietf:params:oauth:request_uri:explained",
                "expires_in": 60,
            });
            let answer = http::Response::builder()
                .status(http::StatusCode::CREATED)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(taken.to_string().into_bytes());
            return answer.map_err(|error| Unreachable(error.to_string()));
        }
        Err(Unreachable("nobody is asked for an explanation".to_owned()))
    }

    async fn refresh_once(
        &self,
        _: GrantId,
        refresh: impl Future<Output = Refreshed> + Send + 'static,
    ) -> Refreshed {
        refresh.await
    }

    fn known_token(&self, _: &TokenId) -> Option<Arc<KnownToken>> {
        self.token.clone()
    }

    fn send(&self, _: &str, _: http::Request<Vec<u8>>) {}

    async fn spend(&self, _: LoginId, _: &str) -> Spent {
        Spent::Now
    }

    fn spent(&self, _: LoginId) -> Option<String> {
        None
    }

    fn revoke(&self, _: SessionId) {}

    fn is_revoked(&self, _: SessionId) -> bool {
        false
    }
}

/// The outcome of a visit in [`Nowhere`], where nothing is ever waited for: who would have to wait there would wait
/// for a provider.
pub(super) fn at_once(visit: impl Future<Output = Outcome>) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(visit).as_mut().poll(&mut context) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => {
            Outcome::refuse(Refusal::new(Reason::ProviderUnavailable, Client::Program))
        }
    }
}
