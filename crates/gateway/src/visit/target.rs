//! What the upstream is asked for.

use crate::request::Request;
use crate::route::Route;

/// The upstream's path replaces the route's (C-78); the query stays as it was received.
pub(super) fn upstream_target(route: &Route, request: &Request<'_>) -> String {
    let path = request.path.as_str();
    let rest = path.strip_prefix(route.path.as_str()).unwrap_or(path);
    let query_bytes = request.query.map_or(0, |query| 1 + query.len());
    let mut target =
        String::with_capacity(route.upstream_path.len() + rest.len() + 1 + query_bytes);
    target.push_str(&route.upstream_path);
    target.push_str(rest);
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = request.query {
        target.push('?');
        target.push_str(query);
    }
    target
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::forwarded::{Peer, TrustedProxies};
    use crate::request::{Received, Transport};
    use crate::route::tests::route;

    /// C-78: the upstream's path replaces the route's, with and without slashes at either's end; the query
    /// stays as it was received.
    #[test]
    fn the_upstreams_path_replaces_the_routes() {
        let (headers, nobody) = (HeaderMap::new(), TrustedProxies::default());
        for (url, upstream, asked, expected) in [
            ("https://app.test", "", "/", "/"),
            ("https://app.test", "", "/a/b/", "/a/b/"),
            ("https://app.test/", "", "/a?b=%2F", "/a?b=%2F"),
            ("https://app.test", "/base", "/", "/base/"),
            ("https://app.test", "/base", "/a", "/base/a"),
            ("https://app.test/x", "", "/x", "/"),
            ("https://app.test/x", "", "/x/", "/"),
            ("https://app.test/x", "", "/x/a", "/a"),
            ("https://app.test/x", "", "/x?q", "/?q"),
            ("https://app.test/x/", "", "/x/a?", "/a?"),
            ("https://app.test/x", "/base", "/x", "/base"),
            ("https://app.test/x", "/base", "/x/", "/base/"),
            ("https://app.test/x", "/base", "/x/x/a", "/base/x/a"),
            ("https://app.test/x", "/x", "/x/%61?x=/x", "/x/a?x=/x"),
        ] {
            let route = Route { upstream_path: upstream.to_owned(), ..route("app", url) };
            let request = Request::read(Received {
                method: &Method::GET,
                target: asked,
                authority: "app.test",
                headers: &headers,
                peer: Peer::Unix,
                trusted: &nobody,
                transport: Transport::Tls,
                fresh_id: "request-1".into(),
            })
            .unwrap();
            let target = upstream_target(&route, &request);
            assert_eq!(target, expected, "{url} {upstream} {asked}");
        }
    }
}
