//! `usersig inspect`.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Outcome, secret, usage};
use crate::http::now;
use crate::ticket::{Expected, SdkAppId, UnixTime, Verdict, inspect};

#[derive(Args)]
pub(super) struct InspectArgs {
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

pub(super) fn run(args: InspectArgs) -> Outcome {
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
