//! The keys that verify a JSON Web Token's signature, each with the algorithms that it may be used with.

use jsonwebtoken::Algorithm::{
    self, ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};
use serde_json::Value;

use crate::session::error::Denial;

/// A key and the algorithms that a rule lets it verify: one family, chosen by the configuration and never by a token.
#[derive(Debug, Clone)]
pub struct VerificationKey {
    /// The `kid` that its key set gives it.
    pub(in crate::session) id: Option<String>,
    key: DecodingKey,
    kind: Kind,
    algorithms: Vec<Algorithm>,
}

impl PartialEq for VerificationKey {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts() && self.id == other.id && self.algorithms == other.algorithms
    }
}

/// What a key is: the algorithms that fit it, its default first.
type Kind = &'static [Algorithm];

const SECRET: Kind = &[HS256, HS384, HS512];
const RSA: Kind = &[RS256, RS384, RS512, PS256, PS384, PS512];
const P256: Kind = &[ES256];
const P384: Kind = &[ES384];
const ED25519: Kind = &[EdDSA];

impl VerificationKey {
    /// The shortest shared secret that is accepted, in bytes: the output length of HS256 (RFC 7518, 3.2).
    pub const MIN_SECRET: usize = 32;

    /// A key that signs and verifies alike, for its default algorithm.
    ///
    /// # Errors
    /// When it is short or no secret. The text completes "`secret` …" and quotes no key.
    pub fn from_secret(secret: &[u8]) -> Result<Self, String> {
        // With a public key in the place of a secret, whoever knows it could sign.
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err("is a PEM key, which everybody may know; put a public key under `public_key`".to_owned());
        }
        let length = secret.len();
        if length < Self::MIN_SECRET {
            return Err(format!("is {length} bytes long and must be 32 or more (`openssl rand -hex 32` makes one)"));
        }
        Ok(Self { id: None, key: DecodingKey::from_secret(secret), kind: SECRET, algorithms: vec![HS256] })
    }

    /// A public key in PEM (`-----BEGIN PUBLIC KEY-----`), for its default algorithm.
    ///
    /// # Errors
    /// When it is not a usable public key. The text completes "`public_key` …" and quotes no key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        const UNUSABLE: &str = "is not a PEM public key of a usable kind (RSA, EC P-256 or P-384, Ed25519)";
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err("is a private key; give its public key (`openssl pkey -pubout`)");
        }
        if text.contains("BEGIN CERTIFICATE-----") {
            return Err("is a certificate; give its public key (`openssl x509 -pubkey -noout`)");
        }
        let read = DecodingKey::from_rsa_pem(pem).or_else(|_| DecodingKey::from_ec_pem(pem));
        let key = read.or_else(|_| DecodingKey::from_ed_pem(pem)).map_err(|_| UNUSABLE)?;
        let kind = match (key.family(), key.try_get_as_bytes().map_or(0, <[u8]>::len)) {
            // The PKCS #1 form of a 2048 bit key is 268 to 270 bytes.
            (AlgorithmFamily::Rsa, ..268) => return Err("is an RSA key of less than 2048 bits, which is not safe"),
            (AlgorithmFamily::Rsa, _) => RSA,
            (AlgorithmFamily::Ec, 65) => P256,
            (AlgorithmFamily::Ec, 97) => P384,
            (AlgorithmFamily::Ed, _) => ED25519,
            (AlgorithmFamily::Ec | AlgorithmFamily::Hmac, _) => return Err(UNUSABLE),
        };
        Ok(Self { id: None, key, kind, algorithms: vec![kind[0]] })
    }

    /// The same key for the algorithms of these names.
    ///
    /// # Errors
    /// When a name is unknown, or does not fit the key. The text completes "`algs` …".
    pub fn with_algorithms(self, names: &[String]) -> Result<Self, String> {
        let (algorithms, fitting) = (parse(names)?, self.kind);
        match algorithms.iter().find(|algorithm| !fitting.contains(algorithm)) {
            Some(unfit) => Err(format!("names {unfit:?}, which does not fit the key; what fits it: {fitting:?}")),
            None => Ok(Self { algorithms, ..self }),
        }
    }

    /// A key of a key set (a JSON Web Key, RFC 7517) that may verify any of `algorithms`. Only the members that are needed
    /// are read.
    ///
    /// # Errors
    /// Why it cannot be used; the text completes "this key …" and quotes nothing of it.
    pub(in crate::session) fn from_jwk(jwk: &Value, algorithms: &[Algorithm]) -> Result<Self, &'static str> {
        // Whoever publishes these lets everybody sign; `k` is a shared secret.
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().any(|part| jwk.get(part).is_some()) {
            return Err("has private parts");
        }
        let member = |name| jwk.get(name).filter(|value: &&Value| !value.is_null());
        let text = |name| member(name).and_then(Value::as_str).ok_or("lacks a member that its kind has");
        let (kind, key) = match (text("kty")?, member("crv").and_then(Value::as_str)) {
            ("RSA", _) => (RSA, DecodingKey::from_rsa_components(text("n")?, text("e")?)),
            ("EC", Some("P-256")) => (P256, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("EC", Some("P-384")) => (P384, DecodingKey::from_ec_components(text("x")?, text("y")?)),
            ("OKP", Some("Ed25519")) => (ED25519, DecodingKey::from_ed_components(text("x")?)),
            _ => return Err("is of a kty or crv that is not used"),
        };
        if member("use").is_some_and(|purpose| purpose != "sig") {
            return Err("has a use other than sig");
        }
        let lists_verify =
            |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(|it| it == "verify"));
        if !member("key_ops").is_none_or(lists_verify) {
            return Err("has key_ops without verify");
        }
        let own = member("alg").map(|own| own.as_str().and_then(|name| name.parse().ok()));
        let fits = |algorithm: &Algorithm| kind.contains(algorithm) && own.is_none_or(|own| own == Some(*algorithm));
        let algorithms: Vec<_> = algorithms.iter().copied().filter(fits).collect();
        if algorithms.is_empty() {
            return Err("fits none of the rule's algs");
        }
        let key = key.map_err(|_| "is not written in base64url")?;
        if matches!(key.kind(), DecodingKeyKind::RsaModulusExponent { n, .. } if n.len() < 256) {
            return Err("is an RSA key of less than 2048 bits");
        }
        let id = member("kid").map(|kid| kid.as_str().ok_or("has a kid that is not text")).transpose()?;
        Ok(Self { id: id.map(str::to_owned), key, kind, algorithms })
    }

    /// Whether the rule lets this key verify with `algorithm`.
    pub(in crate::session) fn admits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// The key itself, an RSA key in its two parts.
    fn parts(&self) -> [&[u8]; 2] {
        match self.key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => [bytes, &[]],
            DecodingKeyKind::RsaModulusExponent { n, e } => [n, e],
        }
    }

    /// Verifies that this key made `signature`, in base64url, over `message` with `algorithm`.
    ///
    /// # Errors
    /// [`Denial::Algorithm`] when the rule does not let it use that, [`Denial::Signature`] when it did not.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> Result<(), Denial> {
        if !self.admits(algorithm) {
            return Err(Denial::Algorithm);
        }
        let is_signed = jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm).unwrap_or(false);
        if is_signed { Ok(()) } else { Err(Denial::Signature) }
    }
}

