//! What one connection, or very many, may hold: heads, bodies, answers that nobody takes, and idleness.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use actix_web::rt::net::TcpSocket;

use crate::parallel::is;
use crate::support::clock::{DEADLINE, eventually};
use crate::support::keys::session;
use crate::support::raw::Connection;
use crate::support::service::Service;
use crate::support::setup::Setup;

const REQUEST: &str = "GET /v1/usersig HTTP/1.1\r\nHost: a\r\n";

/// The resident memory of a service in kilobytes.
pub(crate) fn memory(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}

#[track_caller]
fn still_serves(service: &Service) {
    assert_eq!(service.public.post("/v1/usersig").bearer(&session("alice")).send().ok()["userId"], "alice");
}

#[test]
fn a_head_has_128_kibibytes_and_96_lines_at_most() {
    let service = Setup::simple().start();
    let with_line = |length: usize| format!("{REQUEST}X-Long: {}\r\n\r\n", "a".repeat(length));
    let with_lines = |count: usize| format!("{REQUEST}{}\r\n", "X-Short: a\r\n".repeat(count - 1));
    for head in [with_line(64 * 1024), with_line(120 * 1024), with_lines(96)] {
        service.public.raw(head).refused(401, "missing_credential");
    }
    for head in [with_line(128 * 1024), with_line(1024 * 1024), with_lines(97), with_lines(5000)] {
        let answer = service.public.raw(head);
        assert_eq!((answer.status, answer.body.len()), (431, 0));
    }
    let path = format!("GET /v1/usersig?userId={} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    assert_eq!(service.public.raw(path).status, 400);
    still_serves(&service);
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let service = Setup::simple().start();
    for begun in ["", "G", REQUEST] {
        let mut connection = service.public.connect();
        connection.send(begun);
        assert_eq!(connection.read().expect("an answer").status, 408, "{begun:?}");
        connection.expect_closed();
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_has_no_longer() {
    let service = Setup::simple().start();
    let mut stream = TcpStream::connect(service.public.address).expect("a listener");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    stream.write_all(REQUEST.as_bytes()).expect("a peer");
    let start = Instant::now();
    let mut answer = [0; 12];
    // The first byte of an answer to what never ends.
    while let Err(error) = stream.read_exact(&mut answer) {
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        assert!(start.elapsed() < DEADLINE, "held by a byte now and then");
        stream.write_all(b"X").expect("a peer");
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_has_come() {
    let service = Setup::simple().start();
    let post = "POST /v1/usersig HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    for length in [16_385, 9_999_999_999_999_u64] {
        let mut connection = service.public.connect();
        connection.send(format!("{post}Content-Length: {length}\r\n\r\n"));
        connection.read().expect("an answer").refused(413, "payload_too_large");
        connection.expect_closed();
    }
    let mut endless = service.public.connect();
    let chunks = format!("1000\r\n{}\r\n", "a".repeat(4096)).repeat(5);
    endless.send(format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    endless.read().expect("an answer before the end").refused(413, "payload_too_large");
    still_serves(&service);
}

/// Without the bound, the service answers all of it into its own memory: 13 bytes for each that comes in.
#[test]
fn answers_that_nobody_takes_are_not_made() {
    let service = Setup::simple().start();
    let before = memory(&service);
    let grown = || memory(&service).saturating_sub(before);
    let requests = format!("{REQUEST}\r\n").repeat(1000);
    let answered = || {
        let metrics = service.metrics();
        metrics.beginning("usersig_http_requests_total").iter().map(|(_, value)| value).sum::<f64>()
    };
    let mut greedy: Vec<_> = (0..3).map(|_| greedy(service.public.address)).collect();
    let (mut sent, mut last, mut quiet_looks) = (0, 0.0, 0);
    // Until nothing moves for a second: neither more is taken from us nor more is answered.
    while quiet_looks < 10 {
        let mut moved = false;
        for stream in &mut greedy {
            while let Ok(count) = stream.write(requests.as_bytes()) {
                sent += count;
                moved = true;
            }
        }
        let now = answered();
        quiet_looks = if moved || now > last { 0 } else { quiet_looks + 1 };
        last = now;
        assert!(grown() < 32 * 1024, "{} kB for three clients, and still growing", grown());
        sleep(Duration::from_millis(100));
    }
    println!("three clients that take no answers: {sent} bytes taken, {last} requests answered, {} kB used", grown());
    assert!(last > 100.0, "some are answered: {last}");
    still_serves(&service);
}

/// A connection with small buffers on our side, so that what is not read is not there.
fn greedy(service: SocketAddr) -> TcpStream {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.set_send_buffer_size(4096)?;
        socket.connect(service).await?.into_std()
    };
    // It stays one that does not block.
    System::new().block_on(connect).expect("a listener")
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = Setup::simple().start();
    let token = session("alice");
    let mut connection = service.public.connect();
    let ask = |id: usize| {
        format!(
            "{REQUEST}Authorization: Bearer {token}\r\nX-Request-Id: r{id}\r\nX-Pad: {}\r\n\r\n",
            "a".repeat(id * 37 % 9000)
        )
    };
    connection.send((0..300).map(ask).collect::<String>());
    for id in 0..300 {
        let answer = connection.read().expect("an answer");
        assert_eq!((answer.ok()["userId"].as_str(), answer.request_id()), (Some("alice"), format!("r{id}").as_str()));
    }
}

#[test]
fn connections_beyond_the_bound_wait_and_are_served_when_others_end() {
    let service =
        Setup::simple().env("USERSIG__SERVER__MAX_CONNECTIONS", "20").env("USERSIG__SERVER__WORKERS", "1").start();
    let open = || service.metrics().of("usersig_http_connections");
    let mut idle: Vec<_> = (0..20).map(|_| service.public.connect()).collect();
    for connection in &mut idle {
        connection.send(format!("{REQUEST}\r\n"));
        assert_eq!(connection.read().expect("an answer").status, 401);
    }
    assert!(is(open(), 20));
    let mut late = service.public.connect();
    late.send(format!("{REQUEST}\r\n"));
    sleep(Duration::from_millis(300));
    assert!(is(open(), 20), "the ops listener answers, and says how many there are");
    drop(idle.pop());
    assert_eq!(late.read().expect("an answer").status, 401);
    drop((idle, late));
    eventually("all are closed", || is(open(), 0).then_some(()));
    still_serves(&service);
}

#[test]
fn idle_connections_are_held_and_let_go() {
    let service = Setup::simple().start();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", service.pid())).expect("a process of ours").count();
    let (memory_before, descriptors_before) = (memory(&service), descriptors());
    let mut idle: Vec<_> = (0..400).map(|_| service.public.connect()).collect();
    for connection in &mut idle {
        connection.send(format!("{REQUEST}\r\n"));
        assert_eq!(connection.read().expect("an answer").status, 401);
    }
    let each = memory(&service).saturating_sub(memory_before) / idle.len();
    println!("an idle connection takes {each} kB");
    still_serves(&service);
    drop(idle);
    eventually("all descriptors are back", || (descriptors() <= descriptors_before + 4).then_some(()));
}

#[test]
fn what_is_no_http_is_closed_and_harms_nobody() {
    let service = Setup::simple().start();
    let token = session("alice");
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let garbage: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let text = |text: &str| text.replace("{bearer}", &bearer).into_bytes();
    let attempts = [
        tls,
        garbage,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\r\n\r\n\r\n\r\n".repeat(1000),
        text("GET /v1/usersig\r\n\r\n"),
        text("GET /v1/usersig HTTP/1.1\r\n{bearer}\r\n"),
        text("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nHost: b\r\n{bearer}\r\n"),
        text("GET /v1/usersig HTTP/9.9\r\nHost: a\r\n{bearer}\r\n"),
        text("GET /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}X: \u{0}\r\n\r\n"),
        text("GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer x\r\n\r\n"),
        text("GET /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer} folded\r\n\r\n"),
        text("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        text("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Content-Length: -1\r\n\r\n"),
        text("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Content-Length: +2\r\n\r\n{}"),
        text(
            "POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        text("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        text("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{bearer}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ];
    for attempt in &attempts {
        let mut connection = Connection::open(service.public.address);
        connection.send(attempt);
        let status = connection.read().map(|answer| answer.status);
        // Line breaks alone are no request yet: the connection waits for its head until that is too late.
        let is_silent = attempt.iter().all(|byte| b"\r\n".contains(byte));
        assert_eq!(status, Some(if is_silent { 408 } else { 400 }), "{}", String::from_utf8_lossy(attempt));
    }
    let metrics = service.metrics();
    assert!(is(metrics.of(r#"usersig_tickets_total{app="1400000000",kind="usersig"}"#), 0));
    still_serves(&service);
}
