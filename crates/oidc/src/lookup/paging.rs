//! Where the next page is, in each vendor's way; always at the origin that was asked first.

use http::HeaderMap;
use http::header::LINK;
use serde_json::Value;
use url::Url;

use super::{LookupError, at};
use crate::claims;

/// How the next page is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// After the value at the path of the last item of the list: Discord.
    After {
        /// The path of the list.
        list: String,
        /// What of its last item.
        last: String,
        /// The parameter that carries it.
        parameter: String,
        /// How many items a full page has.
        full: usize,
    },
    /// `Link: <…>; rel="next"` (RFC 8288): GitHub, GitLab, Gitea.
    Link,
    /// The member at this path is the next address: Microsoft Graph, Bitbucket.
    NextUrl(String),
    /// There is one page.
    None,
    /// This parameter counts from one, until a page is empty.
    Number(String),
    /// The member is a token for the next page, to be sent as the parameter: Google.
    Token {
        /// The path of the member.
        member: String,
        /// The parameter.
        parameter: String,
    },
}

impl Paging {
    /// The address of the first page.
    pub(super) fn first(&self, url: Url) -> Url {
        match self {
            Self::Number(parameter) => with(&url, parameter, "1"),
            Self::After { .. }
            | Self::Link
            | Self::NextUrl(_)
            | Self::None
            | Self::Token { .. } => url,
        }
    }

    /// The address of the page after `url`, whose answer had so many items and was the `read`th.
    pub(super) fn next(
        &self,
        url: &Url,
        answer: &Value,
        headers: &HeaderMap,
        read: usize,
        items: usize,
    ) -> Result<Option<Url>, LookupError> {
        let text =
            |path: &str| at(answer, path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let next = match self {
            Self::None => return Ok(None),
            Self::After { list, last, parameter, full } => {
                let items = at(answer, list).and_then(Value::as_array);
                let items = items.filter(|items| items.len() >= *full);
                let last = items
                    .and_then(|items| items.last())
                    .and_then(|item| at(item, last))
                    .and_then(claims::word);
                return Ok(last.map(|last| with(url, parameter, &last)));
            }
            Self::Number(parameter) => {
                return Ok((items > 0).then(|| with(url, parameter, &(read + 1).to_string())));
            }
            Self::Token { member, parameter } => {
                return Ok(text(member).map(|token| with(url, parameter, token)));
            }
            Self::Link => linked(headers),
            Self::NextUrl(member) => text(member).map(str::to_owned),
        };
        let Some(next) = next else { return Ok(None) };
        let next = url.join(&next).map_err(|_| LookupError::NotAUri)?;
        // The token goes along with the question, and nowhere else.
        let same = next.origin() == url.origin()
            && next.username().is_empty()
            && next.password().is_none();
        if same { Ok(Some(next)) } else { Err(LookupError::PageElsewhere) }
    }
}

/// `url` with one parameter set.
fn with(url: &Url, parameter: &str, value: &str) -> Url {
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != parameter)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(parameter, value);
    url
}

/// The target of the first link whose relation is `next`.
fn linked(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(LINK).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(links).find(|(_, relation)| relation == "next").map(|(target, _)| target)
}

/// Every `<target>; rel="relation"` of a line. A comma may be inside a target, so targets are cut first.
fn links(line: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { break };
        let parameters = after.split('<').next().unwrap_or_default();
        for parameter in parameters.split([';', ',']) {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("rel")
            {
                let relations = value.trim().trim_matches('"');
                for relation in relations.split_ascii_whitespace() {
                    found.push((target.to_owned(), relation.to_ascii_lowercase()));
                }
            }
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn after(
        paging: &Paging,
        answer: &Value,
        link: Option<&str>,
    ) -> Result<Option<String>, LookupError> {
        let url = Url::parse("https://api.example/v1/orgs?size=100").unwrap();
        let mut headers = HeaderMap::new();
        if let Some(link) = link {
            headers.insert(LINK, HeaderValue::from_str(link).unwrap());
        }
        let items = answer.as_array().map_or(0, Vec::len);
        Ok(paging.next(&url, answer, &headers, 1, items)?.map(Into::into))
    }

    #[test]
    fn each_vendors_next_page_is_found() {
        let next = "https://api.example/v1/orgs?size=100&page=2".to_owned();
        let link = format!("<https://api.example/x>; rel=\"prev\", <{next}>; rel=\"next\"");
        assert_eq!(after(&Paging::Link, &json!([]), Some(&link)), Ok(Some(next.clone())));
        assert_eq!(after(&Paging::Link, &json!([]), Some("<https://a.b/>; rel=last")), Ok(None));
        let member = Paging::NextUrl("@odata.nextLink".to_owned());
        assert_eq!(
            after(&member, &json!({ "@odata.nextLink": next }), None),
            Ok(Some(next.clone()))
        );
        let number = Paging::Number("page".to_owned());
        assert_eq!(after(&number, &json!([1]), None), Ok(Some(next)));
        assert_eq!(after(&number, &json!([]), None), Ok(None));
        let token =
            Paging::Token { member: "nextPageToken".to_owned(), parameter: "pageToken".to_owned() };
        let expected = "https://api.example/v1/orgs?size=100&pageToken=a%26b".to_owned();
        assert_eq!(after(&token, &json!({ "nextPageToken": "a&b" }), None), Ok(Some(expected)));
        assert_eq!(after(&token, &json!({ "nextPageToken": "" }), None), Ok(None));
        let last = Paging::After {
            list: String::new(),
            last: "id".to_owned(),
            parameter: "after".to_owned(),
            full: 2,
        };
        let expected = "https://api.example/v1/orgs?size=100&after=8".to_owned();
        assert_eq!(after(&last, &json!([{ "id": "7" }, { "id": "8" }]), None), Ok(Some(expected)));
        assert_eq!(after(&last, &json!([{ "id": "7" }]), None), Ok(None));
    }

    #[test]
    fn a_next_page_elsewhere_is_not_asked_for() {
        for next in [
            "https://evil.example/v1/orgs",
            "http://api.example/v1/orgs",
            "https://api.example:444/v1/orgs",
            "//evil.example/",
            "https://api.example@evil.example/",
            "https://user@api.example/",
        ] {
            let link = format!("<{next}>; rel=\"next\"");
            let elsewhere = Err(LookupError::PageElsewhere);
            assert_eq!(after(&Paging::Link, &json!([]), Some(&link)), elsewhere, "{next}");
            let member = Paging::NextUrl("next".to_owned());
            assert_eq!(after(&member, &json!({ "next": next }), None), elsewhere, "{next}");
        }
    }
}
