//! Any text as a configuration: it is read or refused with every problem named, and no problem quotes a secret.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use usersig::config::Config;

const APP_SECRET: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77";
const SESSION_SECRET: &str = "canary-session-secret-0123456789abcdef";

static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = std::env::temp_dir().join(format!("usersig-fuzz-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("app.key"), APP_SECRET).expect("a file");
    fs::write(dir.join("session.key"), SESSION_SECRET).expect("a file");
    std::env::set_current_dir(&dir).expect("a directory");
    dir
});

// Variables may stand behind a line of `---`, one a line.
fuzz_target!(|input: &str| {
    let (text, variables) = input.split_once("\n---\n").unwrap_or((input, ""));
    // Files of this machine are none of the fuzzer's business: neither devices that never end, nor anybody's secrets.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") || text.contains("..") {
        return;
    }
    let path = DIR.join("usersig.toml");
    fs::write(&path, text).expect("a file");
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (format!("USERSIG__{name}").into(), value.into()));
    match Config::load(&path, variables) {
        Ok(config) => {
            assert!(!config.apps.is_empty() && !config.rules.is_empty());
            assert!(config.server.drain >= config.server.lame_duck);
            let shown = format!("{:?}", config.rules);
            assert!(!shown.contains(APP_SECRET) && !shown.contains(SESSION_SECRET));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in problems {
                let shown = problem.to_string();
                assert!(!problem.key.is_empty() && !problem.message.is_empty(), "{shown}");
                assert!(!shown.contains(APP_SECRET) && !shown.contains(SESSION_SECRET), "{shown}");
            }
        }
    }
});
