//! What may stand at each key: its type, its limits and its default, a line each.
//!
//! The [schema](crate::schema) is made of this, and so is the [resolved](crate::resolve) configuration. What each key
//! is for, in a sentence, stands in the shipped example. A test says which key is missing here or there, and the
//! readers compare their own limits and words with these.

use crate::grammar::{
    ACCESS_LOG, ADMIN, AUDIT_LOG, AUTH, ENTRY, Kind, LIMITS, LISTENER, LISTENER_TLS, LOG, LOOKUP,
    LOOKUP_PAGING, LOOKUP_READ, PAGES, POLICY, PROVIDER, PROVIDER_ASSERTION, PROVIDER_CERTIFICATE,
    PROVIDER_CLAIMS, PROVIDER_ERRORS, PROVIDER_GROUPS, PROVIDER_TLS, ROUTE, ROUTE_BEARER,
    ROUTE_CORS, ROUTE_HEADERS, ROUTE_LIMITS, RULE, SECRET, SESSION_COOKIE, SESSIONS, TELEMETRY,
    TEST, TEST_EXPECT, TEST_PERSON, TEST_REQUEST, TOP, UPSTREAM, UPSTREAM_TIMEOUTS, UPSTREAM_TLS,
};

use Shape::{
    Boolean, Duration, Entries, FreeTable, FreeTables, Headers, Integer, Lists, Numbers, Output,
    Path, Preset, Secret, Secrets, SecretsByName, Size, SizeWithin, Table, Tables, TablesByName,
    Text, TextOrSecret, TextOrTable, TextOrTablesByName, Texts, TextsByName, TextsOrTable,
    TextsOrText, Url, Word, WordOrTable,
};

