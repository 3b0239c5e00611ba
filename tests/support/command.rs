//! Runs the binary as a command: its output, its exit code, and its end in any case.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::clock::eventually;

/// A command that has not been started yet. Nothing of the test's own environment reaches it.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// All that it wrote to stdout.
    pub(crate) stdout: String,
    /// All that it wrote to stderr.
    pub(crate) stderr: String,
}

impl Run {
    /// `usersig` with these arguments.
    pub(crate) fn new(args: &[&str]) -> Self {
        Self::of(Path::new(env!("CARGO_BIN_EXE_usersig")), args)
    }

    /// The same by another build of it.
    pub(crate) fn of(binary: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command.args(args).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, stdin: Vec::new() }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What the command reads from stdin; nothing when not given.
    pub(crate) fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = input.into();
        self
    }

    /// The command as it stands, to be started in a way of one's own.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Starts it with pipes to all three streams.
    pub(crate) fn spawn(mut self) -> Child {
        let mut child = self.command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing has closed its end, which is no matter.
        thread::spawn(move || stdin.write_all(&self.stdin));
        child
    }

    /// Runs it to its end.
    pub(crate) fn finish(self) -> Finished {
        let mut child = self.spawn();
        let stdout = drain(child.stdout.take().expect("a pipe"));
        let stderr = drain(child.stderr.take().expect("a pipe"));
        let mut child = EndsWithTest(child);
        let status = eventually("the command ends", || child.0.try_wait().expect("a child of ours"));
        let text = |reader: thread::JoinHandle<String>| reader.join().expect("output in UTF-8");
        Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// A child that does not outlive the test, however the test ends.
pub(crate) struct EndsWithTest(pub(crate) Child);

impl Drop for EndsWithTest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("output in UTF-8");
        text
    })
}
