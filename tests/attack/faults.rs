//! Faults around the process: a log that nobody takes, no descriptors left, and death.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, RwLock};
use std::thread::{self, sleep};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::backend::SlowBackend;
use crate::parallel::all_at_once;
use crate::support::client::Client;
use crate::support::clock::eventually;
use crate::support::command::EndsWithTest;
use crate::support::keys::session;
use crate::support::metrics::Metrics;
use crate::support::raw::Connection;
use crate::support::setup::{Setup, parts};

/// A service that was started through the shell, and whose log is not read here.
struct Process {
    public: Client,
    ops: Client,
    child: EndsWithTest,
    /// The files it was started with.
    setup: Setup,
}

impl Process {
    /// Starts the service by this line of shell, in which `"$@"` is the command; with this stdout.
    fn start(setup: Setup, shell: &str, stdout: Stdio) -> Self {
        let (setup, public, ops) = setup.on_known_ports();
        let command = setup.run(&["serve"]).into_command();
        let mut child = Command::new("/bin/sh");
        child.arg("-c").arg(shell).arg("sh").arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            child.env(name, value.expect("a variable that is set"));
        }
        child.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let child = EndsWithTest(child.spawn().expect("a shell"));
        let mut process = Self { public, ops, child, setup };
        process.until_ready();
        process
    }

    fn until_ready(&mut self) {
        eventually("the service is ready", || {
            assert_eq!(self.child.0.try_wait().expect("a child of ours"), None, "the service ended");
            Connection::try_open(self.ops.address).ok()?;
            (self.ops.get("/readyz").send().status == 200).then_some(())
        });
    }

    #[track_caller]
    fn issues(&self) {
        assert_eq!(self.public.post("/v1/usersig").bearer(&session("alice")).send().ok()["userId"], "alice");
    }

    fn metrics(&self) -> Metrics {
        Metrics::parse(&self.ops.get("/metrics").send().text())
    }

    /// Tells the service to end, and waits until it has.
    fn stop(mut self) -> (ExitStatus, String) {
        let child = &mut self.child.0;
        kill_process(Pid::from_child(child), Signal::TERM).expect("a process of ours");
        let status = eventually("the service ends", || child.try_wait().expect("a child of ours"));
        (status, stderr(child))
    }
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
    text
}

