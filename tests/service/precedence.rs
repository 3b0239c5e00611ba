//! Where several problems apply, the first in the contract's order is the answer: tried with every two and every three.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::keys::session_with;
use crate::support::service::Service;
use crate::support::setup::Setup;

/// The problems that one request can have at once, in the order in which the contract has them answered.
const FAULTS: [(&str, u16, &str); 11] = [
    ("method", 405, "method_not_allowed"),
    ("large", 413, "payload_too_large"),
    ("media type", 415, "unsupported_media_type"),
    ("malformed", 400, "invalid_request"),
    ("app", 404, "unknown_app"),
    ("origin", 403, "origin_denied"),
    ("session", 401, "invalid_session"),
    ("unusable", 422, "unusable_user_id"),
    ("denied", 403, "user_not_permitted"),
    ("mismatch", 403, "user_mismatch"),
    ("room", 403, "room_not_permitted"),
];

/// A service whose every refusal can be provoked.
const CONFIG: &str = r#"
[server]
allowed_origins = ["https://m.example.com"]

[[app]]
sdk_app_id = 1400000000
secret = "file:{dir}/app.key"
require = { "/tenant" = "a" }
[app.private_map_key]
max_privileges = ["join"]
rooms = "/rooms"

[[session]]
name = "cookie"
from = "cookie:sid"
check = "jwt"
secret = "file:{dir}/session.key"
"#;

/// A request for a ticket that has these problems and no other.
fn ask(service: &Service, has: impl Fn(&str) -> bool, path: &str) -> Answer {
    let subject = if has("unusable") { "a b" } else { "alice" };
    let tenant = if has("denied") { "b" } else { "a" };
    let expires_at = if has("session") { 1 } else { crate::support::clock::now() + 3600 };
    let token = session_with(json!({"sub": subject, "exp": expires_at, "rooms": [7], "tenant": tenant}));
    let mut body = json!({"sdkAppId": if has("app") { 1 } else { 1_400_000_000 }});
    if path.ends_with("key") {
        body["roomId"] = json!(if has("room") { 8 } else { 7 });
    }
    if has("mismatch") {
        body["userId"] = json!("somebody else");
    }
    if has("malformed") {
        body["unknown"] = json!(1);
    }
    let mut body = body.to_string();
    if has("large") {
        body.push_str(&" ".repeat(16 * 1024));
    }
    let call = service.public.call(if has("method") { "PUT" } else { "POST" }, path);
    let call = call.body(if has("media type") { "text/plain" } else { "application/json" }, body);
    let call = if has("no credential") { call } else { call.cookie("sid", &token) };
    let call =
        if has("origin") { call.origin("https://evil.example.com") } else { call.origin("https://m.example.com") };
    call.send()
}

#[test]
fn of_two_or_three_problems_the_first_is_told() {
    let service = Setup::new(CONFIG).start();
    ask(&service, |_| false, "/v1/private-map-key").ok();
    ask(&service, |_| false, "/v1/usersig").ok();
    for (place, (first, status, code)) in FAULTS.into_iter().enumerate() {
        for (second, ..) in &FAULTS[place..] {
            for (third, ..) in &FAULTS[place..] {
                let faults = [first, second, third];
                let has = |fault: &str| faults.contains(&fault);
                let answer = ask(&service, has, "/v1/private-map-key");
                assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{faults:?}");
                if !has("room") {
                    let answer = ask(&service, has, "/v1/usersig");
                    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{faults:?}");
                }
            }
        }
    }
}

#[test]
fn a_missing_credential_comes_behind_the_app_and_before_everything_that_needs_one() {
    let service = Setup::new(CONFIG).start();
    for (place, (fault, status, code)) in FAULTS.into_iter().enumerate() {
        let answer = ask(&service, |asked| asked == fault || asked == "no credential", "/v1/private-map-key");
        if place < 5 {
            answer.refused(status, code);
        } else {
            answer.refused(401, "missing_credential");
        }
    }
}

/// The first of [`FAULTS`] that only the check of the session can tell.
const CHECK: usize = 6;

#[test]
fn a_check_that_cannot_find_out_comes_where_an_invalid_session_does() {
    let answers_nobody = "check = \"http\"\nurl = \"http://127.0.0.1:1/me\"\nuser = \"/id\"\n";
    let check = "check = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n";
    let service = Setup::new(CONFIG).replace(check, answers_nobody).start();
    for (place, (fault, status, code)) in FAULTS.into_iter().enumerate() {
        let answer = ask(&service, |asked| asked == fault, "/v1/private-map-key");
        if place < CHECK {
            answer.refused(status, code);
        } else {
            answer.refused(503, "session_check_unavailable");
        }
    }
}

#[test]
fn an_address_of_failed_credentials_is_refused_where_they_would_be_checked() {
    let limit = "\n[limit]\nper_address = \"1/h\"\n";
    let service = Setup::new([CONFIG, limit].concat()).limited().start();
    ask(&service, |asked| asked == "session", "/v1/usersig").refused(401, "invalid_session");
    for (place, (fault, status, code)) in FAULTS.into_iter().enumerate() {
        let answer = ask(&service, |asked| asked == fault, "/v1/private-map-key");
        if place < CHECK {
            answer.refused(status, code);
        } else {
            answer.refused(429, "rate_limited");
        }
    }
}

#[test]
fn an_unknown_path_comes_before_everything() {
    let service = Setup::new(CONFIG).start();
    ask(&service, |_| true, "/v1/nothing").refused(404, "not_found");
}

#[test]
fn a_cookie_of_a_denied_origin_is_not_even_checked() {
    let service = Setup::new(CONFIG).start();
    for fault in ["origin", "session"] {
        ask(&service, |asked| asked == "origin" || asked == fault, "/v1/usersig").refused(403, "origin_denied");
    }
    let metrics = service.metrics();
    for outcome in ["allowed", "denied", "fault"] {
        let series = format!("usersig_session_checks_total{{outcome=\"{outcome}\",rule=\"cookie\"}}");
        assert_eq!(metrics.count(&series), 0);
    }
}

#[test]
fn nothing_is_issued_to_whom_anything_is_refused() {
    let service = Setup::new(CONFIG).start();
    for (fault, ..) in FAULTS {
        let answer = ask(&service, |asked| asked == fault, "/v1/private-map-key");
        let text = answer.json();
        assert_eq!((text.get("privateMapKey"), text.get("userSig")), (None::<&Value>, None));
    }
    assert!(service.metrics().beginning("usersig_tickets_total").iter().all(|(_, count)| *count == 0.0));
}

#[test]
fn who_asks_too_often_is_told_so_between_the_user_and_the_room() {
    let limit = "\n[limit]\nper_user = \"1/h\"\nburst = 1\n";
    let service = Setup::new([CONFIG, limit].concat()).limited().start();
    let path = "/v1/private-map-key";
    ask(&service, |_| false, path).ok();
    for (place, (fault, status, code)) in FAULTS.into_iter().enumerate() {
        let answer = ask(&service, |asked| asked == fault, path);
        // Everything before the room is told before the limit is asked.
        if place + 1 < FAULTS.len() {
            answer.refused(status, code);
        } else {
            answer.refused(429, "rate_limited");
        }
    }
    let answer = ask(&service, |_| false, path);
    answer.refused(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").expect("when to come again").parse().expect("seconds");
    assert!((1..=3600).contains(&wait), "{wait}");
}
