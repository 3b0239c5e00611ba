//! The counters of each route, looked up once.

use std::time::Duration;

use actix_web::http::StatusCode;
use prometheus::{Histogram, IntCounter};

use super::audit::Outcome;
use crate::http::problem::Code;
use crate::telemetry::metrics::Metrics;

/// The routes of the public listener that metrics and the log distinguish.
pub(crate) struct Routes {
    user_sig: Route,
    private_map_key: Route,
    other: Route,
}

/// One of them.
pub(crate) struct Route {
    /// What metrics and the log call it.
    pub(crate) name: &'static str,
    /// Its path; `None` for every path that has no route.
    pub(crate) path: Option<&'static str>,
    issued: IntCounter,
    preflights: IntCounter,
    /// One counter for each [`Code`], at its place.
    problems: Vec<IntCounter>,
    seconds: Histogram,
}

impl Routes {
    /// The counters of all routes.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            user_sig: Route::new("usersig", Some("/v1/usersig"), metrics),
            private_map_key: Route::new("private_map_key", Some("/v1/private-map-key"), metrics),
            other: Route::new("other", None, metrics),
        }
    }

    /// The route of a path.
    pub(crate) fn of(&self, path: &str) -> &Route {
        [&self.user_sig, &self.private_map_key]
            .into_iter()
            .find(|route| route.path == Some(path))
            .unwrap_or(&self.other)
    }
}

impl Route {
    fn new(name: &'static str, path: Option<&'static str>, metrics: &Metrics) -> Self {
        let counter = |status: StatusCode, code| metrics.requests.with_label_values(&[name, status.as_str(), code]);
        Self {
            name,
            path,
            issued: counter(StatusCode::OK, "ok"),
            preflights: counter(StatusCode::NO_CONTENT, "ok"),
            problems: Code::ALL.iter().map(|code| counter(code.status(), code.as_str())).collect(),
            seconds: metrics.request_seconds.with_label_values(&[name]),
        }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, outcome: &Outcome<'_>, took: Duration) {
        match outcome {
            Outcome::Issued(_) => self.issued.inc(),
            Outcome::Other => self.preflights.inc(),
            Outcome::Refused(problem) => self.problems[problem.code as usize].inc(),
        }
        self.seconds.observe(took.as_secs_f64());
    }

    /// Whether a problem of this route decides that somebody gets no ticket: a path without a route and a method that the
    /// route does not take are mistakes of another kind.
    pub(crate) fn decides(&self, code: Code) -> bool {
        self.path.is_some() && code != Code::MethodNotAllowed
    }
}
