//! The development provider, asked as a client would ask it.

mod client;

use std::slice;

use client::{Client, VERIFIER, parameter, verified};
use lychgate_demo::{
    Algorithm, Fault, NotLoopback, personas,
    provider::{
        ClaimsIn, Edit, ParameterEdit, Provider, ProviderOptions, RawAnswer, SignIn, Tamper,
    },
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn a_sign_in_with_pkce_ends_with_tokens_and_the_person() {
    let client = Client::of_new_provider().await;

    let code = client.code().await;
    let tokens = client.redeem(&code).await.json(StatusCode::OK);

    assert_eq!(tokens["token_type"], "Bearer");
    let claims = client.verified_claims(&tokens).await;
    assert_eq!(claims["iss"], client.provider.issuer());
    assert_eq!(claims["aud"], "gateway");
    assert_eq!(claims["nonce"], "a-nonce");
    assert_eq!(claims["preferred_username"], "alice");
    assert_eq!(claims["groups"], json!(["sre", "engineering"]));
    let person = client.userinfo(&tokens).await.json(StatusCode::OK);
    assert_eq!(person["sub"], claims["sub"]);
    assert_eq!(person["email"], "alice@demo.example");
}

#[tokio::test]
async fn the_discovery_document_names_its_issuer_and_endpoints() {
    let client = Client::of_new_provider().await;

    let document = client.get("/.well-known/openid-configuration").await.json(StatusCode::OK);

    let issuer = client.provider.issuer();
    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["token_endpoint"], format!("{issuer}/token"));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
}

#[tokio::test]
async fn each_algorithm_is_verified_by_the_published_keys() {
    let client = Client::of_new_provider().await;
    for algorithm in Algorithm::ALL {
        client.provider.set(|control| control.signing = algorithm);

        let tokens = client.tokens().await;

        let token = tokens["id_token"].as_str().expect("an ID token");
        assert_eq!(client::header(token)["alg"], algorithm.name());
        assert!(verified(token, &client.keys().await, "p%s + ecret"), "{algorithm}");
    }
}

#[tokio::test]
async fn after_a_rotation_new_tokens_need_new_keys_and_old_tokens_stay_good() {
    let client = Client::of_new_provider().await;
    let keys_before = client.keys().await;
    let before = client.tokens().await;

    client.provider.rotate_keys().expect("new keys");
    let after = client.tokens().await;

    let keys_after = client.keys().await;
    let token = |tokens: &Value| tokens["id_token"].as_str().expect("an ID token").to_owned();
    assert!(!verified(&token(&after), &keys_before, ""));
    assert!(verified(&token(&after), &keys_after, ""));
    assert!(verified(&token(&before), &keys_after, ""));
}

