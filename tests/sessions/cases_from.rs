//! Cases 1 to 6: credentials that are absent, ambiguous, forged, or name what they should not.

use serde_json::json;

use crate::one_rule::{ID, redis_rule, remember};
use crate::recipes::cookie;
use crate::sites::Site;
use crate::support::backend::{Backend, Reply};
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, denied, tickets};

/// The three places of a credential, each asking this back end.
fn three_places(backend: &Backend) -> Service {
    let rule = |name: &str, from: &str| {
        let url = backend.url();
        format!(
            "[[session]]\nname = \"{name}\"\nfrom = \"{from}\"\ncheck = \"http\"\nurl = \"{url}\"\nuser = \"/id\"\nshared_users = true\n"
        )
    };
    let rules = [rule("cookie", "cookie:sid"), rule("header", "header:X-Token"), rule("bearer", "bearer")].concat();
    Setup::new([parts::ONE_APP, &rules].concat()).start()
}

/// A back end that knows everybody.
fn alice() -> Backend {
    Backend::always(Reply::json(json!({"id": "alice"})))
}

#[test]
fn case_01_no_credential_an_empty_one_a_long_one_and_control_characters() {
    let backend = alice();
    let service = three_places(&backend);
    ask(&service, |call| call).refused(401, "missing_credential");
    for (name, value) in [
        ("cookie", "sid="),
        ("cookie", "sid=\"\""),
        ("cookie", "sid"),
        ("cookie", "other=1"),
        ("x-token", ""),
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Basic YTpi"),
    ] {
        let answer = ask(&service, |call| call.same_origin().header(name, value));
        assert_eq!(answer.refused(401, "missing_credential")["status"], 401, "{name}: {value}");
    }
    let long = "a".repeat(8 * 1024 + 1);
    denied(&service, &ask(&service, cookie("sid", &long)), "from", "8 KiB");
    denied(&service, &ask(&service, |call| call.header("x-token", &long)), "from", "8 KiB");
    denied(&service, &ask(&service, |call| call.bearer(&long)), "from", "8 KiB");
    for byte in [b"\0", b"\r", b"\n", b"\x7f", b"\x1b"] {
        for header in ["cookie: sid=", "x-token: ", "authorization: Bearer "] {
            let head = format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\nsec-fetch-site: same-origin\r\n{header}abc");
            let answer = service.public.raw([head.as_bytes(), byte, b"def\r\n\r\n"].concat());
            assert_eq!(answer.status, 400, "refused by the parser: {byte:?} in {header}: {answer:?}");
        }
    }
    let answer = service.public.raw(b"POST /v1/usersig HTTP/1.1\r\nhost: h\r\nx-token: abc\xc3\xa9\r\n\r\n");
    denied(&service, &answer, "from", "ASCII");
    assert_eq!((backend.count(), tickets(&service)), (0, 0), "nobody was asked");
    allowed(&ask(&service, |call| call.bearer(&long[1..])), "alice");
}

#[test]
fn case_02_two_values_of_one_credential() {
    let backend = alice();
    let service = three_places(&backend);
    for [first, second] in [
        [("cookie", "sid=one; sid=two"), ("x-other", "")],
        [("cookie", "sid=one"), ("cookie", "sid=two")],
        [("x-token", "one"), ("x-token", "two")],
        [("authorization", "Bearer one"), ("authorization", "Bearer two")],
        [("authorization", "Bearer one"), ("authorization", "bearer two")],
    ] {
        let answer = ask(&service, |call| call.same_origin().header(first.0, first.1).header(second.0, second.1));
        denied(&service, &answer, "from", "twice");
    }
    assert_eq!((backend.count(), tickets(&service)), (0, 0), "nobody was asked");
    // A proxy that repeats a header says nothing new.
    allowed(&ask(&service, |call| call.header("x-token", "one").header("x-token", "one")), "alice");
}

#[test]
fn case_03_a_user_id_that_is_not_the_sessions() {
    let backend = alice();
    let service = three_places(&backend);
    for name in ["userId", "userID", "userid", "identifier"] {
        let body = json!({name: "bob"});
        ask(&service, |call| call.bearer("one").json(body)).refused(403, "user_mismatch");
        let path = format!("/v1/usersig?{name}=bob");
        service.public.get(path).bearer("one").send().refused(403, "user_mismatch");
        allowed(&ask(&service, |call| call.bearer("one").json(json!({name: "alice"}))), "alice");
    }
    ask(&service, |call| call.bearer("one").json(json!({"userId": "Alice"}))).refused(403, "user_mismatch");
    for header in ["x-user-id", "x-userid", "x-forwarded-user", "x-auth-request-user", "remote-user"] {
        allowed(&ask(&service, |call| call.bearer("one").header(header, "bob")), "alice");
    }
    assert!(backend.seen().iter().all(|seen| !format!("{seen:?}").contains("bob")), "the back end never hears of him");
}

