//! Outages of what a rule asks, under load: nobody is logged out or let in by them, and all is well as soon as they end.

use std::time::{Duration, Instant};

use aws_lc_rs::rsa::KeySize;
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::jwks::rsa_jwk;
use crate::load::{Load, Sample, summary};
use crate::support::backend::{Backend, Reply};
use crate::support::clock::{eventually, now};
use crate::support::component::free_port;
use crate::support::keys::{RSA, TokenKey, session};
use crate::support::proxy::{Proxy, Weather};
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::{answered, checks, tickets};

/// For a request in an outage, beyond the rule's own timeout, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// A service with the rule `victim`, and beside it tokens in the header `X-Token`.
fn service(victim: &str) -> Service {
    let victim = format!("[[session]]\nname = \"victim\"\nshared_users = true\n{victim}\n");
    Setup::new([parts::ONE_APP, &victim, parts::HEADER, "shared_users = true\n"].concat()).start()
}

/// Sessions that are there and one that is not, a hundred times a second each, and beside them a token to another rule.
struct Crowd<'a> {
    service: &'a Service,
    before: u64,
    known: Load,
    unknown: Load,
    beside: Load,
}

impl<'a> Crowd<'a> {
    fn start(service: &'a Service, known: &str, unknown: &str) -> Self {
        let before = tickets(service);
        let load = |rate, header: &str| Load::start(service.public.address, rate, LONGEST, header);
        Self {
            service,
            before,
            known: load(100, known),
            unknown: load(100, unknown),
            beside: load(20, &format!("x-token: {}", session("bob"))),
        }
    }

    /// Waits for a hundred more callers of checks with this outcome.
    fn more(&self, outcome: &str) {
        let count = || answered(self.service, outcome);
        let enough = count() + 100;
        eventually(&format!("checks end {outcome}"), || (count() >= enough).then_some(()));
    }

    /// Ends the load: whoever is unknown got nothing, whoever is known was not logged out, and each ticket is one of theirs.
    fn end(self, what: &str) {
        let (known, unknown, beside) = (self.known.stop(), self.unknown.stop(), self.beside.stop());
        println!("{what}: known {}\n  unknown {}\n  beside {}", summary(&known), summary(&unknown), summary(&beside));
        let are = |samples: &[Sample], statuses: &[u16]| samples.iter().all(|sample| statuses.contains(&sample.status));
        assert!(are(&known, &[200, 503]), "{what}: {}", summary(&known));
        assert!(are(&unknown, &[401, 503]), "{what}: {}", summary(&unknown));
        assert!(are(&beside, &[200]), "{what}: {}", summary(&beside));
        let all = || known.iter().chain(&unknown).chain(&beside);
        assert!(all().all(|sample| sample.took() < PATIENCE), "{what}");
        let issued = all().filter(|sample| sample.status == 200).count();
        let refused = all().filter(|sample| sample.status == 503).count();
        assert!(refused >= 100, "{what}: the outage was noticed");
        println!("  {} requests, {refused} of 503, {issued} tickets", all().count());
        assert_eq!(
            usize::try_from(tickets(self.service) - self.before),
            Ok(issued),
            "{what}: every ticket was answered"
        );
    }
}

/// What an answer takes at most where a back end is waited for.
const LONGEST: Duration = Duration::from_secs(2);

const KNOWN: &str = "x-session: 0123456789abcdef-known";
const UNKNOWN: &str = "x-session: 0123456789abcdef-unknown";

/// Where Redis has the session that is known.
const KEY: &str = "sess:0123456789abcdef-known";

/// A rule that reads sessions without a password.
fn redis_rule(redis: &Redis) -> String {
    format!("from = \"header:X-Session\"\ncheck = \"redis\"\nurl = \"{}\"\nkey = \"sess:{{id}}\"\n", redis.url())
}

/// A rule that reads sessions as a user of its own.
fn reader_rule(redis: &Redis) -> String {
    redis_rule(redis).replace("redis://", "redis://reader@") + "password = \"file:{dir}/session.key\"\n"
}

/// The session before the user who may read it: nobody sees a Redis without.
fn let_in(redis: &Redis) {
    redis.command::<()>(&["SET", KEY, "alice"]);
    redis.run::<()>(
        "ACL SETUSER reader on nopass resetkeys ~sess:* resetchannels nocommands +getrange +pttl +exists +echo +select",
    );
}

#[test]
fn redis_killed_and_restarted() {
    let mut redis = Redis::start();
    let_in(&redis);
    let service = service(&reader_rule(&redis));
    let crowd = Crowd::start(&service, KNOWN, UNKNOWN);
    crowd.more("allowed");
    for _ in 0..3 {
        redis.kill();
        crowd.more("fault");
        redis.restart();
        let_in(&redis);
        crowd.more("allowed");
    }
    crowd.end("Redis killed and restarted three times");
}

/// NOPERM: its rights are taken from the user that the service is.
#[test]
fn redis_that_refuses() {
    let redis = Redis::start();
    let_in(&redis);
    let service = service(&reader_rule(&redis));
    let crowd = Crowd::start(&service, KNOWN, UNKNOWN);
    crowd.more("allowed");
    for _ in 0..3 {
        redis.run::<()>("ACL SETUSER reader -getrange");
        crowd.more("fault");
        redis.run::<()>("ACL SETUSER reader +getrange");
        crowd.more("allowed");
    }
    crowd.end("NOPERM");
}

