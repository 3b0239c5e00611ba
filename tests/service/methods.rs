//! Paths and methods: what is there, what is not, and that each answer is a whole one.

use serde_json::json;

use crate::support::keys::session;
use crate::support::setup::{Setup, parts};

#[test]
fn a_wrong_method_is_405_with_allow() {
    let service = Setup::simple().start();
    for (path, allowed) in [("/v1/usersig", "GET, POST"), ("/v1/private-map-key", "POST")] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW"] {
            if method == "GET" && allowed.starts_with("GET") {
                continue;
            }
            let answer = service.public.call(method, path).bearer(&session("alice")).send();
            answer.refused(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
        let answer = service.public.call("HEAD", path).bearer(&session("alice")).send();
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)));
        answer.assert_guarded();
        assert!(answer.body.is_empty());
    }
}

#[test]
fn an_unknown_path_is_404_whatever_the_method() {
    let service = Setup::simple().start();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/usersig/",
        "/v1/usersig/alice",
        "/v1/UserSig",
        "/V1/usersig",
        "//v1/usersig",
        "/v2/usersig",
        "/v1/usersig%00",
        "/v1/usersig%2f",
        "/v1/%2e%2e/v1/private-map-key",
        "/favicon.ico",
        "/robots.txt",
        "/demo/session",
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS"] {
            service.public.call(method, path).bearer(&session("alice")).send().refused(404, "not_found");
        }
    }
    let long = format!("/{}", "a".repeat(8000));
    service.public.get(long).send().refused(404, "not_found");
}

#[test]
fn each_listener_has_its_own_paths_only() {
    let service = Setup::simple().start();
    for path in ["/livez", "/readyz", "/metrics", "/version", "/v1/inspect"] {
        service.public.get(path).send().refused(404, "not_found");
        service.public.post(path).json(json!({"ticket": ""})).send().refused(404, "not_found");
    }
    for path in ["/v1/usersig", "/v1/private-map-key", "/"] {
        service.ops.get(path).bearer(&session("alice")).send().refused(404, "not_found");
        service.ops.post(path).bearer(&session("alice")).send().refused(404, "not_found");
    }
}

#[test]
fn what_the_http_parser_refuses_does_no_harm() {
    let service = Setup::simple().start();
    let token = session("alice");
    let head = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    for broken in [
        "\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /v1/usersig\r\n\r\n".to_owned(),
        "GET /v1/usersig HTTP/9.9\r\n\r\n".to_owned(),
        "GET /v1/usersig HTTP/1.1\r\nHost: a\r\nX-Y: \0\r\n\r\n".to_owned(),
        format!("{head}Content-Length: nine\r\n\r\n"),
        format!("{head}Content-Length: -1\r\n\r\n"),
        format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"),
        format!("{head}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: identity, chunked, gzip\r\n\r\n0\r\n\r\n"),
        format!("{head} folded: yes\r\n\r\n"),
        format!("{head}no colon\r\n\r\n"),
        format!("{head}X: {}\r\n\r\n", "a".repeat(200_000)),
        format!("{head}{}\r\n", "X: a\r\n".repeat(1000)),
    ] {
        let mut connection = service.public.connect();
        connection.send(&broken);
        let status = connection.read().map(|answer| answer.status);
        let shown: String = broken.chars().take(200).collect();
        let is_too_long = broken.len() > 6000;
        assert_eq!(status, Some(if is_too_long { 431 } else { 400 }), "{shown:?}");
    }
    service.public.post("/v1/usersig").bearer(&token).send().ok();
    assert!(!service.log_text().contains("panic"), "{}", service.log_text());
}

#[test]
fn a_chunk_that_is_none_is_a_problem() {
    let service = Setup::simple().start();
    let token = session("alice");
    let head = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    let head = head + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    service.public.raw(format!("{head}zz\r\n{{}}\r\n0\r\n\r\n")).refused(400, "invalid_request");
    let mut cut_off = service.public.connect();
    cut_off.send(format!("{head}2\r\n{{}}\r\n"));
    drop(cut_off);
    service.public.raw(format!("{head}2\r\n{{}}\r\n0\r\n\r\n")).ok();
}

#[test]
fn connections_are_used_again() {
    let service = Setup::new([parts::ONE_APP, parts::BEARER].concat()).start();
    let token = session("alice");
    let mut connection = service.public.connect();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    for (path, status) in [("/v1/usersig", 200), ("/nowhere", 404), ("/v1/usersig?x=1", 400), ("/v1/usersig", 200)] {
        connection.send(request(path));
        assert_eq!(connection.read().map(|answer| answer.status), Some(status), "{path}");
    }
    // Several at once are answered in order.
    connection.send(request("/v1/usersig") + &request("/nowhere") + &request("/v1/usersig"));
    let statuses: Vec<_> = (0..3).map(|_| connection.read().map(|answer| answer.status)).collect();
    assert_eq!(statuses, [Some(200), Some(404), Some(200)]);
}
