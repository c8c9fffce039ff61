//! Applications that know nothing of OpenID Connect, behind the gate as in the wild: one that
//! programs use and one that browsers use.

use http::Method;
use lychgate_tests::cast::apps::Application;
use lychgate_tests::cast::browser::{Complaint, Outcome, Page};
use lychgate_tests::cast::certified_provider::{CertifiedProvider, ProviderSetup};
use lychgate_tests::cast::gate::{Gate, free_port};
use lychgate_tests::cast::house::SESSION_KEY;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use serde_json::Value;

use crate::town::{sign_in, tell};

/// Radicale behind a gate. It believes `X-Remote-User`.
struct Calendars {
    provider: CertifiedProvider,
    site: String,
    _gate: Gate,
    _radicale: Application,
}

impl Calendars {
    async fn open() -> Self {
        let setup = ProviderSetup::default();
        let (provider, radicale) =
            tokio::join!(CertifiedProvider::start(&setup), Application::radicale());
        let (port, admin) = (free_port(), free_port());
        let site = format!("http://dav.localhost:{port}");
        let callback = format!("{site}/.lychgate/callback");
        provider.accept_returns_to(&[&callback], &[]).await;
        let client = provider.client("rs256");
        let gate = Gate::start(&format!(
            r#"
[listeners.main]
address = "127.0.0.1:{port}"

[admin]
address = "127.0.0.1:{admin}"

[sessions]
keys = ["{SESSION_KEY}"]

[providers.corp]
issuer        = "{issuer}"
client_id     = "{id}"
client_secret = "{secret}"

[routes.dav]
url      = "{site}"
upstream = "{radicale}"
allow    = ["authenticated"]
headers.request = {{ "X-Remote-User" = "{{user}}" }}
"#,
            issuer = provider.issuer(),
            id = client.id,
            secret = client.secret,
            radicale = radicale.url(),
        ))
        .await;
        Self { provider, site, _gate: gate, _radicale: radicale }
    }

    async fn sign_in(&self, user: &str) -> Visitor {
        self.provider.current_user(user).await;
        let visitor = Visitor::of(&self.site, &[self.provider.issuer()]);
        let answer = visitor.opens("/").await;
        visitor.follows(answer).await;
        assert!(visitor.has_session(), "{user} signs in");
        visitor
    }
}

/// RFC 4918 and RFC 4791, section 5.3.1: methods and bodies that browsers do not use.
async fn dav(
    visitor: &Visitor,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method's name");
    visitor.sends(method, path, headers, body.to_owned().into_bytes()).await
}

/// Who Radicale takes somebody for (RFC 5397).
async fn principal(visitor: &Visitor, headers: &[(&str, &str)]) -> String {
    let question = r#"<propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>"#;
    let answer =
        dav(visitor, "PROPFIND", "/", &[&[("depth", "0")], headers].concat(), question).await;
    assert_eq!(answer.status, 207, "{}", answer.text());
    let text = answer.text();
    let principal = text.split("current-user-principal>").nth(1).unwrap_or_default();
    principal.trim_start_matches("<href>").split('<').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_calendar_server_takes_people_for_whom_the_gate_names_and_for_nobody_else() {
    let calendars = Calendars::open().await;
    let (alice, bob) = (calendars.sign_in("alice").await, calendars.sign_in("bob").await);
    let stranger = alice.somebody_else();

    let made = dav(&alice, "MKCALENDAR", "/alice/meetings/", &[], "").await;
    let read = dav(&alice, "PROPFIND", "/alice/", &[("depth", "1")], "").await;
    let foreign = dav(&bob, "PROPFIND", "/alice/", &[("depth", "1")], "").await;
    let nobody = dav(&stranger, "PROPFIND", "/alice/", &[("depth", "1")], "").await;

    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(read.status, 207, "{}", read.text());
    assert!(read.text().contains("<href>/alice/meetings/</href>"), "{}", read.text());
    assert_eq!(foreign.status, 403, "one may not look into another's: {}", foreign.text());
    assert_eq!((nobody.status.as_u16(), nobody.reason().as_str()), (401, "session_required"));
    assert_eq!(principal(&alice, &[]).await, "/alice/");
    assert_eq!(principal(&bob, &[]).await, "/bob/");
}

/// C1: WSGI makes `X_Remote_User` and `X-Remote-User` one variable.
#[tokio::test]
async fn nobody_names_themselves_to_a_calendar_server_in_any_spelling() {
    let calendars = Calendars::open().await;
    let bob = calendars.sign_in("bob").await;

    for forged in ["x-remote-user", "X_Remote_User", "x-remote_user", "X.Remote.User"] {
        assert_eq!(principal(&bob, &[(forged, "alice")]).await, "/bob/", "{forged}");
    }
}

/// A terminal: the hardest thing for a gate to let through and the worst to let slip.
#[test]
fn a_notebook_server_knows_the_person_and_its_terminal_works_through_the_gate() -> Outcome<()> {
    tell(async |town| {
        let jupyter = Application::jupyter().await;
        jupyter.scratch().write("desk.html", "<!doctype html><title>Desk</title><h1>Desk</h1>");
        let square = town.build_before(&jupyter.url()).await;
        let (person, page) = town.person().await?;

        page.goto(&square.at("app", "/view/desk.html")).await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("/view/desk.html").await?;
        let me: Value = page.evaluate("fetch('/api/me').then((answer) => answer.json())").await?;
        let heard: String = page.evaluate(TERMINAL).await?;
        person.clear_cookies().await?;
        let without_session = web_socket_ends(&page).await?;

        assert_eq!(me["identity"]["username"], "alice");
        assert!(heard.contains("heard 42"), "{heard}");
        assert_eq!(without_session, "refused");
        // So Chromium words a 401, which is ours; Jupyter would have said 403.
        let complaints = page.complaints().await?;
        let by_the_gate =
            |complaint: &Complaint| complaint.text.contains("HTTP Authentication failed");
        assert!(complaints.iter().any(by_the_gate), "{complaints:?}");
        Ok(())
    })
}

/// Opens a terminal from a page, as the notebook's own pages do, and does a sum in it.
const TERMINAL: &str = r#"(async () => {
    const [, token] = /_xsrf=([^;]+)/.exec(document.cookie);
    const made = await fetch("/api/terminals", { method: "POST", headers: { "X-XSRFToken": token } });
    if (!made.ok) return `no terminal: ${made.status} ${await made.text()}`;
    const { name } = await made.json();
    const socket = new WebSocket(`wss://${location.host}/terminals/websocket/${name}`);
    return new Promise((resolve) => {
        let heard = "";
        socket.onopen = () => socket.send(JSON.stringify(["stdin", "echo heard $((6 * 7))\r"]));
        socket.onclose = ({ code }) => resolve(`${heard} closed ${code}`);
        socket.onmessage = ({ data }) => {
            const [stream, text] = JSON.parse(data);
            if (stream === "stdout") heard += text;
            if (/heard 42/.test(heard)) { resolve(heard); socket.close(); }
        };
    });
})()"#;

async fn web_socket_ends(page: &Page) -> Outcome<String> {
    page.evaluate(
        r#"new Promise((resolve) => {
            const socket = new WebSocket(`wss://${location.host}/terminals/websocket/1`);
            socket.onopen = () => resolve("opened");
            socket.onerror = () => resolve("refused");
        })"#,
    )
    .await
}
