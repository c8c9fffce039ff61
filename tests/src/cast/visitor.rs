//! Somebody with a browser, or a program: an HTTP client that keeps cookies and follows nothing unasked.
//!
//! Names below `localhost` lead to this machine, as they do in browsers. Wherever a `Location` is seen it is
//! read as a browser would read it, and has to lead to a place that the story knows.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, StatusCode, header};
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use serde_json::Value;
use url::Url;

use super::invariants;

/// More redirects than a sign-in has.
const REDIRECTS_MAX: usize = 12;

/// An HTTP client with a cookie jar. Clones share the jar.
#[derive(Clone, Debug)]
pub struct Visitor {
    client: Client,
    home: Url,
    known: Vec<url::Origin>,
    jar: Jar,
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked for.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Visitor {
    /// A visitor of the site at `home`; redirects may lead there and to each of `elsewhere`.
    ///
    /// # Panics
    /// When these are no URLs.
    #[must_use]
    pub fn of(home: &str, elsewhere: &[&str]) -> Self {
        Self::with(home, elsewhere, on_this_machine())
    }

    /// One who speaks HTTP/2 without asking first, as programs in a cluster do.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    #[must_use]
    pub fn over_http2(home: &str, elsewhere: &[&str]) -> Self {
        Self::with(home, elsewhere, on_this_machine().http2_prior_knowledge())
    }

    /// One who trusts these certificates and no others (PEM).
    ///
    /// # Panics
    /// As [`of`](Self::of), or when they are no certificates.
    #[must_use]
    pub fn trusting(home: &str, elsewhere: &[&str], certificates: &str) -> Self {
        Self::trusting_at(Ipv4Addr::LOCALHOST, home, elsewhere, certificates)
    }

    /// The same, whom every name leads to this address.
    ///
    /// # Panics
    /// As [`trusting`](Self::trusting).
    #[must_use]
    pub fn trusting_at(
        address: Ipv4Addr,
        home: &str,
        elsewhere: &[&str],
        certificates: &str,
    ) -> Self {
        let certificates = reqwest::Certificate::from_pem_bundle(certificates.as_bytes());
        let certificates = certificates.expect("the story has certificates");
        let client = Client::builder().tls_certs_only(certificates);
        Self::with(home, elsewhere, client.dns_resolver(Arc::new(OneAddress(address))))
    }

    fn with(home: &str, elsewhere: &[&str], client: reqwest::ClientBuilder) -> Self {
        // One connection each: what a story says of connections should not depend on a pool.
        let client = client.redirect(Policy::none()).no_proxy();
        let home = Url::parse(home).expect("a story's home is a URL");
        let elsewhere = elsewhere.iter().map(|url| Url::parse(url).expect("a story knows URLs"));
        let known =
            std::iter::once(home.clone()).chain(elsewhere).map(|url| url.origin()).collect();
        Self { client: client.build().expect("a client"), home, known, jar: Jar::default() }
    }

    /// Somebody else at the same place, with a jar of their own.
    #[must_use]
    pub fn somebody_else(&self) -> Self {
        Self { jar: Jar::default(), ..self.clone() }
    }

    /// The URL of a path of the site, or the URL itself.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn url(&self, place: &str) -> Url {
        self.home.join(place).unwrap_or_else(|error| panic!("{place}: {error}"))
    }

