//! Key sets: the keys of an issuer, from a JWKS file, a JWKS URL or OIDC discovery, fetched beside the requests.
//!
//! One task per set fetches; requests read the set that is there. Only a token with an unknown key waits for a fetch,
//! and asks for one at most once in [`COOLDOWN`], whatever came of the last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;
use reqwest::Url;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::backend::{Backend, Reply};
use super::jwt::UnverifiedToken;
use super::{BackendError, BackendSettings, CheckError, Denial, Document, Fault, VerificationKey};

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
#[derive(Clone)]
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
    backend: Backend,
    current: ArcSwap<Snapshot>,
    fetches: watch::Sender<Fetches>,
    /// Somebody waits for a fetch.
    wanted: Notify,
    /// For those who wait.
    places: Semaphore,
}

/// A key and its `kid`.
type NamedKey = (Option<String>, VerificationKey);

/// A whole key set; replaced, never changed.
#[derive(Default)]
struct Snapshot {
    keys: Arc<[NamedKey]>,
    fetched_at: Option<Instant>,
    /// What was wrong with the last fetch, if it failed.
    failure: Option<String>,
}

#[derive(Default)]
struct Fetches {
    last_start: Option<Instant>,
    in_progress: bool,
    /// How many have ended.
    ended: u64,
}

impl KeySet {
    /// A set that is empty until [`Self::run`] has fetched it.
    ///
    /// # Errors
    /// When no client can be made of the settings.
    pub fn new(source: KeySource, algorithms: Vec<Algorithm>, backend: BackendSettings) -> Result<Self, BackendError> {
        Ok(Self {
            source,
            algorithms,
            places: Semaphore::new(backend.max_in_flight),
            backend: Backend::new(backend)?,
            current: ArcSwap::default(),
            fetches: watch::Sender::default(),
            wanted: Notify::new(),
        })
    }

    /// How long ago the keys in use were fetched; `None` while there are none.
    pub fn age(&self) -> Option<Duration> {
        self.current.load().fetched_at.map(|at| at.elapsed())
    }

    /// What was wrong with the last fetch, if it failed.
    pub fn failure(&self) -> Option<String> {
        self.current.load().failure.clone()
    }

    /// Reads the set where it is a file, so that nothing starts with one that cannot be used.
    ///
    /// # Errors
    /// When no key in it can be used.
    pub fn read_file(&self) -> Result<(), Fault> {
        match &self.source {
            KeySource::File(path) => self.usable(&read(path)?).map(drop),
            KeySource::Url(_) | KeySource::Issuer(..) => Ok(()),
        }
    }

    /// Fetches the set once, for diagnosis.
    ///
    /// # Errors
    /// When there is none, or no key in it can be used.
    pub async fn probe(&self) -> Result<String, Fault> {
        let (keys, lifetime) = self.fetch().await?;
        Ok(format!("{} usable key(s), to be used for {lifetime:?}", keys.len()))
    }

