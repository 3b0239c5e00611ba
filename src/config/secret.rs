//! Secrets by reference: in a file or in an environment variable, never in the configuration itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::Value;
use zeroize::Zeroizing;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of this file.
    File(PathBuf),
    /// The value of this environment variable.
    Env(String),
}

/// Why a secret could not be read. The text completes "`key` …".
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Not a reference. The text itself is not shown: it may be the secret.
    #[error(
        "is not a reference; write \"file:/path/to/it\" or \"env:NAME_OF_VARIABLE\" (a secret must not stand in this file)"
    )]
    NotAReference,
    /// The file cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The variable is not set, or not text.
    #[error("the environment variable {0} is not set to text")]
    Env(String),
    /// Nothing but white space.
    #[error("{0} is empty")]
    Empty(String),
}

impl SecretSource {
    /// The largest file that is read, in bytes: more than any key or key set needs.
    const MAX_LEN: u64 = 256 * 1024;

    /// Reads the secret, without the white space around it.
    ///
    /// # Errors
    /// When it cannot be read, or is empty.
    pub fn read(&self) -> Result<Zeroizing<String>, SecretError> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map(Zeroizing::new).map_err(|_| SecretError::Env(name.clone()))?,
            Self::File(path) => {
                let read = || {
                    let file = File::open(path)?;
                    // The last byte is for the read that finds the end: a string that grows leaves its old place unwiped.
                    let room = file.metadata()?.len().min(Self::MAX_LEN) + 1;
                    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(room).unwrap_or_default()));
                    file.take(Self::MAX_LEN).read_to_string(&mut text)?;
                    Ok(text)
                };
                read().map_err(|error| SecretError::File { path: path.clone(), error })?
            }
        };
        match text.trim() {
            "" => Err(SecretError::Empty(self.to_string())),
            trimmed => Ok(Zeroizing::new(trimmed.to_owned())),
        }
    }
}

impl FromStr for SecretSource {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            _ => Err(SecretError::NotAReference),
        }
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

/// A reference to a secret. What is none is not shown: a number could be the secret too.
#[expect(clippy::needless_pass_by_value, reason = "readers take their value")]
pub(super) fn source(value: Value) -> Result<SecretSource, String> {
    value.as_str().unwrap_or_default().parse().map_err(|error: SecretError| error.to_string())
}

/// What a reference to a secret leads to.
pub(super) fn reference(value: Value) -> Result<Zeroizing<String>, String> {
    source(value)?.read().map_err(|error| error.to_string())
}