    /// Opens a page, as somebody who types the address or follows a link. Redirects are not followed.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn opens(&self, place: &str) -> Answer {
        self.asks(Method::GET, place, &[("accept", "text/html")]).await
    }

    /// Asks for data, as a script on a page does.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn fetches(&self, place: &str) -> Answer {
        self.asks(Method::GET, place, &[("accept", "application/json"), ("sec-fetch-mode", "cors")])
            .await
    }

    /// Sends a request with these headers, and what is in the jar.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn asks(&self, method: Method, place: &str, headers: &[(&str, &str)]) -> Answer {
        self.sends(method, place, headers, Vec::new()).await
    }

    /// Sends a request with a body.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn sends(
        &self,
        method: Method,
        place: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let url = self.url(place);
        match self.request(method, &url, headers).body(body).send().await {
            Ok(response) => self.receives(url, response).await,
            Err(error) => panic!("{url}: {}", chain(&error)),
        }
    }

    /// A request with what is in the jar, for stories that read the answer themselves.
    pub fn request(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, url.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match self.cookie_header(url) {
            Some(cookies) => request.header(header::COOKIE, cookies),
            None => request,
        }
    }

    async fn receives(&self, url: Url, response: reqwest::Response) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await;
        let body = body.unwrap_or_else(|error| panic!("{url} breaks off: {}", chain(&error)));
        let answer = Answer { url, status, headers, body: body.into() };
        self.jar.keep(&answer);
        if let Some(location) = answer.location() {
            // O3, for every redirect of every story.
            assert!(
                self.known.contains(&location.origin()),
                "{} leads to {location}, which nobody listed",
                answer.url
            );
            // O5: a code is worth a session.
            let codes = location.query_pairs().filter(|(name, _)| name == "code");
            codes.for_each(|(_, code)| invariants::secret(self.home.port(), &code));
        }
        answer
    }

    /// Follows redirects to where they end.
    ///
    /// # Panics
    /// When they do not end.
    pub async fn follows(&self, mut answer: Answer) -> Answer {
        for _ in 0..REDIRECTS_MAX {
            let Some(location) = answer.location() else { return answer };
            answer = self.opens(location.as_str()).await;
        }
        panic!("redirects do not end: {}", answer.url);
    }

    /// Opens a page and, wherever the development provider asks who one is, is `user`; to the end.
    ///
    /// # Panics
    /// When somebody does not answer, or redirects do not end.
    pub async fn signs_in_as(&self, user: &str, place: &str) -> Answer {
        let callback = self.comes_back_as(user, place).await;
        let answer = self.opens(callback.as_str()).await;
        self.follows(answer).await
    }

    /// Signs in as `user`, but stops before opening the callback, and returns its URL.
    ///
    /// # Panics
    /// When the provider does not send the browser back.
    pub async fn comes_back_as(&self, user: &str, place: &str) -> Url {
        let answer = self.opens(place).await;
        self.is_sent_back_as(user, answer).await
    }

    /// Goes on from `answer` to the provider, is `user` there, and returns the callback's URL.
    ///
    /// # Panics
    /// When the provider does not send the browser back.
    pub async fn is_sent_back_as(&self, user: &str, mut answer: Answer) -> Url {
        for _ in 0..REDIRECTS_MAX {
            answer = match answer.location() {
                Some(location) if is_callback(&location) => return location,
                Some(location) => self.opens(location.as_str()).await,
                None => {
                    let choice = answer.link(&format!("persona={user}"));
                    self.opens(&choice).await
                }
            };
        }
        panic!("redirects do not end: {}", answer.url);
    }

    /// The cookies for the site, as `(name, value)`.
    #[must_use]
    pub fn cookies(&self) -> Vec<(String, String)> {
        self.jar.of(&self.home)
    }

    /// The value of one of the site's cookies.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Whether the site gave it a session.
    #[must_use]
    pub fn has_session(&self) -> bool {
        ["lychgate", "__Host-lychgate"].iter().any(|name| self.cookie(name).is_some())
    }

    /// The `Cookie` header for the site, or for another URL.
    #[must_use]
    pub fn cookie_header(&self, url: &Url) -> Option<String> {
        let pairs: Vec<_> =
            self.jar.of(url).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Puts a cookie into the jar, for the site.
    pub fn takes_cookie(&self, name: &str, value: &str) {
        self.jar.put(&self.home, name, Some(value));
    }

    /// Empties the jar.
    pub fn forgets_everything(&self) {
        self.jar.lock().clear();
    }
}

/// Each provider may have a callback of its own, below the common one.
fn is_callback(url: &Url) -> bool {
    let has = |wanted: &str| url.query_pairs().any(|(name, _)| name == wanted);
    let parameters = ["state", "code", "error", "response"];
    url.path().contains("/callback") && parameters.into_iter().any(has)
}

