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
//! let mut beginning = login::begin(
//!     &provider, &metadata, &keys, callback, &wish, entropy, moment(),
//! )?;
//! let (url, pending) = loop {
//!     beginning = match beginning {
//!         Beginning::Go(url, pending) => break (url, pending),
//!         Beginning::Push(request, pushed) => pushed.receive(fetch(request), moment())?,
//!     };
//! };
//! // … the browser goes to `url`, signs in, and comes back with `query` …
//! let matched = Callback::parse(query)?.matching(pending, &provider, &metadata)?;
//! let mut step = matched.redeem(provider, metadata, &keys, moment())?;
//! loop {
//!     step = match step {
//!         Step::Ask(request, exchange) => exchange.receive(fetch(request), &keys, moment())?,
//!         Step::Renewed(_, renewed) => renewed.go_on(&keys, moment())?,
//!         Step::NewerKeys(exchange) => exchange.with_keys(&newer_keys(), moment())?,
//!         Step::Believe(signed_in) => break Ok(signed_in),
//!     };
//! }
//! # }
//! ```
//!
//! Each step is a type that only the step before it can make: a [`Callback`] nobody matched cannot
//! be redeemed, and [`VerifiedClaims`] come out of a completed [`Exchange`], or of an [`AccessToken`] that was
//! presented and verified, alone.
//!
//! Not here: sessions, cookies, who may enter (the floor above), and what is older or stranger
//! than the authorization code flow with PKCE, and the hybrid flow where an ID token vouches for the code.
//!
//! Sources: OpenID Connect Core 1.0 and Discovery 1.0; RFC 6749, 6750, 7515, 7517, 7519, 7523, 7636,
//! 7662, 8705, 9068, 9101, 9126, 9207, 9396, 9449 and 9700; OpenID Connect RP-Initiated Logout 1.0. Each module names its sections.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod access_token;
mod authorization;
mod callback;
mod certificate;
mod claims;
mod client_auth;
mod consent;
pub mod discovery;
pub mod dpop;
mod exchange;
pub mod grant;
mod id_token;
mod inquiry;
pub mod introspection;
mod json;
pub mod jwe;
mod jwks;
mod jws;
mod jwt;
mod keys;
pub mod kind;
pub mod login;
pub mod logout;
mod lookup;
mod manner;
mod membership;
mod moment;
mod pem;
mod provider;
mod quirk;
mod refusal;
mod response;
mod secret;
mod service_account;
mod template;
mod time;
mod tokens;
mod userinfo;

pub use access_token::{
    AccessToken, AccessTokenError, AccessTokenRules, AccessTokenType, PresentedJwt,
};
pub use authorization::{
    AuthorizationRequest, Pushing, RequestObject, RequestObjectEncryption, RequestObjectSigner,
};
pub use callback::{
    AuthorizationResponse, CALLBACK_BYTES_MAX, Callback, CallbackError, MatchedCallback,
    SIGNED_CALLBACK_BYTES_MAX, SignedResponse,
};
pub use certificate::{Certificate, CertificateError};
pub use claims::VerifiedClaims;
pub use client_auth::{
    AssertionAudience, AssertionRules, ClientAuth, ClientAuthError, SecretMethod, SignedSecret,
};
pub use consent::ConsentError;
pub use discovery::{DiscoveryError, EndpointAliases, Metadata};
pub use dpop::{Dpop, DpopNonces};
pub use exchange::{AwaitingKeys, Endpoint, Exchange, ExchangeError, Renewed, SignedIn, Step};
pub use grant::Grant;
pub use id_token::IdTokenError;
pub use json::MalformedJson;
pub use jwe::{
    ContentEncryption, DecryptionKey, DecryptionKeyError, Encryption, JweError, KeyManagement,
};
pub use jwks::{JwksError, KeySet};
pub use jws::JwsError;
pub use keys::{KeyError, SigningKey};
pub use login::{
    AuthorizationUrl, Beginning, LoginEntropy, LoginError, LoginRequest, PendingLogin, Pushed,
};
pub use logout::EndSessionUrl;
pub use lookup::{
    Condition, Lookup, LookupError, LookupToken, Paging, Read, ReadValue, UrlTemplateError, When,
    url_template,
};
pub use manner::Manner;
pub use membership::Membership;
pub use moment::Moment;
pub use pem::PemError;
pub use provider::{Algorithm, IdTokenRules, MtlsEndpointAliases, Provider, UnknownName, Userinfo};
pub use quirk::{PERSONAL_TENANT, Quirk, TenantIssuer};
pub use refusal::{KnownError, ProviderRefusal, RefusalCode};
pub use response::{
    AnswerRules, IssuerParameter, ResponseMode, ResponseType, SubjectRule, SubjectType,
};
pub use secret::Secret;
pub use service_account::{ServiceAccount, ServiceAccountError};
pub use template::{Template, TemplateError, TemplateValue};
pub use time::Timestamp;
