//! The world in which a visit is explained.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lychgate_oidc::{KeySet, Metadata};

use crate::client::Client;
use crate::login_state::LoginId;
use crate::outcome::{Outcome, Refusal};
use crate::reason::Reason;
use crate::session::SessionId;
use crate::settings::SignInProvider;
use crate::visit::Gateway;
use crate::world::{GrantId, Known, Refreshed, Spent, Unreachable, World};

/// A world without a network, in which every provider has told its endpoints and nothing was ever revoked.
///
/// It has no randomness either: what is sealed in it is opened in it and thrown away.
#[derive(Clone, Debug)]
pub(super) struct Nowhere {
    providers: Arc<BTreeMap<String, Known>>,
}

impl Nowhere {
    pub(super) fn of(gateway: &Gateway) -> Self {
        let known = |provider: &SignInProvider| {
            let client = &provider.registration;
            let at = |path: &str| format!("{}/{path}", client.issuer.trim_end_matches('/'));
            let document = serde_json::json!({
                "issuer": client.issuer,
                "authorization_endpoint": at("authorize"),
                "token_endpoint": at("token"),
            });
            let metadata = Metadata::parse(document.to_string().as_bytes(), &client.issuer).ok()?;
            let keys = KeySet::parse(br#"{"keys":[]}"#).ok()?;
            Some((
                client.name.clone(),
                Known { metadata: Arc::new(metadata), keys: Arc::new(keys) },
            ))
        };
        let providers = gateway.settings.providers.iter().filter_map(known).collect();
        Self { providers: Arc::new(providers) }
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

    async fn fetch(
        &self,
        _: &str,
        _: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, Unreachable> {
        Err(Unreachable("nobody is asked for an explanation".to_owned()))
    }

    async fn refresh_once(
        &self,
        _: GrantId,
        refresh: impl Future<Output = Refreshed> + Send + 'static,
    ) -> Refreshed {
        refresh.await
    }

    fn send(&self, _: &str, _: http::Request<Vec<u8>>) {}

    fn spend(&self, _: LoginId, _: &str) -> Spent {
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
