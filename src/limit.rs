//! Who has asked too often: a limit per user after the check, and per address for failed credentials before it.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use lru::LruCache;
use tracing::{info, warn};

use crate::session::{Fault, RedisServer};
use crate::ticket::{SdkAppId, UserId};

/// What is allowed.
#[derive(Debug)]
pub struct Limits {
    /// Tickets of one app to one user; `None`: as many as asked for.
    pub per_user: Option<Rate>,
    /// How many of them at once.
    pub burst: NonZeroU32,
    /// Failed credentials from one address; `None`: as many as are tried.
    pub per_address: Option<Rate>,
    /// Where the per-user limit of all replicas is kept; `None`: each has its own.
    pub shared: Option<RedisServer>,
}

/// A number of times in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    period: Duration,
}

/// A text that is no [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a number and a unit, such as \"10/s\", \"30/m\" or \"500/h\", or \"off\"")]
pub struct RateError;

impl Rate {
    /// The time between two of them.
    fn interval(self) -> Duration {
        self.period / self.count.get()
    }

    fn quota(self, burst: NonZeroU32) -> Option<Quota> {
        Some(Quota::with_period(self.interval())?.allow_burst(burst))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (count, unit) = text.split_once('/').ok_or(RateError)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(RateError),
        };
        // Up to a million, so that an interval never rounds to nothing.
        let count = count.parse().ok().filter(|count: &NonZeroU32| count.get() <= 1_000_000).ok_or(RateError)?;
        Ok(Self { count, period: Duration::from_secs(seconds) })
    }
}

/// Counts requests against the limits.
pub struct Limiter {
    users: Option<DefaultKeyedRateLimiter<u64>>,
    shared: Option<SharedLimit>,
    addresses: Option<Addresses>,
    /// Hashes under keys of this process, so that nobody can make two users collide.
    hash: RandomState,
}

/// Too often: another try makes sense after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// Whole seconds, at least 1.
    pub retry_after: u32,
}

impl Limiter {
    /// A limiter that has seen nobody yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let users = limits.per_user.and_then(|rate| rate.quota(limits.burst)).map(RateLimiter::keyed);
        let shared =
            limits.shared.zip(limits.per_user).map(|(server, rate)| SharedLimit::new(server, rate, limits.burst));
        let addresses = limits.per_address.and_then(|rate| rate.quota(rate.count)).map(Addresses::new);
        Self { users, shared, addresses, hash: RandomState::new() }
    }

    /// Counts a ticket for `user`.
    ///
    /// # Errors
    /// When the user has had too many.
    pub async fn count_user(&self, app: SdkAppId, user: &UserId) -> Result<(), TooOften> {
        let Some(users) = &self.users else { return Ok(()) };
        // First here: who is over the limit of one replica is over that of all, and costs Redis nothing.
        let user_of_app = self.hash.hash_one((app, user));
        users.check_key(&user_of_app).map_err(|until| until.wait_time_from(DefaultClock::default().now()))?;
        match &self.shared {
            None => Ok(()),
            Some(shared) => shared.count(app, user).await,
        }
    }

    /// Whether credentials from `address` are looked at.
    ///
    /// # Errors
    /// When too many of them have failed.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), TooOften> {
        self.addresses.as_ref().map_or(Ok(()), |addresses| addresses.admit(network(address)))
    }

    /// Counts a credential from `address` that has failed.
    pub fn count_failure(&self, address: IpAddr) {
        if let Some(addresses) = &self.addresses {
            addresses.count_failure(network(address));
        }
    }

    /// Forgets whom the limits would treat like a stranger. Called every second, it bounds the memory by the rate of requests.
    pub fn forget_strangers(&self) {
        if let Some(users) = &self.users {
            users.retain_recent();
            users.shrink_to_fit();
        }
        if let Some(addresses) = &self.addresses {
            addresses.failures.retain_recent();
            addresses.failures.shrink_to_fit();
        }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter")
    }
}

impl From<Duration> for TooOften {
    fn from(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: u32::try_from(seconds.max(1)).unwrap_or(u32::MAX) }
    }
}

/// Failed credentials by address. What fails is known only after the check, so the limit shuts the door behind it.
struct Addresses {
    failures: DefaultKeyedRateLimiter<IpAddr>,
    shut: Mutex<LruCache<IpAddr, Instant>>,
    /// Whether any is shut out: while none is, requests take no lock.
    any_shut: AtomicBool,
}

impl Addresses {
    /// The most addresses that are shut out at once; beyond that the longest quiet one gets in again.
    const MAX_SHUT: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

