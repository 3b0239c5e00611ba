//! Texts that are no tickets, and tickets that are none although somebody signed them.

use std::process::Command;

use serde_json::{Map, Value, json};
use usersig::ticket::{Expected, Signer, UnverifiedTicket, Verdict, inspect};

use crate::support::ticket::{armour, decode, encode, inflate, sign, unarmour};
use crate::support::{APP, SECRET};
use crate::{TIME, app, at, key, lifetime, user, verdict};

fn genuine() -> Map<String, Value> {
    decode(&Signer::new(app(APP), key(SECRET)).user_sig(&user("alice"), at(TIME), lifetime(60)))
}

/// A ticket that is rightly signed over these fields, whatever they are.
fn signed(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut fields = genuine();
    change(&mut fields);
    sign(&mut fields, SECRET);
    encode(&Value::Object(fields).to_string(), 6)
}

#[track_caller]
fn assert_malformed(ticket: &str, code: u32) {
    let key = key(SECRET);
    let inspection = inspect(ticket, &Expected { app: None, key: Some(&key), user: None, at: at(TIME) });
    assert_eq!((inspection.verdict, inspection.code), (Verdict::Malformed, Some(code)), "{:?}", inspection.detail);
}

#[test]
fn transport_damage_cannot_be_parsed() {
    let ticket = signed(|_| ());
    assert_eq!(verdict(&ticket, &key(SECRET), TIME), Verdict::Valid, "only the changes below are wrong");
    for cut in 0..ticket.len() {
        assert_malformed(&ticket[..cut], 70003);
    }
    for damaged in [
        "",
        "=",
        &format!("{ticket} "),
        &format!("{ticket}A"),
        &format!("{ticket}____"),
        &ticket.replace('_', "="),
        &ticket.replace('*', "+").replace('-', "/").replace('_', "="),
        &ticket.replace('_', "%5F"),
        &ticket.replacen('e', "é", 1),
        &ticket.repeat(2),
        "中文",
        "AAAA",
        &armour(b""),
        &armour(b"not zlib"),
    ] {
        assert_malformed(damaged, 70003);
    }
}

#[test]
fn output_is_bounded() {
    // 4096 characters can hold three kilobytes of zlib, which inflate to three megabytes.
    let spaces = |count: usize| encode(&format!("{}{}", " ".repeat(count), Value::Object(genuine())), 9);
    let length = Value::Object(genuine()).to_string().len();
    assert!(UnverifiedTicket::decode(&spaces(8192 - length)).is_ok(), "8 KiB are read");
    assert_malformed(&spaces(8193 - length), 70003);
    let bomb = spaces(2_000_000);
    assert!(bomb.len() <= 4096, "{}", bomb.len());
    assert_malformed(&bomb, 70003);
    assert_malformed(&"A".repeat(4097), 70003);
    assert_malformed(&"A".repeat(10_000_000), 70003);
    let stored = encode(&format!("{}{}", " ".repeat(4096), Value::Object(genuine())), 0);
    assert_malformed(&stored, 70003);
}

/// The test runs itself as a child, whose memory nothing else takes.
#[test]
fn a_bomb_is_read_in_little_memory() {
    const CHILD: &str = "USERSIG_TEST_BOMB";
    if let Ok(bomb) = std::env::var(CHILD) {
        let most = || {
            let status = std::fs::read_to_string("/proc/self/status").expect("a process");
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the most that was resident");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB")
        };
        // A little too large: whatever such a ticket needs is there.
        assert_malformed(&encode(&" ".repeat(9000), 9), 70003);
        let before = most();
        for _ in 0..100 {
            assert_malformed(&bomb, 70003);
        }
        let growth = most() - before;
        println!("{} characters: {growth} kB", bomb.len());
        assert!(growth < 1024, "{growth} kB for one bomb");
        return;
    }
    // The most that zlib can make of so many characters: a byte for each 1,032.
    let bomb = encode(&" ".repeat(3_000_000), 9);
    assert!((3900..=4096).contains(&bomb.len()), "{}", bomb.len());
    let child = Command::new(std::env::current_exe().expect("a binary"))
        .args(["--exact", "malformed::a_bomb_is_read_in_little_memory", "--nocapture"])
        .env(CHILD, bomb)
        .status()
        .expect("it ends");
    assert!(child.success(), "{child:?}");
}

#[test]
fn nothing_may_follow_the_zlib_stream() {
    let ticket = signed(|_| ());
    let zlib = unarmour(&ticket);
    assert_eq!(armour(&zlib), ticket);
    assert_malformed(&armour(&[&zlib[..], b"\0"].concat()), 70003);
    assert_malformed(&armour(&[&zlib[..], &zlib[..]].concat()), 70003);
}

#[test]
fn fields_of_another_kind_are_refused_even_when_signed() {
    for (name, value) in [
        ("TLS.ver", json!("1.0")),
        ("TLS.ver", json!("2.00")),
        ("TLS.ver", json!(2.0)),
        ("TLS.identifier", json!(7)),
        ("TLS.identifier", json!(null)),
        ("TLS.identifier", json!("alice\nTLS.sdkappid:1")),
        ("TLS.sdkappid", json!("1400000000")),
        ("TLS.sdkappid", json!(4_294_967_296_u64)),
        ("TLS.sdkappid", json!(-1)),
        ("TLS.sdkappid", json!(1.5)),
        ("TLS.time", json!("1790000000")),
        ("TLS.time", json!(-1)),
        ("TLS.time", json!(1.5)),
        ("TLS.expire", json!(null)),
        ("TLS.expire", json!("86400")),
        ("TLS.expire", json!(-1)),
        ("TLS.userbuf", json!(7)),
        ("TLS.userbuf", json!("")),
        ("TLS.userbuf", json!("AAAA\n")),
        ("TLS.userbuf", json!("not base64!")),
    ] {
        assert_malformed(&signed(|fields| drop(fields.insert(name.to_owned(), value.clone()))), 70005);
    }
    for sig in [json!(""), json!("AAAA"), json!(null), json!(7), json!("*".repeat(44))] {
        let mut fields = genuine();
        fields.insert("TLS.sig".to_owned(), sig);
        assert_malformed(&encode(&Value::Object(fields).to_string(), 6), 70005);
    }
    let text = inflate(&signed(|_| ()));
    for json in ["[]", "null", "{}", "\"eJw\"", "1", &text[..text.len() - 1], &format!("{text}{text}")] {
        assert_malformed(&encode(json, 6), 70005);
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let text = inflate(&signed(|_| ()));
    let twice = text.replacen('{', r#"{"TLS.identifier":"boss","#, 1);
    assert_malformed(&encode(&twice, 6), 70005);
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let ticket = signed(|fields| {
        fields.insert("TLS.time".to_owned(), json!(u64::MAX));
        fields.insert("TLS.expire".to_owned(), json!(u64::MAX));
    });
    assert_eq!(verdict(&ticket, &key(SECRET), u64::MAX), Verdict::Valid);
}
