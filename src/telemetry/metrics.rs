//! What is counted: the families of `/metrics`. Who counts keeps a handle, so that a request looks nothing up.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::ticket::SdkAppId;

/// From a ticket signed at once to the slowest back end that a request waits for, in seconds.
const BUCKETS: [f64; 16] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// All families of the service.
pub struct Metrics {
    registry: Registry,
    tickets: IntCounterVec,
    key_info: IntGaugeVec,
    key_reload_failures: IntCounterVec,
    log_dropped: IntCounter,
    /// Requests answered, by `route`, `status` and `code`.
    pub requests: IntCounterVec,
    /// How long they took, in seconds, by `route`.
    pub request_seconds: HistogramVec,
    /// Session checks, by `rule` and `outcome`.
    pub checks: IntCounterVec,
    /// How long they took, in seconds, by `rule`.
    pub check_seconds: HistogramVec,
    /// 1 when the last check could find out, 0 when it could not, by `rule`.
    pub backend_up: IntGaugeVec,
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
        let counters = |name, help, labels: &[_]| add(&registry, IntCounterVec::new(Opts::new(name, help), labels));
        let gauges = |name, help, labels: &[_]| add(&registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let histograms = |name, help, label| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
            add(&registry, HistogramVec::new(options, &[label]))
        };
        let counter = |name, help| add(&registry, IntCounter::new(name, help));
        let gauge = |name, help| add(&registry, IntGauge::new(name, help));
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
    /// Adds a collector of other families.
    #[expect(clippy::missing_panics_doc, reason = "each name is registered once")]
    pub fn register(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect("each name is registered once");
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
    #[expect(clippy::missing_panics_doc, reason = "a String takes all that is written to it")]
    pub fn render(&self, log_dropped: u64) -> String {
        self.log_dropped.inc_by(log_dropped.saturating_sub(self.log_dropped.get()));
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).expect("a String takes all that is written to it")
    }
}

/// One more in a gauge, until it is dropped.
pub struct Counted(IntGauge);

impl Counted {
    /// Counts it.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
