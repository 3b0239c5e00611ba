//! Diagnosis for the person who sets it up: `check --probe`, `/readyz` and metrics, for back ends that work and that do not.

use serde_json::json;

use crate::issuer::{CLIENT_SECRET, ISSUER, Issuer};
use crate::one_rule::{ID, http_rule, present, redis_rule, remember};
use crate::support::backend::{Backend, Reply};
use crate::support::clock::eventually;
use crate::support::command::Finished;
use crate::support::component::free_port;
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Redis;
use crate::support::setup::{Setup, parts};
use crate::tls::{Authority, Nginx};
use crate::verdict::{allowed, ask, checks, denied, unavailable, whole};

/// The keys of a rule behind its name; `from` differs in each, and their users do not matter.
fn rule(name: &str, keys: &str) -> String {
    format!("[[session]]\nname = \"{name}\"\nfrom = \"header:x-{name}\"\nshared_users = true\n{keys}\n")
}

fn probe(rules: &[String]) -> Finished {
    let setup = Setup::new([parts::ONE_APP, &rules.concat()].concat());
    let setup = setup.env("SECRET", CLIENT_SECRET).env("WRONG", "another secret").env("PASSWORD", "a-password");
    setup.run(&["check", "--probe"]).finish()
}

#[track_caller]
fn assert_line(finished: &Finished, begin: &str, words: &str) {
    let mut lines = finished.stdout.lines();
    let line =
        lines.find(|line| line.starts_with(&format!("{begin},"))).unwrap_or_else(|| panic!("no {begin}: {finished:?}"));
    assert!(line.contains(words), "expected {words:?}: {line}");
}

