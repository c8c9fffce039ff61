//! `[upstreams.NAME]`, and upstreams that a route writes as a URL.

use std::collections::BTreeMap;
use std::time::Duration;

use lychgate_gateway::path::CanonicalPath;
use url::{Host, Url};

use crate::code::Code;
use crate::config::{Roots, Upstream, UpstreamAddress, UpstreamTimeouts};
use crate::context::{Context, Text};
use crate::grammar::{UPSTREAM, UPSTREAM_TIMEOUTS, UPSTREAM_TLS};
use crate::problem::Problem;
use crate::reader::{Reader, named};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const TIMEOUTS: UpstreamTimeouts = UpstreamTimeouts {
    connect: Duration::from_secs(5),
    response: Duration::from_secs(60),
    idle: Duration::from_secs(300),
};

/// An upstream, and the path that replaces a route's path on the way there (C-78), without
/// trailing slash.
pub(super) struct WithPath {
    pub(super) upstream: Upstream,
    pub(super) path: String,
}

pub(super) fn read(top: &Reader<'_>) -> BTreeMap<String, WithPath> {
    let mut upstreams = BTreeMap::new();
    for entry in named(top.context, top.entry("upstreams")) {
        let path = format!("upstreams.{}", entry.key);
        let reader = top.context.read(&entry.node, &entry.key_place, &path, &UPSTREAM);
        if let Some(reader) = reader {
            upstreams.insert(entry.key.clone(), read_one(&reader, &entry.key));
        }
    }
    upstreams
}

fn read_one(reader: &Reader<'_>, name: &str) -> WithPath {
    let context = reader.context;
    let tls_path = reader.name("tls");
    let tls = reader.table_or_default("tls", &tls_path, &UPSTREAM_TLS);
    let server_name = tls.words("server_name").map(|text| text.value);
    let (addresses, path) = addresses(reader, name, server_name.as_deref());
    if let Some(entry) = reader.entry("tls")
        && !addresses.is_empty()
        && !addresses.iter().any(is_tls)
    {
        context.add(
            Problem::new(
                Code::E0123,
                &entry.key_place,
                format!("upstream `{name}` is reached without TLS"),
            )
            .label("this has no effect")
            .help("write https:// in `addresses`, or delete this"),
        );
    }
    let timeouts_path = reader.name("timeouts");
    let timeouts = reader.table_or_default("timeouts", &timeouts_path, &UPSTREAM_TIMEOUTS);
    let limits = SECOND / 100..=24 * HOUR;
    let upstream = Upstream {
        name: name.to_owned(),
        addresses,
        roots: tls.path("ca").map_or(Roots::System, Roots::File),
        timeouts: UpstreamTimeouts {
            connect: timeouts.duration("connect", TIMEOUTS.connect, limits.clone()),
            response: timeouts.duration("response", TIMEOUTS.response, limits.clone()),
            idle: timeouts.duration("idle", TIMEOUTS.idle, limits),
        },
        http2: reader.boolean("http2").unwrap_or(false),
    };
    WithPath { upstream, path }
}

/// The copies of an application. What a request looks like must not depend on which of them it
/// reaches, so they have one path, and TLS all or none.
fn addresses(
    reader: &Reader<'_>,
    name: &str,
    server_name: Option<&str>,
) -> (Vec<UpstreamAddress>, String) {
    let context = reader.context;
    let texts = reader.texts("addresses");
    if texts.as_ref().is_some_and(Vec::is_empty) || reader.lacks("addresses") {
        let problem = reader.missing(format!("upstream `{name}` has no `addresses`"));
        context.add(problem.help("addresses = [\"http://127.0.0.1:3000\"]"));
    }
    let mut addresses: Vec<UpstreamAddress> = Vec::new();
    let mut common_path: Option<String> = None;
    for text in texts.unwrap_or_default() {
        let Some((address, path)) = address(context, &text, &reader.name("addresses"), server_name)
        else {
            continue;
        };
        let problem = |what: &str| {
            let message =
                format!("the addresses of upstream `{name}` differ in more than the host");
            Problem::new(Code::E0123, &text.place, message).label(what)
        };
        if addresses.first().is_some_and(|first| is_tls(first) != is_tls(&address)) {
            context.add(problem("write all with https:// or none"));
        }
        if common_path.as_ref().is_some_and(|common| *common != path) {
            context.add(problem("write the same path in all"));
        }
        common_path.get_or_insert(path);
        addresses.push(address);
    }
    (addresses, common_path.unwrap_or_default())
}

