//! What a browser may bring back, and what it may not.

use lychgate_oidc::{
    Callback, CallbackError, KnownError, MatchedCallback, Metadata, ProviderRefusal, RefusalCode,
};

use crate::stage::{ISSUER, Stage};

/// Brings `query` back to a login that began at `stage`; `{state}` in it is the right state.
fn bring(stage: &Stage, query: &str) -> Result<MatchedCallback, CallbackError> {
    let login = stage.begin();
    let query = query.replace("{state}", &login.query["state"]);
    Callback::parse(&query)?.matching(login.pending, &stage.provider, &stage.metadata())
}

fn refused(stage: &Stage, query: &str) -> CallbackError {
    match bring(stage, query) {
        Err(error) => error,
        Ok(_) => panic!("{query} was believed"),
    }
}

#[test]
fn a_callback_that_answers_this_login_is_matched() {
    let stage = Stage::new();
    for query in [
        "code=c&state={state}",
        "state={state}&code=c&session_state=x&scope=openid",
        "code=c%2Fd%7E&state={state}",
    ] {
        assert!(bring(&stage, query).is_ok(), "{query}");
    }
}

/// `CB-04`, `CB-05`, `CB-06`, `F1`, `F2`
#[test]
fn a_callback_that_answers_another_login_is_refused() {
    let stage = Stage::new();
    for (query, error) in [
        ("code=c", CallbackError::StateMissing),
        ("code=c&state=", CallbackError::StateMissing),
        ("code=c&state=other", CallbackError::StateDiffers),
        ("code=c&state={state}x", CallbackError::StateDiffers),
        ("code=c&state=%20{state}", CallbackError::StateDiffers),
        ("error=access_denied&state=other", CallbackError::StateDiffers),
    ] {
        assert_eq!(refused(&stage, query), error, "{query}");
    }
}

/// `CB-20`, `CB-21`, `CB-22`, `CB-25`
#[test]
fn a_callback_in_bad_form_is_refused_before_anything_else() {
    let repeated = |parameter| CallbackError::Repeated { parameter };
    let too_large = |what| CallbackError::TooLarge { what };
    for (query, error) in [
        (String::new(), CallbackError::NothingGiven),
        ("state=s".into(), CallbackError::NothingGiven),
        ("code=&state=s".into(), CallbackError::MalformedCode),
        ("code=a+b&state=s".into(), CallbackError::MalformedCode),
        ("code=a%00&state=s".into(), CallbackError::MalformedCode),
        ("code=%C3%A9&state=s".into(), CallbackError::MalformedCode),
        ("code=%FF&state=s".into(), CallbackError::MalformedCode),
        ("code=a&code=a&state=s".into(), repeated("code")),
        ("code=a&co%64e=b&state=s".into(), repeated("code")),
        ("code=&code=a&state=s".into(), repeated("code")),
        ("code=a&state=s&state=s".into(), repeated("state")),
        ("code=a&state=s&iss=i&iss=i".into(), repeated("iss")),
        ("error=a&error=b&state=s".into(), repeated("error")),
        ("response=a&response=b".into(), repeated("response")),
        ("response=jwt".into(), CallbackError::SignedResponse),
        ("code=a&state=s&response=jwt".into(), CallbackError::SignedResponse),
        (format!("code={}&state=s", "c".repeat(4097)), too_large("`code`")),
        (format!("code=c&state={}", "s".repeat(513)), too_large("`state`")),
        (format!("code=c&state=s&x={}", "x".repeat(16 * 1024)), too_large("the query")),
    ] {
        assert_eq!(Callback::parse(&query).err(), Some(error), "{query:.80}");
    }
}

#[test]
fn what_is_as_large_as_it_may_be_is_read() {
    let state = "s".repeat(512);
    let query = format!("code={}&state={state}", "c".repeat(4096));

    let callback = Callback::parse(&query).unwrap();

    assert_eq!(callback.state(), Some(&*state));
}

