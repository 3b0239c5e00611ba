//! compose.yaml: read by the real `docker compose`, as far as that goes without an engine.

use std::process::Command;

use serde_json::Value;

use crate::support::documents::texts;
use crate::tools::{python_tool, read, repository, scratch, stdout_of};

#[test]
fn compose_accepts_the_file_and_every_mounted_file_is_there() {
    let directory = repository("deploy");
    let mut command = python_tool("docker-compose");
    let text = stdout_of(command.args(["-f", "compose.yaml", "config", "--format", "json"]).current_dir(&directory));
    let project: Value = serde_json::from_str(&text).expect("JSON");
    let services = project["services"].as_object().expect("services");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["prometheus", "redis", "usersig"]);
    assert_eq!(project["networks"]["default"]["name"], "usersig_default", "the documents connect a back end to it");
    for (name, service) in services {
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        for volume in service["volumes"].as_array().expect("volumes") {
            let source = volume["source"].as_str().expect("a source");
            assert!(volume["type"] == "volume" || repository(source).exists(), "{name} mounts {source}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is published to everybody");
        }
    }
}

#[test]
fn the_documented_commands_create_each_secret_that_its_configuration_reads() {
    let toml = read("deploy/compose/usersig.toml");
    let read_files = toml.split('"').filter_map(|text| text.strip_prefix("file:/run/secrets/usersig/"));
    let read_files: Vec<&str> = read_files.collect();
    for text in texts() {
        let commands = text.lines().filter(|line| line.starts_with("sudo install -o 65532 -m 0400 "));
        let created: Vec<&str> = commands.filter_map(|line| line.split(" deploy/compose/secrets/").nth(1)).collect();
        assert_eq!(created, read_files);
    }
}

#[test]
fn its_prometheus_reads_its_configuration_and_the_rules() {
    let directory = scratch("compose");
    for (from, to) in [("compose/prometheus.yaml", "prometheus.yaml"), ("prometheus/rules.yaml", "rules.yaml")] {
        std::fs::copy(repository("deploy").join(from), directory.join(to)).expect("a copy");
    }
    let said = stdout_of(Command::new("promtool").args(["check", "config", "prometheus.yaml"]).current_dir(&directory));
    assert!(said.contains("rules.yaml"), "{said}");
}
