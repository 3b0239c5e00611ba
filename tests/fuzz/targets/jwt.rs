//! Any text as a token: nobody is recognised but by a token of the rule's key, algorithm, time and form.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sha2::Sha256;
use std::sync::LazyLock;
use usersig::session::{ClaimRequirements, JwtCheck, JwtSettings, Keys, Pointer, PresentedCredential, VerificationKey};
use usersig::ticket::UnixTime;

const SECRET: &[u8] = b"the secret of the customer's own back end";
const NOW: u64 = 1_790_000_000;
const LEEWAY: u64 = 30;
const MAX_LIFETIME: u64 = 86_400;

/// Its private half was thrown away when it had signed [`GENUINE`].
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMwU11bM4VW1DK4QNOPcM8uvNgZvH
eorif07tzba3HaQc/V43Jb73L2En/wrBrHxstWCfEiJ8cz327qwWRJcbSg==
-----END PUBLIC KEY-----
";

/// The header and claims of the one token of that key.
const GENUINE: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImlzcyI6Imh0dHBzOi8vaWRwLmV4YW1wbGUuY29tIiwiYXVkIjoiaW0iLCJleHAiOjE3OTAwMDM2MDB9";

static RULE: LazyLock<JwtCheck> = LazyLock::new(|| rule(VerificationKey::from_secret(SECRET).expect("a secret")));

static PUBLIC_KEY_RULE: LazyLock<JwtCheck> =
    LazyLock::new(|| rule(VerificationKey::from_pem(PUBLIC.as_bytes()).expect("a public key")));

fn rule(key: VerificationKey) -> JwtCheck {
    let settings = JwtSettings {
        requirements: ClaimRequirements {
            issuer: Some("https://idp.example.com".to_owned()),
            audience: vec!["im".to_owned()],
            ..ClaimRequirements::default()
        },
        leeway: LEEWAY,
        max_lifetime: MAX_LIFETIME,
        user: Pointer::to("sub"),
    };
    JwtCheck::new(Keys::One(key), settings).expect("a key needs no client")
}

// The first byte says what is signed; the header ends with the first line.
fuzz_target!(|input: &[u8]| {
    let Some((way, bytes)) = input.split_first() else { return };
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, second) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let token = match way % 4 {
        0 => String::from_utf8_lossy(first).into_owned(),
        // Past the signature, with any header and any claims.
        1 => signed(SECRET, first, second),
        // With the usual header.
        2 => signed(SECRET, br#"{"alg":"HS256"}"#, second),
        // With what everybody knows.
        _ => signed(PUBLIC.as_bytes(), first, second),
    };
    let Ok(credential) = PresentedCredential::new(token.as_bytes()) else { return };
    let check = |rule: &JwtCheck| rule.check(&credential, UnixTime::from_secs(NOW)).now_or_never().expect("a key");
    if check(&PUBLIC_KEY_RULE).is_ok() {
        // The other half of an ECDSA signature's values is one too, of the same claims.
        assert_eq!(token.rsplit_once('.').expect("three parts").0, GENUINE);
    }
    let result = check(&RULE);
    let Ok(session) = result else { return };
    assert!([1, 2].contains(&(way % 4)), "nobody else has signed {token}");
    // Read again by another reader, which keeps the last of two equal names.
    let part = |at: usize| -> Value {
        let part = token.split('.').nth(at).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    };
    assert_eq!(token.split('.').count(), 3);
    let (header, claims) = (part(0), part(1));
    assert_eq!(header["alg"], "HS256");
    assert!(header.get("crit").is_none());
    let expires_at = claims["exp"].as_f64().expect("a time");
    assert!(expires_at > (NOW - LEEWAY - 1) as f64 && expires_at <= (NOW + MAX_LIFETIME + 1) as f64, "{expires_at}");
    assert_eq!(claims["iss"], "https://idp.example.com");
    let names_us = |aud: &Value| aud == "im" || aud.as_array().is_some_and(|list| list.iter().any(|one| one == "im"));
    assert!(names_us(&claims["aud"]));
    let subject = match &claims["sub"] {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        other => panic!("{other} is nobody"),
    };
    assert_eq!(session.subject, subject);
    assert!(!session.subject.is_empty());
    assert_eq!(session.ends_at.expect("an end").as_secs(), expires_at as u64);
});

fn signed(secret: &[u8], header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key").chain_update(&message);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
