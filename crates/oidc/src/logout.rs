//! Signing out at the provider as well, by sending the browser there.
//!
//! The session here must already have ended: the provider may be down, and the browser may never
//! arrive.
//!
//! Source: OpenID Connect RP-Initiated Logout 1.0 §2, §3.

use std::fmt;

use url::Url;

use crate::discovery::Metadata;
use crate::provider::Provider;
use crate::quirk::Quirk;
use crate::secret::Secret;

/// Where to send the browser to end its session at the provider; `None` if the provider has no
/// such place.
///
/// `post_logout_redirect_uri` must be registered there. `state` comes back with the browser, and
/// comparing it is the caller's business. `id_token_hint` is the last ID token, if it was kept;
/// with it the provider does not have to ask whom it is signing out.
#[must_use]
pub fn end_session_url(
    provider: &Provider,
    metadata: &Metadata,
    id_token_hint: Option<&Secret>,
    post_logout_redirect_uri: &str,
    state: &str,
) -> Option<EndSessionUrl> {
    let quirks = &provider.manner.quirks;
    let (mut url, parameter) = match &metadata.end_session_endpoint {
        Some(url) if quirks.contains(&Quirk::LogoutUri) => (url.clone(), "logout_uri"),
        Some(url) => (url.clone(), "post_logout_redirect_uri"),
        None if quirks.contains(&Quirk::LogoutReturnTo) => {
            (Url::parse(&provider.issuer).ok()?.join("v2/logout").ok()?, "returnTo")
        }
        None => return None,
    };
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", &provider.client_id)
            .append_pair(parameter, post_logout_redirect_uri)
            .append_pair("state", state);
        if let Some(token) = id_token_hint {
            query.append_pair("id_token_hint", token.expose());
        }
    }
    Some(EndSessionUrl(url))
}

/// The address of the provider's sign-out page. Only [`end_session_url`] makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndSessionUrl(Url);

impl EndSessionUrl {
    /// The address, for a `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Shows the place and not the query, in which an ID token may be.
impl fmt::Debug for EndSessionUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.origin().ascii_serialization();
        write!(formatter, "EndSessionUrl({origin}{}?…)", self.0.path())
    }
}
