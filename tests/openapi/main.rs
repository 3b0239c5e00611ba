//! `openapi.yaml` against validators, and against the running binary on both listeners.
//!
//! Needs what `tests/install/openapi` brings: a virtual environment with schemathesis, and spectral.

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

mod answers;
mod readme;
mod schemathesis;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use support::keys::session_with;
use support::setup::Setup;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi");

/// The configuration behind the document's examples: three kinds of credential, and a back end that does not answer.
fn described_service() -> Setup {
    let config = r#"
        [server]
        allowed_origins = ["https://m.example.com"]
        [log]
        format = "json"
        [[app]]
        sdk_app_id = 1400000000
        secret = "file:{dir}/app.key"
        deny_users = ["boss"]
        [app.private_map_key]
        max_privileges = ["join", "receive-audio", "receive-video"]
        rooms = "/rooms"
        [[session]]
        name = "app"
        from = "bearer"
        shared_users = true
        check = "jwt"
        secret = "file:{dir}/session.key"
        [[session]]
        name = "web"
        from = "cookie:session"
        shared_users = true
        check = "jwt"
        secret = "file:{dir}/session.key"
        [[session]]
        name = "mini"
        from = "header:X-Access-Token"
        shared_users = true
        check = "jwt"
        secret = "file:{dir}/session.key"
        [[session]]
        name = "backend"
        from = "header:X-Back-End-Token"
        shared_users = true
        check = "http"
        url = "http://127.0.0.1:1/me"
        user = "/id"
    "#;
    Setup::new(format!("{config}\n"))
}

/// A session of the examples' user, in whose claims are two rooms.
fn alice() -> String {
    session_with(json!({"sub": "alice", "rooms": [7, "lobby"]}))
}

/// A program of the virtual environment.
fn python(program: &str) -> Command {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/openapi/bin").join(program);
    Command::new(bin)
}

/// Runs a command with this input, from a directory that may be littered, and returns what it said.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let litter = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("openapi");
    std::fs::create_dir_all(&litter).expect("a directory for tests");
    command.current_dir(litter).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/run first"));
    let (mut stdin, input) = (child.stdin.take().expect("a pipe"), input.to_vec());
    // A program that reads nothing has closed its end, which is no matter.
    thread::spawn(move || stdin.write_all(&input));
    child.wait_with_output().expect("a child of ours")
}

/// Asserts that a command found nothing wrong.
fn succeed(command: &mut Command, input: &[u8]) {
    let output = run(command, input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// The document as JSON.
fn document() -> Value {
    const TO_JSON: &str = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = run(python("python").args(["-c", TO_JSON, DOCUMENT]), b"");
    serde_json::from_slice(&output.stdout).expect("a YAML document")
}

#[test]
fn the_document_is_valid_openapi() {
    succeed(python("openapi-spec-validator").args(["--schema", "3.1", "--validation-errors", "all", DOCUMENT]), b"");
}

#[test]
fn a_linter_has_nothing_to_say() {
    let mut spectral = Command::new(format!("{SUITE}/node_modules/.bin/spectral"));
    let rules = format!("{SUITE}/spectral.yaml");
    succeed(spectral.args(["lint", DOCUMENT, "--ruleset", &rules, "--fail-severity", "hint"]), b"");
}

#[test]
fn the_document_is_of_this_version() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}
