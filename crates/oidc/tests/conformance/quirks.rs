//! What vendors do otherwise: one test for each quirk.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lychgate_oidc::{
    Endpoint, ExchangeError, IdTokenError, KeyError, Lookup, LookupToken, Metadata,
    PERSONAL_TENANT, Quirk, Read, Secret, ServiceAccount, ServiceAccountError, TenantIssuer,
    logout,
};
use serde_json::{Value, json};

use crate::inquiries::{answered, answered_with};
use crate::signer::KEYS;
use crate::stage::{self, CLIENT, Draft, ISSUER, NOW, Stage, answer, keys, moment};

fn with(quirk: Quirk) -> Stage {
    let mut stage = Stage::new();
    stage.provider.manner.quirks = vec![quirk];
    stage
}

const OURS: &str = "11111111-2222-3333-4444-555555555555";
const THEIRS: &str = "99999999-2222-3333-4444-555555555555";

/// A sign-in at a provider whose issuer has a tenant in it; the document and the token name these.
fn at_tenant(
    configured: &TenantIssuer,
    published: &str,
    issuer: &str,
    tenant: Value,
) -> Result<(), ExchangeError> {
    let mut stage = with(Quirk::TenantIssuer(configured.clone()));
    stage.provider.issuer = configured.of(&configured.tenant);
    let mut document = stage.metadata.clone();
    document["issuer"] = published.into();
    let metadata = Metadata::parse_of(document.to_string().as_bytes(), &stage.provider);
    let Ok(metadata) = metadata else { return Err(ExchangeError::TokenType) };
    let told = stage::sign_in_at(&stage, &metadata, |draft| {
        draft.claims["iss"] = issuer.into();
        draft.claims["tid"] = tenant;
    });
    told.map(drop)
}

#[test]
fn an_issuer_with_a_tenant_in_it_is_that_of_an_allowed_tenant() {
    let base = "https://login.example".to_owned();
    let of = |tenant: &str| format!("https://login.example/{tenant}/v2.0");
    let configured = |tenant: &str, tenants: &[&str]| TenantIssuer {
        base: base.clone(),
        tenant: tenant.to_owned(),
        tenants: tenants.iter().map(|&tenant| tenant.to_owned()).collect(),
    };
    let shared = of("{tenantid}");
    let refused = Err(ExchangeError::IdToken(IdTokenError::Issuer));
    let other_document = Err(ExchangeError::TokenType);

    for (tenant, tenants, published, issuer, tid, expected) in [
        ("common", &[OURS][..], &shared, of(OURS), json!(OURS), Ok(())),
        ("common", &[OURS], &shared, of(THEIRS), json!(THEIRS), refused.clone()),
        // The tenant of the token and the one in its issuer are the same, or somebody lies.
        ("common", &[OURS], &shared, of(THEIRS), json!(OURS), refused.clone()),
        ("common", &[OURS], &shared, of(OURS), json!(THEIRS), refused.clone()),
        ("common", &[], &shared, of("x"), json!("x"), refused.clone()),
        ("common", &[], &shared, of("{tenantid}"), json!("{tenantid}"), refused.clone()),
        ("common", &[], &shared, of(PERSONAL_TENANT), json!(PERSONAL_TENANT), Ok(())),
        (
            "organizations",
            &[],
            &shared,
            of(PERSONAL_TENANT),
            json!(PERSONAL_TENANT),
            refused.clone(),
        ),
        ("organizations", &[], &shared, of(OURS), json!(OURS), Ok(())),
        (
            "common",
            &[OURS],
            &shared,
            format!("https://evil.example/{OURS}/v2.0"),
            json!(OURS),
            refused.clone(),
        ),
        (OURS, &[], &of(OURS), of(OURS), json!(OURS), Ok(())),
        (OURS, &[], &of(OURS), of(THEIRS), json!(THEIRS), refused.clone()),
        ("example.com", &[], &of(OURS), of(OURS), json!(OURS), Ok(())),
        ("example.com", &[], &of(OURS), of(THEIRS), json!(THEIRS), refused.clone()),
        // One tenant's document does not stand for everybody's, nor the other way round.
        ("common", &[], &of(OURS), of(OURS), json!(OURS), other_document.clone()),
        ("example.com", &[], &shared, of(OURS), json!(OURS), other_document.clone()),
        ("consumers", &[], &of(OURS), of(OURS), json!(OURS), other_document.clone()),
        (
            "common",
            &[],
            &"https://evil.example/{tenantid}/v2.0".to_owned(),
            of(OURS),
            json!(OURS),
            other_document,
        ),
    ] {
        let configured = configured(tenant, tenants);
        let result = at_tenant(&configured, published, &issuer, tid.clone());
        assert_eq!(result, expected, "{tenant} {tenants:?} {published} {issuer} {tid}");
    }
}

