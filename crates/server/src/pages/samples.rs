//! Every kind of page once, with people and places that do not exist: for `lychgate check`, which looks at an operator's
//! templates with them, for `lychgate pages preview`, and for tests.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use lychgate_gateway::client::Client;
use lychgate_gateway::clients::ClientRules;
use lychgate_gateway::headers::IdentityHeaders;
use lychgate_gateway::identity::Identity;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::outcome::{Answer, Choice, Likely, Page, ProviderSignOut, Refusal, Words};
use lychgate_gateway::reason::{Reason, Remedy};
use lychgate_gateway::rescue::{Kept, Rescue};
use lychgate_gateway::route::{Access, OnExpiry, Route};
use lychgate_gateway::session::Session;
use lychgate_oidc::Timestamp;
use serde_json::json;
use url::Url;

use super::Pages;
use super::rules::{REQUEST_ID, Wanted};
use crate::respond::{About, shown_at_target};

/// When they are shown: the same picture every time.
const NOW: Timestamp = Timestamp::new(1_795_224_919);

/// One kind of page.
pub(crate) struct Sample {
    /// In an address: `no-access`.
    pub(crate) name: String,
    pub(crate) answer: Answer,
    pub(crate) method: Method,
    route: Option<Route>,
}

impl Sample {
    /// The page.
    pub(crate) fn render(&self, pages: &Pages, language: &str) -> Result<String, minijinja::Error> {
        let about = self.about(language);
        match &self.answer {
            Answer::Page(page) => pages.page(page, &about),
            Answer::Refusal(refusal) => pages.refusal(refusal, &about),
            Answer::Reason(reason) => pages.reason(*reason, &about),
            Answer::Asset(_)
            | Answer::Me(_)
            | Answer::Preflight(_)
            | Answer::Redirect(_)
            | Answer::Resource(_) => Ok(String::new()),
        }
    }

    /// The visit that it answers.
    pub(crate) fn about<'a>(&'a self, language: &'a str) -> About<'a> {
        About {
            request_id: REQUEST_ID,
            method: &self.method,
            now: NOW,
            route: self.route.as_ref(),
            language,
        }
    }

    /// The ways on that have to be there, by the name that templates have for them.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        match &self.answer {
            Answer::Page(Page::ChooseProvider { choices, .. }) => {
                choices.iter().map(|choice| link("choice.link", &choice.link)).collect()
            }
            Answer::Page(Page::ContinueSignIn { link: to }) => vec![link("link", to)],
            Answer::Page(Page::ConfirmSignOut { action }) => vec![link("action", action)],
            Answer::Page(Page::SignedOut { sign_in, .. }) => vec![link("sign_in", sign_in)],
            Answer::Page(Page::SignedInAs { sign_out, .. }) => vec![link("sign_out", sign_out)],
            Answer::Refusal(refusal)
                if matches!(refusal.reason, Reason::NoSuchSite | Reason::Misdirected) =>
            {
                Vec::new()
            }
            Answer::Refusal(refusal) => {
                let kept = match &refusal.rescue {
                    Some(Rescue::Kept(kept)) => Some(kept),
                    _ => None,
                };
                let links = [
                    ("sign_in", refusal.sign_in.as_deref()),
                    ("other_account", refusal.other_account.as_deref()),
                    ("sign_out", refusal.sign_out.as_deref()),
                    ("help", refusal.words.help.as_ref().map(Url::as_str)),
                    ("kept.action", kept.map(|kept| kept.action.as_str())),
                ];
                let links = links.into_iter().filter_map(|(name, to)| Some(link(name, to?)));
                let field = kept.map(|kept| Wanted::Field {
                    field: "form",
                    name: "kept.form",
                    value: kept.form.clone(),
                });
                // Where people can neither sign in nor send a form, it is what is left to do.
                let reload = refusal.sign_in.is_none()
                    && kept.is_none()
                    && shown_at_target(&self.method)
                    && refusal.reason.remedy() == Remedy::TryAgain;
                links.chain(field).chain(reload.then_some(Wanted::Reload)).collect()
            }
            Answer::Asset(_)
            | Answer::Me(_)
            | Answer::Preflight(_)
            | Answer::Reason(_)
            | Answer::Redirect(_)
            | Answer::Resource(_) => Vec::new(),
        }
    }
}

