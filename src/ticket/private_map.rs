//! What a `PrivateMapKey` adds to a ticket: a TRTC room and what its holder may do there, packed into the userbuf.

use base64::Engine;
use serde_json::Value;

use super::fields::from_one_to;
use super::{BASE64, FieldError, PrivateMapFields, SdkAppId, UnixTime, UserId};

/// The room that a `PrivateMapKey` opens. TRTC keeps the two kinds apart: room 7 is not room "7".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Number(u32),
    Text(String),
}

impl Room {
    /// A room that clients enter by `roomId`: 1 to 4294967294.
    ///
    /// # Errors
    /// [`FieldError::RoomId`] for any other number.
    pub fn number(room: u64) -> Result<Self, FieldError> {
        from_one_to(u32::MAX - 1, room).map(Kind::Number).map(Self).ok_or(FieldError::RoomId)
    }

    /// A room that clients enter by `strRoomId`: 1 to 64 bytes of TRTC's character set.
    ///
    /// # Errors
    /// [`FieldError::RoomStr`] for any other text.
    pub fn text(room: &str) -> Result<Self, FieldError> {
        // The set that TRTC's documentation of strRoomId lists.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" !#$%&()+-:;<=.>?@[]^_{}|~,".contains(&byte);
        let is_room = (1..=64).contains(&room.len()) && room.bytes().all(allowed);
        is_room.then(|| Self(Kind::Text(room.to_owned()))).ok_or(FieldError::RoomStr)
    }

    /// Whether a JSON value means this room: a number one of the first kind, text one of the second.
    #[must_use]
    pub fn is(&self, value: &Value) -> bool {
        match &self.0 {
            Kind::Number(number) => value.as_u64() == Some((*number).into()),
            Kind::Text(text) => value.as_str() == Some(text),
        }
    }

    /// The userbuf of a ticket that opens this room: big-endian, lengths in bytes, all of it in base64.
    pub(super) fn userbuf(&self, user: &UserId, app: SdkAppId, expires_at: UnixTime, privileges: Privileges) -> String {
        let (version, number, text) = match &self.0 {
            Kind::Number(number) => (0, *number, None),
            Kind::Text(text) => (1, 0, Some(text)),
        };
        // The field has 32 bits: past 2106 the room closes early rather than never.
        let expires_at = u32::try_from(expires_at.as_secs()).unwrap_or(u32::MAX);
        let account_type = 0;
        let mut buf = Vec::with_capacity(128);
        buf.push(version);
        push_text(&mut buf, user.as_str());
        buf.extend([app.get(), number, expires_at, privileges.0, account_type].map(u32::to_be_bytes).as_flattened());
        if let Some(text) = text {
            push_text(&mut buf, text);
        }
        BASE64.encode(buf)
    }
}

/// What the holder of a `PrivateMapKey` may do in the room; at least one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges(u32);

impl Privileges {
    /// Everything.
    pub const ALL: Self = Self(0xff);

    /// Each privilege's name at the place of its bit.
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

    /// The bit mask that TRTC reads.
    pub const fn mask(self) -> u32 {
        self.0
    }

    /// The privileges that `names` list.
    ///
    /// # Errors
    /// When a name is unknown, or none is given.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut mask = 0;
        for name in names {
            let bit = Self::NAMES.iter().position(|known| *known == name).ok_or(FieldError::Privileges)?;
            mask |= 1 << bit;
        }
        Self::try_from(mask)
    }

    /// The names of these privileges, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }

    /// Whether everything in `self` is in `ceiling` too.
    #[must_use]
    pub const fn within(self, ceiling: Self) -> bool {
        self.0 & !ceiling.0 == 0
    }
}

impl TryFrom<u64> for Privileges {
    type Error = FieldError;

    fn try_from(mask: u64) -> Result<Self, FieldError> {
        from_one_to(Self::ALL.0, mask).map(Self).ok_or(FieldError::Privileges)
    }
}

fn push_text(buf: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("user ids and rooms are at most 64 bytes");
    buf.extend(length.to_be_bytes());
    buf.extend(text.as_bytes());
}

impl PrivateMapFields {
    /// Unpacks a userbuf; `None` when it is cut short, has bytes left over, or names an unknown version.
    pub(super) fn unpack(userbuf: &str) -> Option<Self> {
        let bytes = BASE64.decode(userbuf).ok()?;
        let buf = &mut bytes.as_slice();
        let [version] = take(buf)?;
        let user_id = take_text(buf)?;
        let mut number = || take(buf).map(u32::from_be_bytes);
        let (sdk_app_id, room_id, expires_at, privileges) = (number()?, number()?, number()?, number()?);
        let _account_type = number()?;
        let (room_id, room_str) = match version {
            0 => (Some(room_id), None),
            1 => (None, Some(take_text(buf)?)),
            _ => return None,
        };
        // Other writers may set bits without a meaning.
        let privileges = Privileges(privileges).names().collect();
        buf.is_empty().then_some(Self { sdk_app_id, user_id, room_id, room_str, expires_at, privileges })
    }
}

fn take<const N: usize>(buf: &mut &[u8]) -> Option<[u8; N]> {
    buf.split_off(..N)?.try_into().ok()
}

fn take_text(buf: &mut &[u8]) -> Option<String> {
    let length = take(buf).map(u16::from_be_bytes)?;
    String::from_utf8(buf.split_off(..length.into())?.to_vec()).ok()
}
