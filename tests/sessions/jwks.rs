//! Public keys as JSON Web Keys (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::keys::TokenKey;

/// A key on P-256 or P-384.
pub(crate) fn ec_jwk(key: &TokenKey, kid: &str) -> Value {
    let der = der(key);
    // A point ends the DER: 4, x, y.
    let (curve, length) = if der.len() < 100 { ("P-256", 32) } else { ("P-384", 48) };
    let (x, y) = der[der.len() - 2 * length..].split_at(length);
    json!({
        "kty": "EC", "crv": curve, "kid": kid, "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)
    })
}

/// An RSA key of 2048 bits.
pub(crate) fn rsa_jwk(key: &TokenKey, kid: &str) -> Value {
    let der = der(key);
    // The modulus and then the exponent, 65537 behind two bytes, end the DER.
    let modulus = &der[der.len() - 5 - 256..der.len() - 5];
    json!({"kty": "RSA", "kid": kid, "use": "sig", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
}

fn der(key: &TokenKey) -> Vec<u8> {
    let base64: String = key.public_pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).expect("PEM")
}
