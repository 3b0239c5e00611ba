//! The app's secret as the console shows it, and the fingerprint that may be shown instead of it.

use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The secret of an app: 64 hex digits, wiped from memory when dropped.
///
/// The HMAC is keyed with the digits as they stand, not with the bytes that they spell.
#[derive(PartialEq, Eq)]
pub struct SecretKey {
    digits: Zeroizing<String>,
    fingerprint: String,
}

impl SecretKey {
    const LEN: usize = 64;

    /// Reads a secret as the console shows it; white space around it is ignored.
    ///
    /// # Errors
    /// Says what the text is instead of 64 hex digits, without quoting it.
    pub fn parse(text: &str) -> Result<Self, SecretKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretKeyError::Empty);
        }
        if text.starts_with("-----BEGIN") {
            return Err(SecretKeyError::Pem);
        }
        if text.len() != Self::LEN || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SecretKeyError::NotHex { length: text.chars().count() });
        }
        let fingerprint = hex::encode(&Sha256::digest(text)[..4]);
        Ok(Self { digits: Zeroizing::new(text.to_owned()), fingerprint })
    }

    /// The first eight hex digits of the secret's SHA-256, which tell keys apart and reveal none.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// An HMAC-SHA256 that has taken in the key and waits for the text.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.digits.as_bytes()).expect("HMAC takes a key of any length")
    }
}

/// Why a text is not an app's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// Nothing but white space.
    #[error("is empty; put the app's 64 hex digit secret from the console there")]
    Empty,
    /// A key pair of the first TLS-sig version.
    #[error(
        "is a PEM private key of the old TLS-sig v1; this service signs v2, whose secret is 64 hex digits (switch the app to HMAC-SHA256 in the console)"
    )]
    Pem,
    /// Anything else.
    #[error("is {length} characters and not 64 hex digits; copy the secret from the console as it stands")]
    NotHex {
        /// How many characters there are.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_not_a_secret() {
        let refusal = |text: &str| SecretKey::parse(text).err().expect("not a secret");
        assert_eq!(refusal(" \n"), SecretKeyError::Empty);
        assert_eq!(refusal("-----BEGIN PRIVATE KEY-----\nMIG"), SecretKeyError::Pem);
        assert_eq!(refusal("abc"), SecretKeyError::NotHex { length: 3 });
        assert_eq!(refusal(&"g".repeat(64)), SecretKeyError::NotHex { length: 64 });
    }

    #[test]
    fn the_fingerprint_is_the_beginning_of_the_digits_sha_256() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(SecretKey::parse(&format!("{text}\n")).expect("a secret").fingerprint(), "a8ae6e6e");
    }
}
