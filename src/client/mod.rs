//! Outbound I/O: questions to back ends over HTTP and to Redis, each with one deadline, bounded answers, and the proof that
//! an answer belongs to its question.
//!
//! All connections live on a runtime of their own, so that none of them depends on the worker whose request made it.

mod connect;
mod http;
mod redis;
mod runtime;

pub use http::{HttpClient, HttpSettings, parse_certificates, plain_status};
pub use redis::{RedisServer, RedisSettings, parse_redis_url};
pub use runtime::Deadline;

use std::error::Error as StdError;
use std::iter::successors;
use std::time::Duration;

/// Why a question has no answer. None of the texts holds a URL, a key or a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum Error {
    #[error("max_in_flight questions are under way already")]
    Busy,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{cause}")]
    Transport { phase: Phase, cause: String },
    #[error("the back end answered with status {0}")]
    Status(u16),
    #[error("the back end's answer is longer than {0} bytes")]
    TooLarge(usize),
    /// A question about a credential must reach the back end itself.
    #[error("an answer from a cache, as its Age header says; it may belong to another question")]
    Cached,
    #[error("Redis: {0}")]
    Redis(String),
    #[error("an answer on the connection to Redis belonged to another question")]
    Mismatch,
}

/// How far a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was sent: the system lacks a thread or a descriptor, or the request cannot be written.
    Start,
    /// The host name has no address.
    Resolve,
    /// No TCP connection.
    Connect,
    /// No TLS session.
    Tls,
    /// The request was not written, or nothing came back.
    Exchange,
    /// The answer broke off.
    Read,
}

impl Error {
    /// The innermost cause, which names what happened and neither URL nor credential.
    fn transport(phase: Phase, error: &(dyn StdError + 'static)) -> Self {
        let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
        Self::Transport { phase, cause }
    }
}

/// An error and its causes, down to the innermost.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}
