//! HTTP: the public and the ops listener. Extract, call, answer.

mod address;
pub mod connection;
pub mod credential;
pub mod demo;
mod exchange;
mod identity;
pub mod ops;
mod origin;
mod problem;
pub mod public;
mod request;
mod state;
mod watched;

pub use origin::Origin;
pub use problem::Code;
pub use state::State;
pub use watched::WatchedRule;

use std::time::SystemTime;

use crate::ticket::UnixTime;

/// The time of day, read here at the edge and passed on as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub(crate) fn now() -> UnixTime {
    // A clock before 1970 issues tickets that have expired, which harms nobody.
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_secs(since_epoch.as_secs())
}
