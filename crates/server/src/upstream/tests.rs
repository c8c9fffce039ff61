//! Which peers a request may go to, and in which order.

use std::collections::VecDeque;

use super::*;

/// A resolver that answers what a test prepared, one answer after the other, and then never again.
#[derive(Debug, Default)]
struct Prepared {
    answers: Mutex<VecDeque<io::Result<Vec<SocketAddr>>>>,
    asked: AtomicUsize,
}

impl Prepared {
    fn with(answers: impl IntoIterator<Item = io::Result<Vec<SocketAddr>>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl Resolver for Prepared {
    async fn look_up(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn found(addresses: &[&str]) -> io::Result<Vec<SocketAddr>> {
    Ok(addresses.iter().map(|text| address(text)).collect())
}

fn gone() -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::other("NXDOMAIN"))
}

/// An upstream behind one name.
fn named(resolver: &Arc<Prepared>) -> Arc<Upstream> {
    let config = upstream(vec![plain("app.test", 9)]);
    Arc::new(Upstream::knowing(&config, Arc::clone(resolver) as Arc<dyn Resolver>).unwrap())
}

async fn first(upstream: &Arc<Upstream>) -> String {
    let mut candidates = upstream.candidates().await.unwrap();
    candidates.next(upstream.avoided()).unwrap().address().to_string()
}

/// Lets everybody go on until all of them wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn upstream(addresses: Vec<UpstreamAddress>) -> config::Upstream {
    config::Upstream {
        name: "wiki".to_owned(),
        addresses,
        roots: Roots::System,
        timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
        },
        http2: false,
    }
}

fn plain(host: &str, port: u16) -> UpstreamAddress {
    UpstreamAddress::Plain { host: host.to_owned(), port }
}

async fn addresses(upstream: &Arc<Upstream>) -> Vec<String> {
    let mut candidates = upstream.candidates().await.unwrap();
    let mut found = Vec::new();
    while candidates.any_left() {
        let peer = candidates.next(upstream.avoided());
        found.extend(peer.map(|peer| peer.address().to_string()));
    }
    found
}

