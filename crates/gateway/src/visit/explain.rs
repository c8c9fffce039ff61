//! What would happen to a visit, and why: the same code as a visit, with an invented person and no network.
//!
//! The person's session is sealed into a cookie, the request is read, and [`Gateway::visit`] decides, exactly as it
//! does for a browser. What is told afterwards are the outcome's own words; nothing in here decides. An explanation
//! holds no cookie and no admission, so nobody can pass with one.
//!
//! Sources: requirements W-10 to W-13, W-21.

mod nowhere;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lychgate_oidc::Timestamp;

use self::nowhere::{Nowhere, at_once};
use super::{Gateway, Site};
use crate::bearer::{Bearer, Circumstances, KnownToken};
use crate::clients::LoginRule;
use crate::cookie::ForUpstream;
use crate::forwarded::{Peer, TrustedProxies};
use crate::identity::Identity;
use crate::login_state::LoginId;
use crate::outcome::{Admission, Answer, DecisionWord, Outcome, RedirectMethod, Verdict};
use crate::policy::{Condition, Entry, Policy};
use crate::reason::Reason;
use crate::request::{Malformed, Received, Request, Transport};
use crate::route::{Access, Found, Route};
use crate::session::{Session, SessionId};
use crate::settings::SignInProvider;

/// A request that nobody sent.
#[derive(Clone, Debug)]
pub struct Hypothesis {
    /// The method.
    pub method: Method,
    /// Path and query, as a client would write them.
    pub target: String,
    /// The host, and the port if it is not the scheme's.
    pub authority: String,
    /// Whether it comes over TLS.
    pub transport: Transport,
    /// The headers.
    pub headers: HeaderMap,
    /// The client's address. Without one no condition about networks holds.
    pub client: Option<IpAddr>,
    /// Who is signed in; nobody when absent.
    pub person: Option<Persona>,
}

/// Somebody who is supposed to be signed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persona {
    /// The user name.
    pub user: String,
    /// The display name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the provider calls the address verified.
    pub email_verified: bool,
    /// The groups.
    pub groups: Vec<String>,
    /// Other claims, by the name under which rules and headers read them.
    pub claims: BTreeMap<String, Vec<String>>,
    /// Where they signed in; at the first provider that the route accepts, when absent.
    pub provider: Option<String>,
}

/// Why a person cannot be imagined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unimaginable {
    /// There is no provider.
    #[error("nobody can be signed in, because no provider is configured")]
    NoProvider,
    /// The session would not fit into cookies.
    #[error("this person could not sign in: their session does not fit into cookies ({0})")]
    TooLarge(String),
    /// There is no provider of that name.
    #[error("there is no provider `{0}`")]
    UnknownProvider(String),
}

/// What would happen, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The request as the rules judge it; absent when it has no single meaning.
    pub request: Option<Seen>,
    /// The decision, as in the logs.
    pub decision: DecisionWord,
    /// The reason, as in the logs.
    pub reason: Option<Reason>,
    /// What the log would say beside the reason.
    pub cause: Option<String>,
    /// The rule that decided, as in the logs.
    pub rule: Option<String>,
    /// The status of our own answer; absent when the application answers.
    pub status: Option<StatusCode>,
    /// Where a redirect of ours leads.
    pub location: Option<String>,
    /// The route.
    pub route: Option<Arc<Route>>,
    /// Who is supposed to be signed in, and where.
    pub person: Option<Identity>,
    /// Where signed-out visitors of this place sign in: names of providers. Several are offered to choose from.
    pub sign_in: Vec<String>,
    /// Every rule that was looked at, for each reading of the path.
    pub looked_at: Vec<RuleTrace>,
    /// What the application would be told; absent when it is not asked.
    pub upstream: Option<Told>,
    /// The policy's words to the visitor.
    pub words: Option<String>,
}

/// The request in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Host and port.
    pub authority: String,
    /// The path.
    pub path: String,
    /// The client's address.
    pub client: Option<IpAddr>,
}