#[tokio::test]
async fn a_code_is_good_once_and_its_second_use_ends_the_first_ones_tokens() {
    let client = Client::of_new_provider().await;
    let code = client.code().await;
    let tokens = client.redeem(&code).await.json(StatusCode::OK);

    let again = client.redeem(&code).await;

    assert_eq!(again.json(StatusCode::BAD_REQUEST)["error"], "invalid_grant");
    assert_eq!(client.userinfo(&tokens).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_request_that_does_not_fit_the_code_is_refused() {
    let client = Client::of_new_provider().await;
    for (edit, error) in [
        (ParameterEdit::set("code_verifier", "x".repeat(43)), "invalid_grant"),
        (ParameterEdit::set("redirect_uri", "http://localhost/other"), "invalid_grant"),
        (ParameterEdit::set("code", "unknown"), "invalid_grant"),
        (ParameterEdit::drop("code_verifier"), "invalid_request"),
        (ParameterEdit::drop("redirect_uri"), "invalid_request"),
        (ParameterEdit::drop("grant_type"), "invalid_request"),
        (ParameterEdit::append("code_verifier", VERIFIER), "invalid_request"),
        (ParameterEdit::set("grant_type", "password"), "unsupported_grant_type"),
    ] {
        let code = client.code().await;

        let answer = client.redeem_with(&code, slice::from_ref(&edit)).await;

        assert_eq!(answer.json(StatusCode::BAD_REQUEST)["error"], error, "{edit:?}");
    }
}

#[tokio::test]
async fn a_client_proves_itself_in_the_header_or_in_the_form() {
    let client = Client::of_new_provider().await;
    let in_form = |secret: &str| {
        [
            ParameterEdit::set("client_id", "gateway"),
            ParameterEdit::set("client_secret", secret.to_owned()),
        ]
    };

    let good = client.redeem_without_header(&client.code().await, &in_form("p%s + ecret")).await;
    let wrong = client.redeem_without_header(&client.code().await, &in_form("guess")).await;
    let nothing = client.redeem_without_header(&client.code().await, &[]).await;
    let both = client.redeem_with(&client.code().await, &in_form("p%s + ecret")).await;

    assert_eq!(good.status, StatusCode::OK);
    assert_eq!(wrong.json(StatusCode::UNAUTHORIZED)["error"], "invalid_client");
    assert_eq!(nothing.json(StatusCode::UNAUTHORIZED)["error"], "invalid_client");
    assert_eq!(both.json(StatusCode::BAD_REQUEST)["error"], "invalid_request");
}

#[tokio::test]
async fn a_redirect_uri_is_compared_to_the_last_character() {
    let client = Client::of_new_provider().await;
    for other in [
        "http://localhost:9000/callback/",
        "http://localhost:9000/Callback",
        "http://localhost:9000/callback?x=1",
        "http://127.0.0.1:9000/callback",
        "https://attacker.example/",
    ] {
        let answer = client.authorize(&[ParameterEdit::set("redirect_uri", other)]).await;

        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{other}");
        assert_eq!(answer.location, None, "{other}");
    }
}

#[tokio::test]
async fn an_unknown_client_is_told_on_the_page_and_sent_nowhere() {
    let client = Client::of_new_provider().await;

    let answer = client.authorize(&[ParameterEdit::set("client_id", "<script>")]).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.location, None);
    assert!(answer.body.contains("&lt;script&gt;"));
    assert!(!answer.body.contains("<script>"));
}

#[tokio::test]
async fn a_wrong_request_is_sent_back_with_its_error_state_and_issuer() {
    let client = Client::of_new_provider().await;
    for (edit, error) in [
        (ParameterEdit::set("response_type", "token"), "unsupported_response_type"),
        (ParameterEdit::drop("response_type"), "invalid_request"),
        (ParameterEdit::set("scope", "email"), "invalid_scope"),
        (ParameterEdit::drop("code_challenge"), "invalid_request"),
        (ParameterEdit::set("code_challenge", "short"), "invalid_request"),
        (ParameterEdit::set("code_challenge_method", "plain"), "invalid_request"),
        (ParameterEdit::append("scope", "openid"), "invalid_request"),
        (ParameterEdit::set("prompt", "none login"), "invalid_request"),
        (ParameterEdit::set("max_age", "soon"), "invalid_request"),
        (ParameterEdit::set("response_mode", "fragment"), "invalid_request"),
        (ParameterEdit::set("request", "a.b.c"), "request_not_supported"),
        (ParameterEdit::set("request_uri", "urn:x"), "request_uri_not_supported"),
        (ParameterEdit::set("declined", "yes"), "access_denied"),
    ] {
        let location = client.authorize(slice::from_ref(&edit)).await.location.expect("a redirect");

        assert_eq!(parameter(&location, "error").as_deref(), Some(error), "{edit:?}");
        assert_eq!(parameter(&location, "state").as_deref(), Some("a-state"), "{edit:?}");
        assert_eq!(parameter(&location, "iss").as_deref(), Some(client.provider.issuer()));
        assert_eq!(parameter(&location, "code"), None, "{edit:?}");
    }
    let no_state = client.authorize(&[ParameterEdit::drop("state")]).await;
    let location = no_state.location.expect("a redirect");
    assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn a_browser_chooses_once_and_is_remembered_until_it_signs_out() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| control.sign_in = SignIn::Choose);

    let page = client.authorize(&[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Ève Contractor"));
    assert!(page.body.contains("persona=bob"));

    let chosen = client.authorize(&[ParameterEdit::set("persona", "bob")]).await;
    let cookie = chosen.cookie.expect("a cookie");
    assert!(chosen.location.is_some_and(|location| parameter(&location, "code").is_some()));

    let remembered = client.authorize_as(&cookie, &[]).await;
    assert!(remembered.location.is_some_and(|location| parameter(&location, "code").is_some()));

    for prompt in ["login", "select_account"] {
        let asked = client.authorize_as(&cookie, &[ParameterEdit::set("prompt", prompt)]).await;
        assert_eq!(asked.status, StatusCode::OK, "{prompt}");
    }
    let other = client.authorize_as(&cookie, &[ParameterEdit::set("login_hint", "eve")]).await;
    assert_eq!(other.status, StatusCode::OK);

    let signed_out = client.get("/end_session").await;
    assert_eq!(signed_out.status, StatusCode::OK);
    assert_eq!(signed_out.cookie.as_deref(), Some("lychgate_demo_persona="));
}

#[tokio::test]
async fn prompt_none_needs_a_browser_that_is_remembered() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| control.sign_in = SignIn::Choose);
    let silent = ParameterEdit::set("prompt", "none");

    let stranger = client.authorize(slice::from_ref(&silent)).await;
    let chosen = client.authorize(&[ParameterEdit::set("persona", "bob")]).await;
    let cookie = chosen.cookie.expect("a cookie");
    let known = client.authorize_as(&cookie, &[silent]).await;

    let error = stranger.location.and_then(|location| parameter(&location, "error"));
    assert_eq!(error.as_deref(), Some("login_required"));
    assert!(known.location.is_some_and(|location| parameter(&location, "code").is_some()));
}

