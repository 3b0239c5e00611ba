//! Who has asked too often: a limit per user after the check, and per address for failed credentials before it.

mod gcra;
mod rate;
mod shared;

pub use rate::Rate;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use moka::sync::Cache;

use crate::client::{self, RedisServer, RedisSettings};
use crate::ticket::{SdkAppId, UserId};
use gcra::Gcra;
use shared::SharedLimit;

/// The most addresses whose failures are counted, in some 13 MiB.
const MAX_ADDRESSES: NonZeroUsize = NonZeroUsize::new(131_072).expect("not zero");

/// The most questions whose users are remembered to be over their limit, in some 10 MiB.
const MAX_USED_UP: u64 = 65_536;

/// The longest that a user must wait: one ticket an hour is the lowest rate.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How many times the rate of one address a whole IPv6 /48 has: that is what one customer of a provider gets, and holds
/// 65,536 networks.
const WIDE: u32 = 16;

/// How often is too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// How often one user may have tickets of one app; `None`: without limit.
    pub per_user: Option<Rate>,
    /// How many of them at once.
    pub burst: NonZeroU32,
    /// How often the credentials from one address may fail; `None`: without limit.
    pub per_address: Option<Rate>,
    /// Where all replicas keep the limit per user; `None`: each has its own.
    pub store: Option<RedisSettings>,
}

/// Counts requests against the limits; by default there are none.
#[derive(Default)]
pub struct Limiter {
    users: Option<Gcra<u64>>,
    shared: Option<SharedLimit>,
    addresses: Option<Addresses>,
    /// Until when the limit of whoever asks a question was seen to be used up, by app.
    used_up: Option<Cache<(SdkAppId, [u8; 32]), Instant>>,
    /// Hashes users under keys of this process, so that nobody can make two collide.
    hash: RandomState,
}

/// Too often: another try makes sense after so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// Whole seconds, at least 1.
    pub retry_after: u32,
}

impl Limiter {
    /// A limiter that has counted nobody yet.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn new(settings: &LimitSettings) -> Result<Self, String> {
        let LimitSettings { per_user, burst, per_address, ref store } = *settings;
        let store = store.as_ref().map(RedisServer::new).transpose()?;
        Ok(Self {
            users: per_user.map(|rate| Gcra::new(rate.interval, burst)),
            shared: store.zip(per_user).map(|(server, rate)| SharedLimit::new(server, rate.interval, burst)),
            addresses: per_address.map(Addresses::new),
            used_up: per_user.map(|_| Cache::builder().max_capacity(MAX_USED_UP).time_to_live(LONGEST_WAIT).build()),
            hash: RandomState::new(),
        })
    }

    /// Counts a ticket for `user`.
    ///
    /// # Errors
    /// When the user has had too many.
    pub async fn count_user(&self, app: SdkAppId, user: &UserId) -> Result<(), RateLimited> {
        let Some(users) = &self.users else { return Ok(()) };
        let shared = match &self.shared {
            Some(shared) => shared.check(app, user).await,
            None => None,
        };
        if let Some(wait) = shared.filter(|wait| !wait.is_zero()) {
            return Err(wait.into());
        }
        let own = users.check(self.hash.hash_one((app, user)), Instant::now());
        match (own, shared) {
            (Err(wait), None) => Err(wait.into()),
            (Ok(()), _) | (Err(_), Some(_)) => Ok(()),
        }
    }

    /// Lets a question be asked of a back end, unless its user was over the limit of `app` a short while ago: what one user
    /// may not have must not cost the back end anything.
    ///
    /// # Errors
    /// When the user must still wait.
    pub fn admit_question(&self, app: SdkAppId, question: [u8; 32]) -> Result<(), RateLimited> {
        let until = self.used_up.as_ref().and_then(|used_up| used_up.get(&(app, question)));
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(wait.into()),
        }
    }

    /// Remembers that the user behind a question is over the limit of `app`.
    pub fn remember(&self, app: SdkAppId, question: [u8; 32], limited: RateLimited) {
        if let Some(used_up) = &self.used_up {
            let wait = Duration::from_secs(limited.retry_after.into()).min(LONGEST_WAIT);
            used_up.insert((app, question), Instant::now() + wait);
        }
    }

    /// What an address is known by where it has a share of something; `None` where addresses are not limited.
    pub fn share_of(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses.as_ref().map(|_| Network::of(address).address)
    }

    /// Asks the store of all replicas whether it would count; `None` without a store.
    pub async fn probe(&self) -> Option<Result<String, client::Error>> {
        Some(self.shared.as_ref()?.probe().await)
    }

    /// Lets a credential from `address` be checked. It has failed when the attempt is dropped.
    ///
    /// # Errors
    /// When too many have failed.
    pub fn admit_address(&self, address: IpAddr) -> Result<Attempt<'_>, RateLimited> {
        let Some(addresses) = &self.addresses else { return Ok(Attempt(None)) };
        let network = Network::of(address);
        addresses.admit(network, Instant::now())?;
        Ok(Attempt(Some((addresses, network))))
    }

    /// Evicts the entries that no longer limit anybody; called every second.
    pub fn evict_expired(&self) {
        let now = Instant::now();
        if let Some(users) = &self.users {
            users.evict_expired(now);
        }
        if let Some(addresses) = &self.addresses {
            addresses.evict_expired(now);
        }
    }
}

