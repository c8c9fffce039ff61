//! Memberships that change while somebody is signed in.

use std::time::Instant;

use lychgate_tests::cast::gate::PATIENCE;
use serde_json::json;

use crate::gatehouse::Gatehouse;
use crate::members::with_directory;

/// Kind, keys, the entry of `allow`, and how it ends for whoever is in the group no more.
const ROWS: &[(&str, &str, &str, (u16, &str))] = &[
    (
        "entra",
        "base_url = '{base}'\ntenant = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001'\ngroups_from = 'graph'",
        "group:9a7d4e00-0000-4000-8000-000000000001",
        (403, "access_not_granted"),
    ),
    (
        "gitlab",
        "base_url = '{base}'\ngroups = ['lychgate/platform']",
        "anyone-with-an-account",
        (401, "session_ended"),
    ),
];

/// Nothing is asked of the person: the groups are read again with the next refresh.
#[tokio::test]
async fn whoever_was_taken_out_of_a_group_is_refused_after_the_refresh() {
    for (kind, keys, entry, end) in ROWS {
        let house = Gatehouse::admitting(kind, keys, entry).await;
        is_refused_once_it_is_refreshed(&house, *end).await;
    }
}

/// The same where a service account reads the groups, which needs a refresh token all the same.
#[tokio::test]
async fn whoever_was_taken_out_of_a_group_of_googles_is_refused_after_the_refresh() {
    let house = with_directory("members_of = ['everyone@example.com']").await;

    is_refused_once_it_is_refreshed(&house, (401, "session_ended")).await;

    let asked = house.vendor.requests("authorization").await;
    assert_eq!(asked[0]["query"]["access_type"], "offline");
}

async fn is_refused_once_it_is_refreshed(house: &Gatehouse, end: (u16, &str)) {
    let kind = house.vendor.kind();
    // Tokens that are soon over, so that nobody has to wait.
    let brief = json!({ "expires_in": 2 });
    let fault =
        json!({ "endpoint": "token_answer", "how": "edit", "set": brief, "times": "always" });
    house.vendor.fails(fault).await;
    let (visitor, answer) = house.arrives("member").await;
    assert_eq!(answer.status, 200, "{kind}: {}", answer.text());

    // A refresh alone changes nothing for anybody.
    let began = Instant::now();
    while house.refreshes().await == 0 {
        assert_eq!(visitor.fetches("/deep?q=1").await.status, 200, "{kind}");
        assert!(began.elapsed() < PATIENCE, "{kind}: nothing is refreshed");
    }
    house.vendor.takes_memberships("member").await;

    let began = Instant::now();
    let refused = loop {
        let answer = visitor.fetches("/deep?q=1").await;
        if answer.status != 200 {
            break answer;
        }
        assert!(began.elapsed() < PATIENCE, "{kind}: still let in");
    };
    assert_eq!((refused.status.as_u16(), &*refused.reason()), end, "{kind}: {}", refused.text());
    assert_eq!(visitor.fetches("/deep?q=1").await.status.as_u16(), end.0, "{kind}");
}
