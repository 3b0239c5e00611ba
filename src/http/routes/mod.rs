//! The routes of the listeners.

pub mod ops;
pub mod tickets;
