//! Time in tests: the clock that the service reads too, and waiting for something to become true.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long anything that should happen may take before a test gives up; generous, for a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "a test stands at the edge, as the clients do whose part it plays")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

/// Asks again and again until `look` finds what it looks for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain until {what}");
        sleep(Duration::from_millis(20));
    }
}
