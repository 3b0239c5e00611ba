//! `/v1/private-map-key`: which rooms and privileges, and what stands in the ticket.

use serde_json::{Value, json};
use usersig::ticket::{Expected, Fields, Privileges, SecretKey, UnixTime, Verdict, inspect};

use crate::support::client::Answer;
use crate::support::clock::now;
use crate::support::keys::session_with;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{APP, SECRET};

const NAMES: [&str; 8] =
    ["create", "join", "send-audio", "receive-audio", "send-video", "receive-video", "send-screen", "receive-screen"];

fn start(policy: &str) -> Service {
    Setup::new([parts::ONE_APP, policy, parts::BEARER].concat()).start()
}

fn any_room() -> Service {
    start("[app.private_map_key]\nmax_privileges = [\"join\", \"receive-audio\", \"receive-video\"]\nrooms = \"any\"\n")
}

fn rooms_of_the_session() -> Service {
    start("[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"/room/list\"\n")
}

fn ask_with(service: &Service, claims: Value, body: Value) -> Answer {
    service.public.post("/v1/private-map-key").json(body).bearer(&session_with(claims)).send()
}

fn ask(service: &Service, body: Value) -> Answer {
    ask_with(service, json!({"sub": "alice"}), body)
}

/// Asserts that an answer is whole and its ticket valid; returns the answer and what is in the ticket.
#[track_caller]
fn assert_ticket(answer: &Answer) -> (Value, Fields) {
    let json = answer.ok();
    let mut names: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["expire", "expiresAt", "issuedAt", "privateMapKey", "renewAt", "sdkAppId", "userId"]);
    let number = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name} is a whole number: {json}"));
    assert_eq!(number("expiresAt"), number("issuedAt") + number("expire"));
    assert_eq!(number("renewAt"), number("issuedAt") + number("expire") * 9 / 10);
    assert!(number("issuedAt").abs_diff(now()) <= 60, "issued now: {json}");
    let key = SecretKey::parse(SECRET).expect("a secret");
    let at = UnixTime::from_secs(number("expiresAt"));
    let expected = Expected {
        app: Some(number("sdkAppId").try_into().expect("an SDKAppID")),
        key: Some(&key),
        user: json["userId"].as_str(),
        at,
    };
    let inspection = inspect(json["privateMapKey"].as_str().expect("text"), &expected);
    assert_eq!(inspection.verdict, Verdict::Valid);
    let fields = inspection.fields.expect("fields");
    assert_eq!((fields.issued_at, fields.expire), (number("issuedAt"), number("expire")));
    let map = fields.private_map.as_ref().expect("a PrivateMapKey");
    assert_eq!((u64::from(map.sdk_app_id), map.user_id.as_str()), (number("sdkAppId"), fields.user_id.as_str()));
    assert_eq!(u64::from(map.expires_at), number("expiresAt"), "the room closes with the ticket");
    (json, fields)
}

#[test]
fn a_numeric_and_a_string_room_are_kept_apart() {
    let service = any_room();
    for room in [1, 7, 2_147_483_648, 4_294_967_294_u32] {
        let (answer, fields) = assert_ticket(&ask(&service, json!({"roomId": room})));
        assert_eq!((&answer["userId"], &answer["sdkAppId"]), (&json!("alice"), &json!(APP)));
        let map = fields.private_map.expect("a room");
        assert_eq!((map.room_id, map.room_str), (Some(room), None));
    }
    for room in ["7", "live", " ", &"x".repeat(64), "!#$%&()+-:;<=.>?@[]^_{}|~,"] {
        let map = assert_ticket(&ask(&service, json!({"roomStr": room}))).1.private_map.expect("a room");
        assert_eq!((map.room_id, map.room_str.as_deref()), (None, Some(room)));
    }
}

#[test]
fn privileges_are_names_or_a_mask_and_the_ceiling_when_left_out() {
    let service = any_room();
    let granted = |privileges: Value| {
        let mut body = json!({"roomId": 7});
        if !privileges.is_null() {
            body["privileges"] = privileges;
        }
        assert_ticket(&ask(&service, body)).1.private_map.expect("a room").privileges
    };
    assert_eq!(granted(json!(null)), ["join", "receive-audio", "receive-video"]);
    assert_eq!(granted(json!(42)), ["join", "receive-audio", "receive-video"]);
    assert_eq!(granted(json!(2)), ["join"]);
    assert_eq!(granted(json!(["receive-video", "join"])), ["join", "receive-video"]);
}

#[test]
fn each_privilege_can_be_granted() {
    let service = start(&format!("[app.private_map_key]\nmax_privileges = {NAMES:?}\nrooms = \"any\"\n"));
    for (bit, name) in NAMES.into_iter().enumerate() {
        for privileges in [json!([name]), json!(1 << bit)] {
            let (_, fields) = assert_ticket(&ask(&service, json!({"roomId": 7, "privileges": privileges})));
            assert_eq!(fields.private_map.expect("a room").privileges, [name]);
        }
    }
    let (_, fields) = assert_ticket(&ask(&service, json!({"roomId": 7, "privileges": 255})));
    assert_eq!(fields.private_map.expect("a room").privileges, Privileges::ALL.names().collect::<Vec<_>>());
}

#[test]
fn what_goes_beyond_the_ceiling_is_refused_and_not_cut() {
    let service = any_room();
    for privileges in [json!(255), json!(1), json!(43), json!(["join", "create"]), json!(["send-audio"])] {
        ask(&service, json!({"roomId": 7, "privileges": privileges})).refused(403, "room_not_permitted");
    }
}

