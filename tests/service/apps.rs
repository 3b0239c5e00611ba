//! Which rules' users get the tickets of which app, and what an app requires of what the check returned.

use serde_json::{Value, json};

use crate::config::{bare, problems, the_problem};
use crate::support::client::Answer;
use crate::support::keys::{session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{APP, OTHER_APP};

const SHARED: &str = "shared_users = true\n";

/// Both apps and both rules: the first app serves `first`, the second `second`.
fn two_apps_two_rules(first: &str, second: &str) -> Setup {
    let config =
        [parts::ONE_APP, first, parts::SECOND_APP, second, parts::BEARER, SHARED, parts::HEADER, SHARED].concat();
    Setup::new(config)
}

fn ask(service: &Service, app: u32, headers: &[(&str, &str)]) -> Answer {
    let call = service.public.post("/v1/usersig").json(json!({"sdkAppId": app}));
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send()
}

#[test]
fn an_app_issues_to_users_of_its_own_rules_only() {
    let service = two_apps_two_rules("sessions = [\"token\"]\n", "sessions = [\"header\", \"token\"]\n").start();
    let token = session("alice");
    let bearer = ("authorization", &*format!("Bearer {token}"));
    let header = ("x-token", &*token);
    ask(&service, APP, &[bearer]).ok();
    ask(&service, OTHER_APP, &[bearer]).ok();
    ask(&service, OTHER_APP, &[header]).ok();
    ask(&service, APP, &[header]).refused(401, "missing_credential");
}

#[test]
fn a_credential_of_another_app_s_rule_neither_decides_nor_counts() {
    let limit = "[limit]\nper_address = \"1/h\"\n";
    let setup = two_apps_two_rules("sessions = [\"header\"]\n", "sessions = [\"token\"]\n").with(limit);
    let service = setup.without_env("USERSIG__LIMIT__PER_ADDRESS").start();
    let token = session("alice");
    let forged = ("authorization", "Bearer forged");
    // In the order of the rules the forged one would come first, and would be refused and counted.
    for _ in 0..3 {
        assert_eq!(ask(&service, APP, &[forged, ("x-token", &token)]).ok()["userId"], "alice");
        ask(&service, APP, &[forged]).refused(401, "missing_credential");
    }
    ask(&service, OTHER_APP, &[forged, ("x-token", &token)]).refused(401, "invalid_session");
    ask(&service, OTHER_APP, &[forged]).refused(429, "rate_limited");
}

#[test]
fn the_first_of_an_app_s_rules_in_the_file_s_order_decides() {
    let service = two_apps_two_rules("sessions = [\"header\", \"token\"]\n", "sessions = [\"token\"]\n").start();
    let (alice, bob) = (format!("Bearer {}", session("alice")), session("bob"));
    let answer = ask(&service, APP, &[("authorization", &alice), ("x-token", &bob)]).ok();
    assert_eq!(answer["userId"], "alice", "rules keep the order in which they are configured");
}

#[test]
fn several_apps_and_several_rules_need_to_be_bound() {
    let setup = two_apps_two_rules("", "sessions = [\"token\"]\n");
    let message = the_problem(&setup, "app[0].sessions");
    assert!(message.contains("sessions = [\"token\", \"header\"]"), "the line to write: {message}");
    let unbound = problems(&two_apps_two_rules("", "").check());
    assert_eq!(unbound.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["app[0].sessions", "app[1].sessions"]);
    // With one app, or one rule, there is nothing to choose.
    for config in [
        [parts::ONE_APP, parts::SECOND_APP, parts::BEARER].concat(),
        [parts::ONE_APP, parts::BEARER, SHARED, parts::HEADER, SHARED].concat(),
    ] {
        let checked = bare(config).check();
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    }
}

#[test]
fn what_sessions_names_are_rules_and_every_rule_is_named() {
    let unknown = two_apps_two_rules("sessions = [\"tokn\", \"header\"]\n", "sessions = [\"token\"]\n");
    let message = the_problem(&unknown, "app[0].sessions");
    assert!(message.contains("\"tokn\"") && message.contains("\"token\", \"header\""), "{message}");
    let nobody = two_apps_two_rules("sessions = []\n", "sessions = [\"token\", \"header\"]\n");
    assert!(the_problem(&nobody, "app[0].sessions").contains("empty"));
    let unused = two_apps_two_rules("sessions = [\"token\"]\n", "sessions = [\"token\"]\n");
    let message = the_problem(&unused, "session[1].name");
    assert!(message.contains("\"header\"") && message.contains("no app"), "{message}");
    let of_one_app = [parts::ONE_APP, "sessions = [\"token\"]\n", parts::BEARER, parts::HEADER].concat();
    the_problem(&bare(of_one_app), "session[1].name");
    let not_a_list = two_apps_two_rules("sessions = \"token\"\n", "sessions = [\"token\", \"header\"]\n");
    the_problem(&not_a_list, "app[0].sessions");
}

#[test]
fn only_rules_of_one_app_are_compared() {
    // The same header twice and the same users, for an app each.
    let second = parts::BEARER.replace("\"token\"", "\"other\"");
    let apart = [
        parts::ONE_APP,
        "sessions = [\"token\"]\n",
        parts::SECOND_APP,
        "sessions = [\"other\"]\n",
        parts::BEARER,
        &second,
    ]
    .concat();
    let checked = bare(&*apart).check();
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let together = apart.replace("sessions = [\"other\"]", "sessions = [\"other\", \"token\"]");
    let found = problems(&bare(together).check());
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["session[1].from", "session[1].user_prefix"]);
}

fn requiring(require: &str) -> Service {
    Setup::new([parts::ONE_APP, &format!("require = {require}\n"), parts::BEARER].concat()).start()
}

