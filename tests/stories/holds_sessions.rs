//! Sessions and sign-ins in a browser that somebody may have tampered with.

use http::{Method, StatusCode};
use lychgate_demo::personas::Persona;
use lychgate_tests::cast::house::House;
use lychgate_tests::cast::raw;
use lychgate_tests::cast::visitor::Visitor;

/// C8, I5: applications get their own cookies byte for byte and in order, and none of ours; what a client
/// says of itself in `Authorization` is its own.
#[tokio::test]
async fn an_application_gets_its_own_cookies_and_none_of_ours() {
    let house = House::open().await;
    let session = house.session_of("bob").await;
    let cookies = format!(
        "a=1; {session}; b=\"2 3\"; lychgate-2=x; __Host-lychgate=y; lychgate-login-abc=z; c=%20;d"
    );
    let message = format!(
        "GET /app HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nAuthorization: Bearer mine\r\nConnection: close\r\n\r\n",
        house.host()
    );

    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [200]);
    let request = house.application.requests().pop().expect("it arrived");
    assert_eq!(request.header("cookie"), Some("a=1; b=\"2 3\"; c=%20; d"));
    assert_eq!(request.header("authorization"), Some("Bearer mine"));
    assert!(!format!("{request:?}").contains("lychgate"), "{request:?}");
}

/// C9: an application cannot sign anybody in or out, and what it says in our headers is not passed on.
#[tokio::test]
async fn an_application_cannot_set_our_cookies() {
    let house = House::open().await;
    let bob = house.signed_in("bob").await;
    for name in [
        "lychgate",
        "LychGate",
        "__Host-lychgate",
        "lychgate-2",
        "lychgate-login-abc",
        "lychgate-logout",
    ] {
        let answer = bob.fetches(&format!("/set-cookie?name={name}&value=forged")).await;

        assert_eq!(answer.set_cookies(), [] as [&str; 0], "{name}");
    }
    let theirs = bob.fetches("/set-cookie?name=theme&value=dark").await;
    assert_eq!(theirs.set_cookies(), ["theme=dark; Path=/"]);
    assert_eq!(bob.fetches("/").await.status, 200, "still signed in");
}

/// E2, H1, I1: a session cookie that is not exactly the one that was given is none, and every failure looks
/// the same.
#[tokio::test]
async fn a_session_cookie_that_is_not_exactly_right_is_none() {
    let house = House::open().await;
    let session = house.signed_in("bob").await.cookie("lychgate").expect("a session");
    house.application.clear();
    let mut lines: Vec<String> = [
        "",
        "%",
        "x",
        "%%%",
        "2.",
        "0.a",
        "99.a",
        "-1.a",
        "18446744073709551616.a",
        "2.a; lychgate-2=b",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "\u{e9}",
    ]
    .map(|value| format!("lychgate={value}"))
    .into();
    lines.push(format!("lychgate={}", "Q".repeat(8000)));
    lines.push(format!("lychgate=\"{session}\""));
    lines.push(format!("lychgate={session}; lychgate=bad"));
    lines.push(format!("lychgate=bad; lychgate={session}"));
    lines.push(format!("lychgate={session}; lychgate={session}"));
    lines.push(format!("lychgate={session}\r\nCookie: lychgate=bad"));
    lines.push(format!("lychgate={session}x"));
    lines.push(format!("Lychgate={session}"));
    for cut in [1, 2, 7, 33, session.len() / 2, session.len() - 1] {
        lines.push(format!("lychgate={}", &session[..session.len() - cut]));
    }
    // One changed character every few: each falls into another field of what is sealed.
    for at in (0..session.len()).step_by(session.len() / 40) {
        let other = if &session[at..=at] == "A" { "B" } else { "A" };
        lines.push(format!("lychgate={}{other}{}", &session[..at], &session[at + 1..]));
    }

    for line in lines {
        let message = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nCookie: {line}\r\nConnection: close\r\n\r\n",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        assert_eq!(exchange.statuses(), [401], "{line}");
        let code = serde_json::from_slice::<serde_json::Value>(&exchange.responses[0].body)
            .expect("a problem")["code"]
            .clone();
        assert!(code == "session_unreadable" || code == "session_required", "{line}: {code}");
    }
    assert_eq!(house.application.requests(), []);
}

