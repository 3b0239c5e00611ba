//! Remembers for seconds what a back end answered about a credential, so that a burst of requests asks it once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::credential::PresentedCredential;
use super::error::CheckError;
use super::session::Session;

/// The answers in which a session was recognised, by the SHA-256 of their credential; refusals and faults are never
/// remembered. `None`: nothing is.
pub struct AnswerCache(Option<Cache<[u8; 32], Arc<[u8]>>>);

impl AnswerCache {
    /// The most that the answers of one rule may take, in bytes.
    const MAX_BYTES: u64 = 8 << 20;

    /// What an entry takes beside its answer, in bytes.
    const ENTRY: usize = 256;

    /// A cache that remembers a session for so long; zero: not at all.
    pub fn new(lifetime: Duration) -> Self {
        let cache = || {
            Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|_, answer: &Arc<[u8]>| u32::try_from(answer.len() + Self::ENTRY).unwrap_or(u32::MAX))
                .max_capacity(Self::MAX_BYTES)
                .time_to_live(lifetime)
                .build()
        };
        Self((!lifetime.is_zero()).then(cache))
    }

    /// The session that `validate` reads from the remembered answer about `credential`, or else from the one that `ask`
    /// gets.
    pub(super) async fn recognise(
        &self,
        credential: &PresentedCredential,
        ask: impl Future<Output = Result<Vec<u8>, CheckError>>,
        validate: impl Fn(&[u8]) -> Result<Session, CheckError>,
    ) -> Result<Session, CheckError> {
        let Some(cache) = &self.0 else { return validate(&ask.await?) };
        let key = Sha256::digest(credential.as_str()).into();
        // A session that has ended since may have been prolonged.
        if let Some(Ok(session)) = cache.get(&key).map(|answer| validate(&answer)) {
            return Ok(session);
        }
        let answer = ask.await?;
        let session = validate(&answer)?;
        cache.insert(key, answer.into());
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::error::{Denial, Fault};
    use super::*;

    /// Asks the cache about a credential; returns the subject and how often the back end was asked.
    async fn recognise(
        cache: &AnswerCache,
        credential: &str,
        answer: Result<&[u8], CheckError>,
    ) -> (Result<String, CheckError>, u32) {
        let credential = PresentedCredential::new(credential.as_bytes()).expect("a credential");
        let asked = Cell::new(0);
        let ask = async {
            asked.set(asked.get() + 1);
            answer.map(<[u8]>::to_vec)
        };
        let validate = |answer: &[u8]| match answer.first() {
            Some(b'-') | None => Err(Denial::NoUser.into()),
            Some(_) => {
                let subject = String::from_utf8_lossy(&answer[..1]).into_owned();
                Ok(Session { subject, ends_at: None, document: super::super::Document::default() })
            }
        };
        let session = cache.recognise(&credential, ask, validate).await;
        (session.map(|session| session.subject), asked.get())
    }

    #[tokio::test]
    async fn a_recognised_session_is_remembered_for_its_credential_alone() {
        let cache = AnswerCache::new(Duration::from_secs(3600));
        assert!(matches!(recognise(&cache, "one", Ok(b"a")).await, (Ok(subject), 1) if subject == "a"));
        assert!(matches!(recognise(&cache, "one", Ok(b"b")).await, (Ok(subject), 0) if subject == "a"));
        assert!(matches!(recognise(&cache, "two", Ok(b"b")).await, (Ok(subject), 1) if subject == "b"));
    }

    #[tokio::test]
    async fn refusals_and_faults_are_not_remembered() {
        let cache = AnswerCache::new(Duration::from_secs(3600));
        for _ in 0..2 {
            assert!(matches!(recognise(&cache, "one", Ok(b"-")).await, (Err(CheckError::Denied(_)), 1)));
            let fault = Err(Fault::NotJson.into());
            assert!(matches!(recognise(&cache, "one", fault).await, (Err(CheckError::Fault(_)), 1)));
        }
        assert!(matches!(recognise(&cache, "one", Ok(b"a")).await, (Ok(_), 1)));
    }

    #[tokio::test]
    async fn without_a_lifetime_nothing_is_remembered() {
        let cache = AnswerCache::new(Duration::ZERO);
        for _ in 0..2 {
            assert!(matches!(recognise(&cache, "one", Ok(b"a")).await, (Ok(_), 1)));
        }
    }

    #[tokio::test]
    async fn all_answers_together_are_bounded() {
        let cache = AnswerCache::new(Duration::from_secs(3600));
        let answer = vec![b'x'; 64 * 1024];
        for number in 0..1000 {
            assert!(recognise(&cache, &format!("credential {number}"), Ok(&answer)).await.0.is_ok());
        }
        let entries = cache.0.expect("a cache");
        entries.run_pending_tasks();
        assert!(entries.weighted_size() <= AnswerCache::MAX_BYTES, "{} bytes", entries.weighted_size());
        assert!((100..=128).contains(&entries.entry_count()), "{} answers", entries.entry_count());
    }
}
