//! A rule under observation: its checks are timed and counted, and its last outcome is remembered for diagnosis.

use std::sync::Mutex;
use std::time::Instant;

use serde::Serialize;
use tracing::{Instrument, field, info_span};

use crate::metrics::{Metrics, RuleMetrics};
use crate::session::{CheckContext, CheckError, PresentedCredential, Rule, Session};
use crate::telemetry::trace;

/// A rule with its metrics and the last that was seen of its back end.
#[derive(Debug)]
pub struct WatchedRule {
    /// The rule itself.
    pub rule: Rule,
    metrics: RuleMetrics,
    /// The last fault and when; a check that could find out clears it.
    fault: Mutex<Option<(Instant, String)>>,
}

/// What `/readyz` says of a rule.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuleHealth<'a> {
    name: &'a str,
    /// `none` before the first check.
    last_outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_set_age_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_set_failure: Option<String>,
}

impl WatchedRule {
    /// A rule of which nothing has been seen yet.
    #[must_use]
    pub fn new(rule: Rule, metrics: &Metrics) -> Self {
        let metrics = metrics.rule(&rule.name);
        metrics.backend_up.set(1);
        Self { rule, metrics, fault: Mutex::default() }
    }

    /// Runs the rule's check, timed and counted.
    pub(super) async fn check(
        &self,
        credential: &PresentedCredential,
        context: &CheckContext<'_>,
    ) -> Result<Session, CheckError> {
        let start = Instant::now();
        let span = info_span!(
            target: trace::TARGET,
            "check",
            otel.name = %format_args!("check {}", self.rule.name),
            otel.kind = if self.rule.asks_back_end() { "client" } else { "internal" },
            otel.status_code = field::Empty,
            usersig.rule = self.rule.name,
            usersig.outcome = field::Empty,
        );
        let result = self.rule.check(credential, context).instrument(span.clone()).await;
        self.metrics.seconds.observe(start.elapsed().as_secs_f64());
        let (outcome, count) = match &result {
            Ok(_) => ("allowed", &self.metrics.allowed),
            Err(CheckError::Denied(_)) => ("denied", &self.metrics.denied),
            Err(CheckError::Fault(_)) => ("fault", &self.metrics.fault),
        };
        count.inc();
        span.record("usersig.outcome", outcome);
        if matches!(result, Err(CheckError::Fault(_))) {
            span.record("otel.status_code", "ERROR");
        }
        self.remember(result.as_ref().err());
        result
    }

    fn remember(&self, error: Option<&CheckError>) {
        let fault = error.and_then(CheckError::fault);
        // The gauge is the cheap look: while all is well, no lock is taken.
        if fault.is_none() && self.metrics.backend_up.get() == 1 {
            return;
        }
        self.metrics.backend_up.set(i64::from(fault.is_none()));
        if let Ok(mut last) = self.fault.lock() {
            *last = fault.map(|fault| (Instant::now(), fault.to_string()));
        }
    }

    pub(super) fn health(&self) -> RuleHealth<'_> {
        let fault = self.fault.lock().ok().and_then(|fault| fault.clone());
        let key_set = self.rule.key_set();
        let checked = self.metrics.allowed.get() + self.metrics.denied.get() > 0;
        RuleHealth {
            name: &self.rule.name,
            last_outcome: match (&fault, checked) {
                (Some(_), _) => "fault",
                (None, true) => "ok",
                (None, false) => "none",
            },
            fault_age_seconds: fault.as_ref().map(|(at, _)| at.elapsed().as_secs()),
            fault: fault.map(|(_, fault)| fault),
            key_set_age_seconds: key_set.and_then(|set| set.age()).map(|age| age.as_secs()),
            key_set_failure: key_set.and_then(|set| set.failure()),
        }
    }
}
