//! One way to recognise a session, and the closed set of checks that it may ask for.

use std::sync::Arc;

use super::credential::{CredentialSource, PresentedCredential};
use super::error::{CheckError, Denial, Fault};
use super::http::HttpCheck;
use super::introspect::IntrospectCheck;
use super::jwt::key_set::KeySet;
use super::jwt::{JwtCheck, Keys};
use super::redis::{Decode, RedisCheck};
use super::session::Session;
use crate::ticket::UnixTime;

/// One way to recognise a session.
pub struct Rule {
    /// The name that logs and metrics show.
    pub name: String,
    /// Where the credential is found.
    pub source: CredentialSource,
    /// What it must pass.
    pub check: Check,
    /// The user ids that this rule yields begin with this.
    pub user_prefix: String,
    /// Subjects that mean "no one".
    pub deny_users: Vec<String>,
}

impl Rule {
    /// Asks who presents `credential`; a back end is told the `request_id`.
    ///
    /// # Errors
    /// [`CheckError::Denied`] when the answer is "no one", [`CheckError::Fault`] when there is none.
    pub async fn check(
        &self,
        credential: &PresentedCredential,
        now: UnixTime,
        request_id: &str,
    ) -> Result<Session, CheckError> {
        let session = match &self.check {
            Check::Jwt(check) => check.check(credential, now).await?,
            Check::Redis(check) => check.check(credential, now).await?,
            Check::Introspect(check) => check.check(credential, now, request_id).await?,
            Check::Http(check) => check.check(&self.source, credential, now, request_id).await?,
        };
        if self.deny_users.contains(&session.subject) {
            return Err(Denial::DeniedSubject.into());
        }
        Ok(session)
    }

    /// Whether the check returns a document that policies can read, and not the subject alone.
    pub fn has_document(&self) -> bool {
        match &self.check {
            Check::Redis(RedisCheck { decode, .. }) => matches!(decode, Decode::Json(_)),
            Check::Jwt(_) | Check::Introspect(_) | Check::Http(_) => true,
        }
    }

    /// The key set that must be kept fresh for this rule, if it has one.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.check {
            Check::Jwt(JwtCheck { keys: Keys::Set(set), .. }) => Some(set),
            Check::Jwt(_) | Check::Redis(_) | Check::Introspect(_) | Check::Http(_) => None,
        }
    }

    /// Asks the back end behind the rule whether it would answer; `None` when there is none to ask.
    pub async fn probe(&self) -> Option<Result<String, Fault>> {
        match &self.check {
            Check::Jwt(_) => Some(self.key_set()?.probe().await),
            Check::Redis(check) => Some(check.probe().await),
            Check::Introspect(check) => Some(check.probe().await),
            Check::Http(check) => Some(check.probe().await),
        }
    }
}

/// The kinds of check.
pub enum Check {
    /// A JSON Web Token, verified here.
    Jwt(JwtCheck),
    /// A session that the back end's framework keeps in Redis.
    Redis(RedisCheck),
    /// A token that its authorization server is asked about.
    Introspect(IntrospectCheck),
    /// Whatever the customer's own back end recognises.
    Http(HttpCheck),
}