/// A rule that was looked at. The last one for a path, the route itself unless a rule was about it, decides.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTrace {
    /// The rule's name as in the logs; the route's own for the route itself.
    pub name: String,
    /// The reading of the path that it was asked about.
    pub path: String,
    /// The paths that it is about; all when absent.
    pub pattern: Option<String>,
    /// The methods that it is about; all when empty.
    pub methods: Vec<Method>,
    /// Whether it is about the request. Those that are not say nothing about people.
    pub is_about: bool,
    /// Who may pass.
    pub access: AccessTrace,
}

/// Who may pass at a rule, and which of the conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub enum AccessTrace {
    /// Everybody.
    Public,
    /// Whoever is signed in and whom these entries allow.
    SignedIn {
        /// The policy's name, if it has one.
        policy: Option<String>,
        /// Whoever matches one may pass.
        allow: Vec<EntryTrace>,
        /// Whoever matches one may not.
        deny: Vec<EntryTrace>,
    },
}

/// An entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryTrace {
    /// Whether all its conditions hold; absent for a visitor who is signed out.
    pub holds: Option<bool>,
    /// Its conditions.
    pub conditions: Vec<ConditionTrace>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub struct ConditionTrace {
    /// The condition in the operator's words: `group:sre`; values that are alternatives have `|` between them.
    pub text: String,
    /// Whether it holds; absent for a visitor who is signed out.
    pub holds: Option<bool>,
    /// What the person has of it.
    pub has: Vec<String>,
}

/// What the application would be told.
#[derive(Debug)]
pub struct Told {
    /// The upstream's name.
    pub name: String,
    /// Path and query.
    pub target: String,
    /// Every header, by name. Values that are secrets are marked sensitive.
    pub headers: Vec<ToldHeader>,
    /// The client's headers that it is not told.
    pub stripped: Vec<HeaderName>,
}

/// A header that the application would receive.
#[derive(Clone, Debug)]
pub struct ToldHeader {
    /// The name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
    /// Whether we wrote it. Otherwise it is the client's, passed on.
    pub is_ours: bool,
}

/// A text that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRequest {
    /// The method cannot be one.
    #[error("this is no method")]
    Method,
    /// The address does not begin with a scheme of ours.
    #[error("an address begins with `https://` or `http://`")]
    Scheme,
}

impl Hypothesis {
    /// A browser that opens a page at `url`, signed out.
    ///
    /// The path is taken as it is written and not brought into normal form first: what a gate makes of odd
    /// spellings is what one wants to know. A fragment is left out, as browsers do.
    ///
    /// # Errors
    /// [`NoRequest`].
    pub fn of_url(method: &str, url: &str) -> Result<Self, NoRequest> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| NoRequest::Method)?;
        let (scheme, rest) = url.split_once("://").ok_or(NoRequest::Scheme)?;
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "https" => Transport::Tls,
            "http" => Transport::Plain,
            _ => return Err(NoRequest::Scheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let slash = if target.starts_with(['/', '\\']) { "" } else { "/" };
        let page = [
            (header::ACCEPT, "text/html"),
            (HeaderName::from_static("sec-fetch-dest"), "document"),
            (HeaderName::from_static("sec-fetch-mode"), "navigate"),
        ];
        let page = page.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Ok(Self {
            method,
            target: format!("{slash}{target}"),
            authority: authority.to_owned(),
            transport,
            headers: page.into_iter().collect(),
            client: None,
            person: None,
        })
    }

    fn received<'a>(&'a self, headers: &'a HeaderMap, trusted: &'a TrustedProxies) -> Received<'a> {
        Received {
            method: &self.method,
            target: &self.target,
            authority: &self.authority,
            headers,
            peer: self.client.map_or(Peer::Unix, Peer::Address),
            trusted,
            transport: self.transport,
            fresh_id: "explain".into(),
        }
    }
}

