//! The real binary as a child process, the sessions that it recognises and the tickets that it issues.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use usersig::ticket::{Fingerprint, SecretKey, UnverifiedTicket};

use crate::client;
use crate::tools::{Process, wait_for};

/// The app of every configuration here.
pub(crate) const APP: u32 = 1_400_000_000;

/// What the back end signs its sessions with.
pub(crate) const SESSION_SECRET: &str = "the secret of the back end's own tokens";

/// An app secret: 64 times the same digit.
pub(crate) fn secret(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// The same as a key.
pub(crate) fn key(digit: char) -> SecretKey {
    SecretKey::parse(&secret(digit)).expect("64 hex digits")
}

/// The `Authorization` value of a session of `user`, signed with `secret`.
#[expect(clippy::disallowed_methods, reason = "the service under test reads the clock too")]
pub(crate) fn bearer(user: &str, secret: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
    let claims = json!({ "sub": user, "iat": now, "exp": now + 3600 });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token");
    format!("Bearer {token}")
}

/// The fingerprint of the one key of `keys` that signed the whole of `ticket`.
#[track_caller]
pub(crate) fn signer_of(ticket: &str, keys: &[SecretKey]) -> Option<Fingerprint> {
    let ticket = UnverifiedTicket::decode(ticket).unwrap_or_else(|error| panic!("{ticket} {error}"));
    keys.iter().find(|key| ticket.is_signed_by(key)).map(SecretKey::fingerprint)
}

/// Directory with the files of one service: its configuration, secrets and log.
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    /// Lays the app's secret and the session's secret in `path`.
    pub(crate) fn new(path: PathBuf, app_secret: &str) -> Self {
        fs::write(path.join("app"), app_secret).expect("a secret file");
        fs::write(path.join("session"), SESSION_SECRET).expect("a secret file");
        Self { path }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A configuration with the one rule `token`, with `server` in its section of that name.
    pub(crate) fn configuration(&self, server: &str) -> String {
        format!(
            "[server]\n{server}\n[log]\nformat = \"json\"\n\
             [[app]]\nsdk_app_id = {APP}\nsecret = \"file:{app}\"\n\
             [[session]]\nname = \"token\"\nfrom = \"bearer\"\ncheck = \"jwt\"\n\
             secret = \"file:{session}\"\nalgs = [\"HS256\"]\nuser = \"/sub\"\n",
            app = self.file("app").display(),
            session = self.file("session").display(),
        )
    }
}

/// `usersig serve`, up and ready.
pub(crate) struct Service {
    process: Process,
    log: PathBuf,
    pub(crate) public: SocketAddr,
    pub(crate) ops: SocketAddr,
}

impl Service {
    /// Starts it with `configuration`, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(home: &Home, name: &str, configuration: &str) -> Self {
        let (file, log) = (home.file(&format!("{name}.toml")), home.file(&format!("{name}.log")));
        fs::write(&file, configuration).expect("a configuration file");
        let [out, err] = [&log, &home.file(&format!("{name}.err"))].map(|path| fs::File::create(path).expect("a log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_usersig"));
        command.arg("serve").arg("--config").arg(file).stdout(out).stderr(err);
        let mut process = Process::start(&mut command);
        let listening = |listener: &str| {
            let is_it = |event: &Value| event["message"] == "listening" && event["listener"] == listener;
            let event = events(&log).into_iter().find(is_it)?;
            event["address"].as_str().map(|address| address.parse().expect("an address"))
        };
        let [ops, public] = ["ops", "public"].map(|listener| {
            wait_for(&format!("{name} to listen"), || {
                let ended = process.0.try_wait().expect("its state");
                assert!(ended.is_none(), "{name} ended: {}", fs::read_to_string(home.file(&format!("{name}.err"))).unwrap_or_default());
                listening(listener)
            })
        });
        wait_for("readiness", || (client::get(ops, "/readyz").status == 200).then_some(()));
        Self { process, log, public, ops }
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for it to end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_for("the end of the service", || self.process.0.try_wait().expect("its state"))
    }

    /// What it has logged.
    pub(crate) fn events(&self) -> Vec<Value> {
        events(&self.log)
    }

    /// The value of one series of `/metrics`, named with its labels as there.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let metrics = client::get(self.ops, "/metrics").body;
        metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

/// The whole lines of a JSON log.
fn events(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
