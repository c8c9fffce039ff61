//! Which application a request is for: by host, then by the longest path.
//!
//! The order of routes in a file never matters (C-70). Finding one costs a hash look-up for the host and
//! one for each segment of the path, however many routes there are.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use http::{HeaderName, HeaderValue, Method};

use crate::clients::ClientRules;
use crate::headers::IdentityHeaders;
use crate::origin::PublicOrigin;
use crate::path::{CanonicalPath, PathPattern};
use crate::policy::Policy;

/// A public URL and what stands behind it.
#[derive(Debug)]
pub struct Route {
    /// The operator's name for it, as in metrics and logs.
    pub name: String,
    /// Where browsers find it.
    pub origin: PublicOrigin,
    /// The path of its URL, canonical, without trailing slash: empty for a whole host.
    pub path: String,
    /// The upstream's name.
    pub upstream: String,
    /// What replaces [`path`](Self::path) on the way upstream, without trailing slash.
    pub upstream_path: String,
    /// The providers whose sessions count here, by name; never empty.
    pub providers: Vec<String>,
    /// First match wins; what no rule is about falls to [`access`](Self::access).
    pub rules: Vec<Rule>,
    /// Who may use the route.
    pub access: Access,
    /// What the upstream is told about the person.
    pub identity: IdentityHeaders,
    /// Response headers: set to a value, or removed.
    pub response_headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// The largest request body, in bytes.
    pub body_bytes_max: Option<u64>,
    /// How clients are met that are no page in a browser.
    pub clients: ClientRules,
    /// Whose pages may open WebSockets with somebody's session, beside those of [`origin`](Self::origin).
    pub websocket_origins: Vec<PublicOrigin>,
    /// What becomes of what is still under way when a session ends.
    pub on_expiry: OnExpiry,
}

/// What becomes of a WebSocket, or a response that takes long, when the session that it began with ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// It is closed.
    #[default]
    Close,
    /// It goes on until one side ends it.
    Finish,
}

/// An exception inside a route.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As in logs: `routes.kibana.rules[0]`.
    pub name: String,
    /// The paths it is about; all when absent.
    pub path: Option<PathPattern>,
    /// The methods it is about; all when empty.
    pub methods: Vec<Method>,
    /// Who may pass.
    pub access: Access,
}

impl Rule {
    /// Whether the rule is about a request with `method` for `path`, one reading of its path.
    pub fn is_about(&self, method: &Method, path: &str) -> bool {
        // `HEAD` asks what `GET` would be answered (RFC 9110 §9.3.2).
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        (self.methods.is_empty() || self.methods.contains(method))
            && self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
    }
}

/// Who may pass.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody, signed in or not.
    Public,
    /// Whoever is signed in and whom the policy allows.
    SignedIn(Arc<Policy>),
}

/// All routes, ready to be searched.
#[derive(Debug, Default)]
pub struct Routes {
    hosts: HashMap<String, HashMap<String, Arc<Route>, RandomState>, RandomState>,
    origins: Vec<PublicOrigin>,
    /// Hosts on which we answer our own paths although no route is there.
    own_hosts: HashMap<String, PublicOrigin, RandomState>,
}

/// Two routes claim one URL, or one host by http and by https: requests do not say which of these they mean.
#[derive(Debug, thiserror::Error)]
#[error("routes `{first}` and `{second}` have the same URL")]
pub struct SameUrl {
    /// The route that came first.
    pub first: String,
    /// The route that came second.
    pub second: String,
}

/// What stands at a host and path.
#[derive(Clone, Debug)]
pub enum Found {
    /// An application.
    Route(Arc<Route>),
    /// Two readings of the path lead to two places (B2).
    Ambiguous,
    /// One of our hosts, without an application at this path.
    Ours(PublicOrigin),
    /// Nothing of ours.
    Nothing,
}

impl Routes {
    /// Puts the routes in order; `sign_in_origin` is served too, for our own pages.
    ///
    /// # Errors
    /// [`SameUrl`] when two routes have the same origin and path.
    pub fn new(routes: Vec<Route>, sign_in_origin: Option<&PublicOrigin>) -> Result<Self, SameUrl> {
        let mut table = Self::default();
        if let Some(origin) = sign_in_origin {
            table.own_hosts.extend(origin.authorities().map(|host| (host, origin.clone())));
            table.origins.push(origin.clone());
        }
        for route in routes {
            let route = Arc::new(route);
            if !table.origins.contains(&route.origin) {
                table.origins.push(route.origin.clone());
            }
            for host in route.origin.authorities() {
                if let Some(other) =
                    table.own_hosts.get(&host).filter(|other| **other != route.origin)
                {
                    return Err(SameUrl {
                        first: other.as_str().to_owned(),
                        second: route.name.clone(),
                    });
                }
                table.own_hosts.insert(host.clone(), route.origin.clone());
                let paths = table.hosts.entry(host).or_default();
                if let Some(first) = paths.insert(route.path.clone(), Arc::clone(&route)) {
                    return Err(SameUrl { first: first.name.clone(), second: route.name.clone() });
                }
            }
        }
        Ok(table)
    }