impl Answer {
    /// A header as text, or empty.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it leads, as a browser would read it.
    ///
    /// # Panics
    /// When a browser could not read it.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(header::LOCATION)?;
        let location = location.to_str().expect("a location is text");
        Some(self.url.join(location).unwrap_or_else(|error| panic!("{location}: {error}")))
    }

    /// The `Set-Cookie` lines.
    #[must_use]
    pub fn set_cookies(&self) -> Vec<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter();
        lines.filter_map(|line| line.to_str().ok()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} {}: {error}: {}", self.url, self.status, self.text())
        })
    }

    /// The first link of the page whose address contains `part`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn link(&self, part: &str) -> String {
        let text = self.text();
        let links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        // Both servers write these two; the tables of numeric references differ, the characters do not.
        let links = links
            .map(|link| link.replace("&#x2f;", "/").replace("&#x3d;", "=").replace("&amp;", "&"));
        let link = links.into_iter().find(|link| link.contains(part));
        let link = link.unwrap_or_else(|| panic!("{} has no link with {part}:\n{text}", self.url));
        self.url.join(&link).unwrap_or_else(|error| panic!("{link}: {error}")).into()
    }

    /// The reason code of a refusal: of a page or of a problem document.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        if self.header("content-type").starts_with("application/problem+json") {
            return self.json()["code"].as_str().unwrap_or_default().to_owned();
        }
        let text = self.text();
        let after = text.split("<dt>Reason</dt><dd><code>").nth(1);
        let code = after.and_then(|rest| rest.split('<').next());
        code.unwrap_or_else(|| panic!("{} {} names no reason:\n{text}", self.url, self.status))
            .to_owned()
    }

    /// The id under which the gate's logs know the request.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id")
    }

    /// The header that the echo application received, or `None`.
    ///
    /// # Panics
    /// When this is not the echo application's answer, or the header came more than once.
    #[must_use]
    pub fn echoed(&self, name: &str) -> Option<String> {
        let json = self.json();
        let headers = json["headers"].as_array().expect("an answer of the echo application");
        let mut values = headers.iter().filter(|pair| pair[0] == name);
        let value = values.next().map(|pair| pair[1].as_str().unwrap_or_default().to_owned());
        assert!(values.next().is_none(), "{name} reached the application twice: {headers:?}");
        value
    }
}

/// Cookies by host, as browsers keep them: ports do not matter.
#[derive(Clone, Default)]
struct Jar(Arc<Mutex<Vec<Kept>>>);

#[derive(Clone, Debug)]
struct Kept {
    host: String,
    name: String,
    value: String,
}

impl Jar {
    fn keep(&self, answer: &Answer) {
        for line in answer.set_cookies() {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let over = attributes
                .split(';')
                .any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"));
            self.put(&answer.url, name, (!over).then_some(value));
            if name.contains("lychgate") {
                invariants::secret(answer.url.port(), value);
            }
        }
    }

    fn put(&self, url: &Url, name: &str, value: Option<&str>) {
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut kept = self.lock();
        let place = kept.iter().position(|kept| kept.host == host && kept.name == name);
        match (place, value) {
            (Some(at), Some(value)) => value.clone_into(&mut kept[at].value),
            (Some(at), None) => drop(kept.remove(at)),
            (None, Some(value)) => {
                kept.push(Kept { host, name: name.to_owned(), value: value.to_owned() });
            }
            (None, None) => {}
        }
    }

    fn of(&self, url: &Url) -> Vec<(String, String)> {
        let host = url.host_str().unwrap_or_default();
        let kept = self.lock();
        let here = kept.iter().filter(|kept| kept.host == host);
        here.map(|kept| (kept.name.clone(), kept.value.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.lock().iter()).finish()
    }
}

/// Every name leads here: stories reach nobody else.
#[derive(Debug)]
struct OneAddress(Ipv4Addr);

impl Resolve for OneAddress {
    fn resolve(&self, _: Name) -> Resolving {
        let there: Addrs = Box::new(std::iter::once(SocketAddr::from((self.0, 0))));
        Box::pin(std::future::ready(Ok(there)))
    }
}

fn on_this_machine() -> reqwest::ClientBuilder {
    Client::builder().dns_resolver(Arc::new(OneAddress(Ipv4Addr::LOCALHOST)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