/// `CB-11`, `F9`
#[test]
fn a_login_begun_at_another_provider_or_registration_is_refused() {
    let begun_at = Stage::new();
    let changes: [fn(&mut Stage); 3] = [
        |stage| stage.provider.name = "other".to_owned(),
        |stage| stage.provider.client_id = "shop".to_owned(),
        |stage| stage.provider.issuer = "https://other.example".to_owned(),
    ];
    for change in changes {
        let mut ends_at = Stage::new();
        change(&mut ends_at);
        let login = begun_at.begin();
        let callback = Callback::parse(&format!("code=c&state={}", login.query["state"])).unwrap();

        let result = callback.matching(login.pending, &ends_at.provider, &ends_at.metadata());

        assert_eq!(result.err(), Some(CallbackError::OtherProvider));
    }
}

#[test]
fn metadata_of_another_issuer_is_not_taken_for_this_providers() {
    let stage = Stage::new();
    let other = "https://other.example";
    let mut document = stage.metadata.clone();
    document["issuer"] = other.into();
    let metadata = Metadata::parse(document.to_string().as_bytes(), other).unwrap();
    let login = stage.begin();
    let callback = Callback::parse(&format!("code=c&state={}", login.query["state"])).unwrap();

    let result = callback.matching(login.pending, &stage.provider, &metadata);

    assert_eq!(result.err(), Some(CallbackError::OtherProvider));
}

/// `CB-14` to `CB-19`; RFC 9207 §2.4
#[test]
fn the_issuer_in_the_response_must_be_that_of_the_login() {
    let silent = Stage::new();
    let mut promising = Stage::new();
    promising.metadata["authorization_response_iss_parameter_supported"] = true.into();
    let encoded = ISSUER.replace(':', "%3A").replace('/', "%2F");

    for stage in [&silent, &promising] {
        for iss in [ISSUER, &encoded] {
            assert!(bring(stage, &format!("code=c&state={{state}}&iss={iss}")).is_ok());
        }
        for iss in ["", "https://other.example", &format!("{ISSUER}/"), &ISSUER.to_uppercase()] {
            for answer in ["code=c", "error=access_denied"] {
                let query = format!("{answer}&state={{state}}&iss={iss}");
                assert_eq!(refused(stage, &query), CallbackError::IssuerDiffers, "{query}");
            }
        }
    }
    for answer in ["code=c", "error=access_denied"] {
        let query = format!("{answer}&state={{state}}");
        assert_eq!(refused(&promising, &query), CallbackError::IssuerMissing, "{query}");
    }
}

/// `CB-12`, `CB-23`, `CB-39`
#[test]
fn a_refusal_is_the_providers_word_once_it_answers_this_login() {
    let stage = Stage::new();
    for known in KnownError::ALL {
        let query = format!("code=c&error={}&state={{state}}", known.as_str());
        let error = RefusalCode::Known(known);
        let refusal = ProviderRefusal { error, description: None, uri: None };
        assert_eq!(refused(&stage, &query), CallbackError::Provider(refusal));
    }

    let query = "error=acc%0aess&error_description=No+way%2C%20%E2%80%AEsir\
                 &error_uri=javascript:alert(1)&state={state}";
    let refusal = ProviderRefusal {
        error: RefusalCode::Other("access".to_owned()),
        description: Some("No way, sir".to_owned()),
        uri: Some("javascript:alert(1)".to_owned()),
    };
    assert_eq!(refused(&stage, query), CallbackError::Provider(refusal));
}

/// `CB-13`
#[test]
fn a_refusal_that_answers_no_login_loses_its_words() {
    let stage = Stage::new();
    let unsolicited = |error| CallbackError::UnsolicitedRefusal { error };
    let denied = "error=access_denied&error_description=call+0900";

    assert_eq!(refused(&stage, denied), unsolicited(Some(KnownError::AccessDenied)));
    assert_eq!(refused(&stage, "error=call_0900"), unsolicited(None));

    let without_login = |query| Callback::parse(query).unwrap().without_login();
    assert_eq!(without_login(denied), unsolicited(Some(KnownError::AccessDenied)));
    assert_eq!(without_login("error=call_0900&state=s"), unsolicited(None));
    assert_eq!(without_login("code=c"), CallbackError::StateMissing);
    assert_eq!(without_login("code=c&state=s"), CallbackError::StateUnknown);
}
