//! Asking the provider again who somebody is, when the access token of their session is about to end.
//!
//! A refresh token is used once, whoever comes with it and however often: the world does the refresh for all of
//! them and keeps the answer for a while, because a browser that sent ten requests brings the old cookie ten
//! times. What the provider says now is what counts from now on (H12). That it does not answer signs nobody out
//! (R2); that it refuses does, everywhere (R3).
//!
//! Sources: RFC 6749 §6; RFC 9700 §4.14; OIDC Core §12.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use lychgate_oidc::grant::{self, Held};
use lychgate_oidc::{ExchangeError, Grant, SignedIn, Timestamp};

use super::conversation::{believed_or_kept, moment, tell_visit};
use super::{Gateway, OpenSession, Opened, Provider, Site};
use crate::outcome::Event;
use crate::request::{Request, RequestId};
use crate::session::{NoSession, Session};
use crate::world::{GrantId, Known, Refreshed, World};

/// When to come back to a provider that did not answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no session that counts, and what the log is told of it.
pub(super) struct Unconfirmed {
    pub(super) because: NoSession,
    pub(super) cause: Option<String>,
    /// The session all the same, with what the provider renewed before it failed.
    pub(super) cookies: Vec<HeaderValue>,
}

impl From<NoSession> for Unconfirmed {
    fn from(because: NoSession) -> Self {
        Self { because, cause: None, cookies: Vec::new() }
    }
}

impl Gateway {
    /// The session that was `brought`, confirmed by the provider where that is due.
    pub(super) async fn confirmed<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        brought: Result<Arc<OpenSession>, NoSession>,
        now: Timestamp,
    ) -> Result<Opened, Unconfirmed> {
        let opened = self.judge(world, request, site, brought?, now)?;
        if opened.session.due_for_refresh(now).is_none() {
            return Ok(opened);
        }
        // Apart, because few visits need the room that it takes.
        Box::pin(self.confirm(world, request, site, opened, now)).await
    }

    async fn confirm<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        mut opened: Opened,
        now: Timestamp,
    ) -> Result<Opened, Unconfirmed> {
        let limits = self.settings.sessions.refresh;
        let provider = self.provider(opened.session.identity().provider());
        let (Some(limits), Some(provider), Some((refresh_token, expires_at))) =
            (limits, provider, opened.session.due_for_refresh(now))
        else {
            return Ok(opened);
        };
        let registration = &provider.settings.registration;
        let id = GrantId::of(opened.session.id(), refresh_token, expires_at);
        let refresh_token = refresh_token.clone();
        let identity = opened.session.identity();
        let subject = identity.subject().to_owned();
        let sub = identity.sub().map(str::to_owned);
        let held = Held { refresh_token, subject, sub };
        let visit = request.id.clone();
        let refresh = ask(world.clone(), Arc::clone(registration), held, visit, now);
        let (cause, renewed) = match world.refresh_once(id, refresh).await {
            Refreshed::Newer(signed_in) => {
                match self.refreshed(
                    world,
                    request,
                    site,
                    provider,
                    &opened.session,
                    &signed_in,
                    now,
                ) {
                    Ok(refreshed) => return Ok(refreshed),
                    Err(cause) => (cause, Some(signed_in.grant.clone())),
                }
            }
            Refreshed::Refused(cause) => {
                world.revoke(opened.session.id());
                return Err(Unconfirmed { cause: Some(cause), ..NoSession::Ended.into() });
            }
            Refreshed::Unanswered { cause, grant } => (cause, grant),
        };
        // Somebody who is not confirmed is given nothing but what would be lost.
        let is_renewed = renewed.is_some();
        if let Some(renewed) = renewed {
            opened = self.with_tokens(world, request, site, provider, opened, &renewed, now);
        }
        if !opened.session.may_wait_for_provider(limits, now) {
            return Err(Unconfirmed {
                cause: Some(cause),
                cookies: if is_renewed { opened.cookies } else { Vec::new() },
                ..NoSession::Unconfirmed.into()
            });
        }
        opened.event = Some(Event::RefreshFailed);
        opened.cause = Some(cause);
        Ok(opened)
    }

    /// The session with tokens that were renewed although the provider then failed. It is as it was otherwise, ends
    /// no later, and asks again soon.
    #[expect(
        clippy::too_many_arguments,
        reason = "a session is made of these, and nothing else shares them"
    )]
    fn with_tokens<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        opened: Opened,
        renewed: &Grant,
        now: Timestamp,
    ) -> Opened {
        let Some(grant) = opened.session.grant() else { return opened };
        let grant = grant.with_tokens_of(renewed);
        let grant = match provider.settings.keeps_access_token {
            true => grant,
            false => grant.without_access_token(),
        };
        let session = opened.session.with_grant_until(grant, now.plus(PATIENCE));
        // What does not fit was lost before.
        match self.session_cookies(world, site, provider, &session, request.headers, now) {
            Ok(cookies) => {
                let session = Arc::new(session);
                let open = Arc::new(OpenSession::new(Arc::clone(&session), site));
                Opened { session, open, cookies, ..opened }
            }
            Err(_) => opened,
        }
    }

    /// The session with what the provider says now.
    #[expect(
        clippy::too_many_arguments,
        reason = "a session is made of these, and nothing else shares them"
    )]
    fn refreshed<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        before: &Session,
        signed_in: &SignedIn,
        now: Timestamp,
    ) -> Result<Opened, String> {
        let identity = before.identity().refreshed(signed_in, &provider.settings);
        let identity = identity.map_err(|missing| missing.to_string())?;
        let session = before.refreshed(identity, signed_in.id_token.as_ref());
        let session = self.with_grant(session, provider, &signed_in.grant, now);
        let cookies = self.session_cookies(world, site, provider, &session, request.headers, now);
        let cookies = cookies.map_err(|too_large| too_large.to_string())?;
        let session = Arc::new(session);
        let open = Arc::new(OpenSession::new(Arc::clone(&session), site));
        Ok(Opened { session, open, cookies, event: Some(Event::Refreshed), cause: None })
    }

    /// `session` with as much of `grant` as something needs.
    pub(super) fn with_grant(
        &self,
        session: Session,
        provider: &Provider,
        grant: &Grant,
        now: Timestamp,
    ) -> Session {
        let keeps_access_token = provider.settings.keeps_access_token;
        let limits = self.settings.sessions.refresh;
        let renews = limits.is_some() && grant.refresh_token().is_some();
        let tells = keeps_access_token && grant.access_token().is_some();
        if !renews && !tells {
            return session;
        }
        let mut kept = grant.clone();
        if !keeps_access_token {
            kept = kept.without_access_token();
        }
        if !renews {
            kept = kept.without_refresh_token();
        }
        session.with_grant(kept, limits, now)
    }

    /// Tells the provider that a session's grant is not needed any more.
    pub(super) async fn give_back<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        session: &Session,
        now: Timestamp,
    ) {
        let Some(grant) = session.grant() else { return };
        let Some(provider) = self.provider(session.identity().provider()) else { return };
        let registration = &provider.settings.registration;
        let Some(Known { metadata, .. }) = world.provider(&registration.name) else { return };
        // A moment that cannot be had is a request that cannot be made; the session ends all the same.
        let Ok(moment) = moment(world, registration, now).await else { return };
        let question = grant::revocation(registration, &metadata, grant, moment);
        if let Some(mut question) = question {
            tell_visit(registration, &mut question, &request.id);
            world.send(&registration.name, question);
        }
    }
}

