//! A rule under observation: its checks are timed and counted, and its last outcome is remembered for diagnosis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use tracing::{Instrument, field, info_span};

use crate::metrics::{Metrics, RuleMetrics};
use crate::session::{Check, CheckError, Fault, PresentedCredential, Rule, Session};
use crate::telemetry::trace;
use crate::ticket::UnixTime;

/// What a check may come to; `none` before the first.
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
        now: UnixTime,
        request_id: &str,
    ) -> Result<Session, CheckError> {
        let start = Instant::now();
        let span = info_span!(
            target: trace::TARGET,
            "check",
            otel.name = %format_args!("check {}", self.rule.name),
            otel.kind = if matches!(self.rule.check, Check::Jwt(_)) { "internal" } else { "client" },
            otel.status_code = field::Empty,
            usersig.rule = self.rule.name,
            usersig.outcome = field::Empty,
        );
        let result = self.rule.check(credential, now, request_id).instrument(span.clone()).await;
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
        match &result {
            // The rule's own bound says nothing of the back end.
            Err(CheckError::Fault(Fault::Busy)) => return result,
            Err(CheckError::Fault(fault)) => {
                if let Ok(mut last) = self.fault.lock() {
                    *last = Some((Instant::now(), fault.to_string()));
                }
            }
            Ok(_) | Err(CheckError::Denied(_)) => {}
        }
        self.last_outcome.store(outcome, Ordering::Relaxed);
        self.metrics.backend_up.set(i64::from(outcome != FAULT));
        result
    }

    /// What `/readyz` says of the rule.
    pub(super) fn health(&self) -> Value {
        let outcome = self.last_outcome.load(Ordering::Relaxed);
        let mut health = json!({"name": self.rule.name, "lastOutcome": OUTCOMES[outcome]});
        let fault = self.fault.lock().ok().and_then(|fault| fault.clone());
        if let Some((at, fault)) = fault.filter(|_| outcome == FAULT) {
            health["fault"] = fault.into();
            health["faultAgeSeconds"] = at.elapsed().as_secs().into();
        }
        let key_set = self.rule.key_set();
        if let Some(age) = key_set.and_then(|set| set.age()) {
            health["keySetAgeSeconds"] = age.as_secs().into();
        }
        if let Some(failure) = key_set.and_then(|set| set.failure()) {
            health["keySetFailure"] = failure.into();
        }
        health
    }
}
