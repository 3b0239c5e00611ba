//! The limit that replicas share through Redis: exact, with few rights, and no reason to refuse anybody while Redis is away.

use std::thread::{self, sleep};
use std::time::Duration;

use crate::parallel::{all_at_once, count, is, retry_after};
use crate::support::client::Answer;
use crate::support::clock::eventually;
use crate::support::keys::session;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::Setup;

/// A replica with this limit per user, which counts in that Redis.
fn replica(redis: &Redis, limit: &str) -> Service {
    let limit = format!("[limit]\nper_address = \"off\"\nstore = \"{}\"\n{limit}", redis.url());
    Setup::simple().limited().with(&limit).start()
}

fn ask(service: &Service, user: &str) -> Answer {
    service.public.post("/v1/usersig").bearer(&session(user)).send()
}

/// How often the log says that the shared limit went, and that it came back.
fn changes(service: &Service) -> (usize, usize) {
    let log = service.log();
    let said = |message: &str| log.iter().filter(|line| line["message"] == message).count();
    (
        said("shared rate limit unavailable, falling back to per-replica limits"),
        said("shared rate limit available again"),
    )
}

/// Waits for the log, which is written beside the answers, to say that the shared limit went, and has not come back.
fn went_once(service: &Service) {
    eventually("the log says that it went", || (changes(service).0 > 0).then_some(()));
    assert_eq!(changes(service), (1, 0));
}

#[test]
fn two_replicas_give_exactly_one_burst_to_two_hundred_parallel_calls() {
    let redis = Redis::start();
    let limit = "per_user = \"1/h\"\nburst = 7\ntimeout = \"1s\"\n";
    let replicas = [replica(&redis, limit), replica(&redis, limit)];
    let token = session("alice");
    // The first use connects, and loads the script.
    for replica in &replicas {
        ask(replica, "somebody-else").ok();
    }
    let answers = all_at_once(200, |caller| replicas[caller % 2].public.post("/v1/usersig").bearer(&token).send());
    assert_eq!((count(&answers, 200), count(&answers, 429)), (7, 193));
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        answer.refused(429, "rate_limited");
        assert!((3500..=3600).contains(&retry_after(answer)), "{answer:?}");
    }
    for replica in &replicas {
        assert_eq!(changes(replica), (0, 0));
        ask(replica, "bob").ok();
    }
}

#[test]
fn a_probe_says_whether_the_store_lets_us_count() {
    let redis = Redis::start();
    redis.run::<()>("ACL SETUSER limiter on nopass ~usersig:limit:* +evalsha +script|load +get +set +time +select");
    let probe = || {
        let store = redis.url().replace("redis://", "redis://limiter@");
        let limit = format!("[limit]\nstore = \"{store}\"\npassword = \"file:{{dir}}/session.key\"\n");
        Setup::simple().limited().with(&limit).run(&["check", "--probe"]).finish()
    };
    let allowed = probe();
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert!(allowed.stdout.contains("\nlimit.store: ok, answers, and lets us count\n"), "{allowed:?}");
    redis.run::<()>("ACL SETUSER limiter -set");
    let refused = probe();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stdout.contains("\nlimit.store: failed, "), "{refused:?}");
}

#[test]
fn whoever_waits_as_told_gets_a_ticket_from_either_replica() {
    let redis = Redis::start();
    let limit = "per_user = \"10/m\"\nburst = 1\ntimeout = \"1s\"\n";
    let replicas = [replica(&redis, limit), replica(&redis, limit)];
    ask(&replicas[0], "alice").ok();
    // Half of the six seconds, so that a refusal that counted would be seen.
    sleep(Duration::from_secs(3));
    let wait = retry_after(&ask(&replicas[1], "alice"));
    assert!((1..=3).contains(&wait), "{wait}");
    sleep(Duration::from_secs(wait));
    ask(&replicas[1], "alice").ok();
}

#[test]
fn who_has_had_his_share_from_redis_gets_no_second_one_while_it_is_away() {
    let mut redis = Redis::start();
    let service = replica(&redis, "per_user = \"1/h\"\nburst = 2\ntimeout = \"1s\"\n");
    for _ in 0..2 {
        ask(&service, "alice").ok();
    }
    redis.kill();
    ask(&service, "alice").refused(429, "rate_limited");
    ask(&service, "bob").ok();
    went_once(&service);
}

