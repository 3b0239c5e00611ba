//! From the session's subject to the user of a ticket: denied, mapped, prefixed, parsed, denied again, compared.

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::keys::{session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

fn start(app: &str, rule: &str) -> Service {
    Setup::new([parts::ONE_APP, app, parts::BEARER, rule].concat()).start()
}

fn ask(service: &Service, subject: &Value) -> Answer {
    service.public.post("/v1/usersig").bearer(&session_with(json!({"sub": subject}))).send()
}

fn user(service: &Service, subject: &str) -> String {
    ask(service, &json!(subject)).ok()["userId"].as_str().expect("text").to_owned()
}

#[test]
fn a_subject_that_fits_is_the_user() {
    let service = start("", "");
    for subject in ["a", "alice_01", "Z9-_", "-1", "00", &"x".repeat(32), "administrators", "administrator2", "null"] {
        assert_eq!(user(&service, subject), subject);
    }
}

#[test]
fn an_integer_is_its_digits() {
    let service = start("", "");
    for (subject, expected) in [
        (json!(0), "0"),
        (json!(1001), "1001"),
        (json!(-7), "-7"),
        (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        (json!(u64::MAX), "18446744073709551615"),
        (json!(i64::MIN), "-9223372036854775808"),
    ] {
        let answer = ask(&service, &subject).ok();
        assert_eq!(answer["userId"], expected, "always text");
    }
}

#[test]
fn a_subject_of_another_kind_is_no_session() {
    let service = start("", "");
    for subject in [
        json!(null),
        json!(""),
        json!(1.5),
        json!(1e3),
        json!(true),
        json!([]),
        json!(["alice"]),
        json!({}),
        json!({"id": "a"}),
    ] {
        ask(&service, &subject).refused(401, "invalid_session");
    }
    let call = service.public.post("/v1/usersig").bearer(&session_with(json!({"name": "alice"})));
    call.send().refused(401, "invalid_session");
}

#[test]
fn a_subject_that_cannot_be_a_user_is_422() {
    let service = start("", "");
    for subject in [
        "a b",
        " alice",
        "alice ",
        "alice\n",
        "a\0b",
        "a.b",
        "a@example.com",
        "@TIM#x",
        "中文",
        "é",
        "\u{202e}a",
        &"x".repeat(33),
        UUID,
    ] {
        ask(&service, &json!(subject)).refused(422, "unusable_user_id");
    }
}

#[test]
fn the_user_may_stand_anywhere_in_the_claims() {
    let service = start("", "user = \"/data/users/0/id\"\n");
    let ask = |claims| service.public.post("/v1/usersig").bearer(&session_with(claims)).send();
    let answer = ask(json!({"sub": "boss", "data": {"users": [{"id": 1001}, {"id": 2}]}})).ok();
    assert_eq!(answer["userId"], "1001");
    for claims in
        [json!({"sub": "alice"}), json!({"data": {"users": []}}), json!({"data": {"users": {"0": {"id": null}}}})]
    {
        ask(claims).refused(401, "invalid_session");
    }
}

#[test]
fn a_prefix_stands_before_the_subject() {
    let service = start("", "user_prefix = \"u_\"\n");
    assert_eq!(user(&service, "1001"), "u_1001");
    assert_eq!(user(&service, &"x".repeat(30)), format!("u_{}", "x".repeat(30)));
    ask(&service, &json!("x".repeat(31))).refused(422, "unusable_user_id");
    // What is compared, and what is denied, is the result.
    let asserting = |user: &str| {
        let call = service.public.post("/v1/usersig").json(json!({"userId": user}));
        call.bearer(&session("1001")).send()
    };
    asserting("u_1001").ok();
    asserting("1001").refused(403, "user_mismatch");
}

#[test]
fn rules_with_prefixes_of_their_own_keep_their_users_apart() {
    let service = Setup::new(
        [parts::ONE_APP, parts::BEARER, "user_prefix = \"a_\"\n", parts::HEADER, "user_prefix = \"b_\"\n"].concat(),
    )
    .start();
    let token = session("1");
    assert_eq!(service.public.post("/v1/usersig").bearer(&token).send().ok()["userId"], "a_1");
    assert_eq!(service.public.post("/v1/usersig").header("x-token", &token).send().ok()["userId"], "b_1");
}

#[test]
fn uuids_lose_their_hyphens_where_that_is_wanted() {
    let service = start("user_id = \"strip-hyphens\"\n", "");
    assert_eq!(user(&service, UUID), "3f2504e04f8911d39a0c0305e82c3301");
    assert_eq!(user(&service, &UUID.to_ascii_uppercase()), "3F2504E04F8911D39A0C0305E82C3301");
    for other in ["a-b", "1-2-3-4-5", "3f2504e0-4f89-11d3-9a0c"] {
        assert_eq!(user(&service, other), other, "only UUIDs are changed, or two people could become one user");
    }
    for unusable in [format!("{{{UUID}}}"), format!("urn:uuid:{UUID}"), UUID.replace('3', "g"), UUID.replace('-', "_")]
    {
        ask(&service, &json!(unusable)).refused(422, "unusable_user_id");
    }
}

#[test]
fn a_name_of_32_hex_digits_never_becomes_the_user_of_a_uuid() {
    let service = start("user_id = \"strip-hyphens\"\n", "");
    for name in [UUID.replace('-', ""), UUID.replace('-', "").to_ascii_uppercase(), "0".repeat(32)] {
        ask(&service, &json!(name)).refused(422, "unusable_user_id");
    }
    assert_eq!(user(&service, &"0".repeat(31)), "0".repeat(31));
    // Where nothing is shortened to them, such names are users like others.
    let as_is = start("", "");
    assert_eq!(user(&as_is, &UUID.replace('-', "")), UUID.replace('-', ""));
}

#[test]
fn any_subject_can_be_hashed() {
    let service = start("user_id = \"sha256\"\n", "");
    // printf %s SUBJECT | sha256sum
    assert_eq!(user(&service, "1001"), "fe675fe7aaee830b6fed09b64e034f84");
    assert_eq!(user(&service, "中文 user@example.com"), sha256("中文 user@example.com", 32));
    assert_eq!(ask(&service, &json!(1001)).ok()["userId"], "fe675fe7aaee830b6fed09b64e034f84");
    let with_prefix = start("user_id = \"sha256\"\n", "user_prefix = \"u_\"\n");
    assert_eq!(user(&with_prefix, "1001"), "u_fe675fe7aaee830b6fed09b64e034f");
    let with_longest_prefix = start("user_id = \"sha256\"\n", "user_prefix = \"u234567\"\n");
    assert_eq!(user(&with_longest_prefix, "1001"), format!("u234567{}", sha256("1001", 25)));
}

fn sha256(text: &str, digits: usize) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))[..digits].to_owned()
}

