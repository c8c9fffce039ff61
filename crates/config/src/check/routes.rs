//! `[routes.NAME]`: a public URL, what stands behind it, and who may use it.

use std::collections::BTreeMap;

use lychgate_gateway::clients::{ClientRules, LoginRule};
use lychgate_gateway::endpoint::is_reserved;
use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::route::{Access, OnExpiry, Route, Routes};

use super::access::{self, Answer};
use super::auth::{Auth, ServedHost, warn_of_plain_text};
use super::needs::Needs;
use super::policies::{Names, People, unknown_name};
use super::providers::Providers;
use super::upstreams::{self, WithPath};
use super::{clients, headers, rules};
use crate::code::Code;
use crate::config::Limits;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::grammar::{ROUTE, ROUTE_LIMITS};
use crate::problem::Problem;
use crate::reader::{Reader, named};
use crate::tree::{Entry, Value};

/// What routes refer to, and what they add to.
pub(super) struct Reading<'a> {
    pub(super) auth: &'a Auth,
    pub(super) limits: &'a Limits,
    pub(super) names: &'a Names,
    pub(super) policies: &'a BTreeMap<String, People>,
    pub(super) providers: &'a mut Providers,
    pub(super) upstreams: &'a mut BTreeMap<String, WithPath>,
}

/// The routes, ready to be searched, and the hosts that they are on.
pub(super) struct Found {
    pub(super) routes: Routes,
    pub(super) hosts: Vec<ServedHost>,
}

