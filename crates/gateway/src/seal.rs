//! Sealed values: what a browser carries for us and can neither read nor change.
//!
//! A sealed value is `base64url(version ‖ key tag ‖ provider tag ‖ nonce ‖ ciphertext)` with the lengths
//! 1, 4, 4, 24 and the rest. The cipher is AES-256-GCM under a key derived for each message from the ring's
//! key and the first half of a 24-byte random nonce (XAES-256-GCM, C2SP). Random nonces of that length do not
//! repeat in practice, so one key may seal any number of messages; plain AES-GCM would have to be
//! rotated before 2³² of them (SP 800-38D §8.3).
//!
//! What is authenticated beside the text: purpose, cookie name, place (origin or cookie domain), the
//! provider's name, issuer and client, and the format's version. A value copied to another cookie, another
//! host or another provider does not open.
//!
//! The tags in clear only say where to look: which key of the ring, which provider. They are hashes; both are
//! authenticated through the key itself and through the associated data.

use std::fmt;

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::AeadInOut;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::hexadecimal;

/// The version of everything that is sealed: layout, cipher, and the encoding of what is inside.
const VERSION: u8 = 1;
const TAG_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + TAG_BYTES + TAG_BYTES + NONCE_BYTES;
const MAC_BYTES: usize = 16;

/// How many bytes of randomness sealing takes.
pub const SEAL_ENTROPY_BYTES: usize = NONCE_BYTES;

/// What a sealed value is for. A value sealed for one purpose does not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What was in a form that is kept.
    Form,
    /// Whose form is kept, and for what.
    FormTicket,
    /// One login under way.
    Login,
    /// One sign-out under way at the provider.
    Logout,
    /// A signed-in browser.
    Session,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::FormTicket => "form-ticket",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Session => "session",
        }
    }
}

/// What a sealed value is bound to, beside its purpose.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// The cookie's name.
    pub cookie: &'a str,
    /// The origin, or the cookie's domain where it has one.
    pub place: &'a str,
    /// The provider.
    pub provider: &'a ProviderTag,
}

/// A provider as sealed values know it: a hash of its name, issuer and client.
///
/// A registration that changes any of these makes its sessions unreadable, which is what an operator who
/// changes them wants (H2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderTag([u8; 32]);

impl ProviderTag {
    /// The tag of a registration.
    pub fn new(name: &str, issuer: &str, client_id: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [name, issuer, client_id] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    fn short(&self) -> [u8; TAG_BYTES] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }
}

/// The keys in order: the first seals, all open.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<Key>,
}

/// One 256-bit key, kept in its expanded form only. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct Key {
    tag: [u8; TAG_BYTES],
    cipher: Aes256,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.fingerprint())
    }
}

/// A ring without keys cannot seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no key")]
pub struct NoKeys;

/// A text that was sealed, and whether it should be sealed again under the first key.
#[derive(Debug)]
pub struct Opened {
    /// The text.
    pub text: Vec<u8>,
    /// The key that opened it is not the first of the ring any more.
    pub with_old_key: bool,
}

/// Does not open. Deliberately without a reason: one answer for every way of being wrong (H1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value does not open")]
pub struct Sealed;

impl Key {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let cipher = Aes256::new(&(*bytes).into());
        let mut hash = Sha256::new();
        hash.update(b"lychgate key tag");
        hash.update(*bytes);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        Self { tag: [a, b, c, d], cipher }
    }

    /// Eight hexadecimal digits by which keys can be told apart.
    fn fingerprint(&self) -> String {
        hexadecimal::digits(&self.tag)
    }

    /// The key and nonce of one message: XAES-256-GCM's derivation, which is NIST SP 800-108 counter mode
    /// with AES-CMAC as the function.
    fn message_cipher(&self, nonce: &[u8; NONCE_BYTES]) -> (Aes256Gcm, [u8; 12]) {
        let mut subkey = [0_u8; 16].into();
        self.cipher.encrypt_block(&mut subkey);
        let mut subkey: [u8; 16] = subkey.into();
        let carry = subkey.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut shifted = u128::from_be_bytes(subkey) << 1;
        if carry {
            shifted ^= 0b1000_0111;
        }
        subkey = shifted.to_be_bytes();

        let mut salt = [0_u8; 12];
        let mut rest = [0_u8; 12];
        salt.iter_mut().zip(nonce).for_each(|(to, from)| *to = *from);
        rest.iter_mut().zip(nonce.iter().skip(12)).for_each(|(to, from)| *to = *from);

        let mut key = Zeroizing::new([0_u8; 32]);
        for (half, counter) in key.chunks_exact_mut(16).zip([1_u8, 2]) {
            let message = [0, counter, b'X', 0].into_iter().chain(salt);
            let mut block = [0_u8; 16];
            for ((to, byte), mask) in block.iter_mut().zip(message).zip(subkey) {
                *to = byte ^ mask;
            }
            let mut block = block.into();
            self.cipher.encrypt_block(&mut block);
            half.copy_from_slice(&block);
        }
        (Aes256Gcm::new(&(*key).into()), rest)
    }

    /// 32 bytes that only holders of the key can compute, different for each `purpose`.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let digest: [u8; 32] = Sha256::digest(purpose.as_bytes()).into();
        let mut hash = Sha256::new();
        for half in digest.chunks_exact(16) {
            let mut block = [0_u8; 16];
            block.copy_from_slice(half);
            let mut block = block.into();
            self.cipher.encrypt_block(&mut block);
            hash.update(block);
        }
        hash.finalize().into()
    }

    fn encrypt(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], text: &mut Vec<u8>, from: usize) {
        let (cipher, nonce) = self.message_cipher(nonce);
        let Some(plain) = text.get_mut(from..) else { return };
        // AES-GCM refuses only texts beyond 64 GiB.
        match cipher.encrypt_inout_detached(&nonce.into(), aad, plain.into()) {
            Ok(mac) => text.extend_from_slice(&mac),
            Err(_) => text.clear(),
        }
    }

    fn decrypt(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (cipher, nonce) = self.message_cipher(nonce);
        let (text, mac) = sealed.split_last_chunk::<MAC_BYTES>()?;
        let mut text = text.to_vec();
        cipher
            .decrypt_inout_detached(&nonce.into(), aad, text.as_mut_slice().into(), &(*mac).into())
            .ok()?;
        Some(text)
    }
}

