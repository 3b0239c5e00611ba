//! Schemathesis: thousands of requests made up from the document, right ones and wrong ones, against the running binary.

use super::support::APP;
use super::support::client::Client;
use super::{DOCUMENT, SUITE, alice, described_service, python, succeed};

/// All checks over one listener's operations, with a fixed seed; these headers carry the credential.
fn exercise(listener: &str, client: &Client, headers: &[String]) {
    let mut command = python("schemathesis");
    command.args(["--config-file", &format!("{SUITE}/schemathesis.toml"), "run", DOCUMENT]);
    command.args(["--url", &client.url(""), "--include-tag", listener]);
    command.args(["--checks", "all", "--mode", "all", "--seed", "20240229", "--max-examples", "150"]);
    command.args(["--no-color", "--continue-on-failure", "--output-truncate", "false"]);
    for header in headers {
        command.args(["--header", header]);
    }
    succeed(&mut command, b"");
}

/// Runs the public listener's operations with one kind of credential, and sees that tickets were issued.
fn exercise_public(headers: &[String]) {
    let service = described_service("per_user = \"off\"\nper_address = \"off\"").start();
    exercise("public", &service.public, headers);
    for kind in ["private_map_key", "usersig"] {
        let issued = service.metrics().of(&format!("usersig_tickets_total{{app=\"{APP}\",kind=\"{kind}\"}}"));
        assert!(issued > 0.0, "the credential was a valid one, and so there are tickets of the kind {kind}");
    }
}

#[test]
fn the_public_listener_with_a_bearer_token() {
    exercise_public(&[format!("Authorization: Bearer {}", alice())]);
}

#[test]
fn the_public_listener_with_a_cookie() {
    exercise_public(&[format!("Cookie: session={}", alice()), "Sec-Fetch-Site: same-origin".to_owned()]);
}

#[test]
fn the_public_listener_with_a_header() {
    exercise_public(&[format!("X-Access-Token: {}", alice())]);
}

#[test]
fn the_ops_listener() {
    let service = described_service("").start();
    exercise("ops", &service.ops, &[]);
}
