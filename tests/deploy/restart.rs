//! Restarts that nobody notices: behind nginx, and with clients directly on the process.

use std::process::Command;

use rustix::process::Signal;

use crate::load::{Load, Order, without_failure};
use crate::support::SECRET;
use crate::support::clock::eventually;
use crate::support::command::EndsWithTest;
use crate::support::keys::session;
use crate::support::raw::Connection;
use crate::support::service::Service;
use crate::support::setup::{Setup, path_text};
use crate::tools::{free_port, loopback};
use usersig::ticket::SecretKey;

/// A replica on this port; on any free one for 0.
fn replica(port: u16) -> Service {
    let listen = format!("127.0.0.1:{port}");
    Setup::simple().with("[server]\nlame_duck = \"1s\"\nworkers = 1\n").env("USERSIG__SERVER__LISTEN", &listen).start()
}

fn order(addresses: Vec<std::net::SocketAddr>) -> Order {
    let keys = vec![SecretKey::parse(SECRET).expect("a secret")];
    Order { addresses, session: session("alice"), keys, ends_when_told: false }
}

/// How many requests must survive the restarts, and how many restarts they are spread over.
const REQUESTS: u64 = 100_000;
const REPLACEMENTS: u64 = 10;

#[test]
fn replicas_behind_nginx_are_replaced_without_a_failed_request() {
    let ports = [free_port(), free_port()];
    let mut replicas = ports.map(replica).map(Some);
    let nginx = Nginx::start(ports);
    let load = Load::start(4, order(vec![loopback(nginx.port)]));
    let mut replaced = 0;
    while load.answered() < REQUESTS {
        let place = replaced % 2;
        load.wait_for_answers(REQUESTS / REPLACEMENTS);
        // Ends with status 0, and only then is its port free.
        replicas[place].take().expect("a replica").stop();
        replicas[place] = Some(replica(ports[place]));
        replaced += 1;
    }
    let tickets = without_failure(&load.finish());
    assert!(tickets >= REQUESTS && replaced >= 2, "{tickets} tickets, {replaced} replacements");
    println!("{tickets} tickets, {replaced} replacements, no failure");
}

#[test]
fn keep_alive_clients_lose_nothing_when_the_process_is_told_to_end() {
    let ports = [free_port(), free_port()];
    let mut replicas = ports.map(replica).map(Some);
    let load = Load::start(8, order(ports.map(loopback).into()));
    let mut replaced = 0;
    while load.answered() < REQUESTS {
        // The clients are at this one, since they left the other when it ended.
        let place = replaced % 2;
        load.wait_for_answers(REQUESTS / REPLACEMENTS);
        let mut old = replicas[place].take().expect("a replica");
        old.signal(Signal::TERM);
        eventually("it says that it is not ready", || (old.ops.get("/readyz").send().status == 503).then_some(()));
        // Whoever has not heard of it yet is still served, and told.
        let answer = old.public.get("/v1/usersig").bearer(&session("bob")).send();
        assert_eq!(answer.ok()["userId"], "bob");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(old.wait().code(), Some(0));
        replicas[place] = Some(replica(ports[place]));
        replaced += 1;
    }
    let tickets = without_failure(&load.finish());
    assert!(tickets >= REQUESTS && replaced >= 2, "{tickets} tickets, {replaced} replacements");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut service = Setup::simple().with("[server]\nlame_duck = \"300s\"\ndrain = \"300s\"\n").start();
    let _idle = service.public.connect();
    service.signal(Signal::TERM);
    eventually("it says that it is not ready", || (service.ops.get("/readyz").send().status == 503).then_some(()));
    service.signal(Signal::TERM);
    service.wait();
}

/// An nginx in front of two replicas, with kept-alive connections to both. It does not learn that one is draining, so a
/// connection may reach it in the moment in which it closes: a request for a ticket does no harm twice, and goes to the
/// other.
struct Nginx {
    _process: EndsWithTest,
    _directory: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    fn start([first, second]: [u16; 2]) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().expect("a directory");
        let place = path_text(directory.path());
        let configuration = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               keepalive_requests 1000000;\n\
               upstream usersig {{\n\
                 server 127.0.0.1:{first} fail_timeout=1s; server 127.0.0.1:{second} fail_timeout=1s; keepalive 16;\n\
               }}\n\
               server {{\n\
                 listen 127.0.0.1:{port};\n\
                 location /v1/ {{\n\
                   proxy_pass http://usersig; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                   proxy_next_upstream error timeout non_idempotent;\n\
                 }}\n\
               }}\n\
             }}\n"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("a configuration file");
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-e").arg(directory.path().join("start.log")).arg("-c").arg(file);
        let process = EndsWithTest(command.spawn().expect("nginx"));
        eventually("nginx listens", || Connection::try_open(loopback(port)).ok());
        Self { _process: process, _directory: directory, port }
    }
}
