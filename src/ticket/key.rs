//! The app's secret as the console shows it, and the fingerprint that may be shown instead of it.

use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The secret of an app: 64 hex digits, wiped from memory when dropped.
///
/// The HMAC is keyed with the digits as text, not with the bytes that they encode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    digits: Zeroizing<String>,
    fingerprint: String,
}

impl SecretKey {
    /// Reads a secret as the console shows it; white space around it is ignored.
    ///
    /// # Errors
    /// Says what the text is instead of 64 hex digits, without quoting it: "`secret` …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty; put the app's 64 hex digit secret from the console there".to_owned());
        }
        if text.starts_with("-----BEGIN") {
            return Err(
                "is a PEM private key of the old TLS-sig v1; this service signs v2, whose secret is 64 hex digits \
                        (switch the app to HMAC-SHA256 in the console)"
                    .to_owned(),
            );
        }
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let length = text.chars().count();
            let advice = "copy the secret from the console unchanged";
            return Err(format!("is {length} characters and not 64 hex digits; {advice}"));
        }
        let fingerprint = hex::encode(&Sha256::digest(text)[..4]);
        Ok(Self { digits: Zeroizing::new(text.to_owned()), fingerprint })
    }

    /// The first eight hex digits of the secret's SHA-256, which identify the key without revealing it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// An HMAC-SHA256 that has taken in the key and waits for the text.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.digits.as_bytes()).expect("HMAC takes a key of any length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_not_a_secret() {
        let refusal = |text: &str| SecretKey::parse(text).expect_err("not a secret");
        assert!(refusal(" \n").starts_with("is empty"));
        assert!(refusal("-----BEGIN PRIVATE KEY-----\nMIG").starts_with("is a PEM private key"));
        assert!(refusal("abc").starts_with("is 3 characters and not 64 hex digits"));
        assert!(refusal(&"g".repeat(64)).starts_with("is 64 characters and not 64 hex digits"));
    }

    #[test]
    fn the_fingerprint_is_the_beginning_of_the_digits_sha_256() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(SecretKey::parse(&format!("{text}\n")).expect("a secret").fingerprint(), "a8ae6e6e");
    }
}
