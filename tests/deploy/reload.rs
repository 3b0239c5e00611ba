//! A changed secret is used without a restart and without a failed request; a broken one changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use rustix::process::Signal;
use usersig::ticket::SecretKey;

use crate::load::{Load, Order, key, secret, signer_of, without_failure};
use crate::support::APP;
use crate::support::clock::eventually;
use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

/// The service with its secret as a kubelet lays it: a link to a file in a directory that `..data` links to.
fn start() -> Service {
    let app = parts::ONE_APP.replace("app.key", "linked.key");
    let setup = Setup::new([&app, parts::BEARER].concat());
    swap(&setup, 0, &secret('0'));
    symlink("..data/key", setup.path("linked.key")).expect("a link");
    setup.start()
}

/// Swaps `..data` for a new directory whose file holds `content`, and removes the old directory, as a kubelet does.
fn swap(setup: &Setup, generation: u32, content: &str) {
    let data = format!("..generation_{generation}");
    fs::create_dir(setup.path(&data)).expect("a directory");
    fs::write(setup.path(&data).join("key"), content).expect("a secret");
    symlink(&data, setup.path("..next")).expect("a link");
    let old = fs::read_link(setup.path("..data"));
    fs::rename(setup.path("..next"), setup.path("..data")).expect("a swap");
    if let Ok(old) = old {
        fs::remove_dir_all(setup.path(old.to_str().expect("a name"))).expect("the old directory");
    }
}

fn uses(service: &Service, key: &SecretKey) -> bool {
    let series = format!("usersig_key_info{{app=\"{APP}\",fingerprint=\"{}\"}}", key.fingerprint());
    service.metrics().of(&series) > 0.0
}

#[test]
fn a_swapped_secret_is_used_under_load_without_a_failed_request() {
    const DIGITS: [char; 5] = ['0', '1', '2', '3', '4'];
    let service = start();
    let load = Load::start(
        4,
        Order {
            addresses: vec![service.public.address],
            session: session("alice"),
            keys: DIGITS.map(key).into(),
            ends_when_told: false,
        },
    );
    for (generation, digit) in (1..).zip(&DIGITS[1..]) {
        load.wait_for_answers(200);
        swap(&service.setup, generation, &secret(*digit));
        eventually("the new key is used", || uses(&service, &key(*digit)).then_some(()));
    }
    load.wait_for_answers(200);
    let outcomes = load.finish();
    assert!(without_failure(&outcomes) >= 1000);
    // Every ticket was signed with one of the keys as a whole, and after a new key's ticket came none of the old key.
    for outcome in outcomes {
        assert_eq!(outcome.signers, DIGITS.map(|digit| key(digit).fingerprint().to_owned()));
    }
    assert!(!uses(&service, &key('0')), "an old key is no longer shown");
}

#[test]
fn a_broken_secret_is_logged_and_counted_and_changes_nothing() {
    let service = start();
    let series = format!("usersig_key_reload_failures_total{{app=\"{APP}\"}}");
    let failures = || service.metrics().of(&series);
    let complaints = || service.log().iter().filter(|line| line["message"] == "secret not replaced").count();
    assert_eq!(failures().to_string(), "0");
    let mut told = 0;
    for (generation, broken) in (1..).zip(["", "not hex", "0000", "-----BEGIN PRIVATE KEY-----\n"]) {
        let before = failures();
        swap(&service.setup, generation, broken);
        eventually("it is counted at each look", || (failures() > before + 1.5).then_some(()));
        eventually("it is logged", || (complaints() > told).then_some(()));
        told = complaints();
        assert_eq!(signer(&service).as_deref(), Some(key('0').fingerprint()));
    }
    fs::remove_file(service.setup.path("..data")).expect("the link");
    let before = failures();
    eventually("a file that is gone is counted too", || (failures() > before + 1.5).then_some(()));
    assert_eq!(signer(&service).as_deref(), Some(key('0').fingerprint()));

    swap(&service.setup, 9, &secret('1'));
    eventually("the new key is used", || uses(&service, &key('1')).then_some(()));
    assert_eq!(signer(&service).as_deref(), Some(key('1').fingerprint()));
    assert!(!service.log_text().contains(&secret('1')), "the log shows a secret");
}

#[test]
fn a_hang_up_reads_the_secrets_and_ends_nothing() {
    const HANG_UPS: u64 = 30;
    let service = start();
    let failures = || service.metrics().of(&format!("usersig_key_reload_failures_total{{app=\"{APP}\"}}"));
    // In place, as by hand.
    fs::write(service.setup.path("linked.key"), "broken").expect("a secret");
    let start = Instant::now();
    for _ in 0..HANG_UPS {
        let before = failures();
        service.signal(Signal::HUP);
        eventually("the broken secret is read again", || (failures() > before).then_some(()));
    }
    // Without a hang-up it is read once a second.
    let by_itself = start.elapsed().as_secs() + 1;
    assert!(HANG_UPS > 2 * by_itself, "{HANG_UPS} hang-ups took {by_itself} s");

    fs::write(service.setup.path("linked.key"), secret('5')).expect("a secret");
    service.signal(Signal::HUP);
    eventually("the new key is used", || (signer(&service).as_deref() == Some(key('5').fingerprint())).then_some(()));
}

fn signer(service: &Service) -> Option<String> {
    let answer = service.public.get("/v1/usersig").bearer(&session("alice")).send().ok();
    signer_of(answer["userSig"].as_str().expect("a ticket"), &['0', '1', '5'].map(key))
}
