//! `[listeners.NAME]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use lychgate_gateway::forwarded::TrustedProxies;

use crate::code::Code;
use crate::config::{ListenAddress, Listener, ListenerTls, ProxyProtocol, TlsVersion};
use crate::context::{Context, Text};
use crate::file::Place;
use crate::grammar::{LISTENER, LISTENER_TLS};
use crate::problem::Problem;
use crate::reader::{Reader, named};

const MODE: u32 = 0o660;

/// The listeners, each with the place of its address.
pub(super) fn read(top: &Reader<'_>) -> Vec<(Listener, Place)> {
    let context = top.context;
    let mut listeners: Vec<(Listener, Place)> = Vec::new();
    for entry in named(context, top.entry("listeners")) {
        let path = format!("listeners.{}", entry.key);
        let Some(reader) = context.read(&entry.node, &entry.key_place, &path, &LISTENER) else {
            continue;
        };
        let Some((listener, place)) = read_one(&reader, &entry.key) else { continue };
        let twin = listeners.iter().find(|(other, _)| is_same(&other.address, &listener.address));
        if let Some((other, first)) = twin {
            context.add(
                Problem::new(
                    Code::E0221,
                    &place,
                    format!(
                        "listeners `{}` and `{}` have the same address",
                        other.name, listener.name
                    ),
                )
                .label("second")
                .also(first, "first"),
            );
        }
        listeners.push((listener, place));
    }
    if !top.has("listeners") {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
        let listener = Listener {
            name: "default".to_owned(),
            address: ListenAddress::Tcp(address),
            tls: None,
            http2: false,
            redirect_to_https: false,
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: None,
        };
        listeners.push((listener, top.place.clone()));
    }
    listeners
}

fn is_same(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Unix { path, .. }, ListenAddress::Unix { path: other, .. }) => {
            path == other
        }
        (one, other) => one == other,
    }
}

fn read_one(reader: &Reader<'_>, name: &str) -> Option<(Listener, Place)> {
    let context = reader.context;
    let text = reader.words("address");
    if reader.lacks("address") {
        let problem = reader.missing(format!("listener `{name}` has no `address`"));
        context.add(problem.help("address = \"127.0.0.1:8080\""));
    }
    let mode = mode(reader);
    let tls = tls(reader);
    let http2 = reader.boolean("http2").unwrap_or_else(|| tls.is_some());
    let redirect_to_https = reader.boolean("redirect_to_https").unwrap_or(false);
    if let Some(entry) = reader.entry("redirect_to_https")
        && redirect_to_https
        && reader.has("tls")
    {
        context.add(
            Problem::new(
                Code::E0123,
                &entry.key_place,
                format!("listener `{name}` speaks TLS and redirects to https"),
            )
            .label("this would lead in a circle"),
        );
    }
    let trusted = trusted_proxies(reader);
    let proxy_protocol = reader.word(
        "proxy_protocol",
        None,
        &[("v1", Some(ProxyProtocol::V1)), ("v2", Some(ProxyProtocol::V2))],
    );
    if let Some(entry) = reader.entry("proxy_protocol")
        && proxy_protocol.is_some()
        && !trusted.as_ref().is_some_and(|(trusted, _)| trusted.trusts_anybody())
        && !reader.misspells("trusted_proxies")
    {
        let message = format!("listener `{name}` asks proxies who the client is, and trusts none");
        context.add(
            Problem::new(Code::E0123, &entry.key_place, message)
                .label("nobody could connect")
                .help("write the networks of the balancers: trusted_proxies = [\"192.0.2.0/24\"]"),
        );
    }
    let text = text?;
    let address = address(context, &text, &reader.name("address"), mode)?;
    let is_unix = matches!(address, ListenAddress::Unix { .. });
    if !is_unix && let Some(entry) = reader.entry("mode") {
        let message = format!("listener `{name}` is no socket file and has a `mode`");
        context.add(Problem::new(Code::E0123, &entry.key_place, message).label("delete this"));
    }
    if let Some((trusted, Some(place))) = &trusted
        && trusted.unix
        && !is_unix
    {
        let message = format!("listener `{name}` is no socket file and trusts peers of one");
        context.add(Problem::new(Code::E0123, place, message).label("write the proxies' networks"));
    }
    let trusted_proxies = trusted.map(|(trusted, _)| trusted).unwrap_or_default();
    let listener = Listener {
        name: name.to_owned(),
        address,
        tls,
        http2,
        redirect_to_https,
        trusted_proxies,
        proxy_protocol,
    };
    Some((listener, text.place))
}

