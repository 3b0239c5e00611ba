//! What holds a secret, a credential or a ticket has no Debug form, or one that leaves it out, so none can be shown by
//! accident.

use std::fmt::Debug;
use std::marker::PhantomData;

use usersig::client::{HttpClient, RedisServer};
use usersig::http::State;
use usersig::issue::{App, Issued};
use usersig::limit::Limiter;
use usersig::session::{
    Check, CookieEncoding, Document, HttpCheck, InstrumentedRule, IntrospectCheck, JwtCheck, KeySet,
    PresentedCredential, RedisCheck, Rule, Session, VerificationKey,
};
use usersig::ticket::{SecretKey, Signer, UnverifiedTicket};

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
fn what_holds_credentials_tickets_or_secrets_in_use_has_no_debug_form() {
    let forms = debug_forms![
        Signer,
        App,
        UnverifiedTicket,
        Issued,
        Limiter,
        PresentedCredential,
        KeySet,
        HttpClient,
        RedisServer,
        JwtCheck,
        RedisCheck,
        IntrospectCheck,
        HttpCheck,
        Check,
        Rule,
        InstrumentedRule,
        Session,
        Document,
        State,
        String
    ];
    for (name, has_one) in forms {
        assert_eq!(has_one, name == "String", "{name}");
    }
}

/// The whole configuration is printed in a test beside it.
#[test]
fn what_is_configured_shows_no_secret_in_its_debug_form() {
    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for shown in [
        format!("{:?}", CookieEncoding::Express(vec![DIGITS.to_owned().into()])),
        format!("{:?}", SecretKey::parse(DIGITS).expect("a secret")),
        format!("{:?}", VerificationKey::from_secret(DIGITS.as_bytes()).expect("a secret")),
    ] {
        let bytes = format!("{:?}", &DIGITS.as_bytes()[..4]);
        assert!(!shown.contains(&DIGITS[..16]) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}
