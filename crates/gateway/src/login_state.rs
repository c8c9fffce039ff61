//! One login under way, as the browser carries it: sealed, one cookie each, found by its `state`.
//!
//! Nothing is remembered here for a login that nobody finishes. Parallel tabs have a cookie each and finish
//! in any order; when there are too many, the oldest is dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate_oidc::PendingLogin;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What has to come back unchanged with the browser.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoginState {
    /// State, nonce, verifier, provider and redirect URI.
    pub pending: PendingLogin,
    /// Where the person wanted to go: an absolute URL, checked again on return.
    pub return_to: String,
    /// Whether the provider was asked to show nothing. If it cannot, the person is asked once (CB-45).
    pub silent: bool,
    /// Whether it was begun by itself in the place of one that took too long. That happens once (CB-44).
    pub restarted: bool,
}

impl LoginState {
    /// The login's id.
    pub fn id(&self) -> LoginId {
        LoginId::of(self.pending.state())
    }
}

/// A login's name: a hash of its `state`, so that the cookie's name gives nothing away.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoginId([u8; 12]);

impl LoginId {
    /// The id of the login with this `state`.
    pub fn of(state: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(state.as_bytes()).into();
        Self(std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default()))
    }

    /// 16 letters, digits, `-` and `_`: the end of the cookie's name, and the flow's id in logs.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for LoginId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

/// What has to come back with the browser from a sign-out at the provider.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogoutState {
    /// Sent to the provider and compared on return.
    pub state: String,
    /// Where the person goes afterwards: one of the listed places, or nowhere in particular.
    pub return_to: Option<String>,
    /// When this stops counting.
    pub ends_at: lychgate_oidc::Timestamp,
}
