//! The authorization endpoint: from a client's request to a person, and back with a code.
//!
//! Sources: RFC 6749 §4.1.1, §4.1.2; RFC 7636 §4.3; RFC 9207 §2; OIDC Core §3.1.2.
//!
//! Stricter than those in what our own gateway must always send: `state` and an S256 challenge.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    Shared,
    control::{Control, SignIn},
    grants::Grant,
    now, pages,
    parameters::Parameters,
    random_text,
    remembered::Remembered,
};
use crate::{Fault, personas::Persona};

/// Our own parameter: the persona that was chosen on the page.
pub(super) const CHOSEN: &str = "persona";
/// Our own parameter: the visitor wants none of them.
pub(super) const DECLINED: &str = "declined";

pub(super) async fn authorize(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Response {
    let control = shared.control();
    let destination = match Destination::read(&parameters, &control) {
        Ok(destination) => destination,
        // Nobody may be sent to an address that no client registered (RFC 6749 §4.1.2.1).
        Err(reason) => return pages::refused("This sign-in cannot be carried out", &reason),
    };
    let request = match SignInRequest::read(&parameters) {
        Ok(request) => request,
        Err(refusal) => return destination.refuse(&shared, &control, refusal),
    };
    let remembered = Remembered::from_headers(&headers);
    match who(&parameters, &request, &control, remembered, now()) {
        Err(refusal) => destination.refuse(&shared, &control, refusal),
        Ok(Who::Ask) => {
            let suggested = request.login_hint.as_deref();
            pages::choose(&control.personas, suggested, &destination.client_id, &parameters)
        }
        Ok(Who::SignedIn { persona, auth_time }) => {
            destination.grant(&shared, &control, request, persona, auth_time)
        }
    }
}

/// Where the answer goes. Having one means that the client registered it.
struct Destination {
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    /// The answer goes there as a form (OAuth 2.0 Form Post Response Mode).
    posted: bool,
}

/// An error that the client is told about: its code and a sentence.
struct Refusal(&'static str, String);

impl Destination {
    /// What is wrong with the request comes as a sentence for the error page.
    fn read(parameters: &Parameters, control: &Control) -> Result<Self, String> {
        let client_id = parameters.value("client_id").ok_or("There is no client_id.")?;
        let client = control
            .client(client_id)
            .ok_or_else(|| format!("No client is registered as {client_id}."))?;
        let redirect_uri = parameters.value("redirect_uri").ok_or("There is no redirect_uri.")?;
        let registered = control.fault != Some(Fault::RedirectUri)
            && client.redirect_uris.iter().any(|registered| registered == redirect_uri);
        if !registered {
            return Err(format!(
                "The redirect_uri {redirect_uri} is not registered for the client {client_id}. \
                 It must be the same to the last character."
            ));
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            state: parameters.value("state").map(str::to_owned),
            posted: parameters.value("response_mode") == Some("form_post"),
        })
    }

    fn refuse(&self, shared: &Shared, control: &Control, refusal: Refusal) -> Response {
        let Refusal(code, description) = refusal;
        let parameters = vec![
            ("error".to_owned(), code.to_owned()),
            ("error_description".to_owned(), description),
        ];
        self.redirect(shared, control, parameters)
    }

    fn grant(
        &self,
        shared: &Shared,
        control: &Control,
        request: SignInRequest,
        persona: &Persona,
        auth_time: u64,
    ) -> Response {
        let Ok(code) = random_text() else {
            let refusal = Refusal("server_error", "no code could be made".to_owned());
            return self.refuse(shared, control, refusal);
        };
        let grant = Grant {
            client_id: self.client_id.clone(),
            redirect_uri: self.redirect_uri.clone(),
            code_challenge: request.code_challenge,
            subject: persona.subject.clone(),
            scope: request.scope,
            nonce: request.nonce,
            auth_time,
        };
        shared.grants().add_code(code.clone(), grant, now());
        let remembered = Remembered { subject: persona.subject.clone(), auth_time };
        let response = self.redirect(shared, control, vec![("code".to_owned(), code)]);
        ([(header::SET_COOKIE, remembered.set_cookie())], response).into_response()
    }

    fn redirect(
        &self,
        shared: &Shared,
        control: &Control,
        mut parameters: Vec<(String, String)>,
    ) -> Response {
        if let Some(state) = &self.state {
            parameters.push(("state".to_owned(), state.clone()));
        }
        parameters.push(("iss".to_owned(), shared.issuer().to_owned()));
        control.redirect_edits.iter().for_each(|edit| edit.apply(&mut parameters));
        if self.posted {
            return pages::post_back(&self.redirect_uri, &parameters);
        }
        Redirect::to(&super::with_parameters(&self.redirect_uri, &parameters)).into_response()
    }
}

/// The request, once nothing is wrong with it.
struct SignInRequest {
    code_challenge: String,
    login_hint: Option<String>,
    max_age: Option<u64>,
    nonce: Option<String>,
    prompt: Prompt,
    scope: String,
}

/// Whether the visitor sees a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    Always,
    IfNeeded,
    Never,
}

