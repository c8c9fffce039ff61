//! One canonical path, computed once: what the rules judge is what the upstream receives.
//!
//! Most bypasses of authenticating proxies come from two programs reading one path differently. So a
//! path is brought into a single normal form before anything looks at it, and a path with two possible
//! readings is refused rather than guessed at: encoded slashes and backslashes, dot segments, empty
//! segments, `;` parameters, NUL and other control bytes, invalid UTF-8, and anything that would mean
//! something else if it were decoded once more.
//!
//! An encoded `#` or `?` is legal, yet some applications cut the path there. Such a path carries a second
//! [reading](CanonicalPath::readings), and only what every reading permits is permitted.
//!
//! Sources: RFC 3986 §6.2.2; requirement C-72; the classes B1 to B9 of published advisories.

use std::fmt;

/// A request path in normal form: begins with `/`, percent-encodings in upper case, nothing unreserved
/// encoded, every segment meaning the same to every reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: String,
    /// Where an encoded `#` or `?` begins, if there is one.
    cut: Option<usize>,
}

/// Why a path has no single reading. The request is answered 400 before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// Raw or encoded control bytes, NUL, spaces, or bytes outside ASCII.
    #[error("the path contains a byte that no path may contain")]
    Byte,
    /// `.` or `..` as a segment, raw or encoded.
    #[error("the path contains a dot segment")]
    DotSegment,
    /// `%25` followed by two hexadecimal digits.
    #[error("the path is encoded twice")]
    DoubleEncoding,
    /// `//`.
    #[error("the path contains an empty segment")]
    EmptySegment,
    /// `%` that is not followed by two hexadecimal digits, or bytes that are not UTF-8 once decoded.
    #[error("the path is wrongly encoded")]
    Encoding,
    /// A raw `#`, which no request target has.
    #[error("the path contains a fragment")]
    Fragment,
    /// `;` or `%3B`: some servers cut a segment there, others do not.
    #[error("the path contains `;` parameters")]
    Parameters,
    /// `%2F`, `%5C` or a raw backslash.
    #[error("the path contains an encoded or foreign separator")]
    Separator,
    /// The path does not begin with `/`.
    #[error("the path does not begin with a slash")]
    Start,
}

impl CanonicalPath {
    /// Reads the path of a request target (everything before the first `?`), as it was received.
    ///
    /// Applying this to its own result changes nothing.
    ///
    /// # Errors
    /// [`AmbiguousPath`] says which ambiguity was found first.
    pub fn parse(raw: &str) -> Result<Self, AmbiguousPath> {
        if !raw.starts_with('/') {
            return Err(AmbiguousPath::Start);
        }
        let mut text = String::with_capacity(raw.len());
        // Only filled when something is encoded: the decoded bytes have to be UTF-8.
        let mut decoded: Option<Vec<u8>> = None;
        let mut cut = None;
        let mut rest = raw.as_bytes();
        while let [byte, tail @ ..] = rest {
            rest = tail;
            if *byte == b'%' {
                let [high, low, tail @ ..] = rest else { return Err(AmbiguousPath::Encoding) };
                let value = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low);
                let Some(value) = value else { return Err(AmbiguousPath::Encoding) };
                rest = tail;
                decoded.get_or_insert_with(|| text.as_bytes().to_vec()).push(value);
                match value {
                    0x00..=0x1F | 0x7F => return Err(AmbiguousPath::Byte),
                    b'/' | b'\\' => return Err(AmbiguousPath::Separator),
                    b';' => return Err(AmbiguousPath::Parameters),
                    b'%' if matches!(rest, [a, b, ..] if hex(*a).zip(hex(*b)).is_some()) => {
                        return Err(AmbiguousPath::DoubleEncoding);
                    }
                    b'#' | b'?' => {
                        cut.get_or_insert(text.len());
                        push_encoded(&mut text, value);
                    }
                    value if is_unreserved(value) => text.push(char::from(value)),
                    value => push_encoded(&mut text, value),
                }
                continue;
            }
            match byte {
                b'#' => return Err(AmbiguousPath::Fragment),
                b'\\' => return Err(AmbiguousPath::Separator),
                b';' => return Err(AmbiguousPath::Parameters),
                0x21..=0x7E => text.push(char::from(*byte)),
                _ => return Err(AmbiguousPath::Byte),
            }
            if let Some(decoded) = &mut decoded {
                decoded.push(*byte);
            }
        }
        if decoded.is_some_and(|bytes| std::str::from_utf8(&bytes).is_err()) {
            return Err(AmbiguousPath::Encoding);
        }
        check_segments(&text)?;
        if let Some(cut) = cut {
            check_segments(text.get(..cut).unwrap_or_default())?;
        }
        Ok(Self { text, cut })
    }

    /// The path as it is judged, logged and sent upstream.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every way in which an application might read this path; the first is the path itself.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        let cut = self.cut.and_then(|cut| self.text.get(..cut));
        std::iter::once(self.text.as_str()).chain(cut)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Refuses empty and dot segments. A single trailing slash is not an empty segment.
