//! A form that was sent when the session had ended, and is kept until the same person sends it again (R43).
//!
//! What was in the form is sealed into the page that says so, and goes nowhere else: nothing is remembered here. Beside
//! it the browser gets a cookie, sealed as well, that says whose form it is, where it belongs and how long it is. To
//! send it takes both, so a page that is copied is worth nothing, and a session of the same person: an
//! [`Admission`](crate::outcome::Admission) with a [`Replay`] comes out of the same decision as any other.
//!
//! Decision 8 says why it is done like this.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use lychgate_oidc::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::login_state::LoginId;
use crate::path::CanonicalPath;
use crate::seal::ProviderTag;

/// For how long a form can be sent.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 60);

/// What becomes of a form that was sent while nobody was signed in.
#[derive(Debug)]
pub enum Rescue {
    /// A door may read it and have it [kept](crate::Gateway::keep).
    Offer(Box<Offer>),
    /// It comes with this very request, sealed; a door may read it and [show it again](Again::kept).
    Again(Again),
    /// It is on the page.
    Kept(Kept),
    /// It is larger than forms that are kept.
    TooLarge,
    /// It did not come whole, or was none.
    Failed,
    /// It was passed on, and nobody knows whether it arrived.
    PassedOn,
}

/// Whose form it is and where it belongs: what the cookie says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) target: String,
    pub(crate) content_type: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) kept_at: Timestamp,
}

/// A form that may be kept.
#[derive(Debug)]
pub struct Offer {
    pub(crate) id: String,
    pub(crate) authority: String,
    pub(crate) provider: ProviderTag,
    pub(crate) ticket: Ticket,
    /// How large it may be.
    pub(crate) bytes_max: usize,
    pub(crate) action: String,
}

impl Offer {
    /// How many bytes are kept at most.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

/// A form that is kept on a page.
pub struct Kept {
    /// Our own address, for a POST.
    pub action: String,
    /// What was in the form, sealed, as the value of a field `form`.
    pub form: String,
    /// For how long it can be sent.
    pub time: Duration,
}

/// Does not print what was in the form.
impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kept").field("action", &self.action).finish_non_exhaustive()
    }
}

/// A form that was sent too early, or not passed on, and goes back onto the page as it came.
#[derive(Clone, Debug)]
pub struct Again {
    pub(crate) action: String,
    pub(crate) time: Duration,
    pub(crate) bytes_max: usize,
}

impl Again {
    /// How many bytes it may have.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The same form on the next page.
    pub fn kept(self, sent: &[u8]) -> Rescue {
        match field(sent) {
            Some(form) => {
                Rescue::Kept(Kept { action: self.action, form: form.to_owned(), time: self.time })
            }
            None => Rescue::Failed,
        }
    }
}

/// A form that is on its way to the application, in the place of the body that brings it.
#[derive(Debug)]
pub struct Replay {
    pub(crate) id: String,
    pub(crate) authority: String,
    /// The path that was judged.
    pub(crate) path: CanonicalPath,
    /// The URL that it was sent to first.
    pub(crate) place: String,
    pub(crate) ticket: Ticket,
    pub(crate) forget: Option<HeaderValue>,
    pub(crate) again: Again,
}

impl Replay {
    /// The headers that the form came with, by which the application knows what it is; `None` for one that it did not
    /// have.
    pub fn headers(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("content-type", self.ticket.content_type.as_deref()),
            ("origin", self.ticket.origin.as_deref()),
            ("referer", self.ticket.referer.as_deref()),
        ]
    }

    /// The path that was judged, which is not the one that was asked for.
    pub fn path(&self) -> &CanonicalPath {
        &self.path
    }

    /// Where a `Location` of the application's answer leads, if that depends on the path: the browser is at another
    /// one than the application believes (RFC 9110 §10.2.2).
    pub fn resolved(&self, location: &str) -> Option<Url> {
        if location.starts_with(['/', '\\']) || Url::parse(location).is_ok() {
            return None;
        }
        Url::parse(&self.place).ok()?.join(location).ok()
    }

    /// The same form, for a page, as long as nothing of it was passed on.
    pub fn again(&self) -> Again {
        self.again.clone()
    }

    /// How many bytes the application gets.
    pub fn bytes(&self) -> u64 {
        self.ticket.bytes
    }

    /// How many bytes the browser may send for it.
    pub fn sealed_bytes_max(&self) -> usize {
        sealed_bytes_max(usize::try_from(self.ticket.bytes).unwrap_or(usize::MAX))
    }

    /// The `Set-Cookie` line that forgets it, once it was sent.
    pub fn forget(&self) -> Option<&HeaderValue> {
        self.forget.as_ref()
    }

    /// The name under which it is used up.
    pub(crate) fn name(&self) -> LoginId {
        name(&self.id)
    }
}

/// The name under which the form with this id is used up. No login has it.
pub(crate) fn name(id: &str) -> LoginId {
    LoginId::of(&format!("form {id}"))
}

/// How long a form of `bytes` is in the field of a page: sealing adds a little, base64 a third.
pub(crate) fn sealed_bytes_max(bytes: usize) -> usize {
    bytes.saturating_add(256).saturating_mul(4) / 3 + FIELD.len()
}

const FIELD: &str = "form=";

/// The value of the one field that our page has. It needs no decoding: base64url is the same in every form.
pub(crate) fn field(sent: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(sent).ok()?.strip_prefix(FIELD)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (!text.is_empty() && text.bytes().all(plain)).then_some(text)
}
