//! Answers that the provider's page posts, over https, against the real binary.

use http::Method;
use lychgate_tests::cast::gate::free_port;
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::visitor::{Answer, Visitor};
use rcgen::{CertifiedKey, generate_simple_self_signed};

/// A house behind TLS whose provider is asked to post its answers, and somebody who trusts its certificate.
async fn posting() -> (House, Visitor) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["app.test".to_owned()]).expect("a certificate");
    let port = free_port();
    let origin = format!("https://app.test:{port}");
    let house = House::planned(|plan| {
        plan.scratch.write("tls.crt", cert.pem());
        plan.scratch.write("tls.key", signing_key.serialize_pem());
        plan.configuration.remove("listeners");
        plan.set(&format!(
            "[listeners.https]\naddress = \"127.0.0.1:{port}\"\n\
             tls = {{ certificate = \"tls.crt\", key = \"tls.key\" }}\n\
             [providers.demo]\nresponse_mode = \"form_post\"\n\
             [routes.app]\nurl = \"{origin}\""
        ));
        plan.provider.clients[0].redirect_uris = vec![format!("{origin}/.lychgate/callback")];
    })
    .await;
    let visitor = Visitor::trusting(&origin, &[house.provider.issuer()], &cert.pem());
    (house, visitor)
}

/// Goes to the provider, is `user` there, and comes as far as the form: where it goes, and what is in it.
async fn form_as(visitor: &Visitor, user: &str, place: &str) -> (String, String) {
    let mut answer = visitor.opens(place).await;
    while !answer.text().contains("<form method=\"post\"") {
        answer = match answer.location() {
            Some(location) => visitor.opens(location.as_str()).await,
            None => {
                let choice = answer.link(&format!("persona={user}"));
                visitor.opens(&choice).await
            }
        };
    }
    let text = answer.text();
    let value = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\"")).expect("an attribute");
        rest.split('"').next().unwrap_or_default().replace("&amp;", "&")
    };
    let (_, form) = text.split_once("<form method=\"post\"").expect("a form");
    let mut fields = url::form_urlencoded::Serializer::new(String::new());
    for field in form.split("<input ").skip(1) {
        fields.append_pair(&value(field, "name"), &value(field, "value"));
    }
    (value(form, "action"), fields.finish())
}

async fn posts(visitor: &Visitor, place: &str, form: &str) -> Answer {
    let headers = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    visitor.sends(Method::POST, place, &headers, form.as_bytes().to_vec()).await
}

/// OC-07, CB-24: the form signs in, once, and the person arrives where they wanted to go.
#[tokio::test]
async fn a_person_comes_back_with_a_form() {
    let (house, bob) = posting().await;
    let (action, form) = form_as(&bob, "bob", "/deep/link?tab=2").await;

    let answer = posts(&bob, &action, &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let page = bob.follows(answer).await;

    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.url.query(), Some("tab=2"));
    assert_eq!(house.application.requests()[0].header("x-forwarded-user"), Some("bob"));
    assert_eq!(house.application.requests()[0].header("x-forwarded-subject-type"), Some("claim"));
    let again = posts(&bob, &action, &form).await;
    // This visitor sends every cookie; a browser keeps the session to itself and is told that it was used.
    assert_eq!(again.location().map(|url| url.path().to_owned()), Some("/deep/link".to_owned()));
    let tokens = house.provider.requests();
    assert_eq!(tokens.iter().filter(|request| request.path == "/token").count(), 1);
    // N1, CB-62: what came in the form is in no log.
    let output = house.gate.output();
    let code = url::form_urlencoded::parse(form.as_bytes())
        .find(|(name, _)| name == "code")
        .map(|(_, code)| code.into_owned())
        .expect("a code");
    assert!(!output.contains(&code), "{output}");
}

/// CB-24: neither by GET nor as anything but a form, and not without end.
#[tokio::test]
async fn a_form_has_to_be_one() {
    let (house, bob) = posting().await;
    let (action, form) = form_as(&bob, "bob", "/").await;

    let got = bob.opens(&format!("{action}?{form}")).await;
    assert_eq!((got.status.as_u16(), got.header("allow")), (405, "POST"));
    let json = bob.sends(
        Method::POST,
        &action,
        &[("accept", "text/html"), ("content-type", "application/json")],
        form.as_bytes().to_vec(),
    );
    assert_eq!(json.await.reason(), "login_malformed");
    let endless = format!("{form}&x={}", "x".repeat(256 * 1024));
    assert_eq!(posts(&bob, &action, &endless).await.status, 413);
    let tokens = house.provider.requests();
    assert_eq!(tokens.iter().filter(|request| request.path == "/token").count(), 0);

    let answer = posts(&bob, &action, &form).await;
    assert_eq!(bob.follows(answer).await.status, 200, "nothing was used up");
}
