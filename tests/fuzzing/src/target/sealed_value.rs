//! Sealed values: what opens was sealed here, for this, and not one bit of it is another's (H1, H2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lychgate_gateway::seal::{Binding, Key, KeyRing, ProviderTag, Purpose, SEAL_ENTROPY_BYTES};
use sha2::{Digest as _, Sha256};

const COOKIE: &str = "__Host-lychgate";
const PLACE: &str = "https://app.test";
/// Version, key tag and provider tag, which stand before the nonce.
const NONCE_AT: usize = 9;

/// A sealed value; and the same bytes as a text to seal.
///
/// What opens is, bit for bit, what sealing the same text with the same nonce makes. What was sealed opens to
/// what it was; and neither for another purpose, cookie, place or provider, nor with any bit changed, nor cut.
///
/// # Panics
/// When one of these does not hold.
pub fn sealed_value(bytes: &[u8]) {
    let ring = KeyRing::new(vec![Key::new([1; 32]), Key::new([2; 32])]).expect("two keys");
    let old = KeyRing::new(vec![Key::new([2; 32])]).expect("one key");
    let provider = ProviderTag::new("corp", "https://id.test", "client");
    let other = ProviderTag::new("other", "https://id.test", "client");
    let binding = |purpose| Binding { purpose, cookie: COOKIE, place: PLACE, provider: &provider };

    if let Ok(value) = std::str::from_utf8(bytes) {
        for purpose in [Purpose::Login, Purpose::Logout, Purpose::Session] {
            let opened = ring.open(purpose, COOKIE, PLACE, [(&provider, ())], value);
            let Ok((opened, ())) = opened else { continue };
            let decoded = URL_SAFE_NO_PAD.decode(value).expect("it opened");
            let mut nonce = [0; SEAL_ENTROPY_BYTES];
            nonce.copy_from_slice(&decoded[NONCE_AT..NONCE_AT + SEAL_ENTROPY_BYTES]);
            let sealing = if opened.with_old_key { &old } else { &ring };
            assert_eq!(sealing.seal(binding(purpose), &opened.text, nonce), value);
        }
    }

    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut nonce = [0; SEAL_ENTROPY_BYTES];
    nonce.copy_from_slice(&digest[..SEAL_ENTROPY_BYTES]);
    let value = ring.seal(binding(Purpose::Session), bytes, nonce);
    let open = |purpose, cookie, place, provider, value: &str| {
        ring.open(purpose, cookie, place, [(provider, ())], value).map(|(opened, ())| opened.text)
    };
    let here = |value: &str| open(Purpose::Session, COOKIE, PLACE, &provider, value);
    assert_eq!(here(&value).as_deref(), Ok(bytes));
    for elsewhere in [
        open(Purpose::Login, COOKIE, PLACE, &provider, &value),
        open(Purpose::Logout, COOKIE, PLACE, &provider, &value),
        open(Purpose::Session, "lychgate", PLACE, &provider, &value),
        open(Purpose::Session, COOKIE, "https://app.test:8443", &provider, &value),
        open(Purpose::Session, COOKIE, PLACE, &other, &value),
    ] {
        assert!(elsewhere.is_err(), "it opens elsewhere");
    }
    // Eight places that the bytes choose, one bit or the end of the value each.
    let sealed = URL_SAFE_NO_PAD.decode(&value).expect("our own value");
    for choice in digest.chunks_exact(4) {
        let choice = choice.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let mut changed = sealed.clone();
        changed[choice / 8 % sealed.len()] ^= 1 << (choice % 8);
        assert!(here(&URL_SAFE_NO_PAD.encode(changed)).is_err(), "a changed value opens");
        assert!(here(&value[..choice % value.len()]).is_err(), "a part of a value opens");
        let mut spelled = value.clone();
        spelled.insert(choice % value.len(), ['=', '\n', '+', 'A'][choice % 4]);
        assert!(here(&spelled).is_err(), "another spelling of a value opens");
    }
}
