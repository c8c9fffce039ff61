//! A visit with an access token in the place of a session.
//!
//! What is known of a token is looked up, or verified, or asked for; then the route's scopes and rules are held
//! against it as they would be against a session. A token that is no good opens what is public and nothing else. What
//! is public makes nobody be asked: whose a token is there is known already, or can be computed, or does not matter.
//!
//! Sources: RFC 6750 §3; RFC 7662 §2; RFC 9728 §3.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request as HttpRequest, Response};
use lychgate_oidc::{
    AccessToken, AccessTokenError, AccessTokenRules, Metadata, PresentedJwt, Secret, Timestamp,
    introspection,
};

use super::conversation::{ask, moment};
use super::failure::chain;
use super::{Gateway, Provider, Site, refresh};
use crate::bearer::{
    Bearer, Circumstances, Introspection, KnownToken, Presented, TokenFault, TokenId, WELL_KNOWN,
};
use crate::client;
use crate::cors::Cors;
use crate::identity::Identity;
use crate::outcome::{Answer, DecisionWord, Event, Outcome, Record, Refusal, Resource, Words};
use crate::policy::{self, Decision, Denial, RuleName};
use crate::reason::Reason;
use crate::request::{Request, RequestId};
use crate::route::Route;
use crate::session::NoSession;
use crate::settings::SignInProvider;
use crate::world::{Introspected, Known, World};

/// For how long a verified token is not verified again. A key that its issuer withdraws counts for no longer.
const VERIFIED_FOR: Duration = Duration::from_secs(300);

/// How long an introspection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may be done to find out whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// Whatever takes no question to anybody.
    Recall,
    /// Everything.
    Ask,
}

/// Why nothing good is known of a token. With the cause, for the log.
enum Unknown {
    Refused(String),
    Unconfirmed(String),
}

