//! The limit per user: exact under any number of parallel calls, and what a 429 says.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::parallel::{all_at_once, count, is, retry_after};
use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

/// A service with this `[limit]`.
fn limited(limit: &str) -> Service {
    Setup::simple().limited().with("[limit]\n").with(limit).start()
}

#[test]
fn two_hundred_parallel_calls_get_exactly_as_many_tickets_as_the_burst_allows() {
    let service = limited("per_user = \"1/h\"\nburst = 7\n");
    let token = session("alice");
    let answers = all_at_once(200, |_| service.public.post("/v1/usersig").bearer(&token).send());
    assert_eq!((count(&answers, 200), count(&answers, 429)), (7, 193));
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        answer.refused(429, "rate_limited");
        assert!((3500..=3600).contains(&retry_after(answer)), "{answer:?}");
    }
    let metrics = service.metrics();
    assert!(is(metrics.of(r#"usersig_tickets_total{app="1400000000",kind="usersig"}"#), 7));
    assert!(is(metrics.of(r#"usersig_refusals_total{reason="rate_limited"}"#), 193));
}

#[test]
fn the_limit_is_one_of_each_user_and_app_and_of_both_kinds_of_ticket() {
    let config = [parts::ONE_APP, "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n"];
    let config = [config[0], config[1], parts::SECOND_APP, parts::BEARER].concat();
    let service = Setup::new(config).limited().with("[limit]\nper_user = \"1/h\"\nburst = 2\n").start();
    let ask = |user: &str, app: u32, path: &str| {
        let mut body = json!({"sdkAppId": app});
        if path.ends_with("key") {
            body["roomId"] = 1.into();
        }
        service.public.post(path).bearer(&session(user)).json(body).send()
    };
    ask("alice", 1_400_000_000, "/v1/usersig").ok();
    ask("alice", 1_400_000_000, "/v1/private-map-key").ok();
    for path in ["/v1/usersig", "/v1/private-map-key"] {
        ask("alice", 1_400_000_000, path).refused(429, "rate_limited");
    }
    ask("bob", 1_400_000_000, "/v1/usersig").ok();
    ask("alice", 1_600_000_001, "/v1/usersig").ok();
}

#[test]
fn a_user_who_waits_as_told_gets_a_ticket_and_hammering_does_not_put_it_off() {
    let service = limited("per_user = \"1/s\"\nburst = 1\n");
    let token = session("alice");
    let ask = || service.public.post("/v1/usersig").bearer(&token).send();
    ask().ok();
    for _ in 0..3 {
        let refused = (0..20).map(|_| ask()).find(|answer| answer.status == 429).expect("one a second");
        assert_eq!(retry_after(&refused), 1);
        sleep(Duration::from_secs(1));
        ask().ok();
    }
}

#[test]
fn thirty_a_minute_ten_at_once_is_the_limit_where_nothing_is_said() {
    let service = Setup::simple().limited().start();
    let token = session("alice");
    let answers = all_at_once(40, |_| service.public.post("/v1/usersig").bearer(&token).send());
    // One more is due every two seconds, which a busy machine may take.
    assert!((10..=20).contains(&count(&answers, 200)), "{}", count(&answers, 200));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("some are over the limit");
    assert!((1..=2).contains(&retry_after(refused)), "{refused:?}");
}

#[test]
fn only_tickets_count_against_a_user() {
    let service = limited("per_user = \"1/h\"\nburst = 1\n");
    let token = session("alice");
    for _ in 0..5 {
        let mismatch = json!({"userId": "bob"});
        service.public.post("/v1/usersig").bearer(&token).json(mismatch).send().refused(403, "user_mismatch");
        service.public.post("/v1/usersig").bearer(&token).json(json!({"x": 1})).send().refused(400, "invalid_request");
    }
    service.public.post("/v1/usersig").bearer(&token).send().ok();
    service.public.post("/v1/usersig").bearer(&token).send().refused(429, "rate_limited");
}
