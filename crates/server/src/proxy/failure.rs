//! What a failed passage is called.

use std::io;

use lychgate_gateway::reason::Reason;
use pingora_error::{Error, ErrorSource, ErrorType};

/// What the visitor is told, or `None` when nobody is there to be told.
pub(super) fn reason(error: &Error) -> Option<Reason> {
    match (error.esource(), error.etype()) {
        (
            ErrorSource::Downstream,
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Reason::RequestMalformed),
        (_, kind) if is_late(kind) || was_late(error) => Some(Reason::UpstreamTimeout),
        (ErrorSource::Upstream | ErrorSource::Internal | ErrorSource::Unset, _) => {
            Some(Reason::UpstreamUnreachable)
        }
    }
}

/// Whether the people who run this can do something about it. A client that left is nobody's fault.
pub(super) fn is_for_the_operator(error: &Error) -> bool {
    matches!(error.esource(), ErrorSource::Upstream | ErrorSource::Internal)
}

fn is_late(kind: &ErrorType) -> bool {
    matches!(
        kind,
        ErrorType::ConnectTimedout
            | ErrorType::ReadTimedout
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::WriteTimedout
    )
}

/// Whether the socket of a handshake lost its patience.
fn was_late(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_name_unless_nobody_listens() {
        let late =
            || Error::because(ErrorType::ReadError, "", io::Error::from(io::ErrorKind::TimedOut));
        for (error, expected) in [
            (Error::new_up(ErrorType::ConnectRefused), Some(Reason::UpstreamUnreachable)),
            (Error::new_up(ErrorType::InvalidHTTPHeader), Some(Reason::UpstreamUnreachable)),
            (Error::new_up(ErrorType::ConnectTimedout), Some(Reason::UpstreamTimeout)),
            (Error::new_up(ErrorType::ReadTimedout), Some(Reason::UpstreamTimeout)),
            (late().into_up(), Some(Reason::UpstreamTimeout)),
            (late().into_up().more_context("peer"), Some(Reason::UpstreamTimeout)),
            (Error::new_in(ErrorType::InternalError), Some(Reason::UpstreamUnreachable)),
            (Error::new_down(ErrorType::InvalidHTTPHeader), Some(Reason::RequestMalformed)),
            (Error::new_down(ErrorType::ConnectionClosed), None),
            (Error::new_down(ErrorType::ReadTimedout), None),
        ] {
            assert_eq!(reason(&error), expected, "{error}");
        }
    }
}
