//! Return targets that must lead home (A1, A2, A4).

use super::{Group, fill, these};

pub(crate) const ABOUT: &str = "Return targets that must lead home, on https://app.test with https://a.corp.test allowed beside it.";

const BYTES: [&str; 8] = ["<TAB>", "<LF>", "<CR>", "<VT>", "<NUL>", "<ESC>", "<DEL>", "<SP>"];
/// Encoded, those are part of a path; no path of ours has them.
const ENCODED: [&str; 7] = ["%09", "%0a", "%0d", "%0b", "%00", "%1b", "%7F"];
const DOTS: [&str; 9] = [".", "..", "%2e", "%2E%2e", ".%2e", "%2e.", "x/..", "x/%2e%2e", "x/../.."];

pub(crate) fn groups() -> Vec<Group> {
    vec![
        (
            "Slashes at the start: another host by RFC 3986.",
            fill(
                &[
                    "*evil.test",
                    "*evil.test/",
                    "*evil.test/%2f..",
                    "*evil.test?app.test",
                    "*app.test@evil.test",
                ],
                &["//", "///", "////", "/////"],
            ),
        ),
        ("Slashes and backslashes, which browsers hold for one.", slashes()),
        (
            "Bytes that browsers drop or turn round, between slashes, before them and inside a scheme.",
            fill(
                &[
                    "/*/evil.test",
                    "/*\\evil.test",
                    "/*evil.test",
                    "*//evil.test",
                    "*/evil.test",
                    "//*evil.test",
                    "*https://evil.test",
                    "ht*tps://evil.test",
                    "https*://evil.test",
                    "https:*//evil.test",
                    "https:/*/evil.test",
                    "https://*evil.test",
                    "https://app.test*.evil.test",
                    "/ok*",
                ],
                &BYTES,
            ),
        ),
        (
            "The same bytes, encoded.",
            fill(
                &[
                    "/*/evil.test",
                    "/*evil.test",
                    "*//evil.test",
                    "https://app.test*.evil.test",
                    "https:*//evil.test",
                ],
                &ENCODED,
            ),
        ),
        (
            "Dot segments before two slashes.",
            fill(&["/*//evil.test", "/*/\\evil.test", "/*\\evil.test"], &DOTS),
        ),
        (
            "A scheme with fewer or more slashes than two.",
            fill(
                &[
                    "*:evil.test",
                    "*:/evil.test",
                    "*:///evil.test",
                    "*:////evil.test",
                    "*:\\evil.test",
                    "*:\\\\evil.test",
                    "*:/\\evil.test",
                    "*:app.test",
                    "*:/app.test/x",
                    "*:",
                    "*:/",
                    "*://",
                ],
                &["https", "http", "HTTPS", "hTTp"],
            ),
        ),
        (
            "A user in the authority.",
            fill(
                &["https://*@evil.test", "https://*@evil.test/x", "https://*@app.test/x"],
                &[
                    "app.test",
                    "app.test:443",
                    "user",
                    "user:pw",
                    ";",
                    "app.test%20",
                    "app.test%2F",
                    "app.test\\",
                    "evil.test",
                    "app.test@app.test",
                    ":",
                    "%00",
                ],
            ),
        ),
        (
            "Another host, with ours somewhere in it.",
            fill(
                &["https://*", "https://*/", "//*", "https://*:443/x"],
                &[
                    "evil.test",
                    "evil.test#app.test",
                    "evil.test?app.test",
                    "evil.test/app.test",
                    "evil.test\\app.test",
                    "app.test.evil.test",
                    "evilapp.test",
                    "app.testevil",
                    "xapp.test",
                    "app-test",
                    "app.test%00.evil.test",
                    "app.test%2eevil.test",
                    "app.test%2f.evil.test",
                    "app.test%5c.evil.test",
                    "app.test_.evil.test",
                    "app.tes",
                    "test",
                    "localhost",
                    "app.test,evil.test",
                    "app.test;evil.test",
                    "app.test&evil.test",
                ],
            ),
        ),
        (
            "Our host with another port, or with something that is none.",
            fill(
                &["https://app.test:*", "https://app.test:*/x"],
                &[
                    "444",
                    "80",
                    "8443",
                    "0",
                    "65536",
                    "443.evil.test",
                    "443@evil.test",
                    "-443",
                    "4 43",
                    "x",
                ],
            ),
        ),
        (
            "Our host, not as a browser writes it.",
            fill(
                &["*/x"],
                &[
                    "https://app.test.",
                    "https://app.test..",
                    "https://.app.test",
                    "https://app%2etest",
                    "https://a%70p.test",
                    "https://app\u{3002}test",
                    "https://app\u{ff0e}test",
                    "https://app\u{ff61}test",
                    "https://\u{ff41}pp.test",
                    "https://a\u{ad}pp.test",
                    "https://app.te\u{17f}t",
                    "https://xn--app-4na.test",
                    "https://xn--.test",
                    "https:\u{ff0f}\u{ff0f}app.test",
                    "\u{ff0f}\u{ff0f}app.test",
                ],
            ),
        ),
        (
            "Another host in other letters.",
            these(&[
                "https://evil\u{3002}test",
                "https://evil\u{ff0e}test",
                "//evil\u{3002}test",
                "/\u{ff0f}evil.test",
                "\u{ff0f}\u{ff0f}evil.test",
                "\u{2215}\u{2215}evil.test",
                "https:\u{ff0f}\u{ff0f}evil.test",
                "https://\u{24d4}vil.test",
                "//\u{202e}tset.live",
                "https\u{ff1a}//evil.test",
                "\u{feff}//evil.test",
                "\u{a0}//evil.test",
                "\u{2028}//evil.test",
            ]),
        ),
        (
            "Addresses in every notation.",
            fill(
                &["https://*/", "//*/"],
                &[
                    "2130706433",
                    "0x7f000001",
                    "017700000001",
                    "0x7f.1",
                    "127.1",
                    "[::1]",
                    "[::ffff:127.0.0.1]",
                    "[::216.58.214.206]",
                    "[::1%25lo]",
                    "192.0.2.1",
                    "0",
                ],
            ),
        ),
        (
            "The list: scheme, port and the whole name count.",
            fill(
                &["*", "*/x"],
                &[
                    "http://app.test",
                    "http://a.corp.test",
                    "https://badcorp.test",
                    "https://corp.test",
                    "https://.corp.test",
                    "https://b.corp.test",
                    "https://a.b.corp.test",
                    "https://aa.corp.test",
                    "https://a.corp.test:8443",
                    "https://a.corp.test.",
                    "https://a.corp.test.evil.test",
                    "https://a-corp.test",
                    "https://a.corp.testx",
                    "http://a.corp.test:443",
                    "ws://a.corp.test",
                    "//a.corp.test",
                ],
            ),
        ),
        (
            "Other schemes.",
            fill(
                &["*"],
                &[
                    "javascript:alert(1)",
                    "javascript://app.test/%0aalert(1)",
                    "javascript://app.test/<LF>alert(1)",
                    "java<TAB>script:alert(1)",
                    "java%0dscript:alert(1)",
                    "java<CR><LF>script:alert(1)",
                    "JaVaScRiPt:alert(1)",
                    "<SP>javascript:alert(1)",
                    "/javascript:alert(1)//<LF>",
                    "data:text/html,<script>alert(1)</script>",
                    "data:text/html;base64,PHNjcmlwdD4=",
                    "vbscript:msgbox(1)",
                    "file:///etc/passwd",
                    "file://app.test/x",
                    "blob:https://app.test/x",
                    "filesystem:https://app.test/x",
                    "about:blank",
                    "about:srcdoc",
                    "view-source:https://app.test",
                    "ftp://app.test/",
                    "ws://app.test/",
                    "wss://app.test/",
                    "mailto:a@app.test",
                    "tel:1",
                    "intent://app.test#Intent;end",
                    "x:",
                    ":",
                    "://",
                    "://evil.test",
                ],
            ),
        ),
        (
            "Lines of a header.",
            fill(
                &[
                    "/ok*Set-Cookie:x=1",
                    "/ok?q=*Set-Cookie:x=1",
                    "/*Location:https://evil.test",
                    "https://app.test/*X:y",
                    "https://app.test*X:y",
                ],
                &[
                    "<CR><LF>",
                    "<LF>",
                    "<CR>",
                    "<LF><SP>",
                    "<NUL><CR><LF>",
                    "\u{560a}\u{560d}",
                    "\u{85}",
                ],
            ),
        ),
        (
            "The same, encoded into a path.",
            fill(
                &["/ok*Set-Cookie:x=1", "/*Location:https://evil.test"],
                &["%0d%0a", "%0a", "%0D", "%00%0d%0a", "%250d%250a"],
            ),
        ),
        (
            "Encoded twice.",
            these(&[
                "/%252f%252fevil.test",
                "%252f%252fevil.test",
                "/%252e%252e/%252e%252e",
                "/%255cevil.test",
                "/%2509/evil.test",
                "/%25%32%66evil.test",
                "/x/%252e%252e//evil.test",
            ]),
        ),
        (
            "Encoded separators.",
            fill(
                &["/*evil.test", "/x*evil.test", "*evil.test", "/..*evil.test", "/**evil.test"],
                &["%2f", "%2F", "%5c", "%5C", "%2f%2f", "%5c%5c", "%2f%5c"],
            ),
        ),
        (
            "Paths that we would refuse ourselves.",
            these(&[
                "/a//b", "/a/", "/a;b", "/a%3bb", "/a%zz", "/a%", "/a%2", "/a%c0%af", "/a%ff",
                "/a%e2%80", "/a\\b", "/a\u{e9}", "/a b", "//", "///", "/\\", "\\/", "\\\\", "\\",
            ])
            .into_iter()
            .filter(|line| line != "/a/")
            .collect(),
        ),
        ("Our own pages, which would begin the next sign-in or sign-out.", own_pages()),
        (
            "No place at all.",
            these(&[
                "",
                "evil.test",
                "evil.test/x",
                "app.test",
                "app.test/x",
                "?x",
                "?//evil.test",
                "#x",
                "#//evil.test",
                ".",
                "..",
                "./x",
                "../x",
                "./",
                ".//evil.test",
                "..//evil.test",
                "@evil.test",
                ":80",
                "*",
                "~",
                "x",
                "%",
                "%2f",
                "%68ttps://evil.test",
                "null",
                "undefined",
                "-",
                "<SP>",
                "<TAB>",
                "<LF>",
                "?rd=/ok&rd=//evil.test",
                "rd[]=/ok",
                "&return_to=/ok",
            ]),
        ),
    ]
}

/// Every row of two to four slashes and backslashes that has a backslash in it.
fn slashes() -> Vec<String> {
    let mut lines = Vec::new();
    for length in 2..=4_u32 {
        for turn in 1..1_u32 << length {
            let row: String =
                (0..length).map(|at| if turn >> at & 1 == 1 { '\\' } else { '/' }).collect();
            lines.push(format!("{row}evil.test"));
        }
    }
    lines
}

fn own_pages() -> Vec<String> {
    let spellings = [
        "/.lychgate",
        "/.LYCHGATE",
        "/.LychGate",
        "/%2elychgate",
        "/%2Elychgate",
        "/.%6cychgate",
        "/.lychgat%65",
        "/x/../.lychgate",
        "/./.lychgate",
        "https://app.test/.lychgate",
        "https://a.corp.test/.lychgate",
    ];
    fill(
        &[
            "*",
            "*/",
            "*/login",
            "*/logout",
            "*/logout?x=1",
            "*/callback?code=x&state=y",
            "*/me#x",
            "*%23/x",
            "*%3f/x",
        ],
        &spellings,
    )
}
