//! What the workers of both listeners share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use prometheus::IntCounter;

use super::exchange::Route;
use super::origin::{Origin, OriginPolicy};
use super::problem::Code;
use super::watched::WatchedRule;
use crate::issue::App;
use crate::limit::{Limiter, Limits};
use crate::metrics::{AppMetrics, Metrics};
use crate::session::Rule;
use crate::telemetry::DroppedLines;

/// All that requests need, with every metric resolved beforehand that one may count.
pub struct State {
    pub(super) apps: Vec<(Arc<App>, AppMetrics)>,
    /// The rules, in the order in which their credentials are looked for.
    pub rules: Vec<WatchedRule>,
    pub(super) origins: OriginPolicy,
    /// How often is too often.
    pub limiter: Limiter,
    /// How many proxies are believed about a caller's address.
    pub(super) trusted_hops: usize,
    /// All families of metrics.
    pub metrics: Metrics,
    pub(super) user_sig: Route,
    pub(super) private_map_key: Route,
    /// Every other path.
    pub(super) elsewhere: Route,
    /// One counter for each [`Code`], at its place.
    pub(super) refusals: Vec<IntCounter>,
    /// The log's count of dropped lines.
    pub(super) dropped: DroppedLines,
    /// Both listeners are bound and served.
    pub started: AtomicBool,
    /// The process has been told to end: traffic should go elsewhere, whether it has started or not.
    pub draining: AtomicBool,
}

impl State {
    /// The state of a process that has not started yet.
    pub fn new(
        apps: Vec<Arc<App>>,
        rules: Vec<Rule>,
        allowed_origins: Vec<Origin>,
        limits: Limits,
        trusted_hops: usize,
        metrics: Metrics,
        dropped: DroppedLines,
    ) -> Self {
        let with_metrics = |app: Arc<App>| {
            let metrics = metrics.app(app.id);
            (app, metrics)
        };
        Self {
            apps: apps.into_iter().map(with_metrics).collect(),
            origins: OriginPolicy::new(allowed_origins, &rules),
            rules: rules.into_iter().map(|rule| WatchedRule::new(rule, &metrics)).collect(),
            limiter: Limiter::new(limits),
            trusted_hops,
            user_sig: Route::new("usersig", Some("/v1/usersig"), &metrics),
            private_map_key: Route::new("private_map_key", Some("/v1/private-map-key"), &metrics),
            elsewhere: Route::new("other", None, &metrics),
            refusals: Code::ALL.iter().map(|code| metrics.refusals.with_label_values(&[code.as_str()])).collect(),
            metrics,
            dropped,
            started: AtomicBool::default(),
            draining: AtomicBool::default(),
        }
    }
}
