//! Cases 29 to 33: what must hold before any check runs, and what must never leave the service.
//!
//! Case 34, a panic inside a check, cannot be brought about from outside; its test stands beside the code that catches it.

use std::thread;

use serde_json::json;

use crate::one_rule::ID;
use crate::sites::COOKIE_SECRET;
use crate::support::backend::{Backend, Reply};
use crate::support::client::{Answer, Call};
use crate::support::keys::{session, session_with};
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{SECRET, SESSION_SECRET};
use crate::verdict::{allowed, ask, tickets};

/// Pages of one other origin may use the cookie `sid`; whoever has one is alice.
fn pages(backend: &Backend) -> Service {
    let server = "[server]\nallowed_origins = [\"https://m.example.com\"]\n";
    let rules = format!(
        "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n\
         [[session]]\nname = \"web\"\nfrom = \"cookie:sid\"\ncheck = \"http\"\nurl = \"{url}\"\nuser = \"/id\"\nshared_users = true\n\
         [[session]]\nname = \"app\"\nfrom = \"header:X-Token\"\ncheck = \"http\"\nurl = \"{url}\"\nuser = \"/id\"\nshared_users = true\n",
        url = backend.url()
    );
    Setup::new([server, parts::ONE_APP, &rules].concat()).start()
}

fn alice() -> Backend {
    Backend::always(Reply::json(json!({"id": "alice"})))
}

fn has_cors(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"))
}

#[test]
fn case_29_a_cookie_from_another_origin_is_not_even_checked() {
    let backend = alice();
    let service = pages(&backend);
    let foreign: [&[(&str, &str)]; 16] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example.com")],
        &[("origin", "https://m.example.com.evil.com")],
        &[("origin", "https://evilm.example.com")],
        &[("origin", "http://m.example.com")],
        &[("origin", "https://m.example.com:8443")],
        &[("origin", "https://m.example.com/")],
        &[("origin", "https://m.example.com https://evil.example.com")],
        &[("origin", "")],
        &[("origin", "https://evil.example.com"), ("origin", "https://m.example.com")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("referer", "https://m.example.com/")],
        &[("host", "m.example.com"), ("x-forwarded-host", "m.example.com")],
    ];
    for headers in foreign {
        for call in [
            service.public.get("/v1/usersig"),
            service.public.post("/v1/usersig"),
            service.public.post("/v1/private-map-key").json(json!({"roomId": 7})),
        ] {
            let call =
                headers.iter().fold(call.cookie("sid", "alices"), |call, header| call.header(header.0, header.1));
            call.send().refused(403, "origin_denied");
        }
    }
    assert_eq!((backend.count(), tickets(&service)), (0, 0), "no check runs");
    let answer = ask(&service, |call| call.cookie("sid", "alices").origin("https://evil.example.com"));
    assert!(!has_cors(&answer), "{answer:?}");
    let answer = ask(&service, |call| call.cookie("sid", "alices").origin("https://m.example.com"));
    allowed(&answer, "alice");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://m.example.com"));
    allowed(&ask(&service, |call| call.cookie("sid", "alices").same_origin()), "alice");
    // A token that no browser sends by itself needs no origin.
    allowed(&ask(&service, |call| call.header("x-token", "alices").origin("https://evil.example.com")), "alice");
}

#[test]
fn case_30_posts_that_a_form_can_send() {
    let backend = alice();
    let service = pages(&backend);
    for content_type in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
        "",
    ] {
        for path in ["/v1/usersig", "/v1/private-map-key"] {
            let call = service.public.post(path).cookie("sid", "alices").same_origin();
            call.body(content_type, r#"{"roomId":7}"#).send().refused(415, "unsupported_media_type");
        }
    }
    assert_eq!((backend.count(), tickets(&service)), (0, 0), "no check runs");
}

