//! Issues `UserSig`s (TLS-sig v2 tickets) for Tencent Cloud Chat and TRTC to the users that a customer's own back end
//! has logged in.
//!
//! The layers, from the top down; each module imports only what stands below its own:
//!
//! | layer | module | its one job |
//! |---|---|---|
//! | 7 | [`cli`] | parses the command line, runs a command, returns an exit code |
//! | 6 | [`demo`] | the command `demo`: the service with embedded defaults, and a page to try it |
//! | 5 | [`server`] | the service as a whole: binds, runs, follows changed secrets, drains |
//! | 4 | [`config`] | raw TOML and environment → typed configuration, all problems reported at once |
//! | 3 | [`http`] | extract, decide, respond; around it the middleware that logs and counts |
//! | 2 | [`issue`] | the one decision: session + request + policy → ticket, or a reason |
//! | 2 | [`limit`] | who has asked too often |
//! | 1 | [`session`] | who is calling |
//! | 0 | [`client`] | outbound HTTP and Redis, with their deadlines and errors |
//! | 0 | [`ticket`] | the TLS-sig v2 protocol |
//! | leaf | [`telemetry`] | what is logged, counted and traced |
//!
//! To follow a request, read [`http::routes::tickets`] first: it calls everything else in the order in which it happens.
//! Then `http::middleware`, which stands around it; [`session`] and its kinds of check; [`issue`]; [`ticket`]. What
//! builds all that is [`server`], from what [`config`] reads.
//!
//! The library exists for the tests and the benchmarks; the binary `usersig` is what is used.

#![expect(
    clippy::must_use_candidate,
    reason = "nobody calls a getter for nothing; what must not be overlooked is a Result, or says #[must_use]"
)]

pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod http;
pub mod issue;
pub mod limit;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod ticket;
