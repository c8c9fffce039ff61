//! A configuration that is asked what it would do, without its secrets and without a network.
//!
//! The gateway inside is the real one, and it can only [explain](Rehearsal::explain): it has no key that anybody
//! else has, and stand-ins for every secret. So `explain` and `test` run where the secrets are not, as in a
//! pipeline, and what they print gives none away.
//!
//! Sources: requirements W-10 to W-13, W-20, W-21, W-23.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lychgate_gateway::Gateway;
use lychgate_gateway::explain::{AccessTrace, EntryTrace, Explanation, Hypothesis, Unimaginable};
use lychgate_gateway::outcome::DecisionWord;
use lychgate_gateway::route::Access;
use lychgate_gateway::seal::{Key, KeyRing};
use lychgate_oidc::{Algorithm, ClientAuth, Provider, RequestObjectSigner, Timestamp};

use crate::check::tests::DECISIONS;
use crate::config::{Config, Expectation, ExpectedDecision, Test};
use crate::file::Position;
use crate::load::Summary;
use crate::problem::Report;

/// A configuration that can be asked and not served.
#[derive(Debug)]
pub struct Rehearsal {
    /// Warnings, perhaps none.
    pub warnings: Report,
    /// What was found, in a line.
    pub summary: Summary,
    gateway: Gateway,
    tests: Vec<Test>,
    origins: BTreeMap<String, Position>,
}

/// How a test ended.
#[derive(Debug)]
pub struct TestResult {
    /// What was expected and is otherwise; empty when the test passed.
    pub mismatches: Vec<Mismatch>,
    /// What happened, and why.
    pub explanation: Explanation,
}

/// Something that was expected and is otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What: `decision`, or `upstream header x-user`.
    pub what: String,
    /// As expected.
    pub expected: String,
    /// As it is.
    pub actual: String,
}

/// Which rules the tests reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every route, rule and entry of `deny`, by its name in full, and whether a test reached it.
    pub rules: BTreeMap<String, bool>,
}

impl Coverage {
    /// How many were reached.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.rules.values().filter(|reached| **reached).count()
    }

    /// Those that no test reached.
    pub fn unreached(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter(|(_, reached)| !**reached).map(|(name, _)| name.as_str())
    }

    /// Hundredths that were reached, rounded down; 100 where there is nothing to reach.
    #[must_use]
    pub fn percent(&self) -> usize {
        (self.reached() * 100).checked_div(self.rules.len()).unwrap_or(100)
    }
}

/// The keys of a configuration whose secrets were left alone are stand-ins, which sign with one algorithm; and the
/// provider's own keys are not known.
fn sign_with_stand_ins(registration: &mut Provider) {
    if let ClientAuth::Key { algorithm, .. } = &mut registration.client_auth {
        *algorithm = Algorithm::ES256;
    }
    if let Some(dpop) = &mut registration.dpop {
        dpop.algorithm = Algorithm::ES256;
    }
    if let Some(object) = &mut registration.authorization.request_object {
        object.encryption = None;
        if let RequestObjectSigner::Key { algorithm, .. } = &mut object.signer {
            *algorithm = Algorithm::ES256;
        }
    }
}

impl Rehearsal {
    pub(crate) fn new(
        config: Config,
        warnings: Report,
        summary: Summary,
        origins: BTreeMap<String, Position>,
    ) -> Option<Self> {
        // Nobody else has a cookie that was sealed with it, and none that is sealed here leaves.
        let keys = KeyRing::new(vec![Key::new([0; 32])]).ok()?;
        let mut settings = config.gateway.settings(keys);
        for provider in &mut settings.providers {
            sign_with_stand_ins(Arc::make_mut(&mut provider.registration));
        }
        let gateway = Gateway::new(settings);
        Some(Self { warnings, summary, gateway, tests: config.tests, origins })
    }

    /// What would happen to a request.
    ///
    /// # Errors
    /// [`Unimaginable`] when nobody like that could be signed in.
    pub fn explain(
        &self,
        hypothesis: &Hypothesis,
        now: Timestamp,
    ) -> Result<Explanation, Unimaginable> {
        self.gateway.explain(hypothesis, now)
    }

    /// The tests, in the order in which they were written.
    #[must_use]
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Where a route, a rule or an entry stands, by its name in full.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<&Position> {
        self.origins.get(name)
    }

    /// Runs one test.
    ///
    /// # Errors
    /// As [`explain`](Self::explain).
    pub fn run(&self, test: &Test, now: Timestamp) -> Result<TestResult, Unimaginable> {
        let explanation = self.explain(&test.hypothesis, now)?;
        Ok(TestResult { mismatches: mismatches(&test.expect, &explanation), explanation })
    }

