//! `/v1/usersig`: what a ticket's answer holds, and how it can be asked for.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::clock::now;
use crate::support::keys::session;
use crate::support::setup::{Setup, parts};
use crate::support::ticket::{decode, sign};
use crate::support::{APP, OTHER_APP, OTHER_SECRET, SECRET};

/// Asserts that an answer is complete, agrees with itself and with its ticket, and holds a ticket signed with `secret`.
#[track_caller]
fn assert_ticket(answer: &Answer, secret: &str) -> Value {
    let json = answer.ok();
    let mut names: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["expire", "expiresAt", "issuedAt", "renewAt", "sdkAppId", "userId", "userSig"]);
    let number = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name} is a whole number: {json}"));
    assert_eq!(number("expiresAt"), number("issuedAt") + number("expire"));
    assert_eq!(number("renewAt"), number("issuedAt") + number("expire") * 9 / 10);
    assert!(number("issuedAt").abs_diff(now()) <= 60, "issued now: {json}");
    let fields = decode(json["userSig"].as_str().expect("userSig is text"));
    assert_eq!(fields["TLS.ver"], "2.0");
    assert_eq!(fields["TLS.identifier"], json["userId"]);
    assert_eq!(fields["TLS.sdkappid"], json["sdkAppId"]);
    assert_eq!(fields["TLS.time"], json["issuedAt"]);
    assert_eq!(fields["TLS.expire"], json["expire"]);
    assert_eq!(fields.len(), 6, "no more than a UserSig needs");
    let mut signed = fields.clone();
    sign(&mut signed, secret);
    assert_eq!(fields, signed, "signed with the app's secret");
    json
}

#[test]
fn get_and_post_answer_alike() {
    let service = Setup::simple().start();
    let token = session("alice");
    for call in [
        service.public.get("/v1/usersig"),
        service.public.get("/v1/usersig?"),
        service.public.post("/v1/usersig"),
        service.public.post("/v1/usersig").json(json!({})),
        service.public.post("/v1/usersig").body("application/json", ""),
        service.public.post("/v1/usersig").body("Application/JSON; charset=UTF-8", " {} "),
    ] {
        let answer = assert_ticket(&call.bearer(&token).send(), SECRET);
        assert_eq!((&answer["userId"], &answer["sdkAppId"]), (&json!("alice"), &json!(APP)));
        assert_eq!(answer["expire"], 86_400, "a day when the configuration says nothing");
    }
}

#[test]
fn every_spelling_of_a_name_is_taken() {
    let service = Setup::two_apps().start();
    let token = session("alice");
    for (app, secret) in [(APP, SECRET), (OTHER_APP, OTHER_SECRET)] {
        for app_name in ["sdkAppId", "sdkAppID", "SDKAppID", "sdkappid"] {
            for user_name in ["userId", "userID", "userid", "identifier"] {
                let path = format!("/v1/usersig?{app_name}={app}&{user_name}=alice&expire=60");
                let got = assert_ticket(&service.public.get(path).bearer(&token).send(), secret);
                let body = json!({app_name: app, user_name: "alice", "expire": 60});
                let posted = service.public.post("/v1/usersig").json(body).bearer(&token).send();
                for answer in [got, assert_ticket(&posted, secret)] {
                    assert_eq!((&answer["sdkAppId"], &answer["expire"]), (&json!(app), &json!(60)));
                }
            }
        }
    }
}

#[test]
fn each_app_signs_with_its_own_secret_and_must_be_named_where_there_are_several() {
    let service = Setup::two_apps().start();
    let token = session("alice");
    let ask = |app: u32| service.public.get(format!("/v1/usersig?sdkAppId={app}")).bearer(&token).send();
    assert_eq!(assert_ticket(&ask(APP), SECRET)["sdkAppId"], APP);
    assert_eq!(assert_ticket(&ask(OTHER_APP), OTHER_SECRET)["sdkAppId"], OTHER_APP);
    ask(1_400_000_001).refused(404, "unknown_app");
    for call in [service.public.get("/v1/usersig"), service.public.post("/v1/usersig").json(json!({}))] {
        call.bearer(&token).send().refused(400, "invalid_request");
    }
}

#[test]
fn the_largest_app_number_is_one() {
    let service =
        Setup::new("[[app]]\nsdk_app_id = 4294967295\nsecret = \"file:{dir}/app.key\"\n".to_owned() + parts::BEARER)
            .start();
    let answer = service.public.get("/v1/usersig?sdkAppId=4294967295").bearer(&session("alice")).send();
    assert_eq!(assert_ticket(&answer, SECRET)["sdkAppId"], u32::MAX);
}

#[test]
fn two_tickets_of_one_second_are_the_same_and_later_ones_are_not_older() {
    let service = Setup::simple().start();
    let token = session("alice");
    let mut last = 0;
    for _ in 0..50 {
        let answer = assert_ticket(&service.public.post("/v1/usersig").bearer(&token).send(), SECRET);
        let issued_at = answer["issuedAt"].as_u64().expect("a number");
        assert!(issued_at >= last);
        last = issued_at;
    }
}
