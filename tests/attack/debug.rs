//! The Debug form of what holds a secret does not show it.

use std::fmt::Debug;
use std::fs;
use std::marker::PhantomData;

use actix_web::rt::System;
use jsonwebtoken::Algorithm;
use serde_json::json;
use usersig::config::{Config, ConfiguredApp};
use usersig::http::WatchedRule;
use usersig::http::ops::OpsState;
use usersig::http::public::{Doors, PublicState};
use usersig::issue::{App, Issued};
use usersig::limit::{Limiter, Limits};
use usersig::session::{JwtCheck, PresentedCredential, VerificationKey};
use usersig::ticket::{SecretKey, Signer, UnixTime, UnverifiedTicket};

use crate::rule::settings;
use crate::secrets::{
    CLIENT_SECRET, COOKIE_SECRET, Canaries, HEADER_TOKEN, JWT_SECRET, LIMIT_PASSWORD, OLD_COOKIE_SECRET,
    REDIS_PASSWORD, configured, setup,
};
use crate::support::clock::now;
use crate::support::keys::TokenKey;

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
    let (rules, store) = (&loaded.rules, &loaded.limits.shared);
    let sources: Vec<_> = loaded.apps.iter().map(|configured| &configured.secret).collect();
    let shown = format!("{rules:?} {rules:#?} {store:?} {store:#?} {sources:?}");
    for rule in ["jwt", "keys", "redis", "introspect", "http"] {
        assert!(shown.contains(&format!("Rule({rule})")), "{rule} in {shown}");
    }
    canaries.are_not_in("the configuration's Debug", &shown);
}

/// Types by name, and whether each has a Debug form: where it has one, its own constant goes before the trait's.
macro_rules! debug_forms {
    ($($type:ty),*) => {{
        trait Without {
            const IT: bool = false;
        }
        struct Form<T>(PhantomData<T>);
        impl<T> Without for Form<T> {}
        impl<T: Debug> Form<T> {
            const IT: bool = true;
        }
        [$((stringify!($type), Form::<$type>::IT)),*]
    }};
}

#[test]
fn what_holds_secrets_or_tickets_has_no_debug_form() {
    let forms = debug_forms![
        SecretKey,
        Signer,
        App,
        UnverifiedTicket,
        Issued,
        Config,
        ConfiguredApp,
        Limits,
        Limiter,
        WatchedRule,
        PublicState,
        Doors,
        OpsState,
        String
    ];
    for (name, has_one) in forms {
        assert_eq!(has_one, name == "String", "{name}");
    }
}

#[test]
fn no_token_is_in_the_debug_form_of_what_is_read_from_it() {
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
}
