//! The ops listener: probes, version, and what `/v1/inspect` says of a ticket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use usersig::ticket::{Lifetime, Signer, UnixTime};

use crate::support::client::Answer;
use crate::support::clock::{eventually, now};
use crate::support::keys::session;
use crate::support::raw::Connection;
use crate::support::service::Service;
use crate::support::setup::Setup;
use crate::support::{APP, OTHER_APP, OTHER_SECRET, SECRET};

#[test]
fn probes_answer_get_and_head_and_nothing_else() {
    let service = Setup::simple().start();
    for (path, content_type) in [
        ("/livez", "application/json"),
        ("/readyz", "application/json"),
        ("/version", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let got = service.ops.get(path).send();
        assert_eq!((got.status, got.header("content-type")), (200, Some(content_type)), "{path}");
        got.assert_guarded();
        assert!(!got.body.is_empty());
        let head = service.ops.call("HEAD", path).send();
        assert_eq!((head.status, head.header("content-type")), (200, Some(content_type)), "{path}");
        head.assert_guarded();
        assert!(head.body.is_empty());
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = service.ops.call(method, path).send();
            answer.refused(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = service.ops.call(method, "/v1/inspect").send();
        answer.refused(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    let head = service.ops.call("HEAD", "/v1/inspect").send();
    assert_eq!((head.status, head.header("allow")), (405, Some("POST")));
    for path in ["/healthz", "/metrics/", "/debug/pprof", "/v1"] {
        service.ops.get(path).send().refused(404, "not_found");
    }
}

#[test]
fn what_the_probes_say() {
    let service = Setup::simple().start();
    assert_eq!(service.ops.get("/livez").send().json()["status"], "alive");
    let ready = service.ops.get("/readyz").send().json();
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["rules"][0]["name"], "token");
    let version = service.ops.get("/version").send().json();
    assert_eq!((&version["name"], &version["version"]), (&json!("usersig"), &json!(env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_request_id_is_kept_here_too() {
    let service = Setup::simple().start();
    for path in ["/livez", "/metrics", "/nowhere"] {
        let answer = service.ops.get(path).header("x-request-id", "probe-1").send();
        assert_eq!(answer.request_id(), "probe-1", "{path}");
    }
}

fn inspect(service: &Service, body: Value) -> Answer {
    service.ops.post("/v1/inspect").json(body).send()
}

fn ticket(app: u32, secret: &str, user: &str, issued_at: u64, expire: u64) -> String {
    let secret = usersig::ticket::SecretKey::parse(secret).expect("a secret");
    let lifetime = Lifetime::try_from(expire).expect("a lifetime");
    let signer = Signer::new(u64::from(app).try_into().expect("an SDKAppID"), secret);
    signer.user_sig(&user.parse().expect("a user id"), UnixTime::from_secs(issued_at), lifetime)
}

#[test]
fn a_ticket_that_was_issued_here_is_valid() {
    let service = Setup::two_apps().start();
    for app in [APP, OTHER_APP] {
        let path = format!("/v1/usersig?sdkAppId={app}&expire=60");
        let issued = service.public.get(path).bearer(&session("alice")).send().ok();
        for body in [
            json!({"ticket": issued["userSig"]}),
            json!({"ticket": issued["userSig"], "sdkAppId": app, "userId": "alice", "at": issued["expiresAt"]}),
        ] {
            let inspection = inspect(&service, body).ok();
            let expected = json!({
                "verdict": "valid",
                "key": "valid",
                "code": null,
                "fields": {
                    "sdkAppId": app,
                    "userId": "alice",
                    "issuedAt": issued["issuedAt"],
                    "expire": 60,
                    "expiresAt": issued["expiresAt"],
                },
            });
            assert_eq!(inspection, expected);
        }
    }
}

#[test]
fn each_verdict_comes_with_the_code_that_clients_see() {
    let service = Setup::two_apps().start();
    let good = ticket(APP, SECRET, "alice", now(), 60);
    let foreign_key = ticket(APP, OTHER_SECRET, "alice", now(), 60);
    let old = ticket(APP, SECRET, "alice", 1_000_000_000, 60);
    let unknown_app = ticket(7, SECRET, "alice", now(), 60);
    for (body, verdict, key, code) in [
        (json!({"ticket": good}), "valid", "valid", json!(null)),
        (json!({"ticket": old}), "expired", "valid", json!(70001)),
        (json!({"ticket": good, "at": now() + 3600}), "expired", "valid", json!(70001)),
        (json!({"ticket": old, "at": 1_000_000_060}), "valid", "valid", json!(null)),
        (json!({"ticket": foreign_key}), "wrong_key", "wrong", json!(70009)),
        (json!({"ticket": good, "userId": "bob"}), "wrong_user", "valid", json!(70013)),
        (json!({"ticket": good, "sdkAppId": OTHER_APP}), "wrong_app", "wrong", json!(70014)),
        (json!({"ticket": good, "sdkAppId": 7}), "wrong_app", "unchecked", json!(70014)),
        (json!({"ticket": unknown_app}), "valid", "unchecked", json!(null)),
        (json!({"ticket": unknown_app, "sdkAppId": APP}), "wrong_app", "valid", json!(70014)),
        (json!({"ticket": unknown_app, "userId": "bob"}), "wrong_user", "unchecked", json!(70013)),
        // Several at once: app, key, user, expired.
        (json!({"ticket": old, "sdkAppId": OTHER_APP, "userId": "bob"}), "wrong_app", "wrong", json!(70014)),
        (json!({"ticket": foreign_key, "userId": "bob", "at": now() + 3600}), "wrong_key", "wrong", json!(70009)),
        (json!({"ticket": old, "userId": "bob"}), "wrong_user", "valid", json!(70013)),
    ] {
        let inspection = inspect(&service, body.clone()).ok();
        assert_eq!(
            (&inspection["verdict"], &inspection["key"], &inspection["code"]),
            (&json!(verdict), &json!(key), &code),
            "{body}"
        );
        assert_eq!(inspection["fields"]["userId"], "alice");
    }
    for (text, code) in [("", 70003), ("nonsense", 70003), (&good[..100], 70003), ("中文", 70003)] {
        let inspection = inspect(&service, json!({"ticket": text, "sdkAppId": APP})).ok();
        assert_eq!((&inspection["verdict"], &inspection["code"]), (&json!("malformed"), &json!(code)), "{text}");
        assert!(inspection["detail"].is_string() && inspection.get("fields").is_none(), "{inspection}");
    }
    let json_of_no_ticket = crate::support::ticket::encode("{}", 6);
    assert_eq!(inspect(&service, json!({"ticket": json_of_no_ticket})).ok()["code"], 70005);
}

#[test]
fn a_private_map_key_shows_its_room() {
    let service = Setup::simple().start();
    let secret = usersig::ticket::SecretKey::parse(SECRET).expect("a secret");
    let signer = Signer::new(u64::from(APP).try_into().expect("an SDKAppID"), secret);
    let room = usersig::ticket::Room::number(7).expect("a room's number");
    let privileges = usersig::ticket::Privileges::try_from(42).expect("a mask");
    let lifetime = Lifetime::try_from(60).expect("a lifetime");
    let user = "alice".parse().expect("a user id");
    let ticket = signer.private_map_key(&user, &room, privileges, UnixTime::from_secs(now()), lifetime);
    let inspection = inspect(&service, json!({"ticket": ticket})).ok();
    assert_eq!(inspection["verdict"], "valid");
    let map = &inspection["fields"]["privateMap"];
    assert_eq!((&map["roomId"], &map["privileges"]), (&json!(7), &json!(["join", "receive-audio", "receive-video"])));
    assert!(map.get("roomStr").is_none(), "{map}");
}

#[test]
fn a_question_that_is_none_is_a_problem() {
    let service = Setup::simple().start();
    for body in [
        json!({}),
        json!([]),
        json!(null),
        json!("eJw"),
        json!({"ticket": null}),
        json!({"ticket": 7}),
        json!({"ticket": "a", "unknown": 1}),
        json!({"ticket": "a", "sdkAppId": "1400000000"}),
        json!({"ticket": "a", "sdkAppId": 0}),
        json!({"ticket": "a", "sdkAppId": 4_294_967_296_u64}),
        json!({"ticket": "a", "sdkAppId": null}),
        json!({"ticket": "a", "userId": null}),
        json!({"ticket": "a", "userId": 7}),
        json!({"ticket": "a", "at": null}),
        json!({"ticket": "a", "at": -1}),
        json!({"ticket": "a", "at": 1.5}),
        json!({"ticket": "a", "at": "now"}),
    ] {
        let answer = inspect(&service, body.clone());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.refused(400, "invalid_request");
    }
    service.ops.post("/v1/inspect").send().refused(400, "invalid_request");
    let twice = service.ops.post("/v1/inspect").body("application/json", r#"{"ticket":"a","ticket":"b"}"#);
    twice.send().refused(400, "invalid_request");
}

#[test]
fn probes_answer_while_the_public_side_has_more_than_it_can_do() {
    const AHEAD: usize = 200;
    let service = Setup::simple().env("USERSIG__SERVER__WORKERS", "1").start();
    let request = format!("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", session("alice"));
    let (address, stop) = (service.public.address, AtomicBool::new(false));
    let issued = || service.metrics().count("usersig_tickets_total{app=\"1400000000\",kind=\"usersig\"}");
    thread::scope(|scope| {
        for _ in 0..8 {
            // Its next requests always wait before the last are answered.
            scope.spawn(|| {
                let mut connection = Connection::open(address);
                connection.send(request.repeat(AHEAD));
                while !stop.load(Ordering::Relaxed) {
                    connection.send(request.repeat(AHEAD));
                    for _ in 0..AHEAD {
                        assert_eq!(connection.read().map(|answer| answer.status), Some(200));
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        for _ in 0..10 {
            let before = issued();
            for path in ["/livez", "/readyz"] {
                assert_eq!(service.ops.get(path).send().status, 200, "{path}");
            }
            eventually("the public side is at work", || (issued() > before).then_some(()));
        }
    });
}

/// Ends what is busy, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
