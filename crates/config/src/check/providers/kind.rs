//! `kind` and the keys that belong to it: which vendor, where, and which of its people are ours.
//!
//! The kind is read first; then it is known which keys it has. A list that says who may enter is never
//! empty and never half understood: what cannot be read keeps the configuration from being used.

mod lookups;

use lychgate_oidc::kind::{
    Directory, GroupNames, GroupsFrom, Kind, KindSettings, Preset, google::DIRECTORY_SCOPES,
};
use lychgate_oidc::{ServiceAccount, discovery};
use url::Url;

use super::in_plain_text;
use crate::code::Code;
use crate::context::Text;
use crate::file::Place;
use crate::grammar::{ENDPOINTS, PROVIDER, PROVIDER_GROUPS, belongs_to};
use crate::problem::Problem;
use crate::reader::{Reader, alternatives};
use crate::secret::SecretUse;
use crate::tree::Value;

/// What is known of a provider by its kind, and where the operator said which it is.
pub(super) struct KindReading {
    pub(super) kind: Kind,
    pub(super) preset: Preset,
    pub(super) place: Place,
}

/// Reads `kind` and its keys. `None`: it was said why.
pub(super) fn read(reader: &Reader<'_>, name: &str) -> Option<KindReading> {
    let kind = kind(reader)?;
    let mut complete = refuse_keys_of_others(reader, kind);
    for key in kind.needs().iter().chain(&["client_id"]) {
        if reader.lacks(key) {
            complete = false;
            let message = match *key {
                "issuer" | "client_id" => format!("provider `{name}` has no `{key}`"),
                _ => {
                    format!("provider `{name}` is of kind \"{}\" and has no `{key}`", kind.as_str())
                }
            };
            reader.context.add(reader.missing(message));
        }
    }
    let settings = settings(reader, kind, name);
    let place = reader
        .entry(if kind.keys().contains(&"issuer") { "issuer" } else { "kind" })
        .or_else(|| reader.entry("kind"))
        .map_or_else(|| reader.place.clone(), |entry| entry.node.place.clone());
    let preset = kind.preset(&settings?);
    let needed = kind.needs().iter().all(|key| reader.has(key));
    (complete && needed).then_some(KindReading { kind, preset, place })
}

/// Whether endpoints are listed in the place of metadata, and not known or asked for by the kind.
pub(super) fn may_list_endpoints(reader: &Reader<'_>) -> bool {
    let kind = reader.entry("kind").map(|entry| match &entry.node.value {
        Value::Text(text) => text.parse().ok(),
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_)
        | Value::Table(_) => None,
    });
    kind.unwrap_or(Some(Kind::Oidc))
        .is_some_and(|kind: Kind| kind != Kind::OAuth2 && kind.keys().contains(&"issuer"))
}

/// The keys that say which of a kind's people may enter.
pub(super) fn keys_that_choose(kind: Kind) -> Vec<&'static str> {
    const CHOOSE: [&str; 11] = [
        "guilds",
        "hosted_domain",
        "memberships",
        "organizations",
        "projects",
        "repositories",
        "teams",
        "tenants",
        "users",
        "workspace",
        "workspaces",
    ];
    let choose = |key: &&str| CHOOSE.contains(key) && kind != Kind::Oidc;
    kind.keys().iter().copied().filter(choose).collect()
}

fn kind(reader: &Reader<'_>) -> Option<Kind> {
    let Some(text) = reader.text("kind") else {
        return (!reader.has("kind")).then_some(Kind::Oidc);
    };
    let kind = text.value.parse().ok();
    if kind.is_none() {
        let known = Kind::ALL.iter().map(|kind| kind.as_str());
        reader.none_of(&text, &reader.name("kind"), known);
    }
    kind
}