impl KeyRing {
    /// A ring whose first key seals.
    ///
    /// # Errors
    /// [`NoKeys`] when there are none.
    pub fn new(keys: Vec<Key>) -> Result<Self, NoKeys> {
        if keys.is_empty() { Err(NoKeys) } else { Ok(Self { keys }) }
    }

    /// Whether every key of `other` is in this ring: whatever opens there opens here.
    pub fn includes(&self, other: &Self) -> bool {
        let marks = |ring: &Self| -> Vec<[u8; 32]> {
            ring.keys.iter().map(|key| key.derive("key comparison")).collect()
        };
        let ours = marks(self);
        marks(other).iter().all(|mark| ours.contains(mark))
    }

    /// 32 bytes of the first key's, for something beside cookies.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        self.keys.first().map(|key| key.derive(purpose)).unwrap_or_default()
    }

    /// Seals `text` for a cookie. `entropy` has to be fresh for each call.
    pub fn seal(
        &self,
        binding: Binding<'_>,
        text: &[u8],
        entropy: [u8; SEAL_ENTROPY_BYTES],
    ) -> String {
        // `new` refuses an empty ring.
        let Some(key) = self.keys.first() else { return String::new() };
        let mut sealed = Vec::with_capacity(HEADER_BYTES + text.len() + MAC_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.tag);
        sealed.extend_from_slice(&binding.provider.short());
        sealed.extend_from_slice(&entropy);
        sealed.extend_from_slice(text);
        key.encrypt(&entropy, &associated_data(binding), &mut sealed, HEADER_BYTES);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Opens what [`seal`](Self::seal) made, with the key that it names. `provider` finds the provider by
    /// trying each of `providers` whose tag fits; which one it was is part of the result.
    ///
    /// # Errors
    /// [`Sealed`], whatever is wrong.
    pub fn open<'a, P>(
        &self,
        purpose: Purpose,
        cookie: &str,
        place: &str,
        providers: impl IntoIterator<Item = (&'a ProviderTag, P)>,
        value: &str,
    ) -> Result<(Opened, P), Sealed> {
        let sealed = URL_SAFE_NO_PAD.decode(value).map_err(|_| Sealed)?;
        let (version, rest) = sealed.split_first().ok_or(Sealed)?;
        let (key_tag, rest) = rest.split_first_chunk::<TAG_BYTES>().ok_or(Sealed)?;
        let (provider_tag, rest) = rest.split_first_chunk::<TAG_BYTES>().ok_or(Sealed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Sealed)?;
        if *version != VERSION {
            return Err(Sealed);
        }
        let (position, key) =
            self.keys.iter().enumerate().find(|(_, key)| key.tag == *key_tag).ok_or(Sealed)?;
        for (tag, provider) in providers {
            if tag.short() != *provider_tag {
                continue;
            }
            let binding = Binding { purpose, cookie, place, provider: tag };
            if let Some(text) = key.decrypt(nonce, &associated_data(binding), sealed) {
                return Ok((Opened { text, with_old_key: position > 0 }, provider));
            }
        }
        Err(Sealed)
    }
}

