//! Key sets: the keys of an issuer, from a JWKS file, a JWKS URL or OIDC discovery, fetched beside the requests.
//!
//! One task per set fetches; requests read the set that is there. Only a token with an unknown key waits for a fetch,
//! and asks for one at most once in [`COOLDOWN`], whatever came of the last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::CACHE_CONTROL;
use jsonwebtoken::Algorithm;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tracing::{info, warn};
use url::Url;

use super::jwt::UnverifiedToken;
use super::{CheckError, Denial, Document, Fault, VerificationKey};
use crate::client::{self, HttpClient};

/// The least time between two fetches that tokens ask for, and between two tries while the issuer is down.
const COOLDOWN: Duration = Duration::from_secs(30);

/// How long a set is used before it is fetched again: what `Cache-Control` says, within these bounds.
const LIFETIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);

/// The same where `Cache-Control` says nothing.
const USUAL_LIFETIME: Duration = Duration::from_secs(3600);

/// The longest key set or discovery document that is read, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// The most keys of a set that are used.
const MAX_KEYS: usize = 64;

/// Where a key set comes from.
pub enum KeySource {
    /// A JWKS file.
    File(PathBuf),
    /// A JWKS URL.
    Url(Url),
    /// An issuer whose discovery document, at this URL, names the JWKS URL (`OpenID` Connect Discovery 1.0).
    Issuer(String, Url),
}

/// The keys of one issuer, as they were fetched last.
pub struct KeySet {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    backend: HttpClient,
    /// Replaced as a whole, and read without a lock.
    keys: ArcSwap<Vec<VerificationKey>>,
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
    /// When the last that succeeded ended.
    succeeded_at: Option<Instant>,
    /// What was wrong with the last, if it failed.
    failure: Option<String>,
}

impl KeySet {
    /// A set that is empty until [`Self::run`] has fetched it. A file is read here too, so that nothing starts with one that
    /// cannot be used.
    ///
    /// # Errors
    /// When no key in the file can be used.
    pub fn new(source: KeySource, algorithms: Vec<Algorithm>, backend: HttpClient) -> Result<Self, Fault> {
        let places = Semaphore::new(backend.max_in_flight());
        let (keys, fetches) = (ArcSwap::default(), watch::Sender::default());
        let set = Self { source, algorithms, backend, keys, fetches, places };
        if let KeySource::File(path) = &set.source {
            set.usable(&read(path)?)?;
        }
        Ok(set)
    }

    /// How long ago the keys in use were fetched; `None` while there are none.
    pub fn age(&self) -> Option<Duration> {
        self.fetches.borrow().succeeded_at.map(|at| at.elapsed())
    }

    /// What was wrong with the last fetch, if it failed.
    pub fn failure(&self) -> Option<String> {
        self.fetches.borrow().failure.clone()
    }

    /// Fetches the set once, for diagnosis.
    ///
    /// # Errors
    /// When there is none, or no key in it can be used.
    pub async fn probe(&self) -> Result<String, Fault> {
        let (keys, lifetime) = self.fetch().await?;
        Ok(format!("{} usable key(s), to be used for {lifetime:?}", keys.len()))
    }

    /// Keeps the set fresh, for ever: fetches it when a token asks for that, and before it ages out.
    pub async fn run(&self) {
        let mut fetches = self.fetches.subscribe();
        loop {
            // Where no token has: the last fetch began longer than a cool-down ago.
            self.fetches.send_if_modified(Fetches::ask);
            let (failure, wait) = match self.fetch().await {
                Ok((keys, lifetime)) => {
                    info!(source = %self.source, keys = keys.len(), "key set fetched");
                    self.keys.store(Arc::new(keys));
                    // Before it ages out.
                    (None, lifetime.mul_f32(0.9))
                }
                Err(fault) => {
                    let failure = fault.to_string();
                    warn!(source = %self.source, cause = failure, "key set not fetched");
                    (Some(failure), COOLDOWN)
                }
            };
            self.fetches.send_modify(|fetches| fetches.end(failure));
            // Until it is due, or a token asks for it: perhaps one has already, since the last ended.
            let _ = timeout(wait, fetches.wait_for(|fetches| fetches.pending)).await;
        }
    }

    /// Verifies a token with the key that it names, waiting for a fetch if that key is unknown.
    pub(super) async fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), CheckError> {
        match self.verify_now(token) {
            Err(Denial::UnknownKey) => {}
            verdict => return Ok(verdict?),
        }
        self.fetches.send_if_modified(Fetches::ask);
        if self.fetches.borrow().pending {
            let _place = self.places.try_acquire().map_err(|_| Fault::Busy)?;
            let deadline = self.backend.timeout();
            let mut fetches = self.fetches.subscribe();
            let end = timeout(deadline, fetches.wait_for(|fetches| !fetches.pending)).await;
            end.map(drop).map_err(|_| client::Error::Timeout(deadline))?;
        }
        // Once more in any case, since a fetch may have ended after the first look.
        match (self.verify_now(token), self.failure()) {
            (Err(Denial::UnknownKey), Some(failure)) => Err(Fault::NoKeySet(failure).into()),
            (verdict, _) => Ok(verdict?),
        }
    }

    /// Verifies a token with the key that it names, or with any that fits where it names none.
    fn verify_now(&self, token: &UnverifiedToken<'_>) -> Result<(), Denial> {
        let kid = token.kid();
        let mut verdict = Err(Denial::UnknownKey);
        for key in self.keys.load().iter().filter(|key| kid.is_none() || key.id.as_deref() == kid) {
            match token.verify(key) {
                Err(Denial::Algorithm) => {}
                Ok(()) => return Ok(()),
                refused => verdict = refused,
            }
        }
        verdict
    }

    async fn fetch(&self) -> Result<(Vec<VerificationKey>, Duration), Fault> {
        let (json, lifetime) = match &self.source {
            KeySource::File(path) => (read(path)?, *LIFETIME.start()),
            KeySource::Url(url) => self.get(url.clone()).await?,
            KeySource::Issuer(issuer, discovery) => self.get(self.discover(issuer, discovery).await?).await?,
        };
        Ok((self.usable(&json)?, lifetime))
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
        let (headers, body) = self.backend.fetch(url.as_str(), MAX_BODY).await?;
        Ok((body, lifetime(headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()))))
    }

    /// The keys of a set that are for verifying with the rule's algorithms.
    fn usable(&self, json: &[u8]) -> Result<Vec<VerificationKey>, Fault> {
        let set = Document::parse(json).map_err(|_| Fault::NoKeySet("it is not a JSON object".to_owned()))?;
        let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let usable =
            |key: &Value| VerificationKey::from_jwk(serde_json::from_value(key.clone()).ok()?, &self.algorithms);
        let usable: Vec<_> = keys.iter().filter_map(usable).take(MAX_KEYS).collect();
        if usable.is_empty() {
            return Err(Fault::NoKeySet(format!("none of its {} keys can be used with the rule's algs", keys.len())));
        }
        Ok(usable)
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
        if failure.is_none() {
            self.succeeded_at = Some(Instant::now());
        }
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
    use super::*;

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
