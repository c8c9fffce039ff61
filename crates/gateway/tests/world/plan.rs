//! What an operator of a story configured.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use lychgate_gateway::Settings;
use lychgate_gateway::clients::ClientRules;
use lychgate_gateway::cookie::CookieNames;
use lychgate_gateway::headers::IdentityHeaders;
use lychgate_gateway::language::Languages;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::path::PathPattern;
use lychgate_gateway::policy::{Condition, Entry, Policy};
use lychgate_gateway::route::{Access, OnExpiry, Route, Routes, Rule};
use lychgate_gateway::seal::{Key, KeyRing};
use lychgate_gateway::settings::{
    ClaimNames, RefreshLimits, SessionLimits, SignInProvider, SignInRules,
};
use lychgate_gateway::template::Template;
use lychgate_oidc::{ClientAuth, Secret};
use url::Url;

use super::hours;
use super::provider;

pub(crate) const PREFIX: &str = "/.lychgate";
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(600);

/// The configuration, in as few words as stories need.
pub(crate) struct Plan {
    pub(crate) providers: Vec<&'static str>,
    pub(crate) routes: Vec<PlannedRoute>,
    pub(crate) public_url: Option<&'static str>,
    pub(crate) cookie_domain: Option<&'static str>,
    /// Each key is this byte, many times; the first seals.
    pub(crate) keys: Vec<u8>,
    pub(crate) sessions: SessionLimits,
    /// Whether upstreams are told the access token, in `Authorization`.
    pub(crate) tells_access_token: bool,
    pub(crate) max_pending_logins: usize,
    pub(crate) kept_form_bytes: Option<usize>,
    /// Where every provider sends browsers back, if not to our own paths.
    pub(crate) redirect_uri: Option<&'static str>,
    pub(crate) post_logout_redirect_uris: Vec<&'static str>,
    /// Where every provider's claims are.
    pub(crate) claims: ClaimNames,
    /// What is different about the providers, by their names.
    pub(crate) change: fn(&str, &mut SignInProvider),
    /// What is different about our registrations.
    pub(crate) registration: fn(&mut lychgate_oidc::Provider),
}

/// A route and its exceptions.
pub(crate) struct PlannedRoute {
    pub(crate) name: &'static str,
    pub(crate) url: &'static str,
    pub(crate) upstream_path: &'static str,
    pub(crate) providers: Vec<&'static str>,
    /// Paths, and the group that may open them; `None` for everybody, signed in or not.
    pub(crate) rules: Vec<(&'static str, Option<&'static str>)>,
    /// How clients are met that are no page in a browser.
    pub(crate) clients: ClientRules,
    /// Whose pages may open WebSockets with somebody's session, beside its own.
    pub(crate) websocket_origins: Vec<&'static str>,
}

impl PlannedRoute {
    /// A whole host, for anybody who signs in with one of `providers`.
    pub(crate) fn new(name: &'static str, url: &'static str, providers: &[&'static str]) -> Self {
        Self {
            name,
            url,
            upstream_path: "",
            providers: providers.to_vec(),
            rules: Vec::new(),
            clients: ClientRules::default(),
            websocket_origins: Vec::new(),
        }
    }

    fn websocket_origins(&self) -> Vec<PublicOrigin> {
        let urls = self.websocket_origins.iter().map(|url| Url::parse(url).expect("a URL"));
        urls.map(|url| PublicOrigin::of(&url).expect("an origin")).collect()
    }

    fn route(&self, tells_access_token: bool) -> Route {
        let url = Url::parse(self.url).expect("a URL");
        let rules = self.rules.iter().enumerate().map(|(index, (path, group))| Rule {
            name: format!("routes.{}.rules[{index}]", self.name),
            path: Some(PathPattern::parse(path).expect("a pattern")),
            methods: Vec::new(),
            access: match group {
                None => Access::Public,
                Some(group) => allowed(Condition::Group(vec![(*group).to_owned()])),
            },
        });
        let set = [("x-forwarded-user", "{user}"), ("x-forwarded-groups", "{groups}")].into_iter();
        let set =
            set.chain(tells_access_token.then_some(("authorization", "Bearer {access_token}")));
        let set = set.map(|(name, template)| {
            let template = Template::parse(template, |_| None).expect("a template");
            (HeaderName::from_static(name), template)
        });
        Route {
            name: self.name.to_owned(),
            origin: PublicOrigin::of(&url).expect("an origin"),
            path: url.path().trim_end_matches('/').to_owned(),
            upstream: self.name.to_owned(),
            upstream_path: self.upstream_path.to_owned(),
            providers: self.providers.iter().map(|name| (*name).to_owned()).collect(),
            rules: rules.collect(),
            access: allowed(Condition::Authenticated),
            identity: IdentityHeaders { set: set.collect(), remove: Vec::new() },
            response_headers: Vec::new(),
            body_bytes_max: None,
            clients: self.clients.clone(),
            websocket_origins: self.websocket_origins(),
            on_expiry: OnExpiry::Close,
        }
    }
}

fn allowed(condition: Condition) -> Access {
    let allow = vec![Entry { conditions: vec![condition] }];
    let explain = Some("Ask the team for access.".to_owned());
    Access::SignedIn(Arc::new(Policy { allow, explain, ..Policy::default() }))
}

impl Plan {
    /// One host, one provider: `https://app.test`, where `/public` is for everybody and `/admin` for the
    /// group `sre`.
    pub(crate) fn one_app() -> Self {
        let mut app = PlannedRoute::new("app", "https://app.test", &["corp"]);
        app.rules = vec![("/public/**", None), ("/admin/**", Some("sre"))];
        Self {
            providers: vec!["corp"],
            routes: vec![app],
            public_url: None,
            cookie_domain: None,
            keys: vec![1],
            sessions: SessionLimits { lifetime: hours(12), idle_timeout: hours(1), refresh: None },
            tells_access_token: false,
            max_pending_logins: 4,
            redirect_uri: None,
            registration: |_| {},
            post_logout_redirect_uris: vec!["https://www.example.test/bye"],
            claims: ClaimNames::default(),
            change: |_, _| {},
            kept_form_bytes: None,
        }
    }