#[test]
fn a_probe_says_what_works() {
    let (redis, issuer, authority) = (Redis::start(), Issuer::start(), Authority::new());
    let nginx = Nginx::in_front_of(&issuer, &authority);
    redis.run::<()>("ACL SETUSER usersig on >a-password ~sess:* ~off:* +getrange +pttl +exists +echo");
    let denies = Backend::always(Reply::json(json!({"code": 401})));
    let refuses = Backend::always(Reply::new(401, ""));
    let trusted =
        format!("ca_file = \"{}\"\nresolve = {{ \"idp.example.com\" = \"{}\" }}", authority.ca_file(), nginx.address);
    let introspect = "check = \"introspect\"\nclient_id = \"usersig\"\naudience = [\"im\"]\nclient_secret = \"env:SECRET\"\nurl = \"https://idp.example.com/realms/a/protocol/openid-connect/token/introspect\"";
    let finished = probe(&[
        rule("http", &format!("check = \"http\"\nuser = \"/id\"\nurl = \"{}\"", refuses.url())),
        rule(
            "coded",
            &format!("check = \"http\"\nuser = \"/id\"\nurl = \"{}\"\ndeny = {{ \"/code\" = 401 }}", denies.url()),
        ),
        rule(
            "redis",
            &format!(
                "check = \"redis\"\nurl = \"redis://usersig@{}/0\"\npassword = \"env:PASSWORD\"\nkey = \"sess:{{id}}\"\ndeny_if_exists = \"off:{{user}}\"",
                redis.address()
            ),
        ),
        rule(
            "jwks",
            &format!("check = \"jwt\"\njwks = \"{}\"\naudience = [\"im\"]", issuer.client.url("/realms/a/jwks")),
        ),
        rule("issuer", &format!("check = \"jwt\"\nissuer = \"{ISSUER}\"\naudience = [\"im\"]\n{trusted}")),
        rule("idp", &format!("{introspect}\n{trusted}")),
        rule("jwt", "check = \"jwt\"\nsecret = \"file:{dir}/session.key\""),
    ]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for (begin, words) in [
        ("http: ok", "denies a request without a credential"),
        ("coded: ok", "denies a request without a credential"),
        ("redis: ok", "lets us read sessions"),
        ("jwks: ok", "1 usable key(s)"),
        ("issuer: ok", "1 usable key(s)"),
        ("idp: ok", "knows our client"),
        ("jwt: ok", "needs no back end"),
    ] {
        assert_line(&finished, begin, words);
    }
    let nobody = refuses.seen().pop().expect("it was asked");
    assert_eq!((nobody.header("x-http"), nobody.header("cookie"), nobody.header("authorization")), ("", "", ""));
}

#[test]
fn a_probe_says_what_does_not() {
    let (redis, frozen, issuer) = (Redis::start(), Redis::start(), Issuer::start());
    frozen.component().freeze();
    redis.run::<()>("ACL SETUSER usersig on >a-password ~sess:* ~off:* +getrange +pttl +echo");
    redis.run::<()>("ACL SETUSER silent on >a-password ~sess:* +getrange +hstrlen +pttl");
    redis.run::<()>("ACL SETUSER measurer on >a-password ~sess:* +hstrlen +pttl +echo");
    redis.run::<()>("ACL SETUSER elsewhere on >a-password ~other:* +getrange +pttl +echo");
    redis.run::<()>("ACL SETUSER timeless on >a-password ~sess:* +getrange +echo");
    let open = Backend::always(Reply::json(json!({"id": "everybody"})));
    let page = Backend::always(Reply::new(302, "").header("location", "/login"));
    let (html, missing) = (Backend::always(Reply::new(200, "<html>")), Backend::always(Reply::new(404, "")));
    let empty = Backend::always(Reply::json(json!({"keys": [{"kty": "oct", "k": "AAAA"}]})));
    let other =
        Backend::always(Reply::json(json!({"issuer": "https://another.example.com", "jwks_uri": "http://127.0.0.1/"})));
    let believes = Backend::always(Reply::json(json!({"active": true, "sub": "everybody"})));
    let nobody = format!("127.0.0.1:{}", free_port());
    let http = |name: &str, url: &str| rule(name, &format!("check = \"http\"\nuser = \"/id\"\nurl = \"{url}\""));
    let redis_at = |name: &str, keys: &str| rule(name, &format!("check = \"redis\"\nkey = \"sess:{{id}}\"\n{keys}"));
    let set = |name: &str, keys: &str| rule(name, &format!("check = \"jwt\"\naudience = [\"im\"]\n{keys}"));
    let url = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
    let introspect = |name: &str, secret: &str, url: &str| {
        rule(
            name,
            &format!(
                "check = \"introspect\"\nclient_id = \"usersig\"\naudience = [\"im\"]\nclient_secret = \"env:{secret}\"\nurl = \"{url}\""
            ),
        )
    };
    let with_user = |address: String, more: &str| {
        format!("url = \"redis://usersig@{address}/0\"\npassword = \"env:PASSWORD\"\n{more}")
    };
    let finished = probe(&[
        http("open", &open.url()),
        http("page", &page.url()),
        http("html", &html.url()),
        http("missing", &missing.url()),
        http("nobody", &format!("http://{nobody}/")),
        redis_at("down", &format!("url = \"redis://{nobody}/0\"")),
        redis_at("frozen", &format!("url = \"{}\"", frozen.url())),
        redis_at("password", &with_user(redis.address(), "").replace("env:PASSWORD", "env:WRONG")),
        redis_at("exists", &with_user(redis.address(), "deny_if_exists = \"off:{user}\"")),
        redis_at("field", &with_user(redis.address(), "field = \"user\"")),
        redis_at("life", &with_user(redis.address(), "").replace("usersig@", "timeless@")),
        redis_at("echo", &with_user(redis.address(), "").replace("usersig@", "silent@")),
        redis_at("read", &with_user(redis.address(), "field = \"user\"").replace("usersig@", "measurer@")),
        redis_at("keys", &with_user(redis.address(), "").replace("usersig@", "elsewhere@")),
        set("nokeys", &format!("jwks = \"{}\"", empty.url())),
        set("noset", &format!("jwks = \"{}\"", missing.url())),
        set("discovery", &format!("issuer = \"{}\"", other.url())),
        introspect("client", "WRONG", &url),
        introspect("endpoint", "SECRET", &issuer.client.url("/realms/a/introspect")),
        introspect("believes", "SECRET", &believes.url()),
    ]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for (name, words) in [
        ("open", "answers with a user although no credential was sent"),
        ("page", "status 302"),
        ("html", "not a JSON object"),
        ("missing", "status 404"),
        ("nobody", "refused"),
        ("down", "Redis: Connection refused"),
        ("frozen", "no answer within 500ms"),
        ("password", "authentication failed"),
        ("exists", "NOPERM, its user may not run exists"),
        ("field", "NOPERM, its user may not run hstrlen"),
        ("life", "NOPERM, its user may not run pttl"),
        ("echo", "NOPERM, its user may not run echo"),
        ("read", "NOPERM, its user may not run hmget"),
        ("keys", "NOPERM, its user may not read such keys"),
        ("nokeys", "none of its 1 keys can be used with the rule's algs (a key without kid: has private parts)"),
        ("noset", "status 404"),
        ("discovery", "issuer is not exactly the rule's"),
        ("client", "status 401"),
        ("endpoint", "status 404"),
        ("believes", "a made-up token is active"),
    ] {
        assert_line(&finished, &format!("{name}: failed"), words);
    }
    for secret in [CLIENT_SECRET, "another secret", "a-password"] {
        assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret), "{finished:?}");
    }
}