fn is_tls(address: &UpstreamAddress) -> bool {
    match address {
        UpstreamAddress::Tls { .. } => true,
        UpstreamAddress::Plain { .. } | UpstreamAddress::Unix(_) => false,
    }
}

/// One address, and its path.
fn address(
    context: &Context<'_>,
    text: &Text,
    name: &str,
    server_name: Option<&str>,
) -> Option<(UpstreamAddress, String)> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.starts_with('/') {
            return Some((UpstreamAddress::Unix(path.into()), String::new()));
        }
        let problem =
            Problem::new(Code::E0122, &text.place, format!("`{name}` is no absolute path"));
        context.add(problem.label("write \"unix:/run/app/app.sock\""));
        return None;
    }
    let url = upstream_url(context, text, name)?;
    let path = canonical_path(context, &url, text, name)?;
    Some((address_of(&url, server_name)?, path))
}

/// The URL of an application: http or https, nothing after the path.
fn upstream_url(context: &Context<'_>, text: &Text, name: &str) -> Option<Url> {
    let url = context.url(text, name)?;
    if url.query().is_some() || url.fragment().is_some() {
        let problem =
            Problem::new(Code::E0122, &text.place, format!("`{name}` has a query or fragment"));
        context.add(problem.label("delete what follows the path"));
        return None;
    }
    Some(url)
}

fn address_of(url: &Url, server_name: Option<&str>) -> Option<UpstreamAddress> {
    let host = match url.host()? {
        Host::Domain(domain) => domain.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let port = url.port_or_known_default()?;
    Some(if url.scheme() == "https" {
        let server_name = server_name.map_or_else(|| host.clone(), str::to_owned);
        UpstreamAddress::Tls { host, port, server_name }
    } else {
        UpstreamAddress::Plain { host, port }
    })
}

/// An upstream that a route wrote as a URL.
pub(super) fn inline(context: &Context<'_>, text: &Text, route: &str) -> Option<WithPath> {
    let name = format!("routes.{route}.upstream");
    let (address, path) = address(context, text, &name, None)?;
    let upstream = Upstream {
        name: format!("routes.{route}"),
        addresses: vec![address],
        roots: Roots::System,
        timeouts: TIMEOUTS,
        http2: false,
    };
    Some(WithPath { upstream, path })
}

/// The path of a URL without its trailing slash, if it has only one reading and is written so.
pub(super) fn canonical_path(
    context: &Context<'_>,
    url: &Url,
    text: &Text,
    name: &str,
) -> Option<String> {
    let after_scheme = text.value.split_once("://").map_or("", |(_, rest)| rest);
    let written = after_scheme.find(['/', '?', '#']).and_then(|at| after_scheme.get(at..));
    let written =
        written.and_then(|rest| rest.split(['?', '#']).next()).filter(|path| !path.is_empty());
    let written = written.unwrap_or("/");
    let label = match CanonicalPath::parse(written) {
        Ok(path) if path.as_str() == written && url.path() == written => {
            return Some(written.trim_end_matches('/').to_owned());
        }
        Ok(path) => format!("requests are compared in normal form, which is `{path}`"),
        Err(error) => error.to_string(),
    };
    context.add(
        Problem::new(Code::E0122, &text.place, format!("the path of `{name}` is ambiguous"))
            .label(label),
    );
    None
}
