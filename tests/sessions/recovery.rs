//! Connections that break, and clients that go away: what comes back by itself, and at what price.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use serde_json::json;

use crate::one_rule::{ID, back, http_rule, present, redis_rule, remember};
use crate::support::backend::{Backend, Reply};
use crate::support::clock::eventually;
use crate::support::proxy::{Proxy, Weather};
use crate::support::raw::Connection;
use crate::support::redis::Redis;
use crate::support::setup::Setup;
use crate::verdict::{allowed, ask, tickets, unavailable};

#[test]
fn redis_that_dropped_an_idle_connection_costs_no_request() {
    let redis = Redis::start();
    remember(&redis);
    let service = redis_rule(redis.address()).start();
    for _ in 0..5 {
        allowed(&ask(&service, present), "alice");
        redis.run::<i64>("CLIENT KILL TYPE normal SKIPME yes");
    }
}

#[test]
fn a_back_end_that_dropped_an_idle_connection_costs_no_request() {
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let proxy = Proxy::to(backend.address);
    let service = http_rule(proxy.address).start();
    for _ in 0..5 {
        allowed(&ask(&service, present), "alice");
        let connections = proxy.open();
        proxy.set(Weather::Reset);
        eventually("the idle connection is gone", || (proxy.open() < connections).then_some(()));
        proxy.set(Weather::Fair);
    }
}

#[test]
fn redis_that_restarted_while_nobody_asked_costs_no_request() {
    let mut redis = Redis::start();
    remember(&redis);
    let service = redis_rule(redis.address()).start();
    allowed(&ask(&service, present), "alice");
    redis.kill();
    unavailable(&service, &ask(&service, present), "Redis");
    redis.restart();
    remember(&redis);
    // Longer than any pause between two connections, as at night.
    thread::sleep(Duration::from_secs(1));
    allowed(&ask(&service, present), "alice");
}

#[test]
fn whatever_happens_on_the_way_to_redis_passes() {
    let redis = Redis::start();
    remember(&redis);
    let proxy = Proxy::to(([127, 0, 0, 1], redis.port));
    let service = redis_rule(proxy.address).start();
    allowed(&ask(&service, present), "alice");
    for weather in [
        Weather::BlackHole,
        Weather::Reset,
        Weather::Delay(Duration::from_secs(2)),
        Weather::Drip(Duration::from_millis(200)),
    ] {
        proxy.set(weather);
        let before = tickets(&service);
        for _ in 0..5 {
            unavailable(&service, &ask(&service, present), "");
        }
        assert_eq!(tickets(&service), before, "{weather:?}");
        proxy.set(Weather::Fair);
        back(&service);
    }
}

#[test]
fn whatever_happens_on_the_way_to_a_back_end_passes() {
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let proxy = Proxy::to(backend.address);
    let service = http_rule(proxy.address).with("timeout = \"500ms\"\n").start();
    allowed(&ask(&service, present), "alice");
    for weather in [
        Weather::BlackHole,
        Weather::Reset,
        Weather::Delay(Duration::from_secs(2)),
        Weather::Drip(Duration::from_millis(200)),
    ] {
        proxy.set(weather);
        let before = tickets(&service);
        for _ in 0..5 {
            unavailable(&service, &ask(&service, present), "");
        }
        assert_eq!(tickets(&service), before, "{weather:?}");
        proxy.set(Weather::Fair);
        back(&service);
    }
}

#[test]
fn connections_serve_all_workers() {
    let redis = Redis::start();
    remember(&redis);
    let backend = Backend::always(Reply::json(json!({"user": "bob"})));
    let second = format!(
        "[[session]]\nname = \"http\"\nfrom = \"bearer\"\ncheck = \"http\"\nuser = \"/user\"\nuser_prefix = \"h_\"\nurl = \"{}\"\n",
        backend.url()
    );
    let service = redis_rule(redis.address())
        .with("user_prefix = \"r_\"\n")
        .with(&second)
        .env("USERSIG__SERVER__WORKERS", "4")
        .start();
    // New connections go to the workers in turn.
    for _ in 0..8 {
        let mut connection = service.public.connect();
        for (header, user) in [(format!("x-session: {ID}"), "r_alice"), ("authorization: Bearer x".to_owned(), "h_bob")]
        {
            connection.send(format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\n{header}\r\n\r\n"));
            allowed(&connection.read().expect("an answer"), user);
        }
    }
    let connections: String = redis.run("CLIENT LIST TYPE normal");
    assert_eq!(
        connections.lines().filter(|line| line.contains("cmd=pttl") || line.contains("cmd=get")).count(),
        1,
        "{connections}"
    );
}

#[test]
fn a_drain_lets_checks_finish_whichever_worker_made_their_connection() {
    let redis = Redis::start();
    remember(&redis);
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    for (proxy, rule) in [
        (Proxy::to(([127, 0, 0, 1], redis.port)), redis_rule as fn(SocketAddr) -> Setup),
        (Proxy::to(backend.address), http_rule),
    ] {
        let setup = rule(proxy.address).with("timeout = \"10s\"\n");
        let service = setup.env("USERSIG__SERVER__WORKERS", "2").env("USERSIG__SERVER__LAME_DUCK", "0s").start();
        let send = || {
            let mut connection = service.public.connect();
            connection.send(format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\nx-session: {ID}\r\n\r\n"));
            connection
        };
        // Connections go to the workers in turn. One worker makes the connection to the back end …
        allowed(&send().read().expect("an answer"), "alice");
        // … and the other has a check under way on it when the signal comes, so that only the first has nothing left to do.
        proxy.set(Weather::Delay(Duration::from_secs(2)));
        let mut under_way = send();
        eventually("it is under way", || (service.metrics().of("usersig_http_in_flight") >= 1.0).then_some(()));
        service.signal(Signal::TERM);
        allowed(&under_way.read().expect("an answer"), "alice");
    }
}

#[test]
fn clients_that_go_away_hold_nothing_up() {
    let redis = Redis::start();
    remember(&redis);
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    for (proxy, rule) in [
        (Proxy::to(([127, 0, 0, 1], redis.port)), redis_rule as fn(SocketAddr) -> Setup),
        (Proxy::to(backend.address), http_rule),
    ] {
        let service = rule(proxy.address).with("timeout = \"5s\"\nmax_in_flight = 8\n").start();
        allowed(&ask(&service, present), "alice");
        proxy.set(Weather::BlackHole);
        let clients = [(); 8].map(|()| {
            let mut client = TcpStream::connect(service.public.address).expect("a listener");
            write!(client, "POST /v1/usersig HTTP/1.1\r\nhost: h\r\nx-session: {ID}\r\n\r\n").expect("sent");
            client
        });
        eventually("they are under way", || (service.metrics().of("usersig_http_in_flight") >= 8.0).then_some(()));
        // Some hang up, others are cut off.
        for client in clients.iter().step_by(2) {
            set_socket_linger(client, Some(Duration::ZERO)).expect("a socket");
        }
        drop(clients);
        let mut stays = Connection::open(service.public.address);
        stays.send(format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\nx-session: {ID}\r\n\r\n"));
        assert_eq!(stays.read().expect("an answer").status, 503);
        proxy.set(Weather::Fair);
        back(&service);
        eventually("nothing is in flight", || (service.metrics().of("usersig_http_in_flight") == 0.0).then_some(()));
        for _ in 0..20 {
            allowed(&ask(&service, present), "alice");
        }
    }
}
