//! What holds a secret, a credential or a ticket has no Debug form, so none can be shown by accident.

use std::fmt::Debug;
use std::marker::PhantomData;

use usersig::client::{HttpClient, RedisServer};
use usersig::config::{Config, ConfiguredApp};
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
fn what_holds_secrets_credentials_or_tickets_has_no_debug_form() {
    let forms = debug_forms![
        SecretKey,
        Signer,
        App,
        UnverifiedTicket,
        Issued,
        Config,
        ConfiguredApp,
        Limiter,
        PresentedCredential,
        VerificationKey,
        KeySet,
        CookieEncoding,
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
