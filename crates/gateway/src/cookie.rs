//! Our cookies: names, attributes, splitting and joining; and keeping them from upstreams.
//!
//! Every cookie of ours is named after one base (`lychgate`), so that all of them can be recognised, cleared
//! and withheld. On https their names carry `__Host-`, or `__Secure-` where the session is shared by a
//! domain, and browsers then refuse copies that a sibling host or plain http tried to plant.
//!
//! A session that does not fit one cookie is split. The first part says how many there are; anything but
//! exactly these parts, once each, is no session.
//!
//! Sources: RFC 6265bis §4.1, §5.6; the classes H and I of published advisories.

mod kept;

use std::borrow::Cow;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};

use crate::origin::PublicOrigin;

/// The largest cookie that browsers keep, name and value together (RFC 6265bis §5.6).
const COOKIE_BYTES_MAX: usize = 4096;
/// More parts than this are refused: the `Cookie` header would outgrow what servers accept.
const PARTS_MAX: usize = 3;
/// Browsers clamp `Max-Age` to 400 days; so do we, and no number overflows on the way.
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

/// How long it is remembered where somebody signed in.
const CHOICE_REMEMBERED: Duration = Duration::from_secs(180 * 24 * 3600);

/// How the operator wants cookies to be named and scoped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieNames {
    /// The session cookie's name without `__Host-` or `__Secure-`; all others begin with it.
    pub base: String,
    /// The domain that shares the session, for several hosts under one sign-in.
    pub domain: Option<String>,
    /// When browsers send the session with requests that other sites cause.
    pub same_site: SameSitePolicy,
}

/// The `SameSite` attribute of the session cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSitePolicy {
    /// With links from elsewhere, not with what other sites embed or post.
    Lax,
    /// With everything, for applications that live in other sites' frames.
    None,
    /// Never with what other sites cause; people who follow a link arrive signed out.
    Strict,
}

impl Default for CookieNames {
    fn default() -> Self {
        Self { base: "lychgate".to_owned(), domain: None, same_site: SameSitePolicy::Lax }
    }
}

/// The cookies of one origin.
#[derive(Clone, Debug)]
pub struct Cookies {
    session: String,
    login_prefix: String,
    logout: String,
    choice: String,
    returns: String,
    form_prefix: String,
    base: String,
    place: String,
    domain: Option<String>,
    secure: bool,
    same_site: SameSite,
}

/// What a request brought under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    Nothing,
    /// One value, joined if it had been split. Only what has to be joined is copied.
    Value(Cow<'a, [u8]>),
    /// Two cookies of one name, or parts that do not fit together. Which one to believe cannot be known.
    Confused,
}

/// The value needs more cookies than a browser should carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session takes {bytes} bytes; {max} is the most that cookies can hold")]
pub struct TooLarge {
    /// What the value would take.
    pub bytes: usize,
    /// What fits.
    pub max: usize,
}

impl Cookies {
    /// The cookies of `origin`, named as the operator wants.
    pub fn new(names: &CookieNames, origin: &PublicOrigin) -> Self {
        let secure = origin.is_secure();
        let host = if secure { "__Host-" } else { "" };
        let shared = if secure { "__Secure-" } else { "" };
        let base = &names.base;
        let prefix = if names.domain.is_some() { shared } else { host };
        Self {
            session: format!("{prefix}{base}"),
            login_prefix: format!("{host}{base}-login-"),
            logout: format!("{prefix}{base}-logout"),
            choice: format!("{host}{base}-provider"),
            returns: format!("{prefix}{base}-returns"),
            form_prefix: format!("{host}{base}-form-"),
            base: base.clone(),
            place: names.domain.clone().unwrap_or_else(|| origin.as_str().to_owned()),
            domain: names.domain.clone(),
            secure,
            same_site: match names.same_site {
                SameSitePolicy::Lax => SameSite::Lax,
                SameSitePolicy::None => SameSite::None,
                SameSitePolicy::Strict => SameSite::Strict,
            },
        }
    }

    /// The session cookie's name.
    pub fn session_name(&self) -> &str {
        &self.session
    }