fn link(name: &'static str, to: &str) -> Wanted {
    Wanted::Link { name, to: to.to_owned() }
}

/// All of them.
pub(crate) fn all(path_prefix: &str) -> Vec<Sample> {
    let mut samples = of_pages(path_prefix);
    samples.extend(of_refusals(path_prefix));
    samples.push(Sample {
        name: "what-a-reason-means".to_owned(),
        answer: Answer::Reason(Reason::AccessTokenInvalid),
        method: Method::GET,
        route: None,
    });
    let sign_in = format!("{path_prefix}/login?return_to=%2Fplan%3Fweek%3D7");
    for &reason in Reason::ALL {
        let mut refusal = Refusal::new(reason, Client::Browser);
        refusal.sign_in = Some(sign_in.clone());
        let route = route().filter(|_| !matches!(reason, Reason::NoSuchSite | Reason::Misdirected));
        let name = format!("reason-{}", reason.code().replace('_', "-"));
        let answer = Answer::Refusal(refusal);
        samples.push(Sample { name, answer, method: Method::GET, route });
    }
    samples
}

fn of_pages(path_prefix: &str) -> Vec<Sample> {
    let login = format!("{path_prefix}/login?return_to=https%3A%2F%2Fwiki.example.com%2Fplan");
    let choice = |label: &str, provider: &str| Choice {
        label: label.to_owned(),
        link: format!("{login}&provider={provider}"),
    };
    let mut pages = vec![
        (
            "choose-provider",
            Page::ChooseProvider {
                choices: vec![
                    choice("Example Corp account", "corp"),
                    choice("Partner account", "partners"),
                ],
                destination: "wiki.example.com".to_owned(),
            },
        ),
        ("one-moment", Page::ContinueSignIn { link: format!("{login}&provider=corp") }),
        ("confirm-sign-out", Page::ConfirmSignOut { action: format!("{path_prefix}/logout") }),
        (
            "signed-out",
            Page::SignedOut { provider: ProviderSignOut::Unknown, sign_in: "/".to_owned() },
        ),
        (
            "signed-out-everywhere",
            Page::SignedOut { provider: ProviderSignOut::Ended, sign_in: "/".to_owned() },
        ),
    ];
    pages.extend(session().map(|session| {
        let page = Page::SignedInAs {
            session: Arc::new(session),
            provider: "Example Corp account".to_owned(),
            now: NOW,
            sign_out: format!("{path_prefix}/logout"),
        };
        ("signed-in-as", page)
    }));
    let sample = |(name, page): (&str, Page)| Sample {
        name: name.to_owned(),
        answer: Answer::Page(page),
        method: Method::GET,
        route: None,
    };
    pages.into_iter().map(sample).collect()
}

