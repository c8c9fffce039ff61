//! What people see, in a real browser over https: signing in and out, and every page of ours.

use lychgate_tests::cast::browser::{Complaint, Habits, Outcome, Page, Scripts};
use lychgate_tests::cast::visitor::Visitor;
use serde_json::{Value, json};

use crate::page_rules;
use crate::town::{sign_in, tell};

/// What a page complained about, beside that its own status is not 200: browsers write that down
/// as an error of the page.
async fn complaints(page: &Page) -> Outcome<Vec<Complaint>> {
    let mut complaints = page.complaints().await?;
    complaints.retain(|complaint| {
        !complaint
            .text
            .starts_with("Failed to load resource: the server responded with a status of")
    });
    Ok(complaints)
}

/// The reason that a refusal of ours names.
async fn reason(page: &Page) -> Outcome<String> {
    page.text("footer code").await
}

/// C-80, P-04: query and fragment survive the way to another site and back, and the browser keeps
/// nothing but our one cookie (F1).
#[test]
fn a_deep_link_is_where_the_sign_in_ends_with_its_query_and_its_fragment() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;
        let link = square.at("app", "/deep/link?tab=2&next=%2Fx#/part/7?a=b");

        page.goto(&link).await?;
        sign_in(&page, "alice").await?;
        let arrived = page.wait_for_url("#").await?;

        assert_eq!(arrived, link);
        assert_eq!(page.text("h1").await?, "Hello, Alice Example");
        let protocol: String =
            page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol").await?;
        assert_eq!(protocol, "h2");
        assert_eq!(page.evaluate::<String>("document.cookie").await?, "");

        let cookies = person.cookies().await?;
        let ours: Vec<_> = cookies.iter().filter(|cookie| cookie.domain == "app.gw.test").collect();
        let mut names: Vec<_> = ours.iter().map(|cookie| cookie.name.as_str()).collect();
        names.sort_unstable();
        let expected = ["__Host-lychgate", "__Host-lychgate-provider", "__Host-lychgate-returns"];
        assert_eq!(names, expected, "no login is left");
        for cookie in ours {
            assert_eq!(
                (cookie.path.as_str(), cookie.same_site.as_str()),
                ("/", "Lax"),
                "{cookie:?}"
            );
            assert!(cookie.secure && cookie.http_only, "{cookie:?}");
        }

        let ours = square.at("app", "/");
        let foreign = page.requests().await?.into_iter().filter(|url| {
            !url.starts_with(&ours) && !url.starts_with(town.issuer()) && !url.starts_with("data:")
        });
        assert_eq!(foreign.collect::<Vec<_>>(), [""; 0], "nobody else is asked for anything");
        assert_eq!(complaints(&page).await?, []);
        Ok(())
    })
}

/// P-04: without scripts everything works but the fragment.
#[test]
fn people_without_scripts_sign_in_too() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let habits = Habits { scripts: Scripts::Off, ..Habits::default() };
        let (_, page) = town.person_with(&habits).await?;

        page.goto(&square.at("app", "/deep/link?tab=2#part")).await?;
        sign_in(&page, "alice").await?;
        let arrived = page.wait_for_url("/deep/link").await?;

        assert_eq!(arrived.split('#').next(), Some(square.at("app", "/deep/link?tab=2").as_str()));
        assert_eq!(page.text("h1").await?, "Hello, Alice Example");
        Ok(())
    })
}

/// CB-22, F10: logins under way do not know of each other.
#[test]
fn two_tabs_that_sign_in_in_reverse_order_both_arrive() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, first) = town.person().await?;
        let second = person.open_tab().await?;

        first.goto(&square.at("app", "/first?n=1")).await?;
        first.wait_for("#user").await?;
        second.goto(&square.at("app", "/second?n=2")).await?;
        sign_in(&second, "alice").await?;
        let second_arrived = second.wait_for_url("app.gw.test").await?;
        sign_in(&first, "alice").await?;
        let first_arrived = first.wait_for_url("app.gw.test").await?;

        assert_eq!(second_arrived, square.at("app", "/second?n=2"));
        assert_eq!(first_arrived, square.at("app", "/first?n=1"));
        assert_eq!(second.reload().await?.status, Some(200));
        assert_eq!((complaints(&first).await?, complaints(&second).await?), (vec![], vec![]));
        Ok(())
    })
}

