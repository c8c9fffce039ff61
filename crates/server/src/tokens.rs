//! What became of the access tokens that were presented lately.
//!
//! To verify a signature costs tens of microseconds, and to ask a provider a hundred times that. So what was good is
//! remembered until it may no longer be believed, bounded in number and size; what was not good is remembered for
//! seconds, apart from it, so that no flood of inventions takes the place of what is used. Both are kept under a hash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::RandomState;
use lychgate_gateway::bearer::{KnownToken, TokenId};
use lychgate_gateway::world::Introspected;

/// How many bytes the good ones may take, about.
const KNOWN_BYTES_MAX: u64 = 16 << 20;
/// How many answers of introspection endpoints are remembered.
const ANSWERS_MAX: u64 = 20_000;
/// For how long a good answer is the answer to those who asked at the same time.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// For how long a token is no good without asking again.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// When a provider that did not answer is asked about the same token again.
const UNANSWERED_FOR: Duration = Duration::from_secs(2);

/// The memory of tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    known: moka::sync::Cache<TokenId, Arc<KnownToken>, RandomState>,
    answers: moka::future::Cache<TokenId, Introspected, RandomState>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self::with_room_for(KNOWN_BYTES_MAX, ANSWERS_MAX)
    }
}

impl Tokens {
    fn with_room_for(known_bytes_max: u64, answers_max: u64) -> Self {
        Self {
            known: moka::sync::Cache::builder()
                .weigher(|_, token: &Arc<KnownToken>| {
                    u32::try_from(token.size()).unwrap_or(u32::MAX)
                })
                .max_capacity(known_bytes_max)
                .expire_after(ByItsEnd)
                .build_with_hasher(RandomState::new()),
            answers: moka::future::Cache::builder()
                .max_capacity(answers_max)
                .expire_after(ByAnswer)
                .build_with_hasher(RandomState::new()),
        }
    }

    pub(crate) fn known(&self, id: &TokenId) -> Option<Arc<KnownToken>> {
        self.known.get(id)
    }

    pub(crate) fn remember(&self, id: TokenId, token: &Arc<KnownToken>) {
        self.known.insert(id, Arc::clone(token));
    }

    /// Asks unless it is being asked, or was just answered.
    ///
    /// In a task of its own: whoever asked first may leave, and the others still wait for the answer.
    pub(crate) async fn introspect_once(
        &self,
        id: TokenId,
        introspection: impl Future<Output = Introspected> + Send + 'static,
    ) -> Introspected {
        let answers = self.answers.clone();
        let task = tokio::spawn(async move { answers.get_with(id, introspection).await });
        let cut_short =
            |error| Introspected::Unanswered(format!("the question did not end: {error}"));
        task.await.unwrap_or_else(cut_short)
    }
}

/// A token is remembered for as long as it may be.
struct ByItsEnd;

impl moka::Expiry<TokenId, Arc<KnownToken>> for ByItsEnd {
    fn expire_after_create(
        &self,
        _: &TokenId,
        token: &Arc<KnownToken>,
        _: Instant,
    ) -> Option<Duration> {
        Some(token.keep_for())
    }

    fn expire_after_update(
        &self,
        _: &TokenId,
        token: &Arc<KnownToken>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(token.keep_for())
    }
}

struct ByAnswer;

impl moka::Expiry<TokenId, Introspected> for ByAnswer {
    fn expire_after_create(
        &self,
        _: &TokenId,
        answer: &Introspected,
        _: Instant,
    ) -> Option<Duration> {
        Some(match answer {
            Introspected::Good(token) => GOOD_FOR.min(token.keep_for()),
            Introspected::Refused(_) => REFUSED_FOR,
            Introspected::Unanswered(_) => UNANSWERED_FOR,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lychgate_gateway::bearer::{Bearer, Circumstances, Introspection};
    use lychgate_oidc::{AccessTokenRules, AccessTokenType, Timestamp};
    use tokio::sync::Notify;

    use super::*;

    fn circumstances() -> Circumstances {
        let bearer = Bearer {
            issuers: vec!["corp".to_owned()],
            token: AccessTokenRules {
                audiences: None,
                algorithms: Vec::new(),
                typ: AccessTokenType::Inferred,
            },
            scopes: Vec::new(),
            introspection: Introspection::Always,
            introspection_cache: Duration::ZERO,
            forward: false,
            metadata: true,
        };
        Circumstances::of(&bearer, std::iter::empty())
    }

    fn id(token: &str) -> TokenId {
        TokenId::of(&circumstances(), token)
    }

    /// Ada's, good for an hour.
    fn good() -> Arc<KnownToken> {
        let ada = serde_json::json!({
            "provider": "corp", "issuer": "https://id.test", "subject": "ada", "subject_type": "Claim",
            "user": "ada", "name": null, "email": null, "email_verified": "Unsaid",
            "groups": ["staff"], "claims": {},
        });
        let (ada, hour) = (serde_json::from_value(ada).unwrap(), Duration::from_secs(3600));
        let now = Timestamp::new(1000);
        Arc::new(KnownToken::new(circumstances(), ada, Vec::new(), None, hour, now))
    }

    /// G19: fifty requests at once are one question, also when whoever asked first is gone.
    #[tokio::test]
    async fn a_token_is_asked_about_once_however_many_come_with_it() {
        let tokens = Tokens::default();
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let count = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (tokens, begun, go_on, count) =
                (tokens.clone(), begun.clone(), go_on.clone(), count.clone());
            tokio::spawn(async move {
                let asking = async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    begun.notify_one();
                    go_on.notified().await;
                    Introspected::Refused("as it happens".to_owned())
                };
                tokens.introspect_once(id("token"), asking).await
            })
        };

        let first = ask();
        begun.notified().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let others: Vec<_> = (0..50).map(|_| ask()).collect();
        go_on.notify_one();

        for other in others {
            assert!(matches!(other.await.unwrap(), Introspected::Refused(_)));
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    /// A flood of inventions is forgotten, and neither memory grows beyond its bound: refusals take no room from what is
    /// good, and what is good is bounded by its bytes.
    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let token = good();
        let tokens = Tokens::with_room_for(token.size() as u64 * 4, 8);
        tokens.remember(id("good"), &token);
        for number in 0..100 {
            let answer = async { Introspected::Refused(String::new()) };
            tokens.introspect_once(id(&number.to_string()), answer).await;
        }
        tokens.answers.run_pending_tasks().await;
        tokens.known.run_pending_tasks();
        assert!(tokens.answers.entry_count() <= 8);
        assert!(tokens.known(&id("good")).is_some());

        for number in 0..100 {
            tokens.remember(id(&number.to_string()), &token);
            tokens.known.run_pending_tasks();
            assert!(tokens.known.weighted_size() <= token.size() as u64 * 4);
        }
        let count = tokens.known.entry_count();
        assert!((1..=4).contains(&count), "{count} are remembered");
    }

    #[test]
    fn what_is_no_answer_is_forgotten_sooner_than_a_refusal() {
        use moka::Expiry as _;
        let lasts = |answer: Introspected| {
            ByAnswer.expire_after_create(&id("token"), &answer, Instant::now()).unwrap()
        };
        let unanswered = lasts(Introspected::Unanswered(String::new()));
        assert!(unanswered < lasts(Introspected::Refused(String::new())));
    }
}
