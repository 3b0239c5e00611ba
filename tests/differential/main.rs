//! Tickets of Tencent's own npm library under our inspection, and ours under independent readers, on random input.
//!
//! Needs Node, `npm ci --prefix tests/node`, and Python 3.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use usersig::ticket::{
    Expected, KeyVerdict, Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId, Verdict, inspect,
};

use support::OTHER_SECRET;
use support::clock::now;
use support::command::Run;
use support::ticket::decode;

/// How many random tickets each test looks at.
const CASES: usize = 500;

/// What a ticket is asked for, as the Node program is told.
fn random_requests() -> Vec<Value> {
    let app = prop_oneof![Just(1_400_000_000_u32), Just(1), Just(u32::MAX), 1..=u32::MAX];
    let expire = prop_oneof![Just(1), Just(86_400), Just(Lifetime::MAX.as_secs()), 1..=Lifetime::MAX.as_secs()];
    let room_id = prop_oneof![Just(1), Just(4_294_967_294_u32), Just(2_147_483_648), 1..=4_294_967_294_u32];
    let room_str = "[A-Za-z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}";
    let room = prop_oneof![
        Just(json!({})),
        (room_id, 1..=255_u8).prop_map(|(room, mask)| json!({"roomId": room, "privileges": mask})),
        (room_str, 1..=255_u8).prop_map(|(room, mask)| json!({"roomStr": room, "privileges": mask})),
    ];
    let request =
        (app, "[0-9a-f]{64}", "[A-Za-z0-9_-]{1,32}", expire, room).prop_map(|(app, key, user, expire, mut request)| {
            request["sdkAppId"] = app.into();
            request["key"] = key.into();
            request["userId"] = user.into();
            request["expire"] = expire.into();
            request
        });
    let mut runner = TestRunner::default();
    let requests: Vec<_> = (0..CASES).map(|_| request.new_tree(&mut runner).expect("a request").current()).collect();
    for kind in ["roomId", "roomStr"] {
        assert!(requests.iter().any(|request| request.get(kind).is_some()), "{kind} among them");
    }
    requests
}

