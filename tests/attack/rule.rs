//! The `jwt` rule as a function: a rule and a token in, the user or the reason out.

use actix_web::rt::System;
use usersig::session::{
    CheckError, ClaimRequirements, Denial, JwtCheck, Keys, Pointer, PresentedCredential, VerificationKey,
};
use usersig::ticket::UnixTime;

use crate::support::clock::now;

/// The usual rule around a key.
pub(crate) fn rule_of(key: VerificationKey) -> JwtCheck {
    JwtCheck {
        keys: Keys::One(key),
        requirements: ClaimRequirements::default(),
        leeway: 30,
        max_lifetime: 400 * 86_400,
        user: Pointer::to("sub"),
    }
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