#[test]
fn case_31_a_preflight_without_credentials() {
    let backend = alice();
    let service = pages(&backend);
    let preflight = |origin: &str| {
        let call = service.public.call("OPTIONS", "/v1/usersig").header("origin", origin);
        call.header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-token")
            .send()
    };
    let answer = preflight("https://m.example.com");
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.assert_guarded();
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://m.example.com"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let headers = answer.header("access-control-allow-headers").expect("a list").to_ascii_lowercase();
    assert!(headers.contains("content-type") && headers.contains("x-token"), "{headers}");
    for foreign in ["https://evil.example.com", "null", "https://m.example.com.evil.com"] {
        let answer = preflight(foreign);
        answer.refused(403, "origin_denied");
        assert!(!has_cors(&answer), "{answer:?}");
    }
    assert_eq!(backend.count(), 0, "no check runs");
}

#[test]
fn case_32_nothing_secret_in_logs_answers_or_metrics() {
    let redis = Redis::start();
    redis.run::<()>("ACL SETUSER usersig on >the-redis-password allkeys +getrange +pttl +echo");
    redis.set(&format!("sess:{ID}"), r#"{"user":"alice","csrf":"a-secret-of-the-session"}"#);
    let backend = Backend::start(|seen| match seen.header("authorization") {
        basic if basic.starts_with("Basic") => Reply::new(500, basic.to_owned()),
        bearer => Reply::new(302, bearer.to_owned()).header("location", format!("https://login/?token={bearer}")),
    });
    let rules = format!(
        "[log]\nlevel = \"trace\"\n{app}{jwt}shared_users = true\n\
         [[session]]\nname = \"redis\"\nfrom = \"header:X-Redis\"\ncheck = \"redis\"\nurl = \"redis://usersig@{redis}/0\"\n\
         password = \"env:REDIS_PASSWORD\"\nkey = \"sess:{{id}}\"\nuser = \"/user\"\nshared_users = true\n\
         [[session]]\nname = \"express\"\nfrom = \"cookie:connect.sid\"\ncheck = \"redis\"\nunwrap = \"express\"\nsecrets = [\"env:COOKIE_SECRET\"]\n\
         url = \"redis://{redis}/0\"\nkey = \"sess:{{id}}\"\nuser = \"/user\"\nshared_users = true\n\
         [[session]]\nname = \"http\"\nfrom = \"bearer\"\ncheck = \"http\"\nurl = \"{http}\"\nuser = \"/user\"\nshared_users = true\n\
         [[session]]\nname = \"introspect\"\nfrom = \"header:X-Opaque\"\ncheck = \"introspect\"\nurl = \"{http}\"\nclient_id = \"usersig\"\n\
         client_secret = \"env:CLIENT_SECRET\"\naudience = [\"im\"]\nshared_users = true\n",
        app = parts::ONE_APP,
        jwt = parts::HEADER,
        redis = redis.address(),
        http = backend.url()
    );
    let setup = Setup::new(rules).env("REDIS_PASSWORD", "the-redis-password").env("COOKIE_SECRET", COOKIE_SECRET);
    let service = setup.env("CLIENT_SECRET", "the-client-secret").start();
    let good = session("alice");
    let expired = session_with(json!({"sub": "alice", "exp": 1}));
    let forged = format!("{good}x");
    let cookie = "s%3AJ7NtoFxydheXskmww0KBwc_lwMDU1u-7.W%2B13W7ckCNQ5m%2Bvd1fhddElBcwAy6Gc8vFFvHe28xKk";
    let mut answers = vec![];
    for frozen in [false, true] {
        if frozen {
            redis.component().freeze();
        }
        for (name, value) in [
            ("x-token", good.as_str()),
            ("x-token", &expired),
            ("x-token", &forged),
            ("x-redis", ID),
            ("x-redis", "not-an-id!"),
            ("x-opaque", "an-opaque-token"),
            ("authorization", "Bearer the-token-of-a-session"),
            ("cookie", &format!("connect.sid={cookie}")),
            ("x-request-id", "Bearer the-token-of-a-session"),
        ] {
            for call in [
                service.public.post("/v1/usersig"),
                service.public.post("/v1/private-map-key").json(json!({"roomId": 1})),
            ] {
                let answer = call.same_origin().header(name, value).send();
                answer.assert_guarded();
                answers.push(answer);
            }
        }
    }
    redis.component().thaw();
    let issued: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.ok()["userSig"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(issued.len(), 3, "two by the token, one from Redis");
    for path in ["/metrics", "/readyz", "/version", "/livez"] {
        answers.push(service.ops.get(path).send());
    }
    let refused: String = answers
        .iter()
        .filter(|answer| answer.status != 200 || !answer.text().contains("userSig"))
        .flat_map(|answer| [format!("{answer:?}"), answer.text()])
        .collect();
    let (stderr, log) = (service.stderr(), service.stop());
    let log: String = log.iter().map(ToString::to_string).collect();
    assert!(log.contains("session_check_unavailable") && log.contains("issued"), "the log is there");
    let signature = |token: &str| token.rsplit('.').next().expect("a signature").to_owned();
    for secret in [
        SECRET,
        SESSION_SECRET,
        COOKIE_SECRET,
        "the-redis-password",
        "the-client-secret",
        ID,
        "not-an-id",
        "an-opaque-token",
        "the-token-of-a-session",
        "W%2B13W7ckCNQ5m",
        "W+13W7ckCNQ5m",
        "a-secret-of-the-session",
        &signature(&good),
        &signature(&expired),
    ]
    .into_iter()
    .chain(issued.iter().map(String::as_str))
    {
        for (place, text) in [("log", &log), ("stderr", &stderr), ("answers", &refused)] {
            assert!(!text.contains(secret), "{secret} in the {place}");
        }
    }
}

/// Asks at once from so many threads, and returns how often each status came.
fn at_once(count: usize, ask: impl Fn(usize) -> u16 + Sync) -> impl Fn(u16) -> usize {
    let statuses: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(number)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    move |status| statuses.iter().filter(|known| **known == status).count()
}

#[test]
fn case_33_limits_under_concurrency_and_with_spoofed_addresses() {
    let limited = || {
        let setup = Setup::simple().env("USERSIG__LIMIT__PER_USER", "5/h").env("USERSIG__LIMIT__BURST", "5");
        setup.env("USERSIG__LIMIT__PER_ADDRESS", "10/h")
    };
    let token = session("alice");
    let service = limited().start();
    let answers = at_once(40, |_| ask(&service, |call| call.bearer(&token)).status);
    assert_eq!((answers(200), answers(429)), (5, 35));
    assert_eq!(tickets(&service), 5);
    ask(&service, |call| call.bearer(&token)).refused(429, "rate_limited");
    allowed(&ask(&service, |call| call.bearer(&session("bob"))), "bob");
    // Failed credentials count by the address of the peer, whatever the caller says of it.
    let answers = at_once(40, |number| {
        let address = format!("192.0.2.{number}");
        let spoofed = |call: Call<'_>| {
            call.bearer("not.a.token")
                .header("x-forwarded-for", &address)
                .header("forwarded", &format!("for={address}"))
                .header("x-real-ip", &address)
                .send()
                .status
        };
        spoofed(service.public.post("/v1/usersig"))
    });
    // One more for each worker may be under way.
    assert!((10..=25).contains(&answers(401)) && answers(401) + answers(429) == 40, "{} of 401", answers(401));
    ask(&service, |call| call.bearer("not.a.token").header("x-forwarded-for", "198.51.100.1"))
        .refused(429, "rate_limited");

    // Two replicas with one limit.
    let redis = Redis::start();
    let store = redis.url();
    let replicas =
        [(); 2].map(|()| limited().env("USERSIG__LIMIT__STORE", &store).env("USERSIG__LIMIT__TIMEOUT", "1s").start());
    let answers = at_once(40, |number| ask(&replicas[number % 2], |call| call.bearer(&token)).status);
    assert_eq!((answers(200), answers(429)), (5, 35));
    assert_eq!(tickets(&replicas[0]) + tickets(&replicas[1]), 5);
}
