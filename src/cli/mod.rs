//! The command line: parses it, runs a command, returns an exit code.

mod demo;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use actix_web::rt::System;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use http::{StatusCode, Uri};

use crate::app::Service;
use crate::client;
use crate::config::{Config, SecretSource, parse_lifetime};
use crate::http::now;
use crate::telemetry::Log;
use crate::ticket::{
    Expected, FieldError, Lifetime, Privileges, Room, SdkAppId, SecretKey, Signer, UnixTime, UserId, Verdict, inspect,
};

/// How a command ends: well, or with a finding such as a ticket that is not valid, or with what has kept it from doing its
/// work. The last two are a 1. A wrong command line is a 2, as clap has it.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Issues UserSigs for Tencent Cloud Chat and TRTC to the users that your own back end has logged in.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
enum Command {
    /// Runs the whole service on loopback with demo sessions and a page to try it
    Demo(demo::DemoArgs),
    /// Runs the service
    Serve {
        /// The configuration file
        #[arg(long, env = "USERSIG_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Validates a configuration and lists every problem in it
    Check {
        /// The configuration file
        #[arg(long, env = "USERSIG_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// Also ask each back end behind a session rule whether it answers
        #[arg(long)]
        probe: bool,
    },
    /// Prints one ticket
    Sign(SignArgs),
    /// Prints what is in a ticket and whether it is valid, as JSON
    Inspect(InspectArgs),
    /// Asks a running service whether it is ready; for container health checks
    Healthcheck {
        /// What to ask, over plain HTTP
        #[arg(long, default_value = "http://127.0.0.1:9090/readyz")]
        url: String,
    },
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
    #[arg(long, default_value = "24h", value_parser = parse_lifetime, value_name = "DURATION")]
    expire: Lifetime,
    /// Makes it a PrivateMapKey for this numeric TRTC room
    #[arg(long, value_name = "N", group = "any_room", value_parser = room)]
    room: Option<Room>,
    /// Makes it a PrivateMapKey for this string TRTC room
    #[arg(long, value_name = "TEXT", group = "any_room", value_parser = Room::text)]
    room_str: Option<Room>,
    /// What a PrivateMapKey allows: names with commas between them; everything when left out
    #[arg(long, value_name = "NAMES", requires = "any_room", value_parser = privileges)]
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

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Demo(args) => demo::run(args),
        Command::Serve { config } => load(&config).and_then(|config| start(config, Service::serve)),
        Command::Check { config, probe } => check(&config, probe),
        Command::Sign(args) => sign(args),
        Command::Inspect(args) => inspect_ticket(args),
        Command::Healthcheck { url } => healthcheck(&url),
    };
    outcome.unwrap_or_else(|error| {
        complain(format_args!("usersig: {error}"));
        ExitCode::FAILURE
    })
}

/// Ends the process as clap does where it has not been given what it needs.
fn usage(error: impl Display) -> ! {
    Command::command().error(ErrorKind::ValueValidation, error).exit()
}

/// Logs and runs the service until it ends, and the log to its own end.
fn start(config: Config, serve: impl AsyncFnOnce(Service) -> io::Result<()>) -> Outcome {
    let log = Log::start(&config.log, config.traces.as_ref())?;
    let service = Service::new(config, log.dropped.clone());
    let result = System::new().block_on(serve(service));
    log.end();
    Ok(result.map(|()| ExitCode::SUCCESS)?)
}

/// The configuration; of one that cannot be used, every problem is told.
fn load(path: &Path) -> Result<Config, Box<dyn Error>> {
    Config::load(path, std::env::vars_os()).map_err(|problems| {
        for (key, message) in &problems {
            complain(format_args!("{key}: {message}"));
        }
        format!("{} problem(s) in {}", problems.len(), path.display()).into()
    })
}