#[tokio::test]
async fn copies_take_turns_and_each_is_tried_once() {
    let config = upstream(vec![plain("127.0.0.1", 1), plain("::1", 2), plain("127.0.0.1", 3)]);
    let upstream = Arc::new(Upstream::new(&config).unwrap());
    let mut turns = Vec::new();
    for _ in 0..3 {
        turns.push(addresses(&upstream).await);
    }
    assert_eq!(turns[0], ["127.0.0.1:1", "[::1]:2", "127.0.0.1:3"]);
    assert_eq!(turns[1], ["[::1]:2", "127.0.0.1:3", "127.0.0.1:1"]);
    assert_eq!(turns[2], ["127.0.0.1:3", "127.0.0.1:1", "[::1]:2"]);
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let upstream = Arc::new(Upstream::new(&upstream(vec![plain("localhost", 9)])).unwrap());
    let found = addresses(&upstream).await;
    assert!(found.iter().all(|address| address.ends_with(":9")) && !found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_name_that_was_never_found_is_an_error() {
    let upstream =
        Arc::new(Upstream::new(&upstream(vec![plain("no.such.name.invalid", 9)])).unwrap());
    let error = upstream.candidates().await.unwrap_err();
    assert_eq!(error.to_string(), "no address is known for upstream `wiki`");
}

/// An empty server name would turn every check of the certificate off.
#[test]
fn tls_without_a_server_name_is_refused() {
    let address = UpstreamAddress::Tls {
        host: "127.0.0.1".to_owned(),
        port: 443,
        server_name: String::new(),
    };
    let error = Upstream::new(&upstream(vec![address])).unwrap_err();
    assert!(matches!(error, UpstreamError::NoServerName { .. }));
}

#[tokio::test]
async fn every_wait_for_an_upstream_has_an_end() {
    let upstream = Arc::new(Upstream::new(&upstream(vec![plain("127.0.0.1", 1)])).unwrap());
    let mut candidates = upstream.candidates().await.unwrap();
    let peer = candidates.next(upstream.avoided()).unwrap();
    let options = &peer.options;
    for timeout in [
        options.connection_timeout,
        options.total_connection_timeout,
        options.read_timeout,
        options.write_timeout,
        options.idle_timeout,
    ] {
        assert!(timeout.is_some_and(|timeout| !timeout.is_zero()));
    }
    assert!(options.verify_cert && options.verify_hostname);
}

#[tokio::test]
async fn a_handshake_never_shares_a_connection() {
    let upstream = Arc::new(Upstream::new(&upstream(vec![plain("127.0.0.1", 1)])).unwrap());
    let mut candidates = upstream.candidates().await.unwrap();
    let peer = candidates.next(upstream.avoided()).unwrap();
    let (handshake, _) = upstream.for_handshake(peer);
    assert_ne!(peer.reuse_hash(), handshake.reuse_hash());
}

/// R10: a name that begins to stand for another address leads there soon, and nobody waits for the resolver.
#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_anew_while_its_old_answer_is_used() {
    let resolver = Prepared::with([found(&["192.0.2.1:9"]), found(&["192.0.2.2:9"])]);
    let upstream = named(&resolver);
    assert_eq!(first(&upstream).await, "192.0.2.1:9");

    tokio::time::advance(names::KEPT_FOR - Duration::from_secs(1)).await;
    assert_eq!((first(&upstream).await.as_str(), resolver.asked()), ("192.0.2.1:9", 1));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(first(&upstream).await, "192.0.2.1:9");
    settle().await;

    assert_eq!((first(&upstream).await.as_str(), resolver.asked()), ("192.0.2.2:9", 2));
}

/// R10: while a resolver says that there is no such name, or nothing at all, the last good answer is used.
#[tokio::test(start_paused = true)]
async fn a_resolver_that_fails_or_is_silent_costs_nobody_anything() {
    let resolver = Prepared::with([found(&["192.0.2.1:9"]), gone(), found(&[])]);
    let upstream = named(&resolver);
    assert_eq!(first(&upstream).await, "192.0.2.1:9");
    for asked in 2..6 {
        tokio::time::advance(names::KEPT_FOR).await;
        let begin = tokio::time::Instant::now();
        for _ in 0..20 {
            assert_eq!(first(&upstream).await, "192.0.2.1:9");
            settle().await;
        }

        assert_eq!(begin.elapsed(), Duration::ZERO, "nobody waits");
        assert_eq!(resolver.asked(), asked, "one of all asks");
        // From the fourth on it is silent, which is taken for a failure in time.
        tokio::time::advance(Duration::from_secs(5)).await;
        settle().await;
    }
}

/// R10: before there was any answer everybody waits for one, in time, and a failure is not asked for by each of them.
#[tokio::test(start_paused = true)]
async fn a_name_without_any_answer_is_an_error_in_time() {
    let resolver = Prepared::with([gone()]);
    let upstream = named(&resolver);
    for _ in 0..20 {
        assert!(upstream.candidates().await.is_err());
    }
    assert_eq!(resolver.asked(), 1);

    tokio::time::advance(Duration::from_secs(2)).await;
    let begin = tokio::time::Instant::now();
    let all = (0..20).map(|_| async { upstream.candidates().await.is_err() });
    let all = all.map(Box::pin).collect::<Vec<_>>();
    for refused in all {
        assert!(refused.await);
    }
    assert_eq!((resolver.asked(), begin.elapsed()), (2, Duration::from_secs(5)));
}

/// R10: an address that leads nowhere, as those of a broken IPv6, is tried last until it is given another chance.
#[tokio::test]
async fn an_address_that_leads_nowhere_is_tried_last() {
    let resolver = Prepared::with([found(&["[2001:db8::1]:9", "192.0.2.1:9", "192.0.2.2:9"])]);
    let upstream = named(&resolver);
    let mut candidates = upstream.candidates().await.unwrap();
    let broken = candidates.next(upstream.avoided()).unwrap();
    assert_eq!(broken.address().to_string(), "[2001:db8::1]:9");

    upstream.avoid(broken);

    for _ in 0..6 {
        let order = addresses(&upstream).await;
        assert_eq!(order.len(), 3);
        assert_eq!(order[2], "[2001:db8::1]:9", "{order:?}");
    }
}

/// R14: what met a closing connection goes to the same peer once more, where there is no other.
#[tokio::test]
async fn a_peer_that_is_alone_is_tried_again() {
    let upstream = Arc::new(Upstream::new(&upstream(vec![plain("127.0.0.1", 1)])).unwrap());
    let mut candidates = upstream.candidates().await.unwrap();
    for _ in 0..TRIES_MAX + 1 {
        let peer = candidates.next(upstream.avoided()).unwrap();
        assert_eq!(peer.address().to_string(), "127.0.0.1:1");
        assert!(!candidates.any_left());
    }
}