#[test]
fn readiness_and_metrics_tell_of_each_rule() {
    let mut redis = Redis::start();
    remember(&redis);
    let service = redis_rule(redis.address()).start();
    let health = || service.ops.get("/readyz").send().ok_ready();
    let up = || whole(service.metrics().of("usersig_session_backend_up{rule=\"victim\"}"));
    assert_eq!(health(), json!([{"name": "victim", "lastOutcome": "none"}]));
    allowed(&ask(&service, present), "alice");
    assert_eq!((health(), up()), (json!([{"name": "victim", "lastOutcome": "allowed"}]), 1));
    denied(&service, &ask(&service, |call| call.header("x-session", &ID.to_lowercase())), "check", "no such session");
    assert_eq!((health(), up()), (json!([{"name": "victim", "lastOutcome": "denied"}]), 1));
    redis.kill();
    unavailable(&service, &ask(&service, present), "Redis: Connection refused");
    let sick = health();
    assert_eq!((&sick[0]["lastOutcome"], up()), (&json!("fault"), 0), "{sick}");
    assert!(sick[0]["fault"].as_str().is_some_and(|fault| fault.contains("Connection refused")), "{sick}");
    assert!(sick[0]["faultAgeSeconds"].is_u64(), "{sick}");
    redis.restart();
    remember(&redis);
    eventually("it is well again", || (ask(&service, present).status == 200).then_some(()));
    assert_eq!((health(), up()), (json!([{"name": "victim", "lastOutcome": "allowed"}]), 1));

    // That a back end is down takes no replica out of rotation, and neither does one that has never been reached.
    let service = http_rule(format!("127.0.0.1:{}", free_port())).start();
    unavailable(&service, &ask(&service, present), "refused");
    assert_eq!(service.ops.get("/readyz").send().status, 200);

    let issuer = Issuer::start();
    let url = issuer.client.url("/realms/a/jwks");
    let rule = rule("set", &format!("check = \"jwt\"\naudience = [\"im\"]\njwks = \"{url}\""));
    let service = Setup::new([parts::ONE_APP, &rule].concat()).start();
    let fetched = || {
        let health = service.ops.get("/readyz").send().ok_ready();
        health[0]["keySetAgeSeconds"].is_u64().then_some(health)
    };
    let health = eventually("the set is fetched", fetched);
    assert!(health[0]["keySetFailure"].is_null(), "{health}");
    assert!(service.metrics().beginning("usersig_key_set_age_seconds{rule=\"set\"}").len() == 1);
}

#[test]
fn a_rule_that_is_busy_has_no_back_end_that_is_down() {
    let backend = Backend::always(Reply::json(json!({"user": "alice"})));
    let proxy = Proxy::to(backend.address);
    let service = http_rule(proxy.address).with("timeout = \"30s\"\nmax_in_flight = 1\n").start();
    allowed(&ask(&service, present), "alice");
    proxy.set(Weather::BlackHole);
    // Who asks the same would wait for the same answer.
    let mut clients = ["", "-of-another"].map(|other| {
        let mut client = service.public.connect();
        client.send(format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\nx-session: {ID}{other}\r\n\r\n"));
        client
    });
    eventually("one is too many", || (checks(&service, "victim", "fault") == 1).then_some(()));
    let health = service.ops.get("/readyz").send().ok_ready();
    assert_eq!(health, json!([{"name": "victim", "lastOutcome": "allowed"}]));
    assert_eq!(whole(service.metrics().of("usersig_session_backend_up{rule=\"victim\"}")), 1);
    proxy.set(Weather::Fair);
    let mut statuses = clients.each_mut().map(|client| client.read().expect("an answer").status);
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

impl crate::support::client::Answer {
    /// What a ready service says of its rules.
    fn ok_ready(&self) -> serde_json::Value {
        let ready = self.json();
        assert_eq!((self.status, &ready["status"]), (200, &json!("ready")), "{ready}");
        ready["rules"].clone()
    }
}