    /// The route with the longest path that `path` lies in, by whole segments.
    pub fn find(&self, authority: &str, path: &CanonicalPath) -> Found {
        let mut readings = path.readings().map(|reading| self.find_reading(authority, reading));
        let route = readings.next().flatten();
        // Within one host, routes are told apart by their paths.
        if readings.any(|other| other.map(|other| &other.path) != route.map(|route| &route.path)) {
            return Found::Ambiguous;
        }
        let own_host = || self.own_hosts.get(authority);
        match route {
            Some(route) => Found::Route(Arc::clone(route)),
            None => own_host().map_or(Found::Nothing, |origin| Found::Ours(origin.clone())),
        }
    }

    fn find_reading(&self, authority: &str, path: &str) -> Option<&Arc<Route>> {
        let paths = self.hosts.get(authority)?;
        let mut prefix = path.trim_end_matches('/');
        loop {
            if let Some(route) = paths.get(prefix) {
                return Some(route);
            }
            prefix = prefix.get(..prefix.rfind('/')?)?;
        }
    }

    /// Every origin that is served.
    pub fn origins(&self) -> &[PublicOrigin] {
        &self.origins
    }

    /// The routes at an origin.
    pub fn at<'a>(&'a self, origin: &'a PublicOrigin) -> impl Iterator<Item = &'a Arc<Route>> {
        self.hosts.get(origin.authority()).into_iter().flat_map(HashMap::values)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::{Condition, Entry};
    use url::Url;

    /// A route at `url` for whoever is signed in, for the tests of other modules.
    pub(crate) fn route(name: &str, url: &str) -> Route {
        let url = Url::parse(url).unwrap();
        let anybody = Entry { conditions: vec![Condition::Authenticated] };
        Route {
            name: name.to_owned(),
            origin: PublicOrigin::of(&url).unwrap(),
            path: url.path().trim_end_matches('/').to_owned(),
            upstream: name.to_owned(),
            upstream_path: String::new(),
            providers: vec!["corp".to_owned()],
            rules: Vec::new(),
            access: Access::SignedIn(Arc::new(Policy {
                allow: vec![anybody],
                ..Policy::default()
            })),
            identity: IdentityHeaders::default(),
            response_headers: Vec::new(),
            body_bytes_max: None,
            clients: ClientRules::default(),
            websocket_origins: Vec::new(),
            on_expiry: OnExpiry::Close,
        }
    }

    /// A rule about `path`, or about every path.
    pub(crate) fn rule(path: Option<&str>, methods: &[Method], access: Access) -> Rule {
        Rule {
            name: format!("rule {}", path.unwrap_or("*")),
            path: path.map(|path| PathPattern::parse(path).unwrap()),
            methods: methods.to_vec(),
            access,
        }
    }

    const URLS: [(&str, &str); 6] = [
        ("home", "https://app.test"),
        ("reports", "https://app.test/reports"),
        ("archive", "https://app.test/reports/archive/"),
        ("port", "https://app.test:8443"),
        ("deep", "https://deep.test/a/b/c"),
        ("plain", "http://plain.test"),
    ];

    fn found(routes: &Routes, authority: &str, path: &str) -> String {
        match routes.find(authority, &CanonicalPath::parse(path).unwrap()) {
            Found::Ambiguous => "ambiguous".to_owned(),
            Found::Route(route) => route.name.clone(),
            Found::Ours(origin) => format!("ours at {origin}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    /// C-70, B5: by host, then by the longest path in whole segments; the order of the file says nothing.
    #[test]
    fn the_longest_path_wins_whatever_the_order() {
        for turn in 0..URLS.len() {
            let mut urls = URLS;
            urls.rotate_left(turn);
            if turn % 2 == 1 {
                urls.reverse();
            }
            let planned = urls.map(|(name, url)| route(name, url)).into();
            let routes = Routes::new(planned, None).unwrap();
            for (authority, path, expected) in [
                ("app.test", "/", "home"),
                ("app.test", "/report", "home"),
                ("app.test", "/reportsx", "home"),
                ("app.test", "/Reports", "home"),
                ("app.test", "/x/reports", "home"),
                ("app.test", "/reports", "reports"),
                ("app.test", "/reports/", "reports"),
                ("app.test", "/reports/archives", "reports"),
                ("app.test", "/%72eports/x", "reports"),
                ("app.test", "/reports/archive", "archive"),
                ("app.test", "/reports/archive/2029/x", "archive"),
                ("app.test:443", "/reports", "reports"),
                ("app.test:8443", "/reports", "port"),
                ("deep.test", "/a/b/c", "deep"),
                ("deep.test", "/a/b", "ours at https://deep.test"),
                ("deep.test", "/", "ours at https://deep.test"),
                ("plain.test:80", "/", "plain"),
                ("plain.test:443", "/", "nothing"),
                ("test", "/", "nothing"),
                ("sub.app.test", "/", "nothing"),
                ("app.test.evil.test", "/", "nothing"),
                ("", "/", "nothing"),
            ] {
                assert_eq!(found(&routes, authority, path), expected, "{authority} {path}");
            }
        }
    }

    #[test]
    fn two_routes_with_one_url_are_refused() {
        for second in ["https://app.test/x", "https://app.test/x/", "https://APP.test:443/x"] {
            let routes = vec![route("one", "https://app.test/x"), route("two", second)];
            let error = Routes::new(routes, None).unwrap_err();
            assert_eq!((error.first.as_str(), error.second.as_str()), ("one", "two"), "{second}");
        }
    }

    /// C-70: a request does not say whether its browser came by http or by https, so one host by both would let
    /// a route of one be asked for at the other. Another port is another host.
    #[test]
    fn one_host_by_http_and_https_is_refused() {
        for (first, second, refused) in [
            ("https://app.test", "http://app.test", true),
            ("https://app.test", "http://app.test/path", true),
            ("http://app.test/path", "https://app.test", true),
            ("https://app.test:8443", "http://app.test:8443", true),
            ("https://app.test", "http://app.test:443", true),
            ("https://app.test", "http://app.test:8080", false),
            ("https://app.test", "http://sub.app.test", false),
        ] {
            let routes = || vec![route("one", first), route("two", second)];
            assert_eq!(Routes::new(routes(), None).is_err(), refused, "{first} {second}");
            let sign_in = PublicOrigin::of(&Url::parse(first).unwrap()).unwrap();
            let two = Routes::new(vec![route("two", second)], Some(&sign_in));
            assert_eq!(two.is_err(), refused, "signing in at {first}, {second}");
        }
    }

    #[test]
    fn the_sign_in_origin_is_served_without_a_route() {
        let login = PublicOrigin::of(&Url::parse("https://login.test").unwrap()).unwrap();
        let routes = Routes::new(vec![route("home", "https://app.test")], Some(&login)).unwrap();

        assert_eq!(found(&routes, "login.test", "/x"), "ours at https://login.test");
        assert_eq!(routes.origins().len(), 2);
    }

    /// C-71: a rule is about its paths and its methods, both.
    #[test]
    fn a_rule_is_about_paths_and_methods() {
        let methods = [Method::GET, Method::HEAD];
        for (path, methods, method, asked, expected) in [
            (None, &[][..], Method::DELETE, "/x", true),
            (None, &methods, Method::GET, "/x", true),
            (None, &methods, Method::POST, "/x", false),
            (Some("/x"), &[], Method::POST, "/x", true),
            (Some("/x"), &methods, Method::HEAD, "/x", true),
            (Some("/x"), &methods, Method::POST, "/x", false),
            (Some("/x"), &methods, Method::GET, "/x/", false),
            (Some("/x/**"), &[], Method::GET, "/x/y", true),
        ] {
            let rule = rule(path, methods, Access::Public);
            assert_eq!(rule.is_about(&method, asked), expected, "{path:?} {method} {asked}");
        }
    }

    /// B2: an application might cut the path at an encoded delimiter, and then it would be another route's.
    #[test]
    fn a_path_that_two_routes_could_claim_is_nobodys() {
        let planned = URLS.map(|(name, url)| route(name, url)).into();
        let routes = Routes::new(planned, None).unwrap();
        for (path, expected) in [
            ("/reports%23/x", "ambiguous"),
            ("/reports%3F/x", "ambiguous"),
            ("/reports/archive%23/x", "ambiguous"),
            ("/reports/x%23y", "reports"),
            ("/x%23/reports", "home"),
        ] {
            assert_eq!(found(&routes, "app.test", path), expected, "{path}");
        }
    }
}
