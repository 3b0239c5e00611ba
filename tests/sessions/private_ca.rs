//! Back ends behind TLS whose authority only the configuration knows, at addresses that only the configuration knows.

use serde_json::json;

use crate::one_rule::{back, http_rule, present, redis_rule, remember};
use crate::support::backend::{Backend, Reply};
use crate::support::component::free_port;
use crate::support::redis::Redis;
use crate::tls::{Authority, Nginx};
use crate::verdict::{allowed, ask, tickets, unavailable};

#[test]
fn redis_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.certify("redis.internal");
    let port = free_port();
    let tls = [
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ];
    let redis = Redis::start_with(&tls);
    remember(&redis);
    redis.run::<()>("ACL SETUSER usersig on >a-password ~sess:* +getrange +pttl +echo");
    let rule = |host: &str, more: &str| {
        let setup = redis_rule(redis.address())
            .replace(&format!("redis://{}", redis.address()), &format!("rediss://usersig@{host}:{port}"));
        setup
            .with(&format!("timeout = \"5s\"\npassword = \"env:PASSWORD\"\n{more}"))
            .env("PASSWORD", "a-password")
            .start()
    };
    let trusted = rule("127.0.0.1", &format!("ca_file = \"{}\"\n", authority.ca_file()));
    allowed(&ask(&trusted, present), "alice");
    redis.run::<i64>("CLIENT KILL TYPE normal SKIPME yes");
    allowed(&ask(&trusted, present), "alice");
    for service in [
        rule("127.0.0.1", ""),
        rule("127.0.0.1", &format!("ca_file = \"{}\"\n", stranger.ca_file())),
        rule("localhost", &format!("ca_file = \"{}\"\n", authority.ca_file())),
    ] {
        unavailable(&service, &ask(&service, present), "certificate");
        assert_eq!(tickets(&service), 0);
    }
    // Without TLS there is nothing behind that port, and the other way round.
    let plain = redis_rule(format!("127.0.0.1:{port}")).start();
    unavailable(&plain, &ask(&plain, present), "");
    let setup = redis_rule(redis.address()).replace("redis://", "rediss://").start();
    unavailable(&setup, &ask(&setup, present), "");
}

#[test]
fn an_http_back_end_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.certify("backend.internal");
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let nginx = Nginx::start(&format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; location / {{ proxy_pass {}; }} }}",
        backend.url()
    ));
    let rule = |host: &str, more: &str| {
        let setup = http_rule(host).replace("http://", "https://");
        setup.with(&format!("resolve = {{ \"{host}\" = \"{}\" }}\n{more}", nginx.address)).start()
    };
    let trusted = rule("backend.internal", &format!("ca_file = \"{}\"\n", authority.ca_file()));
    allowed(&ask(&trusted, present), "alice");
    back(&trusted);
    let count = backend.count();
    for service in [
        rule("backend.internal", ""),
        rule("backend.internal", &format!("ca_file = \"{}\"\n", stranger.ca_file())),
        rule("other.internal", &format!("ca_file = \"{}\"\n", authority.ca_file())),
    ] {
        unavailable(&service, &ask(&service, present), "certificate");
        assert_eq!(tickets(&service), 0);
    }
    assert_eq!(backend.count(), count, "no credential goes to a stranger");
}
