//! A ticket's JSON as it is written: what is known of an app's tickets as bits, ready to be joined by what is not.

use super::letters::push_base64;
use super::zlib::{End, Segment, WORDS, Writer};
use super::{MAC_LEN, SdkAppId, UserId, VERSION};

/// Characters of a MAC in base64, before the `=`.
const MAC_CHARACTERS: usize = (MAC_LEN * 8).div_ceil(6);
const MAX_TIME_DIGITS: usize = 20;
const MAX_EXPIRE_DIGITS: usize = 9;

/// The constant parts of one app's tickets:
/// ```json
/// {"TLS.ver":"2.0","TLS.sdkappid":1,"TLS.identifier":"…","TLS.sig":"…=","TLS.expire":…,"TLS.time":…}
/// {"TLS.ver":"2.0","TLS.sdkappid":1,"TLS.identifier":"…","TLS.sig":"…=","TLS.expire":…,"TLS.time":…,"TLS.userbuf":"…"}
/// ```
/// The order of the fields is free. This one makes the ticket short, and lets each part repeat what it can without
/// reaching back over more than one blank of varying length: hence a segment for each length that this may have.
pub(super) struct Layout {
    /// Version and app, up to the user: the whole groups of three bytes, as the ticket's first characters.
    head: String,
    /// The bits behind `head`.
    head_end: End,
    after_user: Vec<Segment>,
    after_mac: Segment,
    after_expire: Vec<Segment>,
    after_time: Vec<Segment>,
    after_last_time: Segment,
    after_userbuf: Segment,
}

/// What differs from ticket to ticket, as it stands in the JSON.
pub(super) struct Variables<'a> {
    pub user: &'a UserId,
    pub mac: &'a [u8; MAC_LEN],
    pub expire: &'a [u8],
    pub time: &'a [u8],
    pub userbuf: Option<&'a [u8]>,
}

impl Layout {
    pub(super) fn new(app: SdkAppId) -> Self {
        const BEFORE_MAC: &[u8] = br#"","TLS.sig":""#;
        const BEFORE_EXPIRE: &[u8] = br#"=","TLS.expire":"#;
        const BEFORE_TIME: &[u8] = br#","TLS.time":"#;
        const BEFORE_USERBUF: &[u8] = br#","TLS.userbuf":""#;
        let before_user = format!(r#"{{"TLS.ver":"{VERSION}","TLS.sdkappid":{app},"TLS.identifier":""#).into_bytes();
        let mac = [UNKNOWN; MAC_CHARACTERS];

        let mut words = [0; WORDS];
        let mut stream = Writer::new(&mut words);
        stream.constant(&before_user);
        let (length, head_end) = stream.cut();
        let mut head = Vec::new();
        push_base64(&mut head, &words, length);
        Self {
            head: String::from_utf8(head).expect("base64 is ASCII"),
            head_end,
            after_user: for_each_length(UserId::MAX_LEN, &before_user, BEFORE_MAC),
            after_mac: Segment::new(&[BEFORE_MAC, &mac].concat(), BEFORE_EXPIRE),
            after_expire: for_each_length(MAX_EXPIRE_DIGITS, &[BEFORE_MAC, &mac, BEFORE_EXPIRE].concat(), BEFORE_TIME),
            after_time: for_each_length(MAX_TIME_DIGITS, BEFORE_TIME, BEFORE_USERBUF),
            after_last_time: Segment::new(b"", b"}"),
            after_userbuf: Segment::new(b"", b"\"}"),
        }
    }

    /// The text of a ticket.
    pub(super) fn ticket(&self, variables: &Variables<'_>) -> String {
        let Variables { user, mac, expire, time, userbuf } = *variables;
        let user = user.as_str().as_bytes();
        let mut words = [0; WORDS];
        let mut stream = Writer::resume(&mut words, &self.head_end);
        stream.text(user);
        stream.segment(&self.after_user[user.len()]);
        stream.base64(mac);
        stream.segment(&self.after_mac);
        stream.text(expire);
        stream.segment(&self.after_expire[expire.len()]);
        stream.text(time);
        if let Some(userbuf) = userbuf {
            stream.segment(&self.after_time[time.len()]);
            stream.runs(userbuf);
            stream.segment(&self.after_userbuf);
        } else {
            stream.segment(&self.after_last_time);
        }
        let length = stream.finish();

        // The last words are written whole, then cut.
        let mut text = Vec::with_capacity(self.head.len() + length.div_ceil(24) * 32);
        text.extend_from_slice(self.head.as_bytes());
        push_base64(&mut text, &words, length);
        String::from_utf8(text).expect("base64 is ASCII")
    }
}

/// Stands for a character that is not known, and matches none that is.
const UNKNOWN: u8 = 0;

/// `text` after `past` and any number of unknown characters from 0 to `longest`.
fn for_each_length(longest: usize, past: &[u8], text: &[u8]) -> Vec<Segment> {
    (0..=longest).map(|length| Segment::new(&[past, &vec![UNKNOWN; length]].concat(), text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a user id of 32 bytes and a room of 64.
    const MAX_USERBUF: usize = 1 + (2 + 32) + 5 * 4 + (2 + 64);

    #[test]
    fn there_is_room_for_the_longest() {
        let user = "Q".repeat(UserId::MAX_LEN).parse().expect("a user id");
        // Capitals have the longest codes, and these are no runs.
        let userbuf = b"QXYZ".repeat(MAX_USERBUF.div_ceil(3));
        let (mac, expire, time) = (&[0; MAC_LEN], &[b'9'; MAX_EXPIRE_DIGITS], &[b'9'; MAX_TIME_DIGITS]);
        let variables = Variables { user: &user, mac, expire, time, userbuf: Some(&userbuf) };
        for app in (0..10).map(|digits| u64::from(u32::MAX) / 10_u64.pow(digits)) {
            let ticket = Layout::new(app.try_into().expect("an SDKAppID")).ticket(&variables);
            assert!(ticket.len() > 460, "{}", ticket.len());
        }
    }
}
