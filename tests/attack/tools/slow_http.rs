//! slowhttptest against the service: whatever it holds open, others are served, and what does not come is given up.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::clock::eventually;
use crate::support::component::program;
use crate::support::keys::session;
use crate::support::setup::Setup;

/// How many connections it holds, and makes in a second.
const CONNECTIONS: usize = 400;

/// Longer than the tool would hold a connection to a service that let it: head and body have 5 s each.
const SECONDS: usize = 40;

/// Runs one mode, and asks for tickets meanwhile; the tool ends because the service has closed every connection.
fn is_given_up(mode: &[&str]) {
    let (said, table) = attack(mode, SECONDS);
    assert!(said.contains("No open connections left"), "{said}\n{table}");
}

/// Runs one mode for `seconds`, and asks for tickets meanwhile; returns what the tool says, and its table.
fn attack(mode: &[&str], seconds: usize) -> (String, String) {
    let service = Setup::simple().start();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let report = dir.path().join("report");
    let mut command = program("slowhttptest");
    command.args(mode).args(["-g", "-o", report.to_str().expect("UTF-8"), "-v", "1"]);
    command.args([
        "-c",
        &CONNECTIONS.to_string(),
        "-r",
        &CONNECTIONS.to_string(),
        "-l",
        &seconds.to_string(),
        "-p",
        "20",
    ]);
    command.args(["-u", &service.public.url("/v1/usersig")]);
    let token = session("alice");
    let output = thread::scope(|scope| {
        let tool = scope.spawn(|| command.output().expect("slowhttptest; tests/run installs it"));
        while !tool.is_finished() {
            assert_eq!(service.public.post("/v1/usersig").bearer(&token).send().ok()["userId"], "alice");
            thread::sleep(Duration::from_millis(20));
        }
        tool.join().expect("a thread of ours")
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let table = fs::read_to_string(report.with_extension("csv")).unwrap_or_else(|_| panic!("no report: {said}"));
    eventually("every connection is let go", || (service.metrics().of("usersig_http_connections") < 1.5).then_some(()));
    let mut rows = table.lines();
    let columns: Vec<_> = rows.next().expect("a head").split(',').map(str::trim).collect();
    let at =
        |name: &str| columns.iter().position(|column| *column == name).unwrap_or_else(|| panic!("{name}: {table}"));
    let (available, connected) = (at("Service Available"), at("Connected"));
    let rows: Vec<Vec<usize>> =
        rows.map(|row| row.split(',').map(|cell| cell.trim().parse().unwrap_or(0)).collect()).collect();
    assert!(rows.iter().any(|row| row[connected] > CONNECTIONS / 4), "it held connections: {table}");
    let down = rows.iter().filter(|row| row[available] == 0).count();
    assert_eq!(down, 0, "the service was not available: {table}");
    let most = rows.iter().map(|row| row[connected]).max().unwrap_or_default();
    let last = rows.iter().rposition(|row| row[connected] > 0).unwrap_or_default();
    println!("{mode:?}: {most} connections held at most, for {last} s; available all the time");
    (said, table)
}

#[test]
fn slow_headers() {
    is_given_up(&["-H", "-i", "1", "-x", "8"]);
}

#[test]
fn slow_bodies() {
    is_given_up(&["-B", "-i", "1", "-x", "8", "-s", "8192", "-f", "application/json"]);
}

/// Ten requests on each connection, whose answers are read by the byte. They are small, so that the system takes them all
/// and the service waits for nothing: this shows that others are served, and that all is let go when the tool ends.
#[test]
fn slow_reading() {
    attack(&["-X", "-k", "10", "-n", "1", "-w", "1", "-y", "64", "-z", "1"], 12);
}
