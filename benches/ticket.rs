//! What a ticket costs and how long it is: ours, its HMAC alone, and the same ticket by flate2 at level 6.
//!
//! `cargo bench --bench ticket` prints medians of all that is on one core and in one run, and then the characters of
//! a thousand tickets for each length of the user id. `cargo bench --bench ticket -- --short` shows that it works.

use std::hint::black_box;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, FlushCompress};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use usersig::ticket::{Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId};

const APP: u32 = 1_400_123_456;
const SECRET: &str = "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0";
const TIME: u64 = 1_790_000_000;
const EXPIRE: u32 = 86_400;

fn main() {
    let short = std::env::args().any(|argument| argument == "--short");
    let (runs, rounds, tickets) = if short { (1, 1, 10) } else { (25, 20, 1000) };
    times(runs, rounds);
    for (name, characters) in [
        ("small letters, digits, _", "abcdefghijklmnopqrstuvwxyz0123456789_"),
        ("hex digits", "0123456789abcdef"),
        ("digits", "0123456789"),
    ] {
        sizes(name, characters, tickets);
    }
}

/// A name, and what signs for the user at a place.
type Contender<'a> = (&'a str, Box<dyn FnMut(usize) -> usize + 'a>);

const USERS: u32 = 256;

/// Prints the median time of a ticket over `runs`, in each of which every contender signs for all users `rounds` times.
fn times(runs: usize, rounds: u32) {
    let mut random = Random(1);
    let users: Vec<_> = (1..=32)
        .cycle()
        .take(USERS as usize)
        .map(|length| random.user("abcdefghijklmnopqrstuvwxyz0123456789_", length))
        .collect();
    let texts: Vec<_> = users.iter().map(|user| signed_text(user, TIME)).collect();
    let (signer, mac, room) = (signer(), mac(), room());
    let (at, lifetime) = (UnixTime::from_secs(TIME), lifetime());
    let mut reused = zlib();

    let mut contenders: [Contender<'_>; 5] = [
        ("HMAC-SHA256 alone, its key prepared", Box::new(|place| hmac(&mac, &texts[place])[0].into())),
        ("UserSig", Box::new(|place| signer.user_sig(&users[place], at, lifetime).len())),
        (
            "PrivateMapKey",
            Box::new(|place| signer.private_map_key(&users[place], &room, Privileges::ALL, at, lifetime).len()),
        ),
        (
            "UserSig by flate2, level 6, state reused",
            Box::new(|place| by_flate2(&mac, &mut reused, &users[place]).len()),
        ),
        (
            "UserSig by flate2, level 6, state made anew",
            Box::new(|place| by_flate2(&mac, &mut zlib(), &users[place]).len()),
        ),
    ];
    let mut nanoseconds = contenders.each_ref().map(|_| Vec::new());
    for _ in 0..runs {
        for ((_, contender), nanoseconds) in contenders.iter_mut().zip(&mut nanoseconds) {
            let start = Instant::now();
            for place in (0..rounds).flat_map(|_| 0..users.len()) {
                black_box(contender(black_box(place)));
            }
            nanoseconds.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds * USERS));
        }
    }
    let medians = nanoseconds.map(|mut nanoseconds| {
        nanoseconds.sort_by(f64::total_cmp);
        nanoseconds[nanoseconds.len() / 2]
    });
    println!("{:44} {:>8} {:>8}", format!("median of {runs} runs"), "ns", "× HMAC");
    for ((name, _), median) in contenders.iter().zip(medians) {
        println!("{name:44} {median:8.0} {:8.2}", median / medians[0]);
    }
}

