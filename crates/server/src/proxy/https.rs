//! Listeners that do nothing but send everybody to the same place on https.

use std::collections::HashMap;

use lychgate_gateway::origin::PublicOrigin;

/// The https origins, by host.
#[derive(Debug, Default)]
pub(super) struct HttpsHosts(HashMap<String, PublicOrigin>);

impl HttpsHosts {
    /// Of several origins on one host, the one with the usual port is meant, else the first.
    pub(super) fn new(origins: &[PublicOrigin]) -> Self {
        let mut hosts: HashMap<String, PublicOrigin> = HashMap::new();
        for origin in origins.iter().filter(|origin| origin.is_secure()) {
            let has_usual_port = origin.authority() == origin.host();
            if has_usual_port || !hosts.contains_key(origin.host()) {
                hosts.insert(origin.host().to_owned(), origin.clone());
            }
        }
        Self(hosts)
    }

    /// Where `target` is on https, for a host that is there at all.
    pub(super) fn place(&self, authority: &str, target: &str) -> Option<String> {
        let (host, _) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let origin = self.0.get(&host)?;
        // What follows the authority has to begin with a slash, or it would belong to the authority.
        (target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| format!("{origin}{target}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use url::Url;

    #[test]
    fn a_known_host_is_sent_to_the_same_place_on_https() {
        let origins: Vec<_> =
            ["https://b.test:8443", "https://a.test:8443", "https://a.test", "http://c.test"]
                .iter()
                .filter_map(|url| PublicOrigin::of(&Url::parse(url).unwrap()))
                .collect();
        let hosts = HttpsHosts::new(&origins);
        for (authority, target, expected) in [
            ("a.test", "/x?y=%2F", Some("https://a.test/x?y=%2F")),
            ("A.TEST.:80", "/", Some("https://a.test/")),
            ("a.test:8080", "//evil.test", Some("https://a.test//evil.test")),
            ("b.test", "/", Some("https://b.test:8443/")),
            ("c.test", "/", None),
            ("evil.test", "/", None),
            ("a.test", "@evil.test/", None),
            ("a.test", ".evil.test/", None),
            ("a.test", "*", None),
            ("", "/", None),
        ] {
            assert_eq!(hosts.place(authority, target).as_deref(), expected, "{authority} {target}");
        }
    }
}
