//! Signing out at the provider.
//!
//! Source: OIDC RP-Initiated Logout §2, §3. Unlike there, nobody is asked to confirm.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Redirect, Response},
};

use super::{Shared, control::Control, pages, parameters::Parameters, remembered};

pub(super) async fn end_session(
    State(shared): State<Arc<Shared>>,
    parameters: Parameters,
) -> Response {
    match destination(&shared, &shared.control(), &parameters) {
        // A request that makes no sense ends nothing: a stranger's link might have brought it.
        Err(reason) => pages::refused("This sign-out cannot be carried out", &reason),
        Ok(destination) => {
            let response = destination
                .map_or_else(pages::signed_out, |uri| Redirect::to(&uri).into_response());
            ([(header::SET_COOKIE, remembered::forget())], response).into_response()
        }
    }
}

/// Where the browser goes next; `None` is our own page.
fn destination(
    shared: &Shared,
    control: &Control,
    parameters: &Parameters,
) -> Result<Option<String>, String> {
    if let Some(name) = parameters.repeated() {
        return Err(format!("The parameter {name} was sent more than once."));
    }
    let hinted = match parameters.value("id_token_hint") {
        Some(token) => {
            let grants = shared.grants();
            let client_id = grants.id_token_client(token);
            Some(client_id.ok_or("The id_token_hint is not from this provider.")?.to_owned())
        }
        None => None,
    };
    let named = parameters.value("client_id");
    if let (Some(hinted), Some(named)) = (&hinted, named)
        && hinted != named
    {
        return Err("The id_token_hint was made out to another client.".to_owned());
    }
    let Some(uri) = parameters.value("post_logout_redirect_uri") else {
        return Ok(None);
    };

    let client_id = hinted.as_deref().or(named).ok_or(
        "A post_logout_redirect_uri needs an id_token_hint or a client_id, \
         so that it can be compared with the client's registration.",
    )?;
    let client = control
        .client(client_id)
        .ok_or_else(|| format!("No client is registered as {client_id}."))?;
    if !client.post_logout_redirect_uris.iter().any(|registered| registered == uri) {
        return Err(format!("{uri} is not among the client's post-logout redirect URIs."));
    }
    let state = parameters.value("state").map(|state| ("state".to_owned(), state.to_owned()));
    Ok(Some(super::with_parameters(uri, state.as_slice())))
}
