//! More session checks than are admitted at once: what is over is refused at once, what is under is served, and other
//! rules do not notice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use crate::backend::SlowBackend;
use crate::parallel::{all_at_once, count, is, retry_after};
use crate::support::clock::eventually;
use crate::support::keys::session;
use crate::support::setup::{Setup, parts};

const AT_ONCE: usize = 8;

#[test]
fn three_times_too_many_checks_leave_those_that_fit_unharmed() {
    let backend = SlowBackend::start(Duration::from_millis(50));
    let rule = backend.rule("max_in_flight = 8\nshared_users = true\n");
    let service = Setup::new([parts::ONE_APP, &rule, parts::BEARER, "shared_users = true\n"].concat()).start();
    let (over, token) = (AtomicBool::new(false), session("carol"));
    let mut beside = 0;
    let statuses = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let rounds = all_at_once(3 * AT_ONCE, |caller| {
                let token = format!("token-of-user{caller}");
                let ask = || service.public.post("/v1/usersig").header("x-token", &token).send();
                let mut last = ask();
                let (mut issued, mut refused) = (0, 0);
                for _ in 0..40 {
                    if last.status == 200 {
                        assert_eq!(last.ok()["userId"], format!("user{caller}"));
                        issued += 1;
                    } else {
                        last.refused(503, "session_check_unavailable");
                        assert_eq!(retry_after(&last), 1);
                        refused += 1;
                        // A client that does not do as it is told, but leaves the machine to others as well.
                        thread::sleep(Duration::from_millis(10));
                    }
                    last = ask();
                }
                last.body = format!("{issued} {refused}").into_bytes();
                last
            });
            over.store(true, Ordering::Relaxed);
            rounds.into_iter().map(|answer| answer.text()).collect::<Vec<_>>()
        });
        while !over.load(Ordering::Relaxed) {
            assert_eq!(service.public.post("/v1/usersig").bearer(&token).send().ok()["userId"], "carol");
            beside += 1;
        }
        load.join().expect("callers that end well")
    });
    let (mut issued, mut refused) = (0, 0);
    for counts in &statuses {
        let (some, others) = counts.split_once(' ').expect("two counts");
        issued += some.parse::<usize>().expect("a count");
        refused += others.parse::<usize>().expect("a count");
    }
    println!(
        "{} requests at 3 times {AT_ONCE} at once: {issued} issued, {refused} refused; {beside} jwt beside them",
        issued + refused
    );
    assert!(issued >= AT_ONCE && refused > 0, "{issued} issued, {refused} refused");
    assert!(beside > 0);
    assert_eq!(backend.most_at_once(), AT_ONCE);
    let metrics = service.metrics();
    let faults = metrics.of(r#"usersig_session_checks_total{outcome="fault",rule="backend"}"#);
    assert!(faults >= f64::from(u32::try_from(refused).expect("few")), "refusals are counted");
    assert!(is(metrics.of(r#"usersig_session_checks_total{outcome="denied",rule="backend"}"#), 0));
    eventually("the places are free again", || {
        (service.public.post("/v1/usersig").header("x-token", "token-of-dave").send().status == 200).then_some(())
    });
}

#[test]
fn a_slow_back_end_holds_up_nobody_but_those_who_wait_for_it() {
    let gate = Arc::new(RwLock::new(()));
    let shut = gate.write().expect("nobody has it");
    let backend = SlowBackend::start_with({
        let gate = Arc::clone(&gate);
        move || drop(gate.read())
    });
    let rule = backend.rule("max_in_flight = 4\ntimeout = \"30s\"\nshared_users = true\n");
    let service = Setup::new([parts::ONE_APP, &rule, parts::BEARER, "shared_users = true\n"].concat())
        .env("USERSIG__SERVER__WORKERS", "1")
        .start();
    let answered = AtomicUsize::new(0);
    let answers = thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            all_at_once(12, |caller| {
                let token = format!("token-of-bob{caller}");
                let answer = service.public.post("/v1/usersig").header("x-token", &token).send();
                answered.fetch_add(1, Ordering::SeqCst);
                answer
            })
        });
        eventually("the back end has all that it may have", || (backend.asked() == 4).then_some(()));
        eventually("the others are answered while these wait", || (answered.load(Ordering::SeqCst) == 8).then_some(()));
        for _ in 0..100 {
            service.public.post("/v1/usersig").bearer(&session("carol")).send().ok();
        }
        assert_eq!(service.ops.get("/livez").send().status, 200);
        assert_eq!(answered.load(Ordering::SeqCst), 8, "the four wait still");
        drop(shut);
        waiting.join().expect("callers that end well")
    });
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        answer.refused(503, "session_check_unavailable");
        assert_eq!(retry_after(answer), 1);
    }
    assert_eq!((count(&answers, 200), count(&answers, 503)), (4, 8));
    assert_eq!(backend.asked(), 4);
}