fn address(context: &Context<'_>, text: &Text, name: &str, mode: u32) -> Option<ListenAddress> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.starts_with('/') {
            return Some(ListenAddress::Unix { path: path.into(), mode });
        }
        let problem =
            Problem::new(Code::E0122, &text.place, format!("`{name}` is no absolute path"));
        context.add(problem.label("write \"unix:/run/lychgate/lychgate.sock\""));
        return None;
    }
    socket_address(context, text, name).map(ListenAddress::Tcp)
}

/// An address and port of this machine.
pub(super) fn socket_address(context: &Context<'_>, text: &Text, name: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.value.parse() {
        return Some(address);
    }
    let label = match text.value.rsplit_once(':') {
        Some((host @ ("" | "localhost" | "*"), port)) if port.parse::<u16>().is_ok() => {
            let host = if host == "localhost" { "127.0.0.1" } else { "[::]" };
            format!("write \"{host}:{port}\"")
        }
        _ if text.value.parse::<IpAddr>().is_ok() => "the port is missing".to_owned(),
        _ => "write an IP address and a port, such as \"127.0.0.1:8080\"".to_owned(),
    };
    context.add(
        Problem::new(Code::E0122, &text.place, format!("`{name}` is no address")).label(label),
    );
    None
}

fn mode(reader: &Reader<'_>) -> u32 {
    let Some(text) = reader.text("mode") else { return MODE };
    match u32::from_str_radix(&text.value, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ => {
            reader.context.add(
                Problem::new(
                    Code::E0122,
                    &text.place,
                    format!("`{}` is no file mode", reader.name("mode")),
                )
                .label("write three octal digits, such as \"0660\""),
            );
            MODE
        }
    }
}

fn tls(reader: &Reader<'_>) -> Option<ListenerTls> {
    let path = reader.name("tls");
    let tls = reader.table("tls", &path, &LISTENER_TLS)?;
    let min_version = tls.word(
        "min_version",
        TlsVersion::Tls12,
        &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)],
    );
    let (certificate, key) = (tls.path("certificate"), tls.path("key"));
    for name in ["certificate", "key"] {
        if tls.lacks(name) {
            reader.context.add(tls.missing(format!("`{path}` has no `{name}`")));
        }
    }
    Some(ListenerTls { certificate: certificate?, key: key?, min_version })
}

/// The proxies, with the place of the word `unix`.
fn trusted_proxies(reader: &Reader<'_>) -> Option<(TrustedProxies, Option<Place>)> {
    let texts = reader.texts("trusted_proxies")?;
    let mut trusted = TrustedProxies::default();
    let mut place = None;
    for text in texts {
        if text.value == "unix" {
            trusted.unix = true;
            place = Some(text.place);
        } else {
            trusted.networks.extend(network(
                reader.context,
                &text,
                &reader.name("trusted_proxies"),
            ));
        }
    }
    Some((trusted, place))
}

/// A network as CIDR, or a single address.
pub(super) fn network(context: &Context<'_>, text: &Text, name: &str) -> Option<IpNet> {
    let network = text.value.parse::<IpNet>().ok();
    let network = network.or_else(|| text.value.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = network else {
        context.add(
            Problem::new(
                Code::E0122,
                &text.place,
                format!("`{name}` holds something that is no network"),
            )
            .label("write for example \"192.0.2.0/24\""),
        );
        return None;
    };
    if network.trunc() != network {
        context.add(
            Problem::new(
                Code::E0122,
                &text.place,
                format!("`{}` is an address inside a network", text.value),
            )
            .label(format!(
                "write \"{}\", or \"{}\"",
                network.trunc(),
                IpNet::from(network.addr())
            )),
        );
        return None;
    }
    // Peers are compared in their short form, so an IPv4 network in IPv6 clothes is undressed too.
    Some(match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => match mapped.addr().to_ipv4_mapped() {
            Some(address) => {
                Ipv4Net::new(address, mapped.prefix_len() - 96).map_or(network, IpNet::V4)
            }
            None => network,
        },
        IpNet::V4(_) | IpNet::V6(_) => network,
    })
}