/// Prints for each length of user ids the characters of `tickets` tickets.
fn sizes(name: &str, characters: &str, tickets: u32) {
    println!("\nids of {name}: mean characters of {tickets} tickets");
    println!(
        "{:>6} {:>8} {:>8} {:>16} {:>14} {:>8}",
        "id", "UserSig", "level 6", "at most longer", "PrivateMapKey", "level 6"
    );
    let (signer, room, lifetime) = (signer(), room(), lifetime());
    let mut random = Random(2);
    let mut zlib = zlib();
    for length in 1..=32 {
        let mut sums = [0_u32; 4];
        let mut longer = isize::MIN;
        for _ in 0..tickets {
            let user = random.user(characters, length);
            let at = UnixTime::from_secs(1_700_000_000 + random.below(200_000_000) as u64);
            let user_sig = signer.user_sig(&user, at, lifetime);
            let private = signer.private_map_key(&user, &room, Privileges::ALL, at, lifetime);
            let level_6 = [&user_sig, &private].map(|ticket| official_length(&mut zlib, ticket));
            for (sum, length) in sums.iter_mut().zip([user_sig.len(), level_6[0], private.len(), level_6[1]]) {
                *sum += u32::try_from(length).expect("short");
            }
            longer = longer.max(user_sig.len().cast_signed() - level_6[0].cast_signed());
        }
        let [ours, theirs, private, private_theirs] = sums.map(|sum| f64::from(sum) / f64::from(tickets));
        println!("{length:6} {ours:8.1} {theirs:8.1} {longer:16} {private:14.1} {private_theirs:8.1}");
    }
}

/// The same ticket, put together by formatting and compressed by flate2.
fn by_flate2(mac: &Hmac<Sha256>, zlib: &mut Compress, user: &UserId) -> String {
    let sig = STANDARD.encode(hmac(mac, &signed_text(user, TIME)));
    let json = format!(
        r#"{{"TLS.ver":"2.0","TLS.identifier":"{user}","TLS.sdkappid":{APP},"TLS.expire":{EXPIRE},"TLS.time":{TIME},"TLS.sig":"{sig}"}}"#
    );
    armour(&compress(zlib, &json))
}

/// How long level 6 makes a ticket, be it in our order of fields or in that of the official libraries.
fn official_length(zlib: &mut Compress, ticket: &str) -> usize {
    let json = inflate(ticket);
    let fields: Vec<_> = json.trim_matches(['{', '}']).split(',').collect();
    let field = |name: &&str| fields.iter().find(|field| field.starts_with(&format!("\"TLS.{name}\"")));
    let order = ["ver", "identifier", "sdkappid", "expire", "time", "userbuf", "sig"];
    let official = format!("{{{}}}", order.iter().filter_map(field).copied().collect::<Vec<_>>().join(","));
    assert_eq!(official.len(), json.len());
    [&json, &official].map(|json| armour(&compress(zlib, json)).len()).into_iter().min().expect("two")
}

fn inflate(ticket: &str) -> String {
    let zlib = STANDARD.decode(ticket.replace('*', "+").replace('-', "/").replace('_', "=")).expect("base64");
    std::io::read_to_string(flate2::read::ZlibDecoder::new(&*zlib)).expect("zlib")
}

fn armour(zlib: &[u8]) -> String {
    STANDARD.encode(zlib).replace('+', "*").replace('/', "-").replace('=', "_")
}

fn zlib() -> Compress {
    Compress::new(Compression::new(6), true)
}

fn compress(zlib: &mut Compress, json: &str) -> Vec<u8> {
    zlib.reset();
    let mut bytes = Vec::with_capacity(1024);
    zlib.compress_vec(json.as_bytes(), &mut bytes, FlushCompress::Finish).expect("room enough");
    bytes
}

fn hmac(mac: &Hmac<Sha256>, text: &str) -> [u8; 32] {
    let mut mac = mac.clone();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn signed_text(user: &UserId, time: u64) -> String {
    format!("TLS.identifier:{user}\nTLS.sdkappid:{APP}\nTLS.time:{time}\nTLS.expire:{EXPIRE}\n")
}

fn mac() -> Hmac<Sha256> {
    Hmac::new_from_slice(SECRET.as_bytes()).expect("a key of any length")
}

fn signer() -> Signer {
    let app = SdkAppId::try_from(u64::from(APP)).expect("an SDKAppID");
    Signer::new(app, SecretKey::parse(SECRET).expect("a secret"))
}

fn lifetime() -> Lifetime {
    u64::from(EXPIRE).try_into().expect("a lifetime")
}

fn room() -> Room {
    Room::number(1_234_567).expect("a room's number")
}

/// Xorshift: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("below a usize")
    }

    fn user(&mut self, characters: &str, length: usize) -> UserId {
        let id: String = (0..length).map(|_| char::from(characters.as_bytes()[self.below(characters.len())])).collect();
        id.parse().expect("a user id")
    }
}