/// A page that is not for everybody says so, to whom, and what to do.
#[test]
fn whoever_may_not_enter_is_told_why_and_can_come_back_as_somebody_else() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        page.goto(&square.at("app", "/staff/plan?week=7#friday")).await?;
        sign_in(&page, "bob").await?;
        page.wait_for_url("/staff/plan").await?;
        let refusal = (page.title().await?, reason(&page).await?, page.text("main").await?);
        page_rules::hold(&page, "no-access").await?;
        page.click("text=Use another account").await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("/staff/plan").await?;
        page.wait_for("text=This is the sample application").await?;

        let (title, reason, text) = refusal;
        assert_eq!(
            (title.as_str(), reason.as_str()),
            ("You do not have access", "access_not_granted")
        );
        for part in
            ["Bob Example", "app.gw.test", "Plans are for members of staff", "Get help", "Sign out"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        // Not verified, so it is not taken for his.
        assert!(!text.contains("bob@other.example"), "{text}");
        assert_eq!(page.url().await?, square.at("app", "/staff/plan?week=7#friday"));
        assert_eq!(page.text("h1").await?, "Hello, Alice Example");
        Ok(())
    })
}

/// OpenID Connect RP-Initiated Logout 1.0, as somebody who presses the buttons.
#[test]
fn signing_out_ends_the_session_here_and_at_the_provider() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;
        page.goto(&square.at("app", "/")).await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("app.gw.test").await?;

        page.goto(&square.at("app", "/.lychgate/")).await?;
        let account = page.text("main").await?;
        page_rules::hold(&page, "signed-in-as").await?;
        page.click("text=Sign out").await?;
        page.click("#sign-out").await?;
        page.wait_for_url("/.lychgate/signed-out").await?;
        let farewell = page.text("main").await?;
        page_rules::hold(&page, "signed-out").await?;
        page.click("text=Sign in again").await?;
        page.wait_for("#user").await?;

        for part in [
            "alice",
            "Alice Example",
            "alice@example.com",
            "staff",
            "admin",
            "Example Corp account",
        ] {
            assert!(account.contains(part), "{part}: {account}");
        }
        assert!(farewell.contains("your session at the identity provider too"), "{farewell}");
        let left = person.cookies().await?.into_iter().map(|cookie| cookie.name);
        let left: Vec<_> = left.filter(|name| name.contains("lychgate")).collect();
        let is_no_session = |name: &String| {
            name.starts_with("__Host-lychgate-login-") || name == "__Host-lychgate-provider"
        };
        assert!(left.iter().all(is_no_session), "{left:?}");
        assert_eq!(complaints(&page).await?, []);
        Ok(())
    })
}

#[test]
fn another_site_cannot_sign_people_out() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;
        page.goto(&square.at("app", "/")).await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("app.gw.test").await?;

        page.goto(&format!("{}/jwks", town.issuer())).await?;
        let logout = json!(square.at("app", "/.lychgate/logout"));
        page.evaluate::<Value>(&format!("void (location.href = {logout})")).await?;
        page.wait_for("text=Do you want to sign out?").await?;
        page_rules::hold(&page, "confirm-sign-out").await?;
        let still_in = page.goto(&square.at("app", "/")).await?;
        page.back().await?;
        page.click("button").await?;
        page.click("#sign-out").await?;
        page.wait_for("text=You have signed out").await?;

        assert_eq!(still_in.status, Some(200));
        assert_eq!(page.goto(&square.at("app", "/.lychgate/me")).await?.status, Some(401));
        Ok(())
    })
}

/// Somebody who only finds the address of the last page is promised nothing about the provider.
#[test]
fn the_signed_out_page_claims_no_more_than_is_known() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        page.goto(&square.at("app", "/.lychgate/signed-out")).await?;

        let text = page.text("main").await?;
        assert!(text.contains("You may still be signed in at the identity provider"), "{text}");
        page_rules::hold(&page, "signed-out-here").await
    })
}

