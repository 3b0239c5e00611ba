//! The binary `usersig`: see `usersig --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    usersig::server::platform::harden_process();
    usersig::cli::run()
}
