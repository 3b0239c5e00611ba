//! The configuration: raw TOML and environment in, typed settings out, with every problem reported at once.

mod app;
mod check;
mod limit;
mod secret;
mod section;
mod session;

pub use app::ConfiguredApp;
pub use secret::{SecretError, SecretSource};
pub use section::Problem;
pub(crate) use section::parse_duration;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::http::Origin;
use crate::limit::Limits;
use crate::session::Rule;
use crate::telemetry::{LogFormat, LogSettings, TraceSettings, trace};
use section::{Section, duration, integer, list, one_of, parsed, shown};

/// Everything that `usersig serve` needs to know.
pub struct Config {
    /// Where and how to listen.
    pub server: Server,
    /// What to log.
    pub log: LogSettings,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<TraceSettings>,
    /// Which apps to issue for; at least one.
    pub apps: Vec<ConfiguredApp>,
    /// How often is too often.
    pub limits: Limits,
    /// How many proxies are believed about a caller's address.
    pub trusted_hops: usize,
    /// How to recognise sessions; at least one way.
    pub rules: Vec<Rule>,
}

/// Where and how to listen.
#[derive(Debug)]
pub struct Server {
    /// The public listener.
    pub listen: SocketAddr,
    /// The ops listener.
    pub ops_listen: SocketAddr,
    /// Pages of other hosts that may use the user's cookie.
    pub allowed_origins: Vec<Origin>,
    /// How long to take new connections after the signal to end.
    pub lame_duck: Duration,
    /// How long the whole shutdown may take.
    pub drain: Duration,
    /// Threads of the public listener.
    pub workers: NonZeroUsize,
    /// Connections that the public listener serves at once.
    pub max_connections: NonZeroUsize,
}

/// Connections at once where nothing is said: 110 MB of memory if all of them are there.
const MAX_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            allowed_origins: Vec::new(),
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            // Counts the cores that the cgroup grants.
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Config {
    /// Reads the file at `path`, with the environment variables `env` on top.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, env: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Vec<Problem>> {
        let problems = RefCell::new(Vec::new());
        let overrides = overrides(env, &problems);
        let root =
            read(path, overrides).map_err(|message| vec![Problem { key: path.display().to_string(), message }])?;
        let config = Self::from_root(Section::root(root, &problems));
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Reads every section to its end. What cannot be used is noted, and stands in for by a default.
    fn from_root(mut root: Section<'_>) -> Self {
        let server = server(root.table("server"));
        let log = log(root.table("log"));
        let traces = root.optional_table("trace").and_then(traces);
        let apps = app::apps(&mut root);
        let rules = session::rules(&mut root, apps.iter().any(app::ConfiguredApp::hashes_user_ids));
        let (limits, trusted_hops) = limit::limit(root.table("limit"));
        root.finish();
        Self { server, log, traces, apps, limits, trusted_hops, rules }
    }
}

fn server(mut section: Section<'_>) -> Server {
    let default = Server::default();
    let second = Duration::from_secs(1);
    let mut server = Server {
        listen: section.optional("listen", parsed).unwrap_or(default.listen),
        ops_listen: section.optional("ops_listen", parsed).unwrap_or(default.ops_listen),
        allowed_origins: section.optional("allowed_origins", list(parsed)).unwrap_or_default(),
        lame_duck: section.optional("lame_duck", duration(Duration::ZERO..=second * 300)).unwrap_or(default.lame_duck),
        drain: section.optional("drain", duration(second..=second * 3600)).unwrap_or(default.drain),
        workers: default.workers,
        max_connections: default.max_connections,
    };
    if let Some(workers) = section.optional("workers", integer(1..=256)) {
        server.workers = usize::try_from(workers).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    }
    if let Some(bound) = section.optional("max_connections", integer(1..=1_000_000)) {
        server.max_connections = usize::try_from(bound).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    }
    if server.drain < server.lame_duck {
        section.reject("drain", "is shorter than lame_duck, which is a part of it");
    }
    if server.listen == server.ops_listen && server.listen.port() != 0 {
        section.reject("ops_listen", "is the same as listen; the ops listener must not be public");
    }
    section.finish();
    server
}

fn log(mut section: Section<'_>) -> LogSettings {
    let levels = [
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let settings = LogSettings {
        level: section.optional("level", one_of(levels)).unwrap_or(LevelFilter::INFO),
        format: section.optional("format", one_of(formats)).unwrap_or_else(LogFormat::for_stdout),
    };
    section.finish();
    settings
}

fn traces(mut section: Section<'_>) -> Option<TraceSettings> {
    let endpoint = section.required("endpoint", "the URL of an OTLP/HTTP collector", |value| {
        if trace::AVAILABLE { check::url(value) } else { Err("needs a build with the cargo feature otlp".to_owned()) }
    });
    let ratio = section.optional("ratio", ratio).unwrap_or(1.0);
    section.finish();
    Some(TraceSettings { endpoint: endpoint?, ratio })
}

#[expect(clippy::needless_pass_by_value, reason = "readers take their value")]
fn ratio(value: Value) -> Result<f64, String> {
    let ratio = value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("is {}; expected a number from 0 to 1", shown(&value)))
}

/// The environment variables that override scalars of the three sections where that is possible.
fn overrides(
    env: impl Iterator<Item = (OsString, OsString)>,
    problems: &RefCell<Vec<Problem>>,
) -> HashMap<String, String> {
    const SECTIONS: [&str; 3] = ["SERVER__", "LIMIT__", "LOG__"];
    env.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let key = name.strip_prefix("USERSIG__")?;
        let is_known = SECTIONS.iter().any(|section| key.starts_with(section));
        let message = match value.into_string() {
            Ok(value) if is_known => return Some((name, value)),
            Ok(_) => "overrides nothing; only USERSIG__SERVER__…, USERSIG__LIMIT__… and USERSIG__LOG__… do",
            Err(_) => "is not UTF-8",
        };
        problems.borrow_mut().push(Problem { key: name, message: message.to_owned() });
        None
    })
    .collect()
}

/// The raw configuration, as one table.
fn read(path: &Path, overrides: HashMap<String, String>) -> Result<Map<String, Value>, String> {
    let environment = Environment::with_prefix("USERSIG")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .source(Some(overrides));
    config::Config::builder()
        .add_source(File::from(path).format(FileFormat::Toml))
        .add_source(environment)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| without_source_lines(&error.to_string()))
}

/// A TOML error without the lines that it quotes: there could be a secret in one.
fn without_source_lines(error: &str) -> String {
    let is_quote = |line: &str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    error.lines().filter(|line| !is_quote(line)).map(str::trim).collect::<Vec<_>>().join("; ")
}
