//! Who has asked too often: a limit per user after the check, and per address for failed credentials before it.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use lru::LruCache;
use redis::Script;
use redis::aio::ConnectionManager;
use tracing::{info, warn};

use crate::client::{self, RedisServer};
use crate::ticket::{SdkAppId, UserId};

/// A number of times in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    /// The time between two of them.
    interval: Duration,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (count, unit) = text.split_once('/')?;
            let (_, seconds) = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find(|(name, _)| *name == unit)?;
            // Up to a million, so that an interval never rounds to nothing.
            let count = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
            Some(Self { count, interval: Duration::from_secs(seconds) / count })
        };
        parse().ok_or("expected a number and a unit, such as \"10/s\", \"30/m\" or \"500/h\", or \"off\"")
    }
}

/// Counts requests against the limits; by default there are none.
#[derive(Default)]
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
    /// A limiter that has seen nobody yet. It lets one user have tickets of one app at the rate `per_user`, `burst` of them
    /// at once, and one address fail at the rate `per_address`; without a rate, as often as they like. `shared` is where the
    /// per-user limit of all replicas is kept; without it, each has its own.
    pub fn new(
        per_user: Option<Rate>,
        burst: NonZeroU32,
        per_address: Option<Rate>,
        shared: Option<RedisServer>,
    ) -> Self {
        let quota = per_user.and_then(|rate| Quota::with_period(rate.interval));
        Self {
            users: quota.map(|quota| RateLimiter::keyed(quota.allow_burst(burst))),
            shared: shared.zip(per_user).map(|(server, rate)| SharedLimit {
                server,
                script: Arc::new(Script::new(GCRA)),
                interval: rate.interval,
                burst,
                is_away: AtomicBool::default(),
            }),
            addresses: per_address.map(Addresses::new),
            hash: RandomState::new(),
        }
    }

    /// Counts a ticket for `user`.
    ///
    /// # Errors
    /// When the user has had too many.
    pub async fn count_user(&self, app: SdkAppId, user: &UserId) -> Result<(), TooOften> {
        let Some(users) = &self.users else { return Ok(()) };
        let shared = match &self.shared {
            Some(shared) => shared.count(app, user).await,
            None => None,
        };
        if let Some(wait) = shared.filter(|wait| !wait.is_zero()) {
            return Err(wait.into());
        }
        // Counted here too, so that who has had his share from Redis gets no second one while Redis is away.
        let own = users.check_key(&self.hash.hash_one((app, user)));
        match own {
            Err(until) if shared.is_none() => Err(until.wait_time_from(DefaultClock::default().now()).into()),
            _ => Ok(()),
        }
    }

    /// Asks the store of all replicas whether it would count; `None` when there is none.
    pub async fn probe(&self) -> Option<Result<String, client::Error>> {
        let answer = self.shared.as_ref()?.ask("probe").await;
        Some(answer.map(|_| "answers, and lets us count".to_owned()))
    }

    /// Lets a credential from `address` be looked at. It has failed when the attempt is dropped.
    ///
    /// # Errors
    /// When too many have failed.
    pub fn admit_address(&self, address: IpAddr) -> Result<Attempt<'_>, TooOften> {
        let Some(addresses) = &self.addresses else { return Ok(Attempt(None)) };
        let address = network(address);
        addresses.admit(address, Instant::now()).map(|()| Attempt(Some((addresses, address))))
    }

    /// Forgets whom the limits would treat like a stranger; called every second.
    pub fn forget_strangers(&self) {
        if let Some(users) = &self.users {
            users.retain_recent();
            // Not while it is in use, since it would soon grow again.
            if users.is_empty() {
                users.shrink_to_fit();
            }
        }
        if let Some(addresses) = &self.addresses {
            addresses.forget_strangers(Instant::now());
        }
    }
}

/// A credential that is being checked. It counts against its address when this is dropped, as when the caller hangs up
/// during the check.
#[must_use]
pub struct Attempt<'a>(Option<(&'a Addresses, IpAddr)>);

impl Attempt<'_> {
    /// The credential has not failed.
    pub fn forgive(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some((addresses, address)) = self.0 {
            addresses.count_failure(address, Instant::now());
        }
    }
}

impl From<Duration> for TooOften {
    fn from(wait: Duration) -> Self {
        let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
        Self { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }
}

/// Failed credentials by address: GCRA (the generic cell rate algorithm), charged behind the check. Several are checked at
/// once, so more may fail than are allowed; they are owed, and in the long run the rate holds.
struct Addresses {
    rate: Rate,
    /// When each address is a stranger again; those that failed last stand first.
    due: Mutex<LruCache<IpAddr, Instant>>,
    /// Whether one has failed lately: until then requests take no lock.
    has_failures: AtomicBool,
}

impl Addresses {
    /// The most addresses that are counted, in some 13 MiB; beyond that the one that failed longest ago is a stranger.
    const CAPACITY: NonZeroUsize = NonZeroUsize::new(131_072).expect("not zero");

    fn new(rate: Rate) -> Self {
        Self { rate, due: Mutex::new(LruCache::sparse(Self::CAPACITY)), has_failures: AtomicBool::default() }
    }