/// Says which keys are those of another kind.
fn refuse_keys_of_others(reader: &Reader<'_>, kind: Kind) -> bool {
    let mut known = true;
    for key in PROVIDER.keys {
        let Some(entry) = reader.entry(key) else { continue };
        let with: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| kind.keys().contains(key)).collect();
        if belongs_to(key, kind) {
            continue;
        }
        let is_endpoint = ENDPOINTS.contains(key);
        known = false;
        let message = format!("kind \"{}\" has no key `{key}`", kind.as_str());
        let names: Vec<String> = with.iter().map(|kind| format!("\"{}\"", kind.as_str())).collect();
        let label = match (is_endpoint, reader.has("kind")) {
            (true, _) => {
                "the addresses of this kind are known; another one is `base_url`".to_owned()
            }
            (false, true) => format!("it belongs to kind {}", alternatives(&names)),
            (false, false) => format!("is `kind = {}` missing?", alternatives(&names)),
        };
        reader.context.add(Problem::new(Code::E0102, &entry.key_place, message).label(label));
    }
    known
}

fn settings(reader: &Reader<'_>, kind: Kind, name: &str) -> Option<KindSettings> {
    let has = |key: &str| kind.keys().contains(&key) && reader.has(key);
    let list = |key: &'static str, form: Form| -> Option<Vec<String>> {
        if has(key) { names(reader, key, form) } else { Some(Vec::new()) }
    };
    let address = |key: &'static str| -> Option<Option<String>> {
        if has(key) || (kind == Kind::OAuth2 && reader.has(key)) {
            address(reader, key, name).map(Some)
        } else {
            Some(None)
        }
    };
    // Each is read, whatever is wrong with the others, so that one run finds everything.
    let base_url = address("base_url");
    let issuer = if has("issuer") { issuer(reader, name) } else { Some(String::new()) };
    let tenant = if has("tenant") { tenant(reader) } else { Some(String::new()) };
    let tenants = list("tenants", Form::Tenant);
    let hosted_domain = list("hosted_domain", Form::Domain);
    let organizations = list("organizations", Form::Name);
    let teams = list("teams", Form::Pair);
    let repositories = list("repositories", Form::Pair);
    let users = list("users", Form::Name);
    let workspaces = list("workspaces", Form::Name);
    let workspace = list("workspace", Form::Name);
    let guilds = list("guilds", Form::Name);
    let projects = if has("projects") { projects(reader) } else { Some(Vec::new()) };
    let (directory, groups) = if kind == Kind::Google && has("groups") {
        (directory(reader, base_url.as_ref()?.as_deref()).map(Some), Some(Vec::new()))
    } else {
        (Some(None), list("groups", Form::Words))
    };
    let lookups = if has("lookups") { lookups::read(reader) } else { Some(Vec::new()) };
    let memberships =
        if has("memberships") { lookups::memberships(reader) } else { Some(Vec::new()) };
    let oauth2 = kind == Kind::OAuth2;
    let endpoint = |key: &'static str| if oauth2 { address(key) } else { Some(None) };
    let authorization_endpoint = endpoint("authorization_endpoint");
    let token_endpoint = endpoint("token_endpoint");
    let userinfo_endpoint = endpoint("userinfo_endpoint");
    let pushed_authorization_request_endpoint = endpoint("pushed_authorization_request_endpoint");
    let introspection_endpoint = endpoint("introspection_endpoint");
    let revocation_endpoint = endpoint("revocation_endpoint");
    let team = reader.words("team_id").filter(|_| has("team_id")).map(|text| text.value);
    let groups_from = reader.word(
        "groups_from",
        GroupsFrom::Auto,
        &[("auto", GroupsFrom::Auto), ("graph", GroupsFrom::Graph), ("token", GroupsFrom::Token)],
    );
    let group_names = reader.word(
        "group_names",
        GroupNames::Ids,
        &[
            ("ids", GroupNames::Ids),
            ("names", GroupNames::Names),
            ("on_premises", GroupNames::OnPremises),
        ],
    );
    Some(KindSettings {
        base_url: base_url?,
        issuer: issuer?,
        tenant: tenant?,
        tenants: tenants?,
        hosted_domain: hosted_domain?,
        directory: directory?,
        groups_from,
        group_names,
        organizations: organizations?,
        teams: teams?,
        repositories: repositories?,
        users: users?,
        groups: groups?,
        projects: projects?,
        workspaces: [workspaces?, workspace?].concat(),
        guilds: guilds?,
        lookups: lookups?,
        memberships: memberships?,
        authorization_endpoint: authorization_endpoint?.unwrap_or_default(),
        token_endpoint: token_endpoint?.unwrap_or_default(),
        userinfo_endpoint: userinfo_endpoint?,
        pushed_authorization_request_endpoint: pushed_authorization_request_endpoint?,
        introspection_endpoint: introspection_endpoint?,
        revocation_endpoint: revocation_endpoint?,
        team_id: team.unwrap_or_default(),
    })
}

