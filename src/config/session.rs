//! `[[session]]`: the rules by which sessions are recognised.

use http::header::HeaderName;
use serde_json::Value;

use super::check::check;
use super::section::{Section, boolean, list, matching, shown, text};
use crate::session::{CredentialSource, Rule};

/// 20 hex digits, 80 bits, are left for the hash.
const MAX_PREFIX_BEFORE_HASH: usize = 12;

/// Reads all rules, and holds them against each other.
pub(super) fn rules(root: &mut Section<'_>, user_ids_are_hashed: bool) -> Vec<Rule> {
    let mut rules: Vec<(Rule, bool)> = Vec::new();
    for mut section in root.tables("session", "that says how to recognise a login") {
        if let Some((rule, shares_users)) = rule(&mut section) {
            if user_ids_are_hashed && rule.user_prefix.len() > MAX_PREFIX_BEFORE_HASH {
                section.reject("user_prefix", "leaves too few digits for user_id = \"sha256\"; 12 characters at most");
            }
            for (other, other_shares_users) in &rules {
                compare(&section, &rule, other, shares_users && *other_shares_users);
            }
            rules.push((rule, shares_users));
        }
    }
    rules.into_iter().map(|(rule, _)| rule).collect()
}

/// What two rules must not have in common.
fn compare(section: &Section<'_>, rule: &Rule, other: &Rule, share_users: bool) {
    if rule.name == other.name {
        section.reject("name", format_args!("is \"{}\" again; logs and metrics tell rules apart by it", rule.name));
    }
    if rule.source == other.source {
        section.reject("from", format_args!("is that of \"{}\" too, which would decide always", other.name));
    }
    let prefixes_overlap =
        rule.user_prefix.starts_with(&other.user_prefix) || other.user_prefix.starts_with(&rule.user_prefix);
    if prefixes_overlap && !share_users {
        let message = format_args!(
            "is \"{}\", and \"{}\" of rule \"{}\" begins alike, so that two people could become one user; give each rule \
             a prefix of its own, or set shared_users = true on each if their user ids are one namespace",
            rule.user_prefix, other.user_prefix, other.name
        );
        section.reject("user_prefix", message);
    }
}

/// Reads a rule, and whether it shares its users with others.
fn rule(section: &mut Section<'_>) -> Option<(Rule, bool)> {
    let name = section.required("name", "a short name for logs and metrics", label);
    let source = section.required("from", "\"bearer\", \"header:NAME\" or \"cookie:NAME\"", credential_source);
    let user_prefix = section.optional("user_prefix", prefix).unwrap_or_default();
    let shares_users = section.optional("shared_users", boolean).unwrap_or(false);
    let deny_users = section.optional("deny_users", list(text)).unwrap_or_default();
    let check = check(section);
    Some((Rule { name: name?, source: source?, check: check?, user_prefix, deny_users }, shares_users))
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
