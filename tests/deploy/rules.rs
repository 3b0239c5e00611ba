//! The alert rules: well-formed, tested case by case, and the same for the operator.

use std::process::Command;

use serde_json::Value;

use crate::support::documents::{documents, headings};
use crate::tools::{repository, stdout_of, yaml_file};

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let directory = repository("deploy/prometheus");
    stdout_of(Command::new("promtool").args(["check", "rules", "rules.yaml"]).current_dir(&directory));
    stdout_of(Command::new("promtool").args(["test", "rules", "rules.test.yaml"]).current_dir(&directory));
}

#[test]
fn every_alert_is_made_to_fire_and_to_stay_silent() {
    let tests = &yaml_file("deploy/prometheus/rules.test.yaml")[0];
    let groups = tests["tests"].as_array().expect("tests");
    let cases: Vec<&Value> = groups.iter().filter_map(|group| group["alert_rule_test"].as_array()).flatten().collect();
    for alert in alerts() {
        for fires in [true, false] {
            let has_case = cases.iter().any(|case| {
                case["alertname"] == alert["alert"]
                    && case["exp_alerts"].as_array().is_some_and(|list| list.is_empty() != fires)
            });
            assert!(has_case, "{} has no case in which it fires: {fires}", alert["alert"]);
        }
    }
}

#[test]
fn every_alert_leads_to_its_runbook() {
    let documents = documents();
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        let runbook = alert["annotations"]["runbook"].as_str().and_then(|runbook| runbook.split_once('#'));
        let (path, anchor) = runbook.expect("a document and a heading");
        assert_eq!(anchor, name.to_lowercase());
        let pair = documents.iter().find(|[english, _]| english.path == path);
        for document in pair.unwrap_or_else(|| panic!("{name}: no document {path}")) {
            let has_heading = headings(&document.text).iter().any(|(_, heading)| heading == anchor);
            assert!(has_heading, "{} has no section {name}", document.path);
        }
        assert!(["critical", "warning"].iter().any(|severity| alert["labels"]["severity"] == *severity), "{name}");
    }
}

#[test]
fn the_operator_gets_the_same_rules() {
    let plain = &yaml_file("deploy/prometheus/rules.yaml")[0];
    let wrapped = &yaml_file("deploy/kubernetes/components/monitoring/prometheusrule.yaml")[0];
    assert_eq!(wrapped["spec"], *plain);
}

/// All alerts.
pub(crate) fn alerts() -> Vec<Value> {
    let rules = all_rules();
    let alerts: Vec<Value> = rules.into_iter().filter(|rule| rule.get("alert").is_some()).collect();
    assert!(alerts.len() > 10, "alerts are missing");
    alerts
}

/// All rules, alerts and records.
pub(crate) fn all_rules() -> Vec<Value> {
    let file = &yaml_file("deploy/prometheus/rules.yaml")[0];
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().filter_map(|group| group["rules"].as_array()).flatten().cloned().collect()
}