#[test]
fn case_04_a_failed_rule_is_not_followed_by_another() {
    let backend = Backend::start(|seen| match seen.header("authorization") {
        "Bearer good" => Reply::json(json!({"id": "alice"})),
        _ => Reply::new(401, ""),
    });
    let service = three_places(&backend);
    allowed(&ask(&service, |call| call.bearer("good")), "alice");
    denied(&service, &ask(&service, |call| call.bearer("good").header("x-token", "bad")), "check", "denies");
    denied(&service, &ask(&service, |call| call.bearer("good").cookie("sid", "bad").same_origin()), "check", "denies");
    // The cookie decides even where it may not be used.
    ask(&service, |call| call.bearer("good").cookie("sid", "bad")).refused(403, "origin_denied");
    assert_eq!(tickets(&service), 1);
    assert_eq!(backend.count(), 3);
}

#[test]
fn case_05_express_signatures() {
    let redis = Redis::start();
    let site = Site::express_with(&redis, "connect.sid", &["the old secret"]);
    let session = site.login("alice");
    let service = |secrets: &str| {
        let rule = "[[session]]\nname = \"web\"\nfrom = \"cookie:connect.sid\"\nunwrap = \"express\"\ncheck = \"redis\"\n\
                    key = \"sess:{id}\"\nuser = \"/passport/user\"\n";
        let setup = Setup::new([parts::ONE_APP, rule].concat());
        let setup = setup.with(&format!("url = \"{}\"\nsecrets = {secrets}\n", redis.url()));
        setup.env("OLD", "the old secret").env("NEW", "the new secret").start()
    };
    let both = service(r#"["env:NEW", "env:OLD"]"#);
    allowed(&ask(&both, cookie("connect.sid", &session)), "alice");
    // The site rotates: what it signs from now on works beside what it has signed.
    let rotated = Site::express_with(&redis, "connect.sid", &["the new secret", "the old secret"]);
    allowed(&ask(&both, cookie("connect.sid", &rotated.login("bob"))), "bob");
    let removed = service(r#"["env:NEW"]"#);
    allowed(&ask(&removed, cookie("connect.sid", &rotated.login("bob"))), "bob");
    denied(&removed, &ask(&removed, cookie("connect.sid", &session)), "unwrap", "signature");

    let calls = redis.calls("getrange");
    let (id, signature) = session.rsplit_once('.').expect("a signed cookie");
    for (forged, cause) in [
        (id.to_owned(), "unwrap"),
        (id.trim_start_matches("s%3A").to_owned(), "unwrap"),
        (format!("{id}."), "signature"),
        (format!("{id}.{}", &signature[..signature.len() - 3]), "signature"),
        (format!("{}x.{signature}", &id[..id.len() - 1]), "signature"),
        (format!("{id}.{}", "A".repeat(43)), "signature"),
        (format!("{id}.{signature}.{signature}"), "signature"),
    ] {
        denied(&both, &ask(&both, cookie("connect.sid", &forged)), "unwrap", cause);
    }
    assert_eq!(redis.calls("getrange"), calls, "Redis is not asked about what is not signed");
}

#[test]
fn case_06_ids_that_name_another_key() {
    let redis = Redis::start();
    remember(&redis);
    redis.set(&format!("spring:session:sessions:{ID}"), r#"{"user":"mallory"}"#);
    redis.set(&format!("sess:expires:{ID}"), r#"{"user":"mallory"}"#);
    let service = redis_rule(redis.address()).start();
    allowed(&ask(&service, |call| call.header("x-session", ID)), "alice");
    let calls = redis.calls("getrange");
    for id in [
        "../spring:session:sessions:J7NtoFxydheXskmww0KBwc_lwMDU1u-7",
        "expires:J7NtoFxydheXskmww0KBwc_lwMDU1u-7",
        "*",
        "J7NtoFxydheXskmww0KBwc_lwMDU1u-*",
        "J7NtoFxydheXskmww0KBwc_lwMDU1u-?",
        "J7NtoFxydheXskmww0KBwc_lwMDU1u-7 x",
        "J7NtoFxydheXskmww0KBwc_lwMDU1u-7\\r\\nDEL sess",
        "{J7NtoFxydheXskmww0KBwc_lwMDU1u-7}",
        "J7NtoFxydheXskmww0KBwc_lwMDU1u%2D7",
        "short",
    ] {
        denied(&service, &ask(&service, |call| call.header("x-session", id)), "check", "session id");
    }
    assert_eq!(redis.calls("getrange"), calls, "Redis is not asked");
}
