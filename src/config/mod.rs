//! The configuration: raw TOML and environment in, typed settings out, with every problem reported at once.

mod app;
mod binding;
mod check;
mod keys;
mod secret;
mod section;
mod session;

pub use app::AppConfig;
pub(crate) use app::parse_lifetime;
pub use secret::SecretSource;
pub use section::Problems;

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;

use crate::client::RedisSettings;
use crate::http::Origin;
use crate::limit::{LimitSettings, Rate};
use crate::session::RuleSettings;
use crate::telemetry::log::{LogFormat, LogSettings};
use crate::telemetry::trace::{self, TraceSettings};
use app::app;
use check::{redis_access, redis_url, url};
use section::{Section, duration, expected, integer, list, one_of, parsed, read_table, reject};
use session::rule;

/// Everything that `usersig serve` needs to know, as plain data from which [`crate::server`] builds what runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where and how to listen.
    pub server: ServerConfig,
    /// What to log.
    pub log: LogSettings,
    /// Where traces go; `None`: nowhere.
    pub traces: Option<TraceSettings>,
    /// Which apps to issue for; at least one.
    pub apps: Vec<AppConfig>,
    /// How often is too often.
    pub limit: LimitSettings,
    /// How many proxies are believed about a caller's address.
    pub trusted_hops: usize,
    /// How to recognise sessions; at least one way.
    pub rules: Vec<RuleSettings>,
}

/// Where and how to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
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
        let mut problems = Problems::new();
        let overrides = overrides(env, &mut problems);
        let table = read(path, overrides).map_err(|message| Problems::from([(path.display().to_string(), message)]))?;
        let config = read_table(String::new(), table, &mut problems, config);
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

/// Reads every table to its end. A default replaces what cannot be used.
fn config(root: &mut Section<'_>) -> Config {
    let (server, log) = (root.table("server", server), root.table("log", log));
    let traces = root.optional_table("trace", traces).flatten();
    let mut apps = root.tables("app", "with sdk_app_id and secret", app);
    let rules = root.tables("session", "that says how to recognise a login", rule);
    binding::bind(&mut apps, &rules, root.problems);
    let apps = apps.into_iter().filter_map(|table| table.app).collect();
    let rules = rules.into_iter().filter_map(|table| table.rule).collect();
    let (limit, trusted_hops) = root.table("limit", limit);
    Config { server, log, traces, apps, limit, trusted_hops, rules }
}

fn server(section: &mut Section<'_>) -> ServerConfig {
    // As many as the cgroup grants cores.
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let server = ServerConfig {
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

fn log(section: &mut Section<'_>) -> LogSettings {
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

fn traces(section: &mut Section<'_>) -> Option<TraceSettings> {
    let endpoint = section.required("endpoint", "the URL of an OTLP/HTTP collector", |value| {
        if trace::AVAILABLE { url(value) } else { Err("needs a build with the cargo feature otlp".to_owned()) }
    });
    let ratio = section.optional("ratio", |value| {
        expected(value.as_f64().filter(|ratio| (0.0..=1.0).contains(ratio)), value, "a number from 0 to 1")
    });
    Some(TraceSettings { endpoint: endpoint?, ratio: ratio.unwrap_or(1.0) })
}

/// The limits, and how many proxies are believed about a caller's address.
fn limit(section: &mut Section<'_>) -> (LimitSettings, usize) {
    const BURST: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
    let settings = LimitSettings {
        per_user: section.optional("per_user", rate).unwrap_or_else(|| "30/m".parse().ok()),
        burst: section.optional("burst", integer(1..=1_000_000)).unwrap_or(BURST),
        per_address: section.optional("per_address", rate).unwrap_or_else(|| "600/m".parse().ok()),
        store: store(section),
    };
    let trusted_hops = section.optional("trusted_hops", integer(0..=16)).unwrap_or(0);
    (settings, trusted_hops)
}

/// Redis where `store` names one; `None` for memory.
fn store(section: &mut Section<'_>) -> Option<RedisSettings> {
    let url = section.optional("store", |value| match value.as_str() {
        Some("memory") => Ok(None),
        _ => redis_url(value).map(Some).map_err(|error| format!("{error}, or \"memory\"")),
    });
    let (password, ca) = redis_access(section);
    let timeout = section.optional("timeout", duration("10ms", "1s")).unwrap_or(Duration::from_millis(100));
    let Some(url) = url.flatten() else {
        if password.is_some() || ca.is_some() {
            section.reject("store", "is memory, which takes no password and no ca_file");
        }
        return None;
    };
    Some(RedisSettings { url, password, ca, timeout })
}

/// A rate, or `None` for "off".
fn rate(value: &Value) -> Result<Option<Rate>, String> {
    if value == "off" { Ok(None) } else { parsed(value).map(Some) }
}

/// The environment variables that override scalars of the three sections where that is possible.
fn overrides(env: impl Iterator<Item = (OsString, OsString)>, problems: &mut Problems) -> HashMap<String, String> {
    env.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let key = name.strip_prefix("USERSIG__")?;
        let is_known = ["SERVER__", "LIMIT__", "LOG__"].iter().any(|section| key.starts_with(section));
        let message = match value.into_string() {
            Ok(value) if is_known => return Some((name, value)),
            Ok(_) => "overrides nothing; only USERSIG__SERVER__…, USERSIG__LIMIT__… and USERSIG__LOG__… do",
            Err(_) => "is not UTF-8",
        };
        reject(problems, name, message);
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

#[cfg(test)]
mod tests;
