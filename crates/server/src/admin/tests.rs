//! What a probe and a scraper are told.

use std::time::SystemTime;

use lychgate_gateway::route::Routes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn pages(token: Option<&str>) -> Pages {
    let metrics = Metrics::new(&Routes::default(), ["corp"], "c0ffee", SystemTime::UNIX_EPOCH);
    let files = vec!["lychgate.toml".to_owned()];
    let token = token.map(Secret::new);
    let in_use = InUse { metrics: Arc::new(metrics), token, files };
    let in_use = Arc::new(ArcSwap::from_pointee(in_use));
    Pages { in_use, readiness: Arc::default(), history: Arc::default() }
}

fn ask(pages: &Pages, method: &str, target: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(target);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    pages.answer(&request.body(()).unwrap().into_parts().0)
}

fn get(pages: &Pages, target: &str) -> (u16, String) {
    let response = ask(pages, "GET", target, &[]);
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// R44, T-40, K-23.
#[test]
fn readiness_is_a_configuration_bound_sockets_and_not_stopping() {
    let pages = pages(None);
    assert_eq!(get(&pages, "/livez"), (200, "ok\n".to_owned()));
    assert_eq!(get(&pages, "/readyz"), (503, "not ready\n".to_owned()));

    pages.readiness.config_is_live();
    assert_eq!(get(&pages, "/readyz").0, 503);

    pages.readiness.listeners_are_bound();
    pages.readiness.provider("corp", ProviderState::Unreachable);
    assert_eq!(get(&pages, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(&pages, "/healthz"), (200, "ready\n".to_owned()));

    pages.readiness.drain();
    assert_eq!(get(&pages, "/readyz").0, 503);
    assert_eq!(get(&pages, "/livez").0, 200);
}

#[test]
fn checks_can_be_listed_and_left_out() {
    let pages = pages(None);
    pages.readiness.listeners_are_bound();
    pages.readiness.provider("corp", ProviderState::Unreachable);

    assert_eq!(
        get(&pages, "/readyz?verbose"),
        (503, "config: failed\nlisteners: ok\ndraining: ok\nprovider corp: unreachable (not counted)\nnot ready\n".to_owned())
    );
    assert_eq!(get(&pages, "/readyz?exclude=config").0, 200);
    assert_eq!(get(&pages, "/readyz?exclude=draining").0, 503);
    assert!(get(&pages, "/readyz?verbose&exclude=config").1.starts_with("config: excluded\n"));
}

#[test]
fn metrics_ask_for_the_token_and_nothing_else_does() {
    let pages = pages(Some("s3cret"));
    let metrics = |authorization: &[(&str, &str)]| ask(&pages, "GET", "/metrics", authorization);

    for refused in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Bearer s3cret2")],
        &[("authorization", "Basic s3cret")],
        &[("authorization", "s3cret")],
    ] {
        let response = metrics(refused);
        assert_eq!(response.status(), 401, "{refused:?}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"metrics\"");
        assert!(!response.body().starts_with(b"#"));
    }
    assert_eq!(metrics(&[("authorization", "bearer s3cret")]).status(), 200);
    assert_eq!(get(&pages, "/livez").0, 200);
}

/// T-02.
#[test]
fn the_format_of_metrics_is_the_one_that_was_asked_for() {
    let pages = pages(None);
    for (accept, content_type, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", false),
        (
            "application/openmetrics-text;version=1.0.0",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
        ),
    ] {
        let response = ask(&pages, "GET", "/metrics", &[("accept", accept)]);
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.body().ends_with(b"# EOF\n"), end);
    }
}

#[test]
fn everything_else_is_refused() {
    let pages = pages(None);
    assert_eq!(get(&pages, "/").0, 404);
    assert_eq!(get(&pages, "/metrics/").0, 404);
    let posted = ask(&pages, "POST", "/readyz", &[]);
    assert_eq!(posted.status(), 405);
    assert_eq!(posted.headers()["allow"], "GET, HEAD");
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a request may close before it has read all of it.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_port_answers_until_it_is_stopped() {
    let Pages { in_use, readiness, history } = pages(None);
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), readiness, in_use, history).unwrap();
    let address = admin.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(admin.serve(async { stopped.await.unwrap() }));

    let live =
        exchange(address, "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let head =
        exchange(address, "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let long = format!(
        "GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(2 * HEADER_BYTES_MAX)
    );
    let long = exchange(address, &long).await;
    stop.send(()).unwrap();

    assert!(live.starts_with("HTTP/1.1 200 OK\r\n") && live.ends_with("\r\n\r\nok\n"), "{live}");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(!long.contains("200 OK"), "{long}");
    serving.await.unwrap().unwrap();
}

/// A-02, A-TS-1: which version with which configuration, and how it is; only for those who have the token.
#[test]
fn the_status_says_which_configuration_is_in_use_and_how_it_is() {
    let pages = pages(Some("let-me-see"));
    pages.readiness.config_is_live();
    pages.readiness.provider("corp", ProviderState::Reachable);

    let stranger = ask(&pages, "GET", "/status", &[]);
    let operator = ask(&pages, "GET", "/status", &[("authorization", "Bearer let-me-see")]);

    assert_eq!(
        (stranger.status().as_u16(), stranger.body().len()),
        (401, "a token is needed\n".len())
    );
    assert_eq!(operator.headers()["content-type"], "application/json");
    let status: Value = serde_json::from_slice(operator.body()).unwrap();
    assert_eq!(status["config_hash"], "c0ffee");
    assert_eq!(status["files"], serde_json::json!(["lychgate.toml"]));
    assert_eq!(status["started_at"], "1970-01-01T00:00:00.000Z");
    assert_eq!(status["ready"], false);
    assert_eq!(status["checks"]["config"], "ok");
    assert_eq!(status["checks"]["listeners"], "failed");
    assert_eq!(status["providers"]["corp"], "reachable");
}