#[test]
fn where_there_are_two_providers_people_choose_and_keep_their_place() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        page.goto(&square.at("two", "/board?b=1#/card/3")).await?;
        page.wait_for("text=Choose how to sign in").await?;
        let text = page.text("main").await?;
        page_rules::hold(&page, "choose-provider").await?;
        page.click("text=Partner account").await?;
        sign_in(&page, "bob").await?;
        let arrived = page.wait_for_url("/board").await?;
        page.goto(&square.at("two", "/.lychgate/me")).await?;
        let me: Value = serde_json::from_str(&page.text("body").await?).unwrap_or_default();

        assert!(text.contains("two.gw.test") && text.contains("Example Corp account"), "{text}");
        assert_eq!(arrived, square.at("two", "/board?b=1#/card/3"));
        assert_eq!((&me["provider"], &me["user"]), (&json!("partners"), &json!("bob")));
        Ok(())
    })
}

#[test]
fn an_application_that_is_down_is_not_mistaken_for_a_failed_sign_in() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        page.goto(&square.at("down", "/report")).await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("down.gw.test").await?;
        page.wait_for("text=The application is not answering").await?;

        let text = page.text("main").await?;
        assert!(text.contains("Your sign-in is fine") && text.contains("Try again"), "{text}");
        assert_eq!(reason(&page).await?, "upstream_unreachable");
        page_rules::hold(&page, "application-down").await
    })
}

/// P-10 and RFC 9110, section 15.5.20: the certificate covers more names than there are sites.
#[test]
fn a_host_that_is_no_site_of_ours_says_only_that() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        let landing = page.goto(&square.at("nowhere", "/")).await?;

        assert_eq!((landing.status, page.title().await?.as_str()), (Some(421), "No such site"));
        page_rules::hold(&page, "no-such-site").await
    })
}

/// CB-39: Cancel is an answer, not an accident.
#[test]
fn whoever_cancels_at_the_provider_can_start_again_from_the_page_that_says_so() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;

        page.goto(&square.at("app", "/deep?q=1")).await?;
        page.click("#cancel").await?;
        page.wait_for("text=You were not signed in").await?;
        let (reason, text) = (reason(&page).await?, page.text("main").await?);
        page_rules::hold(&page, "cancelled").await?;
        let names: Vec<_> = person.cookies().await?.into_iter().map(|cookie| cookie.name).collect();
        page.click("text=Try again").await?;
        sign_in(&page, "alice").await?;
        let arrived = page.wait_for_url("/deep").await?;

        assert_eq!(reason, "provider_denied");
        assert!(text.contains("you come back to where you wanted to go"), "{text}");
        assert!(text.contains("the user said no"), "{text}");
        assert!(!names.iter().any(|name| name.contains("lychgate")), "{names:?}");
        assert_eq!(arrived, square.at("app", "/deep?q=1"));
        Ok(())
    })
}

/// What somebody wrote is neither sent without them nor thrown away by a redirect.
#[test]
fn whoever_is_signed_out_while_writing_loses_nothing() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;
        page.goto(&square.at("app", "/status/200")).await?;

        page.evaluate::<Value>(
            "(() => {
                const form = document.createElement('form');
                Object.assign(form, { method: 'post', action: '/write' });
                document.body.append(form);
                form.submit();
            })()",
        )
        .await?;
        page.wait_for_url("/write").await?;
        let text = page.text("main").await?;

        assert_eq!(reason(&page).await?, "session_required");
        assert!(text.contains("did not reach the application"), "{text}");
        assert!(text.contains("Sign in in a new tab"), "{text}");
        assert_eq!(square.count("/write"), 0);
        assert!(person.cookies().await?.is_empty());
        page_rules::hold(&page, "nothing-was-sent").await
    })
}