/// The issuer, exactly as written.
fn issuer(reader: &Reader<'_>, name: &str) -> Option<String> {
    let text = reader.words("issuer")?;
    if reader.has("authorization_endpoint") && super::answer::is_word(&text.value) {
        return Some(text.value);
    }
    reader.context.url(&text, &reader.name("issuer"))?;
    let refuse = |label: String| {
        let message = format!("`{}` is no issuer", reader.name("issuer"));
        reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
    };
    match discovery::url(&text.value) {
        Ok(_) => return Some(text.value),
        Err(lychgate_oidc::DiscoveryError::Insecure { .. }) => {
            in_plain_text(reader.context, &text.place, name);
        }
        // Without an ID token it is a name and nothing is fetched from it; the same form is asked for.
        Err(error) => refuse(error.to_string()),
    }
    None
}

/// An address to which paths are added, or an endpoint: https, or this machine.
fn address(reader: &Reader<'_>, key: &'static str, name: &str) -> Option<String> {
    let (url, text) = reader.url(key)?;
    if url.scheme() != "https" && !super::is_loopback(&url) {
        in_plain_text(reader.context, &text.place, name);
        return None;
    }
    if key == "base_url" && (url.query().is_some() || url.fragment().is_some()) {
        let message = format!("`{}` has more than a host and a path", reader.name(key));
        let problem = Problem::new(Code::E0122, &text.place, message);
        reader.context.add(problem.label("paths are added to its end"));
        return None;
    }
    Some(match key {
        "base_url" => url.as_str().trim_end_matches('/').to_owned(),
        _ => text.value,
    })
}

/// What an entry of a list has to look like.
#[derive(Clone, Copy)]
enum Form {
    /// A domain, in small letters afterwards.
    Domain,
    /// One name.
    Name,
    /// Two names with a slash between.
    Pair,
    /// A tenant's identifier.
    Tenant,
    /// Anything.
    Words,
}

impl Form {
    fn fits(self, text: &str) -> bool {
        let name = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~{}".contains(&byte);
            !text.is_empty() && text.bytes().all(plain) && !text.bytes().all(|byte| byte == b'.')
        };
        match self {
            Self::Domain => name(text) && text.contains('.') && !text.contains(['{', '_', '~']),
            Self::Name => name(text) && !text.contains(['{', '}']),
            Self::Pair => {
                let pair = text.split_once('/');
                pair.is_some_and(|(one, other)| Self::Name.fits(one) && Self::Name.fits(other))
            }
            Self::Tenant => is_tenant(text),
            Self::Words => !text.trim().is_empty(),
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Domain => "write a domain: \"example.com\"",
            Self::Name => "write one name, as it stands in the provider's addresses",
            Self::Pair => "write two names with a slash between: \"owner/name\"",
            Self::Tenant => {
                "write the tenant's identifier: \"11111111-2222-3333-4444-555555555555\""
            }
            Self::Words => "write something",
        }
    }
}

