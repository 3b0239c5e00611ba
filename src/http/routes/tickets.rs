//! The public listener: from a request to a ticket.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::header::HeaderValue;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig, resource};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;

use crate::http::extract::parameters::{PrivateMapKeyParameters, TicketRequest, UserSigParameters};
use crate::http::extract::{address, credential};
use crate::http::middleware::audit::Issuance;
use crate::http::middleware::cors::preflight;
use crate::http::middleware::observe;
use crate::http::middleware::request_id::RequestId;
use crate::http::problem::{Code, Context, Problem};
use crate::http::{ServedApp, State, now};
use crate::issue::{Admitted, Issued, Ticket};
use crate::limit::{Attempt, RateLimited};
use crate::session::{CheckError, CredentialSource, QuestionKey};
use crate::ticket::{SdkAppId, UnixTime, UserId};

/// Puts the public routes into an actix application.
pub fn routes(config: &mut ServiceConfig) {
    let user_sig_route = resource("/v1/usersig").get(user_sig).post(user_sig);
    let private_map_key_route = resource("/v1/private-map-key").post(private_map_key);
    config
        .service(user_sig_route.default_service(web::to(other_method_of_user_sig)).wrap(from_fn(observe)))
        .service(private_map_key_route.default_service(web::to(other_method_of_private_map_key)).wrap(from_fn(observe)))
        .default_service(web::to(not_found).wrap(from_fn(observe)));
}

/// `GET` and `POST /v1/usersig`.
async fn user_sig(
    state: Data<State>,
    request: HttpRequest,
    UserSigParameters(wanted): UserSigParameters,
) -> Result<TicketResponse, Problem> {
    issue_ticket(&state, &request, &wanted).await
}

/// `POST /v1/private-map-key`.
async fn private_map_key(
    state: Data<State>,
    request: HttpRequest,
    PrivateMapKeyParameters(wanted): PrivateMapKeyParameters,
) -> Result<TicketResponse, Problem> {
    issue_ticket(&state, &request, &wanted).await
}

async fn other_method_of_user_sig(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    preflight(&state, &request, "GET, POST")
}

async fn other_method_of_private_map_key(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    preflight(&state, &request, "POST")
}

async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(Code::NotFound, "tickets are at /v1/usersig and /v1/private-map-key"))
}

/// The way of a request: app → credential → origin → address limit → session check → policy → user limit → ticket.
async fn issue_ticket(state: &State, request: &HttpRequest, wanted: &TicketRequest) -> Result<TicketResponse, Problem> {
    let served = find_app(state, wanted.app)?;
    let app = &served.app;
    let mut context = Context { app: Some(app.id), ..Context::default() };
    let rules = served.rules.iter().map(|place| &state.rules[*place]);
    let Some((rule, credential)) = credential::find(rules, request.headers()) else {
        let problem = Problem::new(Code::MissingCredential, "send the cookie or the token of a login session");
        return Err(problem.within(context));
    };
    context.rule = Some(Arc::clone(&rule.name));
    if matches!(rule.rule.source, CredentialSource::Cookie(_)) && !state.origins.admits_cookie(request.headers()) {
        let detail =
            "this page's origin is not in allowed_origins (outside a browser, send a token instead of the cookie)";
        return Err(Problem::new(Code::OriginDenied, detail).within(context));
    }
    let now = now();
    let question = credential.as_ref().ok().and_then(|credential| rule.question(credential));
    let address = address::of(request, state.trusted_hops);
    let of_rule = |problem: Problem| problem.within(context.clone());
    let attempt = admit(state, app.id, address, question).map_err(|limited| of_rule(limited.into()))?;
    let recognised = async {
        let credential = credential.map_err(CheckError::from)?;
        let share = address::share(state, request, address);
        let request_id = RequestId::of_request(request);
        let session = rule.check(credential, question, share, now, request_id.as_str()).await?;
        Ok(app.admit(session, &rule.rule.user_prefix, wanted.asserted_user.as_deref(), now)?)
    };
    let recognised: Result<Admitted, Problem> = recognised.await;
    if !matches!(&recognised, Err(problem) if problem.code == Code::InvalidSession) {
        attempt.disarm();
    }
    let admitted = recognised.map_err(of_rule)?;
    let refuse = |problem: Problem| of_rule(problem.of(&admitted.user));
    if let Err(limited) = state.limiter.count_user(app.id, &admitted.user).await {
        if let Some(question) = question {
            state.limiter.remember(app.id, question, limited);
        }
        return Err(refuse(limited.into()));
    }
    let issued = app.issue(&admitted, wanted.room.as_ref(), wanted.expire, now);
    let issued = issued.map_err(|refusal| refuse(refusal.into()))?;
    match issued.ticket {
        Ticket::UserSig(_) => served.metrics.user_sigs.inc(),
        Ticket::PrivateMapKey(_) => served.metrics.private_map_keys.inc(),
    }
    Ok(TicketResponse { app: app.id, rule: Arc::clone(&rule.name), user: admitted.user, issued, issued_at: now })
}

/// The app that the caller names, or the only one.
fn find_app(state: &State, id: Option<SdkAppId>) -> Result<&ServedApp, Problem> {
    match (id, state.apps.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Problem::invalid_request("sdkAppId is missing; this service issues for several apps")),
        (Some(id), apps) => apps
            .iter()
            .find(|served| served.app.id == id)
            .ok_or_else(|| Problem::new(Code::UnknownApp, format!("sdkAppId {id} is not one of this service's apps"))),
    }
}

/// Lets a credential be checked, unless too many from its address have failed, or its user is over the limit.
fn admit(
    state: &State,
    app: SdkAppId,
    address: IpAddr,
    question: Option<QuestionKey>,
) -> Result<Attempt<'_>, RateLimited> {
    let attempt = state.limiter.admit_address(address)?;
    if let Some(question) = question
        && let Err(limited) = state.limiter.admit_question(app, question)
    {
        attempt.disarm();
        return Err(limited);
    }
    Ok(attempt)
}

/// A ticket of either kind, with the values that must go with it into the SDK.
struct TicketResponse {
    app: SdkAppId,
    rule: Arc<str>,
    user: UserId,
    issued: Issued,
    issued_at: UnixTime,
}

impl Responder for TicketResponse {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
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
        let Self { app, rule, user, issued: Issued { ticket, lifetime, signer }, issued_at } = self;
        let (user_sig, private_map_key) = match &ticket {
            Ticket::UserSig(ticket) => (Some(ticket.as_str()), None),
            Ticket::PrivateMapKey(ticket) => (None, Some(ticket.as_str())),
        };
        let expire = lifetime.as_secs();
        let mut response = HttpResponse::Ok().content_type(HeaderValue::from_static("application/json")).json(Body {
            sdk_app_id: app.get(),
            user_id: user.as_str(),
            user_sig,
            private_map_key,
            expire,
            issued_at,
            expires_at: issued_at.plus(expire.into()),
            renew_at: issued_at.plus(u64::from(expire) * 9 / 10),
        });
        response.extensions_mut().insert(Issuance { app, rule, user, lifetime, signer });
        response
    }
}
