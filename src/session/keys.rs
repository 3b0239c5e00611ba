//! The keys that verify a JSON Web Token's signature, each with the algorithms that it may be used with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

/// A key and the algorithms that a rule lets it verify: one family, chosen by the configuration and never by a token.
pub struct VerificationKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

/// What a key is, and so which algorithms fit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why a key cannot be used. The text completes "`key` …" and quotes no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum KeyError {
    #[error("is {length} bytes long and must be 32 or more (`openssl rand -hex 32` makes one)")]
    ShortSecret { length: usize },
    /// A public key in the place of a secret: whoever knows it could sign.
    #[error("is a PEM key, which everybody may know; put a public key under `public_key`")]
    PemAsSecret,
    #[error("is a private key; give its public key (`openssl pkey -pubout`)")]
    Private,
    #[error("is a certificate; give its public key (`openssl x509 -pubkey -noout`)")]
    Certificate,
    #[error("is not a PEM public key of a usable kind (RSA, EC P-256 or P-384, Ed25519)")]
    NotPem,
    #[error("is an RSA key of less than 2048 bits, which is not safe")]
    ShortRsa,
    #[error("names \"{name}\", which is not one of HS256 to HS512, RS256 to PS512, ES256, ES384 and EdDSA")]
    UnknownAlgorithm { name: String },
    #[error("names {name}, which does not fit the key; what fits it: {fitting}")]
    UnfitAlgorithm { name: String, fitting: String },
    #[error("must be of one family: RS256 to PS512, ES256 and ES384, or EdDSA")]
    MixedAlgorithms,
    #[error("is empty; leave it out for the key's usual algorithm")]
    NoAlgorithm,
}

impl KeyError {
    /// Whether it is the list of algorithms that must change, and not the key.
    pub const fn is_about_algorithms(&self) -> bool {
        matches!(
            self,
            Self::UnknownAlgorithm { .. } | Self::UnfitAlgorithm { .. } | Self::MixedAlgorithms | Self::NoAlgorithm
        )
    }
}

impl VerificationKey {
    /// The shortest shared secret that is accepted, in bytes: the output length of HS256 (RFC 7518, 3.2).
    pub const MIN_SECRET: usize = 32;

    /// A key that signs and verifies alike.
    ///
    /// # Errors
    /// When it is short or no secret, or `algorithms` do not fit it.
    pub fn from_secret(secret: &[u8], algorithms: Option<&[String]>) -> Result<Self, KeyError> {
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::PemAsSecret);
        }
        if secret.len() < Self::MIN_SECRET {
            return Err(KeyError::ShortSecret { length: secret.len() });
        }
        Self::new(DecodingKey::from_secret(secret), Kind::Secret, algorithms)
    }

    /// A public key in PEM (`-----BEGIN PUBLIC KEY-----`).
    ///
    /// # Errors
    /// When it is not a usable public key, or `algorithms` do not fit it.
    pub fn from_pem(pem: &[u8], algorithms: Option<&[String]>) -> Result<Self, KeyError> {
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if text.contains("BEGIN CERTIFICATE-----") {
            return Err(KeyError::Certificate);
        }
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            // The PKCS #1 form of a 2048 bit key is 268 to 270 bytes.
            if key.try_get_as_bytes().map_or(0, <[u8]>::len) < 268 {
                return Err(KeyError::ShortRsa);
            }
            return Self::new(key, Kind::Rsa, algorithms);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            let kind = match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(65) => Kind::P256,
                Ok(97) => Kind::P384,
                _ => return Err(KeyError::NotPem),
            };
            return Self::new(key, kind, algorithms);
        }
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::NotPem)?;
        Self::new(key, Kind::Ed25519, algorithms)
    }

    /// A key of a key set that may verify any of `algorithms`; `None` when it is none for that.
    pub(super) fn from_jwk(jwk: &Jwk, algorithms: &[Algorithm]) -> Option<Self> {
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Kind::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Kind::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Kind::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Kind::Ed25519,
            // A shared secret in a set that everybody can read is none.
            _ => return None,
        };
        let common = &jwk.common;
        let is_for_verifying = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let own = common.key_algorithm.map(|algorithm| named(&algorithm.to_string()));
        let admitted = algorithms.iter().copied();
        let algorithms: Vec<_> = admitted
            .filter(|algorithm| kind.algorithms().contains(algorithm) && own.is_none_or(|own| own == Some(*algorithm)))
            .collect();
        let key = DecodingKey::from_jwk(jwk).ok()?;
        let is_long_enough = match key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= 256,
            DecodingKeyKind::SecretOrDer(_) => true,
        };
        (is_for_verifying && is_long_enough && !algorithms.is_empty()).then_some(Self { key, algorithms })
    }

    fn new(key: DecodingKey, kind: Kind, algorithms: Option<&[String]>) -> Result<Self, KeyError> {
        let fitting = kind.algorithms();
        let Some(names) = algorithms else { return Ok(Self { key, algorithms: vec![fitting[0]] }) };
        if names.is_empty() {
            return Err(KeyError::NoAlgorithm);
        }
        let algorithms = names.iter().map(|name| match named(name) {
            None => Err(KeyError::UnknownAlgorithm { name: name.clone() }),
            Some(algorithm) if fitting.contains(&algorithm) => Ok(algorithm),
            Some(_) => Err(KeyError::UnfitAlgorithm { name: name.clone(), fitting: list(fitting) }),
        });
        Ok(Self { algorithms: algorithms.collect::<Result<_, _>>()?, key })
    }

    /// Whether this key made `signature`, in base64url, over `message` with `algorithm`, and may use that algorithm.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.algorithms.contains(&algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.key, algorithm).unwrap_or(false)
    }

    /// Whether the rule admits `algorithm` for this key.
    pub(super) fn admits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

impl Kind {
    /// The algorithms that fit, the usual one first.
    const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Secret => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            Self::Rsa => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256 => &[Algorithm::ES256],
            Self::P384 => &[Algorithm::ES384],
            Self::Ed25519 => &[Algorithm::EdDSA],
        }
    }
}

/// The algorithms of these names for the keys of a key set: all for one kind of key, and none for a shared secret.
///
/// # Errors
/// When a name is unknown, or they are for different kinds of keys.
pub fn set_algorithms(names: &[String]) -> Result<Vec<Algorithm>, KeyError> {
    let known = names.iter().map(|name| named(name).ok_or_else(|| KeyError::UnknownAlgorithm { name: name.clone() }));
    let algorithms = known.collect::<Result<Vec<_>, _>>()?;
    let Some(first) = algorithms.first() else { return Err(KeyError::NoAlgorithm) };
    let families: [&[Algorithm]; 3] =
        [Kind::Rsa.algorithms(), &[Algorithm::ES256, Algorithm::ES384], Kind::Ed25519.algorithms()];
    match families.into_iter().find(|family| family.contains(first)) {
        Some(family) if algorithms.iter().all(|algorithm| family.contains(algorithm)) => Ok(algorithms),
        _ => Err(KeyError::MixedAlgorithms),
    }
}

/// The algorithm of this exact name; `none` names none.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    name.parse().ok()
}

fn list(algorithms: &[Algorithm]) -> String {
    algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect::<Vec<_>>().join(", ")
}