/// The algorithms of these names for the keys of a key set: all of one family, and none for a shared secret.
///
/// # Errors
/// When a name is unknown, or they are of different families. The text completes "`algs` …".
pub fn parse_algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
    let algorithms = parse(names)?;
    let all_are = |family| algorithms.iter().all(|algorithm| algorithm.family() == family);
    let families = [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
    if !families.into_iter().any(all_are) {
        return Err("must be of one family: RS256 to PS512, ES256 and ES384, or EdDSA".to_owned());
    }
    Ok(algorithms)
}

/// The algorithms of these names, at least one; `none` names none.
fn parse(names: &[String]) -> Result<Vec<Algorithm>, String> {
    if names.is_empty() {
        return Err("is empty; leave it out for the key's default algorithm".to_owned());
    }
    let known = "HS256 to HS512, RS256 to PS512, ES256, ES384 and EdDSA";
    let unknown = |name| format!("names \"{name}\", which is not one of {known}");
    names.iter().map(|name| name.parse().map_err(|_| unknown(name))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The P-256 key of RFC 7517, A.1, with these members beside or instead.
    fn ec(members: &Value) -> Value {
        let (x, y) = ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        jwk.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        jwk
    }

    fn rsa(bytes: usize) -> Value {
        json!({"kty": "RSA", "n": "_".repeat(bytes * 4 / 3), "e": "AQAB"})
    }

    #[test]
    fn a_key_of_a_set_is_used_or_the_reason_is_named() {
        let reason = |jwk: &Value, algorithm| VerificationKey::from_jwk(jwk, &[algorithm]).err();
        for used in [
            json!({}),
            json!({"kid": "a", "use": "sig", "alg": "ES256", "key_ops": ["verify"]}),
            json!({"kid": null, "use": null, "alg": null, "key_ops": null}),
            json!({"x5c": "of no use here", "x5t": 7}),
        ] {
            assert_eq!(reason(&ec(&used), ES256), None, "{used}");
        }
        assert_eq!(reason(&rsa(258), RS256), None);
        for part in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(reason(&ec(&json!({part: "AAAA"})), ES256), Some("has private parts"), "{part}");
            assert_eq!(reason(&ec(&json!({part: null})), ES256), Some("has private parts"), "{part}");
        }
        for (members, words) in [
            (json!({"kty": "oct"}), "kty or crv"),
            (json!({"kty": "OKP"}), "kty or crv"),
            (json!({"crv": "P-521"}), "kty or crv"),
            (json!({"crv": null}), "kty or crv"),
            (json!({"kty": null}), "lacks a member"),
            (json!({"x": null}), "lacks a member"),
            (json!({"y": 7}), "lacks a member"),
            (json!({"x": "a+b/"}), "base64url"),
            (json!({"use": "enc"}), "use other than sig"),
            (json!({"use": 7}), "use other than sig"),
            (json!({"key_ops": ["sign", "deriveKey"]}), "key_ops"),
            (json!({"key_ops": "verify"}), "key_ops"),
            (json!({"alg": "ES384"}), "algs"),
            (json!({"alg": "ECDH-ES"}), "algs"),
            (json!({"alg": 7}), "algs"),
            (json!({"crv": "P-384"}), "algs"),
            (json!({"kid": 7}), "kid"),
        ] {
            let reason = reason(&ec(&members), ES256);
            assert!(reason.is_some_and(|reason| reason.contains(words)), "{members}: {reason:?}");
        }
        assert_eq!(reason(&rsa(255), RS256), Some("is an RSA key of less than 2048 bits"));
        assert_eq!(reason(&rsa(258), ES256), Some("fits none of the rule's algs"));
        for no_key in [json!(null), json!(7), json!("kty"), json!([]), json!({})] {
            assert_eq!(reason(&no_key, ES256), Some("lacks a member that its kind has"), "{no_key}");
        }
    }
}