/// E4: callbacks that answer nothing are refused, and the provider is not asked.
#[tokio::test]
async fn a_callback_that_answers_nothing_is_refused() {
    let house = House::open().await;
    let bob = house.visitor();
    let good = bob.comes_back_as("bob", "/").await;
    let query = good.query().unwrap_or_default().to_owned();
    let long = format!("state={}", "s".repeat(6000));
    for bad in [
        "",
        "code=x",
        "state=x",
        "error=access_denied",
        "code=x&error=y&state=z",
        "code=a&code=b&state=s",
        "code=a&state=s&state=t",
        "response=a.b.c",
        &long,
        "code=%00&state=%0d%0a",
        "%ff=%fe&state=s",
        &format!("{query}&code=other"),
        &format!("{query}&iss=other"),
    ] {
        let page = house.visitor().opens(&format!("/.lychgate/callback?{bad}")).await;

        assert_eq!(page.status, 400, "{bad}: {}", page.status);
    }
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        let answer = bob.asks(method.clone(), good.as_str(), &[]).await;

        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"), "{method}");
    }
    assert_eq!(house.provider.count("/token"), 0);
    let page = bob.opens(good.as_str()).await;
    assert_eq!(
        (page.status, bob.has_session()),
        (StatusCode::SEE_OTHER, true),
        "the good one still works"
    );
}

/// F5, CB-29: a callback works once; whoever it signed in is sent on, anybody else is refused.
#[tokio::test]
async fn a_callback_works_once() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/page").await;
    let kept: Vec<_> = bob.cookies();
    bob.opens(callback.as_str()).await;

    let again = bob.opens(callback.as_str()).await;
    let thief = house.visitor();
    for (name, value) in kept {
        thief.takes_cookie(&name, &value);
    }
    let stolen = thief.opens(callback.as_str()).await;

    assert_eq!(again.location().map(|url| url.path().to_owned()).as_deref(), Some("/page"));
    assert_eq!(
        (stolen.status, stolen.reason()),
        (StatusCode::BAD_REQUEST, "login_already_used".to_owned())
    );
    assert!(!thief.has_session());
    assert_eq!(house.provider.count("/token"), 1);
}

/// F2: somebody else's state is not mine, and mine still works.
#[tokio::test]
async fn somebody_elses_answer_does_not_complete_my_login() {
    let house = House::open().await;
    let (victim, attacker) = (house.visitor(), house.visitor());
    let mine = victim.comes_back_as("bob", "/").await;
    let theirs = attacker.comes_back_as("eve", "/").await;

    let page = victim.opens(theirs.as_str()).await;
    let after = victim.opens(mine.as_str()).await;

    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::BAD_REQUEST, "login_not_ours".to_owned())
    );
    assert_eq!(after.status, 303);
    assert_eq!(victim.fetches("/x").await.echoed("x-forwarded-user").as_deref(), Some("bob"));
}

/// F11: whoever signs in again has a new session, and the old one is over.
#[tokio::test]
async fn signing_in_again_ends_the_session_before() {
    let house = House::open().await;
    let browser = house.signed_in("bob").await;
    let old = browser.cookie("lychgate").expect("a session");

    browser.signs_in_as("eve", "/.lychgate/login?prompt=select_account").await;
    let thief = house.visitor();
    thief.takes_cookie("lychgate", &old);

    assert_eq!(browser.fetches("/x").await.echoed("x-forwarded-user").as_deref(), Some("eve"));
    assert_eq!(thief.fetches("/x").await.status, 401);
}

