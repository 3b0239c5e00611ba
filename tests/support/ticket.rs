//! Takes tickets apart and puts them together by the letter of the protocol, without the code under test.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

/// The JSON object in a ticket.
pub(crate) fn decode(ticket: &str) -> Map<String, Value> {
    serde_json::from_str(&inflate(ticket)).expect("a ticket holds a JSON object")
}

/// The JSON text in a ticket.
pub(crate) fn inflate(ticket: &str) -> String {
    let mut json = String::new();
    ZlibDecoder::new(unarmour(ticket).as_slice()).read_to_string(&mut json).expect("zlib");
    json
}

/// The ticket that holds this JSON text.
pub(crate) fn encode(json: &str, level: u32) -> String {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::new(level));
    zlib.write_all(json.as_bytes()).expect("a Vec takes all");
    armour(&zlib.finish().expect("a Vec takes all"))
}

/// The base64 of tickets.
pub(crate) fn armour(zlib: &[u8]) -> String {
    STANDARD.encode(zlib).replace('+', "*").replace('/', "-").replace('=', "_")
}

/// The bytes behind the base64 of a ticket.
pub(crate) fn unarmour(ticket: &str) -> Vec<u8> {
    STANDARD.decode(ticket.replace('*', "+").replace('-', "/").replace('_', "=")).expect("a ticket's base64")
}

/// Puts the right MAC into a ticket's fields, whatever they are.
pub(crate) fn sign(fields: &mut Map<String, Value>, secret: &str) {
    let value = |name: &str| match &fields[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |name: &str| format!("{name}:{}\n", value(name));
    let mut text: String = ["TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire"].into_iter().map(line).collect();
    if fields.contains_key("TLS.userbuf") {
        text.push_str(&line("TLS.userbuf"));
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length").chain_update(text);
    fields.insert("TLS.sig".to_owned(), STANDARD.encode(mac.finalize().into_bytes()).into());
}
