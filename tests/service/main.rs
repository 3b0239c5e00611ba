//! The running binary, seen from outside: what it answers, what it logs, and how it starts and ends.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod apps;
mod body;
mod cli;
mod config;
mod config_values;
mod credentials;
mod demo;
mod jwt;
mod jwt_keys;
mod lifetime;
mod log;
mod methods;
mod metrics;
mod ops;
mod origins;
mod parameters;
mod precedence;
mod reload;
mod rooms;
mod shutdown;
mod user_sig;
mod users;
