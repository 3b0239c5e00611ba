//! Who is calling: recognises the login session that the customer's own back end issued.
//!
//! Each [`Rule`] is one way: *from* where the credential comes, which *check* it must pass, and which *user* that
//! yields. The kinds of check are a closed set, one file each. No check knows HTTP's server side or an app's policy.

mod denial;
mod document;
mod jwt;
mod keys;

pub use denial::{CheckError, Denial, Step};
pub use document::{Document, Pointer};
pub use jwt::{JwtCheck, JwtSettings};
pub use keys::{KeyError, VerificationKey};

use std::fmt;

use crate::ticket::UnixTime;

/// One way to recognise a session.
#[derive(Debug)]
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
    /// Asks who presents `credential`.
    ///
    /// # Errors
    /// [`CheckError::Denied`] when the answer is "no one".
    #[expect(clippy::unused_async, reason = "the checks that ask a back end wait for it")]
    pub async fn check(&self, credential: &PresentedCredential, now: UnixTime) -> Result<Session, CheckError> {
        let session = match &self.check {
            Check::Jwt(check) => check.check(credential, now)?,
        };
        if self.deny_users.contains(&session.subject) {
            return Err(Denial::DeniedSubject.into());
        }
        Ok(session)
    }
}

/// Where a rule finds the credential in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The cookie of this name.
    Cookie(String),
    /// The header of this name, in lower case.
    Header(String),
    /// `Authorization: Bearer …`.
    Bearer,
}

/// The kinds of check.
#[derive(Debug)]
pub enum Check {
    /// A JSON Web Token, verified here.
    Jwt(JwtCheck),
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
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PresentedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedCredential([redacted])")
    }
}

/// A login that a check has recognised.
#[derive(Debug)]
pub struct Session {
    /// Whose it is, as the customer's back end knows the user.
    pub subject: String,
    /// When it ends, where that is known.
    pub ends_at: Option<UnixTime>,
    /// All that the check returned, for policies that read more than the subject.
    pub document: Document,
}
