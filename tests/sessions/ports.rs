//! Fresh connections leave our local ports free: the back end's side closes first and keeps the `TIME_WAIT`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::one_rule::http_rule;
use crate::support::crowd::Crowd;

/// Set where the test runs in a network of its own.
const INSIDE: &str = "USERSIG_TEST_IN_NETWORK";

/// Some 2,000 ports, none of which is used again while it waits.
const NETWORK: &str = "set -e
ip link set lo up
echo '20000 21999' > /proc/sys/net/ipv4/ip_local_port_range
echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse
exec \"$@\"";

#[test]
fn three_times_as_many_checks_as_ports_find_a_port_each() {
    if std::env::var_os(INSIDE).is_some() {
        return ask_often();
    }
    let suite = std::env::current_exe().expect("a path");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "sh", "-c", NETWORK, "sh"]).arg(suite);
    command.args(["--exact", "ports::three_times_as_many_checks_as_ports_find_a_port_each", "--nocapture"]);
    let output = command.env(INSIDE, "1").output().expect("unshare, of util-linux");
    let bytes = [output.stdout, output.stderr].concat();
    let shown = String::from_utf8_lossy(&bytes);
    println!("{shown}");
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

fn ask_often() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let service = http_rule(listener.local_addr().expect("an address")).start();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(&client).expect("a client that stays until it has the answer"));
        }
    });
    let seen = Crowd::of(&service).ask(6000, |user| format!("x-session: {user}"));
    println!("6,000 checks through 2,000 ports: {seen:?}");
    assert_eq!(seen.right, 6000, "{seen:?}");
}

/// Answers one question, and closes a moment later, as servers do that write a log line first.
fn answer(mut client: &TcpStream) -> io::Result<()> {
    let lines = BufReader::new(client).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let users: Vec<_> = lines.filter_map(|line| line.strip_prefix("x-session: ").map(str::to_owned)).collect();
    let body = format!("{{\"user\":\"{}\"}}", users.concat());
    client.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    thread::sleep(Duration::from_millis(5));
    Ok(())
}
