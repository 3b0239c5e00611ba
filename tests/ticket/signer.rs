//! What the signer writes without JSON and zlib libraries, held against both; and how long it is.

use std::thread;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value};
use usersig::ticket::{Lifetime, Privileges, Room, Signer};

use crate::support::SECRET;
use crate::support::ticket::{decode, encode, inflate, sign};
use crate::{app, at, key, lifetime, user};

/// What a ticket is asked for.
#[derive(Debug, Clone)]
struct Asked {
    app: u32,
    user: String,
    time: u64,
    expire: u32,
    room: Option<(Room, u8)>,
}

impl Asked {
    fn ticket(&self, signer: &Signer) -> String {
        let (user, time, expire) = (user(&self.user), at(self.time), lifetime(self.expire));
        match &self.room {
            None => signer.user_sig(&user, time, expire),
            Some((room, mask)) => {
                let privileges = Privileges::try_from(u64::from(*mask)).expect("a mask");
                signer.private_map_key(&user, room, privileges, time, expire)
            }
        }
    }

    /// The JSON to the letter, its userbuf as it is in the ticket: the properties look into that.
    fn json(&self, userbuf: Option<&Value>) -> String {
        let Self { app, user, time, expire, room: _ } = self;
        let mut fields = Map::new();
        fields.insert("TLS.identifier".to_owned(), user.as_str().into());
        fields.insert("TLS.sdkappid".to_owned(), (*app).into());
        fields.insert("TLS.time".to_owned(), (*time).into());
        fields.insert("TLS.expire".to_owned(), (*expire).into());
        fields.extend(userbuf.map(|buf| ("TLS.userbuf".to_owned(), buf.clone())));
        sign(&mut fields, SECRET);
        let (sig, userbuf) = (&fields["TLS.sig"], userbuf.map(|buf| format!(r#","TLS.userbuf":{buf}"#)));
        format!(
            r#"{{"TLS.ver":"2.0","TLS.sdkappid":{app},"TLS.identifier":"{user}","TLS.sig":{sig},"TLS.expire":{expire},"TLS.time":{time}{}}}"#,
            userbuf.unwrap_or_default()
        )
    }

    #[track_caller]
    fn check(&self, signer: &Signer) {
        let ticket = self.ticket(signer);
        let fields = decode(&ticket);
        assert_eq!(inflate(&ticket), self.json(fields.get("TLS.userbuf")), "{ticket}");
        assert_eq!(fields.contains_key("TLS.userbuf"), self.room.is_some());
    }
}

fn number(room: u32) -> Room {
    Room::number(room.into()).expect("a room's number")
}

fn name(room: &str) -> Room {
    Room::text(room).expect("a room's name")
}

#[test]
fn every_edge_is_exact() {
    let users: Vec<String> = (1..=32).map(|length| "Zz_-09aA".repeat(4)[..length].to_owned()).collect();
    let rooms = [
        None,
        Some((number(1), 1)),
        Some((number(4_294_967_294), 255)),
        Some((name(" "), 128)),
        // What base64 writes in capitals and in slashes.
        Some((name(&"@".repeat(64)), 255)),
        Some((name(&"?>~".repeat(21)), 2)),
    ];
    // The least and the greatest number of each length.
    let numbers = |digits: u32| (0..digits).flat_map(|exponent| [10_u64.pow(exponent), 10_u64.pow(exponent) - 1]);
    let times: Vec<_> = numbers(20).chain([1_790_000_000, u64::from(u32::MAX), u64::MAX]).collect();
    let longest = Lifetime::MAX.as_secs();
    let expires: Vec<_> =
        numbers(9).skip(2).filter_map(|expire| u32::try_from(expire).ok()).chain([1, longest]).collect();
    for app_id in [1, 20_003_456, 1_400_000_000, 1_111_111_111, u32::MAX] {
        let signer = Signer::new(app(app_id), key(SECRET));
        let asked = |user: &String, time, expire, room| Asked { app: app_id, user: user.clone(), time, expire, room };
        for room in rooms.clone() {
            for user in &users {
                asked(user, 1_790_000_000, 86_400, room.clone()).check(&signer);
                asked(user, u64::MAX, longest, room.clone()).check(&signer);
            }
            for time in &times {
                asked(&users[4], *time, 86_400, room.clone()).check(&signer);
            }
            for expire in &expires {
                asked(&users[9], 1_790_000_000, *expire, room.clone()).check(&signer);
            }
        }
        // Nothing but capitals, which take the most room.
        asked(&"Q".repeat(32), u64::MAX, longest, rooms[4].clone()).check(&signer);
    }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn text(&mut self, characters: &str, length: u64) -> String {
        let characters = characters.as_bytes();
        let bound = characters.len() as u64;
        (0..length).map(|_| char::from(characters[usize::try_from(self.below(bound)).expect("below")])).collect()
    }
}

/// One of `characters`' strings for each length, `count` times: ours, and what zlib's level 6 makes of the same JSON and
/// of the official libraries' order of fields.
fn lengths(characters: &str, count: usize, room: impl Fn(u64) -> Option<(Room, u8)>) {
    let signer = Signer::new(app(1_400_123_456), key(SECRET));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for length in 1..=32 {
        let (mut ours, mut level_6) = (0, 0);
        for _ in 0..count {
            let user = random.text(characters, length);
            let (time, room) = (1_700_000_000 + random.below(200_000_000), room(random.below(1_000_000)));
            let asked = Asked { app: 1_400_123_456, user, time, expire: 86_400, room };
            let ticket = asked.ticket(&signer);
            let json = inflate(&ticket);
            let theirs = encode(&json, 6).len().min(encode(&in_official_order(&json), 6).len());
            assert!(ticket.len() <= theirs + 8, "{} and {theirs} characters: {json}", ticket.len());
            ours += ticket.len();
            level_6 += theirs;
        }
        assert!(ours <= level_6, "ids of {length} {characters}: {ours} and {level_6} characters in {count} tickets");
    }
}

fn in_official_order(json: &str) -> String {
    let fields: Vec<_> = json.trim_matches(['{', '}']).split(',').collect();
    let order = ["ver", "identifier", "sdkappid", "expire", "time", "userbuf", "sig"];
    let field = |name: &&str| fields.iter().find(|field| field.starts_with(&format!("\"TLS.{name}\"")));
    let ordered: Vec<_> = order.iter().filter_map(field).copied().collect();
    assert_eq!(ordered.len(), fields.len());
    format!("{{{}}}", ordered.join(","))
}

#[test]
fn no_longer_than_zlib_level_6() {
    lengths("abcdefghijklmnopqrstuvwxyz0123456789_", 40, |_| None);
    lengths("0123456789abcdef", 20, |_| None);
    lengths("0123456789", 20, |_| None);
}

#[test]
fn private_map_keys_are_no_longer_than_zlib_level_6() {
    let characters = "abcdefghijklmnopqrstuvwxyz0123456789_";
    lengths(characters, 20, |random| Some((number(u32::try_from(random + 1).expect("small")), 42)));
    lengths(characters, 20, |random| Some((name(&format!("room {random}")), 255)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_is_exact(
        app_id in 1..=u32::MAX,
        user in "[A-Za-z0-9_-]{1,32}",
        // As many of each length in bits.
        (time, shift) in (any::<u64>(), 0..64),
        (expire, digits) in (1..=Lifetime::MAX.as_secs(), 1..10_u32),
        room in prop::option::of((
            prop_oneof![
                (1..=4_294_967_294_u32).prop_map(number),
                "[A-Za-z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}".prop_map(|room| name(&room)),
            ],
            1..=255_u8,
        )),
    ) {
        let expire = (expire % 10_u32.pow(digits)).max(1);
        let asked = Asked { app: app_id, user, time: time >> shift, expire, room };
        asked.check(&Signer::new(app(app_id), key(SECRET)));
    }
}

/// `USERSIG_TICKETS=10000000 cargo test --release --test ticket many_tickets -- --nocapture` makes a long run of it.
#[test]
fn many_tickets_are_exact() {
    let count = std::env::var("USERSIG_TICKETS").map_or(20_000, |count| count.parse().expect("a number"));
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let start = Instant::now();
    let exact: u64 = thread::scope(|scope| {
        let share = |thread: u64| scope.spawn(move || share_of_tickets(thread + 1, count / threads));
        let shares: Vec<_> = (0..threads).map(share).collect();
        shares.into_iter().map(|share| share.join().expect("all are exact")).sum()
    });
    println!("{exact} tickets are exact, checked in {:?}", start.elapsed());
}

fn share_of_tickets(seed: u64, count: u64) -> u64 {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let signers = [1, 20_003_456, 1_400_000_000, u32::MAX].map(|id| (id, Signer::new(app(id), key(SECRET))));
    for turn in 0..count {
        let (app, signer) = &signers[usize::try_from(turn % 4).expect("below")];
        let length = 1 + random.below(32);
        let user = random.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", length);
        // As many of each length in bits.
        let time = random.below(u64::MAX) >> random.below(64);
        let longest = u64::from(Lifetime::MAX.as_secs()) >> random.below(28);
        let expire = u32::try_from(1 + random.below(longest)).expect("a lifetime");
        let mask = u8::try_from(1 + random.below(255)).expect("a mask");
        let room = match random.below(3) {
            0 => None,
            1 => Some((number(u32::try_from(1 + random.below(4_294_967_294)).expect("a room")), mask)),
            _ => {
                let length = 1 + random.below(64);
                Some((name(&random.text("AZaz09 !#$%&()+:;<=.>?@[]^_{}|~,-", length)), mask))
            }
        };
        Asked { app: *app, user, time, expire, room }.check(signer);
    }
    count
}

#[test]
fn a_user_sig_is_one_allocation() {
    let (signer, longest) = (Signer::new(app(u32::MAX), key(SECRET)), user(&"Q".repeat(32)));
    let mut ticket = String::new();
    let made = allocation_counter::measure(|| ticket = signer.user_sig(&longest, at(u64::MAX), Lifetime::MAX));
    assert_eq!(made.count_total, 1);
    assert_eq!(usize::try_from(made.bytes_total), Ok(ticket.capacity()), "the ticket alone, which never grew");
}

#[test]
fn a_mac_is_the_standard_base64_of_32_bytes() {
    let signer = Signer::new(app(1), key(SECRET));
    let mut letters = std::collections::BTreeSet::new();
    for time in 0..200 {
        let fields = decode(&signer.user_sig(&user("a"), at(time), lifetime(1)));
        let sig = fields["TLS.sig"].as_str().expect("text");
        assert_eq!(STANDARD.decode(sig).map(|mac| mac.len()), Ok(32));
        letters.extend(sig.trim_end_matches('=').chars());
    }
    assert_eq!(letters.len(), 64, "every letter was tried");
}
