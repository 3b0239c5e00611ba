//! One request from its first header to its answer: timed, counted, logged once, and answered whatever happens.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use prometheus::{Histogram, IntCounter};
use tracing::{Instrument, Span, error, field, info, info_span, warn};

use super::State;
use super::identity::{RequestId, X_REQUEST_ID, trace_of};
use super::problem::{Code, Problem};
use crate::issue::Issued;
use crate::metrics::{Counted, Metrics};
use crate::telemetry::trace;

/// A route that metrics tell apart from others.
pub(super) struct Route {
    /// What metrics and the log call it.
    name: &'static str,
    /// Its path, where it is one.
    path: Option<&'static str>,
    issued: IntCounter,
    preflights: IntCounter,
    /// One counter for each [`Code`], at its place.
    problems: Vec<IntCounter>,
    /// How long its answers took.
    seconds: Histogram,
}

impl Route {
    pub(super) fn new(name: &'static str, path: Option<&'static str>, metrics: &Metrics) -> Self {
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
}

/// What a handler makes of a request.
pub(super) type Answer = Result<HttpResponse, Problem>;

/// What the log will say of a decision; filled in as it becomes known.
pub(super) struct Decision<'a> {
    /// The request's id.
    pub id: RequestId,
    /// The app asked for.
    pub app: Option<u32>,
    /// The rule whose credential was present.
    pub rule: Option<&'a str>,
    /// Whom the session names.
    pub user: Option<String>,
    /// What was issued.
    pub issued: Option<Issued>,
}