/// NOAUTH: whoever has connected before may stay, and nobody else comes in.
#[test]
fn redis_that_wants_a_password() {
    let redis = Redis::start();
    let_in(&redis);
    let service = service(&redis_rule(&redis));
    let crowd = Crowd::start(&service, KNOWN, UNKNOWN);
    crowd.more("allowed");
    let mut admin = redis.connect().expect("a connection");
    let mut run = |command: &str| {
        let parts: Vec<_> = command.split(' ').collect();
        redis::cmd(parts[0]).arg(&parts[1..]).exec(&mut admin).expect("Redis does as it is told");
    };
    run("CONFIG SET requirepass a-password");
    run("CLIENT KILL TYPE normal SKIPME yes");
    crowd.more("fault");
    run("ACL SETUSER default nopass");
    crowd.more("allowed");
    crowd.end("NOAUTH");
}

/// MOVED: the slot of the session is another node's, until it is given to the one that is asked.
#[test]
fn redis_that_sends_elsewhere() {
    let bus = [free_port(), free_port()].map(|port| port.to_string());
    let [ours, theirs] =
        [0, 1].map(|node: usize| Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus[node]]));
    theirs.run::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    ours.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", theirs.port, bus[1]));
    let is_up = || ours.run::<String>("CLUSTER INFO").contains("cluster_state:ok");
    eventually("the cluster is up", || is_up().then_some(()));
    let service = service(&redis_rule(&ours));
    let crowd = Crowd::start(&service, KNOWN, UNKNOWN);
    crowd.more("fault");
    let [our_id, their_id] = [&ours, &theirs].map(|node| node.run::<String>("CLUSTER MYID"));
    let slot: u16 = ours.command(&["CLUSTER", "KEYSLOT", KEY]);
    // The session is there before anybody is told that the slot is.
    ours.run::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {their_id}"));
    let mut importing = ours.connect().expect("a connection");
    redis::pipe().cmd("ASKING").cmd("SET").arg(KEY).arg("alice").exec(&mut importing).expect("stored");
    for node in [&ours, &theirs] {
        node.run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {our_id}"));
    }
    crowd.more("allowed");
    crowd.end("MOVED");
}

/// The keys are asked for again, once in 30 s, because of tokens of a key that is not there yet.
#[test]
fn an_issuer_that_goes_hangs_and_rotates() {
    let idp = Backend::always(Reply::json(json!({"keys": [rsa_jwk(&RSA, "old")]})));
    let way = Proxy::to(idp.address);
    let service = service(&format!(
        "from = \"bearer\"\ncheck = \"jwt\"\njwks = \"http://{}/jwks\"\naudience = [\"im\"]\n",
        way.address
    ));
    let header = |key: &TokenKey, kid: &str| {
        let claims = json!({"sub": "alice", "aud": "im", "exp": now() + 3600}).to_string();
        let token = key.token_of(Algorithm::RS256, &json!({"alg": "RS256", "kid": kid}).to_string(), &claims);
        format!("authorization: Bearer {token}")
    };
    let (old, new, stranger) = (&RSA, TokenKey::rsa(KeySize::Rsa2048), TokenKey::rsa(KeySize::Rsa2048));
    let before = tickets(&service);
    let load = |header: &str| Load::start(service.public.address, 50, LONGEST, header);
    let (known, coming) = (load(&header(old, "old")), load(&header(&new, "new")));
    let foreign = [load(&header(&stranger, "old")), load(&header(&stranger, "new"))];
    let failures = || service.log().iter().filter(|line| line["message"] == "key set not fetched").count();
    for (weather, count) in [(Weather::Reset, 1), (Weather::BlackHole, 2)] {
        way.set(weather);
        eventually(&format!("the issuer is missed in {weather:?}"), || (failures() >= count).then_some(()));
    }
    way.set(Weather::Fair);
    let rotated = Instant::now();
    idp.set({
        let keys = json!({"keys": [rsa_jwk(old, "old"), rsa_jwk(&new, "new")]});
        move |_| Reply::json(keys.clone())
    });
    let allowed = || checks(&service, "victim", "allowed");
    let ask =
        || service.public.post("/v1/usersig").bearer(header(&new, "new").split_once("Bearer ").expect("a token").1);
    eventually("the new key is in use", || (ask().send().status == 200).then_some(()));
    let enough = allowed() + 200;
    eventually("sessions of both keys are recognised", || (allowed() >= enough).then_some(()));
    let (known, coming, foreign) = (known.stop(), coming.stop(), foreign.map(Load::stop).concat());
    println!("known {}\n  coming {}\n  foreign {}", summary(&known), summary(&coming), summary(&foreign));
    assert!(known.iter().all(|sample| sample.status == 200), "the old keys serve: {}", summary(&known));
    for sample in &coming {
        let may_be_known = sample.answered > rotated;
        assert!([401, 503].contains(&sample.status) || (may_be_known && sample.status == 200), "{sample:?}");
        assert!(sample.took() < PATIENCE, "{sample:?}");
    }
    assert!(coming.last().is_some_and(|sample| sample.status == 200), "{}", summary(&coming));
    assert!(foreign.iter().all(|sample| [401, 503].contains(&sample.status)), "{}", summary(&foreign));
    let answered = known.iter().chain(&coming).filter(|sample| sample.status == 200).count();
    println!("  {} requests, {answered} tickets", known.len() + coming.len() + foreign.len());
    // And the one by which the new key was noticed.
    assert_eq!(usize::try_from(tickets(&service) - before), Ok(answered + 1), "every ticket was answered");
}