#[test]
fn keycloaks_roles_are_read_from_a_token_that_is_verified() {
    let stage = with(Quirk::AccessTokenRoles);
    let good = json!({
        "iss": ISSUER, "azp": CLIENT, "exp": NOW + 60,
        "realm_access": { "roles": ["operator"] },
        "resource_access": { "wiki": { "roles": ["editor"] }, "account": { "roles": ["view"] } },
    });
    let roles = |change: &dyn Fn(&mut Draft)| {
        let (login, _, exchange) = stage.redeem();
        let id_token = Draft::new(&login).to_text();
        let mut access = Draft::new(&login);
        access.claims = good.clone();
        change(&mut access);
        let body = json!({ "id_token": id_token, "access_token": access.to_text(), "token_type": "Bearer" });
        let step = exchange.receive(stage::json(&body), &keys(&stage.keys), moment()).unwrap();
        let lychgate_oidc::Step::Believe(signed_in) = step else { panic!("{step:?}") };
        signed_in.claims.list("groups")
    };

    let all = ["role:operator", "role:account:view", "role:wiki:editor"];
    assert_eq!(roles(&|_| ()), all);
    assert_eq!(roles(&|draft| draft.header["typ"] = "Bearer".into()), all);
    let none = [""; 0];
    assert_eq!(roles(&|draft| draft.claims["iss"] = "https://evil.example".into()), none);
    assert_eq!(roles(&|draft| draft.claims["azp"] = "other".into()), none);
    assert_eq!(roles(&|draft| draft.claims["exp"] = (NOW - 3600).into()), none);
    assert_eq!(roles(&|draft| draft.without("exp")), none);
    assert_eq!(roles(&|draft| draft.key = &KEYS.stranger), none);
    assert_eq!(roles(&|draft| draft.header["alg"] = "none".into()), none);
}

#[test]
fn what_userinfo_or_the_id_token_says_of_roles_is_read_as_well() {
    let told = answered_with(
        &with(Quirk::AccessTokenRoles),
        |draft| {
            draft.claims["realm_access"] = json!({ "roles": ["reader", 7, null] });
            draft.claims["groups"] = json!(["/staff"]);
        },
        vec![],
    );
    assert_eq!(told.signed_in().claims.list("groups"), ["/staff", "role:reader", "role:7"]);
}

#[test]
fn cidaas_groups_become_words() {
    let told = answered_with(
        &with(Quirk::GroupObjects),
        |draft| {
            draft.claims["groups"] = json!([
                { "groupId": "platform", "roles": ["ADMIN", "MEMBER"] }, { "groupId": "empty", "roles": [] }, "odd",
            ]);
            draft.claims["roles"] = json!(["USER"]);
        },
        vec![],
    );
    let groups = told.signed_in().claims.list("groups");
    assert_eq!(groups, ["platform:ADMIN", "platform:MEMBER", "cidaas:USER"]);
}

#[test]
fn entras_app_roles_are_groups_with_a_prefix() {
    let told = answered_with(
        &with(Quirk::RolesAreGroups),
        |draft| draft.claims["roles"] = json!(["Reader"]),
        vec![],
    );
    assert_eq!(told.signed_in().claims.list("groups"), ["role:Reader"]);
}

#[test]
fn an_address_of_entra_is_verified_when_its_domain_is_the_tenants() {
    let stage = with(Quirk::DomainOwnerVerified);
    for (xms_edov, verified) in [
        (json!(true), true),
        (json!(1), true),
        (json!("1"), true),
        (json!("true"), true),
        (json!(false), false),
        (json!(0), false),
        (json!([true, false]), false),
        (json!(null), false),
    ] {
        let told = answered_with(
            &stage,
            |draft| {
                draft.claims["email"] = "ada@example.com".into();
                draft.claims["xms_edov"] = xms_edov.clone();
            },
            vec![],
        );
        let claims = told.signed_in().claims;
        assert_eq!(claims.value("email_verified") == Some(&json!(true)), verified, "{xms_edov}");
    }
    let said_otherwise = |draft: &mut Draft| {
        draft.claims["email"] = "ada@example.com".into();
        draft.claims["email_verified"] = false.into();
        draft.claims["xms_edov"] = true.into();
    };
    let claims = answered_with(&stage, said_otherwise, vec![]).signed_in().claims;
    assert_eq!(claims.value("email_verified"), Some(&json!(false)));
}

#[test]
fn a_upn_stands_in_for_an_address_that_nobody_vouched_for() {
    let stage = with(Quirk::AddressInUpn);
    let claims = answered_with(
        &stage,
        |draft| {
            draft.claims["upn"] = "ada@example.com".into();
            draft.claims["email_verified"] = true.into();
        },
        vec![],
    );
    let claims = claims.signed_in().claims;
    assert_eq!(claims.text("email"), Some("ada@example.com"));
    assert_eq!(claims.value("email_verified"), None);
    let given = answered_with(
        &stage,
        |draft| {
            draft.claims["upn"] = "upn@example.com".into();
            draft.claims["email"] = "ada@example.com".into();
        },
        vec![],
    );
    assert_eq!(given.signed_in().claims.text("email"), Some("ada@example.com"));
}