impl SignInRequest {
    fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let invalid = |description: String| Refusal("invalid_request", description);
        let owned = |name: &str| parameters.value(name).map(str::to_owned);
        let required = |name: &str| owned(name).ok_or_else(|| invalid(format!("no {name}")));

        if let Some(name) = parameters.repeated() {
            return Err(invalid(format!("{name} was sent more than once")));
        }
        for (parameter, code) in
            [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
        {
            if parameters.value(parameter).is_some() {
                return Err(Refusal(code, format!("{parameter} is not supported")));
            }
        }
        if required("response_type")? != "code" {
            let description = "only response_type=code is supported".to_owned();
            return Err(Refusal("unsupported_response_type", description));
        }
        if parameters
            .value("response_mode")
            .is_some_and(|mode| mode != "query" && mode != "form_post")
        {
            return Err(invalid("only response_mode query and form_post are supported".to_owned()));
        }
        let scope = required("scope")?;
        if !scope.split(' ').any(|name| name == "openid") {
            return Err(Refusal("invalid_scope", "the scope lacks openid".to_owned()));
        }
        required("state")?;
        if parameters.value("code_challenge_method") != Some("S256") {
            return Err(invalid("code_challenge_method must be S256".to_owned()));
        }
        let code_challenge = required("code_challenge")?;
        // SHA-256 is 32 octets, which are 43 characters in base64url.
        if code_challenge.len() != 43 {
            return Err(invalid("the code_challenge is no S256 challenge".to_owned()));
        }
        let max_age = match parameters.value("max_age") {
            Some(seconds) => {
                Some(seconds.parse().map_err(|_| invalid("max_age is no number".to_owned()))?)
            }
            None => None,
        };
        Ok(Self {
            code_challenge,
            login_hint: owned("login_hint"),
            max_age,
            nonce: owned("nonce"),
            prompt: Prompt::read(parameters.value("prompt").unwrap_or_default())
                .ok_or_else(|| invalid("prompt=none stands alone".to_owned()))?,
            scope,
        })
    }
}

impl Prompt {
    /// `None` if `none` is combined with others. Unknown words, and `consent`, ask for nothing.
    fn read(words: &str) -> Option<Self> {
        let has = |wanted: &str| words.split(' ').any(|word| word == wanted);
        if has("none") {
            return (words == "none").then_some(Self::Never);
        }
        Some(if has("login") || has("select_account") { Self::Always } else { Self::IfNeeded })
    }
}

/// Who is in front of the browser.
enum Who<'a> {
    /// Unknown: show the page.
    Ask,
    SignedIn {
        persona: &'a Persona,
        auth_time: u64,
    },
}

fn who<'a>(
    parameters: &Parameters,
    request: &SignInRequest,
    control: &'a Control,
    remembered: Option<Remembered>,
    now: u64,
) -> Result<Who<'a>, Refusal> {
    if parameters.value(DECLINED).is_some() {
        return Err(Refusal("access_denied", "the visitor chose nobody".to_owned()));
    }
    let chosen = parameters.value(CHOSEN).and_then(|user| control.persona_called(user));
    if let Some(persona) = chosen {
        return Ok(Who::SignedIn { persona, auth_time: now });
    }

    let fresh = |remembered: &Remembered| {
        let age = now.saturating_sub(remembered.auth_time);
        request.prompt != Prompt::Always && request.max_age.is_none_or(|max_age| age <= max_age)
    };
    let remembered = remembered.filter(fresh);
    match &control.sign_in {
        SignIn::Always(user) => {
            let persona = control.persona_called(user).ok_or_else(|| {
                Refusal("server_error", "the demo was told to sign in nobody it knows".to_owned())
            })?;
            let auth_time = remembered
                .filter(|remembered| remembered.subject == persona.subject)
                .map_or(now, |remembered| remembered.auth_time);
            Ok(Who::SignedIn { persona, auth_time })
        }
        SignIn::Choose => {
            let known = remembered.and_then(|remembered| {
                let persona = control.persona_with_subject(&remembered.subject)?;
                let hinted = request.login_hint.as_deref();
                hinted
                    .is_none_or(|hint| persona.answers_to(hint))
                    .then_some(Who::SignedIn { persona, auth_time: remembered.auth_time })
            });
            match known {
                Some(signed_in) => Ok(signed_in),
                None if request.prompt == Prompt::Never => {
                    Err(Refusal("login_required", "nobody is signed in".to_owned()))
                }
                None => Ok(Who::Ask),
            }
        }
    }
}
