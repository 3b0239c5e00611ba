//! The keys that verify a JSON Web Token's signature, each with the algorithms that it may be used with.

use jsonwebtoken::Algorithm::{
    self, ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::Denial;

/// A key and the algorithms that a rule lets it verify: one family, chosen by the configuration and never by a token.
pub struct VerificationKey {
    /// The `kid` that its key set gives it.
    pub(super) id: Option<String>,
    key: DecodingKey,
    kind: Kind,
    algorithms: Vec<Algorithm>,
}

/// What a key is: the algorithms that fit it, the usual one first.
type Kind = &'static [Algorithm];

const SECRET: Kind = &[HS256, HS384, HS512];
const RSA: Kind = &[RS256, RS384, RS512, PS256, PS384, PS512];
const P256: Kind = &[ES256];
const P384: Kind = &[ES384];
const ED25519: Kind = &[EdDSA];

impl VerificationKey {
    /// The shortest shared secret that is accepted, in bytes: the output length of HS256 (RFC 7518, 3.2).
    pub const MIN_SECRET: usize = 32;

    /// A key that signs and verifies alike, for its usual algorithm.
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

    /// A public key in PEM (`-----BEGIN PUBLIC KEY-----`), for its usual algorithm.
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

    /// A key of a key set that may verify any of `algorithms`; `None` when it is none for that.
    pub(super) fn from_jwk(jwk: Jwk, algorithms: &[Algorithm]) -> Option<Self> {
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => ED25519,
            // A shared secret in a set that everybody can read is none.
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_verifying = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let own = common.key_algorithm.map(|algorithm| algorithm.to_string().parse().ok());
        let fits = |algorithm: &Algorithm| kind.contains(algorithm) && own.is_none_or(|own| own == Some(*algorithm));
        let algorithms: Vec<_> = algorithms.iter().copied().filter(fits).collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let is_short = matches!(key.kind(), DecodingKeyKind::RsaModulusExponent { n, .. } if n.len() < 256);
        let is_usable = is_for_verifying && !is_short && !algorithms.is_empty();
        is_usable.then_some(Self { id: jwk.common.key_id, key, kind, algorithms })
    }

    /// Verifies that this key made `signature`, in base64url, over `message` with `algorithm`.
    ///
    /// # Errors
    /// [`Denial::Algorithm`] when the rule does not let it use that, [`Denial::Signature`] when it did not.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> Result<(), Denial> {
        if !self.algorithms.contains(&algorithm) {
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
pub fn set_algorithms(names: &[String]) -> Result<Vec<Algorithm>, String> {
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
        return Err("is empty; leave it out for the key's usual algorithm".to_owned());
    }
    let known = "HS256 to HS512, RS256 to PS512, ES256, ES384 and EdDSA";
    let unknown = |name| format!("names \"{name}\", which is not one of {known}");
    names.iter().map(|name| name.parse().map_err(|_| unknown(name))).collect()
}
