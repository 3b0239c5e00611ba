//! What `usersig demo` adds to the service: a page, and a back end that logs in whoever asks.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::guard::{GuardContext, fn_guard};
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Payload, ServiceConfig, resource, scope};
use actix_web::{HttpRequest, HttpResponse};
use jsonwebtoken::{EncodingKey, Header};
use serde::Deserialize;
use serde_json::json;

use crate::http::extract::body;
use crate::http::extract::parameters::Parameter;
use crate::http::middleware::finish;
use crate::http::now;
use crate::http::problem::{Code, Problem};
use crate::ticket::{SdkAppId, UnixTime, UserId};

/// The cookie that holds a demo session.
pub(super) const COOKIE: &str = "usersig_demo";

/// How long a demo session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The page contains all that it needs, and sends requests to its own host alone.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The demo's back end: it signs sessions with a key of its own.
pub(super) struct Demo {
    session_key: EncodingKey,
    page: String,
    hosts: [String; 2],
}

impl Demo {
    /// A demo for `app` at `address`, whose rules verify tokens of `session_secret`.
    pub(super) fn new(app: SdkAppId, is_real_app: bool, session_secret: &[u8], address: SocketAddr) -> Self {
        let page = include_str!("page.html")
            .replace("__SDK_APP_ID__", &app.to_string())
            .replace("__REAL_APP__", &is_real_app.to_string());
        let hosts = [address.to_string(), format!("localhost:{}", address.port())];
        Self { session_key: EncodingKey::from_secret(session_secret), page, hosts }
    }

    /// Whether a request's `Host` is one of the demo's own; HTTP clients leave out port 80.
    fn is_own(&self, host: &str) -> bool {
        let is_it = |name: &str| name.eq_ignore_ascii_case(host);
        self.hosts.iter().any(|own| is_it(own) || own.strip_suffix(":80").is_some_and(is_it))
    }

    /// A session of `user`, as a customer's back end would issue it, and when it ends.
    pub(super) fn session(&self, user: &UserId, now: UnixTime) -> (String, UnixTime) {
        let expires_at = now.plus(SESSION.as_secs());
        let claims = json!({"sub": user.as_str(), "iat": now, "exp": expires_at});
        let token = jsonwebtoken::encode(&Header::default(), &claims, &self.session_key);
        (token.expect("HS256 signs with any secret"), expires_at)
    }
}

/// Puts the demo's routes into an actix application.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        // The first service that takes a request answers it.
        .service(scope("").guard(fn_guard(is_foreign)).default_service(web::to(refuse)).wrap(from_fn(finish)))
        .service(resource("/").get(page).head(page).default_service(web::to(only_get)).wrap(from_fn(finish)))
        .service(
            resource("/demo/session")
                .post(log_in)
                .delete(log_out)
                .default_service(web::to(only_post_or_delete))
                .wrap(from_fn(finish)),
        );
}

/// Whether a request comes under another host name: a foreign page could have its own name lead to this machine (DNS
/// rebinding).
fn is_foreign(request: &GuardContext<'_>) -> bool {
    let host = request.head().headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    !request.app_data::<Data<Demo>>().is_some_and(|demo| demo.is_own(host))
}

async fn refuse(demo: Data<Demo>) -> Result<HttpResponse, Problem> {
    let detail = format!("the demo answers under {} only", demo.hosts.join(", "));
    Err(Problem::new(Code::OriginDenied, detail))
}

async fn only_get() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("GET, HEAD"))
}

async fn only_post_or_delete() -> Result<HttpResponse, Problem> {
    Err(Problem::method_not_allowed("POST, DELETE"))
}

async fn page(demo: Data<Demo>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/html; charset=utf-8").insert_header((header::CONTENT_SECURITY_POLICY, POLICY));
    response.body(demo.page.clone())
}

/// What the demo's back end is asked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SessionParameters {
    #[serde(default)]
    user_id: Parameter,
}

/// Logs a user in, as the customer's own back end does in earnest.
async fn log_in(demo: Data<Demo>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, Problem> {
    let parameters: SessionParameters = body::json(&request, payload.into_inner()).await?;
    let accepted = "is 1 to 32 letters, digits, _ or -";
    let user = parameters.user_id.parse("userId", accepted, |user| user.as_str()?.parse::<UserId>().ok())?;
    let user = user.ok_or_else(|| Problem::invalid_request("userId is missing"))?;
    let (token, expires_at) = demo.session(&user, now());
    let answer = json!({"userId": user.as_str(), "token": token, "expiresAt": expires_at});
    Ok(HttpResponse::Ok().insert_header(cookie(&token, SESSION.as_secs())).json(answer))
}

/// Logs the user out.
async fn log_out() -> HttpResponse {
    HttpResponse::NoContent().insert_header(cookie("", 0)).finish()
}

fn cookie(token: &str, age: u64) -> (header::HeaderName, String) {
    (header::SET_COOKIE, format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_may_be_left_out_and_no_other() {
        let app = SdkAppId::try_from(1).expect("an SDKAppID");
        let at = |address: &str| Demo::new(app, false, b"secret", address.parse().expect("an address"));
        for (address, host) in [("127.0.0.2:80", "127.0.0.2"), ("[::1]:80", "[::1]"), ("127.0.0.1:80", "LocalHost")] {
            assert!(at(address).is_own(host) && at(address).is_own(&format!("{host}:80")), "{host}");
        }
        for (address, host) in [("127.0.0.1:8080", "127.0.0.1"), ("127.0.0.1:80", "evil.example"), ("[::1]:80", "")] {
            assert!(!at(address).is_own(host), "{host}");
        }
    }
}
