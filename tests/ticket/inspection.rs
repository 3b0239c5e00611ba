//! Which fault of a ticket is told, and with which code.

use serde_json::Value;
use usersig::ticket::{Expected, KeyVerdict, Privileges, Room, Signer, Verdict, inspect};

use crate::support::ticket::{decode, encode, sign};
use crate::support::{APP, OTHER_APP, OTHER_SECRET, SECRET};
use crate::{TIME, app, at, key, lifetime, user, verdict};

#[test]
fn the_first_fault_in_the_order_app_key_user_expired_is_told() {
    let ticket = Signer::new(app(APP), key(SECRET)).user_sig(&user("alice"), at(TIME), lifetime(60));
    let (right, wrong) = (key(SECRET), key(OTHER_SECRET));
    for faults in subsets(4) {
        let [app_differs, key_differs, user_differs, is_late] = [0, 1, 2, 3].map(|fault| faults.contains(&fault));
        let expected = Expected {
            app: Some(app(if app_differs { OTHER_APP } else { APP })),
            key: Some(if key_differs { &wrong } else { &right }),
            user: Some(if user_differs { "bob" } else { "alice" }),
            at: at(if is_late { TIME + 61 } else { TIME + 60 }),
        };
        let inspection = inspect(&ticket, &expected);
        let (verdict, code) = match faults.first() {
            None => (Verdict::Valid, None),
            Some(0) => (Verdict::WrongApp, Some(70014)),
            Some(1) => (Verdict::WrongKey, Some(70009)),
            Some(2) => (Verdict::WrongUser, Some(70013)),
            Some(_) => (Verdict::Expired, Some(70001)),
        };
        assert_eq!((inspection.verdict, inspection.code), (verdict, code), "{faults:?}");
        let key = if key_differs { KeyVerdict::Wrong } else { KeyVerdict::Valid };
        assert_eq!(inspection.key, key, "what the key says is told beside the verdict");
        assert!(inspection.fields.is_some() && inspection.detail.is_none());
        // Without a key the rest decides.
        let unchecked = inspect(&ticket, &Expected { key: None, ..expected });
        assert_eq!(unchecked.key, KeyVerdict::Unchecked);
        if verdict != Verdict::WrongKey {
            assert_eq!(unchecked.verdict, verdict);
        }
    }
}

#[test]
fn a_private_map_key_of_another_user_or_app_is_not_valid() {
    let room = Room::number(7).expect("a room");
    let map_key = |of: u32, name: &str| {
        let signer = Signer::new(app(of), key(SECRET));
        decode(&signer.private_map_key(&user(name), &room, Privileges::ALL, at(TIME), lifetime(60)))
    };
    for (of, name, valid) in [(APP, "alice", true), (APP, "bob", false), (OTHER_APP, "alice", false)] {
        let mut fields = map_key(APP, "alice");
        fields.insert("TLS.userbuf".to_owned(), map_key(of, name)["TLS.userbuf"].clone());
        sign(&mut fields, SECRET);
        let ticket = encode(&Value::Object(fields).to_string(), 6);
        let expected = if valid { Verdict::Valid } else { Verdict::WrongUser };
        assert_eq!(verdict(&ticket, &key(SECRET), TIME), expected, "{of} {name}");
    }
}

#[test]
fn malformed_comes_before_everything() {
    let key = key(OTHER_SECRET);
    let expected = Expected { app: Some(app(OTHER_APP)), key: Some(&key), user: Some("bob"), at: at(u64::MAX) };
    let inspection = inspect("no ticket", &expected);
    assert_eq!((inspection.verdict, inspection.key), (Verdict::Malformed, KeyVerdict::Unchecked));
    assert!(inspection.fields.is_none() && inspection.detail.is_some());
}

#[test]
fn what_is_not_judged_is_not_held_against_the_ticket() {
    let ticket = Signer::new(app(APP), key(SECRET)).user_sig(&user("alice"), at(TIME), lifetime(60));
    let inspection = inspect(&ticket, &Expected { app: None, key: None, user: None, at: at(TIME) });
    assert_eq!((inspection.verdict, inspection.key), (Verdict::Valid, KeyVerdict::Unchecked));
}

/// Every subset of 0..count, its members in ascending order.
fn subsets(count: usize) -> Vec<Vec<usize>> {
    (0..1_usize << count).map(|mask| (0..count).filter(|bit| mask & 1 << bit != 0).collect()).collect()
}
