//! `[networks]`, `[policies.NAME]`, and the lists `allow` and `deny` wherever they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use lychgate_gateway::policy::{Condition, Entry, Policy};

use super::listeners::network;
use crate::code::Code;
use crate::context::{Context, Text};
use crate::file::Place;
use crate::grammar::{ENTRY, POLICY, nearest};
use crate::print;
use crate::problem::Problem;
use crate::reader::{Reader, alternatives, named};
use crate::tree::{self, Node, Value};

/// What entries may refer to.
pub(super) struct Names {
    pub(super) networks: BTreeMap<String, Vec<IpNet>>,
    pub(super) providers: Vec<String>,
}

/// A policy, and what has to be known about it where it is used.
#[derive(Clone)]
pub(super) struct People {
    pub(super) policy: Arc<Policy>,
    /// The entries of `allow` that let in whoever has an account.
    pub(super) everybody: Vec<Everybody>,
    /// What entries of `allow` ask for that each provider says in its own words, without saying which provider.
    pub(super) bare: Vec<Bare>,
}

/// Something that is asked for without saying at which provider.
#[derive(Clone)]
pub(super) struct Bare {
    pub(super) place: Place,
    /// In words: `the group "sre"`.
    pub(super) words: String,
    /// As a key of an entry: `groups = ["sre"]`.
    pub(super) key: String,
}

impl Bare {
    /// What in a condition may be about somebody else at another provider. An address is the same person's everywhere,
    /// and counts where it was verified; the other conditions say nothing about people, or say where.
    fn of(condition: &Condition, place: &Place) -> Vec<Self> {
        let bare = |words, key| Self { place: place.clone(), words, key };
        let each = |what: &str, key: &str, values: &[String]| {
            let one = |value| bare(format!("the {what} {value:?}"), format!("{key} = [{value:?}]"));
            values.iter().map(one).collect()
        };
        match condition {
            Condition::Claim { name, values } => {
                let claims =
                    values.iter().map(|value| format!("{} = [{value:?}]", print::key(name)));
                let one =
                    |claim| bare(format!("the claim {claim}"), format!("claims = {{ {claim} }}"));
                claims.map(one).collect()
            }
            Condition::Group(names) => each("group", "groups", names),
            Condition::User(names) => each("user", "users", names),
            Condition::Authenticated
            | Condition::Domain(_)
            | Condition::Email(_)
            | Condition::Network(_)
            | Condition::Provider(_) => Vec::new(),
        }
    }
}

/// An entry that lets in whoever has an account, and did not say that it means to.
#[derive(Clone)]
pub(super) struct Everybody {
    pub(super) place: Place,
    /// At one of these providers; at any, when absent.
    pub(super) providers: Option<Vec<String>>,
}

pub(super) fn networks(top: &Reader<'_>) -> BTreeMap<String, Vec<IpNet>> {
    let mut networks = BTreeMap::new();
    for entry in named(top.context, top.entry("networks")) {
        let name = format!("networks.{}", entry.key);
        let texts = top.context.texts(&entry.node, &name).unwrap_or_default();
        let ranges = texts.iter().filter_map(|text| network(top.context, text, &name));
        networks.insert(entry.key.clone(), ranges.collect());
    }
    networks
}

/// The named policies.
pub(super) fn read(top: &Reader<'_>, names: &Names) -> BTreeMap<String, People> {
    let mut policies = BTreeMap::new();
    for entry in named(top.context, top.entry("policies")) {
        let path = format!("policies.{}", entry.key);
        let Some(reader) = top.context.read(&entry.node, &entry.key_place, &path, &POLICY) else {
            continue;
        };
        if reader.lacks("allow") {
            let problem = reader.missing(format!("policy `{}` has no `allow`", entry.key));
            top.context
                .add(problem.help("allow = [\"authenticated\"] lets in every signed-in user"));
        }
        let mut people = lists(&reader, names);
        let policy = Arc::make_mut(&mut people.policy);
        policy.name = Some(entry.key.clone());
        policy.explain = reader.words("explain").map(|text| text.value);
        policy.help = reader.url("help").map(|(url, _)| url);
        policies.insert(entry.key.clone(), people);
    }
    policies
}

