//! The classic ways in which a provider and a gateway fail to understand each other.

use std::{fmt, str::FromStr};

/// Something wrong on purpose, so that people learn the gateway's answer to it.
///
/// The words are those of `lychgate demo --break`; see [`Fault::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// ID tokens are made out to another client.
    Audience,
    /// Tokens are issued one hour in the future, as by a provider whose clock runs ahead.
    Clock,
    /// Every endpoint answers 503.
    Down,
    /// Each persona is in about four thousand groups.
    HugeGroups,
    /// ID tokens name another issuer.
    Issuer,
    /// Nobody has an e-mail address.
    MissingEmail,
    /// ID tokens carry the nonce of another sign-in.
    Nonce,
    /// The client's registration lacks the gateway's redirect URI: the provider shows its own
    /// error page, and the gateway never hears of it.
    RedirectUri,
    /// The token endpoint takes thirty seconds.
    Slow,
}

impl Fault {
    /// Every fault, in the order in which a help text lists them.
    pub const ALL: [Self; 9] = [
        Self::Clock,
        Self::Issuer,
        Self::Audience,
        Self::Nonce,
        Self::RedirectUri,
        Self::MissingEmail,
        Self::HugeGroups,
        Self::Slow,
        Self::Down,
    ];

    /// The word for it on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Clock => "clock",
            Self::Down => "down",
            Self::HugeGroups => "huge-groups",
            Self::Issuer => "issuer",
            Self::MissingEmail => "missing-email",
            Self::Nonce => "nonce",
            Self::RedirectUri => "redirect-uri",
            Self::Slow => "slow",
        }
    }

    /// What it does, as half a sentence for a help text.
    #[must_use]
    pub const fn effect(self) -> &'static str {
        match self {
            Self::Audience => "ID tokens are made out to another client",
            Self::Clock => "tokens are issued one hour in the future",
            Self::Down => "every endpoint answers 503",
            Self::HugeGroups => "each persona is in about 4000 groups",
            Self::Issuer => "ID tokens name another issuer",
            Self::MissingEmail => "nobody has an e-mail address",
            Self::Nonce => "ID tokens carry the nonce of another sign-in",
            Self::RedirectUri => "the client is registered without the gateway's redirect URI",
            Self::Slow => "the token endpoint takes 30 seconds",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.word() == word)
            .ok_or_else(|| UnknownFault { word: word.to_owned() })
    }
}

/// The word names no [`Fault`]. Its text lists those that there are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no fault; there are {}", Fault::ALL.map(Fault::word).join(", "))]
pub struct UnknownFault {
    /// The word that was given.
    pub word: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D-42.
    #[test]
    fn each_fault_is_named_by_its_word() {
        let words = "clock issuer audience nonce redirect-uri missing-email huge-groups slow down"
            .split(' ');

        for (word, fault) in words.zip(Fault::ALL) {
            assert_eq!(word.parse(), Ok(fault));
            assert_eq!(fault.to_string(), word);
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_list() {
        let refusal = "clocks".parse::<Fault>().expect_err("no such fault");

        assert_eq!(
            refusal.to_string(),
            "`clocks` is no fault; there are clock, issuer, audience, nonce, redirect-uri, \
             missing-email, huge-groups, slow, down"
        );
    }
}
