use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, web};

use super::*;
use crate::limit::Limiter;
use crate::telemetry::metrics::Metrics;

async fn panics() -> HttpResponse {
    panic!("a handler");
}

/// What a client receives, be it a response to actix or an error.
fn response(result: Result<ServiceResponse, Error>) -> HttpResponse {
    result.map_or_else(|error| error.error_response(), |response| response.into_parts().1)
}

#[tokio::test]
async fn a_panic_on_the_ops_listener_is_a_problem() {
    let app = init_service(App::new().service(web::resource("/").get(panics).wrap(from_fn(finish)))).await;
    let response = response(try_call_service(&app, TestRequest::default().to_request()).await);
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/problem+json"));
}

/// No known request makes a check panic, so this one stands in for all that are not known.
#[tokio::test]
async fn case_34_a_panic_inside_a_check_fails_closed() {
    let state =
        State::new(Vec::new(), Vec::new(), Vec::new(), Limiter::default(), 0, Metrics::default(), Arc::new(|| 0));
    let state = Data::new(state);
    let route = web::resource("/v1/usersig").get(panics).wrap(from_fn(observe));
    let app = init_service(App::new().app_data(state.clone()).service(route)).await;
    let request = TestRequest::with_uri("/v1/usersig").insert_header((X_REQUEST_ID, "the-request"));
    let response = response(try_call_service(&app, request.to_request()).await);
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers().get(header::CACHE_CONTROL), Some(&HeaderValue::from_static("no-store")));
    let Ok(body) = response.into_body().try_into_bytes() else { panic!("a body of known length") };
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
    assert_eq!((&problem["code"], &problem["requestId"]), (&"internal_error".into(), &"the-request".into()));
    let text = state.metrics.render(0);
    assert!(text.contains("usersig_refusals_total{reason=\"internal_error\"} 1\n"), "{text}");
    assert!(text.contains("usersig_http_in_flight 0\n"), "{text}");
    assert!(!text.contains("usersig_tickets_total{"), "no ticket: {text}");
}
