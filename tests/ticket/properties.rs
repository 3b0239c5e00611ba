//! What holds for every ticket, tried on random ones.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use usersig::ticket::{Expected, KeyVerdict, Lifetime, Privileges, Room, Signer, UnverifiedTicket, Verdict, inspect};

use crate::support::ticket::{decode, encode, sign};
use crate::support::{APP, SECRET};
use crate::{TIME, app, at, key, lifetime, user, verdict};

/// What a ticket is signed for.
#[derive(Debug, Clone)]
struct Asked {
    app: u32,
    secret: String,
    user: String,
    time: u64,
    expire: u32,
    room: Option<(AskedRoom, Privileges)>,
}

#[derive(Debug, Clone)]
enum AskedRoom {
    Number(u32),
    Text(String),
}

impl AskedRoom {
    fn room(&self) -> Room {
        match self {
            Self::Number(number) => Room::number((*number).into()).expect("a room's number"),
            Self::Text(text) => Room::text(text).expect("a room's name"),
        }
    }
}

impl Asked {
    fn ticket(&self) -> String {
        let signer = Signer::new(app(self.app), key(&self.secret));
        let (user, time, expire) = (user(&self.user), at(self.time), lifetime(self.expire));
        match &self.room {
            None => signer.user_sig(&user, time, expire),
            Some((room, privileges)) => signer.private_map_key(&user, &room.room(), *privileges, time, expire),
        }
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let number = (1..=4_294_967_294_u32).prop_map(AskedRoom::Number);
    let text = "[A-Za-z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}".prop_map(AskedRoom::Text);
    let privileges = (1..=255_u64).prop_map(|mask| Privileges::try_from(mask).expect("a mask"));
    let room = prop::option::of((prop_oneof![number, text], privileges));
    let expire = 1..=Lifetime::MAX.as_secs();
    (1..=u32::MAX, "[0-9a-fA-F]{64}", "[A-Za-z0-9_-]{1,32}", 0..=u64::from(u32::MAX), expire, room)
        .prop_map(|(app, secret, user, time, expire, room)| Asked { app, secret, user, time, expire, room })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn what_is_signed_verifies(asked in asked()) {
        let ticket = asked.ticket();
        let key = key(&asked.secret);
        let expires_at = asked.time + u64::from(asked.expire);
        for (moment, verdict) in [
            (0, Verdict::Valid),
            (asked.time, Verdict::Valid),
            (expires_at, Verdict::Valid),
            (expires_at + 1, Verdict::Expired),
        ] {
            let expected =
                Expected { app: Some(app(asked.app)), key: Some(&key), user: Some(&asked.user), at: at(moment) };
            let inspection = inspect(&ticket, &expected);
            prop_assert_eq!(inspection.verdict, verdict);
            prop_assert_eq!(inspection.key, KeyVerdict::Valid);
            let fields = inspection.fields.expect("a ticket has fields");
            prop_assert_eq!((fields.sdk_app_id, &fields.user_id), (asked.app, &asked.user));
            prop_assert_eq!((fields.issued_at, fields.expire), (asked.time, u64::from(asked.expire)));
        }
        prop_assert!(ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-_".contains(&byte)));
        prop_assert!(ticket.len() < 500, "{}", ticket.len());
    }

    #[test]
    fn what_is_signed_is_what_the_protocol_says(asked in asked()) {
        let fields = decode(&asked.ticket());
        let mut expected = Map::new();
        expected.insert("TLS.ver".to_owned(), "2.0".into());
        expected.insert("TLS.identifier".to_owned(), asked.user.as_str().into());
        expected.insert("TLS.sdkappid".to_owned(), asked.app.into());
        expected.insert("TLS.time".to_owned(), asked.time.into());
        expected.insert("TLS.expire".to_owned(), asked.expire.into());
        if let Some((room, privileges)) = &asked.room {
            let buf = userbuf(&asked, room, *privileges);
            expected.insert("TLS.userbuf".to_owned(), base64(&buf).into());
        }
        sign(&mut expected, &asked.secret);
        prop_assert_eq!(fields, expected);
    }

    #[test]
    fn any_changed_field_is_noticed(asked in asked(), step in 1..1000_u32, level in 0..=9_u32) {
        let key = key(&asked.secret);
        let genuine = decode(&asked.ticket());
        let untouched = encode(&Value::Object(genuine.clone()).to_string(), level);
        prop_assert_eq!(verdict(&untouched, &key, asked.time), Verdict::Valid, "the level does not matter");
        for name in genuine.keys().map(String::as_str).chain(["TLS.userbuf"]) {
            let mut changed = genuine.clone();
            let other = match (name, changed.get(name)) {
                ("TLS.userbuf", old) => json!(if old.is_none() { base64(&[0; 23]) } else { other_room(old) }),
                ("TLS.sig", Some(mac)) => json!(base64(&flip(&unbase64(mac), step))),
                ("TLS.ver", _) => json!(format!("2.{step}")),
                (_, Some(Value::String(text))) => json!(if text == "x" { "y" } else { "x" }),
                (_, Some(number)) => json!(number.as_u64().expect("a number") ^ u64::from(step)),
                _ => unreachable!("the names are those of the ticket"),
            };
            changed.insert(name.to_owned(), other);
            let ticket = encode(&Value::Object(changed).to_string(), level);
            let verdict = verdict(&ticket, &key, asked.time);
            prop_assert!(matches!(verdict, Verdict::WrongKey | Verdict::Malformed), "{} {:?}", name, verdict);
        }
        for name in genuine.keys() {
            let mut less = genuine.clone();
            less.remove(name);
            let ticket = encode(&Value::Object(less).to_string(), level);
            prop_assert_ne!(verdict(&ticket, &key, asked.time), Verdict::Valid, "without {}", name);
        }
    }

    #[test]
    fn text_that_is_no_ticket_is_malformed(text in ".{0,600}") {
        prop_assert!(UnverifiedTicket::decode(&text).is_err());
    }

    #[test]
    fn text_in_the_alphabet_of_tickets_is_malformed(text in "[A-Za-z0-9*_-]{0,5000}") {
        prop_assert!(UnverifiedTicket::decode(&text).is_err());
    }

    #[test]
    fn zlib_of_anything_does_not_panic(json in ".{0,300}", level in 0..=9_u32) {
        prop_assert!(UnverifiedTicket::decode(&encode(&json, level)).is_err());
    }

    #[test]
    fn a_userbuf_of_anything_does_not_panic(buf in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut fields = decode(&Signer::new(app(APP), key(SECRET)).user_sig(&user("a"), at(TIME), lifetime(1)));
        fields.insert("TLS.userbuf".to_owned(), base64(&buf).into());
        sign(&mut fields, SECRET);
        let verdict = verdict(&encode(&Value::Object(fields).to_string(), 6), &key(SECRET), TIME);
        prop_assert!(matches!(verdict, Verdict::Malformed | Verdict::Valid));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    /// Bits that carry nothing exist: those that fill deflate's last byte and those of zlib's level. A ticket with
    /// another of these is the same ticket, written differently.
    #[test]
    fn any_flipped_bit_is_noticed_or_changes_nothing(asked in asked()) {
        let ticket = asked.ticket();
        let genuine = UnverifiedTicket::decode(&ticket).expect("a ticket");
        let key = key(&asked.secret);
        let mut noticed = 0;
        for (place, bit) in (0..ticket.len()).flat_map(|place| (0..7).map(move |bit| (place, bit))) {
            let mut bytes = ticket.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let changed = String::from_utf8(bytes).expect("seven bits are ASCII");
            if verdict(&changed, &key, asked.time) == Verdict::Valid {
                prop_assert!(UnverifiedTicket::decode(&changed).expect("valid") == genuine, "{}", changed);
            } else {
                noticed += 1;
            }
        }
        prop_assert!(noticed >= ticket.len() * 7 - 16, "only {} of {} are noticed", noticed, ticket.len() * 7);
    }
}

/// The userbuf by the letter of the protocol.
fn userbuf(asked: &Asked, room: &AskedRoom, privileges: Privileges) -> Vec<u8> {
    let expires_at = asked.time + u64::from(asked.expire);
    let text = |text: &str| [&u16::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat();
    let (version, number, name) = match room {
        AskedRoom::Number(number) => (0, *number, Vec::new()),
        AskedRoom::Text(name) => (1, 0, text(name)),
    };
    [
        &[version][..],
        &text(&asked.user),
        &asked.app.to_be_bytes(),
        &number.to_be_bytes(),
        // The field ends in 2106.
        &u32::try_from(expires_at).unwrap_or(u32::MAX).to_be_bytes(),
        &privileges.mask().to_be_bytes(),
        &0_u32.to_be_bytes(),
        &name,
    ]
    .concat()
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn unbase64(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().expect("text")).expect("base64")
}

fn flip(bytes: &[u8], bit: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = usize::try_from(bit).expect("small") % (bytes.len() * 8);
    bytes[place / 8] ^= 1 << (place % 8);
    bytes
}

/// The same userbuf with one bit of the privileges changed.
fn other_room(old: Option<&Value>) -> String {
    let mut buf = unbase64(old.expect("a userbuf"));
    let user = usize::from(u16::from_be_bytes([buf[1], buf[2]]));
    buf[3 + user + 15] ^= 1;
    base64(&buf)
}
