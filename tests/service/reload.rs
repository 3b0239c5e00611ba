//! A changed secret is used without a dropped request; one that cannot be used leaves the old one in use.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use usersig::ticket::{Expected, SecretKey, UnixTime, Verdict, inspect};

use crate::support::clock::{eventually, now};
use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{OTHER_SECRET, SECRET};

fn fingerprint(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))[..8].to_owned()
}

/// Which of the two secrets signed the ticket of an answer.
fn signer(answer: &Value) -> Option<&'static str> {
    let ticket = answer["userSig"].as_str().expect("a ticket");
    [SECRET, OTHER_SECRET].into_iter().find(|secret| {
        let key = SecretKey::parse(secret).expect("a secret");
        let expected = Expected { app: None, key: Some(&key), user: None, at: UnixTime::from_secs(now()) };
        inspect(ticket, &expected).verdict == Verdict::Valid
    })
}

fn current(service: &Service) -> Option<&'static str> {
    signer(&service.public.post("/v1/usersig").bearer(&session("alice")).send().ok())
}

fn until_signed_with(service: &Service, secret: &'static str) {
    eventually("tickets are signed with the new secret", || (current(service) == Some(secret)).then_some(()));
}

fn shown(service: &Service) -> Vec<String> {
    let metrics = service.metrics();
    let series = metrics.beginning("usersig_key_info");
    series.into_iter().map(|(name, _)| name.split('"').nth(3).expect("a fingerprint").to_owned()).collect()
}

fn failures(service: &Service) -> u64 {
    service.metrics().count("usersig_key_reload_failures_total{app=\"1400000000\"}")
}

#[test]
fn a_changed_file_is_used_without_a_dropped_request() {
    let service = Setup::simple().start();
    assert_eq!((current(&service), shown(&service)), (Some(SECRET), vec![fingerprint(SECRET)]));
    let done = AtomicBool::new(false);
    let token = session("alice");
    let answered = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut signers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let answer = service.public.post("/v1/usersig").bearer(&token).send().ok();
                signers.push(signer(&answer).expect("every ticket is signed with one of the two"));
            }
            signers
        });
        fs::write(service.setup.path("app.key"), OTHER_SECRET).expect("a file of ours");
        until_signed_with(&service, OTHER_SECRET);
        done.store(true, Ordering::Relaxed);
        asking.join().expect("no request failed")
    });
    let first_new = answered.iter().position(|secret| *secret == OTHER_SECRET).unwrap_or(answered.len());
    assert!(answered[first_new..].iter().all(|secret| *secret == OTHER_SECRET), "the old one does not come back");
    assert_eq!(shown(&service), [fingerprint(OTHER_SECRET)], "the old key is no longer shown");
    let line = service.logged("the change is logged", |line| line["message"] == "secret replaced");
    assert_eq!(
        (line["key"].as_str(), line["old_key"].as_str()),
        (Some(&*fingerprint(OTHER_SECRET)), Some(&*fingerprint(SECRET)))
    );
    // The inspection knows the new key as well.
    let ticket = service.public.post("/v1/usersig").bearer(&token).send().ok()["userSig"].clone();
    let inspection = service.ops.post("/v1/inspect").json(serde_json::json!({"ticket": ticket})).send().ok();
    assert_eq!(inspection["verdict"], "valid");
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_old_secret_in_use() {
    let service = Setup::simple().start();
    let path = service.setup.path("app.key");
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
    let breakages: [&dyn Fn(&Path); 6] = [
        &|path| fs::write(path, "").expect("a file of ours"),
        &|path| fs::write(path, &OTHER_SECRET[..63]).expect("a file of ours"),
        &|path| fs::write(path, pem).expect("a file of ours"),
        &|path| fs::write(path, b"\xff\xfe\x00").expect("a file of ours"),
        &|path| fs::remove_file(path).expect("a file of ours"),
        &|path| fs::create_dir(path).expect("a directory of ours"),
    ];
    for break_it in breakages {
        let before = failures(&service);
        break_it(&path);
        eventually("the failure is counted", || (failures(&service) > before).then_some(()));
        assert_eq!((current(&service), shown(&service)), (Some(SECRET), vec![fingerprint(SECRET)]));
        assert_eq!(service.ops.get("/readyz").send().status, 200, "the old secret does");
    }
    let complaints: Vec<_> =
        service.log().into_iter().filter(|line| line["level"] == "ERROR" && line["app"] == 1_400_000_000).collect();
    assert!(complaints.len() >= 5, "each kind is said once: {complaints:?}");
    let text = service.log_text();
    assert!(!text.contains("MIGH") && !text.contains(&OTHER_SECRET[..16]), "and none repeats what is in the file");
    fs::remove_dir(&path).expect("a directory of ours");
    fs::write(&path, OTHER_SECRET).expect("a file of ours");
    until_signed_with(&service, OTHER_SECRET);
}

