//! A browser: it keeps cookies by the rules of RFC 6265bis, follows redirects, carries fragments along, and
//! has a person in front of it who signs in wherever they are asked to.

use cookie::{Cookie, SameSite};
use http::{HeaderValue, Method, header};
use lychgate_gateway::outcome::{Admission, Answer, Outcome, Page, Refusal, Verdict};
use lychgate_gateway::reason::Reason;
use url::Url;

use super::provider::Person;
use super::{Ask, World, location};

/// Browsers give up after this many redirects; a story that needs as many has found a loop.
const REDIRECTS_MAX: usize = 12;

#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) world: World,
    pub(crate) person: Person,
    pub(crate) jar: Jar,
    /// The address bar.
    at: Url,
}

/// What a browser shows in the end.
pub(crate) struct Seen {
    pub(crate) url: String,
    pub(crate) outcome: Outcome,
}

/// A login under way, with the browser at the provider's page.
pub(crate) struct Login {
    pub(crate) authorization_url: String,
    pub(crate) state: String,
    pub(crate) redirect_uri: String,
}

/// What caused a request, as far as cookies are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The person, or a page of the same site.
    Own,
    /// A link or a redirect of another site.
    Foreign,
}

impl Browser {
    pub(crate) fn new(world: World, person: Person) -> Self {
        let at = Url::parse("https://app.test/").expect("a URL");
        Self { world, person, jar: Jar::default(), at }
    }

    /// Opens an address, typed or as a path on the site where the browser is, and goes wherever that leads.
    pub(crate) fn opens(&mut self, address: &str) -> Seen {
        self.goes(address, Cause::Own, true).unwrap_or_else(|url| panic!("left at {url}"))
    }

    /// Follows a link that is on another site.
    pub(crate) fn follows_a_foreign_link(&mut self, address: &str) -> Seen {
        self.goes(address, Cause::Foreign, true).unwrap_or_else(|url| panic!("left at {url}"))
    }

    /// Opens an address and is sent to a provider, where the person takes their time.
    pub(crate) fn begins(&mut self, address: &str) -> Login {
        let Err(url) = self.goes(address, Cause::Own, false) else {
            panic!("{address} does not lead to a provider");
        };
        let query = |name: &str| {
            let mut pairs = url.query_pairs().filter(|(found, _)| found == name);
            pairs.next().map(|(_, value)| value.into_owned()).expect("a parameter")
        };
        Login {
            state: query("state"),
            redirect_uri: query("redirect_uri"),
            authorization_url: url.into(),
        }
    }

    /// The person signs in at the provider's page, and the browser comes back.
    pub(crate) fn finishes(&mut self, login: &Login) -> Seen {
        let back = self.world.granted(&login.authorization_url, &self.person);
        self.comes_back(&back)
    }

    /// Is sent to one of our addresses by a provider.
    pub(crate) fn comes_back(&mut self, url: &str) -> Seen {
        self.goes(url, Cause::Foreign, true).unwrap_or_else(|url| panic!("left at {url}"))
    }

    /// A page of another site posts a form: to `url`, with what stands in its query.
    pub(crate) fn posts(&mut self, url: &str) -> Seen {
        let (address, form) = url.split_once('?').expect("a query");
        let ask = self.form(address, form);
        let ask = self.dressed(ask, Cause::Foreign);
        let outcome = self.world.visit(&ask);
        self.keeps(&ask, &outcome);
        match onwards(&outcome, None) {
            Some(place) => {
                let next = Url::parse(address).and_then(|url| url.join(&place)).expect("a place");
                self.comes_back(next.as_str())
            }
            None => Seen { url: address.to_owned(), outcome },
        }
    }

    /// A form that another site posts.
    pub(crate) fn form(&self, address: &str, form: &str) -> Ask {
        let mut ask = Ask::new(Method::POST, address)
            .with("accept", "text/html,*/*;q=0.8")
            .with("content-type", "application/x-www-form-urlencoded")
            .with("sec-fetch-mode", "navigate");
        ask.body = Some(form.to_owned());
        ask
    }

    /// One request and its answer, without going anywhere. `ask` may carry headers of its own.
    pub(crate) fn asks(&mut self, ask: Ask) -> Outcome {
        let ask = self.dressed(ask, Cause::Own);
        let outcome = self.world.visit(&ask);
        self.keeps(&ask, &outcome);
        outcome
    }

    /// A request with this browser's cookies, to be sent by the story.
    pub(crate) fn prepared(&self, ask: Ask) -> Ask {
        self.dressed(ask, Cause::Own)
    }

    /// A page of ours, or of an application, as the browser asks for it.
    pub(crate) fn page(&self, address: &str) -> Ask {
        let url = self.at.join(address).expect("an address");
        // A path is kept as written; the URL parser would take dots out that a tool would send.
        let written = address.starts_with('/').then(|| address.split('#').next()).flatten();
        let mut ask = Ask::new(Method::GET, url.as_str())
            .with("accept", "text/html,*/*;q=0.8")
            .with("sec-fetch-mode", "navigate");
        if let Some(target) = written {
            ask.target = target.to_owned();
        }
        ask
    }