/// Every part with its length before it, so that two different bindings never come to one text (CVE-2023-35941).
fn associated_data(binding: Binding<'_>) -> Vec<u8> {
    let parts: [&[u8]; 5] = [
        &[VERSION],
        binding.purpose.as_str().as_bytes(),
        binding.cookie.as_bytes(),
        binding.place.as_bytes(),
        &binding.provider.0,
    ];
    let mut data = Vec::with_capacity(128);
    for part in parts {
        data.extend_from_slice(&(part.len() as u32).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> ProviderTag {
        ProviderTag::new(name, "https://id.test", "client")
    }

    fn ring(keys: &[u8]) -> KeyRing {
        KeyRing::new(keys.iter().map(|byte| Key::new([*byte; 32])).collect()).unwrap()
    }

    fn seal(ring: &KeyRing, text: &[u8]) -> String {
        let binding = Binding {
            purpose: Purpose::Session,
            cookie: "c",
            place: "https://a.test",
            provider: &tag("corp"),
        };
        ring.seal(binding, text, [9; 24])
    }

    fn open(ring: &KeyRing, value: &str) -> Result<Opened, Sealed> {
        ring.open(Purpose::Session, "c", "https://a.test", [(&tag("corp"), ())], value)
            .map(|(opened, ())| opened)
    }

    /// The published test vectors of XAES-256-GCM (C2SP).
    #[test]
    fn the_cipher_is_xaes_256_gcm() {
        let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (key, aad, expected) in [
            (1_u8, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let mut text = b"XAES-256-GCM".to_vec();
            Key::new([key; 32]).encrypt(&nonce, aad, &mut text, 0);
            let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected);
        }
    }

    #[test]
    fn what_was_sealed_opens() {
        let ring = ring(&[1]);
        let opened = open(&ring, &seal(&ring, b"hello")).unwrap();
        assert_eq!(opened.text, b"hello");
        assert!(!opened.with_old_key);
    }

    /// H1: every bit, every length.
    #[test]
    fn a_changed_value_never_opens() {
        let ring = ring(&[1]);
        let value = seal(&ring, b"a session");
        let bytes = URL_SAFE_NO_PAD.decode(&value).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&ring, &URL_SAFE_NO_PAD.encode(changed)).unwrap_err(),
                Sealed,
                "bit {bit}"
            );
        }
        for length in 0..value.len() {
            assert_eq!(open(&ring, &value[..length]).unwrap_err(), Sealed, "length {length}");
        }
        for junk in ["", "%", "====", "é", &format!("{value}A"), &format!("{value}=")] {
            assert_eq!(open(&ring, junk).unwrap_err(), Sealed, "{junk}");
        }
    }

    /// H2: purpose, cookie name, place and provider are all bound.
    #[test]
    fn a_value_opens_only_where_it_belongs() {
        let ring = ring(&[1]);
        let value = seal(&ring, b"x");
        let corp = tag("corp");
        for (purpose, cookie, place, provider, expected) in [
            (Purpose::Session, "c", "https://a.test", &corp, true),
            (Purpose::Login, "c", "https://a.test", &corp, false),
            (Purpose::Session, "d", "https://a.test", &corp, false),
            (Purpose::Session, "c", "https://b.test", &corp, false),
            (Purpose::Session, "c", "https://a.test", &tag("other"), false),
        ] {
            let opened = ring.open(purpose, cookie, place, [(provider, ())], &value);
            assert_eq!(opened.is_ok(), expected, "{purpose:?} {cookie} {place}");
        }
    }

    /// H4: the first key seals, all open, and a removed key's values are no sessions.
    #[test]
    fn keys_rotate() {
        let (old, both, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        let value = seal(&old, b"x");
        assert!(open(&both, &value).unwrap().with_old_key);
        assert!(!open(&new, &seal(&both, b"x")).unwrap().with_old_key);
        assert_eq!(open(&new, &value).unwrap_err(), Sealed);
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert!(!format!("{:?}", ring(&[0xAB])).contains("abab"));
        assert_eq!(KeyRing::new(Vec::new()).unwrap_err(), NoKeys);
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_sealing(text: Vec<u8>, key: u8, nonce: [u8; 24]) {
            let ring = ring(&[key]);
            let provider = tag("corp");
            let binding = Binding { purpose: Purpose::Login, cookie: "n", place: "p", provider: &provider };
            let value = ring.seal(binding, &text, nonce);
            let (opened, ()) = ring.open(Purpose::Login, "n", "p", [(&provider, ())], &value).unwrap();
            proptest::prop_assert_eq!(opened.text, text);
        }

        /// H1: of any text, any bit; and nothing that anybody makes up.
        #[test]
        fn no_changed_text_opens(text: Vec<u8>, bit: proptest::sample::Index, made_up: Vec<u8>) {
            let ring = ring(&[1]);
            let mut bytes = URL_SAFE_NO_PAD.decode(seal(&ring, &text)).unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            proptest::prop_assert!(open(&ring, &URL_SAFE_NO_PAD.encode(bytes)).is_err(), "bit {}", bit);
            let made_up = [&[VERSION][..], &Key::new([1; 32]).tag, &tag("corp").short(), &made_up].concat();
            proptest::prop_assert!(open(&ring, &URL_SAFE_NO_PAD.encode(made_up)).is_err());
        }
    }
}