    /// The name of one login's cookie.
    pub fn login_name(&self, id: &str) -> String {
        format!("{}{id}", self.login_prefix)
    }

    /// The name of the cookie of a sign-out under way.
    pub fn logout_name(&self) -> &str {
        &self.logout
    }

    /// What a session is bound to: the origin, or the domain that shares it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The session's sealed value.
    pub fn session<'a>(&self, headers: &'a HeaderMap) -> Found<'a> {
        self.read(headers).session
    }

    /// Reads all cookies, once: some kilobytes at every signed-in request.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Brought<'a> {
        let (mut lines, mut any_of_ours) = (0, false);
        let mut parts = [const { Found::Nothing }; PARTS_MAX];
        let mut kept: Vec<u8> = Vec::new();
        for line in headers.get_all(header::COOKIE) {
            lines += 1;
            for piece in pieces(line.as_bytes()) {
                let (name, value) = name_and_value(piece);
                if self.is_ours(name) {
                    any_of_ours = true;
                    if let (Some(value), Some(part)) = (value, self.part(name, &mut parts)) {
                        *part = match part {
                            Found::Nothing => Found::Value(Cow::Borrowed(value.trim_ascii())),
                            Found::Value(_) | Found::Confused => Found::Confused,
                        };
                    }
                } else if !piece.trim_ascii().is_empty() {
                    if kept.is_empty() {
                        kept.extend_from_slice(piece.trim_ascii_start());
                    } else {
                        kept.extend_from_slice(if piece.starts_with(b" ") { b";" } else { b"; " });
                        kept.extend_from_slice(piece);
                    }
                }
            }
        }
        let for_upstream = if lines < 2 && !any_of_ours {
            ForUpstream::AsSent
        } else {
            match HeaderValue::try_from(kept) {
                Ok(value) if !value.is_empty() => ForUpstream::Only(value),
                _ => ForUpstream::Nothing,
            }
        };
        Brought { session: join(parts), for_upstream }
    }

    /// The part of the session that a cookie of this name is, if it is one.
    fn part<'p, T>(&self, name: &[u8], parts: &'p mut [T; PARTS_MAX]) -> Option<&'p mut T> {
        match name.trim_ascii().strip_prefix(self.session.as_bytes())? {
            b"" => parts.first_mut(),
            [b'-', digit @ b'2'..=b'9'] => parts.get_mut(usize::from(digit - b'1')),
            _ => None,
        }
    }

    /// One login's sealed value.
    pub fn login<'a>(&self, headers: &'a HeaderMap, id: &str) -> Found<'a> {
        find(headers, &self.login_name(id))
    }

    /// The sealed value of a sign-out under way.
    pub fn logout<'a>(&self, headers: &'a HeaderMap) -> Found<'a> {
        find(headers, &self.logout)
    }

    /// Where this browser signed in last, as [`set_choice`](Self::set_choice) wrote it. Anybody can write it.
    pub fn choice<'a>(&self, headers: &'a HeaderMap) -> Found<'a> {
        find(headers, &self.choice)
    }

    /// The logins that the browser has under way: ids and sealed values, in the order sent.
    pub fn logins<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        pairs(headers).filter_map(|(name, value)| {
            let id = std::str::from_utf8(name).ok()?.strip_prefix(self.login_prefix.as_str())?;
            Some((id, std::str::from_utf8(value).ok()?))
        })
    }

    /// `Set-Cookie` lines that give the browser a session, and clear the parts of a longer one before it.
    ///
    /// # Errors
    /// [`TooLarge`] when it would take more than three cookies.
    pub fn set_session(
        &self,
        sealed: &str,
        max_age: Duration,
        sent: &HeaderMap,
    ) -> Result<Vec<HeaderValue>, TooLarge> {
        let room = COOKIE_BYTES_MAX - self.session.len() - "=-0".len() - "0.".len();
        let parts: Vec<&[u8]> = sealed.as_bytes().chunks(room).collect();
        if parts.len() > PARTS_MAX {
            return Err(TooLarge { bytes: sealed.len(), max: room * PARTS_MAX });
        }
        let count = parts.len();
        let mut lines: Vec<HeaderValue> = parts
            .into_iter()
            .zip(1..)
            .filter_map(|(part, number)| {
                let part = String::from_utf8_lossy(part);
                let value = if number == 1 && count > 1 {
                    format!("{count}.{part}")
                } else {
                    part.into_owned()
                };
                self.line(self.part_name(number), value, Some(max_age), Scope::Session)
            })
            .collect();
        lines.extend(self.clear_parts(count + 1, sent));
        Ok(lines)
    }

    /// `Set-Cookie` lines that end the session in the browser, every part of it.
    pub fn clear_session(&self, sent: &HeaderMap) -> Vec<HeaderValue> {
        let first = self.line(self.session.clone(), String::new(), None, Scope::Session);
        first.into_iter().chain(self.clear_parts(2, sent)).collect()
    }

    fn clear_parts<'a>(
        &'a self,
        from: usize,
        sent: &'a HeaderMap,
    ) -> impl Iterator<Item = HeaderValue> + 'a {
        (from.max(2)..=PARTS_MAX)
            .map(|part| self.part_name(part))
            .filter(|name| find(sent, name) != Found::Nothing)
            .filter_map(|name| self.line(name, String::new(), None, Scope::Session))
    }

    /// The `Set-Cookie` line of one login under way. With `posted`, it comes back with a form that the
    /// provider's site posts.
    pub fn set_login(
        &self,
        id: &str,
        sealed: String,
        max_age: Duration,
        posted: bool,
    ) -> Option<HeaderValue> {
        let scope = if posted { Scope::PostedLogin } else { Scope::Login };
        self.line(self.login_name(id), sealed, Some(max_age), scope)
    }

    /// The `Set-Cookie` line that remembers where this browser signed in last.
    pub fn set_choice(&self, choice: String) -> Option<HeaderValue> {
        self.line(self.choice.clone(), choice, Some(CHOICE_REMEMBERED), Scope::Login)
    }

    /// Whether browsers keep a login with this sealed value.
    pub fn fits_login(&self, id: &str, sealed: &str) -> bool {
        self.login_name(id).len() + "=".len() + sealed.len() <= COOKIE_BYTES_MAX
    }

    /// The `Set-Cookie` line that forgets one login.
    pub fn clear_login(&self, id: &str) -> Option<HeaderValue> {
        self.line(self.login_name(id), String::new(), None, Scope::Login)
    }

    /// The `Set-Cookie` line of a sign-out under way.
    pub fn set_logout(&self, sealed: String, max_age: Duration) -> Option<HeaderValue> {
        self.line(self.logout.clone(), sealed, Some(max_age), Scope::Logout)
    }

    /// The `Set-Cookie` line that forgets a sign-out under way.
    pub fn clear_logout(&self) -> Option<HeaderValue> {
        self.line(self.logout.clone(), String::new(), None, Scope::Logout)
    }

    fn part_name(&self, number: usize) -> String {
        if number == 1 { self.session.clone() } else { format!("{}-{number}", self.session) }
    }

    /// One line. Without `max_age` the cookie is cleared, by the attributes with which it was set: browsers
    /// ignore a clearing line whose attributes would not be allowed for the name (H7).
    fn line(
        &self,
        name: String,
        value: String,
        max_age: Option<Duration>,
        scope: Scope,
    ) -> Option<HeaderValue> {
        let age = max_age.unwrap_or_default().min(MAX_AGE_MAX);
        let mut cookie =
            Cookie::build((name, value)).path("/").http_only(true).secure(self.secure).max_age(
                cookie::time::Duration::seconds(age.as_secs().try_into().unwrap_or(i64::MAX)),
            );
        cookie = match scope {
            // A login and a sign-out return by a link from the provider's site, which `Strict` would not survive.
            Scope::Login | Scope::Logout => cookie.same_site(SameSite::Lax),
            // A form that another site posts carries nothing else; browsers take it on https alone.
            Scope::PostedLogin => cookie.same_site(SameSite::None),
            Scope::Session => cookie.same_site(self.same_site),
            Scope::Form => cookie.same_site(SameSite::Strict),
        };
        if let (Scope::Logout | Scope::Session, Some(domain)) = (scope, &self.domain) {
            cookie = cookie.domain(domain.clone());
        }
        let mut line = HeaderValue::try_from(cookie.build().to_string()).ok()?;
        line.set_sensitive(true);
        Some(line)
    }

    /// Whether a cookie of this name is ours, in any spelling of the prefix.
    pub fn is_ours(&self, name: &[u8]) -> bool {
        let name = name.trim_ascii();
        let bare = match name {
            [b'_', ..] => strip_prefix_ignoring_case(name, b"__host-")
                .or_else(|| strip_prefix_ignoring_case(name, b"__secure-"))
                .unwrap_or(name),
            _ => name,
        };
        strip_prefix_ignoring_case(bare, self.base.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
    }

    /// Whether a `Set-Cookie` line from an upstream names one of our cookies; such a line is dropped.
    pub fn names_ours(&self, set_cookie: &HeaderValue) -> bool {
        // A cookie without a name comes back as its value alone, which then reads like a name and a value.
        let line = set_cookie.as_bytes().trim_ascii_start();
        let line = line.strip_prefix(b"=").unwrap_or(line);
        let name = line.split(|byte| matches!(byte, b'=' | b';')).next().unwrap_or(line);
        self.is_ours(name)
    }
}