/// The entries of a list that says who may enter; one alone may be a text where `key` is singular.
fn names(reader: &Reader<'_>, key: &'static str, form: Form) -> Option<Vec<String>> {
    let entry = reader.entry(key)?;
    let singular = ["hosted_domain", "workspace"].contains(&key);
    let texts = match &entry.node.value {
        Value::Text(_) if singular => vec![reader.words(key)?],
        Value::List(items) if items.is_empty() => {
            let message = format!("`{}` is empty", reader.name(key));
            let problem = Problem::new(Code::E0122, &entry.node.place, message);
            reader
                .context
                .add(problem.label("this would let in nobody; name somebody, or delete the key"));
            return None;
        }
        Value::Boolean(_)
        | Value::Datetime
        | Value::Float(_)
        | Value::Integer(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Text(_) => {
            let texts = reader.texts(key)?;
            let all = matches!(&entry.node.value, Value::List(items) if items.len() == texts.len());
            all.then_some(texts)?
        }
    };
    let mut good = true;
    for text in &texts {
        if !form.fits(&text.value) {
            good = false;
            cannot_be(reader, key, text, form.help());
        }
    }
    let names = texts.into_iter().map(|text| match form {
        Form::Domain | Form::Tenant => text.value.to_ascii_lowercase(),
        Form::Name | Form::Pair | Form::Words => text.value,
    });
    good.then(|| names.collect())
}

fn cannot_be(reader: &Reader<'_>, key: &str, text: &Text, label: &str) {
    let message = format!("`{}` cannot hold {:?}", reader.name(key), text.value);
    reader.context.add(Problem::new(Code::E0122, &text.place, message).label(label));
}

fn is_tenant(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn tenant(reader: &Reader<'_>) -> Option<String> {
    let text = reader.words("tenant")?;
    let word = ["common", "organizations", "consumers"].contains(&&*text.value);
    if word || is_tenant(&text.value) || Form::Domain.fits(&text.value) {
        return Some(text.value.to_ascii_lowercase());
    }
    let help = "write its identifier, its domain, \"common\", \"organizations\" or \"consumers\"";
    cannot_be(reader, "tenant", &text, help);
    None
}

/// `path=level`; without a level, that of a reporter.
fn projects(reader: &Reader<'_>) -> Option<Vec<(String, u64)>> {
    const REPORTER: u64 = 20;
    let help = "write a path and perhaps a level: \"group/project=30\"";
    let mut projects = Vec::new();
    let texts = names(reader, "projects", Form::Words)?;
    let mut good = true;
    for (value, text) in texts.iter().zip(reader.texts("projects")?) {
        let (path, level) = value
            .split_once('=')
            .map_or((value.as_str(), Some(REPORTER)), |(path, level)| (path, level.parse().ok()));
        let named = path.contains('/') && path.split('/').all(|part| Form::Name.fits(part));
        match level.filter(|_| named) {
            Some(level) => projects.push((path.to_owned(), level)),
            None => {
                good = false;
                cannot_be(reader, "projects", &text, help);
            }
        }
    }
    good.then_some(projects)
}

/// Google's directory.
fn directory(reader: &Reader<'_>, base_url: Option<&str>) -> Option<Directory> {
    let path = reader.name("groups");
    let table = reader.table("groups", &path, &PROVIDER_GROUPS)?;
    let mut complete = true;
    for key in ["service_account", "admin"] {
        if table.lacks(key) {
            complete = false;
            reader.context.add(table.missing(format!("`{}` is missing", table.name(key))));
        }
    }
    let members_of = match table.has("members_of") {
        true => names(&table, "members_of", Form::Words),
        false => Some(Vec::new()),
    };
    let admin = table.words("admin");
    let entry = table.entry("service_account")?;
    let name = table.name("service_account");
    let file = reader.context.secret(&entry.node, &name)?;
    let admin = admin.filter(|_| complete)?;
    let service_account = if reader.context.secrets == SecretUse::Leave {
        None
    } else {
        let token_endpoint = base_url.and_then(|base| Url::parse(&format!("{base}/token")).ok());
        match ServiceAccount::parse(&file, &admin.value, &DIRECTORY_SCOPES, token_endpoint.as_ref())
        {
            Ok(account) => Some(account),
            Err(error) => {
                let message = format!("`{name}` cannot be used");
                let problem = Problem::new(Code::E0303, &entry.node.place, message);
                reader.context.add(problem.label(error.to_string()));
                return None;
            }
        }
    };
    Some(Directory { service_account, members_of: members_of? })
}