#[test]
fn an_app_requires_values_of_what_the_check_returned() {
    let service = requiring(r#"{ "/tenant" = ["a", "b"], "/realm/level" = 2 }"#);
    let ask = |claims: Value| {
        let mut all = json!({"sub": "alice"});
        all.as_object_mut().expect("an object").extend(claims.as_object().cloned().expect("an object"));
        service.public.post("/v1/usersig").bearer(&session_with(all)).send()
    };
    for tenant in ["a", "b"] {
        ask(json!({"tenant": tenant, "realm": {"level": 2}})).ok();
    }
    for claims in [
        json!({}),
        json!({"tenant": "a"}),
        json!({"tenant": "c", "realm": {"level": 2}}),
        json!({"tenant": "A", "realm": {"level": 2}}),
        json!({"tenant": ["a"], "realm": {"level": 2}}),
        json!({"tenant": ["a", "b"], "realm": {"level": 2}}),
        json!({"tenant": null, "realm": {"level": 2}}),
        json!({"tenant": "a", "realm": {"level": "2"}}),
        json!({"tenant": "a", "realm": 2}),
    ] {
        ask(claims).refused(403, "user_not_permitted");
    }
}

#[test]
fn a_requirement_of_one_app_is_not_that_of_another() {
    let apps = [parts::ONE_APP, "require = { \"/tenant\" = \"a\" }\n", parts::SECOND_APP].concat();
    let service = Setup::new(apps + parts::BEARER).start();
    let bearer = format!("Bearer {}", session("alice"));
    ask(&service, APP, &[("authorization", &bearer)]).refused(403, "user_not_permitted");
    ask(&service, OTHER_APP, &[("authorization", &bearer)]).ok();
}

#[test]
fn a_requirement_comes_before_the_asserted_user_and_after_the_user_id() {
    let service = requiring(r#"{ "/tenant" = "a" }"#);
    let ask = |subject: &str| {
        service.public.post("/v1/usersig").json(json!({"userId": "bob"})).bearer(&session(subject)).send()
    };
    ask("a b").refused(422, "unusable_user_id");
    ask("alice").refused(403, "user_not_permitted");
}

#[test]
fn a_requirement_of_a_rule_without_a_document_is_a_problem() {
    let rule = "[[session]]\nname = \"redis\"\nfrom = \"bearer\"\ncheck = \"redis\"\n\
        url = \"redis://redis:6379/0\"\nkey = \"sess:{id}\"\n";
    let app = [parts::ONE_APP, "require = { \"/tenant\" = \"a\" }\n"].concat();
    let message = the_problem(&bare(format!("{app}{rule}")), "app[0].require");
    assert!(message.contains("\"redis\""), "{message}");
    let checked = bare(format!("{app}{rule}user = \"/id\"\n")).check();
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    for (require, expected) in [("7", "a table"), ("{ tenant = \"a\" }", "JSON pointer")] {
        let config = [parts::ONE_APP, &format!("require = {require}\n"), parts::BEARER].concat();
        let message = the_problem(&bare(config), "app[0].require");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn denied_users_that_no_user_can_be_are_problems_that_show_the_right_form() {
    const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    for (app, rule, denied, instead) in [
        ("", "user_prefix = \"u_\"\n", "boss", "\"u_boss\""),
        ("user_id = \"strip-hyphens\"\n", "", UUID, "\"3f2504e04f8911d39a0c0305e82c3301\""),
        ("user_id = \"sha256\"\n", "", "1001", "\"fe675fe7aaee830b6fed09b64e034f84\""),
        ("user_id = \"sha256\"\n", "user_prefix = \"u_\"\n", "1001", "\"u_fe675fe7aaee830b6fed09b64e034f\""),
        ("", "", "a b", ""),
        ("", "", "", ""),
    ] {
        let config = |denied: &str| {
            let denied = format!("deny_users = [\"administrator\", \"{denied}\", \"Administrator\"]\n");
            bare([parts::ONE_APP, app, &denied, parts::BEARER, rule].concat())
        };
        let message = the_problem(&config(denied), "app[0].deny_users");
        assert!(message.contains(&format!("{denied:?}")) && message.contains(instead), "{message}");
        if !instead.is_empty() {
            let checked = config(instead.trim_matches('"')).check();
            assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        }
    }
    // One rule of the app is enough.
    let rules = [parts::BEARER, "user_prefix = \"u_\"\n", parts::HEADER, "user_prefix = \"v_\"\n"].concat();
    let config = |denied: &str| bare([parts::ONE_APP, &format!("deny_users = [\"{denied}\"]\n"), &rules].concat());
    assert_eq!(config("v_boss").check().code, Some(0));
    let message = the_problem(&config("boss"), "app[0].deny_users");
    assert!(message.contains("\"u_boss\" or \"v_boss\""), "{message}");
}

#[test]
fn a_prefix_for_which_a_mapping_leaves_no_room_is_a_problem() {
    for (mapping, prefix, is_refused) in [
        ("strip-hyphens", "u", true),
        ("strip-hyphens", "", false),
        ("sha256", "u234567", false),
        ("sha256", "u2345678", true),
        ("as-is", "u2345678", false),
    ] {
        let app = format!("user_id = \"{mapping}\"\n");
        let setup = bare([parts::ONE_APP, &app, parts::BEARER, &format!("user_prefix = \"{prefix}\"\n")].concat());
        if is_refused {
            let message = the_problem(&setup, "session[0].user_prefix");
            assert!(message.contains(mapping), "{message}");
        } else {
            let checked = setup.check();
            assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        }
    }
}
