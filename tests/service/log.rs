//! The log: one audit event for each decision, ids that lead through it, nothing secret in it, and no waiting for it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::client::Client;
use crate::support::clock::{eventually, now};
use crate::support::command::EndsWithTest;
use crate::support::keys::{RSA, session, session_with};
use crate::support::metrics::Metrics;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{APP, OTHER_SECRET, SECRET, SESSION_SECRET};

fn start() -> Service {
    let policy = "deny_users = [\"u_boss\"]\n[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n";
    let rules = [parts::BEARER, "user_prefix = \"u_\"\n", parts::COOKIE, "user_prefix = \"c_\"\n"].concat();
    Setup::new([parts::ONE_APP, policy, &rules].concat()).start()
}

#[test]
fn a_sane_request_id_is_kept_and_another_replaced() {
    let service = start();
    for id in ["1", "abc-DEF_0.9", &"x".repeat(64), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"] {
        let answer = service.public.post("/v1/usersig").header("x-request-id", id).bearer(&session("alice")).send();
        answer.ok();
        assert_eq!(answer.request_id(), id);
        service.audit(id);
        let refused = service.public.get("/nowhere").header("x-request-id", id).send();
        assert_eq!(refused.refused(404, "not_found")["requestId"], id);
    }
    let mut given = std::collections::HashSet::new();
    for id in ["", " ", "a b", "a\"b", "a{b", "<script>", &"x".repeat(65), "a;b", "a,b", "a/b"] {
        let answer = service.public.post("/v1/usersig").header("x-request-id", id).bearer(&session("alice")).send();
        answer.ok();
        assert_ne!(answer.request_id(), id);
        assert!(answer.request_id().len() >= 16 && given.insert(answer.request_id().to_owned()), "unlike the others");
        service.audit(answer.request_id());
    }
    let answer = service.public.raw("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nX-Request-Id: 中\r\n\r\n");
    assert!(answer.request_id().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{answer:?}");
}

#[test]
fn an_inbound_trace_is_continued() {
    let service = start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = service.public.post("/v1/usersig").header("traceparent", trace).bearer(&session("alice")).send();
    let event = service.audit(answer.request_id());
    assert_eq!(event["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(event["parent_id"], "00f067aa0ba902b7");
    for broken in [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
    ] {
        let answer = service.public.post("/v1/usersig").header("traceparent", broken).bearer(&session("alice")).send();
        answer.ok();
        let event = service.audit(answer.request_id());
        assert!(event.get("trace_id").is_none_or(Value::is_null), "{broken}: {event}");
    }
}

#[test]
fn an_issued_ticket_is_one_event_with_all_that_matters() {
    let service = start();
    let call = service.public.post("/v1/usersig").json(json!({"expire": 60})).bearer(&session("alice"));
    let answer = call.send();
    answer.ok();
    let event = service.audit(answer.request_id());
    for (name, value) in [
        ("outcome", json!("issued")),
        ("kind", json!("usersig")),
        ("app", json!(APP)),
        ("rule", json!("token")),
        ("user", json!("u_alice")),
        ("expire", json!(60)),
        ("level", json!("INFO")),
    ] {
        assert_eq!(event[name], value, "{name} in {event}");
    }
    assert_eq!(event["key"], hex::encode(Sha256::digest(SECRET))[..8]);
    assert!(event["duration_us"].is_u64(), "{event}");
    assert!(event["timestamp"].as_str().expect("text").ends_with('Z'), "{event}");
    let call = service.public.post("/v1/private-map-key").json(json!({"roomId": 7})).bearer(&session("alice"));
    let answer = call.send();
    answer.ok();
    let event = service.audit(answer.request_id());
    assert_eq!((&event["outcome"], &event["kind"]), (&json!("issued"), &json!("private_map_key")));
}

#[test]
fn a_refusal_is_one_event_with_its_reason() {
    let service = start();
    let token = session("alice");
    for (call, outcome, app, rule, user) in [
        (service.public.post("/v1/usersig").json(json!({"x": 1})), "invalid_request", None, None, None),
        (service.public.get("/v1/usersig?sdkAppId=1"), "unknown_app", None, None, None),
        (service.public.post("/v1/usersig"), "missing_credential", Some(APP), None, None),
        (service.public.post("/v1/usersig").cookie("sid", &token), "origin_denied", Some(APP), Some("cookie"), None),
        (service.public.post("/v1/usersig").bearer("broken"), "invalid_session", Some(APP), Some("token"), None),
        (
            service.public.post("/v1/usersig").bearer(&session("a b")),
            "unusable_user_id",
            Some(APP),
            Some("token"),
            Some("a b"),
        ),
        (
            service.public.post("/v1/usersig").json(json!({"userId": "bob"})).bearer(&token),
            "user_mismatch",
            Some(APP),
            Some("token"),
            Some("u_alice"),
        ),
        (
            service.public.post("/v1/private-map-key").json(json!({"roomId": 7, "privileges": 255})).bearer(&token),
            "room_not_permitted",
            Some(APP),
            Some("token"),
            Some("u_alice"),
        ),
        (service.public.post("/v1/usersig").body("text/plain", "x"), "unsupported_media_type", None, None, None),
        (
            service.public.post("/v1/usersig").body("application/json", " ".repeat(20_000)),
            "payload_too_large",
            None,
            None,
            None,
        ),
    ] {
        let answer = call.send();
        assert_eq!(answer.json()["code"], outcome);
        let event = service.audit(answer.request_id());
        let shown = |name: &str| event.get(name).cloned().unwrap_or(json!(null));
        assert_eq!(event["outcome"], outcome);
        assert_eq!(shown("app"), json!(app), "{event}");
        assert_eq!(shown("rule"), json!(rule), "{event}");
        // Whom a refused session names is told as far as it was found out.
        if let Some(user) = user {
            assert!(shown("user").as_str().is_some_and(|shown| user.ends_with(shown) || shown == user), "{event}");
        } else {
            assert_eq!(shown("user"), json!(null), "{event}");
        }
        assert_eq!((shown("key"), shown("expire")), (json!(null), json!(null)), "{event}");
    }
}

#[test]
fn what_is_no_decision_is_no_event() {
    let service = Setup::new(
        ["[server]\nallowed_origins = [\"https://m.example.com\"]\n", parts::ONE_APP, parts::BEARER].concat(),
    )
    .start();
    let preflight = |origin: &str| {
        let call = service.public.call("OPTIONS", "/v1/usersig").origin(origin);
        call.header("access-control-request-method", "POST")
    };
    let calls = [
        service.public.get("/nowhere"),
        service.public.call("PUT", "/v1/usersig"),
        preflight("https://m.example.com"),
        service.ops.get("/livez"),
        service.ops.post("/v1/inspect").json(json!({"ticket": "x"})),
    ];
    let ids: Vec<_> = calls.into_iter().map(|call| call.send().request_id().to_owned()).collect();
    // A refused preflight is all that ever comes from a page whose origin is not listed: its operator must find it.
    let refused = preflight("https://m.example.org").send();
    assert_eq!(service.audit(refused.request_id())["outcome"], "origin_denied");
    for id in ids {
        let lines: Vec<_> = service.log().into_iter().filter(|line| line["request_id"] == id).collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

#[test]
fn no_line_holds_a_ticket_token_cookie_or_secret() {
    let service = Setup::new(
        [
            parts::ONE_APP,
            "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n",
            parts::BEARER,
            "user_prefix = \"b\"\n",
            parts::COOKIE,
            "user_prefix = \"c\"\n",
            parts::HEADER,
            "user_prefix = \"h\"\n",
        ]
        .concat(),
    )
    .env("USERSIG__LOG__LEVEL", "trace")
    .start();
    let mut secrets = vec![SECRET.to_owned(), OTHER_SECRET.to_owned(), SESSION_SECRET.to_owned()];
    let tokens = [
        session("alice"),
        session("a b"),
        session("administrator"),
        session_with(json!({"sub": "alice", "exp": 1})),
        session_with(json!({"sub": {"name": "SENTINEL-claim"}})),
        session_with(json!({"sub": "alice", "password": "SENTINEL-claim"})),
        RSA.token(jsonwebtoken::Algorithm::RS256, json!({"sub": "alice", "exp": now() + 60})),
        "SENTINEL-opaque-token".to_owned(),
        "SENTINEL-long".to_owned() + &"x".repeat(9000),
    ];
    for token in &tokens {
        for call in [
            service.public.post("/v1/usersig").bearer(token),
            service.public.post("/v1/usersig").header("x-token", token),
            service.public.post("/v1/usersig").same_origin().cookie("sid", token),
            service.public.post("/v1/usersig").cookie("sid", token),
            service.public.post("/v1/usersig").same_origin().cookie("sid", token).cookie("sid", "SENTINEL-second"),
            service.public.post("/v1/private-map-key").json(json!({"roomId": 7})).bearer(token),
            service.public.get("/v1/usersig?userId=SENTINEL-assertion").bearer(token),
            service.public.get("/v1/usersig?token=SENTINEL-query").bearer(token),
            service.public.get("/SENTINEL-path").bearer(token),
            service.public.post("/v1/usersig").body("application/json", "{\"SENTINEL-body\"").bearer(token),
        ] {
            let answer = call.send();
            if answer.status == 200 {
                let json = answer.json();
                let ticket = json.get("userSig").or(json.get("privateMapKey")).expect("a ticket");
                secrets.push(ticket.as_str().expect("text").to_owned());
                service.ops.post("/v1/inspect").json(json!({"ticket": ticket})).send().ok();
            }
        }
        // The signature alone would do to forge: no part of a token may be there.
        secrets.extend(token.split('.').filter(|part| part.len() > 8 && !part.contains("SENTINEL")).map(str::to_owned));
    }
    service.public.raw("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer SENTINEL-é\r\n\r\n");
    assert!(secrets.len() > 30, "tickets were issued");
    let stderr = service.stderr();
    let log = service.stop();
    assert!(log.len() > 60, "decisions were logged");
    let log = log.into_iter().map(|line| line.to_string()).collect::<String>() + &stderr;
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
        assert!(!log.contains(&secret[..secret.len().min(24)]), "the beginning of {secret} is in the log");
    }
    assert!(!log.contains("SENTINEL"), "what a caller sent is in the log");
}

#[test]
fn what_a_session_names_cannot_forge_a_line() {
    // A back end's user may be called anything.
    let hostile = "a\n{\"level\":\"INFO\",\"message\":\"forged\"}\u{1b}[2J\u{7f}\u{0}\"\\\u{2028}";
    let service = start();
    let answer = service.public.post("/v1/usersig").bearer(&session(hostile)).send();
    answer.refused(422, "unusable_user_id");
    let event = service.audit(answer.request_id());
    assert_eq!(event["user"], hostile);
    assert!(!service.log().iter().any(|line| line["message"] == "forged"));
    assert!(service.log_text().bytes().all(|byte| byte == b'\n' || !byte.is_ascii_control()), "control characters");
}

#[test]
fn the_level_decides_what_is_logged() {
    let answers = |level: &str| {
        // The lines that tell where it listens are at the level info.
        let service = Setup::simple().env("USERSIG__LOG__LEVEL", level).start();
        let answer = service.public.post("/v1/usersig").bearer(&session("alice")).send();
        let id = answer.request_id().to_owned();
        service.stop().iter().filter(|line| line["request_id"] == id).count()
    };
    for level in ["info", "debug", "trace"] {
        assert_eq!(answers(level), 1, "{level}");
    }
}

#[test]
fn text_is_for_people_and_cannot_be_forged_either() {
    let setup = Setup::simple().env("USERSIG__LOG__FORMAT", "text");
    let mut child = EndsWithTest(setup.run(&["serve"]).spawn());
    let mut stdout = BufReader::new(child.0.stdout.take().expect("a pipe"));
    let mut line = String::new();
    let mut address = None;
    while address.is_none() {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).expect("text"), 0, "no public listener in the log");
        assert!(serde_json::from_str::<Value>(&line).is_err(), "not JSON: {line}");
        let found = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        address = found.filter(|_| line.contains("\"public\"")).map(|address| address.parse().expect("an address"));
    }
    let client = Client::new(address.expect("found"));
    let id = "text-1";
    let call = client.post("/v1/usersig").header("x-request-id", id).bearer(&session("a\nforged \u{1b}[31m"));
    call.send().refused(422, "unusable_user_id");
    kill_process(Pid::from_child(&child.0), Signal::TERM).expect("a process of ours");
    let rest: Vec<_> = stdout.lines().map(|line| line.expect("text")).collect();
    assert!(rest.iter().any(|line| line.contains(id) && line.contains("unusable_user_id")), "{rest:?}");
    assert!(rest.iter().all(|line| !line.starts_with("forged") && !line.contains('\u{1b}')), "{rest:?}");
}

#[test]
fn a_terminal_shows_text_and_a_pipe_json() {
    // It says a line on too few descriptors, and then ends: one of its addresses is taken.
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, _taken) = taken.expect("a loopback port");
    let setup = Setup::simple().env("USERSIG__SERVER__LISTEN", &address.to_string());
    let serve = setup.run(&["serve"]).into_command();
    let words = [serve.get_program()].into_iter().chain(serve.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().expect("UTF-8"))).collect();
    let line = format!("ulimit -n 1000 && exec {}", words.join(" "));
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        let env = serve.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let output = command.args(args).envs(env).stdin(Stdio::null()).output().expect("a program of every Debian");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().find(|line| line.contains("max_connections")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let shown = run("script", &["-q", "-c", &line, "/dev/null"]);
    assert!(shown.contains(" WARN ") && !shown.contains(['{', '\u{1b}']), "{shown}");
    let piped: Value = serde_json::from_str(&run("sh", &["-c", &line])).expect("JSON");
    assert_eq!(piped["level"], "WARN");
}

/// A pipe holds some hundred lines and the queue 8,192: more than these are logged while nobody reads.
#[test]
fn a_blocked_stdout_holds_up_no_request_and_dropped_lines_are_counted() {
    const REQUESTS: usize = 9_000;
    const DRAIN: Duration = Duration::from_secs(3);
    let setup = Setup::simple().env("USERSIG__SERVER__LAME_DUCK", "0s").env("USERSIG__SERVER__DRAIN", "3s");
    let mut child = EndsWithTest(setup.run(&["serve"]).spawn());
    let mut stdout = BufReader::new(child.0.stdout.take().expect("a pipe"));
    let mut address = |listener: &str| loop {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).expect("text"), 0, "no {listener} listener in the log");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["listener"] == listener {
            return line["address"].as_str().expect("text").parse().expect("an address");
        }
    };
    // From here on nobody reads.
    let (ops, public) = (Client::new(address("ops")), Client::new(address("public")));
    let dropped = || Metrics::parse(&ops.get("/metrics").send().text()).count("usersig_log_dropped_total");
    eventually("the service is ready", || (ops.get("/readyz").send().status == 200).then_some(()));
    assert_eq!(dropped(), 0);
    let request = format!("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", session("alice"));
    let mut connection = public.connect();
    for _ in 0..REQUESTS / 20 {
        connection.send(request.repeat(20));
        for _ in 0..20 {
            assert_eq!(connection.read().map(|answer| answer.status), Some(200));
        }
    }
    assert!(dropped() > 0, "the queue is bounded");
    assert_eq!(ops.get("/readyz").send().status, 200, "and the service well");
    // A request that never ends takes all the time that it may, and the log fits into the same.
    connection.send("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{");
    let in_flight = || Metrics::parse(&ops.get("/metrics").send().text()).count("usersig_http_in_flight");
    eventually("the request is in flight", || (in_flight() > 0).then_some(()));
    let told = Instant::now();
    kill_process(Pid::from_child(&child.0), Signal::TERM).expect("a process of ours");
    let status = eventually("the service ends with its log blocked", || child.0.try_wait().expect("a child of ours"));
    assert_eq!(status.code(), Some(0));
    assert!(told.elapsed() < DRAIN + Duration::from_secs(1), "took {:?}", told.elapsed());
}

#[test]
fn refusals_that_cost_the_caller_nothing_are_sampled_and_counted_in_full() {
    let service = start();
    for _ in 0..100 {
        service.public.post("/v1/usersig").send().refused(401, "missing_credential");
    }
    for _ in 0..20 {
        service.public.post("/v1/usersig").bearer("forged").send().refused(401, "invalid_session");
    }
    assert_eq!(service.metrics().count("usersig_refusals_total{reason=\"missing_credential\"}"), 100);
    let log = service.stop();
    let of = |outcome: &str| log.iter().filter(|line| line["outcome"] == outcome).cloned().collect::<Vec<_>>();
    let (summaries, events): (Vec<_>, Vec<_>) =
        of("missing_credential").into_iter().partition(|line| line.get("count").is_some());
    let unlogged: u64 = summaries.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert_eq!(events.len() as u64 + unlogged, 100, "{summaries:?}");
    // Ten a second, and no more seconds than summaries and the last one.
    assert!(events.len() <= 10 * (summaries.len() + 1), "{} events, {summaries:?}", events.len());
    assert!(unlogged > 0, "all of it took less than ten seconds");
    assert_eq!(of("invalid_session").len(), 20);
}