/// What a request's `Cookie` lines hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought<'a> {
    /// The session's sealed value.
    pub session: Found<'a>,
    /// The rest.
    pub for_upstream: ForUpstream,
}

/// The `Cookie` header that an upstream gets: what the browser sent, byte for byte and in order, without ours.
///
/// Several `Cookie` lines (HTTP/2 crumbs) are joined (RFC 9113 §8.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForUpstream {
    /// The one that the browser sent.
    AsSent,
    /// None.
    Nothing,
    /// This one.
    Only(HeaderValue),
}

#[derive(Clone, Copy)]
enum Scope {
    /// At the host where people sign in, only.
    Login,
    /// The same, for a provider that posts its answer.
    PostedLogin,
    /// As wide as the session.
    Logout,
    /// At one host, and never with what another site causes.
    Form,
    Session,
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Names and values as sent, spaces around them removed.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| pieces(line.as_bytes())).filter_map(
        |piece| {
            let (name, value) = name_and_value(piece);
            Some((name.trim_ascii(), value?.trim_ascii()))
        },
    )
}

/// A cookie's name and, after the first `=`, its value.
fn name_and_value(piece: &[u8]) -> (&[u8], Option<&[u8]>) {
    let equals = memchr::memchr(b'=', piece);
    match equals.and_then(|equals| piece.split_at_checked(equals)) {
        Some((name, value)) => (name, value.get(1..)),
        None => (piece, None),
    }
}

