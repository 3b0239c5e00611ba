//! Traces, sent to a real collector by the build that the image has.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;

use crate::support::backend::{Backend, Reply};
use crate::support::clock::eventually;
use crate::support::component::{Component, program};
use crate::support::keys::session;
use crate::support::setup::{Setup, parts};
use crate::tools::{free_port, python_tool, scratch, static_binary, stdout_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that writes down every span it is sent.
struct Collector {
    _process: Component,
    port: u16,
    output: PathBuf,
}

impl Collector {
    fn start(name: &str) -> Self {
        let where_it_is = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
        let agent = stdout_of(python_tool("python").args(["-c", where_it_is]));
        let folder = scratch(name);
        let (port, output) = (free_port(), folder.join("spans"));
        let log = || Stdio::from(File::options().create(true).append(true).open(&output).expect("a file"));
        let mut command = program(agent.trim());
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port())])
            .arg("--pid-file")
            .arg(folder.join("pid"))
            .stderr(log());
        let process = Component::start_logging(&mut command, log());
        eventually("the collector listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Self { _process: process, port, output }
    }

    fn spans(&self) -> String {
        fs::read_to_string(&self.output).expect("a file")
    }
}

/// A service that asks `backend` about bearers, and knows tokens in a header by itself.
fn setup(backend: &Backend, traces: &str) -> Setup {
    let asked = format!(
        "[[session]]\nname = \"asked\"\nfrom = \"bearer\"\ncheck = \"http\"\nurl = \"{}/me\"\nuser = \"/id\"\n\
         shared_users = true\n",
        backend.url()
    );
    Setup::new([parts::ONE_APP, parts::HEADER, "shared_users = true\n", &asked, traces].concat())
        .binary(static_binary())
}

#[test]
fn a_request_and_its_check_continue_the_callers_trace_and_the_back_end_continues_theirs() {
    let collector = Collector::start("collector");
    let backend = Backend::always(Reply::json(json!({ "id": "alice" })));
    let traces = format!("[trace]\nendpoint = \"http://127.0.0.1:{}\"\n", collector.port);
    let service = setup(&backend, &traces).start();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let call = service.public.post("/v1/usersig").bearer("a-secret-session").header("traceparent", &traceparent);
    let ticket = call.header("tracestate", "vendor=1").send().ok()["userSig"].as_str().expect("a ticket").to_owned();
    service.public.post("/v1/usersig").bearer("a-secret-session").send().ok();
    service.public.post("/v1/usersig").header("X-Token", &session("alice")).send().ok();
    backend.set(|_| Reply::new(500, ""));
    service.public.post("/v1/usersig").bearer("a-secret-session").send().refused(503, "session_check_unavailable");

    let seen = backend.seen();
    let continued: Vec<_> = seen[0].header("traceparent").split('-').collect();
    assert_eq!((continued[1], continued[3]), (TRACE, "01"));
    assert_ne!(continued[2], PARENT, "the span of the check, not the caller's");
    assert_eq!(seen[0].header("tracestate"), "", "nothing that the caller has written goes on");
    assert_ne!(seen[1].header("traceparent").split('-').nth(1), Some(TRACE), "a trace of its own");

    // What was not sent yet goes out before the process ends.
    service.stop();
    let all_there = |spans: &str| spans.matches("check asked").count() == 3 && spans.contains("check header");
    let spans = eventually("all spans have come", || Some(collector.spans()).filter(|spans| all_there(spans)));
    assert_eq!(spans.matches("POST /v1/usersig").count(), 4, "{spans}");
    for expected in [TRACE, PARENT, continued[2], "session_check_unavailable", "usersig.request_id", "http.route"] {
        assert!(spans.contains(expected), "{expected} in {spans}");
    }
    for secret in ["a-secret-session", &ticket, &session("alice")[..20], "alice"] {
        assert!(!spans.contains(secret), "{secret} in {spans}");
    }
}

#[test]
fn a_collector_that_is_away_holds_nothing_up() {
    let backend = Backend::always(Reply::json(json!({ "id": "alice" })));
    let service = setup(&backend, &format!("[trace]\nendpoint = \"http://127.0.0.1:{}\"\n", free_port())).start();
    service.public.post("/v1/usersig").bearer("a-secret-session").send().ok();
    service.stop();
}

#[test]
fn nothing_is_traced_and_no_header_sent_where_no_collector_is_named() {
    let backend = Backend::always(Reply::json(json!({ "id": "alice" })));
    let service = setup(&backend, "").start();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let call = service.public.post("/v1/usersig").bearer("a-secret-session").header("traceparent", &traceparent);
    call.send().ok();
    assert_eq!(backend.seen()[0].header("traceparent"), "");
}
