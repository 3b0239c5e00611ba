//! The `jwt` rule as a function: a key, settings and a token in, the user or the reason out.

use actix_web::rt::System;
use usersig::session::{
    CheckError, Denial, JwtCheck, JwtSettings, Keys, Pointer, PresentedCredential, VerificationKey,
};
use usersig::ticket::UnixTime;

use crate::support::clock::now;

/// The usual settings around a key.
pub(crate) fn settings(key: VerificationKey) -> JwtSettings {
    JwtSettings {
        keys: Keys::One(key),
        issuer: None,
        audience: Vec::new(),
        authorized_parties: Vec::new(),
        leeway: 30,
        max_lifetime: 400 * 86_400,
        user: Pointer::to("sub"),
        require: Vec::new(),
    }
}

/// Whom `token` names, or why nobody.
pub(crate) fn check(settings: JwtSettings, token: &str) -> Result<String, Denial> {
    let credential = PresentedCredential::new(token.as_bytes())?;
    let rule = JwtCheck::new(settings);
    let session = System::new().block_on(rule.check(&credential, UnixTime::from_secs(now())));
    session.map(|session| session.subject).map_err(|error| match error {
        CheckError::Denied(denial) => denial,
        CheckError::Fault(fault) => panic!("a key that is here needs nobody: {fault}"),
    })
}
