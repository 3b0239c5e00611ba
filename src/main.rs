//! The binary `usersig`: see `usersig --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    usersig::cli::run()
}