/// What the Node program answers to each request.
fn ask_node(requests: &[Value]) -> Vec<Value> {
    ask("node", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/official.js"), requests)
}

/// What the Python program answers to each request.
fn ask_python(requests: &[Value]) -> Vec<Value> {
    ask("python3", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/read.py"), requests)
}

fn ask(interpreter: &str, program: &str, requests: &[Value]) -> Vec<Value> {
    let mut child = Command::new(interpreter)
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{interpreter}, which tests/run installs: {error}"));
    let lines = requests.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("a thread of ours").expect("it reads");
    assert!(output.status.success(), "{program} failed; did tests/run install what it needs?");
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<_> = output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

/// Our ticket for a request.
fn sign(request: &Value, time: u64) -> String {
    let app: SdkAppId = number(request, "sdkAppId").try_into().expect("an SDKAppID");
    let user: UserId = text(request, "userId").parse().expect("a user id");
    let lifetime: Lifetime = number(request, "expire").try_into().expect("a lifetime");
    let signer = Signer::new(app, secret(request));
    let room = if request.get("roomId").is_some() {
        Room::number(number(request, "roomId")).expect("a room's number")
    } else if request.get("roomStr").is_some() {
        Room::text(text(request, "roomStr")).expect("a room's name")
    } else {
        return signer.user_sig(&user, UnixTime::from_secs(time), lifetime);
    };
    let privileges = Privileges::try_from(number(request, "privileges")).expect("a mask");
    signer.private_map_key(&user, &room, privileges, UnixTime::from_secs(time), lifetime)
}

fn secret(request: &Value) -> SecretKey {
    SecretKey::parse(text(request, "key")).expect("a secret")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is text in {value}"))
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} is a number in {value}"))
}

#[test]
fn tickets_of_the_official_library_are_valid_here_and_ours_hold_the_same() {
    let requests = random_requests();
    for (request, answer) in requests.iter().zip(ask_node(&requests)) {
        let theirs = answer.as_str().expect("a ticket");
        let fields = decode(theirs);
        let time = fields["TLS.time"].as_u64().expect("a number");
        let (right, wrong) = (secret(request), SecretKey::parse(OTHER_SECRET).expect("a secret"));
        let judge = |key, at| {
            let app = SdkAppId::try_from(number(request, "sdkAppId")).expect("an SDKAppID");
            let user = Some(text(request, "userId"));
            inspect(theirs, &Expected { app: Some(app), key: Some(key), user, at: UnixTime::from_secs(at) })
        };
        let inspection = judge(&right, time);
        assert_eq!((inspection.verdict, inspection.key), (Verdict::Valid, KeyVerdict::Valid), "{request} {theirs}");
        assert_eq!(judge(&wrong, time).verdict, Verdict::WrongKey, "{request} {theirs}");
        assert_eq!(judge(&right, time + number(request, "expire") + 1).verdict, Verdict::Expired, "{request} {theirs}");
        let map = inspection.fields.and_then(|fields| fields.private_map);
        assert_eq!(map.is_some(), request.get("privileges").is_some(), "{request} {theirs}");
        if let Some(map) = map {
            assert_eq!(map.room_id.map(Value::from).as_ref(), request.get("roomId"), "{theirs}");
            assert_eq!(map.room_str.map(Value::from).as_ref(), request.get("roomStr"), "{theirs}");
            let mask = Privileges::from_names(map.privileges).expect("privileges").mask();
            assert_eq!(u64::from(mask), number(request, "privileges"), "{theirs}");
        }
        assert_eq!(decode(&sign(request, time)), fields, "{request}");
    }
}

#[test]
fn our_tickets_are_what_an_independent_reader_expects() {
    let time = 1_790_000_000;
    let requests = random_requests();
    let questions: Vec<_> =
        requests.iter().map(|request| json!({"ticket": sign(request, time), "key": request["key"]})).collect();
    for (request, answer) in requests.iter().zip(ask_node(&questions)) {
        assert_eq!(answer["verified"], true, "{request} {answer}");
        let fields = &answer["fields"];
        assert_eq!(fields["TLS.ver"], "2.0");
        assert_eq!(fields["TLS.identifier"], request["userId"]);
        assert_eq!(fields["TLS.sdkappid"], request["sdkAppId"]);
        assert_eq!(fields["TLS.expire"], request["expire"]);
        assert_eq!(fields["TLS.time"], time);
        let Some(privileges) = request.get("privileges") else {
            assert_eq!(answer["room"], Value::Null, "{answer}");
            continue;
        };
        let room = json!({
            "userId": request["userId"],
            "sdkAppId": request["sdkAppId"],
            "roomId": request.get("roomId").unwrap_or(&json!(0)),
            "expiresAt": time + number(request, "expire"),
            "privileges": privileges,
            "accountType": 0,
            "roomStr": request["roomStr"],
        });
        assert_eq!(answer["room"], room, "{request}");
    }
}

#[test]
fn python_reads_our_tickets() {
    let requests = random_requests();
    // A time of each length, up to the greatest.
    let times = (1..=20).map(|digits| u64::MAX / 10_u64.pow(20 - digits)).cycle();
    let questions: Vec<_> = requests
        .iter()
        .zip(times.clone())
        .map(|(request, time)| json!({"ticket": sign(request, time), "key": request["key"]}))
        .collect();
    for ((request, time), answer) in requests.iter().zip(times).zip(ask_python(&questions)) {
        assert_eq!((&answer["verified"], &answer["whole"]), (&Value::Bool(true), &Value::Bool(true)), "{answer}");
        let fields = &answer["fields"];
        assert_eq!(fields["TLS.ver"], "2.0");
        assert_eq!(fields["TLS.identifier"], request["userId"]);
        assert_eq!(fields["TLS.sdkappid"], request["sdkAppId"]);
        assert_eq!(fields["TLS.expire"], request["expire"]);
        assert_eq!(fields["TLS.time"], time);
        assert_eq!(fields.get("TLS.userbuf").is_some(), request.get("privileges").is_some(), "{answer}");
    }
}

#[test]
fn the_command_line_and_the_official_library_understand_each_other() {
    let mut requests = random_requests();
    requests.truncate(20);
    for request in &mut requests {
        // Long enough to be inspected in.
        request["expire"] = number(request, "expire").max(3600).into();
    }
    let mut questions = Vec::new();
    for (request, theirs) in requests.iter().zip(ask_node(&requests)) {
        let (key, app) = (text(request, "key"), request["sdkAppId"].to_string());
        let common = |command| {
            Run::new(&[command, "--sdk-app-id", &app, &format!("--user-id={}", text(request, "userId"))])
                .env("USERSIG_SECRET", key)
        };
        let inspected = common("inspect").stdin(theirs.as_str().expect("a ticket")).finish();
        assert_eq!(inspected.code, Some(0), "{request} {inspected:?}");
        let mut run = common("sign").arg("--expire").arg(&format!("{}s", request["expire"]));
        if request.get("roomId").is_some() {
            run = run.arg("--room").arg(&request["roomId"].to_string());
        } else if request.get("roomStr").is_some() {
            run = run.arg(&format!("--room-str={}", text(request, "roomStr")));
        }
        let signed = run.finish();
        assert_eq!(signed.code, Some(0), "{request} {signed:?}");
        questions.push(json!({"ticket": signed.stdout.trim_end(), "key": key}));
    }
    for (request, answer) in requests.iter().zip(ask_node(&questions)) {
        assert_eq!(answer["verified"], true, "{request} {answer}");
        assert_eq!(answer["fields"]["TLS.identifier"], request["userId"]);
        assert_eq!(answer["fields"]["TLS.expire"], request["expire"]);
        assert_eq!(answer["room"]["roomStr"].as_str(), request["roomStr"].as_str());
        assert!(answer["fields"]["TLS.time"].as_u64().expect("a number").abs_diff(now()) <= 60);
    }
}
