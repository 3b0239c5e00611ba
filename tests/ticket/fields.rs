//! The edges of what each field of a ticket may hold.

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::json;
use usersig::ticket::{Expected, FieldError, Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UserId, inspect};

use crate::support::{APP, SECRET};
use crate::{TIME, app, at, key, lifetime, user};

#[test]
fn user_ids() {
    let parse = |id: &str| id.parse::<UserId>().map(|user| user.as_str().to_owned());
    for id in ["a", "0", "_", "-", "Z9-_", &"x".repeat(32)] {
        assert_eq!(parse(id), Ok(id.to_owned()));
    }
    for id in ["", &"x".repeat(33)] {
        assert_eq!(parse(id), Err(FieldError::UserIdLength), "{id}");
    }
    for id in ["a b", " a", "a\n", "a\0", "@TIM#a", "a.b", "a@b", "é", "中", "\u{ff21}", "a:b", "a/b", "\u{202e}a"] {
        assert_eq!(parse(id), Err(FieldError::UserIdCharacter), "{id}");
    }
    assert_eq!(parse(&"中".repeat(11)), Err(FieldError::UserIdLength), "lengths are bytes");
}

#[test]
fn app_numbers() {
    for id in [1, 4_294_967_295_u64] {
        assert_eq!(SdkAppId::try_from(id).map(|app| u64::from(app.get())), Ok(id));
        assert_eq!(id.to_string().parse::<SdkAppId>().map(|app| u64::from(app.get())), Ok(id));
    }
    for id in [0, 4_294_967_296, u64::MAX] {
        assert_eq!(SdkAppId::try_from(id), Err(FieldError::SdkAppId));
    }
    for text in ["", "0", "-1", "4294967296", "1.0", " 1", "1 ", "0x1", "١", "18446744073709551616"] {
        assert_eq!(text.parse::<SdkAppId>(), Err(FieldError::SdkAppId), "{text}");
    }
}

#[test]
fn lifetimes() {
    for seconds in [1, 315_360_000_u64] {
        assert_eq!(Lifetime::try_from(seconds).map(|lifetime| u64::from(lifetime.as_secs())), Ok(seconds));
    }
    for seconds in [0, 315_360_001, 4_294_967_296, u64::MAX] {
        assert_eq!(Lifetime::try_from(seconds), Err(FieldError::Lifetime), "{seconds}");
    }
}

#[test]
fn rooms() {
    for room in [1, 4_294_967_294_u64] {
        assert!(Room::number(room).expect("a room").is(&json!(room)));
    }
    for room in [0, 4_294_967_295, 4_294_967_296, u64::MAX] {
        assert_eq!(Room::number(room), Err(FieldError::RoomId), "{room}");
    }
    for room in ["7", " ", "live", &"x".repeat(64), "!#$%&()+-:;<=.>?@[]^_{}|~,"] {
        assert!(Room::text(room).expect("a room").is(&json!(room)));
    }
    for room in ["", &"x".repeat(65), "a\n", "a\0", "a\"b", "a'b", "a*b", "a/b", "a\\b", "a`b", "é", "直播"] {
        assert_eq!(Room::text(room), Err(FieldError::RoomStr), "{room}");
    }
}

#[test]
fn a_room_by_its_number_is_no_room_by_its_name() {
    let (number, text) = (Room::number(7).expect("a room"), Room::text("7").expect("a room"));
    assert!(number.is(&json!(7)) && text.is(&json!("7")));
    for other in [json!(8), json!("7"), json!(7.5), json!(-7), json!(null), json!([7])] {
        assert!(!number.is(&other), "{other}");
    }
    for other in [json!("8"), json!(7), json!(null), json!(["7"])] {
        assert!(!text.is(&other), "{other}");
    }
}

#[test]
fn privileges() {
    const NAMES: [&str; 8] = [
        "create",
        "join",
        "send-audio",
        "receive-audio",
        "send-video",
        "receive-video",
        "send-screen",
        "receive-screen",
    ];
    for (bit, name) in NAMES.into_iter().enumerate() {
        let one = Privileges::from_names([name]).expect("a privilege");
        assert_eq!(one.mask(), 1 << bit, "{name}");
        assert!(one.within(Privileges::ALL) && !Privileges::ALL.within(one));
    }
    assert_eq!(Privileges::from_names(NAMES), Ok(Privileges::ALL));
    assert_eq!(Privileges::ALL.mask(), 255);
    let audience = Privileges::from_names(["join", "receive-audio", "receive-video"]).expect("privileges");
    assert_eq!(audience.mask(), 42);
    for mask in [0, 256, 511, u64::MAX] {
        assert_eq!(Privileges::try_from(mask), Err(FieldError::Privileges), "{mask}");
    }
    for names in [&[][..], &[""], &["Join"], &["join", "admin"], &["join "]] {
        assert_eq!(Privileges::from_names(names.iter().copied()), Err(FieldError::Privileges), "{names:?}");
    }
}

#[test]
fn a_room_closes_early_rather_than_never_when_its_field_is_full() {
    let room = Room::number(7).expect("a room's number");
    let signer = Signer::new(app(APP), key(SECRET));
    let ticket = signer.private_map_key(&user("a"), &room, Privileges::ALL, at(u64::from(u32::MAX)), lifetime(60));
    let inspection = inspect(&ticket, &Expected { app: None, key: None, user: None, at: at(0) });
    assert_eq!(inspection.fields.and_then(|fields| fields.private_map).map(|map| map.expires_at), Some(u32::MAX));
}

#[test]
fn secrets() {
    let refusal = |text: &str| SecretKey::parse(text).expect_err("no secret");
    assert!(refusal("").starts_with("is empty;"));
    assert!(refusal("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49").starts_with("is a PEM private key of"));
    let not_hex = |length| format!("is {length} characters and not 64 hex digits;");
    for length in [1, 63, 65, 128] {
        assert!(refusal(&"a".repeat(length)).starts_with(&not_hex(length)));
    }
    assert!(refusal(&"z".repeat(64)).starts_with(&not_hex(64)));
    // White space around a secret is none of it: files end in a newline.
    let ticket = |secret: &str| Signer::new(app(APP), key(secret)).user_sig(&user("a"), at(TIME), lifetime(1));
    assert_eq!(ticket(SECRET), ticket(&format!("\t{SECRET}\r\n")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn names_and_masks_say_the_same(names in subsequence(Privileges::ALL.names().collect::<Vec<_>>(), 1..=8)) {
        let privileges = Privileges::from_names(names.iter().copied()).expect("privileges");
        prop_assert_eq!(privileges.names().collect::<Vec<_>>(), names);
        prop_assert_eq!(Privileges::try_from(u64::from(privileges.mask())), Ok(privileges));
    }
}