/// Where the connection is lost behind the question, Redis may have counted.
#[test]
fn a_ticket_is_not_counted_once_more_where_the_answer_is_lost() {
    let redis = Redis::start();
    let service = replica(&redis, "per_user = \"1/h\"\nburst = 9\ntimeout = \"1s\"\n");
    ask(&service, "alice").ok();
    let asked = redis.calls("evalsha");
    redis.run::<()>("CLIENT PAUSE 60000 WRITE");
    thread::scope(|scope| {
        let answer = scope.spawn(|| ask(&service, "alice"));
        eventually("Redis is asked", || redis.run::<String>("CLIENT LIST").contains("flags=b").then_some(()));
        redis.run::<()>("CLIENT KILL TYPE normal");
        redis.run::<()>("CLIENT UNPAUSE");
        answer.join().expect("an answer").ok();
    });
    went_once(&service);
    assert_eq!(redis.calls("evalsha"), asked);
}

#[test]
fn what_is_kept_is_one_time_for_each_user_and_goes_by_itself() {
    let redis = Redis::start();
    let service = replica(&redis, "per_user = \"30/m\"\nburst = 10\ntimeout = \"1s\"\n");
    for user in ["alice", "bob"] {
        for _ in 0..3 {
            ask(&service, user).ok();
        }
    }
    let mut keys: Vec<String> = redis.run("KEYS *");
    keys.sort();
    assert_eq!(keys, ["usersig:limit:1400000000:alice", "usersig:limit:1400000000:bob"]);
    for key in &keys {
        let left: i64 = redis.command(&["PTTL", key]);
        assert!((1..=6000).contains(&left), "three tickets at 30 a minute are forgotten after 6 s: {left}");
        assert!(redis.command::<String>(&["GET", key]).parse::<u64>().is_ok());
    }
}

#[test]
fn few_rights_in_redis_suffice_and_no_others_are_used() {
    let redis = Redis::start();
    redis.run::<()>("ACL SETUSER limiter on >a-password resetkeys ~usersig:limit:* resetchannels nocommands +evalsha +script|load +get +set +time +select");
    let limit = format!(
        "[limit]\nper_address = \"off\"\nper_user = \"1/h\"\nburst = 2\ntimeout = \"1s\"\nstore = \"redis://limiter@{}/1\"\npassword = \"env:LIMIT_PASSWORD\"\n",
        redis.address()
    );
    let service = Setup::simple().limited().with(&limit).env("LIMIT_PASSWORD", "a-password").start();
    for _ in 0..2 {
        ask(&service, "alice").ok();
    }
    ask(&service, "alice").refused(429, "rate_limited");
    assert_eq!(changes(&service), (0, 0));
    let denied: Vec<redis::Value> = redis.run("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
}

#[test]
fn while_redis_is_away_each_replica_limits_for_itself_and_says_so_once() {
    let mut redis = Redis::start();
    let limit = "per_user = \"1/h\"\nburst = 3\n";
    let service = replica(&redis, limit);
    ask(&service, "before").ok();
    redis.kill();
    let answers = all_at_once(50, |_| ask(&service, "alice"));
    assert_eq!((count(&answers, 200), count(&answers, 429)), (3, 47));
    for user in 0..20 {
        ask(&service, &format!("user{user}")).ok();
    }
    went_once(&service);
    redis.restart();
    eventually("the shared limit is back", || {
        ask(&service, &format!("user{}", changes(&service).1));
        (changes(&service) == (1, 1)).then_some(())
    });
    // Another replica has given alice nothing, but Redis has forgotten what it knew; it counts anew.
    let other = replica(&redis, limit);
    for _ in 0..3 {
        ask(&other, "carol").ok();
    }
    ask(&service, "carol").refused(429, "rate_limited");
    assert!(is(service.metrics().of(r#"usersig_session_checks_total{outcome="fault",rule="token"}"#), 0));
}

#[test]
fn a_frozen_redis_holds_up_a_ticket_for_no_longer_than_the_timeout_and_refuses_none() {
    let redis = Redis::start();
    let service = replica(&redis, "per_user = \"1/h\"\nburst = 100\ntimeout = \"50ms\"\n");
    ask(&service, "before").ok();
    redis.component().freeze();
    let answers = all_at_once(40, |caller| ask(&service, &format!("user{caller}")));
    assert_eq!(count(&answers, 200), 40);
    went_once(&service);
    redis.component().thaw();
    eventually("the shared limit is back", || {
        ask(&service, "after").ok();
        (changes(&service).1 == 1).then_some(())
    });
}

#[test]
fn a_service_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start();
    redis.kill();
    let service = replica(&redis, "per_user = \"1/h\"\nburst = 50\n");
    ask(&service, "alice").ok();
    went_once(&service);
    redis.restart();
    eventually("the shared limit is there", || {
        ask(&service, "bob").ok();
        (changes(&service).1 == 1).then_some(())
    });
}
