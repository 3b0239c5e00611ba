//! Key sets: the keys of an issuer, from a JWKS file, a JWKS URL or OIDC discovery, fetched beside the requests.
//!
//! A set that was obtained is authoritative, even if no key in it can be used: it replaces the one before as a whole, so
//! that a withdrawn key verifies nothing. The one before serves on only while no set can be obtained, until `max_stale`.
//!
//! One task per set fetches, and requests read the set that is there. A token whose key is not in it asks the task for a
//! fetch by [`Fetches::ask`], at most once in [`COOLDOWN`] whatever came of the last, and waits until the fetch has ended.
//! The task waits for that or until the set is due. `pending` says both: set, that a fetch is asked for or under way;
//! cleared, that it has ended.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt;
use http::header::CACHE_CONTROL;
use jsonwebtoken::Algorithm;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{error, info, warn};
use url::Url;

use super::UnverifiedToken;
use super::jwks::Jwks;
use crate::client::{self, HttpClient, HttpSettings};
use crate::session::document::Document;
use crate::session::error::{CheckError, Denial, Fault};

/// The least time between two fetches that tokens ask for, and between two tries while the issuer is down.
const COOLDOWN: Duration = Duration::from_secs(30);

/// How long a set is used before it is fetched again: what `Cache-Control` says, within these bounds.
const LIFETIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);

/// The same where `Cache-Control` says nothing.
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);

/// The longest key set or discovery document that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Where a key set comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS file.
    File(PathBuf),
    /// A JWKS URL.
    Url(Url),
    /// An issuer whose discovery document, at this URL, names the JWKS URL (`OpenID` Connect Discovery 1.0).
    Issuer(String, Url),
}

/// Where the keys of one issuer come from, and what they may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetSettings {
    /// Where the set comes from.
    pub source: KeySource,
    /// What its keys may be used with, of one family.
    pub algorithms: Vec<Algorithm>,
    /// How long a set serves while no other can be obtained.
    pub max_stale: Duration,
    /// How the issuer is reached.
    pub backend: HttpSettings,
}

impl KeySetSettings {
    /// Reads a set that is in a file; any other is first fetched while the service runs.
    ///
    /// # Errors
    /// When no key in the file can be used.
    pub fn read_file(&self) -> Result<(), Fault> {
        if let KeySource::File(path) = &self.source {
            Jwks::parse(&read(path)?, &self.algorithms)?.usable_keys()?;
        }
        Ok(())
    }
}

/// The keys of one issuer, as they were obtained last.
pub struct KeySet {
    settings: KeySetSettings,
    client: HttpClient,
    /// Replaced as a whole, and read without a lock.
    obtained: ArcSwapOption<Jwks>,
    fetches: watch::Sender<Fetches>,
    /// For those who wait for a fetch.
    places: Semaphore,
}

/// What is known of the fetches. Tokens may ask for one, and only [`KeySet::run`] makes them.
#[derive(Default)]
struct Fetches {
    /// One is asked for or under way.
    pending: bool,
    /// When the last was asked for.
    asked_at: Option<Instant>,
    /// Why the last yielded no key, if it did not.
    failure: Option<String>,
}

impl KeySet {
    /// A set that is empty until [`Self::run`] has fetched it.
    ///
    /// # Errors
    /// As for [`HttpClient::new`].
    pub fn new(settings: KeySetSettings) -> Result<Self, String> {
        let client = HttpClient::new(&settings.backend)?;
        let places = Semaphore::new(settings.backend.max_in_flight);
        let (obtained, fetches) = (ArcSwapOption::empty(), watch::Sender::default());
        Ok(Self { settings, client, obtained, fetches, places })
    }

