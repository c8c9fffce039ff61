//! What may stand at each key: its type, its limits and its default, a line each.
//!
//! The [schema](crate::schema) is made of this, and so is the [resolved](crate::resolve) configuration. What each key
//! is for, in a sentence, stands in the shipped example. A test says which key is missing here or there, and the
//! readers compare their own limits and words with these.

use crate::grammar::{
    ACCESS_LOG, ADMIN, AUDIT_LOG, AUTH, ENTRY, Kind, LIMITS, LISTENER, LISTENER_TLS, LOG, POLICY,
    PROVIDER, PROVIDER_CLAIMS, ROUTE, ROUTE_HEADERS, ROUTE_LIMITS, RULE, SECRET, SESSION_COOKIE,
    SESSIONS, TELEMETRY, TEST, TEST_EXPECT, TEST_PERSON, TEST_REQUEST, TOP, UPSTREAM,
    UPSTREAM_TIMEOUTS, UPSTREAM_TLS,
};

use Shape::{
    Boolean, Duration, Entries, Headers, Integer, Lists, Output, Path, Preset, Secret, Secrets,
    SecretsByName, Size, SizeWithin, Table, Tables, TablesByName, Text, TextOrTable, Texts,
    TextsByName, TextsOrText, Url, Word,
};

/// What may stand at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Boolean,
    /// A duration with its unit, within limits.
    Duration(&'static str, &'static str),
    /// `allow` and `deny`: texts and tables.
    Entries,
    /// Headers of the operator's choice: a text, or `false` to remove one.
    Headers,
    /// A whole number within limits.
    Integer(u32, u32),
    /// Names of the operator's choice, each with a list of texts.
    Lists,
    /// A word, or a path with a slash in it, relative to the file.
    Output(&'static [&'static str]),
    /// A path, relative to the file.
    Path,
    /// The name of a set of identity headers.
    Preset,
    Secret,
    /// Secrets, the first of which counts most.
    Secrets,
    /// Names of the operator's choice, each with a secret.
    SecretsByName,
    /// A size with its unit, or `none`.
    Size,
    /// A size with its unit, within limits.
    SizeWithin(&'static str, &'static str),
    /// A table of keys that we know.
    Table(&'static Kind),
    /// A list of such tables.
    Tables(&'static Kind),
    /// Such tables under names of the operator's choice.
    TablesByName(&'static Kind),
    Text,
    /// A text, or a table of keys that we know.
    TextOrTable(&'static Kind),
    Texts,
    /// A list, or one text alone.
    TextsOrText,
    /// Names of the operator's choice, each with a text.
    TextsByName,
    /// An absolute http(s) URL.
    Url,
    /// One of a few words.
    Word(&'static [&'static str]),
}

impl Shape {
    /// What stands inside: the items of a list, or what is under names of the operator's choice.
    pub(crate) const fn inside(self) -> Option<Self> {
        match self {
            Self::Headers | Self::Lists | Self::TextsByName => Some(Self::Text),
            Self::Secrets | Self::SecretsByName => Some(Self::Secret),
            Self::Tables(kind) | Self::TablesByName(kind) => Some(Self::Table(kind)),
            Self::Boolean
            | Self::Duration(..)
            | Self::Entries
            | Self::Integer(..)
            | Self::Output(_)
            | Self::Path
            | Self::Preset
            | Self::Secret
            | Self::Size
            | Self::SizeWithin(..)
            | Self::Table(_)
            | Self::Text
            | Self::TextOrTable(_)
            | Self::Texts
            | Self::TextsOrText
            | Self::Url
            | Self::Word(_) => None,
        }
    }
}

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// As TOML, where it is the same whatever else is written.
    pub(crate) default: Option<&'static str>,
}

/// A key whose absence means something of its own, or whose default follows from others.
const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape, default: None }
}

/// A key with a default.
const fn with(name: &'static str, shape: Shape, default: &'static str) -> Key {
    Key { name, shape, default: Some(default) }
}

static TOP_KEYS: &[Key] = &[
    with("version", Integer(1, 1), "1"),
    key("include", Texts),
    key("listeners", TablesByName(&LISTENER)),
    with("auth", Table(&AUTH), "{}"),
    with("sessions", Table(&SESSIONS), "{}"),
    key("providers", TablesByName(&PROVIDER)),
    key("networks", Lists),
    key("policies", TablesByName(&POLICY)),
    key("upstreams", TablesByName(&UPSTREAM)),
    key("routes", TablesByName(&ROUTE)),
    with("admin", Table(&ADMIN), "{}"),
    with("telemetry", Table(&TELEMETRY), "{}"),
    with("limits", Table(&LIMITS), "{}"),
    key("tests", Tables(&TEST)),
];

static LISTENER_KEYS: &[Key] = &[
    key("address", Text),
    key("mode", Text),
    key("tls", Table(&LISTENER_TLS)),
    key("http2", Boolean),
    with("redirect_to_https", Boolean, "false"),
    with("trusted_proxies", Texts, "[]"),
];

