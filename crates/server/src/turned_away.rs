//! Connections that are turned away before a request of theirs could be asked about.
//!
//! No filter sees these: the socket refuses what it cannot wait for, pingora what it cannot read, and the
//! listener whom it does not let in. They are counted and written down all the same, with what is known.
//! Requests over HTTP/2 are refused within pingora, stream by stream, and are not seen here.

use std::fmt;
use std::net::IpAddr;

use lychgate_gateway::forwarded::Peer;
use lychgate_gateway::request::Transport;

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $variant:ident, $code:literal, $status:literal;)+) => {
        /// Why a connection was turned away.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Cause {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Cause {
            /// Every cause, in the order of their codes.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code, as in logs and metrics.
            pub(crate) fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The status that the client was told, 0 if nothing was said.
            pub(crate) fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What it means, for the reference.
            #[cfg(test)]
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

causes! {
    /// The header block is longer than it may be.
    HeadersTooLarge, "headers_too_large", 431;
    /// The address of a client was announced in a way that cannot be read.
    ProxyHeaderMalformed, "proxy_header_malformed", 0;
    /// The address of the client was not announced.
    ProxyHeaderMissing, "proxy_header_missing", 0;
    /// The address of the client was not announced in time.
    ProxyHeaderTimeout, "proxy_header_timeout", 0;
    /// Whoever connected is none of the proxies that announce clients here.
    ProxyNotTrusted, "proxy_not_trusted", 0;
    /// What was sent is not HTTP.
    RequestMalformed, "request_malformed", 400;
    /// The header block did not arrive in time.
    RequestTimeout, "request_timeout", 408;
    /// The client has as many connections as one client may have.
    TooManyConnections, "too_many_connections", 0;
}

/// A connection that was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnedAway<'a> {
    /// The operator's name for the listener.
    pub(crate) listener: &'a str,
    /// Whether it was in plain text.
    pub(crate) transport: Transport,
    /// Who was at the other end.
    pub(crate) peer: Peer,
    /// Why.
    pub(crate) cause: Cause,
}

impl TurnedAway<'_> {
    /// The address at the other end, if it has one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.peer {
            Peer::Address(address) => Some(address),
            Peer::Unix | Peer::Unnamed => None,
        }
    }
}

/// Who is told of them.
pub(crate) trait Witness: fmt::Debug + Send + Sync {
    /// Takes note of one. Does not wait for anything.
    fn turned_away(&self, connection: &TurnedAway<'_>);
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Remembers the causes.
    #[derive(Debug, Default)]
    pub(crate) struct Notebook(Mutex<Vec<Cause>>);

    impl Notebook {
        pub(crate) fn causes(&self) -> Vec<Cause> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Witness for Notebook {
        fn turned_away(&self, connection: &TurnedAway<'_>) {
            self.0.lock().unwrap().push(connection.cause);
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(Cause::ALL.is_sorted_by(|one, next| one.code() < next.code()));
    }
}
