//! Who somebody is to the application, by what the provider says of them.

use lychgate_gateway::reason::Reason;
use lychgate_gateway::settings::ClaimNames;
use serde_json::Value;

use crate::world::World;
use crate::world::plan::Plan;
use crate::world::provider::{Manner, Person};

/// What a provider changes in the claims that it asserts.
type Says = fn(&mut Value);

/// As whom Ada is known when the provider says this of her, or why she is not let in.
fn known_as(names: ClaimNames, says: Says) -> Result<String, Reason> {
    let mut plan = Plan::one_app();
    plan.claims = names;
    let world = World::new(plan);
    world.at("corp", |corp| corp.manner = Manner::Lying(says));
    let seen = world.browser(Person::ada()).opens("/page");
    match (seen.user(), seen.reason()) {
        (Some(user), None) => Ok(user.to_owned()),
        (None, Some(reason)) => Err(reason),
        other => panic!("neither in nor out: {other:?}"),
    }
}

fn without(claims: &mut Value, names: &[&str]) {
    claims.as_object_mut().expect("claims").retain(|name, _| !names.contains(&name.as_str()));
}

fn named(user: Option<&str>, email: &str) -> ClaimNames {
    ClaimNames { user: user.map(str::to_owned), email: email.to_owned(), ..ClaimNames::default() }
}

/// M: whoever may write any address into their account would be anybody to an application that knows people by
/// it. So an address that nobody verified is no user name; the subject is.
#[test]
fn an_address_that_nobody_verified_is_no_user_name() {
    // The name that is preferred is never there, so the address is the next best.
    let cases: [(&str, Says, &str); 4] = [
        ("verified", |claims| without(claims, &["preferred_username"]), "ada@corp.test"),
        ("unsaid", |claims| without(claims, &["preferred_username", "email_verified"]), "sub-ada"),
        (
            "not verified",
            |claims| {
                without(claims, &["preferred_username"]);
                claims["email_verified"] = false.into();
            },
            "sub-ada",
        ),
        (
            "said in a text",
            |claims| {
                without(claims, &["preferred_username"]);
                claims["email_verified"] = "true".into();
            },
            "sub-ada",
        ),
    ];
    for (case, says, expected) in cases {
        assert_eq!(known_as(ClaimNames::default(), says).as_deref(), Ok(expected), "{case}");
    }
}

/// M: an operator who wants addresses for names wants verified ones; another would be another person.
#[test]
fn a_user_name_that_has_to_be_an_address_has_to_be_verified() {
    let names = || named(Some("email"), "email");
    assert_eq!(known_as(names(), |_| {}).as_deref(), Ok("ada@corp.test"));
    let cases: [(&str, Says); 4] = [
        ("not verified", |claims| claims["email_verified"] = false.into()),
        ("unsaid", |claims| without(claims, &["email_verified"])),
        ("said in a text", |claims| claims["email_verified"] = "true".into()),
        ("absent", |claims| without(claims, &["email"])),
    ];
    for (case, says) in cases {
        assert_eq!(known_as(names(), says), Err(Reason::ClaimMissing), "{case}");
    }
}

/// M: `email_verified` is about `email` (OIDC Core §5.1), so it verifies no address out of another claim, whether
/// the address was chosen for the user name or came to be it for want of a better one.
#[test]
fn the_standards_word_verifies_no_address_out_of_another_claim() {
    let says: Says = |claims| {
        claims["upn"] = "root@corp.test".into();
        claims["email_verified"] = true.into();
        without(claims, &["preferred_username"]);
    };

    assert_eq!(known_as(named(None, "upn"), says).as_deref(), Ok("sub-ada"));
    assert_eq!(known_as(named(Some("upn"), "upn"), says), Err(Reason::ClaimMissing));

    let believed = |user| ClaimNames { assume_email_verified: true, ..named(user, "upn") };
    assert_eq!(known_as(believed(None), says).as_deref(), Ok("root@corp.test"));
    assert_eq!(known_as(believed(Some("upn")), says).as_deref(), Ok("root@corp.test"));
}

/// M: nor is the standard's address a name when it was not verified, although the e-mail claim is another one.
#[test]
fn the_standards_address_has_to_be_verified_also_where_another_one_is_used() {
    let names = || named(Some("email"), "upn");
    let unverified: Says = |claims| claims["email_verified"] = false.into();

    assert_eq!(known_as(names(), |_| {}).as_deref(), Ok("ada@corp.test"));
    assert_eq!(known_as(names(), unverified), Err(Reason::ClaimMissing));
    let unsaid: Says = |claims| without(claims, &["email_verified"]);
    assert_eq!(known_as(names(), unsaid), Err(Reason::ClaimMissing));
}