static LISTENER_TLS_KEYS: &[Key] = &[
    key("certificate", Path),
    key("key", Path),
    with("min_version", Word(&["1.2", "1.3"]), "\"1.2\""),
];

static AUTH_KEYS: &[Key] = &[
    key("public_url", Url),
    with("path_prefix", Text, "\"/.lychgate\""),
    key("cookie_domain", Text),
    with("login_timeout", Duration("1m", "1h"), "\"10m\""),
    with("max_pending_logins", Integer(1, 20), "5"),
    with("clock_tolerance", Duration("0s", "5m"), "\"60s\""),
    with("post_logout_redirect_uris", Texts, "[]"),
];

static SESSIONS_KEYS: &[Key] = &[
    with("store", Word(&["cookie"]), "\"cookie\""),
    with("lifetime", Duration("1m", "90d"), "\"12h\""),
    key("idle_timeout", Duration("1m", "90d")),
    with("refresh", Word(&["auto", "never"]), "\"auto\""),
    key("refresh_margin", Duration("1s", "1h")),
    key("refresh_grace", Duration("0s", "1d")),
    key("keys", Secrets),
    with("cookie", Table(&SESSION_COOKIE), "{}"),
];

static SESSION_COOKIE_KEYS: &[Key] = &[
    with("name", Text, "\"lychgate\""),
    with("same_site", Word(&["lax", "strict", "none"]), "\"lax\""),
];

static PROVIDER_KEYS: &[Key] = &[
    with("kind", Word(&["oidc"]), "\"oidc\""),
    key("issuer", Url),
    key("client_id", Text),
    key("client_secret", Secret),
    key("scopes", Texts),
    key("label", Text),
    key("redirect_uri", Url),
    key("token_endpoint_auth_method", Text),
    with(
        "id_token_signed_response_alg",
        TextsOrText,
        "[\"RS256\", \"PS256\", \"ES256\", \"ES384\", \"EdDSA\"]",
    ),
    key("authorization_endpoint", Url),
    key("token_endpoint", Url),
    key("userinfo_endpoint", Url),
    key("jwks_uri", Url),
    key("end_session_endpoint", Url),
    with("claims", Table(&PROVIDER_CLAIMS), "{}"),
    with("danger_assume_email_verified", Boolean, "false"),
    with("userinfo", Word(&["when-missing", "always", "never"]), "\"when-missing\""),
    key("clock_tolerance", Duration("0s", "5m")),
];

static PROVIDER_CLAIMS_KEYS: &[Key] = &[
    key("user", Text),
    with("name", Text, "\"name\""),
    with("email", Text, "\"email\""),
    with("groups", Text, "\"groups\""),
];

static POLICY_KEYS: &[Key] =
    &[key("allow", Entries), key("deny", Entries), key("explain", Text), key("help", Url)];

static ENTRY_KEYS: &[Key] = &[
    key("groups", Texts),
    key("emails", Texts),
    key("domains", Texts),
    key("users", Texts),
    key("claims", Lists),
    key("networks", Texts),
    key("providers", Texts),
];

static UPSTREAM_KEYS: &[Key] = &[
    key("addresses", Texts),
    key("tls", Table(&UPSTREAM_TLS)),
    with("timeouts", Table(&UPSTREAM_TIMEOUTS), "{}"),
    with("http2", Boolean, "false"),
];

static UPSTREAM_TLS_KEYS: &[Key] = &[key("ca", Path), key("server_name", Text)];

static UPSTREAM_TIMEOUTS_KEYS: &[Key] = &[
    with("connect", Duration("10ms", "1d"), "\"5s\""),
    with("response", Duration("10ms", "1d"), "\"60s\""),
    with("idle", Duration("10ms", "1d"), "\"5m\""),
];

static ROUTE_KEYS: &[Key] = &[
    key("url", Url),
    key("upstream", Text),
    key("providers", Texts),
    key("allow", Entries),
    key("deny", Entries),
    key("policy", Text),
    key("public", Boolean),
    key("rules", Tables(&RULE)),
    key("identity", Preset),
    key("headers", Table(&ROUTE_HEADERS)),
    key("secrets", SecretsByName),
    with("limits", Table(&ROUTE_LIMITS), "{}"),
];

static RULE_KEYS: &[Key] = &[
    key("path", Text),
    key("methods", Texts),
    key("allow", Entries),
    key("deny", Entries),
    key("policy", Text),
    key("public", Boolean),
];

static ROUTE_HEADERS_KEYS: &[Key] = &[key("request", Headers), key("response", Headers)];

static ROUTE_LIMITS_KEYS: &[Key] = &[key("body", Size)];

static ADMIN_KEYS: &[Key] = &[with("address", Text, "\"127.0.0.1:9180\""), key("token", Secret)];

static TELEMETRY_KEYS: &[Key] = &[
    with("log", Table(&LOG), "{}"),
    with("access_log", Table(&ACCESS_LOG), "{}"),
    with("audit_log", Table(&AUDIT_LOG), "{}"),
    with("user_fields", Word(&["plain", "hashed", "none"]), "\"hashed\""),
];

static LOG_KEYS: &[Key] = &[
    with("level", Word(&["error", "warn", "info", "debug", "trace"]), "\"info\""),
    with("format", Word(&["auto", "text", "json"]), "\"auto\""),
];

