//! Which rules' users get the tickets of which app, and what apps and rules must not say beside each other.

use super::app::ReadApp;
use super::section::Section;
use super::session::ReadRule;
use crate::issue::{Policy, UserIdMapping, is_administrator};
use crate::session::Rule;

/// Binds each app to its rules, and holds all of them against each other.
pub(super) fn bind(apps: &mut [ReadApp<'_>], rules: &[ReadRule<'_>]) {
    let needs_sessions = apps.len() > 1 && rules.len() > 1;
    let listed: Vec<_> = apps.iter().map(|app| listed_rules(app, rules, needs_sessions)).collect();
    if apps.is_empty() {
        return;
    }
    for (place, rule) in rules.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        if !listed.iter().any(|places| places.contains(&place)) {
            rule.section.reject("name", format_args!("is \"{name}\", which no app lists under sessions"));
        }
        for (other_place, other) in rules.iter().enumerate().take(place) {
            if other.name.as_ref() == Some(name) {
                rule.section
                    .reject("name", format_args!("is \"{name}\" again; logs and metrics tell rules apart by it"));
            }
            if listed.iter().any(|places| places.contains(&place) && places.contains(&other_place)) {
                compare(rule, other);
            }
        }
    }
    for (app, places) in apps.iter_mut().zip(listed) {
        let Some(configured) = &mut app.configured else { continue };
        let policy = &configured.app.policy;
        let served: Vec<_> = places.iter().map(|place| &rules[*place]).collect();
        for rule in &served {
            check_prefix(policy.user_id, rule);
        }
        let readable: Vec<_> = served.iter().filter_map(|rule| rule.rule.as_ref()).collect();
        if readable.len() == served.len() {
            check_denied_users(&app.section, policy, &readable);
        }
        if let Some(rule) = readable.iter().find(|rule| !policy.require.0.is_empty() && !rule.has_document()) {
            let message = format_args!("looks into JSON, which rule \"{}\" does not return", rule.name);
            app.section.reject("require", message);
        }
        configured.rules = places;
    }
}

/// The places of the rules that an app lists under `sessions`, or of all rules.
fn listed_rules(app: &ReadApp<'_>, rules: &[ReadRule<'_>], is_needed: bool) -> Vec<usize> {
    let names = || rules.iter().filter_map(|rule| rule.name.as_deref()).map(|name| format!("\"{name}\""));
    let list = || names().collect::<Vec<_>>().join(", ");
    let Some(sessions) = &app.sessions else {
        if is_needed {
            let message = format_args!(
                "is missing; where there are several apps and several rules, each app lists the rules whose users get its \
                 tickets: sessions = [{}]",
                list()
            );
            app.section.reject("sessions", message);
        }
        return (0..rules.len()).collect();
    };
    let is_known = |session: &&String| rules.iter().any(|rule| rule.name.as_ref() == Some(session));
    if let Some(unknown) = sessions.iter().find(|session| !is_known(session)) {
        let message = format_args!("names \"{unknown}\", which is not the name of a rule; there are: {}", list());
        app.section.reject("sessions", message);
    } else if sessions.is_empty() {
        app.section.reject("sessions", format_args!("is empty, so that nobody gets a ticket; there are: {}", list()));
    }
    let is_listed = |rule: &ReadRule<'_>| rule.name.as_ref().is_some_and(|name| sessions.contains(name));
    (0..rules.len()).filter(|place| is_listed(&rules[*place])).collect()
}

/// What two rules of one app must not have in common.
fn compare(rule: &ReadRule<'_>, other: &ReadRule<'_>) {
    let shares_users = rule.shares_users && other.shares_users;
    let (section, Some(rule), Some(other)) = (&rule.section, &rule.rule, &other.rule) else { return };
    if rule.source == other.source {
        section.reject("from", format_args!("is that of \"{}\" too, which would decide always", other.name));
    }
    let prefixes_overlap =
        rule.user_prefix.starts_with(&other.user_prefix) || other.user_prefix.starts_with(&rule.user_prefix);
    if prefixes_overlap && !shares_users {
        let message = format_args!(
            "is \"{}\", and \"{}\" of rule \"{}\" begins alike, so that two people could become one user; give each rule \
             a prefix of its own, or set shared_users = true on each if their user ids are one namespace",
            rule.user_prefix, other.user_prefix, other.name
        );
        section.reject("user_prefix", message);
    }
}

/// Whether the app's mapping leaves room for the rule's prefix.
fn check_prefix(mapping: UserIdMapping, rule: &ReadRule<'_>) {
    let Some(Rule { user_prefix, .. }) = &rule.rule else { return };
    let most = UserIdMapping::MAX_PREFIX_BEFORE_HASH;
    match mapping {
        UserIdMapping::StripHyphens if !user_prefix.is_empty() => {
            let message = "leaves no room for a UUID, which has all 32 characters of a user id under user_id = \
                           \"strip-hyphens\"; leave the prefix out";
            rule.section.reject("user_prefix", message);
        }
        UserIdMapping::Sha256 if user_prefix.len() > most => {
            let message = format_args!("leaves too few digits for user_id = \"sha256\"; {most} characters at most");
            rule.section.reject("user_prefix", message);
        }
        UserIdMapping::AsIs | UserIdMapping::StripHyphens | UserIdMapping::Sha256 => {}
    }
}

/// Whether each denied user is one that some rule of the app can yield: one that never comes would deny nobody.
fn check_denied_users(section: &Section<'_>, policy: &Policy, rules: &[&Rule]) {
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
        section.reject("deny_users", wrong.join("; also: "));
    }
}
