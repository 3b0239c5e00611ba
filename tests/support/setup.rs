//! Puts a configuration and its files into a directory of their own, and starts the binary with them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::client::Client;
use super::command::{Finished, Run};
use super::service::Service;
use super::{APP, OTHER_APP, OTHER_SECRET, SECRET, SESSION_SECRET};

/// A configuration to start from.
///
/// `{dir}` in the configuration and in variables stands for the directory that the files are in. The listeners are put
/// on free loopback ports and the limits off by environment variables, so any configuration can be started as it is.
pub(crate) struct Setup {
    dir: TempDir,
    config: String,
    env: Vec<(String, String)>,
    binary: PathBuf,
}

/// The parts of the configuration that most tests begin with.
pub(crate) mod parts {
    /// [`super::APP`] with its secret in a file.
    pub(crate) const ONE_APP: &str = "[[app]]\nsdk_app_id = 1400000000\nsecret = \"file:{dir}/app.key\"\n";
    /// [`super::OTHER_APP`] with its secret in a file.
    pub(crate) const SECOND_APP: &str = "[[app]]\nsdk_app_id = 1600000001\nsecret = \"file:{dir}/other.key\"\n";
    /// Sessions are HS256 tokens in `Authorization: Bearer`; keys of the rule can be added behind it.
    pub(crate) const BEARER: &str =
        "[[session]]\nname = \"token\"\nfrom = \"bearer\"\ncheck = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n";
    /// Sessions are HS256 tokens in the cookie `sid`; keys of the rule can be added behind it.
    pub(crate) const COOKIE: &str =
        "[[session]]\nname = \"cookie\"\nfrom = \"cookie:sid\"\ncheck = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n";
    /// Sessions are HS256 tokens in the header `X-Token`; keys of the rule can be added behind it.
    pub(crate) const HEADER: &str = "[[session]]\nname = \"header\"\nfrom = \"header:X-Token\"\ncheck = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n";
}

impl Setup {
    /// A directory with the secrets that [`parts`] refer to, and this configuration.
    pub(crate) fn new(config: impl Into<String>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let setup = Self { dir, config: config.into(), env: Vec::new(), binary: env!("CARGO_BIN_EXE_usersig").into() };
        setup
            .file("app.key", format!("{SECRET}\n"))
            .file("other.key", format!("{OTHER_SECRET}\n"))
            .file("session.key", format!("{SESSION_SECRET}\n"))
            .env("USERSIG__SERVER__LISTEN", "127.0.0.1:0")
            .env("USERSIG__SERVER__OPS_LISTEN", "127.0.0.1:0")
            .env("USERSIG__LIMIT__PER_USER", "off")
            .env("USERSIG__LIMIT__PER_ADDRESS", "off")
    }

    /// Takes back the variables that switch the limits off, so that `[limit]` or its defaults count.
    pub(crate) fn limited(self) -> Self {
        self.without_env("USERSIG__LIMIT__PER_USER").without_env("USERSIG__LIMIT__PER_ADDRESS")
    }

    /// Takes back a variable.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// The simplest service: [`APP`], and sessions as bearer tokens.
    pub(crate) fn simple() -> Self {
        Self::new([parts::ONE_APP, parts::BEARER].concat())
    }

    /// Two apps, [`APP`] and [`OTHER_APP`].
    pub(crate) fn two_apps() -> Self {
        debug_assert_ne!(APP, OTHER_APP);
        Self::new([parts::ONE_APP, parts::SECOND_APP, parts::BEARER].concat())
    }

    /// Takes another build of the service.
    pub(crate) fn binary(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    /// Adds a file to the directory.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).expect("a file in a directory of our own");
        self
    }

    /// Adds text to the end of the configuration.
    pub(crate) fn with(mut self, config: &str) -> Self {
        self.config.push_str(config);
        self
    }

    /// Replaces a text that stands in the configuration.
    pub(crate) fn replace(mut self, text: &str, by: &str) -> Self {
        assert!(self.config.contains(text), "{text} is not in {}", self.config);
        self.config = self.config.replace(text, by);
        self
    }

    /// Sets an environment variable for the service.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        let mut this = self.without_env(name);
        let value = value.replace("{dir}", &this.dir());
        this.env.push((name.to_owned(), value));
        this
    }

    /// Where a file of this name is, or would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts `usersig serve` and waits until it is ready.
    pub(crate) fn start(self) -> Service {
        let run = self.run(&["serve"]);
        Service::start(run, self)
    }

    /// Puts the listeners on ports that are free now, and says where they will be: for services whose log nobody reads.
    pub(crate) fn on_known_ports(self) -> (Self, Client, Client) {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let (public, ops) = (free(), free());
        let setup = self
            .env("USERSIG__SERVER__LISTEN", &public.to_string())
            .env("USERSIG__SERVER__OPS_LISTEN", &ops.to_string());
        (setup, Client::new(public), Client::new(ops))
    }

    /// Runs `usersig check` to its end.
    pub(crate) fn check(&self) -> Finished {
        self.run(&["check"]).finish()
    }

    /// Runs `usersig serve` with a configuration that it should refuse, to its end.
    pub(crate) fn refuse(&self) -> Finished {
        self.run(&["serve"]).finish()
    }

    /// The command with its configuration file written.
    pub(crate) fn run(&self, command: &[&str]) -> Run {
        let config = self.path("usersig.toml");
        fs::write(&config, self.config.replace("{dir}", &self.dir())).expect("a file in a directory of our own");
        let mut run = Run::of(&self.binary, command).arg("--config").arg(path_text(&config));
        for (name, value) in &self.env {
            run = run.env(name, value);
        }
        run
    }

    fn dir(&self) -> String {
        path_text(self.dir.path()).to_owned()
    }
}

/// A path of our own as text.
pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have names in UTF-8")
}
