//! What must hold after every story, whatever the story was about.
//!
//! [`Gate`](super::gate::Gate) asks for it when it ends, so that no story can forget to. The numbers are those of the
//! threat model (`docs/reference/advisories.md`):
//!
//! - O1: what an application received had a session, or the path is public by the configuration as this file reads it;
//! - O2: of each header that names a person there is one, and who has no session has no name;
//! - O3: a `Location` leads home, to a place that the configuration names, or to this machine;
//! - O4: each request that an application received is one that the gate wrote down, and none came twice;
//! - O5: nothing that opens something was printed or counted;
//! - O6: the gate is alive, and nothing in it has panicked.
//!
//! Applications that keep what they receive are witnesses: they are known by their address, and asked by the gate
//! whose configuration names it. So are cookies and codes that visitors were given: they are known by the port.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use toml::{Table, Value as Toml};
use url::Url;

/// Shorter texts may occur by chance.
const SECRET_MIN: usize = 16;

/// Whoever cannot be asked for numbers in this time is not alive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Headers that say who somebody is, folded, in the presets that stories use.
const NAMES: [&str; 12] = [
    "xforwardeduser",
    "xforwardedemail",
    "xforwardedgroups",
    "xforwardedpreferredusername",
    "xforwardedsubjecttype",
    "xforwardeddisplayname",
    "xforwardedmail",
    "remoteuser",
    "remotegroups",
    "remoteemail",
    "remotename",
    "xproxyuser",
];

/// The head of a request, as an application received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The header lines in their order.
    pub headers: Vec<(String, String)>,
    /// The connection over which it came, where that is known.
    pub connection: usize,
}

impl Head {
    fn values<'a>(&'a self, folded_name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.iter().filter(move |(name, _)| folded(name) == folded_name);
        lines.map(|(_, value)| value.trim())
    }

    fn request_id(&self) -> Option<&str> {
        self.values("xrequestid").next()
    }

    /// Whether it is a browser's question whether a page of another origin may ask (Fetch §3.2.2).
    fn is_preflight(&self) -> bool {
        let has = |name| self.values(name).next().is_some();
        self.method == "OPTIONS" && has("origin") && has("accesscontrolrequestmethod")
    }
}

/// What an application has received so far.
type Witness = Arc<dyn Fn() -> Vec<Head> + Send + Sync>;

