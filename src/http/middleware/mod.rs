//! What happens around every handler: the request gets an id, a span and a timer; its answer is counted, logged once and
//! given the headers that every answer has. A handler that panics is answered like one that fails.

pub(crate) mod audit;
pub(crate) mod cors;
pub(crate) mod metrics;
pub(crate) mod request_id;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use tracing::{Instrument, Span, field, info_span};

use super::State;
use super::problem::{Code, Problem};
use crate::telemetry::metrics::Counted;
use crate::telemetry::trace::{self, Traceparent};
use crate::ticket::SdkAppId;
use audit::{Issuance, Outcome};
use metrics::Route;
use request_id::{RequestId, X_REQUEST_ID};

/// Around every handler of the public listener.
pub(crate) async fn observe(
    state: Data<State>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse, Error> {
    let start = Instant::now();
    let _in_flight = Counted::new(&state.metrics.in_flight);
    let id = RequestId::of(request.headers());
    let route = state.routes.of(request.path());
    let trace = request.headers().get(trace::TRACEPARENT).and_then(|value| Traceparent::parse(value.as_bytes()));
    let reader = state.origins.listed(request.headers()).cloned();
    let span = span(&request, route, &id, trace.as_ref());
    request.extensions_mut().insert(id.clone());
    let (request, mut response) = run(request, next).instrument(span.clone()).await;

    let issuance = response.extensions_mut().remove::<Issuance>();
    let problem = response.error().and_then(Error::as_error::<Problem>);
    let outcome = match (&issuance, problem) {
        (_, Some(problem)) => Outcome::Refused(problem),
        (Some(issuance), None) => Outcome::Issued(issuance),
        (None, None) => Outcome::Other,
    };
    let took = start.elapsed();
    route.count(&outcome, took);
    record(&span, &outcome);
    if let Outcome::Refused(Problem { code, .. }) = outcome
        && route.decides(*code)
    {
        state.refusals[*code as usize].inc();
    }
    audit::log(&state.sampler, &id, route, trace.as_ref(), &outcome, took);

    let mut response = match problem {
        Some(problem) => problem.response(&id),
        None => response,
    };
    guard(response.headers_mut(), id);
    state.origins.expose(reader, response.headers_mut());
    if state.draining.load(Ordering::Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    answer(request, response)
}

/// Around every handler that is neither counted nor logged: those of the ops listener and of the demo.
pub(crate) async fn finish(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse, Error> {
    let id = RequestId::of(request.headers());
    let (request, response) = run(request, next).await;
    let mut response = match response.error().and_then(Error::as_error::<Problem>) {
        Some(problem) => problem.response(&id),
        None => response,
    };
    guard(response.headers_mut(), id);
    answer(request, response)
}

/// Calls the handler. Where it panics, or actix refuses to call it, no request is left to go with the answer.
async fn run(request: ServiceRequest, next: Next<BoxBody>) -> (Option<HttpRequest>, HttpResponse) {
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(Ok(response)) => {
            let (request, response) = response.into_parts();
            (Some(request), response)
        }
        Ok(Err(error)) => (None, HttpResponse::from_error(error)),
        Err(_panic) => {
            let detail = "the operator finds the cause in the log by the requestId";
            (None, HttpResponse::from_error(Problem::new(Code::InternalError, detail)))
        }
    }
}

/// An answer without its request is one that actix takes as an error.
fn answer(request: Option<HttpRequest>, response: HttpResponse) -> Result<ServiceResponse, Error> {
    match request {
        Some(request) => Ok(ServiceResponse::new(request, response)),
        None => Err(InternalError::from_response("the handler did not return", response).into()),
    }
}

/// The headers of every answer: its id, and what keeps it out of caches, other pages and referrers.
fn guard(headers: &mut HeaderMap, id: RequestId) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_REQUEST_ID, id.0);
}

/// The server span of a request, with the names of OpenTelemetry's conventions.
fn span(request: &ServiceRequest, route: &Route, id: &RequestId, trace: Option<&Traceparent>) -> Span {
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
    trace::continue_from(&span, trace);
    span
}

/// Adds to the span what is known when the request is answered.
fn record(span: &Span, outcome: &Outcome<'_>) {
    if span.is_disabled() {
        return;
    }
    let status = match outcome {
        Outcome::Issued(issuance) => {
            span.record("usersig.app", issuance.app.get());
            span.record("usersig.rule", &*issuance.rule);
            StatusCode::OK
        }
        Outcome::Refused(problem) => {
            span.record("usersig.app", problem.context.app.map(SdkAppId::get));
            span.record("usersig.rule", problem.context.rule.as_deref());
            span.record("error.type", problem.code.as_str());
            problem.code.status()
        }
        Outcome::Other => StatusCode::NO_CONTENT,
    };
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests;
