//! The echo application, asked as a browser and as a program.

use std::net::{Ipv4Addr, SocketAddr};

use futures_util::StreamExt;
use lychgate_demo::{NotLoopback, echo::Echo};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

/// SHA-256 of `abc` (FIPS 180-2, appendix B.1).
const DIGEST_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

struct World {
    echo: Echo,
    http: reqwest::Client,
}

impl World {
    async fn new() -> Self {
        let echo = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("an echo");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { echo, http }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.echo.address())
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }
}

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
}

#[tokio::test]
async fn a_program_is_told_what_arrived() {
    let world = World::new().await;

    let request = world.http.put(world.url("/some/path?a=1&b=%20")).header("X-One", "1");
    let answer = json_of(request.body("abc").send().await.expect("an answer")).await;

    assert_eq!(answer["method"], "PUT");
    assert_eq!(answer["path"], "/some/path");
    assert_eq!(answer["query"], "a=1&b=%20");
    assert_eq!(answer["body_bytes"], 3);
    assert_eq!(answer["body_sha256"], DIGEST_OF_ABC);
    let headers = answer["headers"].as_array().expect("a list");
    assert!(headers.contains(&json!(["x-one", "1"])));
}

#[tokio::test]
async fn a_person_is_greeted_and_nothing_that_arrived_becomes_markup() {
    let world = World::new().await;

    let request = world.http.get(world.url("/?q=<b>")).header(header::ACCEPT, "text/html,*/*");
    let request = request.header("X-Forwarded-Preferred-Username", "<script>Ève</script>");
    let response = request.send().await.expect("an answer");

    assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
    let page = response.text().await.expect("a body");
    assert!(page.contains("<h1>Hello, &lt;script&gt;Ève&lt;/script&gt;</h1>"), "{page}");
    assert!(!page.contains("<script>") && !page.contains("<b>"), "{page}");
}

#[tokio::test]
async fn uploads_are_counted_and_downloads_are_as_long_as_asked() {
    let world = World::new().await;

    let upload = world.http.post(world.url("/upload")).body(vec![0; 3_000_000]);
    let counted = json_of(upload.send().await.expect("an answer")).await;
    let download = world.get("/download?bytes=100001").await;

    assert_eq!(counted["bytes"], 3_000_000);
    assert_eq!(download.content_length(), Some(100_001));
    assert_eq!(download.bytes().await.expect("a body").len(), 100_001);
}

#[tokio::test]
async fn events_arrive_one_by_one_until_there_were_enough() {
    let world = World::new().await;

    let response = world.get("/stream?n=2").await;

    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(response.text().await.expect("a body"), "data: 1\n\ndata: 2\n\n");
}

#[tokio::test]
async fn a_status_and_a_cookie_are_as_asked() {
    let world = World::new().await;

    for (path, status) in [
        ("/status/204", StatusCode::NO_CONTENT),
        ("/status/418", StatusCode::IM_A_TEAPOT),
        ("/status/101", StatusCode::BAD_REQUEST),
        ("/status/999", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.get(path).await.status(), status, "{path}");
    }
    let cookie = world.get("/set-cookie?name=taste&value=oat").await;
    assert_eq!(cookie.headers()[header::SET_COOKIE], "taste=oat; Path=/");
    let broken = world.get("/set-cookie?name=taste&value=%0A").await;
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_web_socket_returns_what_it_is_sent() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let world = World::new().await;
    let url = format!("ws://{}/ws", world.echo.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a web socket");

    for message in [Message::text("Ève"), Message::binary(vec![0, 255])] {
        socket.send(message.clone()).await.expect("sent");

        assert_eq!(socket.next().await.expect("an answer").expect("a message"), message);
    }
}

#[tokio::test]
async fn every_request_is_written_down() {
    let world = World::new().await;

    world.get("/page?x=1").await;

    assert_eq!(world.echo.count("/page"), 1);
    let requests = world.echo.requests();
    let [request] = requests.as_slice() else { panic!("one request, not {requests:?}") };
    assert_eq!(request.query_parameter("x").as_deref(), Some("1"));
    world.echo.clear();
    assert_eq!(world.echo.requests(), []);
}

/// D-41.
#[tokio::test]
async fn an_echo_that_others_could_reach_does_not_start() {
    let address = "[::]:0".parse().expect("an address");

    let refusal = Echo::start(address).await.expect_err("it is reachable");

    let reason = refusal.get_ref().and_then(|cause| cause.downcast_ref::<NotLoopback>());
    assert_eq!(reason, Some(&NotLoopback { address }));
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_endless_stream() {
    let World { echo, http } = World::new().await;
    let address = echo.address();
    let url = format!("http://{address}/stream?n=1000000");
    let response = http.get(url).send().await.expect("an answer");

    echo.stop().await;

    assert!(tokio::net::TcpListener::bind(address).await.is_ok());
    assert!(response.text().await.is_ok_and(|events| events.len() < 1_000));
}