/// R20, H8: a session of several cookies is kept, split; one that is too large ends in a page that says so.
#[tokio::test]
async fn a_person_in_many_groups_is_kept_in_several_cookies_or_told_that_it_is_too_much() {
    let house = House::with("limits.header_bytes = \"64KiB\"").await;
    let groups =
        |count: usize| (0..count).map(|number| format!("department-{number:04}-readers")).collect();
    let set_groups = |count: usize| {
        house.provider.set(|control| {
            control.personas = vec![Persona {
                groups: groups(count),
                ..lychgate_demo::personas::default().remove(1)
            }];
        });
    };

    set_groups(200);
    let bob = house.signed_in("bob").await;
    let parts = session_parts(&bob);
    let answer = bob.fetches("/x").await;
    set_groups(4000);
    let other = house.visitor();
    let page = other.signs_in_as("bob", "/").await;

    assert!((2..=3).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|(name, value)| name.len() + value.len() <= 4096));
    assert_eq!(answer.echoed("x-forwarded-groups").unwrap_or_default().split(',').count(), 200);
    assert_eq!(
        (page.status, page.reason()),
        (StatusCode::FORBIDDEN, "session_too_large".to_owned())
    );
    assert!(!other.has_session());
}

/// The cookies that the session is in.
fn session_parts(visitor: &Visitor) -> Vec<(String, String)> {
    visitor.cookies().into_iter().filter(|(name, _)| name != "lychgate-returns").collect()
}

/// H8, I1: a session with a part missing, or with parts in each other's place, is none and is cleared whole.
#[tokio::test]
async fn a_session_with_a_part_missing_is_none_and_is_cleared_whole() {
    let house = House::planned(|plan| {
        plan.provider.personas[1].groups =
            (0..200).map(|number| format!("department-{number:04}-readers")).collect();
    })
    .await;
    let bob = house.signed_in("bob").await;
    let parts = session_parts(&bob);
    assert!(parts.len() > 1);
    house.application.clear();

    for missing in 0..parts.len() {
        let incomplete = house.visitor();
        for (name, value) in
            parts.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, part)| part)
        {
            incomplete.takes_cookie(name, value);
        }
        assert_eq!(incomplete.fetches("/").await.status, 401, "without part {missing}");
    }
    let swapped = house.visitor();
    swapped.takes_cookie(&parts[0].0, &parts[1].1);
    swapped.takes_cookie(&parts[1].0, &parts[0].1);
    let answer = swapped.fetches("/").await;
    assert_eq!(answer.status, 401);
    assert_eq!(swapped.cookies(), [], "all parts are cleared");
    assert_eq!(house.application.requests(), []);
}

/// H7: what was set with some attributes is cleared with the same.
#[tokio::test]
async fn a_cookie_is_cleared_with_the_attributes_with_which_it_was_set() {
    let house = House::open().await;
    let bob = house.visitor();
    let callback = bob.comes_back_as("bob", "/").await;
    let set = bob.opens(callback.as_str()).await;

    let cleared = bob.sends(Method::POST, "/.lychgate/logout", &[], Vec::new()).await;

    let attributes = |lines: Vec<&str>| {
        let line = lines
            .into_iter()
            .find(|line| line.starts_with("lychgate="))
            .expect("a session line")
            .to_owned();
        let mut attributes: Vec<_> = line
            .split("; ")
            .skip(1)
            .filter(|it| !it.starts_with("Max-Age"))
            .map(str::to_owned)
            .collect();
        attributes.sort();
        attributes
    };
    assert_eq!(attributes(set.set_cookies()), attributes(cleared.set_cookies()));
    assert!(attributes(set.set_cookies()).contains(&"HttpOnly".to_owned()));
}

