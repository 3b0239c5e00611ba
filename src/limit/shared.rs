//! The limit of all replicas, in Redis: the same algorithm in one script, by Redis' own clock.
//!
//! While Redis is away, each replica limits for itself: refusing everybody would be an outage of our own, and admitting
//! everybody would lift the limit. So users are charged here as well all the time, and whoever has used up the limit of all
//! does not get another burst when Redis goes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::Script;
use redis::aio::ConnectionManager;
use tracing::{info, warn};

use crate::client::{self, RedisServer};
use crate::ticket::{SdkAppId, UserId};

/// Returns 0, or the microseconds to wait. The one value that is kept is the time at which the key is free again.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local free_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + interval
local wait = free_at - interval * burst - now
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%d', free_at), 'PX', math.ceil((free_at - now) / 1000))
return 0
";

/// The limit per user in a Redis.
pub(super) struct SharedLimit {
    server: RedisServer,
    script: Arc<Script>,
    interval: Duration,
    burst: NonZeroU32,
    /// Whether the last use failed: the log holds the change, and not each request.
    is_unavailable: AtomicBool,
}

impl SharedLimit {
    pub(super) fn new(server: RedisServer, interval: Duration, burst: NonZeroU32) -> Self {
        Self { server, script: Arc::new(Script::new(GCRA)), interval, burst, is_unavailable: AtomicBool::default() }
    }

    /// Charges a ticket in Redis and returns how long the user must wait for it; `None` while Redis is unavailable.
    pub(super) async fn check(&self, app: SdkAppId, user: &UserId) -> Option<Duration> {
        let wait = self.ask(&format!("{app}:{user}")).await;
        match (&wait, self.is_unavailable.swap(wait.is_err(), Ordering::Relaxed)) {
            (Err(fault), false) => {
                warn!(cause = %fault, "shared rate limit unavailable, falling back to per-replica limits");
            }
            (Ok(_), true) => info!("shared rate limit available again"),
            (Ok(_), false) | (Err(_), true) => {}
        }
        wait.ok().map(Duration::from_micros)
    }

    /// Whether Redis would count.
    pub(super) async fn probe(&self) -> Result<String, client::Error> {
        self.ask("probe").await.map(|_| "answers, and lets us count".to_owned())
    }

    async fn ask(&self, name: &str) -> Result<u64, client::Error> {
        let script = Arc::clone(&self.script);
        // All keys begin alike, for an ACL of their own.
        let key = format!("usersig:limit:{name}");
        let (interval, burst) = (self.interval.as_micros(), self.burst.get());
        let count = async move |mut connection: ConnectionManager| {
            script.key(key).arg(interval).arg(burst).invoke_async(&mut connection).await
        };
        // A second try might count twice.
        self.server.run_once(count).await
    }
}
