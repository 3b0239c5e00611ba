//! A JSON Web Key Set (RFC 7517) as it was obtained: its keys that can be used, and why the remaining ones cannot.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::UnverifiedToken;
use super::keys::VerificationKey;
use crate::session::document::Document;
use crate::session::error::{CheckError, Denial, Fault};

/// The most keys of a set that are used.
const MAX_KEYS: usize = 64;

/// The most keys that are tried for one token: those that it fits, if it names none.
const MAX_TRIES: usize = 4;

/// The most keys of a set of which the log says why they are not used.
const MAX_REASONS: usize = 8;

/// A set that was obtained.
pub(in crate::session) struct Jwks {
    /// Those of its keys that can be used.
    pub(super) keys: Vec<VerificationKey>,
    /// How many it has, usable or not.
    total: usize,
    /// Why the remaining ones are not used; empty if all are.
    pub(super) not_used: String,
    pub(super) obtained_at: Instant,
}

impl Jwks {
    /// Reads a set, and sorts out the keys that cannot be used with `algorithms`.
    ///
    /// # Errors
    /// When it is not a JSON object with a list of keys.
    pub(in crate::session) fn parse(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, Fault> {
        let set = Document::parse(json).map_err(|_| Fault::NoKeySet("it is not a JSON object".to_owned()))?;
        let Some(jwks) = set.get("keys").and_then(Value::as_array) else {
            return Err(Fault::NoKeySet("it has no keys array".to_owned()));
        };
        let (mut keys, mut reasons) = (Vec::new(), Vec::new());
        for jwk in jwks {
            match VerificationKey::from_jwk(jwk, algorithms) {
                Ok(key) if keys.len() < MAX_KEYS => keys.push(key),
                Ok(_) => reasons.push(named(jwk, "is one too many")),
                Err(reason) => reasons.push(named(jwk, reason)),
            }
        }
        let unsaid = reasons.len().saturating_sub(MAX_REASONS);
        if unsaid > 0 {
            reasons.truncate(MAX_REASONS);
            reasons.push(format!("and {unsaid} more"));
        }
        Ok(Self { keys, total: jwks.len(), not_used: reasons.join("; "), obtained_at: Instant::now() })
    }

    /// Its keys that can be used, at least one.
    ///
    /// # Errors
    /// When no key can be used.
    pub(in crate::session) fn usable_keys(&self) -> Result<&[VerificationKey], Fault> {
        if self.keys.is_empty() {
            let cause = format!("none of its {} keys can be used with the rule's algs", self.total);
            let reasons = if self.not_used.is_empty() { String::new() } else { format!(" ({})", self.not_used) };
            return Err(Fault::NoKeySet(cause + &reasons));
        }
        Ok(&self.keys)
    }

    /// Verifies a token with the key that it names, or with those that fit if it names none.
    ///
    /// # Errors
    /// Denied if no key verifies it, and a fault if no key can be used, or no longer.
    pub(in crate::session) fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        now: Instant,
        max_stale: Duration,
    ) -> Result<(), CheckError> {
        if now.duration_since(self.obtained_at) > max_stale {
            return Err(Fault::NoKeySet(format!("the last one was obtained longer than {max_stale:?} ago")).into());
        }
        let mut verdict = Err(Denial::UnknownKey);
        for key in self.usable_keys()?.iter().filter(|key| token.may_be_of(key)).take(MAX_TRIES) {
            verdict = token.verify(key);
            if verdict.is_ok() {
                break;
            }
        }
        Ok(verdict?)
    }
}

/// A key that is not used, by its name if it has one, and the reason.
fn named(jwk: &Value, reason: &str) -> String {
    match jwk.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("kid {:?}: {reason}", kid.chars().take(60).collect::<String>()),
        None => format!("a key without kid: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A P-256 key: the one of RFC 7517, A.1.
    fn jwk(kid: &str) -> Value {
        let (x, y) = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
    }

    fn set(keys: &[Value]) -> Jwks {
        let json = json!({ "keys": keys }).to_string();
        Jwks::parse(json.as_bytes(), &[Algorithm::ES256]).expect("a set")
    }

    #[test]
    fn a_set_verifies_until_max_stale_and_never_beyond() {
        // {"alg":"ES256","kid":"a"}, with a signature by no key.
        let token = UnverifiedToken::parse("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA").expect("a token");
        let max_stale = Duration::from_secs(60);
        let set = set(&[jwk("a")]);
        for age in [Duration::ZERO, max_stale] {
            let verdict = set.verify(&token, set.obtained_at + age, max_stale);
            assert!(matches!(verdict, Err(CheckError::Denied(Denial::Signature))), "{age:?}: {verdict:?}");
        }
        let stale = set.verify(&token, set.obtained_at + max_stale + Duration::from_nanos(1), max_stale);
        assert!(matches!(stale, Err(CheckError::Fault(Fault::NoKeySet(_)))), "{stale:?}");
    }

    #[test]
    fn only_an_object_with_a_list_of_keys_is_a_set() {
        for json in ["", "[]", "{", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(Jwks::parse(json.as_bytes(), &[Algorithm::ES256]).is_err(), "{json}");
        }
        let causes = |keys: &[Value]| set(keys).usable_keys().map(<[_]>::len).map_err(|fault| fault.to_string());
        assert_eq!(
            causes(&[]),
            Err("no usable key set: none of its 0 keys can be used with the rule's algs".to_owned())
        );
        let refused = causes(&[json!({"kty": "oct", "kid": "s", "k": "AAAA"}), json!(7)]);
        let reasons = "kid \"s\": has private parts; a key without kid: lacks a member that its kind has";
        assert_eq!(
            refused,
            Err(format!("no usable key set: none of its 2 keys can be used with the rule's algs ({reasons})"))
        );
        assert_eq!(causes(&[jwk("a"), json!(7)]), Ok(1));
    }

    #[test]
    fn a_set_has_at_most_so_many_keys_and_the_log_so_many_reasons() {
        let set = set(&vec![jwk(&"k".repeat(1000)); MAX_KEYS + 10]);
        assert_eq!(set.keys.len(), MAX_KEYS);
        assert!(set.not_used.ends_with("; and 2 more"), "{}", set.not_used);
        assert!(set.not_used.split("; ").count() == MAX_REASONS + 1 && set.not_used.len() < 1000, "{}", set.not_used);
    }
}
