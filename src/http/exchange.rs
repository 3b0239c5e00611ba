//! One request from its first header to its answer: timed, counted, logged once, and answered whatever happens.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use prometheus::IntGauge;
use serde::Serialize;
use tracing::{Instrument, Span, error, field, info, info_span, warn};

use super::identity::{RequestId, TraceParent, X_REQUEST_ID};
use super::problem::{Code, Problem};
use super::public::PublicState;
use crate::issue::Issued;
use crate::telemetry::trace;

/// The routes that metrics tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/v1/usersig`
    UserSig,
    /// `/v1/private-map-key`
    PrivateMapKey,
    /// Every other path.
    Other,
}

impl Route {
    /// All routes, each at the place of its discriminant.
    pub const ALL: [Self; 3] = [Self::UserSig, Self::PrivateMapKey, Self::Other];

    /// The route's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserSig => "usersig",
            Self::PrivateMapKey => "private_map_key",
            Self::Other => "other",
        }
    }

    /// The path, where it is one.
    const fn path(self) -> Option<&'static str> {
        match self {
            Self::UserSig => Some("/v1/usersig"),
            Self::PrivateMapKey => Some("/v1/private-map-key"),
            Self::Other => None,
        }
    }

    /// The kinds of answer that metrics count, in the order of an `Answer`'s places there.
    pub fn answers() -> impl Iterator<Item = (u16, &'static str)> {
        let problems = Code::ALL.iter().map(|code| (code.status().as_u16(), code.as_str()));
        [(200, "ok"), (204, "ok")].into_iter().chain(problems)
    }
}

/// An answer that is no problem.
pub(super) enum Answer {
    /// Something to read.
    Body { status: StatusCode, content_type: &'static str, body: Vec<u8> },
    /// Nothing to say.
    NoContent,
    /// To a browser that asks before it sends (CORS preflight): these methods, these headers.
    Preflight { methods: &'static str, headers: String },
}

impl Answer {
    /// A 200 of JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("text and numbers are JSON");
        Self::Body { status: StatusCode::OK, content_type: "application/json", body }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Body { status, .. } => *status,
            Self::NoContent | Self::Preflight { .. } => StatusCode::NO_CONTENT,
        }
    }
}

