//! The binary `usersig`: see `usersig --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A core dump would hold the secrets, and a debugger could read them. Where the kernel refuses, nothing is lost.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    usersig::cli::run()
}
