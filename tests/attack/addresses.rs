//! The limit of failed credentials per address: whom it shuts out, before which work, and that no header gets around it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use actix_web::rt::System;
use actix_web::rt::net::TcpSocket;
use rustix::net::sockopt::set_socket_linger;

use crate::backend::SlowBackend;
use crate::parallel::{all_at_once, count, is, retry_after};
use crate::support::client::{Answer, Client};
use crate::support::clock::eventually;
use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

const FORGED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.Zm9yZ2Vk";

/// A service that lets three failures an hour pass.
fn limited(more: &str) -> Service {
    let limit = format!("[limit]\nper_address = \"3/h\"\nper_user = \"off\"\n{more}");
    Setup::simple().limited().with(&limit).start()
}

/// Presents a forged token, with this as `X-Forwarded-For` where there is one.
fn forge(client: &Client, forwarded_for: &[&str]) -> Answer {
    let call = client.post("/v1/usersig").bearer(FORGED);
    forwarded_for.iter().fold(call, |call, line| call.header("x-forwarded-for", line)).send()
}

/// Fails until the address is shut out, and says how often that took.
fn fail_until_shut(mut forge: impl FnMut() -> Answer) -> usize {
    for failures in 0..20 {
        let answer = forge();
        if answer.status == 429 {
            answer.refused(429, "rate_limited");
            return failures;
        }
        answer.refused(401, "invalid_session");
    }
    panic!("never shut out");
}