/// What may stand at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Boolean,
    /// A duration with its unit, within limits.
    Duration(&'static str, &'static str),
    /// `allow` and `deny`: texts and tables.
    Entries,
    /// A value of any type.
    Free,
    /// Names of the operator's choice, each with a value of any type.
    FreeTable,
    /// A list of such tables.
    FreeTables,
    /// Headers of the operator's choice: a text, or `false` to remove one.
    Headers,
    /// A whole number within limits.
    Integer(u32, u32),
    /// Names of the operator's choice, each with a list of texts.
    Lists,
    /// A list of some of a few numbers.
    Numbers(&'static [u16]),
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
    /// A text, or a secret if it holds one.
    TextOrSecret,
    /// A text, or a table of keys that we know.
    TextOrTable(&'static Kind),
    /// Names of the operator's choice, each with a text or such a table.
    TextOrTablesByName(&'static Kind),
    Texts,
    /// A list of texts, or a table of keys that we know.
    TextsOrTable(&'static Kind),
    /// A list, or one text alone.
    TextsOrText,
    /// Names of the operator's choice, each with a text.
    TextsByName,
    /// An absolute http(s) URL.
    Url,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// One of a few words, or a table of keys that we know.
    WordOrTable(&'static [&'static str], &'static Kind),
}

impl Shape {
    /// What stands inside: the items of a list, or what is under names of the operator's choice.
    pub(crate) const fn inside(self) -> Option<Self> {
        match self {
            Self::Headers | Self::Lists | Self::TextsByName => Some(Self::Text),
            Self::Secrets | Self::SecretsByName => Some(Self::Secret),
            Self::FreeTable => Some(Self::Free),
            Self::FreeTables => Some(Self::FreeTable),
            Self::Tables(kind) | Self::TablesByName(kind) => Some(Self::Table(kind)),
            Self::TextOrTablesByName(kind) => Some(Self::TextOrTable(kind)),
            Self::Boolean
            | Self::Duration(..)
            | Self::Entries
            | Self::Free
            | Self::Integer(..)
            | Self::Numbers(_)
            | Self::Output(_)
            | Self::Path
            | Self::Preset
            | Self::Secret
            | Self::Size
            | Self::SizeWithin(..)
            | Self::Table(_)
            | Self::Text
            | Self::TextOrSecret
            | Self::TextOrTable(_)
            | Self::Texts
            | Self::TextsOrTable(_)
            | Self::TextsOrText
            | Self::Url
            | Self::Word(_)
            | Self::WordOrTable(..) => None,
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
    with("pages", Table(&PAGES), "{}"),
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
    key("proxy_protocol", Word(&["v1", "v2"])),
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

static PAGES_KEYS: &[Key] =
    &[with("languages", Texts, "[\"en\", \"de\", \"ar\"]"), key("templates", Path)];

static SESSIONS_KEYS: &[Key] = &[
    with("store", Word(&["cookie"]), "\"cookie\""),
    with("lifetime", Duration("1m", "90d"), "\"12h\""),
    key("idle_timeout", Duration("1s", "90d")),
    with("refresh", Word(&["auto", "never"]), "\"auto\""),
    key("refresh_margin", Duration("1s", "1h")),
    key("refresh_grace", Duration("0s", "1d")),
    with("keep_forms", Size, "\"256KiB\""),
    key("keys", Secrets),
    with("cookie", Table(&SESSION_COOKIE), "{}"),
];

static SESSION_COOKIE_KEYS: &[Key] = &[
    with("name", Text, "\"lychgate\""),
    with("same_site", Word(&["lax", "strict", "none"]), "\"lax\""),
];

/// The kinds of providers.
const PROVIDER_KINDS: &[&str] = &[
    "adfs",
    "apple",
    "auth0",
    "bitbucket",
    "cidaas",
    "cognito",
    "digitalocean",
    "discord",
    "entra",
    "facebook",
    "forgejo",
    "gitea",
    "github",
    "gitlab",
    "google",
    "keycloak",
    "linkedin",
    "login_gov",
    "nextcloud",
    "oauth2",
    "oidc",
    "okta",
    "slack",
    "sourcehut",
];

/// The published profiles.
const PROFILES: &[&str] =
    &["fapi2", "fapi2-message-signing", "fapi1-advanced", "open-finance-brasil"];

/// How answers come back.
const RESPONSE_MODES: &[&str] = &["form_post", "form_post.jwt", "jwt", "query", "query.jwt"];

// The defaults are those of kind "oidc". A key beside which another one would be refused has none.
static PROVIDER_KEYS: &[Key] = &[
    with("kind", Word(PROVIDER_KINDS), "\"oidc\""),
    key("profile", Word(PROFILES)),
    key("issuer", Text),
    key("client_id", Text),
    key("client_secret", Secret),
    key("scopes", Texts),
    key("label", Text),
    key("redirect_uri", Url),
    key("token_endpoint_auth_method", Text),
    key("id_token_signed_response_alg", TextsOrText),
    key("authorization_endpoint", Url),
    key("token_endpoint", Url),
    key("userinfo_endpoint", Url),
    key("jwks_uri", Url),
    key("end_session_endpoint", Url),
    key("introspection_endpoint", Url),
    key("revocation_endpoint", Url),
    with("claims", Table(&PROVIDER_CLAIMS), "{}"),
    with("danger_assume_email_verified", Boolean, "false"),
    with("userinfo", Word(&["when-missing", "always", "never"]), "\"when-missing\""),
    key("clock_tolerance", Duration("0s", "5m")),
    key("token_endpoint_auth_signing_alg", Text),
    with("danger_secret_in_query", Boolean, "false"),
    key("client_assertion", Table(&PROVIDER_ASSERTION)),
    key("client_assertion_audience", Text),
    key("client_assertion_lifetime", Duration("10s", "5m")),
    key("signing_key", Secret),
    key("signing_key_id", Text),
    key("signing_certificate", Table(&PROVIDER_CERTIFICATE)),
    key("tls", Table(&PROVIDER_TLS)),
    with("mtls_endpoint_aliases", Word(&["auto", "always", "never"]), "\"auto\""),
    with("tls_client_certificate_bound_access_tokens", Boolean, "false"),
    key("proxy", TextOrSecret),
    with("dpop_bound_access_tokens", Boolean, "false"),
    key("dpop_signing_alg", Text),
    key("dpop_signing_key", Secret),
    key("dpop_jkt", Boolean),
    key("token_request_omits", Texts),
    with("pushed_authorization_requests", Word(&["auto", "required", "never"]), "\"auto\""),
    key("pushed_authorization_request_endpoint", Url),
    key("request_object_signing_alg", Text),
    key("request_object_audience", Text),
    key("request_object_lifetime", Duration("30s", "1h")),
    key("request_object_typ", Word(&["oauth-authz-req+jwt", "JWT", "none"])),
    key("request_object_encryption_alg", Word(&["ECDH-ES", "RSA-OAEP", "RSA-OAEP-256"])),
    key("request_object_encryption_enc", Word(&["A128GCM", "A256GCM"])),
    key("authorization_request_repeats", Texts),
    with("code_challenge_method", Word(&["S256", "none"]), "\"S256\""),
    key("nonce", Boolean),
    key("prompt", Text),
    key("max_age", Duration("0s", "365d")),
    key("acr_values", Texts),
    key("ui_locales", Text),
    key("claims_request", FreeTable),
    key("authorization_params", TextsByName),
    key("authorization_params_from_login", Texts),
    key("resource", Texts),
    key("authorization_details", FreeTables),
    with("response_type", Word(&["code", "code id_token"]), "\"code\""),
    with("response_mode", Word(RESPONSE_MODES), "\"query\""),
    key("authorization_response_iss_parameter", Word(&["required", "if-present"])),
    key("authorization_signed_response_alg", TextsOrText),
    key("authorization_encrypted_response_alg", TextsOrText),
    key("authorization_encrypted_response_enc", TextsOrText),
    with("id_token", Word(&["required", "never"]), "\"required\""),
    key("id_token_encrypted_response_alg", TextsOrText),
    key("id_token_encrypted_response_enc", TextsOrText),
    key("required_acr_values", Texts),
    key("userinfo_signed_response_alg", TextsOrText),
    key("userinfo_encrypted_response_alg", TextsOrText),
    key("userinfo_encrypted_response_enc", TextsOrText),
    key("decryption_keys", Secrets),
    with("subject", Word(&["claim", "pseudonymous"]), "\"claim\""),
    key("consent_statuses", Texts),
    key("login_timeout", Duration("1m", "1h")),
    with("silent_login", Boolean, "false"),
    key("fapi_interaction_id", Boolean),
    key("email_domains", Texts),
    with("errors", Table(&PROVIDER_ERRORS), "{}"),
    key("base_url", Url),
    key("tenant", Text),
    key("tenants", Texts),
    key("groups_from", Word(&["auto", "graph", "token"])),
    key("group_names", Word(&["ids", "names", "on_premises"])),
    key("hosted_domain", TextsOrText),
    key("groups", TextsOrTable(&PROVIDER_GROUPS)),
    key("organizations", Texts),
    key("teams", Texts),
    key("repositories", Texts),
    key("users", Texts),
    key("projects", Texts),
    key("workspaces", Texts),
    key("workspace", TextsOrText),
    key("guilds", Texts),
    key("team_id", Text),
    key("lookups", Tables(&LOOKUP)),
    key("memberships", Lists),
];

static PROVIDER_TLS_KEYS: &[Key] = &[key("certificate", Path), key("key", Path), key("ca", Path)];

static PROVIDER_FILE_KEYS: &[Key] = &[key("file", Path)];

static PROVIDER_CLAIMS_KEYS: &[Key] = &[
    key("user", Text),
    with("name", Text, "\"name\""),
    with("email", Text, "\"email\""),
    key("groups", Text),
    key("subject", Text),
];

static PROVIDER_ERRORS_KEYS: &[Key] = &[
    key("retryable", Texts),
    key("uri_hosts", Texts),
    with("without_state", Word(&["generic", "show"]), "\"generic\""),
];

static PROVIDER_GROUPS_KEYS: &[Key] =
    &[key("service_account", Secret), key("admin", Text), key("members_of", Texts)];

static LOOKUP_KEYS: &[Key] = &[
    key("name", Text),
    key("url", Url),
    key("method", Word(&["GET", "POST"])),
    key("headers", TextsByName),
    key("body", Text),
    with("token_scheme", Text, "\"Bearer\""),
    key("danger_token_in_query", Text),
    with("paging", WordOrTable(&["none", "link"], &LOOKUP_PAGING), "\"none\""),
    key("reads", TextOrTablesByName(&LOOKUP_READ)),
    with("when", Text, "\"always\""),
    key("expect_status", Numbers(&[400, 403, 404, 410])),
    with("required", Boolean, "true"),
];

static LOOKUP_PAGING_KEYS: &[Key] =
    &[key("next_url", Text), key("token", Text), key("parameter", Text), key("page", Text)];

static LOOKUP_READ_KEYS: &[Key] = &[
    key("each", Text),
    key("value", Text),
    key("only", FreeTable),
    with("first", Boolean, "false"),
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
    with("websocket_origins", Texts, "[]"),
    with("on_expiry", Word(&["close", "finish"]), "\"close\""),
    with("login", Word(&["auto", "never"]), "\"auto\""),
    key("bearer", Table(&ROUTE_BEARER)),
    with("cors", WordOrTable(&["refuse", "pass"], &ROUTE_CORS), "\"refuse\""),
];

static ROUTE_BEARER_KEYS: &[Key] = &[
    key("issuers", Texts),
    key("audience", TextsOrText),
    with("any_audience", Boolean, "false"),
    with("scopes", Texts, "[]"),
    key("algorithms", TextsOrText),
    with("typ", Word(&["auto", "at+jwt"]), "\"auto\""),
    with("introspection", Word(&["never", "opaque", "always"]), "\"never\""),
    with("introspection_cache", Duration("0s", "1h"), "\"1m\""),
    with("forward", Boolean, "false"),
    with("metadata", Boolean, "true"),
];

static ROUTE_CORS_KEYS: &[Key] = &[
    key("origins", Texts),
    with("credentials", Boolean, "false"),
    with("expose_headers", Texts, "[]"),
    with("max_age", Duration("0s", "1d"), "\"10m\""),
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
    key("connections_per_client", Integer(1, 1_000_000)),
    with("login_starts_per_client", Integer(1, 1_000_000), "600"),
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
    let all: [(&Kind, &'static [Key]); 39] = [
        (&TOP, TOP_KEYS),
        (&LISTENER, LISTENER_KEYS),
        (&LISTENER_TLS, LISTENER_TLS_KEYS),
        (&AUTH, AUTH_KEYS),
        (&PAGES, PAGES_KEYS),
        (&SESSIONS, SESSIONS_KEYS),
        (&SESSION_COOKIE, SESSION_COOKIE_KEYS),
        (&PROVIDER, PROVIDER_KEYS),
        (&PROVIDER_TLS, PROVIDER_TLS_KEYS),
        (&PROVIDER_ASSERTION, PROVIDER_FILE_KEYS),
        (&PROVIDER_CERTIFICATE, PROVIDER_FILE_KEYS),
        (&PROVIDER_CLAIMS, PROVIDER_CLAIMS_KEYS),
        (&PROVIDER_ERRORS, PROVIDER_ERRORS_KEYS),
        (&PROVIDER_GROUPS, PROVIDER_GROUPS_KEYS),
        (&LOOKUP, LOOKUP_KEYS),
        (&LOOKUP_PAGING, LOOKUP_PAGING_KEYS),
        (&LOOKUP_READ, LOOKUP_READ_KEYS),
        (&POLICY, POLICY_KEYS),
        (&ENTRY, ENTRY_KEYS),
        (&UPSTREAM, UPSTREAM_KEYS),
        (&UPSTREAM_TLS, UPSTREAM_TLS_KEYS),
        (&UPSTREAM_TIMEOUTS, UPSTREAM_TIMEOUTS_KEYS),
        (&ROUTE, ROUTE_KEYS),
        (&RULE, RULE_KEYS),
        (&ROUTE_HEADERS, ROUTE_HEADERS_KEYS),
        (&ROUTE_LIMITS, ROUTE_LIMITS_KEYS),
        (&ROUTE_BEARER, ROUTE_BEARER_KEYS),
        (&ROUTE_CORS, ROUTE_CORS_KEYS),
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

    /// C-47.
    #[test]
    fn every_kind_of_provider_is_a_word() {
        let kinds: Vec<&str> =
            lychgate_oidc::kind::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(PROVIDER_KINDS, kinds);
    }

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