/// `allow` and `deny` of a table.
pub(super) fn lists(reader: &Reader<'_>, names: &Names) -> People {
    let mut everybody = Vec::new();
    let mut bare = Vec::new();
    let mut is_meant = false;
    let mut allow = Vec::new();
    for item in items(reader, "allow") {
        is_meant |= matches!(&item.value, Value::Text(text) if text == ANYONE);
        let Some(entry) = Reading { reader, names, key: "allow" }.entry(item) else { continue };
        if let [Condition::Authenticated] = entry.conditions.as_slice() {
            everybody.push(Everybody { place: item.place.clone(), providers: None });
        } else if let [Condition::Provider(providers)] = entry.conditions.as_slice() {
            let providers = Some(providers.clone());
            everybody.push(Everybody { place: item.place.clone(), providers });
        }
        let says_where =
            entry.conditions.iter().any(|condition| matches!(condition, Condition::Provider(_)));
        let conditions = entry.conditions.iter().filter(|_| !says_where);
        bare.extend(conditions.flat_map(|condition| Bare::of(condition, &item.place)));
        allow.push(entry);
    }
    if is_meant {
        everybody.clear();
    }
    let mut deny = Vec::new();
    for item in items(reader, "deny") {
        let Some(entry) = Reading { reader, names, key: "deny" }.entry(item) else { continue };
        warn_of_absence(reader.context, &entry, &item.place);
        deny.push(entry);
    }
    let policy = Policy { name: None, allow, deny, explain: None, help: None };
    People { policy: Arc::new(policy), everybody, bare }
}

/// A person without the attribute is not denied: that may not be what was meant (C-73).
fn warn_of_absence(context: &Context<'_>, entry: &Entry, place: &Place) {
    let attribute = entry.conditions.iter().find_map(|condition| match condition {
        Condition::Claim { name, .. } => Some(format!("claim `{name}`")),
        Condition::Domain(_) | Condition::Email(_) => Some("verified e-mail address".to_owned()),
        Condition::Authenticated
        | Condition::Group(_)
        | Condition::Network(_)
        | Condition::Provider(_)
        | Condition::User(_) => None,
    });
    if let Some(attribute) = attribute {
        context.add(
            Problem::new(Code::W0231, place, "this denial does not reach everybody")
                .label(format!("people without a {attribute} are not denied"))
                .help("say in `allow` what people must have; whoever lacks it then stays outside"),
        );
    }
}

fn items<'a>(reader: &Reader<'a>, key: &str) -> &'a [Node] {
    let Some(entry) = reader.entry(key) else { return &[] };
    let name = reader.name(key);
    let Value::List(items) = &entry.node.value else {
        let problem = reader.context.wrong_type(&entry.node, &name, "a list");
        reader.context.add(match &entry.node.value {
            Value::Text(text) => problem.help(format!("write [{text:?}]")),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_)
            | Value::Table(_) => problem,
        });
        return &[];
    };
    if items.is_empty() {
        reader.context.add(
            Problem::new(Code::E0203, &entry.node.place, format!("`{name}` is empty"))
                .label("an empty list is about nobody"),
        );
    }
    items
}

const ANYONE: &str = "anyone-with-an-account";
const WORDS: &[&str] = &["authenticated", ANYONE];
const PREFIXES: &[&str] = &["group", "email", "domain", "user", "claim", "network", "provider"];

struct Reading<'a> {
    reader: &'a Reader<'a>,
    names: &'a Names,
    key: &'static str,
}

