//! `within_session`: no ticket outlives the session, wherever its end is known from; and rooms that a session names.

use serde_json::{Value, json};

use crate::issuer::{CLIENT_SECRET, Issuer, OPAQUE};
use crate::one_rule::{ID, present, remember};
use crate::recipes::cookie;
use crate::sites::{COOKIE_SECRET, Site};
use crate::support::backend::{Backend, Reply};
use crate::support::clock::{eventually, now};
use crate::support::keys::session_with;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, denied, unavailable};

/// An app whose tickets end with their sessions, and one rule.
fn bound(rule: &str) -> Setup {
    let app = [parts::ONE_APP, "within_session = true\n"].concat();
    Setup::new([&app, "[[session]]\nname = \"victim\"\nfrom = \"header:x-session\"\n", rule].concat())
}

/// Asserts a ticket that ends when a session of `left` seconds does, give or take how long the test took.
#[track_caller]
fn ends_with(answer: &crate::support::client::Answer, user: &str, left: u64) {
    let ticket = allowed(answer, user);
    let expire = ticket["expire"].as_u64().expect("a number");
    assert!(expire <= left && expire + 50 > left, "{expire} of {left} s: {ticket}");
    assert!(ticket["expiresAt"].as_u64() <= Some(now() + left), "{ticket}");
}

/// Asserts that the session is good and yet too short, or of unknown length.
#[track_caller]
fn unbounded(service: &Service, answer: &crate::support::client::Answer) {
    answer.refused(401, "invalid_session");
    let event = service.audit(answer.request_id());
    assert!(event["cause"].as_str().is_some_and(|cause| cause.contains("no known end")), "{event}");
}

#[test]
fn the_life_of_a_key_in_redis_bounds_the_ticket() {
    let redis = Redis::start();
    let service =
        bound(&format!("check = \"redis\"\nkey = \"sess:{{id}}\"\nuser = \"/user\"\nurl = \"{}\"\n", redis.url()))
            .start();
    remember(&redis);
    redis.run::<()>(&format!("EXPIRE sess:{ID} 100"));
    ends_with(&ask(&service, present), "alice", 100);
    ends_with(&ask(&service, |call| present(call).json(json!({"expire": 86_400}))), "alice", 100);
    assert_eq!(allowed(&ask(&service, |call| present(call).json(json!({"expire": 7}))), "alice")["expire"], 7);
    redis.run::<()>(&format!("PEXPIRE sess:{ID} 900"));
    // The last second is none, and then the key is gone.
    assert_eq!(ask(&service, present).status, 401);
    remember(&redis);
    redis.run::<()>(&format!("PERSIST sess:{ID}"));
    unbounded(&service, &ask(&service, present));
    // A session that ends before its key does.
    let tailed = service.setup.with("min_ttl = \"301s\"\n").start();
    redis.run::<()>(&format!("EXPIRE sess:{ID} 401"));
    ends_with(&ask(&tailed, present), "alice", 100);
    redis.run::<()>(&format!("EXPIRE sess:{ID} 300"));
    denied(&tailed, &ask(&tailed, present), "check", "min_ttl");

    // What frameworks really set: a day in Express, 31 of them in Flask, which the app's own limit cuts.
    let express = Site::express(&redis);
    let rule = "[[session]]\nname = \"web\"\nfrom = \"cookie:connect.sid\"\nunwrap = \"express\"\nsecrets = [\"env:SECRET\"]\ncheck = \"redis\"\nkey = \"sess:{id}\"\nuser = \"/passport/user\"\n";
    let app = [parts::ONE_APP, "within_session = true\nexpire = \"7d\"\n"].concat();
    let service =
        Setup::new([&app, rule, &format!("url = \"{}\"\n", redis.url())].concat()).env("SECRET", COOKIE_SECRET).start();
    ends_with(&ask(&service, cookie("connect.sid", &express.login("alice"))), "alice", 86_400);
}

