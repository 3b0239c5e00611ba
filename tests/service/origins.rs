//! Which pages may use a cookie, and what their browsers are told.

use serde_json::json;

use crate::support::client::Answer;
use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

const LISTED: &str = "https://m.example.com";

/// Origins that look like [`LISTED`] and are not, or that are none.
const FOREIGN: [&str; 17] = [
    "https://evil.example",
    "https://m.example.com.evil.example",
    "https://evilm.example.com",
    "https://example.com",
    "https://sub.m.example.com",
    "http://m.example.com",
    "https://m.example.com:8443",
    "https://m.example.com:443",
    "https://m.example.com/",
    "https://M.example.com",
    "HTTPS://m.example.com",
    "https://m.example.com.",
    "m.example.com",
    "null",
    "*",
    "https://m.example.com https://evil.example",
    "https://m.example.com, https://evil.example",
];

fn start() -> Service {
    let server = "[server]\nallowed_origins = [\"https://m.example.com\", \"http://127.0.0.1:5173\"]\n";
    Setup::new(
        [server, parts::ONE_APP, parts::COOKIE, "user_prefix = \"c\"\n", parts::HEADER, "user_prefix = \"h\"\n"]
            .concat(),
    )
    .start()
}

#[track_caller]
fn assert_readable_by(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
    assert!(varies_by_origin(answer), "{answer:?}");
}

/// Asserts that a browser lets no foreign page read the answer.
#[track_caller]
fn assert_not_readable(answer: &Answer) {
    let cors = answer.headers.iter().filter(|(name, _)| name.starts_with("access-control-"));
    assert_eq!(cors.count(), 0, "{answer:?}");
    assert!(varies_by_origin(answer), "a cache must not give it to a listed page: {answer:?}");
}

fn varies_by_origin(answer: &Answer) -> bool {
    let vary = answer.header("vary").unwrap_or_default().to_ascii_lowercase();
    vary.split(',').any(|name| name.trim() == "origin")
}

#[track_caller]
fn assert_exposed(answer: &Answer) {
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
    let exposed: Vec<_> = exposed.split(',').map(str::trim).collect();
    assert!(exposed.contains(&"retry-after") && exposed.contains(&"x-request-id"), "{exposed:?}");
}

#[test]
fn a_page_of_the_same_origin_may_use_the_cookie() {
    let service = start();
    for method in ["GET", "POST"] {
        let call = service.public.call(method, "/v1/usersig").same_origin().cookie("sid", &session("1"));
        let answer = call.send();
        answer.ok();
        assert_not_readable(&answer);
        // Browsers name the origin in POSTs to it too; it need not be listed.
        let call = service.public.call(method, "/v1/usersig").same_origin().cookie("sid", &session("1"));
        call.header("origin", "https://im.example.com").send().ok();
    }
}

#[test]
fn a_page_of_a_listed_origin_may_use_the_cookie_and_read_the_answer() {
    let service = start();
    for origin in [LISTED, "http://127.0.0.1:5173"] {
        for method in ["GET", "POST"] {
            let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
            let answer = call.origin(origin).send();
            answer.ok();
            assert_readable_by(&answer, origin);
            assert_exposed(&answer);
            // Old browsers send no Sec-Fetch-Site.
            let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
            call.header("origin", origin).send().ok();
        }
    }
}

#[test]
fn no_other_page_may_use_the_cookie() {
    let service = start();
    for method in ["GET", "POST"] {
        for origin in FOREIGN {
            let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
            let answer = call.origin(origin).send();
            answer.refused(403, "origin_denied");
            assert_not_readable(&answer);
        }
        for site in ["cross-site", "same-site", "none", "Same-Origin", "same-origin, cross-site", ""] {
            let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
            call.header("sec-fetch-site", site).send().refused(403, "origin_denied");
        }
        let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
        call.header("origin", LISTED).header("origin", "https://evil.example").send().refused(403, "origin_denied");
        let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
        call.header("origin", "https://evil.example").header("origin", LISTED).send().refused(403, "origin_denied");
    }
}

#[test]
fn a_cookie_from_nowhere_is_denied() {
    let service = start();
    for method in ["GET", "POST"] {
        let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
        call.send().refused(403, "origin_denied");
        let call = service.public.call(method, "/v1/usersig").cookie("sid", &session("1"));
        call.header("referer", "https://m.example.com/page").send().refused(403, "origin_denied");
    }
}

