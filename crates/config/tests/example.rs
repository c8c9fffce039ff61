//! The shipped example and the README, held to what they say.

use lychgate_config::{Config, Environment, Source, check, load};

const EXAMPLE: &str = include_str!("../../../config.example.toml");
const README: &str = include_str!("../../../README.md");

/// What the example needs to be complete, and nothing that has a default.
const BARE: &str = r#"
[providers.corp]
issuer = "https://id.example.com"
client_id = "lychgate"
[routes.app]
url = "https://app.example.com"
upstream = "http://127.0.0.1:3000"
allow = ["group:engineering"]
[listeners.default]
address = "127.0.0.1:8080"
"#;

struct NoVariables;

impl Environment for NoVariables {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
}

fn source(text: &str) -> [Source; 1] {
    [Source::Text { name: "lychgate.toml".to_owned(), text: text.to_owned() }]
}

/// The example with every commented key in force.
fn everything() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key)
            if key.starts_with(|first: char| !first.is_whitespace() && first != ':')
                || key.starts_with("    ") =>
        {
            key
        }
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// All of a configuration as text. Routes are searched by hash, so they are written one by one.
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

#[test]
fn the_example_is_right() {
    let checked = check(&source(EXAMPLE), &NoVariables).unwrap_or_else(|report| panic!("{report}"));
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    assert_eq!(checked.summary.to_string(), "1 route, 1 provider, 1 listener");
}

#[test]
fn the_example_is_right_with_every_commented_key_in_force() {
    let text = everything();
    let checked = check(&source(&text), &NoVariables).unwrap_or_else(|report| panic!("{report}"));
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    assert_eq!(checked.summary.to_string(), "4 routes, 17 providers, 2 listeners");
}

/// What the guide to strict providers shows can be written as it stands.
#[test]
fn the_guide_shows_providers_that_are_right() {
    let guide = include_str!("../../../docs/providers/strict.md");
    let blocks = guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut shown = 0;
    for block in blocks {
        let is_whole = block.starts_with("[providers.");
        let provider = "[providers.corp]\nissuer = \"https://id.example\"\nclient_id = \"c\"\n";
        // A fragment is beside a key that it may need.
        let key = "signing_key = { file = \"k.pem\" }\n";
        let text = if is_whole { block.to_owned() } else { format!("{provider}{key}{block}") };
        let checked = check(&source(&text), &NoVariables);
        assert!(checked.is_ok(), "{}", checked.unwrap_err());
        shown += 1;
    }
    assert!(shown >= 6, "{shown}");
}

/// What the page of each kind of provider shows first can be written as it stands.
#[test]
fn every_page_about_a_provider_shows_one_that_is_right() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers");
    let mut shown = 0;
    for page in std::fs::read_dir(pages).expect("there are pages") {
        let page = page.expect("a page").path();
        let text = std::fs::read_to_string(&page).expect("a page is text");
        let Some((_, rest)) = text.split_once("```toml\n") else { continue };
        let (block, _) = rest.split_once("```").expect("a block ends");
        let checked = check(&source(block), &NoVariables);
        assert!(checked.is_ok(), "{}: {}", page.display(), checked.unwrap_err());
        shown += 1;
    }
    assert!(shown >= 24, "{shown}");
}

/// The README's file with one letter missing, and what the README says that is said about it.
#[test]
fn the_readme_shows_what_is_printed() {
    let (_, file) = README.split_once("```toml\n").expect("a file");
    let (file, _) = file.split_once("```").expect("its end");
    let misspelt = file.replace("allow    =", "alow     =");

    let report = check(&source(&misspelt), &NoVariables).unwrap_err();

    assert!(README.contains(&format!("```text\n{report}\n```")), "{report}");
}

/// C-42: what the example calls a default is the default.
#[test]
fn the_example_writes_down_the_defaults() {
    let example = load(&source(EXAMPLE), &NoVariables).unwrap_or_else(|report| panic!("{report}"));
    let bare = load(&source(BARE), &NoVariables).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(in_words(&example.config), in_words(&bare.config));
}
