//! All that can happen to a visit.
//!
//! There are two ways out. An [`Admission`] is made from a [`Permit`] only, and only a door that holds one has
//! anything to forward. Everything else is an [`Answer`] of our own, and a [`Redirect`] among them leads to
//! the provider, to a [`ReturnTo`] or to our own pages, because nothing else can be put into one.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use lychgate_oidc::{AuthorizationUrl, EndSessionUrl, Timestamp};
use url::Url;

use crate::bearer::{KnownToken, TokenFault};
use crate::client::Client;
use crate::cookie::ForUpstream;
use crate::headers::HeaderEdits;
use crate::identity::Identity;
use crate::origin::ReturnTo;
use crate::policy::Permit;
use crate::reason::Reason;
use crate::rescue::{Replay, Rescue};
use crate::route::Route;
use crate::session::Session;

/// How a visit ended.
#[derive(Debug)]
pub struct Outcome {
    /// What happens to the visit.
    pub verdict: Verdict,
    /// `Set-Cookie` lines for the browser, whatever happens.
    pub cookies: Vec<HeaderValue>,
    /// What the logs say.
    pub record: Record,
}

impl Outcome {
    /// An answer of our own, and nothing to log but that.
    pub(crate) fn answer(answer: Answer) -> Self {
        Self {
            verdict: Verdict::Answer(Box::new(answer)),
            cookies: Vec::new(),
            record: Record::default(),
        }
    }

    /// A refusal, recorded as such.
    pub fn refuse(refusal: Refusal) -> Self {
        let record = Record { reason: Some(refusal.reason), ..Record::default() };
        Self {
            verdict: Verdict::Answer(Box::new(Answer::Refusal(refusal))),
            cookies: Vec::new(),
            record,
        }
    }
}

/// What happens to the visit.
#[derive(Debug)]
pub enum Verdict {
    /// It is forwarded.
    Admit(Box<Admission>),
    /// We answer it.
    Answer(Box<Answer>),
}

/// A visit that may pass, with everything that forwarding it takes.
///
/// Only the gateway makes one, from a [`Permit`]:
///
/// ```compile_fail
/// use lychgate_gateway::outcome::Admission;
/// fn forward_anything(target: String) -> Admission {
///     Admission { target, ..unreachable!() }
/// }
/// ```
#[derive(Debug)]
pub struct Admission {
    permit: Permit,
    target: String,
    edits: HeaderEdits,
    cookie: ForUpstream,
    replay: Option<Box<Replay>>,
}

impl Admission {
    /// The one way to an admission.
    pub(crate) fn new(
        permit: Permit,
        target: String,
        edits: HeaderEdits,
        cookie: ForUpstream,
    ) -> Self {
        Self { permit, target, edits, cookie, replay: None }
    }

    /// The same, for a form that was kept: it goes in the place of the body that came.
    pub(crate) fn with_replay(self, replay: Replay) -> Self {
        Self { replay: Some(Box::new(replay)), ..self }
    }

    /// The form that goes in the place of the body that came.
    pub fn replay(&self) -> Option<&Replay> {
        self.replay.as_deref()
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        self.permit.rule().route()
    }

    /// Path and query for the upstream: the canonical path that was judged, rewritten, and the query as
    /// received.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The `Cookie` header.
    pub fn cookie(&self) -> &ForUpstream {
        &self.cookie
    }

    /// The request header edits.
    pub fn edits(&self) -> &HeaderEdits {
        &self.edits
    }
}

/// What we answer ourselves.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it stands in a box of its verdict, and most of them are refusals"
)]
pub enum Answer {
    /// Somewhere else.
    Redirect(Redirect),
    /// A page of ours.
    Page(Page),
    /// A refusal: a page for people, a problem document for programs.
    Refusal(Refusal),
    /// Who is signed in, as JSON.
    Me(Option<Arc<Session>>),
    /// A file of ours.
    Asset(Asset),
    /// A preflight's, with these headers.
    Preflight(HeaderMap),
    /// What a reason means, for whoever follows the type of a problem document.
    Reason(Reason),
    /// What a route asks of tokens (RFC 9728).
    Resource(Resource),
}

/// What clients are told about the tokens of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The route's URL.
    pub resource: String,
    /// Where tokens for it are to be had.
    pub authorization_servers: Vec<String>,
    /// What they have to be good for.
    pub scopes: Vec<String>,
}

/// A redirect, which leads to one of a few kinds of places.
#[derive(Debug)]
pub struct Redirect {
    to: Target,
    method: RedirectMethod,
}

#[derive(Debug)]
enum Target {
    EndSession(EndSessionUrl),
    Listed(Url),
    Ours(String),
    Provider(AuthorizationUrl),
    Return(ReturnTo),
}

