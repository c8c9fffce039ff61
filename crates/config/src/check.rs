//! From the document to the configuration: one file for each kind of table.
//!
//! Every check says what it found and goes on with something harmless, so that one run finds all
//! there is. The result is only used when nothing was wrong.

mod access;
mod admin;
mod auth;
mod clients;
mod headers;
mod limits;
mod listeners;
mod needs;
mod pages;
mod policies;
mod providers;
mod routes;
mod rules;
mod sessions;
mod telemetry;
pub(crate) mod tests;
mod upstreams;

use crate::code::Code;
use crate::config::{Config, GatewayConfig};
use crate::context::Context;
use crate::file::Place;
use crate::grammar::{ADMIN, AUTH, LIMITS, PAGES, SESSIONS, TELEMETRY, TOP};
use crate::problem::Problem;
use crate::tree::{Entry, Node, Table, Value};

/// Checks the document. The result is complete if and only if no error was said.
pub(crate) fn configuration(context: &Context<'_>, table: &Table) -> Config {
    let start = Place { file: 0, span: 0..0 };
    let document = Entry {
        key: String::new(),
        key_place: start.clone(),
        node: Node { place: start.clone(), value: Value::Table(table.clone()) },
    };
    let top = context.read_or_default(Some(&document), "", &TOP, &start);

    let limits = limits::read(&top.table_or_default("limits", "limits", &LIMITS));
    let listeners = listeners::read(&top);
    let auth = auth::read(&top.table_or_default("auth", "auth", &AUTH));
    let (languages, pages) = pages::read(&top.table_or_default("pages", "pages", &PAGES));
    let sessions = sessions::read(&top.table_or_default("sessions", "sessions", &SESSIONS));
    let mut providers = providers::read(&top, &auth);
    let networks = policies::networks(&top);
    let names = policies::Names { networks, providers: providers.names.clone() };
    let policies = policies::read(&top, &names);
    let mut upstreams = upstreams::read(&top);
    let routes = routes::Reading {
        auth: &auth,
        limits: &limits,
        names: &names,
        policies: &policies,
        providers: &mut providers,
        upstreams: &mut upstreams,
    }
    .read(&top);
    let admin = admin::read(&top.table_or_default("admin", "admin", &ADMIN), &listeners);
    let telemetry = telemetry::read(&top.table_or_default("telemetry", "telemetry", &TELEMETRY));
    let tests = tests::read(&top, &names, &routes.routes);
    auth::check_hosts(context, &auth, &routes.hosts);
    sessions::check_hosts(context, &sessions, &routes.hosts);
    providers.check_answers(context, &auth, &routes.hosts);
    // Beside errors this would only distract.
    if !top.has("routes") && !context.problems.has_errors() {
        let problem =
            Problem::new(Code::W0200, &start, "there are no routes, so nothing is served");
        context.add(
            problem
                .label("none from here to the end")
                .help("write [routes.NAME] with `url`, `upstream` and `allow`"),
        );
    }

    let providers = providers.finish();
    Config {
        gateway: GatewayConfig {
            path_prefix: auth.path_prefix,
            public_url: auth.public_url.map(|(origin, _)| origin),
            cookies: sessions.cookie_names(auth.cookie_domain.map(|domain| domain.value)),
            login_timeout: auth.login_timeout,
            max_pending_logins: auth.max_pending_logins,
            sessions: sessions.limits,
            providers: providers.iter().map(|provider| provider.sign_in.clone()).collect(),
            routes: routes.routes,
            post_logout_redirect_uris: auth.post_logout_redirect_uris,
            languages,
            kept_form_bytes: sessions.kept_form_bytes,
        },
        pages,
        session_keys: sessions.keys,
        listeners: listeners.into_iter().map(|(listener, _)| listener).collect(),
        providers,
        upstreams: upstreams
            .into_iter()
            .map(|(name, upstreams::WithPath { upstream, .. })| (name, upstream))
            .collect(),
        admin,
        telemetry,
        limits,
        tests,
    }
}