/// F3, H7: on https the names carry `__Host-`, which a sibling host cannot plant.
#[tokio::test]
async fn on_https_a_cookie_belongs_to_its_host() {
    let house = House::planned(|plan| plan.set("[routes.app]\nurl = \"https://app.test\"")).await;
    let message =
        "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n";

    let exchange = raw::send(house.gate.address(), message).await;

    assert_eq!(exchange.statuses(), [302]);
    let line = exchange.responses[0].header("set-cookie").unwrap_or_default().to_owned();
    assert!(line.starts_with("__Host-lychgate-login-"), "{line}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(line.contains(attribute), "{attribute} in {line}");
    }
    assert!(!line.contains("Domain"), "{line}");
    let location = exchange.responses[0].header("location").unwrap_or_default();
    assert!(
        location.contains("redirect_uri=https%3A%2F%2Fapp.test%2F.lychgate%2Fcallback"),
        "{location}"
    );
}

/// I4: cookie headers that were made to hurt.
#[tokio::test]
async fn cookie_headers_that_were_made_to_hurt_are_survived() {
    let house = House::with("limits.header_bytes = \"1MiB\"").await;
    let many = (0..5000).map(|number| format!("c{number}=x")).collect::<Vec<_>>().join("; ");
    let long = format!("a={}", "x".repeat(900_000));
    for (cookies, expected) in [
        (";;;; ; =; ==;a;", &[401][..]),
        ("\u{ff}=\u{fe}", &[400, 401]),
        ("lychgate", &[401]),
        ("=lychgate=x", &[401]),
        ("lychgate-2=x", &[401]),
        (&many, &[401]),
        (&long, &[401, 431]),
    ] {
        let message = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n",
            house.host()
        );

        let exchange = raw::send(house.gate.address(), message).await;

        let statuses = exchange.statuses();
        assert!(
            statuses.len() == 1 && expected.contains(&statuses[0]),
            "{:.20}: {statuses:?}",
            cookies
        );
    }
    assert_eq!(house.visitor().fetches("/public/").await.status, 200, "and serves on");
}

/// O-1 in small: many people at once, each answered as themselves.
#[tokio::test]
async fn people_who_come_at_once_are_never_mixed_up() {
    let house = House::planned(|plan| {
        plan.provider.personas = (0..20)
            .map(|number| Persona {
                subject: format!("s{number}"),
                preferred_username: format!("user{number}"),
                name: format!("User {number}"),
                email: None,
                email_verified: false,
                groups: Vec::new(),
            })
            .collect();
    })
    .await;
    let visits = (0..20).map(async |number| {
        let visitor = house.visitor();
        let user = format!("user{number}");
        visitor.signs_in_as(&user, "/").await;
        for _ in 0..10 {
            assert_eq!(visitor.fetches("/x").await.echoed("x-forwarded-user"), Some(user.clone()));
        }
    });

    futures_util::future::join_all(visits).await;

    assert_eq!(house.application.count("/x"), 200);
}

/// 2.7: however many applications one person uses, each is told what its own route says.
#[tokio::test]
async fn each_of_many_applications_is_told_its_own() {
    let house = House::planned(|plan| {
        let upstream = plan.configuration["routes"]["app"]["upstream"].clone();
        let url = plan.configuration["routes"]["app"]["url"].as_str().expect("a URL").to_owned();
        for number in 0..7 {
            plan.set(&format!(
                "[routes.app{number}]\nurl = \"{url}/app{number}\"\nupstream = {upstream}\n\
                 allow = [\"authenticated\"]\nheaders.request = {{ \"X-Told\" = \"{number} {{user}}\" }}"
            ));
        }
    })
    .await;
    let bob = house.signed_in("bob").await;

    for number in [0, 1, 2, 3, 4, 5, 6, 0, 6, 3] {
        let seen = bob.fetches(&format!("/app{number}/x")).await.json()["headers"].to_string();
        assert!(seen.contains(&format!("[\"x-told\",\"{number} bob\"]")), "{number}: {seen}");
    }
}
