//! What a gateway is built from: every reference resolved, every default filled in.

use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::Provider;
use url::Url;

use crate::cookie::CookieNames;
use crate::origin::PublicOrigin;
use crate::route::Routes;
use crate::seal::KeyRing;

/// Everything that [`Gateway::new`](crate::Gateway::new) needs. Made by the configuration, which has checked it.
#[derive(Debug)]
pub struct Settings {
    /// Where we keep our own pages on every routed host. Begins with `/`, has one segment, no trailing slash.
    pub path_prefix: String,
    /// The one origin at which people sign in, if they do not do so at each application.
    pub public_url: Option<PublicOrigin>,
    /// The cookies' names and scope.
    pub cookies: CookieNames,
    /// How long what is on its way out of here and back may take, where no provider has its own time.
    pub login_timeout: Duration,
    /// How many sign-ins one browser may have under way.
    pub max_pending_logins: usize,
    /// How long sessions last.
    pub sessions: SessionLimits,
    /// The keys that seal cookies.
    pub keys: KeyRing,
    /// The registered clients, in the operator's order of names.
    pub providers: Vec<SignInProvider>,
    /// Which application a request is for.
    pub routes: Routes,
    /// Where a browser may be sent after signing out.
    pub post_logout_redirect_uris: Vec<Url>,
}

/// How long sessions last. `idle_timeout` is at most `lifetime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// From sign-in to the end, whatever happens.
    pub lifetime: Duration,
    /// From the last request to the end.
    pub idle_timeout: Duration,
}

/// A provider as people meet it: the client registration, its name on the page, and its claims' meaning.
#[derive(Clone, Debug)]
pub struct SignInProvider {
    /// The client registration.
    pub registration: Arc<Provider>,
    /// What the chooser calls it.
    pub label: String,
    /// Which claims say what.
    pub claims: ClaimNames,
    /// Claims beside the usual ones that some rule or header reads; they are kept in the session.
    pub kept_claims: Vec<String>,
    /// Ask for the scope `groups` where the provider offers it: the operator named no scopes.
    pub groups_scope_if_offered: bool,
    /// How long a sign-in with it may take.
    pub login_timeout: Duration,
    /// The redirect URI, where the operator set one; otherwise it follows from the sign-in origin.
    pub redirect_uri: Option<Url>,
}

/// Where a person's attributes stand in the claims: a member's name, or a dotted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user name. `None`: `preferred_username`, else a verified `email`, else `sub`.
    pub user: Option<String>,
    /// The display name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The groups: a list, or a single text.
    pub groups: String,
    /// Take every e-mail address of this provider for verified, whether it says so or not.
    pub assume_email_verified: bool,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            user: None,
            name: "name".to_owned(),
            email: "email".to_owned(),
            groups: "groups".to_owned(),
            assume_email_verified: false,
        }
    }
}
