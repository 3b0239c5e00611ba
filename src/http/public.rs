//! The public listener: what front ends reach.

use std::sync::Arc;

use actix_web::http::{Method, header};
use actix_web::web::{Data, Payload, ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use prometheus::{IntCounter, IntGauge};
use serde::Serialize;

use super::exchange::{Answer, Decision, Route, answer};
use super::identity::RequestId;
use super::origin::OriginPolicy;
use super::problem::{Code, Problem};
use super::request::{PrivateMapKeyRequest, UserSigRequest};
use super::watched::WatchedRule;
use super::{Lifecycle, address, credential, now};
use crate::issue::{Admitted, App, Issued};
use crate::limit::Limiter;
use crate::metrics::{AppMetrics, Metrics, RouteMetrics};
use crate::session::{CheckContext, CredentialSource, Session};
use crate::ticket::{SdkAppId, UnixTime};

/// All that the public listener's workers share.
pub struct PublicState {
    apps: Vec<(Arc<App>, AppMetrics)>,
    rules: Arc<[WatchedRule]>,
    pub(super) doors: Doors,
    pub(super) routes: [RouteMetrics; Route::ALL.len()],
    /// One counter for each [`Code`], at its place.
    pub(super) refusals: Vec<IntCounter>,
    pub(super) in_flight: IntGauge,
    pub(super) connections: IntGauge,
    pub(super) connections_stalled: IntCounter,
    pub(super) lifecycle: Arc<Lifecycle>,
}

/// What a request must pass beside the check of its session.
pub struct Doors {
    /// Which pages may use a cookie.
    pub origins: OriginPolicy,
    /// How often is too often.
    pub limiter: Limiter,
    /// How many proxies are believed about a caller's address.
    pub trusted_hops: usize,
}

impl PublicState {
    /// Resolves every metric that a request may need.
    pub fn new(
        apps: &[Arc<App>],
        rules: Arc<[WatchedRule]>,
        doors: Doors,
        metrics: &Metrics,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        Self {
            apps: apps.iter().map(|app| (Arc::clone(app), metrics.app(app.id))).collect(),
            rules,
            doors,
            routes: Route::ALL.map(|route| metrics.route(route.as_str(), Route::answers())),
            refusals: Code::ALL.iter().map(|code| metrics.refusals.with_label_values(&[code.as_str()])).collect(),
            in_flight: metrics.in_flight.clone(),
            connections: metrics.connections.clone(),
            connections_stalled: metrics.connections_stalled.clone(),
            lifecycle,
        }
    }

    /// The limits, to be tidied now and then.
    pub fn limiter(&self) -> &Limiter {
        &self.doors.limiter
    }

    fn app(&self, id: Option<SdkAppId>) -> Result<&(Arc<App>, AppMetrics), Problem> {
        match (id, self.apps.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(Problem::invalid_request("sdkAppId is missing; this service issues for several apps")),
            (Some(id), apps) => apps.iter().find(|(app, _)| app.id == id).ok_or_else(|| {
                Problem::new(Code::UnknownApp, format!("sdkAppId {id} is not one of this service's apps"))
            }),
        }
    }
}

/// Puts the public routes into an actix application.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(resource("/v1/usersig").route(to(user_sig)))
        .service(resource("/v1/private-map-key").route(to(private_map_key)))
        .default_service(to(nothing_here));
}

async fn user_sig(state: Data<PublicState>, request: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&state, &request, Route::UserSig, async |id, decision| {
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return preflight(&state, &request, "GET, POST");
        }
        let asked = UserSigRequest::read(&request, payload).await?;
        let caller = recognise(&state, &request, &asked, id, decision).await?;
        let issued = caller.app.user_sig(&caller.admitted, asked.expire, caller.now);
        caller.metrics.user_sigs.inc();
        Ok(caller.answer(issued, |text| Ticket::UserSig(text), decision))
    })
    .await
}

async fn private_map_key(state: Data<PublicState>, request: HttpRequest, payload: Payload) -> HttpResponse {
    answer(&state, &request, Route::PrivateMapKey, async |id, decision| {
        if *request.method() != Method::POST {
            return preflight(&state, &request, "POST");
        }
        let PrivateMapKeyRequest { common, room, privileges } = PrivateMapKeyRequest::read(&request, payload).await?;
        let caller = recognise(&state, &request, &common, id, decision).await?;
        let Caller { app, admitted, session, now, .. } = &caller;
        let issued = app.private_map_key(admitted, session, &room, privileges, common.expire, *now)?;
        caller.metrics.private_map_keys.inc();
        Ok(caller.answer(issued, |text| Ticket::PrivateMapKey(text), decision))
    })
    .await
}

