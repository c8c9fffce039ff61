//! Callbacks: one meaning, and none without the login that it answers (F1 to F4).

use std::collections::BTreeMap;

use lychgate_oidc::{Callback, CallbackError};
use url::form_urlencoded;

use super::sign_in::{self, ISSUER};

const KNOWN: [&str; 6] = ["code", "error", "error_description", "iss", "response", "state"];

/// The query of a callback.
///
/// What is read says each thing once; said twice, in any spelling and order, it is refused. It never prints its
/// code or state. It is matched only with its own `state`, and never when it names another issuer.
///
/// # Panics
/// When one of these does not hold.
pub fn callback(bytes: &[u8]) {
    let Ok(query) = std::str::from_utf8(bytes) else { return };
    let Ok(callback) = Callback::parse(query) else { return };
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        said.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let one = |name: &str| said.get(name).and_then(|values| values.first()).map(String::as_str);
    for name in KNOWN {
        let Some(values) = said.get(name) else { continue };
        assert_eq!(values.len(), 1, "{name} is repeated in {query:?}");
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for twice in [
            format!("{query}&{name}=x"),
            format!("{name}&{query}"),
            format!("{query}&{encoded}=x"),
            format!("{encoded}=&{query}"),
        ] {
            let refused = Callback::parse(&twice);
            let expected = matches!(
                refused,
                Err(CallbackError::Repeated { .. } | CallbackError::TooLarge { .. })
            );
            assert!(expected, "{twice:?} gives {refused:?}");
        }
    }
    assert!(one("response").is_none(), "a signed response is believed: {query:?}");
    assert_eq!(callback.state(), one("state").filter(|state| !state.is_empty()));
    assert_eq!(format!("{callback:?}").contains("code"), one("error").is_none());

    let printed = format!("{callback:?}");
    for secret in [one("code"), one("state")].into_iter().flatten() {
        // Shorter ones stand in any text by chance.
        assert!(secret.len() < 8 || !printed.contains(secret), "{printed}");
    }
    let stage = sign_in::stage();
    let (_, pending) = stage.begin();
    let own = pending.state().to_owned();
    match callback.matching(pending, &stage.provider, &stage.metadata) {
        Ok(matched) => {
            assert_eq!(one("state"), Some(own.as_str()));
            assert!(one("iss").is_none_or(|issuer| issuer == ISSUER), "{query:?}");
            assert!(one("error").is_none() && one("code").is_some(), "{query:?}");
            drop(matched);
        }
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.contains(|character: char| character.is_control()), "{shown:?}");
            assert!(shown.len() < 2048, "{shown}");
        }
    }
}
