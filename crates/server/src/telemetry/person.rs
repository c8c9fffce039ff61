//! How people are named in logs (T-31).

use aws_lc_rs::hmac;
use lychgate_config::config::UserFields;
use lychgate_gateway::hexadecimal;
use lychgate_gateway::identity::Identity;

/// Names people as the operator wants them named.
#[derive(Debug)]
pub(super) struct People {
    fields: UserFields,
    key: hmac::Key,
}

/// A person as a log may name them.
#[derive(Debug)]
pub(super) enum Named<'a> {
    /// By a keyed hash of issuer and subject, 32 hexadecimal digits.
    Hash(String),
    /// Not at all.
    Nobody,
    /// By what the provider said.
    Plainly(&'a Identity),
}

impl People {
    /// Hashes are made with `key`: within one installation a person always has the same one, and nobody
    /// without the key can tell whose it is by trying names.
    pub(super) fn new(fields: UserFields, key: &[u8; 32]) -> Self {
        Self { fields, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    pub(super) fn name<'a>(&self, identity: Option<&'a Identity>) -> Named<'a> {
        let Some(identity) = identity else { return Named::Nobody };
        match self.fields {
            UserFields::Hashed => Named::Hash(self.hash(identity)),
            UserFields::None => Named::Nobody,
            UserFields::Plain => Named::Plainly(identity),
        }
    }

    fn hash(&self, identity: &Identity) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(identity.issuer().as_bytes());
        // No issuer contains it, so no two pairs are hashed alike.
        context.update(b"\0");
        context.update(identity.subject().as_bytes());
        let signed = context.sign();
        hexadecimal::digits(signed.as_ref().get(..16).unwrap_or_default())
    }
}
