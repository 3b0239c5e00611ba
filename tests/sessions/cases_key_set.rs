//! Cases 21 and 22: key sets under a flood of unknown keys, while keys rotate, and while their issuer is away.
//!
//! An issuer is asked for an unknown key at most once in 30 seconds; the tests wait for that, side by side.

use std::thread;
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::issuer::{IM, ISSUER, Issuer};
use crate::jwks::ec_jwk;
use crate::support::backend::{Backend, Reply};
use crate::support::clock::{eventually, now};
use crate::support::keys::{P256, P384};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, checks, denied, tickets, unavailable};

/// The least time between two fetches that tokens ask for.
const COOLDOWN: Duration = Duration::from_secs(30);

/// Where the provider has its keys.
const JWKS: &str = "/realms/a/jwks";

/// A rule for tokens of an issuer whose keys are at this URL.
fn rule(jwks: &str, algorithm: &str) -> Setup {
    let rule = format!(
        "[[session]]\nname = \"set\"\nfrom = \"bearer\"\ncheck = \"jwt\"\njwks = \"{jwks}\"\nissuer = \"{ISSUER}\"\n\
         audience = [\"im\"]\nalgs = [\"{algorithm}\"]\n"
    );
    Setup::new([parts::ONE_APP, &rule].concat())
}

/// A token whose key has this name. It is signed with [`P256`], whatever it says, since nobody looks before the key is known.
fn token(algorithm: &str, kid: &str) -> String {
    let header = json!({"alg": algorithm, "kid": kid}).to_string();
    let claims = json!({"sub": "alice", "iss": ISSUER, "aud": "im", "exp": now() + 600}).to_string();
    P256.token_of(Algorithm::ES256, &header, &claims)
}

/// Presents a thousand tokens with keys that nobody has, eight at a time.
fn flood(service: &Service, round: &str, algorithm: &str, status: u16) {
    thread::scope(|scope| {
        for client in 0..8 {
            scope.spawn(move || {
                for number in 0..125 {
                    let token = token(algorithm, &format!("{round}-{client}-{number}"));
                    let answer = ask(service, |call| call.bearer(&token));
                    assert_eq!(answer.status, status, "{}", answer.text());
                }
            });
        }
    });
}

/// Floods a service before, while and after a fetch is due, and holds the fetches at the issuer against the cool-down.
fn assert_one_fetch_a_cooldown(
    service: &Service,
    since: Instant,
    algorithm: &str,
    status: u16,
    fetches: impl Fn() -> u64,
) {
    let allowed = || 1 + since.elapsed().as_secs() / COOLDOWN.as_secs();
    let before = tickets(service);
    flood(service, "first", algorithm, status);
    assert!((1..=allowed()).contains(&fetches()), "{} fetches in {:?}", fetches(), since.elapsed());
    eventually("an unknown key asks for another fetch", || {
        let token = token(algorithm, "due");
        assert_eq!(ask(service, |call| call.bearer(&token)).status, status);
        (fetches() >= 2).then_some(())
    });
    assert!(since.elapsed() >= COOLDOWN, "fetched again within {:?}", since.elapsed());
    flood(service, "second", algorithm, status);
    assert!((2..=allowed()).contains(&fetches()), "{} fetches in {:?}", fetches(), since.elapsed());
    assert_eq!(tickets(service), before);
}

#[test]
fn case_21_a_thousand_unknown_keys_are_one_fetch_a_cooldown() {
    let issuer = Issuer::start();
    let alice = issuer.login("alice", IM).access;
    let since = Instant::now();
    let service = rule(&issuer.client.url(JWKS), "RS256").start();
    allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
    assert_one_fetch_a_cooldown(&service, since, "RS256", 401, || issuer.count(JWKS));
    allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
}

#[test]
fn case_21_the_same_while_the_set_is_empty_or_cannot_be_fetched() {
    thread::scope(|scope| {
        for reply in [Reply::json(json!({"keys": []})), Reply::new(500, "")] {
            scope.spawn(move || {
                let keys = Backend::always(reply);
                let since = Instant::now();
                let service = rule(&keys.url(), "ES256").start();
                let fetches = || u64::try_from(keys.count()).expect("a few");
                assert_one_fetch_a_cooldown(&service, since, "ES256", 503, fetches);
                assert_eq!(checks(&service, "set", "denied"), 0, "nobody was logged out");
                keys.set(|_| Reply::json(json!({"keys": [ec_jwk(&P256, "known")]})));
                let known =
                    || (ask(&service, |call| call.bearer(&token("ES256", "known"))).status == 200).then_some(());
                eventually("the set is fetched when it can be", known);
            });
        }
    });
}

