//! Keys of every kind that a session token may be signed with, and the tokens. Made anew in each run: no key lies about.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::SESSION_SECRET;
use super::clock::now;

/// A key that signs session tokens.
pub(crate) struct TokenKey {
    /// What signs.
    pub(crate) private: EncodingKey,
    /// `-----BEGIN PUBLIC KEY-----`; empty for a shared secret.
    pub(crate) public_pem: String,
    /// `-----BEGIN PRIVATE KEY-----`; empty for a shared secret.
    pub(crate) private_pem: String,
}

/// An RSA key of 2048 bits. One for the whole run: they take a while to make.
pub(crate) static RSA: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::rsa(KeySize::Rsa2048));

/// A key on the curve P-256.
pub(crate) static P256: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::ec(&ECDSA_P256_SHA256_FIXED_SIGNING));

/// A key on the curve P-384.
pub(crate) static P384: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::ec(&ECDSA_P384_SHA384_FIXED_SIGNING));

/// An Ed25519 key.
pub(crate) static ED25519: LazyLock<TokenKey> = LazyLock::new(|| {
    let key = Ed25519KeyPair::generate().expect("a key");
    let private: Pkcs8V1Der<'_> = key.as_der().expect("DER");
    let public = key.public_key().as_der().expect("DER");
    let (private, public) = (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()));
    TokenKey::new(EncodingKey::from_ed_pem(private.as_bytes()), private, public)
});

/// The shared secret of most tests.
pub(crate) static SHARED: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::secret(SESSION_SECRET.as_bytes()));

impl TokenKey {
    /// A shared secret.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self { private: EncodingKey::from_secret(secret), public_pem: String::new(), private_pem: String::new() }
    }

    /// An RSA key.
    pub(crate) fn rsa(size: KeySize) -> Self {
        let key = aws_lc_rs::rsa::KeyPair::generate(size).expect("a key");
        let private: Pkcs8V1Der<'_> = key.as_der().expect("DER");
        let public = key.public_key().as_der().expect("DER");
        let (private, public) = (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()));
        Self::new(EncodingKey::from_rsa_pem(private.as_bytes()), private, public)
    }

    fn ec(curve: &'static EcdsaSigningAlgorithm) -> Self {
        let private = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(curve, private.as_ref()).expect("a key");
        let private = pem("PRIVATE KEY", private.as_ref());
        Self::new(EncodingKey::from_ec_pem(private.as_bytes()), private, public_pem(&key))
    }

    fn new(key: jsonwebtoken::errors::Result<EncodingKey>, private_pem: String, public_pem: String) -> Self {
        Self { private: key.expect("a key that signs"), public_pem, private_pem }
    }

    /// A token with these claims and the plainest header.
    #[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
    pub(crate) fn token(&self, algorithm: Algorithm, claims: Value) -> String {
        self.token_of(algorithm, &json!({"alg": algorithm, "typ": "JWT"}).to_string(), &claims.to_string())
    }

    /// A token of this very header and these very claims, signed with `algorithm` whatever the header says.
    pub(crate) fn token_of(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.private, algorithm).expect("signed");
        format!("{message}.{signature}")
    }
}

/// The session of `user` in most tests: an HS256 token that lives for an hour.
pub(crate) fn session(user: &str) -> String {
    session_with(json!({"sub": user}))
}

/// An HS256 token with these claims, and with `exp` in an hour where they have none.
pub(crate) fn session_with(mut claims: Value) -> String {
    let object = claims.as_object_mut().expect("claims are an object");
    object.entry("exp").or_insert_with(|| json!(now() + 3600));
    SHARED.token(Algorithm::HS256, claims)
}

/// The public half of a key on a curve.
pub(crate) fn public_pem(key: &EcdsaKeyPair) -> String {
    let public = key.public_key().as_der().expect("DER");
    pem("PUBLIC KEY", public.as_ref())
}

/// DER as PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
