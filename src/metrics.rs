//! What is counted: the families of `/metrics`, with handles resolved once so that a request looks nothing up.

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::ticket::SdkAppId;

/// From a ticket signed at once to the slowest back end that a request waits for, in seconds.
const BUCKETS: [f64; 16] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// All families of the service.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    tickets: IntCounterVec,
    checks: IntCounterVec,
    check_seconds: HistogramVec,
    backend_up: IntGaugeVec,
    key_info: IntGaugeVec,
    key_reload_failures: IntCounterVec,
    log_dropped: IntCounter,
    /// Requests for a ticket that got none, by `reason`.
    pub refusals: IntCounterVec,
    /// Seconds since the key set in use was fetched, by `rule`.
    pub key_set_age: GaugeVec,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Connections to the public listener.
    pub connections: IntGauge,
    /// Those that were cut off: the rest of a request did not come, or its answer was not taken.
    pub connections_stalled: IntCounter,
}

/// The metrics of one route; `answers` has a counter for each kind of answer, in the order they were given.
pub struct RouteMetrics {
    /// Requests answered, one counter for each kind of answer.
    pub answers: Vec<IntCounter>,
    /// How long they took, in seconds.
    pub seconds: Histogram,
}

/// The metrics of one rule's check.
pub struct RuleMetrics {
    /// Sessions recognised.
    pub allowed: IntCounter,
    /// Credentials refused.
    pub denied: IntCounter,
    /// Checks that could not find out.
    pub fault: IntCounter,
    /// 1 when the last check could find out, 0 when it could not.
    pub backend_up: IntGauge,
    /// How long the check took, in seconds.
    pub seconds: Histogram,
}

/// The metrics of one app.
pub struct AppMetrics {
    /// `UserSig`s issued.
    pub user_sigs: IntCounter,
    /// `PrivateMapKey`s issued.
    pub private_map_keys: IntCounter,
    /// Secrets that could not be read again; the old one stayed in use.
    pub reload_failures: IntCounter,
}

impl Default for Metrics {
    /// Registers every family.
    fn default() -> Self {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).expect("each name is registered once");
        let counters = |name, help, labels: &[_]| add(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauges = |name, help, labels: &[_]| add(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let histograms = |name, help, label| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            add(&registry, HistogramVec::new(options, &[label]))
        };
        let counter = |name, help| counters(name, help, &[]).with_label_values::<&str>(&[]);
        let gauge = |name, help| gauges(name, help, &[]).with_label_values::<&str>(&[]);
        let age = Opts::new("usersig_key_set_age_seconds", "Time since the key set in use was fetched.");
        let build = gauges("usersig_build_info", "The version that runs.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            requests: counters("usersig_http_requests_total", "Requests answered.", &["route", "status", "code"]),
            request_seconds: histograms("usersig_http_request_duration_seconds", "Time to answer.", "route"),
            in_flight: gauge("usersig_http_in_flight", "Requests being answered."),
            connections: gauge("usersig_http_connections", "Connections to the public listener."),
            connections_stalled: counter(
                "usersig_http_connections_stalled_total",
                "Connections cut off: the rest of a request did not come, or its answer was not taken.",
            ),
            tickets: counters("usersig_tickets_total", "Tickets issued.", &["app", "kind"]),
            refusals: counters("usersig_refusals_total", "Requests for a ticket that got none.", &["reason"]),
            checks: counters("usersig_session_checks_total", "Session checks by outcome.", &["rule", "outcome"]),
            check_seconds: histograms("usersig_session_check_duration_seconds", "Time of a session check.", "rule"),
            backend_up: gauges(
                "usersig_session_backend_up",
                "0 after a check that could not find out, otherwise 1.",
                &["rule"],
            ),
            key_set_age: add(&registry, GaugeVec::new(age, &["rule"])),
            key_info: gauges("usersig_key_info", "The key in use, by its fingerprint.", &["app", "fingerprint"]),
            key_reload_failures: counters(
                "usersig_key_reload_failures_total",
                "Changed secrets that could not be used; the old key stays in use.",
                &["app"],
            ),
            log_dropped: counter("usersig_log_dropped_total", "Log lines dropped."),
            registry,
        }
    }
}

/// Registers a family as it is made.
fn add<T: Collector + Clone + 'static>(registry: &Registry, family: prometheus::Result<T>) -> T {
    let family = family.expect("names and labels are constants");
    registry.register(Box::new(family.clone())).expect("each name is registered once");
    family
}

impl Metrics {
    /// Handles for a route that gives `answers`: an HTTP status and a code each.
    pub fn route(&self, route: &str, answers: impl Iterator<Item = (u16, &'static str)>) -> RouteMetrics {
        let counter =
            |(status, code): (u16, &str)| self.requests.with_label_values(&[route, status.to_string().as_str(), code]);
        RouteMetrics {
            answers: answers.map(counter).collect(),
            seconds: self.request_seconds.with_label_values(&[route]),
        }
    }

    /// Handles for a rule.
    pub fn rule(&self, rule: &str) -> RuleMetrics {
        let outcome = |outcome| self.checks.with_label_values(&[rule, outcome]);
        RuleMetrics {
            allowed: outcome("allowed"),
            denied: outcome("denied"),
            fault: outcome("fault"),
            backend_up: self.backend_up.with_label_values(&[rule]),
            seconds: self.check_seconds.with_label_values(&[rule]),
        }
    }

    /// Handles for an app.
    pub fn app(&self, app: SdkAppId) -> AppMetrics {
        let app = app.to_string();
        AppMetrics {
            user_sigs: self.tickets.with_label_values(&[app.as_str(), "usersig"]),
            private_map_keys: self.tickets.with_label_values(&[app.as_str(), "private_map_key"]),
            reload_failures: self.key_reload_failures.with_label_values(&[app.as_str()]),
        }
    }

    /// Shows `new` as the app's key, and no longer `old`.
    pub fn show_key(&self, app: SdkAppId, old: Option<&str>, new: &str) {
        let app = app.to_string();
        self.key_info.with_label_values(&[app.as_str(), new]).set(1);
        if let Some(old) = old.filter(|old| *old != new) {
            // An error says that the old key was not shown, which is what is wanted.
            let _ = self.key_info.remove_label_values(&[app.as_str(), old]);
        }
    }

    /// Everything in Prometheus' text format, with `log_dropped` as the count of log lines dropped so far.
    #[expect(clippy::missing_panics_doc, reason = "a Vec takes all that is written to it")]
    pub fn render(&self, log_dropped: u64) -> Vec<u8> {
        self.log_dropped.inc_by(log_dropped.saturating_sub(self.log_dropped.get()));
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a Vec takes all that is written to it");
        text
    }
}
