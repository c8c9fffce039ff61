//! What the person consented to, compared with what was asked for.
//!
//! A provider may grant less than was asked for, and may add what it knows (a status, accounts that were
//! chosen). It may not grant another consent, nor more: whoever receives that has been given somebody else's
//! answer, or a power that nobody here wanted.
//!
//! Source: RFC 9396 §7, §7.1.

use serde_json::Value;

use crate::refusal::legible;

/// Members that name a consent. One that was sent has to come back.
const IDENTIFIERS: [&str; 4] = ["type", "ConsentId", "consent_id", "identifier"];
/// Members that say how a consent stands.
const STATUSES: [&str; 2] = ["Status", "status"];
/// How many characters of a status are kept.
const STATUS_CHARACTERS_MAX: usize = 64;
/// As deep as anybody's details go; deeper ones differ.
const DEPTH_MAX: usize = 16;

/// Compares what was `granted` with what was `sent`. With `statuses`, each consent has to be in one of them.
pub(crate) fn check(
    sent: &[Value],
    granted: &[Value],
    statuses: &[String],
) -> Result<(), ConsentError> {
    if sent.is_empty() {
        return Ok(());
    }
    if granted.is_empty() {
        return Err(ConsentError::Missing);
    }
    let mut left: Vec<&Value> = sent.iter().collect();
    for grant in granted {
        // Each entry answers one that was sent, and no two the same.
        let answered = left.iter().position(|asked| is_within(grant, asked, DEPTH_MAX));
        let Some(answered) = answered else { return Err(ConsentError::Wider) };
        left.remove(answered);
    }
    for grant in granted.iter().filter(|_| !statuses.is_empty()) {
        let status = status(grant).unwrap_or_default();
        if !statuses.iter().any(|allowed| allowed == status) {
            let status = legible(status, STATUS_CHARACTERS_MAX);
            return Err(ConsentError::Status { status });
        }
    }
    Ok(())
}

fn status(grant: &Value) -> Option<&str> {
    let places = [Some(grant), grant.get("consent")];
    let members = places
        .into_iter()
        .flatten()
        .flat_map(|place| STATUSES.iter().filter_map(|name| place.get(name)));
    members.filter_map(Value::as_str).next()
}

/// Whether `granted` is no more than `asked`.
fn is_within(granted: &Value, asked: &Value, depth: usize) -> bool {
    if depth == 0 {
        return false;
    }
    match (granted, asked) {
        (Value::Object(granted), Value::Object(asked)) => {
            asked.iter().all(|(name, asked)| match granted.get(name) {
                None => !IDENTIFIERS.contains(&name.as_str()),
                Some(granted) => {
                    STATUSES.contains(&name.as_str()) || is_within(granted, asked, depth - 1)
                }
            })
        }
        (Value::Array(granted), Value::Array(asked)) => granted
            .iter()
            .all(|granted| asked.iter().any(|asked| is_within(granted, asked, depth - 1))),
        (Value::String(granted), Value::String(asked)) => {
            granted == asked || is_earlier(granted, asked)
        }
        _ => granted == asked,
    }
}

/// Whether both are moments in UTC, and `granted` is not after `asked`: a consent may end sooner.
fn is_earlier(granted: &str, asked: &str) -> bool {
    let moment = |text: &str| -> Option<String> {
        let seconds = text.get(..19)?;
        let shape: String = seconds
            .chars()
            .map(|character| if character.is_ascii_digit() { '0' } else { character })
            .collect();
        let rest = text.get(19..)?.strip_suffix('Z')?;
        let fraction = rest.is_empty()
            || rest
                .strip_prefix('.')
                .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        (shape == "0000-00-00T00:00:00" && fraction).then(|| seconds.to_owned())
    };
    matches!((moment(granted), moment(asked)), (Some(granted), Some(asked)) if granted <= asked)
}

/// Why a consent does not let anybody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The answer does not say what was granted.
    #[error("`authorization_details` is missing in the answer, and it was asked for")]
    Missing,
    /// The consent is not in one of the states that let somebody in; often others have to approve it yet.
    #[error("the consent is in the state `{status}`")]
    Status {
        /// Which state. Foreign text: at most 64 characters, no control characters; empty when there is none.
        status: String,
    },
    /// It is another consent, or more was granted than was asked for.
    #[error("`authorization_details` in the answer is another consent, or more than was asked for")]
    Wider,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked() -> Value {
        json!({
            "type": "urn:openfinance:account-access",
            "consent": {
                "ConsentId": "c-1",
                "ExpirationDateTime": "2030-06-01T00:00:00Z",
                "Permissions": ["ReadAccounts", "ReadBalances"],
            },
        })
    }

    fn granted(change: fn(&mut Value)) -> Result<(), ConsentError> {
        let mut grant = asked();
        change(&mut grant);
        check(&[asked()], &[grant], &[])
    }

    /// `CB-58`: less is fine, and so is what a provider adds.
    #[test]
    fn the_same_or_less_is_what_was_asked_for() {
        let changes: [fn(&mut Value); 7] = [
            |_| {},
            |grant| grant["consent"]["Permissions"] = json!(["ReadBalances"]),
            |grant| grant["consent"]["Permissions"] = json!([]),
            |grant| grant["consent"]["Status"] = "Authorized".into(),
            |grant| grant["accounts"] = json!(["1"]),
            |grant| grant["consent"]["ExpirationDateTime"] = "2030-05-31T23:59:59.000Z".into(),
            |grant| drop(grant["consent"].as_object_mut().unwrap().remove("Permissions")),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(granted(change), Ok(()), "{number}");
        }
        assert_eq!(check(&[], &[asked()], &["Authorized".to_owned()]), Ok(()), "nobody asked");
    }

    /// `CB-58`
    #[test]
    fn more_or_another_consent_is_refused() {
        let changes: [fn(&mut Value); 8] = [
            |grant| grant["type"] = "other".into(),
            |grant| grant["consent"]["ConsentId"] = "c-2".into(),
            |grant| drop(grant["consent"].as_object_mut().unwrap().remove("ConsentId")),
            |grant| grant["consent"]["Permissions"] = json!(["ReadAccounts", "Pay"]),
            |grant| grant["consent"]["Permissions"] = "everything".into(),
            |grant| grant["consent"]["ExpirationDateTime"] = "2031-06-01T00:00:00Z".into(),
            |grant| grant["consent"]["ExpirationDateTime"] = "1".into(),
            |grant| *grant = json!("all"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_eq!(granted(change), Err(ConsentError::Wider), "{number}");
        }
        let twice = check(&[asked()], &[asked(), asked()], &[]);
        assert_eq!(twice, Err(ConsentError::Wider), "one was asked for");
        assert_eq!(check(&[asked()], &[], &[]), Err(ConsentError::Missing));
    }

    /// `CB-58`, `A-D13`
    #[test]
    fn a_consent_that_others_have_to_approve_is_not_one_yet() {
        let statuses = ["Authorized".to_owned()];
        let with = |status: Value| {
            let mut grant = asked();
            grant["consent"]["Status"] = status;
            check(&[asked()], &[grant], &statuses)
        };
        let refused = |status: &str| Err(ConsentError::Status { status: status.to_owned() });

        assert_eq!(with("Authorized".into()), Ok(()));
        assert_eq!(with("AwaitingAuthorization".into()), refused("AwaitingAuthorization"));
        assert_eq!(with("a\u{202e}b\n".into()), refused("ab"));
        assert_eq!(with(Value::Null), refused(""));
        assert_eq!(check(&[asked()], &[asked()], &statuses), refused(""));
    }
}
