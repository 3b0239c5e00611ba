//! `usersig demo`: the whole service on loopback, and for nobody but this machine.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use usersig::ticket::{Expected, SecretKey, UnixTime, Verdict, inspect};

use crate::support::SECRET;
use crate::support::client::Client;
use crate::support::clock::{eventually, now};
use crate::support::command::{EndsWithTest, Run};
use crate::support::setup::{Setup, path_text};

/// A running demo, with what it printed for the person who started it.
struct Demo {
    client: Client,
    welcome: String,
    child: EndsWithTest,
}

fn start(args: &[&str]) -> Demo {
    start_at("127.0.0.1:0", args)
}

fn start_at(listen: &str, args: &[&str]) -> Demo {
    let mut run = Run::new(&["demo", "--listen", listen]);
    for arg in args {
        run = run.arg(arg);
    }
    let mut child = EndsWithTest(run.spawn());
    let mut stdout = BufReader::new(child.0.stdout.take().expect("a pipe"));
    let mut welcome = String::new();
    while !welcome.contains("/v1/inspect") {
        assert_ne!(stdout.read_line(&mut welcome).expect("text"), 0, "no curl lines: {welcome}");
    }
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(drop));
    let url = welcome.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("a URL");
    let address: SocketAddr = url.parse().expect("an address");
    assert!(address.ip().is_loopback());
    let client = Client::new(address);
    eventually("the demo is ready", || (client.get("/readyz").send().status == 200).then_some(()));
    Demo { client, welcome, child }
}

/// The demo session that the printed lines use.
fn printed_token(demo: &Demo) -> &str {
    demo.welcome.split("Bearer ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a token")
}

#[test]
fn the_printed_lines_give_a_ticket_that_its_own_inspection_calls_valid() {
    let demo = start(&[]);
    assert!(demo.welcome.matches("curl ").count() >= 2, "{}", demo.welcome);
    let issued = demo.client.post("/v1/usersig").bearer(printed_token(&demo)).send().ok();
    assert_eq!(issued["userId"], "alice");
    let inspection = demo.client.post("/v1/inspect").json(json!({"ticket": issued["userSig"]})).send().ok();
    assert_eq!((&inspection["verdict"], &inspection["key"]), (&json!("valid"), &json!("valid")));
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        assert_eq!(demo.client.get(path).send().status, 200, "{path}");
    }
}

#[test]
fn the_printed_lines_do_what_they_say_in_a_shell() {
    for listen in ["127.0.0.1:0", "127.0.0.2:0"] {
        let demo = start_at(listen, &[]);
        let mut answers = demo.welcome.split("\n\n").filter(|lines| lines.starts_with("  curl ")).map(|lines| {
            let output = Command::new("bash").args(["-c", lines]).output().expect("bash");
            assert!(output.status.success(), "{lines}: {output:?}");
            serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{lines}: {output:?}"))
        });
        assert_eq!(answers.next().expect("a line for a ticket")["userId"], "alice", "{listen}");
        assert_eq!(answers.next().expect("lines that look into one")["verdict"], "valid", "{listen}");
    }
}

#[test]
fn the_page_is_one_file_that_may_ask_nobody_else() {
    let demo = start(&[]);
    let page = demo.client.get("/").send();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let html = page.text();
    assert!(html.contains("1400000000") && !html.contains("__"), "placeholders are filled in");
    let head = demo.client.call("HEAD", "/").send();
    assert_eq!((head.status, head.body.len()), (200, 0));
    demo.client.post("/").send().refused(405, "method_not_allowed");
    demo.client.get("/nowhere").send().refused(404, "not_found");
}