impl Reading<'_> {
    fn entry(&self, item: &Node) -> Option<Entry> {
        let name = self.reader.name(self.key);
        match &item.value {
            Value::Text(_) => {
                let text = self.reader.context.text(item, &name)?;
                Some(Entry { conditions: vec![self.sugar(&text)?] })
            }
            Value::Table(table) if table.0.is_empty() => {
                self.fail(&item.place, format!("an entry of `{name}` is empty"))(
                    "it would be about everybody",
                );
                None
            }
            Value::Table(_) => self.table(item, &name),
            Value::Boolean(_)
            | Value::Datetime
            | Value::Float(_)
            | Value::Integer(_)
            | Value::List(_) => {
                self.reader.context.add(self.reader.context.wrong_type(
                    item,
                    &name,
                    "a list of texts and tables",
                ));
                None
            }
        }
    }

    fn fail<'s>(&'s self, place: &'s Place, message: String) -> impl Fn(&str) + 's {
        move |label| {
            self.reader.context.add(Problem::new(Code::E0203, place, message.clone()).label(label));
        }
    }

    /// A short text (C-74).
    fn sugar(&self, text: &Text) -> Option<Condition> {
        if WORDS.contains(&text.value.as_str()) {
            return Some(Condition::Authenticated);
        }
        let fail = self.fail(&text.place, format!("{:?} says nothing about people", text.value));
        let Some((prefix, value)) = text.value.split_once(':') else {
            match nearest(&text.value, WORDS.iter().copied()) {
                Some(near) => fail(&format!("did you mean \"{near}\"?")),
                None => fail(&format!("did you mean \"group:{}\"?", text.value)),
            }
            return None;
        };
        let value = Text { value: value.trim().to_owned(), place: text.place.clone() };
        if value.value.is_empty() {
            fail("something has to follow the colon");
            return None;
        }
        match prefix {
            "group" => Some(Condition::Group(vec![value.value])),
            "email" => self.email(&value).map(|email| Condition::Email(vec![email])),
            "domain" => self.domain(&value).map(|domain| Condition::Domain(vec![domain])),
            "user" => Some(Condition::User(vec![value.value])),
            "network" => self.network(&value).map(Condition::Network),
            "provider" => self.provider(value).map(|provider| Condition::Provider(vec![provider])),
            "claim" => match value.value.split_once('=') {
                Some((name, wanted)) if !name.trim().is_empty() && !wanted.is_empty() => {
                    Some(Condition::Claim {
                        name: name.trim().to_owned(),
                        values: vec![wanted.to_owned()],
                    })
                }
                _ => {
                    fail("write \"claim:NAME=VALUE\"");
                    None
                }
            },
            unknown => {
                match nearest(unknown, PREFIXES.iter().copied()) {
                    Some(near) => fail(&format!("did you mean \"{near}:{}\"?", value.value)),
                    None => {
                        let known: Vec<String> =
                            PREFIXES.iter().map(|prefix| format!("`{prefix}:`")).collect();
                        fail(&format!("begin with {}", alternatives(&known)));
                    }
                }
                None
            }
        }
    }

    /// Conditions that must all hold, each with values of which one must.
    fn table(&self, item: &Node, name: &str) -> Option<Entry> {
        let entry = self.reader.context.read(item, &item.place, name, &ENTRY)?;
        let mut conditions = Vec::new();
        let mut values = |key: &str, condition: &dyn Fn(Vec<Text>) -> Option<Condition>| {
            let Some(found) = entry.entry(key) else { return };
            let texts = self.values(&found.node, &entry.name(key));
            conditions.extend(texts.and_then(condition));
        };
        let plain = |texts: Vec<Text>| texts.into_iter().map(|text| text.value).collect::<Vec<_>>();
        // A value that cannot be read was said; without it the rest is not the entry that was meant.
        let each = |texts: &[Text],
                    read: &dyn Fn(&Text) -> Option<String>|
         -> Option<Vec<String>> { texts.iter().map(read).collect() };
        values("groups", &|texts| Some(Condition::Group(plain(texts))));
        values("emails", &|texts| each(&texts, &|text| self.email(text)).map(Condition::Email));
        values("domains", &|texts| each(&texts, &|text| self.domain(text)).map(Condition::Domain));
        values("users", &|texts| Some(Condition::User(plain(texts))));
        values("providers", &|texts| {
            each(&texts, &|text| self.provider(text.clone())).map(Condition::Provider)
        });
        values("networks", &|texts| {
            let networks: Option<Vec<Vec<IpNet>>> =
                texts.iter().map(|text| self.network(text)).collect();
            Some(Condition::Network(networks?.concat()))
        });
        if let Some(claims) = entry.entry("claims")
            && entry.free_table("claims").is_empty()
        {
            let message = format!("`{name}.claims` names no claim");
            self.fail(&claims.node.place, message)("write for example { amr = [\"hwk\"] }");
        }
        for tree::Entry { key, node, .. } in entry.free_table("claims") {
            let texts = self.values(node, &format!("{name}.claims.{key}"));
            conditions.extend(
                texts.map(|texts| Condition::Claim { name: key.clone(), values: plain(texts) }),
            );
        }
        // Without a condition the entry would be about everybody.
        (!conditions.is_empty()).then_some(Entry { conditions })
    }

    fn values(&self, node: &Node, name: &str) -> Option<Vec<Text>> {
        let texts = self.reader.context.texts(node, name)?;
        let Some(empty) = texts.iter().find(|text| text.value.is_empty()) else {
            if texts.is_empty() {
                self.fail(&node.place, format!("`{name}` is empty"))(
                    "an empty list is about nobody",
                );
                return None;
            }
            return Some(texts);
        };
        self.fail(&empty.place, format!("`{name}` holds an empty text"))("nobody has this");
        None
    }

    fn email(&self, text: &Text) -> Option<String> {
        let parts = text.value.split_once('@');
        let usable = parts.is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.is_empty()
                && !domain.contains('@')
                && !text.value.contains('*')
        });
        if !usable {
            let fail = self.fail(&text.place, format!("{:?} is no e-mail address", text.value));
            match text.value.strip_prefix("*@").or_else(|| text.value.strip_prefix('@')) {
                Some(domain) => fail(&format!("did you mean \"domain:{domain}\"?")),
                None => fail("write for example \"ada@example.com\""),
            }
            return None;
        }
        Some(text.value.clone())
    }

    fn domain(&self, text: &Text) -> Option<String> {
        let domain = text.value.to_ascii_lowercase();
        let bare = domain.trim_start_matches(['@', '*', '.']);
        if bare != domain || domain.contains(['@', '*', '/', ' ']) || domain.is_empty() {
            let fail = self.fail(&text.place, format!("{:?} is no domain", text.value));
            fail(&format!("write \"{bare}\"; domains below it are listed on their own"));
            return None;
        }
        Some(domain)
    }

    fn provider(&self, text: Text) -> Option<String> {
        let known = &self.names.providers;
        if known.contains(&text.value) {
            return Some(text.value);
        }
        unknown_name(self.reader.context, &text, "provider", known.iter().map(String::as_str));
        None
    }

    fn network(&self, text: &Text) -> Option<Vec<IpNet>> {
        if let Some(networks) = self.names.networks.get(&text.value) {
            return Some(networks.clone());
        }
        if text.value.contains(['.', ':', '/']) {
            return network(self.reader.context, text, &self.reader.name(self.key))
                .map(|network| vec![network]);
        }
        unknown_name(
            self.reader.context,
            text,
            "network",
            self.names.networks.keys().map(String::as_str),
        );
        None
    }
}

/// Says that a name refers to nothing.
pub(super) fn unknown_name<'n>(
    context: &Context<'_>,
    text: &Text,
    what: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) {
    let label = match (nearest(&text.value, known.clone()), known.count()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, 0) => format!("no {what} is defined"),
        (None, _) => "this name is not defined".to_owned(),
    };
    let message = format!("no {what} is called `{}`", text.value);
    context.add(Problem::new(Code::E0130, &text.place, message).label(label));
}
