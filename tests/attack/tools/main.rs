//! Attacks, load and faults that need more than Rust: Redis, slowhttptest, libfaketime, and JWT libraries of Python.

#[path = "../../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod clock;
mod forged_tokens;
#[path = "../../sessions/jwks.rs"]
#[expect(dead_code, reason = "only RSA keys are used")]
mod jwks;
#[path = "../../sessions/load.rs"]
#[expect(dead_code, reason = "the suites that share it use a part each")]
mod load;
mod outages;
#[path = "../parallel.rs"]
mod parallel;
mod shared_limit;
mod slow_http;
#[path = "../../sessions/verdict.rs"]
#[expect(dead_code, reason = "only its counts are used")]
mod verdict;
