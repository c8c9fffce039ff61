//! What the provider has given out: codes, access tokens, ID tokens.

use std::collections::HashMap;

use aws_lc_rs::digest;

/// A code that nobody redeemed is worthless after a minute (RFC 6749 §4.1.2 allows ten).
const CODE_SECONDS: u64 = 60;

/// How long tokens are good.
pub(super) const TOKEN_SECONDS: u64 = 300;

/// What one sign-in was about; a code stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) code_challenge: String,
    pub(super) subject: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// When the persona was chosen, in seconds since 1970.
    pub(super) auth_time: u64,
}

/// Everything that was given out and is not yet over. Times are seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Grants {
    codes: HashMap<String, (Grant, u64)>,
    access_tokens: HashMap<String, AccessToken>,
    /// The digests of ID tokens, and to whom they were made out.
    id_tokens: HashMap<Vec<u8>, String>,
}

/// What an access token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessToken {
    pub(super) subject: String,
    pub(super) scope: String,
    code: String,
    expires: u64,
}

impl Grants {
    pub(super) fn add_code(&mut self, code: String, grant: Grant, now: u64) {
        self.codes.retain(|_, (_, expires)| *expires > now);
        self.codes.insert(code, (grant, now + CODE_SECONDS));
    }

    /// The grant behind `code`, which is used up by the asking.
    ///
    /// `None` means that there is none: unknown, a minute old, or used before. In that last case
    /// the tokens that the first use fetched die too, since one of the two users is a thief
    /// (RFC 6749 §4.1.2).
    pub(super) fn take_code(&mut self, code: &str, now: u64) -> Option<Grant> {
        let Some((grant, expires)) = self.codes.remove(code) else {
            self.access_tokens.retain(|_, token| token.code != code);
            return None;
        };
        (now < expires).then_some(grant)
    }

    pub(super) fn add_access_token(&mut self, token: String, code: &str, grant: &Grant, now: u64) {
        self.access_tokens.retain(|_, token| token.expires > now);
        let stands_for = AccessToken {
            subject: grant.subject.clone(),
            scope: grant.scope.clone(),
            code: code.to_owned(),
            expires: now + TOKEN_SECONDS,
        };
        self.access_tokens.insert(token, stands_for);
    }

    pub(super) fn access_token(&self, token: &str, now: u64) -> Option<AccessToken> {
        self.access_tokens.get(token).filter(|token| now < token.expires).cloned()
    }

    pub(super) fn add_id_token(&mut self, token: &str, client_id: &str) {
        self.id_tokens.insert(digest_of(token), client_id.to_owned());
    }

    /// The client for which we made this ID token, however long ago; `None` if we did not.
    ///
    /// Looking it up is simpler than verifying it, and accepts tokens that were spoiled on purpose.
    pub(super) fn id_token_client(&self, token: &str) -> Option<&str> {
        self.id_tokens.get(&digest_of(token)).map(String::as_str)
    }
}

fn digest_of(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            client_id: "gateway".to_owned(),
            redirect_uri: "http://localhost/callback".to_owned(),
            code_challenge: "challenge".to_owned(),
            subject: "demo-alice".to_owned(),
            scope: "openid".to_owned(),
            nonce: None,
            auth_time: 1_000,
        }
    }

    #[test]
    fn a_code_is_good_for_less_than_a_minute() {
        for (asked_at, good) in [(1_000, true), (1_059, true), (1_060, false)] {
            let mut grants = Grants::default();
            grants.add_code("code".to_owned(), grant(), 1_000);

            assert_eq!(grants.take_code("code", asked_at).is_some(), good, "{asked_at}");
        }
    }

    #[test]
    fn a_code_used_twice_takes_its_tokens_with_it() {
        let mut grants = Grants::default();
        grants.add_code("code".to_owned(), grant(), 1_000);
        let granted = grants.take_code("code", 1_001).expect("a good code");
        grants.add_access_token("token".to_owned(), "code", &granted, 1_001);
        assert!(grants.access_token("token", 1_002).is_some());

        let again = grants.take_code("code", 1_002);

        assert_eq!(again, None);
        assert_eq!(grants.access_token("token", 1_002), None);
    }

    #[test]
    fn an_access_token_ends_after_five_minutes() {
        let mut grants = Grants::default();
        grants.add_access_token("token".to_owned(), "code", &grant(), 1_000);

        assert!(grants.access_token("token", 1_299).is_some());
        assert_eq!(grants.access_token("token", 1_300), None);
    }
}
