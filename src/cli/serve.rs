//! `usersig serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Outcome, print_error};
use crate::config::Config;
use crate::server::{self, Service};

#[derive(Args)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(long, env = "USERSIG_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &ServeArgs) -> Outcome {
    server::run(load(&args.config)?, Service::serve)?;
    Ok(ExitCode::SUCCESS)
}

/// The configuration; of one that cannot be used, every problem is printed.
pub(super) fn load(path: &Path) -> Result<Config, String> {
    Config::load(path, std::env::vars_os()).map_err(|problems| {
        for (key, message) in &problems {
            print_error(format_args!("{key}: {message}"));
        }
        format!("{} problem(s) in {}", problems.len(), path.display())
    })
}
