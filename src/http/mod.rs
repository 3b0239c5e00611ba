//! HTTP: the public and the ops listener. Extract, call, answer.

pub mod extract;
pub(crate) mod middleware;
pub(crate) mod problem;
pub mod routes;

pub use middleware::cors::Origin;
pub use problem::Code;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::SystemTime;

use prometheus::IntCounter;

use crate::issue::App;
use crate::limit::Limiter;
use crate::session::{InstrumentedRule, Rule};
use crate::telemetry::log::DroppedLines;
use crate::telemetry::metrics::{AppMetrics, Metrics};
use crate::ticket::UnixTime;
use middleware::audit::Sampler;
use middleware::cors::OriginPolicy;
use middleware::metrics::Routes;

/// An app as requests find it.
pub struct ServedApp {
    /// The app.
    pub app: Arc<App>,
    /// The places of the rules whose users get its tickets, in the order in which their credentials are looked for.
    pub rules: Vec<usize>,
    /// Its counters.
    pub metrics: AppMetrics,
}

/// All that requests need, with every metric resolved beforehand that one may count.
pub struct State {
    apps: Vec<ServedApp>,
    /// The rules, at the places by which apps name them.
    pub rules: Vec<Arc<InstrumentedRule>>,
    origins: OriginPolicy,
    /// How often is too often.
    pub limiter: Limiter,
    /// How many proxies are believed about a caller's address.
    trusted_hops: usize,
    /// All families of metrics.
    pub metrics: Metrics,
    routes: Routes,
    pub(crate) sampler: Sampler,
    /// Whether a proxy was warned of that nobody trusts.
    untrusted_proxy: Once,
    /// One counter for each [`Code`], at its place.
    refusals: Vec<IntCounter>,
    /// The log's count of dropped lines.
    dropped: DroppedLines,
    /// Both listeners are bound and served.
    pub started: AtomicBool,
    /// The process is shutting down: traffic should go elsewhere, whether it has started or not.
    pub draining: AtomicBool,
}

impl State {
    /// The state of a process that has not started yet.
    pub fn new(
        apps: Vec<ServedApp>,
        rules: Vec<Rule>,
        allowed_origins: Vec<Origin>,
        limiter: Limiter,
        trusted_hops: usize,
        metrics: Metrics,
        dropped: DroppedLines,
    ) -> Self {
        Self {
            apps,
            origins: OriginPolicy::new(allowed_origins, &rules),
            rules: rules.into_iter().map(|rule| Arc::new(InstrumentedRule::new(rule, &metrics))).collect(),
            limiter,
            trusted_hops,
            routes: Routes::new(&metrics),
            sampler: Sampler::default(),
            untrusted_proxy: Once::new(),
            refusals: Code::ALL.iter().map(|code| metrics.refusals.with_label_values(&[code.as_str()])).collect(),
            metrics,
            dropped,
            started: AtomicBool::default(),
            draining: AtomicBool::default(),
        }
    }
}

/// The time of day, read here at the edge and passed on as an argument.
#[expect(clippy::disallowed_methods, reason = "this is the edge")]
pub(crate) fn now() -> UnixTime {
    // A clock before 1970 issues tickets that have expired, which harms nobody.
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_secs(since_epoch.as_secs())
}