    /// What a script or a tool asks for.
    pub(crate) fn data(&self, address: &str) -> Ask {
        let url = self.at.join(address).expect("an address");
        Ask::new(Method::GET, url.as_str()).with("accept", "application/json")
    }

    fn goes(&mut self, address: &str, mut cause: Cause, to_the_end: bool) -> Result<Seen, Url> {
        let mut url = self.at.join(address).expect("an address");
        for _ in 0..REDIRECTS_MAX {
            if self.world.is_provider(url.as_str()) {
                if !to_the_end {
                    return Err(url);
                }
                cause = Cause::Foreign;
                url = self.meets_the_provider(&url)?;
                continue;
            }
            let ask = self.page(url.as_str());
            let ask = self.dressed(ask, cause);
            let outcome = self.world.visit(&ask);
            self.keeps(&ask, &outcome);
            let Some(place) = onwards(&outcome, url.fragment()) else {
                self.at = url.clone();
                return Ok(Seen { url: url.into(), outcome });
            };
            let mut next = url.join(&place).expect("a place");
            if next.fragment().is_none() {
                next.set_fragment(url.fragment());
            }
            if !self.world.0.plan.borrow().origins().contains(&next.origin().ascii_serialization())
                && !self.world.is_provider(next.as_str())
            {
                return Ok(Seen { url: next.into(), outcome });
            }
            url = next;
        }
        panic!("redirected in a circle, at {url}");
    }

    /// The person does what the provider's page asks of them.
    fn meets_the_provider(&self, url: &Url) -> Result<Url, Url> {
        let query = |name: &str| {
            let mut pairs = url.query_pairs().filter(|(found, _)| found == name);
            pairs.next().map(|(_, value)| value.into_owned())
        };
        let back = match url.path() {
            "/authorize" => self.world.granted(url.as_str(), &self.person),
            "/sign-out" => {
                let mut back = Url::parse(&query("post_logout_redirect_uri").unwrap_or_default())
                    .map_err(|_| url.clone())?;
                let state = query("state").unwrap_or_default();
                back.query_pairs_mut().append_pair("state", &state);
                back.into()
            }
            other => panic!("{other} is no page of a provider"),
        };
        Url::parse(&back).map_err(|_| url.clone())
    }

    /// Adds what a browser adds.
    fn dressed(&self, mut ask: Ask, cause: Cause) -> Ask {
        let cookies = self.jar.header(&ask, cause, self.world.now());
        if !cookies.is_empty() && !ask.headers.contains_key(header::COOKIE) {
            ask = ask.with("cookie", &cookies);
        }
        let navigates = ask.headers.get("sec-fetch-mode").is_some();
        if navigates && !ask.headers.contains_key("sec-fetch-site") {
            let site = if cause == Cause::Own { "same-origin" } else { "cross-site" };
            ask = ask.with("sec-fetch-site", site);
        }
        ask
    }

    pub(crate) fn keeps(&mut self, ask: &Ask, outcome: &Outcome) {
        let now = self.world.now();
        for line in &outcome.cookies {
            self.jar.keep(&ask.origin, line, now);
        }
    }
}

/// Where the browser goes next: by a redirect, or by the script on the page before a sign-in.
pub(crate) fn onwards(outcome: &Outcome, fragment: Option<&str>) -> Option<String> {
    if let Some(location) = location(outcome) {
        return Some(location.to_owned());
    }
    match page(outcome)? {
        Page::ContinueSignIn { link } => {
            let fragment = fragment.unwrap_or_default();
            let fragment: String =
                url::form_urlencoded::byte_serialize(fragment.as_bytes()).collect();
            Some(format!("{link}&fragment={fragment}"))
        }
        Page::ChooseProvider { .. }
        | Page::ConfirmSignOut { .. }
        | Page::SignedInAs { .. }
        | Page::SignedOut { .. } => None,
    }
}

/// The page of ours that an outcome shows.
pub(crate) fn page(outcome: &Outcome) -> Option<&Page> {
    match &outcome.verdict {
        Verdict::Answer(answer) => match &**answer {
            Answer::Page(page) => Some(page),
            Answer::Asset(_) | Answer::Me(_) | Answer::Redirect(_) | Answer::Refusal(_) => None,
            Answer::Preflight(_) | Answer::Reason(_) | Answer::Resource(_) => None,
        },
        Verdict::Admit(_) => None,
    }
}

/// The refusal that an outcome is.
pub(crate) fn refusal(outcome: &Outcome) -> Option<&Refusal> {
    match &outcome.verdict {
        Verdict::Answer(answer) => match &**answer {
            Answer::Refusal(refusal) => Some(refusal),
            Answer::Asset(_) | Answer::Me(_) | Answer::Page(_) | Answer::Redirect(_) => None,
            Answer::Preflight(_) | Answer::Reason(_) | Answer::Resource(_) => None,
        },
        Verdict::Admit(_) => None,
    }
}