/// What is known of everybody in this process.
#[derive(Default)]
struct Known {
    witnesses: BTreeMap<SocketAddr, Witness>,
    secrets: BTreeMap<u16, BTreeSet<String>>,
    places: BTreeMap<SocketAddr, Arc<Places>>,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An application at this address keeps what it receives.
pub(crate) fn witness(address: SocketAddr, heads: impl Fn() -> Vec<Head> + Send + Sync + 'static) {
    known().witnesses.insert(address, Arc::new(heads));
}

/// The gate at this port gave somebody something that opens something.
pub(crate) fn secret(port: Option<u16>, text: &str) {
    if let Some(port) = port
        && text.len() >= SECRET_MIN
    {
        known().secrets.entry(port).or_default().insert(text.to_owned());
    }
}

/// Where a gate may send a browser.
struct Places {
    home: Url,
    hosts: BTreeSet<String>,
}

/// O3 for somebody who only has the bytes: where a gate at this address leads.
///
/// # Panics
/// When it leads where no configuration says.
pub(crate) fn judge_location(gate: SocketAddr, location: &str) {
    let Some(places) = known().places.get(&gate).cloned() else { return };
    assert!(
        !location.chars().any(|character| character.is_ascii_control()),
        "O3: a Location with control characters: {location:?}"
    );
    let place = places.home.join(location);
    let place = place.unwrap_or_else(|error| panic!("O3: {location:?} is no place: {error}"));
    let host = place.host_str().unwrap_or_default();
    assert!(
        matches!(place.scheme(), "http" | "https") && places.hosts.contains(host),
        "O3: {location:?} leads to {place}, which the configuration does not name"
    );
}

/// What a gate has to be judged by.
#[derive(Debug)]
pub(crate) struct Judge {
    configuration: Table,
    /// Routes that a later configuration has, and opens to everybody.
    opened_later: Mutex<Vec<String>>,
    admin: SocketAddr,
    port: Option<u16>,
    /// The gate wrote down every request where its story can read it.
    has_lines: bool,
}

impl Judge {
    /// The judge of a gate with this configuration, whose first listener and own port are there.
    pub(crate) fn of(
        configuration: Table,
        home: &str,
        address: Option<SocketAddr>,
        admin: SocketAddr,
    ) -> Self {
        if let (Some(address), Ok(home)) = (address, Url::parse(home)) {
            let mut hosts = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
            for text in texts(&configuration) {
                hosts.extend(
                    Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned)),
                );
            }
            known().places.insert(address, Arc::new(Places { home, hosts }));
        }
        let telemetry = configuration.get("telemetry").and_then(Toml::as_table);
        let has_lines = telemetry.is_none_or(|telemetry| !telemetry.contains_key("access"));
        let port = address.map(|address| address.port());
        Self { configuration, opened_later: Mutex::default(), admin, port, has_lines }
    }

    /// The ids of requests that applications received and of which these lines know nothing.
    pub(crate) fn unheard(&self, lines: &[Value]) -> Vec<String> {
        if !self.has_lines {
            return Vec::new();
        }
        let written: BTreeSet<&str> =
            access_lines(lines).filter_map(|line| line["request_id"].as_str()).collect();
        let ids = self.heads().into_iter().filter_map(|head| head.request_id().map(str::to_owned));
        ids.filter(|id| !written.contains(id.as_str())).collect()
    }

    fn heads(&self) -> Vec<Head> {
        let upstreams = texts(&self.configuration);
        let addresses = upstreams.filter_map(|text| text.split("://").nth(1)?.parse().ok());
        let addresses: BTreeSet<SocketAddr> = addresses.collect();
        // Asked without the lock: whoever answers may take as long as they like.
        let witnesses: Vec<Witness> = {
            let known = known();
            addresses.iter().filter_map(|at| known.witnesses.get(at).cloned()).collect()
        };
        witnesses.iter().flat_map(|witness| witness()).collect()
    }

    /// O6, and O5 for the numbers: it answers at its own port, and tells nothing that it should not.
    ///
    /// # Panics
    /// When it is dead or talks.
    pub(crate) fn is_alive(&self) {
        let mut answer = String::new();
        let asked = TcpStream::connect(self.admin).and_then(|mut line| {
            line.set_read_timeout(Some(PATIENCE))?;
            line.write_all(b"GET /metrics HTTP/1.0\r\nConnection: close\r\n\r\n")?;
            line.read_to_string(&mut answer)
        });
        assert!(
            asked.is_ok() && answer.starts_with("HTTP/1."),
            "O6: the gate is dead or deaf at the end of the story: {asked:?} {answer}"
        );
        self.tells_nothing("its numbers", &answer);
    }

    /// Everything that it has printed, and every request that it let through.
    ///
    /// # Panics
    /// When something does not hold that always must.
    pub(crate) fn judge(&self, output: &str, lines: &[Value]) {
        assert!(!output.contains("panicked at"), "O6: something has panicked\n{output}");
        self.tells_nothing("what it printed", output);
        if self.has_lines {
            self.requests_are_accounted_for(lines);
        }
    }

    fn tells_nothing(&self, place: &str, text: &str) {
        let mut secrets = self.port.and_then(|port| known().secrets.get(&port).cloned());
        let secrets = secrets.get_or_insert_default();
        inline_secrets(&self.configuration, secrets);
        for secret in secrets.iter() {
            assert!(!text.contains(secret.as_str()), "O5: {secret} is in {place}:\n{text}");
        }
    }

    fn requests_are_accounted_for(&self, lines: &[Value]) {
        let lines: BTreeMap<&str, &Value> = access_lines(lines)
            .filter_map(|line| line["request_id"].as_str().map(|id| (id, line)))
            .collect();
        let (mut seen, mut people) = (BTreeMap::new(), BTreeMap::new());
        for head in self.heads() {
            let ids: Vec<&str> = head.values("xrequestid").collect();
            let [id] = ids[..] else {
                panic!("O4: a request that the gate did not write: {head:?}");
            };
            if let Some(before) = seen.insert(id.to_owned(), head.connection) {
                let repeatable = matches!(
                    head.method.as_str(),
                    "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "PROPFIND"
                );
                assert!(
                    repeatable && before != head.connection,
                    "O4: one request, and two at the application: {head:?}"
                );
            }
            // Whoever was cut off with the gate has no line.
            let Some(line) = lines.get(id) else { continue };
            self.was_let_in(&head, line);
            let route = line["route"].as_str().unwrap_or_default();
            let person: Vec<String> = NAMES
                .iter()
                .flat_map(|name| {
                    let values: Vec<&str> = head.values(name).collect();
                    assert!(values.len() <= 1, "O2: {name} came twice: {head:?}");
                    values.into_iter().map(|value| format!("{name}: {value}")).collect::<Vec<_>>()
                })
                .collect();
            match line["session"].as_str() {
                // A token may say whose it is on a public path, too.
                None if self.takes_tokens(route) => {}
                None => assert!(
                    person.iter().all(|line| line.ends_with(": ")),
                    "O2: somebody without a session has a name: {head:?}"
                ),
                Some(session) => {
                    // A session is one person's: who has its name in one request has it in all.
                    let user = person.into_iter().find(|line| line.contains("user: "));
                    let before = people.entry(session.to_owned()).or_insert_with(|| user.clone());
                    assert!(
                        user.is_none() || before.is_none() || *before == user,
                        "O2: one session, and two people: {before:?} and {head:?}"
                    );
                }
            }
        }
    }

    /// Hears of a route that a later configuration opens to everybody.
    pub(super) fn also_opens(&self, route: &str) {
        let mut later = self.opened_later.lock().unwrap_or_else(PoisonError::into_inner);
        later.push(route.to_owned());
    }

    /// O1, by the gate's own word and by the configuration.
    fn was_let_in(&self, head: &Head, line: &Value) {
        let decision = line["decision"].as_str().unwrap_or_default();
        assert!(
            matches!(decision, "allow" | "public"),
            "O1: {decision:?}, and an application has it: {head:?}\n{line}"
        );
        if line["session"].is_string() {
            return;
        }
        let route = line["route"].as_str().unwrap_or_default();
        if decision == "allow" && self.takes_tokens(route) {
            return;
        }
        if self.passes_preflights(route) && head.is_preflight() {
            return;
        }
        let asked = line["path"].as_str().unwrap_or_default();
        assert!(
            self.public_paths(route).iter().any(|pattern| fits(pattern, asked)),
            "O1: nobody is signed in, and {asked} of route {route} is not public: {head:?}\n{line}"
        );
    }

    fn route(&self, route: &str) -> Option<&Table> {
        self.configuration.get("routes")?.get(route)?.as_table()
    }

    /// Whether somebody may come without a session, with a token. Whose it was the application's own story asks: it is
    /// taken out on the way.
    fn takes_tokens(&self, route: &str) -> bool {
        self.route(route).is_some_and(|route| route.contains_key("bearer"))
    }

    /// Whether the application answers preflights itself.
    fn passes_preflights(&self, route: &str) -> bool {
        let cors = self.route(route).and_then(|route| route.get("cors"));
        cors.and_then(Toml::as_str) == Some("pass")
    }

    /// What the configuration opens to everybody, as whoever reads it understands it.
    fn public_paths(&self, route: &str) -> Vec<String> {
        let later = self.opened_later.lock().unwrap_or_else(PoisonError::into_inner);
        if later.iter().any(|opened| opened == route) {
            return vec!["/**".to_owned()];
        }
        let Some(route) = self.route(route) else { return Vec::new() };
        let opens = |table: &Table| {
            let says = |value: &Toml| value.as_str() == Some("public");
            table.get("public").and_then(Toml::as_bool) == Some(true)
                || table.get("policy").is_some_and(says)
                || table
                    .get("allow")
                    .and_then(Toml::as_array)
                    .is_some_and(|all| all.iter().any(says))
        };
        let rules = route.get("rules").and_then(Toml::as_array).into_iter().flatten();
        let mut paths: Vec<String> = rules
            .filter_map(Toml::as_table)
            .filter(|rule| opens(rule))
            .map(|rule| rule.get("path").and_then(Toml::as_str).unwrap_or("/**").to_owned())
            .collect();
        if opens(route) {
            paths.push("/**".to_owned());
        }
        paths
    }
}