/// Which status a redirect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectMethod {
    /// 302: of a page that was asked for.
    Found,
    /// 303: after something was done.
    SeeOther,
}

impl Redirect {
    /// To the provider, to sign in, from a request with the method `asked`. What was posted stays here (RFC 9700
    /// §4.12).
    pub(crate) fn to_provider(url: AuthorizationUrl, asked: &Method) -> Self {
        let method = match *asked {
            Method::GET | Method::HEAD => RedirectMethod::Found,
            _ => RedirectMethod::SeeOther,
        };
        Self { to: Target::Provider(url), method }
    }

    /// To the provider, to sign out.
    pub(crate) fn to_end_session(url: EndSessionUrl) -> Self {
        Self { to: Target::EndSession(url), method: RedirectMethod::SeeOther }
    }

    /// Back to where somebody wanted to go.
    pub(crate) fn back(to: ReturnTo) -> Self {
        Self { to: Target::Return(to), method: RedirectMethod::SeeOther }
    }

    /// To a page of ours: a path below our prefix, or such a path on the sign-in origin.
    pub(crate) fn to_ours(place: String, method: RedirectMethod) -> Self {
        Self { to: Target::Ours(place), method }
    }

    /// To a place that the operator listed.
    pub(crate) fn to_listed(place: Url) -> Self {
        Self { to: Target::Listed(place), method: RedirectMethod::SeeOther }
    }

    /// The `Location`.
    pub fn location(&self) -> &str {
        match &self.to {
            Target::EndSession(url) => url.as_str(),
            Target::Listed(url) => url.as_str(),
            Target::Ours(place) => place,
            Target::Provider(url) => url.as_str(),
            Target::Return(place) => place.as_str(),
        }
    }

    /// The status.
    pub fn method(&self) -> RedirectMethod {
        self.method
    }
}

/// A page that is not a refusal.
#[derive(Debug)]
pub enum Page {
    /// Where to sign in.
    ChooseProvider {
        /// The choices: label and our own link.
        choices: Vec<Choice>,
        /// Where the person wants to go, in words.
        destination: String,
    },
    /// A moment on the way to sign-in, in which a script adds the fragment to our own link.
    ContinueSignIn {
        /// Our own link.
        link: String,
    },
    /// Asks whether to sign out, when another site may have sent the browser here.
    ConfirmSignOut {
        /// Our own address, for a POST.
        action: String,
    },
    /// After sign-out.
    SignedOut {
        /// Whether the provider's session ended too.
        provider: ProviderSignOut,
        /// Our own link to sign in again, or the application's home.
        sign_in: String,
    },
    /// Who is signed in.
    SignedInAs {
        /// Whose it is, and how long it lasts.
        session: Arc<Session>,
        /// The operator's words for where they signed in.
        provider: String,
        /// Now.
        now: Timestamp,
        /// Our own link to sign out.
        sign_out: String,
    },
}

/// One way to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The operator's words for it.
    pub label: String,
    /// Our own link.
    pub link: String,
}

/// Whether the provider's session ended too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderSignOut {
    /// It did.
    Ended,
    /// The provider offers no sign-out, or did not confirm it.
    Unknown,
}

/// A file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// The one script.
    Script,
    /// The one style sheet.
    Style,
}

/// A visit that did not go through, and what the visitor may know of it.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Who reads the answer.
    pub client: Client,
    /// Our own link to sign in, which keeps the target.
    pub sign_in: Option<String>,
    /// Our own link to sign out.
    pub sign_out: Option<String>,
    /// Our own link to sign in as somebody else.
    pub other_account: Option<String>,
    /// Who is signed in, on a page that says so.
    pub identity: Option<Box<Identity>>,
    /// What is wrong with the token that was presented.
    pub token: Option<TokenFault>,
    /// The operator's words and the provider's.
    pub words: Words,
    /// For 405: what is allowed.
    pub allow: Option<&'static str>,
    /// For 503: when to come back.
    pub retry_after: Option<Duration>,
    /// What has most likely gone wrong, where the request shows it (R42).
    pub likely: Option<Likely>,
    /// What becomes of a form that was sent, where something can (R43).
    pub rescue: Option<Rescue>,
}

/// What has most likely gone wrong when people cannot get in, by what their browser sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// A session ends as soon as it begins: a clock is wrong.
    Clock,
    /// The session cookie does not come back.
    CookieNotReturned,
    /// The session cookie was sealed with a key that is not known here.
    DifferentKeys,
    /// No cookie of ours comes back.
    NoCookies,
    /// None of them does, and the browser is at http while cookies are for https.
    NoCookiesByPlainHttp,
    /// The browser is at http while cookies are for https.
    PlainHttp,
    /// What the browser sent does not show it.
    Unknown,
}

