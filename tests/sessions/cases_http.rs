//! Cases 23 to 28: what a back end or an authorization server may answer, what it is told, and how long that is remembered.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::issuer::{CLIENT_SECRET, Issuer, OPAQUE};
use crate::one_rule::{ID, back, http_rule, present};
use crate::recipes::cookie;
use crate::sites::Site;
use crate::support::backend::{Backend, Reply, Seen};
use crate::support::clock::{eventually, now};
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::tls::Nginx;
use crate::verdict::{allowed, ask, checks, denied, tickets, unavailable, whole};

/// A rule as for `RuoYi`: status 200 always, and the truth in `code`.
fn coded(backend: &Backend) -> Service {
    let rule = "require = { \"/code\" = 200 }\ndeny = { \"/code\" = [401, 403], \"/state\" = \"kicked\" }\n";
    http_rule(backend.address).with(rule).start()
}

/// A rule that introspects tokens here.
fn introspection(url: &str, more: &str) -> Setup {
    let rule = format!(
        "[[session]]\nname = \"victim\"\nfrom = \"header:x-session\"\ncheck = \"introspect\"\nurl = \"{url}\"\n\
         client_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\n{more}"
    );
    Setup::new([parts::ONE_APP, &rule].concat()).env("SECRET", CLIENT_SECRET)
}

#[test]
fn case_23_a_200_that_denies_and_a_200_that_fails() {
    let backend = Backend::always(Reply::new(200, ""));
    let service = coded(&backend);
    let answer = |reply: Reply| {
        backend.set(move |_| reply.clone());
        ask(&service, present)
    };
    allowed(&answer(Reply::json(json!({"code": 200, "user": "alice"}))), "alice");
    for denial in [
        json!({"code": 401, "msg": "token expired"}),
        json!({"code": 403}),
        json!({"code": 200, "user": "alice", "state": "kicked"}),
        json!({"code": 401, "user": "alice"}),
    ] {
        denied(&service, &answer(Reply::json(denial)), "check", "denies");
    }
    for (nobody, cause) in [
        (json!({"code": 200}), "no user"),
        (json!({"code": 200, "user": ""}), "no user"),
        (json!({"code": 200, "user": null}), "no user"),
        (json!({"code": 200, "user": false}), "neither text"),
        (json!({"code": 200, "user": 1.5}), "neither text"),
        (json!({"code": 200, "user": {"id": 7}}), "neither text"),
    ] {
        denied(&service, &answer(Reply::json(nobody)), "user", cause);
    }
    for fault in [
        json!({"code": 500, "user": "alice"}),
        json!({"code": "200", "user": "alice"}),
        json!({"code": 200.0, "user": "alice"}),
        json!({"user": "alice"}),
        json!({}),
    ] {
        unavailable(&service, &answer(Reply::json(fault)), "require");
    }
    let html = "<!DOCTYPE html><title>Sign in</title>";
    for text in [
        html,
        "",
        "null",
        "[]",
        "\"alice\"",
        "200",
        "{\"code\":200,\"user\":\"alice\"",
        "{\"user\":\"alice\",\"code\":200,\"user\":\"bob\"}",
    ] {
        unavailable(&service, &answer(Reply::new(200, text)), "not a JSON object");
    }
    unavailable(&service, &answer(Reply::new(200, b"{\"code\":200,\"user\":\"\xff\"}")), "not a JSON object");
    unavailable(&service, &answer(Reply::new(200, "[".repeat(10_000))), "not a JSON object");
    assert_eq!(tickets(&service), 1);
}