#[test]
fn case_22_a_rotation_is_picked_up() {
    let issuer = Issuer::start();
    let service = rule(&issuer.client.url(JWKS), "RS256").start();
    let old = issuer.login("alice", IM).access;
    allowed(&ask(&service, |call| call.bearer(&old)), "alice");
    issuer.rotate();
    let new = issuer.login("bob", IM).access;
    allowed(&ask(&service, |call| call.bearer(&old)), "alice");
    let is_known = || (ask(&service, |call| call.bearer(&new)).status == 200).then_some(());
    eventually("the new key is known", is_known);
    allowed(&ask(&service, |call| call.bearer(&old)), "alice");
    assert_eq!(issuer.count(JWKS), 2);
}

#[test]
fn case_22_the_old_keys_serve_while_the_issuer_is_away() {
    let issuer = Issuer::start();
    let service = rule(&issuer.client.url(JWKS), "RS256").start();
    let (alice, unknown) = (issuer.login("alice", IM).access, token("RS256", "unknown"));
    allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
    // It hangs …
    issuer.component.freeze();
    let cannot_tell = || {
        allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
        let other = ask(&service, |call| call.bearer(&unknown));
        (other.status == 503).then_some(other)
    };
    let answer = eventually("whether a key is new cannot be told", cannot_tell);
    unavailable(&service, &answer, "no");
    allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
    // … and is gone for good.
    drop(issuer);
    allowed(&ask(&service, |call| call.bearer(&alice)), "alice");
    unavailable(&service, &ask(&service, |call| call.bearer(&unknown)), "no usable key set");
    denied(&service, &ask(&service, |call| call.bearer(&alice[..alice.len() - 4])), "check", "signature");
    let ready = service.ops.get("/readyz").send();
    let health = &ready.json()["rules"][0];
    assert!(health["keySetFailure"].is_string() && health["keySetAgeSeconds"].as_u64() >= Some(30), "{health}");
    let age = service.metrics().of("usersig_key_set_age_seconds{rule=\"set\"}");
    assert!(age >= 30.0, "{age}");
}

#[test]
fn withdrawn_keys_verify_nothing_as_soon_as_the_set_without_them_is_fetched() {
    let withdrawn = [
        (json!({"keys": []}), "none of its 0 keys can be used with the rule's algs"),
        (json!({"keys": [ec_jwk(&P384, "known")]}), "(kid \"known\": fits none of the rule's algs)"),
    ];
    thread::scope(|scope| {
        for (set, cause) in withdrawn {
            scope.spawn(move || {
                let keys = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "known")]})));
                let service = rule(&keys.url(), "ES256").start();
                let (known, unknown) = (token("ES256", "known"), token("ES256", "unknown"));
                let get = |token: &str| ask(&service, |call| call.bearer(token));
                allowed(&get(&known), "alice");
                keys.set(move |_| Reply::json(set.clone()));
                let is_fetched = || (get(&unknown).status == 503).then_some(());
                eventually("an unknown key asks for the set", is_fetched);
                unavailable(&service, &get(&known), cause);
                unavailable(&service, &get(&unknown), cause);
                let health = service.ops.get("/readyz").send().json()["rules"][0].clone();
                assert!(health["keySetFailure"].as_str().is_some_and(|failure| failure.contains(cause)), "{health}");
            });
        }
    });
}

#[test]
fn old_keys_serve_while_what_is_answered_is_not_a_set_until_max_stale() {
    let no_sets = [Reply::new(500, ""), Reply::new(200, "<html>"), Reply::json(json!({"error": "oops"}))];
    thread::scope(|scope| {
        for (reply, cause) in no_sets.into_iter().zip(["status 500", "not a JSON object", "no keys array"]) {
            scope.spawn(move || {
                let keys = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "known")]})));
                let service = rule(&keys.url(), "ES256").with("max_stale = \"1m\"\n").start();
                let (known, unknown) = (token("ES256", "known"), token("ES256", "unknown"));
                let get = |token: &str| ask(&service, |call| call.bearer(token));
                allowed(&get(&known), "alice");
                let since = Instant::now();
                keys.set(move |_| reply.clone());
                eventually("an unknown key asks for the set", || (get(&unknown).status == 503).then_some(()));
                allowed(&get(&known), "alice");
                eventually("the old keys are stale", || (get(&known).status == 503).then_some(()));
                assert!(since.elapsed() > Duration::from_secs(50), "refused after {:?}", since.elapsed());
                unavailable(&service, &get(&known), cause);
            });
        }
    });
}

#[test]
fn a_set_is_fetched_again_before_it_ages_out() {
    let keys =
        Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "known")]})).header("cache-control", "max-age=1"));
    let since = Instant::now();
    let service = rule(&keys.url(), "ES256").start();
    allowed(&ask(&service, |call| call.bearer(&token("ES256", "known"))), "alice");
    // A minute at least, whatever the issuer says, and a tenth of it early.
    while keys.count() < 2 {
        assert!(since.elapsed() < Duration::from_secs(180), "the set has aged out");
        allowed(&ask(&service, |call| call.bearer(&token("ES256", "known"))), "alice");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(since.elapsed() > Duration::from_secs(50), "fetched again after {:?}", since.elapsed());
}
