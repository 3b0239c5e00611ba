//! What attackers, load and faults do to the running binary, as far as Rust alone can play their part.
//!
//! What needs more is in the target beside it, `attack_tools`.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod addresses;
mod answers;
mod backend;
mod connections;
mod debug;
mod faults;
mod files;
#[path = "../sessions/jwks.rs"]
#[expect(dead_code, reason = "only RSA keys are used")]
mod jwks;
mod limits;
mod overload;
mod parallel;
mod rfc8725;
mod rule;
mod secrets;
mod starvation;
mod wycheproof;