#[test]
fn the_end_that_a_back_end_names_bounds_the_ticket() {
    let backend = Backend::always(Reply::new(500, ""));
    let service =
        bound(&format!("check = \"http\"\nuser = \"/user\"\nexpires = \"/until\"\nurl = \"{}\"\n", backend.url()))
            .start();
    let until = |until: Value| {
        backend.set(move |_| Reply::json(json!({"user": "alice", "until": until})));
        ask(&service, present)
    };
    ends_with(&until(json!(now() + 100)), "alice", 100);
    unbounded(&service, &until(Value::Null));
    backend.set(|_| Reply::json(json!({"user": "alice"})));
    unbounded(&service, &ask(&service, present));
    for past in [json!(now()), json!(now() - 100), json!(0)] {
        assert_eq!(until(past).status, 401);
    }
    for strange in [
        json!((now() + 100) * 1000),
        json!("2099-01-01T00:00:00Z"),
        json!((now() + 100).to_string()),
        json!(true),
        json!(-1),
        json!([]),
    ] {
        unavailable(&service, &until(strange), "Unix seconds");
    }
}

#[test]
fn the_exp_of_a_token_bounds_the_ticket() {
    let issuer = Issuer::start();
    let url = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
    let introspect = |url: &str| {
        let rule = format!(
            "check = \"introspect\"\nurl = \"{url}\"\nclient_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\ncache = \"30s\"\n"
        );
        bound(&rule).env("SECRET", CLIENT_SECRET).start()
    };
    let service = introspect(&url);
    let token = issuer.login("alice", OPAQUE).access;
    for _ in 0..2 {
        ends_with(&ask(&service, |call| call.header("x-session", &token)), "alice", 3600);
    }
    let backend = Backend::always(Reply::json(json!({"active": true, "sub": "alice", "aud": "im"})));
    let service = introspect(&backend.url());
    unbounded(&service, &ask(&service, present));

    let service = bound("check = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n").start();
    let token = session_with(json!({"sub": "alice", "exp": now() + 100}));
    ends_with(&ask(&service, |call| call.header("x-session", &token)), "alice", 100);
    // The leeway lets a token in, and gives no ticket a longer life.
    let token = session_with(json!({"sub": "alice", "exp": now() - 5}));
    unbounded(&service, &ask(&service, |call| call.header("x-session", &token)));
}

#[test]
fn a_cached_session_ends_when_it_ends() {
    let end = now() + 4;
    let backend = Backend::always(Reply::json(
        json!({"user": "alice", "until": end, "active": true, "sub": "alice", "aud": "im", "exp": end}),
    ));
    let http = format!(
        "check = \"http\"\nuser = \"/user\"\nexpires = \"/until\"\nurl = \"{}\"\ncache = \"30s\"\n",
        backend.url()
    );
    let introspect = format!(
        "check = \"introspect\"\nclient_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\nurl = \"{}\"\ncache = \"30s\"\n",
        backend.url()
    );
    // Tickets may outlive the session here, so that it is the cache alone that ends it.
    let free = |rule: &str| bound(rule).replace("within_session = true\n", "");
    let services = [free(&http).start(), free(&introspect).env("SECRET", CLIENT_SECRET).start()];
    for service in &services {
        let answer = ask(service, present);
        assert!(answer.status == 200 || now() >= end, "{}", answer.text());
        eventually("the session has ended", || (ask(service, present).status == 401).then_some(()));
        // Long before the cache would forget by itself.
        assert!((end - 1..end + 15).contains(&now()), "refused {} s after the end", now().saturating_sub(end));
    }
}

#[test]
fn rooms_that_the_session_names() {
    let redis = Redis::start();
    let site = Site::express(&redis);
    let app = [parts::ONE_APP, "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"/rooms\"\n"].concat();
    let rule = "[[session]]\nname = \"web\"\nfrom = \"cookie:connect.sid\"\ncheck = \"http\"\nuser = \"/id\"\n";
    let service = Setup::new([&app, rule, &format!("url = \"{}\"\n", site.client.url("/me"))].concat()).start();
    let session = site.login("alice");
    let enter = |room: Value| {
        let call = service.public.post("/v1/private-map-key").cookie("connect.sid", &session).same_origin();
        call.json(room).send()
    };
    for room in [json!({"roomId": 7}), json!({"roomStr": "lobby"})] {
        assert_eq!(enter(room).ok()["userId"], "alice");
    }
    for room in [json!({"roomId": 8}), json!({"roomStr": "7"}), json!({"roomStr": "Lobby"})] {
        enter(room).refused(403, "room_not_permitted");
    }
}
