//! The Debug form of what holds a secret does not show it.

use std::fs;
use std::sync::Arc;

use actix_web::rt::System;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::json;
use usersig::config::Config;
use usersig::http::ops::OpsState;
use usersig::http::public::{Doors, PublicState};
use usersig::http::{Lifecycle, OriginPolicy, WatchedRule};
use usersig::limit::Limiter;
use usersig::metrics::Metrics;
use usersig::session::{JwtCheck, PresentedCredential, VerificationKey};
use usersig::telemetry::DroppedLines;
use usersig::ticket::{SdkAppId, SecretKey, Signer, UnixTime, UnverifiedTicket};

use crate::rule::settings;
use crate::secrets::{
    APP_SECRET, CLIENT_SECRET, COOKIE_SECRET, Canaries, HEADER_TOKEN, JWT_SECRET, LIMIT_PASSWORD, NEW_APP_SECRET,
    OLD_COOKIE_SECRET, REDIS_PASSWORD, configured, setup,
};
use crate::support::clock::now;
use crate::support::keys::TokenKey;
use crate::support::ticket::decode;

#[test]
fn no_secret_is_in_the_debug_form_of_what_holds_it() {
    let setup = setup();
    let canaries = Canaries::new(configured());
    // Writes the file; the values of variables are taken from here.
    let _ = setup.check();
    let file = |name: &str, text: &str| {
        fs::write(setup.path(name), text).expect("a file");
        format!("file:{}", setup.path(name).display())
    };
    let mut config = fs::read_to_string(setup.path("usersig.toml")).expect("a file");
    for (name, secret) in [
        ("env:JWT_SECRET", JWT_SECRET),
        ("env:COOKIE_SECRET", COOKIE_SECRET),
        ("env:OLD_COOKIE_SECRET", OLD_COOKIE_SECRET),
        ("env:REDIS_PASSWORD", REDIS_PASSWORD),
        ("env:LIMIT_PASSWORD", LIMIT_PASSWORD),
        ("env:CLIENT_SECRET", CLIENT_SECRET),
    ] {
        config = config.replace(&format!("\"{name}\""), &format!("\"{}\"", file(&name[4..], secret)));
    }
    file("whole.toml", &config);
    let loaded = Config::load(&setup.path("whole.toml"), std::iter::empty()).expect("a good configuration");
    let shown = format!("{:?} {:#?}", loaded.rules, loaded.rules);
    for rule in ["jwt", "keys", "redis", "introspect", "http"] {
        assert!(shown.contains(&format!("Rule({rule})")), "{rule} in {shown}");
    }
    canaries.are_not_in("the rules' Debug", &shown);
    let metrics = Arc::new(Metrics::new());
    let rules: Arc<[_]> = loaded.rules.into_iter().map(|rule| WatchedRule::new(rule, &metrics)).collect();
    let apps: Vec<_> = loaded.apps.into_iter().map(|configured| configured.app).collect();
    apps[0].replace_key(SecretKey::parse(NEW_APP_SECRET).expect("a secret"));
    let limiter = Limiter::new(loaded.limits);
    canaries.are_not_in("a limiter's Debug", &format!("{limiter:?} {limiter:#?}"));
    let doors = Doors { origins: OriginPolicy::default(), limiter, trusted_hops: 0 };
    let lifecycle = Arc::<Lifecycle>::default();
    let public = PublicState::new(&apps, Arc::clone(&rules), doors, &metrics, Arc::clone(&lifecycle));
    let shown = format!("{public:?} {public:#?} {:?}", apps[0].key());
    assert!(shown.contains("AppKey") && shown.contains("WatchedRule"), "{shown}");
    canaries.are_not_in("the public listener's Debug", &shown);
    let ops = OpsState { apps, rules, metrics, lifecycle, dropped: DroppedLines::default() };
    canaries.are_not_in("the ops listener's Debug", &format!("{ops:?} {ops:#?}"));
}

#[test]
fn no_token_or_ticket_is_in_the_debug_form_of_what_is_read_from_it() {
    let canaries = Canaries::new(configured());
    let token = PresentedCredential::new(HEADER_TOKEN.as_bytes()).expect("a credential");
    Canaries::new([HEADER_TOKEN.to_owned()]).are_not_in("a credential's Debug", &format!("{token:?} {token:#?}"));
    let key = VerificationKey::from_secret(JWT_SECRET.as_bytes(), None).expect("a secret");
    let claims = json!({"sub": "alice", "exp": now() + 60, "of_the_back_end": [HEADER_TOKEN]});
    let token = TokenKey::secret(JWT_SECRET.as_bytes()).token(Algorithm::HS256, claims);
    let credential = PresentedCredential::new(token.as_bytes()).expect("a credential");
    let check = JwtCheck::new(settings(key));
    let session = System::new().block_on(check.check(&credential, UnixTime::from_secs(now()))).expect("a session");
    let shown = format!("{session:?} {session:#?} {:?}", session.document);
    assert!(shown.contains("alice"), "{shown}");
    Canaries::new([HEADER_TOKEN.to_owned(), token]).are_not_in("a session's Debug", &shown);
    let key = SecretKey::parse(APP_SECRET).expect("a secret");
    let app: SdkAppId = 1_400_000_000_u64.try_into().expect("an app");
    let signer = Signer::new(app, &key);
    canaries.are_not_in("a signer's Debug", &format!("{signer:?} {key:?} {signer:#?} {key:#?}"));
    let ticket = signer.user_sig(
        &"alice".parse().expect("a user"),
        UnixTime::from_secs(now()),
        60_u64.try_into().expect("a lifetime"),
    );
    let unverified = UnverifiedTicket::decode(&ticket).expect("a ticket");
    let mac = decode(&ticket)["TLS.sig"].as_str().expect("text").to_owned();
    let bytes = STANDARD.decode(&mac).expect("base64");
    let shown = format!("{unverified:?}");
    Canaries::new([mac, ticket]).are_not_in("a ticket's Debug", &shown);
    assert!(!shown.contains(&format!("{bytes:?}")) && !shown.contains(&hex::encode(&bytes)), "{shown}");
}
