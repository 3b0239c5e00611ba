//! Takes a session id out of what a framework wraps it in.

use std::borrow::Cow;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::error::Denial;

/// How a session id is wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieEncoding {
    /// It is the credential itself.
    None,
    /// `s:ID.SIGNATURE`, percent-encoded, as express-session's `cookie-signature` writes it: HMAC-SHA256 in base64
    /// without `=`. Any of these secrets may have signed it, so that they can be rotated.
    Express(Vec<Zeroizing<String>>),
    /// base64, as Spring Session writes its cookie.
    Base64,
}

/// Standard base64, with or without `=`.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl CookieEncoding {
    /// The session id in `credential`.
    ///
    /// # Errors
    /// When it is not wrapped so, or its signature does not verify.
    pub fn decode<'a>(&self, credential: &'a str) -> Result<Cow<'a, str>, Denial> {
        match self {
            Self::None => Ok(credential.into()),
            Self::Express(secrets) => express(credential, secrets),
            Self::Base64 => {
                let id = BASE64.decode(credential).map_err(|_| Denial::Wrapping)?;
                String::from_utf8(id).map(Cow::Owned).map_err(|_| Denial::Wrapping)
            }
        }
    }
}

fn express<'a>(cookie: &'a str, secrets: &[Zeroizing<String>]) -> Result<Cow<'a, str>, Denial> {
    let decoded = percent_decode_str(cookie).decode_utf8().map_err(|_| Denial::Wrapping)?;
    let (id, signature) = decoded.strip_prefix("s:").and_then(|rest| rest.rsplit_once('.')).ok_or(Denial::Wrapping)?;
    let signature = BASE64.decode(signature).map_err(|_| Denial::CookieSignature)?;
    let signed_with = |secret: &Zeroizing<String>| {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.chain_update(id).verify_slice(&signature).is_ok()
    };
    if secrets.iter().any(signed_with) { Ok(id.to_owned().into()) } else { Err(Denial::CookieSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by cookie-signature 1.2.2: `sign('QF_mCy0GRGGfvzSY4qP_rV1Y7b4nLRzU', 'keyboard cat')`.
    const ID: &str = "QF_mCy0GRGGfvzSY4qP_rV1Y7b4nLRzU";

    fn signed(id: &str, secret: &str) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(id);
        let signature = BASE64.encode(mac.finalize().into_bytes());
        format!("s%3A{id}.{}", signature.trim_end_matches('=').replace('+', "%2B").replace('/', "%2F"))
    }

    #[test]
    fn express_cookies_need_a_signature_by_one_of_the_secrets() {
        let encoding = CookieEncoding::Express(["new", "old"].map(|secret| secret.to_owned().into()).to_vec());
        for secret in ["new", "old"] {
            assert_eq!(encoding.decode(&signed(ID, secret)).as_deref(), Ok(ID));
        }
        assert_eq!(encoding.decode(&signed(ID, "removed")), Err(Denial::CookieSignature));
        let cookie = signed(ID, "new");
        assert_eq!(encoding.decode(&cookie[..cookie.len() - 4]), Err(Denial::CookieSignature));
        assert_eq!(encoding.decode(&format!("s%3A{ID}.")), Err(Denial::CookieSignature));
        for text in [ID, "s:", "j%3A%7B%7D", "s%3A%FF.x"] {
            assert_eq!(encoding.decode(text), Err(Denial::Wrapping), "{text}");
        }
    }

    #[test]
    fn base64_may_lack_its_padding() {
        for text in ["MjNiNTNlYjQtYTQ=", "MjNiNTNlYjQtYTQ"] {
            assert_eq!(CookieEncoding::Base64.decode(text).as_deref(), Ok("23b53eb4-a4"));
        }
        assert_eq!(CookieEncoding::Base64.decode("not base64!"), Err(Denial::Wrapping));
    }
}