    /// Which rules `explanations` reached.
    #[must_use]
    pub fn coverage<'a>(
        &self,
        explanations: impl IntoIterator<Item = &'a Explanation>,
    ) -> Coverage {
        let reached: BTreeSet<String> = explanations.into_iter().flat_map(reached).collect();
        let names = self.rules();
        let rules = names.map(|name| (name.clone(), reached.contains(&name)));
        Coverage { rules: rules.collect() }
    }

    fn rules(&self) -> impl Iterator<Item = String> {
        let routes = &self.gateway.settings().routes;
        routes.origins().iter().flat_map(|origin| routes.at(origin)).flat_map(|route| {
            let rules = route.rules.iter().map(|rule| (full_name(&rule.name), &rule.access));
            let own = std::iter::once((full_name(&route.name), &route.access));
            own.chain(rules).flat_map(|(name, access)| {
                let denials = match access {
                    Access::Public => Vec::new(),
                    Access::SignedIn(policy) => (0..policy.deny.len())
                        .map(|index| entry_name(&name, policy.name.as_deref(), "deny", index))
                        .collect(),
                };
                std::iter::once(name).chain(denials)
            })
        })
    }
}

/// A rule's or a route's name as it stands in the configuration, for its name in the logs.
#[must_use]
pub fn full_name(rule: &str) -> String {
    // The names of rules are full already, and no name of a route has a dot in it.
    if rule.contains('.') { rule.to_owned() } else { format!("routes.{rule}") }
}

/// The name in full of an entry of `allow` or `deny` of the rule with that full name.
#[must_use]
pub fn entry_name(rule: &str, policy: Option<&str>, list: &str, index: usize) -> String {
    match policy {
        Some(policy) => format!("policies.{policy}.{list}[{index}]"),
        None => format!("{rule}.{list}[{index}]"),
    }
}

/// The rules and denials that decided something.
fn reached(explanation: &Explanation) -> Vec<String> {
    let mut reached = Vec::new();
    for rule in explanation.looked_at.iter().filter(|rule| rule.is_about) {
        let name = full_name(&rule.name);
        if let AccessTrace::SignedIn { policy, deny, .. } = &rule.access {
            let hits = |(_, entry): &(usize, &EntryTrace)| entry.holds == Some(true);
            let hits = deny.iter().enumerate().filter(hits);
            reached
                .extend(hits.map(|(index, _)| entry_name(&name, policy.as_deref(), "deny", index)));
        }
        reached.push(name);
    }
    reached
}

fn mismatches(expect: &Expectation, actual: &Explanation) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut compare = |what: &str, expected: String, actual: String, agrees: bool| {
        if !agrees {
            mismatches.push(Mismatch { what: what.to_owned(), expected, actual });
        }
    };
    let absent = || "none".to_owned();
    if let Some(expected) = expect.decision {
        let decided = decision(actual);
        compare("decision", word(expected), word(decided), expected == decided);
    }
    if let Some(rule) = &expect.rule {
        let decided = actual.rule.as_deref().map_or_else(absent, full_name);
        compare("rule", full_name(rule), decided, actual.rule.as_ref() == Some(rule));
    }
    if let Some(status) = expect.status {
        let answered = actual.status.map(|status| status.as_u16());
        let shown =
            answered.map_or_else(|| "the application's".to_owned(), |status| status.to_string());
        compare("status", status.to_string(), shown, answered == Some(status));
    }
    if let Some(reason) = &expect.reason {
        let given = actual.reason.map(|reason| reason.code());
        let shown = given.map_or_else(absent, str::to_owned);
        compare("reason", reason.clone(), shown, given == Some(reason.as_str()));
    }
    if let Some(provider) = &expect.provider {
        let offered = match (&*actual.sign_in, &actual.person) {
            ([], Some(person)) => vec![person.provider().to_owned()],
            (offered, _) => offered.to_vec(),
        };
        let shown = if offered.is_empty() { absent() } else { offered.join(", ") };
        compare("provider", provider.clone(), shown, offered.contains(provider));
    }
    for (name, expected) in &expect.upstream_headers {
        let found: Vec<String> = actual
            .upstream
            .iter()
            .flat_map(|told| &told.headers)
            .filter(|header| header.name == *name)
            .map(|header| {
                if header.value.is_sensitive() {
                    "‹secret›".to_owned()
                } else {
                    String::from_utf8_lossy(header.value.as_bytes()).into_owned()
                }
            })
            .collect();
        let shown = match (&actual.upstream, &*found) {
            (None, _) => "the application is not asked".to_owned(),
            (Some(_), []) => absent(),
            (Some(_), found) => found.join(", "),
        };
        let agrees = actual.upstream.is_some()
            && expected.as_ref().map_or(found.is_empty(), |expected| found == [expected.clone()]);
        let expected = expected.clone().unwrap_or_else(absent);
        compare(&format!("upstream header {name}"), expected, shown, agrees);
    }
    mismatches
}

/// What was decided, as tests speak of it.
#[must_use]
pub fn decision(explanation: &Explanation) -> ExpectedDecision {
    match (explanation.decision, explanation.reason) {
        (DecisionWord::Own, Some(_)) => ExpectedDecision::Refuse,
        (word, _) => ExpectedDecision::Word(word),
    }
}

fn word(decision: ExpectedDecision) -> String {
    DECISIONS
        .iter()
        .find(|(_, known)| *known == decision)
        .map_or_else(String::new, |(word, _)| (*word).to_owned())
}
