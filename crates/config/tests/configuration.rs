//! What a configuration comes to: from files to the values that the program runs with.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lychgate_config::config::{ListenAddress, ProviderEndpoints, SessionKeys, UpstreamAddress};
use lychgate_config::{
    Environment, Loaded, Origins, Report, Source, check, load, print, redirect_uris,
};
use lychgate_gateway::route::{Access, Route};
use lychgate_oidc::{Algorithm, Userinfo};

/// Variables of a test.
struct Variables(Vec<(&'static str, String)>);

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

fn none() -> Variables {
    Variables(Vec::new())
}

/// An empty directory of one test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory).unwrap();
    }
    fs::create_dir_all(&directory).unwrap();
    directory
}

/// A file that only its owner can read.
fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn text(text: &str) -> [Source; 1] {
    [Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() }]
}

fn loaded(source: &str) -> Loaded {
    load(&text(source), &none()).unwrap_or_else(|report| panic!("{report}"))
}

fn refused(sources: &[Source], environment: &Variables) -> Report {
    match load(sources, environment) {
        Ok(_) => panic!("this was accepted"),
        Err(report) => report,
    }
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.problems().iter().map(|problem| problem.code().as_str()).collect()
}

fn route(loaded: &Loaded, name: &str) -> std::sync::Arc<Route> {
    let routes = &loaded.config.gateway.routes;
    let found = routes
        .origins()
        .iter()
        .flat_map(|origin| routes.at(origin))
        .find(|route| route.name == name);
    std::sync::Arc::clone(found.unwrap())
}

const EIGHT_LINES: &str = r#"[providers.corp]
issuer        = "https://id.example.com"
client_id     = "grafana"
client_secret = { file = "oidc" }
[routes.grafana]
url      = "https://grafana.example.com"
upstream = "http://127.0.0.1:3000"
allow    = ["group:engineering"]
"#;

const PROVIDER: &str = r#"
[providers.corp]
issuer = "https://id.example.com"
client_id = "lychgate"
"#;

#[test]
fn eight_lines_are_a_whole_configuration() {
    let here = directory("eight_lines");
    write(&here, "oidc", "hunter2\n");
    let file = write(&here, "lychgate.toml", EIGHT_LINES);

    let loaded = load(&[Source::Path(file)], &none()).unwrap_or_else(|report| panic!("{report}"));

    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.summary.to_string(), "1 route, 1 provider, 1 listener");
    let config = &loaded.config;
    assert_eq!(config.listeners[0].address, ListenAddress::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert!(matches!(config.session_keys, SessionKeys::StateDirectory));
    let provider = &config.providers[0];
    assert_eq!(provider.sign_in.registration.client_secret().unwrap().expose(), "hunter2");
    assert_eq!(provider.sign_in.registration.scopes, ["openid", "profile", "email"]);
    assert!(provider.sign_in.groups_scope_if_offered);
    assert!(matches!(provider.endpoints, ProviderEndpoints::Discovery));
    let uris = redirect_uris(config);
    assert_eq!(uris.len(), 1, "C-61");
    assert_eq!(uris[0].url.as_str(), "https://grafana.example.com/.lychgate/callback");
    let route = route(&loaded, "grafana");
    assert_eq!((route.path.as_str(), route.upstream_path.as_str()), ("", ""));
    assert_eq!(
        config.upstreams[&route.upstream].addresses,
        [UpstreamAddress::Plain { host: "127.0.0.1".to_owned(), port: 3000 }]
    );
}