#[test]
fn a_header_needs_no_origin() {
    let service = start();
    let token = session("1");
    for origin in FOREIGN {
        let answer = service.public.post("/v1/usersig").header("x-token", &token).origin(origin).send();
        assert_eq!(answer.ok()["userId"], "h1");
        assert_not_readable(&answer);
    }
    assert_eq!(service.public.post("/v1/usersig").header("x-token", &token).send().ok()["userId"], "h1");
}

#[test]
fn every_answer_can_be_read_by_a_listed_page() {
    let service = start();
    let token = session("1");
    let large = " ".repeat(20_000);
    for (call, status) in [
        (service.public.post("/v1/usersig").cookie("sid", &token), 200),
        (service.public.post("/v1/usersig").body("text/plain", "x"), 415),
        (service.public.post("/v1/usersig").body("application/json", large), 413),
        (service.public.post("/v1/usersig").json(json!({"x": 1})), 400),
        (service.public.get("/v1/usersig?x=1"), 400),
        (service.public.get("/v1/usersig"), 401),
        (service.public.get("/v1/usersig").cookie("sid", "broken"), 401),
        (service.public.get("/v1/usersig?userId=bob").cookie("sid", &token), 403),
        (service.public.get("/v1/usersig").cookie("sid", &session("a b")), 422),
        (service.public.get("/v1/usersig?sdkAppId=1"), 404),
        (service.public.get("/nowhere"), 404),
        (service.public.call("PUT", "/v1/usersig"), 405),
        (service.public.get("/v1/private-map-key"), 405),
        (service.public.post("/v1/private-map-key").json(json!({"roomId": 1})).cookie("sid", &token), 403),
    ] {
        let answer = call.origin(LISTED).send();
        assert_eq!(answer.status, status);
        assert_readable_by(&answer, LISTED);
        assert_exposed(&answer);
        answer.assert_guarded();
    }
}

#[test]
fn a_preflight_of_a_listed_page_is_answered_without_credentials() {
    let service = start();
    for (path, methods) in [("/v1/usersig", "GET, POST"), ("/v1/private-map-key", "POST")] {
        let call = service.public.call("OPTIONS", path).origin(LISTED).header("access-control-request-method", "POST");
        let answer = call.header("access-control-request-headers", "authorization,content-type,x-token").send();
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(answer.body.is_empty());
        answer.assert_guarded();
        assert_readable_by(&answer, LISTED);
        assert_eq!(answer.header("access-control-allow-methods"), Some(methods));
        let headers = answer.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
        let headers: Vec<_> = headers.split(',').map(str::trim).collect();
        for needed in ["authorization", "content-type", "x-request-id", "traceparent", "x-token"] {
            assert!(headers.contains(&needed), "{needed} in {headers:?}");
        }
        assert!(!headers.contains(&"*"), "with credentials a star is no wildcard");
    }
}

#[test]
fn a_preflight_of_another_page_is_403_without_cors_headers() {
    let service = start();
    for path in ["/v1/usersig", "/v1/private-map-key"] {
        for origin in FOREIGN {
            let call = service.public.call("OPTIONS", path).origin(origin);
            let answer = call.header("access-control-request-method", "POST").send();
            answer.refused(403, "origin_denied");
            assert_not_readable(&answer);
        }
    }
}

#[test]
fn options_without_a_question_is_405() {
    let service = start();
    let call = service.public.call("OPTIONS", "/v1/usersig");
    call.send().refused(405, "method_not_allowed");
    let call = service.public.call("OPTIONS", "/v1/usersig").origin(LISTED);
    call.send().refused(405, "method_not_allowed");
}

#[test]
fn without_listed_origins_no_page_of_another_host_gets_anything() {
    let service = Setup::new([parts::ONE_APP, parts::COOKIE].concat()).start();
    service.public.post("/v1/usersig").same_origin().cookie("sid", &session("1")).send().ok();
    for origin in FOREIGN.into_iter().chain([LISTED, ""]) {
        let answer = service.public.post("/v1/usersig").cookie("sid", &session("1")).origin(origin).send();
        answer.refused(403, "origin_denied");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let call = service.public.call("OPTIONS", "/v1/usersig").origin(origin);
        let answer = call.header("access-control-request-method", "POST").send();
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    }
}

#[test]
fn the_ops_listener_knows_no_origins() {
    let service = start();
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        let answer = service.ops.get(path).origin(LISTED).send();
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    }
    let call = service.ops.call("OPTIONS", "/v1/inspect").origin(LISTED);
    let answer = call.header("access-control-request-method", "POST").send();
    answer.refused(405, "method_not_allowed");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