    fn new(quota: Quota) -> Self {
        Self {
            failures: RateLimiter::keyed(quota),
            shut: Mutex::new(LruCache::new(Self::MAX_SHUT)),
            any_shut: AtomicBool::new(false),
        }
    }

    fn admit(&self, address: IpAddr) -> Result<(), TooOften> {
        if !self.any_shut.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Ok(mut shut) = self.shut.lock() else { return Ok(()) };
        match shut.get(&address).map(|until| until.saturating_duration_since(Instant::now())) {
            None => Ok(()),
            Some(Duration::ZERO) => {
                shut.pop(&address);
                self.any_shut.store(!shut.is_empty(), Ordering::Relaxed);
                Ok(())
            }
            Some(wait) => Err(wait.into()),
        }
    }

    fn count_failure(&self, address: IpAddr) {
        if let Err(until) = self.failures.check_key(&address)
            && let Ok(mut shut) = self.shut.lock()
        {
            let wait = until.wait_time_from(DefaultClock::default().now());
            shut.put(address, Instant::now() + wait);
            self.any_shut.store(true, Ordering::Relaxed);
        }
    }
}

/// An IPv6 host has a whole /64 to itself, so that counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The limit of all replicas, in Redis: GCRA (the generic cell rate algorithm) in one script, by Redis' own clock.
struct SharedLimit {
    server: RedisServer,
    script: redis::Script,
    interval: Duration,
    burst: NonZeroU32,
    /// Whether the last use failed, so that the log is told of the change and not of each request.
    is_away: AtomicBool,
}

/// Returns 0, or the microseconds to wait. The one value that is kept is the time at which the user is a stranger again.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + interval
local wait = due - interval * burst - now
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%d', due), 'PX', math.ceil((due - now) / 1000))
return 0
";

impl SharedLimit {
    /// What the keys begin with, for an ACL of their own.
    const PREFIX: &str = "usersig:limit:";

    fn new(server: RedisServer, rate: Rate, burst: NonZeroU32) -> Self {
        Self {
            server,
            script: redis::Script::new(GCRA),
            interval: rate.interval(),
            burst,
            is_away: AtomicBool::new(false),
        }
    }

    /// Counts a ticket in Redis. While Redis is away the replica's own limit, which has let it pass, is all there is.
    async fn count(&self, app: SdkAppId, user: &UserId) -> Result<(), TooOften> {
        let wait = self.server.run(
            |fault: &Fault| Some(fault),
            async |mut connection| {
                let mut call = self.script.key(format!("{}{app}:{user}", Self::PREFIX));
                let interval = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
                Ok(call.arg(interval).arg(self.burst.get()).invoke_async::<u64>(&mut connection).await?)
            },
        );
        let wait = wait.await;
        match (&wait, self.is_away.swap(wait.is_err(), Ordering::Relaxed)) {
            (Err(fault), false) => warn!(cause = %fault, "the shared limit is away, each replica limits for itself"),
            (Ok(_), true) => info!("the shared limit is back"),
            (Ok(_), false) | (Err(_), true) => {}
        }
        match wait {
            Ok(0) | Err(_) => Ok(()),
            Ok(micros) => Err(Duration::from_micros(micros).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn rates_are_a_number_and_a_unit() {
        assert_eq!(rate("30/m").interval(), Duration::from_secs(2));
        assert_eq!(rate("1000000/s").interval(), Duration::from_micros(1));
        for text in ["", "30", "0/m", "-1/m", "30/d", "1.5/s", "1000001/s"] {
            assert_eq!(text.parse::<Rate>(), Err(RateError), "{text}");
        }
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(parse("2001:db8:1:2:3::4")), network(parse("2001:db8:1:2:ffff::1")));
        assert_ne!(network(parse("2001:db8:1:2::1")), network(parse("2001:db8:1:3::1")));
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }

    #[test]
    fn an_address_is_shut_out_behind_its_last_failure_and_no_other_is() {
        let burst = NonZeroU32::new(1).expect("not zero");
        let limiter = Limiter::new(Limits { per_user: None, burst, per_address: Some(rate("3/h")), shared: None });
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..3 {
            assert_eq!(limiter.admit_address(one), Ok(()));
            limiter.count_failure(one);
        }
        limiter.count_failure(one);
        let TooOften { retry_after } = limiter.admit_address(one).expect_err("shut out");
        assert!((1190..=1200).contains(&retry_after), "{retry_after}");
        assert_eq!(limiter.admit_address(other), Ok(()));
    }
}
