//! A rule under observation: its checks are timed and counted, and its last outcome is remembered for diagnosis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;
use tracing::{Instrument, field, info_span};

use crate::metrics::{Metrics, RuleMetrics};
use crate::session::{CheckContext, CheckError, Fault, PresentedCredential, Rule, Session};
use crate::telemetry::trace;

/// What a check may come to.
const OUTCOMES: [&str; 4] = ["none", "allowed", "denied", "fault"];
const FAULT: usize = 3;

/// A rule with its metrics and the last that was seen of its back end.
pub struct WatchedRule {
    /// The rule itself.
    pub rule: Rule,
    metrics: RuleMetrics,
    /// Which of [`OUTCOMES`] was the last.
    last_outcome: AtomicUsize,
    /// The last fault and when.
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
    pub fn new(rule: Rule, metrics: &Metrics) -> Self {
        let metrics = metrics.rule(&rule.name);
        metrics.backend_up.set(1);
        Self { rule, metrics, last_outcome: AtomicUsize::default(), fault: Mutex::default() }
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
            Ok(_) => (1, &self.metrics.allowed),
            Err(CheckError::Denied(_)) => (2, &self.metrics.denied),
            Err(CheckError::Fault(_)) => (FAULT, &self.metrics.fault),
        };
        count.inc();
        span.record("usersig.outcome", OUTCOMES[outcome]);
        if outcome == FAULT {
            span.record("otel.status_code", "ERROR");
        }
        self.remember(outcome, result.as_ref().err().and_then(CheckError::fault));
        result
    }

    fn remember(&self, outcome: usize, fault: Option<&Fault>) {
        if let Some(fault) = fault {
            // The rule's own bound says nothing of the back end.
            if *fault == Fault::Busy {
                return;
            }
            if let Ok(mut last) = self.fault.lock() {
                *last = Some((Instant::now(), fault.to_string()));
            }
        }
        self.last_outcome.store(outcome, Ordering::Relaxed);
        self.metrics.backend_up.set(i64::from(outcome != FAULT));
    }

    pub(super) fn health(&self) -> RuleHealth<'_> {
        let outcome = self.last_outcome.load(Ordering::Relaxed);
        let fault = if outcome == FAULT { self.fault.lock().ok().and_then(|fault| fault.clone()) } else { None };
        let key_set = self.rule.key_set();
        RuleHealth {
            name: &self.rule.name,
            last_outcome: OUTCOMES[outcome],
            fault_age_seconds: fault.as_ref().map(|(at, _)| at.elapsed().as_secs()),
            fault: fault.map(|(_, fault)| fault),
            key_set_age_seconds: key_set.and_then(|set| set.age()).map(|age| age.as_secs()),
            key_set_failure: key_set.and_then(|set| set.failure()),
        }
    }
}
