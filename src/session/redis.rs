//! The `redis` check: reads the session where the back end's framework put it.

use std::time::Duration;

use redis::{FromRedisValue, Pipeline, Value, from_redis_value};
use tokio::sync::Semaphore;

use super::cookie_encoding::CookieEncoding;
use super::credential::PresentedCredential;
use super::document::{Conditions, Document, Pointer};
use super::error::{CheckError, Denial, Fault};
use super::session::Session;
use crate::client::{self, Deadline, RedisServer, RedisSettings};
use crate::ticket::UnixTime;

/// The longest value that is read, in bytes.
const MAX_VALUE: usize = 64 * 1024;

/// Where sessions are in which Redis, and what their values are.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisCheckSettings {
    /// How the session's id is wrapped in the credential.
    pub encoding: CookieEncoding,
    /// The session's key, around its id.
    pub key: KeyTemplate,
    /// The field of a hash; `None` when the key holds a string.
    pub field: Option<String>,
    /// What the value is.
    pub decode: Decode,
    /// A session with less than this left is refused: it ends so long before its key.
    pub min_ttl: Duration,
    /// A key whose existence denies the session, around the subject.
    pub deny_if_exists: Option<KeyTemplate>,
    /// Members of a JSON value that must have these values.
    pub require: Conditions,
    /// How the server is reached.
    pub server: RedisSettings,
    /// How many sessions may be read at once.
    pub max_in_flight: usize,
}

/// What a session's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decode {
    /// The subject itself.
    Text,
    /// A JSON object with the subject there.
    Json(Pointer),
    /// A string in Java's serialization, the subject itself.
    JavaString,
}

/// A key with a variable part; it begins with a literal, so that it cannot reach another family's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    before: String,
    after: String,
}

impl KeyTemplate {
    /// A template with one `variable` (such as `{id}`) behind a literal.
    pub fn parse(template: &str, variable: &str) -> Option<Self> {
        let (before, after) = template.split_once(variable)?;
        let one_variable = !before.is_empty() && !before.contains(['{', '}']) && !after.contains(['{', '}']);
        one_variable.then(|| Self { before: before.to_owned(), after: after.to_owned() })
    }

    fn with(&self, value: &str) -> String {
        format!("{}{value}{}", self.before, self.after)
    }
}

/// Reads sessions from one Redis.
pub struct RedisCheck {
    settings: RedisCheckSettings,
    server: RedisServer,
    slots: Semaphore,
}

impl RedisCheck {
    /// A check that has read nothing yet.
    ///
    /// # Errors
    /// As for [`RedisServer::new`].
    pub fn new(settings: RedisCheckSettings) -> Result<Self, String> {
        let server = RedisServer::new(&settings.server)?;
        Ok(Self { server, slots: Semaphore::new(settings.max_in_flight), settings })
    }

    /// Reads the session whose id `credential` holds.
    ///
    /// # Errors
    /// Denied when it is not there or not what it should be; a fault when Redis does not answer.
    pub async fn check(&self, credential: &PresentedCredential, now: UnixTime) -> Result<Session, CheckError> {
        let id = self.settings.encoding.decode(credential.as_str())?;
        if !is_session_id(&id) {
            return Err(Denial::SessionId.into());
        }
        let _slot = self.slots.try_acquire().map_err(|_| Fault::Busy)?;
        self.read(&id, now).await
    }

    /// How many questions may be under way at once.
    pub(super) const fn max_in_flight(&self) -> usize {
        self.settings.max_in_flight
    }