impl Reading<'_> {
    pub(super) fn read(mut self, top: &Reader<'_>) -> Found {
        let mut routes: Vec<(Route, Place)> = Vec::new();
        let mut hosts = Vec::new();
        for entry in named(top.context, top.entry("routes")) {
            let path = format!("routes.{}", entry.key);
            let reader = top.context.read(&entry.node, &entry.key_place, &path, &ROUTE);
            let Some((route, place)) = reader.and_then(|reader| self.route(&reader, &entry.key))
            else {
                continue;
            };
            let twin = routes
                .iter()
                .find(|(first, _)| first.origin == route.origin && first.path == route.path);
            if let Some((first, first_place)) = twin {
                top.context.add(
                    Problem::new(
                        Code::E0220,
                        &place,
                        format!(
                            "two routes claim {}{}",
                            route.origin,
                            if route.path.is_empty() { "/" } else { &route.path }
                        ),
                    )
                    .label(format!("`{}`", route.name))
                    .also(first_place, format!("`{}`", first.name)),
                );
                continue;
            }
            let sign_in = self.auth.public_url.as_ref();
            let sign_in = sign_in.map(|(origin, place)| (origin, place, "public_url"));
            let mut claims = sign_in.into_iter().chain(
                routes.iter().map(|(first, place)| (&first.origin, place, first.name.as_str())),
            );
            let other = claims.find(|(origin, ..)| is_one_host_twice(origin, &route.origin));
            if let Some((_, other_place, other_name)) = other {
                let message = format!("{} is served by http and by https", route.origin.host());
                top.context.add(
                    Problem::new(Code::E0220, &place, message)
                        .label(format!("`{}`", route.name))
                        .also(other_place, format!("`{other_name}`"))
                        .help("give both the address that browsers show; `redirect_to_https` serves the other"),
                );
                continue;
            }
            hosts.push(ServedHost {
                route: route.name.clone(),
                origin: route.origin.clone(),
                place: place.clone(),
            });
            routes.push((route, place));
        }
        let sign_in = self.auth.public_url.as_ref().map(|(origin, _)| origin);
        let routes = routes.into_iter().map(|(route, _)| route).collect();
        // URLs and hosts that contradict each other were taken out above.
        let routes = Routes::new(routes, sign_in).unwrap_or_default();
        Found { routes, hosts }
    }

    fn route(&mut self, reader: &Reader<'_>, name: &str) -> Option<(Route, Place)> {
        let url = self.url(reader, name);
        let upstream = self.upstream(reader, name);
        let answer = access::read(reader, &format!("route `{name}`"), self.names, self.policies);
        let rules = rules::read(reader, name, self.names, self.policies, answer.as_ref());
        let headers = headers::read(reader);
        let body_bytes_max = self.body_bytes_max(reader);
        let websocket_origins = origins(reader, "websocket_origins");
        let expiry = [("close", OnExpiry::Close), ("finish", OnExpiry::Finish)];
        let on_expiry = reader.word("on_expiry", OnExpiry::Close, &expiry);
        let answers = || answer.iter().chain(rules.iter().map(|(_, answer)| answer));
        let providers = self.providers_of(reader, name, answers());

        let clients = clients::read(reader, &providers, &self.names.providers);
        refuse_choosers_without_choice(reader, name, &providers, &clients);
        // Whoever comes with a token is somebody like whoever signs in.
        let mut accepted = providers.clone();
        for issuer in clients.bearer.iter().flat_map(|bearer| &bearer.issuers) {
            if !accepted.contains(issuer) {
                accepted.push(issuer.clone());
            }
        }

        let mut needs = Needs::default();
        needs.add(&headers.needs);
        for answer in answers() {
            if let Access::SignedIn(policy) = answer.access() {
                needs.of_policy(&policy);
            }
        }
        self.providers.need(&accepted, &needs);
        if let Some(bearer) = &clients.bearer {
            self.providers.check_issuers(reader, bearer);
        }
        for answer in answers() {
            if let Answer::SignedIn { people, place } = answer {
                self.providers.refuse_open_doors(reader.context, name, &accepted, people, place);
                if !lists_providers(reader, &providers) {
                    refuse_what_providers_may_not_share(
                        reader.context,
                        name,
                        &accepted,
                        people,
                        place,
                    );
                }
            }
        }

        let (origin, path, place) = url?;
        let (upstream, upstream_path) = upstream?;
        let access = answer?.access();
        let route = Route {
            name: name.to_owned(),
            origin,
            path,
            upstream,
            upstream_path,
            providers,
            rules: rules.into_iter().map(|(rule, _)| rule).collect(),
            access,
            identity: headers.identity,
            response_headers: headers.response,
            body_bytes_max,
            clients,
            websocket_origins,
            on_expiry,
        };
        Some((route, place))
    }

    /// The origin, the path without trailing slash, and the place.
    fn url(&self, reader: &Reader<'_>, name: &str) -> Option<(PublicOrigin, String, Place)> {
        let context = reader.context;
        if reader.lacks("url") {
            let problem = reader.missing(format!("route `{name}` has no `url`"));
            context.add(
                problem.help("write where browsers find it: url = \"https://app.example.com\""),
            );
        }
        let (url, text) = reader.url("url")?;
        let key = reader.name("url");
        if url.query().is_some() || url.fragment().is_some() {
            let problem =
                Problem::new(Code::E0122, &text.place, format!("`{key}` has a query or fragment"));
            context.add(problem.label("routes are told apart by host and path"));
            return None;
        }
        let path = upstreams::canonical_path(context, &url, &text, &key)?;
        if is_reserved(&path, &self.auth.path_prefix) {
            let message = format!("`{key}` lies where Lychgate keeps its own pages");
            let problem = Problem::new(Code::E0122, &text.place, message);
            context.add(problem.label(format!("below {}", self.auth.path_prefix)));
            return None;
        }
        let origin = PublicOrigin::of(&url)?;
        warn_of_plain_text(context, &origin, &text.place);
        Some((origin, path, text.place))
    }

    /// The upstream's name, and the path there.
    fn upstream(&mut self, reader: &Reader<'_>, name: &str) -> Option<(String, String)> {
        let context = reader.context;
        if reader.lacks("upstream") {
            let problem = reader.missing(format!("route `{name}` has no `upstream`"));
            context.add(
                problem
                    .help("write where the application is: upstream = \"http://127.0.0.1:3000\""),
            );
        }
        let text = reader.words("upstream")?;
        if text.value.contains("://") || text.value.starts_with("unix:") {
            let inline = upstreams::inline(context, &text, name)?;
            let (name, path) = (inline.upstream.name.clone(), inline.path.clone());
            self.upstreams.insert(name.clone(), inline);
            return Some((name, path));
        }
        if let Some(found) = self.upstreams.get(&text.value) {
            return Some((found.upstream.name.clone(), found.path.clone()));
        }
        if text.value.contains(['.', ':', '/']) {
            let message = format!(
                "`{}` is neither a URL nor the name of an upstream",
                reader.name("upstream")
            );
            let problem = Problem::new(Code::E0122, &text.place, message);
            context.add(problem.label(format!("did you mean \"http://{}\"?", text.value)));
        } else {
            unknown_name(context, &text, "upstream", self.upstreams.keys().map(String::as_str));
        }
        None
    }

    /// The providers whose sessions count: those that are listed, or all.
    fn providers_of<'r>(
        &self,
        reader: &Reader<'_>,
        name: &str,
        mut answers: impl Iterator<Item = &'r Answer>,
    ) -> Vec<String> {
        let known = &self.names.providers;
        if let Some(entry) = reader.entry("providers") {
            let texts = reader.texts("providers").unwrap_or_default();
            return self.listed(reader, entry, texts);
        }
        let asks = answers.any(|answer| matches!(answer, Answer::SignedIn { .. }));
        if asks && known.is_empty() {
            reader.context.add(
                reader
                    .missing(format!("nobody can sign in to route `{name}`: there is no provider"))
                    .help("write [providers.NAME] with `issuer`, `client_id` and `client_secret`"),
            );
        }
        known.clone()
    }

    fn listed(&self, reader: &Reader<'_>, entry: &Entry, texts: Vec<Text>) -> Vec<String> {
        let known = &self.names.providers;
        let mut listed: Vec<String> = Vec::new();
        // Nobody signs in where tokens alone count.
        if texts.is_empty() && !reader.has("bearer") {
            let message = format!("`{}` is empty", reader.name("providers"));
            let problem = Problem::new(Code::E0122, &entry.node.place, message);
            reader.context.add(problem.label("delete it to accept every provider"));
        }
        for text in texts {
            if !known.contains(&text.value) {
                unknown_name(reader.context, &text, "provider", known.iter().map(String::as_str));
            } else if !listed.contains(&text.value) {
                listed.push(text.value);
            }
        }
        listed
    }

    fn body_bytes_max(&self, reader: &Reader<'_>) -> Option<u64> {
        let path = reader.name("limits");
        let limits = reader.table_or_default("limits", &path, &ROUTE_LIMITS);
        limits.size("body").map_or(self.limits.body_bytes, |limit| limit.bytes)
    }
}

