//! Files that go, are cut, or turn into directories: at the start a clear end, later the old keys.

use std::fs;
use std::path::Path;
use std::process::Command;

use jsonwebtoken::Algorithm;
use rustix::process::Signal;
use serde_json::json;

use crate::jwks::rsa_jwk;
use crate::support::clock::{eventually, now};
use crate::support::command::Run;
use crate::support::keys::{P256, RSA, session};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::ticket::{decode, sign};
use crate::support::{CERTIFICATE, OTHER_SECRET, SECRET};

/// Does something to a file.
type Spoil = fn(&Path);

fn cut(file: &Path) {
    let content = fs::read(file).expect("a file");
    fs::write(file, &content[..content.len() * 2 / 5]).expect("a file");
}

fn make_a_directory_of(file: &Path) {
    fs::remove_file(file).expect("a file");
    fs::create_dir(file).expect("nothing there");
}

#[test]
fn a_secret_file_that_goes_leaves_the_old_key_in_use() {
    let service = Setup::simple().start();
    let token = session("alice");
    let signed_with = |secret: &str| {
        let answer = service.public.post("/v1/usersig").bearer(&token).send().ok();
        let fields = decode(answer["userSig"].as_str().expect("a ticket"));
        let mut signed = fields.clone();
        sign(&mut signed, secret);
        fields == signed
    };
    let file = service.setup.path("app.key");
    let failures = || service.metrics().of(r#"usersig_key_reload_failures_total{app="1400000000"}"#);
    let faults: [(&str, Spoil); 6] = [
        ("removed", |file| fs::remove_file(file).expect("a file")),
        ("a directory", |file| fs::create_dir(file).expect("nothing there")),
        ("empty", |file| {
            fs::remove_dir(file).expect("a directory");
            fs::write(file, "").expect("a file");
        }),
        ("cut", |file| fs::write(file, &SECRET[..40]).expect("a file")),
        ("binary", |file| fs::write(file, [0xff; 64]).expect("a file")),
        ("huge", |file| fs::write(file, "a".repeat(2_000_000)).expect("a file")),
    ];
    for (what, fault) in faults {
        let before = failures();
        fault(&file);
        eventually(&format!("it is noticed that the file is {what}"), || (failures() > before).then_some(()));
        assert!(signed_with(SECRET), "{what}");
    }
    fs::write(&file, OTHER_SECRET).expect("a file");
    eventually("the new secret is in use", || signed_with(OTHER_SECRET).then_some(()));
    let log = service.stop();
    let said = log.iter().filter(|line| line["message"] == "secret not replaced").count();
    assert!((6..=7).contains(&said), "each fault is said once: {said}");
    assert!(!log.iter().any(|line| line.to_string().contains(&SECRET[..40])));
}

#[test]
fn a_configuration_that_goes_changes_nothing_until_the_next_start() {
    let service = Setup::simple().start();
    let config = service.setup.path("usersig.toml");
    fs::remove_file(&config).expect("a file");
    service.signal(Signal::HUP);
    service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
    fs::create_dir(&config).expect("nothing there");
    service.signal(Signal::HUP);
    service.public.post("/v1/usersig").bearer(&session("alice")).send().ok();
    let path = config.to_str().expect("UTF-8").to_owned();
    let started =
        Command::new(env!("CARGO_BIN_EXE_usersig")).args(["serve", "--config", &path]).output().expect("ended");
    assert_eq!(started.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&started.stderr).contains(&path), "{started:?}");
}