/// A credential that is being checked. It counts against its address when this is dropped, as when the caller closes the
/// connection during the check. Several are checked at once, so more may fail than the rate allows.
#[must_use]
pub struct Attempt<'a>(Option<(&'a Addresses, Network)>);

impl Attempt<'_> {
    /// The credential has not failed.
    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some((addresses, network)) = self.0 {
            addresses.charge(network, Instant::now());
        }
    }
}

impl From<Duration> for RateLimited {
    fn from(wait: Duration) -> Self {
        let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
        Self { retry_after: u32::try_from(seconds).unwrap_or(u32::MAX) }
    }
}

/// Failed credentials by address.
struct Addresses {
    each: Gcra<IpAddr>,
    /// The same for each IPv6 /48.
    wide: Gcra<Ipv6Addr>,
}

impl Addresses {
    fn new(rate: Rate) -> Self {
        let burst = NonZeroU32::new(rate.count).unwrap_or(NonZeroU32::MIN);
        let wide_burst = burst.saturating_mul(NonZeroU32::new(WIDE).unwrap_or(NonZeroU32::MIN));
        Self {
            each: Gcra::bounded(rate.interval, burst, MAX_ADDRESSES),
            wide: Gcra::bounded(rate.interval / WIDE, wide_burst, MAX_ADDRESSES),
        }
    }

    fn admit(&self, network: Network, now: Instant) -> Result<(), Duration> {
        if let Some(wide) = network.wide {
            self.wide.admit(wide, now)?;
        }
        self.each.admit(network.address, now)
    }

    fn charge(&self, network: Network, now: Instant) {
        self.each.charge(network.address, now);
        if let Some(wide) = network.wide {
            self.wide.charge(wide, now);
        }
    }

    fn evict_expired(&self, now: Instant) {
        self.each.evict_expired(now);
        self.wide.evict_expired(now);
    }
}

/// What counts as one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    /// An IPv4 address, or an IPv6 /64, since a host has all of that to itself.
    address: IpAddr,
    /// The /48 of an IPv6 address.
    wide: Option<Ipv6Addr>,
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            v4 @ IpAddr::V4(_) => Self { address: v4, wide: None },
            IpAddr::V6(v6) => match v6.segments() {
                // NAT64 (RFC 6052): the last 32 bits are the IPv4 address of one host.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    let v4 = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
                    Self { address: v4.into(), wide: None }
                }
                [a, b, c, d, ..] => Self {
                    address: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(),
                    wide: Some(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_user: Option<&str>, burst: u32, per_address: Option<&str>) -> Limiter {
        let rate = |text: Option<&str>| text.map(|text| text.parse().expect("a rate"));
        let burst = NonZeroU32::new(burst).expect("not zero");
        let (per_user, per_address) = (rate(per_user), rate(per_address));
        Limiter::new(&LimitSettings { per_user, burst, per_address, store: None }).expect("a limiter")
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect("an address"))
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"));
        let (one, other) = (network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(one.address, other.address);
        assert_eq!(one.wide, other.wide);
        assert_ne!(one.wide, network("2001:db8:2:2::1").wide);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_that_address() {
        for text in ["::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "64:ff9b::c000:201"] {
            assert_eq!(network(text), network("192.0.2.1"), "{text}");
        }
        assert_ne!(network("64:ff9b:1::192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn a_whole_ipv6_48_is_limited_at_sixteen_times_the_rate() {
        let limiter = limiter(None, 1, Some("3/h"));
        let host = |network: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, network, 0, 0, 0, 1));
        let failures = (0..100).take_while(|network| limiter.admit_address(host(*network)).map(drop).is_ok()).count();
        assert_eq!(failures, 3 * 16);
        limiter.admit_address("2001:db8:2::1".parse().expect("an address")).expect("another /48").disarm();
    }

    #[test]
    fn an_address_is_limited_by_its_failures_and_no_other_is() {
        let limiter = limiter(None, 1, Some("3/h"));
        let host = |number| IpAddr::V4(Ipv4Addr::from_bits(number));
        for _ in 0..3 {
            limiter.admit_address(host(1)).expect("no failure yet").disarm();
            drop(limiter.admit_address(host(1)).expect("not too many yet"));
        }
        let RateLimited { retry_after } = limiter.admit_address(host(1)).err().expect("too many");
        assert!((1190..=1200).contains(&retry_after), "{retry_after}");
        limiter.admit_address(host(2)).expect("another").disarm();
    }

    #[tokio::test]
    async fn a_user_is_limited_for_each_app_alone() {
        let limiter = limiter(Some("1/h"), 2, None);
        let app = |number: u64| SdkAppId::try_from(number).expect("an SDKAppID");
        let (alice, bob): (UserId, UserId) = ("alice".parse().expect("a user"), "bob".parse().expect("a user"));
        for _ in 0..2 {
            assert_eq!(limiter.count_user(app(1), &alice).await, Ok(()));
        }
        let RateLimited { retry_after } = limiter.count_user(app(1), &alice).await.expect_err("too many");
        assert!((3590..=3600).contains(&retry_after), "{retry_after}");
        assert_eq!(limiter.count_user(app(2), &alice).await, Ok(()));
        assert_eq!(limiter.count_user(app(1), &bob).await, Ok(()));
    }
}
