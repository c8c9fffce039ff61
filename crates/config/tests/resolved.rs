//! Everything that was left unsaid, said: the resolved configuration is the same configuration.

use lychgate_config::{Config, Environment, Origins, Source, check, load, resolve};

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// As short as it gets, and as long as somebody might write it.
const SHORT: &str = r#"
[providers.corp]
issuer = "https://id.${DOMAIN}"
client_id = "lychgate"
[routes.app]
url = "https://app.${DOMAIN}"
upstream = "http://127.0.0.1:3000"
allow = ["group:engineering"]
identity = "grafana"
headers.request = { "X-WebAuth-Name" = "$$ {name}", "X-Team" = "{claims.team}" }
"#;

/// Providers beside whose keys not every default may stand.
const PECULIAR: &str = r#"
[providers.bank]
issuer = "https://bank.example"
client_id = "lychgate"
response_mode = "jwt"
authorization_signed_response_alg = "PS256"
proxy = "http://proxy.${DOMAIN}:3128"
claims_request = { id_token = { acr = { essential = true } } }
authorization_details = [{ type = "accounts", consent = "{uuid}", price = "$$1" }]
[providers.plain]
issuer = "https://plain.example"
client_id = "lychgate"
id_token = "never"
subject = "pseudonymous"
[providers.code]
kind = "gitlab"
client_id = "lychgate"
groups = ["works/platform"]
claims = { name = "nickname" }
[providers.other]
kind = "oauth2"
client_id = "lychgate"
authorization_endpoint = "https://other.example/authorize"
token_endpoint = "https://other.example/token"
memberships = { groups = ["works"] }
[[providers.other.lookups]]
url = "https://api.${DOMAIN}/me"
reads = { sub = "id", groups = { each = "teams", only = { active = true } } }
paging = { page = "page" }
expect_status = [404]
[[providers.other.lookups]]
url = "https://api.${DOMAIN}/query"
method = "POST"
body = '{"query": "{ me }"}'
danger_token_in_query = "token"
reads.email = "mail"
[routes.app]
url = "https://app.${DOMAIN}"
upstream = "http://127.0.0.1:3000"
allow = [{ groups = ["engineering"], providers = ["code"] }]
websocket_origins = ["https://portal.${DOMAIN}"]
"#;

struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "DOMAIN" => Some("example.com".to_owned()),
            "ID" => Some("https://id.example.com/".to_owned()),
            _ => None,
        }
    }
}

fn source(text: &str) -> [Source; 1] {
    [Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() }]
}

fn resolved(text: &str) -> lychgate_config::Resolved {
    resolve(&source(text), &Variables, Origins::Hidden).unwrap_or_else(|report| panic!("{report}"))
}

fn loaded(text: &str) -> Config {
    load(&source(text), &Variables).unwrap_or_else(|report| panic!("{report}\n{text}")).config
}

/// All of a configuration as text. Routes are searched by hash, so they are written one by one, and so are the names
/// of headers, whose spelling means nothing.
fn in_words(config: &Config) -> String {
    let gateway = &config.gateway;
    let routes: Vec<_> =
        gateway.routes.origins().iter().flat_map(|origin| gateway.routes.at(origin)).collect();
    format!(
        "{:#?}",
        (
            (&gateway.path_prefix, &gateway.public_url, &gateway.cookies, gateway.login_timeout),
            (gateway.max_pending_logins, gateway.sessions, &gateway.post_logout_redirect_uris),
            routes,
            (&config.session_keys, &config.listeners, &config.providers, &config.upstreams),
            (&config.admin, &config.telemetry, &config.limits),
        )
    )
}

/// The example with every commented key in force.
fn everything() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with([' ', ':']) || key.starts_with("    ") => key,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// C-40, C-79: it holds the defaults, the headers of a preset and the values of variables, and it is the same
/// configuration.
#[test]
fn the_resolved_configuration_is_the_same_configuration() {
    for text in [SHORT, EXAMPLE, PECULIAR] {
        let resolved = resolved(text).text;

        assert_eq!(in_words(&loaded(&resolved)), in_words(&loaded(text)), "{resolved}");
    }
    let short = resolved(SHORT).text;
    for line in [
        "version = 1\n",
        "issuer = \"https://id.example.com\"\n",
        "identity = \"none\"\n",
        "headers.request.x-webauth-user = \"{user}\"\n",
        "headers.request.X-WebAuth-Name = \"$$ {name}\"\n",
        "lifetime = \"12h\"\n",
        "providers = [\"corp\"]\n",
    ] {
        assert!(short.contains(line), "{line}: {short}");
    }
    assert!(!short.contains("x-webauth-name"), "the operator's own header counts");
}

