//! `[admin]`: the operator's own port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::listeners::socket_address;
use crate::code::Code;
use crate::config::{Admin, ListenAddress, Listener};
use crate::file::Place;
use crate::problem::Problem;
use crate::reader::Reader;

pub(super) fn read(reader: &Reader<'_>, listeners: &[(Listener, Place)]) -> Admin {
    let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);
    let text = reader.text("address");
    let address = text
        .as_ref()
        .and_then(|text| socket_address(reader.context, text, &reader.name("address")));
    let address = address.unwrap_or(default);
    let token = reader.entry("token");
    let token = token.and_then(|entry| reader.context.secret(&entry.node, &reader.name("token")));
    let place = text.as_ref().map_or(reader.place, |text| &text.place);
    if !address.ip().is_loopback() && !reader.has("token") {
        reader.context.add(
            Problem::new(Code::E0402, place, "the admin port is open to others and has no token")
                .label("not a loopback address")
                .help("add `token = { file = \"/run/secrets/admin-token\" }`; `/metrics` then asks for it"),
        );
    }
    for (listener, first) in listeners {
        if listener.address == ListenAddress::Tcp(address) {
            let message = format!("listener `{}` has the address of the admin port", listener.name);
            let problem = Problem::new(Code::E0221, first, message);
            reader.context.add(match &text {
                Some(text) => {
                    problem.label("one of them has to move").also(&text.place, "the admin port")
                }
                None => {
                    problem.label("the admin port is here unless `admin.address` says otherwise")
                }
            });
        }
    }
    Admin { address, token }
}
