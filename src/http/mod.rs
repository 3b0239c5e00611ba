//! HTTP: the public and the ops listener. Extract, call, answer.

mod address;
mod connection;
pub mod credential;
pub mod demo;
mod door;
mod exchange;
mod identity;
pub mod ops;
mod origin;
mod problem;
pub mod public;
mod request;
mod watched;

pub use connection::{HEADER_TIMEOUT, Listener};
pub use door::Door;
pub use exchange::Route;
pub use origin::{Origin, OriginError, OriginPolicy};
pub use problem::{Code, Problem};
pub use request::MAX_BODY;
pub use watched::WatchedRule;

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use crate::ticket::UnixTime;

/// Where the process is in its life. Only [`Lifecycle::started`] makes it ready, and nothing makes it ready again.
#[derive(Debug, Default)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    const STARTING: u8 = 0;
    const READY: u8 = 1;
    const DRAINING: u8 = 2;

    /// Both listeners are bound and served.
    pub fn started(&self) {
        // A signal may have come before: then it stays draining.
        let _ = self.0.compare_exchange(Self::STARTING, Self::READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The process has been told to end.
    pub fn drain(&self) {
        self.0.store(Self::DRAINING, Ordering::Relaxed);
    }

    /// Whether traffic should come here.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::READY
    }

    /// Whether connections should be closed behind their next answer.
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::DRAINING
    }

    /// The state as `/readyz` names it.
    pub fn as_str(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            Self::STARTING => "starting",
            Self::READY => "ready",
            _ => "draining",
        }
    }
}

/// The time of day, read here at the edge and passed on as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub(crate) fn now() -> UnixTime {
    // A clock before 1970 issues tickets that have expired, which harms nobody.
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_secs(since_epoch.as_secs())
}