    /// Keeps the set fresh, for ever.
    pub async fn run(&self) {
        loop {
            self.fetches.send_modify(|fetches| {
                fetches.last_start = Some(Instant::now());
                fetches.in_progress = true;
            });
            let wait = self.refresh().await;
            self.fetches.send_modify(|fetches| {
                fetches.in_progress = false;
                fetches.ended += 1;
            });
            let wanted = async {
                // A wish that is left over from before this fetch does not count.
                loop {
                    self.wanted.notified().await;
                    if self.may_start() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = sleep(wait) => {}
                () = wanted => {}
            }
        }
    }

    /// Verifies a token with the key that it names, waiting for a fetch if that key is unknown.
    pub(super) async fn verify(&self, token: &UnverifiedToken<'_>) -> Result<(), CheckError> {
        // Before the look at the set, so that no fetch ends unseen in between.
        let ended = self.fetches.borrow().ended;
        if let Some(verdict) = self.current.load().verify(token) {
            return Ok(verdict?);
        }
        let may_start = self.may_start();
        if may_start {
            self.wanted.notify_one();
        }
        if may_start || self.fetches.borrow().in_progress {
            let _place = self.places.try_acquire().map_err(|_| Fault::Busy)?;
            let deadline = self.backend.timeout();
            let mut fetches = self.fetches.subscribe();
            let end = timeout(deadline, fetches.wait_for(|fetches| fetches.ended > ended)).await;
            end.map_err(|_| Fault::Timeout(deadline))?.map_err(|_| unreachable_issuer())?;
        }
        let current = self.current.load();
        match (current.verify(token), &current.failure) {
            (Some(verdict), _) => Ok(verdict?),
            (None, Some(failure)) => Err(Fault::NoKeySet(failure.clone()).into()),
            (None, None) if current.fetched_at.is_none() => Err(unreachable_issuer().into()),
            (None, None) => Err(Denial::UnknownKey.into()),
        }
    }

    /// Whether a fetch that a token asks for may start.
    fn may_start(&self) -> bool {
        self.fetches.borrow().last_start.is_none_or(|start| start.elapsed() >= COOLDOWN)
    }

    /// Fetches the set and swaps it in, or keeps the old one; how long to wait until the next time.
    async fn refresh(&self) -> Duration {
        match self.fetch().await {
            Ok((keys, lifetime)) => {
                info!(source = %self.source, keys = keys.len(), "key set fetched");
                self.current.store(Arc::new(Snapshot {
                    keys: keys.into(),
                    fetched_at: Some(Instant::now()),
                    failure: None,
                }));
                // Before it ages out.
                lifetime.mul_f32(0.9)
            }
            Err(fault) => {
                let failure = fault.to_string();
                warn!(source = %self.source, cause = failure, "key set not fetched");
                self.current.rcu(|old| Snapshot {
                    keys: Arc::clone(&old.keys),
                    fetched_at: old.fetched_at,
                    failure: Some(failure.clone()),
                });
                COOLDOWN
            }
        }
    }

    async fn fetch(&self) -> Result<(Vec<NamedKey>, Duration), Fault> {
        let (json, lifetime) = match &self.source {
            KeySource::File(path) => (read(path)?, *LIFETIME.start()),
            KeySource::Url(url) => self.get(url.clone()).await?,
            KeySource::Issuer(issuer, discovery) => {
                let url = self.discover(issuer, discovery).await?;
                self.get(url).await?
            }
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
        let request = |client: &reqwest::Client| client.get(url).header("accept", "application/json");
        match self.backend.ask(request, MAX_BODY).await? {
            Reply { status: 200, cache_control, body } => Ok((body, lifetime(cache_control.as_deref()))),
            Reply { status, .. } => Err(Fault::Status(status)),
        }
    }

    /// The keys of a set that are for verifying with the rule's algorithms.
    fn usable(&self, json: &[u8]) -> Result<Vec<NamedKey>, Fault> {
        let set = Document::parse(json).map_err(|_| Fault::NoKeySet("it is not a JSON object".to_owned()))?;
        let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let usable = |key: &Value| {
            let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
            let key = VerificationKey::from_jwk(&jwk, &self.algorithms)?;
            Some((jwk.common.key_id, key))
        };
        let usable: Vec<_> = keys.iter().filter_map(usable).take(MAX_KEYS).collect();
        if usable.is_empty() {
            return Err(Fault::NoKeySet(format!("none of its {} keys can be used with the rule's algs", keys.len())));
        }
        Ok(usable)
    }
}

impl Snapshot {
    /// The verdict of the key that the token names, or of any that fits where it names none; `None` when none fits.
    fn verify(&self, token: &UnverifiedToken<'_>) -> Option<Result<(), Denial>> {
        let kid = token.kid();
        let named = |key: &&NamedKey| kid.is_none() || key.0.as_deref() == kid;
        let mut fitting = self.keys.iter().filter(named).filter(|(_, key)| token.fits(key)).peekable();
        fitting.peek()?;
        let verified = fitting.any(|(_, key)| token.is_signed_by(key));
        Some(if verified { Ok(()) } else { Err(Denial::Signature) })
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

fn unreachable_issuer() -> Fault {
    Fault::NoKeySet("it has not been fetched yet".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_is_believed_within_bounds() {
        assert_eq!(lifetime(None), Duration::from_secs(3600));
        assert_eq!(lifetime(Some("public, max-age=600")), Duration::from_secs(600));
        assert_eq!(lifetime(Some("max-age=0, no-store")), Duration::from_secs(60));
        assert_eq!(lifetime(Some("max-age=99999999")), Duration::from_secs(86_400));
        assert_eq!(lifetime(Some("max-age=soon")), Duration::from_secs(3600));
    }
}