/// Whether a path is one of a pattern, where `*` is one segment and `**` at the end is everything below.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

/// The heads in what came over one connection, as far as HTTP/1.1 was spoken there.
pub(crate) fn heads(connection: usize, mut bytes: &[u8]) -> Vec<Head> {
    let mut heads = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let request: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1"] = request[..] else { break };
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let path = target.split('?').next().unwrap_or_default();
        let head = Head { method: method.to_owned(), path: path.to_owned(), headers, connection };
        let length = head.values("contentlength").next().map_or(Ok(0), str::parse::<usize>);
        let (chunked, switches) = (
            head.values("transferencoding").next().is_some(),
            head.values("upgrade").next().is_some(),
        );
        heads.push(head);
        let body = &bytes[end + 4..];
        let rest = match (chunked, length) {
            // What is spoken behind a switch is another language.
            _ if switches => None,
            (true, _) => find(body, b"0\r\n\r\n").map(|at| at + 5),
            (false, Ok(length)) => Some(length),
            (false, Err(_)) => None,
        };
        match rest.and_then(|length| body.get(length..)) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    heads
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// One line for each request.
fn access_lines(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["status"].is_u64() && line["decision"].is_string())
}

fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Every text of a configuration.
fn texts(table: &Table) -> impl Iterator<Item = &str> {
    fn all<'a>(value: &'a Toml, found: &mut Vec<&'a str>) {
        match value {
            Toml::String(text) => found.push(text),
            Toml::Array(values) => values.iter().for_each(|value| all(value, found)),
            Toml::Table(table) => table.values().for_each(|value| all(value, found)),
            Toml::Integer(_) | Toml::Float(_) | Toml::Boolean(_) | Toml::Datetime(_) => {}
        }
    }
    let mut found = Vec::new();
    table.values().for_each(|value| all(value, &mut found));
    found.into_iter()
}

