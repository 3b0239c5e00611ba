//! The body as bytes: how large, how fast, of which type.

use serde_json::json;

use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::Setup;

const LIMIT: usize = 16 * 1024;

/// The beginning of a POST with a session.
fn head(length: &str) -> String {
    let token = session("alice");
    format!(
        "POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
    )
}

/// A JSON object of exactly this many bytes.
fn padded(length: usize) -> String {
    format!("{{{}}}", " ".repeat(length - 2))
}

fn chunked(body: &str) -> String {
    let chunks: Vec<_> = body.as_bytes().chunks(1000).collect();
    let chunk = |chunk: &&[u8]| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk));
    chunks.iter().map(chunk).collect::<Vec<_>>().concat() + "0\r\n\r\n"
}

fn posted(service: &Service, body: &str, is_chunked: bool) -> crate::support::client::Answer {
    if is_chunked {
        service.public.raw(head("Transfer-Encoding: chunked") + &chunked(body))
    } else {
        service.public.raw(head(&format!("Content-Length: {}", body.len())) + body)
    }
}

#[test]
fn sixteen_kibibytes_are_read_and_one_more_byte_is_413() {
    let service = Setup::simple().start();
    for is_chunked in [false, true] {
        posted(&service, &padded(LIMIT), is_chunked).ok();
        posted(&service, &padded(LIMIT + 1), is_chunked).refused(413, "payload_too_large");
        posted(&service, &padded(LIMIT * 4), is_chunked).refused(413, "payload_too_large");
    }
    let inspect = |body: String| service.ops.post("/v1/inspect").body("application/json", body).send();
    inspect(format!("{{\"ticket\":\"{}\"}}", "a".repeat(LIMIT - 13))).ok();
    inspect(format!("{{\"ticket\":\"{}\"}}", "a".repeat(LIMIT - 12))).refused(413, "payload_too_large");
}

#[test]
fn a_length_that_announces_too_much_is_refused_before_it_comes() {
    let service = Setup::simple().start();
    for length in ["16385", "10000000000", "18446744073709551615"] {
        service.public.raw(head(&format!("Content-Length: {length}"))).refused(413, "payload_too_large");
    }
}

#[test]
fn a_body_slower_than_five_seconds_is_408() {
    let service = Setup::simple().start();
    let stalled = ["Content-Length: 20", "Transfer-Encoding: chunked"].map(|length| {
        let mut connection = service.public.connect();
        connection.send(head(length));
        connection
    });
    let mut ops = service.ops.connect();
    ops.send("POST /v1/inspect HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{");
    // The others are answered meanwhile.
    service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
    for mut connection in stalled.into_iter().chain([ops]) {
        connection.read().expect("an answer").refused(408, "request_timeout");
    }
}

#[test]
fn a_body_in_small_pieces_is_one_body() {
    let service = Setup::simple().start();
    let body = json!({"userId": "alice", "expire": 60}).to_string();
    let mut connection = service.public.connect();
    connection.send(head(&format!("Content-Length: {}", body.len())));
    for byte in body.as_bytes() {
        connection.send([*byte]);
    }
    assert_eq!(connection.read().expect("an answer").ok()["expire"], 60);
}

#[test]
fn a_body_that_is_not_declared_as_json_is_415() {
    let service = Setup::simple().start();
    for content_type in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json-patch+json",
        "application/vnd.api+json",
        "text/json",
        "json",
        "",
        "application/xml, application/json",
    ] {
        let call = service.public.post("/v1/usersig").bearer(&session("alice"));
        call.body(content_type, "{}").send().refused(415, "unsupported_media_type");
        let call = service.public.post("/v1/private-map-key").bearer(&session("alice"));
        call.body(content_type, "roomId=7").send().refused(415, "unsupported_media_type");
        let call = service.ops.post("/v1/inspect").body(content_type, r#"{"ticket":"eJw"}"#);
        call.send().refused(415, "unsupported_media_type");
    }
    let untyped = head("Content-Length: 2").replace("Content-Type: application/json\r\n", "") + "{}";
    service.public.raw(untyped).refused(415, "unsupported_media_type");
}

#[test]
fn a_post_without_a_body_needs_no_type() {
    let service = Setup::simple().start();
    let bare = head("Content-Length: 0");
    service.public.raw(bare.replace("Content-Type: application/json\r\n", "")).ok();
    service.public.raw(bare.replace("application/json", "text/plain")).ok();
    service.public.raw(bare.replace("Content-Length: 0\r\n", "")).ok();
}

#[test]
fn a_body_under_content_coding_is_not_read() {
    let service = Setup::simple().start();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    let call = service.public.post("/v1/usersig").bearer(&session("alice")).header("content-encoding", "gzip");
    call.body("application/json", gzip.to_vec()).send().refused(400, "invalid_request");
}

#[test]
fn requests_that_are_given_up_are_no_longer_counted_as_in_flight() {
    let service = Setup::simple().start();
    for _ in 0..10 {
        let mut connection = service.public.connect();
        connection.send(head("Content-Length: 20"));
        connection.send("{");
        // Until the service has begun to read the body; a connection that is dropped before has no request.
        crate::support::clock::eventually("the request is in flight", || {
            (service.metrics().count("usersig_http_in_flight") > 0).then_some(())
        });
        drop(connection);
        crate::support::clock::eventually("no request is in flight", || {
            (service.metrics().count("usersig_http_in_flight") == 0).then_some(())
        });
    }
}