fn check_segments(path: &str) -> Result<(), AmbiguousPath> {
    let mut rest = path.as_bytes().strip_prefix(b"/").unwrap_or_default();
    loop {
        let end = memchr::memchr(b'/', rest);
        match (rest.get(..end.unwrap_or(rest.len())), end) {
            (Some(b""), Some(_)) => return Err(AmbiguousPath::EmptySegment),
            (Some(b"." | b".."), _) => return Err(AmbiguousPath::DotSegment),
            _ => {}
        }
        let Some(end) = end else { return Ok(()) };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_encoded(text: &mut String, byte: u8) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    text.extend(DIGITS.get(usize::from(byte >> 4)));
    text.extend(DIGITS.get(usize::from(byte & 0x0F)));
}

/// Which paths a rule is about: exact, unless it contains `*` (one segment) or `**` (the rest).
///
/// Matching is by whole segments and linear in the path's length. `/admin/**` matches `/admin/x` and
/// `/admin/x/y`, and also `/admin` and `/admin/` themselves, so that the entrance of a tree is never left
/// outside its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    /// Whether the pattern ends with `/**`.
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Exactly(String),
    /// `*` alone, or with text around it, as in `*.php`.
    Like {
        prefix: String,
        suffix: String,
    },
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern's literal text is not a canonical path.
    #[error("no canonical path can match it: {0}")]
    Ambiguous(AmbiguousPath),
    /// The pattern would be written differently in normal form.
    #[error("requests are compared in normal form, which is `{canonical}`")]
    NotCanonical {
        /// What to write instead.
        canonical: String,
    },
    /// `**` elsewhere than as the last segment, or two `*` in one segment.
    #[error("`**` may only stand at the end, after a `/`, and a segment may hold one `*`")]
    Stars,
}

