//! Components that a test starts beside the service, on free loopback ports, and that end with the test.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::clock::{DEADLINE, eventually};
use super::command::EndsWithTest;

/// A program that runs until this goes out of scope.
pub(crate) struct Component {
    child: EndsWithTest,
    /// Programs of our own end when this closes, so that not even a killed test leaves them behind.
    _stdin: Option<ChildStdin>,
}

/// A program of Debian, npm or Python that a test needs, without anything of the test's own environment.
pub(crate) fn program(path: impl Into<PathBuf>) -> Command {
    let path = path.into();
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8");
    command
}

/// `node` with a script of `tests/node`.
pub(crate) fn node(script: &str) -> Command {
    let mut command = program("node");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.arg(folder("node").join(script));
    command
}

/// Python with a script of `tests/python`, and with the packages that `tests/run` has installed.
pub(crate) fn python(script: &str) -> Command {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let python = target.parent().expect("a folder in the target folder").join("python/bin/python");
    assert!(python.exists(), "{} is missing: run tests/run, which installs it", python.display());
    let mut command = program(python);
    command.arg("-u").arg(folder("python").join(script));
    command
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

impl Component {
    /// Starts a program that says nothing of interest.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_logging(command, Stdio::null())
    }

    /// Starts a program whose output goes there.
    pub(crate) fn start_logging(command: &mut Command, output: Stdio) -> Self {
        let child = command.stdin(Stdio::null()).stdout(output).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is missing"));
        Self { child: EndsWithTest(child), _stdin: None }
    }

    /// Starts a program that prints `listening PORT` once it does, and ends when its stdin closes.
    pub(crate) fn start_listening(command: &mut Command) -> (Self, SocketAddr) {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is missing"));
        let mut child = EndsWithTest(child);
        let stdin = child.0.stdin.take();
        let stdout = child.0.stdout.take().expect("a pipe");
        let (found, port) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match line.strip_prefix("listening ").and_then(|port| port.parse().ok()) {
                    // The test may have given up.
                    Some(port) => drop(found.send(port)),
                    None => eprintln!("{line}"),
                }
            }
        });
        let port: u16 = port.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{command:?} does not listen"));
        (Self { child, _stdin: stdin }, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Stops it in the middle of whatever it does; its connections stay open.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.0.id());
        eventually("the process stands still", || {
            let stat = std::fs::read_to_string(&stat).expect("a process of ours");
            // The state stands behind the name, which is in parentheses.
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T")).then_some(())
        });
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.0.try_wait().expect("a child of ours").is_some()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal).expect("a process of ours");
    }
}