/// What a refusal adds to its own sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The policy's `explain`.
    pub explain: Option<String>,
    /// The policy's `help`.
    pub help: Option<Url>,
    /// The provider's error code: any where it answers a login, else only a known one.
    pub provider_code: Option<String>,
    /// The provider's description: foreign text, to be shown as such.
    pub provider_text: Option<String>,
    /// Where the provider says more, if it is a place that the operator listed.
    pub provider_link: Option<Box<Url>>,
    /// Whether trying again can help, where the provider's error tells (CB-43).
    pub retryable: Option<bool>,
}

impl Refusal {
    /// A refusal that says its reason and no more.
    pub fn new(reason: Reason, client: Client) -> Self {
        Self {
            reason,
            client,
            sign_in: None,
            sign_out: None,
            other_account: None,
            identity: None,
            token: None,
            words: Words::default(),
            allow: None,
            retry_after: None,
            likely: None,
            rescue: None,
        }
    }
}

/// What the logs say of a visit, from the closed vocabulary and the operator's own names.
#[derive(Debug, Default)]
pub struct Record {
    /// The route.
    pub route: Option<Arc<Route>>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What was decided.
    pub decision: DecisionWord,
    /// Why, when it was not `allow` or `public`.
    pub reason: Option<Reason>,
    /// The provider that the visit was about, unless the session says so.
    pub provider: Option<String>,
    /// Who is signed in.
    pub session: Option<Arc<Session>>,
    /// Whose token was presented, where it took the place of a session.
    pub token: Option<Arc<KnownToken>>,
    /// Something that the audit log is told.
    pub event: Option<Event>,
    /// What was done before that, and is told by itself, in order.
    pub legs: Vec<Leg>,
    /// The provider's own error code, where it is known to be one.
    pub provider_error: Option<String>,
    /// The chain of causes, for the log only.
    pub cause: Option<String>,
}

impl Record {
    /// Who is there, by a session or a token.
    pub fn identity(&self) -> Option<&Identity> {
        let of_session = self.session.as_deref().map(Session::identity);
        of_session.or_else(|| self.token.as_deref().map(KnownToken::identity))
    }

    /// The provider that the visit was about, which may be that of the session.
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref().or_else(|| self.identity().map(Identity::provider))
    }
}

/// The decision, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DecisionWord {
    /// A rule allows the signed-in person.
    Allow,
    /// A rule refuses them.
    Deny,
    /// Somebody has to sign in first.
    Login,
    /// One of our own pages.
    #[default]
    Own,
    /// A public rule.
    Public,
}

impl DecisionWord {
    /// As in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Login => "login",
            Self::Own => "own",
            Self::Public => "public",
        }
    }
}

/// Something that the audit log is told (CB-61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person was refused.
    AccessDenied,
    /// A browser was sent to a provider.
    LoginStarted {
        /// Which one.
        flow: String,
    },
    /// A login ended without a session.
    LoginFailed {
        /// Which one, when it could be told.
        flow: Option<String>,
    },
    /// A login was brought a second time.
    LoginReplayed {
        /// Which one.
        flow: String,
    },
    /// A login ended with a session.
    LoginSucceeded {
        /// Which one.
        flow: String,
    },
    /// A session was ended by its person.
    Logout,
    /// The provider was asked again, and gave a newer grant.
    Refreshed,
    /// The provider was asked again, and gave none.
    RefreshFailed,
    /// A token was presented that is not good here, or not known to be.
    TokenRefused,
}

/// A part of a login that the audit log is told by itself (CB-61).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Which part.
    pub kind: LegKind,
    /// Of which login, when it could be told.
    pub flow: Option<String>,
    /// Why it failed, if it did.
    pub reason: Option<Reason>,
    /// How long the provider took, where it was asked something.
    pub took: Option<Duration>,
}

/// Which part of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegKind {
    /// A browser came back to a login that it had begun, with an answer that nobody believes yet.
    CallbackReceived,
    /// The code was given for tokens, and everything asked that belongs to it.
    CodeExchanged,
    /// An ID token, beside the code or among the tokens, was not believed.
    IdTokenRefused,
    /// The request was pushed to the provider ahead of the browser (PAR).
    RequestPushed,
}

impl LegKind {
    /// As in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallbackReceived => "callback",
            Self::CodeExchanged => "code-exchange",
            Self::IdTokenRefused => "id-token",
            Self::RequestPushed => "pushed-request",
        }
    }
}

impl Event {
    /// As in the audit log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::AccessDenied => "access",
            Self::LoginStarted { .. } => "login-started",
            Self::LoginFailed { .. } => "login",
            Self::LoginReplayed { .. } => "login-replay",
            Self::LoginSucceeded { .. } => "login",
            Self::Logout => "logout",
            Self::Refreshed | Self::RefreshFailed => "token-refresh",
            Self::TokenRefused => "token",
        }
    }
}