impl Gateway {
    /// What would happen to `hypothesis` at `now`.
    ///
    /// # Errors
    /// [`Unimaginable`] when the person cannot be one who is signed in here.
    pub fn explain(
        &self,
        hypothesis: &Hypothesis,
        now: Timestamp,
    ) -> Result<Explanation, Unimaginable> {
        let mut headers = hypothesis.headers.clone();
        let nobody = TrustedProxies::default();
        let (site, route) = match Request::read(hypothesis.received(&headers, &nobody)) {
            Ok(request) => (
                self.sites.get(&request.authority),
                self.settings.routes.find(&request.authority, &request.path),
            ),
            Err(malformed) => return Ok(Explanation::refused(malformed)),
        };
        let mut world = Nowhere::of(self);
        let mut person = None;
        if let Some(persona) = &hypothesis.person {
            let provider = self.provider_of(persona, &route)?;
            let identity = Identity::imagined(persona, provider);
            if let Some(bearer) = bearer_of(&route, &identity) {
                // Whoever comes to programs' doors comes with a token that is good for all that is asked there.
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer explained"));
                let scopes = bearer.scopes.clone();
                world = world.with_token(KnownToken::new(
                    Circumstances::of(bearer, std::iter::once(provider)),
                    identity.clone(),
                    scopes,
                    None,
                    Duration::ZERO,
                    now,
                ));
            } else if let Some(site) = site {
                self.sign_in_as(&world, site, &identity, &mut headers, now)?;
            }
            person = Some(identity);
        }
        let request = match Request::read(hypothesis.received(&headers, &nobody)) {
            Ok(request) => request,
            Err(malformed) => return Ok(Explanation::refused(malformed)),
        };
        let outcome = at_once(self.visit(&world, &request, now));
        let mut told = self.told(&request, outcome, person);
        if matches!(route, Found::Ambiguous) && told.reason == Some(Reason::RequestMalformed) {
            let cause = "an application might cut the path at an encoded delimiter, and then it is another route's";
            told.cause.get_or_insert_with(|| cause.to_owned());
        }
        Ok(told)
    }

    fn provider_of(
        &self,
        persona: &Persona,
        found: &Found,
    ) -> Result<&SignInProvider, Unimaginable> {
        let accepted = match found {
            Found::Route(route) => {
                let bearer = route.clients.bearer.as_ref();
                route.providers.first().or_else(|| bearer?.issuers.first())
            }
            Found::Ambiguous | Found::Nothing | Found::Ours(_) => None,
        };
        match persona.provider.as_ref().or(accepted) {
            Some(name) => match self.provider(name) {
                Some(provider) => Ok(&provider.settings),
                None => Err(Unimaginable::UnknownProvider(name.clone())),
            },
            None => self.settings.providers.first().ok_or(Unimaginable::NoProvider),
        }
    }

    /// Puts the session cookie of somebody who has just signed in into `headers`.
    fn sign_in_as(
        &self,
        world: &Nowhere,
        site: &Site,
        identity: &Identity,
        headers: &mut HeaderMap,
        now: Timestamp,
    ) -> Result<(), Unimaginable> {
        let name = identity.provider();
        let Some(provider) = self.provider(name) else {
            return Err(Unimaginable::UnknownProvider(name.to_owned()));
        };
        let (id, login) = (SessionId::new([0; 16]), LoginId::of("explain"));
        let limits = &self.settings.sessions;
        let session = Session::begin(id, login, identity.clone(), None, limits, now);
        let lines = self
            .session_cookies(world, site, provider, &session, headers, now)
            .map_err(|error| Unimaginable::TooLarge(error.to_string()))?;
        let pairs = lines.iter().filter_map(|line| line.to_str().ok()?.split(';').next());
        let sent = headers.get(header::COOKIE).and_then(|sent| sent.to_str().ok());
        let all: Vec<&str> = sent.into_iter().chain(pairs).collect();
        if let Ok(cookie) = HeaderValue::try_from(all.join("; ")) {
            headers.insert(header::COOKIE, cookie);
        }
        Ok(())
    }

