//! Cases 7 to 12: what stands in Redis and is no session of anybody.

use serde_json::json;

use crate::one_rule::{ID, present, redis_rule, remember};
use crate::recipes::{cookie, redis_recipe};
use crate::sites::{COOKIE_SECRET, Site};
use crate::support::redis::Redis;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, denied, tickets};

/// A Java string in `java.io.ObjectOutputStream`'s format.
fn java_string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [b"\xac\xed\x00\x05t", length.as_slice(), text.as_bytes()].concat()
}

/// A Spring session as Spring Session's indexed repository stores it.
fn spring_session(redis: &Redis, id: &str, user: &[u8]) {
    let long = |number: i64| {
        let class = b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp";
        [class.as_slice(), &number.to_be_bytes()].concat()
    };
    let key = format!("spring:session:sessions:{id}");
    let created = long(1_790_000_000_000);
    redis.command::<()>(&[
        b"HSET",
        key.as_bytes(),
        b"creationTime",
        &created,
        b"lastAccessedTime",
        &created,
        b"sessionAttr:userId",
        user,
    ]);
    redis.run::<()>(&format!("EXPIRE {key} 2100"));
}

#[test]
fn case_07_a_key_of_another_type() {
    let redis = Redis::start();
    let service = redis_rule(redis.address()).start();
    for command in
        ["HSET sess:{id} user alice", "RPUSH sess:{id} alice", "SADD sess:{id} alice", "ZADD sess:{id} 1 alice"]
    {
        redis.run::<()>(&format!("DEL sess:{ID}"));
        redis.run::<()>(&command.replace("{id}", ID));
        denied(&service, &ask(&service, present), "check", "decode");
    }
    let text = "[[session]]\nname = \"hash\"\nfrom = \"header:x-session\"\ncheck = \"redis\"\nkey = \"sess:{id}\"\nfield = \"user\"\n";
    let service = Setup::new([parts::ONE_APP, text, &format!("url = \"{}\"\n", redis.url())].concat()).start();
    remember(&redis);
    denied(&service, &ask(&service, present), "check", "decode");
    redis.run::<()>(&format!("DEL sess:{ID}"));
    redis.run::<()>(&format!("HSET sess:{ID} other alice"));
    denied(&service, &ask(&service, present), "check", "no such session");
    redis.run::<()>(&format!("HSET sess:{ID} user alice"));
    allowed(&ask(&service, present), "alice");
}

