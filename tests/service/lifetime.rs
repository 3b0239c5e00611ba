//! How long a ticket lives: what is asked for, what the app's policy allows, and what is left of the session.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::support::clock::now;
use crate::support::keys::{session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

fn start(app: &str) -> Service {
    Setup::new([parts::ONE_APP, app, parts::BEARER].concat()).start()
}

/// The `expire` of the answer to a POST and to a GET that ask for this one; they must agree.
fn given(service: &Service, asked: impl Display) -> u64 {
    let token = session("alice");
    let body = format!("{{\"expire\":{asked}}}");
    let posted = service.public.post("/v1/usersig").body("application/json", body).bearer(&token).send().ok();
    let got = service.public.get(format!("/v1/usersig?expire={asked}")).bearer(&token).send().ok();
    assert_eq!(posted["expire"], got["expire"]);
    posted["expire"].as_u64().expect("a number")
}

fn given_by_default(service: &Service) -> u64 {
    let answer = service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
    answer["expire"].as_u64().expect("a number")
}

#[test]
fn what_is_asked_for_is_given_up_to_the_maximum() {
    let service = start("expire = \"1h\"\nmax_expire = \"2h\"\n");
    assert_eq!(given_by_default(&service), 3600);
    for (asked, expected) in [
        (1, 1),
        (3600, 3600),
        (7199, 7199),
        (7200, 7200),
        (7201, 7200),
        (315_360_001, 7200),
        (4_294_967_296_u64, 7200),
        (u64::MAX, 7200),
    ] {
        assert_eq!(given(&service, asked), expected, "{asked}");
    }
    // More than JSON readers and 64 bits hold exactly.
    for asked in ["9007199254740993", "18446744073709551616", &"9".repeat(300)] {
        assert_eq!(given(&service, asked), 7200, "{asked}");
    }
}

#[test]
fn a_day_is_given_and_a_week_allowed_where_nothing_is_said() {
    let service = start("");
    assert_eq!(given_by_default(&service), 86_400);
    assert_eq!(given(&service, 10_000_000), 7 * 86_400);
    assert_eq!(given_by_default(&start("max_expire = \"90s\"\n")), 90, "the usual day is more than the maximum");
}

#[test]
fn ten_years_are_the_most_that_can_be_allowed() {
    let service = start("expire = \"3650d\"\nmax_expire = \"3650d\"\n");
    assert_eq!(given_by_default(&service), 315_360_000);
    assert_eq!(given(&service, 315_360_001), 315_360_000);
}

#[test]
fn a_ticket_outlives_its_session_unless_told_otherwise() {
    let service = start("");
    let token = session_with(json!({"sub": "alice", "exp": now() + 60}));
    assert_eq!(service.public.post("/v1/usersig").bearer(&token).send().ok()["expire"], 86_400);
}

#[test]
fn within_session_no_ticket_outlives_it() {
    let service = start("within_session = true\n");
    let ends_at = now() + 1000;
    let token = session_with(json!({"sub": "alice", "exp": ends_at}));
    let ask = |body: Value| service.public.post("/v1/usersig").json(body).bearer(&token).send().ok();
    for body in [json!({}), json!({"expire": 100_000})] {
        assert_eq!(ask(body)["expiresAt"], ends_at, "cut to the session's end");
    }
    assert_eq!(ask(json!({"expire": 60}))["expire"], 60, "less is given");
    let token = session_with(json!({"sub": "alice", "exp": now() + 400 * 86_400 - 60}));
    let answer = service.public.post("/v1/usersig").json(json!({"expire": 10_000_000})).bearer(&token).send().ok();
    assert_eq!(answer["expire"], 7 * 86_400, "and never more than the maximum");
}

#[test]
fn within_session_a_session_that_only_the_leeway_keeps_alive_gets_none() {
    let rule = [parts::BEARER, "leeway = \"300s\"\n"].concat();
    let token = session_with(json!({"sub": "alice", "exp": now() - 60}));
    let unbound = Setup::new([parts::ONE_APP, &rule].concat()).start();
    unbound.public.post("/v1/usersig").bearer(&token).send().ok();
    let bound = Setup::new([parts::ONE_APP, "within_session = true\n", &rule].concat()).start();
    bound.public.post("/v1/usersig").bearer(&token).send().refused(401, "invalid_session");
}
