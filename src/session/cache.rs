//! Remembers recognised sessions for seconds, so that a burst of requests asks the back end once.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lru::LruCache;
use sha2::{Digest, Sha256};

use super::{PresentedCredential, Session};
use crate::ticket::UnixTime;

/// Sessions by the SHA-256 of their credential; refusals and faults are never remembered.
#[derive(Debug)]
pub(super) struct SessionCache {
    lifetime: Duration,
    sessions: Mutex<LruCache<[u8; 32], (Instant, Session)>>,
}

impl SessionCache {
    /// The most sessions that are remembered.
    const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, sessions: Mutex::new(LruCache::new(Self::CAPACITY)) }
    }

    /// The session that `credential` was recognised as within the lifetime, unless it has ended since.
    pub(super) fn get(&self, credential: &PresentedCredential, now: UnixTime) -> Option<Session> {
        let mut sessions = self.sessions.lock().ok()?;
        let (since, session) = sessions.get(&digest(credential))?;
        let fresh = since.elapsed() < self.lifetime && session.ends_at.is_none_or(|end| end > now);
        fresh.then(|| session.clone())
    }

    pub(super) fn put(&self, credential: &PresentedCredential, session: &Session) {
        if let Ok(mut sessions) = self.sessions.lock() {
            sessions.put(digest(credential), (Instant::now(), session.clone()));
        }
    }
}

fn digest(credential: &PresentedCredential) -> [u8; 32] {
    Sha256::digest(credential.as_str()).into()
}
