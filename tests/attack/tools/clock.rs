//! A clock that is set back and forward under the running service, by libfaketime.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clock::{eventually, now};
use crate::support::keys::session_with;
use crate::support::service::Service;
use crate::support::setup::Setup;
use crate::support::ticket::decode;

/// Debian's library; the architecture is in its path.
fn library() -> PathBuf {
    let listed = Command::new("dpkg").args(["-L", "libfaketime"]).output().expect("dpkg");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let path = listed.lines().find(|line| line.ends_with("/libfaketimeMT.so.1"));
    path.expect("libfaketime; tests/run installs it").into()
}

/// A service whose clock differs from ours by what stands in the file `clock`, in seconds. The monotonic clock goes on.
fn start(limit: &str) -> Service {
    let setup = Setup::simple().limited().with(limit).file("clock", "+0\n");
    let setup = setup.env("LD_PRELOAD", library().to_str().expect("UTF-8"));
    let setup = setup.env("FAKETIME_TIMESTAMP_FILE", "{dir}/clock").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    setup.env("FAKETIME_NO_CACHE", "1").start()
}

fn set(service: &Service, seconds: i64) {
    let file = service.setup.path("clock");
    let new = service.setup.path("clock.new");
    fs::write(&new, format!("{seconds:+}\n")).expect("a file");
    fs::rename(new, file).expect("a file");
}

/// The ticket of a session that ends at `exp`, which must be whole; `None` where there is none.
fn ticket(service: &Service, exp: u64) -> Option<Value> {
    let answer = service.public.post("/v1/usersig").bearer(&session_with(json!({"sub": "alice", "exp": exp}))).send();
    if answer.status == 200 {
        let json = answer.ok();
        let fields = decode(json["userSig"].as_str().expect("a ticket"));
        assert_eq!((&fields["TLS.time"], &fields["TLS.expire"]), (&json["issuedAt"], &json["expire"]));
        assert_eq!(fields["TLS.identifier"], "alice");
        Some(json)
    } else {
        answer.refused(401, "invalid_session");
        None
    }
}

/// Whether a ticket of now is of that time.
fn is_issued_around(service: &Service, time: u64) -> bool {
    ticket(service, time + 3600)
        .is_some_and(|ticket| ticket["issuedAt"].as_u64().expect("a number").abs_diff(time) < 60)
}

#[test]
fn tickets_and_sessions_follow_a_clock_that_is_set() {
    const DAY: u64 = 86_400;
    let service = start("[limit]\nper_user = \"off\"\nper_address = \"off\"\n");
    assert!(is_issued_around(&service, now()));
    let soon = now() + 3600;
    assert!(ticket(&service, soon).is_some());
    // Forward: what has ended meanwhile is refused.
    set(&service, 2 * 86_400);
    eventually("the clock is two days ahead", || is_issued_around(&service, now() + 2 * DAY).then_some(()));
    assert_eq!(ticket(&service, soon), None, "its session has ended");
    // Back: it is valid again, and nothing is of a time that has not come.
    set(&service, -2 * 86_400);
    eventually("the clock is two days behind", || is_issued_around(&service, now() - 2 * DAY).then_some(()));
    assert!(ticket(&service, soon).is_some());
    set(&service, 0);
    eventually("the clock is right", || is_issued_around(&service, now()).then_some(()));
    // Before 1970 there is no time that a ticket could be of.
    set(&service, -60 * 365 * 86_400);
    eventually("the clock stands before 1970", || {
        let answer =
            service.public.post("/v1/usersig").bearer(&session_with(json!({"sub": "alice", "exp": 3600}))).send();
        (answer.status == 200 && answer.json()["issuedAt"] == 0).then_some(())
    });
    assert_eq!(ticket(&service, soon), None, "it ends too far away");
    set(&service, 0);
    eventually("the clock is right", || is_issued_around(&service, now()).then_some(()));
    assert_eq!(service.ops.get("/livez").send().status, 200);
}

#[test]
fn the_limits_do_not_follow_it() {
    let service = start("[limit]\nper_user = \"1/h\"\nburst = 1\nper_address = \"off\"\n");
    assert!(ticket(&service, now() + 3600).is_some());
    for hours in [48_i64, -48, 0] {
        set(&service, hours * 3600);
        // Until a later look at the clock must have seen the change.
        sleep(Duration::from_secs(1));
        let time = now().checked_add_signed(hours * 3600).expect("a time");
        let token = session_with(json!({"sub": "alice", "exp": time + 3600}));
        service.public.post("/v1/usersig").bearer(&token).send().refused(429, "rate_limited");
    }
}