fn of_refusals(path_prefix: &str) -> Vec<Sample> {
    let login = format!("{path_prefix}/login?return_to=%2Fplan%3Fweek%3D7");
    let refusal =
        |reason| Refusal { sign_in: Some(login.clone()), ..Refusal::new(reason, Client::Browser) };
    let help = Url::parse("https://help.example.com/access").ok();
    let kept = || {
        Some(Rescue::Kept(Kept {
            action: format!("{path_prefix}/form?id=AAAAAAAAAAAAAAAA"),
            form: "AQIDBAUGBwg".repeat(20),
            time: Duration::from_secs(1800),
        }))
    };
    let circle = |likely| Refusal { likely: Some(likely), ..refusal(Reason::TooManyRedirects) };
    let all = vec![
        (
            "no-access",
            Method::GET,
            Refusal {
                sign_in: None,
                other_account: Some(format!("{login}&prompt=select_account")),
                sign_out: Some(format!("{path_prefix}/logout")),
                identity: identity().map(Box::new),
                words: Words {
                    explain: Some("Plans are for members of staff.".to_owned()),
                    help: help.clone(),
                    ..Words::default()
                },
                ..refusal(Reason::AccessNotGranted)
            },
        ),
        (
            "provider-said-no",
            Method::GET,
            Refusal {
                words: Words {
                    provider_code: Some("access_denied".to_owned()),
                    provider_text: Some("The user said no".to_owned()),
                    provider_link: help.map(Box::new),
                    retryable: Some(true),
                    ..Words::default()
                },
                ..refusal(Reason::ProviderDenied)
            },
        ),
        (
            "provider-is-down",
            Method::GET,
            Refusal {
                retry_after: Some(Duration::from_secs(10)),
                ..refusal(Reason::ProviderUnavailable)
            },
        ),
        (
            "application-is-down",
            Method::GET,
            Refusal { sign_in: None, ..refusal(Reason::UpstreamUnreachable) },
        ),
        ("nothing-sent", Method::POST, refusal(Reason::SessionExpired)),
        ("form-kept", Method::POST, Refusal { rescue: kept(), ..refusal(Reason::SessionIdle) }),
        (
            "form-too-large",
            Method::POST,
            Refusal { rescue: Some(Rescue::TooLarge), ..refusal(Reason::SessionExpired) },
        ),
        (
            "form-not-passed-on",
            Method::POST,
            Refusal { sign_in: None, rescue: kept(), ..refusal(Reason::UpstreamUnreachable) },
        ),
        (
            "form-without-an-answer",
            Method::POST,
            Refusal {
                sign_in: None,
                rescue: Some(Rescue::PassedOn),
                ..refusal(Reason::UpstreamTimeout)
            },
        ),
        (
            "form-of-another-account",
            Method::POST,
            Refusal {
                sign_in: None,
                other_account: Some(format!("{login}&prompt=select_account")),
                identity: identity().map(Box::new),
                rescue: kept(),
                ..refusal(Reason::FormOtherAccount)
            },
        ),
        ("circle-cookie", Method::GET, circle(Likely::CookieNotReturned)),
        ("circle-keys", Method::GET, circle(Likely::DifferentKeys)),
        ("circle-clock", Method::GET, circle(Likely::Clock)),
        ("circle-plain-http", Method::GET, circle(Likely::PlainHttp)),
        ("circle-unknown", Method::GET, circle(Likely::Unknown)),
        (
            "no-cookies",
            Method::GET,
            Refusal { likely: Some(Likely::NoCookies), ..refusal(Reason::LoginNotOurs) },
        ),
        (
            "no-cookies-plain-http",
            Method::GET,
            Refusal { likely: Some(Likely::NoCookiesByPlainHttp), ..refusal(Reason::LoginNotOurs) },
        ),
    ];
    let sample = |(name, method, refusal): (&str, Method, Refusal)| Sample {
        name: name.to_owned(),
        answer: Answer::Refusal(refusal),
        method,
        route: route(),
    };
    all.into_iter().map(sample).collect()
}

fn identity() -> Option<Identity> {
    serde_json::from_value(person()).ok()
}

fn person() -> serde_json::Value {
    json!({
        "provider": "corp", "issuer": "https://id.example.com", "subject": "1", "subject_type": "Claim", "user": "ada",
        "name": "Ada Example", "email": "ada@example.com", "email_verified": "Yes",
        "groups": ["staff", "engineering"], "claims": {},
    })
}

fn session() -> Option<Session> {
    let session = serde_json::from_value(json!({
        "id": vec![7; 16], "login": vec![7; 12], "begun_at": NOW.seconds() - 60, "ends_at": NOW.seconds() + 43_140,
        "seen_at": NOW.seconds(), "identity": person(),
    }));
    session.ok()
}

fn route() -> Option<Route> {
    Some(Route {
        name: "wiki".to_owned(),
        origin: PublicOrigin::of(&Url::parse("https://wiki.example.com").ok()?)?,
        path: String::new(),
        upstream: "wiki".to_owned(),
        upstream_path: String::new(),
        providers: vec!["corp".to_owned()],
        rules: Vec::new(),
        access: Access::Public,
        identity: IdentityHeaders::default(),
        response_headers: Vec::new(),
        body_bytes_max: None,
        websocket_origins: Vec::new(),
        on_expiry: OnExpiry::Close,
        clients: ClientRules::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_sample_of_every_page_under_a_name_of_its_own() {
        let samples = all("/.gate");
        let mut names: Vec<_> = samples.iter().map(|sample| sample.name.as_str()).collect();
        assert!(names.contains(&"signed-in-as"), "a session can be made up");
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        assert!(names.iter().all(|name| name.bytes().all(plain)));
        let people = samples.iter().filter(|sample| {
            matches!(&sample.answer, Answer::Refusal(refusal) if refusal.identity.is_some())
        });
        assert_eq!(people.count(), 2);
    }
}
