//! What the suites share: the real binary on free loopback ports, HTTP clients, keys and session tokens.
//!
//! A suite takes it in by
//! ```text
//! #[path = "../support/mod.rs"]
//! #[expect(dead_code, reason = "every suite uses a part of what the suites share")]
//! mod support;
//! ```
//! and starts a service in one expression; it is killed when the value goes out of scope:
//! ```text
//! let service = Setup::simple().start();
//! let answer = service.public.post("/v1/usersig").bearer(&session("alice")).send();
//! assert_eq!(answer.ok()["userId"], "alice");
//! ```

pub(crate) mod backend;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod component;
pub(crate) mod crowd;
pub(crate) mod documents;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod service;
pub(crate) mod setup;
pub(crate) mod ticket;

/// The app that most tests issue for.
pub(crate) const APP: u32 = 1_400_000_000;

/// A second app, for the tests that need one.
pub(crate) const OTHER_APP: u32 = 1_600_000_001;

/// The secret of [`APP`] in most tests.
pub(crate) const SECRET: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

/// The secret of [`OTHER_APP`], and what [`APP`]'s is changed to where it is changed.
pub(crate) const OTHER_SECRET: &str = "03337b166af8e49560c2be070d44c9c80f1573eea856fe71a08b99454647de89";

/// The shared secret that session tokens are signed with in most tests.
pub(crate) const SESSION_SECRET: &str = "the secret of the customer's own back end";

/// A certificate of nobody's, for `ca_file`.
pub(crate) const CERTIFICATE: &str = include_str!("certificate.pem");
