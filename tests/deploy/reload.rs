//! A changed secret is used without a restart and without a failed request; a broken one changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use usersig::ticket::SecretKey;

use crate::client;
use crate::load::{Load, Order, without_failure};
use crate::service::{APP, Home, SESSION_SECRET, Service, bearer, key, secret, signer_of};
use crate::tools::{scratch, wait_for};

const SERVER: &str = "listen = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\nlame_duck = \"0s\"\ndrain = \"10s\"";

/// The service with its secret as a kubelet lays it: a link to a file in a directory that `..data` links to.
fn start(name: &str) -> (Home, Service) {
    let home = Home::new(scratch(name), "");
    fs::remove_file(home.file("app")).expect("the plain file");
    swap(&home, 0, &secret('0'));
    symlink("..data/app", home.file("app")).expect("a link");
    let service = Service::start(&home, "service", &home.configuration(SERVER));
    (home, service)
}

/// Swaps `..data` for a new directory whose file holds `content`, and removes the old directory, as a kubelet does.
fn swap(home: &Home, generation: u32, content: &str) {
    let data = format!("..generation_{generation}");
    fs::create_dir(home.file(&data)).expect("a directory");
    fs::write(home.file(&data).join("app"), content).expect("a secret");
    symlink(&data, home.file("..next")).expect("a link");
    let old = fs::read_link(home.file("..data"));
    fs::rename(home.file("..next"), home.file("..data")).expect("a swap");
    if let Ok(old) = old {
        fs::remove_dir_all(home.file(old.to_str().expect("a name"))).expect("the old directory");
    }
}

fn series_of(key: &SecretKey) -> String {
    format!("usersig_key_info{{app=\"{APP}\",fingerprint=\"{}\"}}", key.fingerprint())
}

#[test]
fn a_swapped_secret_is_used_under_load_without_a_failed_request() {
    const DIGITS: [char; 5] = ['0', '1', '2', '3', '4'];
    let (home, service) = start("reload-under-load");
    let load = Load::start(4, Order {
        addresses: vec![service.public],
        authorization: bearer("alice", SESSION_SECRET),
        keys: DIGITS.map(key).into(),
        ends_when_told: false,
    });
    for (generation, digit) in (1..).zip(&DIGITS[1..]) {
        load.wait_for_tickets(200);
        swap(&home, generation, &secret(*digit));
        wait_for("the new key", || service.metric(&series_of(&key(*digit))));
    }
    load.wait_for_tickets(200);
    let outcomes = load.finish();
    assert!(without_failure(&outcomes) >= 1000);
    // Every ticket was signed with one of the keys as a whole, and after a new key's ticket came none of the old key.
    for outcome in outcomes {
        assert_eq!(outcome.signers, DIGITS.map(|digit| key(digit).fingerprint()));
    }
    assert_eq!(service.metric(&series_of(&key('0'))), None, "an old key is no longer shown");
}

#[test]
fn a_broken_secret_is_logged_and_counted_and_changes_nothing() {
    let (home, service) = start("reload-broken");
    let failures = format!("usersig_key_reload_failures_total{{app=\"{APP}\"}}");
    let failed = || service.metric(&failures).expect("a counter");
    let complaints = || service.events().iter().filter(|event| event["level"] == "ERROR" && event["app"] == APP).count();
    assert_eq!(failed(), 0.0);
    let mut told = 0;
    for (generation, broken) in (1..).zip(["", "not hex", "0000", "-----BEGIN PRIVATE KEY-----\n"]) {
        let before = failed();
        swap(&home, generation, broken);
        wait_for("a count", || (failed() > before + 1.0).then_some(()));
        wait_for("a line in the log", || (complaints() > told).then_some(()));
        told = complaints();
        assert_eq!(signer(&service), Some(key('0')).map(|key| key.fingerprint()));
    }
    fs::remove_file(home.file("..data")).expect("the link");
    let before = failed();
    wait_for("a count", || (failed() > before + 1.0).then_some(()));
    assert_eq!(signer(&service), Some(key('0').fingerprint()), "a file that is gone changes nothing either");

    swap(&home, 9, &secret('1'));
    wait_for("the new key", || service.metric(&series_of(&key('1'))));
    assert_eq!(signer(&service), Some(key('1').fingerprint()));
    let log = fs::read_to_string(home.file("service.log")).expect("a log");
    assert!(!log.contains("not hex\"") && !log.contains(&secret('1')), "the log shows what was in the file");
}

#[test]
fn a_hang_up_reads_the_secrets_and_ends_nothing() {
    let (home, service) = start("reload-hang-up");
    let path = home.file("..data").join("app");
    overwrite(&path, &secret('5'));
    service.signal("HUP");
    wait_for("the new key", || (signer(&service) == Some(key('5').fingerprint())).then_some(()));
}

/// A file that is written in place, as by hand.
fn overwrite(path: &Path, content: &str) {
    fs::write(path, content).expect("a secret");
}

fn signer(service: &Service) -> Option<usersig::ticket::Fingerprint> {
    let authorization = bearer("alice", SESSION_SECRET);
    let answer = client::ask(service.public, "GET", "/v1/usersig", &[("Authorization", &authorization)]).expect("an answer");
    let ticket = answer.json()["userSig"].as_str().expect("a ticket").to_owned();
    signer_of(&ticket, &['0', '1', '5'].map(key))
}
