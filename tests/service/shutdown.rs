//! How the service ends: out of rotation first, still accepting, then nothing new, then done.

use std::io::Read;
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::clock::eventually;
use crate::support::keys::session;
use crate::support::raw::Connection;
use crate::support::service::Service;
use crate::support::setup::Setup;

fn start(lame_duck: &str, drain: &str) -> Service {
    Setup::simple().env("USERSIG__SERVER__LAME_DUCK", lame_duck).env("USERSIG__SERVER__DRAIN", drain).start()
}

/// Waits until the service says that it wants no more traffic.
fn until_draining(service: &Service) {
    eventually("/readyz is 503", || (service.ops.get("/readyz").send().status == 503).then_some(()));
}

/// Waits until nobody listens any more.
fn until_closed(service: &Service) {
    eventually("the listener is closed", || Connection::try_open(service.public.address).is_err().then_some(()));
}

/// A POST whose body has not come yet.
fn half_a_request(service: &Service) -> Connection {
    let mut connection = service.public.connect();
    let token = session("alice");
    connection.send(format!(
        "POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    ));
    eventually("the request is in flight", || (service.metrics().count("usersig_http_in_flight") > 0).then_some(()));
    connection
}

#[test]
fn while_it_is_a_lame_duck_new_connections_are_answered_and_closed() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut service = start("3s", "60s");
        let token = session("alice");
        let mut kept = service.public.connect();
        let request = format!("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        kept.send(&request);
        let answer = kept.read().expect("an answer");
        assert_ne!(answer.header("connection"), Some("close"));
        service.signal(signal);
        until_draining(&service);
        assert_eq!(service.ops.get("/livez").send().status, 200, "it is alive");
        assert_eq!(service.ops.get("/readyz").send().json()["status"], "draining");
        // A connection from before and a new one alike: answered, and told to go elsewhere.
        let mut new = service.public.connect();
        for connection in [&mut kept, &mut new] {
            connection.send(&request);
            let answer = connection.read().expect("an answer");
            answer.ok();
            assert_eq!(answer.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
            connection.expect_closed();
        }
        let refused = service.public.get("/nowhere").send();
        assert_eq!(refused.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
        assert_eq!(service.wait().code(), Some(0));
        assert!(Connection::try_open(service.public.address).is_err());
        let log = service.log();
        assert!(log.iter().any(|line| line["message"] == "draining"), "{log:?}");
    }
}

#[test]
fn what_is_in_flight_is_finished() {
    let mut service = start("0s", "60s");
    let mut connection = half_a_request(&service);
    service.signal(Signal::TERM);
    until_closed(&service);
    connection.send("}");
    let answer = connection.read().expect("an answer");
    answer.ok();
    assert_eq!(answer.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert_eq!(service.wait().code(), Some(0));
    service.audit(answer.request_id());
}

#[test]
fn what_takes_longer_than_drain_is_cut_off() {
    let mut service = start("0s", "2s");
    let mut connection = half_a_request(&service);
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(connection.read().is_none(), "cut off");
}

#[test]
fn idle_connections_hold_nothing_up() {
    let mut service = start("0s", "1h");
    let idle: Vec<_> = (0..20).map(|_| TcpStream::connect(service.public.address).expect("a listener")).collect();
    let mut used = service.public.connect();
    used.send(format!("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n", session("alice")));
    used.read().expect("an answer").ok();
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    for mut connection in idle {
        assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)), "closed");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM), (Signal::TERM, Signal::INT)] {
        // Without the second signal the test's own deadline would pass first.
        let mut service = start("300s", "1h");
        let _in_flight = half_a_request(&service);
        service.signal(first);
        until_draining(&service);
        service.signal(second);
        service.wait();
    }
}

#[test]
fn a_signal_during_the_start_is_not_lost() {
    let setup = Setup::simple();
    let mut child = crate::support::command::EndsWithTest(setup.run(&["serve"]).spawn());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), Signal::TERM).expect("a process of ours");
    eventually("the service ends", || child.0.try_wait().expect("a child of ours"));
}

#[test]
fn a_service_that_is_stopped_writes_its_log_to_the_end() {
    let service = start("0s", "20s");
    let token = session("alice");
    let request = format!("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut connection = service.public.connect();
    for _ in 0..50 {
        connection.send(request.repeat(20));
        for _ in 0..20 {
            connection.read().expect("an answer");
        }
    }
    let issued = service.metrics().count("usersig_tickets_total{app=\"1400000000\",kind=\"usersig\"}");
    let log = service.stop();
    let events = log.iter().filter(|line| line["outcome"] == "issued").count();
    assert_eq!((issued, events), (1000, 1000));
}