fn check(path: &Path, probe: bool) -> Outcome {
    let Config { apps, rules, limiter, .. } = load(path)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}: ok, {} app(s), {} session rule(s)", path.display(), apps.len(), rules.len())?;
    if !probe {
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    let mut tell = |name: &str, finding: Option<Result<String, String>>| match finding {
        None => writeln!(stdout, "{name}: ok, needs no back end"),
        Some(Ok(finding)) => writeln!(stdout, "{name}: ok, {finding}"),
        Some(Err(fault)) => {
            code = ExitCode::FAILURE;
            writeln!(stdout, "{name}: failed, {fault}")
        }
    };
    for rule in &rules {
        let finding = System::new().block_on(rule.probe());
        tell(&rule.name, finding.map(|finding| finding.map_err(|fault| fault.to_string())))?;
    }
    if let Some(finding) = System::new().block_on(limiter.probe()) {
        tell("limit.store", Some(finding.map_err(|error| error.to_string())))?;
    }
    Ok(code)
}

fn sign(args: SignArgs) -> Outcome {
    let secret = secret(args.secret_file)?;
    let secret = secret.unwrap_or_else(|| usage("no secret: give --secret-file, or set USERSIG_SECRET"));
    let signer = Signer::new(args.sdk_app_id, secret);
    let ticket = match args.room.or(args.room_str) {
        None => signer.user_sig(&args.user_id, now(), args.expire),
        Some(room) => {
            let privileges = args.privileges.unwrap_or(Privileges::ALL);
            signer.private_map_key(&args.user_id, &room, privileges, now(), args.expire)
        }
    };
    writeln!(io::stdout(), "{ticket}")?;
    Ok(ExitCode::SUCCESS)
}

fn inspect_ticket(args: InspectArgs) -> Outcome {
    let ticket = args.ticket.filter(|ticket| ticket != "-").unwrap_or_else(|| {
        // More than any ticket, and not more than memory.
        let input = io::read_to_string(io::stdin().take(64 * 1024));
        input.unwrap_or_else(|error| usage(format_args!("cannot read a ticket from standard input: {error}")))
    });
    let secret = secret(args.secret_file).unwrap_or_else(|error| usage(error));
    let inspection = inspect(
        ticket.trim(),
        &Expected {
            app: args.sdk_app_id,
            key: secret.as_ref(),
            user: args.user_id.as_deref(),
            at: args.at.map_or_else(now, UnixTime::from_secs),
        },
    );
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&inspection)?)?;
    Ok(if inspection.verdict == Verdict::Valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn healthcheck(url: &str) -> Outcome {
    let is_plain = |url: &Uri| url.scheme_str() == Some("http") && url.host().is_some();
    let Some(target) = url.parse().ok().filter(is_plain) else {
        return Err(format!("{url}: expected http://HOST:PORT/PATH").into());
    };
    match System::new().block_on(client::plain_status(target, Duration::from_secs(2))) {
        Ok(StatusCode::OK) => Ok(ExitCode::SUCCESS),
        Ok(status) => Err(format!("{url} answered {status}").into()),
        Err(client::Error::Timeout(limit)) => Err(format!("{url}: no answer within {} s", limit.as_secs()).into()),
        Err(error) => Err(format!("{url}: {error}").into()),
    }
}

/// The secret in `file`, or else in the environment; `None` when there is neither.
fn secret(file: Option<PathBuf>) -> Result<Option<SecretKey>, String> {
    const VARIABLE: &str = "USERSIG_SECRET";
    let in_environment = || std::env::var_os(VARIABLE).map(|_| SecretSource::Env(VARIABLE.to_owned()));
    file.map(SecretSource::File).or_else(in_environment).map(|source| source.read_key()).transpose()
}

fn room(text: &str) -> Result<Room, String> {
    let number: u64 = text.parse().map_err(|_| "is not a number; --room-str is for string rooms")?;
    Room::number(number).map_err(|error| error.to_string())
}

fn privileges(text: &str) -> Result<Privileges, FieldError> {
    Privileges::from_names(text.split(',').map(str::trim))
}

/// Says a line on stderr; where even that takes nothing, the exit code says it.
fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
