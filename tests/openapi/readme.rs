//! Every curl line of the READMEs is tried on a running service.

use std::process::Command;

use super::support::SESSION_SECRET;
use super::support::client::Client;
use super::{alice, described_service, run};

/// The shell blocks of a README that call curl.
fn curl_blocks(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("curl")).map(str::to_owned).collect()
}

/// Runs a block as it stands, but for the addresses, with what its variables stand for.
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
fn every_curl_line_gives_what_it_promises() {
    let service = described_service().start();
    let ticket = service.public.post("/v1/usersig").bearer(&alice()).send().ok();
    let ticket = ticket["userSig"].as_str().expect("a ticket");
    let readmes = [include_str!("../../README.md"), include_str!("../../README.zh-CN.md")];
    for readme in readmes {
        let blocks = curl_blocks(readme);
        assert!(!blocks.is_empty());
        for block in blocks {
            let answer = answer_to(&block, &service.public, &service.ops, ticket);
            let promised = if block.contains("/v1/inspect") { r#""verdict":"valid""# } else { r#""userSig":""# };
            assert!(answer.contains(promised), "{block}\n{answer}");
        }
    }
}
