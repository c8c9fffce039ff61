//! `[auth]`: where people sign in, and which hosts share the sign-in.

use std::net::IpAddr;
use std::time::Duration;

use lychgate_gateway::origin::PublicOrigin;
use lychgate_gateway::path::CanonicalPath;
use url::{Host, Url};

use crate::code::Code;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::problem::Problem;
use crate::reader::Reader;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `[auth]`, read.
pub(super) struct Auth {
    pub(super) public_url: Option<(PublicOrigin, Place)>,
    pub(super) path_prefix: String,
    pub(super) cookie_domain: Option<Text>,
    pub(super) login_timeout: Duration,
    pub(super) max_pending_logins: usize,
    pub(super) clock_tolerance: Duration,
    pub(super) post_logout_redirect_uris: Vec<Url>,
}

pub(super) fn read(reader: &Reader<'_>) -> Auth {
    let uris = reader.texts("post_logout_redirect_uris").unwrap_or_default();
    let name = reader.name("post_logout_redirect_uris");
    Auth {
        public_url: public_url(reader),
        path_prefix: path_prefix(reader),
        cookie_domain: cookie_domain(reader),
        login_timeout: login_timeout(reader, 10 * MINUTE),
        max_pending_logins: reader.integer("max_pending_logins", 5, 1..=20) as usize,
        clock_tolerance: clock_tolerance(reader, 60 * SECOND),
        post_logout_redirect_uris: uris
            .iter()
            .filter_map(|text| reader.context.url(text, &name))
            .collect(),
    }
}

/// How long a sign-in may take. Some providers have people fetch their phone.
pub(super) fn login_timeout(reader: &Reader<'_>, default: Duration) -> Duration {
    reader.duration("login_timeout", default, MINUTE..=60 * MINUTE)
}

/// How far a provider's clock may be from ours.
pub(super) fn clock_tolerance(reader: &Reader<'_>, default: Duration) -> Duration {
    reader.duration("clock_tolerance", default, Duration::ZERO..=5 * MINUTE)
}

fn public_url(reader: &Reader<'_>) -> Option<(PublicOrigin, Place)> {
    let (url, text) = reader.url("public_url")?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let message = format!("`{}` is more than scheme and host", reader.name("public_url"));
        let label = format!("write \"{}\"", url.origin().ascii_serialization());
        reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
    }
    let origin = PublicOrigin::of(&url)?;
    warn_of_plain_text(reader.context, &origin, &text.place);
    Some((origin, text.place))
}

/// Warns of session cookies on the open wire.
pub(super) fn warn_of_plain_text(context: &Context<'_>, origin: &PublicOrigin, place: &Place) {
    if !origin.is_secure() && !origin.is_loopback() {
        context.add(
            Problem::new(
                Code::W0401,
                place,
                format!("session cookies of {origin} travel in plain text"),
            )
            .label("whoever can listen can take them")
            .help("write https://, also when something in front of Lychgate speaks TLS"),
        );
    }
}

fn path_prefix(reader: &Reader<'_>) -> String {
    let default = "/.lychgate".to_owned();
    let Some(text) = reader.text("path_prefix") else { return default };
    let segment = text.value.strip_prefix('/').unwrap_or_default();
    let canonical = CanonicalPath::parse(&text.value).is_ok_and(|path| path.as_str() == text.value);
    if segment.is_empty() || segment.contains(['/', '*', '?', '#']) || !canonical {
        reader.context.add(
            Problem::new(
                Code::E0122,
                &text.place,
                format!("`{}` is not one segment of a path", reader.name("path_prefix")),
            )
            .label(format!("write for example {default:?}")),
        );
        return default;
    }
    text.value
}

/// Registries under which strangers' domains stand side by side. Browsers know many more and refuse
/// cookies for them; these are only the ones that somebody might plausibly write.
const SHARED_SUFFIXES: &[&str] = &[
    "ac.uk",
    "azurewebsites.net",
    "co.at",
    "co.in",
    "co.jp",
    "co.kr",
    "co.nz",
    "co.uk",
    "co.za",
    "com.ar",
    "com.au",
    "com.br",
    "com.cn",
    "com.mx",
    "com.sg",
    "com.tr",
    "com.tw",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "gov.uk",
    "herokuapp.com",
    "ne.jp",
    "net.au",
    "netlify.app",
    "or.at",
    "or.jp",
    "org.au",
    "org.uk",
    "pages.dev",
    "vercel.app",
    "web.app",
    "workers.dev",
];

