//! Reading the body of a request that is for us: answers that a provider posts, and sign-ins that another
//! site begins. Nothing else that is sent here is read before it is known who may send it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use lychgate_gateway::reason::Reason;
use lychgate_gateway::world::World;
use pingora_proxy::Session;

use super::{App, Visit, request, waits_to_send};
use crate::socket::Connection;

/// For the whole of a form. A browser has it at hand.
const PATIENCE: Duration = Duration::from_secs(10);

impl<W: World + Send + Sync + 'static> App<W> {
    /// The form of this request, if there is one that one of our pages takes.
    ///
    /// # Errors
    /// The reason to answer with when it is larger than it may be, or does not come.
    pub(super) async fn form(
        &self,
        session: &mut Session,
        visit: &Visit<W>,
    ) -> Result<Option<Bytes>, Reason> {
        let head = session.req_header();
        // A client that waits to be told to send is no browser with a form.
        if head.method != Method::POST || waits_to_send(head) {
            return Ok(None);
        }
        let Some(connection) = session.digest().and_then(Connection::of) else { return Ok(None) };
        let Some(bytes_max) = request(head, connection, visit.id.clone())
            .ok()
            .and_then(|request| visit.site.gateway.form_bytes_max(&request))
        else {
            return Ok(None);
        };
        let reading = async {
            let mut form = Vec::new();
            while let Ok(Some(piece)) = session.read_request_body().await {
                if form.len() + piece.len() > bytes_max {
                    return Err(Reason::BodyTooLarge);
                }
                form.extend_from_slice(&piece);
            }
            if session.is_body_done() { Ok(form) } else { Err(Reason::RequestMalformed) }
        };
        let form = tokio::time::timeout(PATIENCE, reading).await;
        form.unwrap_or(Err(Reason::RequestMalformed)).map(|form| Some(Bytes::from(form)))
    }
}
