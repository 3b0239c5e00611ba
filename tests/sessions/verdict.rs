//! What a service made of a request: its answer, held against its log and its counters.

use serde_json::Value;

use crate::support::client::{Answer, Call};
use crate::support::service::Service;

/// How many tickets the service has issued.
pub(crate) fn tickets(service: &Service) -> u64 {
    service.metrics().beginning("usersig_tickets_total").into_iter().map(|(_, count)| whole(count)).sum()
}

/// How many checks of a rule had this outcome.
pub(crate) fn checks(service: &Service, rule: &str, outcome: &str) -> u64 {
    whole(service.metrics().of(&format!("usersig_session_checks_total{{outcome=\"{outcome}\",rule=\"{rule}\"}}")))
}

/// How many requests for a `UserSig` were answered as checks with this outcome are: callers, where [`checks`] counts questions.
pub(crate) fn answered(service: &Service, outcome: &str) -> u64 {
    let (code, status) = match outcome {
        "allowed" => ("ok", 200),
        "denied" => ("invalid_session", 401),
        "fault" => ("session_check_unavailable", 503),
        other => panic!("no outcome {other}"),
    };
    let series = format!("usersig_http_requests_total{{code=\"{code}\",route=\"usersig\",status=\"{status}\"}}");
    whole(service.metrics().of(&series))
}

/// A count, which Prometheus writes as a float.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters count upwards, and not this far")]
pub(crate) fn whole(count: f64) -> u64 {
    count as u64
}

/// Asserts a ticket for `user`.
#[track_caller]
pub(crate) fn allowed(answer: &Answer, user: &str) -> Value {
    let ticket = answer.ok();
    assert_eq!(ticket["userId"], user, "{ticket}");
    ticket
}

/// Asserts that the session was refused, and that the log says at which step and with these words why.
#[track_caller]
pub(crate) fn denied(service: &Service, answer: &Answer, step: &str, cause: &str) {
    answer.refused(401, "invalid_session");
    let event = service.audit(answer.request_id());
    assert_eq!(event["step"], step, "{event}");
    assert!(event["cause"].as_str().is_some_and(|text| text.contains(cause)), "expected {cause:?}: {event}");
}

/// Asserts that nobody could find out, and that the log says so in these words.
#[track_caller]
pub(crate) fn unavailable(service: &Service, answer: &Answer, cause: &str) {
    answer.refused(503, "session_check_unavailable");
    let event = service.audit(answer.request_id());
    assert!(event["cause"].as_str().is_some_and(|text| text.contains(cause)), "expected {cause:?}: {event}");
}

/// Asks for a ticket with what `present` adds to the request.
pub(crate) fn ask(service: &Service, present: impl FnOnce(Call<'_>) -> Call<'_>) -> Answer {
    present(service.public.post("/v1/usersig")).send()
}
