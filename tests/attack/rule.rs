//! The `jwt` rule as a function: a rule and a token in, the user or the reason out.

use actix_web::rt::System;
use usersig::session::{CheckError, Denial, JwtCheck, JwtSettings, Keys, PresentedCredential, VerificationKey};
use usersig::ticket::UnixTime;

use crate::support::clock::now;

/// The default rule around a key.
pub(crate) fn rule_of(key: VerificationKey) -> JwtCheck {
    JwtCheck::new(Keys::One(key), JwtSettings::default()).expect("a key needs no client")
}

/// Whom `token` names, or why nobody.
pub(crate) fn check(rule: &JwtCheck, token: &str) -> Result<String, Denial> {
    let credential = PresentedCredential::new(token.as_bytes())?;
    let session = System::new().block_on(rule.check(&credential, UnixTime::from_secs(now())));
    session.map(|session| session.subject).map_err(|error| match error {
        CheckError::Denied(denial) => denial,
        CheckError::Fault(fault) => panic!("a key that is here needs nobody: {fault}"),
    })
}
