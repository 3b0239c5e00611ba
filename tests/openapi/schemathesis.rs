//! Schemathesis: requests made up from the document, right ones and wrong ones, against the running binary.

use std::fs;

use super::support::APP;
use super::support::client::Client;
use super::support::setup::path_text;
use super::{DOCUMENT, SUITE, alice, described_service, python, succeed};

/// All checks over one listener's operations, with a fixed seed.
fn exercise(listener: &str, client: &Client, auth: &str, headers: &[&str]) {
    let config = fs::read_to_string(format!("{SUITE}/schemathesis.toml")).expect("a file of ours");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("schemathesis.toml");
    fs::write(&file, config + auth).expect("a file in a directory of our own");

    let mut command = python("schemathesis");
    command.args(["--config-file", path_text(&file), "run", DOCUMENT]);
    command.args(["--url", &client.url(""), "--include-tag", listener]);
    command.args(["--checks", "all", "--mode", "all", "--seed", "20240229", "--max-examples", "150"]);
    command.args(["--no-color", "--continue-on-failure", "--output-truncate", "false"]);
    for header in headers {
        command.args(["--header", header]);
    }
    succeed(&mut command, b"");
}

/// Runs the public listener's operations with one kind of credential, and sees that tickets were issued.
fn exercise_public(scheme: &str, key: &str, headers: &[&str]) {
    let service = described_service().start();
    let auth = format!("\n[auth.openapi.{scheme}]\n{key} = \"{}\"\n", alice());
    exercise("public", &service.public, &auth, headers);
    for kind in ["private_map_key", "usersig"] {
        let issued = service.metrics().of(&format!("usersig_tickets_total{{app=\"{APP}\",kind=\"{kind}\"}}"));
        assert!(issued > 0.0, "the credential was a valid one, and so there are tickets of the kind {kind}");
    }
}

#[test]
fn the_public_listener_with_a_bearer_token() {
    exercise_public("bearer", "bearer", &[]);
}

#[test]
fn the_public_listener_with_a_cookie() {
    exercise_public("cookie", "api_key", &["Sec-Fetch-Site: same-origin"]);
}

#[test]
fn the_public_listener_with_a_header() {
    exercise_public("header", "api_key", &[]);
}

#[test]
fn the_ops_listener() {
    let service = described_service().start();
    exercise("ops", &service.ops, "", &[]);
}