/// The medium example of the design, without what does not exist yet.
#[test]
fn two_applications_share_one_sign_in() {
    let checked = check(
        &text(
            r#"
version = 1

[listeners.https]
address         = "[::]:443"
tls.certificate = "/etc/lychgate/tls/tls.crt"
tls.key         = "/etc/lychgate/tls/tls.key"

[auth]
public_url    = "https://login.example.com"
cookie_domain = "example.com"

[sessions]
lifetime     = "12h"
idle_timeout = "1h"
keys         = [{ file = "/run/secrets/session-key" }]

[providers.corp]
issuer        = "https://sso.example.com/realms/acme"
client_id     = "lychgate"
client_secret = { file = "/run/secrets/keycloak" }

[providers.partners]
issuer        = "https://id.partners.example"
client_id     = "lychgate"
client_secret = { file = "/run/secrets/partners" }

[routes.grafana]
url       = "https://grafana.example.com"
upstream  = "http://grafana.monitoring:3000"
providers = ["corp"]
allow     = ["group:engineering", "group:sre"]
identity  = "grafana"

[[routes.grafana.rules]]
path   = "/api/health"
public = true

[[routes.grafana.rules]]
path  = "/admin/**"
allow = ["group:sre"]

[routes.jenkins]
url       = "https://ci.example.com"
upstream  = "http://jenkins.ci:8080"
providers = ["corp", "partners"]
allow     = [
    { groups = ["engineering"], providers = ["corp"] },
    { groups = ["acme-partners/build"], providers = ["partners"] },
]
identity  = "jenkins"

[[routes.jenkins.rules]]
path    = "/github-webhook/"
methods = ["POST"]
public  = true
"#,
        ),
        &none(),
    )
    .unwrap_or_else(|report| panic!("{report}"));

    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    assert_eq!(checked.summary.to_string(), "2 routes, 2 providers, 1 listener");
    let uris: Vec<_> =
        checked.redirect_uris.iter().map(|uri| (uri.provider.as_str(), uri.url.as_str())).collect();
    let expected = [
        ("corp", "https://login.example.com/.lychgate/callback/corp"),
        ("partners", "https://login.example.com/.lychgate/callback/partners"),
    ];
    assert_eq!(uris, expected, "C-61: one URI for each provider, whatever the application");
}

/// C-08: checking looks at no secret.
#[test]
fn a_check_needs_no_secrets() {
    let checked = check(&text(EIGHT_LINES), &none()).unwrap_or_else(|report| panic!("{report}"));

    assert!(checked.warnings.is_empty());
    assert_eq!(checked.redirect_uris.len(), 1);
    assert_eq!(codes(&refused(&text(EIGHT_LINES), &none())), ["E0303"]);
}

