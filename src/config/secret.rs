//! Secrets by reference: in a file or in an environment variable, never in the configuration itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use crate::ticket::SecretKey;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of this file.
    File(PathBuf),
    /// The value of this environment variable.
    Env(String),
}

impl SecretSource {
    /// A reference to a secret. A value that is not one is not shown: it may be the secret itself, a number too.
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        match value.as_str().and_then(|text| text.split_once(':')) {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            _ => Err("is not a reference; write \"file:/path/to/it\" or \"env:NAME_OF_VARIABLE\" \
                      (a secret must not stand in this file)"
                .to_owned()),
        }
    }

    /// Reads the secret, without the white space around it. An error completes "`key` …".
    fn read(&self) -> Result<Zeroizing<String>, String> {
        let text = match self {
            Self::Env(name) => {
                std::env::var(name).map(Zeroizing::new).map_err(|_| format!("{self} is not set to text"))?
            }
            Self::File(path) => read_file(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        };
        match text.trim() {
            "" => Err(format!("{self} is empty")),
            trimmed => Ok(Zeroizing::new(trimmed.to_owned())),
        }
    }

    /// Reads the secret of an app.
    ///
    /// # Errors
    /// Says what is wrong when it cannot be read, or is not an app's secret.
    pub fn read_key(&self) -> Result<SecretKey, String> {
        SecretKey::parse(&self.read()?).map_err(|error| format!("{self} {error}"))
    }
}

impl std::fmt::Display for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// What a reference to a secret leads to.
pub(super) fn reference(value: &Value) -> Result<Zeroizing<String>, String> {
    SecretSource::parse(value)?.read()
}

fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    /// The most that is read, in bytes: more than any key or key set needs.
    const MAX_LEN: u64 = 256 * 1024;
    let file = File::open(path)?;
    // The last byte is for the read that finds the end: a string that grows leaves its old place unwiped.
    let room = file.metadata()?.len().min(MAX_LEN) + 1;
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(room).unwrap_or_default()));
    file.take(MAX_LEN).read_to_string(&mut text)?;
    Ok(text)
}
