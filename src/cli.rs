//! The command line: parses it, runs a command, returns an exit code.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::app::Service;
use crate::config::{Config, ConfiguredApp, SecretError, SecretSource, Server, parse_duration};
use crate::http::demo::{COOKIE, Demo};
use crate::http::now;
use crate::issue::{App, Policy, RoomPolicy, Rooms, UserIdMapping};
use crate::limit::Limits;
use crate::session::{Check, CredentialSource, JwtCheck, JwtSettings, Keys, Pointer, Rule, VerificationKey};
use crate::telemetry::{Log, LogFormat, LogSettings};
use crate::ticket::{
    Expected, Lifetime, Privileges, Room, RoomStr, SdkAppId, SecretKey, Signer, UnixTime, UserId, Verdict, inspect,
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
    Demo(DemoArgs),
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
struct DemoArgs {
    /// Where to listen; loopback only
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Issue tickets for this real app
    #[arg(long, value_name = "N", requires = "secret_file")]
    sdk_app_id: Option<SdkAppId>,
    /// The file with the real app's secret
    #[arg(long, value_name = "FILE", requires = "sdk_app_id")]
    secret_file: Option<PathBuf>,
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
    #[arg(long, value_name = "TEXT")]
    room_str: Option<RoomStr>,
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

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo(args),
        Command::Serve(args) => serve(&args.config),
        Command::Check(args) => check(&args.config.config, args.probe),
        Command::Sign(args) => sign(&args),
        Command::Inspect(args) => inspect_ticket(args),
        Command::Healthcheck { url } => healthcheck(&url),
    }
}

fn serve(path: &Path) -> ExitCode {
    let config = match Config::load(path, std::env::vars()) {
        Ok(config) => config,
        Err(problems) => return list(&problems, path),
    };
    let log = match Log::start(&config.log, config.traces.as_ref()) {
        Ok(log) => log,
        Err(error) => return fail(FAILED, error),
    };
    let service = Service::new(config, log.dropped());
    finish(actix_web::rt::System::new().block_on(service.serve()), log)
}

fn check(path: &Path, probe: bool) -> ExitCode {
    match Config::load(path, std::env::vars()) {
        Ok(config) => {
            println!("{}: ok, {} app(s), {} session rule(s)", path.display(), config.apps.len(), config.rules.len());
            if probe { probe_rules(&config.rules) } else { ExitCode::SUCCESS }
        }
        Err(problems) => list(&problems, path),
    }
}

/// Asks each back end, and says a line of each.
fn probe_rules(rules: &[Rule]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    actix_web::rt::System::new().block_on(async {
        for rule in rules {
            match rule.probe().await {
                None => println!("{}: ok, needs no back end", rule.name),
                Some(Ok(finding)) => println!("{}: ok, {finding}", rule.name),
                Some(Err(fault)) => {
                    println!("{}: failed, {fault}", rule.name);
                    code = ExitCode::from(FAILED);
                }
            }
        }
    });
    code
}

fn list(problems: &[crate::config::Problem], path: &Path) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    fail(FAILED, format!("{} problem(s) in {}", problems.len(), path.display()))
}

fn sign(args: &SignArgs) -> ExitCode {
    let room = args.room.clone().or_else(|| args.room_str.clone().map(Room::Text));
    if args.privileges.is_some() && room.is_none() {
        return fail(USAGE, "--privileges belong to a room; give --room or --room-str too");
    }
    let secret = match secret(args.secret_file.as_deref()) {
        Ok(Some(secret)) => secret,
        Ok(None) => return fail(USAGE, "no secret: give --secret-file, or set USERSIG_SECRET"),
        Err(error) => return fail(FAILED, error),
    };
    let signer = Signer::new(args.sdk_app_id, &secret);
    let privileges = args.privileges.unwrap_or(Privileges::ALL);
    let ticket = match room {
        None => signer.user_sig(&args.user_id, now(), args.expire),
        Some(room) => signer.private_map_key(&args.user_id, &room, privileges, now(), args.expire),
    };
    print_line(&ticket, ExitCode::SUCCESS)
}

