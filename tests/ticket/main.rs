//! The TLS-sig v2 protocol held against tickets of the official libraries, and against properties of its own.

mod fields;
mod inspection;
mod malformed;
mod official;
mod properties;
mod signer;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

use usersig::ticket::{Expected, Lifetime, SdkAppId, SecretKey, UnixTime, UserId, Verdict, inspect};

/// When most tickets here are issued.
const TIME: u64 = 1_790_000_000;

fn key(secret: &str) -> SecretKey {
    SecretKey::parse(secret).expect("a secret")
}

fn app(id: u32) -> SdkAppId {
    u64::from(id).try_into().expect("an SDKAppID")
}

fn user(id: &str) -> UserId {
    id.parse().expect("a user id")
}

fn lifetime(seconds: u32) -> Lifetime {
    u64::from(seconds).try_into().expect("a lifetime")
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// The verdict on a ticket with nothing known but the key.
fn verdict(ticket: &str, key: &SecretKey, at: u64) -> Verdict {
    inspect(ticket, &Expected { app: None, key: Some(key), user: None, at: UnixTime::from_secs(at) }).verdict
}
