//! What a `PrivateMapKey` adds to a ticket: a TRTC room and what its holder may do there, packed into the userbuf.

use std::num::{NonZeroU8, NonZeroU32};
use std::str::FromStr;

use super::PrivateMapFields;
use super::fields::{FieldError, UserId};
use super::scratch::Scratch;

/// A numeric TRTC room, 1 to 4294967294.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomId(NonZeroU32);

impl RoomId {
    /// The room's number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u64> for RoomId {
    type Error = FieldError;

    fn try_from(room: u64) -> Result<Self, FieldError> {
        u32::try_from(room)
            .ok()
            .filter(|room| *room != u32::MAX)
            .and_then(NonZeroU32::new)
            .map(Self)
            .ok_or(FieldError::RoomId)
    }
}

/// A string TRTC room: 1 to 64 bytes of TRTC's character set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomStr(Box<str>);

impl RoomStr {
    const MAX_LEN: usize = 64;

    /// The room's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomStr {
    type Err = FieldError;

    fn from_str(room: &str) -> Result<Self, FieldError> {
        // The set that TRTC's documentation of strRoomId lists.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b" !#$%&()+-:;<=.>?@[]^_{}|~,".contains(&byte);
        if (1..=Self::MAX_LEN).contains(&room.len()) && room.bytes().all(allowed) {
            Ok(Self(room.into()))
        } else {
            Err(FieldError::RoomStr)
        }
    }
}

/// The room that a `PrivateMapKey` opens. TRTC keeps the two kinds apart: room 7 is not room "7".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// A room that clients enter by `roomId`.
    Number(RoomId),
    /// A room that clients enter by `strRoomId`.
    Text(RoomStr),
}

/// What the holder of a `PrivateMapKey` may do in the room; at least one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges(NonZeroU8);

impl Privileges {
    /// Everything.
    pub const ALL: Self = Self(NonZeroU8::MAX);

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
    pub const fn mask(self) -> u8 {
        self.0.get()
    }

    /// The privileges that `names` list.
    ///
    /// # Errors
    /// When a name is unknown or there is none.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut mask = 0;
        for name in names {
            let bit = Self::NAMES.iter().position(|known| *known == name).ok_or(FieldError::Privileges)?;
            mask |= 1 << bit;
        }
        NonZeroU8::new(mask).map(Self).ok_or(FieldError::Privileges)
    }

    /// The names of these privileges, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        names(u32::from(self.mask()))
    }

    /// Whether everything in `self` is in `ceiling` too.
    #[must_use]
    pub const fn within(self, ceiling: Self) -> bool {
        self.mask() & !ceiling.mask() == 0
    }
}

impl TryFrom<u64> for Privileges {
    type Error = FieldError;

    fn try_from(mask: u64) -> Result<Self, FieldError> {
        u8::try_from(mask).ok().and_then(NonZeroU8::new).map(Self).ok_or(FieldError::Privileges)
    }
}

/// The names of the bits of `mask` that have one.
fn names(mask: u32) -> impl Iterator<Item = &'static str> {
    Privileges::NAMES.into_iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| name)
}

/// The most bytes that a userbuf has.
pub(super) const MAX_USERBUF: usize = 1 + (2 + UserId::MAX_LEN) + 5 * 4 + (2 + RoomStr::MAX_LEN);

/// The userbuf of a `PrivateMapKey`: big-endian, lengths in bytes.
pub(super) fn userbuf(
    user: &str,
    app: u32,
    room: &Room,
    expires_at: u64,
    privileges: Privileges,
) -> Scratch<MAX_USERBUF> {
    let (version, number, text) = match room {
        Room::Number(room) => (0, room.get(), None),
        Room::Text(room) => (1, 0, Some(room.as_str())),
    };
    let mut buf = Scratch::new();
    buf.push(&[version]);
    push_text(&mut buf, user);
    buf.push(&app.to_be_bytes());
    buf.push(&number.to_be_bytes());
    // The field has 32 bits: past 2106 the room closes early rather than never.
    buf.push(&u32::try_from(expires_at).unwrap_or(u32::MAX).to_be_bytes());
    buf.push(&u32::from(privileges.mask()).to_be_bytes());
    buf.push(&0_u32.to_be_bytes()); // account type
    if let Some(text) = text {
        push_text(&mut buf, text);
    }
    buf
}

fn push_text(buf: &mut Scratch<MAX_USERBUF>, text: &str) {
    let length = u16::try_from(text.len()).expect("user ids and rooms are at most 64 bytes");
    buf.push(&length.to_be_bytes());
    buf.push(text.as_bytes());
}

impl PrivateMapFields {
    /// Unpacks a userbuf; `None` when it is cut short, has bytes left over, or names an unknown version.
    pub(super) fn unpack(mut buf: &[u8]) -> Option<Self> {
        let buf = &mut buf;
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
        let privileges = names(privileges).collect();
        buf.is_empty().then_some(Self { sdk_app_id, user_id, room_id, room_str, expires_at, privileges })
    }
}

fn take<const N: usize>(buf: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = buf.split_first_chunk()?;
    *buf = rest;
    Some(*head)
}

fn take_text(buf: &mut &[u8]) -> Option<String> {
    let length = usize::from(take(buf).map(u16::from_be_bytes)?);
    let (text, rest) = buf.split_at_checked(length)?;
    *buf = rest;
    String::from_utf8(text.to_vec()).ok()
}
