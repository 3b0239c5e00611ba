//! What attackers, load and faults do to the running binary, as far as Rust alone can play their part.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;