    fn admit(&self, address: IpAddr, now: Instant) -> Result<(), TooOften> {
        if !self.has_failures.load(Ordering::Relaxed) {
            return Ok(());
        }
        let due = self.due.lock().ok().and_then(|due| due.peek(&address).copied());
        // How far ahead of the clock an address may be.
        let tolerance = self.rate.interval * (self.rate.count - 1);
        match due.map(|due| due.saturating_duration_since(now + tolerance)) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait.into()),
        }
    }

    fn count_failure(&self, address: IpAddr, now: Instant) {
        if let Ok(mut due) = self.due.lock() {
            let due = due.get_or_insert_mut(address, || now);
            *due = now.max(*due) + self.rate.interval;
            self.has_failures.store(true, Ordering::Relaxed);
        }
    }

    fn forget_strangers(&self, now: Instant) {
        if let Ok(mut due) = self.due.lock() {
            while due.peek_lru().is_some_and(|(_, due)| *due <= now) {
                due.pop_lru();
            }
            self.has_failures.store(!due.is_empty(), Ordering::Relaxed);
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

/// The limit of all replicas, in Redis: GCRA in one script, by Redis' own clock.
struct SharedLimit {
    server: RedisServer,
    script: Arc<Script>,
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
    /// Counts a ticket in Redis and returns how long the user must wait for it; `None` while Redis is away.
    async fn count(&self, app: SdkAppId, user: &UserId) -> Option<Duration> {
        let wait = self.ask(&format!("{app}:{user}")).await;
        match (&wait, self.is_away.swap(wait.is_err(), Ordering::Relaxed)) {
            (Err(fault), false) => warn!(cause = %fault, "the shared limit is away, each replica limits for itself"),
            (Ok(_), true) => info!("the shared limit is back"),
            (Ok(_), false) | (Err(_), true) => {}
        }
        wait.ok().map(Duration::from_micros)
    }

    /// Runs the script for what `name` tells apart.
    async fn ask(&self, name: &str) -> Result<u64, client::Error> {
        let script = Arc::clone(&self.script);
        // All keys begin alike, for an ACL of their own.
        let key = format!("usersig:limit:{name}");
        let (interval, burst) = (self.interval.as_micros(), self.burst.get());
        let count = async move |mut connection: ConnectionManager| {
            script.key(key).arg(interval).arg(burst).invoke_async(&mut connection).await
        };
        // Done once more it might count twice.
        self.server.run_once(count).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn rates_are_a_number_and_a_unit() {
        assert_eq!(rate("30/m").interval, Duration::from_secs(2));
        assert_eq!(rate("1000000/s").interval, Duration::from_micros(1));
        for text in ["", "30", "0/m", "-1/m", "30/d", "1.5/s", "1000001/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(parse("2001:db8:1:2:3::4")), network(parse("2001:db8:1:2:ffff::1")));
        assert_ne!(network(parse("2001:db8:1:2::1")), network(parse("2001:db8:1:3::1")));
        assert_eq!(network(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }

    const fn host(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn an_address_is_shut_out_by_its_last_failure_and_no_other_is() {
        let limiter = Limiter::new(None, NonZeroU32::MIN, Some(rate("3/h")), None);
        for _ in 0..3 {
            limiter.admit_address(host(1)).expect("a stranger").forgive();
            drop(limiter.admit_address(host(1)).expect("not yet too many"));
        }
        let TooOften { retry_after } = limiter.admit_address(host(1)).err().expect("shut out");
        assert!((1190..=1200).contains(&retry_after), "{retry_after}");
        limiter.admit_address(host(2)).expect("another").forgive();
    }

    #[test]
    fn who_goes_on_failing_fails_at_the_rate() {
        let addresses = Addresses::new(rate("3/h"));
        let start = Instant::now();
        let failures_by = |hours: u64| {
            let tries = (0..hours * 3600).step_by(10).map(|second| start + Duration::from_secs(second));
            let admitted = tries.filter(|now| addresses.admit(host(1), *now).is_ok());
            admitted.inspect(|now| addresses.count_failure(host(1), *now)).count()
        };
        assert_eq!(failures_by(10), 3 + 10 * 3 - 1, "three at once, then one as often as one is due");
    }

    #[test]
    fn what_fails_at_once_is_made_up_for() {
        let addresses = Addresses::new(rate("3/h"));
        let start = Instant::now();
        for _ in 0..9 {
            addresses.admit(host(1), start).expect("none has failed yet");
        }
        for _ in 0..9 {
            addresses.count_failure(host(1), start);
        }
        let TooOften { retry_after } = addresses.admit(host(1), start).expect_err("shut out");
        assert_eq!(retry_after, 7 * 1200);
    }

    #[test]
    fn addresses_are_forgotten_in_time_and_no_more_than_so_many_are_kept() {
        let addresses = Addresses::new(rate("1/s"));
        let start = Instant::now();
        let capacity = u32::try_from(Addresses::CAPACITY.get()).expect("fewer than there are addresses");
        for number in 0..capacity + 2 {
            addresses.count_failure(host(number), start);
        }
        let kept = || addresses.due.lock().expect("no panic").len();
        assert_eq!(kept(), Addresses::CAPACITY.get());
        addresses.admit(host(1), start).expect("those that failed first are forgotten");
        addresses.admit(host(2), start).expect_err("is kept");
        addresses.forget_strangers(start + Duration::from_millis(999));
        assert_eq!((kept(), addresses.has_failures.load(Ordering::Relaxed)), (Addresses::CAPACITY.get(), true));
        addresses.forget_strangers(start + Duration::from_secs(1));
        assert_eq!((kept(), addresses.has_failures.load(Ordering::Relaxed)), (0, false));
    }
}
