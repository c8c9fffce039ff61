//! Which pages may open a WebSocket in somebody's name.
//!
//! Browsers let every page of every site ask for a WebSocket, send the cookies along, and hand the connection
//! to that page: neither CORS nor a preflight stands between. All that a server has is the `Origin` header,
//! which no page can set. A request without one was not made by a browser's page and is left alone.
//!
//! This protects the session. Where none is used, nothing is done in anybody's name; what an application
//! makes of its own cookies is the application's to check.
//!
//! Sources: RFC 6455 §4.1, §10.2; RFC 6454 §7; the class E8 of published advisories.

use http::{HeaderMap, header};

use crate::route::Route;

/// Whether a request that carries a session may go on: it asks for no WebSocket, no page asks for it, or a page
/// of the route's own origin or of one that the route lists.
///
/// Origins are compared as they are written, which is how browsers write them; `null` is nobody's.
pub(crate) fn may_open(headers: &HeaderMap, route: &Route) -> bool {
    !asks(headers)
        || headers.get_all(header::ORIGIN).iter().all(|origin| {
            let is_it = |listed: &str| origin.as_bytes() == listed.as_bytes();
            is_it(route.origin.as_str())
                || route.websocket_origins.iter().any(|listed| is_it(listed.as_str()))
        })
}

/// Whether `Upgrade` names it at all. The door asks for more before it lets one through, so whatever becomes a
/// WebSocket is found here.
fn asks(headers: &HeaderMap) -> bool {
    headers.get_all(header::UPGRADE).iter().any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use url::Url;

    use super::*;
    use crate::origin::PublicOrigin;
    use crate::route::tests::route;

    /// E8, ASVS 4.4.2: only the pages that the route knows, and no look-alike.
    #[test]
    fn a_websocket_is_for_the_pages_that_the_route_knows() {
        let listed = Url::parse("https://portal.test:8443").unwrap();
        let listed = vec![PublicOrigin::of(&listed).unwrap()];
        let route = Route { websocket_origins: listed, ..route("app", "https://app.test/x") };
        for (origins, expected) in [
            (&[][..], true),
            (&["https://app.test"][..], true),
            (&["https://portal.test:8443"], true),
            (&["https://app.test", "https://app.test"], true),
            (&["https://evil.test"], false),
            (&["https://app.test", "https://evil.test"], false),
            (&["https://app.test, https://evil.test"], false),
            (&["https://app.test https://evil.test"], false),
            (&["http://app.test"], false),
            (&["https://app.test:444"], false),
            (&["https://app.test."], false),
            (&["https://app.test.evil.test"], false),
            (&["https://sub.app.test"], false),
            (&["https://portal.test"], false),
            (&["https://app.test/"], false),
            (&["null"], false),
            (&[""], false),
        ] {
            for upgrade in ["websocket", "WebSocket", "h2c, websocket", "foo ,\tWEBSOCKET"] {
                let mut headers = HeaderMap::new();
                headers.insert(header::UPGRADE, HeaderValue::from_str(upgrade).unwrap());
                for origin in origins {
                    headers.append(header::ORIGIN, HeaderValue::from_static(origin));
                }
                assert_eq!(may_open(&headers, &route), expected, "{upgrade} from {origins:?}");
            }
        }
    }

    #[test]
    fn requests_for_anything_else_may_come_from_anywhere() {
        let route = route("app", "https://app.test");
        for (name, value) in [("accept", "text/html"), ("upgrade", "h2c"), ("upgrade", "")] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static("https://other.test"));
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert!(may_open(&headers, &route), "{name}: {value}");
        }
    }
}