impl Gateway {
    /// A visit that is met otherwise than a browser's, if it is one: a preflight, or one with a token.
    pub(super) async fn program<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        route: &Arc<Route>,
        now: Timestamp,
    ) -> Option<Outcome> {
        if let Some(permit) = policy::preflight(route, request.method, request.headers) {
            let cookie = site.cookies.read(request.headers).for_upstream;
            return Some(self.admission(request, permit, self.nobody(route), cookie));
        }
        if let Cors::Answer(rules) = &route.clients.cors
            && client::is_preflight(request.method, request.headers)
            && let Some(headers) = rules.preflight(request.headers)
        {
            let mut outcome = Outcome::answer(Answer::Preflight(headers));
            outcome.record.route = Some(Arc::clone(route));
            return Some(outcome);
        }
        let bearer = route.clients.bearer.as_ref()?;
        let known = match Presented::read(request.headers) {
            Presented::Nothing => return None,
            Presented::Malformed => {
                Err(Unknown::Refused("what was presented cannot be a token".to_owned()))
            }
            Presented::Token(token) => {
                let effort = self.effort(request, route);
                self.known_token(world, (route, bearer), (token, effort), &request.id, now).await
            }
        };
        Some(self.with_token(request, site, route, bearer, known))
    }

    /// Nobody's patience and no provider's is spent on a token that changes nothing about who may pass.
    fn effort(&self, request: &Request<'_>, route: &Arc<Route>) -> Effort {
        let (nobody, client) = (Err(NoSession::NoCookie), request.client.address());
        match policy::decide(route, request.method, &request.path, nobody, client) {
            Decision::Allow(_) => Effort::Recall,
            Decision::Challenge(_) | Decision::Refuse(_) => Effort::Ask,
        }
    }

    /// A visit with a token, of which this is known.
    fn with_token(
        &self,
        request: &Request<'_>,
        site: &Site,
        route: &Arc<Route>,
        bearer: &Bearer,
        known: Result<Arc<KnownToken>, Unknown>,
    ) -> Outcome {
        let client = request.client.address();
        let who = known.as_ref().map(|token| token.identity()).map_err(|_| NoSession::NoCookie);
        let mut outcome = match policy::decide(route, request.method, &request.path, who, client) {
            Decision::Allow(permit) => {
                let lacking = match &known {
                    Ok(token) if !permit.is_for_everybody() => {
                        token.lacks(&bearer.scopes).map(String::as_str).collect()
                    }
                    Ok(_) | Err(_) => Vec::new(),
                };
                if lacking.is_empty() {
                    let introduction = match &known {
                        Ok(token) => token.introduction(route, request.client.address()),
                        Err(_) => self.nobody(route),
                    };
                    let cookie = site.cookies.read(request.headers).for_upstream;
                    self.admission(request, permit, introduction, cookie)
                } else {
                    insufficient(request, permit.rule(), bearer, &lacking)
                }
            }
            Decision::Challenge(challenge) => {
                let (reason, cause) = match &known {
                    Err(Unknown::Unconfirmed(cause)) => (Reason::AccessTokenUnconfirmed, cause),
                    Err(Unknown::Refused(cause)) => (Reason::AccessTokenInvalid, cause),
                    // Nobody is challenged who is somebody.
                    Ok(_) => (Reason::AccessTokenInvalid, &String::new()),
                };
                refused(request, &challenge.rule, reason, cause)
            }
            Decision::Refuse(denial) => denied(request, denial),
        };
        outcome.record.token = known.ok();
        outcome
    }

    async fn known_token<W: World>(
        &self,
        world: &W,
        (route, bearer): (&Route, &Bearer),
        (token, effort): (&str, Effort),
        visit: &RequestId,
        now: Timestamp,
    ) -> Result<Arc<KnownToken>, Unknown> {
        let Some(&circumstances) = self.circumstances.get(&route.name) else {
            return Err(Unknown::Unconfirmed("the route's issuers are not known".to_owned()));
        };
        let id = TokenId::of(&circumstances, token);
        if let Some(known) = world.known_token(&id).filter(|known| known.is_good(now)) {
            return Ok(known);
        }
        let token = Secret::new(token);
        let known = match (bearer.introspection, PresentedJwt::read(&token)) {
            (Introspection::Always, _) | (Introspection::Opaque, Err(_)) => match effort {
                Effort::Ask => {
                    let token = (id, circumstances, token);
                    self.introspected(world, bearer, token, visit, now).await?
                }
                Effort::Recall => {
                    return Err(Unknown::Unconfirmed("nobody was asked about it".to_owned()));
                }
            },
            (Introspection::Never, Err(error)) => return Err(Unknown::Refused(chain(&error))),
            (Introspection::Never | Introspection::Opaque, Ok(jwt)) => {
                let issuer = self.issuer_of(world, bearer, &jwt)?;
                let token = (circumstances, token, effort);
                self.verified_jwt(world, issuer, &bearer.token, token, now).await?
            }
        };
        if !known.keep_for().is_zero() {
            world.remember_token(id, &known);
        }
        Ok(known)
    }

    /// The issuer that a token says it is of, if it is one of the route's.
    fn issuer_of<W: World>(
        &self,
        world: &W,
        bearer: &Bearer,
        jwt: &PresentedJwt<'_>,
    ) -> Result<(&Provider, Known), Unknown> {
        let mut silent = None;
        for provider in bearer.issuers.iter().filter_map(|name| self.provider(name)) {
            let registration = &provider.settings.registration;
            let known = world.provider(&registration.name);
            let published = known.as_ref().map_or(&registration.issuer, |it| &it.metadata.issuer);
            match (jwt.names(registration, published), known) {
                (true, Some(known)) => return Ok((provider, known)),
                (true, None) => silent = Some(&registration.name),
                (false, _) => {}
            }
        }
        match silent {
            // Nobody can say anything about it as long as the keys are not known.
            Some(name) => {
                Err(Unknown::Unconfirmed(format!("the metadata of provider {name} is not known")))
            }
            None => Err(Unknown::Refused("`iss` is none of the route's issuers".to_owned())),
        }
    }

    /// A JWT that its issuer's keys verify.
    async fn verified_jwt<W: World>(
        &self,
        world: &W,
        (provider, Known { metadata, keys }): (&Provider, Known),
        rules: &AccessTokenRules,
        (circumstances, token, effort): (Circumstances, Secret, Effort),
        now: Timestamp,
    ) -> Result<Arc<KnownToken>, Unknown> {
        let registration = &provider.settings.registration;
        let verify = |keys| {
            let jwt = PresentedJwt::read(&token)?;
            jwt.verify(registration, &metadata.issuer, rules, keys, now)
        };
        let mut verified = verify(&keys);
        if effort == Effort::Ask
            && verified.as_ref().is_err_and(AccessTokenError::may_pass_with_newer_keys)
        {
            let newer = world.newer_keys(&registration.name).await;
            verified = verify(&newer);
        }
        let verified = verified.map_err(|error| Unknown::Refused(chain(&error)))?;
        known(circumstances, verified, &provider.settings, VERIFIED_FOR, now)
            .map_err(Unknown::Refused)
    }

    /// A token that its issuer vouches for.
    async fn introspected<W: World>(
        &self,
        world: &W,
        bearer: &Bearer,
        (id, circumstances, token): (TokenId, Circumstances, Secret),
        visit: &RequestId,
        now: Timestamp,
    ) -> Result<Arc<KnownToken>, Unknown> {
        let provider = match &*bearer.issuers {
            [only] => self.provider(only),
            _ => None,
        };
        let Some(provider) = provider else {
            return Err(Unknown::Unconfirmed("there is not one issuer to ask".to_owned()));
        };
        let question = Question {
            provider: provider.settings.clone(),
            circumstances,
            rules: bearer.token.clone(),
            keep_for: bearer.introspection_cache,
            token,
            visit: visit.clone(),
        };
        let (there, patience) = (world.clone(), world.clone());
        let introspection = async move {
            let asked = question.ask(&there, now);
            patience.within(PATIENCE, asked).await.unwrap_or_else(|| {
                Introspected::Unanswered(format!("no answer within {} s", PATIENCE.as_secs()))
            })
        };
        match world.introspect_once(id, introspection).await {
            // Whoever asked first may have asked a moment ago.
            Introspected::Good(known) if known.is_good(now) => Ok(known),
            Introspected::Good(_) => Err(Unknown::Refused("the token has just ended".to_owned())),
            Introspected::Refused(cause) => Err(Unknown::Refused(cause)),
            Introspected::Unanswered(cause) => Err(Unknown::Unconfirmed(cause)),
        }
    }

    /// What clients are told about the tokens of a route, where the request asks for that.
    pub(super) fn resource(&self, request: &Request<'_>, site: &Site) -> Option<Outcome> {
        let path = request.path.as_str().strip_prefix(WELL_KNOWN)?;
        let path = path.trim_end_matches('/');
        let mut routes = self.settings.routes.at(&site.origin);
        let route = routes.find(|route| route.path == path)?;
        let bearer = route.clients.bearer.as_ref().filter(|bearer| bearer.metadata)?;
        let mut outcome = if matches!(*request.method, Method::GET | Method::HEAD) {
            let issuer =
                |name: &String| Some(self.provider(name)?.settings.registration.issuer.clone());
            Outcome::answer(Answer::Resource(Resource {
                resource: format!("{}{}", route.origin, route.path),
                authorization_servers: bearer.issuers.iter().filter_map(issuer).collect(),
                scopes: bearer.scopes.clone(),
            }))
        } else {
            let refusal = Refusal::new(Reason::MethodNotAllowed, request.kind());
            Outcome::refuse(Refusal { allow: Some("GET, HEAD"), ..refusal })
        };
        outcome.record.route = Some(Arc::clone(route));
        Some(outcome)
    }
}

