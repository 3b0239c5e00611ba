//! `[[app]]`: the apps, their secrets and their policies.

use serde_json::Value;

use super::check::conditions;
use super::secret::SecretSource;
use super::section::{Section, boolean, expected, integer, list, one_of, parse_duration, shown, text};
use crate::issue::{Policy, RoomPolicy, Rooms, UserIdMapping};
use crate::ticket::{Lifetime, Privileges, SdkAppId, SecretKey};

/// An app, with its secret and where that can be read again.
#[derive(Debug, Clone, PartialEq)]
pub struct AppConfig {
    /// Which app.
    pub id: SdkAppId,
    /// The secret as it was read.
    pub secret: SecretKey,
    /// Where the secret is; `None` for one that was made up.
    pub secret_source: Option<SecretSource>,
    /// The places of the rules whose users get its tickets, in the order of the rules.
    pub rules: Vec<usize>,
    /// What is issued, to whom and for how long.
    pub policy: Policy,
}

/// What an app's table says.
pub(super) struct AppTable {
    /// The rules that it lists; `None` for all.
    pub(super) sessions: Option<Vec<String>>,
    /// The app, not yet bound to its rules; `None` when its table cannot be used.
    pub(super) app: Option<AppConfig>,
}

/// Reads an app's table.
pub(super) fn app(section: &mut Section<'_>) -> AppTable {
    let sessions = section.optional("sessions", list(text));
    let id = section.required("sdk_app_id", "the app's SDKAppID from the console", integer(1..=u32::MAX.into()));
    let secret = section.required("secret", "where the app's secret is, \"file:/path\" or \"env:NAME\"", |value| {
        let source = SecretSource::parse(value)?;
        Ok((source.read_key()?, source))
    });
    let policy = policy(section);
    let app = id.zip(secret).map(|(id, (secret, source))| AppConfig {
        id,
        secret,
        secret_source: Some(source),
        rules: Vec::new(),
        policy,
    });
    AppTable { sessions, app }
}

fn policy(section: &mut Section<'_>) -> Policy {
    let lifetime = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        parse_lifetime(text).map_err(|error| format!("is {}; {error}", shown(value)))
    };
    let default = Policy::default();
    let max_expire = section.optional("max_expire", lifetime).unwrap_or(default.max_expire);
    let expire = section.optional("expire", lifetime).unwrap_or(default.expire.min(max_expire));
    if expire > max_expire {
        section.reject("expire", "is longer than max_expire");
    }
    let mappings = [
        ("as-is", UserIdMapping::AsIs),
        ("strip-hyphens", UserIdMapping::StripHyphens),
        ("sha256", UserIdMapping::Sha256),
    ];
    Policy {
        expire,
        max_expire,
        within_session: section.optional("within_session", boolean).unwrap_or(default.within_session),
        user_id: section.optional("user_id", one_of(mappings)).unwrap_or(default.user_id),
        deny_users: section.optional("deny_users", list(text)).unwrap_or_default(),
        require: section.optional("require", conditions).unwrap_or_default(),
        private_map_key: section.optional_table("private_map_key", room_policy).flatten(),
    }
}

fn room_policy(section: &mut Section<'_>) -> Option<RoomPolicy> {
    let meaning = "the most that may be granted, such as [\"join\", \"receive-audio\", \"receive-video\"]";
    let max_privileges = section.required("max_privileges", meaning, |value| {
        let names = list(text)(value)?;
        Privileges::from_names(names.iter().map(String::as_str)).map_err(|error| error.to_string())
    });
    let meaning = "\"any\", or a pointer to the list of rooms in what the session check returns, such as \"/rooms\"";
    let rooms = section.required("rooms", meaning, |value| {
        let rooms = value.as_str().and_then(|text| match text {
            "any" => Some(Rooms::Any),
            pointer => pointer.parse().ok().map(Rooms::InSession),
        });
        expected(rooms, value, meaning)
    });
    Some(RoomPolicy { max_privileges: max_privileges?, rooms: rooms? })
}

/// A ticket's lifetime as people write it.
pub(crate) fn parse_lifetime(text: &str) -> Result<Lifetime, &'static str> {
    let duration = parse_duration(text).filter(|duration| duration.subsec_nanos() == 0);
    let lifetime = duration.and_then(|duration| Lifetime::try_from(duration.as_secs()).ok());
    lifetime.ok_or("expected a duration from \"1s\" to \"3650d\" in whole seconds, such as \"15m\" or \"24h\"")
}