/// C-41: whoever reads what was printed gets the same hash, whatever is in it.
#[test]
fn to_resolve_twice_is_to_resolve_once() {
    for text in [SHORT.to_owned(), EXAMPLE.to_owned(), PECULIAR.to_owned(), everything()] {
        let once = resolved(&text);
        let twice = resolved(&once.text);

        assert_eq!(once, twice);
        check(&source(&once.text), &Variables).unwrap_or_else(|report| panic!("{report}"));
    }
}

/// C-41: the hash names a configuration, not a way to write it.
#[test]
fn the_hash_is_of_what_is_meant() {
    let written_out = SHORT.replace("https://id.${DOMAIN}", "https://id.example.com")
        + "providers = [\"corp\"]\n[sessions]\nlifetime = \"12h\"\n";
    let another = SHORT.replace("engineering", "sales");

    let hash = resolved(SHORT).config_hash;

    assert_eq!(hash.len(), 8);
    assert_ne!(resolved(&another).config_hash, hash);
    assert_eq!(resolved(&written_out).config_hash, hash);
}

/// C-23: what is secret is not printed, and what was printed instead is not served with.
#[test]
fn a_masked_secret_is_printed_and_never_served_with() {
    let text = SHORT.replace("client_id", "client_secret = \"hunter2\"\nclient_id")
        + "secrets.key = { env = \"ID\" }\n";

    let printed = resolved(&text).text;

    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("client_secret = \"‹literal›\""), "{printed}");
    assert!(printed.contains("secrets.key = { env = \"ID\" }"), "{printed}");
    check(&source(&printed), &Variables).unwrap_or_else(|report| panic!("{report}"));
    let report = load(&source(&printed), &Variables).unwrap_err().to_string();
    assert!(report.contains("error[E0303]: `providers.corp.client_secret` was masked"), "{report}");
}

/// C-23, C-41: the address of a proxy is no secret until it has a password in it.
#[test]
fn a_proxy_is_masked_where_it_has_a_password() {
    let with = |proxy: &str| {
        let proxy = format!("proxy = \"{proxy}\"\nclient_id");
        resolved(&SHORT.replace("client_id", &proxy))
    };
    let plain = with("http://proxy.example:3128");
    let secret = with("http://me:hunter2@proxy.example:3128");

    assert!(plain.text.contains("proxy = \"http://proxy.example:3128\""), "{}", plain.text);
    assert_ne!(plain.config_hash, with("http://other.example:3128").config_hash);
    assert!(secret.text.contains("proxy = \"‹literal›\""), "{}", secret.text);
    check(&source(&secret.text), &Variables).unwrap_or_else(|report| panic!("{report}"));
    let report = load(&source(&secret.text), &Variables).unwrap_err().to_string();
    assert!(report.contains("`providers.corp.proxy` was masked"), "{report}");
}

/// C-32: after each value its place.
#[test]
fn every_value_says_where_it_comes_from() {
    let shown = resolve(&source(SHORT), &Variables, Origins::Shown).unwrap();

    for line in [
        "client_id = \"lychgate\"  # lychgate.toml:4\n",
        "identity = \"none\"  # lychgate.toml:9\n",
        "headers.request.X-Team = \"{claims.team}\"  # lychgate.toml:10\n",
        "lifetime = \"12h\"  # default\n",
    ] {
        assert!(shown.text.contains(line), "{line}: {}", shown.text);
    }
    let values = shown.text.lines().filter(|line| line.contains(" = "));
    assert!(values.clone().count() > 40 && values.clone().all(|line| line.contains("  # ")));
    check(&source(&shown.text), &Variables).unwrap_or_else(|report| panic!("{report}"));
}

/// C-06, C-40: a path means the same wherever the result is read.
#[test]
fn paths_are_absolute() {
    let text = SHORT.to_owned() + "[telemetry]\naccess_log.output = \"logs/access.jsonl\"\n";

    let printed = resolved(&text).text;

    let line = printed.lines().find(|line| line.contains("logs/access.jsonl")).unwrap();
    assert!(line.starts_with("access_log.output = \"/"), "{line}");
}
