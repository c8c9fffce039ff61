//! How a route meets clients that are no page in a browser.

use std::sync::Arc;

use crate::bearer::Bearer;
use crate::cors::Cors;

/// What holds beside the rules of a route. By default people sign in, tokens are the application's own affair, and
/// preflights are refused.
#[derive(Clone, Debug, Default)]
pub struct ClientRules {
    /// Whether people who are signed out are sent to sign in.
    pub login: LoginRule,
    /// The tokens that take the place of a session.
    pub bearer: Option<Arc<Bearer>>,
    /// What becomes of preflights.
    pub cors: Cors,
}

/// Whether people who are signed out are sent to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoginRule {
    /// Whoever opens a page is.
    #[default]
    Auto,
    /// Nobody is: whoever asks is told in a problem document.
    Never,
}

impl ClientRules {
    /// Whether every request is met in a browser's way.
    pub(crate) fn is_plain(&self) -> bool {
        self.bearer.is_none() && self.cors == Cors::Refuse
    }
}