    fn told(
        &self,
        request: &Request<'_>,
        outcome: Outcome,
        person: Option<Identity>,
    ) -> Explanation {
        let Outcome { verdict, record, .. } = outcome;
        let client = request.client.address();
        let looked_at = record.route.as_ref().map_or_else(Vec::new, |route| {
            // Of somebody whose provider does not count here nothing is asked.
            let issuers = route.clients.bearer.iter().flat_map(|bearer| &bearer.issuers);
            let all: Vec<&String> = route.providers.iter().chain(issuers).collect();
            let counts = |person: &&Identity| all.iter().any(|name| *name == person.provider());
            looked_at(route, request, person.as_ref().filter(counts), client)
        });
        let sign_in = match (&record.decision, &record.route) {
            (DecisionWord::Login, Some(route)) if route.clients.login == LoginRule::Auto => {
                route.providers.clone()
            }
            _ => Vec::new(),
        };
        let (status, location, words, upstream) = match &verdict {
            Verdict::Admit(admission) => {
                (None, None, None, Some(self.told_upstream(request, admission)))
            }
            Verdict::Answer(answer) => {
                let (status, location) = status(answer);
                let words = if let Answer::Refusal(refusal) = &**answer {
                    refusal.words.explain.clone()
                } else {
                    None
                };
                (Some(status), location, words, None)
            }
        };
        Explanation {
            request: Some(Seen {
                authority: request.authority.clone(),
                path: request.path.as_str().to_owned(),
                client,
            }),
            decision: record.decision,
            reason: record.reason,
            cause: record.cause,
            rule: record.rule,
            status,
            location,
            route: record.route,
            person,
            sign_in,
            looked_at,
            upstream,
            words,
        }
    }

    fn told_upstream(&self, request: &Request<'_>, admission: &Admission) -> Told {
        let edits = admission.edits();
        let passes_on = |name: &HeaderName| edits.passes_on(name, &self.stripped);
        // The cookies are told apart below, and the host is always that of the route.
        let others = || {
            let named = |name: &HeaderName| *name != header::COOKIE && *name != header::HOST;
            request.headers.iter().filter(move |(name, _)| named(name))
        };
        let mut stripped: Vec<HeaderName> = Vec::new();
        for (name, _) in others().filter(|(name, _)| !passes_on(name)) {
            if !stripped.contains(name) {
                stripped.push(name.clone());
            }
        }
        let cookies: Vec<&HeaderValue> = match admission.cookie() {
            ForUpstream::AsSent => request.headers.get_all(header::COOKIE).iter().collect(),
            ForUpstream::Only(cookie) => vec![cookie],
            ForUpstream::Nothing => Vec::new(),
        };
        let cookies = cookies.into_iter().map(|cookie| (&header::COOKIE, cookie));
        let passed_on = others().filter(|(name, _)| passes_on(name));
        let ours = edits.apply(std::iter::empty());
        let sent = passed_on.chain(cookies);
        let headers = edits.apply(sent.map(|(name, value)| (name.clone(), value.clone())));
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| ToldHeader {
                name: name.clone(),
                value: value.clone(),
                is_ours: ours.contains_key(name),
            })
            .collect();
        headers.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        Told {
            name: admission.route().upstream.clone(),
            target: admission.target().to_owned(),
            headers,
            stripped,
        }
    }
}

/// The tokens of a route whose issuer, and no provider of it, somebody is known by.
fn bearer_of<'r>(found: &'r Found, identity: &Identity) -> Option<&'r Bearer> {
    let Found::Route(route) = found else { return None };
    let is_theirs = |name: &String| name == identity.provider();
    let bearer = route.clients.bearer.as_deref()?;
    let by_token = bearer.issuers.iter().any(is_theirs) && !route.providers.iter().any(is_theirs);
    by_token.then_some(bearer)
}

/// The status of an answer of ours, and where it leads.
fn status(answer: &Answer) -> (StatusCode, Option<String>) {
    match answer {
        Answer::Redirect(redirect) => {
            let status = match redirect.method() {
                RedirectMethod::Found => StatusCode::FOUND,
                RedirectMethod::SeeOther => StatusCode::SEE_OTHER,
            };
            (status, Some(redirect.location().to_owned()))
        }
        Answer::Refusal(refusal) => (refusal.reason.status(), None),
        Answer::Me(None) => (Reason::SessionRequired.status(), None),
        Answer::Asset(_)
        | Answer::Me(Some(_))
        | Answer::Page(_)
        | Answer::Reason(_)
        | Answer::Resource(_) => (StatusCode::OK, None),
        Answer::Preflight(_) => (StatusCode::NO_CONTENT, None),
    }
}

