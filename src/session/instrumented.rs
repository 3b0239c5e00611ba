//! A rule under observation: its checks are timed and counted, and its last outcome is remembered for diagnosis.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::FutureExt;
use prometheus::{Histogram, IntCounter, IntGauge};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::{Instrument, field, info_span};

use super::credential::PresentedCredential;
use super::error::{CheckError, Fault, RuleError};
use super::flights::{Flights, QuestionKey};
use super::rule::{Check, Rule};
use super::session::Session;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace;
use crate::ticket::UnixTime;

/// What a check may come to.
const OUTCOMES: [&str; 3] = ["allowed", "denied", "fault"];
const FAULT: usize = 2;

/// A rule with its questions under way, its metrics and the last that was seen of its back end.
pub struct InstrumentedRule {
    /// The rule itself.
    pub rule: Rule,
    /// Its name, for logs.
    pub name: Arc<str>,
    /// `None` where no back end is asked: verifying a token costs less than finding who else does.
    flights: Option<Flights<Result<Session, CheckError>>>,
    /// A counter for each of [`OUTCOMES`].
    checks: [IntCounter; 3],
    seconds: Histogram,
    backend_up: IntGauge,
    /// Which of [`OUTCOMES`] was the last; none of them before the first check.
    last_outcome: AtomicUsize,
    /// The last fault and when.
    fault: Mutex<Option<(Instant, String)>>,
}

impl InstrumentedRule {
    /// A rule of which nothing has been seen yet.
    pub fn new(rule: Rule, metrics: &Metrics) -> Self {
        let name = rule.name.as_str();
        let backend_up = metrics.backend_up.with_label_values(&[name]);
        backend_up.set(1);
        Self {
            checks: OUTCOMES.map(|outcome| metrics.checks.with_label_values(&[name, outcome])),
            seconds: metrics.check_seconds.with_label_values(&[name]),
            backend_up,
            last_outcome: AtomicUsize::new(OUTCOMES.len()),
            fault: Mutex::default(),
            name: rule.name.as_str().into(),
            flights: rule.max_in_flight().map(Flights::new),
            rule,
        }
    }

    /// The question that `credential` leads to; `None` where no back end is asked. It is known by all of the caller's that
    /// reaches the back end.
    pub fn question(&self, credential: &PresentedCredential) -> Option<QuestionKey> {
        self.flights.as_ref()?;
        let mut hash = Sha256::new();
        for part in [&self.name, credential.as_str()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Some(hash.finalize().into())
    }

    /// Asks who presents `credential`, or waits for the answer where the same `question` is under way. An address has a share
    /// of the questions; without an address there are no shares.
    ///
    /// # Errors
    /// As for [`Rule::check`], and when the address has its share.
    pub async fn check(
        self: &Arc<Self>,
        credential: PresentedCredential,
        question: Option<QuestionKey>,
        address: Option<IpAddr>,
        now: UnixTime,
        request_id: &str,
    ) -> Result<Session, RuleError> {
        let (Some(flights), Some(question)) = (&self.flights, question) else {
            return Ok(self.ask(&credential, now, request_id).await?);
        };
        let (rule, request_id) = (Arc::clone(self), request_id.to_owned());
        let ask = || async move { rule.ask(&credential, now, &request_id).await }.boxed();
        Ok(flights.join(question, address, ask).await??)
    }

    /// Runs the rule's check, timed and counted: a question, however many wait for its answer.
    async fn ask(
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
        self.seconds.observe(start.elapsed().as_secs_f64());
        let outcome = match &result {
            Ok(_) => 0,
            Err(CheckError::Denied(_)) => 1,
            Err(CheckError::Fault(_)) => FAULT,
        };
        self.checks[outcome].inc();
        span.record("usersig.outcome", OUTCOMES[outcome]);
        if let Err(CheckError::Fault(fault)) = &result {
            span.record("otel.status_code", "ERROR");
            // The rule's own bound says nothing of the back end.
            if *fault == Fault::Busy {
                return result;
            }
            if let Ok(mut last) = self.fault.lock() {
                *last = Some((Instant::now(), fault.to_string()));
            }
        }
        self.last_outcome.store(outcome, Ordering::Relaxed);
        self.backend_up.set(i64::from(outcome != FAULT));
        result
    }

    /// How the rule fares, for `/readyz`.
    pub fn health(&self) -> RuleHealth<'_> {
        let outcome = self.last_outcome.load(Ordering::Relaxed);
        let fault = self.fault.lock().ok().and_then(|fault| fault.clone()).filter(|_| outcome == FAULT);
        let key_set = self.rule.key_set();
        RuleHealth {
            name: &self.name,
            last_outcome: OUTCOMES.get(outcome).unwrap_or(&"none"),
            fault_age_seconds: fault.as_ref().map(|(at, _)| at.elapsed().as_secs()),
            fault: fault.map(|(_, fault)| fault),
            key_set_age_seconds: key_set.and_then(|set| set.age()).map(|age| age.as_secs()),
            key_set_failure: key_set.and_then(|set| set.failure()),
        }
    }
}

/// How a rule fares: its last outcome, and what is wrong if that was a fault.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleHealth<'a> {
    name: &'a str,
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
