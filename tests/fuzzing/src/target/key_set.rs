//! Key sets: no key that is too small, for something else, or a secret (G9, G10).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate_oidc::KeySet;
use serde_json::Value;

use super::sign_in::is_fit_for_a_log;

/// A JWK set.
///
/// It never holds more keys than a second reader would use, one by one.
///
/// # Panics
/// When it does.
pub fn key_set(bytes: &[u8]) {
    let set = match KeySet::parse(bytes) {
        Ok(set) => set,
        Err(error) => return is_fit_for_a_log(&error),
    };
    let document: Value = serde_json::from_slice(bytes).expect("what is read is JSON");
    let entries = document["keys"].as_array().expect("what is read is a list of keys");
    let usable = entries.iter().filter(|entry| is_usable(entry)).count();
    assert!(set.len() <= usable, "{} keys of {usable} that may be used: {document}", set.len());
    // Each alone is what it is among others.
    for entry in entries {
        let alone = serde_json::json!({ "keys": [entry] }).to_string();
        let alone = KeySet::parse(alone.as_bytes()).expect("one key is a set");
        assert!(alone.len() <= usize::from(is_usable(entry)), "{entry}");
    }
}

fn is_usable(entry: &Value) -> bool {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)).unwrap_or_default();
    let for_signatures = entry.get("use").is_none_or(|purpose| purpose == "sig");
    let large_enough = match (text("kty"), text("crv")) {
        ("RSA", _) => {
            let modulus = bytes("n");
            let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
            let first = modulus.get(zeros).copied().unwrap_or_default();
            let bits = (modulus.len() - zeros) * 8 - first.leading_zeros() as usize % 8;
            bits >= 2048 && !bytes("e").is_empty()
        }
        ("EC", "P-256") => bytes("x").len() == 32 && bytes("y").len() == 32,
        ("EC", "P-384") => bytes("x").len() == 48 && bytes("y").len() == 48,
        ("OKP", "Ed25519") => bytes("x").len() == 32 && bytes("x") != [0; 32],
        _ => false,
    };
    for_signatures && large_enough
}
