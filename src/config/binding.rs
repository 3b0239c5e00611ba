//! Which rules' users get the tickets of which app, and what apps and rules must not say beside each other.

use super::app::AppTable;
use super::section::{Problems, reject};
use super::session::RuleTable;
use crate::issue::{Policy, UserIdMapping, is_administrator};
use crate::session::RuleSettings;

/// Binds each app to its rules, and checks all of them against each other.
pub(super) fn bind(apps: &mut [AppTable], rules: &[RuleTable], problems: &mut Problems) {
    let served: Vec<_> = apps.iter().map(|app| served_rules(app, rules)).collect();
    let needs_sessions = apps.len() > 1 && rules.len() > 1;
    for (place, app) in apps.iter().enumerate() {
        check_id(place, apps, problems);
        check_sessions(place, app.sessions.as_deref(), rules, needs_sessions, problems);
    }
    if !apps.is_empty() {
        check_rules(rules, &served, problems);
    }
    for ((place, table), served) in apps.iter_mut().enumerate().zip(served) {
        let Some(app) = &mut table.app else { continue };
        check_app(place, &app.policy, &served, rules, problems);
        app.rules = served;
    }
}

/// The places of the rules that an app lists under `sessions`, or of all rules.
fn served_rules(app: &AppTable, rules: &[RuleTable]) -> Vec<usize> {
    let is_listed = |rule: &RuleTable| match &app.sessions {
        Some(sessions) => rule.name.as_ref().is_some_and(|name| sessions.contains(name)),
        None => true,
    };
    (0..rules.len()).filter(|place| is_listed(&rules[*place])).collect()
}

/// Each app is configured once.
fn check_id(place: usize, apps: &[AppTable], problems: &mut Problems) {
    let Some(app) = &apps[place].app else { return };
    if apps[..place].iter().flat_map(|other| &other.app).any(|other| other.id == app.id) {
        let message = format_args!("is {} again; each app is configured once", app.id);
        reject(problems, format!("app[{place}].sdk_app_id"), message);
    }
}

/// An app lists rules that exist, and lists them where that is needed.
fn check_sessions(
    place: usize,
    sessions: Option<&[String]>,
    rules: &[RuleTable],
    is_needed: bool,
    problems: &mut Problems,
) {
    let names: Vec<_> = rules.iter().filter_map(|rule| rule.name.as_deref()).collect();
    let unknown = sessions.and_then(|sessions| sessions.iter().find(|session| !names.contains(&session.as_str())));
    let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let message = match (sessions, unknown) {
        (_, Some(unknown)) => format!("names \"{unknown}\", which is not the name of a rule; there are: {list}"),
        (Some([]), None) => format!("is empty, so that nobody gets a ticket; there are: {list}"),
        (None, None) if is_needed => format!(
            "is missing; where there are several apps and several rules, each app lists the rules whose users get its \
             tickets: sessions = [{list}]"
        ),
        (Some(_) | None, None) => return,
    };
    reject(problems, format!("app[{place}].sessions"), message);
}

/// Each rule has a name of its own, some app lists it, and it goes with the others of each app; `served` are each app's.
fn check_rules(rules: &[RuleTable], served: &[Vec<usize>], problems: &mut Problems) {
    for (place, rule) in rules.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        let key = format!("session[{place}].name");
        if !served.iter().any(|places| places.contains(&place)) {
            reject(problems, key, format_args!("is \"{name}\", which no app lists under sessions"));
        } else if rules[..place].iter().any(|other| other.name.as_ref() == Some(name)) {
            reject(problems, key, format_args!("is \"{name}\" again; logs and metrics distinguish rules by it"));
        }
        for (other_place, other) in rules[..place].iter().enumerate() {
            if served.iter().any(|places| places.contains(&place) && places.contains(&other_place)) {
                compare(place, rule, other, problems);
            }
        }
    }
}

/// What two rules of one app must not have in common.
fn compare(place: usize, rule: &RuleTable, other: &RuleTable, problems: &mut Problems) {
    let shares_users = rule.shares_users && other.shares_users;
    let (Some(rule), Some(other)) = (&rule.rule, &other.rule) else { return };
    if rule.source == other.source {
        let message = format_args!("is that of \"{}\" too, which would decide always", other.name);
        reject(problems, format!("session[{place}].from"), message);
    }
    let prefixes_overlap =
        rule.user_prefix.starts_with(&other.user_prefix) || other.user_prefix.starts_with(&rule.user_prefix);
    if prefixes_overlap && !shares_users {
        let message = format_args!(
            "is \"{}\", and \"{}\" of rule \"{}\" begins alike, so that two people could become one user; give each rule \
             a prefix of its own, or set shared_users = true on each if their user ids are one namespace",
            rule.user_prefix, other.user_prefix, other.name
        );
        reject(problems, format!("session[{place}].user_prefix"), message);
    }
}

/// What an app must not say beside its rules, whose places are `served`.
fn check_app(place: usize, policy: &Policy, served: &[usize], rules: &[RuleTable], problems: &mut Problems) {
    let mut readable = Vec::new();
    for rule_place in served {
        let Some(rule) = &rules[*rule_place].rule else { continue };
        check_prefix(*rule_place, &rule.user_prefix, policy.user_id, problems);
        readable.push(rule);
    }
    if readable.len() == served.len() {
        check_denied_users(place, policy, &readable, problems);
    }
    if let Some(rule) = readable.iter().find(|rule| !policy.require.0.is_empty() && !rule.has_document()) {
        let message = format_args!("looks into JSON, which rule \"{}\" does not return", rule.name);
        reject(problems, format!("app[{place}].require"), message);
    }
}

/// An app's mapping leaves room for a rule's prefix.
fn check_prefix(place: usize, prefix: &str, mapping: UserIdMapping, problems: &mut Problems) {
    let most = UserIdMapping::MAX_PREFIX_BEFORE_HASH;
    let message = match mapping {
        UserIdMapping::StripHyphens if !prefix.is_empty() => {
            "leaves no room for a UUID, which has all 32 characters of a user id under user_id = \"strip-hyphens\"; leave \
             the prefix out"
        }
        UserIdMapping::Sha256 if prefix.len() > most => {
            &format!("leaves too few digits for user_id = \"sha256\"; {most} characters at most")
        }
        UserIdMapping::AsIs | UserIdMapping::StripHyphens | UserIdMapping::Sha256 => return,
    };
    reject(problems, format!("session[{place}].user_prefix"), message);
}

/// Each denied user is one that some rule of the app can yield: one that never comes would deny nobody.
fn check_denied_users(place: usize, policy: &Policy, rules: &[&RuleSettings], problems: &mut Problems) {
    let mapping = policy.user_id;
    let can_come = |user: &str| rules.iter().any(|rule| mapping.can_yield(user, &rule.user_prefix));
    let advice = |user: &String| {
        let mut forms: Vec<_> = rules
            .iter()
            .filter_map(|rule| mapping.map(user, &rule.user_prefix).ok())
            .map(|user| format!("\"{user}\""))
            .collect();
        forms.dedup();
        let instead = if forms.is_empty() { String::new() } else { format!("; write {}", forms.join(" or ")) };
        format!("names {user:?}, which no user of this app can be behind user_id and user_prefix{instead}")
    };
    let wrong: Vec<_> =
        policy.deny_users.iter().filter(|user| !is_administrator(user) && !can_come(user)).map(advice).collect();
    if !wrong.is_empty() {
        reject(problems, format!("app[{place}].deny_users"), wrong.join("; also: "));
    }
}
