//! Who is calling: recognises the login session that the customer's own back end issued.
//!
//! Each [`Rule`] is one way: *from* where the credential comes, which *check* it must pass, and which *user* that
//! yields. The kinds of check are a closed set, one file each. No check knows HTTP's server side or an app's policy.

mod cache;
mod claims;
mod document;
mod error;
mod http;
mod introspect;
mod jwks;
mod jwt;
mod key_set;
mod keys;
mod redis;
mod unwrap;

pub use cache::AnswerCache;
pub use claims::Demands;
pub use document::{Conditions, Document, Pointer};
pub use error::{CheckError, Denial, Fault};
pub use http::HttpCheck;
pub use introspect::IntrospectCheck;
pub use jwt::{JwtCheck, Keys};
pub use key_set::{KeySet, KeySource};
pub use keys::{VerificationKey, set_algorithms};
pub use redis::{Decode, KeyTemplate, RedisCheck};
pub use unwrap::Unwrap;

use std::sync::Arc;

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

/// Where a rule finds the credential in a request.
#[derive(PartialEq, Eq)]
pub enum CredentialSource {
    /// The cookie of this name.
    Cookie(String),
    /// The header of this name, in lower case.
    Header(String),
    /// `Authorization: Bearer …`.
    Bearer,
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

/// A credential as it came in: printable ASCII, of bounded length, and not yet believed.
pub struct PresentedCredential(String);

impl PresentedCredential {
    /// The longest credential that is looked at, in bytes.
    pub const MAX_LEN: usize = 8 * 1024;

    /// Takes a credential out of a request.
    ///
    /// # Errors
    /// When it is longer than [`Self::MAX_LEN`], or holds what no credential does.
    pub fn new(text: &[u8]) -> Result<Self, Denial> {
        if text.len() > Self::MAX_LEN {
            return Err(Denial::Oversized);
        }
        match std::str::from_utf8(text) {
            Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(Self(text.to_owned())),
            _ => Err(Denial::NotText),
        }
    }

    /// The credential as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A login that a check has recognised.
pub struct Session {
    /// Whose it is, as the customer's back end knows the user.
    pub subject: String,
    /// When it ends, where that is known.
    pub ends_at: Option<UnixTime>,
    /// All that the check returned, for policies that read more than the subject.
    pub document: Document,
}