/// One question about a token, with all that it takes.
struct Question {
    provider: SignInProvider,
    circumstances: Circumstances,
    rules: AccessTokenRules,
    keep_for: Duration,
    token: Secret,
    /// The first visit that wants to know.
    visit: RequestId,
}

impl Question {
    async fn ask<W: World>(&self, world: &W, now: Timestamp) -> Introspected {
        let registration = &self.provider.registration;
        let Some(Known { metadata, .. }) = world.provider(&registration.name) else {
            return Introspected::Unanswered("the provider's metadata is not known".to_owned());
        };
        let answer = match self.answer(world, &metadata, now).await {
            Ok(answer) => answer,
            Err(cause) => return Introspected::Unanswered(cause),
        };
        match introspection::receive(&answer, registration, &metadata, &self.rules, now) {
            Ok(token) => {
                match known(self.circumstances, token, &self.provider, self.keep_for, now) {
                    Ok(known) => Introspected::Good(known),
                    Err(cause) => Introspected::Refused(cause),
                }
            }
            Err(error) if error.is_about_the_provider() => Introspected::Unanswered(chain(&error)),
            Err(error) => Introspected::Refused(chain(&error)),
        }
    }

    async fn answer<W: World>(
        &self,
        world: &W,
        metadata: &Arc<Metadata>,
        now: Timestamp,
    ) -> Result<Response<Vec<u8>>, String> {
        let registration = &self.provider.registration;
        let moment = moment(world, registration, now).await.map_err(|failure| failure.cause)?;
        let (provider, metadata) = (Arc::clone(registration), Arc::clone(metadata));
        let token = self.token.clone();
        // It may have to be signed.
        let request =
            world.compute(move || introspection::request(&token, &provider, &metadata, moment));
        let request: HttpRequest<_> = request.await.map_err(|error| chain(&error))?;
        let endpoint = lychgate_oidc::Endpoint::Introspection;
        let answer = ask(world, registration, endpoint, request, &self.visit).await;
        answer.map_err(|failure| failure.cause)
    }
}

