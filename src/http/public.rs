//! The public listener: what front ends reach.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Payload, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::exchange::{Answer, Decision, answer};
use super::problem::{Code, Problem};
use super::request::Asked;
use super::{ServedApp, State, address, credential, now};
use crate::session::{CheckError, CredentialSource};
use crate::ticket::{SdkAppId, UnixTime};

/// Puts the public routes into an actix application.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/v1/usersig").route(to(user_sig)))
        .service(resource("/v1/private-map-key").route(to(private_map_key)))
        .default_service(to(nothing_here));
}

async fn user_sig(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&state, &state.user_sig, &request, async |decision| {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return preflight(&state, &request, "GET, POST");
        }
        let asked = Asked::user_sig(&request, payload).await?;
        issue(&state, &request, &asked, decision).await
    })
    .await
}

async fn private_map_key(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&state, &state.private_map_key, &request, async |decision| {
        if *request.method() != Method::POST {
            return preflight(&state, &request, "POST");
        }
        let asked = Asked::private_map_key(&request, payload).await?;
        issue(&state, &request, &asked, decision).await
    })
    .await
}

async fn nothing_here(state: Data<State>, request: HttpRequest) -> HttpResponse {
    answer(&state, &state.elsewhere, &request, async |_| {
        Err(Problem::new(Code::NotFound, "tickets are at /v1/usersig and /v1/private-map-key"))
    })
    .await
}

/// The app that the caller names, or the only one.
fn app_of(state: &State, id: Option<SdkAppId>) -> Result<&ServedApp, Problem> {
    match (id, state.apps.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Problem::invalid_request("sdkAppId is missing; this service issues for several apps")),
        (Some(id), apps) => apps
            .iter()
            .find(|served| served.app.id == id)
            .ok_or_else(|| Problem::new(Code::UnknownApp, format!("sdkAppId {id} is not one of this service's apps"))),
    }
}

/// From headers to a ticket, and to what the log will say of it.
async fn issue<'a>(state: &'a State, request: &HttpRequest, asked: &Asked, decision: &mut Decision<'a>) -> Answer {
    let ServedApp { app, rules, metrics } = app_of(state, asked.app)?;
    decision.app = Some(app.id.get());
    let headers = request.headers();
    let rules = rules.iter().map(|place| &state.rules[*place]);
    let (watched, credential) = credential::present(rules, headers)
        .ok_or_else(|| Problem::new(Code::MissingCredential, "send the cookie or the token of a login session"))?;
    let rule = &watched.rule;
    decision.rule = Some(&rule.name);
    if matches!(rule.source, CredentialSource::Cookie(_)) && !state.origins.admits_cookie(headers) {
        return Err(Problem::new(
            Code::OriginDenied,
            "this page's origin is not in allowed_origins (outside a browser, send a token instead of the cookie)",
        ));
    }
    let now = now();
    let attempt = state.limiter.admit_address(address::of(request, state.trusted_hops))?;
    let recognised = async {
        let credential = credential.map_err(CheckError::from)?;
        let session = watched.check(&credential, now, decision.id.as_str()).await?;
        decision.user = Some(session.subject.clone());
        Ok(app.admit(session, rule, asked.asserted_user.as_deref(), now)?)
    };
    let recognised: Result<_, Problem> = recognised.await;
    if !recognised.as_ref().is_err_and(|problem| problem.code == Code::InvalidSession) {
        attempt.forgive();
    }
    let admitted = recognised?;
    decision.user = Some(admitted.user.as_str().to_owned());
    state.limiter.count_user(app.id, &admitted.user).await?;
    let issued = app.issue(&admitted, asked.room.as_ref(), asked.expire, now)?;
    let is_user_sig = asked.room.is_none();
    let count = if is_user_sig { &metrics.user_sigs } else { &metrics.private_map_keys };
    count.inc();
    let expire = issued.lifetime.as_secs();
    let answer = HttpResponse::Ok().content_type(HeaderValue::from_static("application/json")).json(TicketBody {
        sdk_app_id: app.id.get(),
        user_id: admitted.user.as_str(),
        user_sig: is_user_sig.then_some(&issued.ticket),
        private_map_key: (!is_user_sig).then_some(&issued.ticket),
        expire,
        issued_at: now,
        expires_at: now.plus(expire.into()),
        renew_at: now.plus(u64::from(expire) * 9 / 10),
    });
    decision.issued = Some(issued);
    Ok(answer)
}

/// What is answered with a ticket of either kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TicketBody<'a> {
    sdk_app_id: u32,
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_sig: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_map_key: Option<&'a str>,
    expire: u32,
    issued_at: UnixTime,
    expires_at: UnixTime,
    renew_at: UnixTime,
}

/// Answers a browser that asks whether a page of another origin may call, and refuses every other method.
fn preflight(state: &State, request: &HttpRequest, methods: &'static str) -> Answer {
    let headers = request.headers();
    let is_question =
        [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD].iter().all(|name| headers.contains_key(name));
    if *request.method() != Method::OPTIONS || !is_question {
        return Err(Problem::method_not_allowed(methods));
    }
    if state.origins.listed(headers).is_none() {
        return Err(Problem::new(Code::OriginDenied, "this origin is not in allowed_origins"));
    }
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
    answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, state.origins.request_headers.as_str()));
    answer.insert_header((header::ACCESS_CONTROL_MAX_AGE, 600));
    Ok(answer.finish())
}
