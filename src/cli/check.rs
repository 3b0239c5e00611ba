//! `usersig check`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use actix_web::rt::System;
use clap::Args;

use super::Outcome;
use super::serve::load;
use crate::config::Config;
use crate::server;

#[derive(Args)]
pub(super) struct CheckArgs {
    /// The configuration file
    #[arg(long, env = "USERSIG_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Also ask each back end behind a session rule whether it answers
    #[arg(long)]
    probe: bool,
}

pub(super) fn run(args: &CheckArgs) -> Outcome {
    let path = &args.config;
    let Config { apps, rules, limit, .. } = load(path)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}: ok, {} app(s), {} session rule(s)", path.display(), apps.len(), rules.len())?;
    if !args.probe {
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    let mut print = |name: &str, finding: Option<Result<String, String>>| match finding {
        None => writeln!(stdout, "{name}: ok, needs no back end"),
        Some(Ok(finding)) => writeln!(stdout, "{name}: ok, {finding}"),
        Some(Err(fault)) => {
            code = ExitCode::FAILURE;
            writeln!(stdout, "{name}: failed, {fault}")
        }
    };
    for settings in rules {
        let rule = server::build_rule(settings)?;
        let finding = System::new().block_on(rule.probe());
        print(&rule.name, finding.map(|finding| finding.map_err(|fault| fault.to_string())))?;
    }
    if let Some(finding) = System::new().block_on(server::build_limiter(&limit)?.probe()) {
        print("limit.store", Some(finding.map_err(|error| error.to_string())))?;
    }
    Ok(code)
}