#[tokio::test]
async fn a_sign_out_leads_only_to_a_registered_address() {
    let client = Client::of_new_provider().await;
    let tokens = client.tokens().await;
    let hint = tokens["id_token"].as_str().expect("an ID token");
    let ours = "http://localhost:9000/goodbye";

    for (pairs, location) in [
        (vec![("id_token_hint", hint), ("post_logout_redirect_uri", ours)], Some(ours.to_owned())),
        (
            vec![("client_id", "gateway"), ("post_logout_redirect_uri", ours), ("state", "a b")],
            Some(format!("{ours}?state=a+b")),
        ),
        (vec![("client_id", "gateway"), ("post_logout_redirect_uri", "http://other/")], None),
        (vec![("id_token_hint", "a.b.c"), ("post_logout_redirect_uri", ours)], None),
        (vec![("post_logout_redirect_uri", ours)], None),
        (vec![("id_token_hint", hint), ("client_id", "another")], None),
    ] {
        let answer = client.get(&format!("/end_session?{}", client::encoded(&pairs))).await;

        assert_eq!(answer.location, location, "{pairs:?}");
        let refused = answer.status == StatusCode::BAD_REQUEST;
        assert_eq!(refused, location.is_none(), "{pairs:?}");
    }
}

/// D-42: each fault shows where the gateway will meet it.
#[tokio::test]
async fn a_fault_spoils_the_id_token_and_nothing_else() {
    let client = Client::of_new_provider().await;
    let whole = client.verified_claims(&client.tokens().await).await;
    for (fault, spoiled) in [
        (Fault::Audience, "aud"),
        (Fault::Clock, "iat"),
        (Fault::HugeGroups, "groups"),
        (Fault::Issuer, "iss"),
        (Fault::MissingEmail, "email"),
        (Fault::Nonce, "nonce"),
    ] {
        client.provider.set(|control| control.fault = Some(fault));

        let claims = client.verified_claims(&client.tokens().await).await;

        assert_ne!(claims[spoiled], whole[spoiled], "{fault}");
        assert_eq!(claims["sub"], whole["sub"], "{fault}");
    }
    client.provider.set(|control| control.fault = Some(Fault::HugeGroups));
    let claims = client.verified_claims(&client.tokens().await).await;
    assert_eq!(claims["groups"].as_array().map(Vec::len), Some(4_000));
}

/// D-42.
#[tokio::test]
async fn with_the_redirect_uri_fault_the_provider_shows_its_own_page() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| control.fault = Some(Fault::RedirectUri));

    let answer = client.authorize(&[]).await;

    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.location, None);
    assert!(answer.body.contains("http://localhost:9000/callback is not registered"));
}

