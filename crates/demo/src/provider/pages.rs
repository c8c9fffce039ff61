//! The provider's pages.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};

use super::{
    Shared,
    authorize::{CHOSEN, DECLINED},
    parameters::Parameters,
};
use crate::{
    html::{escape, page},
    personas::Persona,
};

/// What this is, for whoever opens the issuer in a browser.
pub(super) async fn home(State(shared): State<Arc<Shared>>) -> Response {
    let mut main = String::from(
        "<p>This OpenID provider asks for no password. A sign-in begins at the application.</p>\n\
         <ul>\n",
    );
    for persona in &shared.control().personas {
        let _ = writeln!(main, "<li>{}</li>", described(persona));
    }
    main.push_str(
        "</ul>\n<nav aria-label=\"Provider\">\
         <a href=\"/.well-known/openid-configuration\">Discovery document</a> \
         <a href=\"/jwks\">Keys</a> <a href=\"/end_session\">Sign out here</a></nav>\n",
    );
    page(StatusCode::OK, "Development identity provider", &main)
}

/// The page of personas. The one that `suggested` names comes first.
///
/// Each is a link back to the authorization endpoint: a form would be stopped by browsers that
/// apply `form-action` to the redirects that follow.
pub(super) fn choose(
    personas: &[Persona],
    suggested: Option<&str>,
    client_id: &str,
    parameters: &Parameters,
) -> Response {
    let link = |name: &str, value: &str| {
        escape(&format!("/authorize?{}", parameters.encoded_with(name, value)))
    };
    let (first, rest): (Vec<_>, Vec<_>) =
        personas.iter().partition(|persona| suggested.is_some_and(|hint| persona.answers_to(hint)));
    let mut main = format!(
        "<p>Sign in to <strong>{}</strong> as</p>\n<ul class=\"choices\">\n",
        escape(client_id)
    );
    for persona in first.into_iter().chain(rest) {
        let href = link(CHOSEN, &persona.preferred_username);
        let _ = writeln!(main, "<li><a href=\"{href}\">{}</a></li>", described(persona));
    }
    let _ =
        writeln!(main, "</ul>\n<p><a href=\"{}\">Nobody: cancel</a></p>", link(DECLINED, "yes"));
    page(StatusCode::OK, "Who are you today?", &main)
}

/// The answer as a form for the client. The person sends it; other providers have a script do that.
///
/// Source: OAuth 2.0 Form Post Response Mode §2.
pub(super) fn post_back(redirect_uri: &str, parameters: &[(String, String)]) -> Response {
    let mut main = format!("<form method=\"post\" action=\"{}\">\n", escape(redirect_uri));
    for (name, value) in parameters {
        let (name, value) = (escape(name), escape(value));
        let _ = writeln!(main, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
    }
    main.push_str("<button>Continue</button>\n</form>\n");
    let mut response = page(StatusCode::OK, "One more step", &main);
    // `form-action` would stop the form, and its redirects as well.
    response.headers_mut().remove(header::CONTENT_SECURITY_POLICY);
    response
}

fn described(persona: &Persona) -> String {
    let groups = match persona.groups.as_slice() {
        [] => "no groups".to_owned(),
        groups => groups.join(", "),
    };
    format!("<strong>{}</strong> · {}", escape(&persona.name), escape(&groups))
}

/// What a provider shows when it cannot even send the browser back.
pub(super) fn refused(title: &str, reason: &str) -> Response {
    page(StatusCode::BAD_REQUEST, title, &format!("<p>{}</p>\n", escape(reason)))
}

pub(super) fn signed_out() -> Response {
    page(StatusCode::OK, "Signed out", "<p>This browser is signed out at the provider.</p>\n")
}

pub(super) fn down() -> Response {
    page(StatusCode::SERVICE_UNAVAILABLE, "Down", "<p>This provider was told to be down.</p>\n")
}

pub(super) async fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, "Not found", "<p>There is nothing here.</p>\n")
}