/// Whose token it is, to the rules and to the headers.
fn known(
    circumstances: Circumstances,
    token: AccessToken,
    provider: &SignInProvider,
    keep_for: Duration,
    now: Timestamp,
) -> Result<Arc<KnownToken>, String> {
    let identity = Identity::from_claims(&token.claims, provider);
    let identity = identity.map_err(|missing| missing.to_string())?;
    let AccessToken { scopes, good_until, .. } = token;
    Ok(Arc::new(KnownToken::new(circumstances, identity, scopes, good_until, keep_for, now)))
}

/// Whoever presents a token reads no pages.
fn program(request: &Request<'_>) -> client::Client {
    request.kind().without_pages()
}

fn refused(request: &Request<'_>, rule: &RuleName, reason: Reason, cause: &str) -> Outcome {
    let refusal = Refusal::new(reason, program(request));
    let refusal = if reason == Reason::AccessTokenUnconfirmed {
        Refusal { retry_after: Some(refresh::PATIENCE), ..refusal }
    } else {
        Refusal { token: Some(TokenFault::Invalid), ..refusal }
    };
    let mut outcome = Outcome::refuse(refusal);
    outcome.record = Record {
        route: Some(Arc::clone(rule.route())),
        rule: Some(rule.as_str().to_owned()),
        decision: DecisionWord::Login,
        reason: Some(reason),
        event: Some(Event::TokenRefused),
        cause: Some(cause.to_owned()),
        ..Record::default()
    };
    outcome
}

/// The token is good, and not for this.
fn insufficient(
    request: &Request<'_>,
    rule: &RuleName,
    bearer: &Bearer,
    lacking: &[&str],
) -> Outcome {
    let mut outcome = Outcome::refuse(Refusal {
        token: Some(TokenFault::Insufficient(bearer.scopes.clone())),
        ..Refusal::new(Reason::AccessTokenScopeMissing, program(request))
    });
    outcome.record.route = Some(Arc::clone(rule.route()));
    outcome.record.rule = Some(rule.as_str().to_owned());
    outcome.record.decision = DecisionWord::Deny;
    outcome.record.event = Some(Event::AccessDenied);
    outcome.record.cause = Some(format!("the token lacks: {}", lacking.join(" ")));
    outcome
}

fn denied(request: &Request<'_>, denial: Denial) -> Outcome {
    let reason = denial.because.reason();
    let mut outcome = Outcome::refuse(Refusal {
        // No scope would be enough: it is about whose token it is.
        token: Some(TokenFault::Insufficient(Vec::new())),
        words: Words {
            explain: denial.policy.explain.clone(),
            help: denial.policy.help.clone(),
            ..Words::default()
        },
        ..Refusal::new(reason, program(request))
    });
    outcome.record.route = Some(Arc::clone(denial.rule.route()));
    outcome.record.rule = Some(denial.rule.as_str().to_owned());
    outcome.record.decision = DecisionWord::Deny;
    outcome.record.event = Some(Event::AccessDenied);
    outcome
}
