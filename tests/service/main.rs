//! The running binary, seen from outside: what it answers, what it logs, and how it starts and ends.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod user_sig;
