//! Our own paths, below one prefix that is reserved on every routed host.
//!
//! Whatever lies below the prefix, in any spelling of case, is ours: an upstream is never asked for it, so it
//! can neither shadow a page of ours nor be reached under one's name.

use crate::path::CanonicalPath;
use crate::reason::Reason;

/// A page or an action of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/`: who is signed in, as a page.
    Account,
    /// `/callback`, or `/callback/NAME` where there are several providers: where a provider sends the browser
    /// back.
    Callback,
    /// `/form`: sends a form that was kept.
    Form,
    /// `/login`: begins a sign-in, or lets the person choose where.
    Login,
    /// `/logout`.
    Logout,
    /// `/me`: who is signed in, as JSON.
    Me,
    /// `/reasons/CODE`: what a reason means. The type of a problem document leads here.
    Reason(Reason),
    /// `/script.js`: keeps the fragment across a sign-in.
    Script,
    /// `/signed-out`: where the provider sends the browser after sign-out.
    SignedOut,
    /// `/style.css`.
    Style,
    /// Below our prefix, and nothing.
    Unknown,
}

impl Endpoint {
    /// The endpoint at `path`, or `None` when the path is an application's.
    pub fn at(path: &CanonicalPath, path_prefix: &str) -> Option<Self> {
        // An application never gets what might be read as ours.
        if !path.readings().any(|reading| is_reserved(reading, path_prefix)) {
            return None;
        }
        let endpoint = match path.as_str().strip_prefix(path_prefix) {
            Some("" | "/") => Self::Account,
            Some(rest) if is_callback(rest) => Self::Callback,
            Some("/form") => Self::Form,
            Some("/login") => Self::Login,
            Some("/logout") => Self::Logout,
            Some("/me") => Self::Me,
            Some("/script.js") => Self::Script,
            Some("/signed-out") => Self::SignedOut,
            Some("/style.css") => Self::Style,
            Some(rest) => reason(rest).map_or(Self::Unknown, Self::Reason),
            None => Self::Unknown,
        };
        Some(endpoint)
    }

    /// Its path, for `prefix`.
    pub fn path(self, path_prefix: &str) -> String {
        let name = match self {
            Self::Account | Self::Unknown => "/",
            Self::Callback => CALLBACK,
            Self::Form => "/form",
            Self::Login => "/login",
            Self::Logout => "/logout",
            Self::Me => "/me",
            Self::Reason(reason) => return format!("{path_prefix}{REASONS}{}", reason.code()),
            Self::Script => "/script.js",
            Self::SignedOut => "/signed-out",
            Self::Style => "/style.css",
        };
        format!("{path_prefix}{name}")
    }
}

const CALLBACK: &str = "/callback";

const REASONS: &str = "/reasons/";

fn reason(rest: &str) -> Option<Reason> {
    let code = rest.strip_prefix(REASONS)?;
    Reason::ALL.iter().copied().find(|reason| reason.code() == code)
}

/// The path at which `provider`, one of `count`, sends the browser back.
///
/// Where there are several, each has its own, so that an answer of one is never taken for another's, whether
/// or not they say who they are in it (RFC 9700 §4.4.2.2).
pub fn callback_path(path_prefix: &str, provider: &str, count: usize) -> String {
    let path = Endpoint::Callback.path(path_prefix);
    if count > 1 { format!("{path}/{provider}") } else { path }
}

fn is_callback(rest: &str) -> bool {
    rest.strip_prefix(CALLBACK).is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('/').is_some_and(|name| !name.contains('/'))
    })
}

/// Whether `path` lies at or below the prefix, in any case.
pub fn is_reserved(path: &str, path_prefix: &str) -> bool {
    path.split_at_checked(path_prefix.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(path_prefix) && (rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E7: exact, in no other spelling, and never the upstream's.
    #[test]
    fn our_paths_are_exact_and_reserved() {
        for (path, expected) in [
            ("/.lychgate", Some(Endpoint::Account)),
            ("/.lychgate/", Some(Endpoint::Account)),
            ("/.lychgate/login", Some(Endpoint::Login)),
            ("/%2Elychgate/login", Some(Endpoint::Login)),
            ("/.lychgate/callback", Some(Endpoint::Callback)),
            ("/.lychgate/callback/corp", Some(Endpoint::Callback)),
            ("/.lychgate/callback/corp/x", Some(Endpoint::Unknown)),
            ("/.lychgate/callbacks", Some(Endpoint::Unknown)),
            ("/.lychgate/form", Some(Endpoint::Form)),
            ("/.lychgate/login/", Some(Endpoint::Unknown)),
            ("/.LychGate/login", Some(Endpoint::Unknown)),
            ("/.lychgate/reasons/not_found", Some(Endpoint::Reason(Reason::NotFound))),
            ("/.lychgate/reasons/not_founds", Some(Endpoint::Unknown)),
            ("/.lychgate/reasons/", Some(Endpoint::Unknown)),
            ("/.lychgate/metrics", Some(Endpoint::Unknown)),
            ("/.lychgate%23x", Some(Endpoint::Unknown)),
            ("/.lychgates", None),
            ("/x/.lychgate/login", None),
            ("/", None),
        ] {
            let path = CanonicalPath::parse(path).unwrap();
            assert_eq!(Endpoint::at(&path, "/.lychgate"), expected, "{path}");
        }
    }
}
