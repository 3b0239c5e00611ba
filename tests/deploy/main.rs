//! What is under `deploy/`, checked by the tools of its field and run for real.
//!
//! `tests/install/deploy` installs the tools. Everything runs as root (containers need it), and only on loopback.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod compose;
mod dashboard;
mod image;
mod load;
mod manifests;
mod pod;
mod reload;
mod restart;
mod rules;
mod secrets;
mod tools;
mod trace;
