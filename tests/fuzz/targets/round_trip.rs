//! Every ticket that is signed says what it should to an independent inflater and JSON reader, and verifies here.

#![no_main]

use std::io::Read;

use arbitrary::Arbitrary;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sha2::Sha256;
use usersig::ticket::{
    Expected, Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId, Verdict, inspect,
};

#[derive(Debug, Arbitrary)]
struct Asked<'a> {
    key: [u8; 32],
    app: u32,
    user: &'a str,
    time: u64,
    lifetime: u32,
    room: Option<AskedRoom<'a>>,
    privileges: u8,
}

#[derive(Debug, Arbitrary)]
enum AskedRoom<'a> {
    Number(u32),
    Text(&'a str),
}

fuzz_target!(|asked: Asked<'_>| {
    let secret: String = asked.key.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = SecretKey::parse(&secret).expect("64 hex digits");
    let Ok(app) = SdkAppId::try_from(u64::from(asked.app)) else { return };
    let Ok(user) = asked.user.parse::<UserId>() else { return };
    let Ok(lifetime) = Lifetime::try_from(u64::from(asked.lifetime)) else { return };
    let time = UnixTime::from_secs(asked.time);
    let signer = Signer::new(app, key);
    let room = match &asked.room {
        None => None,
        Some(AskedRoom::Number(number)) => Some(Room::number(u64::from(*number))),
        Some(AskedRoom::Text(text)) => Some(Room::text(text)),
    };
    let Ok(room) = room.transpose() else { return };
    let ticket = match &room {
        None => signer.user_sig(&user, time, lifetime),
        Some(room) => {
            let Ok(privileges) = Privileges::try_from(u64::from(asked.privileges)) else { return };
            signer.private_map_key(&user, room, privileges, time, lifetime)
        }
    };
    assert!(ticket.len() < 600 && ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte)));
    let zlib = STANDARD.decode(ticket.replace('*', "+").replace('-', "/").replace('_', "=")).expect("base64");
    let mut json = String::new();
    ZlibDecoder::new(zlib.as_slice()).read_to_string(&mut json).expect("zlib with its checksum");
    let fields: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(fields["TLS.ver"], "2.0");
    assert_eq!(fields["TLS.identifier"], user.as_str());
    assert_eq!(fields["TLS.sdkappid"], json!(asked.app));
    assert_eq!(fields["TLS.time"], json!(asked.time));
    assert_eq!(fields["TLS.expire"], json!(asked.lifetime));
    let userbuf = fields.get("TLS.userbuf").map(|userbuf| userbuf.as_str().expect("text"));
    assert_eq!(userbuf.is_some(), room.is_some());
    let mut text = format!("TLS.identifier:{user}\nTLS.sdkappid:{app}\nTLS.time:{}\nTLS.expire:{}\n", asked.time, asked.lifetime);
    if let Some(userbuf) = userbuf {
        text += &format!("TLS.userbuf:{userbuf}\n");
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(text);
    assert_eq!(fields["TLS.sig"], STANDARD.encode(mac.finalize().into_bytes()));
    let judge = |key, at| inspect(&ticket, &Expected { app: Some(app), key: Some(key), user: Some(user.as_str()), at });
    let inspection = judge(&signer.key, time);
    assert_eq!(inspection.verdict, Verdict::Valid);
    let map = inspection.fields.expect("fields").private_map;
    assert_eq!(map.is_some(), room.is_some());
    if let Some(map) = map {
        assert_eq!(Privileges::from_names(map.privileges).expect("names").mask(), u32::from(asked.privileges));
        match asked.room.expect("a room") {
            AskedRoom::Number(number) => assert_eq!(map.room_id, Some(number)),
            AskedRoom::Text(text) => assert_eq!(map.room_str.as_deref(), Some(text)),
        }
    }
    let other = SecretKey::parse(&"5".repeat(64)).expect("64 hex digits");
    assert!(secret == "5".repeat(64) || judge(&other, time).verdict == Verdict::WrongKey);
});
