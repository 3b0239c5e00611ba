//! Remembers for seconds what a back end answered about a credential, so that a burst of requests asks it once.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lru::LruCache;
use sha2::{Digest, Sha256};

use super::credential::PresentedCredential;
use super::error::CheckError;
use super::session::Session;

/// The answers in which a session was recognised; refusals and faults are never remembered.
pub struct AnswerCache {
    /// Zero: nothing is remembered.
    lifetime: Duration,
    answers: Mutex<Answers>,
}

/// Answers by the SHA-256 of their credential. Looking one up does not change their order, so the oldest stands last.
struct Answers {
    by_credential: LruCache<[u8; 32], (Instant, Arc<[u8]>)>,
    bytes: usize,
}

impl AnswerCache {
    /// The most that the answers of one rule may take.
    const MAX_BYTES: usize = 8 << 20;

    /// What an entry takes beside its answer.
    const ENTRY: usize = 160;

    /// A cache that remembers a session for so long; zero: not at all.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, answers: Mutex::new(Answers { by_credential: LruCache::unbounded(), bytes: 0 }) }
    }

    /// The session that `validate` reads from the remembered answer about `credential`, or else from the one that `ask` gets.
    pub(super) async fn recognise(
        &self,
        credential: &PresentedCredential,
        ask: impl Future<Output = Result<Vec<u8>, CheckError>>,
        validate: impl Fn(&[u8]) -> Result<Session, CheckError>,
    ) -> Result<Session, CheckError> {
        if self.lifetime.is_zero() {
            return validate(&ask.await?);
        }
        let credential = Sha256::digest(credential.as_str()).into();
        // A session that has ended since may have been prolonged.
        if let Some(Ok(session)) = self.get(&credential).map(|answer| validate(&answer)) {
            return Ok(session);
        }
        let answer = ask.await?;
        let session = validate(&answer)?;
        self.put(credential, answer.into());
        Ok(session)
    }

    fn get(&self, credential: &[u8; 32]) -> Option<Arc<[u8]>> {
        let mut answers = self.answers.lock().ok()?;
        answers.shed(self.lifetime);
        answers.by_credential.peek(credential).map(|(_, answer)| Arc::clone(answer))
    }

    fn put(&self, credential: [u8; 32], answer: Arc<[u8]>) {
        let Ok(mut answers) = self.answers.lock() else { return };
        answers.bytes += answer.len() + Self::ENTRY;
        if let Some((_, old)) = answers.by_credential.put(credential, (Instant::now(), answer)) {
            answers.bytes -= old.len() + Self::ENTRY;
        }
        answers.shed(self.lifetime);
    }
}

impl Answers {
    /// Drops the oldest until none is older than `lifetime`, and all together fit.
    fn shed(&mut self, lifetime: Duration) {
        while self.bytes > AnswerCache::MAX_BYTES
            || self.by_credential.peek_lru().is_some_and(|(_, (since, _))| since.elapsed() >= lifetime)
        {
            let Some((_, (_, answer))) = self.by_credential.pop_lru() else { return };
            self.bytes -= answer.len() + AnswerCache::ENTRY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(cache: &AnswerCache, count: u32, answer: &[u8]) {
        for number in 0..count {
            cache.put(Sha256::digest(number.to_string()).into(), answer.into());
        }
    }

    fn held(cache: &AnswerCache) -> (usize, usize) {
        let answers = cache.answers.lock().expect("nothing panicked");
        let bytes = answers.by_credential.iter().map(|(_, (_, answer))| answer.len() + AnswerCache::ENTRY).sum();
        assert_eq!(answers.bytes, bytes);
        (answers.by_credential.len(), bytes)
    }

    #[test]
    fn large_answers_push_out_the_oldest() {
        let cache = AnswerCache::new(Duration::from_secs(3600));
        fill(&cache, 1000, &vec![b'x'; 64 * 1024]);
        let (count, bytes) = held(&cache);
        assert!((100..=128).contains(&count) && bytes <= AnswerCache::MAX_BYTES, "{count} answers, {bytes} bytes");
        assert!(cache.get(&Sha256::digest("0").into()).is_none());
        assert!(cache.get(&Sha256::digest("999").into()).is_some());
        fill(&cache, 100_000, b"");
        assert!(held(&cache).1 <= AnswerCache::MAX_BYTES);
    }

    #[test]
    fn an_answer_is_counted_once_however_often_it_is_given() {
        let cache = AnswerCache::new(Duration::from_secs(3600));
        fill(&cache, 7, b"short");
        fill(&cache, 7, b"and longer");
        assert_eq!(held(&cache), (7, 7 * (AnswerCache::ENTRY + 10)));
    }

    #[test]
    fn the_stale_go_by_themselves() {
        let mut cache = AnswerCache::new(Duration::from_secs(3600));
        fill(&cache, 1000, b"an answer");
        cache.lifetime = Duration::ZERO;
        assert!(cache.get(&[0; 32]).is_none());
        assert_eq!(held(&cache), (0, 0));
        fill(&cache, 1000, b"an answer");
        assert_eq!(held(&cache), (0, 0));
    }
}
