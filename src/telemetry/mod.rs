//! What the service says of itself: the log, metrics and traces.

mod json;
pub mod log;
pub mod metrics;
pub mod trace;