#[test]
fn the_way_kubernetes_swaps_a_secret_is_followed() {
    let config = parts::ONE_APP.replace("{dir}/app.key", "{dir}/mount/1400000000") + parts::BEARER;
    let setup = Setup::new(config);
    let mount = setup.path("mount");
    let version = |name: &str, secret: &str| {
        fs::create_dir_all(mount.join(name)).expect("a directory of ours");
        fs::write(mount.join(name).join("1400000000"), secret).expect("a file of ours");
    };
    version("..2026_01", SECRET);
    symlink("..2026_01", mount.join("..data")).expect("a link of ours");
    symlink("..data/1400000000", mount.join("1400000000")).expect("a link of ours");
    let service = setup.start();
    assert_eq!(current(&service), Some(SECRET));
    version("..2026_02", OTHER_SECRET);
    symlink("..2026_02", mount.join("..data_tmp")).expect("a link of ours");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a swap of ours");
    fs::remove_dir_all(mount.join("..2026_01")).expect("a directory of ours");
    until_signed_with(&service, OTHER_SECRET);
    assert_eq!(failures(&service), 0, "the swap leaves no gap");
}

#[test]
fn sighup_reads_again_and_ends_nothing() {
    let service = Setup::simple().start();
    for secret in [OTHER_SECRET, SECRET, OTHER_SECRET] {
        fs::write(service.setup.path("app.key"), secret).expect("a file of ours");
        service.signal(Signal::HUP);
        until_signed_with(&service, secret);
    }
    assert_eq!(service.ops.get("/readyz").send().status, 200);
}

#[test]
fn the_apps_secrets_change_each_for_itself() {
    let service = Setup::two_apps().start();
    let ask = |app: u32| {
        let path = format!("/v1/usersig?sdkAppId={app}");
        signer(&service.public.get(path).bearer(&session("alice")).send().ok())
    };
    fs::write(service.setup.path("app.key"), OTHER_SECRET).expect("a file of ours");
    eventually("the changed app's tickets have the new secret", || {
        (ask(crate::support::APP) == Some(OTHER_SECRET)).then_some(())
    });
    assert_eq!(ask(crate::support::OTHER_APP), Some(OTHER_SECRET));
    fs::write(service.setup.path("other.key"), "broken").expect("a file of ours");
    eventually("the failure is counted for the app it belongs to", || {
        (service.metrics().count("usersig_key_reload_failures_total{app=\"1600000001\"}") > 0).then_some(())
    });
    assert_eq!(failures(&service), 0);
}

#[test]
fn only_secrets_are_read_again() {
    let service = Setup::simple().start();
    let config = service.setup.path("usersig.toml");
    fs::write(&config, "this is no configuration").expect("a file of ours");
    fs::write(service.setup.path("session.key"), "another secret that is long enough to be one")
        .expect("a file of ours");
    service.signal(Signal::HUP);
    fs::write(service.setup.path("app.key"), OTHER_SECRET).expect("a file of ours");
    until_signed_with(&service, OTHER_SECRET);
    service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
}