#[test]
fn an_app_without_a_policy_issues_none() {
    let service = start("");
    ask(&service, json!({"roomId": 7})).refused(403, "room_not_permitted");
    ask(&service, json!({"roomStr": "live", "privileges": ["join"]})).refused(403, "room_not_permitted");
    service.public.post("/v1/usersig").bearer(&session_with(json!({"sub": "alice"}))).send().ok();
}

#[test]
fn the_session_names_the_rooms() {
    let service = rooms_of_the_session();
    let ask = |rooms: Value, body| ask_with(&service, json!({"sub": "alice", "room": {"list": rooms}}), body);
    for (room, body) in [(json!(7), json!({"roomId": 7})), (json!("live"), json!({"roomStr": "live"}))] {
        assert_ticket(&ask(json!([1, "x", room]), body.clone()));
        for rooms in [
            json!([]),
            json!([8, "lives"]),
            json!(room),
            json!({"0": room}),
            json!(null),
            json!("any"),
            json!([[room]]),
        ] {
            ask(rooms, body.clone()).refused(403, "room_not_permitted");
        }
    }
    // A number is not its digits: TRTC's rooms 7 and "7" are two.
    ask(json!(["7"]), json!({"roomId": 7})).refused(403, "room_not_permitted");
    ask(json!([7]), json!({"roomStr": "7"})).refused(403, "room_not_permitted");
    ask(json!([7.0, 7.5]), json!({"roomId": 7})).refused(403, "room_not_permitted");
    ask_with(&service, json!({"sub": "alice"}), json!({"roomId": 7})).refused(403, "room_not_permitted");
}

#[test]
fn a_room_that_is_none_is_400() {
    let service = any_room();
    for body in [
        json!({}),
        json!({"roomId": 7, "roomStr": "live"}),
        json!({"roomId": null}),
        json!({"roomId": 0}),
        json!({"roomId": -1}),
        json!({"roomId": 7.5}),
        json!({"roomId": 4_294_967_295_u64}),
        json!({"roomId": 4_294_967_303_u64}),
        json!({"roomId": "7"}),
        json!({"roomId": [7]}),
        json!({"roomStr": null}),
        json!({"roomStr": ""}),
        json!({"roomStr": 7}),
        json!({"roomStr": "x".repeat(65)}),
        json!({"roomStr": "a\nb"}),
        json!({"roomStr": "a\0b"}),
        json!({"roomStr": "直播"}),
        json!({"roomStr": "a\"b"}),
        json!({"roomStr": "a/b"}),
        json!({"roomId": 7, "privileges": null}),
        json!({"roomId": 7, "privileges": 0}),
        json!({"roomId": 7, "privileges": 256}),
        json!({"roomId": 7, "privileges": -1}),
        json!({"roomId": 7, "privileges": 2.5}),
        json!({"roomId": 7, "privileges": "join"}),
        json!({"roomId": 7, "privileges": []}),
        json!({"roomId": 7, "privileges": ["Join"]}),
        json!({"roomId": 7, "privileges": ["join", "fly"]}),
        json!({"roomId": 7, "privileges": ["join", 2]}),
        json!({"roomId": 7, "privileges": {"join": true}}),
        json!({"roomId": 7, "room": "x"}),
        json!({"roomID": 7}),
        json!({"strRoomId": "live"}),
    ] {
        let answer = ask(&service, body.clone());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.refused(400, "invalid_request");
    }
    let twice = service.public.post("/v1/private-map-key").bearer(&session_with(json!({"sub": "alice"})));
    twice.body("application/json", r#"{"roomId":7,"roomId":7}"#).send().refused(400, "invalid_request");
    let none = service.public.post("/v1/private-map-key").bearer(&session_with(json!({"sub": "alice"})));
    none.send().refused(400, "invalid_request");
}

#[test]
fn the_rest_is_as_with_a_usersig() {
    let service = any_room();
    for app in ["sdkAppId", "sdkAppID", "SDKAppID", "sdkappid"] {
        for user in ["userId", "userID", "userid", "identifier"] {
            let body = json!({app: APP, user: "alice", "roomId": 7, "expire": 60});
            assert_eq!(assert_ticket(&ask(&service, body)).0["expire"], 60);
        }
    }
    assert_eq!(assert_ticket(&ask(&service, json!({"roomId": 7}))).0["expire"], 86_400);
    assert_eq!(assert_ticket(&ask(&service, json!({"roomId": 7, "expire": 10_000_000}))).0["expire"], 7 * 86_400);
    ask(&service, json!({"roomId": 7, "userId": "bob"})).refused(403, "user_mismatch");
    ask(&service, json!({"roomId": 7, "sdkAppId": 1})).refused(404, "unknown_app");
    ask(&service, json!({"roomId": 7, "expire": 0})).refused(400, "invalid_request");
    ask_with(&service, json!({"sub": "administrator"}), json!({"roomId": 7})).refused(403, "user_not_permitted");
    ask_with(&service, json!({"sub": "alice", "exp": 1}), json!({"roomId": 7})).refused(401, "invalid_session");
    service.public.post("/v1/private-map-key").json(json!({"roomId": 7})).send().refused(401, "missing_credential");
}

#[test]
fn within_session_the_room_closes_with_the_session() {
    let policy = "within_session = true\n[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n";
    let ends_at = now() + 500;
    let answer = ask_with(&start(policy), json!({"sub": "alice", "exp": ends_at}), json!({"roomId": 7}));
    assert_eq!(assert_ticket(&answer).0["expiresAt"], ends_at);
}
