//! What a gateway is built from: every reference resolved, every default filled in.

use std::sync::Arc;
use std::time::Duration;

use lychgate_oidc::Provider;
use url::Url;

use crate::cookie::CookieNames;
use crate::language::Languages;
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
    /// The languages that pages are in.
    pub languages: Languages,
    /// How many bytes of a form are kept that was sent when the session had ended; `None` keeps none.
    pub kept_form_bytes: Option<usize>,
}

/// How long sessions last. `idle_timeout` is at most `lifetime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// From sign-in to the end, whatever happens.
    pub lifetime: Duration,
    /// From the last request to the end.
    pub idle_timeout: Duration,
    /// How grants are renewed; `None` keeps no refresh token.
    pub refresh: Option<RefreshLimits>,
}

/// When the provider is asked again who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshLimits {
    /// How long before the end of the access token. Never more than half its life.
    pub margin: Duration,
    /// For how long after that end the session is still good while the provider cannot be asked (R2).
    pub grace: Duration,
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
    /// Whether some header tells an upstream the access token; it is kept in the session then.
    pub keeps_access_token: bool,
    /// Ask for the scope `groups` where the provider offers it: the operator named no scopes.
    pub groups_scope_if_offered: bool,
    /// The redirect URI, where the operator set one; otherwise it follows from the sign-in origin.
    pub redirect_uri: Option<Url>,
    /// How people sign in there, beyond the protocol.
    pub sign_in: SignInRules,
}

/// How people sign in at one provider, beyond the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignInRules {
    /// How long a sign-in there may take, if not as long as everywhere.
    pub login_timeout: Option<Duration>,
    /// First ask the provider whether the person is still signed in there, without showing them anything.
    pub silent_login: bool,
    /// The domains of the e-mail addresses of its people: a `login_hint` at one of them leads there.
    pub email_domains: Vec<String>,
    /// What people are told of its errors.
    pub errors: ErrorRules,
}

/// What people are told of a provider's errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorRules {
    /// The error codes after which trying again can help. `None`: those whose specification says so.
    pub retryable: Option<Vec<String>>,
    /// The hosts that an `error_uri` may lead to, in lower case (CB-42).
    pub uri_hosts: Vec<String>,
    /// Show the words of an error that comes without `state`, to a browser that has a login there (CB-13).
    pub show_without_state: bool,
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
