//! The frame of every page: plain HTML that works without scripts and in the dark.

use aws_lc_rs::digest;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{margin:0 auto;max-width:44rem;padding:2rem 1.25rem}\
h1{font-size:1.5rem;line-height:1.25}\
ul.choices{list-style:none;padding:0}\
ul.choices a{border:1px solid;border-radius:.5rem;display:block;margin:.5rem 0;padding:.75rem 1rem}\
nav a{margin-right:1rem}\
table{border-collapse:collapse;display:block;overflow-x:auto}\
caption{font-weight:600;text-align:start}\
th,td{border-bottom:1px solid #8888;overflow-wrap:anywhere;padding:.25rem .75rem .25rem 0;\
text-align:start;vertical-align:top}\
th{white-space:nowrap}\
footer{font-size:.875rem;margin-top:2rem}";

/// A page with this title and, inside `<main>`, this HTML. The title is escaped here; `main` is
/// not, and whoever builds it calls [`escape`] on all that came from elsewhere.
pub(crate) fn page(status: StatusCode, title: &str, main: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{main}</main>\n\
         <footer>Part of <code>lychgate demo</code>. For development, on this machine only.</footer>\n\
         </body>\n</html>\n"
    );
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(content_security_policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Nothing but the one style sheet: an escape forgotten somewhere runs no script.
fn content_security_policy() -> String {
    let style = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Makes text safe between tags and inside quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<img src='x' onerror=\"a&b\">"),
            "&lt;img src=&#39;x&#39; onerror=&quot;a&amp;b&quot;&gt;"
        );
        assert_eq!(escape("Ève"), "Ève");
    }
}
