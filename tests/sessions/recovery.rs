//! Connections that break, and clients that go away: what comes back by itself, and at what price.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::Signal;
use serde_json::json;

use crate::issuer::{CLIENT_SECRET, IM, Issuer, OPAQUE};
use crate::one_rule::{ID, back, http_rule, present, redis_rule, remember};
use crate::support::backend::{Backend, Reply};
use crate::support::client::Call;
use crate::support::clock::eventually;
use crate::support::proxy::{Proxy, Weather};
use crate::support::raw::Connection;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
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
    let service = http_rule(proxy.address).with("reuse_connections = true\n").start();
    for _ in 0..5 {
        allowed(&ask(&service, present), "alice");
        let connections = proxy.open();
        proxy.set(Weather::Reset);
        eventually("the idle connection is gone", || (proxy.open() < connections).then_some(()));
        proxy.set(Weather::Fair);
    }
}

#[test]
fn a_connection_that_breaks_under_a_request_costs_none_either() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    // Answers the first request on each connection, and closes when the second has come.
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
                let mut asked = || lines.by_ref().find(String::is_empty);
                if asked().is_some() {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"user\":\"alice\"}";
                    (&client).write_all(answer.as_bytes()).expect("a client that listens");
                    asked();
                }
            });
        }
    });
    let service = http_rule(address).with("reuse_connections = true\n").start();
    for _ in 0..5 {
        allowed(&ask(&service, present), "alice");
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

const FOUL: [Weather; 4] = [
    Weather::BlackHole,
    Weather::Reset,
    Weather::Delay(Duration::from_secs(2)),
    Weather::Drip(Duration::from_millis(200)),
];

/// Presents a session through every kind of weather before the back end of a rule whose deadline is 500 ms.
fn weather_passes(service: &Service, proxy: &Proxy, present: impl Fn(Call<'_>) -> Call<'_>) {
    allowed(&ask(service, &present), "alice");
    for weather in FOUL {
        proxy.set(weather);
        let before = tickets(service);
        for _ in 0..5 {
            let since = Instant::now();
            unavailable(service, &ask(service, &present), "");
            assert!(since.elapsed() < Duration::from_secs(5), "{weather:?}: {:?}", since.elapsed());
        }
        assert_eq!(tickets(service), before, "{weather:?}");
        proxy.set(Weather::Fair);
        eventually("it is back by itself", || (ask(service, &present).status == 200).then_some(()));
    }
}

#[test]
fn whatever_happens_on_the_way_to_redis_passes() {
    let redis = Redis::start();
    remember(&redis);
    let proxy = Proxy::to(([127, 0, 0, 1], redis.port));
    weather_passes(&redis_rule(proxy.address).start(), &proxy, present);
}

#[test]
fn whatever_happens_on_the_way_to_a_back_end_passes() {
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let proxy = Proxy::to(backend.address);
    weather_passes(&http_rule(proxy.address).with("timeout = \"500ms\"\n").start(), &proxy, present);
}

#[test]
fn whatever_happens_on_the_way_to_an_introspection_endpoint_passes() {
    let issuer = Issuer::start();
    let proxy = Proxy::to(issuer.client.address);
    let rule = format!(
        "[[session]]\nname = \"victim\"\nfrom = \"bearer\"\ncheck = \"introspect\"\nclient_id = \"usersig\"\n\
         client_secret = \"env:SECRET\"\naudience = [\"im\"]\ntimeout = \"500ms\"\n\
         url = \"http://{}/realms/a/protocol/openid-connect/token/introspect\"\n",
        proxy.address
    );
    let service = Setup::new([parts::ONE_APP, &rule].concat()).env("SECRET", CLIENT_SECRET).start();
    let token = issuer.login("alice", OPAQUE).access;
    weather_passes(&service, &proxy, |call| call.bearer(&token));
}

#[test]
fn whatever_happens_on_the_way_to_a_key_set_passes() {
    let issuer = Issuer::start();
    let token = issuer.login("alice", IM).access;
    // Side by side, since the issuer is asked again after 30 seconds only.
    thread::scope(|scope| {
        for weather in FOUL {
            let (issuer, token) = (issuer.client.address, &token);
            scope.spawn(move || {
                let proxy = Proxy::to(issuer);
                proxy.set(weather);
                let rule = format!(
                    "[[session]]\nname = \"victim\"\nfrom = \"bearer\"\ncheck = \"jwt\"\naudience = [\"im\"]\n\
                     timeout = \"500ms\"\njwks = \"http://{}/realms/a/jwks\"\n",
                    proxy.address
                );
                let service = Setup::new([parts::ONE_APP, &rule].concat()).start();
                for _ in 0..5 {
                    let since = Instant::now();
                    unavailable(&service, &ask(&service, |call| call.bearer(token)), "");
                    assert!(since.elapsed() < Duration::from_secs(5), "{weather:?}: {:?}", since.elapsed());
                }
                assert_eq!(tickets(&service), 0, "{weather:?}");
                proxy.set(Weather::Fair);
                let is_back = || (ask(&service, |call| call.bearer(token)).status == 200).then_some(());
                eventually("the key set is there", is_back);
                // Whatever happens later, the keys stay.
                proxy.set(weather);
                allowed(&ask(&service, |call| call.bearer(token)), "alice");
            });
        }
    });
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
    assert_eq!(connections.lines().filter(|line| line.contains("cmd=echo")).count(), 1, "{connections}");
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
