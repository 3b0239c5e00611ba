//! Signs tickets: one signer for each app and key, prepared once and used for every request.

use base64::Engine;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::zlib::{Segment, Stream};
use super::{BASE64, Lifetime, Privileges, Room, SdkAppId, SecretKey, TICKET_BASE64, UnixTime, UserId, VERSION};

/// Signs tickets of one app with one secret:
/// ```json
/// {"TLS.ver":"2.0","TLS.sdkappid":1,"TLS.identifier":"…","TLS.sig":"…=","TLS.expire":…,"TLS.time":…}
/// {"TLS.ver":"2.0","TLS.sdkappid":1,"TLS.identifier":"…","TLS.sig":"…=","TLS.expire":…,"TLS.time":…,"TLS.userbuf":"…"}
/// ```
/// What an app's tickets have in common is prepared here: the HMAC has taken in the key, and the JSON's constant parts
/// are compressed. A `UserSig` then costs less than 2.5 times its HMAC, and one allocation: the ticket itself.
///
/// The order of the fields is free, and this one makes the ticket short. Each constant part is a segment, compressed once. A
/// segment may repeat text that comes before the variable part in front of it (user, time or lifetime), and how far back that
/// is depends on how long the variable part is. So there is one segment for each length that the variable part can have, and
/// signing picks the one that fits.
pub struct Signer {
    /// The secret that it signs with.
    pub key: SecretKey,
    app: SdkAppId,
    /// Has taken in the key, and the signed text up to the user.
    mac: Hmac<Sha256>,
    /// The signed text between user and time.
    signed_app: String,
    /// Version and app, up to the user: what base64 makes of the whole groups of three bytes.
    head: String,
    /// The bits behind `head`.
    after_head: Stream,
    after_user: Vec<Segment>,
    after_mac: Segment,
    after_expire: Vec<Segment>,
    after_time: Vec<Segment>,
}

/// A placeholder for a character that is not known yet; it matches no character of a ticket.
const UNKNOWN: u8 = 0;

const MAX_TIME_DIGITS: usize = 20;
const MAX_EXPIRE_DIGITS: usize = 9;

