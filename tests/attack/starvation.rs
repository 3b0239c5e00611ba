//! One user, or one address, that asks without end: nobody else is refused, and the back end hardly notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::SlowBackend;
use crate::parallel::{is, retry_after};
use crate::support::clock::eventually;
use crate::support::setup::{Setup, parts};

/// A service with one slow back end, of which few may be asked at once.
fn setup(backend: &SlowBackend, limit: &str, rule: &str) -> Setup {
    let rule = backend.rule(rule);
    Setup::new([&format!("[limit]\n{limit}\n"), parts::ONE_APP, &rule].concat()).limited()
}

#[test]
fn a_user_over_the_limit_costs_the_back_end_nothing_and_others_no_place() {
    let backend = SlowBackend::start(Duration::from_millis(50));
    let service = setup(&backend, "per_user = \"60/m\"\nburst = 40", "max_in_flight = 4").start();
    let over = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = service.public.post("/v1/usersig").header("x-token", "token-of-alice").send();
                    if answer.status == 200 {
                        assert_eq!(answer.ok()["userId"], "alice");
                    } else {
                        answer.refused(429, "rate_limited");
                        assert!(retry_after(&answer) >= 1);
                    }
                }
            });
        }
        for _ in 0..40 {
            let answer = service.public.post("/v1/usersig").header("x-token", "token-of-bob").send();
            assert_eq!(answer.ok()["userId"], "bob");
        }
        eventually("alice has been refused often enough to see what that costs", || {
            let refusals = service.metrics().of(r#"usersig_refusals_total{reason="rate_limited"}"#);
            (refusals > 3000.0).then_some(())
        });
        over.store(true, Ordering::Relaxed);
    });
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("seconds") + 1;
    let about_alice = backend.asked() - 40;
    println!("alice: {about_alice} questions in {seconds} s; bob: 40 requests, 40 tickets");
    // Each question gives her a ticket, or shows that she has had hers, and then she waits for a second at least.
    assert!(about_alice <= 40 + 2 * seconds, "{about_alice} questions about alice in {seconds} s");
    let metrics = service.metrics();
    assert!(is(metrics.of(r#"usersig_session_checks_total{outcome="fault",rule="backend"}"#), 0));
}

#[test]
fn callers_who_ask_the_same_at_the_same_time_are_one_question() {
    let backend = SlowBackend::start(Duration::from_millis(300));
    let service = setup(&backend, "per_user = \"off\"", "max_in_flight = 1").start();
    let answers = crate::parallel::all_at_once(16, |_| {
        service.public.post("/v1/usersig").header("x-token", "token-of-alice").send()
    });
    for answer in &answers {
        assert_eq!(answer.ok()["userId"], "alice");
    }
    // On a busy machine some come when the first are answered.
    assert!(backend.asked() < 16, "{} questions", backend.asked());
    assert_eq!(backend.most_at_once(), 1);
    let checks = service.metrics().of(r#"usersig_session_checks_total{outcome="allowed",rule="backend"}"#);
    assert!(is(checks, u32::try_from(backend.asked()).expect("few")), "questions are counted, and not callers");
}

#[test]
fn an_address_does_not_take_the_places_of_others() {
    let backend = SlowBackend::start(Duration::from_millis(50));
    let limit = "per_user = \"off\"\nper_address = \"1000000/s\"\ntrusted_hops = 1";
    let service = setup(&backend, limit, "max_in_flight = 8").start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for caller in 0..24 {
            let (service, over) = (&service, &over);
            scope.spawn(move || {
                // Each token is a question of its own, and none is that of a session.
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let call =
                        service.public.post("/v1/usersig").header("x-token", &format!("forged-{caller}-{number}"));
                    let answer = call.header("x-forwarded-for", "192.0.2.1").send();
                    if answer.status == 401 {
                        answer.refused(401, "invalid_session");
                    } else {
                        answer.refused(429, "rate_limited");
                        assert_eq!(retry_after(&answer), 1);
                    }
                }
            });
        }
        for _ in 0..40 {
            let call = service.public.post("/v1/usersig").header("x-token", "token-of-bob");
            assert_eq!(call.header("x-forwarded-for", "192.0.2.2").send().ok()["userId"], "bob");
        }
        over.store(true, Ordering::Relaxed);
    });
    let metrics = service.metrics();
    assert!(is(metrics.of(r#"usersig_session_checks_total{outcome="fault",rule="backend"}"#), 0));
    assert!(metrics.of(r#"usersig_refusals_total{reason="rate_limited"}"#) > 0.0);
}

#[test]
fn behind_a_proxy_that_nobody_trusts_there_are_no_shares_and_the_log_says_so_once() {
    let backend = SlowBackend::start(Duration::from_millis(50));
    let service = setup(&backend, "per_user = \"off\"\nper_address = \"1000000/s\"", "max_in_flight = 8").start();
    let answers = crate::parallel::all_at_once(8, |caller| {
        let call = service.public.post("/v1/usersig").header("x-token", &format!("token-of-user{caller}"));
        call.header("x-forwarded-for", &format!("192.0.2.{caller}")).send()
    });
    for answer in &answers {
        answer.ok();
    }
    let warnings = service.stop().into_iter().filter(|line| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|message| message.contains("trusted_hops"))
    });
    assert_eq!(warnings.count(), 1);
}