impl Explanation {
    /// Of a request that could mean two things, or nothing.
    fn refused(malformed: Malformed) -> Self {
        let reason = match malformed {
            Malformed::Method => Reason::MethodNotAllowed,
            Malformed::Authority | Malformed::Path(_) | Malformed::Query | Malformed::Repeated => {
                Reason::RequestMalformed
            }
        };
        Self {
            request: None,
            decision: DecisionWord::default(),
            reason: Some(reason),
            cause: Some(malformed.to_string()),
            rule: None,
            status: Some(reason.status()),
            location: None,
            route: None,
            person: None,
            sign_in: Vec::new(),
            looked_at: Vec::new(),
            upstream: None,
            words: None,
        }
    }
}

/// The rules in the order in which they were asked, for each reading of the path.
fn looked_at(
    route: &Route,
    request: &Request<'_>,
    person: Option<&Identity>,
    client: Option<IpAddr>,
) -> Vec<RuleTrace> {
    let mut traces = Vec::new();
    for reading in request.path.readings() {
        let mut decided = false;
        for rule in &route.rules {
            decided = rule.is_about(request.method, reading);
            traces.push(RuleTrace {
                name: rule.name.clone(),
                path: reading.to_owned(),
                pattern: rule.path.as_ref().map(|pattern| pattern.as_str().to_owned()),
                methods: rule.methods.clone(),
                is_about: decided,
                access: AccessTrace::of(&rule.access, person, client),
            });
            if decided {
                break;
            }
        }
        if !decided {
            traces.push(RuleTrace {
                name: route.name.clone(),
                path: reading.to_owned(),
                pattern: None,
                methods: Vec::new(),
                is_about: true,
                access: AccessTrace::of(&route.access, person, client),
            });
        }
    }
    traces
}

impl AccessTrace {
    fn of(access: &Access, person: Option<&Identity>, client: Option<IpAddr>) -> Self {
        let policy: &Policy = match access {
            Access::Public => return Self::Public,
            Access::SignedIn(policy) => policy,
        };
        let traces = |entries: &[Entry]| {
            entries.iter().map(|entry| EntryTrace::of(entry, person, client)).collect()
        };
        Self::SignedIn {
            policy: policy.name.clone(),
            allow: traces(&policy.allow),
            deny: traces(&policy.deny),
        }
    }
}

impl EntryTrace {
    fn of(entry: &Entry, person: Option<&Identity>, client: Option<IpAddr>) -> Self {
        let conditions = entry.conditions.iter();
        Self {
            holds: person.map(|person| entry.matches(person, client)),
            conditions: conditions
                .map(|condition| ConditionTrace::of(condition, person, client))
                .collect(),
        }
    }
}

impl ConditionTrace {
    fn of(condition: &Condition, person: Option<&Identity>, client: Option<IpAddr>) -> Self {
        let texts = |values: &[String]| values.join("|");
        let text = match condition {
            Condition::Authenticated => "authenticated".to_owned(),
            Condition::Claim { name, values } => format!("claim:{name}={}", texts(values)),
            Condition::Domain(domains) => format!("domain:{}", texts(domains)),
            Condition::Email(emails) => format!("email:{}", texts(emails)),
            Condition::Group(groups) => format!("group:{}", texts(groups)),
            Condition::Network(networks) => {
                let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
                format!("network:{}", texts(&networks))
            }
            Condition::Provider(providers) => format!("provider:{}", texts(providers)),
            Condition::User(users) => format!("user:{}", texts(users)),
        };
        let has = person.map(|person| match condition {
            Condition::Authenticated => Vec::new(),
            Condition::Claim { name, .. } => person.claim(name).to_vec(),
            Condition::Domain(_) | Condition::Email(_) => {
                person.verified_email().map(str::to_owned).into_iter().collect()
            }
            Condition::Group(_) => person.groups().to_vec(),
            Condition::Network(_) => client.map(|client| client.to_string()).into_iter().collect(),
            Condition::Provider(_) => vec![person.provider().to_owned()],
            Condition::User(_) => vec![person.user().to_owned()],
        });
        Self {
            text,
            holds: person.map(|person| condition.holds(person, client)),
            has: has.unwrap_or_default(),
        }
    }
}
