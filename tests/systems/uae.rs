//! UAE Open Finance (Al Tareq): FAPI 2.0 with everything on, at four hosts.

use lychgate_tests::cast::simulator::Simulator;
use rcgen::PKCS_RSA_SHA256;
use serde_json::{Value, json};

use crate::stage::{Plan, Stage, client, field, form, parameters_of, read_jwt, row, told, with};

/// The example before the simulator, with keys that it knows us by; and what must stay secret.
async fn stage() -> (Stage, Vec<String>) {
    let mut plan = Plan::of_example("uae-open-finance").await;
    let public = plan.signing_key(&PKCS_RSA_SHA256);
    let certificate = plan.client_certificate();
    let key = plan.said("bank", "signing_key_id");
    let mut registered = client(&plan.said("bank", "client_id"), &plan.callback());
    registered["certificate_sha256"] = certificate.into();
    registered["jwks"] = json!({ "keys": [{ "kid": key, "use": "sig", "pem": public }] });
    let simulator = Simulator::start("sim-uae", &registered, Some(&plan.simulator_tls())).await;
    plan.set(&format!(
        "[providers.bank]\nissuer = \"{}\"\nsigning_key = {{ file = \"signing.pem\" }}\n\
         tls = {{ certificate = \"client.pem\", key = \"client.key\" }}",
        simulator.issuer()
    ));
    let secrets = ["signing.pem", "client.key"].map(|file| {
        plan.scratch.read(file).lines().nth(1).expect("a key in lines").to_owned()
    });
    (plan.open(simulator).await, secrets.into())
}

#[tokio::test]
async fn a_customer_signs_in_with_everything_on() {
    let (stage, secrets) = stage().await;
    let visitor = stage.signs_in().await;
    let me = visitor.fetches("/.lychgate/me").await.json();
    println!("{me}");
    for event in stage.simulator.events("").await {
        println!("{event:?}");
    }
    stage.ends(&secrets).await;
}
