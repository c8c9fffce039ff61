//! The beginning of a sign-in: where to send the browser, and what to remember of it.
//!
//! Three random values tie the answer to this browser and this login: `state` comes back in the
//! callback, `nonce` in the ID token, and the PKCE verifier proves at the token endpoint that
//! whoever redeems the code also began the login. All three are always used; any one alone has
//! been got around somewhere (RFC 9700 §4.5, §4.7).
//!
//! Sources: OIDC Core §3.1.2.1; RFC 7636; RFC 9700 §2.1.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;
use zeroize::ZeroizeOnDrop;

use crate::discovery::Metadata;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::secret::{self, Secret};
use crate::time::Timestamp;

/// Begins a login at `provider`.
///
/// `redirect_uri` is where the provider sends the browser back; it is one of those registered, and
/// is kept to be repeated byte for byte when the code is redeemed. `entropy` must be fresh.
/// The query that the authorization endpoint already has is kept.
///
/// # Errors
/// See [`LoginError`].
pub fn begin(
    provider: &Arc<Provider>,
    metadata: &Arc<Metadata>,
    redirect_uri: &str,
    request: &LoginRequest,
    entropy: LoginEntropy,
    moment: Moment,
) -> Result<Beginning, LoginError> {
    let LoginValues { state, nonce, verifier } = entropy.into_values();

    let mut url = metadata.authorization_endpoint.clone();
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scope(provider))
            .append_pair("state", &state)
            .append_pair("nonce", nonce.expose())
            .append_pair("code_challenge", &challenge(verifier.expose()))
            .append_pair("code_challenge_method", "S256");
        if let Some(seconds) = provider.authorization.max_age {
            query.append_pair("max_age", &seconds.to_string());
        }
        query.extend_pairs(&provider.authorization.parameters);
        for (name, value) in [
            ("prompt", &request.prompt),
            ("login_hint", &request.login_hint),
            ("ui_locales", &request.ui_locales),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }

    let pending = PendingLogin {
        provider: provider.name.clone(),
        issuer: provider.issuer.clone(),
        client_id: provider.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state,
        nonce,
        verifier,
        begun_at: moment.now,
    };
    Ok(Beginning::Go(AuthorizationUrl(url), pending))
}

/// What the beginning of a login needs next.
#[derive(Debug)]
#[must_use = "a login has not begun until it says `Go`"]
pub enum Beginning {
    /// Nothing: send the browser there, and remember the login.
    Go(AuthorizationUrl, PendingLogin),
}

/// Why a login cannot begin. Carries no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {}

/// What a login may ask of the provider beyond the ordinary.
#[derive(Clone, Debug, Default)]
pub struct LoginRequest {
    /// `prompt`: `none`, `login`, `consent` or `select_account`.
    pub prompt: Option<String>,
    /// `login_hint`: whom the provider should expect.
    pub login_hint: Option<String>,
    /// `ui_locales`: languages in order of preference, separated by spaces.
    pub ui_locales: Option<String>,
}

/// The address of the provider's sign-in page for one login. Only [`begin`] makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationUrl(Url);

impl AuthorizationUrl {
    /// The address, for a `Location` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Shows the place and not the query, in which `state` and `nonce` are.
impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.origin().ascii_serialization();
        write!(formatter, "AuthorizationUrl({origin}{}?…)", self.0.path())
    }
}

/// One login under way, as its browser must remember it.
///
/// It can be written down so that it can be sealed into a cookie; it holds the verifier and must
/// never be written anywhere in the clear. It ends by being consumed in
/// [`Callback::matching`](crate::Callback::matching), whatever the outcome. How long it may be
/// pending is for the floor above to say, by [`begun_at`](Self::begun_at).
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingLogin {
    provider: String,
    issuer: String,
    client_id: String,
    redirect_uri: String,
    state: String,
    #[serde(with = "secret::sealed")]
    nonce: Secret,
    #[serde(with = "secret::sealed")]
    verifier: Secret,
    begun_at: Timestamp,
}

impl PendingLogin {
    /// The value that the callback must repeat, and by which this login is found.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The operator's name of the provider where the login began.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// When the login began.
    #[must_use]
    pub const fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    /// Where the provider was told to send the browser back.
    #[must_use]
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    pub(crate) const fn nonce(&self) -> &Secret {
        &self.nonce
    }

    pub(crate) const fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// Whether this login began at `provider`, as it is configured now.
    pub(crate) fn began_at_provider(&self, provider: &Provider) -> bool {
        self.provider == provider.name
            && self.issuer == provider.issuer
            && self.client_id == provider.client_id
    }
}

impl fmt::Debug for PendingLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PendingLogin")
            .field("provider", &self.provider)
            .field("redirect_uri", &self.redirect_uri)
            .field("begun_at", &self.begun_at)
            .finish_non_exhaustive()
    }
}

/// The randomness of one login: 96 bytes from the operating system, used for this login alone.
#[derive(ZeroizeOnDrop)]
pub struct LoginEntropy {
    state: [u8; 32],
    nonce: [u8; 32],
    verifier: [u8; 32],
}

struct LoginValues {
    state: String,
    nonce: Secret,
    verifier: Secret,
}

impl LoginEntropy {
    /// Each value is 43 characters of the unreserved set, which RFC 7636 §4.1 asks of a verifier.
    fn into_values(self) -> LoginValues {
        LoginValues {
            state: URL_SAFE_NO_PAD.encode(self.state),
            nonce: Secret::new(URL_SAFE_NO_PAD.encode(self.nonce)),
            verifier: Secret::new(URL_SAFE_NO_PAD.encode(self.verifier)),
        }
    }
}

impl From<[u8; 96]> for LoginEntropy {
    fn from(bytes: [u8; 96]) -> Self {
        let mut entropy = Self { state: [0; 32], nonce: [0; 32], verifier: [0; 32] };
        let places = [&mut entropy.state, &mut entropy.nonce, &mut entropy.verifier];
        for (place, part) in places.into_iter().zip(bytes.chunks_exact(32)) {
            place.copy_from_slice(part);
        }
        entropy
    }
}

impl fmt::Debug for LoginEntropy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LoginEntropy").finish_non_exhaustive()
    }
}

/// The scopes in one line. Without `openid` there would be no ID token.
fn scope(provider: &Provider) -> String {
    let scopes = &provider.scopes;
    let missing = provider.id_token.required && !scopes.iter().any(|scope| scope == "openid");
    let openid = missing.then_some("openid");
    openid.into_iter().chain(scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_that_of_the_specifications_example() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn each_third_of_the_entropy_makes_one_value() {
        let mut bytes = [0; 96];
        bytes[32..64].fill(1);
        bytes[64..].fill(0xff);

        let values = LoginEntropy::from(bytes).into_values();

        assert_eq!(values.state, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(values.nonce.expose(), "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        assert_eq!(values.verifier.expose(), "__________________________________________8");
    }

    #[test]
    fn openid_is_asked_for_once_wherever_there_is_to_be_an_id_token() {
        let mut provider = Provider::new("idp", "https://idp.example", "wiki");
        for (scopes, expected) in [
            (&[][..], "openid"),
            (&["email"], "openid email"),
            (&["email", "openid"], "email openid"),
        ] {
            provider.scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
            assert_eq!(scope(&provider), expected);
        }
        provider.id_token.required = false;
        provider.scopes = vec!["read:user".to_owned()];
        assert_eq!(scope(&provider), "read:user");
    }
}
