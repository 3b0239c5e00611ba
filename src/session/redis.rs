//! The `redis` check: reads the session where the back end's framework put it.

use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{AsyncCommands, RedisError};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::redis_server::{RedisAddress, RedisServer};
use super::{CheckContext, CheckError, Denial, Document, Fault, Pointer, Session};

/// Where a session is in Redis, and how to read it.
pub struct RedisSettings {
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
    pub require: Vec<(Pointer, Value)>,
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
    /// A template in which `variable` (such as `{id}`) stands once, behind a literal.
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
    settings: RedisSettings,
    server: RedisServer,
    slots: Semaphore,
}

impl RedisCheck {
    /// A check by these settings of sessions in that server, at most `max_in_flight` at once.
    ///
    /// # Errors
    /// When the URL or the certificates cannot be used.
    pub fn new(settings: RedisSettings, address: RedisAddress, max_in_flight: usize) -> Result<Self, RedisError> {
        Ok(Self { settings, server: RedisServer::new(address)?, slots: Semaphore::new(max_in_flight) })
    }

    /// Reads the session `id`.
    ///
    /// # Errors
    /// Denied when it is not there or not what it should be; a fault when Redis does not answer.
    pub async fn check(&self, id: &str, context: &CheckContext<'_>) -> Result<Session, CheckError> {
        if !is_session_id(id) {
            return Err(Denial::SessionId.into());
        }
        let _slot = self.slots.try_acquire().map_err(|_| Fault::Busy)?;
        self.server.run(CheckError::fault, async |connection| self.read(connection, id, context).await).await
    }

    /// Whether Redis answers, and lets us read all that a check reads.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<String, Fault> {
        // An id that no framework makes, so that nobody's session is read.
        let look = async |mut connection: ConnectionManager| {
            match self.read(connection.clone(), "usersig-probe-000", &CheckContext::probe()).await {
                Err(CheckError::Fault(fault)) => return Err(fault),
                Ok(_) | Err(CheckError::Denied(_)) => {}
            }
            if let Some(template) = &self.settings.deny_if_exists {
                connection.exists::<_, bool>(template.with("usersig-probe")).await?;
            }
            Ok("answers, and lets us read sessions".to_owned())
        };
        self.server.run(|fault: &Fault| Some(fault), look).await
    }

    async fn read(
        &self,
        mut connection: ConnectionManager,
        id: &str,
        context: &CheckContext<'_>,
    ) -> Result<Session, CheckError> {
        let key = self.settings.key.with(id);
        // Both go out at once, on the one connection.
        let mut other = connection.clone();
        let value = async {
            match &self.settings.field {
                Some(field) => connection.hmget(&key, &[field]).await.map(|(value,): (Option<Vec<u8>>,)| value),
                None => connection.get(&key).await,
            }
        };
        let (value, ttl) = tokio::join!(value, other.pttl::<_, i64>(&key));
        // Both, so that a right that is missing shows before there is a session.
        let (value, ttl) = (value.map_err(refusal_or_fault)?, ttl.map_err(refusal_or_fault)?);
        let value = value.ok_or(Denial::UnknownSession)?;
        let left = match ttl {
            -1 => None,
            left => Some(Duration::from_millis(u64::try_from(left).map_err(|_| Denial::UnknownSession)?)),
        };
        if left.is_some_and(|left| left < self.settings.min_ttl) {
            return Err(Denial::AboutToExpire.into());
        }
        let (subject, document) = self.settings.decode(&value)?;
        if let Some(template) = &self.settings.deny_if_exists
            && other.exists(template.with(&subject)).await.map_err(refusal_or_fault)?
        {
            return Err(Denial::Disabled.into());
        }
        let ends_at = left.map(|left| context.now.plus(left.saturating_sub(self.settings.min_ttl).as_secs()));
        Ok(Session { subject, ends_at, document })
    }
}

impl RedisSettings {
    /// A value → the subject, and what else it holds.
    fn decode(&self, value: &[u8]) -> Result<(String, Document), Denial> {
        let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok("") => Err(Denial::NoUser),
            Ok(text) => Ok((text.to_owned(), Document::default())),
            Err(_) => Err(Denial::WrongValue),
        };
        match &self.decode {
            Decode::Text => text(value),
            Decode::JavaString => text(java_string(value).ok_or(Denial::WrongValue)?),
            Decode::Json(user) => {
                let document = Document::parse(value).map_err(|_| Denial::WrongValue)?;
                if !document.meets(&self.require) {
                    return Err(Denial::Requirement);
                }
                Ok((document.subject(user)?, document))
            }
        }
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

/// A key that holds another type is no session; every other error leaves the question open.
fn refusal_or_fault(error: RedisError) -> CheckError {
    if error.code() == Some("WRONGTYPE") { Denial::WrongValue.into() } else { Fault::from(error).into() }
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
