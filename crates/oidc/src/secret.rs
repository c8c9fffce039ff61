//! Text that must not be seen: client secrets, codes, tokens, verifiers.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Text that never prints, is compared in constant time and is wiped from memory when dropped.
///
/// There is no `Display` and no `Serialize`; whoever needs the text says so with
/// [`expose`](Self::expose), which is easy to search for.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` into keeping. Copies that the caller made before stay the caller's.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "‹secret, {} bytes›", self.0.len())
    }
}

/// Equal in time that depends on the lengths alone.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(self.expose(), other.expose())
    }
}

impl Eq for Secret {}

/// Compares in time that depends on the lengths alone.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Writing a secret down, for the one type that is only ever written into a sealed cookie.
pub(crate) mod sealed_option {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

/// The same for a secret that may not be there.
pub(crate) mod sealed_if_any {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Secret;

    pub(crate) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::expose).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_its_length_and_nothing_else() {
        let secret = Secret::new("hunter2");

        assert_eq!(format!("{secret:?}"), "‹secret, 7 bytes›");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn secrets_are_equal_when_every_byte_is() {
        assert_eq!(Secret::new("same"), Secret::new("same"));
        assert_ne!(Secret::new("same"), Secret::new("sane"));
        assert_ne!(Secret::new("same"), Secret::new("same "));
    }
}
