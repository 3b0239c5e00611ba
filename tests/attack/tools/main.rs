//! Attacks, load and faults that need more than Rust: Redis, slowhttptest, libfaketime, and JWT libraries of Python.

#[path = "../../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod clock;
mod forged_tokens;
#[path = "../parallel.rs"]
mod parallel;
mod shared_limit;
mod slow_http;
