//! What is under `deploy/`, checked by the tools of its field and run for real.
//!
//! `tests/install/deploy` installs the tools. Everything runs as root (containers need it), and only on loopback.

mod client;
mod compose;
mod dashboard;
mod image;
mod load;
mod manifests;
mod pod;
mod reload;
mod restart;
mod rules;
mod service;
mod tools;