    /// Whether Redis answers, and lets us read all that a check reads.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<String, Fault> {
        // An id that no framework makes, so that nobody's session is read.
        if let Err(CheckError::Fault(fault)) = self.read("usersig-probe-000", UnixTime::from_secs(0)).await {
            return Err(fault);
        }
        if let Some(template) = &self.settings.deny_if_exists
            && let Err(CheckError::Fault(fault)) =
                self.exists(&template.with("usersig-probe"), self.server.deadline()).await
        {
            return Err(fault);
        }
        Ok("answers, and lets us read sessions".to_owned())
    }

    async fn read(&self, id: &str, now: UnixTime) -> Result<Session, CheckError> {
        let (key, deadline) = (self.settings.key.with(id), self.server.deadline());
        let (value, left) = match &self.settings.field {
            Some(field) => self.read_field(&key, field, deadline).await?,
            None => self.read_string(&key, deadline).await?,
        };
        if value.as_ref().is_some_and(|value| value.len() > MAX_VALUE) {
            return Err(Fault::LongValue(MAX_VALUE).into());
        }
        let session = self.validate(value, left, now)?;
        if let Some(template) = &self.settings.deny_if_exists
            && self.exists(&template.with(&session.subject), deadline).await?
        {
            return Err(Denial::Disabled.into());
        }
        Ok(session)
    }

    /// A string's beginning, which shows whether it is too long, and the milliseconds that are left of it.
    async fn read_string(&self, key: &str, deadline: Deadline) -> Result<(Option<Vec<u8>>, i64), CheckError> {
        let mut commands = redis::pipe();
        commands.cmd("GETRANGE").arg(key).arg(0).arg(MAX_VALUE).cmd("PTTL").arg(key);
        self.ask(commands, deadline).await
    }

    /// The same of a hash's field. It has no GETRANGE, so its length is asked for first.
    async fn read_field(
        &self,
        key: &str,
        field: &str,
        deadline: Deadline,
    ) -> Result<(Option<Vec<u8>>, i64), CheckError> {
        let mut commands = redis::pipe();
        commands.cmd("HSTRLEN").arg(key).arg(field).cmd("PTTL").arg(key);
        let (length, left): (usize, i64) = self.ask(commands, deadline).await?;
        if length > MAX_VALUE {
            return Err(Fault::LongValue(MAX_VALUE).into());
        }
        // Even where there is nothing, so that a right that is missing shows before there is a session.
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(key).arg(field);
        let ((value,),): ((Option<Vec<u8>>,),) = self.ask(commands, deadline).await?;
        Ok((value, left))
    }

    async fn exists(&self, key: &str, deadline: Deadline) -> Result<bool, CheckError> {
        let mut commands = redis::pipe();
        commands.cmd("EXISTS").arg(key);
        let (exists,) = self.ask(commands, deadline).await?;
        Ok(exists)
    }

    async fn ask<T: FromRedisValue>(&self, commands: Pipeline, deadline: Deadline) -> Result<T, CheckError> {
        let answers = Value::Array(self.server.ask(commands, deadline).await?);
        match answers.extract_error().and_then(|answers| Ok(from_redis_value(answers)?)) {
            Ok(answers) => Ok(answers),
            Err(error) if error.code() == Some("WRONGTYPE") => Err(Denial::WrongValue.into()),
            Err(error) => Err(client::Error::from(error).into()),
        }
    }

    /// A key's value and the milliseconds that are left of it, or -1 → the session.
    fn validate(&self, value: Option<Vec<u8>>, left: i64, now: UnixTime) -> Result<Session, Denial> {
        let value = value.ok_or(Denial::UnknownSession)?;
        let ends_at = match left {
            -1 => None,
            left => {
                let left = Duration::from_millis(u64::try_from(left).map_err(|_| Denial::UnknownSession)?);
                let left = left.checked_sub(self.settings.min_ttl).ok_or(Denial::AboutToExpire)?;
                Some(now.plus(left.as_secs()))
            }
        };
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok("") => Err(Denial::NoUser),
            Ok(text) => Ok((text.to_owned(), Document::default())),
            Err(_) => Err(Denial::WrongValue),
        };
        let (subject, document) = match &self.settings.decode {
            Decode::Text => text(&value)?,
            Decode::JavaString => text(java_string(&value).ok_or(Denial::WrongValue)?)?,
            Decode::Json(user) => {
                let document = Document::parse(&value).map_err(|_| Denial::WrongValue)?;
                if !self.settings.require.all_hold(&document) {
                    return Err(Denial::Requirement);
                }
                (document.subject(user)?, document)
            }
        };
        Ok(Session { subject, ends_at, document })
    }
}

/// The bytes of a `java.lang.String` as `ObjectOutputStream` writes it: `STREAM_MAGIC`, version 5, `TC_STRING`, length.
/// Anything else is never deserialized.
fn java_string(value: &[u8]) -> Option<&[u8]> {
    let (length, text) = value.strip_prefix(&[0xac, 0xed, 0x00, 0x05, 0x74])?.split_first_chunk()?;
    (usize::from(u16::from_be_bytes(*length)) == text.len()).then_some(text)
}

/// Whether `id` is what frameworks make: long enough not to be guessed, and unable to name another key.
fn is_session_id(id: &str) -> bool {
    (16..=512).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.~-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_strings_are_read_and_nothing_else_of_java_is() {
        assert_eq!(java_string(b"\xac\xed\x00\x05t\x00\x05alice"), Some(&b"alice"[..]));
        for bytes in [
            &b"\xac\xed\x00\x05t\x00\x06alice"[..],
            b"\xac\xed\x00\x05t\x00\x04alice",
            b"\xac\xed\x00\x05sr\x00",
            b"alice",
            b"",
        ] {
            assert_eq!(java_string(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn ids_cannot_name_another_key() {
        assert!(is_session_id("QF_mCy0GRGGfvzSY4qP_rV1Y7b4nLRzU"));
        for id in [
            "short",
            "../../../../../../etc",
            "****************",
            "expires:QF_mCy0GRGGfvzSY4q",
            "a b c d e f g h i j",
            "",
        ] {
            assert!(!is_session_id(id), "{id}");
        }
        assert!(!is_session_id(&"a".repeat(513)));
    }

    #[test]
    fn templates_have_a_literal_and_one_variable() {
        let key = KeyTemplate::parse("sess:{id}", "{id}").expect("a template");
        assert_eq!(key.with("x"), "sess:x");
        for template in ["{id}", "sess:", "sess:{user}", "a{id}b{id}", "{x}{id}"] {
            assert_eq!(KeyTemplate::parse(template, "{id}"), None, "{template}");
        }
    }
}
