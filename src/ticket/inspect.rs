//! What a ticket holds and whether it would be accepted: the answer of `usersig inspect` and of `/v1/inspect`.

use serde::Serialize;

use super::{SdkAppId, SecretKey, UnixTime, UnverifiedTicket};

/// What the ticket is held against; what is `None` is not judged.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The app that the ticket should be for.
    pub app: Option<SdkAppId>,
    /// The key that should have signed it.
    pub key: Option<&'a SecretKey>,
    /// The user that it should name.
    pub user: Option<&'a str>,
    /// The moment at which it is judged.
    pub at: UnixTime,
}

/// A ticket's fields and the verdict on it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The first thing found wrong, or `valid`.
    pub verdict: Verdict,
    /// What the key says.
    pub key: KeyVerdict,
    /// The error code that Tencent's clients would see; `null` when valid.
    pub code: Option<u32>,
    /// What is wrong with a malformed ticket, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The decoded fields; absent when malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
}

/// The verdict, in the order in which it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing found wrong with what was judged.
    Valid,
    /// Not a ticket at all.
    Malformed,
    /// For another app.
    WrongApp,
    /// Signed with another key, or changed after it was signed.
    WrongKey,
    /// For another user.
    WrongUser,
    /// Its lifetime is over.
    Expired,
}

/// What is known of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyVerdict {
    /// The given key signed the ticket.
    Valid,
    /// The given key did not sign it.
    Wrong,
    /// No key was there to ask.
    Unchecked,
}

/// The decoded fields of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fields {
    /// `TLS.sdkappid`.
    pub sdk_app_id: u32,
    /// `TLS.identifier`.
    pub user_id: String,
    /// `TLS.time`, in Unix seconds.
    pub issued_at: u64,
    /// `TLS.expire`, in seconds.
    pub expire: u64,
    /// The last Unix second in which the ticket is accepted.
    pub expires_at: UnixTime,
    /// What a `PrivateMapKey` opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_map: Option<PrivateMapFields>,
}

/// The decoded userbuf of a `PrivateMapKey`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateMapFields {
    /// The app that may be entered.
    pub sdk_app_id: u32,
    /// The user that may enter.
    pub user_id: String,
    /// The numeric room; absent for a string room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<u32>,
    /// The string room; absent for a numeric room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_str: Option<String>,
    /// The last Unix second in which the room may be entered.
    pub expires_at: u32,
    /// What is allowed there.
    pub privileges: Vec<&'static str>,
}

/// Decodes `ticket` and judges it: malformed, then app, key, user and lifetime.
pub fn inspect(ticket: &str, expected: &Expected<'_>) -> Inspection {
    let ticket = match UnverifiedTicket::decode(ticket) {
        Ok(ticket) => ticket,
        Err(malformed) => {
            return Inspection {
                verdict: Verdict::Malformed,
                key: KeyVerdict::Unchecked,
                code: Some(malformed.tencent_code()),
                detail: Some(format!("the ticket {malformed}")),
                fields: None,
            };
        }
    };
    let key = match expected.key {
        None => KeyVerdict::Unchecked,
        Some(key) if ticket.is_signed_by(key) => KeyVerdict::Valid,
        Some(_) => KeyVerdict::Wrong,
    };
    let fields = ticket.fields;
    // A userbuf names app and user once more; what was put together of two tickets is of neither user.
    let map_is_anothers = fields
        .private_map
        .as_ref()
        .is_some_and(|map| (map.sdk_app_id, &map.user_id) != (fields.sdk_app_id, &fields.user_id));
    let (verdict, code) = if expected.app.is_some_and(|app| app.get() != fields.sdk_app_id) {
        (Verdict::WrongApp, Some(70014))
    } else if key == KeyVerdict::Wrong {
        (Verdict::WrongKey, Some(70009))
    } else if expected.user.is_some_and(|user| user != fields.user_id) || map_is_anothers {
        (Verdict::WrongUser, Some(70013))
    } else if expected.at > fields.expires_at {
        (Verdict::Expired, Some(70001))
    } else {
        (Verdict::Valid, None)
    };
    Inspection { verdict, key, code, detail: None, fields: Some(fields) }
}
