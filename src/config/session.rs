//! `[[session]]`: the rules by which sessions are recognised.

use actix_web::http::header::HeaderName;
use serde_json::Value;

use super::check::check;
use super::section::{Section, boolean, list, text};
use crate::session::{CredentialSource, Rule};

/// A rule, and what only matters beside other rules.
struct ConfiguredRule {
    rule: Rule,
    shares_users: bool,
}

/// Reads all rules, and holds them against each other.
pub(super) fn rules(root: &mut Section<'_>, user_ids_are_hashed: bool) -> Vec<Rule> {
    let sections = root.tables("session");
    if sections.is_empty() {
        root.reject("session", "is missing; add a table [[session]] that says how to recognise a login");
    }
    let mut rules: Vec<ConfiguredRule> = Vec::new();
    for mut section in sections {
        if let Some(read) = rule(&mut section) {
            if user_ids_are_hashed && read.rule.user_prefix.len() > MAX_PREFIX_BEFORE_HASH {
                section.reject("user_prefix", "leaves too few digits for user_id = \"sha256\"; 12 characters at most");
            }
            for other in &rules {
                compare(&section, &read, other);
            }
            rules.push(read);
        }
        section.finish();
    }
    rules.into_iter().map(|configured| configured.rule).collect()
}

/// 20 hex digits, 80 bits, are left for the hash.
const MAX_PREFIX_BEFORE_HASH: usize = 12;

/// What two rules must not have in common.
fn compare(section: &Section<'_>, new: &ConfiguredRule, old: &ConfiguredRule) {
    let (rule, other) = (&new.rule, &old.rule);
    if rule.name == other.name {
        section.reject("name", format!("is \"{}\" again; logs and metrics tell rules apart by it", rule.name));
    }
    if rule.source == other.source {
        section.reject("from", format!("is that of \"{}\" too, which would decide always", other.name));
    }
    let prefixes_overlap =
        rule.user_prefix.starts_with(&other.user_prefix) || other.user_prefix.starts_with(&rule.user_prefix);
    if prefixes_overlap && !(new.shares_users && old.shares_users) {
        let message = format!(
            "is \"{}\", and \"{}\" of rule \"{}\" begins alike, so that two people could become one user; give each rule \
             a prefix of its own, or set shared_users = true on each if their user ids are one namespace",
            rule.user_prefix, other.user_prefix, other.name
        );
        section.reject("user_prefix", message);
    }
}

fn rule(section: &mut Section<'_>) -> Option<ConfiguredRule> {
    let name = section.required("name", "a short name for logs and metrics", label);
    let source = section.required("from", "\"bearer\", \"header:NAME\" or \"cookie:NAME\"", credential_source);
    let user_prefix = section.optional("user_prefix", prefix).unwrap_or_default();
    let shares_users = section.optional("shared_users", boolean).unwrap_or(false);
    let deny_users = section.optional("deny_users", list(text)).unwrap_or_default();
    let check = check(section);
    let rule = Rule { name: name?, source: source?, check: check?, user_prefix, deny_users };
    Some(ConfiguredRule { rule, shares_users })
}

/// A metric's label value.
fn label(value: Value) -> Result<String, String> {
    let is_one = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    text(value).and_then(|name| {
        if is_one(&name) { Ok(name) } else { Err(format!("is \"{name}\"; expected 1 to 32 of a-z, 0-9, _ and -")) }
    })
}

fn prefix(value: Value) -> Result<String, String> {
    let is_one = |prefix: &str| {
        prefix.len() < 32 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    text(value).and_then(|prefix| {
        if is_one(&prefix) {
            Ok(prefix)
        } else {
            Err(format!("is \"{prefix}\"; expected at most 31 letters, digits, _ and -"))
        }
    })
}

fn credential_source(value: Value) -> Result<CredentialSource, String> {
    const EXPECTED: &str = "expected \"bearer\", \"header:NAME\" or \"cookie:NAME\"";
    let from = text(value)?;
    match from.split_once(':') {
        None if from == "bearer" => Ok(CredentialSource::Bearer),
        Some(("header", name)) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if name == "authorization" => Err(format!("is \"{from}\"; write \"bearer\" for that header")),
            Ok(name) if name == "cookie" => Err(format!("is \"{from}\"; write \"cookie:NAME\" for one cookie of it")),
            Ok(name) => Ok(CredentialSource::Header(name.as_str().to_owned())),
            Err(_) => Err(format!("is \"{from}\", which names no possible header")),
        },
        Some(("cookie", name)) => {
            let is_token = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte));
            if is_token {
                Ok(CredentialSource::Cookie(name.to_owned()))
            } else {
                Err(format!("is \"{from}\", which names no possible cookie"))
            }
        }
        _ => Err(format!("is \"{from}\"; {EXPECTED}")),
    }
}
