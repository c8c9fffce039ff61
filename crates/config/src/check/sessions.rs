//! `[sessions]`.

use std::time::Duration;

use lychgate_gateway::cookie::{CookieNames, SameSitePolicy};
use lychgate_gateway::settings::{RefreshLimits, SessionLimits};

use super::auth::ServedHost;
use crate::code::Code;
use crate::config::SessionKeys;
use crate::context::Context;
use crate::file::Place;
use crate::grammar::SESSION_COOKIE;
use crate::problem::Problem;
use crate::reader::Reader;
use crate::tree::Value;
use crate::unit::duration_in_words;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// `[sessions]`, read.
pub(super) struct Sessions {
    pub(super) limits: SessionLimits,
    pub(super) keys: SessionKeys,
    pub(super) kept_form_bytes: Option<usize>,
    cookie_name: String,
    same_site: SameSitePolicy,
    same_site_place: Option<Place>,
}

impl Sessions {
    pub(super) fn cookie_names(&self, domain: Option<String>) -> CookieNames {
        CookieNames { base: self.cookie_name.clone(), domain, same_site: self.same_site }
    }
}

pub(super) fn read(reader: &Reader<'_>) -> Sessions {
    // The only one there is; the key says so to those who look for another.
    reader.word("store", (), &[("cookie", ())]);
    let cookie = reader.table_or_default("cookie", "sessions.cookie", &SESSION_COOKIE);
    let same_site = cookie.word(
        "same_site",
        SameSitePolicy::Lax,
        &[
            ("lax", SameSitePolicy::Lax),
            ("strict", SameSitePolicy::Strict),
            ("none", SameSitePolicy::None),
        ],
    );
    Sessions {
        limits: limits(reader),
        keys: keys(reader),
        kept_form_bytes: kept_form_bytes(reader),
        cookie_name: cookie_name(&cookie),
        same_site,
        same_site_place: cookie.entry("same_site").map(|entry| entry.node.place.clone()),
    }
}

/// Browsers take `SameSite=None` only together with `Secure`, and that not over http.
/// Source: RFC 6265bis, section 5.7.
pub(super) fn check_hosts(context: &Context<'_>, sessions: &Sessions, hosts: &[ServedHost]) {
    let SameSitePolicy::None = sessions.same_site else { return };
    let Some(place) = &sessions.same_site_place else { return };
    let Some(plain) = hosts.iter().find(|host| !host.origin.is_secure()) else { return };
    let message = format!("browsers refuse the session cookie of {}", plain.origin);
    context.add(
        Problem::new(Code::W0404, place, message)
            .label("only with https")
            .also(&plain.place, format!("`{}` is served by http", plain.route))
            .help("give the route an https:// URL, or write same_site = \"lax\""),
    );
}

fn limits(reader: &Reader<'_>) -> SessionLimits {
    let lifetime = reader.duration("lifetime", 12 * HOUR, MINUTE..=90 * 24 * HOUR);
    // Nobody who shortens the lifetime should have to think of the other one.
    let default = HOUR.min(lifetime);
    let idle_timeout = reader.duration("idle_timeout", default, SECOND..=90 * 24 * HOUR);
    if idle_timeout > lifetime
        && let Some(idle) = reader.entry("idle_timeout")
    {
        let all = duration_in_words(lifetime);
        let problem = Problem::new(
            Code::E0123,
            &idle.node.place,
            "`sessions.idle_timeout` is longer than `sessions.lifetime`",
        );
        let problem = problem
            .label(duration_in_words(idle_timeout))
            .help(format!("set idle_timeout to \"{all}\" or less: every session ends after {all}"));
        reader.context.add(match reader.entry("lifetime") {
            Some(lifetime) => problem.also(&lifetime.node.place, all),
            None => problem,
        });
    }
    SessionLimits { lifetime, idle_timeout: idle_timeout.min(lifetime), refresh: refresh(reader) }
}

/// When providers are asked again who somebody is; they are wherever they issue refresh tokens, unless the operator
/// says otherwise.
fn refresh(reader: &Reader<'_>) -> Option<RefreshLimits> {
    let wanted = reader.word("refresh", true, &[("auto", true), ("never", false)]);
    let margin = reader.duration("refresh_margin", MINUTE, SECOND..=HOUR);
    let grace = reader.duration("refresh_grace", 10 * MINUTE, Duration::ZERO..=24 * HOUR);
    for key in ["refresh_margin", "refresh_grace"] {
        if !wanted && let Some(entry) = reader.entry(key) {
            let message = format!("`{}` changes nothing", reader.name(key));
            reader.context.add(
                Problem::new(Code::W0240, &entry.key_place, message)
                    .label("no grant is renewed, because of `refresh = \"never\"`"),
            );
        }
    }
    wanted.then_some(RefreshLimits { margin, grace })
}

/// What a page may carry; `none` keeps no forms.
fn kept_form_bytes(reader: &Reader<'_>) -> Option<usize> {
    const MOST: u64 = 4 * 1024 * 1024;
    let Some(size) = reader.size("keep_forms") else { return Some(256 * 1024) };
    let bytes = size.bytes?;
    if !(1024..=MOST).contains(&bytes) {
        let message = format!("`{}` is outside its limits", reader.name("keep_forms"));
        reader.context.add(
            Problem::new(Code::E0124, &size.place, message)
                .label("from \"1KiB\" to \"4MiB\", or \"none\"")
                .help("forms are kept on the page that says that the session has ended"),
        );
    }
    usize::try_from(bytes.min(MOST)).ok()
}

fn keys(reader: &Reader<'_>) -> SessionKeys {
    let Some(entry) = reader.entry("keys") else { return SessionKeys::StateDirectory };
    let name = reader.name("keys");
    let Value::List(items) = &entry.node.value else {
        let problem = reader.context.wrong_type(&entry.node, &name, "a list of secrets");
        reader.context.add(problem.help("write [{ file = \"/run/secrets/session-key\" }]"));
        return SessionKeys::StateDirectory;
    };
    if items.is_empty() {
        reader.context.add(
            Problem::new(Code::E0122, &entry.node.place, format!("`{name}` is empty"))
                .label("write a key, or delete the line to have one created"),
        );
    }
    let keys = items.iter().enumerate();
    let keys =
        keys.filter_map(|(at, item)| reader.context.session_key(item, &format!("{name}[{at}]")));
    SessionKeys::Given(keys.collect())
}

fn cookie_name(reader: &Reader<'_>) -> String {
    let default = "lychgate".to_owned();
    let Some(text) = reader.words("name") else { return default };
    let bare = ["__Host-", "__Secure-", "__Http-"].iter().find_map(|prefix| {
        let start = text.value.get(..prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| text.value.get(prefix.len()..)).flatten()
    });
    let problem = Problem::new(
        Code::E0241,
        &text.place,
        format!("`{}` cannot be {:?}", reader.name("name"), text.value),
    );
    if let Some(bare) = bare {
        reader.context.add(
            problem
                .label(format!("did you mean {bare:?}?"))
                .help("the prefix is put before it wherever browsers allow it"),
        );
        return default;
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if !text.value.chars().all(plain) || text.value.len() > 64 {
        reader.context.add(problem.label("write up to 64 letters, digits, `-` and `_`"));
        return default;
    }
    text.value
}