#[test]
fn case_24_a_redirect_to_a_login_page_or_a_metadata_address() {
    let elsewhere = Backend::always(Reply::json(json!({"user": "mallory"})));
    let target = elsewhere.url();
    let nginx = Nginx::start(&format!(
        "server {{ listen 127.0.0.1:PORT; location = /me {{ if ($http_x_session = temporary0000000) {{ return 307 {target}/login; }} \
         return 302 {target}/login; }} }}"
    ));
    let service = http_rule(nginx.address).start();
    unavailable(&service, &ask(&service, present), "status 302");
    unavailable(&service, &ask(&service, |call| call.header("x-session", "temporary0000000")), "status 307");
    let backend = Backend::always(Reply::new(200, ""));
    let service = http_rule(backend.address).start();
    for status in [300, 301, 302, 303, 307, 308] {
        for location in [
            format!("{target}/login"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "//evil.example.com/".to_owned(),
        ] {
            let reply = Reply::new(status, r#"{"user":"mallory"}"#).header("location", location);
            backend.set(move |_| reply.clone());
            unavailable(&service, &ask(&service, present), &format!("status {status}"));
        }
    }
    assert_eq!((elsewhere.count(), tickets(&service)), (0, 0), "no redirect is followed");
}

#[test]
fn case_25_5xx_a_slow_drip_and_an_oversized_body() {
    let alice = || Reply::json(json!({"user": "alice"}));
    let backend = Backend::always(alice());
    let proxy = Proxy::to(backend.address);
    let service = http_rule(proxy.address).with("timeout = \"500ms\"\n").start();
    for status in [201, 202, 204, 206, 400, 402, 404, 405, 408, 409, 418, 429, 500, 502, 503, 504] {
        let body = if status == 204 { "" } else { r#"{"user":"alice"}"# };
        backend.set(move |_| Reply::new(status, body));
        unavailable(&service, &ask(&service, present), &format!("status {status}"));
    }
    for status in [401, 403] {
        backend.set(move |_| Reply::new(status, r#"{"user":"alice"}"#));
        denied(&service, &ask(&service, present), "check", "denies");
    }
    backend.set(move |_| alice());
    proxy.set(Weather::Drip(Duration::from_millis(100)));
    let since = Instant::now();
    unavailable(&service, &ask(&service, present), "no answer within 500ms");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    proxy.set(Weather::Fair);
    back(&service);
    let padded = |length: usize| {
        let head = r#"{"user":"alice","padding":""#;
        format!("{head}{}\"}}", "x".repeat(length - head.len() - 2))
    };
    let (fits, too_long) = (padded(64 * 1024), padded(64 * 1024 + 1));
    backend.set(move |_| Reply::new(200, fits.clone()));
    allowed(&ask(&service, present), "alice");
    backend.set(move |_| Reply::new(200, too_long.clone()));
    unavailable(&service, &ask(&service, present), "longer than 65536 bytes");
    // A thousand times as long, the rest is not even read.
    let endless = padded(64 << 20);
    backend.set(move |_| Reply::new(200, endless.clone()));
    unavailable(&service, &ask(&service, present), "");
    assert_eq!(checks(&service, "victim", "denied"), 2);
}

#[test]
fn case_26_active_is_missing_text_or_false() {
    let backend = Backend::always(Reply::new(200, ""));
    let service = introspection(&backend.url(), "authorized_parties = [\"web\"]\nissuer = \"https://idp\"\n").start();
    let answer = |reply: Reply| {
        backend.set(move |_| reply.clone());
        ask(&service, present)
    };
    let claims = |change: Value| {
        let mut claims = json!({"active": true, "sub": "alice", "aud": "im", "client_id": "web", "iss": "https://idp", "exp": now() + 600});
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        Reply::json(claims)
    };
    allowed(&answer(claims(json!({}))), "alice");
    denied(&service, &answer(Reply::json(json!({"active": false}))), "check", "not active");
    denied(&service, &answer(claims(json!({"active": false}))), "check", "not active");
    for active in [json!("true"), json!(1), json!(null), json!("false"), json!([true])] {
        unavailable(&service, &answer(claims(json!({"active": active}))), "active");
    }
    unavailable(&service, &answer(Reply::json(json!({"sub": "alice", "exp": now() + 600}))), "active");
    for exp in [json!((now() + 600) * 1000), json!("soon"), json!(true), json!(-1)] {
        unavailable(&service, &answer(claims(json!({"exp": exp}))), "end that the back end names");
    }
    for nbf in [json!(now() * 1000), json!("now"), json!(true), json!(-1)] {
        unavailable(&service, &answer(claims(json!({"nbf": nbf}))), "nbf");
    }
    // Clocks differ by seconds.
    for nbf in [json!(null), json!(now() - 5), json!(now() + 25)] {
        allowed(&answer(claims(json!({"nbf": nbf, "cnf": null, "token_type": "Bearer"}))), "alice");
    }
    for (change, step, cause) in [
        (json!({"exp": now() - 1}), "check", "expired"),
        (json!({"aud": "account"}), "check", "aud"),
        (json!({"aud": null}), "check", "aud"),
        (json!({"client_id": "other"}), "check", "client_id"),
        (json!({"client_id": null}), "check", "client_id"),
        (json!({"client_id": ["web"]}), "check", "client_id"),
        (json!({"iss": "https://evil"}), "check", "iss"),
        (json!({"nbf": now() + 300}), "check", "nbf"),
        (json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), "check", "cnf"),
        (json!({"token_type": "DPoP"}), "check", "type"),
        (json!({"TokenType": "refresh-token"}), "check", "type"),
        (json!({"type": "refresh"}), "check", "type"),
        (json!({"events": {}}), "check", "type"),
        (json!({"typ": "Refresh"}), "check", "type"),
        (json!({"token_use": "refresh_token"}), "check", "type"),
        (json!({"token_type": "refresh_token"}), "check", "type"),
        (json!({"sub": null}), "user", "no user"),
        (json!({"sub": ""}), "user", "no user"),
        (json!({"sub": {"id": 7}}), "user", "neither text"),
    ] {
        denied(&service, &answer(claims(change)), step, cause);
    }
    // That our own client is refused is our trouble, not the caller's.
    for status in [400, 401, 403, 404, 500, 302] {
        unavailable(
            &service,
            &answer(Reply::new(status, r#"{"error":"invalid_client"}"#)),
            &format!("status {status}"),
        );
    }
    unavailable(&service, &answer(Reply::new(200, "active=true")), "not a JSON object");
    assert_eq!(tickets(&service), 4);
    // An introspection answer's nonce says nothing, whoever issued the token.
    allowed(&answer(claims(json!({"nonce": "n-0S6_WzA2Mj"}))), "alice");
}

/// Asserts that a request has these headers, in any order, and nothing of the caller's beside them.
fn assert_told(seen: &Seen, expected: &[(&str, &str)]) {
    let mut names: Vec<_> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let usual = ["accept", "cache-control", "connection", "host", "user-agent", "x-request-id"];
    let mut allowed: Vec<_> = usual.into_iter().chain(expected.iter().map(|(name, _)| *name)).collect();
    allowed.sort_unstable();
    assert_eq!(names, allowed, "{seen:?}");
    assert_eq!((seen.header("cache-control"), seen.header("connection")), ("no-store", "close"), "{seen:?}");
    for (name, value) in expected {
        assert_eq!(seen.header(name), *value, "{seen:?}");
    }
}

#[test]
fn case_27_only_the_named_credential_reaches_the_back_end() {
    let backend = Backend::always(Reply::json(json!({"user": "alice", "active": true, "sub": "alice", "aud": "im"})));
    let busy = |service: &Service, name: &str, value: &str| {
        let call =
            service.public.post("/v1/usersig").same_origin().header(name, value).header("x-request-id", "the-id-1");
        let call = call.header("x-forwarded-for", "192.0.2.1").header("x-forwarded-host", "evil.example.com");
        let call = call
            .header("x-user-id", "bob")
            .header("referer", "https://evil.example.com/")
            .header("accept-language", "zh");
        let call = call
            .header("x-secret-of-another", "a-secret")
            .header("user-agent", "a browser")
            .header("range", "bytes=0-1");
        allowed(&call.json(json!({"userId": "alice"})).send(), "alice");
        backend.seen().pop().expect("the back end was asked")
    };
    let rule = |from: &str, check: &str| {
        let url = format!("{}/me?fixed=1", backend.url());
        let rule = format!("[[session]]\nname = \"victim\"\nfrom = \"{from}\"\nurl = \"{url}\"\n{check}");
        Setup::new([parts::ONE_APP, &rule].concat())
            .env("SECRET", CLIENT_SECRET)
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("http_proxy", "http://127.0.0.1:1")
            .start()
    };
    let http = "check = \"http\"\nuser = \"/user\"\n";

    let service = rule("cookie:sid", http);
    let seen = busy(&service, "cookie", "theme=dark; sid=the-session; other=a-secret");
    assert_told(&seen, &[("cookie", "sid=the-session")]);
    assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body.as_str()), ("GET", "/me?fixed=1", ""));
    assert_eq!((seen.header("x-request-id"), seen.header("host")), ("the-id-1", &*backend.address.to_string()));

    let service = rule("header:X-Access-Token", &format!("{http}method = \"POST\"\n"));
    let seen = busy(&service, "x-access-token", "the-session");
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("POST", ""));
    let mut told = vec![("x-access-token", "the-session")];
    if seen.headers.iter().any(|(name, _)| name == "content-length") {
        told.push(("content-length", "0"));
    }
    assert_told(&seen, &told);

    let service = rule("bearer", http);
    assert_told(&busy(&service, "authorization", "bearer  the-session"), &[("authorization", "Bearer the-session")]);

    let client =
        "check = \"introspect\"\nclient_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\n";
    let service = rule("cookie:sid", client);
    let seen = busy(&service, "cookie", "sid=the-session; other=a-secret");
    let basic = format!("Basic {}", STANDARD.encode("usersig:s3cret%3Awith%2Fodd%2Bchars%25"));
    let length = seen.body.len().to_string();
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_told(&seen, &[("authorization", &basic), ("content-length", &length), form]);
    assert_eq!(seen.body, "token=the-session&token_type_hint=access_token");

    let service = rule("bearer", &format!("{client}client_auth = \"client_secret_post\"\n"));
    let seen = busy(&service, "authorization", "Bearer the-session");
    let length = seen.body.len().to_string();
    assert_told(&seen, &[("content-length", &length), form]);
    let secret = "client_id=usersig&client_secret=s3cret%3Awith%2Fodd%2Bchars%25";
    assert_eq!(seen.body, format!("token=the-session&token_type_hint=access_token&{secret}"));
}

#[test]
fn case_28_a_logout_takes_effect_within_the_cache() {
    let redis = Redis::start();
    let site = Site::express(&redis);
    let rule = |more: &str| {
        let rule = "[[session]]\nname = \"web\"\nfrom = \"cookie:connect.sid\"\ncheck = \"http\"\nuser = \"/id\"\n";
        Setup::new([parts::ONE_APP, rule, &format!("url = \"{}\"\n{more}", site.client.url("/me"))].concat()).start()
    };
    let (plain, cached) = (rule(""), rule("cache = \"3s\"\n"));
    let (alice, bob) = (site.login("alice"), site.login("bob"));
    for service in [&plain, &cached] {
        allowed(&ask(service, cookie("connect.sid", &alice)), "alice");
        allowed(&ask(service, cookie("connect.sid", &bob)), "bob");
    }
    site.logout(&alice);
    let since = Instant::now();
    denied(&plain, &ask(&plain, cookie("connect.sid", &alice)), "check", "denies");
    eventually("the cache has forgotten", || (ask(&cached, cookie("connect.sid", &alice)).status == 401).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(10), "the cache of 3 s has forgotten after {:?}", since.elapsed());
    // Who is refused stays so, and others are not.
    denied(&cached, &ask(&cached, cookie("connect.sid", &alice)), "check", "denies");
    allowed(&ask(&cached, cookie("connect.sid", &bob)), "bob");

    let issuer = Issuer::start();
    let url = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
    let (plain, cached) = (introspection(&url, "").start(), introspection(&url, "cache = \"3s\"\n").start());
    let token = issuer.login("alice", OPAQUE).access;
    let get = |service| ask(service, |call| call.header("x-session", &token));
    for service in [&plain, &cached] {
        allowed(&get(service), "alice");
    }
    issuer.revoke(&token);
    let since = Instant::now();
    denied(&plain, &get(&plain), "check", "not active");
    eventually("the cache has forgotten", || (get(&cached).status == 401).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(10), "the cache of 3 s has forgotten after {:?}", since.elapsed());
}

#[test]
fn a_client_whose_secret_travels_in_the_form() {
    let issuer = Issuer::start();
    let url = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
    let token = issuer.login("alice", OPAQUE).access;
    let rule = || {
        let setup = introspection(&url, "client_auth = \"client_secret_post\"\n");
        setup.replace("\"usersig\"", "\"usersig-post\"")
    };
    let service = rule().start();
    allowed(&ask(&service, |call| call.header("x-session", &token)), "alice");
    denied(&service, &ask(&service, present), "check", "not active");
    let service = rule().env("SECRET", "another secret").start();
    unavailable(&service, &ask(&service, |call| call.header("x-session", &token)), "status 401");
}

#[test]
fn a_cache_spares_the_back_end_and_remembers_sessions_only() {
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let service = http_rule(backend.address).with("cache = \"30s\"\n").start();
    for _ in 0..10 {
        allowed(&ask(&service, present), "alice");
    }
    assert_eq!(backend.count(), 1);
    // Another credential is another session, whatever begins alike.
    backend.set(|seen| if seen.header("x-session") == ID { Reply::new(500, "") } else { Reply::new(401, "") });
    for other in [&ID[1..], &format!("{ID}x"), &ID.to_lowercase()] {
        denied(&service, &ask(&service, |call| call.header("x-session", other)), "check", "denies");
    }
    let count = backend.count();
    denied(&service, &ask(&service, |call| call.header("x-session", &ID[1..])), "check", "denies");
    assert_eq!(backend.count(), count + 1, "a refusal is not remembered");
    allowed(&ask(&service, present), "alice");
    let faulty = http_rule(backend.address).with("cache = \"30s\"\n").start();
    unavailable(&faulty, &ask(&faulty, present), "status 500");
    backend.set(|_| Reply::json(json!({"user": "alice"})));
    allowed(&ask(&faulty, present), "alice");
}

#[test]
fn a_cache_of_long_answers_takes_no_more_memory_than_it_may() {
    let padding = "x".repeat(64 * 1024 - 64);
    let backend = Backend::start(move |_| Reply::json(json!({"user": "alice", "padding": padding})));
    let service = http_rule(backend.address).with("cache = \"30s\"\n").start();
    let memory = || whole(service.metrics().of("process_resident_memory_bytes"));
    let fill = |count: usize| {
        let credential = |number: usize| format!("{ID}-{count}-{number}");
        for number in 0..count {
            allowed(&ask(&service, |call| call.header("x-session", &credential(number))), "alice");
        }
        backend.count()
    };
    let asked = fill(10);
    let before = memory();
    assert_eq!(fill(1500), asked + 1500);
    let growth = memory().saturating_sub(before);
    // 8 MiB, and what an allocator leaves between them; all of them are 94 MiB.
    assert!(growth < 24 << 20, "grown by {growth} bytes");
}
