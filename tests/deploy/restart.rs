//! Restarts that nobody notices: behind nginx, and with clients directly on the process.

use std::fs;
use std::process::Command;

use crate::client::{self, Connection};
use crate::load::{Load, Order, without_failure};
use crate::service::{Home, SESSION_SECRET, Service, bearer, key, secret};
use crate::tools::{Process, free_port, loopback, scratch, wait_for};

fn server(port: u16) -> String {
    format!("listen = \"127.0.0.1:{port}\"\nops_listen = \"127.0.0.1:0\"\nlame_duck = \"1s\"\ndrain = \"20s\"\nworkers = 1")
}

#[test]
fn replicas_behind_nginx_are_replaced_without_a_failed_request() {
    const REQUESTS: u64 = 100_000;
    let home = Home::new(scratch("behind-nginx"), &secret('0'));
    let ports = [free_port(), free_port()];
    let mut replicas = ports.map(|port| Service::start(&home, &format!("replica-{port}"), &home.configuration(&server(port))));
    let nginx = Nginx::start(&home, ports);
    let load = Load::start(4, Order {
        addresses: vec![loopback(nginx.port)],
        authorization: bearer("alice", SESSION_SECRET),
        keys: vec![key('0')],
        ends_when_told: false,
    });
    let mut replaced = 0;
    while load.answered() < REQUESTS {
        let place = replaced % 2;
        load.wait_for_tickets(REQUESTS / 10);
        replicas[place].signal("TERM");
        assert!(replicas[place].ended().success());
        let port = ports[place];
        replicas[place] = Service::start(&home, &format!("replica-{port}-{replaced}"), &home.configuration(&server(port)));
        replaced += 1;
    }
    let tickets = without_failure(&load.finish());
    assert!(tickets >= REQUESTS && replaced >= 2, "{tickets} tickets over {replaced} replacements");
    println!("{tickets} tickets, {replaced} replacements, no failure");
}

#[test]
fn keep_alive_clients_lose_nothing_when_the_process_is_told_to_end() {
    let home = Home::new(scratch("sigterm"), &secret('0'));
    let mut old = Service::start(&home, "old", &home.configuration(&server(0)));
    let new = Service::start(&home, "new", &home.configuration(&server(0)));
    let authorization = bearer("alice", SESSION_SECRET);
    let load = Load::start(8, Order {
        addresses: vec![old.public, new.public],
        authorization: authorization.clone(),
        keys: vec![key('0')],
        ends_when_told: false,
    });
    load.wait_for_tickets(1000);
    old.signal("TERM");
    wait_for("an end of readiness", || (client::get(old.ops, "/readyz").status == 503).then_some(()));
    // Whoever has not heard of it yet is still served, and told.
    let answer = client::ask(old.public, "GET", "/v1/usersig", &[("Authorization", &authorization)]).expect("an answer");
    assert!(answer.status == 200 && answer.closes, "{answer:?}");
    assert!(old.ended().success());
    load.wait_for_tickets(1000);
    without_failure(&load.finish());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = Home::new(scratch("second-signal"), &secret('0'));
    let long = "listen = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\nlame_duck = \"300s\"\ndrain = \"300s\"";
    let mut service = Service::start(&home, "service", &home.configuration(long));
    let _idle = Connection::open(service.public).expect("a connection");
    service.signal("TERM");
    wait_for("an end of readiness", || (client::get(service.ops, "/readyz").status == 503).then_some(()));
    service.signal("TERM");
    service.ended();
}

/// An nginx in front of two replicas, with kept-alive connections to both.
struct Nginx {
    _process: Process,
    port: u16,
}

impl Nginx {
    fn start(home: &Home, replicas: [u16; 2]) -> Self {
        let port = free_port();
        let directory = home.file("nginx");
        fs::create_dir_all(&directory).expect("a directory");
        let place = directory.display();
        let [first, second] = replicas;
        let configuration = format!(
            "daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n\
               access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;\n\
               fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
               keepalive_requests 1000000;\n\
               upstream usersig {{ server 127.0.0.1:{first} fail_timeout=1s; server 127.0.0.1:{second} fail_timeout=1s; keepalive 16; }}\n\
               server {{\n\
                 listen 127.0.0.1:{port};\n\
                 location /v1/ {{ proxy_pass http://usersig; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n\
               }}\n\
             }}\n"
        );
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration).expect("a configuration file");
        let mut command = Command::new("/usr/sbin/nginx");
        let process = Process::start(command.arg("-e").arg(directory.join("start.log")).arg("-c").arg(file));
        wait_for("nginx", || Connection::open(loopback(port)).ok());
        Self { _process: process, port }
    }
}