/// C-78: the path of the upstream's URL replaces that of the route's.
#[test]
fn paths_are_replaced_by_one_rule() {
    let loaded = loaded(&format!(
        "{PROVIDER}
        [upstreams.db]
        addresses = [\"http://a:1/x/\", \"http://b:1/x\"]
        [routes.a]
        url = \"https://example.com/phpmyadmin/\"
        upstream = \"http://pma.db\"
        allow = [\"authenticated\"]
        [routes.b]
        url = \"https://example.com/kept\"
        upstream = \"http://pma.db/kept/\"
        allow = [\"authenticated\"]
        [routes.c]
        url = \"https://example.com\"
        upstream = \"db\"
        allow = [\"authenticated\"]"
    ));
    for (name, path, upstream, upstream_path) in [
        ("a", "/phpmyadmin", "routes.a", ""),
        ("b", "/kept", "routes.b", "/kept"),
        ("c", "", "db", "/x"),
    ] {
        let route = route(&loaded, name);
        assert_eq!(
            (route.path.as_str(), route.upstream.as_str(), route.upstream_path.as_str()),
            (path, upstream, upstream_path)
        );
    }
}

/// What nobody reads is neither asked for nor kept.
#[test]
fn a_provider_is_asked_for_what_is_read() {
    let source = |route: &str| {
        format!(
            "{PROVIDER}
            claims.groups = \"realm.roles\"
            [routes.app]
            url = \"https://app.example.com\"
            upstream = \"http://127.0.0.1:3000\"
            {route}"
        )
    };
    for (route, userinfo, kept) in [
        ("allow = [\"authenticated\"]\nidentity = \"none\"", vec!["preferred_username"], vec![]),
        (
            "allow = [\"group:a\"]\nidentity = \"none\"",
            vec!["preferred_username", "realm.roles"],
            vec![],
        ),
        (
            "allow = [\"domain:example.com\", \"claim:amr=hwk\"]\nidentity = \"none\"",
            vec!["preferred_username", "email", "email_verified", "amr"],
            vec!["amr"],
        ),
        ("allow = [\"authenticated\"]", vec!["preferred_username", "email", "realm.roles"], vec![]),
        (
            "public = true\nidentity = \"none\"\nheaders.request = { X-Who = \"{name} {claims.dept}\" }",
            vec!["preferred_username", "name", "dept"],
            vec!["dept"],
        ),
    ] {
        let loaded = loaded(&source(route));
        let provider = &loaded.config.providers[0].sign_in;
        let expected = userinfo.into_iter().map(str::to_owned).collect();
        assert_eq!(provider.registration.userinfo, Userinfo::WhenMissing(expected), "{route}");
        assert_eq!(provider.kept_claims, kept, "{route}");
    }
}

#[test]
fn an_endpoint_list_replaces_discovery() {
    let loaded = loaded(&format!(
        "{PROVIDER}
        authorization_endpoint = \"https://id.example.com/authorize\"
        token_endpoint = \"http://127.0.0.1:5556/token\"
        jwks_uri = \"https://id.example.com/keys\"
        id_token_signed_response_alg = \"ES256\""
    ));
    let provider = &loaded.config.providers[0];
    let ProviderEndpoints::Static(metadata) = &provider.endpoints else { panic!("{provider:?}") };
    assert_eq!(metadata.token_endpoint.as_str(), "http://127.0.0.1:5556/token");
    assert_eq!(provider.sign_in.registration.id_token.signed_response_algs, [Algorithm::ES256]);
}

/// C-76: nothing that could not be read lets anybody in, and rules keep their order.
#[test]
fn rules_come_to_what_they_say() {
    let loaded = loaded(&format!(
        "{PROVIDER}
        [policies.oncall]
        allow = [{{ groups = [\"sre\"], networks = [\"10.0.0.0/8\"] }}]
        explain = \"On call only.\"
        [routes.app]
        url = \"https://app.example.com\"
        upstream = \"http://127.0.0.1:3000\"
        policy = \"oncall\"
        limits.body = \"1MiB\"
        [[routes.app.rules]]
        path = \"/health\"
        methods = [\"GET\"]
        public = true
        [[routes.app.rules]]
        path = \"/admin/**\"
        allow = [\"group:admin\"]"
    ));
    let route = route(&loaded, "app");
    assert_eq!(route.body_bytes_max, Some(1 << 20));
    assert_eq!(
        route.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["routes.app.rules[0]", "routes.app.rules[1]"]
    );
    assert!(matches!(route.rules[0].access, Access::Public));
    let Access::SignedIn(policy) = &route.access else { panic!("{route:?}") };
    assert_eq!(policy.name.as_deref(), Some("oncall"));
    assert_eq!(policy.allow[0].conditions.len(), 2);
}

#[test]
fn the_idle_timeout_follows_a_short_lifetime() {
    let sessions = loaded("sessions.lifetime = \"30m\"").config.gateway.sessions;
    assert_eq!(sessions.idle_timeout, Duration::from_secs(1800));
}

/// C-06, C-30, C-31.
#[test]
fn included_files_are_read_in_the_order_of_their_names() {
    let here = directory("include");
    let top = write(
        &here,
        "lychgate.toml",
        &format!("version = 1\ninclude = [\"conf.d/*.toml\", \"none.d/*.toml\"]\n{PROVIDER}"),
    );
    let app = |name: &str| {
        format!(
            "version = 1\n[routes.{name}]\nurl = \"https://{name}.example.com\"\nupstream = \"http://127.0.0.1:1\"\npublic = true\n"
        )
    };
    write(&here, "conf.d/20-b.toml", &app("b"));
    write(
        &here,
        "conf.d/10-a.toml",
        &format!("{}[providers.corp]\nclient_secret = {{ file = \"secret\" }}\n", app("a")),
    );
    write(&here, "conf.d/secret", "hunter2");
    write(&here, "conf.d/.hidden.toml", "broken");
    write(&here, "conf.d/10-a.toml~", "broken");

    let loaded =
        load(&[Source::Path(top.clone())], &none()).unwrap_or_else(|report| panic!("{report}"));

    assert_eq!(loaded.summary.routes, 2);
    let names: Vec<&str> =
        loaded.summary.files.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["lychgate.toml", "10-a.toml", "20-b.toml"]);
    assert_eq!(codes(&loaded.warnings), ["W0104"]);
    let warning = loaded.warnings.to_string();
    assert!(warning.contains("`.hidden.toml`, `10-a.toml~` skipped"), "{warning}");
    let from_directory = load(&[Source::Path(here.join("conf.d"))], &none());
    assert!(
        from_directory.is_err(),
        "a directory is a source too, but the issuer is missing in this one"
    );
}

/// C-04, C-30, C-31: no file has precedence.
#[test]
fn what_two_files_define_is_a_problem_with_both_places() {
    let here = directory("twice");
    let rules = "[[routes.app.rules]]\npath = \"/x\"\npublic = true\n";
    let top = write(&here, "top.toml", &format!("include = [\"more.toml\"]\n{PROVIDER}\n{rules}"));
    write(
        &here,
        "more.toml",
        &format!("include = [\"top.toml\"]\n[providers.corp]\nclient_id = \"other\"\n{rules}"),
    );

    let report = refused(&[Source::Path(top.clone()), Source::Path(top)], &none());

    let codes = codes(&report);
    for code in ["E0003", "E0150", "E0151"] {
        assert!(codes.contains(&code), "{code}: {report}");
    }
    let words = report.to_string();
    assert!(words.contains("`providers.corp.client_id` is defined twice"), "{words}");
    assert!(words.contains("top.toml:5:1") && words.contains("more.toml:3:1"), "{words}");
}

/// C-20: a literal secret needs a file that is its owner's alone, or a demonstration.
#[test]
fn a_literal_secret_is_refused_where_others_can_read_it() {
    let here = directory("literal");
    let source = |url: &str| {
        format!(
            "{PROVIDER}client_secret = \"hunter2\"\n[routes.app]\nurl = \"{url}\"\nupstream = \"http://127.0.0.1:1\"\nallow = [\"group:a\"]\n"
        )
    };
    for (mode, url, expected) in [
        (0o600, "https://app.example.com", "W0301"),
        (0o644, "https://app.example.com", "E0301"),
        (0o640, "https://app.example.com", "E0301"),
        (0o644, "http://app.localhost:8080", "W0301"),
    ] {
        let path = write(&here, "lychgate.toml", &source(url));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let report = match load(&[Source::Path(path)], &none()) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
        assert_eq!(codes(&report), [expected], "{mode:o} {url}");
        assert!(!report.to_string().contains("hunter2"));
    }
}

/// C-21, C-22, and the ways in which a secret can fail.
#[test]
fn secrets_come_from_files_variables_and_credentials() {
    let here = directory("secrets");
    let open = write(&here, "open", "hunter2");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    write(&here, "crlf", "hunter2\r\n");
    write(&here, "two-lines", "hunter2\n\n");
    write(&here, "empty", "\n");
    let projected = write(&here, "pod/token", "hunter2");
    fs::set_permissions(&projected, fs::Permissions::from_mode(0o644)).unwrap();
    symlink("pod", here.join("pod/..data")).unwrap();
    let environment = Variables(vec![
        ("OIDC", "hunter2".to_owned()),
        ("CREDENTIALS_DIRECTORY", here.join("pod").display().to_string()),
    ]);
    for (reference, secret, expected) in [
        ("{ file = \"crlf\" }", "hunter2", vec!["W0200"]),
        ("{ file = \"two-lines\" }", "hunter2\n", vec!["W0200"]),
        ("{ file = \"open\" }", "hunter2", vec!["W0200", "W0302"]),
        ("{ file = \"pod/token\" }", "hunter2", vec!["W0200"]),
        ("{ env = \"OIDC\" }", "hunter2", vec!["W0200"]),
        ("{ credential = \"token\" }", "hunter2", vec!["W0200"]),
        ("{ file = \"empty\" }", "", vec!["E0303"]),
        ("{ file = \"none\" }", "", vec!["E0303"]),
        ("{ env = \"NONE\" }", "", vec!["E0303"]),
        ("{ credential = \"../open\" }", "", vec!["E0303"]),
        ("{ file = \"crlf\", env = \"OIDC\" }", "", vec!["E0120"]),
        ("7", "", vec!["E0120"]),
    ] {
        let path =
            write(&here, "lychgate.toml", &format!("{PROVIDER}client_secret = {reference}\n"));
        let (found, report) = match load(&[Source::Path(path)], &environment) {
            Ok(loaded) => {
                let secret =
                    loaded.config.providers[0].sign_in.registration.client_secret().cloned();
                (secret.unwrap().expose().to_owned(), loaded.warnings)
            }
            Err(report) => (String::new(), report),
        };
        assert_eq!(found, secret, "{reference}");
        assert_eq!(codes(&report), expected, "{reference}: {report}");
    }
}

#[test]
fn session_keys_are_read_in_order() {
    let here = directory("keys");
    write(&here, "new", &"ab".repeat(32));
    write(&here, "old", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    write(&here, "short", "c2hvcnQ=");
    let path =
        write(&here, "lychgate.toml", "sessions.keys = [{ file = \"new\" }, { file = \"old\" }]\n");
    let loaded = load(&[Source::Path(path)], &none()).unwrap_or_else(|report| panic!("{report}"));
    assert!(matches!(&loaded.config.session_keys, SessionKeys::Given(keys) if keys.len() == 2));

    let path = write(&here, "lychgate.toml", "sessions.keys = [{ file = \"short\" }]\n");
    let report = refused(&[Source::Path(path)], &none());
    assert!(report.to_string().contains("has 5 bytes and needs 32"), "{report}");
}

#[test]
fn beside_a_file_that_is_not_toml_only_what_is_certain_is_said() {
    let text =
        |name: &str, text: &str| Source::Text { name: name.to_owned(), text: text.to_owned() };
    let broken = text("a.toml", "[upstreams.app\naddresses = 1\nunknown = 1\n");
    let route = "[routes.app]\nurl = \"https://app.example.com\"\nupstream = \"app\"\nalow = []\n";

    let report = refused(&[broken, text("b.toml", route)], &none());

    let said: Vec<(&str, String)> = report
        .problems()
        .iter()
        .map(|problem| (problem.code().as_str(), report.position(problem).file))
        .collect();
    assert_eq!(said, [("E0002", "a.toml".to_owned()), ("E0102", "b.toml".to_owned())]);
}

#[test]
fn a_file_that_is_not_there_is_said_by_name() {
    let report = refused(&[Source::Path(PathBuf::from("no/such.toml"))], &none());
    assert_eq!(
        report.to_string(),
        "error[E0001]: `no/such.toml` cannot be read\n--> no/such.toml\n = note: there is no such file\nhelp: name another file with `-c`, or try `lychgate demo`\n\n1 error"
    );
}

/// C-23, C-40.
#[test]
fn what_is_printed_is_what_was_written_without_secrets() {
    let source = r#"
version = 1
[routes.app]
url = "https://app.${DOMAIN}"
headers.request = { "X-A" = "{user}", Authorization = false }
secrets.pma = "hunter2"
[[routes.app.rules]]
path = "/x"
public = true
[providers.corp]
issuer = "https://id.example.com"
client_secret = { file = "/run/secrets/oidc" }
claims.user = "a\tb"
[sessions]
keys = ["hunter2", { env = "KEY" }]
cookie = { name = "x" }
"#;
    let printed =
        print(&text(source), &none(), Origins::Hidden).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(
        printed,
        r#"version = 1

[routes.app]
url = "https://app.${DOMAIN}"
headers.request.X-A = "{user}"
headers.request.Authorization = false
secrets.pma = "‹literal›"

[[routes.app.rules]]
path = "/x"
public = true

[providers.corp]
issuer = "https://id.example.com"
client_secret = "‹file /run/secrets/oidc›"
claims.user = "a\tb"

[sessions]
keys = ["‹literal›", "‹env KEY›"]
cookie.name = "x"
"#
    );
    let again = print(&text(&printed), &none(), Origins::Hidden)
        .unwrap_or_else(|report| panic!("{report}"));
    let masked =
        printed.replace("‹file /run/secrets/oidc›", "‹literal›").replace("‹env KEY›", "‹literal›");
    assert_eq!(again, masked, "what is printed is TOML of the same shape");
}

/// C-61: what a registration has to be granted is said, too, where the kind decides it.
#[test]
fn a_check_says_which_scopes_a_kind_asks_for() {
    let text = r#"
[providers.hub]
kind = "github"
client_id = "lychgate"
organizations = ["works"]

[providers.corp]
issuer = "https://id.example.com"
client_id = "lychgate"

[routes.app]
url = "https://app.example.com"
upstream = "http://127.0.0.1:3000"
allow = ["authenticated"]
"#;
    let source = Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() };
    let checked = check(&[source], &Variables(Vec::new())).unwrap();

    let asked: Vec<(&str, String)> =
        checked.scopes.iter().map(|asked| (&*asked.provider, asked.scopes.join(" "))).collect();
    assert_eq!(asked, [("hub", "read:user user:email read:org".to_owned())]);
}
