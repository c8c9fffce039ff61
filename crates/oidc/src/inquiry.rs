//! What is asked of a provider after its tokens came, one question after the other, until it is known
//! who somebody is and whether they may enter.
//!
//! Lookups are asked in their order. Each may need what those before it found. At the end the vendor's
//! claims are translated, the subject is read where no ID token named it, and the memberships are
//! checked; only then is anybody believed.
//!
//! Sources: RFC 6749 §7; RFC 6750 §2; RFC 9449 §7.1, §9.

use http::{Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use crate::claims::VerifiedClaims;
use crate::dpop::Dpop;
use crate::exchange::{ExchangeError, Parties, SignedIn, Step};
use crate::json::Object;
use crate::lookup::{Lookup, LookupError, LookupToken, Page, Pages};
use crate::membership;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::quirk;
use crate::secret::Secret;
use crate::service_account;

/// Somebody about whom there are questions left.
pub(crate) struct Inquiry {
    /// What is known of them so far.
    pub(crate) signed_in: SignedIn,
    service_token: Option<Secret>,
    /// Which of the service account's scopes is tried.
    scope: usize,
    /// Which lookup is next, or under way.
    at: usize,
    pages: Pages,
    /// What the server of the lookup under way wants in the proof of possession, once it said so.
    nonce: Option<String>,
    /// How the lookup before was answered, if it was made.
    before: Option<StatusCode>,
}

/// What the ID token alone has to say.
pub(crate) fn check_id_token(
    provider: &Provider,
    claims: &VerifiedClaims,
) -> Result<(), ExchangeError> {
    let memberships = provider.manner.memberships.iter().filter(|one| one.in_id_token);
    let memberships: Vec<_> = memberships.cloned().collect();
    refuse_lacking(provider, membership::lacking(&memberships, &claims.members))
}

fn refuse_lacking(provider: &Provider, lacking: Vec<String>) -> Result<(), ExchangeError> {
    if lacking.is_empty() {
        return Ok(());
    }
    let hint = provider.manner.membership_hint.clone();
    Err(ExchangeError::MembershipRequired { lacking, hint })
}

impl Inquiry {
    pub(crate) fn new(signed_in: SignedIn) -> Self {
        Self {
            signed_in,
            service_token: None,
            scope: 0,
            at: 0,
            pages: Pages::default(),
            nonce: None,
            before: None,
        }
    }

    /// Notes what the server that was just asked wants in the proof. `false`: it had it already.
    pub(crate) fn take_nonce(&mut self, nonce: &str) -> bool {
        let is_first = self.nonce.is_none();
        self.nonce.get_or_insert_with(|| nonce.to_owned());
        is_first
    }

    pub(crate) fn access_token(&self) -> Result<&Secret, ExchangeError> {
        let missing = ExchangeError::MemberMissing { member: "access_token" };
        self.signed_in.grant.access_token().ok_or(missing)
    }

    /// The next question, or the end.
    pub(crate) fn next(
        mut self: Box<Self>,
        parties: Parties,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        while let Some(lookup) = parties.provider.manner.lookups.get(self.at) {
            let members = &self.signed_in.claims.members;
            if !lookup.when.applies(members, self.before) {
                self.go_on(None);
                continue;
            }
            let token = match &lookup.token {
                LookupToken::ServiceAccount => self.service_token.as_ref(),
                LookupToken::Query(_) | LookupToken::Scheme(_) => {
                    self.signed_in.grant.access_token()
                }
            };
            if lookup.token == LookupToken::ServiceAccount && token.is_none() {
                return self.ask_service_token(parties, moment);
            }
            let asked = match token {
                Some(token) => {
                    let key = parties.provider.dpop.as_ref();
                    let nonce = self.nonce.as_deref();
                    let mut prove = |request: &mut Request<Vec<u8>>, url: &Url| {
                        let prove =
                            |key: &Dpop| key.prove(request, url, Some(token), nonce, &mut moment);
                        key.map(prove).transpose()
                    };
                    self.pages.request(lookup, members, token, &mut prove)
                }
                None => Err(LookupError::TokenMissing),
            };
            match asked {
                Ok(request) => return Ok(parties.look_up(request, self)),
                Err(source) if lookup.required => return Err(failed(lookup, source)),
                Err(_) => self.go_on(None),
            }
        }
        self.believe(&parties, moment)
    }

    /// Reads the answer of a lookup.
    pub(crate) fn receive(
        mut self: Box<Self>,
        response: &Response<Vec<u8>>,
        parties: Parties,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        self.nonce = None;
        let Some(lookup) = parties.provider.manner.lookups.get(self.at) else {
            return self.believe(&parties, moment);
        };
        match self.pages.receive(lookup, response) {
            Ok(Page::Next) => {}
            Ok(Page::Last(status)) => {
                let members = &mut self.signed_in.claims.members;
                std::mem::take(&mut self.pages).into_claims(members);
                if !self.signed_in.complete {
                    say_what_is_gone(lookup, members);
                }
                self.go_on(Some(status));
            }
            Err(error @ ExchangeError::RateLimited { .. }) => return Err(error),
            Err(error) if lookup.required => return Err(error),
            Err(_) => self.go_on(None),
        }
        self.next(parties, moment)
    }

    /// Reads the service account's token, or tries another scope.
    pub(crate) fn receive_service_token(
        mut self: Box<Self>,
        response: &Response<Vec<u8>>,
        parties: Parties,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        match service_account::receive(response)? {
            Some(token) => {
                self.service_token = Some(token);
                self.next(parties, moment)
            }
            None => {
                self.scope += 1;
                self.ask_service_token(parties, moment)
            }
        }
    }

    fn ask_service_token(
        self: Box<Self>,
        parties: Parties,
        mut moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let account = parties.provider.manner.service_account.as_ref();
        let request = account.and_then(|account| account.request(self.scope, &mut moment));
        match request {
            Some(request) => Ok(parties.ask_service_token(request, self)),
            None => Err(ExchangeError::ServiceAccountRefused),
        }
    }

    fn go_on(&mut self, status: Option<StatusCode>) {
        self.pages = Pages::default();
        self.before = status;
        self.at += 1;
    }

    fn believe(
        mut self: Box<Self>,
        parties: &Parties,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let provider = &parties.provider;
        let manner = &provider.manner;
        let members = &mut self.signed_in.claims.members;
        quirk::translate(&manner.quirks, &manner.groups_claim, members);
        let SignedIn { claims, complete, id_token, grant } = self.signed_in;
        let claims = parties.named(claims, complete, moment)?;
        let lacking = match complete {
            true => membership::lacking(&manner.memberships, &claims.members),
            false => membership::lost(&manner.memberships, &claims.members),
        };
        refuse_lacking(provider, lacking)?;
        Ok(Step::Believe(Box::new(SignedIn { claims, complete, id_token, grant })))
    }
}

/// After a refresh without an ID token, what is not said stays as it was. A lookup that was answered says all there
/// is, so a list that it found nothing for is empty now (H12).
fn say_what_is_gone(lookup: &Lookup, members: &mut Object) {
    for read in lookup.reads.iter().filter(|read| read.every) {
        members.entry(read.claim.clone()).or_insert_with(|| Value::Array(Vec::new()));
    }
}

fn failed(lookup: &Lookup, source: LookupError) -> ExchangeError {
    ExchangeError::Lookup { name: lookup.name.clone(), source }
}
