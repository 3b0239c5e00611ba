//! Case 13: a Redis that is down at boot, killed, frozen, or refuses. Always 503, no ticket, and back by itself.

use std::time::{Duration, Instant};

use crate::one_rule::{ID, back, present, redis_rule, remember};
use crate::support::clock::eventually;
use crate::support::component::free_port;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::verdict::{allowed, ask, checks, tickets, unavailable};

/// For an answer after the 500 ms of the rule, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asserts refusals for this cause, that `mend` mends by itself.
fn out_and_back(service: &Service, cause: &str, mend: impl FnOnce()) {
    let before = tickets(service);
    for _ in 0..5 {
        let since = Instant::now();
        unavailable(service, &ask(service, present), cause);
        assert!(since.elapsed() < DEADLINE, "{cause} after {:?}", since.elapsed());
    }
    assert_eq!(tickets(service), before, "no ticket while nobody knows");
    mend();
    back(service);
    allowed(&ask(service, present), "alice");
}

#[test]
fn case_13_redis_down_at_boot_killed_and_frozen() {
    let mut redis = Redis::start();
    redis.kill();
    let service = redis_rule(redis.address()).start();
    out_and_back(&service, "Redis: Connection refused", || {
        redis.restart();
        remember(&redis);
    });
    redis.kill();
    out_and_back(&service, "Redis: Connection refused", || {
        redis.restart();
        remember(&redis);
    });
    redis.component().freeze();
    out_and_back(&service, "no answer within 500ms", || redis.component().thaw());
    assert_eq!(checks(&service, "victim", "denied"), 0, "nobody was logged out");
}

#[test]
fn case_13_redis_wants_a_password() {
    let redis = Redis::start();
    remember(&redis);
    let service = redis_rule(redis.address()).start();
    // What is connected already stays so.
    let mut operator = redis.connect().expect("a connection");
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("a-password").exec(&mut operator).expect("done");
    out_and_back(&service, "NOAUTH", || {
        redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").exec(&mut operator).expect("done");
    });
    redis.run::<()>("ACL SETUSER usersig on >the-right-one allkeys +getrange +pttl +echo");
    let with_user = redis_rule(format!("usersig@{}", redis.address()));
    let service = with_user.with("password = \"env:PW\"\n").env("PW", "the-wrong-one").start();
    out_and_back(&service, "authentication failed", || redis.run("ACL SETUSER usersig >the-wrong-one"));
}

#[test]
fn case_13_redis_does_not_let_us_read() {
    let redis = Redis::start();
    remember(&redis);
    redis.run::<()>("ACL SETUSER usersig on >a-password ~other:* +getrange +pttl +echo");
    let with_user = redis_rule(format!("usersig@{}", redis.address()));
    let service = with_user.with("password = \"env:PW\"\n").env("PW", "a-password").start();
    out_and_back(&service, "NOPERM", || redis.run("ACL SETUSER usersig ~sess:*"));
    redis.run::<()>("ACL SETUSER usersig -pttl");
    out_and_back(&service, "NOPERM", || redis.run("ACL SETUSER usersig +pttl"));
}

#[test]
fn case_13_redis_is_a_cluster_that_has_the_key_elsewhere() {
    let bus = [free_port(), free_port()].map(|port| port.to_string());
    let [ours, theirs] =
        [0, 1].map(|node: usize| Redis::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus[node]]));
    let service = redis_rule(ours.address()).start();
    unavailable(&service, &ask(&service, present), "CLUSTERDOWN");
    theirs.run::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    ours.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {}", theirs.port, bus[1]));
    let is_up = || ours.run::<String>("CLUSTER INFO").contains("cluster_state:ok");
    eventually("the cluster is up", || is_up().then_some(()));
    out_and_back(&service, "MOVED", || {
        let slot: u16 = ours.run(&format!("CLUSTER KEYSLOT sess:{ID}"));
        let id: String = ours.run("CLUSTER MYID");
        for node in [&ours, &theirs] {
            node.run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {id}"));
        }
        remember(&ours);
    });
}
