//! Many callers at once.

use std::sync::Barrier;
use std::thread;

use crate::support::client::Answer;

/// Lets `callers` threads call at the same moment, and returns their answers.
pub(crate) fn all_at_once(callers: usize, call: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let start = Barrier::new(callers);
    thread::scope(|scope| {
        let spawn = |caller| {
            let (start, call) = (&start, &call);
            scope.spawn(move || {
                start.wait();
                call(caller)
            })
        };
        let threads: Vec<_> = (0..callers).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("a caller that ends well")).collect()
    })
}

/// How many of the answers have this status.
pub(crate) fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The seconds after which a 429 or 503 says to come again.
#[track_caller]
pub(crate) fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").and_then(|seconds| seconds.parse().ok()).expect("Retry-After in whole seconds")
}

/// Whether a metric shows this count.
pub(crate) fn is(value: f64, count: u32) -> bool {
    (value - f64::from(count)).abs() < 0.5
}