fn inspect_ticket(args: InspectArgs) -> ExitCode {
    let ticket = match args.ticket {
        Some(ticket) if ticket != "-" => ticket,
        _ => {
            // More than any ticket, and not more than memory.
            let mut input = String::new();
            match io::stdin().take(64 * 1024).read_to_string(&mut input) {
                Ok(_) => input,
                Err(error) => return fail(USAGE, format!("cannot read a ticket from standard input: {error}")),
            }
        }
    };
    let secret = match secret(args.secret_file.as_deref()) {
        Ok(secret) => secret,
        Err(error) => return fail(USAGE, error),
    };
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
    let valid = inspection.verdict == Verdict::Valid;
    print_line(&json, if valid { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn healthcheck(url: &str) -> ExitCode {
    match ask(url) {
        Ok(status) if status.contains(" 200") => ExitCode::SUCCESS,
        Ok(status) => fail(FAILED, format!("{url} answered {status}")),
        Err(error) => fail(FAILED, format!("{url}: {error}")),
    }
}

/// The status line that a plain HTTP URL is answered with.
fn ask(url: &str) -> io::Result<String> {
    const DEADLINE: Duration = Duration::from_secs(2);
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "expected http://HOST:PORT/PATH");
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(invalid)?;
    let address = host.to_socket_addrs()?.next().ok_or_else(invalid)?;
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).take(256).read_line(&mut status)?;
    Ok(status.trim().to_owned())
}

fn demo(args: DemoArgs) -> ExitCode {
    if !args.listen.ip().is_loopback() {
        let message =
            "the demo signs for whoever asks and listens on loopback only; `usersig serve` is for everything else";
        return fail(USAGE, format!("--listen {}: {message}", args.listen));
    }
    let is_real_app = args.sdk_app_id.is_some();
    let id = args.sdk_app_id.unwrap_or_else(|| SdkAppId::try_from(1_400_000_000).expect("a possible SDKAppID"));
    let secret = match args.secret_file.as_deref().map(|file| secret(Some(file))).transpose() {
        Ok(secret) => secret.flatten().unwrap_or_else(|| SecretKey::parse(&random_hex()).expect("64 hex digits")),
        Err(error) => return fail(FAILED, error),
    };
    let session_secret = random_hex();
    let log = LogSettings { level: tracing::level_filters::LevelFilter::INFO, format: LogFormat::for_stdout() };
    let log = match Log::start(&log, None) {
        Ok(log) => log,
        Err(error) => return fail(FAILED, error),
    };
    let config = demo_config(args.listen, id, secret, args.secret_file, session_secret.as_bytes());
    let service = Service::new(config, log.dropped()).serve_demo(|address| {
        let demo = Demo::new(id, is_real_app, session_secret.as_bytes(), address.port());
        welcome(&demo, address, id, is_real_app);
        demo
    });
    finish(actix_web::rt::System::new().block_on(service), log)
}

/// What `serve` would read from a file.
fn demo_config(
    listen: SocketAddr,
    id: SdkAppId,
    secret: SecretKey,
    file: Option<PathBuf>,
    session_secret: &[u8],
) -> Config {
    let day = 86_400;
    let days = |days: u64| Lifetime::try_from(days * day).expect("a possible lifetime");
    let policy = Policy {
        expire: days(1),
        max_expire: days(7),
        within_session: false,
        user_id: UserIdMapping::AsIs,
        deny_users: Vec::new(),
        private_map_key: Some(RoomPolicy { max_privileges: Privileges::ALL, rooms: Rooms::Any }),
    };
    let rule = |name: &str, source| Rule {
        name: name.to_owned(),
        source,
        check: Check::Jwt(JwtCheck::new(JwtSettings {
            keys: Keys::One(VerificationKey::from_secret(session_secret, None).expect("a secret of 64 bytes")),
            issuer: None,
            audience: Vec::new(),
            authorized_parties: Vec::new(),
            leeway: 30,
            max_lifetime: day,
            user: Pointer::to("sub"),
            require: Vec::new(),
        })),
        user_prefix: String::new(),
        deny_users: Vec::new(),
    };
    Config {
        server: Server { listen, lame_duck: Duration::ZERO, drain: Duration::from_secs(2), ..Server::default() },
        log: LogSettings { level: tracing::level_filters::LevelFilter::INFO, format: LogFormat::for_stdout() },
        traces: None,
        apps: vec![ConfiguredApp { app: App::new(id, secret, policy), secret: file.map(SecretSource::File) }],
        rules: vec![
            rule("token", CredentialSource::Bearer),
            rule("cookie", CredentialSource::Cookie(COOKIE.to_owned())),
        ],
        limits: Limits { per_user: None, burst: NonZeroU32::MIN, per_address: None, shared: None },
        trusted_hops: 0,
    }
}

fn welcome(demo: &Demo, address: SocketAddr, app: SdkAppId, is_real_app: bool) {
    let alice: UserId = "alice".parse().expect("a possible user id");
    let token = demo.session_now(&alice);
    let kind = if is_real_app {
        format!("Tickets are for your app {app}. Everybody on this machine can get one: do not leave this running.")
    } else {
        format!("Tickets are for the made-up app {app}; --sdk-app-id and --secret-file make them work in yours.")
    };
    let get = format!("curl -s -X POST http://{address}/v1/usersig -H 'Authorization: Bearer {token}'");
    println!(
        "The whole service, with a page to try it: http://{address}/ (Ctrl-C ends it)\n{kind}\n\n\
         A UserSig for alice, whose login session is the token:\n\n  {get}\n\n\
         What is in it:\n\n  {get} \\\n    | sed 's/.*\"userSig\":\"\\([^\"]*\\)\".*/{{\"ticket\":\"\\1\"}}/' \\\n    \
         | curl -s http://{address}/v1/inspect -H 'Content-Type: application/json' -d @-\n"
    );
}

/// 64 hex digits from the system's randomness.
fn random_hex() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hex::encode(bytes)
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
    number.try_into().map(Room::Number).map_err(|error: crate::ticket::FieldError| error.to_string())
}

fn privileges(text: &str) -> Result<Privileges, String> {
    Privileges::from_names(text.split(',').map(str::trim)).map_err(|error| error.to_string())
}

/// Writes the log to its end, and says what ended the service if it was an error.
fn finish(result: io::Result<()>, log: Log) -> ExitCode {
    log.end();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, error),
    }
}

fn fail(code: u8, error: impl Display) -> ExitCode {
    eprintln!("usersig: {error}");
    ExitCode::from(code)
}

/// Prints the one result of a command; a reader that has gone away is no reason to panic.
fn print_line(line: &str, code: ExitCode) -> ExitCode {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => code,
        Err(error) => fail(FAILED, error),
    }
}
