//! Whole messages in HTTP/1: where they end, and what their first line and their headers say.

use super::{Group, fill, these};

pub(super) const ABOUT: &str = "Messages of HTTP/1.1, `{host}` is the host: each is one request, several, or none, and the same to everybody.";

/// What stands between the first line and the end of the head.
const HOST: &str = "Host: {host}<CR><LF>";

/// A request of its own, if what stands before it ends where it seems to.
const NEXT: &str =
    "GET /public/next HTTP/1.1<CR><LF>Host: {host}<CR><LF>Connection: close<CR><LF><CR><LF>";

/// Lengths that are none, or two.
const LENGTHS: [&str; 14] = [
    "Content-Length: 3",
    "Content-Length:3",
    "Content-Length: <TAB>3<TAB>",
    "Content-Length: 003",
    "Content-Length: +3",
    "Content-Length: -3",
    "Content-Length: 0x3",
    "Content-Length: 3_0",
    "Content-Length: 3, 3",
    "Content-Length: 3, 4",
    "Content-Length: 3<CR><LF>Content-Length: 3",
    "Content-Length: 3<CR><LF>Content-Length: 4",
    "Content-Length: 18446744073709551619",
    "Content-Length:",
];

/// Codings, of which the first is one.
const CODINGS: [&str; 16] = [
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding: <TAB>chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: <VT>chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:<CR><LF> chunked",
    "X: y<CR><LF><TAB>Transfer-Encoding: chunked",
];

/// Bodies in chunks; the first three are.
const CHUNKS: [&str; 20] = [
    "3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3;a=b<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "1<CR><LF>a<CR><LF>02<CR><LF>bc<CR><LF>0<CR><LF>X-Trailer: y<CR><LF><CR><LF>",
    "0<CR><LF><CR><LF>",
    "0x3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "+3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3 <CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    " 3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3<LF>abc<LF>0<LF><LF>",
    "3<CR><LF>abcd<CR><LF>0<CR><LF><CR><LF>",
    "3<CR><LF>abc0<CR><LF><CR><LF>",
    "3<CR><LF>abc<LF>0<CR><LF><CR><LF>",
    "3;a=<LF>b<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3;<CR>x<LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3;a=\"<CR><LF>\"<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "ffffffffffffffff3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "10000000000000003<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "<CR><LF>3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>",
    "3<CR><LF>abc<CR><LF>0<CR><LF>Content-Length: 30<CR><LF><CR><LF>",
    "3<CR><LF>abc<CR><LF>00000000000000000<CR><LF><CR><LF>",
];

/// First lines, `*` being the path.
const LINES: [&str; 22] = [
    "GET /public/a HTTP/1.1",
    "GET /public/a?b=c&d=%20#e HTTP/1.1",
    "GET /public/a?b=/../c HTTP/1.1",
    "GET http://{host}/public/a HTTP/1.1",
    "GET HTTP://{host}/public/a HTTP/1.1",
    "GET //{host}/public/a HTTP/1.1",
    "GET  /public/a HTTP/1.1",
    "GET<TAB>/public/a HTTP/1.1",
    "GET /public/a HTTP/1.1 ",
    "GET /public/a  HTTP/1.1",
    "GET /public/a HTTP/1.1 HTTP/1.1",
    "GET /public/a b HTTP/1.1",
    "GET /public/a<VT>b HTTP/1.1",
    "GET /public/a<NUL>b HTTP/1.1",
    "GET /public/\u{e9} HTTP/1.1",
    "GET /public/%C3%A9;a=1/b HTTP/1.1",
    "get /public/a HTTP/1.1",
    "GET /public/a HTTP/1.0",
    "GET /public/a HTTP/1.2",
    "GET /public/a http/1.1",
    "GET /public/a",
    "OPTIONS * HTTP/1.1",
];

