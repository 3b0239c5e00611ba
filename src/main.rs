//! The binary `usersig`: see `usersig --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A core dump would hold the secrets, and a debugger could read them. Where the kernel refuses, nothing is lost.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // Where fewer descriptors are usual than allowed, as in containers, that is for programs that select(2).
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: descriptors.maximum, ..descriptors };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, all);
    usersig::cli::run()
}
