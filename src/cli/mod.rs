//! The command line: parses it, runs a command, returns an exit code. One file a command; the demo has a folder beside.

mod check;
mod healthcheck;
mod inspect;
mod serve;
mod sign;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::config::SecretSource;
use crate::demo::{self, DemoArgs};
use crate::ticket::SecretKey;
use check::CheckArgs;
use healthcheck::HealthcheckArgs;
use inspect::InspectArgs;
use serve::ServeArgs;
use sign::SignArgs;

/// How a command ends: well, or with a finding such as a ticket that is not valid, or with what has kept it from doing its
/// work. The last two are a 1. A wrong command line is a 2, as clap has it.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Issues UserSigs for Tencent Cloud Chat and TRTC to the users that your own back end has logged in.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
enum Command {
    /// Runs the whole service on loopback with demo sessions and a page to try it
    Demo(DemoArgs),
    /// Runs the service
    Serve(ServeArgs),
    /// Validates a configuration and lists every problem in it
    Check(CheckArgs),
    /// Prints one ticket
    Sign(SignArgs),
    /// Prints what is in a ticket and whether it is valid, as JSON
    Inspect(InspectArgs),
    /// Asks a running service whether it is ready; for container health checks
    Healthcheck(HealthcheckArgs),
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Demo(args) => demo::run(args).map(|()| ExitCode::SUCCESS),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Sign(args) => sign::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Healthcheck(args) => healthcheck::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        print_error(format_args!("usersig: {error}"));
        ExitCode::FAILURE
    })
}

/// Ends the process as clap does where it has not been given what it needs.
fn usage(error: impl Display) -> ! {
    Command::command().error(ErrorKind::ValueValidation, error).exit()
}

/// The secret in `file`, or else in the environment; `None` when there is neither.
fn secret(file: Option<PathBuf>) -> Result<Option<SecretKey>, String> {
    const VARIABLE: &str = "USERSIG_SECRET";
    let in_environment = || std::env::var_os(VARIABLE).map(|_| SecretSource::Env(VARIABLE.to_owned()));
    file.map(SecretSource::File).or_else(in_environment).map(|source| source.read_key()).transpose()
}

/// Prints a line on stderr; where even that takes nothing, the exit code says it.
fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