/// Header lines that are read in two ways.
const HEADERS: [&str; 22] = [
    "X: y",
    "X:",
    "X:<TAB>y<TAB>",
    "X : y",
    " X: y",
    "X",
    ": y",
    "X: a<CR>b",
    "X: a<LF>b",
    "X: a<NUL>b",
    "X: a<CR><LF> b",
    "X<FF>: y",
    "X: <FF>",
    "X<LF>: y",
    "X_Forwarded_User: root",
    "Host: evil.test",
    "host: {host}",
    "Host : evil.test",
    "Connection: close, X-Request-Id, Host",
    "Expect: 100-continue",
    "Upgrade: h2c<CR><LF>Connection: Upgrade, HTTP2-Settings<CR><LF>HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    "Trailer: X<CR><LF>TE: trailers",
];

pub(super) fn groups() -> Vec<Group> {
    let post = format!("POST /public/a HTTP/1.1<CR><LF>{HOST}*<CR><LF><CR><LF>");
    let coded = format!(
        "POST /public/a HTTP/1.1<CR><LF>{HOST}Transfer-Encoding: chunked<CR><LF><CR><LF>*{NEXT}"
    );
    let of_get = format!("GET /public/a HTTP/1.1<CR><LF>{HOST}*<CR><LF><CR><LF>abc{NEXT}");
    let both: Vec<String> = LENGTHS[..4]
        .iter()
        .flat_map(|length| {
            CODINGS[..8].iter().flat_map(move |coding| {
                [format!("{length}<CR><LF>{coding}"), format!("{coding}<CR><LF>{length}")]
            })
        })
        .collect();
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    vec![
        ("Nothing special.", these(&[NEXT])),
        ("Lengths.", fill(&[&format!("{post}abc{NEXT}"), &of_get], &LENGTHS)),
        (
            "Codings.",
            fill(&[&format!("{post}3<CR><LF>abc<CR><LF>0<CR><LF><CR><LF>{NEXT}")], &CODINGS),
        ),
        ("Both.", fill(&[&format!("{post}0<CR><LF><CR><LF>{NEXT}")], &both)),
        ("Chunks.", fill(&[&coded], &CHUNKS)),
        ("First lines.", fill(&[&format!("*<CR><LF>{HOST}<CR><LF>{NEXT}")], &LINES[..21])),
        (
            "Header lines.",
            fill(
                &[&format!("GET /public/a HTTP/1.1<CR><LF>{HOST}*<CR><LF><CR><LF>{NEXT}")],
                &HEADERS,
            ),
        ),
        (
            "Ends of lines.",
            these(&[
                "GET /public/a HTTP/1.1<LF>Host: {host}<LF><LF>",
                "GET /public/a HTTP/1.1<CR><LF>Host: {host}<LF><CR><LF>",
                "<CR><LF>GET /public/a HTTP/1.1<CR><LF>Host: {host}<CR><LF><CR><LF>",
                "GET /public/a HTTP/1.1<CR><LF>Host: {host}<CR><LF><CR>X<CR><LF><CR><LF>",
                "GET /public/a HTTP/1.1<CR>Host: {host}<CR><CR>",
                "GET /public/a HTTP/1.1<CR><LF><CR><LF>",
            ]),
        ),
        (
            "Several at once.",
            these(&[
                &format!("{NEXT}{NEXT}"),
                &format!(
                    "GET /public/a HTTP/1.1<CR><LF>{HOST}<CR><LF>POST /public/b HTTP/1.1<CR><LF>{HOST}Content-Length: 3<CR><LF><CR><LF>abc{NEXT}"
                ),
                &format!("POST /public/a HTTP/1.0<CR><LF>{HOST}<CR><LF>{NEXT}"),
                &format!(
                    "POST /public/a HTTP/1.0<CR><LF>{HOST}Content-Length: 3<CR><LF><CR><LF>abc{NEXT}"
                ),
                &format!(
                    "POST /public/a HTTP/1.0<CR><LF>{HOST}Transfer-Encoding: chunked<CR><LF><CR><LF>0<CR><LF><CR><LF>{NEXT}"
                ),
                &format!(
                    "POST /admin HTTP/1.1<CR><LF>{HOST}Content-Length: 100<CR><LF><CR><LF>{NEXT}"
                ),
            ]),
        ),
    ]
}