#[test]
fn the_administrator_never_gets_a_ticket() {
    for app in ["", "deny_users = []\n", "deny_users = [\"administrator\"]\n", "user_id = \"strip-hyphens\"\n"] {
        let service = start(app, "");
        for administrator in ["administrator", "Administrator", "ADMINISTRATOR", "aDMINISTRATOr"] {
            ask(&service, &json!(administrator)).refused(403, "user_not_permitted");
        }
    }
    let with_prefix = start("", "user_prefix = \"admin\"\n");
    ask(&with_prefix, &json!("istrator")).refused(403, "user_not_permitted");
    ask(&with_prefix, &json!("ISTRATOR")).refused(403, "user_not_permitted");
    assert_eq!(user(&with_prefix, "administrator"), "adminadministrator");
}

#[test]
fn an_app_denies_users_by_what_they_would_become() {
    let service = start("deny_users = [\"u_boss\", \"u_u_chief\"]\n", "user_prefix = \"u_\"\n");
    ask(&service, &json!("boss")).refused(403, "user_not_permitted");
    ask(&service, &json!("u_chief")).refused(403, "user_not_permitted");
    assert_eq!(user(&service, "chief"), "u_chief");
    assert_eq!(user(&service, "Boss"), "u_Boss");
    let stripped = start("user_id = \"strip-hyphens\"\ndeny_users = [\"3f2504e04f8911d39a0c0305e82c3301\"]\n", "");
    ask(&stripped, &json!(UUID)).refused(403, "user_not_permitted");
    let hashed = start("user_id = \"sha256\"\ndeny_users = [\"fe675fe7aaee830b6fed09b64e034f84\"]\n", "");
    ask(&hashed, &json!(1001)).refused(403, "user_not_permitted");
}

#[test]
fn an_app_s_denied_users_are_its_own() {
    let apps = [parts::ONE_APP, "deny_users = [\"boss\"]\n", parts::SECOND_APP].concat();
    let service = Setup::new(apps + parts::BEARER).start();
    let ask = |app: u32| service.public.get(format!("/v1/usersig?sdkAppId={app}")).bearer(&session("boss")).send();
    ask(crate::support::APP).refused(403, "user_not_permitted");
    ask(crate::support::OTHER_APP).ok();
}

#[test]
fn a_rule_denies_subjects_as_they_come() {
    let service = start("", &format!("user_prefix = \"u_\"\ndeny_users = [\"-1\", \"{UUID}\"]\n"));
    ask(&service, &json!("-1")).refused(401, "invalid_session");
    ask(&service, &json!(-1)).refused(401, "invalid_session");
    ask(&service, &json!(UUID)).refused(401, "invalid_session");
    assert_eq!(user(&service, "u_-1"), "u_u_-1");
}

#[test]
fn a_user_that_the_caller_names_is_an_assertion_only() {
    let service = start("", "");
    for name in ["userId", "userID", "userid", "identifier"] {
        for (asserted, status) in
            [("alice", 200), ("bob", 403), ("Alice", 403), (" alice", 403), ("alice%20", 403), ("administrator", 403)]
        {
            let got = service.public.get(format!("/v1/usersig?{name}={}", asserted.replace(' ', "%20")));
            let posted = service.public.post("/v1/usersig").json(json!({name: asserted}));
            for call in [got, posted] {
                let answer = call.bearer(&session("alice")).send();
                match status {
                    200 => assert_eq!(answer.ok()["userId"], "alice"),
                    _ => drop(answer.refused(403, "user_mismatch")),
                }
            }
        }
    }
    let call = service.public.post("/v1/usersig").bearer(&session("alice"));
    let answer =
        call.header("x-user-id", "bob").header("x-forwarded-user", "bob").header("x-remote-user", "bob").send();
    assert_eq!(answer.ok()["userId"], "alice", "headers name nobody");
}
