//! Provider metadata: about the issuer that was asked for, over TLS, with S256 (F7, G11, L1).

use lychgate_oidc::{Metadata, discovery};
use url::{Host, Url};

use super::sign_in::{ISSUER, is_fit_for_a_log};

/// A metadata document; and the same bytes as the issuer of one.
///
/// What is read is the configured issuer's; every endpoint is https or on this machine, without user or fragment;
/// and no provider is read that offers PKCE without S256.
///
/// # Panics
/// When one of these does not hold.
pub fn metadata(bytes: &[u8]) {
    match Metadata::parse(bytes, ISSUER) {
        Err(error) => is_fit_for_a_log(&error),
        Ok(metadata) => {
            assert_eq!(metadata.issuer, ISSUER);
            let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint];
            let others = [
                &metadata.userinfo_endpoint,
                &metadata.jwks_uri,
                &metadata.end_session_endpoint,
                &metadata.revocation_endpoint,
            ];
            for url in endpoints.into_iter().chain(others.into_iter().flatten()) {
                is_an_endpoint(url);
            }
            let methods = &metadata.code_challenge_methods_supported;
            assert!(methods.is_empty() || methods.iter().any(|method| method == "S256"));
        }
    }
    let Ok(issuer) = std::str::from_utf8(bytes) else { return };
    match discovery::url(issuer) {
        Ok(url) => {
            is_an_endpoint(&url);
            assert!(url.path().ends_with("/.well-known/openid-configuration"), "{url}");
        }
        Err(error) => is_fit_for_a_log(&error),
    }
}

fn is_an_endpoint(url: &Url) {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    assert!(url.scheme() == "https" || (url.scheme() == "http" && local), "{url}");
    assert!(url.host().is_some() && url.username().is_empty() && url.password().is_none(), "{url}");
    assert_eq!(url.fragment(), None, "{url}");
}