    /// How long ago the set in use was obtained; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.obtained.load().as_ref().map(|set| set.obtained_at.elapsed())
    }

    /// Why the last fetch yielded no key that can be used, if it did not.
    pub fn failure(&self) -> Option<String> {
        self.fetches.borrow().failure.clone()
    }

    /// Fetches the set once, for diagnosis.
    ///
    /// # Errors
    /// When no set can be obtained, or no key in it can be used.
    pub async fn probe(&self) -> Result<String, Fault> {
        let (set, lifetime) = self.fetch().await?;
        let usable = set.usable_keys()?.len();
        let not_used = if set.not_used.is_empty() { String::new() } else { format!("; not used: {}", set.not_used) };
        Ok(format!("{usable} usable key(s), to be used for {:?}{not_used}", lifetime.min(self.settings.max_stale)))
    }

    /// Keeps the set fresh, for ever: fetches it when a token asks for that, and before it ages out.
    pub async fn run(&self) {
        let mut fetches = self.fetches.subscribe();
        loop {
            // Where no token has: the last fetch began longer than a cool-down ago.
            self.fetches.send_if_modified(Fetches::ask);
            let wait = self.refresh().await;
            // Until it is due, or a token asks for it: perhaps one has already, since the last ended.
            let _ = timeout(wait, fetches.wait_for(|fetches| fetches.pending)).await;
        }
    }

    /// Fetches the set and puts it in the place of the last; returns how long it is until the next fetch.
    async fn refresh(&self) -> Duration {
        let (failure, wait) = match catch_panic(self.fetch()).await {
            Ok((set, lifetime)) => {
                info!(source = %self.settings.source, keys = set.keys.len(), "key set fetched");
                if !set.not_used.is_empty() {
                    warn!(source = %self.settings.source, not_used = set.not_used, "key set has keys that are not used");
                }
                let failure = set.usable_keys().err().map(cause);
                self.obtained.store(Some(Arc::new(set)));
                (failure, refresh_after(lifetime, self.settings.max_stale))
            }
            Err(fault) => {
                let failure = cause(fault);
                warn!(source = %self.settings.source, cause = failure, "key set not fetched");
                (Some(failure), COOLDOWN)
            }
        };
        self.fetches.send_modify(|fetches| fetches.end(failure));
        wait
    }

    /// Verifies a token with the key that it names, waiting for a fetch if that key is unknown.
    pub(in crate::session) async fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), CheckError> {
        match self.verify_now(token) {
            Err(CheckError::Denied(Denial::UnknownKey) | CheckError::Fault(_)) => {}
            verdict => return verdict,
        }
        self.fetches.send_if_modified(Fetches::ask);
        if self.fetches.borrow().pending {
            let _place = self.places.try_acquire().map_err(|_| Fault::Busy)?;
            let deadline = self.settings.backend.timeout;
            let mut fetches = self.fetches.subscribe();
            let end = timeout(deadline, fetches.wait_for(|fetches| !fetches.pending)).await;
            end.map(drop).map_err(|_| client::Error::Timeout(deadline))?;
        }
        // Once more in any case, since a fetch may have ended after the first look.
        match (self.verify_now(token), self.failure()) {
            (Err(CheckError::Denied(Denial::UnknownKey) | CheckError::Fault(_)), Some(failure)) => {
                Err(Fault::NoKeySet(failure).into())
            }
            (verdict, _) => verdict,
        }
    }

    /// Verifies a token with the set that is there.
    fn verify_now(&self, token: &UnverifiedToken<'_>) -> Result<(), CheckError> {
        match &*self.obtained.load() {
            Some(set) => set.verify(token, Instant::now(), self.settings.max_stale),
            None => Err(Fault::NoKeySet("it has not been fetched yet".to_owned()).into()),
        }
    }

    async fn fetch(&self) -> Result<(Jwks, Duration), Fault> {
        let (json, lifetime) = match &self.settings.source {
            KeySource::File(path) => (read(path)?, *LIFETIME.start()),
            KeySource::Url(url) => self.get(url.clone()).await?,
            KeySource::Issuer(issuer, discovery) => self.get(self.discover(issuer, discovery).await?).await?,
        };
        Ok((Jwks::parse(&json, &self.settings.algorithms)?, lifetime))
    }

    /// The JWKS URL that the issuer's discovery document names.
    async fn discover(&self, issuer: &str, discovery: &Url) -> Result<Url, Fault> {
        let fault = |what: &str| Fault::NoKeySet(format!("discovery: {what}"));
        let (json, _) = self.get(discovery.clone()).await?;
        let document = Document::parse(&json).map_err(|_| fault("not a JSON object"))?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(fault("its issuer is not exactly the rule's"));
        }
        let jwks = document.get("jwks_uri").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        jwks.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && discovery.scheme() == "http"))
            .ok_or_else(|| fault("its jwks_uri is not a URL as secure as the issuer's"))
    }

    async fn get(&self, url: Url) -> Result<(Vec<u8>, Duration), Fault> {
        let (headers, body) = self.client.fetch(url.as_str(), MAX_BODY).await?;
        Ok((body, lifetime(headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()))))
    }
}