async fn nothing_here(state: Data<PublicState>, request: HttpRequest) -> HttpResponse {
    answer(&state, &request, Route::Other, async |_, _| {
        Err(Problem::new(Code::NotFound, "tickets are at /v1/usersig and /v1/private-map-key"))
    })
    .await
}

/// A caller whose session was recognised and to whom the app may issue.
struct Caller<'a> {
    app: &'a App,
    metrics: &'a AppMetrics,
    session: Session,
    admitted: Admitted,
    now: UnixTime,
}

/// From headers to an admitted user: everything that both kinds of ticket have in common.
async fn recognise<'a>(
    state: &'a PublicState,
    request: &HttpRequest,
    asked: &UserSigRequest,
    id: &RequestId,
    decision: &mut Decision<'a>,
) -> Result<Caller<'a>, Problem> {
    let (app, metrics) = state.app(asked.app)?;
    decision.app = Some(app.id.get());
    let headers = request.headers();
    let (watched, credential) = credential::present(&state.rules, headers)
        .ok_or_else(|| Problem::new(Code::MissingCredential, "send the cookie or the token of a login session"))?;
    let rule = &watched.rule;
    decision.rule = Some(&rule.name);
    if matches!(rule.source, CredentialSource::Cookie(_)) && !state.doors.origins.admits_cookie(headers) {
        return Err(Problem::new(
            Code::OriginDenied,
            "this page's origin is not in allowed_origins (outside a browser, send a token instead of the cookie)",
        ));
    }
    let now = now();
    let context = CheckContext { now, request_id: id.as_str() };
    let address = address::of(request, state.doors.trusted_hops);
    let attempt = state.doors.limiter.admit_address(address)?;
    let session = match credential {
        Ok(credential) => watched.check(&credential, &context).await,
        Err(denial) => Err(denial.into()),
    };
    let recognised = session.map_err(Problem::from).and_then(|session| {
        decision.user = Some(session.subject.clone());
        let admitted = app.admit(&session, rule, asked.asserted_user.as_deref(), now)?;
        Ok((session, admitted))
    });
    if recognised.as_ref().map_err(|problem| problem.code).err() != Some(Code::InvalidSession) {
        attempt.forgive();
    }
    let (session, admitted) = recognised?;
    decision.user = Some(admitted.user.as_str().to_owned());
    state.doors.limiter.count_user(app.id, &admitted.user).await?;
    Ok(Caller { app, metrics, session, admitted, now })
}

/// Answers a browser that asks whether a page of another origin may call, and refuses every other method.
fn preflight(state: &PublicState, request: &HttpRequest, methods: &'static str) -> Result<Answer, Problem> {
    let headers = request.headers();
    let is_question =
        [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD].iter().all(|name| headers.contains_key(name));
    if *request.method() != Method::OPTIONS || !is_question {
        return Err(Problem::method_not_allowed(methods));
    }
    if !state.doors.origins.admits_preflight(headers) {
        return Err(Problem::new(Code::OriginDenied, "this origin is not in allowed_origins"));
    }
    Ok(Answer::Preflight { methods, headers: state.doors.origins.request_headers().to_owned() })
}

/// The one field in which the two kinds of answer differ.
#[derive(Serialize)]
enum Ticket<'a> {
    #[serde(rename = "userSig")]
    UserSig(&'a str),
    #[serde(rename = "privateMapKey")]
    PrivateMapKey(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TicketBody<'a> {
    sdk_app_id: u32,
    user_id: &'a str,
    #[serde(flatten)]
    ticket: Ticket<'a>,
    expire: u32,
    issued_at: UnixTime,
    expires_at: UnixTime,
    renew_at: UnixTime,
}

impl Caller<'_> {
    /// The answer with what was issued, which the log is told of.
    fn answer(&self, issued: Issued, ticket: fn(&str) -> Ticket<'_>, decision: &mut Decision<'_>) -> Answer {
        let expire = issued.lifetime.as_secs();
        let answer = Answer::json(&TicketBody {
            sdk_app_id: self.app.id.get(),
            user_id: self.admitted.user.as_str(),
            ticket: ticket(&issued.ticket),
            expire,
            issued_at: self.now,
            expires_at: self.now.plus(expire.into()),
            renew_at: self.now.plus(u64::from(expire) * 9 / 10),
        });
        decision.issued = Some(issued);
        answer
    }
}
