//! Any text as a ticket: decoding never panics, costs little, and nothing is valid but what the key has signed.

#![no_main]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use sha2::Sha256;
use usersig::ticket::{Expected, KeyVerdict, SecretKey, UnixTime, UnverifiedTicket, Verdict, inspect};

// No ticket of the corpus is signed with it: what it has signed, this target has.
const SECRET: &str = "f0c1d2e3a4b5968778695a4b3c2d1e0f102132435465768798a9bacbdcedfe0f";

// The first byte says how far past the layers of a ticket the others are put.
fuzz_target!(|input: &[u8]| {
    let Some((way, bytes)) = input.split_first() else { return };
    let ticket = match way % 4 {
        // As it came.
        0 => String::from_utf8_lossy(bytes).into_owned(),
        // Past the base64.
        1 => armour(bytes),
        // Past the compression.
        2 => armour(&zlib(bytes)),
        // Past the signature, if it is JSON.
        _ => match signed(bytes) {
            Some(json) => armour(&zlib(json.as_bytes())),
            None => return,
        },
    };
    let key = SecretKey::parse(SECRET).expect("a secret");
    let expected = Expected { app: None, key: Some(&key), user: None, at: UnixTime::from_secs(0) };
    let inspection = inspect(&ticket, &expected);
    assert_eq!(inspection.code.is_none(), inspection.verdict == Verdict::Valid);
    serde_json::to_vec(&inspection).expect("what is found can be shown");
    match UnverifiedTicket::decode(&ticket) {
        Err(malformed) => {
            assert_eq!(inspection.verdict, Verdict::Malformed);
            assert!([70003, 70005].contains(&malformed.tencent_code()));
        }
        Ok(decoded) => {
            assert!(ticket.len() <= 4096);
            assert_eq!(inspection.key == KeyVerdict::Valid, decoded.is_signed_by(&key));
            assert!(inspection.verdict != Verdict::Valid || inspection.key == KeyVerdict::Valid);
            // A signature that is right is one that this target has made.
            assert!(way % 4 == 3 || !decoded.is_signed_by(&key));
        }
    }
});

fn armour(zlib: &[u8]) -> String {
    STANDARD.encode(zlib).replace('+', "*").replace('/', "-").replace('=', "_")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(bytes).expect("a Vec takes all");
    zlib.finish().expect("a Vec takes all")
}

/// A JSON object with the right MAC over whatever its fields are.
fn signed(json: &[u8]) -> Option<String> {
    let mut fields: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let line = |name: &str| {
        let value = match fields.get(name)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(format!("{name}:{value}\n"))
    };
    let mut text = String::new();
    for name in ["TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire"] {
        text += &line(name)?;
    }
    text += &line("TLS.userbuf").unwrap_or_default();
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key").chain_update(text);
    fields.insert("TLS.sig".to_owned(), STANDARD.encode(mac.finalize().into_bytes()).into());
    Some(Value::Object(fields).to_string())
}
