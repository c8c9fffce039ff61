//! OpenID Connect for a relying party, as functions of their inputs.
//!
//! This crate knows what the specifications say and nothing of the world. It opens no socket,
//! reads no clock, draws no randomness and looks at no file or environment: it says which request
//! to send, and reads the response that came. The same arguments always give the same answer.
//!
//! One sign-in, from the first redirect to a person we believe:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use lychgate_oidc::*;
//! # fn fetch(_: http::Request<Vec<u8>>) -> http::Response<Vec<u8>> { http::Response::default() }
//! # fn newer_keys() -> KeySet { KeySet::empty() }
//! # fn moment() -> Moment { Moment::new(Timestamp::new(0), [0; 32]) }
//! # fn story(
//! #     provider: Arc<Provider>, metadata: Arc<Metadata>, keys: KeySet, entropy: LoginEntropy,
//! #     query: &str,
//! # ) -> Result<Box<SignedIn>, Box<dyn std::error::Error>> {
//! let callback = "https://wiki.example.com/callback";
//! let wish = LoginRequest::default();
//! let beginning = login::begin(&provider, &metadata, callback, &wish, entropy, moment())?;
//! let Beginning::Go(url, pending) = beginning;
//! // … the browser goes to `url`, signs in, and comes back with `query` …
//! let matched = Callback::parse(query)?.matching(pending, &provider, &metadata)?;
//! let mut step = matched.redeem(provider, metadata, moment())?;
//! loop {
//!     step = match step {
//!         Step::Ask(request, exchange) => exchange.receive(fetch(request), &keys, moment())?,
//!         Step::NewerKeys(exchange) => exchange.with_keys(&newer_keys(), moment())?,
//!         Step::Believe(signed_in) => break Ok(signed_in),
//!     };
//! }
//! # }
//! ```
//!
//! Each step is a type that only the step before it can make: a [`Callback`] nobody matched cannot
//! be redeemed, and [`VerifiedClaims`] come out of a completed [`Exchange`] alone.
//!
//! Not here: sessions, cookies, who may enter (the floor above), and what is older or stranger
//! than the authorization code flow with PKCE.
//!
//! Sources: OpenID Connect Core 1.0 and Discovery 1.0; RFC 6749, 6750, 7515, 7517, 7519, 7636, 9207
//! and 9700; OpenID Connect RP-Initiated Logout 1.0. Each module names its sections.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

mod callback;
mod claims;
pub mod discovery;
mod exchange;
mod id_token;
mod inquiry;
mod json;
mod jwks;
mod jws;
pub mod kind;
pub mod login;
pub mod logout;
mod lookup;
mod manner;
mod membership;
mod moment;
mod provider;
mod quirk;
mod refusal;
mod secret;
mod service_account;
mod time;
mod tokens;
mod userinfo;

pub use callback::{Callback, CallbackError, MatchedCallback};
pub use claims::VerifiedClaims;
pub use discovery::{DiscoveryError, Metadata};
pub use exchange::{AwaitingKeys, Endpoint, Exchange, ExchangeError, SignedIn, Step};
pub use id_token::IdTokenError;
pub use json::MalformedJson;
pub use jwks::{JwksError, KeySet};
pub use jws::JwsError;
pub use login::{
    AuthorizationUrl, Beginning, LoginEntropy, LoginError, LoginRequest, PendingLogin,
};
pub use logout::EndSessionUrl;
pub use lookup::{
    Condition, Lookup, LookupError, LookupToken, Paging, Read, ReadValue, TemplateError, When,
    url_template,
};
pub use manner::Manner;
pub use membership::Membership;
pub use moment::Moment;
pub use provider::{
    Algorithm, AuthorizationRequest, ClientAuth, IdTokenRules, Provider, SecretMethod, UnknownName,
    Userinfo,
};
pub use quirk::{PERSONAL_TENANT, Quirk, TenantIssuer};
pub use refusal::{KnownError, ProviderRefusal, RefusalCode};
pub use secret::Secret;
pub use service_account::{ServiceAccount, ServiceAccountError};
pub use time::Timestamp;