/// Origins of pages, one by one.
pub(super) fn origins(reader: &Reader<'_>, key: &str) -> Vec<PublicOrigin> {
    let name = reader.name(key);
    let texts = reader.texts(key).unwrap_or_default();
    let mut origins = Vec::new();
    for text in texts {
        if text.value == "null" || text.value.contains('*') {
            let message = format!("`{name}` is for origins that are known, one by one");
            let label = "write for example \"https://portal.example.com\"";
            reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
            continue;
        }
        let Some(url) = reader.context.url(&text, &name) else { continue };
        let Some(origin) = PublicOrigin::of(&url) else { continue };
        let rest = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
        if rest || text.value.ends_with('/') {
            let message = format!("`{name}` holds more than scheme and host");
            let label = format!("write \"{origin}\"");
            reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
            continue;
        }
        origins.push(origin);
    }
    origins
}

/// Whether requests to one of two origins could be meant for the other: they name the same host and port, and browsers
/// say no scheme.
fn is_one_host_twice(one: &PublicOrigin, other: &PublicOrigin) -> bool {
    one != other && one.authorities().any(|host| other.authorities().any(|own| own == host))
}

/// Whether a route says itself whose people are let in: who lists several providers knows that what one says of people
/// means the same at another (C-75).
fn lists_providers(reader: &Reader<'_>, providers: &[String]) -> bool {
    let lists_issuers = || match reader.entry("bearer").map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => table.0.iter().any(|entry| entry.key == "issuers"),
        Some(_) | None => false,
    };
    reader.has("providers") && (!providers.is_empty() || lists_issuers())
}

/// The same text may be another group, or another person, at another provider (C-75): whoever can choose names there would
/// be let in here.
fn refuse_what_providers_may_not_share(
    context: &Context<'_>,
    route: &str,
    accepted: &[String],
    people: &People,
    answer: &Place,
) {
    let Some(bare) = people.bare.first().filter(|_| accepted.len() > 1) else { return };
    let place = if people.policy.name.is_some() { answer } else { &bare.place };
    let names: Vec<String> = accepted.iter().map(|name| format!("{name:?}")).collect();
    let message = format!(
        "route `{route}` takes {} of any of {} providers for the same",
        bare.words,
        accepted.len()
    );
    let names = names.join(", ");
    let first = accepted.first().map_or("", String::as_str);
    context.add(Problem::new(Code::E0204, place, message).label(format!("at {names}")).help(format!(
        "write {{ {}, providers = [{first:?}] }} for the one that is meant; if it is the same everywhere, \
         providers = [{names}] in [routes.{route}]",
        bare.key,
    )));
}

/// Whoever is sent to sign in has to have somewhere to sign in.
fn refuse_choosers_without_choice(
    reader: &Reader<'_>,
    name: &str,
    providers: &[String],
    clients: &ClientRules,
) {
    let Some(entry) = reader.entry("providers").filter(|_| providers.is_empty()) else { return };
    let is_empty = matches!(&entry.node.value, Value::List(items) if items.is_empty());
    if is_empty && clients.bearer.is_some() && clients.login == LoginRule::Auto {
        let message = format!("people are sent to sign in to route `{name}`, and nobody can");
        reader.context.add(
            Problem::new(Code::E0123, &entry.node.place, message)
                .label("there is no provider to choose")
                .help(
                    "write login = \"never\", so that they are refused instead; or list providers",
                ),
        );
    }
}
