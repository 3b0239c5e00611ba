//! The ops listener: probes, metrics and diagnosis. Never exposed by an ingress.

use std::sync::atomic::Ordering;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Payload, ServiceConfig, resource};
use actix_web::{HttpRequest, HttpResponse, Route};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::extract::body;
use crate::http::extract::parameters::Parameter;
use crate::http::middleware::finish;
use crate::http::problem::{Code, Problem};
use crate::http::{State, now};
use crate::ticket::{Expected, FieldError, SdkAppId, UnixTime, UnverifiedTicket, inspect};

/// Puts the ops routes into an actix application.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(get("/livez", |_| HttpResponse::Ok().json(json!({"status": "alive"}))))
        .service(get("/readyz", readyz))
        .service(get("/metrics", metrics))
        .service(get("/version", |_| {
            HttpResponse::Ok().json(json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}))
        }))
        .service(
            resource("/v1/inspect").post(inspect_ticket).default_service(web::to(only_post)).wrap(from_fn(finish)),
        );
}

/// A path at which there is something to read.
fn get(path: &'static str, answer: fn(&State) -> HttpResponse) -> impl HttpServiceFactory {
    let handler = move |state: Data<State>| async move { answer(&state) };
    resource(path).get(handler).head(handler).default_service(web::to(only_get)).wrap(from_fn(finish))
}

async fn only_get() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("GET, HEAD"))
}

async fn only_post() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("POST"))
}

/// Answers every path that is not one of [`routes`].
pub fn not_found() -> Route {
    web::to(no_such_path).wrap(from_fn(finish))
}

async fn no_such_path() -> Result<HttpResponse, Problem> {
    let detail = "the ops listener has /livez, /readyz, /metrics, /version and /v1/inspect";
    Err(Problem::new(Code::NotFound, detail))
}

fn readyz(state: &State) -> HttpResponse {
    let (status, phase) = if state.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if state.started.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    let rules: Vec<_> = state.rules.iter().map(|rule| rule.health()).collect();
    HttpResponse::build(status).json(json!({"status": phase, "rules": rules}))
}

fn metrics(state: &State) -> HttpResponse {
    for watched in &state.rules {
        if let Some(age) = watched.rule.key_set().and_then(|set| set.age()) {
            state.metrics.key_set_age.with_label_values(&[&watched.rule.name]).set(age.as_secs_f64());
        }
    }
    let text = state.metrics.render((state.dropped)());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

/// What is asked about a ticket.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct InspectParameters {
    ticket: Parameter,
    sdk_app_id: Parameter,
    user_id: Parameter,
    at: Parameter,
}

/// Inspects a ticket with the key of the app that the caller names, or else the ticket itself.
async fn inspect_ticket(state: Data<State>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let parameters: InspectParameters = body::json(&request, payload.into_inner()).await?;
    let ticket = parameters.ticket.parse("ticket", "is text", Value::as_str)?;
    let ticket = ticket.ok_or_else(|| Problem::invalid_request("ticket is missing"))?;
    let app: Option<SdkAppId> = parameters
        .sdk_app_id
        .parse("sdkAppId", FieldError::SdkAppId, |app| parameters.sdk_app_id.whole(app)?.try_into().ok())?;
    let at = parameters.at.parse("at", format_args!("is Unix seconds, 0 to {MAX_EXACT}"), |at| {
        parameters.at.whole(at).filter(|seconds| *seconds <= MAX_EXACT)
    })?;
    let named =
        app.map(SdkAppId::get).or_else(|| UnverifiedTicket::decode(ticket).ok().map(|ticket| ticket.fields.sdk_app_id));
    let signer = state.apps.iter().find(|served| Some(served.app.id.get()) == named).map(|served| served.app.signer());
    let expected = Expected {
        app,
        key: signer.as_ref().map(|signer| &signer.key),
        user: parameters.user_id.parse("userId", "is text", Value::as_str)?,
        at: at.map_or_else(now, UnixTime::from_secs),
    };
    Ok(HttpResponse::Ok().json(inspect(ticket, &expected)))
}

/// The largest whole number that every JSON reader keeps exact (RFC 8259, 6).
const MAX_EXACT: u64 = (1 << 53) - 1;