#[test]
fn cognito_and_auth0_sign_people_out_with_their_own_parameters() {
    let back = "https://wiki.example/.lychgate/signed-out";
    let url = |stage: &Stage| {
        logout::end_session_url(&stage.provider, &stage.metadata(), None, back, "s1")
            .map(|url| url.as_str().to_owned())
    };
    let encoded = "https%3A%2F%2Fwiki.example%2F.lychgate%2Fsigned-out";
    let cognito = with(Quirk::LogoutUri);
    assert_eq!(
        url(&cognito).unwrap(),
        format!("https://idp.example/logout?client_id={CLIENT}&logout_uri={encoded}&state=s1")
    );
    let mut auth0 = with(Quirk::LogoutReturnTo);
    auth0.metadata.as_object_mut().unwrap().remove("end_session_endpoint");
    auth0.provider.issuer = "https://tenant.auth0.example/".to_owned();
    auth0.metadata["issuer"] = "https://tenant.auth0.example/".into();
    let metadata =
        Metadata::parse_of(auth0.metadata.to_string().as_bytes(), &auth0.provider).unwrap();
    let url = logout::end_session_url(&auth0.provider, &metadata, None, back, "s1").unwrap();
    assert_eq!(
        url.as_str(),
        format!(
            "https://tenant.auth0.example/v2/logout?client_id={CLIENT}&returnTo={encoded}&state=s1"
        )
    );
}

fn service_account(scopes: &[&str]) -> (ServiceAccount, RsaKeyPair) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let file = json!({
        "client_email": "gate@project.example", "private_key_id": "k1", "private_key": pem,
        "token_uri": "https://oauth2.example/token",
    });
    let account =
        ServiceAccount::parse(&Secret::new(file.to_string()), "admin@example.com", scopes, None);
    (account.unwrap(), pair)
}

#[test]
fn a_service_account_asks_with_a_statement_that_it_signs_and_scope_after_scope() {
    let (account, pair) = service_account(&["one", "two"]);
    assert!(!format!("{account:?}").contains("PRIVATE"));
    let mut stage = Stage::new();
    stage.provider.manner.service_account = Some(account);
    stage.provider.manner.lookups = vec![Lookup {
        token: LookupToken::ServiceAccount,
        ..Lookup::get(
            "groups",
            "https://directory.example/groups",
            vec![Read::every("groups", "", "{}")],
        )
    }];
    let refused = || answer(401, "application/json", r#"{"error":"unauthorized_client"}"#);
    let granted = stage::json(&json!({ "access_token": "svc", "token_type": "Bearer" }));
    let told = answered(&stage, vec![refused(), granted, stage::json(&json!(["staff"]))]);

    assert_eq!(told.asked[2].headers()["authorization"], "Bearer svc");
    let mut identifiers = Vec::new();
    for (request, scope) in told.asked.iter().zip(["one", "two"]) {
        assert_eq!(request.uri(), "https://oauth2.example/token");
        assert_eq!(request.extensions().get(), Some(&Endpoint::ServiceAccount));
        let form: Vec<(String, String)> =
            url::form_urlencoded::parse(request.body()).into_owned().collect();
        assert_eq!(form[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let (input, signature) = form[1].1.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref())
            .verify(input.as_bytes(), &signature)
            .unwrap();
        let (header, claims) = input.split_once('.').unwrap();
        let read = |part| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let mut claims = read(claims);
        identifiers.push(claims.as_object_mut().unwrap().remove("jti").unwrap());
        assert_eq!(
            claims,
            json!({
                "iss": "gate@project.example", "sub": "admin@example.com", "scope": scope,
                "aud": "https://oauth2.example/token", "iat": NOW, "exp": NOW + 300,
            })
        );
    }
    assert_eq!(told.signed_in().claims.list("groups"), ["staff"]);

    let told = answered(&stage, vec![refused(), refused()]);
    assert_eq!(told.error(), ExchangeError::ServiceAccountRefused);
}

#[test]
fn a_file_that_is_no_service_accounts_key_is_refused_when_it_is_read() {
    for (file, error) in [
        ("not-fetched", ServiceAccountError::NotJson),
        ("{}", ServiceAccountError::Member("private_key")),
        (
            r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}"#,
            ServiceAccountError::Key(KeyError::Kind),
        ),
        (
            r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nMIQ=\n-----END PRIVATE KEY-----"}"#,
            ServiceAccountError::Key(KeyError::Kind),
        ),
    ] {
        let read = ServiceAccount::parse(&Secret::new(file), "admin@example.com", &["s"], None);
        assert_eq!(read.err(), Some(error), "{file}");
    }
}