/// D-42.
#[tokio::test]
async fn a_provider_that_is_down_answers_503_everywhere() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| control.fault = Some(Fault::Down));

    for path in ["/", "/.well-known/openid-configuration", "/jwks", "/authorize", "/nowhere"] {
        assert_eq!(client.get(path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn a_token_tampered_with_no_longer_verifies() {
    let client = Client::of_new_provider().await;
    for (tamper, algorithm) in [
        (Tamper::AnotherKey, "RS256"),
        (Tamper::BrokenSignature, "RS256"),
        (Tamper::Algorithm("PS256".to_owned()), "PS256"),
        (Tamper::PublicKeyAsSecret, "HS256"),
        (Tamper::Unsigned, "none"),
    ] {
        client.provider.set(|control| control.tamper = vec![tamper.clone()]);

        let tokens = client.tokens().await;

        let token = tokens["id_token"].as_str().expect("an ID token");
        assert_eq!(client::header(token)["alg"], algorithm, "{tamper:?}");
        assert!(!verified(token, &client.keys().await, "p%s + ecret"), "{tamper:?}");
    }
}

#[tokio::test]
async fn a_tampered_claim_or_header_is_signed_all_the_same() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| {
        control.tamper = vec![
            Tamper::set_claim("aud", json!(["gateway", "stranger"])),
            Tamper::drop_claim("nonce"),
            Tamper::set_header("crit", json!(["b64"])),
            Tamper::drop_header("typ"),
        ];
    });

    let tokens = client.tokens().await;

    let claims = client.verified_claims(&tokens).await;
    assert_eq!(claims["aud"], json!(["gateway", "stranger"]));
    assert_eq!(claims["nonce"], Value::Null);
    let header = client::header(tokens["id_token"].as_str().expect("an ID token"));
    assert_eq!(header["crit"], json!(["b64"]));
    assert_eq!(header["typ"], Value::Null);

    client.provider.set(|control| control.tamper = vec![Tamper::Raw("not a token".to_owned())]);
    assert_eq!(client.tokens().await["id_token"], "not a token");
}

#[tokio::test]
async fn answers_and_redirects_are_what_the_test_says() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| {
        control.redirect_edits =
            vec![ParameterEdit::drop("iss"), ParameterEdit::append("state", "second")];
        control.discovery_edits = vec![Edit::set("issuer", "https://other.example")];
        control.jwks_answer = Some(RawAnswer::json(StatusCode::NOT_FOUND, &json!({})));
        control.token_edits = vec![Edit::set("token_type", "bEaReR"), Edit::drop("expires_in")];
        control.userinfo_edits = vec![Edit::set("sub", "somebody else")];
        control.claims_in = ClaimsIn::Userinfo;
    });

    let location = client.authorize(&[]).await.location.expect("a redirect");
    let document = client.get("/.well-known/openid-configuration").await.json(StatusCode::OK);
    let tokens = client.tokens().await;
    let person = client.userinfo(&tokens).await.json(StatusCode::OK);

    assert_eq!(parameter(&location, "iss"), None);
    assert!(location.ends_with("&state=a-state&state=second"));
    assert_eq!(document["issuer"], "https://other.example");
    assert_eq!(client.get("/jwks").await.status, StatusCode::NOT_FOUND);
    assert_eq!(tokens["token_type"], "bEaReR");
    assert_eq!(tokens["expires_in"], Value::Null);
    let claims = client::claims(tokens["id_token"].as_str().expect("an ID token"));
    assert_eq!(claims["email"], Value::Null);
    assert_eq!(claims["groups"], Value::Null);
    assert_eq!(person["sub"], "somebody else");
    assert_eq!(person["email"], "alice@demo.example");
}

#[tokio::test]
async fn a_raw_token_answer_leaves_the_code_good() {
    let client = Client::of_new_provider().await;
    let code = client.code().await;
    client.provider.set(|control| {
        let body = json!({ "error": "temporarily_unavailable" });
        control.token_answer = Some(RawAnswer::json(StatusCode::SERVICE_UNAVAILABLE, &body));
    });
    let refused = client.redeem(&code).await;
    client.provider.set(|control| control.token_answer = None);

    let granted = client.redeem(&code).await;

    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(granted.status, StatusCode::OK);
}

#[tokio::test]
async fn every_request_is_written_down() {
    let client = Client::of_new_provider().await;

    client.tokens().await;

    assert_eq!(client.provider.count("/token"), 1);
    let requests = client.provider.requests();
    let authorize = requests.iter().find(|request| request.path == "/authorize");
    let authorize = authorize.expect("an authorization request");
    assert_eq!(authorize.query_parameter("nonce").as_deref(), Some("a-nonce"));
    let token = requests.iter().find(|request| request.path == "/token").expect("a token request");
    assert_eq!(token.method, "POST");
    assert_eq!(token.form_parameter("code_verifier").as_deref(), Some(VERIFIER));
    assert!(token.header("Authorization").is_some_and(|value| value.starts_with("Basic ")));

    client.provider.clear();
    assert_eq!(client.provider.requests(), []);
}

/// D-41.
#[tokio::test]
async fn a_provider_that_others_could_reach_does_not_start() {
    let address = "0.0.0.0:0".parse().expect("an address");
    let options = client::options();

    let refusal =
        Provider::start(ProviderOptions { address, ..options }).await.expect_err("it is reachable");

    let reason = refusal.get_ref().and_then(|cause| cause.downcast_ref::<NotLoopback>());
    assert_eq!(reason, Some(&NotLoopback { address }));
}

/// D-42: the slow token endpoint must not make its own end slow.
#[tokio::test]
async fn a_stopped_provider_gives_up_its_slow_answers_and_its_port() {
    let client = Client::of_new_provider().await;
    client.provider.set(|control| control.fault = Some(Fault::Slow));
    let address = client.provider.address();
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let request = "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\
                   Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    connection.write_all(request.as_bytes()).await.expect("written");
    while client.provider.count("/token") == 0 {
        tokio::task::yield_now().await;
    }

    client.provider.stop().await;

    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(TcpListener::bind(address).await.is_ok());
}

#[test]
fn the_default_personas_are_alice_bob_and_eve() {
    let names: Vec<String> =
        personas::default().into_iter().map(|persona| persona.preferred_username).collect();

    assert_eq!(names, ["alice", "bob", "eve"]);
}