#[test]
fn a_closed_stdout_is_no_reason_to_end() {
    let process = Process::start(Setup::simple(), "exec \"$@\" >&-", Stdio::null());
    process.issues();
    let (status, stderr) = process.stop();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_of_the_log_that_goes_away_is_no_reason_to_end() {
    let mut process = Process::start(Setup::simple(), "exec \"$@\"", Stdio::piped());
    drop(process.child.0.stdout.take());
    for _ in 0..200 {
        process.issues();
    }
    eventually("lines that went nowhere are counted", || {
        process.issues();
        (process.metrics().of("usersig_log_dropped_total") > 0.0).then_some(())
    });
    assert_eq!(process.stop().0.code(), Some(0));
}

#[test]
fn a_full_disk_holds_up_no_request_and_is_counted() {
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let process = Process::start(Setup::simple(), "exec \"$@\"", full.into());
    for _ in 0..200 {
        process.issues();
    }
    eventually("lines that were not written are counted", || {
        process.issues();
        (process.metrics().of("usersig_log_dropped_total") > 0.0).then_some(())
    });
    assert_eq!(process.stop().0.code(), Some(0));
}

/// As under `usersig serve | sleep 1000`.
#[test]
fn a_blocked_stdout_holds_up_neither_requests_nor_the_end() {
    let process = Process::start(Setup::simple(), "exec \"$@\"", Stdio::piped());
    let dropped = || process.metrics().of("usersig_log_dropped_total");
    // The pipe and the queue take about ten thousand lines. Refusals of credentials are logged each.
    eventually("lines are dropped and counted", || {
        let pipelined = "GET /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer forged\r\n\r\n".repeat(400);
        let mut connection = process.public.connect();
        connection.send(pipelined);
        for _ in 0..400 {
            connection.read().expect("an answer");
        }
        (dropped() > 0.0).then_some(())
    });
    process.issues();
    let (status, stderr) = process.stop();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn the_log_goes_on_when_somebody_reads_it_again() {
    let setup = Setup::simple();
    let fifo = setup.path("log");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || File::open(fifo).expect("a reader")
    });
    let writer = File::options().write(true).open(&fifo).expect("a writer");
    drop(reader.join().expect("a reader"));
    let process = Process::start(setup, "exec \"$@\"", writer.into());
    process.issues();
    let mut reader = File::open(&fifo).expect("a reader");
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains("ticket issued") {
        process.issues();
        let count = reader.read(&mut chunk).expect("a log");
        text.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    process.issues();
}

#[test]
fn without_descriptors_nothing_is_issued_wrongly_and_with_them_all_is_well_again() {
    let gate = Arc::new(RwLock::new(()));
    let backend = SlowBackend::start_with({
        let gate = Arc::clone(&gate);
        move || drop(gate.read())
    });
    let rule = backend.rule("timeout = \"30s\"\nshared_users = true\n");
    let config = [parts::ONE_APP, &rule, parts::BEARER, "shared_users = true\n"].concat();
    // Beside some thirty of its own it has few left for connections.
    let log = tempfile::NamedTempFile::new().expect("a file");
    let stdout = Stdio::from(log.reopen().expect("a file"));
    let process = Process::start(Setup::new(config), "ulimit -n 64; exec \"$@\"", stdout);
    process.issues();
    let ask_backend = |connection: &mut Connection| {
        connection.send("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nX-Token: token-of-bob\r\n\r\n");
    };
    let mut crowd: Vec<_> = (0..150).map(|_| process.public.connect()).collect();
    let shut = gate.write().expect("nobody has it");
    for connection in &mut crowd {
        ask_backend(connection);
    }
    eventually("no descriptor is left", || {
        let log = fs::read_to_string(log.path()).expect("a log");
        log.contains("Too many open files").then_some(())
    });
    drop(shut);
    let mut seen = Vec::new();
    // These were accepted first; some of the others never are.
    for connection in crowd.iter_mut().take(10) {
        let answer = connection.read().expect("an answer");
        seen.push(answer.status);
        match answer.status {
            200 => assert_eq!(answer.ok()["userId"], "bob"),
            _ => drop(answer.refused(503, "session_check_unavailable")),
        }
    }
    println!("with 64 descriptors and 150 connections the first ten were answered {seen:?}");
    drop(crowd);
    eventually("it issues again, by the back end too", || {
        let mut connection = Connection::try_open(process.public.address).ok()?;
        ask_backend(&mut connection);
        (connection.read()?.status == 200).then_some(())
    });
    process.issues();
    assert_eq!(process.ops.get("/livez").send().status, 200);
    assert_eq!(process.stop().0.code(), Some(0));
}

#[test]
fn connections_leave_descriptors_for_probes_and_back_ends() {
    let backend = SlowBackend::start(Duration::ZERO);
    let config = [parts::ONE_APP, &backend.rule("")].concat();
    let process = Process::start(Setup::new(config), "ulimit -n 256; exec \"$@\"", Stdio::null());
    let mut crowd: Vec<_> = (0..400).map(|_| process.public.connect()).collect();
    eventually("as many are open as may be", || {
        (process.metrics().of("usersig_http_connections") >= 190.0).then_some(())
    });
    let answered = crowd.iter_mut().take(50).map(|connection| {
        connection.send("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nX-Token: token-of-bob\r\n\r\n");
        connection.read().expect("an answer").ok()
    });
    assert!(answered.into_iter().all(|answer| answer["userId"] == "bob"));
    assert!(process.metrics().of("usersig_http_connections") <= 192.0);
    drop(crowd);
    assert_eq!(process.stop().0.code(), Some(0));
}

#[test]
fn what_was_issued_before_a_violent_death_is_right_and_a_new_start_takes_its_place_at_once() {
    let mut process = Process::start(Setup::simple(), "exec \"$@\"", Stdio::null());
    for _ in 0..3 {
        let client = process.public.clone();
        let token = session("alice");
        thread::scope(|scope| {
            let load = scope.spawn(|| {
                let tickets = all_at_once(4, |_| {
                    let mut whole = 0;
                    let last = loop {
                        let Ok(mut connection) = Connection::try_open(client.address) else { break None };
                        connection.send(format!(
                            "POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
                        ));
                        let Some(answer) = connection.read() else { break None };
                        assert_eq!(answer.ok()["userId"], "alice");
                        whole += 1;
                        if whole > 100_000 {
                            break Some(answer);
                        }
                    };
                    assert!(last.is_none(), "the service has died in between");
                    crate::support::client::Answer {
                        status: 0,
                        headers: Vec::new(),
                        body: whole.to_string().into_bytes(),
                    }
                });
                tickets.iter().map(|answer| answer.text().parse::<usize>().expect("a count")).sum::<usize>()
            });
            sleep(Duration::from_millis(500));
            process.child.0.kill().expect("a child of ours");
            let status = process.child.0.wait().expect("a child of ours");
            assert_eq!(status.signal(), Some(9));
            println!("{} tickets before the death, all of them whole", load.join().expect("callers that end well"));
        });
        let command = process.setup.run(&["serve"]).into_command();
        let mut again = Command::new(command.get_program());
        again.args(command.get_args()).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            again.env(name, value.expect("a variable that is set"));
        }
        process.child = EndsWithTest(again.spawn().expect("the binary starts"));
        process.until_ready();
        process.issues();
    }
}
