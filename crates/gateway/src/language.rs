//! Which language a visitor reads: of those that pages are in, the one that their browser asks for most.
//!
//! What a browser asks for is matched by shortening it from its end (`de-AT`, then `de`), and then the other way
//! round, so that a page in `pt-BR` is found by whoever asks for `pt`. A weight of zero says "not this one". Whatever
//! is not understood is not a wish; somebody without one gets the first language of the list.
//!
//! Sources: RFC 9110 §12.5.4 (Accept-Language), §12.4.2 (weights); RFC 4647 §3.4 (lookup); BCP 47.

use http::{HeaderMap, header};

use crate::weight::thousandths;

/// How many wishes of a browser are looked at. People read fewer languages, and the header is a stranger's.
const WISHES_MAX: usize = 32;

/// The languages that the program speaks by itself.
pub const SPOKEN: [&str; 3] = ["en", "de", "ar"];

/// The languages that pages are in, as tags of BCP 47; the first is for everybody who asks for none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages(Vec<String>);

impl Languages {
    /// These, in this order. Without any, pages are in English.
    pub fn new(mut tags: Vec<String>) -> Self {
        if tags.is_empty() {
            tags.push("en".to_owned());
        }
        Self(tags)
    }

    /// Their tags.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The language of a page for whoever sent `headers`.
    pub fn of(&self, headers: &HeaderMap) -> &str {
        self.wanted(headers).or_else(|| self.tags().next()).unwrap_or("en")
    }

    /// The language that the browser asks for, if pages are in it.
    pub fn wanted(&self, headers: &HeaderMap) -> Option<&str> {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let texts = lines.filter_map(|line| line.to_str().ok());
        let mut wishes: Vec<_> =
            texts.flat_map(|text| text.split(',')).take(WISHES_MAX).filter_map(wish).collect();
        // Equal weights stay in the order in which they were written.
        wishes.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let unwanted: Vec<_> =
            wishes.iter().filter(|(_, weight)| *weight == 0).map(|(range, _)| *range).collect();
        let wanted = wishes.iter().filter(|(_, weight)| *weight > 0);
        wanted.map(|(range, _)| *range).find_map(|range| {
            let is_refused =
                |tag: &str| unwanted.iter().any(|range| tag.eq_ignore_ascii_case(range));
            match range {
                "*" => self.tags().find(|tag| !is_refused(tag)),
                _ => self.lookup(range).filter(|tag| !is_refused(tag)),
            }
        })
    }

    fn lookup(&self, range: &str) -> Option<&str> {
        let mut shorter = range;
        loop {
            if let Some(tag) = self.tags().find(|tag| tag.eq_ignore_ascii_case(shorter)) {
                return Some(tag);
            }
            match shorter.rsplit_once('-') {
                Some((start, _)) => shorter = start,
                None => break,
            }
        }
        self.tags().find(|tag| {
            tag.split_at_checked(shorter.len()).is_some_and(|(start, rest)| {
                start.eq_ignore_ascii_case(shorter) && rest.starts_with('-')
            })
        })
    }
}

impl Default for Languages {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// A language range and its weight in thousandths.
fn wish(text: &str) -> Option<(&str, u16)> {
    let (range, parameters) = text.split_once(';').unwrap_or((text, "q=1"));
    let range = range.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if range != "*" && (range.is_empty() || range.len() > 64 || !range.bytes().all(plain)) {
        return None;
    }
    let weight = parameters.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim();
    Some((range, thousandths(weight)?))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn languages(tags: &[&str]) -> Languages {
        Languages::new(tags.iter().map(|tag| (*tag).to_owned()).collect())
    }

    fn asking(lines: &[&'static str]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_static(line));
        lines.map(|line| (header::ACCEPT_LANGUAGE, line)).collect()
    }

    /// P-06, RFC 9110 §12.5.4.
    #[test]
    fn the_language_is_the_one_that_is_asked_for_most_among_those_that_there_are() {
        let ours = languages(&["en", "de", "ar", "pt-BR"]);
        for (lines, expected) in [
            (&["de"][..], "de"),
            (&["de-AT,de;q=0.9,en;q=0.8"], "de"),
            (&["DE-at"], "de"),
            (&["fr-FR,fr;q=0.9,ar;q=0.4,en;q=0.3"], "ar"),
            (&["en;q=0.4, de;q=0.5"], "de"),
            (&["en;q=0.5, de;q=0.5"], "en"),
            (&["fr, ar-EG;q=0.001"], "ar"),
            (&["ar-Latn-EG-x-private"], "ar"),
            (&["pt"], "pt-BR"),
            (&["pt-PT"], "pt-BR"),
            (&["fr", "de;q=0.3"], "de"),
            (&["*"], "en"),
            (&["de;q=0, *"], "en"),
            // Any is wanted but the one that is not.
            (&["en;q=0, *"], "de"),
            (&["en;q=0, de;q=0, *;q=0.1"], "ar"),
            (&["*;q=0, de"], "de"),
            (&["en;q=0, de;q=0.1"], "de"),
            (&["de ; q = 0.2 , ar;Q=0.3"], "ar"),
            // What nobody understands is no wish.
            (&[""], "en"),
            (&[";;,,;q=1"], "en"),
            (&["de;q=7"], "en"),
            (&["de;q=0.1234"], "en"),
            (&["de;level=1"], "en"),
            (&["d_e"], "en"),
            (&[], "en"),
        ] {
            assert_eq!(ours.of(&asking(lines)), expected, "{lines:?}");
        }
        assert_eq!(
            languages(&["de", "en"]).of(&asking(&["fr"])),
            "de",
            "the first is for the rest"
        );
        assert_eq!(languages(&[]).of(&asking(&["de"])), "en");
    }

    /// P-06: a provider is told a language only when somebody asked for it.
    #[test]
    fn a_language_that_nobody_asked_for_is_no_wish() {
        let ours = languages(&["de", "en"]);
        assert_eq!(ours.wanted(&asking(&["fr, en;q=0.1"])), Some("en"));
        assert_eq!(ours.wanted(&asking(&["fr"])), None);
        assert_eq!(ours.wanted(&asking(&[])), None);
    }

    #[test]
    fn a_header_without_end_is_not_read_to_its_end() {
        let line = format!("{}de", "x-y;q=0.1,".repeat(1000));
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::try_from(line).unwrap());
        assert_eq!(languages(&["en", "de"]).of(&headers), "en");
    }
}
