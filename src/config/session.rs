//! `[[session]]`: the rules by which sessions are recognised.

use http::header::HeaderName;
use serde_json::Value;

use super::check::check;
use super::section::{Section, boolean, list, matching, shown, text};
use crate::session::{CredentialSource, RuleSettings};

/// What a rule's table says.
pub(super) struct RuleTable {
    /// Its name, also where the rest of the table cannot be used.
    pub(super) name: Option<String>,
    /// Whether its user ids are one namespace with those of other rules.
    pub(super) shares_users: bool,
    /// The rule; `None` when its table cannot be used.
    pub(super) rule: Option<RuleSettings>,
}

/// Reads a rule's table.
pub(super) fn rule(section: &mut Section<'_>) -> RuleTable {
    let name = section.required("name", "a short name for logs and metrics", label);
    let source = section.required("from", "\"bearer\", \"header:NAME\" or \"cookie:NAME\"", credential_source);
    let user_prefix = section.optional("user_prefix", prefix).unwrap_or_default();
    let shares_users = section.optional("shared_users", boolean).unwrap_or(false);
    let deny_users = section.optional("deny_users", list(text)).unwrap_or_default();
    let check = check(section);
    let parts = name.clone().zip(source).zip(check);
    let rule = parts.map(|((name, source), check)| RuleSettings { name, source, check, user_prefix, deny_users });
    RuleTable { name, shares_users, rule }
}

/// A metric's label value.
fn label(value: &Value) -> Result<String, String> {
    matching(value, "1 to 32 of a-z, 0-9, _ and -", |name| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    })
}

fn prefix(value: &Value) -> Result<String, String> {
    matching(value, "at most 31 letters, digits, _ and -", |prefix| {
        prefix.len() < 32 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    })
}

fn credential_source(value: &Value) -> Result<CredentialSource, String> {
    let wrong = |why: &str| Err(format!("is {}{why}", shown(value)));
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    match value.as_str().map(|from| from.split_once(':').ok_or(from)) {
        Some(Err("bearer")) => Ok(CredentialSource::Bearer),
        Some(Ok(("header", name))) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == "authorization" => wrong("; write \"bearer\" for that header"),
            Ok(name) if name == "cookie" => wrong("; write \"cookie:NAME\" for one cookie of it"),
            Ok(name) => Ok(CredentialSource::Header(name.as_str().to_owned())),
            Err(_) => wrong(", which names no possible header"),
        },
        Some(Ok(("cookie", name))) if !name.is_empty() && name.bytes().all(is_token) => {
            Ok(CredentialSource::Cookie(name.to_owned()))
        }
        Some(Ok(("cookie", _))) => wrong(", which names no possible cookie"),
        _ => wrong("; expected \"bearer\", \"header:NAME\" or \"cookie:NAME\""),
    }
}