impl Signer {
    /// A signer for the tickets of `app`.
    pub fn new(app: SdkAppId, key: SecretKey) -> Self {
        const BEFORE_MAC: &[u8] = br#"","TLS.sig":""#;
        const BEFORE_EXPIRE: &[u8] = br#"","TLS.expire":"#;
        const BEFORE_TIME: &[u8] = br#","TLS.time":"#;
        const BEFORE_USERBUF: &[u8] = br#","TLS.userbuf":""#;
        let before_user = format!(r#"{{"TLS.ver":"{VERSION}","TLS.sdkappid":{app},"TLS.identifier":""#).into_bytes();
        let mut stream = Stream::new();
        stream.segment(&Segment::new(b"", &before_user));
        let with_mac = [BEFORE_MAC, &[UNKNOWN; 44]].concat();
        Self {
            app,
            mac: key.mac().chain_update("TLS.identifier:"),
            key,
            signed_app: format!("\nTLS.sdkappid:{app}\nTLS.time:"),
            head: TICKET_BASE64.encode(stream.take_threes()),
            after_head: stream,
            after_user: for_each_length(UserId::MAX_LEN, &before_user, BEFORE_MAC),
            after_mac: Segment::new(&with_mac, BEFORE_EXPIRE),
            after_expire: for_each_length(MAX_EXPIRE_DIGITS, &[&with_mac, BEFORE_EXPIRE].concat(), BEFORE_TIME),
            after_time: for_each_length(MAX_TIME_DIGITS, BEFORE_TIME, BEFORE_USERBUF),
        }
    }

    /// A `UserSig`: proof to Chat and TRTC that its holder is `user`, for `lifetime` from `issued_at` on.
    pub fn user_sig(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime) -> String {
        self.ticket(user, issued_at, lifetime, None)
    }

    /// A `PrivateMapKey`: a ticket that also lets `user` do in `room` what `privileges` say.
    pub fn private_map_key(
        &self,
        user: &UserId,
        room: &Room,
        privileges: Privileges,
        issued_at: UnixTime,
        lifetime: Lifetime,
    ) -> String {
        let expires_at = issued_at.plus(lifetime.as_secs().into());
        let userbuf = room.userbuf(user, self.app, expires_at, privileges);
        self.ticket(user, issued_at, lifetime, Some(userbuf.as_bytes()))
    }

    /// Puts text together without formatting: that alone would take as long as the rest.
    #[inline]
    fn ticket(&self, user: &UserId, issued_at: UnixTime, lifetime: Lifetime, userbuf: Option<&[u8]>) -> String {
        let user = user.as_str().as_bytes();
        let (mut time, mut expire, mut sig) = ([0; MAX_TIME_DIGITS], [0; MAX_TIME_DIGITS], [0; 44]);
        let time = decimal(issued_at.as_secs(), &mut time);
        let expire = decimal(lifetime.as_secs().into(), &mut expire);
        let mut mac = self.mac.clone();
        for text in [user, self.signed_app.as_bytes(), time, b"\nTLS.expire:", expire, b"\n"] {
            mac.update(text);
        }
        for text in userbuf.map(|userbuf| [b"TLS.userbuf:", userbuf, b"\n"]).into_iter().flatten() {
            mac.update(text);
        }
        BASE64.encode_slice(mac.finalize().into_bytes(), &mut sig).expect("44 characters are 32 bytes");

        let mut stream = self.after_head.clone();
        stream.text(user);
        stream.segment(&self.after_user[user.len()]);
        stream.text(&sig);
        stream.segment(&self.after_mac);
        stream.text(expire);
        stream.segment(&self.after_expire[expire.len()]);
        stream.text(time);
        if let Some(userbuf) = userbuf {
            stream.segment(&self.after_time[time.len()]);
            stream.runs(userbuf);
            stream.text(b"\"");
        }
        stream.text(b"}");
        let zlib = stream.finish();

        // What base64 does not fill stays as it is.
        let mut ticket = vec![b'_'; self.head.len() + zlib.len().div_ceil(3) * 4];
        let (head, rest) = ticket.split_at_mut(self.head.len());
        head.copy_from_slice(self.head.as_bytes());
        TICKET_BASE64.encode_slice(zlib, rest).expect("there is room for base64");
        String::from_utf8(ticket).expect("base64 is ASCII")
    }
}

/// `text` after `past` and any number of unknown characters from 0 to `longest`.
fn for_each_length(longest: usize, past: &[u8], text: &[u8]) -> Vec<Segment> {
    (0..=longest).map(|length| Segment::new(&[past, &vec![UNKNOWN; length]].concat(), text)).collect()
}

/// The decimal digits of a number.
fn decimal(mut number: u64, digits: &mut [u8; MAX_TIME_DIGITS]) -> &[u8] {
    let mut start = digits.len();
    while start == digits.len() || number > 0 {
        start -= 1;
        digits[start] = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
    &digits[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_the_longest() {
        let user: UserId = "Q".repeat(UserId::MAX_LEN).parse().expect("a user id");
        // Capitals have the longest codes, and these are no runs. A userbuf has 121 bytes with a room of 64.
        let userbuf = b"QXYZ".repeat(121_usize.div_ceil(3));
        for app in (0..10).map(|digits| u64::from(u32::MAX) / 10_u64.pow(digits)) {
            let key = SecretKey::parse(&"a".repeat(64)).expect("a secret");
            let signer = Signer::new(app.try_into().expect("an SDKAppID"), key);
            let ticket = signer.ticket(&user, UnixTime::from_secs(u64::MAX), Lifetime::MAX, Some(&userbuf));
            assert!(ticket.len() > 440, "{}", ticket.len());
        }
    }

    #[test]
    fn decimals() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([u64::MAX]) {
            assert_eq!(decimal(number, &mut [0; MAX_TIME_DIGITS]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn fills_up_the_last_four_characters() {
        let key = SecretKey::parse(&"a".repeat(64)).expect("a secret");
        let signer = Signer::new(1.try_into().expect("an SDKAppID"), key);
        let fillings: std::collections::BTreeSet<_> = (0..60)
            .map(|time| {
                let user = "a".repeat(1 + time % 20).parse().expect("a user id");
                let ticket = signer.user_sig(&user, UnixTime::from_secs(time as u64), Lifetime::MAX);
                assert_eq!(ticket.len() % 4, 0, "{ticket}");
                ticket.len() - ticket.trim_end_matches('_').len()
            })
            .collect();
        assert_eq!(fillings, [0, 1, 2].into());
    }
}
