//! Who may pass: entries of `allow` and `deny`, and the decision they come to.
//!
//! Entries of a list are alternatives; the conditions of one entry must all hold; `deny` beats `allow`;
//! what a person lacks never matches (C-73). Nobody passes without a session unless the rule is public,
//! and [`decide`] is the only maker of a [`Permit`], so nothing is forwarded that it did not allow; but for a
//! [`preflight`] where the operator says so.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;
use url::Url;

use crate::client;
use crate::cors::Cors;
use crate::identity::Identity;
use crate::path::CanonicalPath;
use crate::reason::Reason;
use crate::route::{Access, Route};
use crate::session::NoSession;

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

/// A named rule allowed this visit. Only [`decide`] makes one, or [`preflight`].
///
/// ```compile_fail
/// use lychgate_gateway::policy::Permit;
/// let forged = Permit { rule: String::from("routes.app") };
/// ```
#[derive(Clone, Debug)]
pub struct Permit {
    rule: RuleName,
    is_for_everybody: bool,
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

impl DenialReason {
    /// The reason for pages, problem documents, logs and metrics.
    pub fn reason(self) -> Reason {
        match self {
            Self::Denied => Reason::AccessDenied,
            Self::NotAllowed => Reason::AccessNotGranted,
        }
    }
}

/// Decides one visit: the first rule that is about it, or else the route itself.
///
/// A path with several readings needs the permission of each of them, so an encoded delimiter never opens
/// what the path before it would not (B2).
pub fn decide(
    route: &Arc<Route>,
    method: &http::Method,
    path: &CanonicalPath,
    who: Result<&Identity, NoSession>,
    client: Option<IpAddr>,
) -> Decision {
    let mut permit = None;
    for reading in path.readings() {
        match decide_reading(route, method, reading, who, client) {
            // The path itself comes first, and its rule is the one to name, unless it asked for less than
            // what let the visit through.
            Decision::Allow(allowed) => {
                let weaker = |named: &Permit| named.is_for_everybody;
                if permit.as_ref().is_none_or(weaker) {
                    permit = Some(allowed);
                }
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

/// Lets a preflight through to an application that answers its own, whatever the rules say: it is a question about
/// them, without credentials, and nobody is introduced with it.
pub fn preflight(route: &Arc<Route>, method: &http::Method, headers: &HeaderMap) -> Option<Permit> {
    let passes = route.clients.cors == Cors::Pass && client::is_preflight(method, headers);
    let rule = RuleName { route: Arc::clone(route), rule: None };
    passes.then_some(Permit { rule, is_for_everybody: true })
}

fn decide_reading(
    route: &Arc<Route>,
    method: &http::Method,
    path: &str,
    who: Result<&Identity, NoSession>,
    client: Option<IpAddr>,
) -> Decision {
    let position = route.rules.iter().position(|rule| rule.is_about(method, path));
    let access =
        position.and_then(|at| route.rules.get(at)).map_or(&route.access, |rule| &rule.access);
    let rule = RuleName { route: Arc::clone(route), rule: position };
    let policy = match access {
        Access::Public => return Decision::Allow(Permit { rule, is_for_everybody: true }),
        Access::SignedIn(policy) => policy,
    };
    let identity = match who {
        Ok(identity) => identity,
        Err(because) => return Decision::Challenge(Challenge { because, rule }),
    };
    let refuse = |because| {
        Decision::Refuse(Denial { because, rule: rule.clone(), policy: Arc::clone(policy) })
    };
    if policy.deny.iter().any(|entry| entry.matches(identity, client)) {
        refuse(DenialReason::Denied)
    } else if policy.allow.iter().any(|entry| entry.matches(identity, client)) {
        Decision::Allow(Permit { rule, is_for_everybody: false })
    } else {
        refuse(DenialReason::NotAllowed)
    }
}

impl Permit {
    /// The rule that allowed the visit.
    pub fn rule(&self) -> &RuleName {
        &self.rule
    }

    /// Whether nobody had to be signed in for it.
    pub fn is_for_everybody(&self) -> bool {
        self.is_for_everybody
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
    pub(crate) fn matches(&self, identity: &Identity, client: Option<IpAddr>) -> bool {
        self.conditions.iter().all(|condition| condition.holds(identity, client))
    }
}

impl Condition {
    pub(crate) fn holds(&self, identity: &Identity, client: Option<IpAddr>) -> bool {
        match self {
            Self::Authenticated => true,
            Self::Claim { name, values } => {
                identity.claim(name).iter().any(|value| values.contains(value))
            }
            Self::Domain(domains) => identity.verified_email().is_some_and(|email| {
                // Everything after the only `@`: two of them make no address (CVE-2026-40574).
                email.split_once('@').is_some_and(|(local, domain)| {
                    !local.is_empty()
                        && !domain.contains('@')
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

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::identity::tests::{person, person_with_email};
    use crate::route::tests::{route, rule};

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn group(name: &str) -> Condition {
        Condition::Group(texts(&[name]))
    }

    fn all_of(conditions: &[&Condition]) -> Entry {
        Entry { conditions: conditions.iter().map(|condition| (*condition).clone()).collect() }
    }

    fn signed_in(allow: Vec<Entry>, deny: Vec<Entry>) -> Access {
        Access::SignedIn(Arc::new(Policy { allow, deny, ..Policy::default() }))
    }

    fn holds(condition: &Condition, identity: &Identity) -> bool {
        condition.holds(identity, None)
    }

    /// The decision in a word, and the rule that made it.
    fn decided(
        route: &Arc<Route>,
        method: &Method,
        path: &str,
        who: Result<&Identity, NoSession>,
    ) -> (&'static str, String) {
        let path = CanonicalPath::parse(path).unwrap();
        match decide(route, method, &path, who, None) {
            Decision::Allow(permit) => ("allow", permit.rule().as_str().to_owned()),
            Decision::Challenge(challenge) => ("challenge", challenge.rule.as_str().to_owned()),
            Decision::Refuse(denial) => match denial.because {
                DenialReason::Denied => ("denied", denial.rule.as_str().to_owned()),
                DenialReason::NotAllowed => ("not allowed", denial.rule.as_str().to_owned()),
            },
        }
    }

    /// C-73: entries are alternatives, the conditions of one must all hold, and `deny` beats `allow`.
    #[test]
    fn entries_are_alternatives_and_conditions_add_up() {
        let (sre, ops, ada) = (group("sre"), group("ops"), Condition::User(texts(&["ada"])));
        let nobody: &[Entry] = &[];
        for (allow, deny, expected) in [
            (&[all_of(&[&sre])][..], nobody, "allow"),
            (&[all_of(&[&ops])], nobody, "not allowed"),
            (&[all_of(&[&ops]), all_of(&[&sre])], nobody, "allow"),
            (&[all_of(&[&sre, &ada])], nobody, "allow"),
            (&[all_of(&[&sre, &ops])], nobody, "not allowed"),
            (&[all_of(&[&ada])], &[all_of(&[&sre])][..], "denied"),
            (&[all_of(&[&ada])], &[all_of(&[&sre, &ops])], "allow"),
            (&[all_of(&[&ada])], &[all_of(&[&ops]), all_of(&[&sre])], "denied"),
            (&[all_of(&[])], nobody, "allow"),
            (nobody, nobody, "not allowed"),
            (nobody, &[all_of(&[&ada])], "denied"),
        ] {
            let mut route = route("app", "https://app.test");
            route.access = signed_in(allow.to_vec(), deny.to_vec());
            let ada = person("ada", &["sre", "staff"]);
            let decision = decided(&Arc::new(route), &Method::GET, "/", Ok(&ada));
            assert_eq!(decision, (expected, "app".to_owned()), "{allow:?} {deny:?}");
        }
    }

    /// C-73, C-75, M4: what a person lacks never matches, and what they have is compared as it is.
    #[test]
    fn a_condition_holds_for_what_is_there() {
        let ada = person("ada", &["sre", "Staff"]);
        let claim = |name: &str, values: &[&str]| Condition::Claim {
            name: name.to_owned(),
            values: texts(values),
        };
        for (condition, expected) in [
            (Condition::Authenticated, true),
            (Condition::Group(texts(&["ops", "sre"])), true),
            (group("staff"), false),
            (group("sr"), false),
            (group(""), false),
            (Condition::Group(Vec::new()), false),
            (Condition::User(texts(&["ada"])), true),
            (Condition::User(texts(&["Ada"])), false),
            (Condition::User(texts(&["ada@example.com"])), false),
            (Condition::Provider(texts(&["guest", "corp"])), true),
            (Condition::Provider(texts(&["guest"])), false),
            (Condition::Email(texts(&["ADA@example.COM"])), true),
            (Condition::Email(texts(&["bob@example.com"])), false),
            (Condition::Domain(texts(&["example.com"])), true),
            (Condition::Domain(texts(&["com", "ample.com", ".example.com"])), false),
            (claim("amr", &["otp", "pwd"]), true),
            (claim("amr", &["otp"]), false),
            (claim("acr", &[""]), false),
            (claim("acr", &[]), false),
        ] {
            assert_eq!(holds(&condition, &ada), expected, "{condition:?}");
        }
    }

    /// An empty group among a person's, or in a rule, is not a way in; nor is having no group at all.
    #[test]
    fn nobody_is_in_the_empty_group() {
        for groups in [&[][..], &["staff"]] {
            let identity = person("ada", groups);
            assert!(!holds(&group(""), &identity), "{groups:?}");
            assert!(!holds(&Condition::Group(Vec::new()), &identity), "{groups:?}");
        }
    }

    /// CVE-2026-40574: an address with two `@` is of no domain.
    #[test]
    fn a_domain_is_what_follows_the_only_at_sign() {
        for (email, expected) in [
            ("ada@corp.test", true),
            ("ada@CORP.test", true),
            ("ada@evil.test@corp.test", false),
            ("ada@corp.test@evil.test", false),
            ("\"ada@corp.test\"@evil.test", false),
            ("ada@@corp.test", false),
            ("ada@sub.corp.test", false),
            ("ada@xcorp.test", false),
            ("ada@corp.test.", false),
            ("corp.test", false),
            ("ada@", false),
        ] {
            let identity = person_with_email(email, Some(true));
            let condition = Condition::Domain(texts(&["corp.test"]));
            assert_eq!(holds(&condition, &identity), expected, "{email}");
        }
    }

    /// M2: only a verified address counts, and saying nothing is not verifying.
    #[test]
    fn an_address_counts_only_when_it_is_verified() {
        for (verified, expected) in [(Some(true), true), (Some(false), false), (None, false)] {
            let identity = person_with_email("ada@corp.test", verified);
            for condition in [
                Condition::Domain(texts(&["corp.test"])),
                Condition::Email(texts(&["ada@corp.test"])),
            ] {
                assert_eq!(holds(&condition, &identity), expected, "{verified:?} {condition:?}");
            }
        }
    }

    /// GHSA-7jmw-8259-q9jx: an IPv4 address is the same in either notation; no address is in no network.
    #[test]
    fn a_network_holds_addresses_in_either_notation() {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"];
        let condition =
            Condition::Network(networks.iter().map(|text| text.parse().unwrap()).collect());
        for (address, expected) in [
            (Some("10.1.2.3"), true),
            (Some("::ffff:10.1.2.3"), true),
            (Some("::ffff:11.1.2.3"), false),
            (Some("::10.1.2.3"), false),
            (Some("2001:db8:1::1"), true),
            (Some("2001:db9::1"), false),
            (Some("192.0.2.1"), true),
            (Some("192.0.2.2"), false),
            (None, false),
        ] {
            let client = address.map(|text| text.parse().unwrap());
            assert_eq!(condition.holds(&person("ada", &[]), client), expected, "{address:?}");
        }
        let nowhere = Condition::Network(Vec::new());
        assert!(!nowhere.holds(&person("ada", &[]), Some([10, 0, 0, 1].into())));
        let everywhere = Condition::Network(vec!["0.0.0.0/0".parse().unwrap()]);
        assert!(!everywhere.holds(&person("ada", &[]), None));
    }

    fn guarded() -> Arc<Route> {
        let sre = || signed_in(vec![all_of(&[&group("sre")])], Vec::new());
        let mut route = route("app", "https://app.test");
        route.rules = vec![
            rule(Some("/admin/health"), &[Method::GET], Access::Public),
            rule(Some("/admin/**"), &[], sre()),
            rule(Some("/public/**"), &[], Access::Public),
            rule(Some("/public/secret"), &[], sre()),
            rule(Some("/foo/*/bar"), &[], Access::Public),
        ];
        Arc::new(route)
    }

    /// C-71, C-76: top to bottom, the first that is about the request; else the route itself.
    #[test]
    fn the_first_rule_that_is_about_a_request_decides() {
        let (bob, nobody) = (person("bob", &["sales"]), NoSession::NoCookie);
        for (method, path, for_nobody, for_bob, by) in [
            (Method::GET, "/admin/health", "allow", "allow", "rule /admin/health"),
            (Method::POST, "/admin/health", "challenge", "not allowed", "rule /admin/**"),
            (Method::GET, "/admin", "challenge", "not allowed", "rule /admin/**"),
            (Method::GET, "/public/secret", "allow", "allow", "rule /public/**"),
            (Method::GET, "/", "challenge", "allow", "app"),
            (Method::DELETE, "/x", "challenge", "allow", "app"),
        ] {
            let by = by.to_owned();
            let decision = decided(&guarded(), &method, path, Err(nobody));
            assert_eq!(decision, (for_nobody, by.clone()), "{method} {path}");
            let decision = decided(&guarded(), &method, path, Ok(&bob));
            assert_eq!(decision, (for_bob, by), "{method} {path}");
        }
    }

    /// B2, CVE-2026-41059: an encoded `#` or `?` opens nothing that the path before it would not.
    #[test]
    fn an_encoded_delimiter_never_opens_a_public_rule() {
        let bob = person("bob", &["sales"]);
        for (path, for_nobody, for_bob) in [
            ("/foo/x/bar", "allow", "allow"),
            ("/foo/secret%23/bar", "challenge", "allow"),
            ("/foo/secret%3F/bar", "challenge", "allow"),
            ("/foo/x/bar%23", "challenge", "allow"),
            ("/public/a%23b", "allow", "allow"),
            ("/public%23/x", "challenge", "allow"),
            ("/admin/x%23y", "challenge", "not allowed"),
            ("/admin%23/x", "challenge", "not allowed"),
        ] {
            let nobody = Err(NoSession::NoCookie);
            assert_eq!(decided(&guarded(), &Method::GET, path, nobody).0, for_nobody, "{path}");
            assert_eq!(decided(&guarded(), &Method::GET, path, Ok(&bob)).0, for_bob, "{path}");
        }
    }

    /// E: whatever is wrong with a session, it is nobody's.
    #[test]
    fn no_kind_of_missing_session_passes() {
        for because in [
            NoSession::Ended,
            NoSession::Expired,
            NoSession::Idle,
            NoSession::NoCookie,
            NoSession::OtherProvider,
            NoSession::SignedOut,
            NoSession::Unconfirmed,
            NoSession::Unreadable,
        ] {
            let path = CanonicalPath::parse("/").unwrap();
            let decision = decide(&guarded(), &Method::GET, &path, Err(because), None);
            let Decision::Challenge(challenge) = decision else { panic!("{decision:?}") };
            assert_eq!(challenge.because, because);
        }
    }

    /// 5.4: only a real preflight, and only where the operator says so, passes without a rule.
    #[test]
    fn only_a_preflight_passes_as_one() {
        let preflight_headers = HeaderMap::from_iter([
            (http::header::ORIGIN, http::HeaderValue::from_static("https://spa.test")),
            (http::header::ACCESS_CONTROL_REQUEST_METHOD, http::HeaderValue::from_static("PUT")),
        ]);
        let mut open = route("app", "https://app.test");
        open.clients.cors = Cors::Pass;
        let (open, closed) = (Arc::new(open), Arc::new(route("app", "https://app.test")));
        for (route, method, headers, expected) in [
            (&open, Method::OPTIONS, &preflight_headers, true),
            (&open, Method::GET, &preflight_headers, false),
            (&open, Method::OPTIONS, &HeaderMap::new(), false),
            (&closed, Method::OPTIONS, &preflight_headers, false),
        ] {
            let permit = preflight(route, &method, headers);
            assert_eq!(permit.is_some(), expected, "{method} {headers:?}");
            assert!(permit.is_none_or(|permit| permit.is_for_everybody()));
        }
    }
}
