//! `[limit]`: how often is too often, and where that is counted.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::check::redis_url;
use super::secret::reference;
use super::section::{Section, duration, integer, parsed};
use crate::limit::{Limits, Rate};
use crate::session::RedisServer;

/// The limits, and how many proxies are believed about a caller's address.
pub(super) fn limit(mut section: Section<'_>) -> (Limits, usize) {
    let usually = |said: Option<Option<Rate>>, usual: &str| said.unwrap_or_else(|| usual.parse().ok());
    let limits = Limits {
        per_user: usually(section.optional("per_user", rate), "30/m"),
        burst: section.optional("burst", positive).unwrap_or(NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN)),
        per_address: usually(section.optional("per_address", rate), "600/m"),
        shared: store(&mut section),
    };
    let trusted_hops = section.optional("trusted_hops", integer(0..=16)).unwrap_or(0);
    section.finish();
    (limits, usize::try_from(trusted_hops).unwrap_or(0))
}

/// Redis where `store` names one; `None` for memory.
fn store(section: &mut Section<'_>) -> Option<RedisServer> {
    let url = section.optional("store", |value| match value.as_str() {
        Some("memory") => Ok(None),
        _ => redis_url(value).map(Some).map_err(|error| format!("{error}, or \"memory\"")),
    });
    let password = section.optional("password", reference);
    let ca = section.optional("ca_file", super::check::file);
    let second = Duration::from_secs(1);
    let timeout = section.optional("timeout", duration(second / 100..=second)).unwrap_or(second / 10);
    let Some(url) = url.flatten() else {
        if password.is_some() || ca.is_some() {
            section.reject("store", "is memory, which takes no password and no ca_file");
        }
        return None;
    };
    RedisServer::new(&url, password, ca, timeout).map_err(|error| section.reject("store", error.to_string())).ok()
}

/// A rate, or `None` for "off".
fn rate(value: Value) -> Result<Option<Rate>, String> {
    if value == "off" { Ok(None) } else { parsed(value).map(Some) }
}

fn positive(value: Value) -> Result<NonZeroU32, String> {
    let number = integer(1..=1_000_000)(value)?;
    u32::try_from(number).ok().and_then(NonZeroU32::new).ok_or_else(|| "is too large".to_owned())
}
