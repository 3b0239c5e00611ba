//! Issues `UserSig`s (TLS-sig v2 tickets) for Tencent Cloud Chat and TRTC to the users that a customer's own back end
//! has logged in.
//!
//! The rooms, from the ground up; each imports only what stands below it:
//!
//! | floor | room | its one job |
//! |---|---|---|
//! | 4 | [`cli`] | parses the command line, runs a command, returns an exit code |
//! | 4 | [`app`] | knows all other rooms: binds, runs, reloads, drains |
//! | 4 | [`config`] | raw TOML and environment → typed configuration, all problems reported at once |
//! | 3 | [`http`] | the public and the ops listener: extract, call, answer |
//! | 2 | [`issue`] | session + request + policy → ticket, or a reason |
//! | 2 | [`limit`] | who has asked too often |
//! | 1 | [`session`] | who is calling |
//! | 0 | [`client`] | outbound HTTP and Redis, with their deadlines and errors |
//! | 0 | [`ticket`] | the TLS-sig v2 protocol |
//! | leaf | [`metrics`], [`telemetry`] | what is counted; what is logged |
//!
//! A request walks through them once: [`http`] reads it and picks the rule, [`session`] checks the credential,
//! [`issue`] decides and signs, and [`http`] answers, logs and counts. The library exists for the tests and the
//! benchmarks; the binary `usersig` is what is used.

#![expect(
    clippy::must_use_candidate,
    reason = "nobody calls a getter for nothing; what must not be overlooked is a Result, or says #[must_use]"
)]

pub mod app;
pub mod cli;
pub mod client;
pub mod config;
pub mod http;
pub mod issue;
pub mod limit;
pub mod metrics;
pub mod session;
pub mod telemetry;
pub mod ticket;
