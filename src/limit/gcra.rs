//! The generic cell rate algorithm (ITU-T I.371): each key has one instant, at which it would be as if it had never been
//! charged. A charge moves that instant on by an interval, and it may be ahead of the clock by as much as a burst allows.

use std::hash::Hash;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// A rate with a burst, for any number of keys.
pub(super) struct Gcra<K: Hash + Eq> {
    interval: Duration,
    /// How far ahead of the clock a key may be and still be admitted.
    tolerance: Duration,
    /// When each key is free again; those charged last stand first.
    free_at: Mutex<LruCache<K, Instant>>,
    /// Whether no key is held, so that nobody needs to take the lock.
    is_empty: AtomicBool,
}

impl<K: Hash + Eq + Copy> Gcra<K> {
    /// One charge of a key in an interval, and `burst` at once.
    pub(super) fn new(interval: Duration, burst: NonZeroU32) -> Self {
        Self::bounded(interval, burst, NonZeroUsize::MAX)
    }

    /// The same with at most `capacity` keys: beyond that, the one charged longest ago is free.
    pub(super) fn bounded(interval: Duration, burst: NonZeroU32, capacity: NonZeroUsize) -> Self {
        let tolerance = interval * (burst.get() - 1);
        let free_at = Mutex::new(LruCache::sparse(capacity));
        Self { interval, tolerance, free_at, is_empty: AtomicBool::new(true) }
    }

    /// Charges the key, if it may be charged now.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn check(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut keys = self.lock();
        self.wait(keys.peek(&key), now)?;
        self.charge_locked(&mut keys, key, now);
        Ok(())
    }

    /// Whether the key may be charged now, without charging it.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn admit(&self, key: K, now: Instant) -> Result<(), Duration> {
        if self.is_empty.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.wait(self.lock().peek(&key), now)
    }

    /// Charges the key in any case: what is beyond the rate is owed, so that in the long run the rate holds.
    pub(super) fn charge(&self, key: K, now: Instant) {
        self.charge_locked(&mut self.lock(), key, now);
    }

    /// Evicts the keys that are free.
    pub(super) fn evict_expired(&self, now: Instant) {
        let mut keys = self.lock();
        while keys.peek_lru().is_some_and(|(_, free_at)| *free_at <= now) {
            keys.pop_lru();
        }
        if keys.is_empty() && !self.is_empty.swap(true, Ordering::Relaxed) {
            // Gives its memory back. Not while it is in use, since it would soon grow again.
            *keys = LruCache::sparse(keys.cap());
        }
    }

    fn wait(&self, free_at: Option<&Instant>, now: Instant) -> Result<(), Duration> {
        match free_at.map(|free_at| free_at.saturating_duration_since(now + self.tolerance)) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait),
        }
    }

    fn charge_locked(&self, keys: &mut LruCache<K, Instant>, key: K, now: Instant) {
        let free_at = keys.get_or_insert_mut(key, || now);
        *free_at = now.max(*free_at) + self.interval;
        self.is_empty.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<K, Instant>> {
        self.free_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn burst(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("not zero")
    }

    #[test]
    fn failures_beyond_the_rate_are_owed() {
        let limit = Gcra::new(HOUR / 3, burst(3));
        let start = Instant::now();
        for _ in 0..9 {
            limit.admit(1, start).expect("nothing was charged yet");
        }
        for _ in 0..9 {
            limit.charge(1, start);
        }
        assert_eq!(limit.admit(1, start), Err(HOUR / 3 * 7));
        assert_eq!(limit.admit(2, start), Ok(()));
    }

    #[test]
    fn in_the_long_run_the_rate_holds() {
        let limit = Gcra::new(HOUR / 3, burst(3));
        let start = Instant::now();
        let tries = (0..10 * 3600).step_by(10).map(|second| start + Duration::from_secs(second));
        let charged = tries.filter(|now| limit.check(1, *now).is_ok()).count();
        assert_eq!(charged, 3 + 10 * 3 - 1, "three at once, then one as often as one is due");
    }

    #[test]
    fn expired_keys_are_evicted_and_no_more_than_the_capacity_is_kept() {
        let capacity = NonZeroUsize::new(1000).expect("not zero");
        let second = Duration::from_secs(1);
        let limit = Gcra::bounded(second, burst(1), capacity);
        let start = Instant::now();
        for key in 0..1002 {
            limit.charge(key, start);
        }
        let kept = || (limit.lock().len(), limit.is_empty.load(Ordering::Relaxed));
        assert_eq!(kept(), (1000, false));
        assert_eq!(limit.admit(1, start), Ok(()), "those charged first were dropped");
        assert_eq!(limit.admit(2, start), Err(second));
        limit.evict_expired(start + Duration::from_millis(999));
        assert_eq!(kept(), (1000, false));
        limit.evict_expired(start + second);
        assert_eq!(kept(), (0, true));
        limit.charge(7, start);
        assert_eq!(kept(), (1, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// `governor` is an implementation of the same algorithm by others.
        #[test]
        fn decisions_are_those_of_governor(
            interval in 1_u64..5_000,
            cells in 1_u32..20,
            steps in proptest::collection::vec((0_u8..3, 0_u64..10_000), 1..200),
        ) {
            let interval = Duration::from_millis(interval);
            let clock = FakeRelativeClock::default();
            let quota = Quota::with_period(interval).expect("not zero").allow_burst(burst(cells));
            let theirs = RateLimiter::hashmap_with_clock(quota, clock.clone());
            let ours = Gcra::new(interval, burst(cells));
            let mut now = Instant::now();
            for (key, pause) in steps {
                // Often no time passes at all.
                let pause = Duration::from_millis(pause.saturating_sub(5_000));
                clock.advance(pause);
                now += pause;
                prop_assert_eq!(ours.check(key, now).is_ok(), theirs.check_key(&key).is_ok());
                if pause > interval {
                    ours.evict_expired(now);
                }
            }
        }
    }
}
