//! Every key there is, once. The readers refuse what is not in here, and the shipped example is
//! tested against it.

mod provider;

pub(crate) use self::provider::{
    ENDPOINTS, LOOKUP, LOOKUP_PAGING, LOOKUP_READ, PROVIDER, PROVIDER_ASSERTION,
    PROVIDER_CERTIFICATE, PROVIDER_CLAIMS, PROVIDER_ERRORS, PROVIDER_GROUPS, PROVIDER_TLS,
    belongs_to,
};
use crate::tree::{Entry, Value};

/// A kind of table: what may stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// As in messages, with `*` for the operator's own names: `providers.*`.
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [&'static str],
    /// What other products call our keys, and what a reader of older documents may expect.
    pub(crate) synonyms: &'static [(&'static str, &'static str)],
}

/// Declares a kind without synonyms.
const fn kind(name: &'static str, keys: &'static [&'static str]) -> Kind {
    Kind { name, keys, synonyms: &[] }
}

pub(crate) static TOP: Kind = Kind {
    name: "",
    keys: &[
        "version",
        "include",
        "listeners",
        "auth",
        "pages",
        "sessions",
        "providers",
        "networks",
        "policies",
        "upstreams",
        "routes",
        "admin",
        "telemetry",
        "limits",
        "tests",
    ],
    synonyms: &[
        ("listener", "listeners"),
        ("test", "tests"),
        ("session", "sessions"),
        ("provider", "providers"),
        ("policy", "policies"),
        ("upstream", "upstreams"),
        ("backends", "upstreams"),
        ("services", "upstreams"),
        ("route", "routes"),
        ("page", "pages"),
        ("includes", "include"),
        ("logging", "telemetry"),
        ("log", "telemetry"),
        ("metrics", "admin"),
    ],
};

pub(crate) static LISTENER: Kind = Kind {
    name: "listeners.*",
    keys: &[
        "address",
        "mode",
        "tls",
        "http2",
        "redirect_to_https",
        "trusted_proxies",
        "proxy_protocol",
    ],
    synonyms: &[
        ("accept_proxy", "proxy_protocol"),
        ("bind", "address"),
        ("listen", "address"),
        ("http_address", "address"),
        ("force_https", "redirect_to_https"),
        ("trusted_ips", "trusted_proxies"),
    ],
};

pub(crate) static LISTENER_TLS: Kind = Kind {
    name: "listeners.*.tls",
    keys: &["certificate", "key", "min_version"],
    synonyms: &[("cert", "certificate"), ("cert_file", "certificate"), ("key_file", "key")],
};

pub(crate) static AUTH: Kind = Kind {
    name: "auth",
    keys: &[
        "public_url",
        "path_prefix",
        "cookie_domain",
        "login_timeout",
        "max_pending_logins",
        "clock_tolerance",
        "post_logout_redirect_uris",
    ],
    synonyms: &[
        ("cookie_domains", "cookie_domain"),
        ("proxy_prefix", "path_prefix"),
        ("whitelist_domains", "post_logout_redirect_uris"),
    ],
};

pub(crate) static PAGES: Kind = Kind {
    name: "pages",
    keys: &["languages", "templates"],
    synonyms: &[
        ("language", "languages"),
        ("locales", "languages"),
        ("custom_templates_dir", "templates"),
        ("template_dir", "templates"),
    ],
};

pub(crate) static SESSIONS: Kind = Kind {
    name: "sessions",
    keys: &[
        "store",
        "lifetime",
        "idle_timeout",
        "refresh",
        "refresh_margin",
        "refresh_grace",
        "keep_forms",
        "keys",
        "cookie",
    ],
    synonyms: &[
        ("cookie_expire", "lifetime"),
        ("expiry", "lifetime"),
        ("cookie_secret", "keys"),
        ("secret", "keys"),
        ("session_store_type", "store"),
        ("inactivity", "idle_timeout"),
        ("cookie_refresh", "refresh_margin"),
    ],
};

pub(crate) static SESSION_COOKIE: Kind = kind("sessions.cookie", &["name", "same_site"]);

pub(crate) static POLICY: Kind = kind("policies.*", &["allow", "deny", "explain", "help"]);

/// One entry of `allow` or `deny`, written as a table.
pub(crate) static ENTRY: Kind = Kind {
    name: "policies.*.allow[*]",
    keys: &["groups", "emails", "domains", "users", "claims", "networks", "providers"],
    synonyms: &[
        ("group", "groups"),
        ("email", "emails"),
        ("domain", "domains"),
        ("user", "users"),
        ("claim", "claims"),
        ("network", "networks"),
        ("provider", "providers"),
        ("roles", "groups"),
    ],
};

pub(crate) static UPSTREAM: Kind = Kind {
    name: "upstreams.*",
    keys: &["addresses", "tls", "timeouts", "http2"],
    synonyms: &[
        ("address", "addresses"),
        ("url", "addresses"),
        ("urls", "addresses"),
        ("servers", "addresses"),
        ("timeout", "timeouts"),
        ("h2c", "http2"),
    ],
};

pub(crate) static UPSTREAM_TLS: Kind = Kind {
    name: "upstreams.*.tls",
    keys: &["ca", "server_name"],
    synonyms: &[("ca_file", "ca"), ("sni", "server_name")],
};

pub(crate) static UPSTREAM_TIMEOUTS: Kind =
    kind("upstreams.*.timeouts", &["connect", "response", "idle"]);

pub(crate) static ROUTE: Kind = Kind {
    name: "routes.*",
    keys: &[
        "url",
        "upstream",
        "providers",
        "allow",
        "deny",
        "policy",
        "public",
        "rules",
        "identity",
        "headers",
        "secrets",
        "limits",
        "websocket_origins",
        "on_expiry",
        "login",
        "bearer",
        "cors",
    ],
    synonyms: &[
        ("skip_jwt_bearer_tokens", "bearer"),
        ("api_routes", "login"),
        ("jwt", "bearer"),
        ("from", "url"),
        ("host", "url"),
        ("public_url", "url"),
        ("to", "upstream"),
        ("backend", "upstream"),
        ("service", "upstream"),
        ("upstreams", "upstream"),
        ("provider", "providers"),
        ("policies", "policy"),
        ("allowed_groups", "allow"),
        ("preset", "identity"),
    ],
};

pub(crate) static RULE: Kind = Kind {
    name: "routes.*.rules",
    keys: &["path", "methods", "allow", "deny", "policy", "public"],
    synonyms: &[("paths", "path"), ("method", "methods"), ("url", "path")],
};

pub(crate) static ROUTE_HEADERS: Kind = kind("routes.*.headers", &["request", "response"]);

pub(crate) static ROUTE_BEARER: Kind = Kind {
    name: "routes.*.bearer",
    keys: &[
        "issuers",
        "audience",
        "any_audience",
        "scopes",
        "algorithms",
        "typ",
        "introspection",
        "introspection_cache",
        "forward",
        "metadata",
    ],
    synonyms: &[
        ("issuer", "issuers"),
        ("audiences", "audience"),
        ("aud", "audience"),
        ("scope", "scopes"),
        ("alg", "algorithms"),
        ("algs", "algorithms"),
    ],
};

pub(crate) static ROUTE_CORS: Kind = Kind {
    name: "routes.*.cors",
    keys: &["origins", "credentials", "expose_headers", "max_age"],
    synonyms: &[
        ("allow_origins", "origins"),
        ("allowed_origins", "origins"),
        ("allow_credentials", "credentials"),
    ],
};

pub(crate) static ROUTE_LIMITS: Kind = kind("routes.*.limits", &["body"]);

pub(crate) static ADMIN: Kind = Kind {
    name: "admin",
    keys: &["address", "token"],
    synonyms: &[("bind", "address"), ("listen", "address"), ("metrics_address", "address")],
};

pub(crate) static TELEMETRY: Kind =
    kind("telemetry", &["log", "access_log", "audit_log", "user_fields"]);

pub(crate) static LOG: Kind = kind("telemetry.log", &["level", "format"]);

pub(crate) static ACCESS_LOG: Kind =
    kind("telemetry.access_log", &["output", "format", "exclude_paths"]);

pub(crate) static AUDIT_LOG: Kind = kind("telemetry.audit_log", &["output", "schema"]);

pub(crate) static LIMITS: Kind = Kind {
    name: "limits",
    keys: &[
        "header_bytes",
        "uri_bytes",
        "body",
        "shutdown_timeout",
        "header_timeout",
        "idle_timeout",
        "connections",
        "connections_per_client",
        "login_starts_per_client",
    ],
    synonyms: &[("body_bytes", "body"), ("grace_period", "shutdown_timeout")],
};

/// A secret that is kept elsewhere.
pub(crate) static SECRET: Kind = kind("a secret", &["file", "env", "credential"]);

pub(crate) static TEST: Kind = Kind {
    name: "tests",
    keys: &["name", "as", "request", "expect"],
    synonyms: &[("title", "name"), ("who", "as"), ("person", "as"), ("expected", "expect")],
};

pub(crate) static TEST_PERSON: Kind = Kind {
    name: "tests.as",
    keys: &["user", "name", "email", "email_verified", "groups", "claims", "provider"],
    synonyms: &[("group", "groups"), ("roles", "groups"), ("username", "user")],
};

pub(crate) static TEST_REQUEST: Kind = Kind {
    name: "tests.request",
    keys: &["line", "headers", "client"],
    synonyms: &[("url", "line"), ("from", "client"), ("address", "client")],
};

pub(crate) static TEST_EXPECT: Kind = Kind {
    name: "tests.expect",
    keys: &["decision", "rule", "status", "reason", "provider", "upstream_headers"],
    synonyms: &[("headers", "upstream_headers"), ("code", "reason")],
};

/// Every kind of table. The first that knows a key is the one that its readers most likely meant.
pub(crate) static KINDS: &[&Kind] = &[
    &TOP,
    &LISTENER,
    &LISTENER_TLS,
    &AUTH,
    &PAGES,
    &SESSIONS,
    &SESSION_COOKIE,
    &ROUTE,
    &RULE,
    &ROUTE_HEADERS,
    &ROUTE_LIMITS,
    &ROUTE_BEARER,
    &ROUTE_CORS,
    &POLICY,
    &ENTRY,
    &UPSTREAM,
    &UPSTREAM_TLS,
    &UPSTREAM_TIMEOUTS,
    &PROVIDER,
    &PROVIDER_CLAIMS,
    &PROVIDER_ERRORS,
    &PROVIDER_TLS,
    &PROVIDER_ASSERTION,
    &PROVIDER_CERTIFICATE,
    &ADMIN,
    &TELEMETRY,
    &LOG,
    &ACCESS_LOG,
    &AUDIT_LOG,
    &LIMITS,
    &PROVIDER_GROUPS,
    &LOOKUP,
    &LOOKUP_PAGING,
    &LOOKUP_READ,
    &SECRET,
    &TEST,
    &TEST_PERSON,
    &TEST_REQUEST,
    &TEST_EXPECT,
];

/// What to say about an entry whose key is not known in `kind`.
pub(crate) fn hint(kind: &Kind, entry: &Entry) -> String {
    let key = entry.key.as_str();
    let folded = fold(key);
    let renamed = kind.synonyms.iter().find(|(other, _)| fold(other) == folded);
    if let Some((_, ours)) = renamed {
        return format!("did you mean `{ours}`?");
    }
    let near = nearest(key, kind.keys.iter().copied());
    // A slip of one letter is more likely than a key of another table.
    if let Some(near) =
        near.filter(|near| fold(near) == folded || strsim::osa_distance(key, near) <= 1)
    {
        return format!("did you mean `{near}`?");
    }
    let home = home(entry);
    // Some keys of entries are keys of other tables, too; who writes them beside `allow` means these.
    let is_of_entries = kind.keys.contains(&"allow") && ENTRY.keys.contains(&key);
    if is_of_entries || home == Some(&ENTRY) {
        let example = if key == "claims" { "{ NAME = [\"…\"] }" } else { "[\"…\"]" };
        return format!("`{key}` belongs into an entry of `allow`: {{ {key} = {example} }}");
    }
    if let Some(home) = home {
        return match home.name {
            "" => format!("`{key}` belongs at the top of the file"),
            name => format!("`{key}` belongs to {}", header(name)),
        };
    }
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "there is no such key".to_owned(),
    }
}

