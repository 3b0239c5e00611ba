//! Fresh connections leave our local ports free: the back end's side closes first and keeps the `TIME_WAIT`.

use std::process::Command;

use serde_json::json;

use crate::one_rule::http_rule;
use crate::support::backend::{Backend, Reply};
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
    let backend = Backend::start(|question| Reply::json(json!({"user": question.header("x-session")})));
    let service = http_rule(backend.address).start();
    let seen = Crowd::of(&service).ask(6000, |user| format!("x-session: {user}"));
    println!("6,000 checks through 2,000 ports: {seen:?}");
    assert_eq!(seen.right, 6000, "{seen:?}");
}