/// A redirect would leave the origin and die as a CORS error, which tells a script nothing.
#[test]
fn a_script_without_a_session_is_answered_with_a_problem_that_it_can_read() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;
        page.goto(&square.at("app", "/status/200")).await?;

        let told: Value = page
            .evaluate(
                "fetch('/api/data').then(async (answer) => ({
                    status: answer.status,
                    redirected: answer.redirected,
                    type: answer.headers.get('content-type'),
                    code: (await answer.json()).code,
                }))",
            )
            .await?;

        let expected = json!({
            "status": 401,
            "redirected": false,
            "type": "application/problem+json",
            "code": "session_required",
        });
        assert_eq!(told, expected);
        assert_eq!(complaints(&page).await?, []);
        Ok(())
    })
}

/// CB-29, CB-30: by the back button or a bookmark, a callback comes again.
#[test]
fn a_callback_that_comes_again_leads_on_or_says_what_it_is() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;
        page.goto(&square.at("app", "/deep")).await?;
        sign_in(&page, "alice").await?;
        page.wait_for_url("/deep").await?;
        let requests = page.requests().await?;
        let callback = requests.iter().find(|url| url.contains("/.lychgate/callback/corp?"));
        let callback = callback.expect("the browser came back by the callback");

        let again = page.goto(callback).await?;
        person.clear_cookies().await?;
        page.goto(callback).await?;

        assert_eq!((again.url, again.status), (square.at("app", "/deep"), Some(200)));
        assert_eq!(reason(&page).await?, "login_already_used");
        let text = page.text("main").await?;
        assert!(!text.contains("where you wanted to go"), "nobody knows where that was: {text}");
        page_rules::hold(&page, "sign-in-already-used").await
    })
}

/// CB-08: what a stranger's link brings is not this browser's login.
#[test]
fn a_callback_that_this_browser_did_not_begin_signs_nobody_in() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (person, page) = town.person().await?;

        page.goto(&square.at("app", "/.lychgate/callback?code=stolen&state=strange")).await?;

        assert_eq!(reason(&page).await?, "login_not_ours");
        assert!(person.cookies().await?.is_empty());
        page_rules::hold(&page, "sign-in-not-ours").await
    })
}

#[test]
fn our_own_page_asks_whoever_is_not_signed_in_to_do_so() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        let landing = page.goto(&square.at("app", "/.lychgate/")).await?;
        let reason = reason(&page).await?;
        page_rules::hold(&page, "sign-in-required").await?;
        page.click("main a").await?;
        page.wait_for("#user").await?;

        assert_eq!((landing.status, reason.as_str()), (Some(401), "session_required"));
        Ok(())
    })
}

#[test]
fn a_provider_that_is_down_is_named_as_the_cause() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;

        page.goto(&square.at("closed", "/")).await?;
        page.wait_for("text=The identity provider is not available").await?;

        let text = page.text("main").await?;
        assert!(text.contains("People who are signed in are not affected"), "{text}");
        assert!(text.contains("Please try again in about 10 seconds"), "{text}");
        assert_eq!(reason(&page).await?, "provider_unavailable");
        page_rules::hold(&page, "provider-down").await
    })
}

/// A browser passes through this page faster than anybody can look, so it is shown without its
/// script and without its way on.
#[test]
fn the_page_on_the_way_to_the_provider_is_a_page_like_the_others() -> Outcome<()> {
    tell(async |town| {
        let square = town.build().await;
        let (_, page) = town.person().await?;
        let way = Visitor::trusting(&square.at("app", "/"), &[town.issuer()], town.authority());
        let headers = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
        let one_moment = way.asks(http::Method::GET, "/.lychgate/login", &headers).await.text();
        let (_, body) = one_moment.split_once("<body>").expect("the page has a body");

        page.goto(&square.at("app", "/.lychgate/signed-out")).await?;
        let (title, body) = (json!("One moment"), json!(body));
        page.evaluate::<Value>(&format!(
            "void (document.title = {title}, document.body.innerHTML = {body})"
        ))
        .await?;

        assert!(page.text("main").await?.contains("You are on your way to the sign-in page"));
        page_rules::hold(&page, "one-moment").await
    })
}
