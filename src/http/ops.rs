//! The ops listener: probes, metrics and diagnosis. Never exposed by an ingress.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::exchange::{Answer, reply, respond};
use super::identity::RequestId;
use super::problem::{Code, Problem};
use super::request::{Whole, parse_object, read_json, some};
use super::{Lifecycle, WatchedRule, now};
use crate::issue::App;
use crate::metrics::Metrics;
use crate::ticket::{Expected, Inspection, SdkAppId, UnixTime, UnverifiedTicket, inspect};

/// All that the ops listener reads.
pub struct OpsState {
    /// The apps, for their keys.
    pub apps: Vec<Arc<App>>,
    /// The rules, for what was last seen of their back ends.
    pub rules: Arc<[WatchedRule]>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` shows.
    pub lifecycle: Arc<Lifecycle>,
}

/// Puts the ops routes into an actix application.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/livez").route(to(livez)))
        .service(resource("/readyz").route(to(readyz)))
        .service(resource("/metrics").route(to(metrics)))
        .service(resource("/version").route(to(version)))
        .service(resource("/v1/inspect").route(to(inspect_ticket)));
}

/// Answers every path that is none of [`routes`].
pub async fn nothing_here(request: HttpRequest) -> HttpResponse {
    let detail = "the ops listener has /livez, /readyz, /metrics, /version and /v1/inspect";
    respond(RequestId::of(request.headers()), Err(Problem::new(Code::NotFound, detail)))
}

const GET: &str = "GET, HEAD";

async fn livez(request: HttpRequest) -> HttpResponse {
    reply(&request, GET, async { Ok(Answer::json(&json!({"status": "alive"}))) }).await
}

async fn readyz(state: Data<OpsState>, request: HttpRequest) -> HttpResponse {
    reply(&request, GET, async {
        let status = if state.lifecycle.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let rules: Vec<_> = state.rules.iter().map(WatchedRule::health).collect();
        let body = json!({"status": state.lifecycle.as_str(), "rules": rules}).to_string().into_bytes();
        Ok(Answer::Body { status, content_type: "application/json", body })
    })
    .await
}

async fn metrics(state: Data<OpsState>, request: HttpRequest) -> HttpResponse {
    reply(&request, GET, async {
        for watched in state.rules.iter() {
            if let Some(age) = watched.rule.key_set().and_then(|set| set.age()) {
                state.metrics.key_set_age.with_label_values(&[&watched.rule.name]).set(age.as_secs_f64());
            }
        }
        let body = state.metrics.render();
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        Ok(Answer::Body { status: StatusCode::OK, content_type, body })
    })
    .await
}

async fn version(request: HttpRequest) -> HttpResponse {
    let version = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
    reply(&request, GET, async { Ok(Answer::json(&version)) }).await
}

async fn inspect_ticket(state: Data<OpsState>, request: HttpRequest, payload: Payload) -> HttpResponse {
    reply(&request, "POST", async {
        let json = read_json(&request, payload).await?;
        judge(&state, &json).map(|inspection| Answer::json(&inspection))
    })
    .await
}

/// The largest whole number that every JSON reader keeps exact (RFC 8259, 6).
const MAX_EXACT: u64 = (1 << 53) - 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct InspectRequest {
    ticket: String,
    #[serde(default, deserialize_with = "some")]
    sdk_app_id: Option<Whole>,
    #[serde(default, deserialize_with = "some")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "some")]
    at: Option<Whole>,
}

/// Inspects a ticket with the key of the app that the caller names, or else the ticket itself.
fn judge(state: &OpsState, json: &[u8]) -> Result<Inspection, Problem> {
    let asked: InspectRequest = parse_object(json)?;
    let app = asked.sdk_app_id.map(|Whole(id)| SdkAppId::try_from(id)).transpose();
    let app = app.map_err(|error| Problem::invalid_request(format!("sdkAppId {error}")))?;
    if asked.at.is_some_and(|Whole(seconds)| seconds > MAX_EXACT) {
        return Err(Problem::invalid_request(format!("at is Unix seconds, 0 to {MAX_EXACT}")));
    }
    let named = app
        .map(SdkAppId::get)
        .or_else(|| UnverifiedTicket::decode(&asked.ticket).ok().map(|ticket| ticket.fields.sdk_app_id));
    let signer = state.apps.iter().find(|known| Some(known.id.get()) == named).map(|known| known.signer());
    Ok(inspect(
        &asked.ticket,
        &Expected {
            app,
            key: signer.as_ref().map(|signer| &signer.key),
            user: asked.user_id.as_deref(),
            at: asked.at.map_or_else(now, |Whole(seconds)| UnixTime::from_secs(seconds)),
        },
    ))
}
