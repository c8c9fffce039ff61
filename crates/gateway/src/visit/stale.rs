//! Callbacks that come too late, or to a browser that has nothing to match them with.
//!
//! None of them is redeemed. Where the login was this browser's own, which its sealed cookie proves, people go on by
//! themselves: to where they wanted to go if they signed in meanwhile in another tab, otherwise through a new login,
//! once. Everybody else gets the page that says so; what a stranger can bring about starts nothing (F1, CB-05).

use lychgate_oidc::{CallbackError, KnownError, Timestamp};

use super::failure::Failure;
use super::sign_in::Wish;
use super::{Gateway, Provider, Site};
use crate::login_state::{LoginId, LoginState};
use crate::origin::ReturnTo;
use crate::outcome::{Answer, Event, Outcome, Redirect, Verdict};
use crate::reason::Reason;
use crate::request::Request;
use crate::world::World;

/// Whether an error of a provider is what some say when the person has signed in in another tab meanwhile.
pub(super) fn means_another_tab(error: &CallbackError) -> bool {
    let CallbackError::Provider(refusal) = error else { return false };
    matches!(
        refusal.error.known(),
        Some(
            KnownError::InteractionRequired
                | KnownError::LoginRequired
                | KnownError::TemporarilyUnavailable
        )
    )
}

impl Gateway {
    /// A login of this browser's own that took too long (CB-26). Its code is never looked at.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a callback is about, and nothing else shares it"
    )]
    pub(super) async fn too_late<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        (state, provider): (LoginState, &Provider),
        return_to: &ReturnTo,
        answered: bool,
        now: Timestamp,
    ) -> Outcome {
        let (id, begun_at) = (state.id(), state.pending.begun_at());
        let failure = Failure::new(Reason::LoginExpired, "the login began too long ago");
        let here = state.pending.redirect_uri() == format!("{}{}", site.origin, request.path);
        if answered && here {
            if let Some(outcome) =
                self.goes_on(world, request, site, provider, begun_at, return_to, now)
            {
                return forgetting(outcome, site, id, failure);
            }
            if !state.restarted {
                let wish = Wish::restarted();
                let mut outcome =
                    self.begin(world, request, site, provider, return_to, &wish, now).await;
                outcome.cookies.extend(site.cookies.clear_login(&id.text()));
                if is_redirect(&outcome) {
                    outcome.record.reason = Some(failure.reason);
                    outcome.record.cause = Some(format!("{}; another one began", failure.cause));
                }
                return outcome;
            }
        }
        self.failed(request, site, Some(id), Some((provider, return_to)), failure)
    }

    /// On to where the person wanted to go, if they have signed in since this login began.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a callback is about, and nothing else shares it"
    )]
    pub(super) fn goes_on<W: World>(
        &self,
        world: &W,
        request: &Request<'_>,
        site: &Site,
        provider: &Provider,
        begun_at: Timestamp,
        return_to: &ReturnTo,
        now: Timestamp,
    ) -> Option<Outcome> {
        let opened = self.session(world, request, site, now).ok()?;
        let since = opened.session.begun_at() >= begun_at
            && opened.session.identity().provider() == provider.settings.registration.name;
        if !since {
            return None;
        }
        let counted = self.returned(request, site, return_to, now);
        let mut outcome = opened.answer(Answer::Redirect(Redirect::back(return_to.clone())));
        outcome.cookies.extend(counted);
        Some(outcome)
    }

    /// A callback that answers no login of this browser. Where it brings no cookie of ours at all, it may be one
    /// that keeps none, and the page says so (R42).
    pub(super) fn strange(
        &self,
        request: &Request<'_>,
        site: &Site,
        id: LoginId,
        failure: Failure,
    ) -> Outcome {
        let mut outcome = self.failed(request, site, Some(id), None, failure);
        if !site.cookies.brings_any(request.headers)
            && let Verdict::Answer(answer) = &mut outcome.verdict
            && let Answer::Refusal(refusal) = &mut **answer
        {
            refusal.likely = Some(super::circle::without_cookies(request, site));
        }
        outcome
    }
}

/// `outcome`, with a login forgotten that did not count.
pub(super) fn forgetting(
    mut outcome: Outcome,
    site: &Site,
    id: LoginId,
    failure: Failure,
) -> Outcome {
    outcome.cookies.extend(site.cookies.clear_login(&id.text()));
    outcome.record.event = Some(Event::LoginFailed { flow: Some(id.text()) });
    outcome.record.reason = Some(failure.reason);
    outcome.record.cause = Some(format!("{}; the person is signed in already", failure.cause));
    outcome
}

fn is_redirect(outcome: &Outcome) -> bool {
    matches!(&outcome.verdict, Verdict::Answer(answer) if matches!(**answer, Answer::Redirect(_)))
}