/// Runs `handle` for one request of the public listener and answers with what it returns.
pub(super) async fn answer<'a>(
    state: &'a State,
    route: &Route,
    request: &HttpRequest,
    handle: impl AsyncFnOnce(&mut Decision<'a>) -> Answer,
) -> HttpResponse {
    let start = Instant::now();
    let _in_flight = Counted::new(&state.metrics.in_flight);
    let id = RequestId::of(request.headers());
    let span = span_of(request, route, &id);
    let mut decision = Decision { id, app: None, rule: None, user: None, issued: None };
    let result = caught(handle(&mut decision).instrument(span.clone())).await;
    let took = start.elapsed();
    let problem = result.as_ref().err();
    let status = result.as_ref().map_or_else(|problem| problem.code.status(), HttpResponse::status);
    if !span.is_disabled() {
        complete(&span, &decision, status, problem);
    }
    let answered = match problem {
        Some(problem) => &route.problems[problem.code as usize],
        None if status == StatusCode::NO_CONTENT => &route.preflights,
        None => &route.issued,
    };
    answered.inc();
    route.seconds.observe(took.as_secs_f64());
    // Whether somebody was given or refused a ticket: neither a stray path or method, nor a browser's question beforehand,
    // unless that is refused, since a page whose origin is not listed gets no further.
    if route.path.is_some() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::METHOD_NOT_ALLOWED) {
        if let Some(problem) = problem {
            state.refusals[problem.code as usize].inc();
        }
        audit(request, route, &decision, problem, took);
    }
    let mut response = respond(decision.id, result);
    state.origins.expose(request.headers(), response.headers_mut());
    if state.draining.load(Ordering::Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Answers with what `handle` returns a request that is neither counted nor logged.
pub(super) async fn reply(
    request: &HttpRequest,
    methods: &'static str,
    handle: impl Future<Output = Answer>,
) -> HttpResponse {
    let is_taken = methods.split(", ").any(|method| method == request.method().as_str());
    let result = if is_taken { caught(handle).await } else { Err(Problem::method_not_allowed(methods)) };
    respond(RequestId::of(request.headers()), result)
}

/// What `handle` returns, or the problem that it has panicked.
fn caught(handle: impl Future<Output = Answer>) -> impl Future<Output = Answer> {
    let panicked = |_| Err(Problem::new(Code::InternalError, "the log tells the operator why, by the requestId"));
    AssertUnwindSafe(handle).catch_unwind().map(move |result| result.unwrap_or_else(panicked))
}

/// The server span of a request, with the names of OpenTelemetry's conventions.
fn span_of(request: &HttpRequest, route: &Route, id: &RequestId) -> Span {
    let method = request.method().as_str();
    let method = if ["GET", "POST", "OPTIONS"].contains(&method) { method } else { "_OTHER" };
    let span = info_span!(
        target: trace::TARGET,
        "request",
        otel.name = %format_args!("{method} {}", route.path.unwrap_or("*")),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route.path,
        http.response.status_code = field::Empty,
        "error.type" = field::Empty,
        usersig.request_id = id.as_str(),
        usersig.app = field::Empty,
        usersig.rule = field::Empty,
    );
    trace::continue_from(&span, || request.headers().get(trace::TRACEPARENT)?.to_str().ok());
    span
}

/// What is known of a request when it is answered.
fn complete(span: &Span, decision: &Decision<'_>, status: StatusCode, problem: Option<&Problem>) {
    span.record("usersig.app", decision.app);
    span.record("usersig.rule", decision.rule);
    span.record("http.response.status_code", status.as_u16());
    span.record("error.type", problem.map(|problem| problem.code.as_str()));
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The answer with all that every answer carries: its id, and what keeps it out of caches, other pages and referrers.
pub(super) fn respond(id: RequestId, result: Answer) -> HttpResponse {
    let mut response = result.unwrap_or_else(|problem| problem.answer(id.as_str()));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_REQUEST_ID, id.0);
    response
}

/// The one event of a decision. It names the key by its fingerprint and never holds a ticket, token or cookie.
fn audit(request: &HttpRequest, route: &Route, decision: &Decision<'_>, problem: Option<&Problem>, took: Duration) {
    let (trace_id, parent_id) = trace_of(request.headers()).unzip();
    let issued = decision.issued.as_ref();
    macro_rules! event {
        ($level:ident, $message:literal) => {
            $level!(
                target: "usersig::audit",
                request_id = decision.id.as_str(),
                trace_id,
                parent_id,
                kind = route.name,
                outcome = problem.map_or("issued", |problem| problem.code.as_str()),
                app = decision.app,
                rule = decision.rule,
                user = decision.user.as_deref(),
                expire = issued.map(|issued| issued.lifetime.as_secs()),
                key = issued.map(|issued| issued.signer.key.fingerprint()),
                step = problem.and_then(|problem| problem.step),
                cause = problem.and_then(|problem| problem.cause.as_deref()),
                duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                $message
            )
        };
    }
    match problem {
        None => event!(info, "ticket issued"),
        Some(problem) if problem.code == Code::InternalError => event!(error, "request failed"),
        Some(problem) if problem.code == Code::SessionCheckUnavailable => event!(warn, "request failed"),
        Some(_) => event!(info, "ticket refused"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::limit::Limiter;

    #[test]
    fn a_panic_on_the_ops_listener_is_a_problem_too() {
        let request = TestRequest::default().to_http_request();
        let response = actix_web::rt::System::new().block_on(reply(&request, "GET", async { panic!("a handler") }));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/problem+json"));
    }

    /// No known request makes a check panic, so this one stands in for all that are not known.
    #[test]
    fn case_34_a_panic_inside_a_check_fails_closed() {
        let (limiter, dropped) = (Limiter::default(), Arc::new(|| 0));
        let state = State::new(Vec::new(), Vec::new(), Vec::new(), limiter, 0, Metrics::default(), dropped);
        let request = TestRequest::default().insert_header((X_REQUEST_ID, "the-request")).to_http_request();
        let panics = async |decision: &mut Decision<'_>| {
            decision.user = Some("alice".to_owned());
            panic!("a check that panics");
        };
        let response = actix_web::rt::System::new().block_on(answer(&state, &state.user_sig, &request, panics));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers().get(header::CACHE_CONTROL), Some(&HeaderValue::from_static("no-store")));
        let Ok(body) = actix_web::body::MessageBody::try_into_bytes(response.into_body()) else {
            panic!("a body of known length")
        };
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
        assert_eq!((&problem["code"], &problem["requestId"]), (&"internal_error".into(), &"the-request".into()));
        let text = state.metrics.render(0);
        assert!(text.contains("usersig_refusals_total{reason=\"internal_error\"} 1\n"), "{text}");
        assert!(text.contains("usersig_http_in_flight 0\n"), "{text}");
        assert!(!text.contains("usersig_tickets_total{"), "no ticket: {text}");
    }
}