#[test]
fn a_demo_user_signs_in_and_out_by_cookie() {
    let demo = start(&[]);
    let signed_in = demo.client.post("/demo/session").json(json!({"userId": "bob"})).send();
    let token = signed_in.ok()["token"].as_str().expect("a token").to_owned();
    let cookie = signed_in.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
    assert_eq!(value, token);
    let call = demo.client.post("/v1/usersig").same_origin().cookie(name, value);
    assert_eq!(call.send().ok()["userId"], "bob");
    demo.client.post("/v1/usersig").cookie(name, value).send().refused(403, "origin_denied");
    let signed_out = demo.client.call("DELETE", "/demo/session").send();
    assert_eq!(signed_out.status, 204);
    assert!(signed_out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{signed_out:?}");
    for body in [json!({}), json!({"userId": "a b"}), json!({"userId": ""}), json!({"userId": 7}), json!([])] {
        demo.client.post("/demo/session").json(body).send().refused(400, "invalid_request");
    }
    demo.client
        .post("/demo/session")
        .body("text/plain", r#"{"userId":"bob"}"#)
        .send()
        .refused(415, "unsupported_media_type");
    demo.client.get("/demo/session").send().refused(405, "method_not_allowed");
}

#[test]
fn a_session_of_another_demo_is_not_one_here() {
    let (one, other) = (start(&[]), start(&[]));
    let token = printed_token(&other);
    one.client.post("/v1/usersig").bearer(token).send().refused(401, "invalid_session");
    other.client.post("/v1/usersig").bearer(token).send().ok();
}

#[test]
fn another_host_name_gets_nothing() {
    let demo = start(&[]);
    let address = demo.client.address;
    let token = printed_token(&demo).to_owned();
    let ask = |path: &str, host: &str| {
        demo.client
            .raw(format!("GET {path} HTTP/1.1\r\n{host}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"))
    };
    for own in [
        format!("127.0.0.1:{}", address.port()),
        format!("localhost:{}", address.port()),
        format!("LOCALHOST:{}", address.port()),
    ] {
        assert_eq!(ask("/v1/usersig", &format!("Host: {own}\r\n")).status, 200, "{own}");
    }
    for host in [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: evil.example:{}\r\n", address.port()),
        format!("Host: 127.0.0.1.evil.example:{}\r\n", address.port()),
        format!("Host: localhost.evil.example:{}\r\n", address.port()),
        "Host: localhost\r\n".to_owned(),
        "Host: localhost:1\r\n".to_owned(),
        "Host:\r\n".to_owned(),
        String::new(),
    ] {
        for path in ["/", "/v1/usersig", "/v1/inspect", "/metrics", "/readyz", "/demo/session", "/nowhere"] {
            let answer = ask(path, &host);
            // The parser refuses a request without the header, and answers without a body.
            if host.is_empty() {
                assert_eq!((answer.status, answer.body.len()), (400, 0), "{path}: {answer:?}");
            } else {
                answer.refused(403, "origin_denied");
            }
            assert!(!answer.text().contains("userSig\":"), "{answer:?}");
        }
    }
}

#[test]
fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "10.0.0.1:8080"] {
        let finished = Run::new(&["demo", "--listen", address]).finish();
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("loopback"), "{finished:?}");
    }
    for address in ["localhost:8080", "8080", "", "127.0.0.1"] {
        assert_eq!(Run::new(&["demo", "--listen", address]).finish().code, Some(2), "{address}");
    }
}

#[test]
fn a_real_app_needs_its_number_and_its_secret() {
    let setup = Setup::simple();
    let file = setup.path("app.key");
    let file = path_text(&file);
    for args in [&["--sdk-app-id", "1400123456"][..], &["--secret-file", file]] {
        let mut run = Run::new(&["demo", "--listen", "127.0.0.1:0"]);
        for arg in args {
            run = run.arg(arg);
        }
        assert_eq!(run.finish().code, Some(2), "{args:?}");
    }
    let demo = start(&["--sdk-app-id", "1400123456", "--secret-file", file]);
    let issued = demo.client.post("/v1/usersig").bearer(printed_token(&demo)).send().ok();
    assert_eq!(issued["sdkAppId"], 1_400_123_456);
    let key = SecretKey::parse(SECRET).expect("a secret");
    let expected = Expected { app: None, key: Some(&key), user: Some("alice"), at: UnixTime::from_secs(now()) };
    assert_eq!(inspect(issued["userSig"].as_str().expect("text"), &expected).verdict, Verdict::Valid);
    let broken = setup.file("app.key", "not a secret");
    let path = broken.path("app.key");
    let args = ["demo", "--listen", "127.0.0.1:0", "--sdk-app-id", "1400123456", "--secret-file", path_text(&path)];
    let finished = Run::new(&args).finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

#[test]
fn a_made_up_app_has_another_secret_each_time() {
    let fingerprint = || {
        let text = start(&[]).client.get("/metrics").send().text();
        text.lines().find(|line| line.starts_with("usersig_key_info")).map(str::to_owned).expect("a key")
    };
    assert_ne!(fingerprint(), fingerprint());
}

#[test]
fn ctrl_c_ends_it() {
    let mut demo = start(&[]);
    kill_process(Pid::from_child(&demo.child.0), Signal::INT).expect("a process of ours");
    let status = eventually("the demo ends", || demo.child.0.try_wait().expect("a child of ours"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn private_map_keys_can_be_tried_too() {
    let demo = start(&[]);
    let call = demo.client.post("/v1/private-map-key").json(json!({"roomStr": "live"}));
    let issued: Value = call.bearer(printed_token(&demo)).send().ok();
    let inspection = demo.client.post("/v1/inspect").json(json!({"ticket": issued["privateMapKey"]})).send().ok();
    assert_eq!(inspection["verdict"], "valid");
}
