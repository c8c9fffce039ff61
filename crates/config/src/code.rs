//! The stable codes of everything that can be wrong with a configuration.
//!
//! A code keeps its meaning for ever; one that is no longer needed is not given away again.

use std::fmt;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// The configuration is used, and the operator should know.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Declares the codes once: the variant, the text and the meaning cannot drift apart.
macro_rules! codes {
    ($($code:ident $meaning:literal)+) => {
        /// A kind of problem. Printed: `E0201`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $code,)+
        }

        /// Every code with its meaning, in order.
        const CODES: &[(Code, &str)] = &[$((Code::$code, $meaning),)+];

        impl Code {
            /// The code as it is printed.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }
        }
    };
}

codes! {
    E0001 "A file cannot be read."
    E0002 "A file is not TOML, or not UTF-8."
    E0003 "An include leads in a circle, is nested, or finds nothing."
    E0102 "A key is not known."
    E0103 "The configuration is for another version of Lychgate."
    E0110 "Something that is required is missing."
    E0120 "A value is of the wrong type."
    E0121 "A value is none of the words that may stand here."
    E0122 "A value cannot be read as what it has to be: an address, a URL, a network, a pattern."
    E0123 "Two settings contradict each other."
    E0124 "A number, duration or size is outside its limits."
    E0130 "A name refers to nothing."
    E0140 "A duration or size has no unit, or one that is not known."
    E0150 "A key is defined twice."
    E0151 "The rules of one route are spread over several files."
    E0201 "A route or rule does not say who may use it."
    E0202 "A route or rule says in two ways who may use it."
    E0203 "An entry of `allow` or `deny` cannot be read."
    E0204 "A group, a user or a claim is allowed that may be another one at another provider."
    E0210 "A route lets in everybody in the world who has an account at a public provider."
    E0211 "Two providers send browsers back to one address, and their answers cannot be told apart."
    E0212 "A provider posts its answers to an address that is served by http."
    E0220 "Two routes have the same URL, or one host by http and by https."
    E0221 "Two listeners have the same address."
    E0230 "A header may not be set or removed."
    E0231 "A header's value cannot be read."
    E0240 "A cookie's domain cannot be shared by the hosts that need it."
    E0241 "A cookie's name cannot be used."
    E0301 "A secret is written into a file that others can read."
    E0302 "A variable is expanded where a secret belongs."
    E0303 "A secret cannot be read."
    E0304 "A session key has the wrong length."
    E0305 "A key or a certificate cannot be used."
    E0310 "A variable is not set, or cannot be expanded."
    E0401 "A provider would be spoken to in plain text."
    E0402 "The admin port is open to others and has no token."
    E0403 "Neither PKCE nor a nonce would bind a code to its login."
    E0404 "A client secret would travel in an address."
    E0410 "A provider's settings contradict the profile that it is held to."
    W0104 "Files of an included directory are skipped."
    W0120 "A whole number is written with a fraction."
    W0200 "Nothing is served: there are no routes."
    W0202 "A rule can never match, because one before it covers it."
    W0204 "A path and the same path with a slash at its end are for different people."
    W0231 "A denial does not reach people who lack the attribute."
    W0240 "A setting changes nothing, because of another one."
    W0301 "A secret is written into the configuration."
    W0302 "A file with a secret can be read by others."
    W0401 "Session cookies travel in plain text."
    W0403 "E-mail addresses are believed without verification."
    W0404 "Browsers refuse a cookie: it is for requests of other sites and travels in plain text."
    W0405 "A client secret travels in an address."
    W0510 "No session key can be kept; sessions end at restart. Said by `run`."
    W0511 "`lychgate reload` cannot be listened for. Said by `run`."
    W0512 "Logins that are used up cannot be marked in the state directory. Said by `run`."
    W0601 "A file is mounted by itself and will never be updated. Said by `run`."
}

/// Every code with its meaning in one sentence, in order; the reference is made from it.
#[must_use]
pub const fn codes() -> &'static [(Code, &'static str)] {
    CODES
}

impl Code {
    /// Whether this keeps the configuration from being used.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.as_str().starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// What the code means, in one sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        CODES.iter().find(|(code, _)| *code == self).map_or("", |(_, meaning)| meaning)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_in_order() {
        assert!(codes().is_sorted_by(|(one, _), (next, _)| one.as_str() < next.as_str()));
        for (code, meaning) in codes() {
            assert_eq!(code.meaning(), *meaning);
            assert!(meaning.ends_with('.'), "{code}: a sentence");
        }
    }
}