/// The secrets that a story wrote into its configuration.
fn inline_secrets(table: &Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            Toml::Table(inner) => inline_secrets(inner, found),
            Toml::String(text) if key == "client_secret" && text.len() >= SECRET_MIN => {
                found.insert(text.clone());
            }
            Toml::Array(keys) if key == "keys" => {
                found.extend(keys.iter().filter_map(Toml::as_str).map(str::to_owned));
            }
            Toml::String(_)
            | Toml::Array(_)
            | Toml::Integer(_)
            | Toml::Float(_)
            | Toml::Boolean(_)
            | Toml::Datetime(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADMIN: &str = "127.0.0.1:1";

    /// A judge of a gate whose only application received this.
    fn judge(at: &str, received: &'static str) -> Judge {
        let address: SocketAddr = at.parse().expect("an address");
        witness(address, move || heads(0, received.as_bytes()));
        let configuration = format!(
            "[providers.demo]\nclient_secret = \"0123456789abcdef\"\n[routes.app]\nupstream = \"http://{at}\"\n\
             [[routes.app.rules]]\npath = \"/public/**\"\npublic = true"
        );
        let configuration = configuration.parse().expect("a configuration");
        Judge::of(configuration, "http://app.localhost", None, ADMIN.parse().expect("an address"))
    }

    fn line(id: &str, path: &str, decision: &str, session: Option<&str>) -> Value {
        json!({"request_id": id, "path": path, "route": "app", "decision": decision, "session": session, "status": 200})
    }

    fn complaint(judge: &Judge, output: &str, lines: &[Value]) -> String {
        let judged =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge.judge(output, lines)));
        let Err(complaint) = judged else { return String::new() };
        complaint.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn what_always_holds_is_missed_when_it_does_not() {
        let one = judge(
            "127.0.0.1:2",
            "GET /admin HTTP/1.1\r\nx-request-id: 1\r\nx-forwarded-user: bob\r\n\r\n",
        );
        let twice = judge(
            "127.0.0.1:3",
            "POST /public/a HTTP/1.1\r\nx-request-id: 1\r\ncontent-length: 1\r\n\r\nxPOST /public/a HTTP/1.1\r\nx-request-id: 1\r\n\r\n",
        );
        let aliases = judge(
            "127.0.0.1:4",
            "GET /a HTTP/1.1\r\nx-request-id: 1\r\nx-forwarded-user: bob\r\nX_Forwarded_User: root\r\n\r\n",
        );
        let stranger = judge("127.0.0.1:5", "GET /public/x HTTP/1.1\r\n\r\n");
        let changes = judge(
            "127.0.0.1:6",
            "GET /a HTTP/1.1\r\nx-request-id: 1\r\nx-forwarded-user: bob\r\n\r\nGET /a HTTP/1.1\r\nx-request-id: 2\r\nx-forwarded-user: eve\r\n\r\n",
        );
        let session = Some("s");
        for (judge, lines, complains) in [
            (&one, vec![line("1", "/admin", "allow", session)], ""),
            (&one, vec![line("1", "/admin", "deny", session)], "O1"),
            (&one, vec![line("1", "/admin", "public", None)], "O1"),
            (&one, vec![line("1", "/public/x", "public", None)], "O2"),
            (&twice, vec![line("1", "/public/a", "public", None)], "O4"),
            (&aliases, vec![line("1", "/a", "allow", session)], "O2"),
            (&stranger, vec![], "O4"),
            (
                &changes,
                vec![line("1", "/a", "allow", session), line("2", "/a", "allow", session)],
                "O2",
            ),
        ] {
            let complaint = complaint(judge, "", &lines);
            assert!(complaint.starts_with(complains), "{complains}: {complaint}");
            assert_eq!(complaint.is_empty(), complains.is_empty(), "{complaint}");
        }
        assert!(complaint(&one, "x 0123456789abcdef y", &[]).starts_with("O5"));
        assert!(complaint(&one, "thread panicked at x", &[]).starts_with("O6"));
        assert_eq!(one.unheard(&[]), ["1"]);
    }

    /// Where tokens are taken, or preflights passed, nobody has a session; everywhere else somebody must.
    #[test]
    fn who_needs_no_session_is_told_by_the_route() {
        let received = "OPTIONS /api HTTP/1.1\r\nx-request-id: 1\r\norigin: https://spa.test\r\n\
                        access-control-request-method: PUT\r\n\r\n\
                        GET /api HTTP/1.1\r\nx-request-id: 2\r\nx-forwarded-user: eve\r\n\r\n";
        let at: SocketAddr = "127.0.0.1:8".parse().expect("an address");
        witness(at, move || heads(0, received.as_bytes()));
        for (route, preflight, request, complains) in [
            ("bearer = {}\ncors = \"pass\"", "public", "allow", ""),
            ("bearer = {}", "public", "allow", "O1"),
            ("cors = \"pass\"", "public", "allow", "O1"),
            ("bearer = {}\ncors = \"pass\"", "public", "public", "O1"),
            ("bearer = {}\ncors = \"pass\"", "login", "allow", "O1"),
        ] {
            let configuration = format!("[routes.app]\nupstream = \"http://{at}\"\n{route}");
            let configuration = configuration.parse().expect("a configuration");
            let admin = ADMIN.parse().expect("an address");
            let judge = Judge::of(configuration, "http://app.localhost", None, admin);
            let lines = [line("1", "/api", preflight, None), line("2", "/api", request, None)];
            let complaint = complaint(&judge, "", &lines);
            assert!(complaint.starts_with(complains), "{route}: {complaint}");
            assert_eq!(complaint.is_empty(), complains.is_empty(), "{route}: {complaint}");
        }
    }

    #[test]
    #[should_panic(expected = "O3")]
    fn a_location_that_nobody_named_is_missed() {
        let address = "127.0.0.1:7".parse().expect("an address");
        let configuration = "[routes.app]\nurl = \"http://app.localhost\"".parse().expect("TOML");
        let _judge = Judge::of(configuration, "http://app.localhost", Some(address), address);
        judge_location(address, "/here");
        judge_location(address, "/\\evil.test");
    }
}