/// Where a log may go, beside a file.
pub(crate) const OUTPUTS: &[&str] = &["stdout", "stderr", "none"];

static ACCESS_LOG_KEYS: &[Key] = &[
    with("output", Output(OUTPUTS), "\"stdout\""),
    with("format", Word(&["json"]), "\"json\""),
    with("exclude_paths", Texts, "[]"),
];

static AUDIT_LOG_KEYS: &[Key] =
    &[with("output", Output(OUTPUTS), "\"stdout\""), with("schema", Word(&["ecs"]), "\"ecs\"")];

static LIMITS_KEYS: &[Key] = &[
    with("header_bytes", SizeWithin("4KiB", "1MiB"), "\"32KiB\""),
    with("uri_bytes", SizeWithin("1KiB", "64KiB"), "\"8KiB\""),
    with("body", Size, "\"none\""),
    with("shutdown_timeout", Duration("0s", "1h"), "\"25s\""),
    with("header_timeout", Duration("1s", "1h"), "\"10s\""),
    with("idle_timeout", Duration("1s", "1h"), "\"75s\""),
    with("connections", Integer(1, 1_000_000), "10000"),
];

static SECRET_KEYS: &[Key] = &[key("file", Path), key("env", Text), key("credential", Text)];

static TEST_KEYS: &[Key] = &[
    key("name", Text),
    key("as", Table(&TEST_PERSON)),
    key("request", TextOrTable(&TEST_REQUEST)),
    key("expect", Table(&TEST_EXPECT)),
];

static TEST_PERSON_KEYS: &[Key] = &[
    key("user", Text),
    key("name", Text),
    key("email", Text),
    key("email_verified", Boolean),
    key("groups", Texts),
    key("claims", Lists),
    key("provider", Text),
];

static TEST_REQUEST_KEYS: &[Key] =
    &[key("line", Text), key("headers", TextsByName), key("client", Text)];

static TEST_EXPECT_KEYS: &[Key] = &[
    key("decision", Word(&["allow", "deny", "login", "own", "public", "refuse"])),
    key("rule", Text),
    key("status", Integer(100, 599)),
    key("reason", Text),
    key("provider", Text),
    key("upstream_headers", Headers),
];

/// The keys of a kind, in the grammar's order; empty for a kind that is not listed.
pub(crate) fn keys(kind: &Kind) -> &'static [Key] {
    let all: [(&Kind, &'static [Key]); 28] = [
        (&TOP, TOP_KEYS),
        (&LISTENER, LISTENER_KEYS),
        (&LISTENER_TLS, LISTENER_TLS_KEYS),
        (&AUTH, AUTH_KEYS),
        (&SESSIONS, SESSIONS_KEYS),
        (&SESSION_COOKIE, SESSION_COOKIE_KEYS),
        (&PROVIDER, PROVIDER_KEYS),
        (&PROVIDER_CLAIMS, PROVIDER_CLAIMS_KEYS),
        (&POLICY, POLICY_KEYS),
        (&ENTRY, ENTRY_KEYS),
        (&UPSTREAM, UPSTREAM_KEYS),
        (&UPSTREAM_TLS, UPSTREAM_TLS_KEYS),
        (&UPSTREAM_TIMEOUTS, UPSTREAM_TIMEOUTS_KEYS),
        (&ROUTE, ROUTE_KEYS),
        (&RULE, RULE_KEYS),
        (&ROUTE_HEADERS, ROUTE_HEADERS_KEYS),
        (&ROUTE_LIMITS, ROUTE_LIMITS_KEYS),
        (&ADMIN, ADMIN_KEYS),
        (&TELEMETRY, TELEMETRY_KEYS),
        (&LOG, LOG_KEYS),
        (&ACCESS_LOG, ACCESS_LOG_KEYS),
        (&AUDIT_LOG, AUDIT_LOG_KEYS),
        (&LIMITS, LIMITS_KEYS),
        (&SECRET, SECRET_KEYS),
        (&TEST, TEST_KEYS),
        (&TEST_PERSON, TEST_PERSON_KEYS),
        (&TEST_REQUEST, TEST_REQUEST_KEYS),
        (&TEST_EXPECT, TEST_EXPECT_KEYS),
    ];
    all.iter().find(|(known, _)| known.name == kind.name).map_or(&[], |(_, keys)| *keys)
}

/// What may stand at a key, if it is listed.
pub(crate) fn find(kind: &Kind, name: &str) -> Option<&'static Key> {
    keys(kind).iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::KINDS;

    /// C-47: no key of the grammar is without a shape, and none has a shape that the grammar does not know.
    #[test]
    fn every_key_has_a_shape() {
        for kind in KINDS {
            for name in kind.keys {
                let is_there = find(kind, name).is_some();
                assert!(is_there, "write a line for `{name}` of [{}] into shape.rs", kind.name);
            }
            for key in keys(kind) {
                assert!(kind.keys.contains(&key.name), "[{}] has no `{}`", kind.name, key.name);
            }
        }
    }
}