/// Each file of a configuration, cut, empty and as a directory, keeps the service from starting.
#[test]
fn files_that_are_not_what_they_should_be_are_named_at_the_start() {
    let rules = "[[session]]\nname = \"pem\"\nfrom = \"header:X-Pem\"\ncheck = \"jwt\"\nshared_users = true\n\
                 public_key = \"file:{dir}/session.pem\"\n\
                 [[session]]\nname = \"backend\"\nfrom = \"header:X-Token\"\ncheck = \"http\"\nshared_users = true\n\
                 url = \"https://127.0.0.1:1/me\"\nuser = \"/id\"\nca_file = \"{dir}/ca.pem\"\n";
    let config = [parts::ONE_APP, parts::BEARER, "shared_users = true\n", rules].concat();
    let whole = || Setup::new(config.clone()).file("session.pem", &P256.public_pem).file("ca.pem", CERTIFICATE);
    let checked = whole().check();
    assert_eq!(checked.code, Some(0), "only the changes below are wrong: {checked:?}");
    let spoils: [(&str, Spoil); 3] =
        [("cut", cut), ("empty", |file| fs::write(file, "").expect("a file")), ("a directory", make_a_directory_of)];
    for (name, key) in [
        ("app.key", "app[0].secret"),
        ("session.key", "session[0].secret"),
        ("session.pem", "session[1].public_key"),
        ("ca.pem", "session[2].ca_file"),
    ] {
        for (how, spoil) in &spoils {
            let setup = whole();
            spoil(&setup.path(name));
            let finished = setup.refuse();
            assert_eq!(finished.code, Some(1), "{name} {how}: {finished:?}");
            assert!(finished.stderr.contains(key), "{name} {how}: {finished:?}");
            assert_eq!(finished.stderr.lines().count(), 2, "one problem, and how many: {name} {how}: {finished:?}");
        }
    }
}

#[test]
fn a_configuration_cut_anywhere_is_refused() {
    let setup = Setup::simple();
    assert_eq!(setup.check().code, Some(0));
    let path = setup.path("usersig.toml");
    let whole = fs::read_to_string(&path).expect("a file");
    for length in 0..whole.trim_end().len() {
        fs::write(&path, &whole[..length]).expect("a file");
        let config = path.to_str().expect("UTF-8");
        let checked = Run::new(&["check", "--config", config]).finish();
        assert_eq!(checked.code, Some(1), "{:?}: {checked:?}", &whole[..length]);
        assert!(!checked.stderr.is_empty() && !checked.stderr.contains("panic"), "{checked:?}");
    }
}

fn key_set(kid: &str) -> String {
    json!({"keys": [rsa_jwk(&RSA, kid)]}).to_string()
}

/// Beside the file's own age, a token of an unknown key makes the service look again, once in 30 s.
#[test]
fn a_key_set_file_that_goes_leaves_the_old_keys_in_use() {
    let faults: [(&str, Spoil); 3] = [
        ("removed", |file| fs::remove_file(file).expect("a file")),
        ("cut", cut),
        ("a directory", make_a_directory_of),
    ];
    let rule = "[[session]]\nname = \"set\"\nfrom = \"bearer\"\ncheck = \"jwt\"\njwks = \"file:{dir}/jwks.json\"\n\
                audience = [\"im\"]\n";
    let start = || Setup::new([parts::ONE_APP, rule].concat()).file("jwks.json", key_set("old")).start();
    let claims = json!({"sub": "alice", "aud": "im", "exp": now() + 3600}).to_string();
    let ask = |service: &Service, kid: &str| {
        let token = RSA.token_of(Algorithm::RS256, &json!({"alg": "RS256", "kid": kid}).to_string(), &claims);
        service.public.post("/v1/usersig").bearer(&token).send()
    };
    let services = faults.map(|(what, fault)| {
        let service = start();
        eventually("the key set is there", || (ask(&service, "old").status == 200).then_some(()));
        fault(&service.setup.path("jwks.json"));
        (what, service)
    });
    for (what, service) in &services {
        eventually(&format!("it is noticed that the file is {what}"), || {
            let unknown = ask(service, "new");
            assert!([401, 503].contains(&unknown.status), "{unknown:?}");
            service.log().iter().any(|line| line["message"] == "key set not fetched").then_some(())
        });
        assert_eq!(ask(service, "old").ok()["userId"], "alice", "{what}");
    }
    for (what, service) in &services {
        let file = service.setup.path("jwks.json");
        if *what == "a directory" {
            fs::remove_dir(&file).expect("a directory");
        }
        fs::write(&file, key_set("new")).expect("a file");
    }
    for (what, service) in &services {
        eventually(&format!("the new set is in use where the file was {what}"), || {
            (ask(service, "new").status == 200).then_some(())
        });
        ask(service, "old").refused(401, "invalid_session");
    }
}
