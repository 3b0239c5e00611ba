//! `[limit]`: how often is too often, and where that is counted.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::check::{file, redis_url};
use super::secret::reference;
use super::section::{Section, duration, integer, parsed};
use crate::limit::{Limits, Rate};
use crate::session::{RedisAddress, RedisServer};

/// The limits, and how many proxies are believed about a caller's address.
pub(super) fn limit(mut section: Section<'_>) -> (Limits, usize) {
    const BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
    let limits = Limits {
        per_user: section.optional("per_user", rate).unwrap_or_else(|| "30/m".parse().ok()),
        burst: section.optional("burst", integer(1..=1_000_000)).unwrap_or(BURST),
        per_address: section.optional("per_address", rate).unwrap_or_else(|| "600/m".parse().ok()),
        shared: store(&mut section),
    };
    let trusted_hops = section.optional("trusted_hops", integer(0..=16)).unwrap_or(0);
    section.finish();
    (limits, trusted_hops)
}

/// Redis where `store` names one; `None` for memory.
fn store(section: &mut Section<'_>) -> Option<RedisServer> {
    let url = section.optional("store", |value| match value.as_str() {
        Some("memory") => Ok(None),
        _ => redis_url(value).map(Some).map_err(|error| format!("{error}, or \"memory\"")),
    });
    let password = section.optional("password", reference);
    let ca = section.optional("ca_file", file);
    let timeout = section.optional("timeout", duration("10ms", "1s")).unwrap_or(Duration::from_millis(100));
    let Some(url) = url.flatten() else {
        if password.is_some() || ca.is_some() {
            section.reject("store", "is memory, which takes no password and no ca_file");
        }
        return None;
    };
    section.accept("store", RedisServer::new(RedisAddress { url, password, ca, timeout }))
}

/// A rate, or `None` for "off".
fn rate(value: &Value) -> Result<Option<Rate>, String> {
    if value == "off" { Ok(None) } else { parsed(value).map(Some) }
}
