//! One canonical path, computed once: what the rules judge is what the upstream receives.
//!
//! Most bypasses of authenticating proxies come from two programs reading one path differently. So a
//! path is brought into a single normal form before anything looks at it, and a path with two possible
//! readings is refused rather than guessed at: encoded slashes and backslashes, dot segments, empty
//! segments, `;` parameters, NUL and other control bytes, invalid UTF-8, and anything that would mean
//! something else if it were decoded once more.
//!
//! An encoded `#` or `?` is legal, yet some applications cut the path there. An encoded `@` is legal and another
//! path than a plain one, yet most applications decode it. Such a path carries further
//! [readings](CanonicalPath::readings), and only what every reading permits is permitted.
//!
//! Sources: RFC 3986 §6.2.2; requirement C-72; the classes B1 to B9 of published advisories.

use std::fmt;

/// A request path in normal form: begins with `/`, percent-encodings in upper case, nothing unreserved
/// encoded, every segment meaning the same to every reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    text: String,
    /// What else it may be read as.
    others: Vec<String>,
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
    /// `%25` followed by two hexadecimal digits, which may be encoded themselves.
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
    /// A raw `?`, where a query begins.
    #[error("the path contains a query")]
    Query,
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
        let (mut cut, mut is_decoded_further) = (None, false);
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
                    b'#' | b'?' => {
                        cut.get_or_insert(text.len());
                        push_encoded(&mut text, value);
                    }
                    value if is_unreserved(value) => text.push(char::from(value)),
                    value => {
                        is_decoded_further |= may_stand_plain(value);
                        push_encoded(&mut text, value);
                    }
                }
                continue;
            }
            match byte {
                b'#' => return Err(AmbiguousPath::Fragment),
                b'?' => return Err(AmbiguousPath::Query),
                b'\\' => return Err(AmbiguousPath::Separator),
                b';' => return Err(AmbiguousPath::Parameters),
                0x21..=0x7E => text.push(char::from(*byte)),
                _ => return Err(AmbiguousPath::Byte),
            }
            if let Some(decoded) = &mut decoded {
                decoded.push(*byte);
            }
        }
        if let Some(bytes) = decoded {
            if std::str::from_utf8(&bytes).is_err() {
                return Err(AmbiguousPath::Encoding);
            }
            // Only now, because the digits may have been encoded too.
            let encodes = |rest: &str| rest.bytes().take(2).filter_map(hex).count() == 2;
            if text.split("%25").skip(1).any(encodes) {
                return Err(AmbiguousPath::DoubleEncoding);
            }
        }
        check_segments(&text)?;
        let mut others = Vec::new();
        if let Some(cut) = cut {
            let cut = text.get(..cut).unwrap_or_default();
            check_segments(cut)?;
            others.push(cut.to_owned());
        }
        if is_decoded_further {
            let decoded: Vec<_> = others.iter().chain([&text]).map(|path| decode(path)).collect();
            others.extend(decoded);
        }
        Ok(Self { text, others })
    }

    /// The path as it is judged, logged and sent upstream.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Every way in which an application might read this path; the first is the path itself.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.text).chain(&self.others).map(String::as_str)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Refuses empty and dot segments. A single trailing slash is not an empty segment. Spaces around dots do not hide
/// them: some file systems drop them.
fn check_segments(path: &str) -> Result<(), AmbiguousPath> {
    let mut rest = path.as_bytes().strip_prefix(b"/").unwrap_or_default();
    loop {
        let end = memchr::memchr(b'/', rest);
        let segment = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if segment.is_empty() && end.is_some() {
            return Err(AmbiguousPath::EmptySegment);
        }
        if matches!(unspaced(segment), b"." | b"..") {
            return Err(AmbiguousPath::DotSegment);
        }
        let Some(end) = end else { return Ok(()) };
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// A segment without the encoded spaces at its ends.
fn unspaced(mut segment: &[u8]) -> &[u8] {
    while let Some(rest) = segment.strip_prefix(b"%20") {
        segment = rest;
    }
    while let Some(rest) = segment.strip_suffix(b"%20") {
        segment = rest;
    }
    segment
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

/// Whether a path may also hold this byte as it is. RFC 3986 §2.2 makes two paths of these spellings.
fn may_stand_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#%/;?\\".contains(&byte)
}

/// A canonical path as an application reads it that decodes whatever may stand plain.
fn decode(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let value = match piece.as_bytes() {
            [high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match value.filter(|value| may_stand_plain(*value)).zip(piece.get(2..)) {
            Some((value, rest)) => {
                decoded.push(char::from(value));
                decoded.push_str(rest);
            }
            None => {
                decoded.push('%');
                decoded.push_str(piece);
            }
        }
    }
    decoded
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
            ("/a?b", AmbiguousPath::Query),
            ("/public/..%20/admin", AmbiguousPath::DotSegment),
            ("/public/%20../admin", AmbiguousPath::DotSegment),
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
            ("/%25%36%31dmin", AmbiguousPath::DoubleEncoding),
            ("/%254%31dmin", AmbiguousPath::DoubleEncoding),
            ("/%25%41%41", AmbiguousPath::DoubleEncoding),
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
            ("/%20/...", "/%20/..."),
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

        let path = CanonicalPath::parse("/plain/%C3%A9%20%25").unwrap();
        assert_eq!(path.readings().collect::<Vec<_>>(), ["/plain/%C3%A9%20%25"]);
    }

    /// B3 (CVE-2025-66490): most applications decode what RFC 3986 lets stand either way, so a rule about the
    /// plain spelling is met by the encoded one.
    #[test]
    fn an_encoded_character_that_may_stand_plain_adds_a_reading() {
        for (raw, expected) in [
            ("/~a%40b", &["/~a%40b", "/~a@b"][..]),
            ("/%5bx%5D/%25%2B%20", &["/%5Bx%5D/%25%2B%20", "/[x]/%25+%20"]),
            ("/a%40%3fb", &["/a%40%3Fb", "/a%40", "/a@", "/a@%3Fb"]),
        ] {
            let path = CanonicalPath::parse(raw).unwrap();
            assert_eq!(path.readings().collect::<Vec<_>>(), expected, "{raw}");
        }
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
        /// What was accepted is accepted again and stays as it is, in any text and in any that is all encodings.
        #[test]
        fn normalising_is_idempotent(
            raw in "/[ -~]{0,40}|(/|%25|%[2-7][0-9A-Fa-f]|[0-9A-Za-z.]|\\PC){1,12}",
        ) {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                proptest::prop_assert_eq!(CanonicalPath::parse(path.as_str()), Ok(path.clone()));
                for reading in path.readings() {
                    proptest::prop_assert!(check_segments(reading).is_ok(), "{}", reading);
                }
            }
        }

        /// Another spelling of the same characters is the same path, so no rule can tell them apart.
        #[test]
        fn equivalent_spellings_of_any_path_have_one_form(
            path in "(/[a-zA-Z0-9_~-]{1,6}){1,4}",
            encoded: [bool; 32],
            lower: bool,
        ) {
            let spelled: String = path
                .bytes()
                .zip(encoded.into_iter().cycle())
                .map(|(byte, encoded)| match (encoded && byte != b'/', lower) {
                    (false, _) => char::from(byte).to_string(),
                    (true, true) => format!("%{byte:02x}"),
                    (true, false) => format!("%{byte:02X}"),
                })
                .collect();
            let found = CanonicalPath::parse(&spelled);
            proptest::prop_assert_eq!(found, CanonicalPath::parse(&path), "{}", spelled);
        }
    }
}
