//! The configuration: raw TOML and environment in, typed settings out, with every problem reported at once.

mod app;
mod binding;
mod check;
mod secret;
mod section;
mod session;

pub use app::ConfiguredApp;
pub(crate) use app::parse_lifetime;
pub use secret::SecretSource;
pub use section::Problems;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::client::RedisServer;
use crate::http::Origin;
use crate::limit::{Limiter, Rate};
use crate::session::Rule;
use crate::telemetry::log::{LogFormat, LogSettings};
use crate::telemetry::trace::{self, TraceSettings};
use check::{file, redis_url, url};
use secret::reference;
use section::{Section, duration, expected, integer, list, one_of, parsed};

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
    pub limiter: Limiter,
    /// How many proxies are believed about a caller's address.
    pub trusted_hops: usize,
    /// How to recognise sessions; at least one way.
    pub rules: Vec<Rule>,
}

/// Where and how to listen.
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
    pub max_connections: usize,
}

impl Config {
    /// Reads the file at `path`, with the environment variables `env` on top.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, env: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Problems> {
        let problems = RefCell::default();
        let overrides = overrides(env, &problems);
        let root = read(path, overrides).map_err(|message| Problems::from([(path.display().to_string(), message)]))?;
        let config = Self::from_root(Section::new(String::new(), root, &problems));
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Reads every section to its end. What cannot be used is noted, and stands in for by a default.
    fn from_root(mut root: Section<'_>) -> Self {
        let server = server(root.table("server"));
        let log = log(root.table("log"));
        let traces = root.optional_table("trace").and_then(traces);
        let (mut apps, rules) = (app::apps(&mut root), session::rules(&mut root));
        binding::bind(&mut apps, &rules);
        let apps = apps.into_iter().filter_map(|app| app.configured).collect();
        let rules = rules.into_iter().filter_map(|rule| rule.rule).collect();
        let (limiter, trusted_hops) = limit(root.table("limit"));
        Self { server, log, traces, apps, limiter, trusted_hops, rules }
    }
}

fn server(mut section: Section<'_>) -> Server {
    // As many as the cgroup grants cores.
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let server = Server {
        listen: section.optional("listen", parsed).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 8080))),
        ops_listen: section.optional("ops_listen", parsed).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090))),
        allowed_origins: section.optional("allowed_origins", list(parsed)).unwrap_or_default(),
        lame_duck: section.optional("lame_duck", duration("0s", "5m")).unwrap_or(Duration::from_secs(5)),
        drain: section.optional("drain", duration("1s", "1h")).unwrap_or(Duration::from_secs(20)),
        workers: section.optional("workers", integer(1..=256)).unwrap_or_else(cores),
        // 110 MB of memory if all of them are there.
        max_connections: section.optional("max_connections", integer(1..=1_000_000)).unwrap_or(10_000),
    };
    if server.drain < server.lame_duck {
        section.reject("drain", "is shorter than lame_duck, which is a part of it");
    }
    if server.listen == server.ops_listen && server.listen.port() != 0 {
        section.reject("ops_listen", "is the same as listen; the ops listener must not be public");
    }
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
    LogSettings {
        level: section.optional("level", one_of(levels)).unwrap_or(LevelFilter::INFO),
        format: section.optional("format", one_of(formats)).unwrap_or_else(LogFormat::for_stdout),
    }
}

fn traces(mut section: Section<'_>) -> Option<TraceSettings> {
    let endpoint = section.required("endpoint", "the URL of an OTLP/HTTP collector", |value| {
        if trace::AVAILABLE { url(value) } else { Err("needs a build with the cargo feature otlp".to_owned()) }
    });
    let ratio = section.optional("ratio", |value| {
        expected(value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio)), value, "a number from 0 to 1")
    });
    Some(TraceSettings { endpoint: endpoint?, ratio: ratio.unwrap_or(1.0) })
}

/// The limits, and how many proxies are believed about a caller's address.
fn limit(mut section: Section<'_>) -> (Limiter, usize) {
    const BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
    let per_user = section.optional("per_user", rate).unwrap_or_else(|| "30/m".parse().ok());
    let burst = section.optional("burst", integer(1..=1_000_000)).unwrap_or(BURST);
    let per_address = section.optional("per_address", rate).unwrap_or_else(|| "600/m".parse().ok());
    let limiter = Limiter::new(per_user, burst, per_address, store(&mut section));
    let trusted_hops = section.optional("trusted_hops", integer(0..=16)).unwrap_or(0);
    (limiter, trusted_hops)
}

/// Redis where `store` names one; `None` for memory.
fn store(section: &mut Section<'_>) -> Option<RedisServer> {
    let url = section.optional("store", |value| match value.as_str() {
        Some("memory") => Ok(None),
        _ => redis_url(value).map(Some).map_err(|error| format!("{error}, or \"memory\"")),
    });
    let password = section.optional("password", reference);
    let ca = section.optional("ca_file", file);
    let timeout = section.optional("timeout", duration("10ms", "1s")).unwrap_or(Duration::from_millis(100));
    let Some(url) = url.flatten() else {
        if password.is_some() || ca.is_some() {
            section.reject("store", "is memory, which takes no password and no ca_file");
        }
        return None;
    };
    section.accept("store", RedisServer::new(&url, password, ca, timeout))
}

/// A rate, or `None` for "off".
fn rate(value: &Value) -> Result<Option<Rate>, String> {
    if value == "off" { Ok(None) } else { parsed(value).map(Some) }
}

/// The environment variables that override scalars of the three sections where that is possible.
fn overrides(env: impl Iterator<Item = (OsString, OsString)>, problems: &RefCell<Problems>) -> HashMap<String, String> {
    env.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let key = name.strip_prefix("USERSIG__")?;
        let is_known = ["SERVER__", "LIMIT__", "LOG__"].iter().any(|section| key.starts_with(section));
        let message = match value.into_string() {
            Ok(value) if is_known => return Some((name, value)),
            Ok(_) => "overrides nothing; only USERSIG__SERVER__…, USERSIG__LIMIT__… and USERSIG__LOG__… do",
            Err(_) => "is not UTF-8",
        };
        problems.borrow_mut().insert(name, message.to_owned());
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