/// The kind of table that an entry belongs to; among several, one that knows what is in the entry.
fn home(entry: &Entry) -> Option<&'static Kind> {
    let key = entry.key.as_str();
    let knows_inside = |home: &Kind| {
        let Value::Table(table) = &entry.node.value else { return false };
        let name = format!("{}.{key}", home.name);
        let inside = KINDS.iter().find(|kind| kind.name == name);
        inside.is_some_and(|kind| table.0.iter().any(|entry| kind.keys.contains(&&*entry.key)))
    };
    let mut homes =
        KINDS.iter().filter(|kind| ***kind != SECRET && kind.keys.contains(&key)).copied();
    let first = homes.clone().next();
    homes.find(|home| knows_inside(home)).or(first)
}

/// The head of a table as operators write it: `[routes.NAME]`.
fn header(name: &str) -> String {
    let name = name.replace('*', "NAME");
    if matches!(&*name, "routes.NAME.rules" | "tests") {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
}

/// The known name that is most like `given`, if any is like it at all.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4)
        .min()
        .map(|(_, name)| name)
}

/// `clientID` and `client-id` are `client_id` to somebody in a hurry.
fn fold(key: &str) -> String {
    key.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::file::{File, Files};
    use crate::problem::Problems;
    use crate::tree::{self, Table};

    /// C-01 and the table of names in other products.
    #[test]
    fn an_unknown_key_is_met_with_the_one_that_was_meant() {
        for (kind, written, expected) in [
            (&PROVIDER, "isuer = 1", "did you mean `issuer`?"),
            (&PROVIDER, "clientID = 1", "did you mean `client_id`?"),
            (&PROVIDER, "oidc_issuer_url = 1", "did you mean `issuer`?"),
            (&PROVIDER, "login_url = 1", "did you mean `authorization_endpoint`?"),
            (&PROVIDER, "redeem_url = 1", "did you mean `token_endpoint`?"),
            (&PROVIDER, "allow = 1", "`allow` belongs to [routes.NAME]"),
            (&ROUTE, "alow = 1", "did you mean `allow`?"),
            (&ROUTE, "version = 1", "`version` belongs at the top of the file"),
            (&ROUTE, "tls.key = 1", "`tls` belongs to [listeners.NAME]"),
            (&ROUTE, "tls.ca = 1", "`tls` belongs to [upstreams.NAME]"),
            (&ROUTE, "path = 1", "`path` belongs to [[routes.NAME.rules]]"),
            (
                &ROUTE,
                "emails = 1",
                "`emails` belongs into an entry of `allow`: { emails = [\"…\"] }",
            ),
            (
                &RULE,
                "claims = 1",
                "`claims` belongs into an entry of `allow`: { claims = { NAME = [\"…\"] } }",
            ),
            (&SESSIONS, "key = 1", "did you mean `keys`?"),
            (&LIMITS, "zebra = 1", "there is no such key"),
        ] {
            let mut files = Files::default();
            let file = files.add(File::new("a".to_owned(), written, PathBuf::new(), false));
            let table = tree::parse(file, &files, &Problems::default());
            assert_eq!(hint(kind, &table.0[0]), expected, "{written} in {}", kind.name);
        }
    }

    #[test]
    fn every_synonym_leads_to_a_key_and_is_none_itself() {
        for kind in KINDS {
            for (other, ours) in kind.synonyms {
                assert!(kind.keys.contains(ours), "{}: {ours}", kind.name);
                assert!(!kind.keys.contains(other), "{}: {other}", kind.name);
            }
        }
    }

    /// The tables of a kind, wherever they stand in the example.
    fn tables<'a>(table: &'a Table, parts: &[&str]) -> Vec<&'a Table> {
        let [part, rest @ ..] = parts else { return vec![table] };
        let part = part.trim_end_matches("[*]");
        let entries = table.0.iter().filter(|entry| part == "*" || part == entry.key);
        let found = entries.flat_map(|entry| match &entry.node.value {
            Value::Table(table) => tables(table, rest),
            Value::List(items) => items
                .iter()
                .filter_map(|item| match &item.value {
                    Value::Table(table) => Some(tables(table, rest)),
                    Value::Boolean(_)
                    | Value::Datetime
                    | Value::Float(_)
                    | Value::Integer(_)
                    | Value::List(_)
                    | Value::Text(_) => None,
                })
                .flatten()
                .collect(),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::Text(_) => Vec::new(),
        });
        found.collect()
    }

    #[test]
    fn every_key_occurs_in_the_shipped_example() {
        let example = include_str!("../../../config.example.toml");
        let with_every_key: Vec<&str> = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with([' ', ':']) || key.starts_with("    ") => key,
                _ => line,
            })
            .collect();
        let mut files = Files::default();
        let text = with_every_key.join("\n");
        let file = files.add(File::new("example".to_owned(), &text, PathBuf::new(), false));
        let document = tree::parse(file, &files, &Problems::default());
        for kind in KINDS {
            let found = match kind.name {
                "" => vec![&document],
                "a secret" => ["providers.*.client_secret", "sessions.keys", "routes.*.secrets.*"]
                    .iter()
                    .flat_map(|path| tables(&document, &path.split('.').collect::<Vec<_>>()))
                    .collect(),
                name => tables(&document, &name.split('.').collect::<Vec<_>>()),
            };
            for key in kind.keys {
                let is_there = found.iter().any(|table| table.find(key).is_some());
                assert!(is_there, "`{key}` of [{}] is not in the example", kind.name);
            }
        }
    }
}
