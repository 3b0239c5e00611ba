//! `[[app]]`: the apps, their secrets and their policies.

use std::time::Duration;

use serde_json::Value;

use super::secret::{SecretSource, source};
use super::section::{Section, boolean, duration, integer, list, one_of, shown, text};
use crate::issue::{App, Policy, RoomPolicy, Rooms, UserIdMapping};
use crate::ticket::{Lifetime, Privileges, SdkAppId, SecretKey};

/// An app, and where its secret can be read again.
pub struct ConfiguredApp {
    /// The app with the secret as it was first read.
    pub app: App,
    /// Where the secret is; `None` for one that was made up.
    pub secret: Option<SecretSource>,
}

impl ConfiguredApp {
    pub(super) fn hashes_user_ids(&self) -> bool {
        self.app.policy.user_id == UserIdMapping::Sha256
    }
}

/// Reads all apps; each must have a number of its own.
pub(super) fn apps(root: &mut Section<'_>) -> Vec<ConfiguredApp> {
    let sections = root.tables("app");
    if sections.is_empty() {
        root.reject("app", "is missing; add a table [[app]] with sdk_app_id and secret");
    }
    let mut apps: Vec<ConfiguredApp> = Vec::new();
    for mut section in sections {
        if let Some(read) = app(&mut section) {
            if apps.iter().any(|other| other.app.id == read.app.id) {
                section.reject("sdk_app_id", format!("is {} again; each app stands once", read.app.id));
            }
            apps.push(read);
        }
        section.finish();
    }
    apps
}

fn app(section: &mut Section<'_>) -> Option<ConfiguredApp> {
    let id = section.required("sdk_app_id", "the app's SDKAppID from the console", |value| {
        integer(1..=u32::MAX.into())(value).and_then(|id| SdkAppId::try_from(id).map_err(|error| error.to_string()))
    });
    let secret = section.required("secret", "where the app's secret is, \"file:/path\" or \"env:NAME\"", secret_key);
    let policy = policy(section);
    let (source, key) = secret?;
    Some(ConfiguredApp { app: App::new(id?, key, policy), secret: Some(source) })
}

/// Reads the secret where it is referred to.
fn secret_key(value: Value) -> Result<(SecretSource, SecretKey), String> {
    let source = source(value)?;
    let text = source.read().map_err(|error| error.to_string())?;
    let key = SecretKey::parse(&text).map_err(|error| format!("{source} {error}"))?;
    Ok((source, key))
}

fn policy(section: &mut Section<'_>) -> Policy {
    let max_expire = section.optional("max_expire", lifetime).unwrap_or_else(|| days(7));
    let expire = section.optional("expire", lifetime);
    if expire.is_some_and(|expire| expire > max_expire) {
        section.reject("expire", "is longer than max_expire");
    }
    let mappings = [
        ("as-is", UserIdMapping::AsIs),
        ("strip-hyphens", UserIdMapping::StripHyphens),
        ("sha256", UserIdMapping::Sha256),
    ];
    Policy {
        expire: expire.unwrap_or_else(|| days(1).min(max_expire)),
        max_expire,
        within_session: section.optional("within_session", boolean).unwrap_or(false),
        user_id: section.optional("user_id", one_of(mappings)).unwrap_or(UserIdMapping::AsIs),
        deny_users: section.optional("deny_users", list(text)).unwrap_or_default(),
        private_map_key: section.optional_table("private_map_key").and_then(room_policy),
    }
}

fn room_policy(mut section: Section<'_>) -> Option<RoomPolicy> {
    let meaning = "the most that may be granted, such as [\"join\", \"receive-audio\", \"receive-video\"]";
    let max_privileges = section.required("max_privileges", meaning, |value| {
        let names = list(text)(value)?;
        Privileges::from_names(names.iter().map(String::as_str)).map_err(|error| error.to_string())
    });
    let meaning = "\"any\", or a pointer to the list of rooms in what the session check returns, such as \"/rooms\"";
    let rooms = section.required("rooms", meaning, |value| match value.as_str() {
        Some("any") => Ok(Rooms::Any),
        Some(pointer) => {
            pointer.parse().map(Rooms::InSession).map_err(|_| format!("is \"{pointer}\"; expected {meaning}"))
        }
        None => Err(format!("is {}; expected {meaning}", shown(&value))),
    });
    section.finish();
    Some(RoomPolicy { max_privileges: max_privileges?, rooms: rooms? })
}

fn lifetime(value: Value) -> Result<Lifetime, String> {
    let longest = Duration::from_secs(Lifetime::MAX.as_secs().into());
    let duration = duration(Duration::from_secs(1)..=longest)(value)?;
    if duration.subsec_nanos() != 0 {
        return Err("is not in whole seconds, which is how tickets count".to_owned());
    }
    Lifetime::try_from(duration.as_secs()).map_err(|error| error.to_string())
}

fn days(days: u32) -> Lifetime {
    Lifetime::try_from(u64::from(days) * 86_400).unwrap_or(Lifetime::MAX)
}