impl PathPattern {
    /// Reads a pattern as written in the configuration.
    ///
    /// # Errors
    /// [`PatternError`] when it could never match, or would match something else than it seems to.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let canonical = CanonicalPath::parse(text).map_err(PatternError::Ambiguous)?;
        if canonical.as_str() != text {
            return Err(PatternError::NotCanonical { canonical: canonical.text });
        }
        let (body, rest) = match text.strip_suffix("/**") {
            Some(body) => (body, true),
            None => (text, false),
        };
        let segments = body.split('/').skip(1).map(Segment::parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), segments, rest })
    }

    /// Whether `path`, one reading of a canonical path, is one of those that this pattern is about.
    pub fn matches(&self, path: &str) -> bool {
        let mut given = path.split('/').skip(1);
        for segment in &self.segments {
            let Some(text) = given.next() else { return false };
            if !segment.matches(text) {
                return false;
            }
        }
        self.rest || given.next().is_none()
    }

    /// The pattern as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every path that `other` matches is matched by this pattern too, so that a later rule with
    /// `other` can never be reached. Says `false` when in doubt.
    pub fn covers(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        if !self.rest || self.segments.len() > other.segments.len() {
            return false;
        }
        self.segments.iter().zip(&other.segments).all(|(mine, theirs)| mine.covers(theirs))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        match text.split_once('*') {
            None => Ok(Self::Exactly(text.to_owned())),
            Some((_, suffix)) if suffix.contains('*') => Err(PatternError::Stars),
            Some((prefix, suffix)) => {
                Ok(Self::Like { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
            }
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exactly(expected) => text == expected,
            Self::Like { prefix, suffix } => {
                !text.is_empty()
                    && text.len() >= prefix.len() + suffix.len()
                    && text.starts_with(prefix.as_str())
                    && text.ends_with(suffix.as_str())
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(_), Self::Like { .. }) => false,
            (mine, Self::Exactly(text)) => mine.matches(text),
            (
                Self::Like { prefix, suffix },
                Self::Like { prefix: other_prefix, suffix: other_suffix },
            ) => {
                other_prefix.starts_with(prefix.as_str()) && other_suffix.ends_with(suffix.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-72, B3: a path that two programs could read differently never reaches a rule.
    #[test]
    fn an_ambiguous_path_is_refused() {
        for (raw, expected) in [
            ("admin", AmbiguousPath::Start),
            ("", AmbiguousPath::Start),
            ("/a#b", AmbiguousPath::Fragment),
            ("/public/../admin", AmbiguousPath::DotSegment),
            ("/./admin", AmbiguousPath::DotSegment),
            ("/admin/.", AmbiguousPath::DotSegment),
            ("/public/%2e%2e/admin", AmbiguousPath::DotSegment),
            ("/public/.%2E/admin", AmbiguousPath::DotSegment),
            ("/public/..%2fadmin", AmbiguousPath::Separator),
            ("/public/..%5cadmin", AmbiguousPath::Separator),
            ("/public\\admin", AmbiguousPath::Separator),
            ("//admin", AmbiguousPath::EmptySegment),
            ("/a//", AmbiguousPath::EmptySegment),
            ("/admin;jsessionid=1", AmbiguousPath::Parameters),
            ("/admin%3Bx", AmbiguousPath::Parameters),
            ("/admin%00/x", AmbiguousPath::Byte),
            ("/admin\u{7f}", AmbiguousPath::Byte),
            ("/é", AmbiguousPath::Byte),
            ("/a b", AmbiguousPath::Byte),
            ("/admin/%c0%af", AmbiguousPath::Encoding),
            ("/a%zz", AmbiguousPath::Encoding),
            ("/a%2", AmbiguousPath::Encoding),
            ("/%252e%252e/admin", AmbiguousPath::DoubleEncoding),
            ("/public/..%23/", AmbiguousPath::DotSegment),
        ] {
            assert_eq!(CanonicalPath::parse(raw), Err(expected), "{raw}");
        }
    }

    /// B5, B7: equivalent spellings become one text, which is what the upstream gets.
    #[test]
    fn equivalent_spellings_have_one_form() {
        for (raw, expected) in [
            ("/", "/"),
            ("/%61dmin/x", "/admin/x"),
            ("/a%7eb", "/a~b"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b/", "/a%20b/"),
            ("/100%25", "/100%25"),
            ("/a%2bb+c", "/a%2Bb+c"),
            ("/[x]|y", "/[x]|y"),
        ] {
            let path = CanonicalPath::parse(raw).unwrap();
            assert_eq!(path.as_str(), expected, "{raw}");
            assert_eq!(CanonicalPath::parse(path.as_str()).unwrap(), path, "idempotent: {raw}");
        }
    }

    /// B2: an application may cut the path at an encoded `#` or `?`.
    #[test]
    fn an_encoded_delimiter_adds_a_reading() {
        let path = CanonicalPath::parse("/foo/secret%23/bar").unwrap();
        assert_eq!(path.readings().collect::<Vec<_>>(), ["/foo/secret%23/bar", "/foo/secret"]);

        let path = CanonicalPath::parse("/plain").unwrap();
        assert_eq!(path.readings().collect::<Vec<_>>(), ["/plain"]);
    }

    #[test]
    fn patterns_match_whole_segments() {
        for (pattern, path, expected) in [
            ("/api/health", "/api/health", true),
            ("/api/health", "/api/health/", false),
            ("/api/health", "/api/healthy", false),
            ("/admin/**", "/admin/x/y", true),
            ("/admin/**", "/admin/", true),
            ("/admin/**", "/admin", true),
            ("/admin/**", "/administrator", false),
            ("/u/*/photo", "/u/ada/photo", true),
            ("/u/*/photo", "/u//photo", false),
            ("/u/*/photo", "/u/ada/b/photo", false),
            ("/*.php", "/index.php", true),
            ("/*.php", "/x/index.php", false),
            ("/**", "/", true),
            ("/**", "/anything/at/all", true),
            ("/github-webhook/", "/github-webhook/", true),
            ("/github-webhook/", "/github-webhook", false),
        ] {
            assert_eq!(
                PathPattern::parse(pattern).unwrap().matches(path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn a_pattern_that_cannot_mean_what_it_says_is_refused() {
        assert_eq!(PathPattern::parse("/a/**/b"), Err(PatternError::Stars));
        assert_eq!(
            PathPattern::parse("/caf%c3%a9"),
            Err(PatternError::NotCanonical { canonical: "/caf%C3%A9".to_owned() })
        );
        assert_eq!(
            PathPattern::parse("/a/../b"),
            Err(PatternError::Ambiguous(AmbiguousPath::DotSegment))
        );
    }

    /// C-71: `check` reports rules that can never match.
    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow, expected) in [
            ("/**", "/a/b", true),
            ("/a/**", "/a/b/**", true),
            ("/a/*/**", "/a/b/c", true),
            ("/a/b/**", "/a/**", false),
            ("/a", "/a/**", false),
            ("/a", "/a", true),
        ] {
            let (wide, narrow) =
                (PathPattern::parse(wide).unwrap(), PathPattern::parse(narrow).unwrap());
            assert_eq!(wide.covers(&narrow), expected, "{} {}", wide.as_str(), narrow.as_str());
        }
    }

    proptest::proptest! {
        /// What was accepted keeps its decision after one more decoding, in any text.
        #[test]
        fn normalising_is_idempotent(raw in "/[ -~]{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                proptest::prop_assert_eq!(CanonicalPath::parse(path.as_str()), Ok(path.clone()));
            }
        }
    }
}