/// The status that a valid session gets from another local address.
fn status_from(source: Ipv4Addr, service: SocketAddr) -> u16 {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        // Every 127.x.x.x is ours.
        socket.bind((source, 0).into())?;
        socket.connect(service).await?.into_std()
    };
    let mut stream: TcpStream = System::new().block_on(connect).expect("a listener");
    stream.set_nonblocking(false).expect("a socket");
    let token = session("alice");
    write!(
        stream,
        "POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .expect("a peer");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[test]
fn forged_credentials_shut_an_address_out_and_no_other() {
    let service = limited("");
    let failures = fail_until_shut(|| forge(&service.public, &[]));
    assert_eq!(failures, 3);
    let refused = service.public.post("/v1/usersig").bearer(&session("alice")).send();
    refused.refused(429, "rate_limited");
    assert!((1100..=1200).contains(&retry_after(&refused)), "a third of an hour: {refused:?}");
    assert_eq!(status_from(Ipv4Addr::new(127, 0, 0, 2), service.public.address), 200);
    assert_eq!(status_from(Ipv4Addr::LOCALHOST, service.public.address), 429);
}

#[test]
fn only_failed_credentials_count() {
    let service = limited("");
    for _ in 0..10 {
        service.public.post("/v1/usersig").send().refused(401, "missing_credential");
        service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
        service.public.get("/v1/usersig?x=1").bearer(FORGED).send().refused(400, "invalid_request");
    }
    forge(&service.public, &[]).refused(401, "invalid_session");
}

#[test]
fn an_address_that_is_shut_out_costs_the_back_end_nothing() {
    let backend = SlowBackend::start(Duration::ZERO);
    let config = [parts::ONE_APP, &backend.rule("")].concat();
    let limit = "[limit]\nper_address = \"3/h\"\n";
    let service = Setup::new(config).limited().with(limit).start();
    let ask = |token: &str| service.public.post("/v1/usersig").header("x-token", token).send();
    fail_until_shut(|| ask("forged"));
    let asked = backend.asked();
    assert_eq!(asked, 3);
    for _ in 0..50 {
        ask("forged").refused(429, "rate_limited");
        ask("token-of-alice").refused(429, "rate_limited");
    }
    assert_eq!(backend.asked(), asked);
    let metrics = service.metrics();
    assert!(is(metrics.of(r#"usersig_session_checks_total{outcome="denied",rule="backend"}"#), 3));
    assert!(is(metrics.of(r#"usersig_refusals_total{reason="rate_limited"}"#), 101));
}

#[test]
fn hanging_up_during_the_check_counts_as_failing() {
    let backend = SlowBackend::start(Duration::from_secs(30));
    let config = [parts::ONE_APP, &backend.rule("timeout = \"30s\"\n")].concat();
    let service = Setup::new(config).limited().with("[limit]\nper_address = \"3/h\"\n").start();
    for asked in 1..=3 {
        let mut stream = TcpStream::connect(service.public.address).expect("a listener");
        // A reset ends the request; half a connection would wait for its answer.
        set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
        stream.write_all(b"POST /v1/usersig HTTP/1.1\r\nHost: a\r\nX-Token: forged\r\n\r\n").expect("a peer");
        eventually("the back end is asked", || (backend.asked() == asked).then_some(()));
        drop(stream);
        eventually("the request is over", || is(service.metrics().of("usersig_http_in_flight"), 0).then_some(()));
    }
    let ask = || service.public.post("/v1/usersig").header("x-token", "token-of-alice").send();
    ask().refused(429, "rate_limited");
    assert_eq!(backend.asked(), 3);
    let checks = service.metrics();
    let checks = checks.beginning("usersig_session_checks_total");
    assert!(checks.iter().all(|(_, count)| is(*count, 0)), "none was seen to its end: {checks:?}");
}

#[test]
fn a_session_that_is_too_short_counts_as_failed_and_a_user_who_is_not_permitted_does_not() {
    let backend = SlowBackend::start(Duration::ZERO);
    let limited = |policy: &str| {
        let config = [parts::ONE_APP, policy, &backend.rule("")].concat();
        Setup::new(config).limited().with("[limit]\nper_address = \"3/h\"\n").start()
    };
    let ask = |service: &Service| service.public.post("/v1/usersig").header("x-token", "token-of-alice").send();
    // What this back end says of a session has no end.
    let within_session = limited("within_session = true\n");
    assert_eq!(fail_until_shut(|| ask(&within_session)), 3);
    let denied = limited("deny_users = [\"alice\"]\n");
    for _ in 0..10 {
        ask(&denied).refused(403, "user_not_permitted");
    }
}

/// What fails is known behind the check only, so what was let in before the last failure is let through.
#[test]
fn what_is_under_way_when_an_address_is_shut_out_is_all_that_comes_through() {
    let backend = SlowBackend::start(Duration::from_millis(50));
    let config = [parts::ONE_APP, &backend.rule("max_in_flight = 16\n")].concat();
    let service = Setup::new(config).limited().with("[limit]\nper_address = \"3/h\"\n").start();
    let answers = all_at_once(200, |caller| {
        service.public.post("/v1/usersig").header("x-token", &format!("forged-{caller}")).send()
    });
    let (denied, shut, busy) = (count(&answers, 401), count(&answers, 429), count(&answers, 503));
    assert_eq!(denied + shut + busy, 200);
    assert_eq!(backend.asked(), denied);
    assert!((3..=32).contains(&denied), "16 at once, and few of them after one another: {denied}");
    println!(
        "200 parallel forgeries against 3/h: {denied} checked, {busy} refused as too many at once, {shut} shut out"
    );
    service.public.post("/v1/usersig").header("x-token", "forged").send().refused(429, "rate_limited");
}

#[test]
fn without_trusted_proxies_no_header_gets_around_the_limit() {
    let service = limited("");
    let mut host = 0;
    let failures = fail_until_shut(|| {
        host += 1;
        forge(&service.public, &[&format!("198.51.100.{host}"), &format!("203.0.113.{host}")])
    });
    assert_eq!(failures, 3);
}

#[test]
fn behind_one_proxy_its_entry_counts_and_what_stands_before_it_does_not() {
    let service = limited("trusted_hops = 1\n");
    let mut invented = 0;
    let failures = fail_until_shut(|| {
        invented += 1;
        forge(&service.public, &[&format!("10.0.0.{invented}, 198.51.100.1")])
    });
    assert_eq!(failures, 3);
    // The same caller in other guises: a line of its own, a port, another invention.
    for line in ["198.51.100.1", "198.51.100.1:4711", "203.0.113.9,198.51.100.1", "198.51.100.1 "] {
        forge(&service.public, &[line]).refused(429, "rate_limited");
    }
    forge(&service.public, &["203.0.113.9", "198.51.100.1"]).refused(429, "rate_limited");
    forge(&service.public, &["198.51.100.1, 203.0.113.9"]).refused(401, "invalid_session");
    forge(&service.public, &["198.51.100.1", "203.0.113.9"]).refused(401, "invalid_session");
}

#[test]
fn behind_two_proxies_the_outer_ones_entry_counts() {
    let service = limited("trusted_hops = 2\n");
    let mut invented = 0;
    let failures = fail_until_shut(|| {
        invented += 1;
        forge(&service.public, &[&format!("10.0.0.{invented}, 198.51.100.1, 192.0.2.7")])
    });
    assert_eq!(failures, 3);
    forge(&service.public, &["198.51.100.1", "192.0.2.8"]).refused(429, "rate_limited");
    forge(&service.public, &["198.51.100.2, 192.0.2.7"]).refused(401, "invalid_session");
}

#[test]
fn an_ipv6_network_is_one_address() {
    let service = limited("trusted_hops = 1\n");
    let mut host = 0;
    fail_until_shut(|| {
        host += 1;
        forge(&service.public, &[&format!("2001:db8:1:2::{host:x}")])
    });
    forge(&service.public, &["2001:db8:1:3::1"]).refused(401, "invalid_session");
}

#[test]
fn an_entry_that_is_no_address_counts_against_the_proxy() {
    let service = limited("trusted_hops = 1\n");
    let mut word = String::new();
    let failures = fail_until_shut(|| {
        word.push('x');
        forge(&service.public, &[&word])
    });
    assert_eq!(failures, 3);
    let fallback: IpAddr = service.public.address.ip();
    forge(&service.public, &[&fallback.to_string()]).refused(429, "rate_limited");
}
