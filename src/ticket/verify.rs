//! Decodes a presented ticket. What comes out is unverified until a key has verified it.

use std::io::Read;

use base64::Engine;
use flate2::read::ZlibDecoder;
use hmac::Mac;
use serde::Deserialize;

use super::{BASE64, Fields, PrivateMapFields, SecretKey, TICKET_BASE64, UnixTime, VERSION};

/// The longest ticket that is decoded, in characters. The longest that the types admit is under 500.
const MAX_TICKET: usize = 4096;

/// The most JSON that a ticket may inflate to, in bytes.
const MAX_JSON: u64 = 8192;

/// The fields of a ticket, decoded and not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedTicket {
    /// What it says.
    pub fields: Fields,
    /// The text that is signed, where the fields have what it packs.
    userbuf: Option<String>,
    /// The HMAC-SHA256 that it has.
    mac: [u8; 32],
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedTicket {
    /// Longer than any ticket.
    #[error("is longer than {MAX_TICKET} characters")]
    TooLong,
    /// Not the base64 of a ticket, which writes `*-_` for `+/=`.
    #[error("is not a ticket's base64 (cut off, or changed on its way?)")]
    Base64,
    /// Not zlib, or zlib that inflates to more than any ticket holds.
    #[error("does not inflate to a ticket (cut off, or changed on its way?)")]
    Zlib,
    /// Not the JSON object of a ticket.
    #[error("does not hold the fields of a ticket")]
    Fields,
    /// A version other than 2.0.
    #[error("is not of version {VERSION}")]
    Version,
    /// A signature that is not the base64 of 32 bytes.
    #[error("holds no HMAC-SHA256 signature")]
    Signature,
    /// A userbuf that is not packed as a `PrivateMapKey`'s.
    #[error("holds a userbuf that is not a PrivateMapKey's")]
    Userbuf,
}

impl MalformedTicket {
    /// The error code with which Tencent's servers would refuse the ticket.
    pub const fn tencent_code(self) -> u32 {
        match self {
            Self::TooLong | Self::Base64 | Self::Zlib => 70003,
            Self::Fields | Self::Version | Self::Signature | Self::Userbuf => 70005,
        }
    }
}

#[derive(Deserialize)]
struct Json {
    #[serde(rename = "TLS.ver")]
    version: String,
    #[serde(rename = "TLS.identifier")]
    identifier: String,
    #[serde(rename = "TLS.sdkappid")]
    app: u32,
    #[serde(rename = "TLS.time")]
    time: u64,
    #[serde(rename = "TLS.expire")]
    expire: u64,
    #[serde(rename = "TLS.userbuf")]
    userbuf: Option<String>,
    #[serde(rename = "TLS.sig")]
    mac: String,
}

impl UnverifiedTicket {
    /// Decodes a `UserSig` or `PrivateMapKey` of any implementation.
    ///
    /// # Errors
    /// Names the layer that is not as it should be.
    pub fn decode(ticket: &str) -> Result<Self, MalformedTicket> {
        let json: Json = serde_json::from_slice(&inflate(ticket)?).map_err(|_| MalformedTicket::Fields)?;
        if json.version != VERSION {
            return Err(MalformedTicket::Version);
        }
        // A newline could move text from one signed field into the next.
        if json.identifier.contains('\n') {
            return Err(MalformedTicket::Fields);
        }
        let mac = BASE64.decode(&json.mac).ok().and_then(|mac| mac.try_into().ok());
        let unpack = |userbuf: &String| PrivateMapFields::unpack(userbuf).ok_or(MalformedTicket::Userbuf);
        let fields = Fields {
            sdk_app_id: json.app,
            user_id: json.identifier,
            issued_at: json.time,
            expire: json.expire,
            expires_at: UnixTime::from_secs(json.time).plus(json.expire),
            private_map: json.userbuf.as_ref().map(unpack).transpose()?,
        };
        Ok(Self { fields, userbuf: json.userbuf, mac: mac.ok_or(MalformedTicket::Signature)? })
    }

    /// Whether `key` signed these very fields; compared in constant time.
    #[must_use]
    pub fn is_signed_by(&self, key: &SecretKey) -> bool {
        let Fields { user_id, sdk_app_id, issued_at, expire, .. } = &self.fields;
        let userbuf = self.userbuf.as_ref().map(|userbuf| format!("TLS.userbuf:{userbuf}\n")).unwrap_or_default();
        // A field holds no newline, so the text has one reading only.
        let text = format!(
            "TLS.identifier:{user_id}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{issued_at}\nTLS.expire:{expire}\n{userbuf}"
        );
        key.mac().chain_update(text).verify_slice(&self.mac).is_ok()
    }
}

/// A ticket's text → its JSON, bounded before and after.
fn inflate(ticket: &str) -> Result<Vec<u8>, MalformedTicket> {
    if ticket.len() > MAX_TICKET {
        return Err(MalformedTicket::TooLong);
    }
    let letters = ticket.trim_end_matches('_');
    let is_filled_up = ticket.len() == letters.len().next_multiple_of(4);
    let zlib = TICKET_BASE64.decode(letters).ok().filter(|_| is_filled_up).ok_or(MalformedTicket::Base64)?;
    let mut json = Vec::with_capacity(512);
    let mut reader = ZlibDecoder::new(zlib.as_slice());
    reader.by_ref().take(MAX_JSON + 1).read_to_end(&mut json).map_err(|_| MalformedTicket::Zlib)?;
    let whole = reader.total_in() == zlib.len() as u64;
    if whole && json.len() as u64 <= MAX_JSON { Ok(json) } else { Err(MalformedTicket::Zlib) }
}
