//! 144 tickets of the six official libraries: ours agree with each.

use serde_json::Value;
use usersig::ticket::{Expected, KeyVerdict, Privileges, Room, Signer, Verdict, inspect};

use crate::support::ticket::decode;
use crate::{at, key, user, verdict};

#[test]
fn each_is_valid_for_its_own_app_user_key_and_time() {
    for vector in vectors() {
        let text = |name: &str| vector[name].as_str().expect("text");
        let number = |name: &str| vector[name].as_u64().expect("a number");
        let key = key(text("key"));
        let judge = |at| {
            let app = number("sdkAppId").try_into().expect("an SDKAppID");
            let expected = Expected { app: Some(app), key: Some(&key), user: Some(text("userId")), at };
            inspect(text("ticket"), &expected)
        };
        let expires_at = number("time") + number("expire");
        let inspection = judge(at(expires_at));
        assert_eq!((inspection.verdict, inspection.key), (Verdict::Valid, KeyVerdict::Valid), "{vector}");
        assert_eq!(inspection.code, None);
        assert_eq!(judge(at(expires_at + 1)).verdict, Verdict::Expired, "{vector}");
        let fields = inspection.fields.expect("a ticket has fields");
        assert_eq!((fields.issued_at, fields.expire), (number("time"), number("expire")));
        assert_eq!(fields.expires_at, at(expires_at));
        assert_eq!(fields.private_map.is_some(), vector["kind"] != "usersig");
        if let Some(map) = fields.private_map {
            assert_eq!((map.sdk_app_id, map.user_id.as_str()), (fields.sdk_app_id, text("userId")));
            assert_eq!(map.room_id, vector["roomId"].as_u64().map(|room| u32::try_from(room).expect("32 bits")));
            assert_eq!(map.room_str.as_deref(), vector["roomStr"].as_str());
            let mask = Privileges::try_from(number("privilegeMap")).expect("a mask");
            assert_eq!(map.privileges, mask.names().collect::<Vec<_>>());
        }
    }
}

#[test]
fn none_is_valid_under_another_key() {
    let keys: std::collections::HashSet<_> =
        vectors().iter().map(|vector| vector["key"].as_str().expect("text").to_owned()).collect();
    assert!(keys.len() > 1);
    for vector in vectors() {
        let (ticket, right) = (vector["ticket"].as_str().expect("text"), vector["key"].as_str().expect("text"));
        let time = vector["time"].as_u64().expect("a number");
        for wrong in keys.iter().filter(|key| *key != right) {
            assert_eq!(verdict(ticket, &key(wrong), time), Verdict::WrongKey);
        }
        // The secret is used as it stands: its bytes are not the same as the digits in another case.
        assert_eq!(verdict(ticket, &key(&right.to_ascii_uppercase()), time), Verdict::WrongKey);
    }
}

#[test]
fn ours_for_the_same_fields_have_the_same_mac_and_userbuf() {
    for vector in vectors() {
        let text = |name: &str| vector[name].as_str().expect("text");
        let number = |name: &str| vector[name].as_u64().expect("a number");
        let signer = Signer::new(number("sdkAppId").try_into().expect("an SDKAppID"), key(text("key")));
        let user = user(text("userId"));
        let (time, lifetime) = (at(number("time")), number("expire").try_into().expect("a lifetime"));
        let ours = match room(&vector) {
            None => signer.user_sig(&user, time, lifetime),
            Some(room) => {
                let privileges = number("privilegeMap").try_into().expect("a mask");
                signer.private_map_key(&user, &room, privileges, time, lifetime)
            }
        };
        let theirs = vector["fields"].as_object().expect("an object");
        assert_eq!(&decode(text("ticket")), theirs, "the vectors are what they say");
        assert_eq!(&decode(&ours), theirs, "{} {}", text("library"), text("kind"));
    }
}

fn room(vector: &Value) -> Option<Room> {
    let number = vector["roomId"].as_u64().map(|room| Room::number(room).expect("a room's number"));
    number.or_else(|| vector["roomStr"].as_str().map(|room| Room::text(room).expect("a room's name")))
}

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/official-tickets.json")).expect("JSON");
    let tickets = file["tickets"].as_array().expect("a list").clone();
    assert_eq!(tickets.len(), 144);
    tickets
}