#[test]
fn case_08_broken_json_and_users_that_are_none() {
    let redis = Redis::start();
    let service = redis_rule(redis.address()).start();
    let key = format!("sess:{ID}");
    for broken in [
        "",
        "{",
        "null",
        "[]",
        "\"alice\"",
        "alice",
        r#"{"user":"alice"} "#,
        r#"{"user":"alice",}"#,
        r#"{"user":"alice","user":"bob"}"#,
        "\u{feff}{\"user\":\"alice\"}",
        "{\"user\":\"\u{0}\"}",
    ] {
        redis.set(&key, broken);
        // White space behind the object is JSON all the same.
        if broken.ends_with(' ') {
            allowed(&ask(&service, present), "alice");
        } else {
            denied(&service, &ask(&service, present), "check", "decode");
        }
    }
    redis.set(&key, b"{\"user\":\"al\xffice\"}");
    denied(&service, &ask(&service, present), "check", "decode");
    for (user, cause) in [
        (json!({}), "no user"),
        (json!({"User": "alice"}), "no user"),
        (json!({"user": null}), "no user"),
        (json!({"user": ""}), "no user"),
        (json!({"user": {"id": "alice"}}), "neither text"),
        (json!({"user": ["alice"]}), "neither text"),
        (json!({"user": true}), "neither text"),
        (json!({"user": 1.5}), "neither text"),
        (json!({"user": 1e3}), "neither text"),
    ] {
        redis.set(&key, user.to_string());
        denied(&service, &ask(&service, present), "user", cause);
    }
    redis.set(&key, r#"{"user":18446744073709551616}"#);
    denied(&service, &ask(&service, present), "user", "neither text");
    assert_eq!(tickets(&service), 1);
    // Text and whole numbers are users as they stand, beyond the 2^53 of JavaScript too.
    for number in ["7", "9007199254740993", "18446744073709551615", "-7"] {
        redis.set(&key, format!("{{\"user\":{number}}}"));
        allowed(&ask(&service, present), number);
    }
    for unusable in
        [json!(" alice"), json!("alice\n"), json!("al ice"), json!("a".repeat(33)), json!("álice"), json!("@TIM#alice")]
    {
        redis.set(&key, json!({"user": unusable}).to_string());
        ask(&service, present).refused(422, "unusable_user_id");
    }
    redis.set(&key, json!({"user": "administrator"}).to_string());
    ask(&service, present).refused(403, "user_not_permitted");
}

#[test]
fn case_09_an_anonymous_session() {
    let redis = Redis::start();
    let site = Site::express(&redis);
    let service = redis_recipe("express", &redis, "~sess:*").env("SESSION_SECRET", COOKIE_SECRET).start();
    let visitor = site.visit();
    let stored: Vec<String> = redis.run("KEYS sess:*");
    assert_eq!(stored.len(), 1, "the visitor has a session");
    denied(&service, &ask(&service, cookie("connect.sid", &visitor)), "user", "no user");
    // A rule whose back end names the nobody.
    let rule = "deny_users = [\"anonymousUser\", \"0\"]\n";
    let service = redis_rule(redis.address()).with(rule).start();
    for nobody in [json!("anonymousUser"), json!(0)] {
        redis.set(&format!("sess:{ID}"), json!({"user": nobody}).to_string());
        denied(&service, &ask(&service, present), "user", "deny_users");
    }
}

#[test]
fn case_10_sa_token_kicked_out_replaced_and_disabled() {
    let redis = Redis::start();
    let service = redis_recipe("satoken", &redis, "~satoken:login:*").start();
    let token = "6f0d2a5e-54c2-4a6f-9d27-5f4d8a0c7e33";
    let key = format!("satoken:login:token:{token}");
    let get = || ask(&service, |call| call.header("satoken", token));
    for number in 1..=7 {
        redis.set(&key, format!("-{number}"));
        denied(&service, &get(), "user", "deny_users");
    }
    redis.set(&key, "10001");
    allowed(&get(), "10001");
    redis.set("satoken:login:disable:login:10001", "1");
    denied(&service, &get(), "check", "deny_if_exists");
    redis.run::<()>("DEL satoken:login:disable:login:10001");
    redis.set("satoken:login:disable:login:10002", "1");
    allowed(&get(), "10001");
}

#[test]
fn case_11_spring_after_a_logout_and_in_its_five_minute_tail() {
    let redis = Redis::start();
    let service = redis_recipe("spring", &redis, "~spring:session:sessions:*").start();
    let id = "23b53eb4-a4c3-4b1a-8d3b-7a3f0c0f9a11";
    let key = format!("spring:session:sessions:{id}");
    let session = "MjNiNTNlYjQtYTRjMy00YjFhLThkM2ItN2EzZjBjMGY5YTEx";
    let get = || ask(&service, cookie("SESSION", session));
    spring_session(&redis, id, &java_string("alice"));
    allowed(&get(), "alice");
    redis.run::<()>(&format!("EXPIRE {key} 300"));
    denied(&service, &get(), "check", "min_ttl");
    spring_session(&redis, id, &java_string("alice"));
    allowed(&get(), "alice");
    redis.run::<()>(&format!("HDEL {key} sessionAttr:userId"));
    denied(&service, &get(), "check", "no such session");
    redis.run::<()>(&format!("DEL {key}"));
    denied(&service, &get(), "check", "no such session");
    for cookie_text in ["23b53eb4-a4c3-4b1a-8d3b-7a3f0c0f9a11!", "////", "gA=="] {
        assert_eq!(ask(&service, cookie("SESSION", cookie_text)).status, 401, "{cookie_text}");
    }
}

#[test]
fn case_12_a_java_object_in_place_of_a_string() {
    let redis = Redis::start();
    let service = redis_recipe("spring", &redis, "~spring:session:sessions:*").start();
    let id = "23b53eb4-a4c3-4b1a-8d3b-7a3f0c0f9a11";
    let session = "MjNiNTNlYjQtYTRjMy00YjFhLThkM2ItN2EzZjBjMGY5YTEx";
    let get = || ask(&service, cookie("SESSION", session));
    let object = b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05value\x00\x00\x00\x00\x00\x00\x00\x07";
    let longer = [java_string("alice"), b"x".to_vec()].concat();
    let two = [java_string("alice"), java_string("bob")].concat();
    for value in [
        &object[..],
        b"alice",
        b"\"alice\"",
        b"\x80\x04\x95\x05alice.",
        b"a:1:{s:2:\"id\";i:7;}",
        &java_string("alice")[..9],
        &longer,
        &two,
        b"",
    ] {
        spring_session(&redis, id, value);
        denied(&service, &get(), "check", "decode");
    }
    spring_session(&redis, id, &java_string(""));
    denied(&service, &get(), "user", "no user");
    assert_eq!(tickets(&service), 0);
    // What a framework of another language stores is no JSON either.
    let service = redis_rule(redis.address()).start();
    for value in [
        &b"\x80\x05\x95\x10\x00}\x94\x8c\x04user\x94\x8c\x05alice\x94s."[..],
        b"\x81\xa4user\xa5alice",
        b"user|s:5:\"alice\";",
        b"\x04\x08{\x06I\"\tuser",
    ] {
        redis.set(&format!("sess:{ID}"), value);
        denied(&service, &ask(&service, present), "check", "decode");
    }
    assert_eq!(tickets(&service), 0);
}
