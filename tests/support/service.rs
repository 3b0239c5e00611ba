//! The running binary: its two listeners, its log, its signals and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::Client;
use super::clock::eventually;
use super::command::{EndsWithTest, Run};
use super::metrics::Metrics;
use super::setup::Setup;

/// A service that is ready. It is killed when this goes out of scope.
pub(crate) struct Service {
    /// What front ends reach.
    pub(crate) public: Client,
    /// Probes, metrics and diagnosis.
    pub(crate) ops: Client,
    /// The files it was started with.
    pub(crate) setup: Setup,
    child: EndsWithTest,
    stdout: Lines,
    stderr: Lines,
}

impl Service {
    /// Starts `run`, reads from its log where it listens, and waits until it is ready.
    pub(crate) fn start(run: Run, setup: Setup) -> Self {
        let mut child = EndsWithTest(run.spawn());
        let stdout = Lines::of(child.0.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.0.stderr.take().expect("a pipe"));
        let mut address = |listener: &str| {
            eventually(&format!("the {listener} listener is bound"), || {
                let ended = child.0.try_wait().expect("a child of ours");
                assert!(ended.is_none(), "the service ended: {ended:?}\n{}\n{}", stdout.text(), stderr.text());
                stdout.address(listener)
            })
        };
        let (public, ops) = (Client::new(address("public")), Client::new(address("ops")));
        eventually("the service is ready", || (ops.get("/readyz").send().status == 200).then_some(()));
        Self { public, ops, setup, child, stdout, stderr }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a process of ours");
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the service ends", || self.child.0.try_wait().expect("a child of ours"))
    }

    /// Ends the service as an orchestrator does, and returns its whole log.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.stderr.text());
        eventually("the log is read to its end", || self.stdout.at_end().then_some(()));
        self.log()
    }

    /// The log so far, one JSON object a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.stdout.json()
    }

    /// The log so far, as it was written.
    pub(crate) fn log_text(&self) -> String {
        self.stdout.text()
    }

    /// What stands on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line of the log.
    pub(crate) fn logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.log().into_iter().find(|line| is_it(line)))
    }

    /// The audit event of the request with this id. One and only one is logged for each decision.
    pub(crate) fn audit(&self, request_id: &str) -> Value {
        let is_it = |line: &Value| line["target"] == "usersig::audit" && line["request_id"] == request_id;
        let event = self.logged(&format!("the decision on request {request_id} is logged"), is_it);
        assert_eq!(self.log().iter().filter(|line| is_it(line)).count(), 1, "one event for {request_id}");
        event
    }

    /// What `/metrics` shows now.
    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.ops.get("/metrics").send();
        assert_eq!(answer.status, 200);
        Metrics::parse(&answer.text())
    }
}

/// The lines of a stream, read by a thread so that the writer is never held up.
struct Lines(Arc<Mutex<(String, bool)>>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let shared = Self(Arc::clone(&lines.0));
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).expect("output in UTF-8") != 0 {
                shared.lock().0.push_str(&line);
                line.clear();
            }
            shared.lock().1 = true;
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        self.lock().0.clone()
    }

    fn at_end(&self) -> bool {
        self.lock().1
    }

    fn json(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON in the log: {line}"));
        self.text().lines().map(parse).collect()
    }

    fn address(&self, listener: &str) -> Option<SocketAddr> {
        let line =
            self.json().into_iter().find(|line| line["message"] == "listening" && line["listener"] == listener)?;
        Some(line["address"].as_str()?.parse().expect("an address"))
    }
}
