//! What handlers take out of a request. Reads, and does no I/O but for the request's own body.

pub(crate) mod address;
pub(crate) mod body;
pub mod credential;
pub(crate) mod parameters;