/// What the log will say of a decision; filled in as it becomes known.
#[derive(Default)]
pub(super) struct Decision<'a> {
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
    state: &'a PublicState,
    request: &HttpRequest,
    route: Route,
    handle: impl AsyncFnOnce(&RequestId, &mut Decision<'a>) -> Result<Answer, Problem>,
) -> HttpResponse {
    let start = Instant::now();
    let _in_flight = InFlight::enter(&state.in_flight);
    let id = RequestId::of(request.headers());
    let mut decision = Decision::default();
    let span = span_of(request, route, &id);
    let result = caught(handle(&id, &mut decision).instrument(span.clone())).await;
    let took = start.elapsed();
    let metrics = &state.routes[route as usize];
    let place = match &result {
        Ok(answer) => usize::from(answer.status() == StatusCode::NO_CONTENT),
        Err(problem) => 2 + problem.code as usize,
    };
    if !span.is_disabled() {
        complete(&span, &decision, &result);
    }
    metrics.answers[place].inc();
    metrics.seconds.observe(took.as_secs_f64());
    if is_decision(route, &result) {
        if let Err(problem) = &result {
            state.refusals[problem.code as usize].inc();
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        audit(&id, TraceParent::of(request.headers()).as_ref(), route, &decision, result.as_ref().err(), took);
    }
    let mut response = respond(id, result);
    state.doors.origins.expose(request.headers(), response.headers_mut());
    if state.lifecycle.is_draining() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// Answers with what `handle` returns a request that is neither counted nor logged.
pub(super) async fn reply(
    request: &HttpRequest,
    methods: &'static str,
    handle: impl Future<Output = Result<Answer, Problem>>,
) -> HttpResponse {
    let is_taken = methods.split(", ").any(|method| method == request.method().as_str());
    let result = if is_taken { caught(handle).await } else { Err(Problem::method_not_allowed(methods)) };
    respond(RequestId::of(request.headers()), result)
}

/// What `handle` returns, or the problem that it has panicked.
fn caught(handle: impl Future<Output = Result<Answer, Problem>>) -> impl Future<Output = Result<Answer, Problem>> {
    let panicked = |_| Err(Problem::new(Code::InternalError, "the log tells the operator why, by the requestId"));
    AssertUnwindSafe(handle).catch_unwind().map(move |result| result.unwrap_or_else(panicked))
}

/// The server span of a request, with the names of OpenTelemetry's conventions.
fn span_of(request: &HttpRequest, route: Route, id: &RequestId) -> Span {
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    };
    let path = route.path();
    let span = info_span!(
        target: trace::TARGET,
        "request",
        otel.name = %format_args!("{method} {}", path.unwrap_or("*")),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = path,
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
fn complete(span: &Span, decision: &Decision<'_>, result: &Result<Answer, Problem>) {
    span.record("usersig.app", decision.app);
    span.record("usersig.rule", decision.rule);
    let status = result.as_ref().map_or_else(|problem| problem.code.status(), Answer::status);
    span.record("http.response.status_code", status.as_u16());
    if let Err(problem) = result {
        span.record("error.type", problem.code.as_str());
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Counts a request while it is being answered, also one whose caller goes away meanwhile.
struct InFlight<'a>(&'a IntGauge);

impl<'a> InFlight<'a> {
    fn enter(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether somebody was given or refused a ticket: neither a stray path or method, nor a browser's question beforehand,
/// unless that is refused, since a page whose origin is not listed gets no further.
fn is_decision(route: Route, result: &Result<Answer, Problem>) -> bool {
    let is_question = match result {
        Ok(answer) => answer.status() == StatusCode::NO_CONTENT,
        Err(problem) => problem.code == Code::MethodNotAllowed,
    };
    route != Route::Other && !is_question
}

/// The answer with all that every answer carries: its id, and what keeps it out of caches, other pages and referrers.
pub(super) fn respond(id: RequestId, result: Result<Answer, Problem>) -> HttpResponse {
    let mut response = match result {
        Ok(Answer::Body { status, content_type, body }) => with_body(status, content_type, body),
        Ok(Answer::NoContent) => HttpResponse::new(StatusCode::NO_CONTENT),
        Ok(Answer::Preflight { methods, headers }) => preflight(methods, &headers),
        Err(problem) => refuse(&problem, id.as_str()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_REQUEST_ID, id.into_header());
    response
}

fn with_body(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::with_body(status, BoxBody::new(Bytes::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn preflight(methods: &'static str, allowed_headers: &str) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    let allowed = HeaderValue::from_str(allowed_headers).expect("the names of headers are a header value");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    response
}

fn refuse(problem: &Problem, request_id: &str) -> HttpResponse {
    let status = problem.code.status();
    let mut response = with_body(status, "application/problem+json", problem.body(request_id));
    let headers = response.headers_mut();
    if let Some(allow) = problem.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="usersig""#));
    }
    response
}

/// The one event of a decision. It names the key by its fingerprint and never holds a ticket, token or cookie.
fn audit(
    id: &RequestId,
    trace: Option<&TraceParent<'_>>,
    route: Route,
    decision: &Decision<'_>,
    problem: Option<&Problem>,
    duration_us: u64,
) {
    macro_rules! event {
        ($level:ident, $message:literal) => {
            $level!(
                target: "usersig::audit",
                request_id = id.as_str(),
                trace_id = trace.map(|trace| trace.trace_id),
                parent_id = trace.map(|trace| trace.parent_id),
                kind = route.as_str(),
                outcome = problem.map_or("issued", |problem| problem.code.as_str()),
                app = decision.app,
                rule = decision.rule,
                user = decision.user.as_deref(),
                expire = decision.issued.as_ref().map(|issued| issued.lifetime.as_secs()),
                key = decision.issued.as_ref().map(|issued| issued.signer.key.fingerprint()),
                step = problem.and_then(|problem| problem.step),
                cause = problem.and_then(|problem| problem.cause.as_deref()),
                duration_us,
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
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::public::Doors;
    use crate::http::{Lifecycle, OriginPolicy};
    use crate::limit::{Limiter, Limits};
    use crate::metrics::Metrics;

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
        let limits = Limits { per_user: None, burst: NonZeroU32::MIN, per_address: None, shared: None };
        let doors = Doors { origins: OriginPolicy::default(), limiter: Limiter::new(limits), trusted_hops: 0 };
        let (metrics, lifecycle) = (Metrics::default(), Arc::new(Lifecycle::default()));
        let state = PublicState::new(&[], Arc::new([]), doors, &metrics, lifecycle);
        let request = TestRequest::default().insert_header((X_REQUEST_ID, "the-request")).to_http_request();
        let panics = async |_: &RequestId, decision: &mut Decision<'_>| {
            decision.user = Some("alice".to_owned());
            panic!("a check that panics");
        };
        let response = actix_web::rt::System::new().block_on(answer(&state, &request, Route::UserSig, panics));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers().get(header::CACHE_CONTROL), Some(&HeaderValue::from_static("no-store")));
        let Ok(body) = actix_web::body::MessageBody::try_into_bytes(response.into_body()) else {
            panic!("a body of known length")
        };
        let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
        assert_eq!((&problem["code"], &problem["requestId"]), (&"internal_error".into(), &"the-request".into()));
        let text = String::from_utf8(metrics.render()).expect("text");
        assert!(text.contains("usersig_refusals_total{reason=\"internal_error\"} 1\n"), "{text}");
        assert!(text.contains("usersig_http_in_flight 0\n"), "{text}");
        assert!(!text.contains("usersig_tickets_total{"), "no ticket: {text}");
    }
}