/// One refresh, with whatever world there is by then.
async fn ask<W: World>(
    world: W,
    registration: Arc<lychgate_oidc::Provider>,
    held: Held,
    visit: RequestId,
    now: Timestamp,
) -> Refreshed {
    let Some(known) = world.provider(&registration.name) else {
        let cause = "the provider's metadata is not known".to_owned();
        return Refreshed::Unanswered { cause, grant: None };
    };
    let begin = {
        let (registration, metadata) = (Arc::clone(&registration), Arc::clone(&known.metadata));
        move |moment| grant::refresh(registration, metadata, held, moment)
    };
    match believed_or_kept(&world, &registration, &known, begin, &visit, now).await {
        Ok(signed_in) => Refreshed::Newer(Arc::from(signed_in)),
        Err((failure, _)) if failure.ends_the_session => Refreshed::Refused(failure.cause),
        Err((failure, grant)) => Refreshed::Unanswered { cause: failure.cause, grant },
    }
}

/// Whether a refresh that failed like this means that the person may not go on: the provider said so, or spoke of
/// somebody else, or could not be believed (H13). All else is a provider in difficulties.
pub(super) fn ends_the_session(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::AnnouncedIdToken(_)
        | ExchangeError::IdToken(_)
        | ExchangeError::MembershipRequired { .. }
        | ExchangeError::OtherPerson
        | ExchangeError::OtherPersonAnnounced
        | ExchangeError::TokenGrantRefused(_)
        | ExchangeError::UserinfoSubject
        | ExchangeError::UserinfoToken(_) => true,
        ExchangeError::ClientAuth(_)
        | ExchangeError::Consent(_)
        | ExchangeError::Json { .. }
        | ExchangeError::Lookup { .. }
        | ExchangeError::MemberMalformed { .. }
        | ExchangeError::MemberMissing { .. }
        | ExchangeError::NotDeclaredJson { .. }
        | ExchangeError::RateLimited { .. }
        | ExchangeError::Redirected { .. }
        | ExchangeError::ServiceAccountRefused
        | ExchangeError::StateDiffers
        | ExchangeError::Status { .. }
        | ExchangeError::SubjectMissing
        | ExchangeError::TokenClientRefused(_)
        | ExchangeError::TokenRefused(_)
        | ExchangeError::TokenType
        | ExchangeError::TooLarge { .. }
        | ExchangeError::UserinfoSigned
        | ExchangeError::UserinfoUnsigned => false,
    }
}