/// The session's value of its parts, of which the first says how many there are.
fn join(parts: [Found<'_>; PARTS_MAX]) -> Found<'_> {
    let [first, rest @ ..] = parts;
    let Found::Value(first) = first else { return first };
    // No sealed text has a dot in it, and no number of parts is long. What has a dot further on does not open.
    let beginning = first.get(..first.len().min(32)).unwrap_or_default();
    let Some(dot) = memchr::memchr(b'.', beginning) else { return Found::Value(first) };
    let (count, part) = first.split_at(dot);
    let count = std::str::from_utf8(count).ok().and_then(|count| count.parse::<usize>().ok());
    let Some(count) = count.filter(|count| (2..=PARTS_MAX).contains(count)) else {
        return Found::Confused;
    };
    let mut joined = part.get(1..).unwrap_or_default().to_vec();
    for part in rest.into_iter().take(count - 1) {
        let Found::Value(more) = part else { return Found::Confused };
        joined.extend_from_slice(&more);
    }
    Found::Value(Cow::Owned(joined))
}

fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let Some(end) = memchr::memchr(b';', line) else {
            rest = None;
            return Some(line);
        };
        rest = line.get(end + 1..);
        line.get(..end)
    })
}

/// The one cookie of this exact name.
fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut values =
        pairs(headers).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::Value(Cow::Borrowed(value)),
        (Some(_), Some(_)) => Found::Confused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(origin: &str, domain: Option<&str>) -> Cookies {
        let origin = PublicOrigin::of(&url::Url::parse(origin).unwrap()).unwrap();
        let names = CookieNames { domain: domain.map(str::to_owned), ..CookieNames::default() };
        Cookies::new(&names, &origin)
    }

    fn ours() -> Cookies {
        cookies("https://app.test", None)
    }

    fn sent(lines: &[&str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (header::COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap()))
            .collect()
    }

    /// Section 2.9 of the standards list: prefix, `Secure`, `HttpOnly`, `Path=/`, no `Domain`.
    #[test]
    fn a_session_cookie_is_as_narrow_as_browsers_allow() {
        let lines = ours().set_session("abc", Duration::from_secs(60), &HeaderMap::new()).unwrap();
        assert_eq!(
            lines,
            ["__Host-lychgate=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"]
        );
    }

    #[test]
    fn a_shared_session_has_the_domain_and_the_weaker_prefix() {
        let cookies = cookies("https://app.example.com", Some("example.com"));
        let lines = cookies.set_session("abc", Duration::from_secs(60), &HeaderMap::new()).unwrap();
        let expected = "__Secure-lychgate=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=60";
        assert_eq!(lines, [expected]);
        let login =
            cookies.set_login("id", "abc".to_owned(), Duration::from_secs(60), false).unwrap();
        assert_eq!(
            login,
            "__Host-lychgate-login-id=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60"
        );
    }

    #[test]
    fn plain_http_has_no_prefix_that_browsers_would_refuse() {
        let lines = cookies("http://localhost:9000", None).clear_session(&HeaderMap::new());
        assert_eq!(lines, ["lychgate=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0"]);
    }

    /// H8: split to at most 4,096 bytes each, and a hard cap.
    #[test]
    fn a_large_session_is_split_and_joined_again() {
        let cookies = ours();
        for length in [1, 4000, 4076, 4077, 8000, 12_000] {
            let value = "x".repeat(length);
            let lines =
                cookies.set_session(&value, Duration::from_secs(60), &HeaderMap::new()).unwrap();
            let pairs: Vec<_> = lines
                .iter()
                .map(|line| line.to_str().unwrap().split(';').next().unwrap().to_owned())
                .collect();
            assert!(pairs.iter().all(|pair| pair.len() <= COOKIE_BYTES_MAX), "{length}");
            let mut reversed = pairs.clone();
            reversed.reverse();
            for order in [pairs, reversed] {
                assert_eq!(
                    cookies.session(&sent(&[&order.join("; ")])),
                    Found::Value(value.as_bytes().into()),
                    "{length}"
                );
            }
        }
        let error = cookies
            .set_session(&"x".repeat(13_000), Duration::ZERO, &HeaderMap::new())
            .unwrap_err();
        assert_eq!(error.bytes, 13_000);
    }

    #[test]
    fn a_shorter_session_clears_the_parts_of_the_longer_one() {
        let before = sent(&["__Host-lychgate=2.a; __Host-lychgate-2=b; app=1"]);
        let lines = ours().set_session("abc", Duration::from_secs(60), &before).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].to_str().unwrap().starts_with("__Host-lychgate-2=; "), "{lines:?}");
        assert_eq!(ours().clear_session(&before).len(), 2);
    }

    /// E2, I1: whatever cannot be one session is none, and never the other one of two.
    #[test]
    fn cookies_that_contradict_each_other_are_no_session() {
        for (line, expected) in [
            ("", Found::Nothing),
            ("app=1", Found::Nothing),
            ("__Host-lychgate=a", Found::Value(b"a"[..].into())),
            (" x=y ;__Host-lychgate=a ; z", Found::Value(b"a"[..].into())),
            ("__host-lychgate=a", Found::Nothing),
            ("x__Host-lychgate=a", Found::Nothing),
            ("__Host-lychgate=a; __Host-lychgate=b", Found::Confused),
            ("__Host-lychgate=a; __Host-lychgate=a", Found::Confused),
            ("__Host-lychgate=0.a", Found::Confused),
            ("__Host-lychgate=1.a", Found::Confused),
            ("__Host-lychgate=-1.a", Found::Confused),
            ("__Host-lychgate=99.a", Found::Confused),
            ("__Host-lychgate=18446744073709551616.a", Found::Confused),
            ("__Host-lychgate=2.a", Found::Confused),
            ("__Host-lychgate=2.a; __Host-lychgate-2=b; __Host-lychgate-2=c", Found::Confused),
        ] {
            assert_eq!(ours().session(&sent(&[line])), expected, "{line}");
        }
        let crumbs = sent(&["__Host-lychgate=a", "__Host-lychgate=b"]);
        assert_eq!(ours().session(&crumbs), Found::Confused);
    }

    /// C8, I5: applications get their own cookies unchanged and in order, and none of ours.
    #[test]
    fn upstreams_never_see_our_cookies() {
        for (lines, expected) in [
            (&["a=1; b=2"][..], ForUpstream::AsSent),
            (&[][..], ForUpstream::AsSent),
            (&["__Host-lychgate=x"], ForUpstream::Nothing),
            (
                &["a=1;  b=\"2\"; __Host-lychgate=x;c"],
                ForUpstream::Only(HeaderValue::from_static("a=1;  b=\"2\"; c")),
            ),
            (
                &["__Host-lychgate-2=x; a=1; __Host-lychgate-login-abc=y; lychgate=z"],
                ForUpstream::Only(HeaderValue::from_static("a=1")),
            ),
            (
                &["a=1", "__HOST-LychGate=x", "b=2"],
                ForUpstream::Only(HeaderValue::from_static("a=1; b=2")),
            ),
            (&["lychgates=1; alychgate=2"], ForUpstream::AsSent),
            (&[";;;; ; =; ==;lychgate;"], ForUpstream::Only(HeaderValue::from_static("=; =="))),
        ] {
            assert_eq!(ours().read(&sent(lines)).for_upstream, expected, "{lines:?}");
        }
    }

    /// C9: an upstream cannot sign anybody in or out.
    #[test]
    fn upstreams_never_set_our_cookies() {
        for (line, expected) in [
            ("__Host-lychgate=x; Path=/", true),
            ("__HOST-LYCHGATE=x", true),
            (" lychgate =x", true),
            ("__Secure-lychgate-2=x", true),
            ("lychgate", true),
            ("=lychgate=x", true),
            (" = lychgate=x", true),
            ("theme=lychgate", false),
            ("lychgates=x", false),
        ] {
            assert_eq!(ours().names_ours(&HeaderValue::from_static(line)), expected, "{line}");
        }
    }

    /// I6: no `Max-Age` overflows.
    #[test]
    fn a_lifetime_is_clamped_to_what_browsers_keep() {
        let lines = ours().set_session("a", Duration::MAX, &HeaderMap::new()).unwrap();
        assert!(lines[0].to_str().unwrap().ends_with("Max-Age=34560000"), "{lines:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_value_survives_splitting(value in "[A-Za-z0-9_-]{1,12000}") {
            let lines = ours().set_session(&value, Duration::from_secs(1), &HeaderMap::new()).unwrap();
            let pairs: Vec<_> =
                lines.iter().map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect();
            let sent = sent(&[&pairs.join("; ")]);
            proptest::prop_assert_eq!(ours().session(&sent), Found::Value(value.as_bytes().into()));
        }

        #[test]
        fn no_cookie_header_panics_or_leaks_ours(line in "[ -~]{0,200}") {
            let headers = sent(&[&line]);
            let _ = ours().session(&headers);
            if let ForUpstream::Only(kept) = ours().read(&headers).for_upstream {
                for piece in kept.as_bytes().split(|byte| *byte == b';') {
                    let name = piece.split(|byte| *byte == b'=').next().unwrap();
                    proptest::prop_assert!(!ours().is_ours(name));
                }
            }
        }
    }
}
