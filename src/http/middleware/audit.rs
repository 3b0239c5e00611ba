//! The one event of each decision. It names the key by its fingerprint and never holds a ticket, token or cookie.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{error, info, warn};

use super::metrics::Route;
use super::request_id::RequestId;
use crate::http::problem::{Code, Problem};
use crate::telemetry::trace::Traceparent;
use crate::ticket::{Lifetime, SdkAppId, Signer, UserId};

/// What became of a request.
pub(crate) enum Outcome<'a> {
    /// A ticket was issued.
    Issued(&'a Issuance),
    /// It was refused, or failed.
    Refused(&'a Problem),
    /// It was no request for a ticket, such as a browser's question whether it may send one.
    Other,
}

/// A ticket that was issued, as far as the log may know it. The handler leaves it in the extensions of its response.
pub(crate) struct Issuance {
    /// The app that it is for.
    pub(crate) app: SdkAppId,
    /// The rule that recognised the session.
    pub(crate) rule: Arc<str>,
    /// The user that it is for.
    pub(crate) user: UserId,
    /// For how long.
    pub(crate) lifetime: Lifetime,
    /// What signed it, and so with which key.
    pub(crate) signer: Arc<Signer>,
}

/// Bounds what the log holds of refusals that cost the caller nothing: anybody could fill it with them. Metrics count all.
#[derive(Default)]
pub(crate) struct Sampler([AtomicU64; SAMPLED.len()]);

/// The codes of refusals that need no credential, or no valid one.
const SAMPLED: [Code; 3] = [Code::MissingCredential, Code::OriginDenied, Code::RateLimited];

impl Sampler {
    /// How many refusals of one code are logged in a second.
    const LOGGED: u64 = 10;

    /// Whether a refusal of this code is logged.
    fn admits(&self, code: Code) -> bool {
        let Some(place) = SAMPLED.iter().position(|sampled| *sampled == code) else { return true };
        self.0[place].fetch_add(1, Ordering::Relaxed) < Self::LOGGED
    }

    /// Logs how many refusals of each code were not logged since the last call; called every second.
    pub(crate) fn summarize(&self) {
        for (code, refused) in SAMPLED.iter().zip(&self.0) {
            let unlogged = refused.swap(0, Ordering::Relaxed).saturating_sub(Self::LOGGED);
            if unlogged > 0 {
                info!(target: "usersig::audit", outcome = code.as_str(), count = unlogged, "more tickets refused");
            }
        }
    }
}

/// Logs a decision. Preflights, unknown paths and wrong methods are not decisions.
pub(super) fn log(
    sampler: &Sampler,
    id: &RequestId,
    route: &Route,
    trace: Option<&Traceparent>,
    outcome: &Outcome<'_>,
    took: Duration,
) {
    let trace_id = trace.map(Traceparent::trace_id);
    let parent_id = trace.map(Traceparent::parent_id);
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let problem = match outcome {
        Outcome::Issued(Issuance { app, rule, user, lifetime, signer }) => {
            info!(
                target: "usersig::audit",
                request_id = id.as_str(),
                trace_id,
                parent_id,
                kind = route.name,
                outcome = "issued",
                app = app.get(),
                rule = &**rule,
                user = user.as_str(),
                expire = lifetime.as_secs(),
                key = signer.key.fingerprint(),
                duration_us,
                "ticket issued"
            );
            return;
        }
        Outcome::Refused(problem) if route.decides(problem.code) && sampler.admits(problem.code) => problem,
        Outcome::Refused(_) | Outcome::Other => return,
    };
    macro_rules! event {
        ($level:ident, $message:literal) => {
            $level!(
                target: "usersig::audit",
                request_id = id.as_str(),
                trace_id,
                parent_id,
                kind = route.name,
                outcome = problem.code.as_str(),
                app = problem.context.app.map(SdkAppId::get),
                rule = problem.context.rule.as_deref(),
                user = problem.context.user.as_deref(),
                step = problem.step,
                cause = problem.cause.as_deref(),
                duration_us,
                $message
            )
        };
    }
    match problem.code {
        Code::InternalError => event!(error, "request failed"),
        Code::SessionCheckUnavailable => event!(warn, "request failed"),
        _ => event!(info, "ticket refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_that_cost_nothing_are_sampled_each_code_alone() {
        let sampler = Sampler::default();
        let logged = |code| (0..25).filter(|_| sampler.admits(code)).count();
        assert_eq!(logged(Code::MissingCredential), 10);
        assert_eq!(logged(Code::OriginDenied), 10);
        assert_eq!(logged(Code::InvalidSession), 25);
        assert_eq!(logged(Code::RateLimited), 10);
        sampler.summarize();
        assert_eq!(logged(Code::MissingCredential), 10);
    }
}
