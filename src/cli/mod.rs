//! The command line: parses it, runs a command, returns an exit code.

mod demo;

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use actix_web::rt::System;
use clap::{Args, Parser, Subcommand};

use crate::app::Service;
use crate::config::{Config, SecretError, SecretSource, parse_duration};
use crate::http::now;
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::session::Fault;
use crate::telemetry::Log;
use crate::ticket::{
    Expected, Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId, Verdict, inspect,
};

/// A file could not be used, a ticket is not valid, a check has found problems.
const FAILED: u8 = 1;

/// The command line itself is wrong.
const USAGE: u8 = 2;

/// Issues UserSigs for Tencent Cloud Chat and TRTC to the users that your own back end has logged in.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole service on loopback with demo sessions and a page to try it
    Demo(demo::DemoArgs),
    /// Runs the service
    Serve(ConfigArgs),
    /// Validates a configuration and lists every problem in it
    Check(CheckArgs),
    /// Prints one ticket
    Sign(SignArgs),
    /// Prints what is in a ticket and whether it is valid, as JSON
    Inspect(InspectArgs),
    /// Asks a running service whether it is ready; for container health checks
    Healthcheck {
        /// What to ask
        #[arg(long, default_value = "http://127.0.0.1:9090/readyz")]
        url: String,
    },
}

#[derive(Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long, env = "USERSIG_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask each back end behind a session rule whether it answers
    #[arg(long)]
    probe: bool,
}

#[derive(Args)]
struct SignArgs {
    /// The app
    #[arg(long, value_name = "N")]
    sdk_app_id: SdkAppId,
    /// The file with the app's secret; without it the secret is read from the environment variable `USERSIG_SECRET`
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The user
    #[arg(long, value_name = "U")]
    user_id: UserId,
    /// How long the ticket lives, such as 90s, 15m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = lifetime, value_name = "DURATION")]
    expire: Lifetime,
    /// Makes it a PrivateMapKey for this numeric TRTC room
    #[arg(long, value_name = "N", conflicts_with = "room_str", value_parser = room)]
    room: Option<Room>,
    /// Makes it a PrivateMapKey for this string TRTC room
    #[arg(long, value_name = "TEXT", value_parser = Room::text)]
    room_str: Option<Room>,
    /// What a PrivateMapKey allows: names with commas between them; everything when left out
    #[arg(long, value_name = "NAMES", value_parser = privileges)]
    privileges: Option<Privileges>,
}

#[derive(Args)]
struct InspectArgs {
    /// The ticket; "-" or nothing reads it from standard input
    ticket: Option<String>,
    /// The file with the app's secret; without it the key is not checked, unless `USERSIG_SECRET` is set
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The app that the ticket should be for
    #[arg(long, value_name = "N")]
    sdk_app_id: Option<SdkAppId>,
    /// The user that the ticket should be for
    #[arg(long, value_name = "U")]
    user_id: Option<String>,
    /// The moment to judge it at, in Unix seconds; now when left out
    #[arg(long, value_name = "UNIX")]
    at: Option<u64>,
}

/// Why a command has not done its work.
struct Failure {
    code: u8,
    message: String,
}

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: FAILED, message: error.to_string() }
    }
}

/// The failure of a command that was not given what it needs.
fn usage(error: impl Display) -> Failure {
    Failure { code: USAGE, message: error.to_string() }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve(&args.config),
        Command::Check(args) => check(&args.config.config, args.probe),
        Command::Sign(args) => sign(&args),
        Command::Inspect(args) => inspect_ticket(args),
        Command::Healthcheck { url } => healthcheck(&url),
    };
    result.unwrap_or_else(|Failure { code, message }| {
        complain(format_args!("usersig: {message}"));
        code.into()
    })
}

fn serve(path: &Path) -> Result<ExitCode, Failure> {
    let config = load(path)?;
    let metrics = Metrics::default();
    let log = Log::start(&config.log, config.traces.as_ref(), metrics.log_dropped.clone())?;
    let service = Service::new(config, metrics);
    finish(System::new().block_on(service.serve()), log)
}

/// Writes the log to its end, and says what ended the service if it was an error.
fn finish(result: io::Result<()>, log: Log) -> Result<ExitCode, Failure> {
    log.end();
    Ok(result.map(|()| ExitCode::SUCCESS)?)
}

/// The configuration; of one that cannot be used, every problem is told.
fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path, std::env::vars_os()).map_err(|problems| {
        problems.iter().for_each(complain);
        format!("{} problem(s) in {}", problems.len(), path.display()).into()
    })
}

