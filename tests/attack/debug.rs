//! The Debug form of what holds a secret does not show it.

use std::fmt::Debug;
use std::fs;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use usersig::config::Config;
use usersig::http::{State, WatchedRule};
use usersig::limit::{Limiter, Limits};
use usersig::session::{
    Document, HttpCheck, IntrospectCheck, JwtCheck, KeySet, PresentedCredential, RedisCheck, RedisServer, Rule,
    Session, VerificationKey,
};
use usersig::ticket::{SdkAppId, SecretKey, Signer, UnixTime, UnverifiedTicket};

use crate::secrets::{
    APP_SECRET, CLIENT_SECRET, COOKIE_SECRET, Canaries, JWT_SECRET, LIMIT_PASSWORD, NEW_APP_SECRET, OLD_COOKIE_SECRET,
    REDIS_PASSWORD, configured, setup,
};
use crate::support::clock::now;
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
    let apps: Vec<_> = loaded.apps.iter().map(|configured| &configured.app).collect();
    let shown = format!("{apps:?} {apps:#?}");
    assert!(shown.contains("AppKey"), "{shown}");
    canaries.are_not_in("the apps' Debug", &shown);
    let app = apps[0];
    app.replace_key(SecretKey::parse(NEW_APP_SECRET).expect("a secret"));
    canaries.are_not_in("an app's Debug", &format!("{app:?} {:?}", app.key()));
    let limiter = Limiter::new(loaded.limits);
    canaries.are_not_in("a limiter's Debug", &format!("{limiter:?} {limiter:#?}"));
}

#[test]
fn no_ticket_is_in_the_debug_form_of_what_is_read_from_it() {
    let canaries = Canaries::new(configured());
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
fn what_holds_secrets_or_sessions_has_no_debug_form() {
    let forms = debug_forms![
        PresentedCredential,
        VerificationKey,
        KeySet,
        RedisServer,
        JwtCheck,
        RedisCheck,
        IntrospectCheck,
        HttpCheck,
        Rule,
        Session,
        Document,
        WatchedRule,
        Config,
        Limits,
        State,
        String
    ];
    for (name, has_one) in forms {
        assert_eq!(has_one, name == "String", "{name}");
    }
}
