//! What is asked of a provider after its tokens came, one question after the other, until it is known
//! who somebody is and whether they may enter.
//!
//! Lookups are asked in their order. Each may need what those before it found. At the end the vendor's
//! claims are translated, the subject is read where no ID token named it, and the memberships are
//! checked; only then is anybody believed.
//!
//! Sources: RFC 6749 §7; RFC 6750 §2.

use http::{Response, StatusCode};

use crate::claims::{self, VerifiedClaims};
use crate::exchange::{ExchangeError, Parties, SignedIn, Step};
use crate::id_token::is_subject;
use crate::lookup::{Lookup, LookupError, LookupToken, Page, Pages};
use crate::membership;
use crate::moment::Moment;
use crate::provider::Provider;
use crate::quirk;
use crate::secret::Secret;
use crate::service_account;
use crate::tokens::Tokens;

/// Somebody about whom there are questions left.
pub(crate) struct Inquiry {
    pub(crate) claims: VerifiedClaims,
    id_token: Option<Secret>,
    access_token: Option<Secret>,
    service_token: Option<Secret>,
    /// Which of the service account's scopes is tried.
    scope: usize,
    /// Which lookup is next, or under way.
    at: usize,
    pages: Pages,
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
    pub(crate) fn new(claims: VerifiedClaims, tokens: Tokens) -> Self {
        Self {
            claims,
            id_token: tokens.id_token,
            access_token: tokens.access_token,
            service_token: None,
            scope: 0,
            at: 0,
            pages: Pages::default(),
            before: None,
        }
    }

    pub(crate) fn access_token(&self) -> Result<&Secret, ExchangeError> {
        let missing = ExchangeError::MemberMissing { member: "access_token" };
        self.access_token.as_ref().ok_or(missing)
    }

    /// The next question, or the end.
    pub(crate) fn next(
        mut self: Box<Self>,
        parties: Parties,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        while let Some(lookup) = parties.provider.manner.lookups.get(self.at) {
            if !lookup.when.applies(&self.claims.members, self.before) {
                self.go_on(None);
                continue;
            }
            let token = match &lookup.token {
                LookupToken::ServiceAccount => &self.service_token,
                LookupToken::Query(_) | LookupToken::Scheme(_) => &self.access_token,
            };
            if lookup.token == LookupToken::ServiceAccount && token.is_none() {
                return self.ask_service_token(parties, moment);
            }
            let asked = match token {
                Some(token) => self.pages.request(lookup, &self.claims.members, token),
                None => Err(LookupError::TokenMissing),
            };
            match asked {
                Ok(request) => return Ok(parties.look_up(request, self)),
                Err(source) if lookup.required => return Err(failed(lookup, source)),
                Err(_) => self.go_on(None),
            }
        }
        self.believe(&parties.provider)
    }

    /// Reads the answer of a lookup.
    pub(crate) fn receive(
        mut self: Box<Self>,
        response: &Response<Vec<u8>>,
        parties: Parties,
        moment: Moment,
    ) -> Result<Step, ExchangeError> {
        let Some(lookup) = parties.provider.manner.lookups.get(self.at) else {
            return self.believe(&parties.provider);
        };
        match self.pages.receive(lookup, response) {
            Ok(Page::Next) => {}
            Ok(Page::Last(status)) => {
                std::mem::take(&mut self.pages).into_claims(&mut self.claims.members);
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

    fn believe(mut self: Box<Self>, provider: &Provider) -> Result<Step, ExchangeError> {
        let manner = &provider.manner;
        quirk::translate(&manner.quirks, &manner.groups_claim, &mut self.claims.members);
        if self.claims.subject.is_empty() {
            let claim = &manner.subject_claim;
            let subject = claims::find(&self.claims.members, claim).and_then(claims::word);
            let missing = || ExchangeError::SubjectMissing { claim: claim.clone() };
            self.claims.subject =
                subject.filter(|subject| is_subject(subject)).ok_or_else(missing)?;
        }
        refuse_lacking(provider, membership::lacking(&manner.memberships, &self.claims.members))?;
        let signed_in = SignedIn { claims: self.claims, id_token: self.id_token };
        Ok(Step::Believe(Box::new(signed_in)))
    }
}

fn failed(lookup: &Lookup, source: LookupError) -> ExchangeError {
    ExchangeError::Lookup { name: lookup.name.clone(), source }
}