    /// The same, and a second provider: `https://app.test` takes `corp`, `https://guests.test` takes
    /// `guest`, `https://both.test` takes either.
    pub(crate) fn two_providers() -> Self {
        let mut plan = Self::one_app();
        plan.providers.push("guest");
        plan.routes.push(PlannedRoute::new("guests", "https://guests.test", &["guest"]));
        plan.routes.push(PlannedRoute::new("both", "https://both.test", &["corp", "guest"]));
        plan
    }

    /// One app, and access tokens that are renewed a minute before they end, with ten minutes of grace.
    pub(crate) fn refreshing() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let refresh = RefreshLimits { margin: minutes(1), grace: minutes(10) };
        let plan = Self::one_app();
        let sessions = SessionLimits { refresh: Some(refresh), ..plan.sessions };
        Self { sessions, ..plan }
    }

    /// People sign in at `https://login.corp.test` for every host below `corp.test`.
    pub(crate) fn central_sign_in() -> Self {
        Self {
            routes: vec![
                PlannedRoute::new("wiki", "https://wiki.corp.test", &["corp"]),
                PlannedRoute::new("chat", "https://chat.corp.test", &["corp"]),
            ],
            public_url: Some("https://login.corp.test"),
            cookie_domain: Some("corp.test"),
            ..Self::one_app()
        }
    }

    /// Everywhere that browsers find us.
    pub(crate) fn origins(&self) -> Vec<String> {
        let urls = self.routes.iter().map(|route| route.url).chain(self.public_url);
        urls.map(|url| Url::parse(url).expect("a URL").origin().ascii_serialization()).collect()
    }

    pub(crate) fn settings(&self) -> Settings {
        let public_url = self
            .public_url
            .map(|url| PublicOrigin::of(&Url::parse(url).expect("a URL")).expect("an origin"));
        let token = self.tells_access_token;
        let routes = self.routes.iter().map(|planned| planned.route(token)).collect();
        Settings {
            path_prefix: PREFIX.to_owned(),
            cookies: CookieNames {
                domain: self.cookie_domain.map(str::to_owned),
                ..CookieNames::default()
            },
            login_timeout: LOGIN_TIMEOUT,
            max_pending_logins: self.max_pending_logins,
            sessions: self.sessions,
            keys: KeyRing::new(self.keys.iter().map(|byte| Key::new([*byte; 32])).collect())
                .expect("a key"),
            providers: self.providers.iter().map(|name| self.provider(name)).collect(),
            routes: Routes::new(routes, public_url.as_ref()).expect("different URLs"),
            post_logout_redirect_uris: self
                .post_logout_redirect_uris
                .iter()
                .map(|url| Url::parse(url).expect("a URL"))
                .collect(),
            public_url,
            languages: Languages::new(vec!["en".to_owned(), "de".to_owned(), "ar".to_owned()]),
            kept_form_bytes: self.kept_form_bytes,
        }
    }

    fn provider(&self, name: &str) -> SignInProvider {
        let mut registration = lychgate_oidc::Provider {
            client_auth: ClientAuth::Secret {
                secret: Secret::new(provider::CLIENT_SECRET),
                method: None,
            },
            clock_tolerance: Duration::from_secs(30),
            ..lychgate_oidc::Provider::new(name, provider::issuer(name), provider::CLIENT)
        };
        (self.registration)(&mut registration);
        let mut provider = SignInProvider {
            registration: Arc::new(registration),
            label: format!("The {name} provider"),
            claims: self.claims.clone(),
            kept_claims: Vec::new(),
            groups_scope_if_offered: false,
            keeps_access_token: self.tells_access_token,
            redirect_uri: self.redirect_uri.map(|url| Url::parse(url).expect("a URL")),
            sign_in: SignInRules::default(),
        };
        (self.change)(name, &mut provider);
        provider
    }
}