fn cookie_domain(reader: &Reader<'_>) -> Option<Text> {
    let text = reader.words("cookie_domain")?;
    let fail = |label: String| {
        let message = format!("`{}` cannot be {:?}", reader.name("cookie_domain"), text.value);
        reader.context.add(Problem::new(Code::E0240, &text.place, message).label(label));
    };
    if let Some(bare) = text.value.strip_prefix('.') {
        fail(format!("write {bare:?}: the dot has had no meaning since RFC 6265"));
        return None;
    }
    let domain = match Host::parse(&text.value) {
        Ok(Host::Domain(domain)) if domain.parse::<IpAddr>().is_err() => domain,
        Ok(_) => {
            fail("an address has no hosts below it".to_owned());
            return None;
        }
        Err(_) => {
            fail("write a domain, such as \"example.com\"".to_owned());
            return None;
        }
    };
    if domain == "localhost" || !domain.contains('.') || domain.ends_with('.') {
        fail("browsers refuse cookies for a top-level domain".to_owned());
        return None;
    }
    if SHARED_SUFFIXES.contains(&domain.as_str()) {
        fail("strangers have domains under it, so browsers refuse".to_owned());
        return None;
    }
    Some(Text { value: domain, place: text.place })
}

/// A host that is served, and where the operator said so.
pub(super) struct ServedHost {
    pub(super) route: String,
    pub(super) origin: PublicOrigin,
    pub(super) place: Place,
}

/// Every host has to be able to see the session that was made at the sign-in origin.
pub(super) fn check_hosts(context: &Context<'_>, auth: &Auth, hosts: &[ServedHost]) {
    if let Some(domain) = &auth.cookie_domain {
        let covers = |origin: &PublicOrigin| {
            origin.host() == domain.value || origin.host().ends_with(&format!(".{}", domain.value))
        };
        let problem = |place: &Place, what: &str, host: &str| {
            Problem::new(
                Code::E0240,
                place,
                format!("{what} cannot see cookies of `{}`", domain.value),
            )
            .label(format!("`{host}` is not below it"))
            .also(&domain.place, "the cookies' domain")
        };
        if let Some((origin, place)) = &auth.public_url
            && !covers(origin)
        {
            context.add(problem(place, "the sign-in origin", origin.host()));
        }
        for host in hosts.iter().filter(|host| !covers(&host.origin)) {
            context.add(problem(
                &host.place,
                &format!("route `{}`", host.route),
                host.origin.host(),
            ));
        }
    } else if let Some((origin, place)) = &auth.public_url {
        for host in hosts.iter().filter(|host| host.origin.host() != origin.host()) {
            let problem = Problem::new(
                Code::E0240,
                &host.place,
                format!("route `{}` is on another host than the sign-in", host.route),
            );
            let problem = problem
                .label("sessions from there are not seen here")
                .also(place, "people sign in here");
            context.add(match common_domain(origin.host(), host.origin.host()) {
                Some(domain) => {
                    problem.help(format!("add `cookie_domain = \"{domain}\"` to [auth]"))
                }
                None => problem.help("the two hosts have no domain in common; delete `public_url`"),
            });
        }
    }
}

/// The longest domain that both hosts lie below and that may have cookies.
fn common_domain(one: &str, other: &str) -> Option<String> {
    let labels = |host: &str| host.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    let common: Vec<String> = labels(one)
        .into_iter()
        .zip(labels(other))
        .take_while(|(one, other)| one == other)
        .map(|(label, _)| label)
        .collect();
    let domain = common.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
    let usable = common.len() >= 2
        && !SHARED_SUFFIXES.contains(&domain.as_str())
        && domain.parse::<IpAddr>().is_err();
    usable.then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_of_two_hosts_is_theirs_alone() {
        for (one, other, expected) in [
            ("login.example.com", "wiki.example.com", Some("example.com")),
            ("example.com", "wiki.example.com", Some("example.com")),
            ("a.corp.example.com", "b.corp.example.com", Some("corp.example.com")),
            ("a.example.co.uk", "b.other.co.uk", None),
            ("a.com", "b.com", None),
            ("localhost", "app.localhost", None),
        ] {
            assert_eq!(common_domain(one, other).as_deref(), expected, "{one} {other}");
        }
    }
}
