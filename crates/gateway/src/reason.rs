//! The closed vocabulary of reasons: one code for the page, the problem document, the logs and the metrics.
//!
//! A code tells a visitor nothing that an attacker could use; what went wrong in detail is in the log, under
//! the same code and the same request id.

use http::StatusCode;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident, $code:literal, $status:ident, $remedy:ident, $title:literal, $sentence:literal;)+) => {
        /// Why a visit did not go through.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code: `login_expired`. Never changes its meaning.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            /// What helps.
            pub fn remedy(self) -> Remedy {
                match self { $(Self::$variant => Remedy::$remedy,)+ }
            }

            /// A few words, for a title.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// One sentence to the visitor.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)+ }
            }

            /// What it means, for the reference.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

/// What helps a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Another account, or somebody who grants access.
    AnotherAccount,
    /// Only the people who run this can change it.
    Operator,
    /// Another address.
    OtherAddress,
    /// Signing in.
    SignIn,
    /// Trying again, now or a little later.
    TryAgain,
}

reasons! {
    /// An entry of `deny` in the policy is about this person.
    AccessDenied, "access_denied", FORBIDDEN, AnotherAccount, "You do not have access", "Your account may not open this page.";
    /// No entry of `allow` in the policy is about this person.
    AccessNotGranted, "access_not_granted", FORBIDDEN, AnotherAccount, "You do not have access", "Your account has not been given access to this page.";
    /// The access token is not good here: expired, revoked, forged, for another audience, or no access token.
    AccessTokenInvalid, "access_token_invalid", UNAUTHORIZED, AnotherAccount, "The access token is not valid", "The access token that was sent is not valid here.";
    /// The route takes access tokens alone, and none was sent.
    AccessTokenRequired, "access_token_required", UNAUTHORIZED, AnotherAccount, "An access token is required", "This address is for programs that send an access token.";
    /// The access token is good, and lacks a scope that the route asks for.
    AccessTokenScopeMissing, "access_token_scope_missing", FORBIDDEN, AnotherAccount, "The access token does not reach that far", "The access token that was sent is good for something else than this.";
    /// Whether the access token is good could not be found out: its issuer has to be asked, and does not answer.
    AccessTokenUnconfirmed, "access_token_unconfirmed", SERVICE_UNAVAILABLE, TryAgain, "The identity provider is not available", "The access token cannot be checked at the moment, because the identity provider cannot be reached.";
    /// A claim that the configuration names as the user is missing.
    ClaimMissing, "claim_missing", FORBIDDEN, Operator, "Sign-in failed", "The identity provider did not say something about you that is needed here.";
    /// The ID token does not say that the person proved who they are in one of the required ways.
    AuthenticationWeak, "authentication_weak", FORBIDDEN, SignIn, "A stronger sign-in is needed", "The identity provider did not check who you are in the way that is needed here.";
    /// The provider does not accept how we prove who we are: `invalid_client`.
    ClientRefused, "client_refused", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider did not recognise this site.";
    /// The provider's clock and ours are too far apart, or a token was not fresh.
    ClockSkew, "clock_skew", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider's answer was not valid at this time. The clocks may differ.";
    /// A token is for somebody else.
    AudienceMismatch, "audience_mismatch", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider's answer was not meant for this site.";
    /// The request body is larger than the route takes.
    BodyTooLarge, "body_too_large", PAYLOAD_TOO_LARGE, OtherAddress, "Too large", "What was sent is larger than this application accepts.";
    /// The provider granted another consent than was asked for, or a wider one.
    ConsentMismatch, "consent_mismatch", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider granted something else than was asked for.";
    /// The consent does not count yet: others have to approve it.
    ConsentPending, "consent_pending", FORBIDDEN, SignIn, "Others have to approve first", "Your consent was recorded, and others have to approve it before you can come in. Sign in again once they have.";
    /// The gateway itself made a mistake in the work on this request.
    GatewayFault, "gateway_fault", INTERNAL_SERVER_ERROR, TryAgain, "Something went wrong", "This site made a mistake with your request. Nothing is wrong with what you did. Trying again may help.";
    /// What was kept of a form was sent already, is too old, or is not there.
    FormExpired, "form_expired", BAD_REQUEST, OtherAddress, "This cannot be sent any more", "What was kept for you was sent already, or is too old. Look in the application whether it arrived.";
    /// A form that was kept was sent by a page of another site, or from another browser.
    FormNotSent, "form_not_sent", FORBIDDEN, OtherAddress, "This was not sent", "It could not be told that you yourself wanted to send it, from this browser.";
    /// A form that was kept was written by somebody else than the person who is signed in.
    FormOtherAccount, "form_other_account", FORBIDDEN, SignIn, "Written with another account", "What is kept here was written with another account than the one that you are signed in with now.";
    /// The request headers are larger than the gateway takes.
    HeadersTooLarge, "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, TryAgain, "Too many cookies or headers", "Your browser sent more cookies or headers than this site accepts. Clearing the cookies of this site helps.";
    /// The issuer of a response or of a token is not the one at which the login began.
    IssuerMismatch, "issuer_mismatch", BAD_GATEWAY, Operator, "Sign-in failed", "The answer came from another identity provider than the one that was asked.";
    /// This login was completed before.
    LoginAlreadyUsed, "login_already_used", BAD_REQUEST, SignIn, "This sign-in was already used", "A sign-in can be completed once. Please start again.";
    /// The login took longer than the configuration allows.
    LoginExpired, "login_expired", BAD_REQUEST, SignIn, "Sign-in took too long", "This sign-in has expired. Please start again.";
    /// The callback answers no login that this browser began.
    LoginNotOurs, "login_not_ours", BAD_REQUEST, SignIn, "Sign-in failed", "This sign-in was started in another browser, or has expired. Please start again.";
    /// More sign-ins were begun from one address than are allowed in a minute.
    LoginsTooMany, "logins_too_many", TOO_MANY_REQUESTS, TryAgain, "Too many sign-ins", "More sign-ins were begun from your network than this site takes at a time. People who are signed in are not affected.";
    /// The callback is not a response to an authorization request.
    LoginMalformed, "login_malformed", BAD_REQUEST, SignIn, "Sign-in failed", "The answer of the identity provider could not be read. Please start again.";
    /// Another site began a sign-in at an issuer that is not configured, or that several providers share.
    LoginIssuerUnknown, "login_issuer_unknown", BAD_REQUEST, SignIn, "Sign-in failed", "The link that led here names an identity provider that is not known here. Please start again.";
    /// A question to the provider's own API, asked at sign-in, had no usable answer.
    LookupFailed, "lookup_failed", BAD_GATEWAY, TryAgain, "Sign-in failed", "The identity provider signed you in, and then did not say what this site needs to know. Nothing was decided about your access.";
    /// The person has an account at the provider, and is in none of the organizations, groups or domains that it is configured for.
    MembershipRequired, "membership_required", FORBIDDEN, AnotherAccount, "You are not a member", "You signed in, but your account is not in any of the organizations, groups or domains that this site is for.";
    /// The method is not one that this address takes.
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, OtherAddress, "Not possible here", "This address does not accept that kind of request.";
    /// The nonce of the ID token is not the one of this login.
    NonceMismatch, "nonce_mismatch", BAD_GATEWAY, SignIn, "Sign-in failed", "The identity provider's answer belongs to another sign-in. Please start again.";
    /// Nothing is served at this address.
    NotFound, "not_found", NOT_FOUND, OtherAddress, "Not found", "There is nothing at this address.";
    /// No route has this host.
    NoSuchSite, "no_such_site", NOT_FOUND, OtherAddress, "No such site", "There is no site at this address.";
    /// No route has this host, on a TLS connection.
    Misdirected, "misdirected", MISDIRECTED_REQUEST, OtherAddress, "No such site", "There is no site at this address.";
    /// The provider takes no more questions for now: its rate limit is used up.
    ProviderBusy, "provider_busy", SERVICE_UNAVAILABLE, TryAgain, "The identity provider is busy", "The identity provider has answered too many questions of this site lately. Nothing was decided about your access.";
    /// The person cancelled, or the provider did not let them in.
    ProviderDenied, "provider_denied", FORBIDDEN, SignIn, "You were not signed in", "You cancelled, or the identity provider did not let you in.";
    /// The provider answered the authorization request with an error that only its or our operator can mend.
    ProviderRefused, "provider_refused", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider refused the request of this site.";
    /// The provider had a temporary difficulty.
    ProviderUnavailable, "provider_unavailable", SERVICE_UNAVAILABLE, TryAgain, "The identity provider is not available", "The identity provider cannot be reached at the moment. People who are signed in are not affected.";
    /// The request could be read in two ways, or is not HTTP.
    RequestMalformed, "request_malformed", BAD_REQUEST, OtherAddress, "Bad request", "The request could not be understood.";
    /// The provider was asked whether the person may go on, and said no.
    SessionEnded, "session_ended", UNAUTHORIZED, SignIn, "Your session has ended", "The identity provider ended your sign-in. Please sign in again.";
    /// The session ended at its lifetime.
    SessionExpired, "session_expired", UNAUTHORIZED, SignIn, "Your session has ended", "Sessions end after a while, even when they are used. Please sign in again.";
    /// The session was not used for too long.
    SessionIdle, "session_idle", UNAUTHORIZED, SignIn, "Your session has ended", "You were away for a while. Please sign in again.";
    /// The session is of another provider than this route accepts.
    SessionOtherProvider, "session_other_provider", UNAUTHORIZED, SignIn, "Another sign-in is needed", "This page needs a sign-in at another identity provider.";
    /// There is no session.
    SessionRequired, "session_required", UNAUTHORIZED, SignIn, "Sign-in required", "Please sign in to open this page.";
    /// The session was signed out.
    SessionSignedOut, "session_signed_out", UNAUTHORIZED, SignIn, "You have signed out", "Please sign in again.";
    /// The session does not fit into cookies.
    SessionTooLarge, "session_too_large", FORBIDDEN, Operator, "Sign-in failed", "The identity provider said more about you than can be kept in a browser.";
    /// The provider has to be asked whether the person may go on, and does not answer.
    SessionUnconfirmed, "session_unconfirmed", SERVICE_UNAVAILABLE, TryAgain, "The identity provider is not available", "Your sign-in cannot be confirmed at the moment, because the identity provider cannot be reached. You are not signed out.";
    /// The session cookie does not open.
    SessionUnreadable, "session_unreadable", UNAUTHORIZED, SignIn, "Sign-in required", "Please sign in to open this page.";
    /// A signature does not verify, or is not of an accepted kind.
    SignatureInvalid, "signature_invalid", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider's answer could not be verified.";
    /// The ID token is not valid for another reason.
    TokenInvalid, "token_invalid", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider's answer could not be verified.";
    /// The provider did not give tokens for the code.
    TokenExchangeFailed, "token_exchange_failed", BAD_GATEWAY, SignIn, "Sign-in failed", "The identity provider did not complete the sign-in. Please start again.";
    /// One browser completed several logins for one target within seconds, and none of them counted.
    TooManyRedirects, "too_many_redirects", BAD_REQUEST, Operator, "Too many redirects, stopped", "You signed in several times within a short time, and were sent to sign in again each time. That was stopped.";
    /// The request target is longer than the gateway takes.
    UriTooLong, "uri_too_long", URI_TOO_LONG, OtherAddress, "Address too long", "The address is longer than this site accepts.";
    /// The upstream did not answer in time.
    UpstreamTimeout, "upstream_timeout", GATEWAY_TIMEOUT, TryAgain, "The application is not answering", "Your sign-in is fine. The application behind it did not answer in time.";
    /// The upstream cannot be reached, or answered something that is not HTTP.
    UpstreamUnreachable, "upstream_unreachable", BAD_GATEWAY, TryAgain, "The application is not answering", "Your sign-in is fine. The application behind it cannot be reached.";
    /// Userinfo is about somebody else, or could not be read.
    UserinfoInvalid, "userinfo_invalid", BAD_GATEWAY, Operator, "Sign-in failed", "The identity provider's answer could not be verified.";
    /// A page of another site asked for a WebSocket with somebody's session.
    WebsocketOriginRefused, "websocket_origin_refused", FORBIDDEN, Operator, "Not possible from here", "A page of another site may not open a connection to this application in your name.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_of_one_form() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(
            codes
                .iter()
                .all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        );
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| reason.meaning().ends_with('.')));
    }
}
