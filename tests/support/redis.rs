//! A real Redis server, which can be frozen, killed and started again.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use redis::{FromRedisValue, ToRedisArgs};
use tempfile::TempDir;

use super::clock::eventually;
use super::component::{Component, free_port, program};

/// A Redis of the test's own. It ends when this goes out of scope.
pub(crate) struct Redis {
    /// Where it listens.
    pub(crate) port: u16,
    component: Option<Component>,
    options: Vec<String>,
    dir: TempDir,
}

impl Redis {
    /// A server without persistence or a password.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further options, each as it stands on the command line.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Self { port: 0, component: None, options, dir };
        // Another test may take the port between the look and the use.
        for _ in 0..10 {
            redis.port = free_port();
            if redis.try_run() {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts again, on the same port and without data, after [`Self::kill`].
    pub(crate) fn restart(&mut self) {
        eventually("Redis is back on its port", || self.try_run().then_some(()));
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        drop(self.component.take());
    }

    /// The process, to be frozen and thawed.
    pub(crate) fn component(&self) -> &Component {
        self.component.as_ref().expect("a server that runs")
    }

    /// `host:port`
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Its URL, with database 0.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// Where it may keep files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command, its parts separated by spaces.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        self.command(&command.split(' ').collect::<Vec<_>>())
    }

    /// Runs a command of these parts.
    pub(crate) fn command<T: FromRedisValue>(&self, parts: &[impl ToRedisArgs]) -> T {
        self.try_command(parts).expect("Redis does as it is told")
    }

    /// Stores a value for a minute.
    pub(crate) fn set(&self, key: &str, value: impl AsRef<[u8]>) {
        self.command::<()>(&[b"SET", key.as_bytes(), value.as_ref(), b"EX", b"60"]);
    }

    /// How often a command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats: String = self.run("INFO commandstats");
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |rest| rest.split(',').next().unwrap_or_default().parse().expect("a number"))
    }

    /// A connection to keep.
    pub(crate) fn connect(&self) -> redis::RedisResult<redis::Connection> {
        redis::Client::open(self.url())?.get_connection()
    }

    fn try_command<T: FromRedisValue>(&self, parts: &[impl ToRedisArgs]) -> redis::RedisResult<T> {
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(part);
        }
        command.query(&mut self.connect()?)
    }

    fn try_run(&mut self) -> bool {
        let log = self.dir().join("redis.log");
        // It may not be there yet.
        let _ = fs::remove_file(&log);
        let mut command = program("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(self.dir());
        let mut component = Component::start(command.arg("--logfile").arg(&log).args(&self.options));
        let is_up = eventually("Redis is ready or ends", || {
            let ready = fs::read_to_string(&log).is_ok_and(|log| log.contains("Ready to accept connections"));
            if ready { Some(true) } else { component.has_ended().then_some(false) }
        });
        self.component = is_up.then_some(component);
        is_up
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
