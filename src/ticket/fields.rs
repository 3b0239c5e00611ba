//! The fields of a ticket as types that can only hold what Tencent's servers accept.

use std::fmt;
use std::str::FromStr;

/// Why a value cannot be a ticket's field. The text completes "`field` …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A user id of no or of more than 32 bytes.
    #[error("is 1 to 32 bytes long")]
    UserIdLength,
    /// A user id with a character that Chat and TRTC do not both accept.
    #[error("takes letters, digits, \"_\" and \"-\" only")]
    UserIdCharacter,
    /// An `SDKAppID` outside 1 to 4294967295.
    #[error("is a number from 1 to 4294967295")]
    SdkAppId,
    /// A lifetime of 0 s or of more than 3650 days.
    #[error("is 1 second to 3650 days")]
    Lifetime,
    /// A numeric room outside 1 to 4294967294.
    #[error("is a number from 1 to 4294967294")]
    RoomId,
    /// A string room of no or of more than 64 bytes, or with a character that TRTC refuses.
    #[error("is 1 to 64 letters, digits, spaces or characters of !#$%&()+-:;<=.>?@[]^_{{}}|~,")]
    RoomStr,
    /// Privileges that are none, or a bit that has no meaning.
    #[error(
        "is a mask from 1 to 255, or names of: create, join, send-audio, receive-audio, send-video, receive-video, send-screen, receive-screen"
    )]
    Privileges,
}

/// A user of Chat and TRTC: 1 to 32 bytes of `[A-Za-z0-9_-]`, the set that both products accept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// The longest user id that Tencent accepts, in bytes.
    pub const MAX_LEN: usize = 32;

    /// The user id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = FieldError;

    fn try_from(id: String) -> Result<Self, FieldError> {
        if !(1..=Self::MAX_LEN).contains(&id.len()) {
            return Err(FieldError::UserIdLength);
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return Err(FieldError::UserIdCharacter);
        }
        Ok(Self(id.into_boxed_str()))
    }
}

impl FromStr for UserId {
    type Err = FieldError;

    fn from_str(id: &str) -> Result<Self, FieldError> {
        id.to_owned().try_into()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of an application in Tencent's console; fits 32 bits and is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(try_from = "u64")]
pub struct SdkAppId(u32);

impl SdkAppId {
    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for SdkAppId {
    type Error = FieldError;

    fn try_from(id: u64) -> Result<Self, FieldError> {
        from_one_to(u32::MAX, id).map(Self).ok_or(FieldError::SdkAppId)
    }
}

impl FromStr for SdkAppId {
    type Err = FieldError;

    fn from_str(id: &str) -> Result<Self, FieldError> {
        id.parse::<u64>().map_err(|_| FieldError::SdkAppId)?.try_into()
    }
}

impl fmt::Display for SdkAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long a ticket lives: whole seconds, from 1 to ten years of 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u32);

impl Lifetime {
    /// The longest lifetime that Tencent documents for every product.
    pub const MAX: Self = Self(3650 * 86_400);

    /// The lifetime in seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Lifetime {
    type Error = FieldError;

    fn try_from(seconds: u64) -> Result<Self, FieldError> {
        from_one_to(Self::MAX.0, seconds).map(Self).ok_or(FieldError::Lifetime)
    }
}

/// `number`, when it is 1 to `most`.
pub(super) fn from_one_to(most: u32, number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| (1..=most).contains(number))
}

/// A moment in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The moment `seconds` after the epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The moment `seconds` later; the end of time instead of an overflow.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Whole seconds from `earlier` until `self`; 0 when `self` is not later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
