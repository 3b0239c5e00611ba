//! The ops listener: probes, metrics and diagnosis. Never exposed by an ingress.

use std::sync::atomic::Ordering;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse, Resource};
use serde_json::json;

use super::exchange::{reply, respond};
use super::identity::RequestId;
use super::problem::{Code, Problem};
use super::request::{Given, read_body};
use super::{State, WatchedRule, now};
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
        .service(resource("/v1/inspect").route(to(inspect_ticket)));
}

/// A path at which there is something to look at.
fn get(path: &str, answer: fn(&State) -> HttpResponse) -> Resource {
    resource(path).route(to(move |state: Data<State>, request: HttpRequest| async move {
        reply(&request, "GET, HEAD", async { Ok(answer(&state)) }).await
    }))
}

/// Answers every path that is none of [`routes`].
pub async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let detail = "the ops listener has /livez, /readyz, /metrics, /version and /v1/inspect";
    respond(RequestId::of(request.headers()), Err(Problem::new(Code::NotFound, detail)))
}

fn readyz(state: &State) -> HttpResponse {
    let (status, phase) = if state.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if state.started.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting")
    };
    let rules: Vec<_> = state.rules.iter().map(WatchedRule::health).collect();
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

/// Inspects a ticket with the key of the app that the caller names, or else the ticket itself.
async fn inspect_ticket(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    reply(&request, "POST", async {
        let [ticket, app, user, at] =
            read_body(&request, payload, [&["ticket"], &["sdkAppId"], &["userId"], &["at"]]).await?;
        let ticket = ticket.read("is text", Given::text)?;
        let ticket = ticket.ok_or_else(|| Problem::invalid_request("ticket is missing"))?;
        let app: Option<SdkAppId> = app.read(FieldError::SdkAppId, |app| app.whole()?.try_into().ok())?;
        let at = at.read(format_args!("is Unix seconds, 0 to {MAX_EXACT}"), |at| {
            at.whole().filter(|seconds| *seconds <= MAX_EXACT)
        })?;
        let named = app
            .map(SdkAppId::get)
            .or_else(|| UnverifiedTicket::decode(ticket).ok().map(|ticket| ticket.fields.sdk_app_id));
        let signer =
            state.apps.iter().find(|served| Some(served.app.id.get()) == named).map(|served| served.app.signer());
        let expected = Expected {
            app,
            key: signer.as_ref().map(|signer| &signer.key),
            user: user.read("is text", Given::text)?,
            at: at.map_or_else(now, UnixTime::from_secs),
        };
        Ok(HttpResponse::Ok().json(inspect(ticket, &expected)))
    })
    .await
}

/// The largest whole number that every JSON reader keeps exact (RFC 8259, 6).
const MAX_EXACT: u64 = (1 << 53) - 1;