/// Why an outcome is a refusal.
pub(crate) fn reason(outcome: &Outcome) -> Option<Reason> {
    refusal(outcome).map(|refusal| refusal.reason)
}

/// What an outcome forwards.
pub(crate) fn admission(outcome: &Outcome) -> Option<&Admission> {
    match &outcome.verdict {
        Verdict::Admit(admission) => Some(admission),
        Verdict::Answer(_) => None,
    }
}

/// As whom an outcome admits, in the words of the header that the application reads.
pub(crate) fn user(outcome: &Outcome) -> Option<&str> {
    admission(outcome)?.edits().says("x-forwarded-user")?.to_str().ok()
}

impl Seen {
    pub(crate) fn user(&self) -> Option<&str> {
        user(&self.outcome)
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        reason(&self.outcome)
    }
}

/// The cookies of one browser.
#[derive(Clone, Default)]
pub(crate) struct Jar(pub(crate) Vec<Kept>);

#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) value: String,
    /// The host that set it, or the domain that it names.
    pub(crate) host: String,
    whole_domain: bool,
    secure: bool,
    same_site: SameSite,
    ends_at: Option<i64>,
}

impl Kept {
    /// A browser that does not forget, as a copy of its cookies does not.
    pub(crate) fn keep_forever(&mut self) {
        self.ends_at = None;
    }
}

impl Jar {
    /// Keeps, replaces or forgets, by RFC 6265bis §5.6 and §5.7.
    fn keep(&mut self, origin: &str, line: &HeaderValue, now: i64) {
        let text = line.to_str().expect("visible ASCII");
        let cookie = Cookie::parse(text).expect("a cookie").into_owned();
        let url = Url::parse(origin).expect("an origin");
        let host = url.host_str().unwrap_or_default();
        let domain = cookie.domain().map(|domain| domain.trim_start_matches('.').to_owned());
        let bytes = cookie.name().len() + cookie.value().len();
        assert!(bytes <= 4096, "browsers drop a cookie of {bytes} bytes");
        assert_eq!(cookie.path(), Some("/"), "{text}");
        assert_eq!(cookie.http_only(), Some(true), "{text}");
        let secure = cookie.secure() == Some(true);
        assert!(secure || url.scheme() == "http", "{text}");
        if cookie.name().starts_with("__Host-") {
            assert!(secure && domain.is_none(), "browsers refuse it: {text}");
        }
        if cookie.name().starts_with("__Secure-") {
            assert!(secure, "browsers refuse it: {text}");
        }
        if let Some(domain) = &domain {
            assert!(host == domain || host.ends_with(&format!(".{domain}")), "{text} from {host}");
        }

        let age = cookie.max_age().map(|age| age.whole_seconds());
        let kept = Kept {
            name: cookie.name().to_owned(),
            value: cookie.value().to_owned(),
            whole_domain: domain.is_some(),
            host: domain.unwrap_or_else(|| host.to_owned()),
            secure,
            same_site: cookie.same_site().unwrap_or(SameSite::Lax),
            ends_at: age.map(|age| now + age),
        };
        let same = |other: &Kept| other.name == kept.name && other.host == kept.host;
        self.0.retain(|other| !same(other));
        if age.is_none_or(|age| age > 0) {
            self.0.push(kept);
        }
    }

    /// The `Cookie` header for a request, by RFC 6265bis §5.8.
    fn header(&self, ask: &Ask, cause: Cause, now: i64) -> String {
        let url = Url::parse(&ask.origin).expect("an origin");
        let host = url.host_str().unwrap_or_default();
        let fits = |kept: &&Kept| {
            let here = host == kept.host
                || (kept.whole_domain && host.ends_with(&format!(".{}", kept.host)));
            let link = ask.method == Method::GET && ask.headers.contains_key("sec-fetch-mode");
            let site = cause == Cause::Own
                || kept.same_site == SameSite::None
                || (kept.same_site == SameSite::Lax && link);
            let secure = !kept.secure || url.scheme() == "https";
            here && site && secure && kept.ends_at.is_none_or(|end| now < end)
        };
        let pairs = self.0.iter().filter(fits);
        pairs.map(|kept| format!("{}={}", kept.name, kept.value)).collect::<Vec<_>>().join("; ")
    }

    /// The value of the cookie with this name at this host.
    pub(crate) fn value(&self, host: &str, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|kept| kept.host == host && kept.name == name);
        found.next().map(|kept| kept.value.as_str())
    }

    /// The logins that are under way at this host.
    pub(crate) fn logins(&self, host: &str) -> Vec<&Kept> {
        let login = |kept: &&Kept| kept.host == host && kept.name.contains("-login-");
        self.0.iter().filter(login).collect()
    }
}
