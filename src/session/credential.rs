//! Where a credential is found, and what is taken from there: not verified by anything yet.

use super::error::Denial;

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

/// A credential as it came in: printable ASCII, of bounded length, and not yet believed.
pub struct PresentedCredential(String);

impl PresentedCredential {
    /// The longest credential that is checked, in bytes.
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
