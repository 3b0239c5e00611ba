//! One way to recognise a session, and the closed set of checks that it may ask for.

use std::sync::Arc;

use super::credential::{CredentialSource, PresentedCredential};
use super::error::{CheckError, Denial, Fault};
use super::http::{HttpCheck, HttpCheckSettings};
use super::introspect::{IntrospectCheck, IntrospectSettings};
use super::jwt::key_set::{KeySet, KeySetSettings};
use super::jwt::{JwtCheck, JwtSettings, Keys};
use super::redis::{Decode, RedisCheck, RedisCheckSettings};
use super::session::Session;
use crate::ticket::UnixTime;

/// One way to recognise a session; `C` is what the credential must pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule<C = Check> {
    /// The name that logs and metrics show.
    pub name: String,
    /// Where the credential is found.
    pub source: CredentialSource,
    /// What it must pass.
    pub check: C,
    /// The user ids that this rule yields begin with this.
    pub user_prefix: String,
    /// Subjects that mean "no one".
    pub deny_users: Vec<String>,
}

/// A rule as it is configured.
pub type RuleSettings = Rule<CheckSettings>;

impl RuleSettings {
    /// Whether the check returns a document that policies can read, and not the subject alone.
    pub fn has_document(&self) -> bool {
        match &self.check {
            CheckSettings::Redis(settings) => matches!(settings.decode, Decode::Json(_)),
            CheckSettings::Jwt(..) | CheckSettings::Introspect(_) | CheckSettings::Http(_) => true,
        }
    }
}

impl Rule {
    /// A rule with its clients, which have asked nothing yet.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn new(settings: RuleSettings) -> Result<Self, String> {
        let Rule { name, source, check, user_prefix, deny_users } = settings;
        let check = match check {
            CheckSettings::Jwt(keys, settings) => Check::Jwt(JwtCheck::new(keys, settings)?),
            CheckSettings::Redis(settings) => Check::Redis(RedisCheck::new(settings)?),
            CheckSettings::Introspect(settings) => Check::Introspect(IntrospectCheck::new(settings)?),
            CheckSettings::Http(settings) => Check::Http(HttpCheck::new(settings)?),
        };
        Ok(Self { name, source, check, user_prefix, deny_users })
    }

    /// Asks who presents `credential`; a back end receives the `request_id`.
    ///
    /// # Errors
    /// [`CheckError::Denied`] when the answer is "no one", [`CheckError::Fault`] without an answer.
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

    /// How many questions to the back end may be under way at once; `None` where none is asked about a credential.
    pub(super) fn max_in_flight(&self) -> Option<usize> {
        match &self.check {
            Check::Jwt(_) => None,
            Check::Redis(check) => Some(check.max_in_flight()),
            Check::Introspect(check) => Some(check.max_in_flight()),
            Check::Http(check) => Some(check.max_in_flight()),
        }
    }

    /// The key set that must be kept fresh for this rule, if it has one.
    pub fn key_set(&self) -> Option<&Arc<KeySet>> {
        match &self.check {
            Check::Jwt(JwtCheck { keys: Keys::Set(set), .. }) => Some(set),
            Check::Jwt(_) | Check::Redis(_) | Check::Introspect(_) | Check::Http(_) => None,
        }
    }

    /// Asks the back end behind the rule whether it would answer; `None` for a rule without one.
    pub async fn probe(&self) -> Option<Result<String, Fault>> {
        match &self.check {
            Check::Jwt(_) => Some(self.key_set()?.probe().await),
            Check::Redis(check) => Some(check.probe().await),
            Check::Introspect(check) => Some(check.probe().await),
            Check::Http(check) => Some(check.probe().await),
        }
    }
}

/// The kinds of check, as they are configured.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as of [`Check`]")]
pub enum CheckSettings {
    Jwt(Keys<KeySetSettings>, JwtSettings),
    Redis(RedisCheckSettings),
    Introspect(IntrospectSettings),
    Http(HttpCheckSettings),
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
