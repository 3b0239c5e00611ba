//! Every curl line of the documents is run against the service.

use std::process::Command;

use super::support::SESSION_SECRET;
use super::support::client::Client;
use super::support::documents::{blocks, texts};
use super::{alice, described_service, run};

/// Runs a block unchanged but for the addresses, with values for its variables.
fn answer_to(block: &str, public: &Client, ops: &Client, ticket: &str) -> String {
    let block = block.replace("127.0.0.1:8080", &public.address.to_string());
    let block = block.replace("127.0.0.1:9090", &ops.address.to_string()).replace("sid=", "session=");
    let block = block.replace("only-for-trying-it-on-your-own-machine", "\"$SESSION_SECRET\"");
    let session = alice();
    let mut bash = Command::new("bash");
    bash.args(["-euc", &block])
        .env("COOKIE", &session)
        .env("TOKEN", &session)
        .env("TICKET", ticket)
        .env("SESSION_SECRET", SESSION_SECRET);
    let output = run(&mut bash, b"");
    assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_curl_line_returns_what_is_documented() {
    let service = described_service().start();
    let ticket = service.public.post("/v1/usersig").bearer(&alice()).send().ok();
    let ticket = ticket["userSig"].as_str().expect("a ticket");
    for text in texts() {
        let is_call = |(language, block): &(String, String)| language == "sh" && block.contains("curl");
        let blocks: Vec<_> = blocks(&text).into_iter().filter(is_call).collect();
        assert!(!blocks.is_empty());
        for (_, block) in blocks {
            let answer = answer_to(&block, &service.public, &service.ops, ticket);
            let expected = if block.contains("/v1/inspect") { r#""verdict":"valid""# } else { r#""userSig":""# };
            assert!(answer.contains(expected), "{block}\n{answer}");
        }
    }
}
