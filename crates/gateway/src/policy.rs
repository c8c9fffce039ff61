//! Who may pass: entries of `allow` and `deny`, and the decision they come to.
//!
//! Entries of a list are alternatives; the conditions of one entry must all hold; `deny` beats `allow`;
//! what a person lacks never matches (C-73). Nobody passes without a session unless the rule is public,
//! and [`decide`] is the only maker of a [`Permit`], so nothing is forwarded that it did not allow.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::Url;

use crate::identity::Identity;
use crate::path::CanonicalPath;
use crate::route::{Access, Route};
use crate::session::{NoSession, Session};

/// A list of people who may pass and a list of those who may not.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The operator's name for it, if it has one.
    pub name: Option<String>,
    /// Whoever matches one of these may pass.
    pub allow: Vec<Entry>,
    /// Whoever matches one of these may not, whatever `allow` says.
    pub deny: Vec<Entry>,
    /// A sentence for those who may not.
    pub explain: Option<String>,
    /// A page for those who may not.
    pub help: Option<Url>,
}

/// Conditions that must all hold. One without conditions matches every signed-in person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// All of these.
    pub conditions: Vec<Condition>,
}

/// One property of a person or of their request; each holds when one of its values does.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Signed in at all.
    Authenticated,
    /// A claim has one of the values, compared as text.
    Claim {
        /// The claim's name, or a dotted path.
        name: String,
        /// Any of these.
        values: Vec<String>,
    },
    /// The verified e-mail address ends in one of these domains, in lower case.
    Domain(Vec<String>),
    /// The verified e-mail address, compared without regard to case.
    Email(Vec<String>),
    /// A member of one of these groups, compared exactly.
    Group(Vec<String>),
    /// The request comes from one of these networks. Peers without an address match none.
    Network(Vec<IpNet>),
    /// Signed in with one of these providers, by name.
    Provider(Vec<String>),
    /// One of these user names, compared exactly.
    User(Vec<String>),
}

/// A named rule allowed this visit. Only [`decide`] makes one.
///
/// ```compile_fail
/// use lychgate_gateway::policy::Permit;
/// let forged = Permit { rule: String::from("routes.app") };
/// ```
#[derive(Clone, Debug)]
pub struct Permit {
    rule: RuleName,
}

/// The place in the configuration that decided, as in logs: `routes.kibana.rules[0]`.
#[derive(Clone, Debug)]
pub struct RuleName {
    route: Arc<Route>,
    rule: Option<usize>,
}

/// What the rules say about a visit.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It may pass.
    Allow(Permit),
    /// Somebody has to sign in first.
    Challenge(Challenge),
    /// This person may not.
    Refuse(Denial),
}

/// Somebody has to sign in first.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// Why there is no session that counts.
    pub because: NoSession,
    /// The place that asked for one.
    pub rule: RuleName,
}

/// This person may not.
#[derive(Clone, Debug)]
pub struct Denial {
    /// Why.
    pub because: DenialReason,
    /// The place that said so.
    pub rule: RuleName,
    /// The policy, for its words to the visitor.
    pub policy: Arc<Policy>,
}

/// Why a signed-in person may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// An entry of `deny` is about them.
    Denied,
    /// No entry of `allow` is about them.
    NotAllowed,
}

/// Decides one visit: the first rule that is about it, or else the route itself.
///
/// A path with several readings needs the permission of each of them, so an encoded delimiter never opens
/// what the path before it would not (B2).
pub fn decide(
    route: &Arc<Route>,
    method: &http::Method,
    path: &CanonicalPath,
    session: Result<&Session, NoSession>,
    client: Option<IpAddr>,
) -> Decision {
    let mut permit = None;
    for reading in path.readings() {
        match decide_reading(route, method, reading, session, client) {
            // The first reading is the path itself, and its rule is the one to name.
            Decision::Allow(allowed) => {
                permit.get_or_insert(allowed);
            }
            other @ (Decision::Challenge(_) | Decision::Refuse(_)) => return other,
        }
    }
    match permit {
        Some(permit) => Decision::Allow(permit),
        None => Decision::Challenge(Challenge {
            because: NoSession::NoCookie,
            rule: RuleName { route: Arc::clone(route), rule: None },
        }),
    }
}

fn decide_reading(
    route: &Arc<Route>,
    method: &http::Method,
    path: &str,
    session: Result<&Session, NoSession>,
    client: Option<IpAddr>,
) -> Decision {
    let position = route.rules.iter().position(|rule| rule.is_about(method, path));
    let access =
        position.and_then(|at| route.rules.get(at)).map_or(&route.access, |rule| &rule.access);
    let rule = RuleName { route: Arc::clone(route), rule: position };
    let policy = match access {
        Access::Public => return Decision::Allow(Permit { rule }),
        Access::SignedIn(policy) => policy,
    };
    let identity = match session {
        Ok(session) => session.identity(),
        Err(because) => return Decision::Challenge(Challenge { because, rule }),
    };
    let refuse = |because| {
        Decision::Refuse(Denial { because, rule: rule.clone(), policy: Arc::clone(policy) })
    };
    if policy.deny.iter().any(|entry| entry.matches(identity, client)) {
        refuse(DenialReason::Denied)
    } else if policy.allow.iter().any(|entry| entry.matches(identity, client)) {
        Decision::Allow(Permit { rule })
    } else {
        refuse(DenialReason::NotAllowed)
    }
}

impl Permit {
    /// The rule that allowed the visit.
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }
}

impl RuleName {
    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Who may pass there.
    pub fn access(&self) -> &Access {
        self.rule
            .and_then(|at| self.route.rules.get(at))
            .map_or(&self.route.access, |rule| &rule.access)
    }

    /// The rule's name; the route's own when no rule of it was about the visit.
    pub fn as_str(&self) -> &str {
        self.rule
            .and_then(|at| self.route.rules.get(at))
            .map_or(&self.route.name, |rule| &rule.name)
    }
}

impl Entry {
    fn matches(&self, identity: &Identity, client: Option<IpAddr>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(identity, client))
    }
}

impl Condition {
    fn holds(&self, identity: &Identity, client: Option<IpAddr>) -> bool {
        match self {
            Self::Authenticated => true,
            Self::Claim { name, values } => {
                identity.claim(name).iter().any(|value| values.contains(value))
            }
            Self::Domain(domains) => identity.verified_email().is_some_and(|email| {
                // Everything after the only `@`: two of them make no address (CVE-2026-40574).
                email.split_once('@').is_some_and(|(_, domain)| {
                    !domain.contains('@')
                        && domains.iter().any(|allowed| domain.eq_ignore_ascii_case(allowed))
                })
            }),
            Self::Email(emails) => identity.verified_email().is_some_and(|email| {
                emails.iter().any(|allowed| email.eq_ignore_ascii_case(allowed))
            }),
            Self::Group(groups) => identity.groups().iter().any(|group| groups.contains(group)),
            Self::Network(networks) => client.is_some_and(|address| {
                networks.iter().any(|network| network.contains(&address.to_canonical()))
            }),
            Self::Provider(providers) => {
                providers.iter().any(|provider| provider == identity.provider())
            }
            Self::User(users) => users.iter().any(|user| user == identity.user()),
        }
    }
}