fn check(path: &Path, probe: bool) -> Result<ExitCode, Failure> {
    let Config { apps, rules, limits, .. } = load(path)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}: ok, {} app(s), {} session rule(s)", path.display(), apps.len(), rules.len())?;
    if !probe {
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    let mut tell = |name: &str, finding: Option<Result<String, Fault>>| match finding {
        None => writeln!(stdout, "{name}: ok, needs no back end"),
        Some(Ok(finding)) => writeln!(stdout, "{name}: ok, {finding}"),
        Some(Err(fault)) => {
            code = FAILED.into();
            writeln!(stdout, "{name}: failed, {fault}")
        }
    };
    for rule in &rules {
        tell(&rule.name, System::new().block_on(rule.probe()))?;
    }
    if let finding @ Some(_) = System::new().block_on(Limiter::new(limits).probe()) {
        tell("limit.store", finding)?;
    }
    Ok(code)
}

fn sign(args: &SignArgs) -> Result<ExitCode, Failure> {
    let room = args.room.as_ref().or(args.room_str.as_ref());
    if args.privileges.is_some() && room.is_none() {
        return Err(usage("--privileges belong to a room; give --room or --room-str too"));
    }
    let secret = secret(args.secret_file.as_deref())?
        .ok_or_else(|| usage("no secret: give --secret-file, or set USERSIG_SECRET"))?;
    let signer = Signer::new(args.sdk_app_id, secret);
    let privileges = args.privileges.unwrap_or(Privileges::ALL);
    let ticket = match room {
        None => signer.user_sig(&args.user_id, now(), args.expire),
        Some(room) => signer.private_map_key(&args.user_id, room, privileges, now(), args.expire),
    };
    writeln!(io::stdout(), "{ticket}")?;
    Ok(ExitCode::SUCCESS)
}

fn inspect_ticket(args: InspectArgs) -> Result<ExitCode, Failure> {
    let ticket = match args.ticket {
        Some(ticket) if ticket != "-" => ticket,
        _ => {
            // More than any ticket, and not more than memory.
            let mut input = String::new();
            let read = io::stdin().take(64 * 1024).read_to_string(&mut input);
            read.map_err(|error| usage(format_args!("cannot read a ticket from standard input: {error}")))?;
            input
        }
    };
    let secret = secret(args.secret_file.as_deref()).map_err(usage)?;
    let inspection = inspect(
        ticket.trim(),
        &Expected {
            app: args.sdk_app_id,
            key: secret.as_ref(),
            user: args.user_id.as_deref(),
            at: args.at.map_or_else(now, UnixTime::from_secs),
        },
    );
    let json = serde_json::to_string_pretty(&inspection).expect("text and numbers are JSON");
    writeln!(io::stdout(), "{json}")?;
    Ok(if inspection.verdict == Verdict::Valid { ExitCode::SUCCESS } else { FAILED.into() })
}

fn healthcheck(url: &str) -> Result<ExitCode, Failure> {
    const DEADLINE: Duration = Duration::from_secs(2);
    let (answered, answer) = mpsc::channel();
    let asked = url.to_owned();
    // On a thread of its own, so that the deadline is one for looking up the name, connecting and a slow answer together.
    thread::spawn(move || answered.send(ask(&asked)));
    match answer.recv_timeout(DEADLINE) {
        Ok(Ok(status)) if status.split(' ').nth(1) == Some("200") => Ok(ExitCode::SUCCESS),
        Ok(Ok(status)) => Err(format!("{url} answered {status}").into()),
        Ok(Err(error)) => Err(format!("{url}: {error}").into()),
        Err(_) => Err(format!("{url}: no answer within {} s", DEADLINE.as_secs()).into()),
    }
}

/// The status line that a plain HTTP URL is answered with.
fn ask(url: &str) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "expected http://HOST:PORT/PATH");
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(invalid)?;
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).take(256).read_line(&mut status)?;
    Ok(status.trim().to_owned())
}

/// The secret in `file`, or else in the environment; `None` when there is neither.
fn secret(file: Option<&Path>) -> Result<Option<SecretKey>, String> {
    let source = match file {
        Some(file) => SecretSource::File(file.to_owned()),
        None if std::env::var_os("USERSIG_SECRET").is_some() => SecretSource::Env("USERSIG_SECRET".to_owned()),
        None => return Ok(None),
    };
    let text = source.read().map_err(|error: SecretError| error.to_string())?;
    SecretKey::parse(&text).map(Some).map_err(|error| format!("{source} {error}"))
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    let whole_seconds = |duration: &Duration| duration.subsec_nanos() == 0;
    let duration = parse_duration(text).filter(whole_seconds);
    let duration = duration.ok_or("expected a whole number and a unit, such as 90s, 15m, 24h or 7d")?;
    Lifetime::try_from(duration.as_secs()).map_err(|error| error.to_string())
}

fn room(text: &str) -> Result<Room, String> {
    let number: u64 = text.parse().map_err(|_| "is not a number; --room-str is for string rooms")?;
    Room::number(number).map_err(|error| error.to_string())
}

fn privileges(text: &str) -> Result<Privileges, String> {
    Privileges::from_names(text.split(',').map(str::trim)).map_err(|error| error.to_string())
}

/// Says a line on stderr; where even that takes nothing, the exit code says it.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