impl Fetches {
    /// Asks for a fetch where the last was asked for long enough ago, whatever came of it; whether it is now.
    fn ask(&mut self) -> bool {
        let is_due = !self.pending && self.asked_at.is_none_or(|start| start.elapsed() >= COOLDOWN);
        if is_due {
            self.pending = true;
            self.asked_at = Some(Instant::now());
        }
        is_due
    }

    fn end(&mut self, failure: Option<String>) {
        self.pending = false;
        self.failure = failure;
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
            Self::Issuer(issuer, _) => f.write_str(issuer),
        }
    }
}

/// What was wrong, without the words that [`Fault::NoKeySet`] puts before it.
fn cause(fault: Fault) -> String {
    match fault {
        Fault::NoKeySet(cause) => cause,
        other => other.to_string(),
    }
}

/// What a fetch yields. One that panics has failed, and the task that made it goes on.
async fn catch_panic<T>(fetch: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    AssertUnwindSafe(fetch).catch_unwind().await.unwrap_or_else(|_| {
        error!("the fetch of a key set has panicked");
        Err(Fault::NoKeySet("the fetch has panicked".to_owned()))
    })
}

/// How long it is until a set is fetched again: a tenth before it ages out.
fn refresh_after(lifetime: Duration, max_stale: Duration) -> Duration {
    lifetime.min(max_stale).mul_f32(0.9)
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| Fault::NoKeySet(format!("{}: {error}", path.display())))
}

/// `max-age` of `Cache-Control`, within bounds.
fn lifetime(cache_control: Option<&str>) -> Duration {
    let mut directives = cache_control.unwrap_or_default().split(',').map(str::trim);
    let max_age = directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok());
    max_age.map_or(USUAL_LIFETIME, Duration::from_secs).clamp(*LIFETIME.start(), *LIFETIME.end())
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_set_is_fetched_again_before_it_ages_out_or_gets_stale() {
        let seconds = Duration::from_secs;
        for (lifetime, max_stale, earliest, latest) in [(3600, 86_400, 3230, 3250), (86_400, 60, 53, 55)] {
            let wait = refresh_after(seconds(lifetime), seconds(max_stale));
            assert!((seconds(earliest)..seconds(latest)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn a_fetch_that_panics_is_one_that_failed() {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let outcome = |fetch| runtime.block_on(catch_panic(async move { if fetch { Ok(1) } else { panic!("a bug") } }));
        assert_eq!(outcome(false), Err(Fault::NoKeySet("the fetch has panicked".to_owned())));
        assert_eq!(outcome(true), Ok(1));
    }

    #[test]
    fn tokens_get_one_fetch_a_cooldown_whatever_came_of_the_last() {
        let mut fetches = Fetches::default();
        assert!(fetches.ask() && fetches.pending);
        assert!(!fetches.ask(), "one is pending");
        fetches.end(Some("the issuer is down".to_owned()));
        assert!(!fetches.ask() && !fetches.pending, "the last began just now");
        fetches.asked_at = Instant::now().checked_sub(COOLDOWN);
        assert!(fetches.ask() && fetches.pending);
        fetches.asked_at = Instant::now().checked_sub(COOLDOWN);
        assert!(!fetches.ask(), "one is pending, however long");
    }

    #[test]
    fn cache_control_is_believed_within_bounds() {
        assert_eq!(lifetime(None), Duration::from_secs(3600));
        assert_eq!(lifetime(Some("public, max-age=600")), Duration::from_secs(600));
        assert_eq!(lifetime(Some("max-age=0, no-store")), Duration::from_secs(60));
        assert_eq!(lifetime(Some("max-age=99999999")), Duration::from_secs(86_400));
        assert_eq!(lifetime(Some("max-age=soon")), Duration::from_secs(3600));
    }
}
